"""Functions that other processes import and evaluate in test_search.py."""

import os


def parabola(candidate):
    return (candidate["x"] - 3) ** 2


def parabola_with_budget(candidate, budget):
    return parabola(candidate) + 1 / budget


def process_id(candidate):
    return os.getpid()


def accident(candidate):
    """Raise for 0, return NaN for 1, kill the process for 2; return x otherwise."""
    if candidate["x"] == 0:
        raise RuntimeError("on\npurpose")
    if candidate["x"] == 1:
        return float("nan")
    if candidate["x"] == 2:
        os._exit(3)
    return candidate["x"]
