"""Activations: values, derivatives, stability, and the measures of saturation, dead units and centering."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import networks as oracle

from tf_kit.networks import activations, mlp
from tf_kit.networks.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from tf_kit.networks.perceptron import UNIT_ACTIVATIONS

NAMES = list(activations.ACTIVATIONS)
Z = np.concatenate([np.linspace(-6, 6, 25), [-0.01, 0.01]])


def assert_matches_oracle(name):
    """Value and derivative equal the scalar formulas, also at 0."""
    f, slope = oracle.ACTIVATIONS[name]
    layer = activations.ACTIVATIONS[name](dtype="float64")
    np.testing.assert_allclose(layer(Z), [f(z) for z in Z], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(layer.derivative(Z), [slope(z) for z in Z], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_value_and_derivative_equal_the_oracle(name):
    assert_matches_oracle(name)


@pytest.mark.parametrize(
    ("name", "method", "old", "new"),
    [
        ("sigmoid", "call", "sigmoid(as_floats(", "sigmoid(-as_floats("),
        ("sigmoid", "derivative", "sigmoid(-z)", "sigmoid(z)"),
        ("tanh", "call", "ops.tanh", "ops.sigmoid"),
        ("tanh", "derivative", "4 *", "2 *"),
        ("relu", "derivative", "z > 0", "z >= 0"),
        ("leaky_relu", "call", "> 0", "< 0"),
        ("leaky_relu", "derivative", "self.negative_slope * ", ""),
    ],
)
def test_oracle_rejects_the_wrong_twin(wrong_twin, name, method, old, new):
    wrong_twin(activations.ACTIVATIONS[name], method, old, new)
    with pytest.raises(AssertionError):
        assert_matches_oracle(name)


@pytest.mark.parametrize("name", NAMES)
def test_derivative_equals_automatic_differentiation(name):
    layer = activations.ACTIVATIONS[name](dtype="float64")
    z = tf.constant(np.append(Z, [-1e4, 1e4]))
    with tf.GradientTape() as tape:
        tape.watch(z)
        outputs = layer(z)
    np.testing.assert_allclose(layer.derivative(z), tape.gradient(outputs, z), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_derivative_equals_central_differences(name):
    layer = activations.ACTIVATIONS[name](dtype="float64")
    z, step = Z[Z != 0], 1e-6
    differences = (np.array(layer(z + step)) - np.array(layer(z - step))) / (2 * step)
    np.testing.assert_allclose(layer.derivative(z), differences, atol=1e-9)


def assert_tanh_is_a_scaled_sigmoid():
    """Slide: tanh(x) = 2σ(2x) − 1."""
    tanh, sigmoid = Tanh(dtype="float64"), Sigmoid(dtype="float64")
    np.testing.assert_allclose(tanh(Z), 2 * sigmoid(2 * Z) - 1, atol=1e-15)
    np.testing.assert_allclose(tanh.derivative(Z), 4 * sigmoid.derivative(2 * Z), rtol=1e-12)


def test_tanh_is_a_scaled_sigmoid():
    assert_tanh_is_a_scaled_sigmoid()


def test_tanh_identity_rejects_the_wrong_twin(wrong_twin):
    wrong_twin(Tanh, "call", "ops.tanh(as_floats(", "ops.tanh(0.5 * as_floats(")
    with pytest.raises(AssertionError):
        assert_tanh_is_a_scaled_sigmoid()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_stable_for_large_inputs(name, dtype):
    layer = activations.ACTIVATIONS[name](dtype=dtype)
    z = tf.cast(tf.constant([-1e4, 1e4]), dtype)
    ends = {"sigmoid": [0, 1], "tanh": [-1, 1], "relu": [0, 1e4], "leaky_relu": [-100, 1e4]}
    slopes = {"sigmoid": [0, 0], "tanh": [0, 0], "relu": [0, 1], "leaky_relu": [0.01, 1]}
    np.testing.assert_allclose(tf.cast(layer(z), "float64"), ends[name], rtol=1e-2)
    np.testing.assert_allclose(tf.cast(layer.derivative(z), "float64"), slopes[name], rtol=1e-2)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
@pytest.mark.parametrize("name", UNIT_ACTIVATIONS)
def test_whole_numbers_become_floats(name, dtype):
    layer, z = UNIT_ACTIVATIONS[name](), np.array([0, 1, 3]).astype(dtype)
    for function in (layer, layer.derivative):
        assert keras.backend.is_float_dtype(function(z).dtype)
        np.testing.assert_array_equal(function(z), function(z.astype("float32")))


def test_derivatives_stay_accurate_in_the_tails():
    """σ'(z) → e^(−|z|) and tanh'(z) → 4 e^(−2|z|), where 1 − σ and 1 − tanh² round to 0."""
    z = np.array([-60.0, 60.0])
    np.testing.assert_allclose(Sigmoid().derivative(z), np.exp(-np.abs(z)), rtol=1e-12)
    np.testing.assert_allclose(Tanh().derivative(z), 4 * np.exp(-2 * np.abs(z)), rtol=1e-12)


def test_leaky_relu_keeps_its_slope_in_float64():
    assert float(LeakyReLU(0.1, dtype="float64")(np.array([-1.0]))[0]) == -0.1


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Sigmoid(), keras.ops.sigmoid),
        (Tanh(), keras.ops.tanh),
        (ReLU(), keras.ops.relu),
        (LeakyReLU(0.3), keras.layers.LeakyReLU()),
    ],
)
def test_values_equal_keras(ours, theirs):
    z = Z.astype("float32")
    np.testing.assert_allclose(ours(z), theirs(z), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("slope", [-0.1, float("nan"), "steep", True])
def test_leaky_relu_refuses_bad_slopes(slope):
    with pytest.raises(
        ValueError, match=r"`LeakyReLU.negative_slope` must be a number in \[0, inf\)"
    ) as error:
        LeakyReLU(slope)
    assert f"negative_slope={slope!r}" in str(error.value)


def test_the_base_class_has_no_derivative():
    with pytest.raises(NotImplementedError, match="ActivationLayer has no derivative"):
        activations.ActivationLayer().derivative(0.0)


# Measures


def test_sigmoid_saturates_where_its_slope_falls_below_the_limit():
    """σ(z)(1 − σ(z)) = 0.01 at σ = (1 − √0.96)/2, which is |z| = 4.585."""
    edge = np.log((1 + np.sqrt(0.96)) / (1 - np.sqrt(0.96)))
    inside = np.array([-edge, edge]) * (1 - 1e-6)
    assert activations.saturated_fraction(Sigmoid(), inside) == 0
    assert activations.saturated_fraction(Sigmoid(), inside * (1 + 2e-6)) == 1


@pytest.mark.parametrize(("layer", "fraction"), [(Sigmoid, 0.5), (Tanh, 0.75), (ReLU, 0.5), (LeakyReLU, 0.0)])
def test_saturated_fraction(layer, fraction):
    z = np.array([[-5.0, -1.0, 4.0, 100.0]])
    assert activations.saturated_fraction(layer(), z) == fraction


def test_units_count_as_dead_if_dead_on_every_example():
    z = np.array([[-1.0, 1.0, -1.0, 0.0], [-1.0, -1.0, -1.0, 0.0]])
    assert activations.dead_fraction(ReLU(), z) == 0.75
    assert activations.dead_fraction(LeakyReLU(), z) == 0
    assert activations.dead_fraction(Sigmoid(), z) == 0


def test_channels_count_as_dead_if_dead_at_every_position():
    z = -np.ones((2, 3, 3, 4))
    z[1, 2, 0, 1] = 1
    assert activations.dead_fraction(ReLU(), z) == 0.75


def test_a_large_step_kills_relu_units():
    """Slide: after a large gradient a ReLU unit may never activate again."""
    x = np.random.default_rng(0).normal(size=(200, 5)).astype("float32")
    model = mlp((50,), 1, "relu", (5,))
    before = activations.dead_fraction(model, x)["hidden_1_relu"]
    model.layers[1].bias.assign_sub(np.repeat([100.0, 0.0], 25))
    assert (before, activations.dead_fraction(model, x)["hidden_1_relu"]) == (0.0, 0.5)


def test_sigmoid_is_not_zero_centered_and_tanh_is():
    x = np.random.default_rng(0).normal(size=(500, 10)).astype("float32")
    sigmoid = activations.output_mean(mlp((50, 50), 2, "sigmoid", (10,)), x)
    tanh = activations.output_mean(mlp((50, 50), 2, "tanh", (10,)), x)
    assert list(sigmoid) == ["hidden_1_sigmoid", "hidden_2_sigmoid"]
    for name, mean in sigmoid.items():
        assert 0.4 < mean < 0.6, name
    for name, mean in tanh.items():
        assert abs(mean) < 0.05, name


class Subclassed(keras.Model):
    """A model without a graph that contains another model."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)


def test_measures_use_the_input_of_the_activation():
    """A sequential model before it is built gives the same numbers as inside another model, and does not change."""
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    model = mlp((4, 4), None, "tanh")
    first = activations.output_mean(model, x)
    np.testing.assert_allclose(first["hidden_1_tanh"], np.tanh(x @ model.get_weights()[0]).mean(), rtol=1e-5)
    outputs = model(x)
    inputs = keras.Input([3])
    functional = keras.Model(inputs, keras.layers.Dense(1)(Sigmoid(name="last")(model(inputs))))
    nested = activations.output_mean(functional, x)
    assert list(nested) == ["encoder/hidden_1_tanh", "encoder/hidden_2_tanh", "last"]
    np.testing.assert_allclose(list(nested.values())[:2], list(first.values()), rtol=1e-6)
    subclassed = activations.output_mean(Subclassed(model), x)
    np.testing.assert_allclose(list(subclassed.values()), list(first.values()), rtol=1e-6)
    assert "call" not in vars(model.layers[2])
    np.testing.assert_array_equal(model(x), outputs)


def test_measures_count_all_calls_of_a_shared_layer():
    """Both units of the first call are dead, and the three of the second are not."""
    relu, inputs = ReLU(name="relu"), keras.Input([3])
    first = keras.layers.Dense(
        2, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(-1)
    )
    second = keras.layers.Dense(3, kernel_initializer="zeros", bias_initializer="ones")
    model, x = keras.Model(inputs, relu(second(relu(first(inputs))))), np.ones((4, 3), "float32")
    assert activations.dead_fraction(model, x) == {"relu": 2 / 5}
    assert activations.saturated_fraction(model, x) == {"relu": 2 / 5}
    assert activations.output_mean(model, x) == {"relu": 3 / 5}


@pytest.mark.parametrize("measure", ["saturated_fraction", "dead_fraction", "output_mean"])
def test_measures_refuse_models_without_activation_layers(measure):
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(2, "relu")])
    with pytest.raises(ValueError, match=f"`{measure}.model` must have activation layers of .*<Sequential"):
        getattr(activations, measure)(model, np.ones((2, 3), "float32"))


def test_saturated_fraction_refuses_bad_slopes():
    with pytest.raises(ValueError, match=r"`saturated_fraction.slope` must be a number in \(0.*slope=0"):
        activations.saturated_fraction(Sigmoid(), np.zeros(2), slope=0)
