"""The lecture's tables and figures, reproduced."""

from tf_kit.experiments.pretraining_table import format_table, run_table

__all__ = ["format_table", "run_table"]
