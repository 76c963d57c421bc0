"""Confusion matrix from plain arrays."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from tf_kit.checks import refuse
from tf_kit.plotting.style import STYLE
from tf_kit.plotting.words import literal
from tf_kit.typing import ArrayLike

WITH_NAMES = 200  # classes up to which names are drawn
WITH_NUMBERS = 20  # classes up to which each cell shows its number
LONGEST_NAME = 24  # characters


def confusion(counts: ArrayLike, class_names: Sequence[object], title: str = "") -> Figure:
    """Draw a confusion matrix: a row for each true class, a column for each predicted one.

    The color of a cell is its share of the row, so that classes of different size can be compared. Up to 20 classes the
    cells show their numbers.

    Args:
        counts: int (k, k), number of examples of each true and predicted class.
        class_names: k names or numbers; a long one is cut in the middle, and above 200 classes, where none could be
            read, all are left out.
        title: text above. Defaults to "".

    Returns:
        The figure, which grows with the number of classes.

    Raises:
        InputError: `counts` is not a square of at least one class, or there are not k names.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or not counts.size or counts.shape != (len(class_names),) * 2:
        received = f"counts of shape {counts.shape} with {len(class_names)} names"
        refuse("confusion.counts", "be a square with one name per class, at least one", received)
    k = len(counts)
    names = [shortened(str(name)) for name in class_names] if k <= WITH_NAMES else []
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.55 * k, 2.5, 12))
    size = min(11.0, 0.75 * 72 * side / k)  # points: the height of a row, less a gap
    with plt.rc_context({**STYLE, "axes.grid": False, "font.size": 11}):
        margin = 0.5 + 0.6 * size / 72 * max(map(len, names), default=0)  # of the names
        figure, axes = plt.subplots(figsize=(side + margin + 1.0, side + margin), layout="constrained")
        drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set(xlabel="predicted class", ylabel="true class", title=literal(title))
        drawn_names = [literal(name) for name in names]
        axes.set_xticks(range(len(names)), drawn_names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), drawn_names, fontsize=size)
        axes.tick_params(length=0)
        figure.colorbar(drawn, ax=axes, label="share of the true class", shrink=0.8)
        if k <= WITH_NUMBERS:
            for (i, j), number in np.ndenumerate(counts):
                if number:
                    color = "white" if share[i, j] > 0.5 else "black"
                    axes.text(j, i, f"{number}", ha="center", va="center", fontsize=size, color=color)
        return figure


def shortened(name: str, length: int = LONGEST_NAME) -> str:
    """Cut a name to some characters; its beginning and its end, in which names often differ, remain.

    Example:
        >>> shortened("a very long name of class 12", 16)
        'a very …class 12'
    """
    if len(name) <= length:
        return name
    return f"{name[: (length - 1) // 2]}…{name[-(length // 2) :]}"
