#!/usr/bin/env python3
"""Training steps of bench_train and of PyTorch in alternation, fp32 and bf16, and the step's
matrix products alone, ours and OpenBLAS's.

    train_speed.py MODEL BENCH_TRAIN [--threads N] [--rounds N] [--shapes 32x32,16x128]
                   [--task classification|embedding] [--precisions fp32,bf16] [--avx2]

The task embedding learns from pairs, half as many as the shape has texts: multiple negatives
ranking, its two columns encoded one after the other, as sentence-transformers does it. With --avx2
neither side uses more than AVX2. MODEL: the folder of all-MiniLM-L6-v2. Needs torch and
transformers. Prints milliseconds a step (the best round, wall clock and processor time) and
GFLOP/s, three times the encoder's forward. Processor time says more than wall clock on a busy
machine.
"""

import argparse
import os
import statistics
import subprocess
import time

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("program")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=6)
parser.add_argument("--shapes", default="32x32,16x128")
parser.add_argument("--task", choices=("classification", "embedding"), default="classification")
parser.add_argument("--precisions", default="fp32,bf16")
parser.add_argument("--avx2", action="store_true")
options = parser.parse_args()
if options.avx2:
    os.environ.update(
        ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2", MKL_ENABLE_INSTRUCTIONS="AVX2"
    )
os.environ.update(OMP_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1")

import torch
from transformers import BertForSequenceClassification, BertModel

torch.set_num_threads(options.threads)


class Program:
    def __init__(self, batch, length, precision):
        self.name = "bert " + precision
        arguments = [
            options.program,
            options.model,
            str(batch),
            str(length),
            str(options.threads),
            precision,
            "avx2" if options.avx2 else "auto",
            options.task,
        ]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        fields = self.process.stdout.readline().split()
        return float(fields[0]), float(fields[1]), float(fields[2])

    def step(self):
        return self.ask("step")[:2]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Torch:
    def __init__(self, batch, length, bf16):
        self.name, self.bf16 = "torch bf16" if bf16 else "torch fp32", bf16
        self.model = (
            BertModel.from_pretrained(options.model, add_pooling_layer=False)
            if options.task == "embedding"
            else BertForSequenceClassification.from_pretrained(options.model, num_labels=2)
        ).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-5)
        self.ids = torch.randint(1000, 30000, (batch, length))
        self.mask = torch.ones_like(self.ids)
        self.labels = torch.randint(0, 2, (batch,))

    def embed(self, ids):
        mask = torch.ones_like(ids)
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).float()
        mean = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean.float(), dim=1)

    def loss(self):
        if options.task == "embedding":
            anchors, positives = (self.embed(part) for part in self.ids.chunk(2))
            return torch.nn.functional.cross_entropy(
                20 * anchors @ positives.T, torch.arange(len(anchors))
            )
        return self.model(input_ids=self.ids, attention_mask=self.mask, labels=self.labels).loss

    def step(self):
        wall, processor = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.loss()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)


def flops(batch, length):
    return (
        3
        * batch
        * (length * 6 * 2 * (4 * 384 * 384 + 2 * 384 * 1536) + 6 * 4 * length * length * 384)
    )


for shape in options.shapes.split(","):
    batch, length = map(int, shape.split("x"))
    precisions = options.precisions.split(",")
    programs = [Program(batch, length, precision) for precision in precisions]
    contenders = programs + [Torch(batch, length, p == "bf16") for p in precisions]
    times = {c.name: [] for c in contenders}
    products = {"OpenBLAS": []}
    for turn in range(options.rounds + 1):
        for contender in contenders:
            measured = contender.step()
            if turn > 0:
                times[contender.name].append(measured)
        for name, program, command in [("OpenBLAS", programs[0], "blas")] + [
            (program.name, program, "gemm") for program in programs
        ]:
            wall, processor, rate = program.ask(command)
            if turn > 0:
                products.setdefault(name, []).append((rate, rate * wall / processor))
    for program in programs:
        program.close()
    for name, rows in times.items():
        wall, processor = min(r[0] for r in rows), min(r[1] for r in rows)
        ratios = ", ".join(
            " and ".join(
                f"{statistics.median(b[i] / r[i] for b, r in zip(times[other], rows)):.2f}"
                for i in (0, 1)
            )
            + f" x {other}"
            for other in ("torch fp32", "torch bf16")
            if other != name and other in times
        )
        print(
            f"{options.task} {shape}{' AVX2' if options.avx2 else ''} {options.threads} thread(s)"
            f" {name}: {wall:.0f} ms ({processor:.0f} of processor),"
            f" {flops(batch, length) / wall / 1e6:.0f} GFLOP/s"
            + (f"; median ratios of wall clock and processor time {ratios}" if ratios else ""),
            flush=True,
        )
    for name, rates in products.items():
        print(
            f"{shape} products alone, {name}: {max(r[0] for r in rates):.0f} GFLOP/s (wall), "
            f"{max(r[1] for r in rates):.0f} (processor)",
            flush=True,
        )
