#!/usr/bin/env python3
"""What the reference's zero-shot pipeline gives with the tiny classifier of this folder under other
names of its labels: the rows in sql/test_zero_shot.sql. Prints them."""
import os

from transformers import AutoTokenizer, BertForSequenceClassification, pipeline

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = "John lives in Paris."
LABELS = ["the cat", "london and paris", "a dog"]
NAMES = [["contradiction", "neutral", "entailment"], ["ENTAILMENT", "NEUTRAL", "CONTRADICTION"],
         ["contradiction", "entailment", "neutral"]]

for names in NAMES:
    model = BertForSequenceClassification.from_pretrained(os.path.join(HERE, "models/classifier"))
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: i for i, name in enumerate(names)}
    pipe = pipeline("zero-shot-classification", model=model.float().eval(),
                    tokenizer=AutoTokenizer.from_pretrained(os.path.join(HERE, "models/classifier")))
    for alone in (False, True):
        for labels in (LABELS, LABELS[:1]):
            result = pipe(TEXT, candidate_labels=labels, multi_label=alone)
            print("\t('{%s}', %s, '{%s}', '{%s}')," % (
                ",".join(names), str(alone).lower(),
                ",".join('"%s"' % label for label in result["labels"]),
                ",".join("%.7f" % score for score in result["scores"])))
