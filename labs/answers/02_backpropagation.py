"""The judge's side of the lab on backpropagation: cases, references, known mistakes, right variants. NumPy only."""

import itertools

import numpy as np

from tf_kit.grading import Between, Close, Exercise, Mistake, Variant

AUTOMATIC = ("tensorflow", "keras", "sklearn")
CHANGED = "the caller's {} have been changed in place: `-=`, `*=` and `out=` write into the array that was handed over."


def network(rng, sizes, n, about, dtype="float64", **more):
    """A case with weights W1, W2, … (units, inputs), biases b1, b2, … and n examples."""
    case = {"about": about, "dtype": dtype, "layers": len(sizes) - 1, **more}
    for l, (inputs, units) in enumerate(itertools.pairwise(sizes), start=1):
        case[f"W{l}"] = rng.normal(size=(units, inputs)).astype(dtype)
        case[f"b{l}"] = rng.normal(size=units).astype(dtype)
    case["x"] = rng.normal(size=(n, sizes[0])).astype(dtype)
    return case


def parameters(case):
    layers = range(1, case["layers"] + 1)
    return [[case[f"{kind}{l}"].astype("float64") for l in layers] for kind in "Wb"]


def sigma(z):
    return 0.5 * (1 + np.tanh(z / 2))


def arguments(arrays):
    return Close(np.concatenate([np.ravel(np.asarray(each, "float64")) for each in arrays]), dtype=None)


def forward_cases(rng):
    return [
        network(rng, (4, 3, 2), 5, "two layers"),
        network(rng, (3, 2), 4, "one layer"),
        network(rng, (2, 5, 4, 3), 1, "three layers, one example"),
        network(rng, (3, 3, 3), 3, "square layers, float32", dtype="float32"),
    ]


def forward_reference(case):
    weights, biases = parameters(case)
    a = case["x"].astype("float64")
    expected = {"a1": a, "layers": np.array([len(weights), len(weights) + 1])}
    for l, (W, b) in enumerate(zip(weights, biases, strict=True), start=2):
        z = np.array([[(W[i] * row).sum() + b[i] for i in range(len(b))] for row in a])
        a = sigma(z)
        expected |= {f"z{l}": z, f"a{l}": a}
    return expected | {"arguments": arguments([*weights, *biases, case["x"]])}


def cost_cases(rng):
    cases = []
    for about, l2, scale in (
        ("no penalty", 0.0, 1.0),
        ("a penalty", rng.uniform(0.1, 0.5), 1.0),
        ("sure of it", 0.2, 300),
    ):
        case = network(rng, (3, 4, 2), 1, about, l2=float(l2))
        case["z"] = scale * rng.normal(size=(5, 2))
        case["y"] = rng.integers(0, 2, (5, 2)).astype("float64")
        case["y"][0] = 0.0, 1.0
        if scale > 1:
            case["z"][0] = 800.0, -900.0  # wrong and sure of it, beyond the largest exponential
        cases.append(case)
    one = network(rng, (2, 3), 1, "one example, float32", dtype="float32", l2=float(rng.uniform(0.1, 0.5)))
    one["z"] = rng.normal(size=(1, 3)).astype("float32")
    one["y"] = np.array([[1.0, 0.0, 1.0]], "float32")
    return [*cases, one]


def cost_reference(case):
    weights, _ = parameters(case)
    z, y = case["z"].astype("float64"), case["y"].astype("float64")
    entropy = np.where(y > 0.5, np.maximum(-z, 0), np.maximum(z, 0)) + np.log1p(np.exp(-np.abs(z)))
    value = entropy.sum() / len(z) + case["l2"] / 2 * sum((W**2).sum() for W in weights)
    return {"cost": Close(value, dtype=None), "arguments": arguments([*weights, z, y])}


def backward_cases(rng):
    return [
        labelled(rng, network(rng, (4, 3, 2), 5, "two layers", l2=0.0)),
        labelled(
            rng, network(rng, (2, 4, 5, 3), 6, "three layers, a penalty", l2=float(rng.uniform(0.1, 0.5)))
        ),
        labelled(rng, network(rng, (3, 2), 4, "one layer, a penalty", l2=float(rng.uniform(0.1, 0.5)))),
        labelled(rng, network(rng, (3, 4, 2), 1, "one example", l2=0.0)),
        labelled(rng, network(rng, (3, 3, 3), 4, "float32", dtype="float32", l2=0.1)),
    ]


def labelled(rng, case):
    units = len(case[f"b{case['layers']}"])
    case["y"] = rng.integers(0, 2, (len(case["x"]), units)).astype(case["dtype"])
    a = case["x"]
    for l in range(1, case["layers"] + 1):  # what a forward pass has kept
        z = a @ case[f"W{l}"].T + case[f"b{l}"]
        a = sigma(z)
        case[f"z{l + 1}"], case[f"a{l + 1}"] = z, a
    return case


def backward_reference(case):
    """Example by example and index by index, as the formulas are printed."""
    weights, biases = parameters(case)
    dW, db = [case["l2"] * W for W in weights], [np.zeros_like(b) for b in biases]
    x, y = case["x"].astype("float64"), case["y"].astype("float64")
    for n in range(len(x)):
        zs, a = [], [x[n]]
        for W, b in zip(weights, biases, strict=True):
            zs.append(W @ a[-1] + b)
            a.append(sigma(zs[-1]))
        delta = a[-1] - y[n]
        for l in range(len(weights) - 1, -1, -1):
            dW[l] = dW[l] + np.outer(delta, a[l]) / len(x)
            db[l] = db[l] + delta / len(x)
            if l:
                blame = [
                    sum(weights[l][j, i] * delta[j] for j in range(len(delta))) for i in range(len(a[l]))
                ]
                delta = np.array(blame) * sigma(zs[l - 1]) * sigma(-zs[l - 1])
    expected = {f"dW{l + 1}": gradient for l, gradient in enumerate(dW)}
    expected |= {f"db{l + 1}": gradient for l, gradient in enumerate(db)}
    layers = range(1, case["layers"] + 1)
    kept = [*(case[f"z{l + 1}"] for l in layers), x, *(case[f"a{l + 1}"] for l in layers)]
    return expected | {"arguments": arguments([*weights, *kept, y])}


def numerical_cases(rng):
    return [
        {"about": "a square", "function": "square", "theta": rng.normal(size=5), "h": 0.01},
        {
            "about": "an exponential, long steps",
            "function": "exponential",
            "theta": rng.normal(size=(2, 3)),
            "h": float(rng.uniform(0.2, 0.5)),
        },
        {
            "about": "numbers that act together",
            "function": "product of neighbors",
            "theta": rng.normal(size=(2, 2, 2)),
            "h": float(rng.uniform(0.1, 0.3)),
        },
        {
            "about": "float32 and a short step",
            "function": "square",
            "theta": (50 + rng.normal(size=4)).astype("float32"),
            "h": 1e-6,
        },
        {
            "about": "whole numbers",
            "function": "cube",
            "theta": rng.integers(1, 6, 3),
            "h": float(rng.uniform(0.1, 0.4)),
        },
        {"about": "rank 0", "function": "cube", "theta": np.array(rng.normal()), "h": 0.1},
    ]


def numerical_reference(case):
    theta, h = case["theta"].astype("float64"), case["h"]
    if case["function"] == "square":
        gradient = 2 * theta
    elif case["function"] == "exponential":
        gradient = np.exp(theta) * np.sinh(h) / h
    elif case["function"] == "cube":
        gradient = 3 * theta**2 + h**2
    else:
        line = np.concatenate([[0.0], theta.ravel(), [0.0]])
        gradient = (line[:-2] + line[2:]).reshape(theta.shape)
    short = h < 1e-3
    unchanged = case["theta"] if case["theta"].dtype.kind == "i" else Close(theta, dtype=None)
    return {
        "gradient": Close(gradient, rtol=1e-5 if short else 1e-7, atol=1e-7, dtype="float64"),
        "theta": unchanged,
    }


def initialize_cases(rng):
    return [
        {"about": "three layers", "sizes": [200, 120, 40], "seed": int(rng.integers(2**31))},
        {
            "about": "a wide layer behind a narrow one",
            "sizes": [30, 300, 60],
            "seed": int(rng.integers(2**31)),
        },
        {"about": "four layers", "sizes": [80, 60, 60, 50], "seed": int(rng.integers(2**31))},
    ]


def initialize_statistics(case, drawn):
    layers = range(1, len(case["sizes"]))
    weights, again, other = ([drawn[f"{draw} W{l}"] for l in layers] for draw in ("first", "again", "other"))
    found = {
        "repeats": all(np.array_equal(a, b) for a, b in zip(weights, again, strict=True)),
        "same_whatever_the_seed": all(np.array_equal(a, b) for a, b in zip(weights, other, strict=True)),
    }
    for l, W in zip(layers, weights, strict=True):
        numbers = np.ravel(W)
        found[f"shape{l}"], found[f"b{l}"] = W.shape, drawn[f"b{l}"]
        found[f"mean{l}"] = np.mean(numbers)
        found[f"variance{l}"] = np.var(numbers)
        found[f"largest{l}"] = np.max(np.abs(numbers))
        found[f"evenness{l}"] = np.var(numbers) / max(np.max(np.abs(numbers)), 1e-100) ** 2
        found[f"distinct_units{l}"] = len({row.tobytes() for row in W + 0.0})  # + 0.0 makes −0 a 0
    found["second_to_first"] = found["largest2"] / max(found["largest1"], 1e-100)
    first, second = np.ravel(weights[0]), np.ravel(weights[1])
    shared = min(len(first), len(second))
    first, second = first[:shared] - first.mean(), second[:shared] - second.mean()
    length = np.sqrt(np.sum(first**2) * np.sum(second**2))
    found["correlation"] = np.sum(first * second) / length if length else 0.0
    return found


def initialize_reference(case):
    expected = {"repeats": np.array(True), "same_whatever_the_seed": np.array(False)}
    sizes = case["sizes"]
    counts = []
    for l, (inputs, units) in enumerate(itertools.pairwise(sizes), start=1):
        n, limit = inputs * units, np.sqrt(6 / (inputs + units))
        counts.append(n)
        variance = limit**2 / 3
        deviation = limit**2 * np.sqrt(4 / 45)  # of the square of one uniform number
        expected |= {
            f"shape{l}": np.array([units, inputs]),
            f"b{l}": Close(np.zeros(units), dtype=None),
            f"mean{l}": Between(-5.5 * np.sqrt(variance / n), 5.5 * np.sqrt(variance / n)),
            f"variance{l}": Between(
                variance - 6 * deviation / np.sqrt(n), variance + 6 * deviation / np.sqrt(n)
            ),
            f"largest{l}": Between(limit * (1 - 16 / n), limit),
            f"distinct_units{l}": np.array(units),
            f"evenness{l}": Between(
                1 / 3 - 6 * np.sqrt(4 / 45 / n), 1 / 3 + 6 * np.sqrt(4 / 45 / n) + 16 / n
            ),
        }
    bound = 5.5 / np.sqrt(min(counts[:2]))
    ratio = np.sqrt((sizes[0] + sizes[1]) / (sizes[1] + sizes[2]))
    return expected | {
        "correlation": Between(-bound, bound),
        "second_to_first": Between(ratio * (1 - 16 / counts[1]), ratio / (1 - 16 / counts[0])),
    }


EXERCISES = [
    Exercise(
        id="mlp_forward",
        title="Forward, and keep what you pass",
        points=2,
        task="go through the layers by (1) and keep every z and every activation, x first.",
        cases=forward_cases,
        reference=forward_reference,
        defines=("forward",),
        forbids=AUTOMATIC,
        mistakes=(
            Mistake(
                "the matrix is not transposed: with examples in rows, (n, inputs), a weight matrix of (units, inputs) "
                "must be turned around. It only seems to fit where a layer has as many units as inputs.",
                {"@ W.T": "@ W"},
            ),
            Mistake(
                "the bias is missing from (1).",
                {"@ W.T + b": "@ W.T"},
            ),
            Mistake(
                "the next layer is fed with z instead of σ(z): without the activation between them, all layers "
                "together are one.",
                {"zs.append(activations[-1] @ W.T + b)": "zs.append((zs[-1] if zs else x) @ W.T + b)"},
            ),
            Mistake(
                "the last layer has no sigmoid: in this network the outputs are probabilities too.",
                {"    return zs, activations": "    activations[-1] = zs[-1]\n    return zs, activations"},
            ),
            Mistake(
                "the first activation is missing from the list: the way back needs x for the gradient of the first "
                "weights.",
                {"    return zs, activations": "    return zs, activations[1:]"},
            ),
            Mistake(
                "only the last layer is returned: the way back needs the sums of all.",
                {"    return zs, activations": "    return zs[-1:], activations[-1:]"},
            ),
            Mistake(
                CHANGED.format("examples"),
                {"zs, activations = [], [x]": "zs, activations = [], [x]\n    x -= x.mean()"},
            ),
            Mistake(
                "the activations stand in both lists: z is the sum before the sigmoid.",
                {
                    "activations.append(sigmoid(zs[-1]))": "zs[-1] = sigmoid(zs[-1])\n        activations.append(zs[-1])"
                },
            ),
        ),
        variants=(
            Variant(
                "sums by einsum",
                {"activations[-1] @ W.T + b": 'np.einsum("ni,ui->nu", activations[-1], W) + b'},
            ),
            Variant(
                "examples as columns inside",
                {"activations[-1] @ W.T + b": "(W @ activations[-1].T + b[:, None]).T"},
            ),
            Variant(
                "layer by layer with an index and a sigmoid of its own",
                code="""def forward(weights, biases, x):
    zs, activations, a = [], [x], x
    for l in range(len(weights)):
        z = np.dot(a, np.transpose(weights[l])) + biases[l]
        a = 1 / (1 + np.exp(-z))
        zs, activations = zs + [z], activations + [a]
    return tuple(zs), tuple(activations)
""",
            ),
        ),
    ),
    Exercise(
        id="cross_entropy_cost",
        title="The cost",
        points=3,
        task="sum (3) over the outputs, average it over the examples, and add the penalty of (2).",
        cases=cost_cases,
        reference=cost_reference,
        defines=("cost",),
        forbids=(*AUTOMATIC, "scipy.special"),
        mistakes=(
            Mistake(
                "(2) is typed as it stands: where the network is sure, σ(z) rounds to 0 or 1 and the logarithm is "
                "infinite. Use (3), which never leaves the sums.",
                {
                    "np.logaddexp(0.0, z) - y * z": "-(y * np.log(sigmoid(z)) + (1 - y) * np.log(1 - sigmoid(z)))"
                },
            ),
            Mistake(
                "e^z overflows: log(1 + e^z) must be computed without e^z, by `np.logaddexp`.",
                {"np.logaddexp(0.0, z)": "np.log(1 + np.exp(z))"},
            ),
            Mistake(
                "a small number is added inside the logarithms: it hides the infinities and makes a confident wrong "
                "answer far too cheap.",
                {
                    "np.logaddexp(0.0, z) - y * z": "-(y * np.log(sigmoid(z) + 1e-7) + (1 - y) * np.log(1 - sigmoid(z) + 1e-7))"
                },
            ),
            Mistake(
                "the minus sign of (2) is missing, as on the slide: minimizing this makes the labels as unlikely as "
                "possible.",
                {"np.sum(np.logaddexp": "-np.sum(np.logaddexp"},
            ),
            Mistake(
                "the labels are exchanged: this is the cost of answering 1 − y.",
                {"- y * z": "- (1 - y) * z"},
            ),
            Mistake(
                "it averages over the outputs as well: (2) divides by the number of examples only.",
                {"np.sum(np.logaddexp(0.0, z) - y * z) / len(z)": "np.mean(np.logaddexp(0.0, z) - y * z)"},
            ),
            Mistake(
                "it is not averaged over the examples: the cost, and with it the step, would grow with the minibatch.",
                {" / len(z)": ""},
            ),
            Mistake(
                "the penalty is missing.",
                {"entropy + l2 / 2 * sum(np.sum(W**2) for W in weights)": "entropy"},
            ),
            Mistake(
                "the half of the penalty is missing: with λ/2 its derivative is λW, without it 2λW.",
                {"l2 / 2": "l2"},
            ),
            Mistake(
                "the penalty is averaged over the examples too: in (2) it stands outside the mean.",
                {"l2 / 2": "l2 / 2 / len(z)"},
            ),
            Mistake(
                "only the last layer is penalized: the sum in (2) runs over all.",
                {"for W in weights": "for W in weights[-1:]"},
            ),
            Mistake(
                "the penalty is the norm itself and not its square.",
                {"sum(np.sum(W**2) for W in weights)": "sum(np.sqrt(np.sum(W**2)) for W in weights)"},
            ),
        ),
        variants=(
            Variant(
                "the larger side first, then what is left",
                {"np.logaddexp(0.0, z) - y * z": "np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))"},
            ),
            Variant(
                "both logarithms, each by logaddexp",
                {"np.logaddexp(0.0, z) - y * z": "y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)"},
            ),
            Variant(
                "the margin of the right answer",
                {"np.logaddexp(0.0, z) - y * z": "np.logaddexp(0.0, (1 - 2 * y) * z)"},
            ),
            Variant(
                "the penalty by dot products",
                {"sum(np.sum(W**2) for W in weights)": "np.sum([np.vdot(W, W) for W in weights])"},
            ),
        ),
    ),
    Exercise(
        id="mlp_backward",
        title="Backward",
        points=5,
        task="begin with (4) and walk back: (6) for this layer, then (5) for the one before.",
        cases=backward_cases,
        reference=backward_reference,
        defines=("backward",),
        forbids=AUTOMATIC,
        mistakes=(
            Mistake(
                "λW is missing from (6): J contains the penalty, so its derivative contains λW.",
                {" + l2 * weights[l]": ""},
            ),
            Mistake(
                "δ of the last layer carries σ'(z): that belongs to the squared error. With cross-entropy it cancels, "
                "and with the factor a unit that is wrong and sure of it would not learn.",
                {
                    "activations[-1] - y  # (4)": "(activations[-1] - y) * activations[-1] * (1 - activations[-1])"
                },
            ),
            Mistake(
                "the factor σ'(z) is missing from (5): the blame passes the hidden units as if they were lines.",
                {" * slope": ""},
            ),
            Mistake(
                "σ' is taken at the activation: it is σ(z)(1 − σ(z)), which is a(1 − a), not σ(a)(1 − σ(a)).",
                {
                    "slope = sigmoid(zs[l - 1]) * (1 - sigmoid(zs[l - 1]))": "slope = sigmoid(activations[l]) * (1 - sigmoid(activations[l]))"
                },
            ),
            Mistake(
                "the gradients are not averaged over the examples: they grow with the minibatch.",
                {" / len(y)": "", "delta.mean(axis=0)": "delta.sum(axis=0)"},
            ),
            Mistake(
                "∂J/∂b is summed over the examples, ∂J/∂W is averaged: both belong to the same mean.",
                {"delta.mean(axis=0)": "delta.sum(axis=0)"},
            ),
            Mistake(
                "the mean of ∂J/∂W also runs over the penalty: (6) adds all of λW.",
                {"/ len(y) + l2 * weights[l]": "/ len(y) + l2 * weights[l] / len(y)"},
            ),
            Mistake(
                "the penalty's derivative is 2λW: J has λ/2 in front of the squares.",
                {"l2 * weights[l]": "2 * l2 * weights[l]"},
            ),
            Mistake(
                "all gradients have the wrong sign: δ is answer minus label. Descent would climb.",
                {"activations[-1] - y": "y - activations[-1]"},
            ),
            Mistake(
                "the matrix in (5) is transposed: blame goes back through the same weight that the signal came "
                "through, W_ji, and the shapes fit without a transpose.",
                {"delta @ weights[l]": "delta @ weights[l].T"},
            ),
            Mistake(
                "the lists are in the order of the way back: the first gradient belongs to the last layer.",
                {"dW.insert(0, ": "dW.append(", "db.insert(0, ": "db.append("},
            ),
            Mistake(
                "each weight is paired with the activation *behind* it: ∂J/∂W joins the δ of a layer with the "
                "activations that enter it.",
                {"delta.T @ activations[l]": "delta.T @ activations[l + 1]"},
            ),
            Mistake(
                "a step has been taken: the weights that were handed over are changed. Only the gradients were asked for.",
                {
                    "    return dW, db": "    for W, step in zip(weights, dW):\n        W -= 0.1 * step\n    return dW, db"
                },
            ),
        ),
        variants=(
            Variant(
                "example by example",
                code="""def backward(weights, zs, activations, y, l2=0.0):
    dW, db = [l2 * W for W in weights], [0 * W[:, 0] for W in weights]
    for n in range(len(y)):
        delta = activations[-1][n] - y[n]
        for l in range(len(weights) - 1, -1, -1):
            a = activations[l][n]
            dW[l] = dW[l] + np.outer(delta, a) / len(y)
            db[l] = db[l] + delta / len(y)
            delta = weights[l].T @ delta * a * (1 - a)
    return dW, db
""",
            ),
            Variant(
                "slopes from the activations, the mean in the first δ",
                {
                    "activations[-1] - y": "(activations[-1] - y) / len(y)",
                    " / len(y) + l2": " + l2",
                    "delta.mean(axis=0)": "delta.sum(axis=0)",
                    "slope = sigmoid(zs[l - 1]) * (1 - sigmoid(zs[l - 1]))": "slope = activations[l] * (1 - activations[l])",
                },
            ),
            Variant(
                "from layer to layer by recursion",
                code="""def backward(weights, zs, activations, y, l2=0.0):
    def deltas(l):
        if l == len(weights):
            return [activations[l] - y]
        later = deltas(l + 1)
        return [later[0] @ weights[l] * activations[l] * (1 - activations[l]), *later]

    found = deltas(1)
    dW = [np.einsum("ni,nj->ij", d, a) / len(y) + l2 * W for d, a, W in zip(found, activations, weights)]
    return dW, [d.sum(axis=0) / len(y) for d in found]
""",
            ),
        ),
    ),
    Exercise(
        id="numerical_gradient",
        title="The gradient by differences",
        points=3,
        task="copy theta as float64, then move one of its numbers at a time, up and down, and divide by 2h.",
        cases=numerical_cases,
        reference=numerical_reference,
        defines=("numerical_gradient",),
        forbids=(*AUTOMATIC, "scipy.optimize", "scipy.differentiate", "numpy.gradient"),
        mistakes=(
            Mistake(
                "this looks one way only: the error is then proportional to h. Step to both sides.",
                {
                    "        theta[i] = kept - h\n": "        theta[i] = kept\n",
                    "(2 * h)": "h",
                },
            ),
            Mistake(
                "the two points lie 2h apart, so the difference must be divided by 2h.",
                {"(2 * h)": "h"},
            ),
            Mistake(
                "h is fixed: use the argument.",
                {"    gradient = np.zeros": "    h = 1e-5\n    gradient = np.zeros"},
            ),
            Mistake(
                "a number is not put back before the next one is moved: the later derivatives are taken elsewhere.",
                {"        theta[i] = kept\n": ""},
            ),
            Mistake(
                "the caller's array is moved, and in its own precision: float32 loses the difference in rounding, "
                "and whole numbers cannot move by h at all. Work on a float64 copy.",
                {
                    'np.array(theta, dtype="float64")': "theta",
                    "np.zeros_like(theta)": "np.zeros(theta.shape)",
                },
            ),
            Mistake(
                "all numbers are moved at once: that is the derivative along the diagonal, one number instead of a "
                "gradient.",
                {
                    "theta[i] = kept + h": "saved = theta.copy()\n        theta += h",
                    "theta[i] = kept - h": "theta -= 2 * h",
                    "        theta[i] = kept\n": "        theta = saved\n",
                },
            ),
            Mistake(
                "the sign is wrong: above minus below.",
                {"(above - below)": "(below - above)"},
            ),
            Mistake(
                "only the first axis is walked through: rows move as one. `np.ndindex` visits every single number.",
                {
                    "for i in np.ndindex(theta.shape):": "for i in range(len(theta) if theta.ndim else 0):",
                    "kept = theta[i]": "kept = np.copy(theta[i])",
                },
            ),
            Mistake(
                "the gradient is flat: it should have the shape of theta, so that it can be compared with the other.",
                {"    return gradient": "    return gradient.ravel()"},
            ),
        ),
        variants=(
            Variant(
                "a unit vector for each number",
                code="""def numerical_gradient(function, theta, h=1e-5):
    theta = np.asarray(theta).astype("float64")
    slopes = []
    for direction in np.eye(theta.size):
        step = h * direction.reshape(theta.shape)
        slopes.append((function(theta + step) - function(theta - step)) / (2 * h))
    return np.reshape(slopes, theta.shape)
""",
            ),
            Variant(
                "through a flat view of the copy",
                code="""def numerical_gradient(function, theta, h=1e-5):
    moved = np.array(theta, dtype=float)
    line, gradient = moved.reshape(-1), np.empty(moved.size)
    for i in range(moved.size):
        values = []
        for side in (h, -h):
            line[i] += side
            values.append(function(moved))
            line[i] -= side
        gradient[i] = (values[0] - values[1]) / h / 2
    return gradient.reshape(moved.shape)
""",
            ),
            Variant(
                "a copy for each side",
                {
                    "        theta[i] = kept + h\n        above = function(theta)\n": "        up, down = theta.copy(), theta.copy()\n        up[i] += h\n        down[i] -= h\n",
                    "        theta[i] = kept - h\n        below = function(theta)\n        theta[i] = kept\n": "",
                    "        kept = theta[i]\n": "",
                    "(above - below)": "(function(up) - function(down))",
                },
            ),
        ),
    ),
    Exercise(
        id="initialize",
        title="Break the symmetry",
        points=2,
        task="draw each W (units, inputs) by (8) from `rng`, and give each layer biases of zero.",
        cases=initialize_cases,
        reference=initialize_reference,
        computes=initialize_statistics,
        defines=("initialize",),
        forbids=AUTOMATIC,
        mistakes=(
            Mistake(
                "all weights begin at zero: every unit of a layer then computes the same and learns the same.",
                {"rng.uniform(-limit, limit, size=(units, inputs))": "np.zeros((units, inputs))"},
            ),
            Mistake(
                "one row of weights is copied to all units: the units of a layer must differ from each other, not "
                "only the inputs of a unit.",
                {"size=(units, inputs))": "size=(1, inputs)) * np.ones((units, 1))"},
            ),
            Mistake(
                "the weights are all positive: uniform numbers from 0 to the limit push every sum the same way.",
                {"rng.uniform(-limit, limit": "rng.uniform(0, limit"},
            ),
            Mistake(
                "the matrix is (inputs, units): in this network W is (units, inputs).",
                {"size=(units, inputs)": "size=(inputs, units)"},
            ),
            Mistake(
                "the limit counts the inputs only: (8) has inputs + units, for the way there and the way back.",
                {"(inputs + units)": "inputs"},
            ),
            Mistake(
                "the root is missing from (8).",
                {"np.sqrt(6.0 / (inputs + units))": "6.0 / (inputs + units)"},
            ),
            Mistake(
                "the limit is used as a standard deviation: a uniform number between −limit and limit has a third of "
                "limit² as its variance.",
                {"rng.uniform(-limit, limit, size": "rng.normal(0, limit, size"},
            ),
            Mistake(
                "the size of the weights does not depend on the layer: a fixed width is too wide for one and too "
                "narrow for another.",
                {"np.sqrt(6.0 / (inputs + units))": "0.05"},
            ),
            Mistake(
                "another generator is made: with a seed of its own the network is the same whatever `rng` is, and all "
                "layers begin with the same numbers.",
                {"rng.uniform(-limit": "np.random.default_rng(0).uniform(-limit"},
            ),
            Mistake(
                "the global generator is used: a seed given to `rng` then fixes nothing.",
                {"rng.uniform(-limit": "np.random.uniform(-limit"},
            ),
            Mistake(
                "the biases are random too: harmless for the symmetry, but (8) starts them at 0.",
                {"np.zeros(units)": "rng.uniform(-limit, limit, size=units)"},
            ),
        ),
        variants=(
            Variant(
                "stretches numbers from 0 to 1",
                {
                    "rng.uniform(-limit, limit, size=(units, inputs))": "limit * (2 * rng.random((units, inputs)) - 1)"
                },
            ),
            Variant(
                "in one line for each list",
                code="""def initialize(sizes, rng):
    pairs = list(zip(sizes, sizes[1:]))
    weights = [(6 / sum(pair)) ** 0.5 * rng.uniform(-1, 1, pair[::-1]) for pair in pairs]
    return weights, [np.zeros(pair[1]) for pair in pairs]
""",
            ),
            Variant(
                "the transpose, turned",
                {
                    "rng.uniform(-limit, limit, size=(units, inputs))": "rng.uniform(-limit, limit, size=(inputs, units)).T"
                },
            ),
        ),
    ),
]
