#!/usr/bin/env python3
"""Makes losses.txt of this folder: losses of classes with weights and smoothing, by torch and by the
reference trainer's LabelSmoother, with their gradients.

Lines, fields separated by tabs: kind (classes, several), columns, smoothing, weights or "-",
labels, logits, loss, gradient. Labels of -100 are ignored. Of the kind taught the third field is the
temperature, the fourth the teacher's logits.
"""
import os
import random

import torch
import torch.nn.functional as F
from transformers.trainer_pt_utils import LabelSmoother

chance = random.Random(5)


def numbers(n, low, high):
    return [round(chance.uniform(low, high), 3) for _ in range(n)]


def case(kind, rows, columns, smoothing, weighted):
    logits = torch.tensor(numbers(rows * columns, -3, 3), dtype=torch.float64)
    weights = numbers(columns, 0.1, 4) if weighted else None
    logits.requires_grad_()
    matrix = logits.view(rows, columns)
    weight = torch.tensor(weights, dtype=torch.float64) if weighted else None
    if kind == "classes":
        labels = [chance.choice([-100] + list(range(columns)) * 3) for _ in range(rows)]
        labels[0] = 1
        target = torch.tensor(labels)
        loss = F.cross_entropy(matrix, target, weight=weight, label_smoothing=smoothing)
        if not weighted and smoothing > 0:
            reference = LabelSmoother(epsilon=smoothing)({"logits": matrix}, target)
            assert abs(float(reference) - float(loss)) < 1e-6
    else:
        labels = [chance.randrange(2) for _ in range(rows * columns)]
        target = torch.tensor(labels, dtype=torch.float64).view(rows, columns)
        loss = F.binary_cross_entropy_with_logits(matrix, target, pos_weight=weight)
    loss.backward()
    text = lambda items: " ".join(repr(item) for item in items)
    return "\t".join([kind, str(columns), str(smoothing), text(weights) if weighted else "-",
                      text(labels), text(logits.tolist()), repr(float(loss)),
                      text(logits.grad.tolist())])


def taught(rows, columns, temperature):
    """What a teacher's logits teach: Hinton's loss."""
    logits = torch.tensor(numbers(rows * columns, -3, 3), dtype=torch.float64, requires_grad=True)
    teacher = numbers(rows * columns, -5, 5)
    target = torch.tensor(teacher, dtype=torch.float64).view(rows, columns) / temperature
    loss = temperature**2 * F.kl_div(F.log_softmax(logits.view(rows, columns) / temperature, -1),
                                     F.softmax(target, -1), reduction="batchmean")
    loss.backward()
    text = lambda items: " ".join(repr(item) for item in items)
    return "\t".join(["taught", str(columns), str(temperature), text(teacher),
                      text([0] * rows), text(logits.tolist()), repr(float(loss.detach())),
                      text(logits.grad.tolist())])


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "losses.txt"), "w") as out:
    for kind, rows, columns, smoothing, weighted in (
        ("classes", 6, 3, 0.0, True), ("classes", 6, 4, 0.1, False), ("classes", 9, 2, 0.3, True),
        ("classes", 1, 5, 0.9, True), ("several", 4, 3, 0.0, True), ("several", 5, 1, 0.0, True),
        ("several", 3, 4, 0.0, False),
    ):
        out.write(case(kind, rows, columns, smoothing, weighted) + "\n")
    for rows, columns, temperature in ((4, 3, 2.0), (1, 2, 1.0), (5, 4, 7.5)):
        out.write(taught(rows, columns, temperature) + "\n")
