#!/usr/bin/env python3
"""Draws the losses of a training run as SVG.

    curve.py OUT.svg LOG[=LABEL] [LOG[=LABEL] ...] [--title TEXT] [--line LOSS]

LOG: what train_files printed, or the same lines from bert.job_metrics:
    SELECT format('step %s loss %s', step, loss) FROM bert.job_metrics WHERE job = 1 AND loss IS
    NOT NULL
    UNION ALL SELECT format('eval step %s loss %s', step, eval ->> 'loss') FROM bert.job_metrics
    WHERE job = 1 AND eval IS NOT NULL
A dot for every logged step, a line through the evaluations on held-back data; several logs are
runs one after the other. --line draws a dashed line at a loss.
"""

import argparse
import re

from chart import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 400, 60, 40, 20, 50


def ticks(low, high, count=6):
    raw = (high - low) / count
    step = next(m * 10**e for e in range(-3, 9) for m in (1, 2, 5) if m * 10**e >= raw)
    first = int(low / step) + (low % step > 0)
    return [i * step for i in range(first, int(high / step) + 1)]


class Run:
    """One log's losses, (step, loss), the steps counted on from `first`."""

    def __init__(self, argument, first):
        path, _, self.label = argument.partition("=")
        text = open(path).read()
        self.first = first
        self.steps = [
            (first + int(s), float(l))
            for s, l in re.findall(r"^step (\d+) .*?loss ([\d.]+)", text, re.M)
        ]
        self.held_back = sorted(
            (first + int(s), float(l))
            for s, l in re.findall(r"^eval step (\d+) loss ([\d.]+)", text, re.M)
        )
        self.last = max(s for s, _ in self.steps + self.held_back)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("log", nargs="+")
    parser.add_argument("--title", default="")
    parser.add_argument("--line", type=float)
    options = parser.parse_args()
    runs = []
    for argument in options.log:
        runs.append(Run(argument, runs[-1].last if runs else 0))
    losses = [l for run in runs for _, l in run.steps + run.held_back] + (
        [options.line] if options.line else []
    )
    low, high, last = int(min(losses)), int(max(losses)) + 1, runs[-1].last

    def x(step):
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(loss):
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{escape(options.title)}</text>',
    ]
    for tick in ticks(low, high):
        out.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="#e3e5e8"/>'
        )
        out.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in ticks(0, last):
        out.append(
            f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{HEIGHT - BOTTOM}" '
            f'y2="{HEIGHT - BOTTOM + 5}" stroke="#333"/>'
        )
        out.append(
            f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 19}" text-anchor="middle">'
            f"{tick:,.0f}</text>"
        )
    out.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">step</text>'
    )
    if options.line:
        out.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(options.line):.1f}" '
            f'y2="{y(options.line):.1f}" stroke="#b33" stroke-dasharray="5 4"/>'
        )
    for run in runs:
        if run.first > 0:
            out.append(
                f'<line x1="{x(run.first):.1f}" x2="{x(run.first):.1f}" y1="{TOP}" '
                f'y2="{HEIGHT - BOTTOM}" stroke="#999"/>'
            )
        lines = [(run.label, "#555")] + (
            [(f"held back: {run.held_back[-1][1]:.2f}", "#1f5fbf")] if run.held_back else []
        )
        for row, (text, color) in enumerate(line for line in lines if line[0]):
            out.append(
                f'<text x="{x(run.first) + 6:.1f}" y="{TOP + 14 + 15 * row}" fill="{color}">'
                f"{escape(text)}</text>"
            )
        out += [
            f'<circle cx="{x(s):.1f}" cy="{y(l):.1f}" r="1.2" fill="#b9bec8"/>'
            for s, l in run.steps
        ]
        if run.held_back:
            points = " ".join(f"{x(s):.1f},{y(l):.1f}" for s, l in run.held_back)
            out.append(
                f'<polyline points="{points}" fill="none" stroke="#1f5fbf" stroke-width="2"/>'
            )
    with open(options.out, "w") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")


if __name__ == "__main__":
    main()
