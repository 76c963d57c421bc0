"""The lecture's tables and figures, reproduced."""

from typing import TYPE_CHECKING

from tf_kit.lazy import lazily

if TYPE_CHECKING:
    from tf_kit.experiments.depth import draw_depth as draw_depth
    from tf_kit.experiments.depth import error_by_depth as error_by_depth
    from tf_kit.experiments.depth import format_depth as format_depth
    from tf_kit.experiments.function_space import draw_paths as draw_paths
    from tf_kit.experiments.function_space import function_paths as function_paths
    from tf_kit.experiments.function_space import path_distances as path_distances
    from tf_kit.experiments.label_efficiency import format_labels as format_labels
    from tf_kit.experiments.label_efficiency import run_label_efficiency as run_label_efficiency
    from tf_kit.experiments.pretraining_table import format_table as format_table
    from tf_kit.experiments.pretraining_table import run_table as run_table
    from tf_kit.experiments.recipe_search import search_recipe as search_recipe
    from tf_kit.experiments.recipes import Recipe as Recipe
    from tf_kit.experiments.recipes import rows_for as rows_for
else:  # hidden from type checkers, which would accept any name if there were a `__getattr__`
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "tf_kit.experiments.depth": (
                "draw_depth",
                "error_by_depth",
                "format_depth",
            ),
            "tf_kit.experiments.function_space": (
                "draw_paths",
                "function_paths",
                "path_distances",
            ),
            "tf_kit.experiments.label_efficiency": (
                "format_labels",
                "run_label_efficiency",
            ),
            "tf_kit.experiments.pretraining_table": (
                "format_table",
                "run_table",
            ),
            "tf_kit.experiments.recipe_search": ("search_recipe",),
            "tf_kit.experiments.recipes": (
                "Recipe",
                "rows_for",
            ),
        },
    )
