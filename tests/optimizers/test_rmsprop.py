import keras
import numpy as np
import pytest
from oracles import optimizers as oracle
from support.optimizer import feed, read, trace

from tf_kit import optimizers

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=10), RNG.normal(size=(20, 10))


def test_equals_keras_where_conventions_agree():
    """With a negligible epsilon."""
    ours, _ = feed(optimizers.RMSProp(0.03, rho=0.8, epsilon=1e-12), START, GRADIENTS)
    theirs, _ = feed(keras.optimizers.RMSprop(0.03, rho=0.8, epsilon=1e-20), START, GRADIENTS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_differs_from_keras_in_place_of_epsilon():
    g = GRADIENTS[:1]
    ours, _ = feed(optimizers.RMSProp(0.03, rho=0.75, epsilon=0.2), START, g)
    theirs, _ = feed(keras.optimizers.RMSprop(0.03, rho=0.75, epsilon=0.2), START, g)
    np.testing.assert_allclose(ours[0], START - 0.03 * g[0] / (0.2 + np.abs(g[0]) / 2), rtol=1e-5)
    np.testing.assert_allclose(theirs[0], START - 0.03 * g[0] / np.sqrt(0.2 + g[0] ** 2 / 4), rtol=1e-5)


def test_nesterov_without_momentum_is_rmsprop():
    plain, _ = feed(optimizers.RMSProp(0.03, rho=0.8), START, GRADIENTS)
    looking, _ = feed(optimizers.RMSPropNesterov(0.03, rho=0.8, momentum=0.0), START, GRADIENTS)
    np.testing.assert_allclose(looking, plain, rtol=1e-6)


def test_nesterov_is_not_keras_rmsprop_with_momentum():
    """Keras has no look-ahead, so its first step lacks the factor 1 + α."""
    ours, _ = feed(optimizers.RMSPropNesterov(0.03, rho=0.8, momentum=0.6), START, GRADIENTS[:1])
    theirs, _ = feed(keras.optimizers.RMSprop(0.03, rho=0.8, momentum=0.6), START, GRADIENTS[:1])
    np.testing.assert_allclose(ours[0] - START, 1.6 * (theirs[0] - START), rtol=1e-3, atol=1e-5)


def bowl_gradient(theta):
    return 0.5 * theta + 0.1 * theta**3


@pytest.mark.slow
def test_nesterov_weights_hold_the_look_ahead_point():
    """(4): the book's θ is φ − αv; the weights are not θ."""
    optimizer = optimizers.RMSPropNesterov(0.05, rho=0.8, momentum=0.6)
    path = trace(optimizer, START, bowl_gradient, 12)
    theta, v = oracle.rmsprop_nesterov(START, bowl_gradient, [0.05] * 12, 0.8, 0.6, 1e-6)
    velocity = read(optimizer._velocities)
    np.testing.assert_allclose(velocity, v[-1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(path[-1] - 0.6 * velocity, theta[-1], rtol=1e-3, atol=1e-4)
    assert np.abs(path[-1] - theta[-1]).max() > 1e-2


def test_slide_algorithm_7_is_adam():
    """Slip 7: the algorithm printed as "RMSProp with Nesterov" follows the path of Adam, not that of its name."""
    settings = {"rho_1": 0.9, "rho_2": 0.9, "delta": 1e-8}
    printed = oracle.adam(START, bowl_gradient, [0.05] * 20, **settings)
    adam = trace(optimizers.Adam(0.05, beta_1=0.9, beta_2=0.9), START, bowl_gradient, 20)
    named = trace(optimizers.RMSPropNesterov(0.05, rho=0.9, momentum=0.9), START, bowl_gradient, 20)
    np.testing.assert_allclose(adam, printed, rtol=1e-4, atol=1e-4)
    assert np.abs(named - printed).max() > 0.5
    # the printed one starts with a step of ε, the named one with ε (1 + α)/√(1 − ρ)
    np.testing.assert_allclose(np.abs(printed[0] - START), 0.05, rtol=1e-3)
    np.testing.assert_allclose(np.abs(named[0] - START), 0.05 * 1.9 / np.sqrt(0.1), rtol=1e-3)


def test_slide_average_of_the_gradient_itself_has_no_root():
    """The slide's words, r ← ρ r + (1 − ρ) ĝ, end in NaN where ĝ is negative; its Algorithm 5 does not."""
    g = GRADIENTS[0]
    with np.errstate(invalid="ignore"):
        in_words = START - 0.05 / (1e-6 + np.sqrt(0.2 * g)) * g
    np.testing.assert_array_equal(np.isnan(in_words), g < 0)
    assert 0 < np.sum(g < 0) < len(g)
    path, _ = feed(optimizers.RMSProp(0.05, rho=0.8), START, GRADIENTS)
    assert np.all(np.isfinite(path))


@pytest.mark.parametrize(
    ("optimizer_class", "argument", "value"),
    [
        (optimizers.RMSProp, "rho", 1.0),
        (optimizers.RMSProp, "epsilon", 0.0),
        (optimizers.RMSPropNesterov, "rho", -0.1),
        (optimizers.RMSPropNesterov, "momentum", 1.0),
        (optimizers.RMSPropNesterov, "epsilon", 0.0),
    ],
)
def test_refuses_values_outside_their_range(optimizer_class, argument, value):
    message = rf"`{optimizer_class.__name__}.{argument}` must .* Received: {argument}={value}\."
    with pytest.raises(ValueError, match=message):
        optimizer_class(**{argument: value})
