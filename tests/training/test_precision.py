"""Precision of layers, and its measurement."""

import keras
import numpy as np
import pytest

from tf_kit import networks
from tf_kit.errors import InputError
from tf_kit.training import precision as module
from tf_kit.training.precision import gain, precision, precision_of, set_precision


def encoder(name="float32"):
    with precision(name):
        return networks.mlp((4, 3), num_classes=None, input_shape=(5,))


def test_layers_of_the_context_compute_in_bfloat16_with_float32_weights():
    model = encoder("bfloat16")
    assert precision_of(model) == "bfloat16"
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_policy_returns_after_an_error():
    with pytest.raises(ZeroDivisionError), precision("bfloat16"):
        raise ZeroDivisionError
    assert keras.config.dtype_policy().name == "float32"


def test_none_leaves_the_policy_of_keras():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert precision_of(encoder(None)) == "bfloat16"
        assert precision_of(encoder("float32")) == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_precision_of_a_model_can_change_and_its_weights_stay():
    model, x = encoder(), np.random.default_rng(0).random((6, 5)).astype("float32")
    before, weights = model(x), model.get_weights()
    set_precision(model, "bfloat16")
    low = keras.ops.convert_to_numpy(keras.ops.cast(model(x), "float32"))
    assert keras.backend.standardize_dtype(model(x).dtype) == "bfloat16"
    np.testing.assert_allclose(low, before, atol=0.02)
    assert np.abs(low - before).max() > 0
    set_precision(model, "float32")
    np.testing.assert_array_equal(model(x), before)
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)


def test_unknown_precision_is_refused():
    for call in (lambda: encoder("float16"), lambda: set_precision(encoder(), "half")):
        with pytest.raises(InputError, match="must be one of 'float32', 'bfloat16'"):
            call()


def test_gain_is_the_median_ratio_of_seconds(monkeypatch):
    made = []

    def set_and_note(model, name):
        made.append(name)
        set_precision(model, name)

    seconds = iter([0.001, *(value for k in (1, 2, 30, 4, 5) for value in (0.1 * k, 0.1))])
    monkeypatch.setattr(module, "_seconds", lambda run, repeats: next(seconds))
    monkeypatch.setattr(module, "set_precision", set_and_note)
    assert gain(encoder, np.ones((2, 5), "float32"), batch_size=7) == pytest.approx(4)
    assert made == ["float32", "bfloat16"]


def test_gain_is_measured_here():
    measured = gain(encoder, np.ones((2, 5), "float32"), batch_size=3)
    assert 0.02 < measured < 50
