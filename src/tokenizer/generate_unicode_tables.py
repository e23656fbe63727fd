#!/usr/bin/env python3
"""Writes unicode_tables.c: what the reference does with each of the 1,112,064 code points.

The reference (HuggingFace `tokenizers`) is built on several Unicode libraries of different
ages, so its classes agree with no single Unicode version. This program asks the reference
itself, one code point at a time, and writes - a two-stage table of class bits and combining
classes for all code points, and - the decompositions and lower-case mappings in which the
reference differs from utf8proc. So that the answer
    does not depend on utf8proc's version, every mapping of a code point that Unicode 12 had not
    assigned is
    counted as a difference too.

    python3 src/tokenizer/generate_unicode_tables.py > src/tokenizer/unicode_tables.c
"""

import ctypes
import ctypes.util
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
BLOCK = 128

# The bits; unicode.h has the same.
CLEANED, SPACE, CHINESE, DECOMPOSES, MARK, LOWERS, PUNCTUATION, WORD = (1 << i for i in range(8))


def bert(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    flags.update(on)
    return normalizers.BertNormalizer(**flags).normalize_str


clean = bert(clean_text=True)
chinese = bert(handle_chinese_chars=True)
strip = bert(strip_accents=True)
nfd = normalizers.NFD().normalize_str
lower = normalizers.Lowercase().normalize_str
split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str

single = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
single.add_tokens([AddedToken("Q", single_word=True, normalized=False)])

library = ctypes.CDLL(ctypes.util.find_library("utf8proc"))
library.utf8proc_tolower.restype = ctypes.c_int32
library.utf8proc_decompose_char.restype = ctypes.c_ssize_t
UTF8PROC_DECOMPOSE = 1 << 4


def utf8proc_decompose(c):
    out = (ctypes.c_int32 * 32)()
    boundary = ctypes.c_int(0)
    n = library.utf8proc_decompose_char(c, out, 32, UTF8PROC_DECOMPOSE, ctypes.byref(boundary))
    return [out[i] for i in range(n)]


def combining_class(char, representatives):
    """The class the reference sorts by, found by comparing with marks of known class."""
    above, below = "\u0345", "\u0334"  # 240, 1
    if not (nfd(above + char) == char + above or nfd(char + below) == below + char):
        return 0
    for value, mark in representatives:
        if nfd(mark + char) == mark + char and nfd(char + mark) == char + mark:
            return value
    raise SystemExit("no combining class fits U+%04X" % ord(char))


def representatives():
    """One mark of each class, oldest code points first, that the reference knows as such."""
    found = {}
    for c in POINTS:
        value = unicodedata.ucd_3_2_0.combining(chr(c))
        char = chr(c)
        if value and value not in found and nfd(char) == char:
            found[value] = char
    for c in POINTS:
        value = unicodedata.combining(chr(c))
        if (
            value
            and value not in found
            and nfd(chr(c)) == chr(c)
            and nfd("\u0345" + chr(c)) == chr(c) + "\u0345"
        ):
            found[value] = chr(c)
    # each must sort strictly between its neighbours
    marks = sorted(found.items())
    for (low, a), (high, b) in zip(marks, marks[1:]):
        assert nfd(b + a) == a + b and nfd(a + b) == a + b, (low, high)
    return marks


def classify():
    marks = representatives()
    records, index = [], {}
    rows = [0] * 0x110000
    decompositions, lowers = {}, {}
    for c in POINTS:
        char = chr(c)
        bits = ccc = 0
        cleaned = clean("a" + char + "b")
        if cleaned == "ab":
            bits |= CLEANED
        pieces = [p for p, _ in split("a" + char + "b")]
        if pieces == ["a", "b"]:
            bits |= SPACE
        elif pieces == ["a", char, "b"]:
            bits |= PUNCTUATION
        else:
            assert pieces == ["a" + char + "b"], c
        assert cleaned == "ab" or cleaned == ("a b" if bits & SPACE else "a" + char + "b"), c
        if chinese(char) != char:
            assert chinese(char) == " " + char + " "
            bits |= CHINESE
        decomposed = nfd(char)
        if decomposed != char:
            bits |= DECOMPOSES
            decompositions[c] = [ord(d) for d in decomposed]
        else:
            stripped = strip("a" + char + "b")
            assert stripped in ("ab", "a" + char + "b"), c
            if stripped == "ab":
                bits |= MARK
            ccc = combining_class(char, marks)
        lowered = lower(char)
        if lowered != char:
            bits |= LOWERS
            lowers[c] = [ord(d) for d in lowered]
        if (
            len(single.encode(char + "Q").ids)
            and single.token_to_id("Q") not in single.encode(char + "Q").ids
        ):
            bits |= WORD
        record = (bits, ccc)
        if record not in index:
            index[record] = len(records)
            records.append(record)
        rows[c] = index[record]
    assert len(records) <= 256
    return rows, records, decompositions, lowers


def differences(mappings, ours):
    new = lambda c: unicodedata.category(chr(c)) == "Cn" or not assigned_in_12(c)
    return {c: to for c, to in mappings.items() if ours(c) != to or new(c)}


def assigned_in_12(c):
    # Python 3.11 knows Unicode 14 and 3.2; the blocks with casing or decompositions that came in 13
    # and 14 are few.
    newer = (
        (0xA7C0, 0xA7C1),
        (0xA7C7, 0xA7CA),
        (0xA7D0, 0xA7D9),
        (0xA7F2, 0xA7F6),
        (0x2C2F, 0x2C2F),
        (0x2C5F, 0x2C5F),
        (0x10570, 0x105BC),
        (0x11938, 0x11938),
    )
    return not any(low <= c <= high for low, high in newer)


def is_hangul(c):
    return 0xAC00 <= c <= 0xD7A3


def emit_array(name, kind, values, width):
    print("const %s %s[%d] = {" % (kind, name, len(values)))
    text = [str(v) for v in values]
    for i in range(0, len(text), width):
        print("\t" + ", ".join(text[i : i + width]) + ",")
    print("};\n")


def emit_mappings(name, mappings):
    print("const UnicodeMapping %s[] = {" % name)
    for c in sorted(mappings):
        to = mappings[c]
        assert len(to) <= 4
        print("\t{0x%05X, %d, {%s}}," % (c, len(to), ", ".join("0x%04X" % d for d in to)))
    print("\t{0x110000, 0, {0}},\n};\n")
    print("const size_t %s_count = %d;\n" % (name, len(mappings)))


def main():
    rows, records, decompositions, lowers = classify()
    decompositions = {c: d for c, d in decompositions.items() if not is_hangul(c)}
    other_decompositions = differences(decompositions, utf8proc_decompose)
    other_lowers = differences(lowers, lambda c: [library.utf8proc_tolower(c)])
    blocks, block_index, stage1 = [], {}, []
    for start in range(0, 0x110000, BLOCK):
        block = tuple(rows[start : start + BLOCK])
        if block not in block_index:
            block_index[block] = len(blocks)
            blocks.append(block)
        stage1.append(block_index[block])
    assert len(blocks) <= 256
    print(
        "/*\n * unicode_tables.c: written by generate_unicode_tables.py from tokenizers %s,\n"
        " * differences against utf8proc %s.\n"
        " * Do not edit.\n */" % (tokenizers.__version__, utf8proc_version())
    )
    print("/* clang-format off */")
    print('#include "tokenizer/unicode.h"\n')
    print("/* class bits, combining class */")
    print("const UnicodeRecord unicode_records[%d] = {" % len(records))
    for bits, ccc in records:
        print("\t{0x%02X, %d}," % (bits, ccc))
    print("};\n")
    emit_array("unicode_stage1", "uint8_t", stage1, 24)
    emit_array("unicode_stage2", "uint8_t", [v for block in blocks for v in block], 32)
    emit_mappings("unicode_decompositions", other_decompositions)
    emit_mappings("unicode_lowers", other_lowers)
    print(
        "%d records, %d blocks, %d decompositions, %d lower-case mappings differ"
        % (len(records), len(blocks), len(other_decompositions), len(other_lowers)),
        file=sys.stderr,
    )


def utf8proc_version():
    library.utf8proc_version.restype = ctypes.c_char_p
    return library.utf8proc_version().decode()


if __name__ == "__main__":
    main()
