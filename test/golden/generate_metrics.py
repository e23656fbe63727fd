#!/usr/bin/env python3
"""Makes metrics.txt of this folder with scikit-learn, SciPy, seqeval 1.2.2 and the SQuAD 1.1
script's functions.

Lines, fields separated by tabs:
    classes LABELS PREDICTIONS accuracy f1_macro f1_weighted matthews
    values LABELS PREDICTIONS pearson spearman mse mae
    spans LABELS PREDICTIONS precision recall f1       (sentences separated by |)
    answer LABEL PREDICTION exact f1
    labels COUNT,LABELS LOGITS f1_micro f1_macro precision recall accuracy     (rows of COUNT)
"""

import collections
import os
import random
import re
import string

import numpy
import scipy.stats
import seqeval.metrics
import sklearn.metrics

random.seed(3)


def classes():
    for n, k, right in (
        (1, 2, 1.0),
        (20, 2, 0.7),
        (50, 3, 0.5),
        (40, 7, 0.3),
        (30, 2, 0.0),
        (25, 4, 0.8),
    ):
        labels = [random.randrange(k) for _ in range(n)]
        predictions = [
            label if random.random() < right else random.randrange(k) for label in labels
        ]
        if n == 25:
            predictions = [0] * n  # a class only
        yield labels, predictions, [
            sklearn.metrics.accuracy_score(labels, predictions),
            sklearn.metrics.f1_score(labels, predictions, average="macro", zero_division=0),
            sklearn.metrics.f1_score(labels, predictions, average="weighted", zero_division=0),
            sklearn.metrics.matthews_corrcoef(labels, predictions),
        ]


def values():
    for n in (2, 9, 40):
        labels = [round(random.uniform(0, 5), 1) for _ in range(n)]
        predictions = [round(label + random.gauss(0, 1), 1) for label in labels]
        yield labels, predictions, [
            scipy.stats.pearsonr(labels, predictions)[0],
            scipy.stats.spearmanr(labels, predictions)[0],
            float(numpy.mean((numpy.array(labels) - predictions) ** 2)),
            float(numpy.mean(numpy.abs(numpy.array(labels) - predictions))),
        ]


def several():
    """Rows with several labels, predicted from a probability of a half on."""
    chance = random.Random(4)
    for rows, k, noise in ((12, 3, 1.0), (40, 7, 2.0), (30, 4, 0.3), (9, 2, 9.0)):
        labels = [[int(chance.random() < 0.3) for _ in range(k)] for _ in range(rows)]
        if k == 4:
            labels = [row[:3] + [0] for row in labels]  # a label that nobody has
        logits = [
            [round(2 * label - 1 + chance.gauss(0, noise), 3) for label in row] for row in labels
        ]
        truth = numpy.array(labels)
        found = (numpy.array(logits) >= 0).astype(int)
        average = {"average": "micro", "zero_division": 0}
        yield [k] + sum(labels, []), sum(logits, []), [
            sklearn.metrics.f1_score(truth, found, **average),
            sklearn.metrics.f1_score(truth, found, average="macro", zero_division=0),
            sklearn.metrics.precision_score(truth, found, **average),
            sklearn.metrics.recall_score(truth, found, **average),
            float((truth == found).all(axis=1).mean()),
        ]


TAGS = ["O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-PER", "S-LOC", "I-MISC", "PER", "B"]


def spans():
    for n, right in ((1, 0.5), (4, 0.9), (30, 0.6), (60, 0.2), (2, 0.0)):
        labels = [[random.choice(TAGS) for _ in range(random.randrange(1, 12))] for _ in range(n)]
        predictions = [
            [tag if random.random() < right else random.choice(TAGS) for tag in sentence]
            for sentence in labels
        ]
        yield labels, predictions, [
            seqeval.metrics.precision_score(labels, predictions),
            seqeval.metrics.recall_score(labels, predictions),
            seqeval.metrics.f1_score(labels, predictions),
        ]


def normalize_answer(s):
    s = "".join(ch for ch in s.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())


def answer_f1(prediction, label):
    a = normalize_answer(prediction).split()
    b = normalize_answer(label).split()
    if not a or not b:
        return int(a == b)
    same = sum((collections.Counter(a) & collections.Counter(b)).values())
    return 0 if same == 0 else 2 * same / (len(a) + len(b))


ANSWERS = [
    ("the Denver Broncos", "Denver Broncos!"),
    ("An apple a day", "apple day"),
    ("apple, apple and pear", "apple pear pear"),
    ("1,000 men", "1000 men"),
    ("Żółć and ÉCOLE", "żółć école"),
    ("a", "the"),
    ("cat's", "cats"),
    ("x", "y"),
    ("\u00a0two\u2003words ", "two words"),
    ("theatre", "the atre"),
    ("a–b", "b"),
    ("«the» end", "«» end"),
    ("東京", "東京 都"),
    ("an_apple", "anapple"),
    ("", ""),
    ("", "the"),
    ("", "word"),
    ("word", "..."),
]


def main():
    text = lambda items: " ".join(str(item) for item in items)
    with open(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics.txt"),
        "w",
        encoding="utf-8",
    ) as out:
        for kind, cases in (("classes", classes()), ("values", values()), ("labels", several())):
            for labels, predictions, results in cases:
                out.write(
                    "\t".join(
                        [kind, text(labels), text(predictions)] + [repr(float(r)) for r in results]
                    )
                    + "\n"
                )
        for labels, predictions, results in spans():
            out.write(
                "\t".join(
                    ["spans", "|".join(map(text, labels)), "|".join(map(text, predictions))]
                    + [repr(float(r)) for r in results]
                )
                + "\n"
            )
        for label, prediction in ANSWERS:
            exact = normalize_answer(label) == normalize_answer(prediction)
            out.write(
                "\t".join(
                    [
                        "answer",
                        label,
                        prediction,
                        repr(float(exact)),
                        repr(float(answer_f1(prediction, label))),
                    ]
                )
                + "\n"
            )


if __name__ == "__main__":
    main()
