"""What is measured of an answer to the lab on backpropagation. Public: it runs beside the student's objects."""

import numpy as np


def mlp_forward(namespace, case):
    weights, biases, x = network(case)
    zs, activations = namespace["forward"](weights, biases, x)
    return {
        **{f"z{l + 2}": z for l, z in enumerate(zs)},
        **{f"a{l + 1}": a for l, a in enumerate(activations)},
        "layers": [len(zs), len(activations)],
        "arguments": flat([*weights, *biases, x]),
    }


def cross_entropy_cost(namespace, case):
    weights, _, _ = network(case)
    value = namespace["cost"](weights, case["z"], case["y"], case["l2"])
    return {"cost": value, "arguments": flat([*weights, case["z"], case["y"]])}


def mlp_backward(namespace, case):
    weights, _, _ = network(case)
    layers = range(1, case["layers"] + 1)
    zs = [case[f"z{l + 1}"] for l in layers]
    activations = [case["x"], *(case[f"a{l + 1}"] for l in layers)]
    dW, db = namespace["backward"](weights, zs, activations, case["y"], case["l2"])
    return {
        **{f"dW{l + 1}": gradient for l, gradient in enumerate(dW)},
        **{f"db{l + 1}": gradient for l, gradient in enumerate(db)},
        "arguments": flat([*weights, *zs, *activations, case["y"]]),
    }


FUNCTIONS = {
    "square": lambda theta: np.sum(theta**2),
    "exponential": lambda theta: np.sum(np.exp(theta)),
    "product of neighbors": lambda theta: np.sum(np.ravel(theta)[1:] * np.ravel(theta)[:-1]),
    "cube": lambda theta: np.sum(theta**3),
}


def numerical_gradient(namespace, case):
    theta = case["theta"]
    gradient = namespace["numerical_gradient"](FUNCTIONS[case["function"]], theta, case["h"])
    return {"gradient": gradient, "theta": theta}


def initialize(namespace, case):
    """Two draws from one seed and one from the next; the judge computes their statistics."""
    drawn = {}
    for draw, seed in (("first", case["seed"]), ("again", case["seed"]), ("other", case["seed"] + 1)):
        weights, biases = namespace["initialize"](tuple(case["sizes"]), np.random.default_rng(seed))
        drawn |= {f"{draw} W{l}": np.asarray(W) for l, W in enumerate(weights, start=1)}
        if draw == "first":
            drawn |= {f"b{l}": b for l, b in enumerate(biases, start=1)}
    return drawn


def network(case):
    layers = range(1, case["layers"] + 1)
    return [case[f"W{l}"] for l in layers], [case[f"b{l}"] for l in layers], case.get("x")


def flat(arrays):
    """All arguments in one array, to see that none was changed."""
    return np.concatenate([np.ravel(np.asarray(each, "float64")) for each in arrays])
