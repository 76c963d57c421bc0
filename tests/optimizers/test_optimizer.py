"""Slots of half-precision weights. (For summed rows see the contract, for checked rates test_sgd.py.)"""

import keras
import numpy as np
import pytest

from tf_kit import optimizers
from tf_kit.errors import InputError

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


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_that_do_not_fit_the_variables_are_refused(name, fused):
    """Arithmetic would broadcast the smaller ones in silence, and Keras leaves variables without a gradient out."""
    weights = [keras.Variable(np.ones(shape), name="w") for shape in ((3, 4), (4,))]
    cases = {
        "one gradient, or None, for each.*1 gradients for 2": [np.ones((3, 4))],
        r"shapes of the variables.*\(4,\) for the variable w \(3, 4\)": [np.ones(4), np.ones(4)],
        r"shapes of the variables.*\(1, 4\) for": [np.ones((1, 4)), np.ones(4)],
        r"shapes of the variables.*\(4, 1\) for the variable w \(4,\)": [None, np.ones((4, 1))],
        r"shapes of the variables.*\(\) for": [np.ones((3, 4)), np.ones(())],
    }
    optimizer = getattr(optimizers, name)(0.1, fused=fused)
    for message, gradients in cases.items():
        given = [each if each is None else keras.ops.array(each, "float32") for each in gradients]
        with pytest.raises(InputError, match=message) as refused:
            optimizer.apply(given, weights)
        assert "\n" not in str(refused.value)
    for each in weights:
        np.testing.assert_array_equal(each, np.ones(each.shape))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_assigned_learning_rate_is_checked_like_the_argument(name):
    optimizer = getattr(optimizers, name)(learning_rate=0.1)
    tensors = np.array(-0.5), keras.ops.array(-0.5), np.array(np.nan)
    for wrong in (-1.0, float("nan"), np.float32("inf"), True, "fast", None, *tensors):
        with pytest.raises(ValueError, match=r"learning_rate` must be a number in \[0, inf\)"):
            optimizer.learning_rate = wrong
    for right, value in (
        (0.5, 0.5),
        (keras.Variable(0.25), 0.25),
        (keras.ops.array(0.75), 0.75),
        (np.array(2), 2),
        (0, 0.0),
    ):
        optimizer.learning_rate = right
        assert float(optimizer.learning_rate) == value
    optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(0.5, 2, 0.5)
    assert float(optimizer.learning_rate) == 0.5


def test_schedule_assigned_after_a_fit_is_not_ignored_without_a_word():
    """The graph of `fit` keeps the rate that it was traced with; Keras gives no warning."""
    x = np.ones((4, 1))
    schedule = optimizers.RobbinsMonro(1e-12)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizers.SGD(0.1), "mse")
    model.optimizer.learning_rate = 0.2
    model.fit(x, x, verbose=0)
    with pytest.warns(
        UserWarning, match=r"`SGD.learning_rate` has no effect .* until `compile` is called again"
    ):
        model.optimizer.learning_rate = schedule
    model.compile(model.optimizer, "mse")
    before = model.get_weights()
    model.fit(x, x, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], before[0], atol=1e-6)
    assert not np.allclose(x @ before[0] + before[1], x)


def test_average_of_a_frozen_part_is_left_out_by_fit():
    """Keras pairs weights and averages by position: the second layer would get the average of the first."""
    x = np.random.default_rng(0).normal(size=(8, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), keras.layers.Dense(3)])
    model.compile(optimizers.SGD(1e-6, use_ema=True), "mse")
    model.fit(x, x, verbose=0)
    model.layers[0].trainable = False
    model.compile(model.optimizer, "mse")
    before = model.get_weights()
    model.fit(x, x, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_allclose(new, old, atol=1e-4)
