"""Recipes of the lecture's table: how each row is built, pretrained and fine-tuned, declared as data.

`"2007"` keeps to the means of that year: sigmoid units, gradient descent with momentum and a falling rate, no dropout.
`"today"` fine-tunes by Adam with noise on normalized sums, and has ReLU except in RBMs. Both see every image as a
vector without order of its pixels, and neither changes the images. A search may add dropout and limits on the norms of
weights; no row declares them.

Reference: Bengio, Lamblin, Popovici, Larochelle, 2007, Greedy layer-wise training of deep networks; Rasmus, Valpola,
Honkala, Berglund, Raiko, 2015, Semi-supervised learning with ladder networks, arXiv:1507.02672, section 4.1, for the
units, noise, rate and minibatch of today; Hinton, 2010, A practical guide to training restricted Boltzmann machines.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tf_kit import networks, optimizers, regularization
from tf_kit.checks import choice, refuse
from tf_kit.experiments.tuning import given

_SHOWN = 10_000  # training examples whose means and variances batch normalization starts from


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Recipe of one row.

    Attributes:
        units: units of each hidden layer.
        activation: of the hidden layers, see `networks.mlp`.
        pretrain_optimizer: of pretraining: "sgd", "momentum" (0.9) or "adam"; None takes that of the method, see
            `runs.methods.optimizer_of`.
        pretrain_epochs, pretrain_learning_rate, pretrain_batch_size: of each layer, at a constant rate.
        rate: probability that the denoising auto-associator masks a feature.
        gibbs_steps: number k of Gibbs steps of contrastive divergence.
        optimizer: of fine-tuning: "sgd", "momentum" (0.9) or "adam".
        schedule: how its rate falls to zero over the epochs: "linear" or "cosine"; or "constant".
        learning_rates: initial rates of fine-tuning; each starts from the same weights, the best on validation is kept.
        epochs: epochs of fine-tuning, of which the best on validation is kept.
        batch_size: examples per step of fine-tuning.
        input_dropout, dropout: probability that fine-tuning drops an input and a hidden unit.
        max_norm: largest norm of the weights that lead to a hidden unit in fine-tuning, or None.
        noise: standard deviation of the noise of fine-tuning on the inputs and, after batch normalization, on the sum
            of every hidden unit; 0 leaves out both noise and normalization.
    """

    units: tuple[int, ...]
    activation: str = "sigmoid"
    pretrain_optimizer: str | None = None
    pretrain_epochs: int = 15
    pretrain_learning_rate: float = 0.001
    pretrain_batch_size: int = 128
    rate: float = 0.1
    gibbs_steps: int = 1
    optimizer: str = "adam"
    schedule: str = "cosine"
    learning_rates: tuple[float, ...] = (0.001,)
    epochs: int = 20
    batch_size: int = 128
    input_dropout: float = 0.0
    dropout: float = 0.0
    max_norm: float | None = None
    noise: float = 0.0

    def encoder(self, input_shape: Sequence[int], seed: int) -> keras.Sequential:
        """Make the encoder that is pretrained: hidden layers without dropout."""
        return networks.mlp(
            self.units, num_classes=None, activation=self.activation, input_shape=input_shape, seed=seed
        )

    def for_fine_tuning(
        self, encoder: keras.Sequential, seed: int, x: np.ndarray | None = None
    ) -> keras.Sequential:
        """Return the encoder as fine-tuning trains it: the same layers, with what regularizes them.

        Dropout divides the kept units by the probability of keeping, so pretrained weights need no factor. Batch
        normalization starts with γ and β that undo it on `x`, so a pretrained encoder computes what it did.

        Args:
            encoder: encoder, see `encoder`.
            seed: seed of dropout and noise.
            x: training examples, on which batch normalization is undone. Defaults to None, γ = 1 and β = 0.
        """
        if self.max_norm is not None:
            for layer in encoder.layers:
                if isinstance(layer, keras.layers.Dense):
                    layer.kernel.constraint = regularization.MaxNorm(self.max_norm)
        if not (self.input_dropout or self.dropout or self.noise):
            return encoder
        layers: list[keras.layers.Layer] = [keras.Input(encoder.input_shape[1:])]
        for layer in encoder.layers:
            layers.append(layer)
            layers += self._after(layer, 1000 * seed + len(layers))
        tuned = keras.Sequential(layers, name="encoder")
        if x is not None:
            _undo_normalization(tuned, x[:_SHOWN])
        return tuned

    def _after(self, layer, seed):
        """Return the layers that regularize what a layer of the encoder computes."""
        if isinstance(layer, keras.layers.Dense):
            if not self.noise:
                return []
            return [regularization.NoisyBatchNorm(self.noise, seed, name=f"batch_norm_{seed % 1000}")]
        inputs = isinstance(layer, keras.layers.Flatten)
        rate = self.input_dropout if inputs else self.dropout
        found: list[keras.layers.Layer] = []
        if rate:
            found.append(regularization.Dropout(rate, seed=seed, name=f"dropout_{seed % 1000}"))
        if inputs and self.noise:
            found.append(regularization.GaussianNoise(self.noise, seed=seed + 500, name="input_noise"))
        return found

    def optimizer_of(self, learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
        """Make the optimizer of a fine-tuning that takes `steps` steps from an initial rate."""
        falling = {
            "constant": lambda: learning_rate,
            "linear": lambda: optimizers.LinearDecay(learning_rate, steps),
            "cosine": lambda: keras.optimizers.schedules.CosineDecay(learning_rate, steps),
        }[self.schedule]()
        return _KINDS[self.optimizer](falling)

    def optimizer_of_pretraining(self) -> keras.optimizers.Optimizer | None:
        """Make the optimizer that each layer is pretrained with; None stands for that of the method."""
        kind = self.pretrain_optimizer
        return None if kind is None else _KINDS[kind](self.pretrain_learning_rate)


_KINDS = {"sgd": optimizers.SGD, "momentum": optimizers.Momentum, "adam": optimizers.Adam}


def _undo_normalization(encoder, x):
    """Set γ = √(σ² + ε) and β = μ, the standard deviation and mean of each sum on `x`, and the moving averages."""
    h = x
    for layer in encoder.layers:
        if isinstance(layer, regularization.BatchNorm):
            mean, variance = np.mean(h, axis=0), np.var(h, axis=0)
            layer.set_weights([np.sqrt(variance + layer.epsilon), mean, mean, variance])
        else:
            h = np.asarray(layer(h))


@dataclasses.dataclass(frozen=True)
class Rows:
    """Recipe by name: the recipe of each row.

    Attributes:
        recipe: its name.
        rows: row → `Recipe`.
    """

    recipe: str
    rows: dict[str, Recipe]

    def of(self, system: str) -> Recipe:
        """Return the recipe of a row."""
        return self.rows[system]


def _rows(base: Mapping[str, Any], **own: Mapping[str, Any]) -> dict[str, Recipe]:
    return {system: Recipe(**{**base, **changes}) for system, changes in own.items()}


_2007 = {
    "pretrain_optimizer": "momentum",
    "pretrain_batch_size": 100,
    "optimizer": "momentum",
    "schedule": "linear",
    "batch_size": 20,
}
_TODAY = {"noise": 0.3, "learning_rates": (0.002,), "batch_size": 100, "epochs": 60}

# Rows for 10,000 training examples and more.
LARGE = {
    "2007": _rows(
        {**_2007, "units": (1000, 1000, 1000)},
        dbn={"pretrain_epochs": 60, "pretrain_learning_rate": 0.02, "learning_rates": (0.2,), "epochs": 27},
        autoencoder={
            "pretrain_epochs": 25,
            "pretrain_learning_rate": 0.02,
            "rate": 0.3,
            "learning_rates": (0.3,),
            "epochs": 12,
        },
        supervised={
            "pretrain_epochs": 4,
            "pretrain_learning_rate": 0.1,
            "learning_rates": (0.3,),
            "epochs": 27,
        },
        deep={"learning_rates": (0.05,), "epochs": 27},
        shallow={"units": (500,), "learning_rates": (0.1,), "epochs": 27},
    ),
    "today": _rows(
        {**_TODAY, "activation": "relu", "units": (1000, 500, 250, 250, 250)},
        dbn={
            "activation": "sigmoid",
            "units": (1000, 1000, 1000),
            "pretrain_epochs": 20,
            "pretrain_learning_rate": 0.02,
            "noise": 0.2,
            "learning_rates": (0.001,),
        },
        autoencoder={"pretrain_epochs": 10, "rate": 0.25},
        supervised={"pretrain_epochs": 5},
        deep={},
        shallow={"units": (1000,)},
    ),
}

# Smaller values for fewer examples.
_FEW = {"pretrain_epochs": 15, "batch_size": 32, "pretrain_batch_size": 32}
SMALL = {
    "2007": {**_FEW, "epochs": 30},
    "today": {**_FEW, "epochs": 40, "learning_rates": (0.003,), "noise": 0.2},
}
_SMALL_UNITS = {"deep": (128, 128, 128), "shallow": (128,)}
_SMALL_PRETRAINING_RATES = {
    "2007": {"dbn": 0.1, "autoencoder": 0.03, "supervised": 0.03},
    "today": {"dbn": 0.1, "autoencoder": 0.003, "supervised": 0.003},
}


def rows_for(recipe: str, num_examples: int, **changes: Any) -> Rows:
    """Return the rows of a recipe for a training set of a size, with `changes` that are not None.

    Args:
        recipe: `"2007"` or `"today"`.
        num_examples: number of training examples; 10,000 or more give the rows that were chosen on MNIST.
        **changes: `layers` and `units`, which replace the hidden layers of every deep row and the units of the shallow
            one, and fields of `Recipe` for every row.

    Raises:
        InputError: there is no such recipe, or a change is out of range.

    Example:
        >>> rows_for("2007", 50_000).of("dbn").units, rows_for("2007", 1197, units=64).of("dbn").units
        ((1000, 1000, 1000), (64, 64, 64))
    """
    choice("run_table.recipe", recipe, tuple(LARGE))
    changes = given(changes)
    if "batch_size" in changes:
        changes["pretrain_batch_size"] = changes["batch_size"]
    layers, units = changes.pop("layers", None), changes.pop("units", None)
    unknown = changes.keys() - {field.name for field in dataclasses.fields(Recipe)}
    if unknown:
        refuse("run_table.changes", "be fields of a recipe", f"{sorted(unknown)}")
    rows = {}
    for system, row in LARGE[recipe].items():
        own = _small(system, recipe) if num_examples < 10_000 else {}
        wide = own.get("units", row.units)
        wanted = 1 if system == "shallow" else layers or len(wide)
        own["units"] = (units,) * wanted if units else wide if wanted == len(wide) else (wide[0],) * wanted
        rows[system] = dataclasses.replace(row, **{**own, **changes})
    return Rows(recipe, rows)


def _small(system, recipe):
    rate = _SMALL_PRETRAINING_RATES[recipe].get(system)
    units = _SMALL_UNITS["shallow" if system == "shallow" else "deep"]
    return {**SMALL[recipe], "units": units} | ({"pretrain_learning_rate": rate} if rate else {})
