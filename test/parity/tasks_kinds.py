#!/usr/bin/env python3
"""Entities and answers, long texts in windows, with the tokenizers of make_tokenizers.py against
the reference library's pipelines (transformers 4.46): offsets, words and spans.

    make build/parity/tasks_driver
    python3 test/parity/tasks_kinds.py KINDS TEXT_FILE [HOW_MANY]

Each kind gets a small RoBERTa of random weights. The text file has lines of any language. Exits
with 1 when anything differs.
"""

import json
import os
import shutil
import sys
import tempfile

os.environ.update(TOKENIZERS_PARALLELISM="false", RUST_BACKTRACE="0")

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import (  # noqa: E402
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForQuestionAnswering,
    RobertaForTokenClassification,
)

import tasks  # noqa: E402

SPECIAL = {"cls": "<s>", "sep": "</s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}


def tokenizer_of(kind, folder):
    """The kind's tokenizer.json in the model's folder, and the reference's tokenizer of it."""
    named = {name + "_token": text for name, text in SPECIAL.items()}
    shutil.copy(os.path.join(kind, "tokenizer.json"), folder)
    inputs = ["input_ids", "attention_mask"]
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as file:
        json.dump(
            {"tokenizer_class": "PreTrainedTokenizerFast", "model_input_names": inputs, **named},
            file,
        )
    return PreTrainedTokenizerFast(
        tokenizer_file=os.path.join(folder, "tokenizer.json"),
        model_input_names=inputs,
        model_max_length=512,
        **named,
    )


def model_of(model_class, tokenizer, folder, labels):
    torch.manual_seed(1)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=514,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={n: i for i, n in enumerate(labels)},
    )
    model = model_class(config).eval()
    model.save_pretrained(folder)
    return model


def entities(kind, folder, lines):
    tokenizer = tokenizer_of(kind, folder)
    model = model_of(RobertaForTokenClassification, tokenizer, folder, tasks.LABELS)
    wrong = 0
    # the reference groups nothing without a decoder
    grouping = ("simple", "first", "average", "max") if tokenizer._tokenizer.decoder else ()
    for strategy in ("none", *grouping):
        pipe = transformers.pipeline(
            "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=strategy
        )
        asked = [{"task": "entities", "text": line, "aggregation": strategy} for line in lines]
        expected = [tasks.entities_of(pipe, line) for line in lines]
        wrong += tasks.compare(
            "%s, entities, %s" % (os.path.basename(kind), strategy),
            asked,
            tasks.ours(folder, "token_classification", asked),
            expected,
            ("label", "word", "start", "end"),
        )
    return wrong


def answers(kind, folder, questions):
    tokenizer = tokenizer_of(kind, folder)
    model = model_of(RobertaForQuestionAnswering, tokenizer, folder, ["LABEL_0", "LABEL_1"])
    pipe = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer)
    asked, expected = [], []
    for question, context in questions:
        asked.append(
            {
                "task": "answers",
                "question": question,
                "context": context,
                "top_k": 5,
                "max_answer_tokens": 15,
                "stride": 30,
                "max_length": 100,
                "null_answer": False,
            }
        )
        found = pipe(
            question=question,
            context=context,
            top_k=200,
            max_answer_len=15,
            max_seq_len=100,
            doc_stride=30,
        )
        expected.append(tasks.spans_of(found)[:5])
    return tasks.compare(
        "%s, answers in windows" % os.path.basename(kind),
        asked,
        tasks.ours(folder, "question_answering", asked),
        expected,
        ("start", "end"),
    )


def main():
    kinds, text = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 30
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with open(text, encoding="utf-8") as file:
        lines = [line.strip() for line in file if 20 < len(line.strip()) < 400]
    step = max(1, len(lines) // count)
    contexts = [" ".join(lines[i : i + 6]) for i in range(0, len(lines) - 6, step)][:count]
    wrong = 0
    for name in sorted(os.listdir(kinds)):
        kind = os.path.join(kinds, name)
        with open(os.path.join(kind, "tokenizer_config.json")) as file:
            if json.load(file)["tokenizer_class"] != "PreTrainedTokenizerFast":
                continue
        with tempfile.TemporaryDirectory() as folder:
            wrong += entities(kind, folder, lines[::step][:count])
            questions = list(zip(lines[1::step], contexts))
            wrong += answers(kind, folder, [(q[:15], c) for q, c in questions])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
