"""Drawing of a multilayer perceptron: units, edges, weights and the slide's indices."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from tf_kit.checks import count, refuse
from tf_kit.plotting.style import COLORS, STYLE
from tf_kit.plotting.words import drawable
from tf_kit.typing import ArrayLike

RADIUS = 0.3
APART = 2.6  # distance between layers; units of a layer are 1 apart
FEW = 6  # edges of a layer up to which each is named


def network(model: Any, title: str = "", **look: Any) -> Figure:
    """Draw the network of a model: a column of units per layer, and an edge per weight.

    Edges are blue for positive and orange for negative weights, and thicker for larger ones. Units are named as on the
    slides: x_i, then α_i^(l) for unit i of layer l, with the input as layer 1; W_ij^(l) leads from unit j of layer l to
    unit i of layer l + 1. Of a layer with more than `most` units, the first ones and the last one are drawn, with "⋮"
    between them.

    Args:
        model: Keras model made of dense layers, such as `networks.mlp`, or a list of kernels (in, out).
        title: text above the drawing. Defaults to "".
        **look: as for `draw_network`.

    Returns:
        The figure.

    Raises:
        InputError: the model has no dense layer, or its dense layers do not follow one another.

    Example:
        >>> from tf_kit.plotting import network
        >>> figure = network([[[1, -1], [1, -1]], [[1], [1]]])
        >>> [text.get_text() for text in figure.axes[0].texts][0]
        '$W_{11}^{(1)}$'
    """
    kernels = kernels_of(model)
    tallest = max(min(len(kernels[0]), 7), *(min(kernel.shape[1], 7) for kernel in kernels))
    with plt.rc_context(STYLE):
        size = (2.2 * (len(kernels) + 1) + 0.6, max(3.0, 0.9 * tallest + 0.8))
        figure, axes = plt.subplots(figsize=size, layout="constrained")
        draw_network(axes, kernels, **look)
        axes.set_title(drawable(title))
    return figure


def kernels_of(model: Any) -> list[np.ndarray]:
    """Return the kernels (in, out) of the dense layers of a model; a list of kernels stays as it is."""
    if hasattr(model, "layers"):
        found = [
            np.asarray(each.kernel) for each in model.layers if getattr(each, "kernel", None) is not None
        ]
    else:
        found = [np.asarray(each, "float64") for each in model]
    shapes = [kernel.shape for kernel in found]
    follow = all(first[-1] == second[0] for first, second in itertools.pairwise(shapes))
    if not found or any(len(shape) != 2 for shape in shapes) or not follow:
        refuse("network.model", "have dense layers that follow one another", f"kernels of shapes {shapes}")
    return found


def draw_network(
    axes: Axes,
    model: Any,
    numbers: Sequence[ArrayLike | None] | None = None,
    dropped: Sequence[ArrayLike | None] | None = None,
    places: Sequence[str] | None = None,
    backward: bool = False,
    weights: str = "indices",
    most: int = 6,
) -> None:
    """Draw a network into existing axes.

    Args:
        axes: matplotlib axes.
        model: as for `network`.
        numbers: for each layer, the input first, a number to write into each unit, or None. Defaults to None.
        dropped: for each layer, whether each unit is dropped; such units and their edges are gray. Defaults to None.
        places: for each layer, the name of the device it lies on; edges between devices are dashed. Defaults to None.
        backward: whether arrows go from the output back to the input. Defaults to False.
        weights: "indices" or "values", written at the edges of layers with few edges and without arrows, or "none".
            Defaults to "indices".
        most: largest number of units drawn per layer, 3 or more. Defaults to 6.
    """
    kernels = kernels_of(model)
    most = count("network.most", most, at_least=3)
    sizes = [len(kernels[0]), *(kernel.shape[1] for kernel in kernels)]
    shown = [_shown(size, most) for size in sizes]
    spots = [_spots(layer, len(units)) for layer, units in enumerate(shown)]
    gone = [_dropped(dropped, layer, size) for layer, size in enumerate(sizes)]
    if places is not None:
        _draw_places(axes, places, spots)
    for layer, kernel in enumerate(kernels):
        crossing = places is not None and places[layer] != places[layer + 1]
        start, end = ((shown[k], spots[k], gone[k]) for k in (layer, layer + 1))
        _draw_edges(axes, layer, kernel, start, end, crossing, backward, weights)
    for layer, (units, places_of, away) in enumerate(zip(shown, spots, gone, strict=True)):
        values = numbers[layer] if numbers is not None else None
        _draw_units(axes, layer, units, places_of, away, values)
        if len(units) < sizes[layer]:
            x = APART * layer
            middle = (places_of[-2][1] + places_of[-1][1]) / 2
            axes.text(x, middle, "⋮", ha="center", va="center", fontsize=20)
            axes.text(
                x, places_of[-1][1] - 0.42, f"{sizes[layer]:,} units", ha="center", va="top", fontsize=11
            )
    highest = max(spot[0][1] for spot in spots)
    axes.set(xlim=(-0.8, APART * len(kernels) + 0.8), ylim=(-highest - 1.0, highest + 0.9), aspect="equal")
    axes.axis("off")


def _shown(size, most):
    """Return the units of a layer to draw, counted from 0."""
    return list(range(size)) if size <= most else [*range(most - 1), size - 1]


def _spots(layer, units):
    """Return the centers of the units of a layer, from top to bottom."""
    return [(APART * layer, (units - 1) / 2 - place) for place in range(units)]


def _dropped(dropped, layer, size):
    given = dropped[layer] if dropped is not None else None
    return np.zeros(size, bool) if given is None else np.asarray(given, bool)


def _draw_edges(axes, layer, kernel, start, end, crossing, backward, weights):
    """Draw the edges from one layer to the next, and their names if there are few."""
    (sources, from_, away), (targets, to, gone) = start, end
    largest = float(np.abs(kernel).max()) or 1.0
    named = weights != "none" and not backward and len(sources) * len(targets) <= FEW
    for place, j in enumerate(sources):
        for row, i in enumerate(targets):
            (x0, y0), (x1, y1) = from_[place], to[row]
            off = away[j] or gone[i]
            color = "0.85" if off else COLORS[0] if kernel[j, i] >= 0 else COLORS[1]
            width = 0.6 if off else 0.6 + 2.2 * abs(kernel[j, i]) / largest
            style = "--" if crossing else "-"
            axes.plot((x0, x1), (y0, y1), style, color=color, linewidth=width, alpha=0.75, zorder=1)
            if backward:
                along = np.array([x1 - x0, y1 - y0]) / np.hypot(x1 - x0, y1 - y0)
                head, tail = np.array([x0, y0]) + 0.34 * along, np.array([x0, y0]) + 0.75 * along
                arrow = {"arrowstyle": "-|>", "color": color, "linewidth": width}
                axes.annotate("", head, tail, arrowprops=arrow, zorder=2)
            if named and not off:
                words = rf"$W_{{{i + 1}{j + 1}}}^{{({layer + 1})}}$"
                if weights == "values":
                    words = f"{kernel[j, i]:.3g}".replace("-", "−")
                share = 0.3 if row % 2 else 0.42  # so that the names of crossing edges do not meet
                spot = (x0 + share * (x1 - x0), y0 + share * (y1 - y0))
                white = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
                axes.text(*spot, words, ha="center", va="center", fontsize=11, bbox=white, zorder=3)


def _draw_units(axes, layer, units, spots, away, values):
    for unit, (x, y) in zip(units, spots, strict=True):
        off = bool(away[unit])
        look = {"edgecolor": "0.75" if off else "black", "linestyle": ":" if off else "-"}
        axes.add_patch(Circle((x, y), RADIUS, facecolor="white", linewidth=1.6, zorder=4, **look))
        name = rf"$\alpha_{{{unit + 1}}}^{{({layer + 1})}}$" if layer else rf"$x_{{{unit + 1}}}$"
        if values is not None:
            name = f"{np.round(np.asarray(values)[unit], 2):.3g}".replace("-", "−")
        size = 11 if len(name) <= 4 or name.startswith("$") else 8
        color = "0.7" if off else "black"
        axes.text(x, y, name, ha="center", va="center", fontsize=size, color=color, zorder=5)


def _draw_places(axes, places, spots):
    """Draw a band behind the layers of each device, and its name above it."""
    top = max(spot[0][1] for spot in spots) + 0.5
    for k, name in enumerate(dict.fromkeys(places)):
        layers = [layer for layer, place in enumerate(places) if place == name]
        left, right = APART * layers[0] - 0.6, APART * layers[-1] + 0.6
        axes.add_patch(
            Rectangle(
                (left, -top), right - left, 2 * top, color=COLORS[k % len(COLORS)], alpha=0.12, zorder=0
            )
        )
        axes.text((left + right) / 2, top + 0.05, name, ha="center", va="bottom", fontsize=13)
