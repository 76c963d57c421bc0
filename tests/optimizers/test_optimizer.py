"""Slots of half-precision weights. (For summed rows see the contract, for checked rates test_sgd.py.)"""

import keras
import numpy as np
import pytest

from tf_kit import optimizers

OPTIMIZERS = [name for name in optimizers.__all__ if hasattr(getattr(optimizers, name), "update_step")]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_slots_have_at_least_single_precision(dtype):
    weights = keras.Variable([1.0, 2.0], dtype=dtype)
    optimizer = optimizers.Adam(use_ema=True, gradient_accumulation_steps=2)
    optimizer.build([weights])
    slots = {v.name.removeprefix(f"{weights.name}_"): v.dtype for v in optimizer.variables if v.shape == (2,)}
    wide = "float64" if dtype == "float64" else "float32"
    assert slots == {"average": dtype, "gradient_accumulator": dtype, "mean": wide, "mean_square": wide}


def test_bfloat16_weights_have_single_precision_moments():
    """In bfloat16 β₂ = 0.999 rounds to 1, so moments in bfloat16 would neither grow nor be corrected."""
    weights = keras.Variable([1.0, 2.0], dtype="bfloat16")
    optimizer = optimizers.Adam(0.5)
    optimizer.apply([keras.ops.convert_to_tensor([1e-3, -2e-3], "bfloat16")], [weights])
    assert [float(w) for w in weights.numpy()] == [0.5, 2.5]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_assigned_learning_rate_is_checked_like_the_argument(name):
    optimizer = getattr(optimizers, name)(learning_rate=0.1)
    for wrong in (-1.0, float("nan"), np.float32("inf"), True, "fast", None):
        with pytest.raises(ValueError, match=r"learning_rate` must be a number in \[0, inf\)"):
            optimizer.learning_rate = wrong
    for right, value in ((0.5, 0.5), (keras.Variable(0.25), 0.25), (keras.ops.array(0.75), 0.75), (0, 0.0)):
        optimizer.learning_rate = right
        assert float(optimizer.learning_rate) == value
    optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(0.5, 2, 0.5)
    assert float(optimizer.learning_rate) == 0.5
