"""The lecture's tables and figures, reproduced."""

from tf_kit.experiments.depth import draw_depth, error_by_depth, format_depth
from tf_kit.experiments.function_space import draw_paths, function_paths, path_distances
from tf_kit.experiments.label_efficiency import format_labels, run_label_efficiency
from tf_kit.experiments.pretraining_table import format_table, run_table
from tf_kit.experiments.recipe_search import search_recipe
from tf_kit.experiments.recipes import Recipe, rows_for

__all__ = [
    "Recipe",
    "draw_depth",
    "draw_paths",
    "error_by_depth",
    "format_depth",
    "format_labels",
    "format_table",
    "function_paths",
    "path_distances",
    "rows_for",
    "run_label_efficiency",
    "run_table",
    "search_recipe",
]
