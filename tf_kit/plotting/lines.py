"""Curves, bars and panels of graphs from plain arrays."""

import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from tf_kit.plotting.style import COLORS, MARKERS, STYLE


def curves(series, x_label="epoch", y_label="", title="", log_y=False):
    """Lines over epochs.

    Args:
        series: name → values (n,), or name → (x, values).
        x_label, y_label, title: text of the axes and the figure.
        log_y: whether the vertical axis is logarithmic.

    Returns:
        The figure.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
        for i, (name, values) in enumerate(series.items()):
            x, values = values if isinstance(values, tuple) else (np.arange(1, len(values) + 1), values)
            few = MARKERS[i % len(MARKERS)] if len(values) <= 40 else None
            axes.plot(x, values, label=name, color=COLORS[i % len(COLORS)], marker=few, markersize=5)
        axes.set(xlabel=x_label, ylabel=y_label, title=title)
        if log_y:
            axes.set_yscale("log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if len(series) > 1:
            axes.legend()
        return figure


def panels(groups, x_label="epoch", title=""):
    """One small plot for each group of curves, side by side.

    Args:
        groups: panel title → {name → values (n,)}.
        x_label, title: text of all horizontal axes and of the figure.
    """
    with plt.rc_context({**STYLE, "font.size": 11}):
        columns = min(len(groups), 3)
        rows = math.ceil(len(groups) / columns)
        figure, grid = plt.subplots(
            rows, columns, figsize=(4.6 * columns, 3.4 * rows), layout="constrained", squeeze=False
        )
        for axes in grid.flat[len(groups) :]:
            axes.set_visible(False)
        for axes, (name, series) in zip(grid.flat, groups.items(), strict=False):
            for i, (label, values) in enumerate(series.items()):
                axes.plot(np.arange(1, len(values) + 1), values, label=label, color=COLORS[i % len(COLORS)])
            axes.set(xlabel=x_label, title=name)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(fontsize=10)
        figure.suptitle(title)
        return figure


def graphs(panels, width=4.4, columns=None):
    """Lines side by side, each panel with its own axes; a name has one color in all panels while colors suffice.

    Panels with the same names share one legend below them.

    Args:
        panels: dictionaries, one a panel:
            series: name → (x, y), drawn as a line with markers where there are few points.
            spread: name → (n,), half the length of a bar at each point.
            title, x_label, y_label: text.
            log: "x", "y" or "xy" for logarithmic axes.
            x_limits, y_limits: (low, high).
            x_ticks: numbers to name on the horizontal axis, and no others.
            level: (value, text) of a dashed horizontal line.
            note: (x, y, text), words at a place given in parts of the axes.
            legend: place of the panel's own legend, as matplotlib names it.
        width: inches of one panel.
        columns: panels in a row. Defaults to all.
    """
    columns = min(columns or len(panels), len(panels))
    rows = math.ceil(len(panels) / columns)
    order = list(dict.fromkeys(name for panel in panels for name in panel["series"]))
    shared = len(panels) > 1 and len({tuple(panel["series"]) for panel in panels}) == 1
    with plt.rc_context({**STYLE, "font.size": 15}):
        figure, grid = plt.subplots(
            rows, columns, figsize=(width * columns, 4.6 * rows), layout="constrained", squeeze=False
        )
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, panel in zip(grid.flat, panels, strict=False):
            enough = len(order) <= len(COLORS)
            _draw_lines(axes, panel, order if enough else list(panel["series"]), legend=not shared)
        if shared:
            handles, names = grid[0, 0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower center", ncols=len(names))
        return figure


def _draw_lines(axes, panel, order, legend):
    """One panel of `graphs`; `order` gives each name its color."""
    for name, (x, y) in panel["series"].items():
        i = order.index(name)
        few = MARKERS[i % len(MARKERS)] if len(x) <= 20 else None
        style = "--" if i % 2 else "-"
        color = COLORS[i % len(COLORS)]
        axes.plot(x, y, style, label=name, color=color, marker=few, markersize=5)
        if "spread" in panel:
            axes.errorbar(x, y, panel["spread"][name], fmt="none", ecolor=color, capsize=3, elinewidth=1.2)
    axes.set(title=panel.get("title"), xlabel=panel.get("x_label"), ylabel=panel.get("y_label"))
    for axis in panel.get("log", ""):
        axes.set(**{f"{axis}scale": "log"})
    whole = all(np.asarray(x).dtype.kind in "iu" for x, _ in panel["series"].values())
    if whole and "x" not in panel.get("log", ""):
        axes.xaxis.get_major_locator().set_params(integer=True)
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
            text,
            (1, value),
            (0, 4),
            axes.get_yaxis_transform(),
            "offset points",
            ha="right",
            color="0.3",
        )
    if "note" in panel:
        x, y, text = panel["note"]
        axes.text(x, y, text, transform=axes.transAxes, va="top", color="0.25")
    if legend and len(panel["series"]) > 1:
        axes.legend(fontsize=13, loc=panel.get("legend", "best"))


def errors_by_system(names, errors, reference=None, title=""):
    """Test error of several systems: a dot for each seed, a bar for the mean, a diamond for a published figure.

    Args:
        names: (n,) names of the systems.
        errors: (n, seeds) test errors, percent.
        reference: (n,) published errors, percent, or None.
        title: text above.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(9, 0.75 * len(names) + 1.6), layout="constrained")
        for row, values in enumerate(errors):
            axes.barh(row, np.mean(values), height=0.55, color=COLORS[5], alpha=0.6)
            jitter = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else [0.0]
            axes.plot(
                values, row + np.asarray(jitter), "o", color=COLORS[0], label="each seed" if not row else None
            )
            axes.text(1.0, row, f"{np.mean(values):.2f} %", va="center", transform=axes.get_yaxis_transform())
        if reference is not None:
            axes.plot(reference, range(len(names)), "D", color=COLORS[1], label="Bengio et al. 2007")
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.05 * max(np.max(errors), *(reference if reference is not None else [0])))
        axes.set(xlabel="test error, %", title=title)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22 if len(names) > 3 else -0.3), ncol=2)
        return figure


def add_moments(figure, panel, moments):
    """Adds vertical lines with words to one panel of a figure of `graphs`. Returns the figure.

    Args:
        figure: as `graphs` returns it.
        panel: index of the panel.
        moments: words → x of the line.
    """
    axes = figure.axes[panel]
    for i, (words, x) in enumerate(moments.items()):
        axes.axvline(x, color="0.35", linestyle=("--", ":")[i % 2], linewidth=1.8)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        look = {"va": "top", "color": "0.2", "size": 14, "bbox": box}
        place = (x, 0.97 - 0.12 * i)
        axes.annotate(words, place, (6, 0), axes.get_xaxis_transform(), "offset points", **look)
    return figure


def stacked_bars(panels, x_label="", y_label="", width=4.8):
    """Bars made of parts, panel beside panel.

    Args:
        panels: title → (names of the bars, {part: heights (n,)}).
        x_label, y_label: text of all horizontal axes and of the first vertical one.
        width: inches of one panel.
    """
    with plt.rc_context({**STYLE, "font.size": 15}):
        figure, row = plt.subplots(
            1, len(panels), figsize=(width * len(panels), 4.8), layout="constrained", squeeze=False
        )
        for axes, (title, (names, parts)) in zip(row[0], panels.items(), strict=True):
            bottom = np.zeros(len(names))
            for i, (part, heights) in enumerate(parts.items()):
                hatch = ("", "//", "..", "xx", "\\\\")[i % 5]
                color = COLORS[i % len(COLORS)]
                axes.bar(names, heights, 0.7, bottom, color=color, hatch=hatch, edgecolor="white", label=part)
                bottom = bottom + np.asarray(heights)
            for i, total in enumerate(bottom):
                axes.annotate(f"{total:.3g}", (i, total), (0, 3), textcoords="offset points", ha="center")
            axes.set(title=title, xlabel=x_label)
            axes.grid(axis="x", visible=False)
            axes.set_axisbelow(True)
            axes.margins(y=0.1)
        row[0, 0].set_ylabel(y_label)
        handles, parts = row[0, 0].get_legend_handles_labels()
        figure.legend(handles, parts, loc="outside lower center", ncols=len(parts))
        return figure


def measures_by_name(names, measures):
    """Several measures of the same things side by side: a bar and its number for each, a dot for each seed.

    Args:
        names: (n,) names of the rows, first on top.
        measures: label of the horizontal axis → values (n,) or (n, seeds). A measure whose label ends in "%" is
            drawn from a little below its lowest value, the others from 0.
    """
    with plt.rc_context({**STYLE, "font.size": 15}):
        figure, grid = plt.subplots(
            1,
            len(measures),
            figsize=(14, 0.62 * len(names) + 1.3),
            layout="constrained",
            sharey=True,
            squeeze=False,
        )
        rows = np.arange(len(names))
        for i, (axes, (label, values)) in enumerate(zip(grid[0], measures.items(), strict=True)):
            values = np.asarray(values, float).reshape(len(names), -1)
            means = values.mean(axis=1)
            axes.barh(rows, means, height=0.6, color=COLORS[i], alpha=0.55)
            if values.shape[1] > 1:
                for row, each in zip(rows, values, strict=True):
                    axes.plot(each, [row] * len(each), "o", color=COLORS[6], markersize=5)
            low = max(0.0, 2 * values.min() - 100) if label.endswith("%") else 0.0
            high = values.max() + 0.02 * (values.max() - low)
            for row, mean in zip(rows, means, strict=True):
                text = f"{mean:.1f}" if mean >= 9.95 else f"{mean:.2g}"
                beside = max(mean, values[row].max()) if values.shape[1] > 1 else mean
                axes.text(beside + 0.03 * (high - low), row, text, va="center")
            axes.set(xlabel=label, xlim=(low, high + 0.25 * (high - low)))
            ticks = matplotlib.ticker.MaxNLocator(4).tick_values(low, high)
            axes.set_xticks([tick for tick in ticks if low <= tick <= high])
            axes.grid(axis="y", visible=False)
        grid[0][0].set_yticks(rows, names)
        grid[0][0].invert_yaxis()
        return figure


def trials_and_best(places, curves, labels, curve_labels):
    """Where searches put their trials, and what the best of them reaches by the number of trials.

    Args:
        places: title → (x (n,), y (n,), value (n,)) of the trials of one search, the x axis logarithmic.
        curves: name → (x (m,), values (m, searches)); the mean is drawn, with its standard error.
        labels: words for x, y and value of `places`.
        curve_labels: words for x and y of `curves`.
    """
    with plt.rc_context({**STYLE, "font.size": 15}):
        figure, row = plt.subplots(
            1, len(places) + 1, figsize=(5.2 * (len(places) + 1), 5), layout="constrained"
        )
        figure.get_layout_engine().set(w_pad=0.12)
        everything = np.concatenate([value for *_, value in places.values()])
        scale = matplotlib.colors.Normalize(everything.min(), everything.max())
        for axes, (title, (x, y, value)) in zip(row, places.items(), strict=False):
            dots = axes.scatter(
                x, y, 90, value, cmap="cividis_r", norm=scale, edgecolors="black", linewidths=0.6
            )
            best = int(np.argmin(value))
            axes.plot(x[best], y[best], "*", color=COLORS[1], markersize=22, markeredgecolor="black")
            axes.set(xscale="log", xlabel=labels[0], ylabel=labels[1])
            axes.set_title(title, fontsize=14)
        figure.colorbar(dots, ax=list(row[: len(places)]), label=labels[2], shrink=0.9)
        for i, (name, (x, values)) in enumerate(curves.items()):
            error = values.std(axis=1, ddof=1) / math.sqrt(values.shape[1])
            look = {"color": COLORS[i], "marker": MARKERS[i], "markersize": 9, "capsize": 5, "label": name}
            row[-1].errorbar(x, values.mean(axis=1), error, **look)
        row[-1].set(xlabel=curve_labels[0], ylabel=curve_labels[1], ylim=(0, None))
        row[-1].set_xticks(next(iter(curves.values()))[0])
        row[-1].legend()
        return figure


def valley_paths(hessian, paths, steps):
    """Trajectories of optimizers over the contours of a quadratic, one panel each, and a panel of steps.

    Args:
        hessian: (2, 2), H of the loss ½ θᵀ H θ.
        paths: name → (n, 2), the places visited, start first.
        steps: name of a kind of bars → one number for each path.
    """
    with plt.rc_context({**STYLE, "axes.grid": False, "font.size": 15}):
        columns = math.ceil((len(paths) + 1) / 2)
        figure = plt.figure(figsize=(4.3 * columns, 8), layout="constrained")
        above, below = figure.subfigures(2, 1)
        rest = len(paths) - columns
        left, right = below.subfigures(1, 2, width_ratios=(rest, columns - rest))
        places = [*above.subplots(1, columns), *left.subplots(1, rest, squeeze=False)[0]]
        visited = np.concatenate([*paths.values(), np.zeros((1, 2))])
        low, high = visited.min(axis=0), visited.max(axis=0)
        middle, reach = (low + high) / 2, 0.58 * (high - low).max()
        x, y = (np.linspace(m - reach, m + reach, 201) for m in middle)
        plane = np.stack(np.meshgrid(x, y), axis=-1)
        loss = np.einsum("...i,ij,...j->...", plane, hessian, plane) / 2
        levels = loss.max() * np.linspace(0, 1, 11)[1:] ** 3
        for axes, (name, path) in zip(places, paths.items(), strict=True):
            axes.contour(x, y, loss, levels=levels, colors="0.72", linewidths=1)
            axes.plot(*path.T, "o-", color=COLORS[0], linewidth=1.8, markersize=4)
            axes.plot(*path[0], "s", color=COLORS[1], markersize=11)
            axes.plot(0, 0, "*", color=COLORS[6], markersize=17)
            axes.set(xlim=x[[0, -1]], ylim=y[[0, -1]], aspect="equal", xticks=[], yticks=[])
            axes.set_title(f"{name}: {len(path) - 1} steps", fontsize=17)
            axes.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
        axes, thick = right.subplots(), 0.8 / len(steps)
        for i, (kind, counts) in enumerate(steps.items()):
            rows = np.arange(len(counts)) + (i - (len(steps) - 1) / 2) * thick
            look = {"color": COLORS[i], "hatch": ("", "//")[i % 2], "edgecolor": "white"}
            axes.barh(rows, counts, thick, label=kind, **look)
            for row, count in zip(rows, counts, strict=True):
                axes.annotate(
                    str(count), (count, row), (3, 0), textcoords="offset points", va="center", size=12
                )
        axes.set_yticks(range(len(paths)), [name.replace(" + ", " +\n") for name in paths], fontsize=13)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_title("steps to the minimum", fontsize=17)
        right.legend(fontsize=13, loc="outside lower center", ncols=len(steps))
        return figure


def class_summary(title, points, mistakes):
    """A class at a glance: how many students got how many points in each exercise, and what went wrong most often.

    Args:
        title: words above the figure.
        points: exercise → (maximum, points of every student).
        mistakes: ((exercise, sentence), count), the most frequent first; may be empty.
    """
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
        top = panels[0, 0]
        shades = ((0.0, "#D55E00", "none of the points"), (0.5, "#E69F00", "some"), (1.0, "#0072B2", "all"))
        for i, (maximum, got) in enumerate(points.values()):
            parts = np.array(got) / maximum
            left = 0
            for value, color, label in shades:
                matches = (parts == value) if value in (0.0, 1.0) else (parts > 0) & (parts < 1)
                count = int(matches.sum())
                top.barh(i, count, left=left, color=color, label=label if i == 0 else None, height=0.7)
                if count:
                    top.text(
                        left + count / 2,
                        i,
                        str(count),
                        ha="center",
                        va="center",
                        color="white",
                        weight="bold",
                    )
                left += count
        labels = [f"{name} ({maximum})" for name, (maximum, _) in points.items()]
        top.set_yticks(range(len(labels)), labels)
        top.invert_yaxis()
        top.set_xlabel("students")
        top.set_title(title, fontsize=16, pad=34)
        top.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        top.grid(visible=False)
        if mistakes:
            bottom = panels[1, 0]
            counts = [count for _, count in mistakes]
            bottom.barh(range(len(counts)), counts, color="#56B4E9", height=0.35, align="edge")
            for i, ((name, sentence), count) in enumerate(mistakes):
                words = sentence if len(sentence) <= 100 else f"{sentence[:99]}…"
                bottom.text(0, i - 0.08, f"{name}: {words}", ha="left", va="bottom", fontsize=12)
                bottom.text(count, i + 0.17, f" {count}", va="center", fontsize=12)
            bottom.set_ylim(len(counts) - 0.4, -0.6)
            bottom.set_yticks([])
            bottom.xaxis.get_major_locator().set_params(integer=True)
            bottom.set_title("most frequent mistakes", loc="left", fontsize=14)
            bottom.set_xlabel("students")
            bottom.grid(visible=False)
        return figure
