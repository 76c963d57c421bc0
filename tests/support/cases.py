"""Cases of a parametrized test of which only some run by default."""

import pytest


def mostly_slow(cases, quick=0):
    """Mark all cases as slow but those in `quick`, or the `quick` first ones."""
    every = list(cases)
    fast = every[:quick] if isinstance(quick, int) else quick
    return [case if case in fast else _slow(case) for case in every]


def _slow(case):
    values = case if isinstance(case, tuple) else (case,)
    return pytest.param(*values, marks=pytest.mark.slow)
