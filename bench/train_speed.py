#!/usr/bin/env python3
"""Training steps of bench_train and of PyTorch in alternation, and OpenBLAS alone on the step's matrices.

    train_speed.py MODEL BENCH_TRAIN [--threads N] [--rounds N] [--shapes 32x32,16x128] [--bf16]

MODEL: the folder of all-MiniLM-L6-v2. Needs torch and transformers. Prints milliseconds a step (the best round, wall clock and
processor time) and GFLOP/s, three times the encoder's forward. Processor time says more than wall clock on a busy machine.
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
parser.add_argument("--bf16", action="store_true")
options = parser.parse_args()
os.environ.update(OMP_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1")

import torch
from transformers import BertForSequenceClassification

torch.set_num_threads(options.threads)


class Program:
    name = "bert"

    def __init__(self, batch, length):
        arguments = [options.program, options.model, str(batch), str(length), str(options.threads)]
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

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
        self.model = BertForSequenceClassification.from_pretrained(options.model, num_labels=2).train()
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
    return 3 * batch * (length * 6 * 2 * (4 * 384 * 384 + 2 * 384 * 1536) + 6 * 4 * length * length * 384)


for shape in options.shapes.split(","):
    batch, length = map(int, shape.split("x"))
    program = Program(batch, length)
    contenders = [program, Torch(batch, length, False)] + ([Torch(batch, length, True)] if options.bf16 else [])
    times = {c.name: [] for c in contenders}
    gemm = []
    for turn in range(options.rounds + 1):
        for contender in contenders:
            measured = contender.step()
            if turn > 0:
                times[contender.name].append(measured)
        wall, processor, rate = program.ask("gemm")
        if turn > 0:
            gemm.append((rate, rate * wall / processor))
    program.close()
    base = times["torch fp32"]
    for name, rows in times.items():
        wall, processor = min(r[0] for r in rows), min(r[1] for r in rows)
        print(f"{shape} {options.threads} thread(s) {name}: {wall:.0f} ms, {processor:.0f} ms of processor, {flops(batch, length) / wall / 1e6:.0f} GFLOP/s, "
              f"{statistics.median(b[0] / r[0] for b, r in zip(base, rows)):.2f} x torch fp32 (wall), "
              f"{statistics.median(b[1] / r[1] for b, r in zip(base, rows)):.2f} x (processor)", flush=True)
    print(f"{shape} OpenBLAS alone on the step's matrices: {max(g[0] for g in gemm):.0f} GFLOP/s (wall), {max(g[1] for g in gemm):.0f} (processor); "
          f"the step has {100 * flops(batch, length) / min(r[1] for r in times['bert']) / 1e6 / max(g[1] for g in gemm):.0f} % of it", flush=True)
