import keras
import numpy as np
import pytest
from oracles import optimizers as oracle
from support.optimizer import feed, read, trace

from tf_kit import optimizers

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=10), RNG.normal(size=(20, 10))


def test_velocity_form_equals_keras():
    ours, _ = feed(optimizers.Momentum(0.3, momentum=0.8), START, GRADIENTS)
    theirs, _ = feed(keras.optimizers.SGD(0.3, momentum=0.8), START, GRADIENTS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_nesterov_equals_keras():
    ours, _ = feed(optimizers.Nesterov(0.3, momentum=0.8), START, GRADIENTS)
    theirs, _ = feed(keras.optimizers.SGD(0.3, momentum=0.8, nesterov=True), START, GRADIENTS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def two_forms(velocity_rate, average_rate, momentum):
    """The paths of form="velocity" and form="average" along the same gradients."""
    velocity = optimizers.Momentum(velocity_rate, momentum=momentum, form="velocity")
    average = optimizers.Momentum(average_rate, momentum=momentum, form="average")
    return feed(velocity, START, GRADIENTS)[0], feed(average, START, GRADIENTS)[0]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_two_forms_take_the_same_path_at_matched_constant_rates(momentum):
    velocity, average = two_forms(0.2 * (1 - momentum), 0.2, momentum)
    np.testing.assert_allclose(velocity, average, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ratio", [0.09, 0.11, 0.9, 1.0])
def test_two_forms_differ_at_other_ratios(ratio):
    velocity, average = two_forms(0.2 * ratio, 0.2, 0.9)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(velocity, average, rtol=1e-5, atol=1e-6)


def test_two_forms_differ_when_the_rate_changes():
    drop = keras.optimizers.schedules.PiecewiseConstantDecay
    velocity, average = two_forms(drop([9], [0.02, 0.002]), drop([9], [0.2, 0.02]), 0.9)
    np.testing.assert_allclose(velocity[:10], average[:10], rtol=1e-5, atol=1e-6)
    # "average" reduces the old velocity at once, "velocity" lets it decay
    assert np.linalg.norm(velocity[-1] - velocity[9]) > 2 * np.linalg.norm(average[-1] - average[9])


def test_slide_one_letter_for_two_rates():
    """Slip 9: read as one rule with one rate, the slide with (1 − λ) starts 1/(1 − λ) times slower."""
    velocity, average = two_forms(0.2, 0.2, 0.9)
    np.testing.assert_allclose(velocity[0] - START, 10 * (average[0] - START), rtol=1e-4, atol=1e-6)


def bowl_gradient(theta):
    return 0.5 * theta + 0.1 * theta**3


def test_nesterov_weights_hold_the_look_ahead_point():
    """(3): the slide's θ is φ − αv; the weights are not θ."""
    optimizer = optimizers.Nesterov(0.3, momentum=0.8)
    path = trace(optimizer, START, bowl_gradient, 12)
    theta, v = oracle.nesterov(START, bowl_gradient, [0.3] * 12, 0.8)
    velocity = read(optimizer._velocities)
    np.testing.assert_allclose(velocity, v[-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(path[-1] - 0.8 * velocity, theta[-1], rtol=1e-4, atol=1e-5)
    assert np.abs(path[-1] - theta[-1]).max() > 1e-2


@pytest.mark.parametrize("optimizer_class", [optimizers.Momentum, optimizers.Nesterov])
@pytest.mark.parametrize("momentum", [1.0, -0.1, "0.9"])
def test_refuses_a_momentum_outside_its_range(optimizer_class, momentum):
    message = rf"`{optimizer_class.__name__}.momentum` must .* Received: momentum={momentum!r}\."
    with pytest.raises(ValueError, match=message):
        optimizer_class(momentum=momentum)


def test_refuses_an_unknown_form():
    with pytest.raises(ValueError, match=r"one of 'velocity', 'average'\. Received: form='nesterov'"):
        optimizers.Momentum(form="nesterov")
