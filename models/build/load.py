#!/usr/bin/env python3
"""Writes SQL that fills the tables of schema.sql from the public data sets, for psql.

    load.py DATA [SET...] | psql

DATA has a folder for each set; models/README.md names them, their sources and licences. Needs only
Python's standard library. What is held back is told by `held_back` and depends on nothing random.
"""

import csv, html, json, pathlib, re, sys
from hashlib import md5

# Weblog and tweet entities of WNUT 2017 have six types; these are the four of wikigold.
WNUT = {
    "person": "PER",
    "corporation": "ORG",
    "group": "ORG",
    "location": "LOC",
    "creative-work": "MISC",
    "product": "MISC",
}


def copied(value):
    """A value of COPY's text format."""
    if value is None:
        return r"\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, list):
        quoted = (
            "NULL" if v is None else '"%s"' % v.replace("\\", "\\\\").replace('"', '\\"')
            for v in value
        )
        value = "{%s}" % ",".join(quoted)
    return (
        str(value)
        .replace("\\", "\\\\")
        .replace("\t", "\\t")
        .replace("\n", "\\n")
        .replace("\r", "\\r")
    )


def copy(table, columns, rows):
    print(f"TRUNCATE train.{table} RESTART IDENTITY;\nCOPY train.{table} ({', '.join(columns)}) FROM stdin;")
    for row in rows:
        print("\t".join(copied(v) for v in row))
    print("\\.")


def blocks(path, columns):
    """Sentences of a CoNLL file, as lists of rows, with the comments before each."""
    rows, comments = [], []
    for line in path.read_text(encoding="utf-8").split("\n"):
        line = line.rstrip("\r\n")
        if line.startswith("# ") and "=" in line:
            comments.append(line)
        elif line.strip():
            parts = line.split("\t") if "\t" in line else line.split(" ")
            rows.append([parts[c].strip() for c in columns])
        else:
            if rows:
                yield comments, rows
                comments = []
            rows = []
    if rows:
        yield comments, rows


def begin_inside(labels):
    """Any mixture of I- and B- as B- at the first token of a span and I- after it."""
    done, before = [], "O"
    for label in labels:
        kind = label[2:]
        if label != "O" and (label[0] == "B" or before[2:] != kind):
            done.append("B-" + kind)
        else:
            done.append(label)
        before = label
    return done


def entities(data):
    """wikigold: the last 346 sentences are held back. uner_en_ewt: every third document."""
    number = 0
    sentences = [s for _, s in blocks(data / "wikigold/wikigold.conll.txt", (0, 1))]
    sentences = [s for s in sentences if s[0][0] != "-DOCSTART-"]
    for i, rows in enumerate(sentences):
        number += 1
        held = i >= len(sentences) - 346
        yield "wikigold", number, [r[0] for r in rows], begin_inside([r[1] for r in rows]), held
    for name in ("wnut17train.conll", "emerging.dev.conll"):
        for _, rows in blocks(data / "wnut17" / name, (0, 1)):
            number += 1
            labels = [l if l == "O" else l[:2] + WNUT[l[2:]] for l in (r[1] for r in rows)]
            yield "wnut17", number, [r[0] for r in rows], begin_inside(labels), False
    document = -1
    for comments, rows in blocks(data / "uner_en_ewt/en_ewt-ud-dev.iob2", (1, 2)):
        number += 1
        document += any(c.startswith("# newdoc") for c in comments)
        labels = [l if l[2:] in ("PER", "ORG", "LOC") else "O" for l in (r[1] for r in rows)]
        yield "uner_en_ewt", number, [
            r[0] for r in rows
        ], begin_inside(labels), document % 3 == 2


def tag(data):
    for name, held in (("train_rebuilt", False), ("en_ewt-ud-dev", True)):
        for _, rows in blocks(data / f"ud_en_ewt/{name}.conllu", (0, 1, 3)):
            rows = [r for r in rows if r[0].isdigit()]  # no ranges, no empty nodes
            if rows:
                yield [r[1] for r in rows], [r[2] for r in rows], held


def topic(data):
    """AG News: of the test set, whose texts have titles, every second one is held back."""

    def clean(text):
        text = re.sub(r" ?#(\d+);", r"&#\1;", text.replace("\\", " "))
        return html.unescape(html.unescape(text)).strip()

    names = {"1": "World", "2": "Sports", "3": "Business", "4": "Sci/Tech"}
    with open(data / "agnews/alps_dev.tsv", encoding="utf-8", newline="") as f:
        for text, label in csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield clean(text), label, False
    with open(data / "agnews/test.csv", encoding="utf-8", newline="") as f:
        for i, (label, title, text) in enumerate(csv.reader(f)):
            yield clean(title + " " + text), names[label], i % 2 == 1


def similarity(data):
    for name, held in (("train", False), ("dev", True)):
        with open(data / f"stsb/stsb-en-{name}.csv", encoding="utf-8", newline="") as f:
            for a, b, score in csv.reader(f):
                yield a, b, float(score), held


def sentiment(data):
    for name, held in (("train", False), ("dev", True)):
        with open(data / f"sst2/glue_{name}.tsv", encoding="utf-8", newline="") as f:
            for row in list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]:
                yield row[0].strip(), ["negative", "positive"][int(row[1])], held


def answer(data):
    """Every sixth article is held back."""
    squad = json.loads((data / "squad/squad11.json").read_text(encoding="utf-8"))
    for i, article in enumerate(squad["data"]):
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                answers = qa["answers"]
                texts = list(dict.fromkeys(a["text"] for a in answers))
                yield (
                    article["title"],
                    qa["question"],
                    paragraph["context"],
                    answers[0]["text"],
                    answers[0]["answer_start"],
                    texts,
                    i % 6 == 5,
                )


def question(data):
    """QNLI: whether a sentence answers a question. rank.sql leaves out held-back articles of SQuAD."""
    with open(data / "qnli/dev.tsv", encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    for _, text, sentence, label in rows[1:]:
        yield text, sentence, label == "entailment"


def choice(data):
    """HellaSwag: the last 1,000 are held back. CODAH and ARC: every fifth question."""
    lines = (data / "hellaswag/hellaswag.txt").read_text(encoding="utf-8").split("\n")
    items = [lines[i : i + 6] for i in range(0, len(lines) - 5, 6)]
    for i, (prompt, label, *endings) in enumerate(items):
        yield "hellaswag", prompt, endings, int(label) + 1, i >= len(items) - 1000
    with open(data / "codah/full_data.tsv", encoding="utf-8", newline="") as f:
        for i, row in enumerate(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE)):
            yield "codah", row[1], row[2:6], int(row[6]) + 1, i % 5 == 4
    for path in sorted((data / "arc").glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as f:
            for i, row in enumerate(csv.reader(f)):
                if len(row) == 6 and row[5] in "ABCD":
                    yield "arc", row[0], row[1:5], "ABCD".index(row[5]) + 1, i % 5 == 4


def document(data):
    """Articles and books; books in pieces of some 40 paragraphs. One of 40 is held back."""
    for path in sorted((data / "enwiki").glob("text_*")):
        for text in re.findall(
            r"<doc [^>]*>\n(.*?)</doc>", path.read_text(encoding="utf-8"), re.DOTALL
        ):
            lines = [l for l in text.split("\n")[1:] if len(l) > 60]
            if len(lines) >= 2:
                yield "enwiki", " ".join(lines)
    for path in sorted((data / "books_pd").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        lines = [re.sub(r"[_*#]+", "", " ".join(p.split())) for p in text.split("\n\n")]
        lines = [l for l in lines if len(l) > 60]
        for i in range(0, len(lines) - 1, 40):
            yield "books_pd", " ".join(lines[i : i + 40])


def documents(data):
    for source, body in document(data):
        yield source, body, int(md5(body.encode()).hexdigest(), 16) % 40 == 0


TABLES = {
    "entities": (entities, "source number tokens labels held_back"),
    "tag": (tag, "tokens labels held_back"),
    "topic": (topic, "body topic held_back"),
    "similarity": (similarity, "a b score held_back"),
    "sentiment": (sentiment, "body label held_back"),
    "answer": (answer, "article question context answer_text answer_start answers held_back"),
    "question": (question, "question sentence label"),
    "choice": (choice, "source prompt choices label held_back"),
    "document": (documents, "source body held_back"),
}

if __name__ == "__main__":
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= TABLES.keys():
        sys.exit(__doc__)
    sys.stdout.reconfigure(encoding="utf-8")
    for name in sys.argv[2:] or TABLES:
        read, columns = TABLES[name]
        copy(name, columns.split(), read(pathlib.Path(sys.argv[1])))
