"""Golden values of sparse encoders: test/golden/splade.json.

Run from the repository's root with torch, transformers and sentence-transformers >= 5:
    python test/golden/generate_splade.py
The network is test/golden/models/masked_lm in float32; each case is a SparseEncoder of it with
another pooling. Committed: the indices and weights of each text.
"""
import json
import tempfile
import warnings

warnings.filterwarnings("ignore")

import sentence_transformers
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling

TEXTS = ["the cat lives in paris", "", "John works for the dog, and Mary is in New York!",
         " ".join(["the dog and the cat"] * 40)]
PROMPTS = {"query": "the cat ", "document": ""}


def main():
    out = {"versions": {"sentence_transformers": sentence_transformers.__version__,
                        "torch": torch.__version__}, "texts": TEXTS, "prompts": PROMPTS,
           "cases": []}
    for pooling in ("max", "sum"):
        for activation in ("relu", "log1p_relu"):
            transformer = MLMTransformer("test/golden/models/masked_lm",
                                         model_kwargs={"dtype": torch.float32})
            model = SparseEncoder(modules=[transformer, SpladePooling(pooling, activation)],
                                  prompts=PROMPTS, device="cpu")
            case = {"pooling": pooling, "activation": activation}
            for kind in PROMPTS:
                encode = model.encode_query if kind == "query" else model.encode_document
                case[kind] = []
                for text in TEXTS:
                    row = encode(text, convert_to_sparse_tensor=False).float()
                    indices = row.nonzero().flatten().tolist()
                    case[kind].append({"dimensions": len(row), "indices": indices,
                                       "weights": [round(row[i].item(), 7) for i in indices]})
            out["cases"].append(case)
    with open("test/golden/splade.json", "w") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")


main()
