"""Figures of a run: curves, monitors, filters, views, reconstructions, samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np

from tf_kit import plotting
from tf_kit.networks.stages import dense_stages
from tf_kit.pretraining import RBM, DeepBeliefNetwork, MaskedAutoencoder, MaskedVectors, Pretrainer
from tf_kit.pretraining.joint_embedding import JointEmbedding
from tf_kit.randomness import ExampleRandom
from tf_kit.runs.files import stopping_if_unwritable

if TYPE_CHECKING:
    from tf_kit.runs.run import Run

MONITORS = (
    "reconstruction",
    "pseudo_likelihood",
)  # drawn in place of the loss of an RBM, which measures no progress
WATCHED = {  # measures of the representation, drawn in figures/monitors.png
    "rankme": "effective rank (RankMe)",
    "feature_deviation": "deviation of features",
    "uniformity": "uniformity",
    "alignment": "alignment of two views",
    "val_knn_accuracy": "neighbors right in %",
}


def draw(run: Run, encoder: keras.Model | None = None, image_shape: Sequence[int] | None = None) -> None:
    """Draw `figures/curves.png`, `figures/monitors.png` and `figures/filters.png` of a run.

    Args:
        run: the run; its monitors are drawn if it has any.
        encoder: encoder whose first dense layer is drawn, if its inputs are pixels. Defaults to None.
        image_shape: shape of an example; filters are drawn if it is that of an image. Defaults to None.
    """
    groups = {}
    watched: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for stage, history in run.history().items():
        series = {name: values for name, values in history.items() if name not in ("seconds", *WATCHED)}
        drawn = [name for name in series if name in MONITORS] or [n for n in series if "accuracy" not in n]
        groups[stage] = {name: series[name] for name in drawn}
        for name in WATCHED.keys() & history.keys():
            measured = {epoch: value for epoch, value in enumerate(history[name], 1) if value is not None}
            unit = 100 if WATCHED[name].endswith("%") else 1
            watched.setdefault(name, {})[stage] = np.array([*measured]), unit * np.array([*measured.values()])
    if groups:
        save_figure(plotting.panels(groups), run.folder / "figures" / "curves.png")
    if watched:
        panels = [
            {"title": title, "x_label": "epoch", "series": watched[name]}
            for name, title in WATCHED.items()
            if name in watched
        ]
        figure = plotting.graphs(panels, width=4.8, columns=2 if len(panels) == 4 else 3)
        save_figure(figure, run.folder / "figures" / "monitors.png")
    if encoder is not None and image_shape is not None and len(image_shape) == 3:
        kernel = keras.ops.convert_to_numpy(dense_stages(encoder)[0].dense.kernel)
        if kernel.shape[0] == np.prod(image_shape):
            save_figure(plotting.filters(kernel, image_shape), run.folder / "figures" / "filters.png")


def save_figure(figure: plotting.Figure, path: Path) -> None:
    """Write a figure as `plotting.save` does.

    Raises:
        RunStopped: the disk is full, or something else stands in the place of the file or its folder.
    """
    with stopping_if_unwritable(path):
        plotting.save(figure, path)


def draw_results(folder: Path, trained: Sequence[Pretrainer], x: np.ndarray) -> None:
    """Draw results of pretrainers on some images: views, filled-in or reconstructed images, samples.

    Args:
        folder: folder for the figures.
        trained: pretrainers, as `methods.train` returns them.
        x: examples (n, …); nothing is drawn if they are not images.
    """
    first, shown = trained[0], x[:10]
    if shown.ndim != 4:
        return

    def save(name, rows, title):
        images = np.concatenate([keras.ops.convert_to_numpy(row) for row in rows])
        figure = plotting.tiles(images.reshape(-1, *x.shape[1:]), columns=len(shown), title=title)
        save_figure(figure, folder / f"{name}.png")

    if isinstance(first, MaskedAutoencoder | MaskedVectors):
        if isinstance(first, MaskedVectors):
            masked = first.draw_masked(shown)
            seen = np.where(masked, 0.3, shown)
        else:
            masked = first.draw_masked(len(shown))
            seen = first.cover(shown, masked, 0.3)
        title = "images, their visible parts, images filled in"
        save("reconstructions", (shown, seen, first.reconstruct(shown, masked)), title)
    elif hasattr(first, "reconstruct"):
        title = "images, and their reconstruction by layer 1"
        save("reconstructions", (shown, first.reconstruct(shown)), title)
    elif isinstance(first, JointEmbedding):
        views = keras.ops.convert_to_numpy(first.views(shown, ExampleRandom(first.seed, 0, len(shown))))
        rows = [views[view :: first.num_views] for view in range(first.num_views)]
        save("views", (shown, *rows), f"images, and {len(rows)} views of each")
    if isinstance(first, RBM):
        network = DeepBeliefNetwork(trained)
        samples = network.sample(40, num_steps=200, start=np.resize(x, (40, *x.shape[1:])), seed=first.seed)
        title = "samples of the deep belief network, 200 Gibbs steps after an image"
        save("samples", [samples], title)
