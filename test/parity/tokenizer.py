#!/usr/bin/env python3
"""Compares the tokenizer with HuggingFace `tokenizers`: ids, tokens, offsets, words, types,
windows, decoding, counts.

    make build/parity/tokenizer_driver
    python3 test/parity/tokenizer.py --vocab cased.txt --vocab uncased.txt --data DIR --random
    1000000

Every regular file below the data directories is read as UTF-8, cut into lines (very long ones
into pieces) and compared line by line, with each vocabulary, cased and uncased. Exit status 1
if anything differs.
"""

import argparse
import array
import os
import random
import struct
import subprocess
import sys
import time

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

SPECIAL = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
TRUNCATIONS = ["none", "longest_first", "only_first", "only_second"]
SHARD = 4000000  # bytes of text in one run of the driver
LINE = 20000  # characters


def read_vocab(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return {line.rstrip("\r\n"): i for i, line in enumerate(file)}


class Pair:
    """The reference and the driver with the same settings."""

    driver = os.path.join(os.path.dirname(__file__), "../../build/parity/tokenizer_driver")

    def __init__(self, vocab_path, flags, added=()):
        self.name = "%s %s%s" % (
            os.path.basename(vocab_path),
            flags,
            " +%d" % len(added) if added else "",
        )
        vocab = read_vocab(vocab_path)
        self.reference = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
        self.reference.normalizer = normalizers.BertNormalizer(
            clean_text="c" in flags,
            handle_chinese_chars="z" in flags,
            strip_accents="a" in flags,
            lowercase="l" in flags,
        )
        self.reference.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        self.reference.decoder = decoders.WordPiece(prefix="##")
        special = [AddedToken(s, special=True, normalized=False) for s in SPECIAL]
        self.reference.add_special_tokens(special)
        others = [
            AddedToken(
                content,
                special="s" in f,
                single_word="w" in f,
                lstrip="l" in f,
                rstrip="r" in f,
                normalized="n" in f,
            )
            for f, content in added
        ]
        for token in others:
            self.reference.add_tokens([token])
        self.reference.post_processor = processors.TemplateProcessing(
            single="[CLS]:0 $A:0 [SEP]:0",
            pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
            special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
        )
        self.command = (
            [Pair.driver, vocab_path, flags or "-"]
            + ["s:" + s for s in SPECIAL]
            + [f + ":" + c for f, c in added]
        )

    def drive(self, requests):
        done = subprocess.run(
            self.command, input=b"".join(requests), stdout=subprocess.PIPE, check=True
        )
        return Answers(done.stdout)


class Answers:
    def __init__(self, data):
        self.data, self.at = memoryview(data), 0

    def take(self):
        value = struct.unpack_from("<i", self.data, self.at)[0]
        self.at += 4
        return value

    def bytes(self, n):
        self.at += n
        return bytes(self.data[self.at - n : self.at])

    def encoding(self):
        windows = self.take()
        if windows < 0:
            return None, self.take()
        truncated = self.take()
        out = []
        for _ in range(windows):
            n = self.take()
            out.append(tuple(self.bytes(4 * n) for _ in range(6)))
        return out, truncated


def packed(values):
    return array.array("i", values).tobytes()


def expected(encoding):
    starts, ends = zip(*encoding.offsets) if encoding.offsets else ((), ())
    return (
        packed(encoding.ids),
        packed(encoding.type_ids),
        packed(starts),
        packed(ends),
        packed([-1 if w is None else w for w in encoding.word_ids]),
        packed([-1 if s is None else s for s in encoding.sequence_ids]),
    )


def request(text, pair=None, special=True, truncation=0, max_length=0, stride=0, overflow=False):
    text = text.encode()
    other = b"" if pair is None else pair.encode()
    return (
        struct.pack(
            "<8i",
            0,
            special,
            truncation,
            max_length,
            stride,
            overflow,
            len(text),
            -1 if pair is None else len(other),
        )
        + text
        + other
    )


class Report:
    def __init__(self):
        self.compared = self.tokens = self.bytes = self.different = 0

    def check(self, what, theirs, ours, text):
        self.compared += 1
        if theirs != ours:
            self.different += 1
            if self.different <= 10:
                print("DIFFERENT %s: %r" % (what, text[:300]))
                describe(theirs, ours)


def describe(theirs, ours):
    if ours is None or theirs is None or not isinstance(theirs, list):
        print("  reference %r\n  ours      %r" % (theirs, ours))
        return
    print("  windows %d / %d" % (len(theirs), len(ours)))
    names = ("ids", "types", "starts", "ends", "words", "sequences")
    for a, b in zip(theirs, ours):
        for name, x, y in zip(names, a, b):
            if x != y:
                x, y = array.array("i", x).tolist(), array.array("i", y).tolist()
                first = next(
                    (i for i, (p, q) in enumerate(zip(x, y)) if p != q), min(len(x), len(y))
                )
                print(
                    "  %s from %d: reference %s ours %s"
                    % (name, first, x[first : first + 8], y[first : first + 8])
                )


def shards(texts):
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text) * 2
        if size > SHARD:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def compare_texts(pair, texts, report):
    for batch in shards(texts):
        theirs = pair.reference.encode_batch(batch)
        answers = pair.drive([request(text) for text in batch])
        for text, encoding in zip(batch, theirs):
            ours, _ = answers.encoding()
            report.check(pair.name, [expected(encoding)], ours, text)
            report.tokens += len(encoding.ids)
            report.bytes += len(text.encode())


def compare_pairs(pair, texts, rng, report, count):
    """Pairs, truncation and windows; what the reference refuses we must refuse too."""
    for _ in range(count // 500):
        cases, requests = [], []
        for _ in range(500):
            a = rng.choice(texts)[: rng.choice((20, 100, 400, 4000))]
            b = (
                rng.choice(texts)[: rng.choice((20, 100, 400, 4000))]
                if rng.random() < 0.7
                else None
            )
            special, strategy = rng.random() < 0.8, rng.randrange(4)
            least = 0 if not special else 2 if b is None else 3
            length = least + rng.choice((1, 2, 3, 5, 8, 13, 30, 100, 600))
            stride = rng.choice((0, 0, 0, 1, 2, 4))
            if strategy and stride >= (length - least):
                stride = 0
            cases.append((a, b, special, strategy, length, stride))
            requests.append(request(a, b, special, strategy, length, stride, True))
            requests.append(request(a, b, special, strategy, length, stride, False))
        answers = pair.drive(requests)
        for a, b, special, strategy, length, stride in cases:
            ours, _ = answers.encoding()
            first, _ = answers.encoding()
            if strategy:
                try:
                    pair.reference.enable_truncation(
                        length, stride=stride, strategy=TRUNCATIONS[strategy]
                    )
                except ValueError:
                    continue
            else:
                pair.reference.no_truncation()
            try:
                encoding = pair.reference.encode(a, b, add_special_tokens=special)
                theirs = [expected(e) for e in [encoding] + encoding.overflowing]
                report.check(
                    "%s %s %d, no overflow" % (pair.name, TRUNCATIONS[strategy], length),
                    theirs[:1],
                    first,
                    repr((a, b)),
                )
                if strategy and any(len(e.ids) > length for e in encoding.overflowing):
                    # keeping nothing of a text, the reference makes one window of all; we refuse
                    theirs = None
            except BaseException as error:  # the reference panics when the stride is too long
                if isinstance(error, KeyboardInterrupt):
                    raise
                theirs = None
            report.check(
                "%s %s %d/%d" % (pair.name, TRUNCATIONS[strategy], length, stride),
                theirs,
                ours,
                repr((a, b)),
            )
        pair.reference.no_truncation()


def compare_decoding(pair, texts, rng, report, count):
    size = pair.reference.get_vocab_size()
    for _ in range(count // 1000):
        cases = []
        for _ in range(1000):
            ids = (
                [rng.randrange(size) for _ in range(rng.randrange(40))]
                if rng.random() < 0.3
                else pair.reference.encode(rng.choice(texts)[:300]).ids
            )
            cases.append((ids, rng.random() < 0.5))
        answers = pair.drive(
            [struct.pack("<3i", 1, skip, len(ids)) + packed(ids) for ids, skip in cases]
        )
        for ids, skip in cases:
            n = answers.take()
            ours = answers.bytes(n).decode()
            report.check(
                pair.name + " decode",
                pair.reference.decode(ids, skip_special_tokens=skip),
                ours,
                repr(ids),
            )


def compare_counts(pair, texts, report):
    answers = pair.drive([struct.pack("<2i", 2, len(t.encode())) + t.encode() for t in texts])
    for text, encoding in zip(texts, pair.reference.encode_batch(texts, add_special_tokens=False)):
        report.check(pair.name + " count", len(encoding.ids), answers.take(), text)


def random_strings(rng, count):
    marks = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and is_interesting(c)]
    words = (
        [
            "hello",
            "Embeddings",
            "INTERNATIONALIZATION",
            "naïve",
            "Straße",
            "ΣΑΣ",
            "İstanbul",
            "東京",
            "한국어",
            "ไทย",
            "हिन्दी",
            "\u1100\u1161\u11a8",
            "unaffable",
            "don't",
            "U.S.A.",
            "e\u0301\u0323",
            "a\u0301",
            "[unused1]",
            "##ing",
            "ﬁ",
            "Ǆ",
        ]
        + SPECIAL
        + ["[mask]", "[MASK", "MASK]", "newtok", "NewTok", "<x>"]
    )

    def plane():
        return rng.choice((0x0, 0x0, 0x0, 0x1, 0x2, 0x3, 0xE, 0xF, 0x10, rng.randrange(17)))

    def point():
        kind = rng.random()
        if kind < 0.25:
            return rng.randrange(0x20, 0x7F)
        if kind < 0.32:
            return rng.choice((0x20, 0x20, 0x9, 0xA, 0xD, 0xA0, 0x3000, 0x85, 0x2028))
        if kind < 0.37:
            return rng.randrange(0x20)
        if kind < 0.57:
            return rng.choice(marks)
        if kind < 0.67:
            return rng.randrange(0x80, 0x600)
        if kind < 0.72:
            return rng.choice(
                (
                    rng.randrange(0xAC00, 0xD7A4),
                    rng.randrange(0x1100, 0x1200),
                    rng.randrange(0x4E00, 0xA000),
                )
            )
        while True:
            c = plane() * 0x10000 + rng.randrange(0x10000)
            if not 0xD800 <= c <= 0xDFFF:
                return c

    for i in range(count):
        kind = rng.random()
        if kind < 0.6:
            yield "".join(chr(point()) for _ in range(rng.randrange(1, 30)))
        elif kind < 0.9:
            parts = []
            for _ in range(rng.randrange(1, 12)):
                parts.append(
                    rng.choice(words)
                    if rng.random() < 0.5
                    else "".join(chr(point()) for _ in range(rng.randrange(1, 5)))
                )
                parts.append(rng.choice(("", " ", "  ", "\u0301", "\n", "")))
            yield "".join(parts)
        elif kind < 0.95:
            base = rng.choice(("a", "é", "\u0301", "ß", "x\u0316", "1", "İ", "ab\x01"))
            yield base * rng.randrange(90, 110)
        else:
            yield rng.choice("aeo") + "".join(
                chr(rng.choice(marks)) for _ in range(rng.randrange(1, 80))
            )


def is_interesting(c):
    import unicodedata

    return (
        unicodedata.combining(chr(c)) != 0
        or unicodedata.decomposition(chr(c)) != ""
        and c < 0xF900
        or unicodedata.category(chr(c)) in ("Mn", "Mc", "Me", "Cf", "Lu", "Lt", "Pc", "Pd", "Zs")
    )


def file_lines(paths):
    for root in paths:
        files = (
            [root]
            if os.path.isfile(root)
            else sorted(os.path.join(d, f) for d, _, names in os.walk(root) for f in names)
        )
        for path in files:
            with open(path, "rb") as file:
                for line in file.read().decode("utf-8", "replace").split("\n"):
                    if (
                        "NormalizationTest" in os.path.basename(path)
                        and ";" in line
                        and line[0] not in "#@"
                    ):
                        yield from hexadecimal(line)
                    for i in range(0, max(len(line), 1), LINE):
                        yield line[i : i + LINE]


def hexadecimal(line):
    """The strings that a line of NormalizationTest.txt writes as code points: alone, and in a
    word.
    """
    for field in line.split(";")[:5]:
        text = "".join(chr(int(c, 16)) for c in field.split())
        yield text
        yield "a" + text + "b" + text


ADDED = [
    ("w", "newtok"),
    ("lr", "<x>"),
    ("nw", "Straße"),
    ("n", "NewTok"),
    ("nl", "hello"),
    ("s", "naïve"),
    ("r", "[unused1]"),
    ("nlr", "é"),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab", action="append", required=True)
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--random", type=int, default=0, help="generated strings, in all")
    parser.add_argument(
        "--pairs",
        type=int,
        default=20000,
        help="cases of pairs, truncation and windows, per vocabulary",
    )
    parser.add_argument(
        "--points", action="store_true", help="every code point, alone and inside a word"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--driver", default=Pair.driver)
    options = parser.parse_args()
    Pair.driver = options.driver
    report = Report()
    rng = random.Random(options.seed)
    began = time.time()

    def say(what):
        print(
            "%-60s %10d compared, %12d tokens, %12d bytes, %d different, %.0f s"
            % (
                what,
                report.compared,
                report.tokens,
                report.bytes,
                report.different,
                time.time() - began,
            ),
            flush=True,
        )

    for vocab in options.vocab:
        for flags in ("czal", "cz"):
            pair = Pair(vocab, flags)
            if options.data:
                compare_texts(pair, file_lines(options.data), report)
            say(pair.name + " data")
    settings = [
        (f, a) for f in ("czal", "cz", "czl", "cza", "", "l", "a", "zal", "ca") for a in ((), ADDED)
    ]
    for k, (flags, added) in enumerate(settings):
        for vocab in options.vocab:
            pair = Pair(vocab, flags, added)
            weight = (
                0.2
                if k < 4 and vocab == options.vocab[0]
                else 0.2 / (len(settings) * len(options.vocab) - 4)
            )
            texts = list(random_strings(rng, int(options.random * weight) + 1000))
            compare_texts(pair, texts, report)
            compare_counts(pair, texts[:2000], report)
            if k < 4:
                texts += [text for _, text in zip(range(20000), file_lines(options.data))]
                compare_pairs(pair, texts, rng, report, options.pairs)
                compare_decoding(pair, texts, rng, report, options.pairs)
            say(pair.name + " generated")
    if options.points:
        for flags in ("czal", "cz", "l", "a", ""):
            pair = Pair(options.vocab[0], flags)
            points = [chr(c) for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
            compare_texts(pair, points, report)
            compare_texts(pair, ["a" + c + "b" for c in points], report)
            say(pair.name + " all code points")
    print("%d of %d different" % (report.different, report.compared))
    return report.different != 0


if __name__ == "__main__":
    sys.exit(main())
