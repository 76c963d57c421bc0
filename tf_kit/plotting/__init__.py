"""Figures from plain arrays, in one style."""

from tf_kit.plotting.bars import bars
from tf_kit.plotting.frame import framed
from tf_kit.plotting.images import filters, images_and_graphs, tiles
from tf_kit.plotting.lines import curves, draw_lines, graphs, panels
from tf_kit.plotting.network import draw_network, network
from tf_kit.plotting.style import COLORS, MARKERS, STYLE, Figure, font_file, picture, save, show

__all__ = [
    "COLORS",
    "MARKERS",
    "STYLE",
    "Figure",
    "bars",
    "curves",
    "draw_lines",
    "draw_network",
    "filters",
    "font_file",
    "framed",
    "graphs",
    "images_and_graphs",
    "network",
    "panels",
    "picture",
    "save",
    "show",
    "tiles",
]
