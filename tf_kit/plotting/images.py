"""Images and filters from plain arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from tf_kit.checks import count as whole
from tf_kit.checks import refuse
from tf_kit.plotting.lines import draw_lines
from tf_kit.plotting.style import STYLE
from tf_kit.plotting.words import drawable, literal
from tf_kit.typing import ArrayLike


def tiles(
    images: ArrayLike,
    columns: int = 10,
    title: str = "",
    labels: Sequence[str] | None = None,
    symmetric: bool = False,
) -> Figure:
    """Draw images in a grid, each on its own grey scale.

    Args:
        images: (n, h, w) or (n, h, w, c); values that are not finite stay white.
        columns: images per row. Defaults to 10.
        title: text above the grid.
        labels: one word below each image. Defaults to None.
        symmetric: whether zero is mid-grey, as suits weights; otherwise zero is black. Defaults to False.

    Returns:
        The figure.

    Raises:
        InputError: `images` has another shape, there is no image, or `labels` has another length.
    """
    columns = whole("tiles.columns", columns)
    images = np.asarray(images, "float32")
    if images.ndim not in (3, 4) or not images.size or images.shape[3:] not in ((), (1,), (3,), (4,)):
        remedy = "Use images.reshape(-1, h, w) for flat rows, images[None] for a single image"
        rule = "be at least one image, (n, h, w) or (n, h, w, c) with c = 1, 3 or 4"
        refuse("tiles.images", rule, f"shape {images.shape}", remedy)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    height, width = images.shape[1:3]
    gap = max(1, width // 8)
    rows = math.ceil(len(images) / columns)
    below = round(0.35 * height) if labels is not None else 0
    step_y, step_x = height + gap + below, width + gap
    # One picture of all tiles, because a hundred axes would take seconds to draw.
    mosaic = np.full((rows * step_y, columns * step_x, *images.shape[3:]), np.nan, "float32")
    if labels is not None and len(labels) != len(images):
        refuse("tiles.labels", "be one for each image", f"{len(labels)} labels for {len(images)} images")
    for i, image in enumerate(np.where(np.isfinite(images), images, np.nan)):
        y, x = step_y * (i // columns), step_x * (i % columns)
        high = float(np.nanmax(np.abs(image) if symmetric else image, initial=0)) or 1
        scaled = 0.5 + image / (2 * high) if symmetric else np.clip(image / max(high, 1e-6), 0, 1)
        mosaic[y : y + height, x : x + width] = scaled
    with plt.rc_context({**STYLE, "axes.grid": False}):
        size = (0.85 * columns, 0.85 * columns * mosaic.shape[0] / mosaic.shape[1] + (0.6 if title else 0))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        shown = np.nan_to_num(mosaic, nan=1.0) if mosaic.ndim == 3 else np.ma.masked_invalid(mosaic)
        axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.axis("off")
        for i, label in enumerate(labels if labels is not None else ()):
            y, x = step_y * (i // columns) + height, step_x * (i % columns) + width / 2
            axes.text(x, y, literal(str(label)), ha="center", va="top", fontsize=10)
        if title:
            figure.suptitle(drawable(title))
        return figure


def filters(
    kernel: ArrayLike,
    image_shape: Sequence[int],
    count: int = 100,
    title: str = "first-layer filters",
) -> Figure:
    """Draw the incoming weights of the units of a dense layer as images.

    Of more than `count` units, those whose weights have the largest norm are drawn. Channels are averaged.

    Args:
        kernel: (features, units).
        image_shape: (h, w) or (h, w, c) with h·w·c = features.
        count: largest number of units drawn. Defaults to 100.
        title: text above the grid.

    Returns:
        The figure.

    Raises:
        InputError: the sides of `image_shape` do not multiply to the number of features.
    """
    kernel, count = np.asarray(kernel), whole("filters.count", count)
    if kernel.ndim != 2 or math.prod(image_shape) != len(kernel) or len(image_shape) not in (2, 3):
        received = f"image_shape={tuple(image_shape)} for a kernel of shape {kernel.shape}"
        refuse("filters.image_shape", "be (h, w) or (h, w, c) with h·w·c features", received)
    strongest = np.argsort(-np.linalg.norm(kernel, axis=0))[:count]
    images = kernel[:, np.sort(strongest)].T.reshape(-1, *image_shape)
    if images.ndim == 4 and images.shape[-1] > 1:
        images = images.mean(-1)
    return tiles(images, columns=min(20, max(1, len(images))), title=title, symmetric=True)


def images_and_graphs(
    rows: Mapping[str, ArrayLike], panels: Sequence[Mapping[str, Any]], width: float = 4.4
) -> Figure:
    """Draw titled rows of images on the left, and panels of lines as in `graphs` on the right.

    Args:
        rows: title → images (k, h, w) or (k, h, w, c) in [0, 1], the same number in each row; colors become gray.
        panels: as for `graphs`.
        width: width of one panel in inches. Defaults to 4.4.

    Returns:
        The figure.

    Raises:
        InputError: there is no row or no panel.
    """
    if not rows or not panels:
        received = f"{len(rows)} rows, {len(panels)} panels"
        refuse("images_and_graphs", "get at least one row of images and one panel", received)
    order = list(dict.fromkeys(name for panel in panels for name in panel["series"]))
    with plt.rc_context({**STYLE, "font.size": 15}):
        figure = plt.figure(figsize=(width * (len(panels) + 1), 4.6), layout="constrained")
        left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, len(panels)))[0]
        grid = left.subplots(len(rows), 1, squeeze=False)[:, 0]
        for axes, (name, images) in zip(grid, rows.items(), strict=True):
            images = np.asarray(images, "float32")
            gray = images.mean(axis=-1) if images.ndim == 4 else images
            framed = np.pad(gray, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan)
            strip = np.ma.masked_invalid(np.concatenate(list(framed), axis=1)[:, :-1])
            axes.imshow(strip, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(drawable(name), fontsize=14, loc="left")
            axes.axis("off")
        for axes, panel in zip(right.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            draw_lines(axes, panel, order, legend=True)
        return figure
