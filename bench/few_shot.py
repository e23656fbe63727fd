#!/usr/bin/env python3
"""Classifiers from few rows: the option few_shot, a plain job, and SetFit, on the same rows.

    few_shot.py DATA MODEL [--sets sst2,banking77,agnews] [--seeds 0,1,2] [--rows 8] [--pairs 20]
                [--contenders few_shot,plain,setfit] [--tests N] [--length 64]

DATA: a folder with the sets' own files (sst2/glue_train.tsv and glue_dev.tsv, banking77/train.csv
and test.csv, agnews/test.csv, of which the first 1,000 shuffled rows are for testing). MODEL: the
folder of a sentence encoder, which the server must be able to read, too. The server is that of
PGHOST, PGPORT and so on; the database has the extension. SetFit and what it needs are loaded only
when it is asked for. Prints each accuracy with its seconds and processor time, then the means.
"""

import argparse
import csv
import os
import random
import statistics
import time

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("model")
parser.add_argument("--sets", default="sst2,banking77,agnews")
parser.add_argument("--seeds", default="0,1,2")
parser.add_argument("--rows", type=int, default=8, help="of each class")
parser.add_argument("--pairs", type=int, default=20, help="of each kind for each row")
parser.add_argument("--contenders", default="few_shot,plain,setfit")
parser.add_argument("--tests", type=int, default=10**9, help="rows to test with, at most")
parser.add_argument("--length", type=int, default=64, help="tokens of a text")
options = parser.parse_args()


def table(path, **how):
    with open(os.path.join(options.data, path), encoding="utf-8", newline="") as file:
        return list(csv.reader(file, **how))


def sst2():
    parts = (
        table(f"sst2/glue_{part}.tsv", delimiter="\t", quoting=csv.QUOTE_NONE)[1:]
        for part in ("train", "dev")
    )
    return [[(row[0].strip(), row[1]) for row in part] for part in parts]


def banking77():
    return [
        [(row[0], row[1]) for row in table(f"banking77/{part}.csv")[1:]]
        for part in ("train", "test")
    ]


def agnews():
    names = ["World", "Sports", "Business", "Sci/Tech"]
    rows = [
        (" ".join(part.replace("\\", " ") for part in row[1:]), names[int(row[0]) - 1])
        for row in table("agnews/test.csv")
    ]
    random.Random(0).shuffle(rows)
    return [rows[1000:], rows[:1000]]


def few(rows, seed):
    """The first rows of each class in an order drawn by the seed."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    counts, chosen = {}, []
    for text, label in order:
        if counts.get(label, 0) < options.rows:
            counts[label] = counts.get(label, 0) + 1
            chosen.append((text, label))
    return chosen


class Server:
    def __init__(self):
        from libpq import Connection

        self.connection = Connection()
        self.connection.do("DROP TABLE IF EXISTS few_row")
        self.connection.do("CREATE TABLE few_row (test bool, input text, label text)")
        self.connection.do(
            "SELECT bert.import_model('few_base', $1, replace => true)", options.model
        )

    def accuracy(self, train, test, seed, settings):
        sql = self.connection
        sql.do("TRUNCATE few_row")
        for rows, held in ((train, "false"), (test, "true")):
            for text, label in rows:
                sql.do("INSERT INTO few_row VALUES ($1, $2, $3)", held, text, label)
        settings = f'"threads": 1, "max_length": {options.length}, "seed": {seed}, {settings}'
        job = sql.rows(
            "SELECT bert.finetune('few_model', 'few_base', 'sequence_classification',"
            " 'SELECT input, label FROM few_row WHERE NOT test', $1)",
            "{" + settings + "}",
        )[0][0]
        state = sql.rows("SELECT bert.wait_job($1, '10 hours')", job)[0][0]
        if state != "succeeded":
            raise RuntimeError(f"job {job} {state}")
        return float(
            sql.rows(
                "SELECT value FROM bert.evaluate('few_model', 'sequence_classification',"
                " 'SELECT input, label FROM few_row WHERE test', $1) WHERE metric = 'accuracy'",
                f'{{"max_length": {options.length}}}',
            )[0][0]
        )


def setfit(train, test, seed):
    import torch
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    torch.set_num_threads(1)
    model = SetFitModel.from_pretrained(options.model, labels=sorted({label for _, label in train}))
    model.model_body.max_seq_length = options.length
    arguments = TrainingArguments(
        output_dir="/tmp/setfit",
        batch_size=16,
        num_epochs=1,
        num_iterations=options.pairs,
        seed=seed,
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    names = model.labels
    rows = Dataset.from_dict(
        {"text": [text for text, _ in train], "label": [names.index(label) for _, label in train]}
    )
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    found = model.predict([text for text, _ in test])
    return sum(str(f) == label for f, (_, label) in zip(found, test)) / len(test)


PLAIN = '"epochs": 10'
server = None
scores = {}
for name in options.sets.split(","):
    train_rows, test_rows = {"sst2": sst2, "banking77": banking77, "agnews": agnews}[name]()
    test_rows = test_rows[: options.tests]
    for seed in map(int, options.seeds.split(",")):
        train_few = few(train_rows, seed)
        for contender in options.contenders.split(","):
            wall, processor = time.perf_counter(), time.process_time()
            if contender == "setfit":
                score = setfit(train_few, test_rows, seed)
            else:
                server = server or Server()
                score = server.accuracy(
                    train_few,
                    test_rows,
                    seed,
                    PLAIN
                    if contender == "plain"
                    else f'"few_shot": true, "few_shot_pairs": {options.pairs}',
                )
            scores.setdefault((name, contender), []).append(score)
            print(
                f"{name} seed {seed} {contender}: {score:.4f}, {time.perf_counter() - wall:.0f} s,"
                f" {time.process_time() - processor:.0f} s of this process",
                flush=True,
            )
for (name, contender), found in scores.items():
    spread = f", from {min(found):.4f} to {max(found):.4f}" if len(found) > 1 else ""
    print(f"{name} {contender}: mean {statistics.mean(found):.4f} of {len(found)}{spread}")
