"""Former name of `tf_kit.grading.sandbox.processes`."""

from tf_kit.grading.sandbox.processes import Children

__all__ = ["Children"]
