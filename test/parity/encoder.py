#!/usr/bin/env python3
"""The encoder with real weights against the reference library.

    make build/parity/encoder_driver
    python3 test/parity/encoder.py MODEL_FOLDER TEXT_FILE [KERNEL]

Takes the folder of a BERT encoder, cuts the text into inputs of 1 to 512 tokens, and prints for
every precision and length the largest absolute difference from the reference library in hidden
states and in the mean-pooled unit embedding. Exits with 1 when fp32 is further off than 1e-4
(hidden states) or 1e-5 (embeddings).
"""

import os
import subprocess
import sys
import tempfile

import numpy
import safetensors.numpy
import torch
from transformers import AutoTokenizer, BertModel

LENGTHS = (1, 2, 3, 7, 16, 31, 64, 100, 128, 255, 256, 384, 511, 512)
DRIVER = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "parity", "encoder_driver"
)


def main():
    folder, text = sys.argv[1:3]
    kernel = sys.argv[3] if len(sys.argv) > 3 else "auto"
    torch.set_num_threads(1)
    model = BertModel.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(open(text, encoding="utf-8").read(20000), add_special_tokens=False)[
        "input_ids"
    ]
    failed = False
    with tempfile.TemporaryDirectory() as work:
        paths = []
        for length in LENGTHS:
            ids = ([tokenizer.cls_token_id] + tokens[: length - 2] + [tokenizer.sep_token_id])[
                :length
            ]
            with torch.no_grad():
                out = model(torch.tensor([ids]), output_hidden_states=True)
            mean = out.last_hidden_state.mean(1)
            path = os.path.join(work, "%d.safetensors" % length)
            safetensors.numpy.save_file(
                {
                    "input_ids": numpy.array([ids], numpy.float32),
                    "hidden_states": torch.stack(out.hidden_states).numpy(),
                    "embedding": torch.nn.functional.normalize(mean).numpy(),
                },
                path,
            )
            paths.append(path)
        for precision in ("fp32", "bf16", "int8"):
            result = subprocess.run(
                [DRIVER, folder, kernel, precision] + paths,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            print(
                "%s, kernel %s: tokens, hidden states, last hidden state, unit embedding"
                % (precision, kernel)
            )
            print(result, end="")
            for line in result.splitlines():
                _, states, _, embedding = line.split()
                failed |= precision == "fp32" and (float(states) > 1e-4 or float(embedding) > 1e-5)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
