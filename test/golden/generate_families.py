#!/usr/bin/env python3
"""Makes the fixtures of BERT's relatives (families/) with the reference library.

    python3 generate_families.py [FAMILY ...]

As generate.py: folders of tiny random models as save_pretrained writes them, weights rounded to
half precision before anything is computed, and a file of inputs, labels and results for each case;
generate_gradients.py's digests of the gradients are in the same file, as "grad.NAME". The index
families/cases.txt has a line for each case: case, model folder, config file, head.
families/values.txt is for tests in SQL: model, head, input_ids, the first numbers of logits or
states. Nothing is downloaded.
"""

import json
import os
import shutil
import sys

import numpy
import safetensors.numpy
import torch
import transformers

from fixtures import HERE, randomise, seeded

ROOT = os.path.join(HERE, "families")
SAMPLES = 5

WORDS = "the a cat dog sat on mat ran to big red house . , who where ##s ##ing".split()
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MPNET_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
SHAPE = dict(hidden_size=12, num_attention_heads=2, num_hidden_layers=2, intermediate_size=14)
LENGTH = 20
cases = []
values = []


class Family:
    def __init__(self, name, word, config, special, heads, length=LENGTH, **settings):
        self.name, self.word, self.special = name, word, special
        self.vocab = special + WORDS
        self.heads = heads
        self.config_class = getattr(transformers, config)
        shape = dict(SHAPE)
        if "hidden_dim" in settings:  # DistilBERT's word for it
            del shape["intermediate_size"]
        self.settings = dict(
            vocab_size=len(self.vocab), max_position_embeddings=length, **{**shape, **settings}
        )
        self.pad = (
            special.index("[PAD]") if "[PAD]" in special else special.index("<pad>")
        )

    def config(self, **changes):
        config = self.config_class(
            **{**self.settings, "pad_token_id": self.pad, **changes}
        )
        config._attn_implementation = "eager"
        return config

    def model(self, head, config):
        suffix = {
            "none": "Model",
            "pretraining": "ForPreTraining",
            "replaced_token": "ForPreTraining",
            "masked_lm": "ForMaskedLM",
            "causal_lm": "ForCausalLM",
            "sequence_classification": "ForSequenceClassification",
            "multiple_choice": "ForMultipleChoice",
            "token_classification": "ForTokenClassification",
            "question_answering": "ForQuestionAnswering",
        }[head]
        return getattr(transformers, self.word + suffix)(config).eval()


ENCODER = ["none", "masked_lm", "sequence_classification", "multiple_choice"]
TOKENS = ["token_classification", "question_answering"]
FAMILIES = [
    Family(
        "distilbert",
        "DistilBert",
        "DistilBertConfig",
        BERT_SPECIAL,
        ENCODER + TOKENS,
        hidden_dim=14,
    ),
    Family(
        "electra",
        "Electra",
        "ElectraConfig",
        BERT_SPECIAL,
        ENCODER + TOKENS + ["replaced_token", "causal_lm"],
        embedding_size=10,
    ),
    Family(
        "roberta",
        "Roberta",
        "RobertaConfig",
        MPNET_SPECIAL,
        ENCODER + TOKENS + ["causal_lm"],
        length=LENGTH + 2,
        type_vocab_size=1,
    ),
    Family(
        "xlm-roberta",
        "XLMRoberta",
        "XLMRobertaConfig",
        MPNET_SPECIAL,
        ["none", "sequence_classification"],
        length=LENGTH + 2,
        type_vocab_size=1,
    ),
    Family(
        "camembert",
        "Camembert",
        "CamembertConfig",
        MPNET_SPECIAL,
        ["masked_lm"],
        length=LENGTH + 2,
        type_vocab_size=1,
    ),
    Family(
        "mpnet",
        "MPNet",
        "MPNetConfig",
        MPNET_SPECIAL,
        ENCODER + TOKENS,
        length=LENGTH + 2,
    ),
    Family(
        "albert",
        "Albert",
        "AlbertConfig",
        BERT_SPECIAL,
        ENCODER + TOKENS + ["pretraining"],
        embedding_size=10,
        num_hidden_layers=3,
        num_hidden_groups=2,
    ),
]


def save(family, model, folder):
    path = os.path.join(ROOT, "models", folder)
    shutil.rmtree(path, ignore_errors=True)
    copy = type(model)(model.config)
    copy.load_state_dict(model.state_dict())
    copy.half().save_pretrained(path)
    compact(os.path.join(path, "config.json"))
    if os.path.exists(os.path.join(path, "generation_config.json")):
        os.remove(os.path.join(path, "generation_config.json"))
    with open(os.path.join(path, "vocab.txt"), "w") as out:
        out.write("\n".join(family.vocab) + "\n")
    names = {"do_lower_case": True, "model_max_length": LENGTH, "tokenizer_class": "BertTokenizer"}
    if family.special is MPNET_SPECIAL:
        names.update(
            unk_token="[UNK]",
            sep_token="</s>",
            pad_token="<pad>",
            cls_token="<s>",
            mask_token="<mask>",
        )
    with open(os.path.join(path, "tokenizer_config.json"), "w") as out:
        json.dump(names, out, indent=1)
        out.write("\n")


def compact(path):
    data = json.load(open(path))
    with open(path, "w") as out:
        json.dump(data, out)
        out.write("\n")


def digest(tensor):
    flat = tensor.detach().double().numpy().reshape(-1)
    stride = max(1, -(-flat.size // SAMPLES)) | 1  # odd, so that it meets every column
    return numpy.concatenate([[numpy.sqrt((flat**2).sum())], flat[::stride]]).astype(numpy.float32)


def inputs_of(family, head, name, config):
    """Ids with the padding token among them, where it does something of its own, and labels."""
    generator = seeded(name + "ids")
    shape = (2, 3, 7) if head == "multiple_choice" else (2, 9)
    ids = torch.randint(len(family.special), config.vocab_size, shape, generator=generator)
    mask = torch.ones(shape, dtype=torch.long)
    if head != "causal_lm":  # a cache of keys and values counts padding otherwise
        ids[..., -2:] = family.pad
        mask[..., -2:] = 0
        ids[..., 2] = family.pad  # and seen
    inputs = dict(input_ids=ids, attention_mask=mask)
    if getattr(config, "type_vocab_size", 0) > 1 and head != "causal_lm":
        inputs["token_type_ids"] = torch.randint(0, 2, shape, generator=generator)
    if head in ("masked_lm", "causal_lm", "pretraining"):
        labels = torch.randint(0, config.vocab_size, shape, generator=generator)
        labels[:, ::3] = -100
        inputs["labels"] = labels
    if head == "pretraining":
        inputs["sentence_order_label"] = torch.tensor([1, 0])
    if head == "causal_lm":
        inputs["use_cache"] = False
        del inputs["attention_mask"]
    if head == "token_classification":
        labels = torch.randint(0, config.num_labels, shape, generator=generator)
        labels[:, 0] = -100
        inputs["labels"] = labels
    if head == "replaced_token":
        inputs["labels"] = torch.randint(0, 2, shape, generator=generator)
    if head == "sequence_classification":
        inputs["labels"] = torch.tensor([2, 0])
    if head == "multiple_choice":
        inputs["labels"] = torch.tensor([2, 1])
    if head == "question_answering":
        inputs["start_positions"] = torch.tensor([2, 0])
        inputs["end_positions"] = torch.tensor([4, 30])
    return inputs


def to_numpy(value):
    return numpy.ascontiguousarray(value.detach().float().numpy())


def case(family, head, name, model):
    inputs = inputs_of(family, head, name, model.config)
    outputs = model(**inputs, output_hidden_states=True, output_attentions=True, return_dict=True)
    tensors = {key: to_numpy(value) for key, value in inputs.items() if key != "use_cache"}
    if head == "none":
        tensors["hidden_states"] = to_numpy(torch.stack(outputs.hidden_states))
        for layer, attention in enumerate(outputs.attentions):
            tensors["attentions.%d" % layer] = to_numpy(attention)
        if getattr(outputs, "pooler_output", None) is not None:
            tensors["pooler_output"] = to_numpy(outputs.pooler_output)
    elif head == "question_answering":
        tensors["logits"] = to_numpy(torch.stack([outputs.start_logits, outputs.end_logits], 1))
    elif head == "pretraining":
        tensors["next_sentence_label"] = tensors.pop("sentence_order_label")
        tensors["logits"] = to_numpy(outputs.prediction_logits)
        tensors["seq_relationship_logits"] = to_numpy(outputs.sop_logits)
    else:
        tensors["logits"] = to_numpy(outputs.logits)
    if head != "none":
        tensors["loss"] = to_numpy(outputs.loss.reshape(1))
        outputs.loss.backward()
        # tied ones by all their names
        for key, parameter in model.named_parameters(remove_duplicate=False):
            if parameter.grad is not None:
                tensors["grad." + key] = digest(parameter.grad)
    os.makedirs(os.path.join(ROOT, "cases"), exist_ok=True)
    safetensors.numpy.save_file(tensors, os.path.join(ROOT, "cases", name + ".safetensors"))
    cases.append((name, name, "config.json", head))
    values.append((name, head) + first_values(family, head, model))


def first_values(family, head, model):
    """Ids as an array of SQL, and the first numbers that bert.forward must give for them."""
    low = len(family.special)
    row = [low, low + 3, family.pad, low + 1, low + 7]
    ids = [row, row[::-1]] if head == "multiple_choice" else row
    with torch.no_grad():
        outputs = model(input_ids=torch.tensor([ids]), return_dict=True)
    if head == "none":
        numbers = outputs.last_hidden_state
    elif head == "question_answering":
        numbers = outputs.start_logits
    else:
        numbers = outputs.prediction_logits if head == "pretraining" else outputs.logits
    numbers = ["%.6f" % number for number in numbers.reshape(-1)[:5].tolist()]
    return json.dumps(ids).replace(" ", ""), "{%s}" % ",".join(numbers)


def make(family, head):
    # two layers where it matters, one elsewhere; ALBERT's three are of two kinds
    changes = {} if head in ("none", "sequence_classification") else {"num_hidden_layers": 1}
    if family.name == "albert" and changes:
        changes["num_hidden_groups"] = 1
    if head == "token_classification":
        names = ["O", "B-PER", "I-PER"]
        changes.update(id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
    if head == "sequence_classification":
        changes["num_labels"] = 3
    if head == "causal_lm":
        changes["is_decoder"] = True
    name = family.name + "_" + head
    model = family.model(head, family.config(**changes))
    randomise(model, name, 0.3)
    save(family, model, name)
    case(family, head, name, model)


def buckets():
    """MPNet's buckets of the distances -200 .. 200, key less query."""
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    distances = torch.arange(-200, 201)
    found = MPNetEncoder.relative_position_bucket(distances, num_buckets=32)
    path = os.path.join(ROOT, "buckets.safetensors")
    safetensors.numpy.save_file({"buckets": to_numpy(found)}, path)


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shutil.rmtree(ROOT, ignore_errors=True)
    for family in FAMILIES:
        if not sys.argv[1:] or family.name in sys.argv[1:]:
            for head in family.heads:
                make(family, head)
    buckets()
    with open(os.path.join(ROOT, "values.txt"), "w") as out:
        for line in values:
            out.write(" ".join(line) + "\n")
    for folder, _, files in os.walk(ROOT):
        for file in files:
            os.chmod(os.path.join(folder, file), 0o644)
    with open(os.path.join(ROOT, "cases.txt"), "w") as out:
        versions = (transformers.__version__, torch.__version__.split("+")[0])
        out.write("# transformers %s, torch %s\n" % versions)
        for line in cases:
            out.write(" ".join(line) + "\n")


if __name__ == "__main__":
    main()
