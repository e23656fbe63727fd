#!/usr/bin/env python3
"""Folders of sentence-transformers in small, one for each layout, and what the library makes of
them.

    python3 test/golden/generate_sentence.py      # writes test/golden/sentence
    python3 test/golden/generate_sentence.py --check FOLDER
                    # loads FOLDER/LAYOUT, as bert.export_model wrote them, and compares with
                    # values.tsv

All models share a few encoders of random weights, which lie in sentence/bases once. A folder of
sentence/layouts has a file "base" with its encoder's name and, in a second line, the folder that
the encoder lies in, if it has one of its own; besides it only the files in which it differs.
values.tsv has a line for each number that the reference gives: layout, function, first text, second
text, values. merged.safetensors is bert's with a Dense module's tensors, as an import from values
takes them. test/t/sentence makes the folders and compares.
"""

import filecmp
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
import torch  # noqa: E402
from sentence_transformers import CrossEncoder, SentenceTransformer  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from sentence_transformers.sentence_transformer.modules import (  # noqa: E402
    Dense,
    Normalize,
    Pooling,
    Transformer,
)
from sentence_transformers.util import fullname  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
)

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sentence")
WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] the a cat dog sat ran on mat query passage : search ##s is
what who , . far""".split()
TEXTS = ["the cat sat on the mat .", "what is a dogs ?", "", "a " * 30 + "far"]
PAIRS = [("the cat", "a dog ran"), ("who sat on what", "")]
WIDTH = 16
ACTIVATIONS = [
    getattr(torch.nn, name)
    for name in """ReLU GELU Sigmoid SiLU LeakyReLU ELU CELU SELU ReLU6 Mish Softplus Softsign
        Hardtanh Hardsigmoid Hardswish LogSigmoid Tanhshrink""".split()
]
OLD = "sentence_transformers.models."
SWITCHES = {
    "cls": "cls_token",
    "mean": "mean_tokens",
    "max": "max_tokens",
    "mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "weightedmean": "weightedmean_tokens",
    "lasttoken": "lasttoken",
}


def make_base(folder, kind, seed, **settings):
    """An encoder whose weights are large enough for texts to differ."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
        initializer_range=0.4,
        **settings,
    )
    model = kind(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("bias"):
                tensor.normal_(0, 0.2)
    model.save_pretrained(folder)
    os.chmod(os.path.join(folder, "model.safetensors"), 0o644)
    with open(os.path.join(folder, "vocab.txt"), "w") as file:
        file.write("\n".join(WORDS) + "\n")
    BertTokenizer(os.path.join(folder, "vocab.txt")).save_pretrained(folder)
    if not os.path.exists(os.path.join(folder, "vocab.txt")):
        raise SystemExit("the vocabulary is gone")


def encoder(base, *modules, max_length=None, **settings):
    """A model of the library's own making, saved as it saves."""

    def make(folder):
        first = Transformer(base, max_seq_length=max_length)
        SentenceTransformer(modules=[first, *[module() for module in modules]], **settings).save(
            folder, create_model_card=False
        )

    return make


def older(modes, *others, normalize=False, config=None, sentence=None, inner="", **pooling):
    """A folder as versions before 5 wrote it. others: (type, path, config, tensors) of modules."""

    def make(folder):
        modules = [
            ("Transformer", inner, None, None),
            ("Pooling", "1_Pooling", None, None),
            *others,
        ]
        if normalize:
            modules.append(("Normalize", "%d_Normalize" % len(modules), None, None))
        write(
            folder,
            "modules.json",
            [
                {"idx": i, "name": str(i), "path": path, "type": OLD + kind}
                for i, (kind, path, _, _) in enumerate(modules)
            ],
        )
        write(
            folder,
            "1_Pooling/config.json",
            {
                "word_embedding_dimension": WIDTH,
                **{"pooling_mode_" + SWITCHES[m]: m in modes for m in SWITCHES},
                **pooling,
            },
        )
        for _, path, settings, tensors in others:
            write(folder, path + "/config.json", settings)
            save_file(tensors, os.path.join(folder, path, "model.safetensors"))
        if config is not None:
            write(folder, "config_sentence_transformers.json", config)
        if sentence is not None:
            write(folder, os.path.join(inner, "sentence_bert_config.json"), sentence)
        if inner:
            for name in os.listdir(folder):
                path = os.path.join(folder, name)
                if os.path.isfile(path) and name != "modules.json":
                    shutil.move(path, os.path.join(folder, inner, name))

    return make


def write(folder, name, value):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(value, file, indent=1)


def with_config(base, **members):
    """The base's config.json with more members: a cross-encoder of an older version."""

    def make(folder):
        with open(os.path.join(base, "config.json")) as file:
            config = json.load(file)
        write(folder, "config.json", {**config, **members})

    return make


def pooling(mode, **settings):
    return lambda: Pooling(WIDTH, pooling_mode=mode, **settings)


def dense(inputs, outputs, activation, **settings):
    """A Dense module whose weights depend on its shape and activation alone."""

    def make():
        torch.manual_seed(inputs * 100 + outputs + len(str(activation)))
        return Dense(inputs, outputs, activation_function=activation, **settings)

    return make


def older_dense(inputs, outputs, activation, path):
    module = dense(inputs, outputs, activation)()
    tensors = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    settings = {
        "in_features": inputs,
        "out_features": outputs,
        "bias": True,
        "activation_function": fullname(activation),
    }
    return ("Dense", path, settings, tensors)


def layouts(bases):
    """name: (base, what makes the folder, is it a cross-encoder)"""
    bert = bases["bert"]
    scorer = bases["scorer"]
    prompts = {"query": "query : ", "document": "passage : ", "search": "search "}
    identity = fullname(torch.nn.Identity())
    sigmoid = fullname(torch.nn.Sigmoid())
    out = {}
    for mode in SWITCHES:
        out["pooling-" + mode] = ("bert", encoder(bert, pooling(mode)))
        out["older-" + mode] = ("bert", older({mode}))
    out["plain"] = ("bert", None)
    out["normalize"] = ("bert", encoder(bert, pooling("cls"), Normalize))
    out["older-normalize"] = ("bert", older({"mean"}, normalize=True))
    out["prompts"] = ("bert", encoder(bert, pooling("mean"), Normalize, prompts=prompts))
    for name in ("query", "search"):
        out["default-" + name] = (
            "bert",
            encoder(bert, pooling("mean"), prompts=prompts, default_prompt_name=name),
        )
    for name in ("dot", "euclidean", "manhattan"):
        out["similarity-" + name] = (
            "bert",
            encoder(bert, pooling("mean"), similarity_fn_name=name),
        )
    out["length"] = ("bert", encoder(bert, pooling("lasttoken"), max_length=9))
    out["older-lower"] = (
        "bert",
        older({"max"}, sentence={"max_seq_length": 12, "do_lower_case": True}),
    )
    out["older-prompts"] = (
        "bert",
        older(
            {"mean"},
            normalize=True,
            config={
                "__version__": {"sentence_transformers": "3.0.1", "transformers": "4.41.2"},
                "prompts": {"query": "query : ", "other": "search "},
                "default_prompt_name": "other",
                "similarity_fn_name": "dot",
            },
        ),
    )
    several = {
        "two": ("mean", "max"),
        "three": ("lasttoken", "cls", "weightedmean"),
        "all": tuple(SWITCHES),
    }
    for name, modes in several.items():
        out["pooling-" + name] = ("bert", encoder(bert, pooling(modes), Normalize))
    out["older-two"] = ("bert", older({"cls", "max"}))
    for name in [*SWITCHES, "two"]:
        out["without-prompt-" + name] = (
            "bert",
            encoder(
                bert,
                pooling(several.get(name, name), include_prompt=False),
                prompts=prompts,
                max_length=12 if name == "two" else None,
                default_prompt_name="search",
            ),
        )
    tanh = torch.nn.Tanh()
    out["dense"] = ("bert", encoder(bert, pooling("cls"), dense(WIDTH, WIDTH, tanh), Normalize))
    out["dense-smaller"] = ("bert", encoder(bert, pooling("mean"), dense(WIDTH, 5, tanh)))
    out["dense-wide"] = (
        "bert",
        encoder(
            bert,
            pooling(several["two"]),
            dense(2 * WIDTH, 7, torch.nn.Identity(), bias=False),
            Normalize,
            prompts=prompts,
            similarity_fn_name="dot",
        ),
    )
    out["dense-three"] = (
        "bert",
        encoder(
            bert,
            pooling("mean"),
            dense(WIDTH, 20, torch.nn.ReLU()),
            dense(20, 9, None),
            dense(9, 4, torch.nn.Sigmoid(), bias=False),
        ),
    )
    for activation in ACTIVATIONS:
        name = activation.__name__
        out["dense-" + name] = (
            "bert",
            encoder(bert, pooling("cls"), dense(WIDTH, 3, activation())),
        )
    out["older-dense"] = (
        "bert",
        older(
            {"cls"},
            older_dense(WIDTH, WIDTH, tanh, "2_Dense"),
            normalize=True,
            inner="0_Transformer",
            sentence={"max_seq_length": 16, "do_lower_case": False},
        ),
    )
    out["older-dense-elsewhere"] = (
        "bert",
        older({"mean"}, older_dense(WIDTH, 6, torch.nn.GELU(), "my/projection")),
    )
    out["score"] = ("scorer", None)
    out["score-identity"] = (
        "scorer",
        with_config(scorer, sentence_transformers={"activation_fn": identity, "version": "4.1.0"}),
    )
    out["score-older-identity"] = (
        "scorer",
        with_config(scorer, sbert_ce_default_activation_function=identity),
    )
    out["score-sigmoid"] = (
        "scorer",
        with_config(scorer, sentence_transformers={"activation_fn": sigmoid, "version": "4.1.0"}),
    )
    out["score-saved"] = (
        "scorer",
        lambda folder: CrossEncoder(scorer, activation_fn=torch.nn.Identity()).save_pretrained(
            folder
        ),
    )
    return out


def show(values):
    return "{" + ",".join("%.7g" % value for value in values) + "}"


def score_values(model):
    for a, b in PAIRS:
        yield "rank", a, b, [float(model.predict([(a, b)])[0])]


def encoder_values(model, plain, few):
    for text in TEXTS[:1] if few else TEXTS:
        yield "embed", text, "", model.encode(text, normalize_embeddings=plain)
        if any(model.prompts.values()):
            yield "embed_query", text, "", model.encode_query(text)
            yield "embed_document", text, "", model.encode_document(text)
    for a, b in [] if few else PAIRS:
        yield "similarity", a, b, [float(model.similarity(*model.encode([a, b])))]
        yield "rank", a, b, [
            float(model.similarity(model.encode_query(a), model.encode_document(b)))
        ]


def reference_values(folder, base, layout):
    """(function, first text, second text, values); bert.embed normalizes what comes without
    modules, and the library does not."""
    if base == "scorer":
        return score_values(CrossEncoder(folder))
    few = layout.removeprefix("dense-") in [kind.__name__ for kind in ACTIVATIONS]
    return encoder_values(SentenceTransformer(folder), layout == "plain", few)


def check(folder):
    """What was exported loads without a warning and gives the same values."""
    heard = []
    logging.getLogger().addHandler(ListHandler(heard))
    warnings.showwarning = lambda message, *rest: heard.append(str(message))
    warnings.simplefilter("always")
    with open(os.path.join(OUT, "values.tsv")) as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    bad = 0
    for layout in sorted(os.listdir(folder)):
        with open(os.path.join(OUT, "layouts", layout, "base")) as file:
            base = file.readline().strip()
        heard.clear()
        got = list(reference_values(os.path.join(folder, layout), base, layout))
        expected = [line[1:] for line in lines if line[0] == layout]
        far = max(
            abs(a - float(b)) / max(1.0, abs(float(b)))
            for (_, _, _, values), line in zip(got, expected, strict=True)
            for a, b in zip(values, line[3].strip("{}").split(","), strict=True)
        )
        if far > 1e-5 or heard:
            bad += 1
            print(f"{layout}: {far} {heard}")
    print(f"{bad} of {len(os.listdir(folder))} folders differ")
    return bad > 0


class ListHandler(logging.Handler):
    def __init__(self, lines):
        super().__init__(logging.WARNING)
        self.lines = lines

    def emit(self, record):
        if not record.getMessage().startswith("Default prompt name is set"):  # which it is
            self.lines.append(record.getMessage())


def keep(folder, base, base_name, layout):
    """The files that differ from the base's, and the base's name."""
    target = os.path.join(OUT, "layouts", layout)
    os.makedirs(target)
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            relative = os.path.relpath(path, folder)
            original = os.path.join(base, relative.removeprefix("0_Transformer/"))
            if name in ("README.md", ".gitattributes") or (
                os.path.exists(original) and filecmp.cmp(path, original, shallow=False)
            ):
                continue
            os.makedirs(os.path.dirname(os.path.join(target, relative)), exist_ok=True)
            shutil.copyfile(path, os.path.join(target, relative))
    inner = "0_Transformer" if os.path.exists(os.path.join(folder, "0_Transformer")) else ""
    with open(os.path.join(target, "base"), "w") as file:
        file.write(base_name + "\n" + inner + "\n" * bool(inner))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    bases = {name: os.path.join(OUT, "bases", name) for name in ("bert", "scorer")}
    make_base(bases["bert"], BertModel, 1)
    make_base(bases["scorer"], BertForSequenceClassification, 2, num_labels=1)
    with open(os.path.join(OUT, "values.tsv"), "w") as out:
        for layout, (base, make) in layouts(bases).items():
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(bases[base], folder, dirs_exist_ok=True)
                if make is not None:
                    make(folder)
                keep(folder, bases[base], base, layout)
                for function, a, b, values in reference_values(folder, base, layout):
                    out.write("\t".join([layout, function, a, b, show(values)]) + "\n")
    tensors = load_file(os.path.join(bases["bert"], "model.safetensors"))
    module = os.path.join(OUT, "layouts", "dense-smaller", "2_Dense", "model.safetensors")
    for name, tensor in load_file(module).items():
        tensors["2_Dense." + name] = tensor
    save_file(tensors, os.path.join(OUT, "merged.safetensors"))
    os.chmod(os.path.join(OUT, "merged.safetensors"), 0o644)


if __name__ == "__main__":
    sys.exit(check(sys.argv[2]) if sys.argv[1:2] == ["--check"] else main())
