"""Images, filters and regions from plain arrays."""

import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from tf_kit.plotting.lines import _draw_lines
from tf_kit.plotting.style import COLORS, MARKERS, STYLE


def tiles(images, columns=10, title="", labels=None, symmetric=False):
    """Images in a grid, each on its own grey scale.

    Args:
        images: (n, h, w) or (n, h, w, c).
        columns: images in a row.
        title: text above.
        labels: a word under each image.
        symmetric: whether zero is mid-grey, for weights.
    """
    images = np.asarray(images, "float32")
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    height, width = images.shape[1:3]
    gap = max(1, width // 8)
    rows = math.ceil(len(images) / columns)
    below = round(0.35 * height) if labels is not None else 0
    step_y, step_x = height + gap + below, width + gap
    # one picture of all tiles: a hundred axes would take seconds to draw
    mosaic = np.full((rows * step_y, columns * step_x, *images.shape[3:]), np.nan, "float32")
    for i, image in enumerate(images):
        y, x = step_y * (i // columns), step_x * (i % columns)
        high = np.abs(image).max() or 1
        scaled = 0.5 + image / (2 * high) if symmetric else np.clip(image / max(image.max(), 1e-6), 0, 1)
        mosaic[y : y + height, x : x + width] = scaled
    with plt.rc_context({**STYLE, "axes.grid": False}):
        size = (0.85 * columns, 0.85 * columns * mosaic.shape[0] / mosaic.shape[1] + (0.6 if title else 0))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        shown = np.nan_to_num(mosaic, nan=1.0) if mosaic.ndim == 3 else np.ma.masked_invalid(mosaic)
        axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.axis("off")
        for i, label in enumerate(labels if labels is not None else ()):
            y, x = step_y * (i // columns) + height, step_x * (i % columns) + width / 2
            axes.text(x, y, str(label), ha="center", va="top", fontsize=10)
        if title:
            figure.suptitle(title)
        return figure


def filters(kernel, image_shape, count=100, title="first-layer filters"):
    """Incoming weights of the units of a dense layer as images, the strongest units first.

    Args:
        kernel: (features, units).
        image_shape: (h, w) or (h, w, c) with h·w·c = features.
        count: units shown.
    """
    kernel = np.asarray(kernel)
    strongest = np.argsort(-np.linalg.norm(kernel, axis=0))[:count]
    images = kernel[:, np.sort(strongest)].T.reshape(-1, *image_shape)
    if images.ndim == 4 and images.shape[-1] > 1:
        images = images.mean(-1)
    return tiles(images, columns=min(20, max(1, len(images))), title=title, symmetric=True)


def depth_and_filters(curves, kernels, image_shape, count=12):
    """Test error by depth on the left, first-layer filters on the right.

    Args:
        curves: name → (depths (n,), errors (n, seeds), percent).
        kernels: name → (features, units); the same units are shown of each.
        image_shape: (h, w) with h·w = features.
        count: filters shown of each kernel.
    """
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(13, 5), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
        axes = left.subplots()
        for i, (name, (depths, errors)) in enumerate(curves.items()):
            color = COLORS[i]
            axes.plot(depths, errors.mean(axis=1), marker=MARKERS[i], markersize=9, label=name, color=color)
            for depth, values in zip(depths, errors, strict=True):
                axes.plot([depth] * len(values), values, ".", color=color, alpha=0.5)
        axes.set(xlabel="hidden layers", ylabel="test error, %", ylim=(0, None))
        axes.set_xticks(list(next(iter(curves.values()))[0]))
        axes.legend()
        last = list(kernels.values())[-1]
        chosen = np.sort(np.argsort(-np.linalg.norm(last, axis=0))[:count])
        columns = 6
        rows = -(-len(chosen) // columns)
        for block, (name, kernel) in zip(right.subfigures(len(kernels), 1), kernels.items(), strict=True):
            block.suptitle(name, x=0.02, ha="left", fontsize=13)
            grid = block.subplots(rows, columns, squeeze=False)
            for axes in grid.flat:
                axes.axis("off")
            for axes, unit in zip(grid.flat, chosen, strict=False):
                image = kernel[:, unit].reshape(image_shape)
                high = np.abs(image).max() or 1
                axes.imshow(image, cmap="gray", vmin=-high, vmax=high)
        return figure


def images_and_graphs(rows, panels, width=4.4):
    """Rows of images on the left, each with its words above, and lines as `graphs` draws them beside them.

    Args:
        rows: words → (k, h, w) or (k, h, w, 1) in [0, 1], as many images in each row.
        panels: as for `graphs`.
        width: inches of one panel.
    """
    order = list(dict.fromkeys(name for panel in panels for name in panel["series"]))
    with plt.rc_context({**STYLE, "font.size": 15}):
        figure = plt.figure(figsize=(width * (len(panels) + 1), 4.6), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1, len(panels)))
        grid = left.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, (name, images) in zip(grid, rows.items(), strict=True):
            images = np.asarray(images, "float32").reshape(len(images), *images.shape[1:3])
            framed = np.pad(images, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
            strip = np.ma.masked_invalid(np.concatenate(list(framed), axis=1)[:, :-1])
            axes.imshow(strip, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(name, fontsize=14, loc="left")
            axes.axis("off")
        for axes, panel in zip(right.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _draw_lines(axes, panel, order, legend=True)
        return figure


def regions(panels, point_labels=("0", "1")):
    """Decision regions in the plane side by side: two classes of points, what is called 1, lines across.

    Args:
        panels: dictionaries, one a panel:
            points: (n, 2). classes: (n,) of 0 and 1.
            score: (m, m), in [0, 1], over the square of `limits`, rows along the second axis; 1/2 is the border.
            lines: name → (a, b, c) of the line a x₁ + b x₂ + c = 0.
            limits: (low, high) of both axes. title, x_label, y_label: text.
        point_labels: names of the classes in the legend.
    """
    shades = matplotlib.colors.LinearSegmentedColormap.from_list("classes", ["#A6D3F0", "#FFFFFF", "#F3C9A5"])
    with plt.rc_context({**STYLE, "axes.grid": False, "font.size": 15}):
        figure, row = plt.subplots(
            1, len(panels), figsize=(4.4 * len(panels), 5.1), layout="constrained", squeeze=False
        )
        shown = {}
        for axes, panel in zip(row[0], panels, strict=True):
            low, high = panel["limits"]
            grid = np.linspace(low, high, len(panel["score"]))
            axes.pcolormesh(grid, grid, panel["score"], cmap=shades, vmin=0, vmax=1, shading="nearest")
            axes.contour(grid, grid, panel["score"], levels=[0.5], colors="black", linewidths=2.2)
            for i, (name, (a, b, c)) in enumerate(panel.get("lines", {}).items()):
                ends = np.array([low - 1, high + 1], float)
                x, y = (ends, -(a * ends + c) / b) if abs(b) > abs(a) else (-(b * ends + c) / a, ends)
                (shown[name],) = axes.plot(x, y, "--", color=COLORS[2 + i], linewidth=2.6)
            for value, label in enumerate(point_labels):
                chosen = np.asarray(panel["points"])[np.asarray(panel["classes"]) == value]
                (shown[label],) = axes.plot(
                    *chosen.T, MARKERS[value], color=COLORS[value], markersize=5, alpha=0.7
                )
            axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", title=panel.get("title"))
            axes.locator_params(nbins=4)
            axes.set(xlabel=panel.get("x_label"), ylabel=panel.get("y_label"))
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=len(shown))
        return figure


def curves_and_heatmap(curves, labels, table, rows, columns, title, x_label=""):
    """Means over seeds by size on the left, a table of parts of 1 as numbers and shades on the right.

    Args:
        curves: name → (sizes (n,), values (n, seeds)), the horizontal axis logarithmic.
        labels: words for the two axes and above the legend.
        table: (r, c) in [0, 1], shown as percent.
        rows, columns: names of the rows and columns of the table.
        title: words above the table.
        x_label: word below its columns.
    """
    with plt.rc_context({**STYLE, "font.size": 15}):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(14.5, 5.2), layout="constrained", width_ratios=(1, 1.4)
        )
        for i, (name, (sizes, values)) in enumerate(curves.items()):
            look = {"color": COLORS[i], "marker": MARKERS[i], "markersize": 9}
            left.plot(sizes, values.mean(axis=1), label=name, **look)
            for size, each in zip(sizes, values, strict=True):
                left.plot([size] * len(each), each, ".", color=COLORS[i], alpha=0.6)
        left.set(xscale="log", xlabel=labels[0], ylabel=labels[1], ylim=(0, None))
        left.set_xticks(sizes, [str(size) for size in sizes])
        left.minorticks_off()
        left.legend(title=labels[2])
        right.grid(visible=False)
        right.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for i, j in np.ndindex(*table.shape):
            color = "black" if table[i, j] > 0.5 else "white"
            words = f"{100 * table[i, j]:.0f}" if np.isfinite(table[i, j]) else "–"
            right.text(j, i, words, ha="center", va="center", color=color)
        right.set_xticks(range(len(columns)), columns)
        right.set_xlabel(x_label)
        right.set_yticks(range(len(rows)), rows)
        right.set_title(title, fontsize=16)
        right.spines[:].set_visible(False)
        right.tick_params(length=0)
        return figure


