#!/usr/bin/env python3
"""Folders that setfit saves, in small, and what it makes of texts.

    python3 test/golden/generate_setfit.py      # writes test/golden/setfit
    python3 test/golden/generate_setfit.py --check FOLDER
                    # loads FOLDER/LAYOUT, as bert.export_model wrote them, and compares

All have the encoder sentence/bases/bert; a folder of setfit/layouts has what lies beside it.
values.tsv has a line for each probability: layout, text, label, value. Folders called refused-...
have classifiers that are no logistic regression of embeddings. test/t/setfit makes the folders and
compares.
"""

import logging
import os
import pickle
import shutil
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
import joblib  # noqa: E402
import numpy  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from setfit import SetFitHead, SetFitModel  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.multiclass import OneVsRestClassifier  # noqa: E402
from sklearn.multioutput import MultiOutputClassifier  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "setfit")
TEXTS = ["the cat sat on the mat .", "what is a dogs ?", "", "a " * 30 + "far", "who ran far"]
ENCODER = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def encoder(layout):
    """The base with the modules of one of sentence's layouts."""
    folder = tempfile.mkdtemp()
    for name in ENCODER + ("vocab.txt",):
        shutil.copy(os.path.join(HERE, "sentence/bases/bert", name), folder)
    modules = os.path.join(HERE, "sentence/layouts", layout)
    shutil.copytree(modules, folder, dirs_exist_ok=True)
    os.remove(os.path.join(folder, "base"))
    return SentenceTransformer(folder, device="cpu")


def rows(classes, width, seed=3):
    rng = numpy.random.default_rng(seed)
    y = rng.integers(0, classes, 40)
    return (rng.normal(size=(40, width)) + y[:, None]).astype("f4"), y


def fitted(names, width=16, **options):
    x, y = rows(len(names), width)
    return LogisticRegression(**options).fit(x, numpy.array(names)[y])


def several(kind, n=3):
    x, _ = rows(2, 16)
    y = (x[:, :n] + x[:, n : 2 * n] > 0.5).astype(int)
    return kind(LogisticRegression()).fit(x, y)


def double(head):
    head.coef_, head.intercept_ = head.coef_.astype("f8"), head.intercept_.astype("f8")
    head.coef_ = numpy.asfortranarray(head.coef_)
    return head


def objects(head):
    head.classes_ = head.classes_.astype(object)
    return head


def one_of_three():
    x, y = rows(3, 16)
    return OneVsRestClassifier(LogisticRegression()).fit(x, y)


def forest():
    return RandomForestClassifier(n_estimators=2).fit(*rows(2, 16))


def layouts():
    """name: layout of the encoder, classifier, what config_setfit.json says"""
    names = {"labels": ["no", "yes", "na\u00efve"]}
    return {
        "two": ("plain", fitted([0, 1]), {"labels": ["no", "yes"]}),
        "two-texts": ("normalize", fitted(["ham", "spam \U0001f600"]), {}),
        "three": ("pooling-cls", fitted(["b\u00e9", "\u6771", "c"]), {}),
        "three-numbers": ("plain", fitted([0, 1, 2]), names),
        "numbers": ("plain", fitted([-3, 7, 500]), {}),
        "normalized": ("plain", fitted([0, 1, 2]), {"normalize_embeddings": True}),
        "several": ("plain", several(OneVsRestClassifier), names),
        "several-outputs": ("plain", several(MultiOutputClassifier), {}),
        "dense": ("dense-smaller", fitted(["a", "b", "c"], 5), {}),
        "pooled": ("pooling-two", fitted(["a", "b"], 32), {}),
        "double": ("plain", double(fitted(["a", "b", "c"])), {}),
        "objects": ("plain", objects(fitted(["a", "b", "c"])), {}),
        "pickled": ("plain", fitted(["a", "b", "c"]), {}),
        "refused-forest": ("plain", forest(), {}),
        "refused-one-of-three": ("plain", one_of_three(), {}),
        "refused-width": ("dense-smaller", fitted(["a", "b"]), {}),
        "refused-prompt": ("default-query", fitted(["a", "b"]), {}),
        "refused-torch": ("plain", SetFitHead(in_features=16, out_features=2), {}),
    }


def probabilities(model):
    """Of each text label and value; of several outputs what each says of yes."""
    found = model.predict_proba(TEXTS, as_numpy=True)
    if found.ndim == 3:
        found = found[:, :, 1]
    classes = getattr(model.model_head, "classes_", range(found.shape[1]))
    if isinstance(classes, list):
        classes = range(len(classes))
    numbered = all(isinstance(c, (int, numpy.integer)) for c in classes)
    named = numbered and model.labels is not None
    labels = [model.labels[int(c)] if named else str(c) for c in classes]
    for text, row in zip(TEXTS, found):
        for label, value in zip(labels, row):
            yield text, label, float(value)


def write():
    shutil.rmtree(OUT, ignore_errors=True)
    lines = []
    for name, (layout, head, settings) in layouts().items():
        folder = os.path.join(OUT, "layouts", name)
        model = SetFitModel(model_body=encoder(layout), model_head=head, **settings)
        if not name.startswith("refused"):
            lines += [(name, *values) for values in probabilities(model)]
        model.save_pretrained(folder)
        for file in ENCODER:
            os.remove(os.path.join(folder, file))
        for file in ("README.md", "vocab.txt", "special_tokens_map.json"):
            if os.path.exists(os.path.join(folder, file)):
                os.remove(os.path.join(folder, file))
        if name == "pickled":
            with open(os.path.join(folder, "model_head.pkl"), "wb") as file:
                pickle.dump(head, file, protocol=2)
        if name == "double":
            joblib.dump(head, os.path.join(folder, "model_head.pkl"), protocol=3)
    with open(os.path.join(OUT, "values.tsv"), "w", encoding="utf-8") as file:
        for name, text, label, value in lines:
            file.write("%s\t%s\t%s\t%.9g\n" % (name, text, label, value))


def check(folder):
    """Every line again, from folders that were exported."""
    with open(os.path.join(OUT, "values.tsv"), encoding="utf-8") as file:
        expected = [line.rstrip("\n").split("\t") for line in file]
    failed = False
    for name in sorted({line[0] for line in expected}):
        model = SetFitModel.from_pretrained(os.path.join(folder, name))
        found = list(probabilities(model))
        wanted = [(t, label, float(v)) for n, t, label, v in expected if n == name]
        far = max(abs(a[2] - b[2]) for a, b in zip(found, wanted))
        same = [f[:2] for f in found] == [w[:2] for w in wanted]
        print("%-16s %s %.1e" % (name, "same labels" if same else "OTHER LABELS", far))
        failed |= not same or far > 1e-5
        if found and model.model_head.__class__ is LogisticRegression:
            model.predict(TEXTS)
    return failed


def main():
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.manual_seed(1)
    if sys.argv[1:2] == ["--check"]:
        return check(sys.argv[2])
    return write()


if __name__ == "__main__":
    sys.exit(main())
