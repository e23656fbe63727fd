#!/usr/bin/env python3
"""Makes a bundled model of a model that bert.export_model has written.

    part.py EXPORTED MODEL [--task TASK]... --description TEXT

EXPORTED is the exported folder, MODEL the folder to be made, beside that of the encoder, `minilm`.
Tensors that are the encoder's are left out. Of the others matrices of layers, poolers and of the
head of masked words become int8 rows, each with an fp32 scale; other heads, biases and LayerNorms
stay fp32. Needs numpy and
safetensors. Prints the sha256 of what it has written.
"""

import argparse, hashlib, json, pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

ENCODER = "minilm"
# Settings of the encoder's file that say nothing about a model.
DROPPED = ("_name_or_path",)


def quantize(weight):
    """int8 rows and their scales: weight ~ rows * scales[:, None], symmetric, -127 .. 127."""
    peak = np.abs(weight).max(axis=1)
    scale = np.where(peak > 0, peak / np.float32(127), np.float32(1)).astype(np.float32)
    return np.clip(np.rint(weight / scale[:, None]), -127, 127).astype(np.int8), scale


def dequantized(folder):
    tensors = load_file(folder / "model.safetensors")
    return {
        name: tensor.astype(np.float32) * tensors[name + ".scale"][:, None]
        if tensor.dtype == np.int8
        else tensor
        for name, tensor in tensors.items()
        if not name.endswith(".scale")
    }


def part_of(exported, encoder):
    """The exported tensors that the encoder does not have, or has with other values."""
    return {
        name: tensor
        for name, tensor in exported.items()
        if not np.array_equal(tensor, encoder.get(name.removeprefix("bert.")))
    }


def is_matrix(name, tensor):
    if tensor.ndim != 2 or "token_type" in name:
        return False
    return name.startswith("bert.") or name == "cls.predictions.transform.dense.weight"


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("exported", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--task", action="append", default=[])
    parser.add_argument("--description", required=True)
    options = parser.parse_args()

    part = part_of(
        load_file(options.exported / "model.safetensors"),
        dequantized(options.model.parent / ENCODER),
    )
    tensors = {}
    for name, tensor in sorted(part.items()):
        if is_matrix(name, tensor):
            tensors[name], tensors[name + ".scale"] = quantize(tensor)
        else:
            tensors[name] = tensor
    options.model.mkdir(exist_ok=True)
    save_file(tensors, options.model / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((options.exported / "config.json").read_text(encoding="utf-8"))
    write_json(
        options.model / "config.json", {k: v for k, v in config.items() if k not in DROPPED}
    )
    bundle = {"encoder": ENCODER, "tasks": options.task, "description": options.description}
    write_json(options.model / "bundle.json", bundle)
    (options.model / "model.safetensors").chmod(0o644)
    written = (options.model / "model.safetensors").read_bytes()
    digest = hashlib.sha256(written).hexdigest()
    print(f"{options.model.name}: {len(written)} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
