#!/usr/bin/env python3
"""Makes the bundled encoder; models/build makes the others of it. Nobody needs it to build or use
the extension: its results are in models/.

    make_models.py minilm    --source all-MiniLM-L6-v2/ [--check]
    make_models.py measure   --source all-MiniLM-L6-v2/ --stsb stsb-en-dev.csv

minilm     copies the published encoder with its matrices as int8, one scale for each row
           (output channel).
measure    prints what int8 weights cost: cosine and STS-B Spearman against the published fp32
           weights.
--check    makes the model in a temporary directory and compares byte for byte.

Needs numpy, safetensors, torch, transformers (tested with torch 2.13, transformers 5).
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
    parser.add_argument("what", choices=["minilm", "measure"])
    parser.add_argument("--source", type=pathlib.Path)
    parser.add_argument("--stsb", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    for needed in {"minilm": ["source"], "measure": ["source", "stsb"]}[options.what]:
        if getattr(options, needed) is None:
            parser.error(f"{options.what} needs --{needed}")
    if options.what == "measure":
        return measure(options.source, options.stsb)

    kept = MODELS / options.what
    with tempfile.TemporaryDirectory() as scratch:
        made = pathlib.Path(scratch)
        make_minilm(made, options.source)
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
