"""How the generators of this folder make a tiny random model and a case: sizes, vocabulary,
weights, inputs and what the reference gives for them. Imported, never run.
"""

import json
import os
import shutil

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
