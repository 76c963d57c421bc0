"""Figure of a class: points by exercise and the most frequent mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_SENTENCE = 100  # characters


def class_figure(
    title: str,
    points: Mapping[str, tuple[int, Sequence[int]]],
    mistakes: Sequence[tuple[tuple[str, str], int]],
) -> Figure:
    """Draw how many students got all, some or none of the points in each exercise, and their most frequent mistakes.

    Args:
        title: text above the figure.
        points: exercise -> (maximum, points of every student).
        mistakes: ((exercise, sentence), count), the most frequent first; may be empty.
    """
    import matplotlib.pyplot as plt

    from tf_kit.plotting import STYLE

    rows = max(len(points), 2) + 0.8 * len(mistakes)
    with plt.rc_context({**STYLE, "font.size": 14}):
        figure, panels = plt.subplots(
            2 if mistakes else 1,
            1,
            figsize=(12, 1.8 + 0.75 * rows),
            layout="constrained",
            squeeze=False,
            height_ratios=(len(points) + 1.2, 0.9 * len(mistakes) + 0.8) if mistakes else None,
        )
        _draw_points(panels[0, 0], title, points)
        if mistakes:
            _draw_mistakes(panels[1, 0], mistakes)
        return figure


def _draw_points(axes: Axes, title, points):
    from tf_kit.plotting import COLORS

    blue, vermilion, orange = COLORS[0], COLORS[1], COLORS[4]
    shades = ((0.0, vermilion, "none of the points"), (0.5, orange, "some"), (1.0, blue, "all"))
    for i, (maximum, got) in enumerate(points.values()):
        parts = np.array(got) / maximum
        left = 0
        for value, color, label in shades:
            matches = (parts == value) if value in (0.0, 1.0) else (parts > 0) & (parts < 1)
            count = int(matches.sum())
            axes.barh(i, count, left=left, color=color, label=label if i == 0 else None, height=0.7)
            if count:
                look: dict[str, Any] = {"ha": "center", "va": "center", "color": "white", "weight": "bold"}
                axes.text(left + count / 2, i, str(count), **look)
            left += count
    labels = [f"{name} ({maximum})" for name, (maximum, _) in points.items()]
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("students")
    axes.set_title(title, fontsize=16, pad=34)
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.grid(visible=False)


def _draw_mistakes(axes: Axes, mistakes):
    from tf_kit.plotting import COLORS

    counts = [count for _, count in mistakes]
    axes.barh(range(len(counts)), counts, color=COLORS[5], height=0.35, align="edge")
    for i, ((name, sentence), count) in enumerate(mistakes):
        if len(sentence) > _LONGEST_SENTENCE:
            sentence = f"{sentence[: _LONGEST_SENTENCE - 1]}…"
        axes.text(0, i - 0.08, f"{name}: {sentence}", ha="left", va="bottom", fontsize=12)
        axes.text(count, i + 0.17, f" {count}", va="center", fontsize=12)
    axes.set_ylim(len(counts) - 0.4, -0.6)
    axes.set_yticks([])
    axes.locator_params(axis="x", integer=True)
    axes.set_title("most frequent mistakes", loc="left", fontsize=14)
    axes.set_xlabel("students")
    axes.grid(visible=False)
