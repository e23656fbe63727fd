"""Golden values of a sparse encoder that reads queries without a network: test/golden/router.

Run from the repository's root with torch, transformers and sentence-transformers >= 5:
    python test/golden/generate_router.py
    python test/golden/generate_router.py --check FOLDER
The network is test/golden/models/masked_lm in float32, its tokenizer that of both routes. Committed:
what the library writes beside network and tokenizer, and golden.json, the indices and weights of
each text. --check loads a folder that bert.export_model wrote, and compares.
"""
import json
import os
import shutil
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")

import sentence_transformers
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import (
    MLMTransformer,
    Router,
    SparseStaticEmbedding,
    SpladePooling,
)

OUT = "test/golden/router"
TEXTS = ["the cat lives in paris", "", "the the dog, and the dog in New York!", "[SEP] cat [MASK]",
         " ".join(["the dog and the cat"] * 40)]
PROMPTS = {"query": "in ", "document": "the cat "}
KEPT = ("modules.json", "router_config.json", "config_sentence_transformers.json",
        "sentence_bert_config.json", "SparseStaticEmbedding/config.json",
        "SparseStaticEmbedding/model.safetensors", "SpladePooling/config.json")


def rows(model, kind):
    encode = model.encode_query if kind == "query" else model.encode_document
    out = []
    for text in TEXTS:
        row = encode(text, convert_to_sparse_tensor=False).float()
        indices = row.nonzero().flatten().tolist()
        out.append({"dimensions": len(row), "indices": indices,
                    "weights": [round(row[i].item(), 7) for i in indices]})
    return out


def check(folder):
    model = SparseEncoder(folder, device="cpu")
    golden = json.load(open(os.path.join(OUT, "golden.json")))
    assert model.prompts == PROMPTS, model.prompts
    for kind in PROMPTS:
        for got, wanted in zip(rows(model, kind), golden[kind]):
            assert got["indices"] == wanted["indices"], (kind, got, wanted)
            for a, b in zip(got["weights"], wanted["weights"]):
                assert abs(a - b) < 1e-5, (kind, a, b)
    print("equal")


def main():
    if sys.argv[1:2] == ["--check"]:
        return check(sys.argv[2])
    transformer = MLMTransformer("test/golden/models/masked_lm",
                                 model_kwargs={"dtype": torch.float32})
    words = len(transformer.tokenizer)
    weight = torch.randn(words, generator=torch.Generator().manual_seed(7)) * 3
    weight[::5] = 0
    query = SparseStaticEmbedding(transformer.tokenizer, weight=weight, frozen=True)
    router = Router.for_query_document(query_modules=[query],
                                       document_modules=[transformer, SpladePooling("max", "relu")])
    model = SparseEncoder(modules=[router], prompts=PROMPTS, similarity_fn_name="dot",
                          device="cpu")
    golden = {"versions": {"sentence_transformers": sentence_transformers.__version__,
                           "torch": torch.__version__}, "texts": TEXTS}
    golden.update({kind: rows(model, kind) for kind in PROMPTS})
    shutil.rmtree(OUT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        for base, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(base, name)
                if path.endswith(KEPT):
                    to = os.path.join(OUT, os.path.relpath(path, folder))
                    os.makedirs(os.path.dirname(to), exist_ok=True)
                    shutil.copy(path, to)
    with open(os.path.join(OUT, "golden.json"), "w") as file:
        json.dump(golden, file, separators=(",", ":"))
        file.write("\n")


main()
