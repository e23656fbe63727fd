#!/usr/bin/env python3
"""Compares a built vocabulary with that of HuggingFace `tokenizers`' BertWordPieceTokenizer.train.

    make build/parity/vocabulary_driver
    python3 test/parity/vocabulary.py --size 8000 FILE...

The reference gives the ids by which it breaks ties in the order of a hash table, so its own
result varies from run to run: it is trained twice, and the difference between its two results
is printed beside ours.
"""

import argparse
import os
import subprocess
import tempfile
import time

from tokenizers import BertWordPieceTokenizer

DRIVER = os.path.join(os.path.dirname(__file__), "../../build/parity/vocabulary_driver")


def train(files, size, lowercase):
    began = time.time()
    tokenizer = BertWordPieceTokenizer(lowercase=lowercase)
    tokenizer.train(files, vocab_size=size, show_progress=False)
    return set(tokenizer.get_vocab()), time.time() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=8000)
    parser.add_argument("--cased", action="store_true")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n") as corpus:
        for path in options.files:
            with open(path, "rb") as file:
                corpus.write(file.read().decode("utf-8", "replace").replace("\r", "\n"))
        corpus.flush()
        began = time.time()
        with open(corpus.name, "rb") as text:
            done = subprocess.run(
                [DRIVER, str(options.size), "cased" if options.cased else "uncased"],
                stdin=text,
                stdout=subprocess.PIPE,
                check=True,
            )
        seconds = time.time() - began
        lines = done.stdout.decode().splitlines()
        ours = set(lines)
        assert len(ours) == len(lines)
        first, reference_seconds = train([corpus.name], options.size, not options.cased)
        second, _ = train([corpus.name], options.size, not options.cased)
    print(
        "ours %d tokens in %.1f s, reference %d in %.1f s"
        % (len(ours), seconds, len(first), reference_seconds)
    )
    print("not in the reference's: %d %s" % (len(ours - first), sorted(ours - first)[:10]))
    print("only in the reference's: %d %s" % (len(first - ours), sorted(first - ours)[:10]))
    print("the reference's second run differs from its first in %d" % len(first - second))


if __name__ == "__main__":
    main()
