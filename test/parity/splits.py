#!/usr/bin/env python3
"""Compares every pattern that a Split may have, with every behavior, inverted and not, with the
reference: ids, offsets and words of generated strings.

    make build/parity/tokenizer_driver
    python3 test/parity/splits.py --random 1000 [--seed 1]

Exit status 1 if anything differs, or if what is refused is not what docs/models.md says.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import tokenizers

import tokenizer as parity

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "golden"))
import make_composed as composed  # noqa: E402

WORDS = [composed.WORDS, composed.WORDS.replace("'s|'t|'re|'ve|'m|'ll|'d", "'(?:[sdmt]|ll|ve|re)")]
RUNS = [r"\s", r"\s+", r"\S+", "[0-9]", "[0-9]+", r"\p{N}", r"\p{N}+", " ", " +"]
BEHAVIORS = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PARTS = ["a", "b", " ", "  ", "1", "22", "\u0663", "\u2167", "\u00bd", "\t", "\n", "\u3000", ","]
PARTS += ["'", "'s", "'t", "'re", "'l", "'ll", "ab", "Hello", "\u00e9", "\u4f60", "-", "\u00a0"]
PARTS += ["\U0001f600"]


class Split(parity.Pair):
    def __init__(self, folder, stage):
        whole = composed.unigram(pre_tokenizer=stage, post_processor=composed.template())
        self.name = json.dumps(stage, ensure_ascii=False)
        self.reference = tokenizers.Tokenizer.from_str(json.dumps(whole))
        self.command = [parity.Pair.driver, folder]
        for name, text in (
            ("tokenizer.json", whole),
            ("config.json", {"model_type": "bert"}),
            (
                "tokenizer_config.json",
                {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "model_input_names": ["input_ids", "token_type_ids"],
                },
            ),
        ):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                json.dump(text, file)


def stages():
    """Each with whether it is taken."""
    for behavior in BEHAVIORS:
        for invert in (False, True):
            for pattern in RUNS:
                yield composed.splitting(pattern, behavior, invert), True
            for text in (" ", "a", "\u4f60"):
                yield composed.splitting(text, behavior, invert, False), True
            yield composed.splitting("ab", behavior, invert, False), False
            for pattern in WORDS:
                taken = behavior == "Isolated" or (behavior == "Removed" and invert)
                yield composed.splitting(pattern, behavior, invert), taken
            yield composed.splitting(r"\w+|[^\w\s]+", behavior, invert), False
    yield {"type": "CharDelimiterSplit", "delimiter": "-"}, True
    yield composed.splitting("[a-z]+", "Isolated"), False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--random", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    texts = ["".join(rng.choices(PARTS, k=rng.randrange(1, 16))) for _ in range(options.random)]
    report = parity.Report()
    wrong = taken = refused = 0
    for stage, supported in stages():
        with tempfile.TemporaryDirectory() as folder:
            split = Split(folder, stage)
            if supported:
                taken += 1
                parity.compare_texts(split, texts, report)
                continue
            refused += 1
            done = subprocess.run(split.command, input=b"", capture_output=True)
            if done.returncode != 1 or b"splits by the pattern" not in done.stderr:
                wrong += 1
                print("NOT REFUSED", split.name)
    print(
        "%d splits taken, %d refused, %d of %d texts different"
        % (taken, refused, report.different, report.compared)
    )
    sys.exit(report.different > 0 or wrong > 0)


if __name__ == "__main__":
    main()
