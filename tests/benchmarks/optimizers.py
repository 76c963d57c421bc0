"""How long a training step takes with each optimizer, and what `jit_update=True` is worth.

    python tests/benchmarks/optimizers.py [--rounds 40] [--batch 128] [--units 1000]

An MLP 784-1000-1000-1000-10 (2.8 million weights) on random images. The optimizers take turns, a few steps
each, so that whatever else the machine does falls on all of them; compare within one run only. About two
minutes. The best time is what a quiet machine needs, the median what this one needed.

Seen on two busy cores, 60 rounds, plain / jit_update, median of the rounds: Adam 1.24 at 128 examples a batch
and 1.33 at 32, AdamW with clipping and averaging 1.22 and 1.31, RMSProp 1.12 and 1.28, LARS 0.82 and 0.75.
Adam as written here took 1.08 and 1.11 times Keras's, with jit_update 0.90 and 0.82 times.
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

from tf_kit import optimizers

STEPS_A_TURN = 4
PRETRAINING = {"use_ema": True, "global_clipnorm": 1.0}

CONTESTANTS = {
    "keras SGD": lambda: keras.optimizers.SGD(1e-3),
    "keras Adam": lambda: keras.optimizers.Adam(1e-3),
    "Adam": lambda: optimizers.Adam(1e-3),
    "Adam, jit_update": lambda: optimizers.Adam(1e-3, jit_update=True),
    "keras AdamW, clipped, averaged": lambda: keras.optimizers.AdamW(1e-3, **PRETRAINING),
    "AdamW, clipped, averaged": lambda: optimizers.AdamW(1e-3, **PRETRAINING),
    "AdamW, clipped, averaged, jit_update": lambda: optimizers.AdamW(1e-3, jit_update=True, **PRETRAINING),
    "keras RMSprop": lambda: keras.optimizers.RMSprop(1e-3),
    "RMSProp": lambda: optimizers.RMSProp(1e-3),
    "RMSProp, jit_update": lambda: optimizers.RMSProp(1e-3, jit_update=True),
    "LARS": lambda: optimizers.LARS(1e-3),
    "LARS, jit_update": lambda: optimizers.LARS(1e-3, jit_update=True),
}


def training_step(optimizer, data, units):
    """A function that makes one training step of a fresh MLP and waits for its end."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(units, "relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((784,)), *hidden, keras.layers.Dense(10)])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.make_train_function()
    batches = iter(data)

    def step():
        model.train_function(batches)
        return float(model.trainable_weights[0].value[0, 0])

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--units", type=int, default=1000)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    x = rng.random((8 * options.batch, 784), dtype="float32")
    y = rng.integers(0, 10, 8 * options.batch)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(options.batch).cache().repeat()

    steps, seconds = {}, {name: [] for name in CONTESTANTS}
    for name, make in CONTESTANTS.items():
        steps[name] = training_step(make(), data, options.units)
        began = time.perf_counter()
        steps[name]()
        print(f"{name}: first step, traced and compiled, {time.perf_counter() - began:.1f} s", flush=True)
        steps[name]()
    for _ in range(options.rounds):
        for name, step in steps.items():
            step()  # brings the weights back into the cache
            began = time.perf_counter()
            for _ in range(STEPS_A_TURN):
                step()
            seconds[name].append((time.perf_counter() - began) / STEPS_A_TURN)

    print(f"\n{'ms a step':40}{'best':>8}{'median':>8}   plain / jit_update: median of the rounds, quartiles")
    for name, taken in seconds.items():
        gain = ""
        if name.endswith(", jit_update"):
            low, middle, high = np.quantile(
                np.divide(seconds[name.removesuffix(", jit_update")], taken), [0.25, 0.5, 0.75]
            )
            gain = f"{middle:.2f}, {low:.2f} to {high:.2f}"
        print(f"{name:40}{1e3 * min(taken):8.1f}{1e3 * np.median(taken):8.1f}   {gain}")


if __name__ == "__main__":
    main()
