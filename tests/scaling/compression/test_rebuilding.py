"""Copies of a model with other layers: what stands between the layers is copied too."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from tf_kit.scaling import prune, quantize

X = np.random.default_rng(23).normal(size=(5, 6)).astype("float32")
OPERATIONS = {
    "product": lambda h: h * 2,
    "sum of two": lambda h: h + ops.relu(h),
    "slice": lambda h: h[:, 1:4],
    "reshape": lambda h: ops.reshape(h, (-1, 2, 4)),
    "concatenate": lambda h: ops.concatenate([h, -h], axis=-1),
}
COPIES = {"prune": lambda model: prune(model, 0), "quantize": quantize}


def network(operation):
    """Model with an operation between its layers, and in a nested model that is called twice."""
    keras.utils.set_random_seed(1)
    inner_inputs = keras.Input((6,))
    inner = keras.Model(inner_inputs, operation(layers.Dense(8)(inner_inputs)), name="inner")
    inputs = keras.Input((6,))
    h = operation(layers.Dense(8)(inputs))
    outputs = layers.Dense(3, name="logits")(h + inner(inputs) - inner(inputs / 2))
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_between_layers_are_copied(operation, copy, tmp_path):
    model = network(OPERATIONS[operation])
    before = np.asarray(model(X))
    smaller = COPIES[copy](model)
    tolerance = 1e-6 if copy == "prune" else 0.02 * np.abs(before).max()
    np.testing.assert_allclose(smaller(X), before, atol=tolerance)
    smaller.save(tmp_path / "smaller.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "smaller.keras")(X), smaller(X))
    np.testing.assert_array_equal(model(X), before)
