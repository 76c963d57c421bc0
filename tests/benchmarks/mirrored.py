"""What `MirroredStrategy` with one replica costs: a training step under it against the same step without.

    python tests/benchmarks/mirrored.py [--rounds 60] [--batch 256] [--units 1000]

A classifier 784-1000-1000-1000-10 of the kit with Adam on random images. The two take turns, a few steps each, so
that whatever else the machine does falls on both; the ratio is that of neighboring turns, and its spread is the
interquartile range over the rounds, with the error of the median. Where other work shares the machine, look at the
processor's time: it tells of work, not of waiting. About a minute on two quiet cores.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import keras
import numpy as np
import tensorflow as tf

from tf_kit import networks, scaling
from tf_kit.pretraining import Classifier

STEPS_A_TURN = 4


def training_step(strategy, data, units):
    """A function that makes one training step of a fresh classifier and waits for its end."""
    with strategy.scope():
        model = Classifier(networks.mlp((units,) * 3, num_classes=None, activation="relu", seed=0), 10)
        model.compile(keras.optimizers.Adam(1e-4))
        model.prepare_from(data)
        model.make_train_function()
    batches = iter(strategy.experimental_distribute_dataset(data))

    def step():
        return float(model.train_function(batches)["loss"])

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--units", type=int, default=1000)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.random((8 * options.batch, 784), dtype="float32")
    y = rng.integers(0, 10, 8 * options.batch)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(options.batch).cache().repeat()
    strategies = {"none": scaling.strategy("none"), "mirrored": scaling.strategy("mirrored", replicas=1)}
    steps = {name: training_step(strategy, data, options.units) for name, strategy in strategies.items()}
    for step in steps.values():
        for _ in range(10):
            step()

    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    seconds = {(clock, name): [] for clock in clocks for name in steps}
    for turn in range(options.rounds):
        for name in sorted(steps, reverse=turn % 2 == 1):
            began = {clock: now() for clock, now in clocks.items()}
            for _ in range(STEPS_A_TURN):
                steps[name]()
            for clock, now in clocks.items():
                seconds[clock, name].append((now() - began[clock]) / STEPS_A_TURN)
    print(
        f"batch {options.batch}, 3 hidden layers of {options.units}, {options.rounds} rounds of {STEPS_A_TURN} steps"
    )
    for clock in clocks:
        none, mirrored = (np.array(seconds[clock, name]) for name in ("none", "mirrored"))
        low, middle, high = np.percentile(mirrored / none, [25, 50, 75])
        error = 1.25 * (high - low) / 1.35 / np.sqrt(len(none))  # of a median, if the ratios are about normal
        print(
            f"{clock:10} none {1e3 * np.median(none):6.1f} ms, mirrored {1e3 * np.median(mirrored):6.1f} ms a step; "
            f"ratio {middle:.3f} ± {error:.3f}, half of the rounds in {low:.3f} to {high:.3f}"
        )


if __name__ == "__main__":
    main()
