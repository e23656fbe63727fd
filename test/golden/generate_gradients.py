#!/usr/bin/env python3
"""Makes gradients/ and steps/ of this folder from the models and cases that generate.py has made.

    python3 generate_gradients.py    run once with transformers 5, once with transformers 4.46
    (relative positions, pruned heads, steps)

attributions/CASE.safetensors: gradient times word embedding of the predicted class's logit, per
token, for every sequence alone. gradients/CASE.safetensors: for every case with a finite loss,
for every parameter with a gradient, its norm ("NAME" of shape (1 + n): the norm, then n
elements at equal strides, at most 96). steps/CASE.safetensors: losses of ten AdamW steps
(transformers 4.46.3's AdamW with a linear schedule and clipping) without dropout, and the same
digest of every weight after them. Nothing is downloaded.
"""

import os
import sys

import numpy
import safetensors.numpy
import torch
import transformers
from transformers import BertConfig

from fixtures import HEADS, HERE, MAJOR

SAMPLES = 96
STEPS = 10
STEP_CASES = ("unpruned", "relative_key_decoder")
ATTRIBUTION_CASES = ("classifier", "next_sentence", "pruned")
RECIPE = dict(lr=1e-3, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)


def digest(tensor):
    flat = tensor.detach().double().numpy().reshape(-1)
    stride = max(1, -(-flat.size // SAMPLES)) | 1  # odd, so that it meets every column
    return numpy.concatenate([[numpy.sqrt((flat**2).sum())], flat[::stride]]).astype(numpy.float32)


def load(folder, config_file, head):
    path = os.path.join(HERE, "models", folder)
    config = BertConfig.from_json_file(os.path.join(path, config_file))
    config._attn_implementation = "eager"
    config.pruned_heads = {
        int(layer): heads for layer, heads in (getattr(config, "pruned_heads", None) or {}).items()
    }
    model = (
        HEADS[head].from_pretrained(path, config=config, attn_implementation="eager").float().eval()
    )
    return model


def inputs_of(name, head, model):
    tensors = safetensors.numpy.load_file(os.path.join(HERE, "cases", name + ".safetensors"))
    inputs = {}
    for key in (
        "input_ids",
        "token_type_ids",
        "attention_mask",
        "labels",
        "next_sentence_label",
        "start_positions",
        "end_positions",
        "encoder_hidden_states",
        "encoder_attention_mask",
    ):
        if key in tensors:
            value = torch.from_numpy(tensors[key])
            floats = key == "encoder_hidden_states" or (
                key == "labels" and head == "sequence_classification" and value.dim() == 2
            )
            floats |= (
                key == "labels"
                and head == "sequence_classification"
                and model.config.num_labels == 1
            )
            inputs[key] = value if floats else value.long()
    if head == "causal_lm":
        inputs["use_cache"] = False
    return inputs, "loss" in tensors


def gradients(name, head, model):
    inputs, has_loss = inputs_of(name, head, model)
    if not has_loss:
        return
    model.zero_grad()
    model(**inputs).loss.backward()
    tensors = {key: digest(p.grad) for key, p in model.named_parameters() if p.grad is not None}
    os.makedirs(os.path.join(HERE, "gradients"), exist_ok=True)
    safetensors.numpy.save_file(tensors, os.path.join(HERE, "gradients", name + ".safetensors"))


def attributions(name, head, model):
    inputs, _ = inputs_of(name, head, model)
    ids, rows, predicted = inputs["input_ids"], [], []
    for row in range(ids.shape[0]):
        embeds = model.bert.embeddings.word_embeddings(ids[row : row + 1]).detach().requires_grad_()
        others = {
            key: inputs[key][row : row + 1]
            for key in ("token_type_ids", "attention_mask")
            if key in inputs
        }
        logits = model(inputs_embeds=embeds, **others).logits[0]
        logits[logits.argmax()].backward()
        predicted.append(float(logits.argmax()))
        rows.append((embeds.grad * embeds).sum(-1)[0].detach().numpy())
    os.makedirs(os.path.join(HERE, "attributions"), exist_ok=True)
    tensors = {
        "attributions": numpy.ascontiguousarray(numpy.stack(rows)),
        "predicted": numpy.array(predicted, numpy.float32),
    }
    safetensors.numpy.save_file(tensors, os.path.join(HERE, "attributions", name + ".safetensors"))


def no_decay(name):
    return name.endswith("bias") or "LayerNorm" in name


def steps(name, head, model):
    from transformers import AdamW, get_scheduler

    inputs, _ = inputs_of(name, head, model)
    groups = [
        {"params": [p for n, p in model.named_parameters() if not no_decay(n)]},
        {"params": [p for n, p in model.named_parameters() if no_decay(n)], "weight_decay": 0.0},
    ]
    optimizer = AdamW(groups, correct_bias=True, no_deprecation_warning=True, **RECIPE)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=3, num_training_steps=STEPS)
    losses, norms, rates = [], [], []
    for _ in range(STEPS):
        loss = model(**inputs).loss
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    tensors = {key: digest(p) for key, p in model.named_parameters()}
    tensors["losses"] = numpy.array(losses, numpy.float32)
    tensors["grad_norms"] = numpy.array(norms, numpy.float32)
    tensors["learning_rates"] = numpy.array(rates, numpy.float32)
    os.makedirs(os.path.join(HERE, "steps"), exist_ok=True)
    safetensors.numpy.save_file(tensors, os.path.join(HERE, "steps", name + ".safetensors"))


def main():
    torch.set_num_threads(1)
    for line in open(os.path.join(HERE, "cases-%d.txt" % MAJOR)):
        if line.startswith("#"):
            continue
        name, folder, config_file, head = line.split()
        if head == "none":
            continue
        gradients(name, head, load(folder, config_file, head))
        if name in ATTRIBUTION_CASES:
            attributions(name, head, load(folder, config_file, head))
        if MAJOR < 5 and name in STEP_CASES:
            steps(name, head, load(folder, config_file, head))


if __name__ == "__main__":
    main()
