"""Cases of a parametrized test of which only some run by default."""

import pytest


def mostly_slow(cases, quick):
    """Mark all cases but the `quick` first ones as slow."""
    every = list(cases)
    return every[:quick] + [_slow(case) for case in every[quick:]]


def _slow(case):
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
