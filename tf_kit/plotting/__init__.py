"""Figures from plain arrays, in one style."""

from tf_kit.plotting.images import (
    curves_and_heatmap,
    depth_and_filters,
    filters,
    images_and_graphs,
    regions,
    tiles,
)
from tf_kit.plotting.lines import (
    add_moments,
    class_summary,
    curves,
    errors_by_system,
    graphs,
    measures_by_name,
    panels,
    stacked_bars,
    trials_and_best,
    valley_paths,
)
from tf_kit.plotting.style import COLORS, MARKERS, STYLE, save, show

__all__ = [
    "COLORS",
    "MARKERS",
    "STYLE",
    "add_moments",
    "class_summary",
    "curves",
    "curves_and_heatmap",
    "depth_and_filters",
    "errors_by_system",
    "filters",
    "graphs",
    "images_and_graphs",
    "measures_by_name",
    "panels",
    "regions",
    "save",
    "show",
    "stacked_bars",
    "tiles",
    "trials_and_best",
    "valley_paths",
]
