#!/usr/bin/env python3
"""Files of torch.save, and the same tensors as safetensors.

    python3 test/golden/generate_torch.py      # writes test/golden/torch

NAME.bin is compared with EXPECTED.safetensors by test/unit/test_torch.c, whose table says which.
The folders archive and stream are the model test/golden/models/activations as older releases
published it: gamma and beta, the second with torch.nn.DataParallel's "module.".
"""

import json
import os
import shutil
import zipfile
from collections import OrderedDict

import torch
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "models", "activations")
OUT = os.path.join(HERE, "torch")


def path(*names):
    return os.path.join(OUT, *names)


def tensors():
    """Every dtype, and every way a tensor can lie in its storage."""
    torch.manual_seed(1)
    rows = torch.randn(6, 10)
    words = torch.randn(7, 4)
    result = {
        "f32": torch.randn(3, 5),
        "f16": torch.randn(3, 5).half(),
        "bf16": torch.randn(3, 5).bfloat16(),
        "f64": torch.randn(2).double(),
        "i64": torch.arange(5).expand(1, -1),
        "i32": torch.arange(3, dtype=torch.int32),
        "i16": torch.arange(3, dtype=torch.int16),
        "i8": torch.arange(-3, 4, dtype=torch.int8),
        "u8": torch.arange(3, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 4),
        "vector": torch.randn(9),
        "tied.one": words,
        "tied.other": words,
        "view.rows": rows[2:5],
        "view.columns": rows[:, 3:7],
        "view.transposed": rows.t(),
        "view.transposed_part": rows.t()[1:9, 1:4],
        "view.every_second": rows[:, ::2],
        "view.every_third_row": rows[::3],
        "view.column": rows[:, 4],
        "view.repeated": torch.randn(3, 1).expand(3, 4),
        "view.one_column": rows[1:4, 2:3],
        "view.deep": torch.randn(2, 3, 4),
        "view.deep_strided": torch.randn(2, 3, 4).transpose(0, 2),
        "view.long": torch.randn(50, 20).half().t(),
    }
    return result


def model_state():
    """As published before 2019: gamma and beta."""
    state = OrderedDict()
    for name, tensor in load_file(os.path.join(MODEL, "model.safetensors")).items():
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
        state[name.replace("LayerNorm.bias", "LayerNorm.beta")] = tensor
    return state


def write_model(folder):
    os.makedirs(path(folder))
    for name in "config.json", "vocab.txt", "tokenizer_config.json":
        shutil.copy(os.path.join(MODEL, name), path(folder, name))


def write_models():
    state = model_state()
    write_model("archive")
    torch.save(state, path("archive", "pytorch_model.bin"))
    write_model("stream")
    wrapped = OrderedDict(("module." + name, tensor) for name, tensor in state.items())
    torch.save(
        wrapped, path("stream", "pytorch_model.bin"), _use_new_zipfile_serialization=False
    )


def write_shards(state):
    os.makedirs(path("shards"))
    names = list(state)
    files = ["pytorch_model-0000%d-of-00002.bin" % n for n in (1, 2)]
    where = {name: files[i >= len(names) // 2] for i, name in enumerate(names)}
    for file in files:
        torch.save(
            {name: state[name] for name in names if where[name] == file}, path("shards", file)
        )
    with open(path("shards", "pytorch_model.bin.index.json"), "w") as out:
        json.dump({"metadata": {"total_size": 1}, "weight_map": where}, out, indent=1)


def write_small():
    """One small dictionary in every form that torch.save has."""
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    state = layer.state_dict()  # an OrderedDict with _metadata
    save_file({k: v.contiguous() for k, v in state.items()}, path("small.safetensors"))
    torch.save(state, path("state.bin"))
    write_shards(state)
    for protocol in 2, 3, 4, 5:
        torch.save(dict(state), path("protocol_%d.bin" % protocol), pickle_protocol=protocol)
        torch.save(
            dict(state),
            path("stream_protocol_%d.bin" % protocol),
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=False,
        )
    torch.save(dict(layer.named_parameters()), path("parameters.bin"))
    torch.save({"epoch": 3, "lr": 1e-3, "state_dict": state, "best": None}, path("nested.bin"))
    torch.serialization.set_crc32_options(False)
    torch.save(state, path("no_checksums.bin"))
    torch.serialization.set_crc32_options(True)
    # packed again by another program: folders of their own, no ZIP64, no data descriptors
    with zipfile.ZipFile(path("state.bin")) as old, zipfile.ZipFile(path("again.bin"), "w") as new:
        new.mkdir("archive")
        for name in old.namelist():
            new.writestr("archive/" + name.split("/", 1)[1], old.read(name))


def write_doubles():
    """Doubles of every size that a float has, ties, and what .float() makes of them."""
    generator = torch.Generator().manual_seed(2)
    sizes = torch.rand(50, 45, generator=generator, dtype=torch.float64) * 83 - 46
    wide = torch.randn(50, 45, generator=generator, dtype=torch.float64) * 10**sizes
    ties = [1 + 2**-24, 1 + 3 * 2**-24, 2**-150, 3 * 2**-150]
    limits = [-0.0, 2**-149, -1e-60, (2 - 2**-24) * (1 - 2**-50) * 2**127]
    wide[0, :8] = torch.tensor(ties + limits, dtype=torch.float64)
    narrow = wide.float()
    assert narrow.isfinite().all()
    save_file({"wide": wide, "narrow": narrow}, path("doubles.safetensors"))
    torch.save({"wide": wide.t().contiguous().t()}, path("doubles.bin"))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    all_tensors = tensors()
    save_file({k: v.clone().contiguous() for k, v in all_tensors.items()}, path("all.safetensors"))
    torch.save(all_tensors, path("all.bin"))
    torch.save(all_tensors, path("all_stream.bin"), _use_new_zipfile_serialization=False)
    write_small()
    write_doubles()
    write_models()
    for name in "all", "nested", "protocol_4":  # the pickles alone, for test/fuzz
        with zipfile.ZipFile(path(name + ".bin")) as archive, open(
            path(name + ".pkl"), "wb"
        ) as out:
            out.write(archive.read(name + "/data.pkl"))
    with open(path("versions.txt"), "w") as out:
        out.write("torch %s\n" % torch.__version__.split("+")[0])
    for folder, _, names in os.walk(OUT):
        for name in names:
            if name.endswith(".bin"):  # torch's strict reader knows no protocol above 3
                strict = not name.endswith(("_4.bin", "_5.bin"))
                torch.load(os.path.join(folder, name), weights_only=strict)


if __name__ == "__main__":
    main()
