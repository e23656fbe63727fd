#!/usr/bin/env python3
"""What embeddings learn: by bert.finetune and by sentence-transformers, from the same rows with the
same recipe.

    embedding_quality.py DATA MODEL [--set stsb|banking77] [--seeds 0,1] [--rows N] [--tests N]
                         [--contenders bert,reference] [--batch 32] [--rate 2e-5] [--epochs 1]

stsb: pairs with scores (stsb/stsb-en-train.csv, CoSENT), Spearman's rho on stsb-en-dev.csv.
banking77: pairs of texts of one intent (banking77/train.csv, multiple negatives ranking), by how
often the nearest texts of test.csv have the same intent: the extension's own metrics, before and
after. Linear schedule with 10 % warm-up, gradients up to norm 1, no weight decay, the model's
dropout. MODEL: the folder of a sentence encoder, which the server must be able to read, too. The
server is that of PGHOST and so on; the database has the extension. The reference is loaded only
when it is asked for.
"""

import argparse
import csv
import json
import os
import random
import statistics
import time

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("model")
parser.add_argument("--set", choices=("stsb", "banking77"), default="stsb")
parser.add_argument("--seeds", default="0,1")
parser.add_argument("--rows", type=int, default=10**9)
parser.add_argument("--tests", type=int, default=10**9)
parser.add_argument("--contenders", default="bert,reference")
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--rate", type=float, default=2e-5)
parser.add_argument("--epochs", type=float, default=1)
options = parser.parse_args()


def table(path):
    with open(os.path.join(options.data, path), encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def scored(part):
    return [(a, b, float(score)) for a, b, score in table(f"stsb/stsb-en-{part}.csv")]


def same_intent(rows):
    """Texts of an intent by twos."""
    by_label, pairs = {}, []
    for text, label in rows:
        if label in by_label:
            pairs.append((by_label.pop(label), text, 0))
        else:
            by_label[label] = text
    return pairs


if options.set == "stsb":
    train_rows, test_rows, train_pairs = scored("train"), scored("dev"), False
else:
    train_rows, test_rows = (table(f"banking77/{part}.csv")[1:] for part in ("train", "test"))
    random.Random(0).shuffle(train_rows)
    random.Random(0).shuffle(test_rows)
    train_rows = same_intent(train_rows)
    train_pairs = True
if options.set == "stsb":
    random.Random(0).shuffle(train_rows)
train_rows, test_rows = train_rows[: options.rows], test_rows[: options.tests]


class Server:
    def __init__(self):
        from libpq import Connection

        sql = self.connection = Connection()
        sql.do("DROP TABLE IF EXISTS quality_train, quality_test")
        sql.do("CREATE TABLE quality_train (i serial, a text, b text, score float8)")
        sql.do("CREATE TABLE quality_test (i serial, a text, b text, score float8)")
        for name, rows in (("quality_train", train_rows), ("quality_test", test_rows)):
            for row in rows:
                values = list(row) + [0] * (3 - len(row))
                sql.do(f"INSERT INTO {name} (a, b, score) VALUES ($1, $2, $3)", *values)
        sql.do("SELECT bert.import_model('quality_base', $1, replace => true)", options.model)
        self.test = (
            "SELECT a AS input, b AS label FROM quality_test"
            if train_pairs
            else "SELECT a, b, score FROM quality_test"
        )

    def metrics(self, model):
        return {
            name: float(value)
            for name, value in self.connection.rows(
                "SELECT metric, value FROM bert.evaluate($1, 'embedding', $2)", model, self.test
            )
        }

    def train(self, seed):
        sql = self.connection
        columns = "a AS anchor, b AS positive" if train_pairs else "a, b, score"
        job = sql.rows(
            "SELECT bert.finetune('quality_model', 'quality_base', 'embedding', $1, $2)",
            f"SELECT {columns} FROM quality_train ORDER BY i",
            json.dumps(
                {
                    "epochs": options.epochs,
                    "batch_size": options.batch,
                    "learning_rate": options.rate,
                    "seed": seed,
                    "threads": 1,
                }
            ),
        )[0][0]
        state = sql.rows("SELECT bert.wait_job($1, '10 hours')", job)[0][0]
        if state != "succeeded":
            raise RuntimeError(f"job {job} {state}")
        return self.metrics("quality_model")


class Reference:
    def __init__(self):
        import torch

        torch.set_num_threads(1)

    def load(self):
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(options.model, device="cpu")

    def measure(self, model):
        from scipy.stats import spearmanr

        a, b = (
            model.encode([row[i] for row in test_rows], normalize_embeddings=True) for i in (0, 1)
        )
        return {"spearman": float(spearmanr((a * b).sum(1), [row[2] for row in test_rows])[0])}

    def train(self, seed):
        from datasets import Dataset
        from sentence_transformers import (
            SentenceTransformerTrainer,
            SentenceTransformerTrainingArguments,
        )
        from sentence_transformers.sentence_transformer.losses import CoSENTLoss

        model = self.load()
        rows = Dataset.from_dict(
            {
                "sentence1": [row[0] for row in train_rows],
                "sentence2": [row[1] for row in train_rows],
                "score": [row[2] / 5 for row in train_rows],
            }
        )
        arguments = SentenceTransformerTrainingArguments(
            output_dir="/tmp/embedding_quality",
            num_train_epochs=options.epochs,
            per_device_train_batch_size=options.batch,
            learning_rate=options.rate,
            warmup_ratio=0.1,
            seed=seed,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=rows, loss=CoSENTLoss(model)
        ).train()
        return self.measure(model)


def show(what, metrics, since):
    values = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    print(f"{options.set} {what}: {values}; {time.perf_counter() - since:.0f} s", flush=True)


for contender in options.contenders.split(","):
    start = time.perf_counter()
    side = Server() if contender == "bert" else Reference()
    base = side.metrics("quality_base") if contender == "bert" else side.measure(side.load())
    show(f"{contender}, base", base, start)
    found = []
    for seed_text in options.seeds.split(","):
        start = time.perf_counter()
        found.append(side.train(int(seed_text)))
        show(f"{contender}, seed {seed_text}", found[-1], start)
    for metric in found[0]:
        mean = statistics.mean(values[metric] for values in found)
        print(f"{options.set} {contender}: mean {metric} {mean:.4f}")
