"""Checks of arguments: numbers that no model can compute with are refused in one line."""

import fractions

import numpy as np
import pytest

from tf_kit.checks import number
from tf_kit.errors import InputError


@pytest.mark.parametrize(
    "value", [0, 1e-50, 3.4e38, -3.4e38, np.float32(2), np.int64(3), fractions.Fraction(1, 3)]
)
def test_number_that_float32_holds_is_returned(value):
    assert number("f.x", value) == float(value)


@pytest.mark.parametrize("value", [1e39, -1e300, 10**400, -(10**400)])
def test_number_that_float32_does_not_hold_is_refused(value):
    with pytest.raises(
        InputError, match=r"`f.x` must be a number in .*, which float32 holds. Received: x=-?1"
    ):
        number("f.x", value)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), True, "1", None, 1j, np.ones(2)]
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InputError, match=r"`f.x` must be a number in \(-inf, inf\). Received"):
        number("f.x", value)
