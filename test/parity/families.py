#!/usr/bin/env python3
"""Exports of BERT's relatives against the reference library (transformers 5).

    python3 families.py FOLDER [MODELS]

FOLDER has exported models (bert.export_model), MODELS, by default test/golden/families, those that
they were imported from, under the same names. Each export must load with AutoConfig and the class
that its config names, without a missing, unexpected or mismatched key, give the same config class
and the same outputs. Nothing is downloaded.
"""

import os
import sys

import torch
import transformers

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(os.path.dirname(HERE), "golden", "families", "models")


def load(folder):
    config = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, config.architectures[0])
    model, info = model_class.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    return model.eval(), info


def outputs(model):
    config = model.config
    torch.manual_seed(1)
    shape = (2, 3, 6) if "MultipleChoice" in type(model).__name__ else (2, 6)
    ids = torch.randint(0, config.vocab_size, shape)
    with torch.no_grad():
        values = model(input_ids=ids, return_dict=True)
    return [v for v in values.values() if torch.is_tensor(v)]


def check(folder, original):
    model, info = load(folder)
    other, _ = load(original)
    told = {k: v for k, v in info.items() if v}
    if type(model) is not type(other) or type(model.config) is not type(other.config):
        return "class %s for %s" % (type(model).__name__, type(other).__name__)
    if told:
        return str(told)
    pairs = list(zip(outputs(model), outputs(other)))
    worst = max((a - b).abs().max().item() for a, b in pairs)
    return None if pairs and worst < 1e-6 else "outputs differ by %g" % worst


def main():
    folder = sys.argv[1]
    originals = sys.argv[2] if len(sys.argv) > 2 else GOLDEN
    transformers.logging.set_verbosity_error()
    bad = 0
    names = sorted(os.listdir(folder))
    for name in names:
        wrong = check(os.path.join(folder, name), os.path.join(originals, name))
        if wrong:
            bad += 1
            print("%s: %s" % (name, wrong))
    print("%d exports, %d wrong" % (len(names), bad))
    return 1 if bad or not names else 0


if __name__ == "__main__":
    sys.exit(main())
