#!/usr/bin/env python3
"""Our tokenizers beside HuggingFace `tokenizers`, on one core, in processor time.

    make build/bench/bench_tokenizer
    python3 test/parity/make_tokenizers.py DATA KINDS
    python3 bench/tokenizer_speed.py --kinds KINDS --texts agnews.txt [--most 20000] [--only NAME]

Every line of the file is a text. The reference encodes them as a batch, on one thread, and one by
one, each time anew: it remembers whole texts where words are not split. Here there is one way.
Rounds alternate, the best of each counts.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

from tokenizers import Tokenizer  # noqa: E402

DRIVER = "build/bench/bench_tokenizer"


def timed(call):
    begun = time.process_time()
    call()
    return time.process_time() - begun


def reference(folder):
    """What AutoTokenizer makes of the folder; without it, which takes seconds to load, where the
    class leaves everything to tokenizer.json."""
    with open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8") as file:
        name = json.load(file).get("tokenizer_class")
    if name == "PreTrainedTokenizerFast":
        made = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    else:
        from transformers import AutoTokenizer

        made = AutoTokenizer.from_pretrained(folder)._tokenizer
    made.no_truncation()
    return made


def ours(folder, path):
    done = subprocess.run([DRIVER, folder, path], capture_output=True, text=True)
    found = re.search(r"(\d+) tokens: .* best ([\d.]+) MB/s", done.stdout)
    if found is None:
        sys.exit("%s: %s" % (folder, done.stderr))
    return int(found[1]), float(found[2])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--most", type=int, default=20000)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with open(options.texts, encoding="utf-8") as file:
        texts = file.read().split("\n")[: options.most]
    size = len("\n".join(texts).encode()) / 1e6
    print("%d texts, %.1f MB" % (len(texts), size))
    print("| kind | tokens | here, MB/s | batch, MB/s | one by one, MB/s | ratio | one by one |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(texts))
        file.flush()
        for name in options.only or sorted(os.listdir(options.kinds)):
            folder = os.path.join(options.kinds, name)
            made = reference(folder)
            best = [0.0, 0.0, 0.0]
            for _ in range(options.rounds):
                tokens, speed = ours(folder, file.name)
                fresh = [Tokenizer.from_str(made.to_str()) for _ in range(2)]
                batch = size / timed(lambda: fresh[0].encode_batch(texts))
                single = size / timed(lambda: [fresh[1].encode(t) for t in texts])
                best = [max(a, b) for a, b in zip(best, (speed, batch, single))]
            theirs = sum(len(e.ids) for e in made.encode_batch(texts))
            if theirs != tokens:
                sys.exit("%s: %d tokens here, %d there" % (name, tokens, theirs))
            print(
                "| %s | %d | %.1f | %.2f | %.2f | %.1f | %.1f |"
                % (name, tokens, *best, best[0] / best[1], best[0] / best[2]),
                flush=True,
            )


if __name__ == "__main__":
    main()
