#!/usr/bin/env python3
"""Writes test/unit/composed_cases.h: small tokenizers as JSON, and what the reference makes of
texts with them.

    python3 test/golden/make_composed.py > test/unit/composed_cases.h
    python3 test/golden/make_composed.py --json test/golden/tokenizers

The second form writes the first and the fourth as files, for test/t/tokenizers.
"""

import base64
import json
import os
import struct
import sys

import tokenizers
from tokenizers import Tokenizer

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

TEXTS = [
    "",
    "Hello world",
    "  Hello   world  ",
    "\u2581Hello \u2581 world",
    "ab\x01ab \x01",
    "\x01ab",
    "caf\u00e9 cafe\u0301 \ufb01x",
    "a\u0301\u0316\u0301b",
    "<s>Hello</s> <mask> x <mask>",
    "don't we'll 'tis 12 3",
    "\u4f60\u597d\u4e16\u754c unknown\U0001f600\U0001f601x",
    "tab\tnew\nline\r\nend \n ",
    "\uac00\u11a8 \u1100\u1161",
    "\u1100\u1161\r\u1100\u1161\rx",
    "e\x01\u0301 be\x02\u0301 e\x02e\u0301",
]


def charsmap(pairs):
    """A double array for keys of one or two bytes that begin with different bytes."""
    units = [0] * 2048
    units[0] = 1 << 10
    texts, free = b"", 256
    for key, text in pairs:
        node, base = 1, 0
        position = 0
        for i, byte in enumerate(key):
            position = node ^ byte
            leaf = i + 1 == len(key)
            offset = position ^ free
            units[position] = offset << 10 | (1 << 8 if leaf else 0) | byte
            node = free
            free += 256
        units[node] = 0x80000000 | len(texts)
        texts += text + b"\0"
    trie = struct.pack("<%dI" % len(units), *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + texts).decode()


def unigram(**parts):
    words = "\u2581 \u2581H e l o \u2581w r d ll \u2581Hello \u2581world orld a b ab x \u00e9"
    words += " e\u0301"
    words += " c f ca \u4f60\u597d 1 2 3 ' t s n , \u2581\u2581 fi" + parts.pop("words", "")
    vocab = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    vocab += [[w, -2.0 - 0.37 * i] for i, w in enumerate(words.split())]
    vocab += [["<0x%02X>" % b, -30.0] for b in range(256)] if parts.pop("bytes", False) else []
    vocab += [["<mask>", 0.0]]
    model = {"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": len(vocab) > 200}
    return whole(model, **parts)


def whole(model, **parts):
    ids = {t: i for i, (t, _) in enumerate(model["vocab"])} if model["type"] == "Unigram" else None
    ids = ids or model["vocab"]
    added = [
        {"id": ids[t], "content": t, "single_word": False, "lstrip": t == "<mask>", "rstrip": False}
        for t in ("<s>", "<pad>", "</s>", "<mask>")
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(
            [{**a, "normalized": False, "special": True} for a in added], key=lambda a: a["id"]
        ),
        "normalizer": parts.get("normalizer"),
        "pre_tokenizer": parts.get("pre_tokenizer"),
        "post_processor": parts.get("post_processor"),
        "decoder": parts.get("decoder"),
        "model": model,
    }


def bpe(**parts):
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    merges = [["l", "l"], ["H", "e"], ["ll", "o"], ["He", "llo"], ["\u0120", "w"], ["o", "r"]]
    merges += [["\u0120w", "or"], ["a", "b"], ["\u0120", "\u0120"], ["'", "t"], ["l", "d"]]
    tokens = ["<s>", "<pad>", "</s>", "<unk>"] + alphabet + [a + b for a, b in merges] + ["<mask>"]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": parts.pop("ignore_merges", False),
        "vocab": {t: i for i, t in enumerate(tokens)},
        "merges": merges,
    }
    return whole(model, **parts)


def template():
    single = [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ]
    pair = single + [
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 1}},
        {"SpecialToken": {"id": "</s>", "type_id": 1}},
    ]
    specials = {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in (("<s>", 0), ("</s>", 2))}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": specials,
    }


def metaspace(scheme="always", split=True):
    return {
        "type": "Metaspace",
        "replacement": "\u2581",
        "prepend_scheme": scheme,
        "split": split,
    }


def roberta(trim, prefix):
    return {
        "type": "RobertaProcessing",
        "sep": ["</s>", 2],
        "cls": ["<s>", 0],
        "trim_offsets": trim,
        "add_prefix_space": prefix,
    }


def byte_level(prefix, regex=True):
    return {
        "type": "ByteLevel",
        "add_prefix_space": prefix,
        "trim_offsets": True,
        "use_regex": regex,
    }


def sequence(kind, *parts):
    return {"type": "Sequence", kind: list(parts)}


def replace(pattern, content, regex=False):
    return {
        "type": "Replace",
        "pattern": {"Regex" if regex else "String": pattern},
        "content": content,
    }


def kinds():
    maps = charsmap([(b"\x01", b""), (b"\t", b" "), (b"\r", b" "), ("\u00e9".encode(), b"ee")])
    precompiled = {"type": "Precompiled", "precompiled_charsmap": maps}
    split = sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace())
    yield unigram(
        normalizer=precompiled,
        pre_tokenizer=split,
        post_processor=template(),
        decoder=metaspace(),
    )
    yield unigram(
        bytes=True,
        normalizer=sequence(
            "normalizers",
            {"type": "Strip", "strip_left": False, "strip_right": True},
            replace(" {2,}", "\u2581", True),
        ),
        pre_tokenizer=metaspace("first", False),
        decoder=sequence(
            "decoders",
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ),
    )
    yield unigram(
        normalizer=sequence(
            "normalizers",
            {"type": "Nmt"},
            {"type": "NFKD"},
            {"type": "StripAccents"},
            {"type": "NFC"},
            {"type": "Lowercase"},
            replace("ll", "l"),
            {"type": "Prepend", "prepend": "\u2581"},
        ),
        pre_tokenizer=sequence(
            "pretokenizers",
            {"type": "Digits", "individual_digits": True},
            {"type": "Punctuation", "behavior": "MergedWithPrevious"},
            metaspace("never"),
        ),
        post_processor={"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]},
    )
    yield bpe(
        pre_tokenizer=byte_level(False),
        post_processor=roberta(True, False),
        decoder=byte_level(True),
    )
    yield bpe(
        ignore_merges=True,
        normalizer={"type": "NFKC"},
        pre_tokenizer=sequence(
            "pretokenizers", {"type": "Digits", "individual_digits": False}, byte_level(True)
        ),
        post_processor=sequence("processors", byte_level(True), template()),
        decoder=byte_level(True),
    )
    yield bpe(
        pre_tokenizer=sequence(
            "pretokenizers", splitting(WORDS, "Isolated"), byte_level(False, regex=False)
        ),
        post_processor=roberta(True, False),
        decoder=byte_level(True),
    )
    yield unigram(
        pre_tokenizer=sequence(
            "pretokenizers",
            splitting(" ", "MergedWithNext", regex=False),
            splitting("[0-9]", "MergedWithPrevious"),
            splitting(WORDS, "Removed", True),
            splitting("\\s+", "Removed"),
        ),
        post_processor=template(),
    )

    forms = [{"type": kind} for kind in ("NFKD", "NFC")]
    yield unigram(
        words=" \uac00",
        normalizer=sequence("normalizers", precompiled, *forms),
        pre_tokenizer=metaspace(),
        post_processor=template(),
    )
    yield unigram(
        normalizer=sequence("normalizers", {"type": "Nmt"}, {"type": "NFC"}),
        pre_tokenizer=metaspace(),
        post_processor=template(),
    )


def splitting(pattern, behavior, invert=False, regex=True):
    return {
        "type": "Split",
        "pattern": {"Regex" if regex else "String": pattern},
        "behavior": behavior,
        "invert": invert,
    }


def quoted(text):
    out = ""
    for byte in text.encode():
        plain = 32 <= byte < 127 and byte not in b'"\\?'
        out += chr(byte) if plain else "\\%03o" % byte
    lines = [out[i : i + 80] for i in range(0, len(out), 80)] or [""]
    # an escape must not be cut
    fixed, rest = [], ""
    for line in lines:
        line = rest + line
        cut = line.rfind("\\", max(len(line) - 3, 0))
        rest = line[cut:] if cut >= 0 else ""
        fixed.append(line[: len(line) - len(rest)])
    fixed[-1] += rest
    return "\n\t\t".join('"%s"' % line for line in fixed)


def numbers(values):
    return "{%s}" % ", ".join(str(v) for v in values) if values else "{0}"


def main():
    if sys.argv[1:2] == ["--json"]:
        made = list(kinds())
        for name, kind in (("unigram", made[0]), ("bpe", made[3])):
            with open(os.path.join(sys.argv[2], name + ".json"), "w", encoding="utf-8") as file:
                json.dump(kind, file, ensure_ascii=False, indent=None)
        return
    print("/* composed_cases.h: written by test/golden/make_composed.py with tokenizers %s. */" % (
        tokenizers.__version__,
    ))
    print("/* clang-format off */")
    names = []
    for k, kind in enumerate(kinds()):
        text = json.dumps(kind, ensure_ascii=False, separators=(",", ":"))
        reference = Tokenizer.from_str(text)
        print("static const char composed_json_%d[] =\n\t\t%s;\n" % (k, quoted(text)))
        print("static const ComposedCase composed_cases_%d[] = {" % k)
        cases = [(t, None) for t in TEXTS] + [(TEXTS[2], TEXTS[8])]
        for first, second in cases:
            e = reference.encode(first) if second is None else reference.encode(first, second)
            decoded = reference.decode(e.ids, skip_special_tokens=True)
            assert len(e.ids) <= 64
            print("\t{%s,\n\t %s,\n\t %s, %d," % (
                quoted(first),
                "NULL" if second is None else quoted(second),
                quoted(decoded),
                len(e.ids),
            ))
            for values in (
                e.ids,
                e.type_ids,
                [s for s, _ in e.offsets],
                [s for _, s in e.offsets],
                [-1 if w is None else w for w in e.word_ids],
            ):
                print("\t %s," % numbers(values))
            print("\t},")
        print("};\n")
        names.append((k, len(cases)))
    print("static const ComposedKind composed_kinds[] = {")
    for k, n in names:
        json_name = "composed_json_%d" % k
        print("\t{%s, sizeof %s - 1, composed_cases_%d, %d}," % (json_name, json_name, k, n))
    print("};")


if __name__ == "__main__":
    main()
