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
    weights, biases = namespace["initialize"](tuple(case["sizes"]), np.random.default_rng(case["seed"]))
    again, _ = namespace["initialize"](tuple(case["sizes"]), np.random.default_rng(case["seed"]))
    other, _ = namespace["initialize"](tuple(case["sizes"]), np.random.default_rng(case["seed"] + 1))
    found = {"repeats": all(np.array_equal(a, b) for a, b in zip(weights, again, strict=True))}
    found["same_whatever_the_seed"] = all(np.array_equal(a, b) for a, b in zip(weights, other, strict=True))
    for l, (W, b) in enumerate(zip(weights, biases, strict=True)):
        W = np.asarray(W)
        numbers = np.ravel(W)
        found[f"shape{l + 1}"], found[f"b{l + 1}"] = W.shape, b
        found[f"mean{l + 1}"] = np.mean(numbers)
        found[f"variance{l + 1}"] = np.var(numbers)
        found[f"largest{l + 1}"] = np.max(np.abs(numbers))
        found[f"evenness{l + 1}"] = np.var(numbers) / max(np.max(np.abs(numbers)), 1e-100) ** 2
        found[f"distinct_units{l + 1}"] = len(np.unique(W, axis=0))
    found["second_to_first"] = found["largest2"] / max(found["largest1"], 1e-100)
    first, second = np.ravel(weights[0]), np.ravel(weights[1])
    shared = min(len(first), len(second))
    first, second = first[:shared] - first.mean(), second[:shared] - second.mean()
    length = np.sqrt(np.sum(first**2) * np.sum(second**2))
    found["correlation"] = np.sum(first * second) / length if length else 0.0
    return found


def network(case):
    layers = range(1, case["layers"] + 1)
    return [case[f"W{l}"] for l in layers], [case[f"b{l}"] for l in layers], case.get("x")


def flat(arrays):
    """All arguments in one array, to see that none was changed."""
    return np.concatenate([np.ravel(np.asarray(each, "float64")) for each in arrays])
