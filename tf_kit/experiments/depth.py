"""Test error by depth, with and without pretraining: the figure of Erhan et al., 2010."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tf_kit import networks
from tf_kit.checks import count
from tf_kit.data.splits import Split
from tf_kit.pretraining import Classifier, DenoisingAutoencoder, pretrain_greedily


def error_by_depth(
    splits: Sequence[Split],
    depths: Sequence[int] = (1, 2, 3, 4),
    seeds: int = 3,
    units: int = 100,
    pretrain_epochs: int = 15,
    epochs: int = 15,
    batch_size: int = 32,
    rate: float = 0.1,
) -> dict[str, Any]:
    """Train sigmoid nets of each depth from random weights and from denoising auto-associators.

    Both kinds get the same fine-tuning with Adam, whose rate falls from 0.003 to zero by a cosine; pretraining uses
    Adam at 0.003. Nothing is chosen by its error, and each net is tested once, at the end.

    Args:
        splits: train, val and test as `data.load` returns them; val is not used.
        depths: numbers of hidden layers. Defaults to (1, 2, 3, 4).
        seeds: number of nets of each kind, with the seeds 0, 1, … Defaults to 3.
        units: units in each hidden layer. Defaults to 100.
        pretrain_epochs: epochs of pretraining per layer. Defaults to 15.
        epochs: epochs of fine-tuning. Defaults to 15.
        batch_size: examples per step. Defaults to 32.
        rate: probability that a feature is masked. Defaults to 0.1.

    Returns:
        Dictionary of `depths`; of the test errors in percent `without` and `with` pretraining, each (depths, seeds);
        and of `filters`, the first-layer kernels (features, units) of the deepest net with seed 0: `random` and
        `trained` without pretraining, `pretrained` and `tuned` with it.

    Reference: Erhan, Bengio, Courville, Manzagol, Vincent, Bengio, 2010, Why does unsupervised pre-training help deep
    learning?, JMLR 11, figure 1.
    """
    counts = {"seeds": seeds, "units": units, "pretrain_epochs": pretrain_epochs, "epochs": epochs}
    for name, value in (counts | {"batch_size": batch_size}).items():
        count(f"error_by_depth.{name}", value)
    train, _, test = splits
    errors = {"without": np.zeros((len(depths), seeds)), "with": np.zeros((len(depths), seeds))}
    filters = {}
    for row, depth in enumerate(depths):
        for seed in range(seeds):
            for kind in errors:
                encoder = networks.mlp(
                    (units,) * depth, num_classes=None, input_shape=train.x.shape[1:], seed=seed
                )
                shown = depth == max(depths) and seed == 0
                if shown:
                    filters["random"] = _first_kernel(encoder)  # the same for both kinds
                if kind == "with":
                    pretrain_greedily(
                        encoder,
                        train.all_x,
                        block=DenoisingAutoencoder,
                        epochs=pretrain_epochs,
                        batch_size=batch_size,
                        optimizer=keras.optimizers.Adam(0.003),
                        seed=seed,
                        rate=rate,
                    )
                    if shown:
                        filters["pretrained"] = _first_kernel(encoder)
                errors[kind][row, seed] = _tune_and_test(encoder, train, test, epochs, batch_size, seed)
                if shown:
                    filters["tuned" if kind == "with" else "trained"] = _first_kernel(encoder)
    return {"depths": list(depths), **errors, "filters": filters}


def _tune_and_test(encoder, train, test, epochs, batch_size, seed):
    classifier = Classifier(encoder, train.num_classes, seed=seed)
    steps = epochs * -(-len(train) // batch_size)
    classifier.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, steps)))
    classifier.fit(train.x, train.y, batch_size=batch_size, epochs=epochs, verbose=0)
    return 100 * (1 - classifier.evaluate(test.x, test.y, verbose=0, return_dict=True)["accuracy"])


def _first_kernel(encoder):
    return encoder.get_layer("hidden_1").get_weights()[0]
