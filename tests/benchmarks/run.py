"""Speed of the kit against Keras, PyTorch, scikit-learn and NumPy, each row in turns within one process.

    python tests/benchmarks/run.py                      all rows, about six minutes on two quiet cores
    python tests/benchmarks/run.py mlp rbm --rounds 15  some rows

Needs `pip install -e ".[bench]"`; sides whose library is missing are skipped. The sides of a row take turns, one epoch
or one call each, so that other jobs on the machine slow all of them: compare within one row only. Printed are the time
of the kit, medians of the ratios of neighboring turns (other / kit: above 1 the kit is faster) with the middle half of
the rounds in brackets, and the share that the kit reaches of the machine's product of two 2048 × 2048 matrices.
"""

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

with contextlib.suppress(ImportError):
    import torch._dynamo  # noqa: F401  (torch.optim loads it; after TensorFlow that ends the process)
import rows

SIZE = 2048


def seconds_of(side):
    began = time.perf_counter()
    side()
    return time.perf_counter() - began


def measure(row, rounds, product):
    """Print one row."""
    sides = dict(row.sides)
    for side in sides.values():
        side()
        side()
    taken = {name: [] for name in [*sides, "product"]}
    for turn in range(rounds):
        for name in sorted(sides, reverse=turn % 2 == 1):
            taken[name].append(seconds_of(sides[name]))
        taken["product"].append(seconds_of(product))
    ours = np.array(taken["kit"])
    print(f"{row.name:44} {1e3 * np.median(ours) / row.units:9.3f} ms", end="")
    for name in sides:
        if name != "kit":
            low, middle, high = np.quantile(np.array(taken[name]) / ours, [0.25, 0.5, 0.75])
            print(f"   {name} {middle:.2f} [{low:.2f} {high:.2f}]", end="")
    if row.flops:
        rates = row.flops / ours, 2 * SIZE**3 / np.array(taken["product"])
        print(f"   share {100 * np.median(rates[0] / rates[1]):.0f} %", end="")
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(rows.ROWS)}; default: all")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each side, at least 7")
    options = parser.parse_args()
    unknown = set(options.rows) - set(rows.ROWS)
    if unknown or options.rounds < 7:
        parser.error(f"no rows {sorted(unknown)}" if unknown else "--rounds must be at least 7")
    product = rows.product(SIZE)
    product()
    rate = 2 * SIZE**3 / np.median([seconds_of(product) for _ in range(7)]) / 1e9
    print(f"product of two {SIZE} × {SIZE} matrices, float32: {rate:.0f} GFLOP/s")
    for library in rows.MISSING:
        print(f"{library} is not installed: its sides are skipped")
    print(f"{'per step, update or call':44} {'kit':>12}   other / kit: median [middle half]")
    for name in options.rows or rows.ROWS:
        for row in rows.ROWS[name]():
            measure(row, options.rounds, product)


if __name__ == "__main__":
    main()
