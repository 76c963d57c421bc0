"""Horizontal bars from plain numbers, one panel per measure."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from tf_kit.checks import refuse
from tf_kit.plotting.style import COLORS, STYLE
from tf_kit.plotting.words import drawable, literal
from tf_kit.typing import ArrayLike


def bars(
    measures: Mapping[str, Mapping[str, ArrayLike]], rows_are: str = "", title: str = "", width: float = 5.6
) -> Figure:
    """Draw the means of some measures as bars that begin at zero, with the values of single seeds as dots.

    Args:
        measures: name of the measure, with its unit → {name of the row → values of its seeds, at least 0}; the same
            rows in each.
        rows_are: name of the axis of the rows, such as `"network"`. Defaults to none.
        title: text above the figure.
        width: width of one panel in inches. Defaults to 5.6.

    Returns:
        The figure.

    Raises:
        InputError: there is no measure, a measure has other rows than the first, or a row has no value or one that is
            negative or not finite.
    """
    names = _rows_of(measures)
    rows = np.arange(len(names))
    with plt.rc_context({**STYLE, "font.size": 15}):
        size = (width * len(measures) + 1.2, 0.62 * len(names) + 1.7)
        figure, panels = plt.subplots(
            1, len(measures), figsize=size, layout="constrained", sharey=True, squeeze=False
        )
        for k, (axes, (label, values)) in enumerate(zip(panels[0], measures.items(), strict=True)):
            color = COLORS[k % len(COLORS)]
            of = [np.atleast_1d(np.asarray(values[name], "float64")) for name in names]
            means = [float(each.mean()) for each in of]
            high = max(float(each.max()) for each in of) or 1.0
            axes.barh(rows, means, height=0.6, color=color, alpha=0.55)
            for row, each, mean in zip(rows, of, means, strict=True):
                if len(each) > 1:
                    axes.plot(each, [row] * len(each), "o", color="black", markersize=5)
                shown = f"{mean:.1f}" if mean >= 9.95 else f"{mean:.2g}"
                axes.text(max(mean, each.max()) + 0.03 * high, row, shown, va="center")
            axes.set(xlabel=literal(label), xlim=(0, 1.25 * high))
            axes.locator_params(axis="x", nbins=5)
            axes.grid(axis="y", visible=False)
        panels[0][0].set_yticks(rows, list(map(literal, names)))
        panels[0][0].set_ylabel(drawable(rows_are))
        panels[0][0].invert_yaxis()
        if title:
            figure.suptitle(drawable(title))
    return figure


def _rows_of(measures):
    """Return the names of the rows, which every measure must have."""
    first = list(next(iter(measures.values()), ()))
    if not first:
        refuse("bars.measures", "hold at least one measure with at least one row", f"{measures}")
    for label, values in measures.items():
        if set(values) != set(first):
            refuse("bars.measures", f"have the rows {first} in each measure", f"{label}: {list(values)}")
        for name, seeds in values.items():
            if not np.size(seeds):
                refuse("bars.measures", "have at least one value in each row", f"{label}, {name}: {seeds}")
            if not (np.isfinite(seeds).all() and np.min(seeds) >= 0):
                remedy = "Leave the row out, or draw the values by curves"
                refuse("bars.measures", "be finite and at least 0", f"{label}, {name}: {seeds}", remedy)
    return first
