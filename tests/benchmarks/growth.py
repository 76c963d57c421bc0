"""How the cost of training grows with width, depth, minibatch, examples and replicas.

    python tests/benchmarks/growth.py               all tables, about two minutes on two quiet cores
    python tests/benchmarks/growth.py width depth   some tables

Trains a classifier 784-500-500-10 by `fit`, as users call it, and changes one size at a time. The values of a table
take turns, one epoch each, so that other jobs on the machine slow all of them. Printed are medians, the ratio to the
value before, and the share of the machine's product of two 2048 × 2048 matrices. Replicas share one processor here, so
their table shows what sharing costs, not what it gains.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import rows

from tf_kit import networks, scaling
from tf_kit.pretraining import finetune

BASE = {"width": 500, "depth": 2, "batch": 128, "examples": 4096}
TABLES = {
    "width": (250, 500, 1000, 2000),
    "depth": (1, 2, 4, 8),
    "batch": (32, 64, 128, 256, 512),
    "examples": (1024, 2048, 4096, 8192, 16384),
    "replicas": (1, 2, 4),
}
SIZE = 2048


def epoch(width, depth, batch, examples):
    """A function that trains one epoch, and its floating-point operations in products of matrices."""
    x, y = rows.images(examples)
    encoder = networks.mlp((width,) * depth, num_classes=None, activation="relu", input_shape=(784,))
    model = finetune(encoder, 10)
    weights = 784 * width + (depth - 1) * width**2 + width * 10
    return lambda: model.fit(x, y, batch_size=batch, epochs=1, verbose=0), 6 * weights * examples


def seconds_of(run):
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def in_turns(name, values, rounds):
    """Print the table of one size."""
    sides = {value: epoch(**{**BASE, name: value}) for value in values}
    multiply = rows.product(SIZE)
    for run, _ in sides.values():
        run()
        run()
    taken = {value: [] for value in [*sides, "product"]}
    for _ in range(rounds):
        for value, (run, _) in sides.items():
            taken[value].append(seconds_of(run))
        taken["product"].append(seconds_of(multiply))
    best = 2 * SIZE**3 / np.median(taken["product"])
    before = None
    for value, (_, flops) in sides.items():
        middle = np.median(taken[value])
        steps = -(-{**BASE, name: value}["examples"] // {**BASE, name: value}["batch"])
        ratio = "" if before is None else f"   {middle / before:5.2f} ×"
        share = 100 * flops / middle / best
        print(f"{name:9} {value:6}  {1e3 * middle:8.1f} ms an epoch  {1e3 * middle / steps:7.2f} ms a step"
              f"   share {share:3.0f} %{ratio}", flush=True)  # fmt: skip
        before = middle


def on_replicas(count, rounds):
    """Print the milliseconds of an epoch on `count` replicas; 1 stands for no strategy."""
    if count == 1:
        run, _ = epoch(**BASE)
    else:
        with scaling.strategy("mirrored", replicas=count).scope():
            run, _ = epoch(**BASE)
    run()
    run()
    print(1e3 * np.median([seconds_of(run) for _ in range(rounds)]))


def replicas(counts, rounds):
    """Print the table of replicas; a process supports one number of them only."""
    before = None
    for count in counts:
        command = [sys.executable, __file__, "--on", str(count), "--rounds", str(rounds)]
        middle = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        ratio = "" if before is None else f"   {middle / before:5.2f} ×"
        print(f"replicas  {count:6}  {middle:8.1f} ms an epoch{ratio}", flush=True)
        before = middle


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(TABLES)}; default: all")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each value, at least 3")
    parser.add_argument("--on", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.tables) - set(TABLES)
    if unknown or options.rounds < 3:
        parser.error(f"no tables {sorted(unknown)}" if unknown else "--rounds must be at least 3")
    if options.on:
        on_replicas(options.on, options.rounds)
        return
    for name in options.tables or TABLES:
        if name == "replicas":
            replicas(TABLES[name], options.rounds)
        else:
            in_turns(name, TABLES[name], options.rounds)


if __name__ == "__main__":
    main()
