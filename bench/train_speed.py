#!/usr/bin/env python3
"""Training steps of bench_train and of PyTorch in alternation, fp32 and bf16, and the step's
matrix products alone, ours and OpenBLAS's.

    train_speed.py MODEL BENCH_TRAIN [--threads N] [--rounds N] [--shapes 32x32,16x128]

MODEL: the folder of all-MiniLM-L6-v2. Needs torch and transformers. Prints milliseconds a step
(the best round, wall clock and processor time) and GFLOP/s, three times the encoder's forward.
Processor time says more than wall clock on a busy machine.
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
options = parser.parse_args()
os.environ.update(OMP_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1")

import torch
from transformers import BertForSequenceClassification

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
        self.model = BertForSequenceClassification.from_pretrained(
            options.model, num_labels=2
        ).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-5)
        self.ids = torch.randint(1000, 30000, (batch, length))
        self.mask = torch.ones_like(self.ids)
        self.labels = torch.randint(0, 2, (batch,))

    def step(self):
        wall, processor = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            loss = self.model(input_ids=self.ids, attention_mask=self.mask, labels=self.labels).loss
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
    programs = [Program(batch, length, precision) for precision in ("fp32", "bf16")]
    contenders = programs + [Torch(batch, length, False), Torch(batch, length, True)]
    times = {c.name: [] for c in contenders}
    products = {"OpenBLAS": [], "bert fp32": [], "bert bf16": []}
    for turn in range(options.rounds + 1):
        for contender in contenders:
            measured = contender.step()
            if turn > 0:
                times[contender.name].append(measured)
        for name, program, command in (
            ("OpenBLAS", programs[0], "blas"),
            ("bert fp32", programs[0], "gemm"),
            ("bert bf16", programs[1], "gemm"),
        ):
            wall, processor, rate = program.ask(command)
            if turn > 0:
                products[name].append((rate, rate * wall / processor))
    for program in programs:
        program.close()
    for name, rows in times.items():
        wall, processor = min(r[0] for r in rows), min(r[1] for r in rows)
        ratios = ", ".join(
            f"{statistics.median(b[0] / r[0] for b, r in zip(times[other], rows)):.2f} x {other}"
            for other in ("torch fp32", "torch bf16")
            if other != name
        )
        print(
            f"{shape} {options.threads} thread(s) {name}: {wall:.0f} ms "
            f"({processor:.0f} of processor), {flops(batch, length) / wall / 1e6:.0f} GFLOP/s, "
            f"median ratio of wall clock {ratios}",
            flush=True,
        )
    for name, rates in products.items():
        print(
            f"{shape} products alone, {name}: {max(r[0] for r in rates):.0f} GFLOP/s (wall), "
            f"{max(r[1] for r in rates):.0f} (processor)",
            flush=True,
        )
