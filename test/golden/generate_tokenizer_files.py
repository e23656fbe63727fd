#!/usr/bin/env python3
"""Which file decides what a tokenizer does: every combination of what the files may say, and what
AutoTokenizer makes of it.

    python3 test/golden/generate_tokenizer_files.py      # writes test/golden/tokenizer_files.json

A product is a list of dimensions; a case takes one option of each. An option says members of
JSON files, or a text file; members of one file that several options say are put together.
test/unit/test_tokenizer_files.c makes the same folders of it and compares.
"""

import itertools
import json
import os
import shutil
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
from transformers import AutoTokenizer, __version__ as transformers_version  # noqa: E402

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "A",
    "##b",
    "##B",
    "é",
    "e",
    "É",
    "E",
    "中",
    "文",
    "##文",
    "中文",
    "x",
    "<one>",
    "z",
    "##z",
]
OTHER = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "z",
    "##z",
    "a",
    "##b",
    "A",
    "e",
    "E",
    "é",
    "中",
    "文",
    "x",
    "##B",
]
CONFIG = {
    "model_type": "bert",
    "vocab_size": 64,
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 4,
}
PROBES = [
    ("ab AB éÉ 中文 z", None),
    ("A [MASK] <one><two> <three>x", "ab zé"),
    ("<four> <five> <six>b [mask]", "[SEP] <seven>"),
]


def normalizer(lowercase, strip, chinese=True, clean=True):
    return {
        "type": "BertNormalizer",
        "clean_text": clean,
        "handle_chinese_chars": chinese,
        "strip_accents": strip,
        "lowercase": lowercase,
    }


def template():
    def special(token, kind):
        return {"SpecialToken": {"id": token, "type_id": kind}}

    def text(name, kind):
        return {"Sequence": {"id": name, "type_id": kind}}

    return {
        "type": "TemplateProcessing",
        "single": [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)],
        "pair": [
            special("[CLS]", 0),
            text("A", 0),
            special("[SEP]", 0),
            text("B", 1),
            special("[SEP]", 1),
        ],
        "special_tokens": {
            t: {"id": t, "ids": [OTHER.index(t)], "tokens": [t]} for t in ("[CLS]", "[SEP]")
        },
    }


def tokenizer_json(norm, added=(), prefix="##", chars=100):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(added),
        "normalizer": norm,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(),
        "decoder": {"type": "WordPiece", "prefix": prefix, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": chars,
            "vocab": {token: i for i, token in enumerate(OTHER)},
        },
    }


def token(content, special=False, **flags):
    return {
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": not special,
        "special": special,
        **flags,
    }


def numbered(id, content, special=False, **flags):
    return {"id": id, **token(content, special, **flags)}


def said(file, **members):
    return {file: members}


SETTINGS = "tokenizer_config.json"
MAP = "special_tokens_map.json"
ADDED = "added_tokens.json"
JSON = "tokenizer.json"
VOCAB = {"vocab.txt": "".join(w + "\n" for w in WORDS)}
BERT_ADDED = [numbered(i, t, True) for i, t in enumerate(OTHER[:5])]

CLASSES = [
    {},
    *(
        said(SETTINGS, tokenizer_class=c)
        for c in (
            "BertTokenizer",
            "BertTokenizerFast",
            "DistilBertTokenizerFast",
            "ElectraTokenizer",
            "PreTrainedTokenizerFast",
            "TokenizersBackend",
        )
    ),
]
PRODUCTS = [
    {
        "name": "normalizer",
        "dimensions": [
            CLASSES,
            [
                {},
                *(
                    said("config.json", tokenizer_class=c)
                    for c in ("BertTokenizer", "PreTrainedTokenizerFast")
                ),
            ],
            [{}, said(SETTINGS, do_lower_case=True), said(SETTINGS, do_lower_case=False)],
            [
                {},
                said(SETTINGS, strip_accents=None),
                said(SETTINGS, strip_accents=True),
                said(SETTINGS, strip_accents=False),
            ],
            [{}, said(SETTINGS, tokenize_chinese_chars=False)],
            [
                {},
                {JSON: tokenizer_json(normalizer(True, None), BERT_ADDED)},
                {JSON: tokenizer_json(normalizer(False, True, False), BERT_ADDED)},
                {
                    JSON: tokenizer_json(
                        {
                            "type": "Sequence",
                            "normalizers": [{"type": "Lowercase"}, normalizer(False, None)],
                        },
                        BERT_ADDED,
                    )
                },
                {JSON: tokenizer_json(None, BERT_ADDED)},
            ],
            [{}, VOCAB],
        ],
    },
    {
        "name": "added tokens",
        "dimensions": [
            [{}, said(SETTINGS, tokenizer_class="PreTrainedTokenizerFast")],
            [
                {},
                said(SETTINGS, added_tokens_decoder={}),
                said(
                    SETTINGS,
                    added_tokens_decoder={
                        "2": token("[CLS]", True),
                        "3": token("[SEP]", True),
                        "40": token("<one>", True, rstrip=True),
                        "30": token("<two>"),
                    },
                ),
            ],
            [
                {},
                said(
                    MAP,
                    mask_token={
                        "content": "[MASK]",
                        "lstrip": True,
                        "rstrip": False,
                        "normalized": False,
                        "single_word": False,
                    },
                    additional_special_tokens=["<three>", "x"],
                    bos_token="<six>",
                ),
            ],
            [{}, said(ADDED, **{"<three>": 22, "<four>": 23, "[MASK]": 4, "<one>": 18})],
            [
                {},
                {
                    JSON: tokenizer_json(
                        normalizer(True, None),
                        BERT_ADDED
                        + [numbered(17, "<one>"), numbered(18, "<five>", True, lstrip=True)],
                    )
                },
            ],
            [
                {},
                said(SETTINGS, additional_special_tokens=["<four>", "<six>"]),
                said(SETTINGS, extra_special_tokens=["<seven>", "<one>"]),
                said(SETTINGS, extra_special_tokens={"image_token": "<seven>"}),
                said(SETTINGS, image_token="<five>", eos_token="<two>"),
            ],
            [
                {},
                said(SETTINGS, model_max_length=12, max_len=7),
                said(SETTINGS, max_len=7),
                said(SETTINGS, model_max_length=1e30),
            ],
            [VOCAB],
        ],
    },
    {
        "name": "names",
        "dimensions": [
            [{}, said(SETTINGS, tokenizer_class="PreTrainedTokenizerFast")],
            [
                {},
                said(SETTINGS, unk_token="x"),
                said(SETTINGS, unk_token="[UNK]", cls_token="z", sep_token="x"),
                said(SETTINGS, mask_token="<mask>"),
            ],
            [
                {},
                said(MAP, unk_token="[MASK]", pad_token="a"),
                said(MAP, sep_token="a", cls_token="x"),
            ],
            [
                {},
                said(SETTINGS, model_input_names=["input_ids", "attention_mask"]),
                said(SETTINGS, model_input_names=["input_ids", "token_type_ids", "attention_mask"]),
            ],
            [
                {},
                said(SETTINGS, clean_text=False, wordpieces_prefix="#", max_input_chars_per_word=1),
            ],
            [
                {},
                {JSON: tokenizer_json(normalizer(True, None), BERT_ADDED)},
                {JSON: tokenizer_json(normalizer(True, False), BERT_ADDED, "x", 3)},
            ],
            [VOCAB],
        ],
    },
    {
        "name": "lines",
        "dimensions": [
            [
                {"vocab.txt": "".join(w + end for w in WORDS)}
                for end in ("\n", "\r\n", " \n", "\u3000\n")
            ]
            + [
                {"vocab.txt": "\n".join(WORDS[:-1] + ["", "##z"]) + "\n"},
                {"vocab.txt": "\n".join(WORDS[:7] + ["a", "  ", "a"] + WORDS[7:])},
                {"vocab.txt": "\n".join(WORDS) + "\n\n\n"},
                {"vocab.txt": "\n".join(["a", "A", "z"] + WORDS)},
            ],
            [{}, said(SETTINGS, do_lower_case=False)],
        ],
    },
]


def folder_of(options):
    files = {"config.json": dict(CONFIG)}
    for option in options:
        for name, content in option.items():
            if isinstance(content, str):
                files[name] = content
            else:
                files.setdefault(name, {}).update(content)
    return files


def outcome(directory):
    """What a folder's tokenizer makes of the probes, or None where the reference refuses it."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        result = [int(tokenizer.model_max_length) if tokenizer.model_max_length <= 65536 else 0]
        for text, pair in PROBES:
            encoded = tokenizer(text, pair)
            result.append(encoded["input_ids"])
            result.append(encoded.get("token_type_ids", [0] * len(encoded["input_ids"])))
        return result
    except Exception:
        return None


def main():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tokenizer_files.json")
    outcomes, numbers = [], {}
    directory = tempfile.mkdtemp()
    for product in PRODUCTS:
        cases = []
        for options in itertools.product(*product["dimensions"]):
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
            files = folder_of(options)
            for name, content in files.items():
                with open(os.path.join(directory, name), "w", encoding="utf-8", newline="") as file:
                    file.write(content if isinstance(content, str) else json.dumps(content))
            # without any vocabulary the reference makes one of five tokens up, which is no model's
            result = outcome(directory) if JSON in files or "vocab.txt" in files else None
            key = json.dumps(result)
            if key not in numbers:
                numbers[key] = len(outcomes)
                outcomes.append(result)
            cases.append(numbers[key])
        product["cases"] = cases
        print(product["name"], len(cases), "cases", file=sys.stderr)
    shutil.rmtree(directory)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "transformers": transformers_version,
                "probes": PROBES,
                "config": CONFIG,
                "products": PRODUCTS,
                "outcomes": outcomes,
            },
            file,
            ensure_ascii=False,
            separators=(",", ":"),
        )
        file.write("\n")


if __name__ == "__main__":
    main()
