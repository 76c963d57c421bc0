"""A figure with its question above and its answer below, inside the picture."""

from __future__ import annotations

import textwrap

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tf_kit.plotting.words import drawable

INCH = 72  # points
LINE = 1.35  # height of a line, in font sizes
WIDEST = 2.0  # width of a figure divided by its height


def framed(figure: Figure, title: str = "", caption: str = "") -> Figure:
    """Write a title above and a caption below the contents of a figure, which grows to make room for them.

    A figure that is still more than twice as wide as high becomes higher, so that it fills a slide.

    Args:
        figure: figure with a constrained layout; changed in place.
        title: line above the contents, such as a question. Defaults to "", none.
        caption: lines below, such as the answer. Defaults to "", none.

    Returns:
        The same figure.

    Example:
        >>> from tf_kit.plotting import curves
        >>> figure = framed(curves({"cost": [2.0, 1.0]}), "Does it fall?", "Yes, from 2 to 1.")
        >>> [text.get_text() for text in figure.texts]
        ['Does it fall?', 'Yes, from 2 to 1.']
    """
    width, height = figure.get_size_inches()
    sizes = {
        "title": 1.45 * width,
        "caption": 1.05 * width,
    }  # points, so that both can be read on a projector
    title, caption = drawable(title), drawable(caption)
    above, top = _lines(title, width, sizes["title"])
    below, bottom = _lines(caption, width, sizes["caption"])
    # The layout would put the figure's own legends and title at its edge, so they get their places here.
    legends = [_height(legend) for legend in figure.legends]
    own = [text for text in figure.texts if text.get_text() == figure.get_suptitle()]
    head = top + sum(map(_height, own))
    tall = max(height + head + bottom + sum(legends), width / WIDEST)
    figure.set_size_inches(width, tall)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        low = bottom + sum(legends)
        engine.set(rect=(0, low / tall, 1, 1 - (head + low) / tall))
    for legend in figure.legends:
        legend.set_in_layout(False)
        legend.set_bbox_to_anchor((0, bottom / tall, 1, 1 - (top + bottom) / tall), figure.transFigure)
    for text in own:
        text.set(y=1 - top / tall, va="top", in_layout=False)
    if above:
        figure.text(0.5, 1 - 0.06 / tall, above, ha="center", va="top", fontsize=sizes["title"])
    if below:
        look = {"ha": "left", "va": "bottom", "fontsize": sizes["caption"], "color": "0.2"}
        figure.text(0.1 / width, 0.08 / tall, below, **look)
    return figure


def _height(artist):
    """Return the height of a legend or a text and of a gap, in inches."""
    return artist.get_window_extent().height / artist.figure.dpi + 0.12


def _lines(text, width, size):
    """Break text into lines that fit the width; return them and their height in inches."""
    if not text:
        return "", 0.0
    fits = int(width * INCH / (0.56 * size))
    lines = textwrap.wrap(text, fits)
    if len(lines) == 2:  # about equal halves rather than a last word alone
        lines = textwrap.wrap(text, max(len(text) // 2 + 8, fits // 2))
    return "\n".join(lines), (len(lines) * LINE + 0.6) * size / INCH
