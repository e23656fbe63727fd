#!/usr/bin/env python3
"""bert.explain with the tokenizers of make_tokenizers.py: tokens and offsets of texts and pairs
against the reference library's.

    python3 test/parity/explain_kinds.py KINDS TEXT_FILE FOLDER [psql ...]

Each kind gets a small RoBERTa of random weights in FOLDER, which the server must be able to read;
the rest is how to call psql, with rights to import. Exits with 1 when anything differs.
"""

import json
import os
import subprocess
import sys

from transformers import RobertaForSequenceClassification

import tasks_kinds

TEXTS = 22  # of the file, evenly
HARD = [
    "na\u00efve caf\u00e9\u2019s  don't 12,345 \u00e9te\u0301 \ufb01n",
    "\U0001f469\u200d\U0001f467 family \U0001f1eb\U0001f1f7 ok",
    "a\u00a0b\u3000c\t d\n\ne",
    "\u2163 \u00bd \u32d4 \u01c5",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22\u0e22\u0e32\u0e27\u0e46",
    "a" * 300,
    "<mask> in the </s> text",
]


def expected(tokenizer, text, pair):
    """Special tokens have no place; an added token is shown as it is written."""
    encoding = tokenizer(text, pair, truncation=True, max_length=512).encodings[0]
    added = {i: str(token) for i, token in tokenizer.added_tokens_decoder.items()}
    return [
        [added.get(i, token), *(offsets if sequence is not None else (None, None))]
        for i, token, offsets, sequence in zip(
            encoding.ids, encoding.tokens, encoding.offsets, encoding.sequence_ids
        )
    ]


def quoted(text):
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def explained(psql, kind, folder, pairs):
    lines = [
        "SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS bert;",
        "SELECT FROM bert.import_model('explain_kinds', %s, replace => true) \\g /dev/null"
        % quoted(os.path.join(folder, kind)),
    ]
    for text, pair in pairs:
        lines.append(
            "SELECT jsonb_agg(jsonb_build_array(token, start_pos, end_pos) ORDER BY n) "
            "FROM bert.explain(%s, 'explain_kinds', %s) WITH ORDINALITY "
            "AS e(token, start_pos, end_pos, attribution, n);" % (quoted(text), quoted(pair))
        )
    done = subprocess.run(
        [*psql, "-Atq", "-v", "ON_ERROR_STOP=1"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line]


def main():
    kinds, path, folder = sys.argv[1:4]
    psql = sys.argv[4:] or ["psql"]
    with open(path, encoding="utf-8") as file:
        texts = [line.strip() for line in file if line.strip()]
    texts = texts[:: max(1, len(texts) // TEXTS)][:TEXTS] + HARD
    pairs = [(text, None) for text in texts] + list(zip(texts[::3], texts[1::3]))
    tokens = wrong = 0
    for kind in sorted(os.listdir(kinds)):
        source = os.path.join(kinds, kind)
        if not os.path.exists(os.path.join(source, "tokenizer.json")):
            continue
        os.makedirs(os.path.join(folder, kind), exist_ok=True)
        tokenizer = tasks_kinds.tokenizer_of(source, os.path.join(folder, kind))
        tasks_kinds.model_of(
            RobertaForSequenceClassification, tokenizer, os.path.join(folder, kind), ["a", "b", "c"]
        )
        for name in os.listdir(os.path.join(folder, kind)):
            os.chmod(os.path.join(folder, kind, name), 0o644)
        ours = explained(psql, kind, folder, pairs)
        theirs = [expected(tokenizer, *pair) for pair in pairs]
        for pair, mine, right in zip(pairs, ours, theirs):
            if mine != right:
                wrong += 1
                print(kind, pair, mine, right, sep="\n  ")
        tokens += sum(len(one) for one in theirs)
        wrong += abs(len(ours) - len(theirs))
        print("%s: %d explained" % (kind, len(ours)), flush=True)
    print("%d tokens, %d texts differ" % (tokens, wrong))
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
