"""Every optimizer reaches the known minimum of a narrow bowl and of Rosenbrock's valley."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tf_kit import optimizers

NUM_STEPS = 30_000


def quadratic_gradient(x, y):
    """Gradient of (x − 1)² + 25 (y + 2)², whose minimum is at (1, −2)."""
    return 2 * (x - 1), 50 * (y + 2)


def rosenbrock_gradient(x, y):
    """Gradient of (1 − x)² + 100 (y − x²)², whose minimum is at (1, 1), at the end of a curved valley."""
    return -2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)


PROBLEMS = {
    "quadratic": (quadratic_gradient, (-3.0, 2.0), (1.0, -2.0)),
    "rosenbrock": (rosenbrock_gradient, (-1.2, 1.0), (1.0, 1.0)),
}

# name: (class, arguments, rate for the quadratic, rate for Rosenbrock)
TABLE = {
    "SGD": (optimizers.SGD, {}, 0.02, 0.002),
    "Momentum velocity": (optimizers.Momentum, {}, 0.01, 0.0005),
    "Momentum average": (optimizers.Momentum, {"form": "average"}, 0.1, 0.005),
    "Nesterov": (optimizers.Nesterov, {}, 0.01, 0.0005),
    "AdaGrad": (optimizers.AdaGrad, {}, 1.0, 1.0),
    "RMSProp": (optimizers.RMSProp, {}, 0.02, 0.01),
    "RMSPropNesterov": (optimizers.RMSPropNesterov, {}, 0.01, 0.005),
    "Adam": (optimizers.Adam, {}, 0.1, 0.1),
    "AdamW": (optimizers.AdamW, {"weight_decay": 0.0}, 0.1, 0.1),
    "LARS": (optimizers.LARS, {"exclude_1d": False, "l2": 0.0, "trust_coefficient": 0.1}, 0.1, 0.1),
}


def arrive(optimizer, gradient, start, num_steps):
    point = keras.Variable(start)
    optimizer.build([point])

    @tf.function(jit_compile=True)
    def run():
        for _ in tf.range(num_steps):
            optimizer.apply([ops.stack(gradient(point[0], point[1]))], [point])

    run()
    return point.numpy()


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", TABLE)
def test_reaches_the_minimum(name, problem):
    optimizer_class, arguments, *rates = TABLE[name]
    gradient, start, minimum = PROBLEMS[problem]
    schedule = optimizers.LinearDecay(rates[list(PROBLEMS).index(problem)], NUM_STEPS)
    point = arrive(optimizer_class(learning_rate=schedule, **arguments), gradient, start, NUM_STEPS)
    np.testing.assert_allclose(point, minimum, atol=1e-3)
