#!/usr/bin/env python3
"""Compares masking for language models with the reference's collator, in proportions.

    make build/parity/whole_words_driver
    test/parity/whole_words.py MODEL TEXTS    # folder with tokenizer.json; a text a line

Of up to 10,000 texts: what is chosen is whole words as DataCollatorForLanguageModeling knows them,
and the shares of chosen words and of what they become are those of the reference within five
standard deviations; the same of tokens without whole_word_mask.
"""

import math
import subprocess
import sys
import warnings

import numpy
import torch
from transformers import AutoTokenizer, DataCollatorForLanguageModeling

TEXTS = 10000
BATCH = 100
DRIVER = "build/parity/whole_words_driver"


def ours(encodings, whole, tokenizer):
    """Of each text its ids after masking, and which tokens are to be predicted."""
    specials = [str(i) for i in tokenizer.all_special_ids]
    command = [DRIVER, str(int(whole)), str(tokenizer.mask_token_id), str(len(tokenizer))]
    lines = "".join(
        " ".join("%d %d %d" % (i, a, b) for i, (a, b) in zip(ids, offsets)) + "\n"
        for ids, offsets in encodings
    )
    out = subprocess.run(
        command + specials, input=lines, capture_output=True, text=True, check=True
    ).stdout
    for line in out.splitlines():
        numbers = numpy.array([int(word) for word in line.split()]).reshape(-1, 2)
        yield numbers[:, 0], numbers[:, 1] == 1


def reference(encodings, whole, tokenizer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collator = DataCollatorForLanguageModeling(
            tokenizer, mlm_probability=0.15, whole_word_mask=whole
        )
    torch.manual_seed(42)
    for first in range(0, len(encodings), BATCH):
        part = encodings[first : first + BATCH]
        width = max(len(ids) for ids, _ in part)
        # the collator's own padding does not know offsets
        features = [
            {
                "input_ids": ids + [tokenizer.pad_token_id] * (width - len(ids)),
                "attention_mask": [1] * len(ids) + [0] * (width - len(ids)),
                "offset_mapping": offsets + [(0, 0)] * (width - len(ids)),
            }
            for ids, offsets in part
        ]
        if not whole:
            for feature in features:
                del feature["offset_mapping"]
        batch = collator(features)
        for i, (ids, _) in enumerate(part):
            n = len(ids)
            yield batch["input_ids"][i][:n].numpy(), batch["labels"][i][:n].numpy() != -100


def word_ids(ids, offsets, tokenizer):
    special = numpy.array([[i in tokenizer.all_special_ids for i in ids]], dtype=int)
    return DataCollatorForLanguageModeling._calc_word_ids_and_prob_mask(
        numpy.array([offsets]), special
    )[0][0]


def shares(masked, encodings, tokenizer, words):
    """Counts: units, chosen, [MASK], kept, another token, tokens of words chosen in part."""
    counts = numpy.zeros(6, dtype=int)
    for (now, chosen), (ids, _), word in zip(masked, encodings, words):
        ids = numpy.array(ids)
        counts[0] += len(set(word[word >= 0]))
        counts[1] += len(set(word[chosen]))
        counts[2] += (now[chosen] == tokenizer.mask_token_id).sum()
        counts[3] += (now[chosen] == ids[chosen]).sum()
        counts[4] += (now[chosen] != ids[chosen]).sum()
        counts[5] += sum(len(set(chosen[word == w])) > 1 for w in set(word[chosen]))
        assert (now[~chosen] == ids[~chosen]).all() and (word[chosen] >= 0).all()
    counts[4] -= counts[2]
    return counts


def compare(name, a, n_a, b, n_b):
    share_a, share_b = a / n_a, b / n_b
    both = (a + b) / (n_a + n_b)
    deviation = math.sqrt(both * (1 - both) * (1 / n_a + 1 / n_b))
    ok = abs(share_a - share_b) <= 5 * deviation
    print("%s: %.4f, reference %.4f%s" % (name, share_a, share_b, "" if ok else "  DIFFERENT"))
    return ok


def main():
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    with open(sys.argv[2]) as file:
        texts = [line.strip() for line in file if line.strip()][:TEXTS]
    encoded = tokenizer(texts, truncation=True, max_length=128, return_offsets_mapping=True)
    encodings = list(zip(encoded["input_ids"], encoded["offset_mapping"]))
    ok = True
    for whole in (True, False):
        words = [
            word_ids(ids, offsets, tokenizer)
            if whole
            else numpy.array(
                [-1 if i in tokenizer.all_special_ids else at for at, i in enumerate(ids)]
            )
            for ids, offsets in encodings
        ]
        a = shares(ours(encodings, whole, tokenizer), encodings, tokenizer, words)
        b = shares(reference(encodings, whole, tokenizer), encodings, tokenizer, words)
        unit = "words" if whole else "tokens"
        print("%d texts, %d %s; words in part: %d, %d" % (len(texts), a[0], unit, a[5], b[5]))
        ok &= a[0] == b[0] and a[5] == b[5] == 0
        ok &= compare("  chosen", a[1], a[0], b[1], b[0])
        for i, what in ((2, "[MASK]"), (3, "kept"), (4, "another")):
            ok &= compare("  " + what, a[i], sum(a[2:5]), b[i], sum(b[2:5]))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
