"""Walks over the layers of nested, subclassed and wrapping models, and interception of their calls."""

import keras
import numpy as np
import pytest

from tf_kit.networks.inspection import all_layers, intercepted, last_layer, layers_within, named_layers

LAYERS = keras.layers


def sequential(*layers, name):
    return keras.Sequential(list(layers), name=name)


class Subclassed(keras.Model):
    """A model without a graph: one nested model, one layer with a layer inside, one layer used twice."""

    def __init__(self):
        super().__init__(name="subclassed")
        self.shared = LAYERS.ReLU(name="relu")
        self.inner = sequential(LAYERS.Dense(4, name="dense"), self.shared, name="inner")
        self.wrapper = LAYERS.TimeDistributed(LAYERS.Dense(2, name="wrapped"), name="wrapper")

    def call(self, inputs):
        return self.wrapper(self.shared(self.inner(inputs))[:, None])


def test_named_layers_opens_nested_models_to_any_depth():
    deepest = sequential(LAYERS.Dense(2, name="a"), name="deepest")
    model = sequential(
        keras.Input((3,)),
        sequential(deepest, LAYERS.ReLU(name="b"), name="deep"),
        LAYERS.Dense(1, name="c"),
        name="model",
    )
    assert [name for name, _ in named_layers(model)] == ["deep/deepest/a", "deep/b", "c"]
    assert list(layers_within(model)) == [layer for _, layer in named_layers(model)]


def test_named_layers_of_a_subclassed_model():
    model = Subclassed()
    named = list(named_layers(model))
    assert [name for name, _ in named] == ["relu", "inner/dense", "inner/relu", "wrapper"]
    assert named[0][1] is named[2][1] is model.shared
    assert [layer.name for layer in layers_within(model)] == ["relu", "dense", "wrapper"]


def test_all_layers_has_models_and_layers_inside_layers_once():
    model = Subclassed()
    found = all_layers(model)
    assert found[0] is model
    expected = {"subclassed", "relu", "inner", "dense", "wrapper", "wrapped"}
    assert sorted(layer.name for layer in found) == sorted(expected)


def test_last_layer_opens_the_last_nested_model():
    model = sequential(LAYERS.Flatten(), sequential(LAYERS.Dense(1, name="last"), name="inner"), name="model")
    assert last_layer(model).name == "last"
    assert last_layer(model.layers[0]) is model.layers[0]


def test_intercepted_wraps_the_calls_and_restores_them():
    model = Subclassed()
    x = np.ones((2, 3), "float32")
    before, calls = model(x), []

    def doubled(layer, call):
        def run(inputs):
            calls.append(layer.name)
            return 2 * call(inputs)

        return run

    with intercepted([model.shared], doubled):
        np.testing.assert_allclose(model(x) - model.wrapper.layer.bias, 4 * before, rtol=1e-5)
    assert calls == ["relu", "relu"]
    np.testing.assert_array_equal(model(x), before)
    assert "call" not in vars(model.shared)


def test_intercepted_restores_the_calls_after_an_error():
    layer = LAYERS.ReLU()

    def failing(layer, call):
        def run(inputs):
            raise RuntimeError("on purpose")

        return run

    with pytest.raises(RuntimeError, match="on purpose"), intercepted([layer], failing):
        layer(np.ones(2))
    np.testing.assert_array_equal(layer(np.ones(2)), [1, 1])
