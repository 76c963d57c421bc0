import keras
import numpy as np
import pytest
import tensorflow as tf
from oracles import optimizers as oracle
from support.optimizer import feed

from tf_kit import optimizers

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=10), RNG.normal(size=(20, 10))


def test_equals_keras_where_conventions_agree():
    """With a negligible epsilon."""
    settings = {"learning_rate": 0.03, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-12}
    ours, _ = feed(optimizers.Adam(**settings), START, GRADIENTS)
    theirs, _ = feed(keras.optimizers.Adam(**settings), START, GRADIENTS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_differs_from_keras_in_place_of_epsilon():
    """δ after the correction equals δ √(1 − β₂ᵗ) before it: Keras with δ √(1 − β₂) agrees at t = 1, not at t = 2."""
    settings = {"learning_rate": 0.1, "beta_2": 0.96}
    ours, _ = feed(optimizers.Adam(epsilon=0.5, **settings), START, GRADIENTS)
    theirs, _ = feed(keras.optimizers.Adam(epsilon=0.5 * np.sqrt(1 - 0.96), **settings), START, GRADIENTS)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-6)
    assert np.abs(ours[1] - theirs[1]).max() > 1e-3
    same, _ = feed(keras.optimizers.Adam(epsilon=0.5, **settings), START, GRADIENTS)
    assert np.abs(ours[0] - same[0]).max() > 1e-2


def test_adamw_equals_keras():
    settings = {"learning_rate": 0.03, "weight_decay": 0.2, "epsilon": 1e-12}
    ours, _ = feed(optimizers.AdamW(**settings), START, GRADIENTS)
    theirs, _ = feed(keras.optimizers.AdamW(**settings), START, GRADIENTS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_adamw_decays_all_parameters_at_the_same_rate_and_a_penalty_does_not():
    """(1) compared with λθ in the gradient: if gradients are far above λθ, the penalty has no effect."""
    big = 1e3 * np.ones((1, 10))
    step = feed(optimizers.Adam(0.1), START, big)[0] - START
    decoupled = feed(optimizers.AdamW(0.1, weight_decay=0.5), START, big)[0] - START - step
    in_the_loss = feed(optimizers.Adam(0.1), START, big + 0.5 * START)[0] - START - step
    np.testing.assert_allclose(decoupled[0], -0.1 * 0.5 * START, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(in_the_loss[0], 0, atol=1e-6)


def test_first_step_does_not_depend_on_gradient_scale():
    """(3) corrects the zero start of both moments, so the step is ε sign(g)."""
    path, _ = feed(optimizers.Adam(0.3), START, GRADIENTS[:1] * np.logspace(-3, 6, 10))
    np.testing.assert_allclose(path[0], START - 0.3 * np.sign(GRADIENTS[0]), rtol=1e-3, atol=1e-4)


def test_slide_rate_is_ten_times_too_slow():
    """Slip 8: with ε = 0.0001 a parameter at distance 1 cannot arrive in 3,000 steps; with the paper's ε it does."""

    def gradient(theta):
        return theta - START - 1.0

    printed = oracle.adam(START, gradient, [0.0001] * 3000, 0.9, 0.9, 1e-8)
    variable = keras.Variable(START)
    optimizer = optimizers.Adam()
    optimizer.build([variable])

    @tf.function(jit_compile=True)
    def train():
        for _ in tf.range(3000):
            optimizer.apply([gradient(variable.value)], [variable])

    train()
    np.testing.assert_allclose(variable.numpy(), START + 1.0, atol=0.01)
    assert np.all(printed[-1] < START + 0.35)


def test_slide_decay_walks_away_from_the_minimum():
    """Slip 8: one gradient of 400, then 199 of −1. Their mean is +1, so θ must fall; with ρ₂ = 0.9 it rises."""
    seen = np.where(np.arange(4000) % 200 == 0, 400.0, -1.0)

    def end(rho_2):
        gradients = iter(seen)
        return oracle.adam(np.zeros(1), lambda _: next(gradients), [0.001] * 4000, 0.9, rho_2, 1e-8)[-1, 0]

    assert end(0.9) > 0.5
    assert end(0.999) < -0.1
    optimizer, variable = optimizers.Adam(), keras.Variable(0.0)
    optimizer.build([variable])

    @tf.function(jit_compile=True)
    def train(gradients):
        for gradient in gradients:
            optimizer.apply([gradient], [variable])

    train(tf.constant(seen, tf.float32))
    np.testing.assert_allclose(float(variable), end(0.999), rtol=1e-3)


def test_defaults_are_those_of_the_paper():
    config = optimizers.Adam().get_config()
    kept = {name: config[name] for name in ("learning_rate", "beta_1", "beta_2", "epsilon")}
    assert kept == pytest.approx({"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8})


def test_late_steps_are_not_corrected():
    """At t = 10⁶ both corrections are 1: with the moments still zero, s = 0.1 g and √r = √0.001 |g|."""
    weights = keras.Variable(START)
    optimizer = optimizers.Adam(0.1)
    optimizer.build([weights])
    optimizer.iterations.assign(10**6)
    optimizer.apply([keras.ops.convert_to_tensor(GRADIENTS[0], "float32")], [weights])
    step = 0.1 * 0.1 / np.sqrt(0.001) * np.sign(GRADIENTS[0])
    np.testing.assert_allclose(weights.numpy(), START - step, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("optimizer_class", "argument", "value"),
    [
        (optimizers.Adam, "beta_1", 1.0),
        (optimizers.Adam, "beta_2", 1.0),
        (optimizers.Adam, "beta_2", 0.99999999),  # 1 in float32
        (optimizers.Adam, "beta_1", 0.99999999),
        (optimizers.Adam, "epsilon", 0.0),
        (optimizers.AdamW, "beta_2", -0.5),
        (optimizers.AdamW, "weight_decay", -0.1),
        (optimizers.AdamW, "weight_decay", None),
    ],
)
def test_refuses_values_outside_their_range(optimizer_class, argument, value):
    message = rf"`{optimizer_class.__name__}.{argument}` must .* Received: {argument}={value}\."
    with pytest.raises(ValueError, match=message):
        optimizer_class(**{argument: value})
