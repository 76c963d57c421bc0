"""What `_optimizer.Optimizer` adds to Keras's: wide slots. (Summed rows and checked rates: contract, test_sgd.)"""

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


def test_single_precision_moments_carry_bfloat16_weights():
    """In bfloat16 β₂ = 0.999 is 1: moments kept there would never be corrected, nor grow."""
    weights = keras.Variable([1.0, 2.0], dtype="bfloat16")
    optimizer = optimizers.Adam(0.5)
    optimizer.apply([keras.ops.convert_to_tensor([1e-3, -2e-3], "bfloat16")], [weights])
    assert [float(w) for w in weights.numpy()] == [0.5, 2.5]
