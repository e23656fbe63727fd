#!/usr/bin/env python3
"""Writes unicode_properties.c: what the stages of composed tokenizers ask of a code point.

As generate_unicode_tables.py it asks the reference, one code point at a time: letters and numbers
of the byte-level pre-tokenizer, numbers of Digits, marks of StripAccents, compatibility
decompositions in which the reference differs from utf8proc, and the pairs that compose.

Grapheme classes cannot be asked for one by one. They are those of the Python package `regex`;
whether a code point belongs to the character before it, which is what nearly all clusters are made
of, is asked and has the last word.

    python3 src/tokenizer/generate_unicode_properties.py > src/tokenizer/unicode_properties.c
"""

import struct
import sys

import regex
import tokenizers
from tokenizers import normalizers, pre_tokenizers

from generate_unicode_tables import (
    BLOCK,
    POINTS,
    assigned_in_12,
    emit_array,
    emit_mappings,
    is_hangul,
    library,
    utf8proc_version,
)

import ctypes
import unicodedata

LETTER, NUMBER, NUMERIC, COMBINING, COMPATIBLE = (1 << i for i in range(5))
UTF8PROC_DECOMPOSE, UTF8PROC_COMPAT = 1 << 4, 1 << 2

# the values of GraphemeClass in unicode.h
CLASSES = [
    ("CR", r"\p{GCB=CR}"),
    ("LF", r"\p{GCB=LF}"),
    ("CONTROL", r"\p{GCB=Control}"),
    ("L", r"\p{GCB=L}"),
    ("V", r"\p{GCB=V}"),
    ("T", r"\p{GCB=T}"),
    ("LV", r"\p{GCB=LV}"),
    ("LVT", r"\p{GCB=LVT}"),
    ("EXTEND", r"\p{GCB=Extend}"),
    ("LINKED_EXTEND", None),
    ("LINKER", None),
    ("ZWJ", r"\p{GCB=ZWJ}"),
    ("SPACING", r"\p{GCB=SpacingMark}"),
    ("PREPEND", r"\p{GCB=Prepend}"),
    ("REGIONAL", r"\p{GCB=Regional_Indicator}"),
    ("PICTOGRAPH", r"\p{Extended_Pictographic}"),
    ("CONSONANT", None),
]
NAMES = ["OTHER"] + [name for name, _ in CLASSES]

nfd = normalizers.NFD().normalize_str
nfc = normalizers.NFC().normalize_str
nfkd = normalizers.NFKD().normalize_str
strip = normalizers.StripAccents().normalize_str
digits = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str
byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
white_space = pre_tokenizers.WhitespaceSplit().pre_tokenize_str
bert = pre_tokenizers.BertPreTokenizer().pre_tokenize_str


def charsmap_of_a():
    """A charsmap that replaces "a" by "Q": a double array of two levels."""
    units = [0] * 512
    units[0] = 1 << 10  # the root's offset is 1
    node = 1 ^ ord("a")
    units[node] = (node ^ 256) << 10 | 1 << 8 | ord("a")  # a leaf follows
    units[256] = 0x80000000  # value 0: the first text
    trie = struct.pack("<%dI" % len(units), *units)
    return struct.pack("<I", len(trie)) + trie + b"Q\0"


grapheme = normalizers.Precompiled(charsmap_of_a()).normalize_str


def belongs_to_previous(char):
    """Whether it is one grapheme with an "a" before it."""
    out = grapheme("a" + char)
    assert out in ("Q", "Q" + char.replace("a", "Q")), ord(char)
    return out == "Q"


def utf8proc_compatible(c):
    out = (ctypes.c_int32 * 32)()
    boundary = ctypes.c_int(0)
    n = library.utf8proc_decompose_char(
        c, out, 32, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, ctypes.byref(boundary)
    )
    return [out[i] for i in range(n)]


def members(pattern):
    compiled = regex.compile(pattern)
    return {c for c in POINTS if compiled.match(chr(c))}


def grapheme_classes():
    rows = {}
    for number, (_, pattern) in enumerate(CLASSES, 1):
        for c in members(pattern) if pattern else ():
            rows.setdefault(c, number)
    number = {name: i for i, name in enumerate(NAMES)}
    attaching = {number["EXTEND"], number["ZWJ"], number["SPACING"]}
    changed = 0
    for c in POINTS:
        attaches = belongs_to_previous(chr(c))
        if attaches != (rows.get(c, 0) in attaching):
            rows[c] = number["EXTEND"] if attaches else 0
            changed += 1
    for c in members(r"\p{InCB=Linker}"):
        if rows.get(c, 0) == number["EXTEND"]:
            rows[c] = number["LINKER"]
    for c in members(r"\p{InCB=Extend}"):
        if rows.get(c, 0) == number["EXTEND"]:
            rows[c] = number["LINKED_EXTEND"]
    for c in members(r"\p{InCB=Consonant}"):
        if rows.get(c, 0) == 0:
            rows[c] = number["CONSONANT"]
    print("%d grapheme classes differ" % changed, file=sys.stderr)
    return rows


def is_kind(char, other):
    """Whether the byte-level pre-tokenizer takes it into one run with the other."""
    return len(byte_level(other + char)) == 1


def classify():
    classes = grapheme_classes()
    records, index, rows = [], {}, [0] * 0x110000
    compatible, compositions = {}, {}
    for c in POINTS:
        char = chr(c)
        bits = 0
        space = [p for p, _ in white_space("a" + char + "b")] == ["a", "b"]
        assert space == ([p for p, _ in bert("a" + char + "b")] == ["a", "b"]), c
        if is_kind(char, "a"):
            bits |= LETTER
        elif is_kind(char, "1"):
            bits |= NUMBER
        elif space:
            assert is_kind(char, " "), c
        else:
            assert is_kind(char, "!"), c
        if [p for p, _ in digits("a" + char + "b")] == ["a", char, "b"]:
            bits |= NUMERIC
        stripped = strip("a" + char + "b")
        if stripped == "ab":
            bits |= COMBINING
        decomposed, full = nfd(char), nfkd(char)
        if decomposed != full:
            bits |= COMPATIBLE
            compatible[c] = [ord(d) for d in full]
        if decomposed != char and not is_hangul(c):
            first, second = nfc(decomposed[:-1]), decomposed[-1]
            if len(first) == 1 and nfc(first + second) == char:
                compositions[(ord(first), ord(second))] = c
        record = (bits, classes.get(c, 0))
        if record not in index:
            index[record] = len(records)
            records.append(record)
        rows[c] = index[record]
    assert len(records) <= 256
    return rows, records, compatible, compositions


def differences(mappings):
    new = lambda c: unicodedata.category(chr(c)) == "Cn" or not assigned_in_12(c)
    return {c: to for c, to in mappings.items() if utf8proc_compatible(c) != to or new(c)}


def main():
    rows, records, compatible, compositions = classify()
    others = differences(compatible)
    blocks, block_index, stage1 = [], {}, []
    for start in range(0, 0x110000, BLOCK):
        block = tuple(rows[start : start + BLOCK])
        if block not in block_index:
            block_index[block] = len(blocks)
            blocks.append(block)
        stage1.append(block_index[block])
    print(
        "/*\n"
        " * unicode_properties.c: written by generate_unicode_properties.py from tokenizers %s\n"
        " * and regex %s, differences against utf8proc %s. Do not edit.\n */"
        % (tokenizers.__version__, regex.__version__, utf8proc_version())
    )
    print("/* clang-format off */")
    print('#include "tokenizer/unicode.h"\n')
    print("/* property bits, grapheme class */")
    print("const UnicodeProperties unicode_property_records[%d] = {" % len(records))
    for bits, grapheme_class in records:
        print("\t{0x%02X, GRAPHEME_%s}," % (bits, NAMES[grapheme_class]))
    print("};\n")
    emit_array("unicode_property_stage1", "uint16_t", stage1, 24)
    emit_array("unicode_property_stage2", "uint8_t", [v for b in blocks for v in b], 32)
    emit_mappings("unicode_compatible", others)
    print("/* by first, then second */")
    print("const UnicodeComposition unicode_compositions[] = {")
    for first, second in sorted(compositions):
        print(
            "\t{0x%05X, 0x%05X, 0x%05X}," % (first, second, compositions[(first, second)])
        )
    print("};\n")
    print("const size_t unicode_compositions_count = %d;" % len(compositions))
    print(
        "%d records, %d blocks, %d compatibility mappings differ, %d compositions"
        % (len(records), len(blocks), len(others), len(compositions)),
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
