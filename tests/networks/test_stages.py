"""Stages of encoders of every form: a single layer, sequential and functional models."""

import keras
import numpy as np
import pytest

from tf_kit import networks
from tf_kit.networks.stages import dense_stages, is_elementwise

DENSE, ACTIVATION = keras.layers.Dense, keras.layers.Activation


def functional(*layers):
    inputs = h = keras.Input((6,))
    for layer in layers:
        h = layer(h)
    return keras.Model(inputs, h)


def names(stage):
    return [type(layer).__name__ for layer in stage.layers]


FORMS = {
    "one dense layer": (lambda: DENSE(4, "tanh"), [["Dense"]], ["tanh"]),
    "mlp": (
        lambda: networks.mlp((4, 3), num_classes=None, activation="relu"),
        [["Flatten", "Dense", "ReLU"], ["Dense", "ReLU"]],
        ["relu", "relu"],
    ),
    "mlp with its head": (
        lambda: networks.mlp((4, 3), num_classes=2),
        [["Flatten", "Dense", "Sigmoid"], ["Dense", "Sigmoid"]],
        ["sigmoid", "sigmoid"],
    ),
    "built-in activations": (
        lambda: keras.Sequential([DENSE(4, "sigmoid"), DENSE(3)]),
        [["Dense"], ["Dense"]],
        ["sigmoid", "linear"],
    ),
    "an activation layer as the activation": (
        lambda: keras.Sequential([DENSE(4, activation=networks.Sigmoid())]),
        [["Dense"]],
        ["sigmoid"],
    ),
    "two activations": (
        lambda: keras.Sequential([DENSE(4, "tanh"), keras.layers.ReLU()]),
        [["Dense", "ReLU"]],
        ["tanh+relu"],
    ),
    "dropout and normalization between": (
        lambda: keras.Sequential(
            [
                keras.Input((6,)),
                DENSE(4),
                keras.layers.BatchNormalization(),
                ACTIVATION("sigmoid"),
                keras.layers.Dropout(0.5),
                DENSE(3),
            ]
        ),
        [["Dense", "BatchNormalization", "Activation", "Dropout"], ["Dense"]],
        ["sigmoid", "linear"],
    ),
    "functional chain": (
        lambda: functional(DENSE(4), ACTIVATION("tanh"), DENSE(3, "sigmoid")),
        [["Dense", "Activation"], ["Dense"]],
        ["tanh", "sigmoid"],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_stages_hold_the_layers_of_the_encoder_itself(form):
    make, layers, activations = FORMS[form]
    encoder = make()
    stages = dense_stages(encoder)
    assert [names(stage) for stage in stages] == layers
    assert [stage.activation_name for stage in stages] == activations
    own = [encoder] if isinstance(encoder, DENSE) else encoder.layers
    assert all(any(layer is each for each in own) for stage in stages for layer in stage.layers)


@pytest.mark.parametrize("form", FORMS)
def test_activate_applies_the_named_activations(form):
    make, _, _ = FORMS[form]
    encoder = make()
    z = np.linspace(-3, 3, 13, dtype="float32").reshape(1, -1)
    functions = {
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    }
    for stage in dense_stages(encoder):
        expected = z
        for name in stage.activation_name.split("+"):
            expected = functions.get(name, lambda z: z)(expected)
        np.testing.assert_allclose(stage.activate(z), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "elementwise"),
    [
        (keras.layers.LeakyReLU(), True),
        (networks.Tanh(), True),
        (ACTIVATION("relu"), True),
        (keras.layers.BatchNormalization(), False),
        (keras.layers.LayerNormalization(center=False, scale=False), False),
        (keras.layers.PReLU(), False),
        (keras.layers.Dropout(0.5), False),
        (keras.layers.Flatten(), False),
    ],
)
def test_is_elementwise(layer, elementwise):
    assert is_elementwise(layer) == elementwise


def branching():
    inputs = keras.Input((6,))
    return keras.Model(inputs, keras.layers.Add()([DENSE(4)(inputs), DENSE(4)(inputs)]))


def bare_operation():
    inputs = keras.Input((6,))
    return keras.Model(inputs, DENSE(3)(keras.ops.tanh(DENSE(4)(inputs))))


class Subclassed(keras.Model):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (branching, "Functional"),
        (bare_operation, "Functional"),
        (Subclassed, "Subclassed"),
        (keras.layers.Flatten, "Flatten"),
        (lambda: keras.Sequential([keras.layers.Flatten()], name="flat"), "'flat' without a dense layer"),
        (lambda: networks.mlp((), num_classes=3), "'mlp' without a dense layer"),
    ],
)
def test_refuses_encoders_that_are_not_dense_sequences(make, message):
    with pytest.raises(ValueError, match=message):
        dense_stages(make())
