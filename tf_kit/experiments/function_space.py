"""The paths of networks through the space of functions, with and without pretraining: after Erhan et al., 2010."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.special import softmax

from tf_kit import networks, plotting
from tf_kit.checks import count, refuse
from tf_kit.data.splits import Split
from tf_kit.experiments.depth import fine_tune, pretrain
from tf_kit.training.sharing import shared_traces

KINDS = ("without", "with")


def function_paths(
    splits: Sequence[Split],
    seeds: int = 5,
    layers: int = 3,
    units: int = 100,
    pretrain_epochs: int = 15,
    epochs: int = 15,
    batch_size: int = 32,
    rate: float = 0.1,
) -> dict[str, np.ndarray]:
    """Record what networks compute after every epoch of fine-tuning, from random weights and from pretrained ones.

    Two networks with other weights may compute the same function, so that functions are compared, not weights: a
    network is the list of the class probabilities p(x) that it gives to the validation images. Networks, pretraining
    and fine-tuning are those of `error_by_depth`.

    Args:
        splits: train, val and test as `data.load` returns them; test is not used.
        seeds: number of networks of each kind, with the seeds 0, 1, … At least 2. Defaults to 5.
        layers: hidden layers. Defaults to 3.
        units: units in each hidden layer. Defaults to 100.
        pretrain_epochs: epochs of pretraining per layer. Defaults to 15.
        epochs: epochs of fine-tuning. Defaults to 15.
        batch_size: examples per step. Defaults to 32.
        rate: probability that a feature is masked in pretraining. Defaults to 0.1.

    Returns:
        `without` and `with` pretraining, probabilities of shape (seeds, epochs + 1, n, classes); the first are those
        before fine-tuning.

    Reference: Erhan, Bengio, Courville, Manzagol, Vincent, Bengio, 2010, Why does unsupervised pre-training help deep
    learning?, JMLR 11, section 6.3 and figures 5 and 6.
    """
    count("function_paths.seeds", seeds, at_least=2)
    counts = {"layers": layers, "units": units, "pretrain_epochs": pretrain_epochs, "epochs": epochs}
    for name, value in (counts | {"batch_size": batch_size}).items():
        count(f"function_paths.{name}", value)
    train, val, _ = splits
    paths: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    with shared_traces():
        for seed, kind in itertools.product(range(seeds), KINDS):
            encoder = networks.mlp(
                (units,) * layers, num_classes=None, input_shape=train.x.shape[1:], seed=seed
            )
            if kind == "with":
                pretrain(encoder, train.all_x, pretrain_epochs, batch_size, rate, seed)
            watch = _Watch(val.x)
            fine_tune(encoder, train, epochs, batch_size, seed, [watch])
            paths[kind].append(watch.probabilities)
    return {kind: np.asarray(path, "float32") for kind, path in paths.items()}


class _Watch(keras.callbacks.Callback):
    """Keeps the class probabilities of the same images before the first epoch and after each."""

    def __init__(self, x):
        super().__init__()
        self.x, self.probabilities = x, []

    def on_train_begin(self, logs=None):
        self._keep()

    def on_epoch_end(self, epoch, logs=None):
        self._keep()

    def _keep(self):
        self.probabilities.append(softmax(self.model.predict(self.x, verbose=0), axis=-1))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the distance of two functions on the same n examples.

        d(f, g) = √(1/n Σ_i ‖f(x_i) − g(x_i)‖²)                               (1)

    It is 0 for equal functions and √2 for two that are sure of different classes everywhere.

    Args:
        one, other: class probabilities (n, classes).

    Example:
        >>> distance(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[0.0, 1.0], [0.5, 0.5]]))
        1.0
    """
    return float(np.sqrt(np.mean(np.sum(np.square(one - other), axis=-1))))


def path_distances(paths: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Compute mean distances (1) of `distance` between networks at the end of training.

    Args:
        paths: results of `function_paths`.

    Returns:
        `without` and `with`: between two networks of that kind; `between`: between one of each kind, with other
        seeds.
    """
    _check(paths)
    ends = {kind: paths[kind][:, -1] for kind in KINDS}
    found = {
        kind: np.mean([distance(one, other) for one, other in itertools.combinations(ends[kind], 2)])
        for kind in KINDS
    }
    across = itertools.permutations(range(len(ends["with"])), 2)
    found["between"] = np.mean([distance(ends["with"][i], ends["without"][j]) for i, j in across])
    return {name: float(value) for name, value in found.items()}


def draw_paths(paths: Mapping[str, np.ndarray]) -> Figure:
    """Draw the paths in the plane in which the functions differ most.

    The plane is that of the two principal components of all functions of all networks, so that distances in it are
    those of (1), or shorter. A path starts at a hollow circle and ends at a filled one.

    Args:
        paths: results of `function_paths`.
    """
    _check(paths)
    points, share = _plane(np.stack([paths[kind] for kind in KINDS]))
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(figsize=(8, 6), layout="constrained")
        for kind, color, marker, of_kind in zip(KINDS, plotting.COLORS, "sD", points, strict=False):
            for number, path in enumerate(of_kind):
                label = f"{kind} pretraining" if number == 0 else None
                axes.plot(*path.T, "-", color=color, alpha=0.5, linewidth=1)
                axes.plot(*path[0], marker, color=color, markerfacecolor="none", markersize=9)
                axes.plot(*path[1:-1].T, ".", color=color, markersize=4)
                axes.plot(*path[-1], marker, color=color, markersize=9, label=label)
        axes.set(
            xlabel=f"first component, {100 * share[0]:.0f} % of the variance",
            ylabel=f"second component, {100 * share[1]:.0f} %",
        )
        axes.set_aspect("equal", adjustable="datalim")
        axes.legend(title="hollow: start of fine-tuning, filled: end")
        return figure


def _plane(functions):
    """Project functions (…, n, classes) onto their two principal components, in units of (1)."""
    *many, n, classes = functions.shape
    rows = functions.reshape(-1, n * classes).astype("float64") / np.sqrt(n)
    rows -= rows.mean(axis=0)
    u, s, _ = np.linalg.svd(rows, full_matrices=False)
    return (u[:, :2] * s[:2]).reshape(*many, 2), s[:2] ** 2 / np.sum(s**2)


def _check(paths):
    shapes = {kind: np.shape(paths.get(kind, ())) for kind in KINDS}
    if shapes["with"] != shapes["without"] or len(shapes["with"]) != 4:
        refuse("paths", "be the results of function_paths", f"{shapes}")
