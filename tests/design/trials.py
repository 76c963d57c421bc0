"""What other processes evaluate in test_search.py; they import it from here."""

import os


def parabola(candidate):
    return (candidate["x"] - 3) ** 2


def parabola_with_budget(candidate, budget):
    return parabola(candidate) + 1 / budget


def process_id(candidate):
    return os.getpid()


def accident(candidate):
    """0 raises, 1 is not a number, 2 kills the process, others are well."""
    if candidate["x"] == 0:
        raise RuntimeError("on\npurpose")
    if candidate["x"] == 1:
        return float("nan")
    if candidate["x"] == 2:
        os._exit(3)
    return candidate["x"]
