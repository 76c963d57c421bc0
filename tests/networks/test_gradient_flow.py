"""Gradient norms by layer, initializations, and the effect of depth on both."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_kit.networks import (
    LeakyReLU,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    backpropagate,
    gradient_flow,
    mlp,
)
from tf_kit.networks.gradient_flow import (
    INITIALIZATIONS,
    delta_norms,
    gradient_norm_by_depth,
    gradient_norms,
    initialize,
)
from tf_kit.scaling import prune, quantize

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 20)).astype("float32")
Y = np.arange(32) % 4


def assert_norms_equal_backpropagation():
    model = mlp((6, 5), 4, "tanh", (20,))
    weights = [kernel.T for kernel in model.get_weights()[::2]]
    _, dW, db = backpropagate(weights, model.get_weights()[1::2], X, Y, "tanh")
    norms = gradient_flow.gradient_norms(model, X, Y, SoftmaxCrossEntropy())
    assert list(norms) == ["hidden_1", "hidden_2", "logits"]
    expected = [np.sqrt(np.sum(g**2) + np.sum(d**2)) for g, d in zip(dW, db, strict=True)]
    np.testing.assert_allclose(list(norms.values()), expected, rtol=1e-4)


def test_norms_equal_backpropagation():
    assert_norms_equal_backpropagation()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("gradient_norms", "layer.trainable_variables]", "layer.trainable_variables[:1]]"),
        ("_norm", "np.sqrt(", "abs("),
        ("_norm", "each**2", "abs(each)"),
    ],
)
def test_norms_reject_the_wrong_twin(wrong_twin, name, old, new):
    wrong_twin(gradient_flow, name, old, new)
    with pytest.raises(AssertionError):
        assert_norms_equal_backpropagation()


def assert_norms_scale_with_the_loss(measure, scale):
    model = mlp((6, 5), 4, "tanh", (20,))
    loss = SoftmaxCrossEntropy()
    norms = measure(model, X, Y, lambda y, z: scale * loss(y, z))
    expected = [scale * norm for norm in measure(model, X, Y, loss).values()]
    np.testing.assert_allclose(list(norms.values()), expected, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
@pytest.mark.parametrize("measure", [gradient_norms, delta_norms])
def test_norms_whose_squares_exceed_single_precision(measure, scale):
    assert_norms_scale_with_the_loss(measure, scale)


def test_norms_reject_squares_in_single_precision(wrong_twin):
    wrong_twin(gradient_flow, "_norm", "each**2", "each.astype('float32') ** 2")
    with pytest.raises(AssertionError):
        assert_norms_scale_with_the_loss(gradient_norms, 1e-30)


def test_norms_of_any_model_and_loss():
    """With convolution, batch normalization, dropout, a penalty and a nested model the norms equal tf.GradientTape."""
    layers = keras.layers
    inner = keras.Sequential(
        [layers.Conv2D(3, 2, name="conv"), layers.BatchNormalization(name="norm")], name="inner"
    )
    penalized = layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.1), name="head")
    model = keras.Sequential(
        [keras.Input([4, 5, 1]), inner, layers.Flatten(), layers.Dropout(0.5), penalized]
    )
    x, y = X.reshape(32, 4, 5, 1), (Y % 2).astype("float32")
    norms = gradient_norms(model, x, y, "binary_crossentropy")
    with tf.GradientTape() as tape:
        outputs = model(x, training=False)
        loss = keras.losses.BinaryCrossentropy()(y[:, None], outputs) + sum(model.losses)
    gradients = tape.gradient(loss, [each.value for each in model.trainable_variables])
    squares = [float(tf.reduce_sum(g**2)) for g in gradients]
    expected = np.sqrt([sum(squares[0:2]), sum(squares[2:4]), sum(squares[4:6])])
    assert list(norms) == ["inner/conv", "inner/norm", "head"]
    np.testing.assert_allclose(list(norms.values()), expected, rtol=1e-4)


def test_model_does_not_change():
    layers = [
        keras.Input([20]),
        keras.layers.Dense(3),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
    ]
    model = keras.Sequential([*layers, keras.layers.Dense(4)])
    optimizer, loss = keras.optimizers.Adam(), SoftmaxCrossEntropy()
    model.compile(optimizer, loss)
    before = [each.numpy() for each in model.variables]
    first = gradient_norms(model, X, Y, loss)
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old, err_msg=variable.path)
    assert model.optimizer is optimizer
    assert model.loss is loss
    assert int(optimizer.iterations.numpy()) == 0
    assert gradient_norms(model, X, Y, loss) == first
    assert np.isfinite(model.fit(X, Y, epochs=1, verbose=0).history["loss"]).all()


def test_frozen_layers_are_omitted_and_unused_weights_have_norm_zero():
    model = mlp((6, 5), 4, "tanh", (20,))
    model.get_layer("hidden_1").trainable = False
    assert list(gradient_norms(model, X, Y, SoftmaxCrossEntropy())) == ["hidden_2", "logits"]
    model.trainable = False
    with pytest.raises(
        ValueError, match=r"`gradient_norms.model` must have trainable weights.*<Sequential name=mlp"
    ):
        gradient_norms(model, X, Y, SoftmaxCrossEntropy())

    class HalfUsed(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.idle = keras.layers.Dense(1, name="used"), keras.layers.Dense(1, name="idle")
            self.idle.build((None, 20))

        def call(self, inputs):
            return self.used(inputs)

    norms = gradient_norms(HalfUsed(), X, np.ones((32, 1)), SquaredError())
    assert norms["idle"] == 0 < norms["used"]


# δ


def assert_deltas_of_one_example_are_the_bias_gradients():
    """∂J/∂b = Σ_n δ_n, so for one example ‖δ‖ is the norm of the gradient of the biases."""
    model = mlp((6, 5), 4, "tanh", (20,))
    weights = [kernel.T for kernel in model.get_weights()[::2]]
    _, _, db = backpropagate(weights, model.get_weights()[1::2], X[:1], Y[:1], "tanh")
    norms = gradient_flow.delta_norms(model, X[:1], Y[:1], SoftmaxCrossEntropy())
    assert list(norms) == ["hidden_1", "hidden_2", "logits"]
    np.testing.assert_allclose(list(norms.values()), [np.linalg.norm(d) for d in db], rtol=1e-4)


def test_deltas_of_one_example_are_the_bias_gradients():
    assert_deltas_of_one_example_are_the_bias_gradients()


def test_deltas_reject_the_wrong_twin(wrong_twin):
    wrong_twin(gradient_flow, "delta_norms", "return outputs + ops", "return outputs - 2 * ops")
    with pytest.raises(AssertionError):
        assert_deltas_of_one_example_are_the_bias_gradients()


def test_deltas_of_a_batch_are_the_root_of_summed_squares_over_n():
    model = mlp((6, 5), 4, "tanh", (20,))
    each = [delta_norms(model, X[n : n + 1], Y[n : n + 1], SoftmaxCrossEntropy()) for n in range(4)]
    batch = delta_norms(model, X[:4], Y[:4], SoftmaxCrossEntropy())
    for name, norm in batch.items():
        np.testing.assert_allclose(norm, np.sqrt(sum(one[name] ** 2 for one in each)) / 4, rtol=1e-4)


def test_deltas_of_a_convolution_in_a_nested_model():
    layers = keras.layers
    inner = keras.Sequential(
        [layers.Conv2D(3, 2, name="conv"), layers.ReLU(), layers.Dropout(0.5)], name="inner"
    )
    model = keras.Sequential([keras.Input([4, 5, 1]), inner, layers.Flatten(), layers.Dense(4, name="head")])
    x = X.reshape(32, 4, 5, 1)
    before = model(x)
    norms = delta_norms(model, x, Y, SoftmaxCrossEntropy())
    with tf.GradientTape() as tape:
        z = inner.layers[0](x)
        tape.watch(z)
        loss = SoftmaxCrossEntropy()(Y, model.layers[2](model.layers[1](tf.nn.relu(z))))
    assert list(norms) == ["inner/conv", "head"]
    np.testing.assert_allclose(norms["inner/conv"], tf.norm(tape.gradient(loss, z)), rtol=1e-4)
    np.testing.assert_array_equal(model(x), before)
    assert len(model.trainable_variables) == 4


def test_delta_norms_refuses_unsuitable_models():
    hiding = keras.Sequential([keras.Input([20]), keras.layers.Dense(4, "relu", name="hiding")])
    with pytest.raises(
        ValueError, match=r"`delta_norms.model` must have linear layers.*hiding with .*'relu'"
    ):
        delta_norms(hiding, X, Y, SoftmaxCrossEntropy())
    bare = keras.Sequential([keras.Input([20]), keras.layers.BatchNormalization()])
    with pytest.raises(ValueError, match=r"`delta_norms.model` must have a layer with a trainable kernel"):
        delta_norms(bare, X, Y, SoftmaxCrossEntropy())


# Initializations


def assert_moments(name, expected):
    """Mean 0 and the variance of the definition, within 4 standard errors of 300 × 500 draws."""
    model = initialize(mlp((500,), None, input_shape=(300,)), name, seed=1)
    kernel, bias = model.get_weights()
    assert abs(np.mean(kernel)) < 4 * np.sqrt(expected / kernel.size)
    assert abs(np.mean(kernel**2) - expected) < 4 * np.std(kernel**2) / np.sqrt(kernel.size)
    np.testing.assert_array_equal(bias, 0)


VARIANCES = {
    "uniform": 1 / 3 / 300,
    "lecun": 1 / 300,
    "glorot": 2 / 800,
    "he": 2 / 300,
    "orthogonal": 1 / 500,
}


@pytest.mark.parametrize(("name", "expected"), VARIANCES.items())
def test_variance_of_initial_weights(name, expected):
    assert_moments(name, expected)


def test_variance_rejects_the_wrong_twin(monkeypatch):
    wrong = lambda seed: keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform", seed=seed)  # noqa: E731
    monkeypatch.setitem(gradient_flow.INITIALIZATIONS, "uniform", wrong)
    with pytest.raises(AssertionError):
        assert_moments("uniform", VARIANCES["uniform"])


def test_uniform_is_bounded_by_one_over_root_fan_in():
    kernel = initialize(mlp((500,), None, input_shape=(300,)), "uniform").get_weights()[0]
    np.testing.assert_allclose(np.abs(kernel).max(), 1 / np.sqrt(300), rtol=1e-3)


def test_orthogonal_kernel_preserves_lengths():
    kernel = initialize(mlp((50,), None, input_shape=(50,)), "orthogonal").get_weights()[0]
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(50), atol=1e-5)


def test_each_layer_draws_from_its_own_seed():
    def kernels(seed):
        return initialize(mlp((5, 5), 5, input_shape=(5,)), "he", seed).get_weights()[::2]

    first, again, other = kernels(3), kernels(3), kernels(4)
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    drawn = [*first, *other]
    for index, kernel in enumerate(drawn):
        assert all(np.all(kernel != later) for later in drawn[index + 1 :])


def test_initialize_refuses_bad_arguments():
    with pytest.raises(ValueError, match=r"`initialize.initialization` must be one of 'uniform', .*'xavier'"):
        initialize(mlp((2,), input_shape=(2,)), "xavier")
    with pytest.raises(ValueError, match=r"`initialize.seed` must be a whole number .*seed=0.5"):
        initialize(mlp((2,), input_shape=(2,)), "he", seed=0.5)
    with pytest.raises(
        ValueError, match=r"`initialize.model` must have dense layers with weights.*Build it first"
    ):
        initialize(mlp((2,)), "he")
    adapted = mlp((2,), input_shape=(2,))
    adapted.get_layer("hidden_1").enable_lora(1)
    before = adapted.get_weights()
    for model in (adapted, prune(mlp((2,), input_shape=(2,)), 0), quantize(mlp((2,), input_shape=(2,)))):
        with pytest.raises(ValueError, match=r"whose kernels are variables. Received: layer 'hidden_1', a "):
            initialize(model, "he")
    np.testing.assert_array_equal(adapted.get_weights()[0], before[0])


# By depth


def ratio(activation, initialization, depth=10, of="deltas"):
    """Norm in the first hidden layer divided by that in the last."""
    loss = SoftmaxCrossEntropy()
    norms = gradient_norm_by_depth(X, Y, loss, depth, 50, activation, initialization, of)
    return norms["hidden_1"] / norms[f"hidden_{depth}"]


def test_sigmoid_loses_at_least_half_of_delta_per_layer():
    """Equation (1): each layer multiplies by at most 1/4 times the largest singular value of W.

    For 50 × 50 Glorot weights that value is at most 2 (variance 1/50), so 9 layers leave at most 2^−9.
    """
    assert ratio("sigmoid", "glorot") < 2**-9


@pytest.mark.slow
@pytest.mark.parametrize("of", ["deltas", "weights"])
def test_deeper_sigmoid_networks_pass_less_gradient(of):
    two, four, eight = (ratio("sigmoid", "glorot", depth, of) for depth in (2, 4, 8))
    assert two > 10 * four > 1000 * eight


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "scaled", "factor"), [("relu", "he", np.sqrt(1 / 6)), ("tanh", "glorot", np.sqrt(1 / 3))]
)
def test_scaled_weights_preserve_delta_and_uniform_weights_lose_it(activation, scaled, factor):
    """Uniform ±1/√n has 1/6 of He's variance and, for square layers, 1/3 of Glorot's.

    Over 9 layers this gives the root of that factor to the power 9, apart from the effect of the activation.
    """
    kept, lost = ratio(activation, scaled), ratio(activation, "uniform")
    assert 0.2 < kept < 5
    assert 0.2 < lost / kept / factor**9 < 10


def test_weight_gradients_keep_their_size_while_delta_vanishes():
    """Glorot and Bengio, 2010: with "uniform", δ vanishes while ∂J/∂W has the same size in all layers."""
    assert ratio("tanh", "uniform", of="deltas") < 0.05
    assert 0.2 < ratio("tanh", "uniform", of="weights") < 5


def test_orthogonal_weights_preserve_delta_in_a_linear_network():
    """Leaky ReLU with slope 1 is the identity; then ‖δ^(l)‖ and ‖α^(l)‖ are the same in all layers."""
    for of in ("deltas", "weights"):
        norms = gradient_norm_by_depth(
            X[:1], np.array([3]), SoftmaxCrossEntropy(), 8, 20, lambda: LeakyReLU(1.0), "orthogonal", of
        )
        hidden = [norms[f"hidden_{l}"] for l in range(1, 9)]
        np.testing.assert_allclose(hidden, hidden[0], rtol=1e-4, err_msg=of)


def test_number_of_outputs_follows_the_targets():
    one = gradient_norm_by_depth(X, Y[:, None] % 2, SigmoidCrossEntropy(), 1, 3)
    assert list(one) == ["hidden_1", "logits"]
    hot = gradient_norm_by_depth(X, np.eye(4)[Y], SoftmaxCrossEntropy(), 1, 3)
    labels = gradient_norm_by_depth(X, Y, SoftmaxCrossEntropy(), 1, 3)
    np.testing.assert_allclose(list(hot.values()), list(labels.values()), rtol=1e-5)
    assert abs(one["logits"] - hot["logits"]) > 1e-3


def test_gradient_norm_by_depth_refuses_bad_arguments():
    with pytest.raises(ValueError, match=r"`gradient_norm_by_depth.depth` must be a whole number .*depth=0"):
        gradient_norm_by_depth(X, Y, SoftmaxCrossEntropy(), depth=0)
    with pytest.raises(ValueError, match=r"`gradient_norm_by_depth.of` must be one of .*of='biases'"):
        gradient_norm_by_depth(X, Y, SoftmaxCrossEntropy(), of="biases")
    for one_class in (Y[:, None], np.zeros_like(Y)):
        with pytest.raises(ValueError, match=r"hold two classes or more.*Give class labels as \(n,\)"):
            gradient_norm_by_depth(X, one_class, SoftmaxCrossEntropy())


@pytest.mark.parametrize(("units", "low", "high"), [(20, 0.0, 0.5), (1000, 1.5, 3.0)])
def test_slide_one_width_of_uniform_weights_vanishes_or_explodes(units, low, high):
    """With U(−0.1, 0.1), δ is multiplied by about 0.1 √(units/3) per layer; with Glorot's width by about 1."""

    def factor(draw):
        delta = np.random.default_rng(1).normal(size=(100, units))
        before = np.linalg.norm(delta)
        for seed in range(3):
            delta = delta @ np.asarray(draw(seed)((units, units)))
        return (np.linalg.norm(delta) / before) ** (1 / 3)

    assert low < factor(lambda seed: keras.initializers.RandomUniform(-0.1, 0.1, seed=seed)) < high
    assert 0.9 < factor(INITIALIZATIONS["glorot"]) < 1.1
