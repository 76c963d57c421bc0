"""Backpropagation against loops, automatic differentiation, central differences and the formulas as printed."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from oracles import networks as oracle
from support.cases import mostly_slow

from tf_kit.networks import (
    LeakyReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    Tanh,
    Threshold,
    activations,
    backpropagation,
    l2_penalty,
)
from tf_kit.networks.backpropagation import backpropagate, gradient_check

ACTIVATIONS = list(activations.ACTIVATIONS)
KINDS = ["squared_error", "sigmoid", "softmax"]  # the last two are cross-entropies


def problem(kind, sizes=(3, 5, 4, 2), n=6):
    """Weights, biases, x, y as `backpropagate` takes them, y as rows, and the name of the loss."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(out, inputs)) for inputs, out in itertools.pairwise(sizes)]
    biases = [rng.normal(size=out) for out in sizes[1:]]
    x, labels = rng.normal(size=(n, sizes[0])), rng.integers(0, sizes[-1], n)
    rows = {
        "squared_error": rng.uniform(size=(n, sizes[-1])),
        "sigmoid": rng.integers(0, 2, (n, sizes[-1])).astype("float64"),
        "softmax": np.eye(sizes[-1])[labels],
    }[kind]
    loss = "squared_error" if kind == "squared_error" else "cross_entropy"
    return weights, biases, x, labels if kind == "softmax" else rows, rows, loss


def assert_matches_oracle(kind, activation, l2):
    weights, biases, x, y, rows, loss = problem(kind)
    cost, dW, db = backpropagation.backpropagate(weights, biases, x, y, activation, loss, l2)
    expected, expected_dW, expected_db = oracle.backpropagate(weights, biases, x, rows, activation, kind, l2)
    np.testing.assert_allclose(cost, expected, rtol=1e-12)
    for ours, theirs in zip([*dW, *db], [*expected_dW, *expected_db], strict=True):
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_cost_and_gradients_equal_the_oracle(kind, activation, l2):
    assert_matches_oracle(kind, activation, l2)


@pytest.mark.parametrize(
    ("kind", "name", "old", "new"),
    [
        ("sigmoid", "backpropagate", "+ l2 * weights[l]", "- l2 * weights[l]"),
        ("sigmoid", "backpropagate", "l2 / 2", "l2"),
        ("sigmoid", "backpropagate", "* f.derivative(z)", "/ f.derivative(z)"),
        ("sigmoid", "backpropagate", "delta.sum", "delta.mean"),
        ("squared_error", "_output", "(2 * n)", "n"),
        ("squared_error", "_output", " * f.derivative(z)", ""),
        ("softmax", "_output", "axis=1", "axis=0"),
        ("sigmoid", "_output", "+ (1 - y)", "- (1 - y)"),
    ],
)
def test_oracle_rejects_the_wrong_twin(wrong_twin, kind, name, old, new):
    wrong_twin(backpropagation, name, old, new)
    with pytest.raises(AssertionError):
        assert_matches_oracle(kind, "tanh", 0.1)


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_automatic_differentiation(kind, activation, l2):
    """tf.GradientTape through the layers, losses and penalty of `networks`, in float64."""
    weights, biases, x, y, _, loss = problem(kind)
    f = activations.ACTIVATIONS[activation](dtype="float64")
    keras_loss = {
        "squared_error": SquaredError(activation, dtype="float64"),
        "sigmoid": SigmoidCrossEntropy(dtype="float64"),
        "softmax": SoftmaxCrossEntropy(dtype="float64"),
    }[kind]
    W, b = [tf.Variable(each) for each in weights], [tf.Variable(each) for each in biases]
    with tf.GradientTape() as tape:
        alpha = tf.constant(x)
        for l in range(len(W)):
            z = alpha @ tf.transpose(W[l]) + b[l]
            alpha = f(z)
        value = keras_loss(y, z) + l2_penalty(W, l2)
    cost, dW, db = backpropagate(weights, biases, x, y, activation, loss, l2)
    np.testing.assert_allclose(cost, value, rtol=1e-12)
    for ours, theirs in zip([*dW, *db], tape.gradient(value, [*W, *b]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("l2", mostly_slow([0.1, 0.0], quick=1))
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_central_differences(kind, activation, l2):
    weights, biases, x, y, _, loss = problem(kind)
    assert gradient_check(weights, biases, x, y, activation, loss, l2) < 1e-7


@pytest.mark.parametrize("activation", [LeakyReLU(0.3), LeakyReLU, Tanh(dtype="float16")])
def test_activation_may_be_a_layer_or_its_class(activation):
    """The dtype policy of the layer does not matter, since everything is computed in float64."""
    weights, biases, x, y, _, loss = problem("softmax")
    assert gradient_check(weights, biases, x, y, activation, loss) < 1e-7


def test_targets_may_be_a_vector_or_a_column():
    weights, biases, x, y, _, _ = problem("sigmoid", sizes=(3, 4, 1))
    for loss in ("cross_entropy", "squared_error"):
        flat = backpropagate(weights, biases, x, y[:, 0], "tanh", loss)
        column = backpropagate(weights, biases, x, y, "tanh", loss)
        np.testing.assert_array_equal(flat[1][0], column[1][0])
    labels = problem("softmax")[3]
    weights, biases, x, _, _, _ = problem("softmax")
    flat, column = (
        backpropagate(weights, biases, x, labels),
        backpropagate(weights, biases, x, labels[:, None]),
    )
    np.testing.assert_array_equal(flat[1][0], column[1][0])


def test_one_hot_rows_mean_sigmoids_and_labels_mean_a_softmax():
    """The two costs differ, and both have δ = α − y."""
    weights, biases, x, labels, rows, _ = problem("softmax")
    softmax, sigmoid = (
        backpropagate(weights, biases, x, labels)[0],
        backpropagate(weights, biases, x, rows)[0],
    )
    np.testing.assert_allclose(
        softmax, oracle.backpropagate(weights, biases, x, rows, "sigmoid", "softmax", 0)[0]
    )
    np.testing.assert_allclose(
        sigmoid, oracle.backpropagate(weights, biases, x, rows, "sigmoid", "sigmoid", 0)[0]
    )
    assert abs(softmax - sigmoid) > 0.1


@pytest.mark.parametrize("size", [-1e4, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_stable_for_large_logits(kind, size):
    weights, biases, x, y, _, loss = problem(kind)
    biases[-1] = np.array([size, -size])
    cost, dW, db = backpropagate(weights, biases, x, y, "sigmoid", loss)
    assert all(np.isfinite(each).all() for each in (cost, *dW, *db))


def test_arguments_do_not_change():
    weights, biases, x, y, _, loss = problem("softmax")
    before = [each.copy() for each in (*weights, *biases, x, y)]
    gradient_check(weights, biases, x, y, loss=loss, l2=0.1)
    for now, old in zip((*weights, *biases, x, y), before, strict=True):
        np.testing.assert_array_equal(now, old)


# Symmetry breaking

XNOR = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([1.0, 0, 0, 1])


def descend(weights, biases, num_steps=300, learning_rate=1.0):
    """Full-batch gradient descent on XNOR: the update of the slide."""
    for _ in range(num_steps):
        cost, dW, db = backpropagate(weights, biases, *XNOR, "tanh")
        weights = [W - learning_rate * g for W, g in zip(weights, dW, strict=True)]
        biases = [b - learning_rate * g for b, g in zip(biases, db, strict=True)]
    return cost, weights


def test_equal_initial_weights_stay_equal_and_cannot_learn_xnor():
    """Three hidden units with equal weights stay equal; random weights break the symmetry."""
    biases = [np.zeros(3), np.zeros(1)]
    cost, (hidden, _) = descend([np.full((3, 2), 0.5), np.full((1, 3), 0.5)], biases)
    np.testing.assert_allclose(hidden, np.tile(hidden[0], (3, 1)), rtol=0, atol=1e-12)
    assert cost > 0.3
    rng = np.random.default_rng(0)
    cost, (hidden, _) = descend([rng.normal(size=(3, 2)), rng.normal(size=(1, 3))], biases)
    assert np.abs(hidden - hidden[0]).max() > 0.5
    assert cost < 0.05


def test_from_zero_weights_only_the_last_bias_moves():
    """With α = 0 and W = 0 every product in (6) and (7) is zero."""
    _, dW, db = backpropagate([np.zeros((3, 2)), np.zeros((1, 3))], [np.zeros(3), np.zeros(1)], *XNOR, "tanh")
    for each in (*dW, db[0]):
        np.testing.assert_array_equal(each, 0)


def test_threshold_with_squared_error_is_the_perceptron_rule():
    """δ = (α − y) · 1, so −∂J/∂w = (y − α) x for a single example."""
    w, x, y = np.array([[1.0, -2.0]]), np.array([[0.5, 1.0]]), np.array([1.0])
    _, dW, db = backpropagate([w], [np.zeros(1)], x, y, Threshold(), "squared_error")
    np.testing.assert_array_equal(-dW[0], (1 - 0) * x)
    np.testing.assert_array_equal(-db[0], [1])


# Slides


def test_slide_without_lambda_w_fails_the_gradient_check(wrong_twin):
    weights, biases, x, y, _, loss = problem("sigmoid")
    wrong_twin(backpropagation, "backpropagate", " + l2 * weights[l]", "")
    assert gradient_check(weights, biases, x, y, "tanh", loss, l2=0.1) > 0.01
    assert gradient_check(weights, biases, x, y, "tanh", loss, l2=0.0) < 1e-7


def test_slide_with_the_factor_of_squared_error_fails_the_gradient_check(wrong_twin):
    """δ = (α − y) f'(z) with cross-entropy, where f'(z) = σ(z)(1 − σ(z))."""
    weights, biases, x, y, _, loss = problem("sigmoid")
    delta = "log_other) / n, (np.exp(log_alpha) - y)"
    wrong_twin(backpropagation, "_output", delta, f"{delta} * np.exp(log_alpha + log_other)")
    assert gradient_check(weights, biases, x, y, "tanh", loss) > 0.1


def test_slide_with_that_factor_confident_mistakes_have_no_gradient():
    """At z = −20 with y = 1, δ is −1 by (5) and −2e−9 with f'(z)."""
    x, y, bias = np.zeros((1, 1)), np.array([1.0]), [np.array([-20.0])]
    _, _, db = backpropagate([np.ones((1, 1))], bias, x, y, "sigmoid", "cross_entropy")
    np.testing.assert_allclose(db[0], -1, rtol=1e-8)
    _, _, db = backpropagate([np.ones((1, 1))], bias, x, y, "sigmoid", "squared_error")
    assert abs(db[0][0]) < 1e-8


# gradient_check


def test_gradient_check_measures_a_known_error():
    """A gradient that is 1 % too long has the error 0.01/1.01, relative to the longer one."""
    weights, biases, x, y, _, loss = problem("softmax")
    _, dW, db = backpropagate(weights, biases, x, y, "tanh", loss)
    dW[1] = 1.01 * dW[1]
    error = gradient_check(weights, biases, x, y, "tanh", loss, gradients=(dW, db))
    np.testing.assert_allclose(error, 0.01 / 1.01, rtol=1e-5)


def test_gradient_check_ignores_rounding_around_zero():
    """A unit that is dead on all data has gradient 0; its differences are 0 up to rounding."""
    weights, biases, x, y, _, loss = problem("softmax")
    biases[0] = np.full(5, -100.0)
    assert gradient_check(weights, biases, x, y, "relu", loss) < 1e-6


def test_gradient_check_at_a_minimum_with_zero_gradient():
    zeros = [np.zeros((1, 1))], [np.zeros(1)], np.ones((1, 1)), np.zeros(1)
    assert gradient_check(*zeros, "tanh", "squared_error") == 0


# Errors

W, B, X, Y = [np.ones((3, 2)), np.ones((2, 3))], [np.ones(3), np.ones(2)], np.ones((4, 2)), np.zeros(4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"weights": []},
            r"`backpropagate.weights` must hold one array for each layer.*0 weights and 2 biases",
        ),
        (
            {"biases": B[:1]},
            r"`backpropagate.weights` must hold one array for each layer.*2 weights and 1 biases",
        ),
        (
            {"weights": [W[0].T, W[1]]},
            r"weights\[0\]` must be of shape \(out, 2\).*weights \(2, 3\) and biases \(3,\)",
        ),
        (
            {"biases": [B[0], B[0]]},
            r"weights\[1\]` must be of shape \(out, 3\).*weights \(2, 3\) and biases \(3,\)",
        ),
        ({"x": np.ones(2)}, r"`backpropagate.x` must be of shape \(n, in\).*shape \(2,\)"),
        ({"x": np.ones((0, 2))}, r"`backpropagate.x` must be of shape \(n, in\).*shape \(0, 2\)"),
        ({"y": np.full(4, 2)}, r"`backpropagate.y` must hold class labels 0 … 1.*y between 2 and 2"),
        ({"y": np.zeros((4, 3))}, r"`backpropagate.y` must be of shape \(4, 2\).*shape \(4, 3\)"),
        ({"y": np.full((4, 2), 1.5)}, r"`backpropagate.y` must lie in \[0, 1\].*y between 1.5 and 1.5"),
        ({"loss": "squared_error"}, r"`backpropagate.y` must be of shape \(4, 2\).*shape \(4,\)"),
        ({"loss": "hinge"}, r"`backpropagate.loss` must be one of 'squared_error', 'cross_entropy'.*'hinge'"),
        ({"activation": "swish"}, r"`backpropagate.activation` must be one of .*activation='swish'"),
        ({"l2": -1}, r"`backpropagate.l2` must be a number in \[0, inf\).*l2=-1"),
    ],
)
def test_backpropagate_refuses_bad_arguments(changes, message):
    arguments = {"weights": W, "biases": B, "x": X, "y": Y, **changes}
    with pytest.raises(ValueError, match=message):
        backpropagate(**arguments)


def test_gradient_check_refuses_bad_arguments():
    with pytest.raises(ValueError, match=r"`gradient_check.step` must be a number in \(0, inf\).*step=0"):
        gradient_check(W, B, X, Y, step=0)
    with pytest.raises(
        ValueError, match=r"`gradient_check.gradients` must have the shapes \[\(3, 2\), .*\(2, 3\)"
    ):
        gradient_check(W, B, X, Y, gradients=([W[0].T, W[1].T], B))
