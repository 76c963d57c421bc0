from tf_kit.checks import choice, count, number, refuse
from tf_kit.errors import InputError, WorkerLost

__all__ = ["InputError", "WorkerLost", "choice", "count", "number", "refuse"]
