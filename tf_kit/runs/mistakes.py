"""Figures of a classifier's errors: confusion matrix, and the test images that it is most wrong about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from tf_kit import plotting
from tf_kit.plotting.matrix import confusion, shortened
from tf_kit.plotting.style import STYLE
from tf_kit.plotting.words import literal
from tf_kit.runs.figures import save_figure
from tf_kit.runs.prediction import softmax
from tf_kit.typing import ArrayLike

SHOWN = 18  # images in figures/most_wrong.png
COLUMNS = 6


def draw_mistakes(
    folder: Path, z: np.ndarray, y: np.ndarray, images: Any, by_class: Mapping[str, Any]
) -> None:
    """Draw `confusion.png` and, if there are images, `most_wrong.png`.

    Args:
        folder: folder for the figures.
        z: (n, classes), logits.
        y: int (n,), true classes.
        images: function that returns the images at some places, (m, h, w, c) in [0, 1].
        by_class: errors by class, see `confusion.by_class`.
    """
    names, wrong = by_class["class_names"], int((z.argmax(axis=1) != y).sum())
    title = f"test: {wrong:,} of {len(y):,} wrong"
    save_figure(confusion(by_class["confusion"], names, title), folder / "confusion.png")
    p = softmax(z)
    places = most_wrong(p, y)
    x = images(places) if len(places) else np.zeros((0,))
    if x.ndim == 4 and x.shape[-1] in (1, 3):
        save_figure(_pictures(x, p[places], y[places], names), folder / "most_wrong.png")


def most_wrong(p: ArrayLike, y: ArrayLike, count: int = SHOWN) -> np.ndarray:
    """Return the places of the wrongly classified examples, those first whose wrong class is most probable.

    Args:
        p: (n, classes), probabilities.
        y: int (n,), true classes.
        count: largest number of places. Defaults to `SHOWN`.

    Example:
        >>> most_wrong([[0.4, 0.6], [0.1, 0.9], [0.2, 0.8]], [0, 0, 1])
        array([1, 0])
    """
    p, y = np.asarray(p), np.asarray(y)
    wrong = np.flatnonzero(p.argmax(axis=1) != y)
    return wrong[np.argsort(-p[wrong].max(axis=1), kind="stable")][:count]


def _pictures(x: np.ndarray, p: np.ndarray, y: np.ndarray, names: Sequence[str]) -> plotting.Figure:
    """Draw images with true class, predicted class and its probability below each."""
    columns = min(COLUMNS, len(x))
    height = x.shape[1] / x.shape[2]  # in widths of an image
    step = 1.06, height + 0.3
    rows = -(-len(x) // columns)
    with plt.rc_context({**STYLE, "axes.grid": False}):
        inches = 1.9  # of the width of an image
        size = (inches * step[0] * max(columns, 3), inches * step[1] * rows + 0.4)
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        for i, (image, shares, true) in enumerate(zip(x, p, y, strict=True)):
            left, top = step[0] * (i % columns), step[1] * (i // columns)
            shown = image[..., 0] if image.shape[-1] == 1 else image
            place = (left, left + 1, top + height, top)
            axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=place)
            true_name, name = (literal(shortened(names[k], 20)) for k in (int(true), int(shares.argmax())))
            words = f"true: {true_name}\n{name}: {100 * shares.max():.1f} %"
            axes.text(left + 0.5, top + height + 0.02, words, ha="center", va="top", fontsize=9)
        axes.set(xlim=(0, step[0] * columns - 0.06), ylim=(step[1] * rows, 0), aspect="equal")
        axes.axis("off")
        axes.set_title("test images with the most probable wrong class", fontsize=12)
        return figure
