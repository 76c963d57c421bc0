"""Losses and cost: values, gradients, stability, and the errors of the formulas as printed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import networks as oracle

from tf_kit.networks import Perceptron, losses, mlp
from tf_kit.networks.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError, cost, l2_penalty
from tf_kit.networks.transformer import PatchEncoder

RNG = np.random.default_rng(0)
Z = RNG.normal(scale=2, size=(6, 4))
LABELS = np.array([0, 3, 1, 1, 2, 0])
ONE_HOT = np.eye(4)[LABELS]
SOFT = RNG.dirichlet(np.ones(4), size=6)


def assert_matches_oracle(name):
    """The loss of every example equals the loop over its outputs."""
    loss, targets, expected = {
        "squared": (SquaredError, SOFT, [oracle.squared_error(z, y) for z, y in zip(Z, SOFT, strict=True)]),
        "squared sigmoid": (
            lambda **rest: SquaredError("sigmoid", **rest),
            SOFT,
            [oracle.squared_error(map(oracle.sigmoid, z), y) for z, y in zip(Z, SOFT, strict=True)],
        ),
        "sigmoid": (
            SigmoidCrossEntropy,
            SOFT,
            [oracle.sigmoid_cross_entropy(map(oracle.sigmoid, z), y) for z, y in zip(Z, SOFT, strict=True)],
        ),
        "softmax": (
            SoftmaxCrossEntropy,
            SOFT,
            [oracle.softmax_cross_entropy(oracle.softmax(z), y) for z, y in zip(Z, SOFT, strict=True)],
        ),
        "softmax labels": (
            SoftmaxCrossEntropy,
            LABELS,
            [oracle.softmax_cross_entropy(oracle.softmax(z), y) for z, y in zip(Z, ONE_HOT, strict=True)],
        ),
    }[name]
    np.testing.assert_allclose(loss(reduction="none", dtype="float64")(targets, Z), expected, rtol=1e-12)


NAMES = ["squared", "squared sigmoid", "sigmoid", "softmax", "softmax labels"]


@pytest.mark.parametrize("name", NAMES)
def test_losses_equal_the_oracle(name):
    assert_matches_oracle(name)


@pytest.mark.parametrize(
    ("name", "owner", "old", "new"),
    [
        ("squared", SquaredError, "/ 2", "/ 1"),
        ("squared sigmoid", SquaredError, "self.function(y_pred) if", "y_pred if"),
        ("sigmoid", SigmoidCrossEntropy, "softplus(-z)", "softplus(z)"),
        ("softmax", SoftmaxCrossEntropy, "return cross_entropy", "return -cross_entropy"),
        ("softmax labels", SoftmaxCrossEntropy, "losses = cross_entropy", "losses = -cross_entropy"),
        ("softmax", SoftmaxCrossEntropy, "axis=-1, keepdims", "axis=0, keepdims"),
    ],
)
def test_oracle_rejects_the_wrong_twin(wrong_twin, name, owner, old, new):
    wrong_twin(owner, "call", old, new)
    with pytest.raises(AssertionError):
        assert_matches_oracle(name)


def gradient(loss, y, z):
    z = tf.constant(z, "float64")
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = loss(y, z)
    return tape.gradient(value, z).numpy()


def test_gradients_equal_the_formulas_in_the_docstrings():
    """For the mean over 6 examples, also at z = 0, where a formula with |z| would be wrong."""
    z = Z.copy()
    z[0] = 0
    probability = 1 / (1 + np.exp(-z))
    softmax = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    options = {"reduction": "sum_over_batch_size", "dtype": "float64"}
    expected = (probability - SOFT) * probability * (1 - probability) / 6
    np.testing.assert_allclose(gradient(SquaredError("sigmoid", **options), SOFT, z), expected, atol=1e-14)
    np.testing.assert_allclose(
        gradient(SigmoidCrossEntropy(**options), SOFT, z), (probability - SOFT) / 6, atol=1e-14
    )
    for y in (SOFT, LABELS):
        rows = y if y.ndim == 2 else ONE_HOT
        np.testing.assert_allclose(
            gradient(SoftmaxCrossEntropy(**options), y, z), (softmax - rows) / 6, atol=1e-14
        )


def test_squared_error_after_a_sigmoid_ignores_confident_mistakes():
    """At z = −20 with y = 1 the gradient of squared error is 2e−9, that of cross-entropy −1."""
    z, y = np.array([[-20.0]]), np.array([[1.0]])
    assert abs(gradient(SquaredError("sigmoid", dtype="float64"), y, z)[0, 0]) < 1e-8
    np.testing.assert_allclose(gradient(SigmoidCrossEntropy(dtype="float64"), y, z), -1, rtol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stable_for_large_logits(dtype):
    """Right answers cost 0, wrong ones the size of the logit; all gradients are finite."""
    z = np.array([[1e4], [-1e4], [1e4], [-1e4]])
    y = np.array([[1.0], [0.0], [0.0], [1.0]])
    sigmoid = SigmoidCrossEntropy(reduction="none", dtype=dtype)
    np.testing.assert_array_equal(sigmoid(y, z), [0, 0, 1e4, 1e4])
    np.testing.assert_array_equal(gradient(sigmoid, y, z), [[0], [0], [1], [-1]])
    z = np.array([[1e4, -1e4], [1e4, -1e4]])
    softmax = SoftmaxCrossEntropy(reduction="none", dtype=dtype)
    np.testing.assert_array_equal(softmax(np.array([0, 1]), z), [0, 2e4])
    np.testing.assert_array_equal(gradient(softmax, np.array([0, 1]), z), [[0, 0], [1, -1]])
    squared = SquaredError("sigmoid", reduction="none", dtype=dtype)
    np.testing.assert_array_equal(squared(np.array([[0.0, 0.0]]), z[:1]), [0.5])
    np.testing.assert_array_equal(gradient(squared, np.array([[0.0, 0.0]]), z[:1]), [[0, 0]])


def test_a_logit_of_minus_infinity_rules_its_class_out():
    z = np.array([[1.0, -np.inf, 2.0]])
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.array([0]), z[:, [0, 2]])
    for y in (np.array([0]), np.array([[1.0, 0.0, 0.0]])):
        np.testing.assert_allclose(SoftmaxCrossEntropy()(y, z), expected, rtol=1e-6)
        assert np.isfinite(gradient(SoftmaxCrossEntropy(dtype="float64"), y, z)).all()


def test_small_losses_stay_accurate():
    """log(1 + e^(−20)) = 2.06e−9 in float32, where 1 + e^(−20) rounds to 1."""
    value = SigmoidCrossEntropy()(np.array([[1.0]]), np.array([[20.0]], "float32"))
    np.testing.assert_allclose(value, np.exp(-20), rtol=1e-5)


def test_softmax_of_two_classes_equals_one_sigmoid():
    y = np.array([0, 1, 1, 0, 1, 0])
    softmax = SoftmaxCrossEntropy(dtype="float64")(y, Z[:, :2])
    sigmoid = SigmoidCrossEntropy(dtype="float64")(y, Z[:, 1:2] - Z[:, :1])
    np.testing.assert_allclose(softmax, sigmoid, rtol=1e-12)


def test_softmax_ignores_an_offset():
    loss = SoftmaxCrossEntropy(dtype="float64")
    np.testing.assert_allclose(loss(LABELS, Z + 1e4), loss(LABELS, Z), rtol=1e-10)


def test_loss_of_equal_logits_is_the_log_of_the_number_of_classes():
    np.testing.assert_allclose(SoftmaxCrossEntropy()(LABELS, np.full((6, 4), 7.0)), np.log(4), rtol=1e-6)


def test_losses_relate_to_keras_by_known_factors():
    """Equal where the conventions agree; otherwise the factor is the number of outputs, or half of it."""
    k = keras.losses
    pairs = [
        (SoftmaxCrossEntropy()(LABELS, Z), k.SparseCategoricalCrossentropy(from_logits=True)(LABELS, Z)),
        (SoftmaxCrossEntropy()(SOFT, Z), k.CategoricalCrossentropy(from_logits=True)(SOFT, Z)),
        (SigmoidCrossEntropy()(SOFT, Z), 4 * k.BinaryCrossentropy(from_logits=True)(SOFT, Z)),
        (SquaredError()(SOFT, Z), 4 / 2 * k.MeanSquaredError()(SOFT, Z)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("loss", [SquaredError(), SigmoidCrossEntropy()])
def test_targets_may_be_a_vector_or_a_column(loss):
    y, z = SOFT[:, 0], Z[:, :1]
    expected = float(loss(y[:, None], z))
    np.testing.assert_allclose(loss(y, z), expected)
    np.testing.assert_allclose(loss(y[:, None], z[:, 0]), expected)
    np.testing.assert_allclose(SoftmaxCrossEntropy()(LABELS[:, None], Z), SoftmaxCrossEntropy()(LABELS, Z))


SUMMED = [SquaredError, lambda **rest: SquaredError("sigmoid", **rest), SigmoidCrossEntropy]
VISIBLE = np.array(
    [[1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]], bool
)  # as many examples as steps
SEQUENCES = RNG.normal(size=(4, 4, 2)) * VISIBLE[..., None]
AIMS = RNG.uniform(size=(4, 4, 2))


def by_hand(make, weights):
    """Loss of each example: the sum of the losses of its outputs, each times its weight."""
    each = make(reduction="none", dtype="float64")(AIMS.reshape(-1, 1), SEQUENCES.reshape(-1, 1))
    return np.sum(np.reshape(each, AIMS.shape) * weights[..., None], axis=(1, 2))


@pytest.mark.parametrize("make", SUMMED)
@pytest.mark.parametrize("examples", [4, 3])
def test_mask_and_weights_of_steps_apply_before_the_sum(make, examples):
    z = keras.layers.Masking(dtype="float64")(SEQUENCES[:examples])
    aims, weights = AIMS[:examples], np.arange(16.0).reshape(4, 4)[:examples]
    for options, mean in (({"reduction": "none"}, np.asarray), ({}, np.mean), ({"reduction": "sum"}, np.sum)):
        loss = make(dtype="float64", **options)
        for given, expected in (
            ((aims, z), by_hand(make, VISIBLE)),
            ((aims, SEQUENCES[:examples], weights), by_hand(make, np.arange(16.0).reshape(4, 4))),
            ((aims, z, weights), by_hand(make, VISIBLE * np.arange(16.0).reshape(4, 4))),
            ((aims, z, np.arange(examples)), by_hand(make, VISIBLE) * np.arange(4)),
        ):
            np.testing.assert_allclose(loss(*given), mean(expected[:examples]), rtol=1e-9)


@pytest.mark.parametrize("make", SUMMED)
def test_weights_of_other_steps_are_refused(make):
    with pytest.raises(
        ValueError, match=r"sample_weight` must have .* Received: shape \(4, 3\) for outputs \(4, 4, 2\)"
    ):
        make()(AIMS, SEQUENCES, np.ones((4, 3)))


def test_padded_steps_cost_nothing_in_a_compiled_model():
    model = keras.Sequential(
        [keras.Input((4, 2)), keras.layers.Masking(), keras.layers.Dense(2, use_bias=False)]
    )
    model.set_weights([np.eye(2)])
    model.compile("sgd", SquaredError(), jit_compile=False)
    loss = model.test_on_batch(SEQUENCES, AIMS)
    np.testing.assert_allclose(loss, np.mean(by_hand(SquaredError, VISIBLE)), rtol=1e-5)


def test_softmax_averages_over_the_steps_of_a_sequence():
    z, y = Z.reshape(2, 3, 4), LABELS.reshape(2, 3)
    np.testing.assert_allclose(SoftmaxCrossEntropy()(y, z), SoftmaxCrossEntropy()(LABELS, Z), rtol=1e-6)


@pytest.mark.parametrize("label", [-1, 4, 0.5, 1.5, -0.2, 3.4])
def test_label_that_is_no_class_gives_nan(label):
    each = SoftmaxCrossEntropy(reduction="none")(np.array([0, label, 1, 1, 2, 0]), Z)
    np.testing.assert_array_equal(np.isnan(each), [False, True, False, False, False, False])


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (SquaredError(), LABELS),
        (SquaredError(), SOFT.T),
        (SigmoidCrossEntropy(), SOFT[:, :3]),
        (SoftmaxCrossEntropy(), SOFT[:, :3]),
        (SoftmaxCrossEntropy(), LABELS[:3]),
    ],
)
def test_targets_of_another_shape_are_refused(loss, y):
    shape = str(y.shape).replace("(", r"\(").replace(")", r"\)")
    message = (
        rf"`{type(loss).__name__}.y_true` must have one target for each (output|example). "
        rf"Received: targets {shape} for outputs \({Z.shape[0]}, {Z.shape[1]}\)"
    )
    with pytest.raises(ValueError, match=message):
        loss(y, Z)


def test_squared_error_refuses_other_activations():
    with pytest.raises(
        ValueError, match=r"`SquaredError.activation` must be one of None, .*activation='softmax'"
    ):
        SquaredError("softmax")


# The penalty and the cost


def assert_penalty_matches_oracle():
    weights = [RNG.normal(size=(3, 2)), RNG.normal(size=(1, 3))]
    np.testing.assert_allclose(losses.l2_penalty(weights, 0.3), oracle.penalty(weights, 0.3), rtol=1e-12)


def test_penalty_equals_the_oracle():
    assert_penalty_matches_oracle()


def test_penalty_rejects_the_wrong_twin(wrong_twin):
    wrong_twin(losses, "l2_penalty", "l2 / 2", "l2 / 1")
    with pytest.raises(AssertionError):
        assert_penalty_matches_oracle()


def test_penalty_is_half_of_the_keras_regularizer():
    weight = RNG.normal(size=(3, 2)).astype("float32")
    np.testing.assert_allclose(l2_penalty([weight], 0.3), keras.regularizers.L2(0.3 / 2)(weight), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_penalty_of_half_precision_is_summed_in_float32(dtype):
    """100 weights of 40 have the sum of squares 160,000, which float16 cannot hold."""
    penalty = l2_penalty([keras.ops.full((100,), 40.0, dtype)], 0.02)
    assert penalty.dtype == ("float64" if dtype == "float64" else "float32")
    np.testing.assert_allclose(penalty, 1600, rtol=1e-6)


def test_cost_is_mean_loss_plus_penalty_of_the_kernels():
    """The penalty excludes biases and the gains of batch normalization; dropout is off."""
    dense = [keras.layers.Dense(4, name="first"), keras.layers.Dense(4, name="second")]
    between = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input([3]), dense[0], *between, dense[1]])
    model.set_weights([RNG.uniform(0.5, 1, each.shape) for each in model.get_weights()])
    x = RNG.normal(size=(6, 3)).astype("float32")
    outputs = model(x, training=False).numpy().astype("float64")
    each = [oracle.softmax_cross_entropy(oracle.softmax(z), y) for z, y in zip(outputs, ONE_HOT, strict=True)]
    kernels = [layer.get_weights()[0] for layer in dense]
    expected = np.mean(each) + oracle.penalty(kernels, 0.2)
    np.testing.assert_allclose(cost(model, x, LABELS, SoftmaxCrossEntropy(), l2=0.2), expected, rtol=1e-5)


def test_cost_leaves_out_the_biases_of_attention():
    """Those of queries, keys and values have two axes, (heads, size)."""
    encoder = PatchEncoder(patch_size=2, width=8, depth=1)
    model = keras.Sequential([keras.Input([4, 4, 1]), encoder, keras.layers.Dense(4)])
    biases = [each for each in model.trainable_variables if each.name == "bias"]
    assert any(len(bias.shape) == 2 for bias in biases)
    for bias in biases:
        bias.assign(np.ones(bias.shape))
    x, labels = np.random.default_rng(1).random((6, 4, 4, 1), "float32"), np.arange(6) % 4
    with_penalty, without = (cost(model, x, labels, SoftmaxCrossEntropy(), l2=l2) for l2 in (2.0, 0.0))
    kernels = [each.numpy() for each in model.trainable_variables if each.name == "kernel"]
    expected = sum(np.sum(np.square(kernel, dtype="float64")) for kernel in kernels)  # 2/2 Σ w²
    np.testing.assert_allclose(with_penalty - without, expected, rtol=1e-5)


@pytest.mark.parametrize("l2", [-0.1, float("inf"), None])
def test_penalty_and_cost_refuse_bad_l2(l2):
    with pytest.raises(ValueError, match=rf"`l2_penalty.l2` must be a number in \[0, inf\).*l2={l2}"):
        l2_penalty([np.ones(2)], l2)
    with pytest.raises(ValueError, match=rf"`cost.l2` must be a number in \[0, inf\).*l2={l2}"):
        cost(mlp((2,), 2, input_shape=(1,)), np.ones((1, 1)), [0], SoftmaxCrossEntropy(), l2)


# Slides


class Printed(SigmoidCrossEntropy):
    """The classification cost as printed: y log h + (1 − y) log(1 − h), without the minus sign."""

    def call(self, y_true, y_pred):
        return -super().call(y_true, y_pred)


def test_slide_minimizing_the_printed_cost_lowers_the_likelihood():
    x = RNG.normal(size=(30, 2)).astype("float32")
    y = (x[:, :1] > 0).astype("float32")

    def mean_log_likelihood_after_training(loss):
        unit = keras.Sequential([keras.Input([2]), Perceptron("sigmoid")])
        logits = keras.Sequential([keras.Input([2]), keras.layers.Dense(1, kernel_initializer="zeros")])
        logits.compile(keras.optimizers.SGD(0.5), loss)
        for _ in range(10):
            logits.train_on_batch(x, y)
        unit.set_weights(logits.get_weights())
        h = unit(x).numpy().astype("float64")
        return np.mean(y * np.log(h) + (1 - y) * np.log(1 - h))

    start = np.log(0.5)
    assert mean_log_likelihood_after_training(SigmoidCrossEntropy()) > start + 0.3
    assert mean_log_likelihood_after_training(Printed()) < start - 0.3


def test_slide_dividing_a_sum_to_m_by_n_changes_the_weight_of_the_penalty():
    """Ridge regression h = w x on N examples has its minimum at w = Σxy / (Σx² + λN).

    Repeating the data, M = 2N, does not change the problem. The gradient of `cost` is 0 at that w; that of the
    printed cost, a sum to M divided by N, is not.
    """
    x, y, l2 = RNG.normal(size=(20, 1)), RNG.normal(size=(20, 1)), 0.3
    w = np.sum(x * y) / (np.sum(x**2) + l2 * len(x))
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1, use_bias=False, dtype="float64")])
    model.set_weights([np.array([[w]])])
    twice = np.concatenate([x, x]), np.concatenate([y, y])
    loss = SquaredError(dtype="float64")
    with tf.GradientTape(persistent=True) as tape:
        ours = cost(model, *twice, loss, l2)
        printed = 2 * cost(model, *twice, loss) + l2_penalty(model.trainable_variables, l2)
    kernel = model.trainable_variables[0].value
    np.testing.assert_allclose(tape.gradient(ours, kernel), 0, atol=1e-7)
    assert abs(float(tape.gradient(printed, kernel)[0, 0])) > 0.5 * l2 * abs(w)
