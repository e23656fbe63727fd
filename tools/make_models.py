#!/usr/bin/env python3
"""Makes the bundled models. Nobody needs it to build or use the extension: its results are in
models/.

    make_models.py minilm    --source all-MiniLM-L6-v2/ [--check]
    make_models.py sentiment --sst2 glue_train.tsv glue_dev.tsv [--check]
    make_models.py measure   --source all-MiniLM-L6-v2/ --stsb stsb-en-dev.csv

minilm     copies the published encoder with its matrices as int8, one scale for each row
           (output channel).
sentiment  trains the upper three layers, a pooler and a classifier with SST-2; what is below
           stays minilm's.
measure    prints what int8 weights cost: cosine and STS-B Spearman against the published fp32
           weights.
--check    makes the model in a temporary directory and compares byte for byte. Training rounds
           its sums in the order that
           suits the processor: on another kind of processor sentiment comes out slightly different.

Needs numpy, safetensors, torch, transformers (tested with torch 2.13, transformers 5). One
thread, fixed seeds.
"""

import argparse, csv, hashlib, json, os, pathlib, sys, tempfile

os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
import numpy as np
from safetensors.numpy import load_file, save_file

MODELS = pathlib.Path(__file__).resolve().parent.parent / "models"
SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
COPIED = [
    "config.json",
    "vocab.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
]


def quantize(weight):
    """int8 rows and their scales: weight ~ rows * scales[:, None], symmetric, -127 .. 127."""
    peak = np.abs(weight).max(axis=1)
    scale = np.where(peak > 0, peak / np.float32(127), np.float32(1)).astype(np.float32)
    return np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8), scale


def is_quantized(name, tensor):
    """Every matrix but the two rows of token types."""
    return tensor.ndim == 2 and "token_type" not in name and "LayerNorm" not in name


def make_minilm(out, source):
    digest = hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
    if digest != SOURCE_SHA256:
        sys.exit(f"{source}/model.safetensors has sha256 {digest}, not {SOURCE_SHA256}")
    tensors = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        if name.endswith("position_ids"):
            continue
        if is_quantized(name, tensor):
            tensors[name], tensors[name + ".scale"] = quantize(tensor)
        else:
            tensors[name] = tensor
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    for name in COPIED:
        (out / name).parent.mkdir(exist_ok=True)
        text = (source / name).read_text(encoding="utf-8")
        # Text files end in a newline; JSON is written one way.
        (out / name).write_text(
            json.dumps(json.loads(text), indent=2) + "\n" if name.endswith(".json") else text,
            encoding="utf-8",
        )


def dequantized(directory):
    tensors = load_file(directory / "model.safetensors")
    return {
        name: (
            tensor.astype(np.float32) * tensors[name + ".scale"][:, None]
            if tensor.dtype == np.int8
            else tensor
        )
        for name, tensor in tensors.items()
        if not name.endswith(".scale")
    }


class Encoder:
    """The reference's BertModel with the given weights; one thread, length-sorted batches."""

    def __init__(self, directory, tensors):
        import torch
        from transformers import BertConfig, BertModel, BertTokenizerFast

        torch.set_num_threads(1)
        self.torch = torch
        self.tokenizer = BertTokenizerFast(vocab=str(directory / "vocab.txt"), do_lower_case=True)
        config = BertConfig(**json.loads((directory / "config.json").read_text()))
        config._attn_implementation = "eager"
        self.model = BertModel(config).eval()
        left = self.model.load_state_dict(
            {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in tensors.items()}, strict=False
        )
        assert not left.unexpected_keys and all(
            "position_ids" in k for k in left.missing_keys
        ), left

    def __call__(self, texts, pooling, max_length=256, batch=64):
        torch, rows = self.torch, [None] * len(texts)
        ids = [
            self.tokenizer(t, truncation=True, max_length=max_length)["input_ids"] for t in texts
        ]
        order = sorted(range(len(texts)), key=lambda i: (len(ids[i]), i))
        with torch.inference_mode():
            for start in range(0, len(order), batch):
                part = order[start : start + batch]
                longest = max(len(ids[i]) for i in part)
                mask = torch.tensor(
                    [[1] * len(ids[i]) + [0] * (longest - len(ids[i])) for i in part]
                )
                tokens = torch.tensor([ids[i] + [0] * (longest - len(ids[i])) for i in part])
                hidden = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
                if pooling == "cls":
                    out = hidden[:, 0]
                else:
                    out = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
                    out = out / out.norm(dim=1, keepdim=True)
                for i, row in zip(part, out.numpy()):
                    rows[i] = row.copy()
        return np.stack(rows)


def read_sst2(path):
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return [r[0].strip() for r in rows], np.array([int(r[1]) for r in rows])


LABELS = ["negative", "positive"]
TRAINED_LAYERS = 3  # the uppermost; everything below is minilm's
HELD_OUT = 2000  # training rows kept aside to choose the epoch
EPOCHS, BATCH, LEARNING_RATE, WARMUP, DECAY = 3, 32, 1e-4, 0.06, 0.01


class Sentences:
    """Sentences as they leave the frozen layers, in length-sorted batches that are shuffled as
    wholes.
    """

    def __init__(self, encoder, texts, labels, frozen):
        torch = encoder.torch
        self.ids = [
            encoder.tokenizer(t, truncation=True, max_length=256)["input_ids"] for t in texts
        ]
        self.labels = torch.tensor(labels)
        self.states = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: (len(self.ids[i]), i))
        self.batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        with torch.inference_mode():
            for part in self.batches:
                tokens, mask = self.padded(torch, part)
                hidden = encoder.model(
                    input_ids=tokens, attention_mask=mask, output_hidden_states=True
                ).hidden_states[frozen]
                for i, row in zip(part, hidden):
                    self.states[i] = row[: len(self.ids[i])].clone()

    def padded(self, torch, part):
        longest = max(len(self.ids[i]) for i in part)
        return (
            torch.tensor([self.ids[i] + [0] * (longest - len(self.ids[i])) for i in part]),
            torch.tensor(
                [[1] * len(self.ids[i]) + [0] * (longest - len(self.ids[i])) for i in part]
            ),
        )

    def batch(self, torch, part):
        states = torch.nn.utils.rnn.pad_sequence([self.states[i] for i in part], batch_first=True)
        mask = self.padded(torch, part)[1]
        return (
            states.clone(),
            (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min,
            self.labels[part],
        )


def make_sentiment(out, train_path, dev_path):
    encoder_directory = MODELS / "minilm"
    encoder = Encoder(encoder_directory, dequantized(encoder_directory))
    torch, count = encoder.torch, encoder.model.config.num_hidden_layers
    texts, labels = read_sst2(train_path)
    generator = torch.Generator().manual_seed(20)
    torch.manual_seed(20)
    order = torch.randperm(len(texts), generator=generator).tolist()
    pick = lambda rows: Sentences(
        encoder, [texts[i] for i in rows], [int(labels[i]) for i in rows], count - TRAINED_LAYERS
    )
    held, train = pick(order[:HELD_OUT]), pick(order[HELD_OUT:])
    dev = Sentences(encoder, *read_sst2(dev_path), count - TRAINED_LAYERS)
    print(
        f"{len(train.ids)} training, {len(held.ids)} held-out and {len(dev.ids)} dev sentences",
        flush=True,
    )

    hidden = encoder.model.config.hidden_size
    layers, pooler, classifier = (
        encoder.model.encoder.layer[count - TRAINED_LAYERS :],
        torch.nn.Linear(hidden, hidden),
        torch.nn.Linear(hidden, len(LABELS)),
    )
    for layer in (pooler, classifier):
        torch.nn.init.normal_(layer.weight, std=0.02, generator=generator)
        torch.nn.init.zeros_(layer.bias)
    dropout = torch.nn.Dropout(0.1)
    modules = torch.nn.ModuleList([*layers, pooler, classifier, dropout])

    def logits(states, mask):
        for layer in layers:
            states = layer(states, mask)
            states = states[0] if isinstance(states, tuple) else states
        return classifier(dropout(torch.tanh(pooler(states[:, 0]))))

    def accuracy(sentences):
        modules.eval()
        with torch.inference_mode():
            return sum(
                (logits(states, mask).argmax(1) == wanted).sum().item()
                for states, mask, wanted in (sentences.batch(torch, b) for b in sentences.batches)
            ) / len(sentences.ids)

    matrices = [p for p in modules.parameters() if p.ndim > 1]
    vectors = [p for p in modules.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
    )
    steps = EPOCHS * len(train.batches)
    warm = int(WARMUP * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / warm if s < warm else (steps - s) / (steps - warm)
    )
    best, kept = -1.0, None
    for epoch in range(EPOCHS):
        modules.train()
        total = 0.0
        for b in torch.randperm(len(train.batches), generator=generator).tolist():
            states, mask, wanted = train.batch(torch, train.batches[b])
            loss = torch.nn.functional.cross_entropy(logits(states, mask), wanted)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        reached = accuracy(held)
        print(
            f"epoch {epoch + 1}: loss {total / len(train.batches):.4f}, "
            f"held-out accuracy {reached:.4f}, dev {accuracy(dev):.4f}",
            flush=True,
        )
        if reached > best:
            best, kept = reached, {k: v.detach().clone() for k, v in modules.state_dict().items()}
    modules.load_state_dict(kept)

    named = {
        f"bert.encoder.layer.{count - TRAINED_LAYERS + i}.{k}": p
        for i, layer in enumerate(layers)
        for k, p in layer.named_parameters()
    }
    named.update(
        {
            "bert.pooler.dense.weight": pooler.weight,
            "bert.pooler.dense.bias": pooler.bias,
            "classifier.weight": classifier.weight,
            "classifier.bias": classifier.bias,
        }
    )
    tensors = {}
    with torch.no_grad():
        for name, parameter in named.items():
            value = parameter.detach().numpy()
            if name.startswith("bert.") and value.ndim == 2:
                tensors[name], tensors[name + ".scale"] = quantize(value)
                parameter.copy_(
                    torch.from_numpy(
                        tensors[name].astype(np.float32) * tensors[name + ".scale"][:, None]
                    )
                )
            else:
                tensors[name] = value
    print(
        f"SST-2 dev accuracy as stored {accuracy(dev):.4f}, held-out {accuracy(held):.4f}",
        flush=True,
    )
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((encoder_directory / "config.json").read_text())
    config.pop("_name_or_path", None)
    config.update(
        architectures=["BertForSequenceClassification"],
        problem_type="single_label_classification",
        id2label={str(i): l for i, l in enumerate(LABELS)},
        label2id={l: i for i, l in enumerate(LABELS)},
    )
    write_json(out / "config.json", config)
    write_json(
        out / "bundle.json",
        {
            "encoder": "minilm",
            "tasks": ["classify"],
            "description": "sentiment of English sentences, trained with SST-2",
        },
    )


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def spearman(a, b):
    def ranks(v):
        order, r = np.argsort(v, kind="stable"), np.empty(len(v))
        r[order] = np.arange(len(v))
        values, inverse, counts = np.unique(v, return_inverse=True, return_counts=True)
        return (np.bincount(inverse, r) / counts)[inverse]

    return np.corrcoef(ranks(np.asarray(a, float)), ranks(np.asarray(b, float)))[0, 1]


def measure(source, stsb):
    with open(stsb, encoding="utf-8", newline="") as f:
        rows = list(csv.reader(f))
    left, right, gold = [r[0] for r in rows], [r[1] for r in rows], [float(r[2]) for r in rows]
    published = load_file(source / "model.safetensors")
    published.pop("embeddings.position_ids", None)
    results = []
    for name, tensors in (("fp32", published), ("int8 weights", dequantized(MODELS / "minilm"))):
        encoder = Encoder(MODELS / "minilm", tensors)
        a, b = encoder(left, "mean"), encoder(right, "mean")
        results.append((a, b))
        print(f"{name}: STS-B dev Spearman {spearman((a * b).sum(1), gold):.5f}", flush=True)
    cosine = np.concatenate([(results[0][i] * results[1][i]).sum(1) for i in (0, 1)])
    print(
        f"cosine of the two embeddings of a sentence: mean {cosine.mean():.6f}, "
        f"least {cosine.min():.6f}, n {len(cosine)}"
    )


def same_folder(made, kept):
    files = [p.relative_to(made) for p in sorted(made.rglob("*")) if p.is_file()]
    return [
        str(f)
        for f in files
        if not (kept / f).is_file() or (made / f).read_bytes() != (kept / f).read_bytes()
    ]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["minilm", "sentiment", "measure"])
    parser.add_argument("--source", type=pathlib.Path)
    parser.add_argument("--sst2", type=pathlib.Path, nargs=2, metavar=("TRAIN", "DEV"))
    parser.add_argument("--stsb", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    for needed in {"minilm": ["source"], "sentiment": ["sst2"], "measure": ["source", "stsb"]}[
        options.what
    ]:
        if getattr(options, needed) is None:
            parser.error(f"{options.what} needs --{needed}")
    if options.what == "measure":
        return measure(options.source, options.stsb)

    kept = MODELS / options.what
    with tempfile.TemporaryDirectory() as scratch:
        made = pathlib.Path(scratch)
        if options.what == "minilm":
            make_minilm(made, options.source)
        else:
            make_sentiment(made, *options.sst2)
        if not options.check:
            for path in made.rglob("*"):
                if path.is_file():
                    target = kept / path.relative_to(made)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(path.read_bytes())
            print(f"wrote {kept}")
            return
        different = same_folder(made, kept)
        if different:
            sys.exit(f"{kept}: differs in {', '.join(different)}")
        print(f"{kept}: same bytes")


if __name__ == "__main__":
    main()
