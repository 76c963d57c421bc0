"""Every optimizer follows the path of a NumPy loop written from its paper; one-token mutants do not."""

from contextlib import contextmanager

import keras
import numpy as np
import pytest
from keras import ops
from oracles import optimizers as oracle
from support.optimizer import SIZES, trace
from support.twins import wrong_class

from tf_kit import optimizers

NUM_STEPS = 25


def bowl_gradient(theta):
    """`oracle.bowl_gradient` on tensors."""
    slope = ops.cast(oracle.SCALES, theta.dtype) * (theta - ops.cast(oracle.TARGET, theta.dtype))
    return slope + 0.1 * theta**3 + 0.05 * ops.sum(theta)


def expected_nesterov(rates, alpha):
    """φ = θ + αv, which the weights hold, from the slide's θ and v."""
    theta, v = oracle.nesterov(oracle.START, oracle.bowl_gradient, rates, alpha)
    return theta + alpha * v


def expected_rmsprop_nesterov(rates, rho, alpha, delta):
    theta, v = oracle.rmsprop_nesterov(oracle.START, oracle.bowl_gradient, rates, rho, alpha, delta)
    return theta + alpha * v


def loop(function):
    return lambda rates, **arguments: function(oracle.START, oracle.bowl_gradient, rates, **arguments)


KERNEL, BIAS = slice(0, SIZES[0]), slice(SIZES[0], None)

# name: (class, its arguments, the loop, the same arguments in the paper's letters, first rate)
CASES = {
    "SGD": (optimizers.SGD, {}, loop(oracle.sgd), {}, 0.05),
    "Momentum velocity": (
        optimizers.Momentum,
        {"momentum": 0.7},
        loop(oracle.momentum_velocity),
        {"alpha": 0.7},
        0.05,
    ),
    "Momentum average": (
        optimizers.Momentum,
        {"momentum": 0.7, "form": "average"},
        loop(oracle.momentum_average),
        {"lam": 0.7},
        0.15,
    ),
    "Nesterov": (optimizers.Nesterov, {"momentum": 0.7}, expected_nesterov, {"alpha": 0.7}, 0.05),
    "AdaGrad": (optimizers.AdaGrad, {"epsilon": 0.1}, loop(oracle.adagrad), {"delta": 0.1}, 0.3),
    "RMSProp": (
        optimizers.RMSProp,
        {"rho": 0.8, "epsilon": 0.05},
        loop(oracle.rmsprop),
        {"rho": 0.8, "delta": 0.05},
        0.03,
    ),
    "RMSPropNesterov": (
        optimizers.RMSPropNesterov,
        {"rho": 0.8, "momentum": 0.6, "epsilon": 0.05},
        expected_rmsprop_nesterov,
        {"rho": 0.8, "alpha": 0.6, "delta": 0.05},
        0.03,
    ),
    "Adam": (
        optimizers.Adam,
        {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 0.05},
        loop(oracle.adam),
        {"rho_1": 0.8, "rho_2": 0.95, "delta": 0.05},
        0.05,
    ),
    "AdamW": (
        optimizers.AdamW,
        {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 0.05, "weight_decay": 0.25},
        loop(oracle.adam),
        {"rho_1": 0.8, "rho_2": 0.95, "delta": 0.05, "decay": 0.25},
        0.05,
    ),
    "LARS": (
        optimizers.LARS,
        {"momentum": 0.7, "trust_coefficient": 0.02, "l2": 0.3},
        loop(oracle.lars),
        {"alpha": 0.7, "eta": 0.02, "beta": 0.3, "layers": [(KERNEL, True), (BIAS, False)]},
        0.05,
    ),
    "LARS all adapted": (
        optimizers.LARS,
        {"momentum": 0.7, "trust_coefficient": 0.02, "l2": 0.3, "exclude_1d": False},
        loop(oracle.lars),
        {"alpha": 0.7, "eta": 0.02, "beta": 0.3, "layers": [(KERNEL, True), (BIAS, True)]},
        0.5,
    ),
}


@contextmanager
def floats(dtype):
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def check_path(
    name, optimizer_class, dtype="float64", scheduled=True, graph=True, num_steps=NUM_STEPS, fused=True
):
    _, arguments, expected, letters, rate = CASES[name]
    rates = [rate / (1 + k / 8) ** 0.75 if scheduled else rate for k in range(num_steps)]
    with floats(dtype):
        learning_rate = optimizers.RobbinsMonro(rate, power=0.75, delay=8) if scheduled else rate
        optimizer = optimizer_class(learning_rate=learning_rate, fused=fused, **arguments)
        path = trace(optimizer, oracle.START, bowl_gradient, num_steps, graph)
    tolerance = 1e-11 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(path, expected(rates, **letters), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("fused", [False, True], ids=["readable", "fused"])
@pytest.mark.parametrize("name", CASES)
def test_follows_the_path_of_the_paper(name, fused, graph):
    check_path(name, CASES[name][0], graph=graph, fused=fused)


@pytest.mark.parametrize("name", CASES)
def test_follows_the_path_in_single_precision_at_a_constant_rate(name):
    check_path(name, CASES[name][0], dtype="float32", scheduled=False)


TWINS = [
    ("SGD", "assign_sub", "assign_add"),
    ("Momentum velocity", "v - rate", "v + rate"),
    ("Momentum velocity", "assign_add(variable, v)", "assign_sub(variable, v)"),
    ("Momentum average", "(1 - self.momentum)", "self.momentum"),
    ("Momentum average", "variable, rate *", "variable, 1 *"),
    ("Nesterov", "assign_add(variable, self.momentum * v - step)", "assign_add(variable, v)"),
    ("Nesterov", "variable, self.momentum * v -", "variable, v -"),
    ("AdaGrad", "assign_sub", "assign_add"),  # the slide's missing minus
    ("AdaGrad", "ops.sqrt(r)", "r"),
    ("AdaGrad", "self.epsilon + ops.sqrt(r)", "ops.sqrt(self.epsilon + r)"),
    ("AdaGrad", "assign_add(r, g * g)", "assign_add(r, variable * variable)"),  # the slide's history
    ("RMSProp", "(1 - self.rho)", "self.rho"),
    ("RMSProp", "ops.sqrt(r)", "r"),
    ("RMSProp", "self.epsilon + ops.sqrt(r)", "ops.sqrt(self.epsilon + r)"),
    ("RMSPropNesterov", "variable, self.momentum * v - step", "variable, v"),
    ("RMSPropNesterov", "v - step)  # (2)", "v + step)  # (2)"),
    ("RMSPropNesterov", "(1 - self.rho)", "self.rho"),
    ("Adam", "iterations + 1", "iterations + 2"),
    ("Adam", "(1 - self.beta_1)", "self.beta_1"),
    ("Adam", "(1 - self.beta_2) * g * g", "(1 - self.beta_2) * g"),
    ("Adam", "s / (1 - ops.power(self.beta_1, t))", "s"),
    ("Adam", "r / (1 - ops.power(self.beta_2, t))", "r"),
    ("Adam", "ops.sqrt(r_hat) + self.epsilon", "ops.sqrt(r_hat + self.epsilon)"),
    ("LARS", "v + rate", "v - rate"),
    ("LARS", "ops.sqrt(ops.sum(g * g))", "ops.sum(g * g)"),
    ("LARS", "(g + self.l2 * w)", "g"),
    ("LARS", "+ self.l2 * weight_norm", "", "_trust"),
    ("LARS", "if self._has_own_rate[index]", "if not self._has_own_rate[index]"),
]


@pytest.mark.slow
@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: "-".join(twin))
def test_wrong_twin_does_not_follow_the_path(twin):
    name, token, wrong, *others = twin
    twin = wrong_class(CASES[name][0], *(others or ["update_step"]), token, wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_path(name, twin, graph=False, num_steps=4)


def test_twin_of_the_right_formula_follows_the_path():
    check_path(
        "SGD",
        wrong_class(optimizers.SGD, "update_step", "assign_sub", "assign_sub"),
        graph=False,
        num_steps=4,
    )
