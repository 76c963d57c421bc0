"""Figure of the lecture's table: the test errors of its systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from tf_kit import plotting


def draw_table(results: Mapping[str, Any]) -> Figure:
    """Draw the test errors of `run_table`, and those of the paper where the table has them.

    Args:
        results: results of `run_table`.

    Returns:
        The figure.
    """
    rows = list(results["systems"].values())
    paper = [row["paper"]["test"] for row in rows] if all("paper" in row for row in rows) else None
    return errors_by_system(
        [row["name"].replace(", ", ",\n") for row in rows],
        [row["test"]["seeds"] for row in rows],
        reference=paper,
        title=f"Pretraining on {results['data']}",
    )


def errors_by_system(
    names: Sequence[str],
    errors: Sequence[Sequence[float]],
    reference: Sequence[float] | None = None,
    title: str = "",
) -> Figure:
    """Draw the test errors of several systems: a dot for each seed, a bar for the mean.

    Args:
        names: names of the systems.
        errors: test errors of the seeds of each system, in percent.
        reference: published error of each system in percent, drawn as a diamond. Defaults to None.
        title: text above the figure.

    Returns:
        The figure.
    """
    with plt.rc_context(plotting.STYLE):
        figure, axes = plt.subplots(figsize=(9, 0.75 * len(names) + 1.6), layout="constrained")
        for row, values in enumerate(errors):
            axes.barh(row, np.mean(values), height=0.55, color=plotting.COLORS[5], alpha=0.6)
            offsets = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(1)
            label = "each seed" if row == 0 else None
            axes.plot(values, row + offsets, "o", color=plotting.COLORS[0], label=label)
            axes.text(1.0, row, f"{np.mean(values):.2f} %", va="center", transform=axes.get_yaxis_transform())
        if reference is not None:
            axes.plot(reference, range(len(names)), "D", color=plotting.COLORS[1], label="Bengio et al. 2007")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        largest = max(np.max(errors), *(reference if reference is not None else [0]))
        axes.set_xlim(0, 1.05 * largest or 1)
        axes.set(xlabel="test error, %", title=title)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22 if len(names) > 3 else -0.3), ncol=2)
        return figure
