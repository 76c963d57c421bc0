"""Line plots from plain arrays: one plot, small plots in a grid, panels with their own axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from tf_kit.checks import refuse
from tf_kit.plotting.network import draw_network
from tf_kit.plotting.style import COLORS, MARKERS, STYLE
from tf_kit.plotting.words import drawable, literal
from tf_kit.typing import ArrayLike

DASHES = ("-", "--", "-", ":", "-", "-.", "-")  # for the colors, in their order
GAPS = ("-", "--", "-.", ":")
_MOST_INSIDE = 12  # names of a legend that leaves room for the curves
_MOST_IN_COLUMN = 18


def curves(
    series: Mapping[str, ArrayLike | tuple[ArrayLike, ArrayLike]] | Any,
    x_label: str = "epoch",
    y_label: str = "",
    title: str = "",
    log_y: bool = False,
) -> Figure:
    """Draw lines over epochs.

    Args:
        series: name → values (n,), or name → (x, values); or the return value of `fit`, or a `TrainingMonitor`.
        x_label, y_label, title: text of the axes and the figure.
        log_y: whether the vertical axis is logarithmic. Defaults to False.

    Returns:
        The figure.

    Raises:
        InputError: `series` is anything else, or is empty, or x and values differ in length, or `fit` has not measured
            a value after each epoch.
    """
    series = _series_of("curves.series", series)
    if not series:
        refuse("curves.series", "hold at least one curve", f"{series}")
    points = {name: _points(f"curves.series[{name!r}]", values) for name, values in series.items()}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
        for i, (name, (x, values)) in enumerate(points.items()):
            few = MARKERS[i % len(MARKERS)] if len(values) <= 40 else None
            axes.plot(x, values, label=name, color=COLORS[i % len(COLORS)], marker=few, markersize=5)
        axes.set(xlabel=drawable(x_label), ylabel=drawable(y_label), title=drawable(title))
        if log_y:
            axes.set_yscale("log")
        axes.locator_params(axis="x", integer=True)
        names = list(map(literal, series))
        if len(names) > _MOST_INSIDE:
            _name_outside(figure, axes.get_lines(), names)
        elif len(names) > 1:
            axes.legend(axes.get_lines(), names)
        return figure


def _name_outside(figure, lines, names):
    """Put the legend of many curves next to the plot, in columns for which the figure grows."""
    columns = math.ceil(len(names) / _MOST_IN_COLUMN)
    figure.set_figwidth(figure.get_figwidth() + columns * (0.7 + 0.1 * max(map(len, names))))
    figure.legend(lines, names, loc="outside right upper", ncols=columns, fontsize="small")


def _series_of(subject, series):
    """Return curves as a dictionary, also those of a callback that records, which need not be imported for it."""
    record = series if isinstance(series, Mapping) else getattr(series, "history", None)
    if not isinstance(record, Mapping):
        rule = "be a dictionary of names and their values, or the return value of model.fit"
        refuse(subject, rule, f"{series!r}")
    if record is series:
        return record
    if "epoch" in record:
        return {name: (record["epoch"], values) for name, values in record.items() if name != "epoch"}
    return {name: _at_epochs(f"{subject}[{name!r}]", values, series) for name, values in record.items()}


def _at_epochs(subject, values, history):
    """Return the values of a `History` with their epochs, which begin after `initial_epoch`."""
    epochs = getattr(history, "epoch", [])
    if len(values) < len(epochs):
        remedy = "Give a dictionary of name: (epochs, values), since a History does not hold the epochs of validation"
        refuse(subject, "have a value for each epoch", f"{len(values)} values, {len(epochs)} epochs", remedy)
    if len(values) > len(epochs):  # of several calls of `fit`, while the epochs are those of the last
        return values
    return np.asarray(epochs) + 1, values


def _points(subject, values):
    """Return x and values of a curve; a tuple is such a pair."""
    x, y = values if isinstance(values, tuple) and len(values) == 2 else (None, values)
    given = isinstance(values, tuple) and len(values) != 2
    if given or np.ndim(y) != 1 or (x is not None and np.shape(x) != np.shape(y)):
        refuse(
            subject,
            "be values (n,), or a pair (x, values) of equal length",
            f"{values!r}",
            "A list holds values",
        )
    return (np.arange(1, np.size(y) + 1) if x is None else np.asarray(x)), np.asarray(y)


def panels(
    groups: Mapping[str, Mapping[str, ArrayLike] | Any], x_label: str = "epoch", title: str = ""
) -> Figure:
    """Draw one small plot for each group of curves, three in a row.

    Args:
        groups: title of the plot → curves, given as for `curves`.
        x_label: text of all horizontal axes.
        title: text above the figure.

    Returns:
        The figure.

    Raises:
        InputError: there is no group, or a group is anything else. A group without curves is an empty plot.
    """
    if not groups:
        refuse("panels.groups", "hold at least one group of curves", f"{groups}")
    groups = {name: _series_of(f"panels.groups[{name!r}]", series) for name, series in groups.items()}
    groups = {
        name: {
            label: _points(f"panels.groups[{name!r}][{label!r}]", values) for label, values in series.items()
        }
        for name, series in groups.items()
    }
    with plt.rc_context({**STYLE, "font.size": 11}):
        columns = min(len(groups), 3)
        rows = math.ceil(len(groups) / columns)
        figure, grid = plt.subplots(
            rows, columns, figsize=(4.6 * columns, 3.4 * rows), layout="constrained", squeeze=False
        )
        for axes in grid.flat[len(groups) :]:
            axes.set_visible(False)
        for axes, (name, series) in zip(grid.flat, groups.items(), strict=False):
            for i, (label, points) in enumerate(series.items()):
                axes.plot(*points, label=label, color=COLORS[i % len(COLORS)])
            axes.set(xlabel=drawable(x_label), title=drawable(name))
            axes.locator_params(axis="x", integer=True)
            if series:
                axes.legend(axes.get_lines(), list(map(literal, series)), fontsize=10)
        figure.suptitle(drawable(title))
        return figure


def graphs(panels: Sequence[Mapping[str, Any]], width: float = 4.4, columns: int | None = None) -> Figure:
    """Draw panels of lines next to each other, each with its own axes.

    A name has the same color in all panels as long as there are enough colors. Panels with the same names share one
    legend below them; a single name needs none.

    Args:
        panels: one dictionary per panel:
            series: name → (x, y), drawn as a line, with markers if it has at most 20 points; the name may contain
                mathematics between two `$`.
            spread: name → (n,), half the length of the error bar at each point.
            title, x_label, y_label: text.
            log: "x", "y" or "xy" for logarithmic axes.
            x_limits, y_limits: (low, high).
            x_ticks: the only numbers to label on the horizontal axis.
            level: (value, text) of a dotted horizontal line.
            note: (x, y, text), text at a place in axes coordinates.
            legend: place of the panel's own legend, as matplotlib names it.
            network: arguments of `draw_network`; the panel is a drawing and has no series.
        width: width of one panel in inches. Defaults to 4.4.
        columns: panels per row. Defaults to None, all in one row.

    Returns:
        The figure.

    Raises:
        InputError: there is no panel.
    """
    if not panels:
        refuse("graphs.panels", "hold at least one panel", f"{panels}")
    columns = min(columns or len(panels), len(panels))
    rows = math.ceil(len(panels) / columns)
    lined = [panel for panel in panels if "network" not in panel]
    order = list(dict.fromkeys(name for panel in lined for name in panel["series"]))
    shared = len(lined) > 1 and len(order) > 1 and len({tuple(panel["series"]) for panel in lined}) == 1
    with plt.rc_context({**STYLE, "font.size": 15}):
        figure, grid = plt.subplots(
            rows, columns, figsize=(width * columns, 4.6 * rows), layout="constrained", squeeze=False
        )
        if rows > 1:  # between the numbers of a panel and its neighbors
            figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.15)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            if "network" in panel:
                draw_network(axes, **panel["network"])
                axes.set_title(drawable(panel.get("title") or ""))
                continue
            enough = len(order) <= len(COLORS)
            draw_lines(axes, panel, order if enough else list(panel["series"]), legend=not shared)
        if shared:
            lines = {each.get_label(): each for each in grid.flat[panels.index(lined[0])].get_lines()}
            handles, names = [lines[name] for name in order], list(map(drawable, order))
            figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        return figure


def draw_lines(axes: Axes, panel: Mapping[str, Any], order: Sequence[str], legend: bool) -> None:
    """Draw one panel of `graphs` into existing axes.

    Args:
        axes: matplotlib axes.
        panel: the panel, as in `graphs`.
        order: names whose position gives each line its color, marker and dashes.
        legend: whether the panel gets its own legend, if it has more than one line.
    """
    lines = []
    for name, (x, y) in panel["series"].items():
        i = order.index(name)
        few = MARKERS[i % len(MARKERS)] if len(x) <= 20 else None
        style = DASHES[i % len(DASHES)]
        color = COLORS[i % len(COLORS)]
        above = 2 + 0.1 * GAPS.index(style)  # the more gaps, the higher, so that equal lines are all seen
        lines += axes.plot(x, y, style, label=name, color=color, marker=few, markersize=5, zorder=above)
        if "spread" in panel:
            axes.errorbar(x, y, panel["spread"][name], fmt="none", ecolor=color, capsize=3, elinewidth=1.2)
    texts = {"title": "title", "xlabel": "x_label", "ylabel": "y_label"}
    axes.set(**{name: drawable(panel.get(given) or "") for name, given in texts.items()})
    for axis in panel.get("log", ""):
        axes.set(**{f"{axis}scale": "log"})
    whole = all(np.asarray(x).dtype.kind in "iu" for x, _ in panel["series"].values())
    if whole and "x" not in panel.get("log", ""):
        axes.locator_params(axis="x", integer=True)
    for axis in "xy":
        if f"{axis}_limits" in panel:
            axes.set(**{f"{axis}lim": panel[f"{axis}_limits"]})
    if "x_ticks" in panel:
        axes.set_xticks(panel["x_ticks"], [f"{tick:,}" for tick in panel["x_ticks"]])
        axes.minorticks_off()
    if "level" in panel:
        value, text = panel["level"]
        axes.axhline(value, color="0.4", linestyle=":", linewidth=1.6)
        axes.annotate(
            drawable(text),
            (1, value),
            (0, 4),
            axes.get_yaxis_transform(),
            "offset points",
            ha="right",
            color="0.3",
            path_effects=[withStroke(linewidth=4, foreground="white")],  # readable where a curve crosses it
        )
    if "note" in panel:
        x, y, text = panel["note"]
        axes.text(x, y, drawable(text), transform=axes.transAxes, va="top", color="0.25")
    if legend and len(panel["series"]) > 1:
        axes.legend(lines, list(map(drawable, panel["series"])), fontsize=13, loc=panel.get("legend", "best"))
