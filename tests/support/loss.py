"""The contract of every public loss, checked in one call.

from support.loss import check_loss

def test_contract():
    check_loss(SquaredError, y_true=np.zeros((4, 2)), y_pred=np.ones((4, 2)))
"""

import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


def check_loss(factory, y_true, y_pred):
    """Runs the whole contract.

    Args:
        factory: function without arguments that returns a new loss with its default reduction.
        y_true, y_pred: one batch of at least 2 examples whose losses differ, as the loss wants them.
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred, "float32")
    check_reductions(factory, y_true, y_pred)
    check_sample_weight(factory, y_true, y_pred)
    check_dtypes(factory, y_true, y_pred)
    check_graph_and_gradient(factory, y_true, y_pred)
    check_config_round_trip(factory, y_true, y_pred)
    check_fit_step_and_keras_file(factory, y_true, y_pred)


def with_config(loss, **changes):
    return type(loss).from_config({**loss.get_config(), **changes})


def each_loss(factory, y_true, y_pred):
    """The loss of each example, as float64."""
    return np.asarray(with_config(factory(), reduction="none")(y_true, y_pred), "float64")


def check_reductions(factory, y_true, y_pred):
    """One value an example; the default is their mean, "sum" their sum; an example does not see the others."""
    each = each_loss(factory, y_true, y_pred)
    assert each.shape[:1] == y_pred.shape[:1], f"{each.shape} losses for outputs {y_pred.shape}"
    assert np.ptp(each) > 0, "give examples whose losses differ"
    np.testing.assert_allclose(factory()(y_true, y_pred), each.mean(), rtol=1e-5)
    np.testing.assert_allclose(with_config(factory(), reduction="sum")(y_true, y_pred), each.sum(), rtol=1e-5)
    np.testing.assert_allclose(each_loss(factory, y_true[:1], y_pred[:1]), each[:1], rtol=1e-5)


def check_sample_weight(factory, y_true, y_pred):
    """Weights multiply the loss of each example; the divisor stays the number of examples."""
    each = each_loss(factory, y_true, y_pred)
    weight = np.arange(len(each), dtype="float32")
    weighted = each * weight.reshape(-1, *[1] * (each.ndim - 1))
    np.testing.assert_allclose(factory()(y_true, y_pred, sample_weight=weight), weighted.mean(), rtol=1e-5)


def check_dtypes(factory, y_true, y_pred):
    """Computes in its own dtype, float32 unless told otherwise, whatever the dtype of the outputs is."""
    expected = float(factory()(y_true, y_pred))
    for dtype, rtol in (("float16", 1e-2), ("bfloat16", 5e-2), ("float64", 1e-5)):
        value = factory()(y_true, tf.cast(y_pred, dtype))
        assert value.dtype == "float32", f"{dtype} outputs gave a loss in {value.dtype}"
        np.testing.assert_allclose(value, expected, rtol=rtol, err_msg=dtype)
        value = with_config(factory(), dtype=dtype)(y_true, y_pred)
        assert value.dtype == dtype, f"dtype={dtype} gave a loss in {value.dtype}"
        np.testing.assert_allclose(float(value), expected, rtol=rtol, err_msg=dtype)


def check_graph_and_gradient(factory, y_true, y_pred):
    """Eagerly and in tf.function: the same value, and the same finite gradient, not all zero."""

    def value_and_gradient(targets, outputs):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            value = factory()(targets, outputs)
        return value, tape.gradient(value, outputs)

    eager = value_and_gradient(tf.constant(y_true), tf.constant(y_pred))
    graph = tf.function(value_and_gradient)(tf.constant(y_true), tf.constant(y_pred))
    for ours, theirs in zip(graph, eager, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    assert np.isfinite(eager[1]).all()
    assert np.any(eager[1] != 0)


def check_config_round_trip(factory, y_true, y_pred):
    """The class is registered, its config plain JSON, and a loss made from it has the same config and value."""
    loss = factory()
    registered = keras.saving.get_registered_name(type(loss))
    assert registered.startswith("tf_kit>"), f"{registered} is not registered in the package tf_kit"
    config = keras.saving.serialize_keras_object(loss)
    twin = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(twin) is type(loss)
    assert twin.get_config() == loss.get_config()
    np.testing.assert_array_equal(twin(y_true, y_pred), loss(y_true, y_pred))


def check_fit_step_and_keras_file(factory, y_true, y_pred):
    """A compiled step of fit lowers the loss; the compiled model comes back from a .keras file."""
    inputs = np.ones((len(y_pred), 1), "float32")

    def new_model():
        outputs = keras.layers.Dense(int(np.prod(y_pred.shape[1:])))
        model = keras.Sequential([keras.Input([1]), outputs, keras.layers.Reshape(y_pred.shape[1:])])
        model.compile(keras.optimizers.SGD(1e-3), factory())
        return model

    model = new_model()
    before = model.evaluate(inputs, y_true, verbose=0)
    history = model.fit(inputs, y_true, batch_size=len(inputs), epochs=1, verbose=0).history["loss"]
    np.testing.assert_allclose(history[0], before, rtol=1e-5)
    after = model.evaluate(inputs, y_true, verbose=0)
    assert after < before, f"a step of gradient descent took the loss from {before} to {after}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
    np.testing.assert_allclose(loaded.evaluate(inputs, y_true, verbose=0), after, rtol=1e-6)
