"""What the reference's pipelines make of a few texts with the models of generate.py, which calls
pipelines(): entities, filled masks, perplexities, generated text and answers.
"""

import json
import os

import numpy
import torch
import transformers

from fixtures import HEADS, HERE, MAJOR

NER_TEXTS = [
    "John lives in Paris.",
    "Mary Smith works at the Berlin office of ACME, doesn't she?",
    "the cat",
    "New York-based Anne O'Neil (34) met Ren\u00e9e in S\u00e3o Paulo!",
    "a b c d e f",
    "",
]
QA_PAIRS = [
    ("Where does John live?", "John lives in Paris. Mary works in Berlin.", {}),
    ("who?", "the cat of Mary", {}),
    ("what is it", "a dog, a cat and Paris.", {"handle_impossible_answer": True}),
    (
        "where",
        "Mary works at the big house in New York and John lives in Berlin, the capital. "
        "The cat lives in Paris and the dog is in New York.",
        {},
    ),
    (
        "where",
        "Mary works at the big house in New York and John lives in Berlin, the capital.",
        {"handle_impossible_answer": True},
    ),
]
FILL_TEXTS = ["Paris is the [MASK] of the world.", "the [MASK] lives in [MASK].", "[MASK]"]
PERPLEXITY_TEXTS = ["the cat lives in Paris.", "John", "A dog and a cat."]
WARPERS = [
    dict(temperature=1.0),
    dict(temperature=0.7, top_k=5),
    dict(temperature=1.5, top_p=0.6),
    dict(temperature=1.3, top_k=7, top_p=0.8),
]


def load(head, name):
    folder = os.path.join(HERE, "models", name)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    return HEADS[head].from_pretrained(folder, torch_dtype=torch.float32).eval(), tokenizer


def entity_results():
    model, tokenizer = load("token_classification", "tagger")
    results = []
    for strategy in ("none", "simple", "first", "average", "max"):
        pipe = transformers.pipeline(
            "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=strategy
        )
        for text in NER_TEXTS:
            found = [
                {
                    "label": e.get("entity", e.get("entity_group")),
                    "word": e["word"],
                    "score": float(e["score"]),
                    "start": int(e["start"]),
                    "end": int(e["end"]),
                    "index": int(e.get("index", 0)),
                }
                for e in (pipe(text) if text else [])
            ]
            results.append({"text": text, "aggregation": strategy, "entities": found})
    return results


def fill_results():
    model, tokenizer = load("masked_lm", "masked_lm")
    pipe = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
    results = []
    for text in FILL_TEXTS:
        found = pipe(text, top_k=4)
        rows = found if isinstance(found[0], list) else [found]
        results.append(
            {
                "text": text,
                "fills": [
                    {
                        "mask": i,
                        "token_id": f["token"],
                        "token": f["token_str"],
                        "score": f["score"],
                        "sequence": f["sequence"],
                    }
                    for i, row in enumerate(rows)
                    for f in row
                ],
            }
        )
    return results


def perplexity_results():
    model, tokenizer = load("masked_lm", "masked_lm")
    results = []
    for text in PERPLEXITY_TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        total = 0.0
        for i in range(1, ids.shape[1] - 1):
            masked = ids.clone()
            masked[0, i] = tokenizer.mask_token_id
            with torch.no_grad():
                total += model(masked).logits[0, i].double().log_softmax(-1)[ids[0, i]].item()
        results.append({"text": text, "perplexity": float(numpy.exp(-total / (ids.shape[1] - 2)))})
    return results


def generation_results():
    model, _ = load("causal_lm", "causal_lm")
    results = []
    for prompt in ([2], [2, 70, 71, 12, 5], list(range(5, 35))):
        ids = torch.tensor([prompt])
        made = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_length=40,
            eos_token_id=None,
            pad_token_id=0,
        )
        results.append({"prompt": prompt, "ids": made[0, len(prompt) :].tolist()})
    ids = torch.tensor([[2, 70, 71]])
    with torch.no_grad():
        logits = model(ids).logits[:, -1]
    from transformers.generation.logits_process import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    warped = []
    for options in WARPERS:
        scores = logits / options["temperature"]
        if "top_k" in options:
            scores = TopKLogitsWarper(options["top_k"])(ids, scores)
        if "top_p" in options:
            scores = TopPLogitsWarper(options["top_p"])(ids, scores)
        probabilities = scores.softmax(-1)[0]
        warped.append(
            {
                **options,
                "probabilities": {str(i): float(p) for i, p in enumerate(probabilities) if p > 0},
            }
        )
    return results, {"prompt": ids[0].tolist(), "cases": warped}


def answer_results():
    model, tokenizer = load("question_answering", "answerer")
    pipe = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer)
    results = []
    for question, context, options in QA_PAIRS:
        # more than are compared: the reference repeats spans that align to the same words
        found = pipe(
            question=question,
            context=context,
            top_k=400,
            max_answer_len=12,
            max_seq_len=40,
            doc_stride=10,
            **options
        )
        answers, seen = [], set()
        for answer in found if isinstance(found, list) else [found]:
            span = (answer["start"], answer["end"])
            if span not in seen and (
                answer["score"] > 0 and (span != (0, 0) or answer["answer"] == "")
            ):
                seen.add(span)
                answers.append(
                    {
                        "start": answer["start"],
                        "end": answer["end"],
                        "answer": answer["answer"],
                        "score": float(answer["score"]),
                    }
                )
        results.append(
            {
                "question": question,
                "context": context,
                "null_answer": "handle_impossible_answer" in options,
                "answers": answers[:6],
            }
        )
    return results


def pipelines():
    if MAJOR >= 5:
        greedy, warped = generation_results()
        results = {
            "entities": entity_results(),
            "fills": fill_results(),
            "perplexities": perplexity_results(),
            "generations": greedy,
            "warpers": warped,
        }
    else:
        results = {"answers": answer_results()}
    with open(os.path.join(HERE, "pipelines-%d.json" % MAJOR), "w") as out:
        json.dump(results, out, indent=1)
        out.write("\n")
