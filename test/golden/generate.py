#!/usr/bin/env python3
"""Makes the fixtures of this folder with the reference library, from tiny random models.

    python3 generate.py          run once with transformers 5, once with transformers 4.46
    (relative positions, pruned heads)

Each run rewrites its own models, cases and index (cases-5.txt, cases-4.txt; a line is: case,
model folder, config file, head), and what its pipelines make of a few texts with these models
(pipelines-5.json, pipelines-4.json). A model folder is what save_pretrained writes, weights
rounded to half precision before anything is computed. A case is a safetensors file of float32
tensors: inputs, labels and what the reference gives for them. Nothing is downloaded.
"""

import os
import shutil
import sys

import safetensors
import torch
import transformers
from fixtures import (
    CASED,
    HERE,
    MAJOR,
    UNCASED,
    base_config,
    case,
    cases,
    ids,
    make,
    mask,
    seeded,
    types,
    variant,
    write_vocab,
)
from generate_pipelines import pipelines


def bare():
    config = base_config(num_hidden_layers=5, type_vocab_size=3)
    model = make("none", "bare", config)
    for length in (1, 2, 17):
        name = "bare_%d" % length
        case(
            name,
            "none",
            "bare",
            model,
            input_ids=ids(name, config, 2, length),
            token_type_ids=types(name, config, 2, length),
        )
    name = "bare_masks"
    m = mask(name, 5, 7)
    m[0] = torch.tensor([1, 1, 1, 1, 0, 0, 0])
    m[1] = torch.tensor([0, 0, 1, 1, 1, 1, 1])
    m[2] = 0
    case(
        name,
        "none",
        "bare",
        model,
        input_ids=ids(name, config, 5, 7),
        token_type_ids=types(name, config, 5, 7),
        attention_mask=m,
    )
    name = "bare_longest"
    case(name, "none", "bare", model, states=False, input_ids=ids(name, config, 1, 40))

    config = base_config(
        type_vocab_size=1,
        hidden_size=30,
        num_attention_heads=5,
        intermediate_size=33,
        vocab_size=len(CASED),
    )
    model = make("none", "bare_no_pooler", config, add_pooling_layer=False)
    case(
        "bare_no_pooler",
        "none",
        "bare_no_pooler",
        model,
        input_ids=ids("bare_no_pooler", config, 3, 6),
    )


def activations():
    config = base_config(num_hidden_layers=1, intermediate_size=50)
    model = make("none", "activations", config)
    for act in (
        "gelu",
        "gelu_new",
        "gelu_pytorch_tanh",
        "gelu_fast",
        "relu",
        "silu",
        "swish",
        "tanh",
        "quick_gelu",
        "mish",
    ):
        other = variant(model, "activations", act + ".json", hidden_act=act)
        case(
            "activation_" + act,
            "none",
            "activations",
            other,
            act + ".json",
            states=False,
            input_ids=ids("act", config, 2, 11),
        )


def language_models():
    config = base_config(type_vocab_size=2)
    model = make("pretraining", "pretraining", config)
    labels = ids("pretraining labels", config, 2, 8)
    labels[:, ::3] = -100
    case(
        "pretraining",
        "pretraining",
        "pretraining",
        model,
        input_ids=ids("pretraining", config, 2, 8),
        token_type_ids=types("pretraining", config, 2, 8),
        labels=labels,
        next_sentence_label=torch.tensor([0, 1]),
    )

    config = base_config(vocab_size=len(CASED), hidden_act="relu")
    model = make("masked_lm", "masked_lm", config)
    labels = ids("mlm labels", config, 2, 9)
    labels[0, 2:7] = -100
    case(
        "masked_lm",
        "masked_lm",
        "masked_lm",
        model,
        input_ids=ids("masked_lm", config, 2, 9),
        labels=labels,
        attention_mask=mask("masked_lm", 2, 9),
    )
    case(
        "masked_lm_no_label",
        "masked_lm",
        "masked_lm",
        model,
        states=False,
        input_ids=ids("masked_lm", config, 1, 3),
        labels=torch.full((1, 3), -100),
    )

    config = base_config(tie_word_embeddings=False, num_hidden_layers=1)
    model = make("masked_lm", "masked_lm_untied", config)
    case(
        "masked_lm_untied",
        "masked_lm",
        "masked_lm_untied",
        model,
        states=False,
        input_ids=ids("untied", config, 2, 5),
        labels=ids("untied labels", config, 2, 5),
    )

    config = base_config(is_decoder=True, hidden_act="gelu_new")
    model = make("causal_lm", "causal_lm", config)
    labels = ids("clm labels", config, 2, 10)
    labels[1, 5:] = -100
    case(
        "causal_lm",
        "causal_lm",
        "causal_lm",
        model,
        input_ids=ids("causal_lm", config, 2, 10),
        labels=labels,
        use_cache=False,
    )
    m = mask("causal_lm", 3, 6)
    m[0] = torch.tensor([0, 0, 1, 1, 1, 1])
    m[1] = torch.tensor([1, 1, 1, 1, 0, 0])
    case(
        "causal_lm_masks",
        "causal_lm",
        "causal_lm",
        model,
        input_ids=ids("causal_lm_masks", config, 3, 6),
        attention_mask=m,
        use_cache=False,
    )

    config = base_config(is_decoder=True, add_cross_attention=True)
    model = make("causal_lm", "cross_attention", config)
    states = torch.randn((2, 4, 24), generator=seeded("encoder states"))
    case(
        "cross_attention",
        "causal_lm",
        "cross_attention",
        model,
        input_ids=ids("cross_attention", config, 2, 7),
        labels=ids("cross labels", config, 2, 7),
        encoder_hidden_states=states,
        use_cache=False,
    )
    case(
        "cross_attention_masks",
        "causal_lm",
        "cross_attention",
        model,
        input_ids=ids("cross_attention_masks", config, 2, 3),
        encoder_hidden_states=states,
        encoder_attention_mask=torch.tensor([[1, 0, 1, 1], [0, 0, 0, 1]]),
        use_cache=False,
    )
    case(
        "cross_attention_without",
        "causal_lm",
        "cross_attention",
        model,
        states=False,
        input_ids=ids("cross_attention", config, 1, 5),
        use_cache=False,
    )


def sequence_heads():
    config = base_config()
    model = make("next_sentence", "next_sentence", config)
    case(
        "next_sentence",
        "next_sentence",
        "next_sentence",
        model,
        input_ids=ids("nsp", config, 3, 6),
        token_type_ids=types("nsp", config, 3, 6),
        labels=torch.tensor([1, 0, -100]),
    )

    config = base_config(
        num_labels=3,
        id2label={0: "negative", 1: "neutral", 2: "positive"},
        label2id={"negative": 0, "neutral": 1, "positive": 2},
        classifier_dropout=0.3,
    )
    model = make("sequence_classification", "classifier", config)
    inputs = dict(
        input_ids=ids("classifier", config, 4, 7),
        attention_mask=torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 3 + [0] * 4, [1] * 7]),
    )
    case(
        "classifier",
        "sequence_classification",
        "classifier",
        model,
        labels=torch.tensor([2, 0, 1, 2]),
        **inputs
    )
    case(
        "classifier_multi_inferred",
        "sequence_classification",
        "classifier",
        variant(model, "classifier", "unset.json", problem_type=None),
        "unset.json",
        states=False,
        labels=torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]).float(),
        **inputs
    )
    case(
        "classifier_multi",
        "sequence_classification",
        "classifier",
        variant(model, "classifier", "multi.json", problem_type="multi_label_classification"),
        "multi.json",
        states=False,
        labels=torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]).float(),
        **inputs
    )
    case(
        "classifier_regression",
        "sequence_classification",
        "classifier",
        variant(model, "classifier", "regression.json", problem_type="regression"),
        "regression.json",
        states=False,
        labels=torch.randn((4, 3), generator=seeded("values")),
        **inputs
    )
    case(
        "classifier_single",
        "sequence_classification",
        "classifier",
        variant(model, "classifier", "single.json", problem_type="single_label_classification"),
        "single.json",
        states=False,
        labels=torch.tensor([1, 1, 0, 2]),
        **inputs
    )

    config = base_config(num_labels=1, num_hidden_layers=1)
    model = make("sequence_classification", "regression", config)
    case(
        "regression",
        "sequence_classification",
        "regression",
        model,
        states=False,
        input_ids=ids("regression", config, 3, 5),
        labels=torch.tensor([0.25, -1.5, 3.0]),
    )

    config = base_config()
    model = make("multiple_choice", "multiple_choice", config)
    case(
        "multiple_choice",
        "multiple_choice",
        "multiple_choice",
        model,
        input_ids=ids("choice", config, 2, 3, 6),
        token_type_ids=types("choice", config, 2, 3, 6),
        attention_mask=torch.ones((2, 3, 6), dtype=torch.long),
        labels=torch.tensor([2, 0]),
    )


def token_heads():
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    config = base_config(
        id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)},
        vocab_size=len(CASED),
    )
    model = make("token_classification", "tagger", config)
    labels = torch.randint(0, 5, (2, 8), generator=seeded("tags"))
    labels[:, 0] = -100
    case(
        "tagger",
        "token_classification",
        "tagger",
        model,
        input_ids=ids("tagger", config, 2, 8),
        labels=labels,
        attention_mask=torch.tensor([[1] * 8, [1] * 6 + [0] * 2]),
    )

    config = base_config()
    model = make("question_answering", "answerer", config)
    inputs = dict(
        input_ids=ids("answerer", config, 3, 9), token_type_ids=types("answerer", config, 3, 9)
    )
    case(
        "answerer",
        "question_answering",
        "answerer",
        model,
        start_positions=torch.tensor([2, 0, 8]),
        end_positions=torch.tensor([4, 0, 8]),
        **inputs
    )
    case(
        "answerer_outside",
        "question_answering",
        "answerer",
        model,
        states=False,
        start_positions=torch.tensor([2, 9, -3]),
        end_positions=torch.tensor([100, 5, 7]),
        **inputs
    )
    case(
        "answerer_all_outside",
        "question_answering",
        "answerer",
        model,
        states=False,
        start_positions=torch.tensor([9, 9, 9]),
        end_positions=torch.tensor([1, 5, 7]),
        **inputs
    )


def old_positions():
    for kind in ("relative_key", "relative_key_query"):
        config = base_config(position_embedding_type=kind, max_position_embeddings=20)
        model = make("none", kind, config)
        case(
            kind,
            "none",
            kind,
            model,
            input_ids=ids(kind, config, 2, 12),
            token_type_ids=types(kind, config, 2, 12),
        )
        case(
            kind + "_masks",
            "none",
            kind,
            model,
            states=False,
            input_ids=ids(kind, config, 2, 20),
            attention_mask=mask(kind, 2, 20),
        )
        config = base_config(
            position_embedding_type=kind,
            max_position_embeddings=20,
            is_decoder=True,
            num_hidden_layers=1,
            add_cross_attention=kind == "relative_key",
        )
        model = make("causal_lm", kind + "_decoder", config)
        inputs = dict(
            input_ids=ids(kind, config, 2, 9),
            labels=ids(kind + " labels", config, 2, 9),
            use_cache=False,
        )
        if config.add_cross_attention:
            inputs["encoder_hidden_states"] = torch.randn(
                (2, 3, 24), generator=seeded("old states")
            )
        case(kind + "_decoder", "causal_lm", kind + "_decoder", model, **inputs)


def old_pruning():
    config = base_config(num_labels=3)
    config._attn_implementation = "eager"
    model = make("sequence_classification", "unpruned", config)
    inputs = dict(input_ids=ids("pruned", config, 2, 9), labels=torch.tensor([1, 2]))
    case("unpruned", "sequence_classification", "unpruned", model, states=False, **inputs)
    model.prune_heads({0: [0, 2], 1: [1]})
    folder = save_pruned(model)
    case("pruned", "sequence_classification", folder, model, **inputs)


def save_pruned(model):
    """A pruned model: save_pretrained records pruned_heads in the config."""
    folder = os.path.join(HERE, "models", "pruned")
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    model.float()
    write_vocab(folder, UNCASED, True)
    return "pruned"


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if MAJOR >= 5:
        bare()
        activations()
        language_models()
        sequence_heads()
        token_heads()
    else:
        old_positions()
        old_pruning()
    pipelines()
    for part in ("models", "cases"):
        for folder, _, files in os.walk(os.path.join(HERE, part)):
            for file in files:
                os.chmod(os.path.join(folder, file), 0o644)
    with open(os.path.join(HERE, "cases-%d.txt" % MAJOR), "w") as out:
        out.write(
            "# transformers %s, torch %s, safetensors %s, Python %s\n"
            % (
                transformers.__version__,
                torch.__version__.split("+")[0],
                safetensors.__version__,
                sys.version.split()[0],
            )
        )
        for line in cases:
            out.write(" ".join(line) + "\n")


if __name__ == "__main__":
    main()
