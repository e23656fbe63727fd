#!/usr/bin/env python3
"""Trains with the reference library what a job of bert.finetune has trained, and prints its scores.

    compare.py JOB EXPORTED_BASE [--teacher EXPORTED] [--threads N] [--device NAME] [--bf16]
        [--held-back QUERY] [--group-by-length]

The rows, the evaluation rows and the options are those of the job, read with psql from the database
of PGHOST, PGDATABASE ...; EXPORTED_BASE is the folder that bert.export_model writes of the job's
base. PyTorch in fp32, transformers' BERT, AdamW, the same sizes of batches, rates and frozen
layers; another order of the rows. Knows classes, several labels, values, tokens, answers and
choices; for classes a teacher. --bf16: matrices are multiplied in bf16. --group-by-length:
a batch's rows are of like length, which takes half the time, as there is less padding (as
transformers' group_by_length). Needs torch and transformers.
"""

import argparse, collections, json, os, random, re, string, subprocess, sys

os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
import numpy as np
import torch
import transformers


def rows_of(query):
    form = "(FORMAT csv, QUOTE E'\\b')"
    command = f"COPY (SELECT row_to_json(r) FROM ({query}) AS r) TO STDOUT {form}"
    out = subprocess.run(
        ["psql", "-X", "-q", "-At", "-c", command], capture_output=True, text=True, check=True
    )
    return [json.loads(line.strip("\b")) for line in out.stdout.split("\n") if line]


class Classes:
    """sequence_classification and regression"""

    def __init__(self, rows, task, tokenizer, options):
        self.tokenizer, self.length = tokenizer, options["max_length"]
        self.regression = task == "regression"
        self.labels = [] if self.regression else sorted({r["label"] for r in rows}, key=str.encode)

    def model(self, folder):
        count = 1 if self.regression else len(self.labels)
        kind = "regression" if self.regression else "single_label_classification"
        return transformers.BertForSequenceClassification.from_pretrained(
            folder, num_labels=count, problem_type=kind
        )

    def samples(self, rows):
        for r in rows:
            label = float(r["label"]) if self.regression else self.labels.index(r["label"])
            yield self.tokenizer(
                r["input"], r.get("pair"), truncation=True, max_length=self.length
            ), label

    def batch(self, samples):
        kind = torch.float32 if self.regression else torch.long
        return {"labels": torch.tensor([s[1] for s in samples], dtype=kind)}

    def scores(self, outputs, rows):
        logits = np.concatenate([o.logits.numpy() for o in outputs])
        if not self.regression:
            wanted = np.array([self.labels.index(r["label"]) for r in rows])
            return {"accuracy": float((logits.argmax(1) == wanted).mean())}
        ranks = lambda v: np.unique(v, return_inverse=True)[1]  # without ties in the predictions
        wanted = np.array([float(r["label"]) for r in rows])

        def average(v):
            inverse = ranks(v)
            ends = np.cumsum(np.bincount(inverse))
            return ((ends - np.bincount(inverse) + ends - 1) / 2)[inverse]

        return {
            "pearson": float(np.corrcoef(logits[:, 0], wanted)[0, 1]),
            "spearman": float(np.corrcoef(average(logits[:, 0]), average(wanted))[0, 1]),
        }


class Several(Classes):
    """sequence_classification with several labels a row, or none"""

    def __init__(self, rows, task, tokenizer, options):
        self.tokenizer, self.length = tokenizer, options["max_length"]
        self.labels = sorted({l for r in rows for l in r["label"]}, key=str.encode)

    def model(self, folder):
        return transformers.BertForSequenceClassification.from_pretrained(
            folder, num_labels=len(self.labels), problem_type="multi_label_classification"
        )

    def samples(self, rows):
        for r in rows:
            label = [float(l in r["label"]) for l in self.labels]
            yield self.tokenizer(r["input"], truncation=True, max_length=self.length), label

    def batch(self, samples):
        return {"labels": torch.tensor([s[1] for s in samples])}

    def scores(self, outputs, rows):
        told = np.concatenate([o.logits.numpy() for o in outputs]) > 0
        wanted = np.array([s[1] for s in self.samples(rows)]) > 0
        return {"micro_f1": float(2 * (told & wanted).sum() / (told.sum() + wanted.sum()))}


class Choices:
    """multiple_choice"""

    def __init__(self, rows, task, tokenizer, options):
        self.tokenizer, self.length = tokenizer, options["max_length"]

    def model(self, folder):
        return transformers.BertForMultipleChoice.from_pretrained(folder)

    def samples(self, rows):
        for r in rows:
            yield [
                self.tokenizer(r["prompt"], c, truncation="longest_first", max_length=self.length)
                for c in r["choices"]
            ], r["label"] - 1

    def batch(self, samples):
        return {"labels": torch.tensor([s[1] for s in samples])}

    def scores(self, outputs, rows):
        right = [int(o.logits[0].argmax()) == r["label"] - 1 for o, r in zip(outputs, rows)]
        return {"accuracy": sum(right) / len(right)}


class Tokens:
    """token_classification; a word's label is its first piece's, NULL: not learned"""

    def __init__(self, rows, task, tokenizer, options):
        self.tokenizer, self.length = tokenizer, options["max_length"]
        self.labels = sorted({l for r in rows for l in r["labels"] if l}, key=str.encode)

    def model(self, folder):
        return transformers.BertForTokenClassification.from_pretrained(
            folder, num_labels=len(self.labels)
        )

    def samples(self, rows):
        for r in rows:
            encoded = self.tokenizer(
                r["tokens"], is_split_into_words=True, truncation=True, max_length=self.length
            )
            words, labels, before = encoded.word_ids(), [], None
            for word in words:
                told = r["labels"][word] if word is not None and word != before else None
                labels.append(-100 if told is None else self.labels.index(told))
                before = word
            yield encoded, labels

    def batch(self, samples):
        longest = max(len(s[1]) for s in samples)
        return {"labels": torch.tensor([s[1] + [-100] * (longest - len(s[1])) for s in samples])}

    def scores(self, outputs, rows):
        right = total = 0
        found, wanted, both = 0, 0, 0
        samples = list(self.samples(rows))
        predictions = [p for o in outputs for p in o.logits.argmax(-1).tolist()]
        for (_, labels), predicted in zip(samples, predictions):
            pairs = [(self.labels[l], self.labels[p]) for l, p in zip(labels, predicted) if l >= 0]
            right += sum(a == b for a, b in pairs)
            total += len(pairs)
            gold, told = spans([a for a, _ in pairs]), spans([b for _, b in pairs])
            found, wanted, both = found + len(told), wanted + len(gold), both + len(gold & told)
        return {"accuracy": right / total, "f1": 2 * both / max(found + wanted, 1)}


def spans(labels):
    """Spans of B- and I- labels, as the CoNLL evaluation counts them."""
    result, start, kind = set(), None, None
    for i, label in enumerate(labels + ["O"]):
        begins = label[0] == "B" or (label[0] == "I" and label[2:] != kind)
        if kind is not None and (label == "O" or begins):
            result.add((start, i, kind))
            kind = None
        if begins:
            start, kind = i, label[2:]
    return result


class Answers:
    """question_answering; evaluated on windows as the reference's script does"""

    STRIDE = 128

    def __init__(self, rows, task, tokenizer, options):
        self.tokenizer, self.length = tokenizer, options["max_length"]

    def model(self, folder):
        return transformers.BertForQuestionAnswering.from_pretrained(folder)

    def windows(self, row, length):
        return self.tokenizer(
            row["question"],
            row["context"],
            truncation="only_second",
            max_length=length,
            stride=self.STRIDE,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )

    def samples(self, rows):
        for r in rows:
            encoded = self.windows(r, self.length)
            start, end = r["answer_start"], r["answer_start"] + len(r["answer_text"])
            for w in range(len(encoded["input_ids"])):
                places, parts = encoded["offset_mapping"][w], encoded.sequence_ids(w)
                inside = [i for i, p in enumerate(parts) if p == 1]
                first = [i for i in inside if places[i][0] <= start < places[i][1]]
                last = [i for i in inside if places[i][0] < end <= places[i][1]]
                label = (first[0], last[0]) if first and last else (0, 0)
                item = {k: encoded[k][w] for k in ("input_ids", "token_type_ids")}
                yield item, label

    def batch(self, samples):
        ends = torch.tensor([s[1] for s in samples])
        return {"start_positions": ends[:, 0], "end_positions": ends[:, 1]}

    def evaluate(self, model, rows):
        exact = f1 = 0.0
        for r in rows:
            encoded = self.windows(r, 384)
            best = (-1e30, 0, 0)
            for w in range(len(encoded["input_ids"])):
                ids, types = encoded["input_ids"][w], encoded["token_type_ids"][w]
                with torch.inference_mode():
                    out = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types]))
                starts, ends = out.start_logits[0].tolist(), out.end_logits[0].tolist()
                inside = [i for i, p in enumerate(encoded.sequence_ids(w)) if p == 1]
                for i in sorted(inside, key=lambda i: -starts[i])[:20]:
                    for j in range(i, min(i + 30, inside[-1] + 1)):
                        if starts[i] + ends[j] > best[0]:
                            places = encoded["offset_mapping"][w]
                            best = (starts[i] + ends[j], places[i][0], places[j][1])
            told = r["context"][best[1] : best[2]]
            exact += normal(told) == normal(r["answer_text"])
            f1 += overlap(told, r["answer_text"])
        return {"exact_match": exact / len(rows), "f1": f1 / len(rows)}


def normal(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def overlap(told, wanted):
    a, b = normal(told).split(), normal(wanted).split()
    same = sum((collections.Counter(a) & collections.Counter(b)).values())
    return 2 * same / (len(a) + len(b)) if same else float(a == b)


# What the jobs' recipes have no use for, and this program does not do.
OTHER = {
    "class_weights": None,
    "dropout": 0.1,
    "few_shot": False,
    "gradient_accumulation": 1,
    "label_smoothing": 0,
    "schedule": "linear",
    "whole_word_mask": False,
}

TASKS = {
    "sequence_classification": Classes,
    "regression": Classes,
    "multiple_choice": Choices,
    "token_classification": Tokens,
    "question_answering": Answers,
}


def task_of(job, rows, tokenizer):
    several = job["task"] == "sequence_classification" and isinstance(rows[0]["label"], list)
    kind = Several if several else TASKS[job["task"]]
    return kind(rows, job["task"], tokenizer, job["options"])


def inputs_of(samples):
    if isinstance(samples[0][0], list):  # choices: batch x choices x tokens
        count = len(samples[0][0])
        flat = inputs_of([(choice, None) for s in samples for choice in s[0]])
        return {name: v.view(len(samples), count, -1) for name, v in flat.items()}
    longest = max(len(s[0]["input_ids"]) for s in samples)
    pad = lambda values, fill: values + [fill] * (longest - len(values))
    return {
        "input_ids": torch.tensor([pad(s[0]["input_ids"], 0) for s in samples]),
        "token_type_ids": torch.tensor([pad(s[0]["token_type_ids"], 0) for s in samples]),
        "attention_mask": torch.tensor([pad([1] * len(s[0]["input_ids"]), 0) for s in samples]),
    }


def freeze(model, options):
    part = options["train"]
    layers = model.bert.encoder.layer
    if part != "all":
        kept = int(part.split(":")[1]) if ":" in part else 0
        for layer in layers[: len(layers) - kept]:
            layer.requires_grad_(False)
    if part != "all" or options["freeze_embeddings"]:
        model.bert.embeddings.requires_grad_(False)


def loss_of(model, task, part, options, teacher):
    inputs = inputs_of(part)
    if teacher is None:
        return model(**inputs, **task.batch(part)).loss
    temperature = options["temperature"]
    with torch.no_grad():
        wanted = teacher(**inputs).logits / temperature
    told = model(**inputs).logits / temperature
    kl_div = torch.nn.functional.kl_div
    loss = kl_div(told.log_softmax(-1), wanted.softmax(-1), reduction="batchmean")
    return loss * temperature**2


def length(sample):
    encoded = sample[0]
    if isinstance(encoded, list):
        return max(len(choice["input_ids"]) for choice in encoded)
    return len(encoded["input_ids"])


def grouped(order, samples, size):
    """An order in which those of a batch are of like length: of every 50 batches, sorted."""
    result = []
    for i in range(0, len(order), 50 * size):
        part = sorted(order[i : i + 50 * size], key=lambda j: length(samples[j]))
        batches = [part[j : j + size] for j in range(0, len(part), size)]
        last = batches.pop() if len(batches[-1]) < size else []
        result += sum(random.sample(batches, len(batches)), []) + last
    return result


def train(model, task, samples, options, teacher=None, group=False):
    size = options["batch_size"]
    steps = int(np.ceil(options["epochs"] * np.ceil(len(samples) / size)))
    named = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in named if p.ndim > 1], "weight_decay": options["weight_decay"]},
            {"params": [p for p in named if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=options["learning_rate"],
    )
    schedule = transformers.get_linear_schedule_with_warmup(
        optimizer, int(np.ceil(options["warmup_ratio"] * steps)), steps
    )
    order, done = [], 0
    model.train()
    while done < steps:
        if len(order) == 0:
            order = random.sample(range(len(samples)), len(samples))
            if group:
                order = grouped(order, samples, size)
        part = [samples[i] for i in order[:size]]
        order = order[size:]
        loss = loss_of(model, task, part, options, teacher)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(named, options["max_grad_norm"])
        optimizer.step()
        schedule.step()
        done += 1
        if done % 100 == 0:
            print(f"step {done} of {steps}: loss {loss.item():.4f}", flush=True)
    model.eval()


def scores_of(model, task, held):
    if isinstance(task, Answers):
        return task.evaluate(model, held)
    outputs = []
    with torch.inference_mode():
        for sample in task.samples(held):
            logits = model(**inputs_of([sample])).logits.cpu()
            outputs.append(argparse.Namespace(logits=logits))
    return task.scores(outputs, held)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", type=int)
    parser.add_argument("base")
    parser.add_argument("--teacher")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--group-by-length", action="store_true")
    parser.add_argument("--held-back", help="a query, where the job has no eval_query")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_default_device(arguments.device)
    if arguments.bf16:
        torch.set_float32_matmul_precision("medium")

    job = rows_of(f"SELECT task, query, options FROM bert.jobs WHERE job = {arguments.job}")[0]
    options = job["options"]
    for name, value in OTHER.items():
        if options.get(name, value) != value:
            sys.exit(f"{name} {options[name]} is not known here")
    if ("teacher" in options) != (arguments.teacher is not None):
        sys.exit("--teacher wants a job with a teacher, and such a job --teacher")
    torch.manual_seed(options["seed"])
    random.seed(options["seed"])
    rows, held = rows_of(job["query"]), rows_of(arguments.held_back or options["eval_query"])
    tokenizer = transformers.BertTokenizerFast.from_pretrained(arguments.base)
    task = task_of(job, rows, tokenizer)
    model = task.model(arguments.base).to(arguments.device)
    freeze(model, options)
    teacher = None
    if arguments.teacher:
        teacher = transformers.BertForSequenceClassification.from_pretrained(arguments.teacher)
        teacher.to(arguments.device).eval()
    train(model, task, list(task.samples(rows)), options, teacher, arguments.group_by_length)
    print(json.dumps(scores_of(model, task, held)))


if __name__ == "__main__":
    main()
