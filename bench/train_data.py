#!/usr/bin/env python3
"""Makes the lines that train_files reads from public data sets.

    train_data.py sst2|ner|squad|mlm DATA OUT

Writes OUT/TASK.train.tsv and OUT/TASK.dev.tsv; for mlm also OUT/mlm/vocab.txt (8,000 words, by
the reference's trainer) and OUT/mlm/config.json (4 layers of 256). Lines are tab-separated:
classify: text, label; tag: words, labels (space-separated); answer: question, context, answer,
start (characters); mlm: text.
"""

import glob
import json
import os
import re
import sys


def flat(text):
    return re.sub(r"[\t\n\r\v\f\x1c-\x1f\x85\u2028\u2029]", " ", text)


def write(out, name, rows):
    with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write("\t".join(flat(str(field)) for field in row) + "\n")
    print(name, len(rows))


def sst2(data, out):
    for part, limit in (("train", 20000), ("dev", None)):
        lines = (
            open(os.path.join(data, "sst2", "glue_%s.tsv" % part), encoding="utf-8")
            .read()
            .split("\n")[1:]
        )
        write(
            out,
            "sst2.%s.tsv" % part,
            [line.rstrip("\r").rsplit("\t", 1) for line in lines if line][:limit],
        )


def ner(data, out):
    text = open(os.path.join(data, "wikigold", "wikigold.conll.txt"), encoding="utf-8").read()
    rows = []
    for block in text.split("\n\n"):
        pairs = [line.split(" ") for line in block.split("\n") if line.strip()]
        pairs = [p for p in pairs if p[0] != "-DOCSTART-"]
        if pairs:
            rows.append((" ".join(p[0] for p in pairs), " ".join(p[-1] for p in pairs)))
    write(out, "ner.train.tsv", rows[:1350])
    write(out, "ner.dev.tsv", rows[1350:])


def squad(data, out):
    articles = json.load(open(os.path.join(data, "squad", "squad11.json"), encoding="utf-8"))[
        "data"
    ]
    rows = []
    for article in articles:
        rows.append(
            [
                (
                    qa["question"],
                    paragraph["context"],
                    qa["answers"][0]["text"],
                    qa["answers"][0]["answer_start"],
                )
                for paragraph in article["paragraphs"]
                for qa in paragraph["qas"]
            ]
        )
    # every sixth article is kept back
    write(
        out,
        "squad.train.tsv",
        [row for i, article in enumerate(rows) if i % 6 != 5 for row in article],
    )
    write(
        out,
        "squad.dev.tsv",
        [row for i, article in enumerate(rows) if i % 6 == 5 for row in article],
    )


def documents(data):
    for path in sorted(glob.glob(os.path.join(data, "enwiki", "text*"))):
        for doc in open(path, encoding="utf-8").read().split("</doc>"):
            text = re.sub(r"<doc [^>]*>", "", doc).strip()
            if len(text) > 200:
                yield text
    for path in sorted(glob.glob(os.path.join(data, "books_pd", "*.md"))):
        text = open(path, encoding="utf-8").read()
        paragraphs = [p for p in re.split(r"\n\s*\n", text) if p.strip()]
        for at in range(0, len(paragraphs), 40):
            yield "\n".join(paragraphs[at : at + 40])


def mlm(data, out):
    from tokenizers import BertWordPieceTokenizer

    texts = [flat(text) for text in documents(data)]
    held_back = texts[::100]
    train = [text for i, text in enumerate(texts) if i % 100]
    write(out, "mlm.train.tsv", [[text] for text in train])
    write(out, "mlm.dev.tsv", [[text] for text in held_back[:150]])
    os.makedirs(os.path.join(out, "mlm"), exist_ok=True)
    tokenizer = BertWordPieceTokenizer(lowercase=True)
    tokenizer.train_from_iterator(train, vocab_size=8000, min_frequency=2)
    tokenizer.save_model(os.path.join(out, "mlm"))
    config = dict(
        architectures=["BertForMaskedLM"],
        model_type="bert",
        vocab_size=8000,
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=1024,
        max_position_embeddings=128,
    )
    json.dump(config, open(os.path.join(out, "mlm", "config.json"), "w"))


if __name__ == "__main__":
    os.makedirs(sys.argv[3], exist_ok=True)
    {"sst2": sst2, "ner": ner, "squad": squad, "mlm": mlm}[sys.argv[1]](sys.argv[2], sys.argv[3])
