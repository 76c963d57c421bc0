"""The lecture's tables and figures, reproduced."""

from tf_kit.experiments.depth import error_by_depth
from tf_kit.experiments.label_efficiency import format_labels, run_label_efficiency
from tf_kit.experiments.pretraining_table import format_table, run_table

__all__ = ["error_by_depth", "format_labels", "format_table", "run_label_efficiency", "run_table"]
