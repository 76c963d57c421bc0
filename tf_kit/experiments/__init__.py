"""The lecture's tables and figures, reproduced."""

from tf_kit.experiments.depth import error_by_depth
from tf_kit.experiments.pretraining_table import format_table, run_table

__all__ = ["error_by_depth", "format_table", "run_table"]
