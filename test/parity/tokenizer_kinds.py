#!/usr/bin/env python3
"""Compares the tokenizers of make_tokenizers.py with the reference: as tokenizer.py does, but as
AutoTokenizer makes them from their folders.

    make build/parity/tokenizer_driver
    python3 test/parity/tokenizer_kinds.py --kinds DIR --data DIR --random 1000000 [--only NAME]

Texts are compared in bulk (bulk.py), each kind with strings of its own; pairs, truncation,
decoding and counts one by one. One thread unless TOKENIZERS_PARALLELISM says otherwise. Exit
status 1 if anything differs.
"""

import argparse
import os
import random
import sys
import time
import zlib

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["RUST_BACKTRACE"] = "0"  # it panics where it refuses a stride

from transformers import AutoTokenizer  # noqa: E402

import bulk  # noqa: E402
import tokenizer as parity  # noqa: E402

WORDS = ["<s>", "</s>", "<mask>", "<unk>", "<pad>", "[MASK]", "[CLS]", "Menschen", "[x]", "\ufb01n"]
WORDS += ["Droits", "<x>", "yes", "caf\u00e9", "cafe\u0301", "\u2581", "\u2581\u2581a"]
WORDS += ["don't", "we'll"]
WORDS += ["''", "``", "aa", "aaa", "I'm", "'s", "'re", "\uff21\u0301b", "(", "-", "123", "1,234.5"]
SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\u2028", " \n "]


class Kind(parity.Pair):
    def __init__(self, folder):
        self.name = os.path.basename(folder)
        self.reference = AutoTokenizer.from_pretrained(folder)._tokenizer
        self.reference.no_truncation()
        self.types = "token_type_ids" in AutoTokenizer.from_pretrained(folder).model_input_names
        self.command = [parity.Pair.driver, folder]


def some_random(rng, count):
    """Words, spaces and special tokens in a row, beside what tokenizer.py makes."""
    for text in parity.random_strings(rng, count):
        if rng.random() < 0.4:
            parts = [text[: rng.randrange(12)]]
            for _ in range(rng.randrange(1, 10)):
                parts.append(rng.choice(WORDS) if rng.random() < 0.5 else text[: rng.randrange(6)])
                parts.append(rng.choice(SPACES) if rng.random() < 0.6 else "")
            text = "".join(parts)
        yield text


def without_types(expected):
    def changed(encoding):
        out = list(expected(encoding))
        out[1] = bytes(len(out[1]))
        return tuple(out)

    return changed


def say(kind, what, report, begun):
    print(
        "%s, %s: %d compared, %d tokens, %.1f MB, %d different, %.0f s"
        % (
            kind.name,
            what,
            report.compared,
            report.tokens,
            report.bytes / 1e6,
            report.different,
            time.time() - begun,
        ),
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", required=True)
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--random", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    failed = False
    expected = parity.expected
    for name in options.only or sorted(os.listdir(options.kinds)):
        kind = Kind(os.path.join(options.kinds, name))
        parity.expected = expected if kind.types else without_types(expected)
        report = parity.Report()
        rng = random.Random(options.seed)
        begun = time.time()
        texts = list(some_random(rng, 2000))
        texts += [line for line in list(parity.file_lines(options.data))[::997] if line][:2000]
        some = min(options.random // 10 + 500, 20000)
        parity.compare_pairs(kind, texts, rng, report, some)
        parity.compare_decoding(kind, texts, rng, report, some + 500)
        parity.compare_counts(kind, texts, report)
        say(kind, "pairs, decoding, counts", report, begun)
        for batch in bulk.batches(parity.file_lines(options.data)):
            bulk.compare(kind, batch, report)
        say(kind, "and data", report, begun)
        seed = zlib.crc32(name.encode()) + options.seed
        for batch in bulk.strings(seed, options.random, WORDS + parity.SPECIAL, SPACES):
            bulk.compare(kind, batch, report)
        say(kind, "and generated strings", report, begun)
        failed |= report.different > 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
