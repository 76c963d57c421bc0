import keras
import numpy as np
import pytest
from oracles import optimizers as oracle
from support.optimizer import feed, trace

from tf_kit import optimizers

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=10), RNG.normal(size=(20, 10))


def test_equals_keras_where_conventions_agree():
    """With r started from zero and a negligible epsilon."""
    keras_twin = keras.optimizers.Adagrad(0.3, initial_accumulator_value=0.0, epsilon=1e-20)
    ours, _ = feed(optimizers.AdaGrad(0.3, epsilon=1e-12), START, GRADIENTS)
    theirs, _ = feed(keras_twin, START, GRADIENTS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_differs_from_keras_in_start_and_place_of_epsilon():
    g = GRADIENTS[:1] * 0.1
    ours, _ = feed(optimizers.AdaGrad(0.3, epsilon=0.01), START, g)
    theirs, _ = feed(keras.optimizers.Adagrad(0.3, epsilon=0.01), START, g)
    np.testing.assert_allclose(ours[0], START - 0.3 * g[0] / (0.01 + np.abs(g[0])), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(theirs[0], START - 0.3 * g[0] / np.sqrt(g[0] ** 2 + 0.1 + 0.01), rtol=1e-5)


def test_first_step_does_not_depend_on_gradient_scale():
    """(2) with r = 0 gives ε sign(g)."""
    path, _ = feed(optimizers.AdaGrad(0.3), START, GRADIENTS[:1] * np.logspace(-3, 6, 10))
    np.testing.assert_allclose(path[0], START - 0.3 * np.sign(GRADIENTS[0]), rtol=1e-3, atol=1e-4)


def half_square_gradient(theta):
    return theta - 3.0  # of ‖θ − 3‖²/2


def test_slide_without_the_minus_sign_climbs():
    """Slip 5: the printed Δθ = +ε/(δ + √r) ⊙ g moves every parameter away from the minimum at 3."""
    printed = oracle.adagrad_as_printed(START, half_square_gradient, [0.3] * 20, 1e-7)
    ours = trace(optimizers.AdaGrad(0.3), START, half_square_gradient, 20)
    away = np.abs(START - 3.0)
    assert np.all(np.abs(printed[-1] - 3.0) > away)
    assert np.all(np.abs(ours[-1] - 3.0) < away)


def test_slide_downscaling_parameters_leaves_the_minimum():
    """Slip 6: at the minimum, where g = 0, the printed rule still shrinks θ; AdaGrad does not move."""
    minimum = np.full(10, 3.0)
    printed = oracle.downscaled_parameter_as_printed(minimum, half_square_gradient, [0.3] * 20, 1e-7)
    ours = trace(optimizers.AdaGrad(0.3), minimum, half_square_gradient, 20)
    assert np.all(np.abs(printed - 3.0) > 0.3)
    np.testing.assert_array_equal(ours, np.full((20, 10), 3.0))


@pytest.mark.parametrize("epsilon", [0.0, -1e-7, float("inf")])
def test_refuses_epsilon_outside_its_range(epsilon):
    with pytest.raises(ValueError, match=rf"`AdaGrad.epsilon` must .* Received: epsilon={epsilon}\."):
        optimizers.AdaGrad(epsilon=epsilon)
