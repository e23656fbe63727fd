#!/usr/bin/env python3
"""Writes tokenizer_vocab.txt and tokenizer.json: what the reference makes of a few hundred tricky
texts.

    python3 test/golden/generate_tokenizer.py     (needs HuggingFace `tokenizers`; the tests do not)

`planes` holds, per setting and plane of Unicode, a SHA-256 over the words and offsets that the
reference makes of every code point in two contexts, so that test_tokenizer.c can check all of
them without the reference.
"""

import hashlib
import json
import os
import random
import struct

import tokenizers
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PLANE_FLAGS = ["czal", "cz", "l", "a"]
PLANE_TEXTS = ["a%sb", "%s\u0323\u0301"]


def vocabulary():
    words = """the a an of and to in is it that was for on are as with his they at be this have
    from or one had by word but not what all were we when your can said there use each which she do
    how their if will up other about out many then them these so some her would make like him into
    time has look two more write go see number no way could people my than first water been call
    who oil its now find long down day did get come made may part hello world embed transformer
    data base query index table straße strasse naive café cafe Hello World The Paris İstanbul
    istanbul don doesn n't 's do not Привет привет мир Σίσυφος σισυφος 東京 東 京 日本 한국 한 국 ไทย ﬁ ffi
    office ½ Ⅳ Å A\u030a é e\u0301 🙂 👩 ## # [ ] CLS SEP MASK mask cls unused [unused0] [unused1] x1
    2024 3 14 . , ! ? ' " - _ ( ) : ; / @ $ % & *""".split()
    pieces = """s ed ing er est ly ness ization al able un ment tion less ful ise ize y a e i o u th
    st nd rd base former ding beddings ß tok""".split()
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    scripts = (
        "àâäåæçèéêëìíîïñòóôöøùúûüýÿßœάέήίόύώαβγδεζηθικ"
        "λμνξοπρστυφχψωςабвгдежзийклмнопрстуфхцчшщъыьэюяіїєґ"
        "あいうえおかきくけこさしすせそアイウエオカキクケコ人大中国文字漢語ᄀᄂᄃᄅ마ᅥᅩᅮᅵᆨᆫᆯกขคงนมยรลวสअआइकखगतनमयरलवसहािीु"
        "ابتثجحخدذرزسشصضطظعغفقكلمنهويאבגדהוזחטיכלמנסעפצקרשת।、。「」…–—“”‘’«»¿¡€£¥©®°±²³µ·"
    )
    tokens = list(dict.fromkeys(SPECIAL + words + list(letters) + list(scripts)))
    tokens += ["##" + t for t in dict.fromkeys(pieces + list(letters) + list(scripts))]
    return list(dict.fromkeys(tokens))


def reference(vocab, flags, added=()):
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(vocab)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text="c" in flags,
        handle_chinese_chars="z" in flags,
        strip_accents="a" in flags,
        lowercase="l" in flags,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    for f, content in added:
        tokenizer.add_tokens(
            [
                AddedToken(
                    content,
                    special="s" in f,
                    single_word="w" in f,
                    lstrip="l" in f,
                    rstrip="r" in f,
                    normalized="n" in f,
                )
            ]
        )
    if "[CLS]" in vocab:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[("[CLS]", vocab.index("[CLS]")), ("[SEP]", vocab.index("[SEP]"))],
        )
    return tokenizer


TEXTS = [
    "",
    " ",
    "\n\t\r",
    "hello world",
    "Hello, World!",
    "The transformer's embeddings doesn't fit",
    "hello\u00a0world\u3000there\u2028end",
    "unhello helloness helloization xyzzy Qq",
    "a" * 100,
    "a" * 101,
    "ab" * 50 + "c",
    "é" * 100,
    "é" * 101,
    "e\u0301" * 100,
    "e\u0301" * 101,
    "x\u0301" * 300,
    "hello\x00world\x01\x02\x7fend",
    "\x1f\x0b\x0c sep",
    "\ufffd\ufeffBOM\u200bzero\u200dwidth\u00adsoft",
    "café CAFÉ cafe\u0301 CAFE\u0301",
    "İstanbul ISTANBUL ıi İİ",
    "Straße STRASSE ẞ",
    "ΣΊΣΥΦΟΣ Σίσυφος ΣΑΣ",
    "Привет, мир! ЙЙ и\u0306",
    "東京は日本の首都です。",
    "漢字かな交じり文 hello漢hello字",
    "한국어 \u1112\u1161\u11ab\u1100\u116e\u11a8 각",
    "ภาษาไทย กำ",
    "हिन्दी में लिखा",
    "عربي نَصّ",
    "עִבְרִית שָׁלוֹם",
    "🙂👩\u200d👩\u200d👧 😀!",
    "\U0001d400\U00020000\U0002a6e0\U0002b740\U0002b81f\U0002b820\U0002b920\U0002f800",
    "ﬁ ffi ½ Ⅳ Å Å Ω",
    "\u0344\u0316a\u0344\u0316",
    "a\u0323\u0301\u0316\u0345\u0334 b\u0f73\u0301\u0f71",
    "\u0301hello \u0301",
    "q\u0307\u0323 q\u0323\u0307",
    "\u1ea4\u1eb6\u01d5 \u0958\u09dc",
    "don't can't it's we've they're I'm",
    "U.S.A. 3.14 2024-11-23 a_b-c",
    "...!!!???",
    "¿Qué? ¡Sí! «oui» “so”",
    "$5 €6 ^`~|<>+=",
    "[CLS] hello [SEP] world [MASK]!",
    "[mask] [cls] [MASK[MASK]]",
    "hello[MASK]world [unused1] [unused99]",
    "[PAD][PAD] [UNK]ing",
    "##ing #hash ##",
    "  lead and trail  ",
    "\t\ttab\n\nnew",
    "a\u200eb\u202ec\u2066d",
    "x\U000e0001y\U000f0000z\U0010fffd",
    "\u0600\u061c\u06dd\u070f",
    "\ud7ff\ue000\uf8ff",
    "\u0378\u0380\u05ff",
    "\u16fe4\U00016fe4a",
    "\u3000全角　ＡＢＣ１２３！",
    "Ǆ ǅ ǆ ŉ ǰ",
    "\u1e9e\u2126\u212a\u212b",
    "\u10a0\u13a0\uab70\u1c90",
    "newtok NewTok xnewtok newtok.",
    "hello <x> world  <x>  <x>x",
    "nAïve STRASSE straße é É e\u0301",
    "\u2f00\u3038\u9fff\ua000\u4dbf\u4dc0\u33ff\u3400",
    "\u1cd0\u0301a\u20dd\u20e3",
    "\U0001f1e9\U0001f1ea \u2764\ufe0f",
    "\u180e\u180bx",
    "a\u0488b\u0489",
    "\u037e\u0387\u1fef",
]
ADDED = [
    ["w", "newtok"],
    ["lr", "<x>"],
    ["nw", "Straße"],
    ["n", "NewTok"],
    ["nl", "hello"],
    ["s", "naïve"],
    ["r", "[unused1]"],
    ["nlr", "é"],
]
TRUNCATIONS = ["none", "longest_first", "only_first", "only_second"]


def windows(encodings):
    """Per window six rows: ids, types, starts, ends, words, sequences."""
    return [
        [
            e.ids,
            e.type_ids,
            [o[0] for o in e.offsets],
            [o[1] for o in e.offsets],
            [-1 if w is None else w for w in e.word_ids],
            [-1 if s is None else s for s in e.sequence_ids],
        ]
        for e in encodings
    ]


def encode_case(
    tokenizer, setting, text, pair=None, special=True, truncation=0, length=0, stride=0
):
    case = {"setting": setting, "text": text, "special": special}
    if pair is not None:
        case["pair"] = pair
    if truncation:
        case.update(truncation=truncation, max_length=length, stride=stride)
        tokenizer.enable_truncation(length, stride=stride, strategy=TRUNCATIONS[truncation])
    encoding = tokenizer.encode(text, pair, add_special_tokens=special)
    tokenizer.no_truncation()
    case["windows"] = windows([encoding] + (encoding.overflowing if truncation else []))
    if setting == 0:
        case["tokens"] = [tokenizer.id_to_token(i) for i in encoding.ids]
    return case


def random_text(rng, n):
    out = []
    for _ in range(n):
        kind = rng.random()
        c = (
            rng.randrange(0x20, 0x7F)
            if kind < 0.4
            else (
                rng.choice(
                    (0x300, 0x301, 0x323, 0x316, 0x345, 0x20, 0x1AB, 0x1E08, 0xAC01, 0x5D0, 0x5B8)
                )
                if kind < 0.6
                else (
                    rng.randrange(0xA0, 0x3000)
                    if kind < 0.9
                    else (
                        rng.randrange(0x3000, 0xD800)
                        if kind < 0.95
                        else rng.randrange(0x10000, 0x20000)
                    )
                )
            )
        )
        out.append(chr(c))
    return "".join(out)


def cases(vocab):
    rng = random.Random(20240601)
    settings, encoded, decoded = [], [], []
    texts = TEXTS + [random_text(rng, rng.randrange(5, 40)) for _ in range(40)]
    for flags in ("czal", "cz", "czl", "cza", "", "zal", "ca"):
        for added in ([], ADDED) if flags in ("czal", "cz", "") else ([],):
            tokenizer = reference(vocab, flags, added)
            settings.append({"flags": flags, "added": added})
            setting = len(settings) - 1
            chosen = texts if flags in ("czal", "cz") else texts[: len(TEXTS)]
            for text in chosen:
                encoded.append(encode_case(tokenizer, setting, text))
            if flags != "czal":
                continue
            short = [t for t in TEXTS if 5 < len(t) < 60]
            for _ in range(60):
                pair = rng.choice(short) if rng.random() < 0.75 else None
                text, special, truncation = (
                    rng.choice(short),
                    rng.random() < 0.8,
                    rng.choice((0, 1, 1, 2, 3)),
                )
                least = 0 if not special else 2 if pair is None else 3
                length = least + rng.choice((2, 3, 5, 8, 13, 30))
                stride = rng.choice((0, 0, 1, 2))
                try:
                    case = encode_case(
                        tokenizer, setting, text, pair, special, truncation, length, stride
                    )
                except BaseException as error:
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    tokenizer.no_truncation()
                    continue
                if all(len(w[0]) <= length for w in case["windows"]) or not truncation:
                    encoded.append(case)
            for text in texts:
                ids = tokenizer.encode(text).ids
                if rng.random() < 0.5:
                    rng.shuffle(ids)
                for skip in (False, True):
                    decoded.append(
                        {
                            "setting": setting,
                            "ids": ids,
                            "skip": skip,
                            "text": tokenizer.decode(ids, skip_special_tokens=skip),
                        }
                    )
    return settings, encoded, decoded


def planes():
    out = {}
    for flags in PLANE_FLAGS:
        tokenizer = reference(["[UNK]"], flags)
        digests = []
        for plane in range(17):
            digest = hashlib.sha256()
            for low in range(0x10000):
                c = plane * 0x10000 + low
                if 0xD800 <= c <= 0xDFFF:
                    continue
                for text in PLANE_TEXTS:
                    text = text % chr(c)
                    words = [
                        w
                        for w, _ in tokenizer.pre_tokenizer.pre_tokenize_str(
                            tokenizer.normalizer.normalize_str(text)
                        )
                    ]
                    offsets = tokenizer.encode(text).offsets
                    assert len(words) == len(offsets)
                    for word, (start, end) in zip(words, offsets):
                        digest.update(word.encode() + struct.pack("<II", start, end))
            digests.append(digest.hexdigest())
        out[flags] = digests
    return out


def main():
    vocab = vocabulary()
    with open(
        os.path.join(HERE, "tokenizer_vocab.txt"), "w", encoding="utf-8", newline="\n"
    ) as file:
        file.write("".join(t + "\n" for t in vocab))
    settings, encoded, decoded = cases(vocab)
    with open(os.path.join(HERE, "tokenizer.json"), "w", encoding="utf-8", newline="\n") as file:
        dump = lambda value: json.dumps(value, ensure_ascii=True, separators=(",", ":"))
        lines = lambda values: ",\n".join(dump(v) for v in values)
        file.write(
            '{"versions":%s,\n"settings":[\n%s],\n"encode":[\n%s],\n"decode":[\n%s],\n'
            '"planes":%s}\n'
            % (
                dump({"tokenizers": tokenizers.__version__}),
                lines(settings),
                lines(encoded),
                lines(decoded),
                dump(planes()),
            )
        )
    print(len(encoded), "encoded,", len(decoded), "decoded")


if __name__ == "__main__":
    main()
