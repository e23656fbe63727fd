#!/usr/bin/env python3
"""Makes schedules.txt of this folder with transformers 4.46's get_scheduler: every step's rate of
a number of schedules.

A line: schedule, warm-up steps, total steps, num_cycles, power, lr_end, base rate, then the
rates of steps 0, 1, ...
"""

import os

import torch
from transformers import get_scheduler

CASES = [
    ("constant", 0, 12, None, None, None, 5e-5),
    ("constant_with_warmup", 5, 12, None, None, None, 5e-5),
    ("linear", 0, 20, None, None, None, 5e-5),
    ("linear", 7, 20, None, None, None, 1e-3),
    ("cosine", 3, 20, None, None, None, 2e-5),
    ("cosine", 0, 17, 1.5, None, None, 1.0),
    ("cosine_with_restarts", 3, 20, None, None, None, 2e-5),
    ("cosine_with_restarts", 2, 31, 3, None, None, 1e-4),
    ("polynomial", 4, 20, None, None, None, 5e-5),
    ("polynomial", 0, 25, None, 2.5, 1e-6, 1e-3),
]


def main():
    with open(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "schedules.txt"), "w"
    ) as out:
        for kind, warmup, total, cycles, power, end, base in CASES:
            options = {
                key: value
                for key, value in (("num_cycles", cycles), ("power", power), ("lr_end", end))
                if value is not None
            }
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
            scheduler = get_scheduler(
                kind,
                optimizer,
                num_warmup_steps=warmup,
                num_training_steps=total,
                scheduler_specific_kwargs=options or None,
            )
            rates = []
            for _ in range(total + 4):
                rates.append(scheduler.get_last_lr()[0])
                optimizer.step()
                scheduler.step()
            fields = [
                kind,
                warmup,
                total,
                -1 if cycles is None else cycles,
                1 if power is None else power,
                1e-7 if end is None else end,
                base,
            ]
            out.write(
                " ".join(str(field) for field in fields)
                + " "
                + " ".join(repr(rate) for rate in rates)
                + "\n"
            )


if __name__ == "__main__":
    main()
