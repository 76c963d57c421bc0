"""Test error by depth, with and without pretraining: the figure of Erhan et al., 2010."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from tf_kit import networks, plotting
from tf_kit.checks import count
from tf_kit.data.splits import Split
from tf_kit.experiments.comparison import paired_difference
from tf_kit.experiments.tuning import mean_and_std, over_seeds
from tf_kit.pretraining import Classifier, DenoisingAutoencoder, pretrain_greedily
from tf_kit.training.sharing import shared_traces


def error_by_depth(
    splits: Sequence[Split],
    depths: Sequence[int] = (1, 2, 3, 4),
    seeds: int = 3,
    units: int = 100,
    pretrain_epochs: int = 15,
    epochs: int = 15,
    batch_size: int = 32,
    rate: float = 0.1,
    on_noise: bool = False,
) -> dict[str, Any]:
    """Train sigmoid nets of each depth from random weights and from denoising auto-associators.

    Both kinds get the same fine-tuning with Adam, whose rate falls from 0.003 to zero by a cosine; pretraining uses
    Adam at 0.003. Nothing is chosen by its error, and each net is tested once, at the end.

    A third kind is pretrained in the same way on noise, as many vectors of independent numbers from 0 to 1 as there are
    images. What it gains comes from weights through which the gradient passes, and not from what the images show.

    Args:
        splits: train, val and test as `data.load` returns them; val is not used.
        depths: numbers of hidden layers. Defaults to (1, 2, 3, 4).
        seeds: number of nets of each kind, with the seeds 0, 1, … Defaults to 3.
        units: units in each hidden layer. Defaults to 100.
        pretrain_epochs: epochs of pretraining per layer. Defaults to 15.
        epochs: epochs of fine-tuning. Defaults to 15.
        batch_size: examples per step. Defaults to 32.
        rate: probability that a feature is masked. Defaults to 0.1.
        on_noise: whether to train the third kind. Defaults to False.

    Returns:
        Dictionary of `depths`; of the test errors in percent `without` and `with` pretraining, and `on_noise`, each
        (depths, seeds); and of `filters`, the first-layer kernels (features, units) of the deepest net with seed 0:
        `random` and `trained` without pretraining, `pretrained` and `tuned` with it.

    Reference: Erhan, Bengio, Courville, Manzagol, Vincent, Bengio, 2010, Why does unsupervised pre-training help deep
    learning?, JMLR 11, figure 1.
    """
    counts = {"seeds": seeds, "units": units, "pretrain_epochs": pretrain_epochs, "epochs": epochs}
    for name, value in (counts | {"batch_size": batch_size}).items():
        count(f"error_by_depth.{name}", value)
    train, _, test = splits
    kinds = ("without", "with", "on_noise") if on_noise else ("without", "with")
    errors = {kind: np.zeros((len(depths), seeds)) for kind in kinds}
    filters = {}
    with shared_traces():  # the nets of one depth train by the same traced functions
        for row, depth in enumerate(depths):
            for seed in range(seeds):
                for kind in errors:
                    encoder = networks.mlp(
                        (units,) * depth, num_classes=None, input_shape=train.x.shape[1:], seed=seed
                    )
                    shown = depth == max(depths) and seed == 0
                    if shown:
                        filters["random"] = _first_kernel(encoder)  # the same for all kinds
                    if kind != "without":
                        x = train.all_x if kind == "with" else _noise(train.all_x.shape, seed)
                        pretrain(encoder, x, pretrain_epochs, batch_size, rate, seed)
                    if shown and kind == "with":
                        filters["pretrained"] = _first_kernel(encoder)
                    classifier = fine_tune(encoder, train, epochs, batch_size, seed)
                    errors[kind][row, seed] = _test_error(classifier, test)
                    if shown and kind != "on_noise":
                        filters["tuned" if kind == "with" else "trained"] = _first_kernel(encoder)
    return {"depths": list(depths), **errors, "filters": filters}


def _noise(shape, seed):
    return np.random.default_rng(seed).uniform(size=shape).astype("float32")


def pretrain(encoder, x, epochs, batch_size, rate, seed):
    """Pretrain the layers of an encoder, one after another, as denoising auto-associators."""
    pretrain_greedily(
        encoder,
        x,
        block=DenoisingAutoencoder,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=keras.optimizers.Adam(0.003),
        seed=seed,
        rate=rate,
    )


def fine_tune(encoder, train, epochs, batch_size, seed, callbacks=()):
    """Return the classifier that Adam has trained, with a rate that falls to zero."""
    classifier = Classifier(encoder, train.num_classes, seed=seed)
    steps = epochs * -(-len(train) // batch_size)
    classifier.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, steps)))
    fit = {"batch_size": batch_size, "epochs": epochs, "verbose": 0}
    classifier.fit(train.x, train.y, callbacks=list(callbacks), **fit)
    return classifier


def _test_error(classifier, test):
    return 100 * (1 - classifier.evaluate(test.x, test.y, verbose=0, return_dict=True)["accuracy"])


def _first_kernel(encoder):
    return encoder.get_layer("hidden_1").get_weights()[0]


def format_depth(results: Mapping[str, Any]) -> str:
    """Format the errors by depth as text: mean ± standard deviation over seeds, and paired differences.

    The second difference, with pretraining on noise, is what the images themselves contribute.

    Args:
        results: results of `error_by_depth`.
    """
    if "on_noise" in results:
        titles = [
            "without",
            "with pretraining",
            "on noise",
            "with − without, 95 %    ",
            "with − on noise, 95 %   ",
        ]
    else:
        titles = ["without pretraining", "with pretraining", "with − without, 95 % interval"]
    lines = ["   ".join(["hidden layers", *(f"{title:>13}" for title in titles)]).rstrip()]
    for row, depth in enumerate(results["depths"]):
        of = {kind: results[kind][row] for kind in _LABELS if kind in results}
        cells = [_spread(errors) for errors in of.values()]
        cells += [_difference(of["with"], others) for kind, others in of.items() if kind != "with"]
        found = (f"{cell:>{max(13, len(title))}}" for cell, title in zip(cells, titles, strict=True))
        lines.append("   ".join([f"{depth:13}", *found]))
    return "\n".join(lines)


def _spread(errors):
    return mean_and_std(over_seeds(errors.tolist()))


def _difference(errors, others):
    found = paired_difference(errors, others)
    interval = f"  [{found.low:+.2f}, {found.high:+.2f}]" if found.low is not None else ""
    return f"{found.mean:+6.2f}{interval}"


_STATES = {
    "random": "before",
    "pretrained": "after pretraining",
    "tuned": "after fine-tuning",
    "trained": "trained from random weights",
}
_LABELS = {
    "without": "without pretraining",
    "with": "with pretraining",
    "on_noise": "pretrained on noise",
}
_FILTERS = 14  # units in a row of filters


def draw_depth(results: Mapping[str, Any], image_shape: Sequence[int]) -> Figure:
    """Draw box plots of the test errors by depth, and filters of the first layer before, between and after training.

    A box reaches from the first to the third quartile of the seeds, its line is the median, its whiskers reach to the
    farthest error within 1.5 times the height of the box, and dots are the errors beyond. Each column of filters is
    one unit, of those whose weights are largest at the end.

    Args:
        results: results of `error_by_depth`.
        image_shape: (h, w) or (h, w, 1), with h·w features.
    """
    with plt.rc_context(plotting.STYLE):
        figure = plt.figure(figsize=(15, 5), layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.15))[0]
        axes = left.subplots()
        kinds = {name: label for name, label in _LABELS.items() if name in results}
        width = 0.7 / len(kinds)
        for i, (name, label) in enumerate(kinds.items()):
            side, color = (i - (len(kinds) - 1) / 2) * 1.05 * width, plotting.COLORS[i]
            boxes = axes.boxplot(
                list(results[name]),
                positions=[depth + side for depth in results["depths"]],
                widths=0.85 * width,
                patch_artist=True,
                manage_ticks=False,
                flierprops={"marker": ".", "markeredgecolor": color},
                medianprops={"color": "black"},
                label=label,
            )
            for box in boxes["boxes"]:
                box.set(facecolor=color, alpha=0.6)
        axes.set(xlabel="hidden layers", ylabel="test error, %", ylim=(0, None), xticks=results["depths"])
        axes.legend()
        _draw_filters(right, results["filters"], image_shape[:2])
        return figure


def _draw_filters(figure, filters, shape):
    """Draw one row of filters for each state of the first layer, the same units in all rows."""
    strongest = np.sort(np.argsort(-np.linalg.norm(filters["tuned"], axis=0))[:_FILTERS])
    for axes, (state, title) in zip(figure.subplots(len(_STATES), 1), _STATES.items(), strict=True):
        images = filters[state][:, strongest].T.reshape(-1, *shape)
        framed = np.pad(images, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
        strip = np.concatenate(list(framed), axis=1)[:, :-1]
        limit = np.nanmax(np.abs(strip))
        axes.imshow(strip, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
        axes.set_title(f"{title}, weights to ±{limit:.2f}", fontsize=13, loc="left")
        axes.axis("off")
