"""Topic 08: penalties and constraints against their formulas, and a penalty against weight decay."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import regularization as oracle
from support.twins import wrong_twin

from tf_kit.regularization import L1, L2, ElasticNet, MaxNorm, SoftThreshold, penalties

rng = np.random.default_rng(8)
KERNEL = rng.normal(size=(5, 4)) * [0.1, 1, 3, 10]


def check_l1(module):
    value = module.L1(0.3)(ops.convert_to_tensor(KERNEL))
    np.testing.assert_allclose(value, oracle.penalty(KERNEL, l1=0.3), rtol=1e-12)


def check_l2(module):
    value = module.L2(0.3)(ops.convert_to_tensor(KERNEL))
    np.testing.assert_allclose(value, oracle.penalty(KERNEL, l2=0.3), rtol=1e-12)


def check_elastic_net(module):
    value = module.ElasticNet(0.2, 0.3)(ops.convert_to_tensor(KERNEL))
    np.testing.assert_allclose(value, oracle.penalty(KERNEL, 0.2, 0.3), rtol=1e-12)


def check_max_norm(module):
    projected = module.MaxNorm(3.0)(ops.convert_to_tensor(KERNEL))
    np.testing.assert_allclose(projected, oracle.max_norm(KERNEL, 3.0), rtol=1e-12)


def check_soft_threshold(module):
    weights = np.array([-2.0, -0.2, 0.0, 0.1, 0.3, 5.0])
    shrunken = module.SoftThreshold(0.2)(ops.convert_to_tensor(weights))
    np.testing.assert_allclose(shrunken, oracle.soft_threshold(weights, 0.2), atol=1e-15)


CHECKS = [check_l1, check_l2, check_elastic_net, check_max_norm, check_soft_threshold]


@pytest.mark.parametrize("check", CHECKS)
def test_equals_the_paper(check):
    check(penalties)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_l1, "self.l1 * ops.sum(ops.abs(widened(weights)))", "self.l1 * ops.sum(widened(weights))"),
        (check_l2, "return self.l2 / 2 * ops", "return self.l2 * ops"),
        (check_elastic_net, "+ self.l2 / 2", "- self.l2 / 2"),
        (check_max_norm, "ops.sqrt(ops.sum(ops.square(w), axis=self.axis, keepdims=True))",
         "ops.sum(ops.square(w), axis=self.axis, keepdims=True)"),
        (check_max_norm, "tuple[int, ...] = 0", "tuple[int, ...] = 1"),
        (check_soft_threshold, "weights - ops.clip", "weights + ops.clip"),
    ],
)  # fmt: skip
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(penalties, right, wrong))


def test_equals_keras_after_converting_the_convention():
    weights = ops.convert_to_tensor(KERNEL)
    np.testing.assert_allclose(L1(0.3)(weights), keras.regularizers.L1(0.3)(weights), rtol=1e-6)
    np.testing.assert_allclose(L2(0.6)(weights), keras.regularizers.L2(0.3)(weights), rtol=1e-6)
    both = keras.regularizers.L1L2(0.2, 0.3)(weights)
    np.testing.assert_allclose(ElasticNet(0.2, 0.6)(weights), both, rtol=1e-6)


def test_max_norm_keeps_weights_inside_and_supports_any_axis():
    inside = ops.convert_to_tensor(KERNEL[:, :2] / 10)
    np.testing.assert_array_equal(MaxNorm(3.0)(inside), inside)
    filters = rng.normal(size=(3, 3, 2, 4))
    norms = np.sqrt(np.square(MaxNorm(1.0, axis=(0, 1, 2))(ops.convert_to_tensor(filters))).sum((0, 1, 2)))
    np.testing.assert_allclose(norms, 1, rtol=1e-12)
    np.testing.assert_array_equal(MaxNorm(1.0)(ops.zeros((3, 2))), np.zeros((3, 2)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("each", [L1(0.01), L2(0.01), ElasticNet(), MaxNorm(300.0), SoftThreshold(0.5)])
def test_half_precision_sums_in_float32(each, dtype):
    """100 weights of 40 have the sum of squares 160,000, which float16 cannot hold."""
    weights = ops.full((100, 2), 40.0, dtype)
    found = each(weights)
    is_penalty = isinstance(each, keras.regularizers.Regularizer)
    assert keras.backend.standardize_dtype(found.dtype) == ("float32" if is_penalty else dtype)
    expected = each(ops.cast(weights, "float32"))
    np.testing.assert_allclose(ops.cast(found, "float32"), expected, rtol=2**-8)


@pytest.mark.parametrize("penalty", [L1(0.01), L2(0.01), ElasticNet()])
def test_layers_of_half_precision_train_in_keras(penalty):
    """Keras adds the penalty to a loss in float32, and refuses one in another dtype."""
    layer = keras.layers.Dense(2, kernel_regularizer=penalty, dtype="bfloat16")
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(np.ones((4, 3)), np.ones((4, 2))))


def descent(optimizer, regularizer, num_steps=20):
    """Return the path of two weights on a narrow quadratic."""
    w = keras.Variable(np.array([2.0, -1.5]), dtype="float64")
    curvature = np.array([10.0, 0.1])
    path = []
    for _ in range(num_steps):
        gradient = curvature * (w.numpy() - [1.0, 1.0])
        if regularizer:
            gradient = gradient + regularizer.l2 * w.numpy()
        optimizer.apply([ops.convert_to_tensor(gradient)], [w])
        path.append(w.numpy())
    return np.array(path)


def test_penalty_equals_decay_for_gradient_descent_but_not_for_adam():  # equations (1) and (2)
    in_loss = descent(keras.optimizers.SGD(0.05), L2(0.3))
    decoupled = descent(keras.optimizers.SGD(0.05, weight_decay=0.3), None)
    np.testing.assert_allclose(in_loss, decoupled, rtol=1e-6)
    in_loss = descent(keras.optimizers.Adam(0.05), L2(0.3))
    decoupled = descent(keras.optimizers.Adam(0.05, weight_decay=0.3), None)
    assert np.abs(in_loss - decoupled).max() > 0.1


def test_gradients_of_the_penalties():
    import tensorflow as tf

    for regularizer, expected in ((L2(0.3), 0.3 * KERNEL), (L1(0.3), 0.3 * np.sign(KERNEL))):
        w = tf.Variable(KERNEL)
        with tf.GradientTape() as tape:
            value = regularizer(w)
        np.testing.assert_allclose(tape.gradient(value, w), expected, rtol=1e-12)


@pytest.mark.slow
def test_l2_shrinks_by_curvature_and_l1_zeroes():
    """Minima of ½ Σ h (w − w*)² + penalty, for a diagonal Hessian (Goodfellow et al., 7.13 and 7.23)."""
    h, target, strength, rate = np.array([4.0, 1.0, 0.5]), np.array([0.5, 0.2, -1.0]), 0.3, 0.1

    def descend(penalty_gradient, constraint=lambda w: w):
        w = np.zeros(3)
        for _ in range(2000):
            w = np.asarray(
                constraint(ops.convert_to_tensor(w - rate * (h * (w - target) + penalty_gradient(w))))
            )
        return w

    np.testing.assert_allclose(descend(lambda w: strength * w), target * h / (h + strength), rtol=1e-9)
    expected = np.sign(target) * np.maximum(np.abs(target) - strength / h, 0)
    np.testing.assert_allclose(descend(np.zeros_like, SoftThreshold(rate * strength)), expected, atol=1e-12)
    assert expected[1] == 0
    jumping = descend(lambda w: strength * np.sign(w))
    assert 0 < abs(jumping[1]) < 2 * rate * strength  # the plain l1 gradient comes near zero and never lands


@pytest.mark.parametrize(
    "each", [L1(0.1), L2(0.2), ElasticNet(0.1, 0.2), MaxNorm(2.0, (0, 1)), SoftThreshold(0.3)]
)
def test_config_round_trip(each):
    kind = "kernel_constraint" if isinstance(each, keras.constraints.Constraint) else "kernel_regularizer"
    layer = keras.layers.Dense(2, **{kind: each})
    restored = getattr(keras.layers.Dense.from_config(layer.get_config()), kind)
    assert type(restored) is type(each)
    assert restored.get_config() == each.get_config()


def test_works_in_a_compiled_model_that_is_saved_and_loaded(tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, kernel_regularizer=L2(2.0), use_bias=False)]
    )
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    kernel = restored.layers[0].kernel
    x = np.zeros((4, 3), "float32")
    np.testing.assert_allclose(
        restored.evaluate(x, np.zeros((4, 2)), verbose=0), (kernel.numpy() ** 2).sum(), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda: L1(-1), "l1=-1"),
        (lambda: L2(float("nan")), "l2=nan"),
        (lambda: ElasticNet(l1=-2), "l1=-2"),
        (lambda: ElasticNet(l2="x"), "l2='x'"),
        (lambda: MaxNorm(0), "max_value=0"),
        (lambda: SoftThreshold(-0.5), "threshold=-0.5"),
    ],
)
def test_refuses_bad_arguments(make, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        make()
