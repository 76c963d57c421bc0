"""Probes of the lab for the tests of the grader."""

import keras
import numpy as np


def leaky(namespace, case):
    x = case["x"].copy()
    return {"y": namespace["leaky_relu"](x, case["slope"]), "x": x}


def descent(namespace, case):
    variable = keras.Variable(case["x"])
    optimizer = namespace["Descent"](case["rate"])
    for gradient in case["gradients"]:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    return {"x": np.array(variable)}
