"""Perceptron, multilayer perceptron, forward propagation, XNOR and XOR."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import networks as oracle

from tf_kit.networks import LeakyReLU, Perceptron, SquaredError, Tanh, Threshold, perceptron
from tf_kit.networks.perceptron import forward, mlp, xnor_network, xor_network

BOOLEAN = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")


# mlp


def test_order_and_names_of_the_layers():
    model = mlp(units=(5, 4), num_classes=3, activation="leaky_relu", input_shape=(2, 2, 1))
    kinds = [(layer.name, type(layer).__name__) for layer in model.layers]
    assert kinds == [
        ("flatten", "Flatten"),
        ("hidden_1", "Dense"),
        ("hidden_1_leaky_relu", "LeakyReLU"),
        ("hidden_2", "Dense"),
        ("hidden_2_leaky_relu", "LeakyReLU"),
        ("logits", "Dense"),
    ]
    assert all(layer.activation is keras.activations.linear for layer in model.layers[1::2])
    assert model.output_shape == (None, 3)
    assert model.count_params() == (4 + 1) * 5 + (5 + 1) * 4 + (4 + 1) * 3


def test_encoder_has_the_same_hidden_weights_as_the_classifier():
    model = mlp((5, 4), 3, input_shape=(6,), seed=7)
    encoder = mlp((5, 4), None, input_shape=(6,), seed=7)
    assert encoder.output_shape == (None, 4)
    assert encoder.layers[-1].name == "hidden_2_sigmoid"
    for ours, theirs in zip(encoder.get_weights(), model.get_weights(), strict=False):
        np.testing.assert_array_equal(ours, theirs)


def test_initial_weights_depend_only_on_the_seed():
    first = mlp((5, 5), 5, input_shape=(5,), seed=3)
    keras.utils.set_random_seed(99)
    later = mlp((5, 5), 5, seed=3)
    later.build((None, 5))
    for ours, theirs in zip(first.get_weights(), later.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    kernels = [*first.get_weights()[::2], *mlp((5, 5), 5, input_shape=(5,), seed=4).get_weights()[::2]]
    for index, kernel in enumerate(kernels):
        for other in kernels[index + 1 :]:
            assert np.all(kernel != other)


def test_initial_weights_are_glorot_uniform():
    """W ~ U(−a, a) with a = √(6/(300 + 500)): all inside, and Var W = a²/3 within 4 standard errors."""
    kernel, bias = mlp((500,), None, input_shape=(300,)).get_weights()
    limit = np.sqrt(6 / 800)
    assert np.abs(kernel).max() <= limit
    # For a uniform variable Var(W²) = 4a⁴/45.
    standard_error = np.sqrt(4 * limit**4 / 45 / kernel.size)
    assert abs(np.mean(kernel**2) - limit**2 / 3) < 4 * standard_error
    np.testing.assert_array_equal(bias, 0)


@pytest.mark.parametrize("activation", [LeakyReLU, lambda: LeakyReLU(0.2), Tanh, keras.layers.ReLU])
def test_activation_may_be_a_class_or_a_function(activation):
    model = mlp((3, 3), 2, activation, (4,))
    first, second = model.layers[2], model.layers[4]
    assert type(first) is type(activation()) is type(second)
    assert first is not second
    assert getattr(first, "negative_slope", None) == getattr(activation(), "negative_slope", None)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "leaky_relu", lambda: LeakyReLU(0.2)])
def test_is_saved_and_loaded(tmp_path, activation):
    model = mlp((3,), 2, activation, (2, 2))
    model.save(tmp_path / "mlp.keras")
    x = np.random.default_rng(0).normal(size=(4, 2, 2)).astype("float32")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "mlp.keras")(x), model(x))


def test_mlp_learns_xor():
    model = mlp((8,), 2, "tanh", (2,))
    model.compile(keras.optimizers.Adam(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    y = np.array([0, 1, 1, 0])
    for _ in range(60):
        model.train_on_batch(BOOLEAN, y)
    np.testing.assert_array_equal(np.argmax(model(BOOLEAN), axis=1), y)


@pytest.mark.parametrize("sequence", [list, np.array, tf.TensorShape, lambda sides: map(int, sides)])
def test_mlp_takes_sizes_in_any_sequence(sequence):
    model = mlp(sequence([5, 4]), 2, input_shape=sequence([3, 3, 1]))
    assert [each.shape for each in model.get_weights()[::2]] == [(9, 5), (5, 4), (4, 2)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"units": 5},
            r"`mlp.units` must be a tuple of whole numbers. Received: units=5. Give units=\(1000,\)",
        ),
        ({"units": (3, 0)}, "`mlp.units` must be a whole number of at least 1. Received: units=0"),
        ({"num_classes": 0}, "`mlp.num_classes` .*num_classes=0. None leaves the layer of logits out"),
        ({"units": (), "num_classes": None}, r"`mlp.units` must have a hidden layer .*Received: units=\(\)"),
        ({"activation": "swish"}, "`mlp.activation` must be one of 'sigmoid', .*activation='swish'"),
        ({"activation": Tanh(name="t")}, "`mlp.activation` must be a name.*single layer <Tanh name=t"),
        ({"input_shape": 784}, "`mlp.input_shape` must be a tuple.*input_shape=784"),
        ({"input_shape": (28, None)}, "`mlp.input_shape` must be a whole number .*input_shape=None"),
        ({"seed": -1}, "`mlp.seed` must be a whole number of at least 0. Received: seed=-1"),
    ],
)
def test_mlp_refuses_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        mlp(**arguments)


# forward


def assert_forward_matches_oracle():
    model = mlp((4, 3), 2, "tanh", (5,))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=each.shape) for each in model.get_weights()])
    weights = [kernel.T for kernel in model.get_weights()[::2]]
    biases = model.get_weights()[1::2]
    x = rng.normal(size=(3, 5)).astype("float32")
    z, activations = perceptron.forward(model, x)
    assert (len(z), len(activations)) == (3, 4)
    for n, example in enumerate(x):
        expected_z, expected_alpha = oracle.forward(weights, biases, example, "tanh", output=list)
        for l, values in enumerate(expected_z):
            np.testing.assert_allclose(z[l][n], values, rtol=1e-4, atol=1e-5)
        for l, values in enumerate(expected_alpha):
            np.testing.assert_allclose(activations[l][n], values, rtol=1e-4, atol=1e-5)


def test_forward_equals_the_oracle():
    assert_forward_matches_oracle()


@pytest.mark.parametrize(
    ("old", "new"),
    [("[*activations, alpha]", "[alpha, *activations]"), ("z.append(alpha)", "z.insert(0, alpha)")],
)
def test_forward_rejects_the_wrong_twin(wrong_twin, old, new):
    wrong_twin(perceptron, "forward", old, new)
    with pytest.raises(AssertionError):
        assert_forward_matches_oracle()


def test_forward_ends_in_the_output_of_the_model():
    """With dropout and batch normalization between the layers: inference mode, images flattened."""
    layers = keras.layers
    between = [layers.Dense(4), layers.BatchNormalization(), Tanh(), layers.Dropout(0.5), layers.Dense(2)]
    model = keras.Sequential([keras.Input([2, 3]), layers.Flatten(), *between])
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32")
    z, activations = forward(model, x)
    np.testing.assert_allclose(activations[0], x.reshape(5, 6))
    np.testing.assert_allclose(activations[-1], model(x, training=False), rtol=1e-6)
    np.testing.assert_allclose(z[-1], activations[-1])


def test_slide_layer_l_has_no_weights_behind_it():
    """L layers, the input included, have L − 1 kernels; W^(L) as printed leads to a layer L + 1."""
    model, x = mlp((3,), 1, input_shape=(3,)), np.eye(3, dtype="float32")
    z, activations = forward(model, x)
    kernels = [each for each in model.trainable_variables if each.name == "kernel"]
    assert len(kernels) == len(z) == len(activations) - 1 == 2
    printed = keras.Sequential([*model.layers, keras.layers.Dense(1)])  # with W^(3) and b^(3)
    assert len(forward(printed, x).activations) == len(activations) + 1


def test_forward_refuses_unsuitable_models():
    inputs = keras.Input([2])
    functional = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    with pytest.raises(
        ValueError, match=r"`forward.model` must be a keras.Sequential. Received: <Functional"
    ):
        forward(functional, BOOLEAN)
    hiding = keras.Sequential([keras.Input([2]), keras.layers.Dense(1, "relu", name="hiding")])
    with pytest.raises(
        ValueError, match=r"must have linear dense layers. Received: hiding with activation='relu'"
    ):
        forward(hiding, BOOLEAN)


# XNOR and XOR


def assert_slide_table(activation, atol):
    """Compare with the table of the slide: x_1 x_2 | z_1 z_2 | r."""
    _, (x, hidden, r) = forward(perceptron.xnor_network(activation), BOOLEAN)
    table = np.concatenate([x, hidden, r], axis=1)
    slide = [[0, 0, 0, 1, 1], [0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 1]]
    np.testing.assert_allclose(table, slide, atol=atol)


@pytest.mark.parametrize(("activation", "atol"), [("threshold", 0), ("sigmoid", 1e-4)])
def test_xnor_equals_the_table_of_the_slide(activation, atol):
    assert_slide_table(activation, atol)


def test_xnor_rejects_the_wrong_twin(wrong_twin):
    wrong_twin(perceptron, "xnor_network", "output_bias=[-10]", "output_bias=[10]")
    with pytest.raises(AssertionError):
        assert_slide_table("threshold", 0)


@pytest.mark.parametrize("activation", ["threshold", "sigmoid"])
def test_xor_negates_xnor(activation):
    np.testing.assert_allclose(xor_network(activation)(BOOLEAN)[:, 0], [0, 1, 1, 0], atol=1e-4)
    np.testing.assert_allclose(
        xor_network(activation)(BOOLEAN), 1 - xnor_network(activation)(BOOLEAN), atol=1e-4
    )


def test_boolean_networks_refuse_other_activations():
    with pytest.raises(ValueError, match=r"`xnor_network.activation` must be one of .*activation='relu'"):
        xnor_network("relu")
    with pytest.raises(ValueError, match=r"`xor_network.activation` must be one of .*activation='tanh'"):
        xor_network("tanh")


# Perceptron


def train(x, y, learning_rate, epochs):
    """A threshold perceptron trained one example at a time, in order."""
    model = keras.Sequential([keras.Input([x.shape[1]]), Perceptron("threshold")])
    model.compile(keras.optimizers.SGD(learning_rate), SquaredError())
    model.fit(x, y, batch_size=1, epochs=epochs, shuffle=False, verbose=0)
    return model


def assert_gradient_descent_is_the_perceptron_rule():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 3)).astype("float32")
    y = rng.integers(0, 2, 12)
    kernel, bias = train(x, y, 0.5, epochs=3).get_weights()
    w, b = oracle.perceptron_rule(x, y, 0.5, epochs=3)
    np.testing.assert_allclose(kernel[:, 0], w, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bias, [b], rtol=1e-4, atol=1e-5)


def test_gradient_descent_is_the_perceptron_rule():
    assert_gradient_descent_is_the_perceptron_rule()


def test_perceptron_rule_rejects_the_wrong_twin(wrong_twin):
    wrong_twin(Threshold, "call", "ops.stop_gradient(z)", "z")
    with pytest.raises(AssertionError):
        assert_gradient_descent_is_the_perceptron_rule()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("targets", "most"), [([0, 0, 0, 1], 4), ([0, 1, 1, 1], 4), ([1, 0, 0, 0], 4), ([1, 0, 0, 1], 3)]
)
def test_one_unit_learns_linearly_separable_problems_only(targets, most):
    """AND, OR and NOR are learned; of the four rows of XNOR at most three."""
    model = train(BOOLEAN, np.array(targets), 1.0, epochs=12)
    right = int(np.sum(np.array(model(BOOLEAN))[:, 0] == targets))
    assert right == most if most == 4 else right <= most


def test_perceptron_sigmoid_is_logistic_regression():
    unit = Perceptron("sigmoid")
    unit.build((None, 2))
    unit.set_weights([np.array([[1.0], [-2.0]]), np.array([0.5])])
    expected = [[oracle.sigmoid(x1 - 2 * x2 + 0.5)] for x1, x2 in BOOLEAN]
    np.testing.assert_allclose(unit(BOOLEAN), expected, rtol=1e-6)


def test_perceptron_refuses_other_activations():
    with pytest.raises(
        ValueError, match=r"`Perceptron.activation` must be one of 'threshold', .*activation='step'"
    ):
        Perceptron("step")


def test_threshold_is_exact_and_passes_the_gradient():
    z = tf.constant([-1e8, -1e-30, 0.0, 1e-30, 1e8])
    with tf.GradientTape() as tape:
        tape.watch(z)
        outputs = Threshold()(z)
    np.testing.assert_array_equal(outputs, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(tape.gradient(outputs, z), Threshold().derivative(z))
