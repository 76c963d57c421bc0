"""Slots of half-precision weights. (For summed rows see the contract, for checked rates test_sgd.py.)"""

import keras
import pytest

from tf_kit import optimizers


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
