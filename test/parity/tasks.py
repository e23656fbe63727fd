#!/usr/bin/env python3
"""Entities, answers and filled masks on real text against the reference library's pipelines
(transformers 4.46).

    make build/parity/tasks_driver
    python3 test/parity/tasks.py ENCODER_FOLDER TEXT_FILE SQUAD_JSON [HOW_MANY]

Puts seeded random heads on a real encoder, runs the reference's pipelines and ours on lines of
the text file and on questions of the SQuAD file, and compares every entity, span and proposal.
Differences in order or choice count only where scores differ by more than rounding. Exits with
1 when anything differs.
"""

import json
import os
import subprocess
import sys
import tempfile

import torch
import transformers
from transformers import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForTokenClassification,
    BertTokenizerFast,
)

DRIVER = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "parity", "tasks_driver"
)
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]
ROUNDING = 2e-5


def with_head(model_class, encoder, folder, scale, **config):
    torch.manual_seed(1)
    model = model_class.from_pretrained(encoder, **config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("bert.") and parameter.dim() == 2:
                parameter.normal_(0, scale)
    model.save_pretrained(folder)
    tokenizer = BertTokenizerFast.from_pretrained(encoder)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def ours(folder, head, tasks):
    done = subprocess.run(
        [DRIVER, folder, head, "auto"], input=json.dumps(tasks), capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def compare(name, tasks, got, expected, keys):
    equal, total, worst, wrong = 0, 0, 0.0, 0
    for task, ours_, theirs in zip(tasks, got, expected):
        if len(ours_) != len(theirs):
            wrong += 1
            print("%s: %d results, not %d: %r" % (name, len(ours_), len(theirs), task))
            continue
        for a, b in zip(ours_, theirs):
            total += 1
            difference = abs(a["score"] - b["score"])
            worst = max(worst, difference)
            if difference <= ROUNDING and all(a[k] == b[k] for k in keys):
                equal += 1
            elif difference > ROUNDING or not any(
                abs(a["score"] - c["score"]) <= ROUNDING and all(a[k] == c[k] for k in keys)
                for c in theirs
            ):
                wrong += 1
                print("%s: %r, not %r, in %r" % (name, a, b, task))
    print(
        "%s: %d texts, %d of %d results equal, scores within %.1e"
        % (name, len(tasks), equal, total, worst)
    )
    return wrong


def entities_of(pipe, line):
    """What the reference's pipeline finds in a line, under our names."""
    return [
        {
            "label": e.get("entity", e.get("entity_group")),
            "word": e["word"],
            "score": float(e["score"]),
            "start": int(e["start"]),
            "end": int(e["end"]),
        }
        for e in pipe(line)
    ]


def spans_of(found):
    """The reference's answers, each span once."""
    spans, seen = [], set()
    for answer in found:
        if (answer["start"], answer["end"]) not in seen:
            seen.add((answer["start"], answer["end"]))
            spans.append(
                {
                    "start": int(answer["start"]),
                    "end": int(answer["end"]),
                    "score": float(answer["score"]),
                }
            )
    return spans


def entity_tasks(encoder, folder, lines):
    model, tokenizer = with_head(
        BertForTokenClassification,
        encoder,
        folder,
        0.15,
        id2label=dict(enumerate(LABELS)),
        label2id={n: i for i, n in enumerate(LABELS)},
    )
    wrong = 0
    for strategy in ("none", "simple", "first", "average", "max"):
        pipe = transformers.pipeline(
            "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=strategy
        )
        tasks = [{"task": "entities", "text": line, "aggregation": strategy} for line in lines]
        expected = [entities_of(pipe, line) for line in lines]
        wrong += compare(
            "entities, " + strategy,
            tasks,
            ours(folder, "token_classification", tasks),
            expected,
            ("label", "word", "start", "end"),
        )
    return wrong


def answer_tasks(encoder, folder, questions):
    model, tokenizer = with_head(BertForQuestionAnswering, encoder, folder, 0.3)
    pipe = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer)
    wrong = 0
    for max_length, stride, null_answer in ((384, 128, False), (100, 30, False), (100, 30, True)):
        tasks, expected = [], []
        for question, context in questions:
            tasks.append(
                {
                    "task": "answers",
                    "question": question,
                    "context": context,
                    "top_k": 5,
                    "max_answer_tokens": 15,
                    "stride": stride,
                    "max_length": max_length,
                    "null_answer": null_answer,
                }
            )
            # the reference repeats spans that widen to the same words: ask for more, keep each once
            found = pipe(
                question=question,
                context=context,
                top_k=200,
                max_answer_len=15,
                max_seq_len=max_length,
                doc_stride=stride,
                handle_impossible_answer=null_answer,
            )
            expected.append(spans_of(found)[:5])
        wrong += compare(
            "answers, %d tokens%s" % (max_length, ", null answer" if null_answer else ""),
            tasks,
            ours(folder, "question_answering", tasks),
            expected,
            ("start", "end"),
        )
    return wrong


def fill_tasks(encoder, folder, lines):
    model, tokenizer = with_head(BertForMaskedLM, encoder, folder, 0.05)
    pipe = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
    tasks, expected = [], []
    for i, line in enumerate(lines):
        words = line.split()[:60]
        words[len(words) // 2] = "[MASK]"
        if i % 3 == 0:
            words[0] = "[MASK]"
        tasks.append({"task": "fill", "text": " ".join(words), "top_k": 5})
        found = pipe(tasks[-1]["text"], top_k=5)
        expected.append(
            [f for row in (found if isinstance(found[0], list) else [found]) for f in row]
        )
    return compare(
        "fill_mask",
        tasks,
        ours(folder, "masked_lm", tasks),
        expected,
        ("token", "token_str", "sequence"),
    )


def main():
    encoder, text, squad = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 60
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    lines = [
        line.strip()
        for line in open(text, encoding="utf-8")
        if len(line.split()) > 8 and not line.startswith("<")
    ][:count]
    questions = []
    for article in json.load(open(squad, encoding="utf-8"))["data"]:
        paragraph = article["paragraphs"][0]
        questions += [(qa["question"], paragraph["context"]) for qa in paragraph["qas"][:2]]
    with tempfile.TemporaryDirectory() as work:
        wrong = entity_tasks(encoder, os.path.join(work, "tagger"), lines)
        wrong += answer_tasks(encoder, os.path.join(work, "answerer"), questions[:count])
        wrong += fill_tasks(encoder, os.path.join(work, "filler"), lines)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
