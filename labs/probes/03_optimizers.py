"""What is measured of an answer to the lab on optimizers. Public: it runs beside the student's objects."""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from keras import ops


def momentum(namespace, case):
    return walk(namespace["Momentum"](rate_of(case), momentum=case["momentum"]), case)


def adagrad(namespace, case):
    return walk(namespace["AdaGrad"](rate_of(case), epsilon=case["epsilon"]), case)


def rmsprop(namespace, case):
    return walk(namespace["RMSProp"](rate_of(case), rho=case["rho"], epsilon=case["epsilon"]), case)


def adam(namespace, case):
    hyper = {name: case[name] for name in ("beta_1", "beta_2", "epsilon")}
    return walk(namespace["Adam"](rate_of(case), **hyper), case)


def rmsprop_nesterov(namespace, case):
    hyper = {name: case[name] for name in ("rho", "momentum", "epsilon")}
    return walk(namespace["RMSPropNesterov"](rate_of(case), **hyper), case)


def lars(namespace, case):
    hyper = {name: case[name] for name in ("momentum", "trust_coefficient", "l2")}
    return walk(namespace["LARS"](rate_of(case), **hyper), case)


def walk(optimizer, case):
    """The variables after every step along given gradients, eagerly or in a compiled graph.

    The gradients do not depend on the variables, so that a wrong step does not move the ones after it.
    """
    names = case["variables"]
    variables = [keras.Variable(case[name], dtype=case["dtype"]) for name in names]
    optimizer.build(variables)
    gradients = [
        [ops.convert_to_tensor(g, dtype=case["dtype"]) for g in step]
        for step in zip(*(case[f"{name}_gradients"] for name in names), strict=True)
    ]
    path = []
    with unrewritten() if case["compiled"] else contextlib.nullcontext():
        step = recorded(optimizer, gradients[0]) if case["compiled"] else optimizer.apply
        for each in gradients:
            step(*each) if case["compiled"] else step(each)
            path.append([np.array(variable) for variable in variables])
    walked = {name: np.stack(values) for name, values in zip(names, zip(*path, strict=True), strict=True)}
    return {**walked, "gradients": np.concatenate([np.ravel(g) for step in gradients for g in step])}


def recorded(optimizer, gradients):
    """A step as a graph, recorded once."""
    step = tf.function(lambda *each: optimizer.apply(list(each)), autograph=False)
    return step.get_concrete_function(*gradients)


@contextlib.contextmanager
def unrewritten():
    """Graphs run as they were recorded: to rewrite one that runs three times takes longer than to run it."""
    options = tf.config.optimizer
    before = options.get_experimental_options().get("disable_meta_optimizer", False)
    options.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        options.set_experimental_options({"disable_meta_optimizer": before})


def rate_of(case):
    """The learning rate, or a schedule that has another one at every step."""
    if "rates" not in case:
        return case["learning_rate"]
    return Listed(case["rates"])


class Listed(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of listed rates in two operations; Keras's piecewise constant one takes a dozen."""

    def __init__(self, rates):
        self.rates = rates

    def __call__(self, step):
        return tf.gather(self.rates, tf.minimum(step, len(self.rates) - 1))
