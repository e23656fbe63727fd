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

import json
import os
import shutil
import sys

import numpy
import safetensors.numpy
import torch
import transformers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertLMHeadModel,
    BertModel,
)

HERE = os.path.dirname(os.path.abspath(__file__))
MAJOR = int(transformers.__version__.split(".")[0])
HEADS = {
    "none": BertModel,
    "pretraining": BertForPreTraining,
    "masked_lm": BertForMaskedLM,
    "causal_lm": BertLMHeadModel,
    "next_sentence": BertForNextSentencePrediction,
    "sequence_classification": BertForSequenceClassification,
    "multiple_choice": BertForMultipleChoice,
    "token_classification": BertForTokenClassification,
    "question_answering": BertForQuestionAnswering,
}

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
CAPITALS = [c.upper() for c in LETTERS]
WORDS = """the an cat dog paris john lives in is of to and new york capital berlin mary works at
    for ##es ##ing ##ed ##er""".split()
UNCASED = (
    SPECIAL + list(".,'?!-") + list("0123456789") + LETTERS + ["##" + c for c in LETTERS] + WORDS
)
CASED = UNCASED + CAPITALS
assert len(set(UNCASED)) == len(UNCASED) == 97 and len(set(CASED)) == len(CASED) == 123

cases = []


def base_config(**changes):
    settings = dict(
        vocab_size=len(UNCASED),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=28,
        max_position_embeddings=40,
        type_vocab_size=2,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )
    settings.update(changes)
    return BertConfig(**settings)


def seeded(name):
    return torch.Generator().manual_seed(int.from_bytes(name.encode(), "little") % (2**31))


def randomise(model, name, scale=0.25):
    """Weights large enough that every term shows in the result, rounded to half precision."""
    generator = seeded(name)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "orm.weight" in key:  # LayerNorm.weight, layer_norm.weight
                parameter.copy_(1 + 0.1 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.1 * noise)
            else:
                parameter.copy_(scale * noise)
            parameter.copy_(parameter.half().float())


def write_vocab(folder, vocab, lower):
    with open(os.path.join(folder, "vocab.txt"), "w") as out:
        out.write("\n".join(vocab) + "\n")
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as out:
        json.dump(
            {"do_lower_case": lower, "model_max_length": 40, "tokenizer_class": "BertTokenizer"},
            out,
            indent=1,
        )
        out.write("\n")


def save(model, name, prefix_free=False):
    folder = os.path.join(HERE, "models", name)
    shutil.rmtree(folder, ignore_errors=True)
    copy = (
        type(model)(model.config)
        if not isinstance(model, BertModel)
        else type(model)(model.config, add_pooling_layer=model.pooler is not None)
    )
    copy.load_state_dict(model.state_dict())
    copy.half().save_pretrained(folder)
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    cased = model.config.vocab_size == len(CASED)
    write_vocab(folder, CASED if cased else UNCASED, not cased)
    return folder


def make(head, name, config, **arguments):
    config._attn_implementation = "eager"
    model = HEADS[head](config, **arguments).eval()
    randomise(model, name)
    save(model, name)
    return model


def ids(name, config, *shape):
    return torch.randint(5, config.vocab_size, shape, generator=seeded(name + "ids"))


def types(name, config, *shape):
    return torch.randint(0, config.type_vocab_size, shape, generator=seeded(name + "types"))


def mask(name, *shape):
    m = torch.randint(0, 2, shape, generator=seeded(name + "mask"))
    return m


def to_numpy(value):
    return numpy.ascontiguousarray(value.detach().float().numpy())


def case(name, head, folder, model, config_file="config.json", states=True, **inputs):
    with torch.no_grad():
        outputs = model(
            **inputs, output_hidden_states=True, output_attentions=True, return_dict=True
        )
    tensors = {}
    for key, value in inputs.items():
        if key not in ("use_cache",):
            tensors[key] = to_numpy(value)
    loss = getattr(outputs, "loss", None)
    if loss is not None:
        tensors["loss_is_nan" if torch.isnan(loss) else "loss"] = (
            numpy.ones(1, numpy.float32) if torch.isnan(loss) else to_numpy(loss.reshape(1))
        )
    if head == "question_answering":
        tensors["logits"] = to_numpy(torch.stack([outputs.start_logits, outputs.end_logits], 1))
    elif head == "pretraining":
        tensors["logits"] = to_numpy(outputs.prediction_logits)
        tensors["seq_relationship_logits"] = to_numpy(outputs.seq_relationship_logits)
    elif head != "none":
        tensors["logits"] = to_numpy(outputs.logits)
    elif outputs.pooler_output is not None:
        tensors["pooler_output"] = to_numpy(outputs.pooler_output)
    if states:
        tensors["hidden_states"] = to_numpy(torch.stack(outputs.hidden_states))
        for layer, attention in enumerate(outputs.attentions):
            tensors["attentions.%d" % layer] = to_numpy(attention)
    os.makedirs(os.path.join(HERE, "cases"), exist_ok=True)
    safetensors.numpy.save_file(tensors, os.path.join(HERE, "cases", name + ".safetensors"))
    cases.append((name, folder, config_file, head))


def variant(model, folder, file, **changes):
    """The same weights under another config."""
    config = BertConfig(**{**model.config.to_dict(), **changes})
    config._attn_implementation = "eager"
    other = type(model)(config).eval()
    other.load_state_dict(model.state_dict())
    data = json.load(open(os.path.join(HERE, "models", folder, "config.json")))
    data.update(changes)
    with open(os.path.join(HERE, "models", folder, file), "w") as out:
        json.dump(data, out, indent=2, sort_keys=True)
        out.write("\n")
    return other


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


NER_TEXTS = [
    "John lives in Paris.",
    "Mary Smith works at the Berlin office of ACME, doesn't she?",
    "the cat",
    "New York-based Anne O'Neil (34) met Ren\u00e9e in S\u00e3o Paulo!",
    "a b c d e f",
    "",
]
QA_PAIRS = [
    ("Where does John live?", "John lives in Paris. Mary works in Berlin.", {}),
    ("who?", "the cat of Mary", {}),
    ("what is it", "a dog, a cat and Paris.", {"handle_impossible_answer": True}),
    (
        "where",
        "Mary works at the big house in New York and John lives in Berlin, the capital. "
        "The cat lives in Paris and the dog is in New York.",
        {},
    ),
    (
        "where",
        "Mary works at the big house in New York and John lives in Berlin, the capital.",
        {"handle_impossible_answer": True},
    ),
]
FILL_TEXTS = ["Paris is the [MASK] of the world.", "the [MASK] lives in [MASK].", "[MASK]"]
PERPLEXITY_TEXTS = ["the cat lives in Paris.", "John", "A dog and a cat."]
WARPERS = [
    dict(temperature=1.0),
    dict(temperature=0.7, top_k=5),
    dict(temperature=1.5, top_p=0.6),
    dict(temperature=1.3, top_k=7, top_p=0.8),
]


def load(head, name):
    folder = os.path.join(HERE, "models", name)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder)
    return HEADS[head].from_pretrained(folder, torch_dtype=torch.float32).eval(), tokenizer


def entity_results():
    model, tokenizer = load("token_classification", "tagger")
    results = []
    for strategy in ("none", "simple", "first", "average", "max"):
        pipe = transformers.pipeline(
            "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=strategy
        )
        for text in NER_TEXTS:
            found = [
                {
                    "label": e.get("entity", e.get("entity_group")),
                    "word": e["word"],
                    "score": float(e["score"]),
                    "start": int(e["start"]),
                    "end": int(e["end"]),
                    "index": int(e.get("index", 0)),
                }
                for e in (pipe(text) if text else [])
            ]
            results.append({"text": text, "aggregation": strategy, "entities": found})
    return results


def fill_results():
    model, tokenizer = load("masked_lm", "masked_lm")
    pipe = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)
    results = []
    for text in FILL_TEXTS:
        found = pipe(text, top_k=4)
        rows = found if isinstance(found[0], list) else [found]
        results.append(
            {
                "text": text,
                "fills": [
                    {
                        "mask": i,
                        "token_id": f["token"],
                        "token": f["token_str"],
                        "score": f["score"],
                        "sequence": f["sequence"],
                    }
                    for i, row in enumerate(rows)
                    for f in row
                ],
            }
        )
    return results


def perplexity_results():
    model, tokenizer = load("masked_lm", "masked_lm")
    results = []
    for text in PERPLEXITY_TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        total = 0.0
        for i in range(1, ids.shape[1] - 1):
            masked = ids.clone()
            masked[0, i] = tokenizer.mask_token_id
            with torch.no_grad():
                total += model(masked).logits[0, i].double().log_softmax(-1)[ids[0, i]].item()
        results.append({"text": text, "perplexity": float(numpy.exp(-total / (ids.shape[1] - 2)))})
    return results


def generation_results():
    model, _ = load("causal_lm", "causal_lm")
    results = []
    for prompt in ([2], [2, 70, 71, 12, 5], list(range(5, 35))):
        ids = torch.tensor([prompt])
        made = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_length=40,
            eos_token_id=None,
            pad_token_id=0,
        )
        results.append({"prompt": prompt, "ids": made[0, len(prompt) :].tolist()})
    ids = torch.tensor([[2, 70, 71]])
    with torch.no_grad():
        logits = model(ids).logits[:, -1]
    from transformers.generation.logits_process import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    warped = []
    for options in WARPERS:
        scores = logits / options["temperature"]
        if "top_k" in options:
            scores = TopKLogitsWarper(options["top_k"])(ids, scores)
        if "top_p" in options:
            scores = TopPLogitsWarper(options["top_p"])(ids, scores)
        probabilities = scores.softmax(-1)[0]
        warped.append(
            {
                **options,
                "probabilities": {str(i): float(p) for i, p in enumerate(probabilities) if p > 0},
            }
        )
    return results, {"prompt": ids[0].tolist(), "cases": warped}


def answer_results():
    model, tokenizer = load("question_answering", "answerer")
    pipe = transformers.pipeline("question-answering", model=model, tokenizer=tokenizer)
    results = []
    for question, context, options in QA_PAIRS:
        # more than are compared: the reference repeats spans that align to the same words
        found = pipe(
            question=question,
            context=context,
            top_k=400,
            max_answer_len=12,
            max_seq_len=40,
            doc_stride=10,
            **options
        )
        answers, seen = [], set()
        for answer in found if isinstance(found, list) else [found]:
            span = (answer["start"], answer["end"])
            if span not in seen and (
                answer["score"] > 0 and (span != (0, 0) or answer["answer"] == "")
            ):
                seen.add(span)
                answers.append(
                    {
                        "start": answer["start"],
                        "end": answer["end"],
                        "answer": answer["answer"],
                        "score": float(answer["score"]),
                    }
                )
        results.append(
            {
                "question": question,
                "context": context,
                "null_answer": "handle_impossible_answer" in options,
                "answers": answers[:6],
            }
        )
    return results


def pipelines():
    if MAJOR >= 5:
        greedy, warped = generation_results()
        results = {
            "entities": entity_results(),
            "fills": fill_results(),
            "perplexities": perplexity_results(),
            "generations": greedy,
            "warpers": warped,
        }
    else:
        results = {"answers": answer_results()}
    with open(os.path.join(HERE, "pipelines-%d.json" % MAJOR), "w") as out:
        json.dump(results, out, indent=1)
        out.write("\n")


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
