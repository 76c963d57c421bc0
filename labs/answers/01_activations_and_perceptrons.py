"""The judge's side of the lab on activations and perceptrons: cases, references, known mistakes, variants. NumPy only."""

import numpy as np

from tf_kit.grading import Between, Exercise, Mistake, Variant

ORDINARY = np.array([-3.0, -1.0, -0.25, 0.0, -0.0, 0.5, 1.0, 4.0])


def sigmoid_cases(rng):
    extremes = np.array([-np.inf, -1000.0, -100.0, 100.0, 1000.0, np.inf, np.nan])
    return [
        {"about": "rank 1", "part": "values", "dtype": "float32", "x": ORDINARY},
        {"about": "rank 0", "part": "values", "dtype": "float32", "x": rng.normal()},
        {
            "about": "rank 3, float64",
            "part": "values",
            "dtype": "float64",
            "x": 3 * rng.normal(size=(2, 3, 2)),
        },
        {"about": "±100, ±1000, ±inf, nan", "part": "values", "dtype": "float32", "x": extremes},
        {"about": "gradient", "part": "gradient", "dtype": "float32", "x": ORDINARY},
        {"about": "gradient far out", "part": "gradient", "dtype": "float32", "x": extremes[1:-2]},
        {
            "about": "gradient, float64",
            "part": "gradient",
            "dtype": "float64",
            "x": 900 * rng.normal(size=(2, 3)),
        },
    ]


def sigmoid_reference(case):
    x = np.asarray(case["x"], case["dtype"]).astype("float64")
    with np.errstate(over="ignore"):
        y = np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))
    return {"y": y} if case["part"] == "values" else {"gradient": y * (1 - y)}


def leaky_relu_cases(rng):
    edges = np.array([-np.inf, -2.0, -0.0, 0.0, 3.0, np.inf, np.nan])
    return [
        {
            "about": "rank 2",
            "dtype": "float32",
            "x": rng.normal(size=(3, 4)),
            "negative_slope": rng.uniform(0.1, 0.4),
        },
        {
            "about": "rank 0",
            "dtype": "float32",
            "x": -rng.uniform(1, 2),
            "negative_slope": rng.uniform(0.1, 0.4),
        },
        {
            "about": "rank 3, float64",
            "dtype": "float64",
            "x": rng.normal(size=(2, 2, 3)),
            "negative_slope": 0.125,
        },
        {"about": "±0, ±inf, nan", "dtype": "float32", "x": edges, "negative_slope": rng.uniform(0.1, 0.4)},
        {"about": "slope 0: the ReLU", "dtype": "float32", "x": rng.normal(size=6), "negative_slope": 0.0},
        {
            "about": "a slope above 1",
            "dtype": "float32",
            "x": rng.normal(size=6),
            "negative_slope": rng.uniform(1.5, 3),
        },
    ]


def leaky_relu_reference(case):
    x = np.asarray(case["x"], case["dtype"]).astype("float64")
    return {"y": np.where(x >= 0, x, float(case["negative_slope"]) * x)}


def dead_fraction_cases(rng):
    z = rng.normal(size=(5, 8)) - 1
    z[:, :3] = -np.abs(z[:, :3])
    z[2, :] = np.where(np.arange(8) < 3, 0.0, z[2])
    images = rng.normal(size=(2, 3, 3, 5)) - 1.2
    images[..., :2] = -np.abs(images[..., :2])
    sparse = -np.abs(rng.normal(size=(40, 6)))
    sparse[7, 1:5] = 1.0
    return [
        {"about": "some dead, some zeros", "z": z},
        {"about": "each fires once in forty", "z": sparse},
        {"about": "a convolution", "z": images},
        {"about": "all dead", "z": -np.ones((3, 4))},
        {"about": "none dead", "z": np.ones((3, 4), "float32")},
        {"about": "one example", "z": rng.normal(size=(1, 10))},
        {"about": "silent now and then", "z": rng.normal(size=(20, 6)) + 1},
    ]


def dead_fraction_reference(case):
    z = case["z"].astype("float64")
    fires = [any(value > 0 for value in z[..., unit].ravel()) for unit in range(z.shape[-1])]
    return {"fraction": 1 - sum(fires) / len(fires), "z": z}


def perceptron_cases(rng):
    line = rng.normal(size=3)
    x = rng.normal(size=(12, 3))
    far = rng.normal(size=(8, 2)) + 5
    xor = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return [
        {
            "about": "separable",
            "x": x,
            "y": (x @ line > 0).astype("int64"),
            "learning_rate": 0.5,
            "epochs": 4,
        },
        {
            "about": "needs a bias",
            "x": far,
            "y": (far[:, 0] > far[:, 1]).astype("int64"),
            "learning_rate": 0.1,
            "epochs": 7,
        },
        {
            "about": "XOR, never learned",
            "x": xor,
            "y": np.array([0, 1, 1, 0]),
            "learning_rate": 1.0,
            "epochs": 5,
        },
        {
            "about": "one example",
            "x": rng.normal(size=(1, 4)),
            "y": np.array([1]),
            "learning_rate": 0.3,
            "epochs": 4,
        },
        {
            "about": "labels as float32",
            "x": x.astype("float32"),
            "y": rng.integers(0, 2, 12).astype("float32"),
            "learning_rate": 0.7,
            "epochs": 3,
        },
    ]


def perceptron_reference(case):
    x, y, rate = case["x"].astype("float64"), case["y"].astype("float64"), case["learning_rate"]
    w, b, wrong = np.zeros(x.shape[1]), 0.0, []
    for _ in range(case["epochs"]):
        wrong.append(0)
        for n in range(len(x)):
            said = 1.0 if (w * x[n]).sum() + b > 0 else 0.0
            w = w + rate * (y[n] - said) * x[n]
            b = b + rate * (y[n] - said)
            wrong[-1] += int(said != y[n])
    return {"w": w, "b": b, "wrong": np.array(wrong), "x": x, "y": case["y"]}


def truth_table_cases(rng):
    random = [rng.integers(0, 2, 2**n).astype(bool) for n in (3, 4)]
    random[0][rng.permutation(8)[:2]] = True, False
    return [
        {"about": "XNOR", "table": np.array([True, False, False, True])},
        {"about": "one input: not", "table": np.array([True, False])},
        {"about": "three inputs", "table": random[0]},
        {"about": "four inputs", "table": random[1]},
        {"about": "only the first input counts", "table": np.repeat([False, True], 4)},
        {"about": "never", "table": np.zeros(4, bool)},
        {"about": "always", "table": np.ones(8, bool)},
    ]


def truth_table_outputs(case, network):
    """What the network of an answer says at all corners, and how many hidden units it takes."""
    table = case["table"]
    n = len(table).bit_length() - 1
    corners = (np.arange(len(table))[:, None] >> np.arange(n)[::-1]) & 1  # (2^n, n)
    hidden = corners @ network["W1"].T + network["b1"] > 0
    outputs = hidden @ network["W2"].T + network["b2"] > 0
    return {"outputs": outputs[:, 0], "hidden": len(network["W1"]), "table": network["table"]}


def truth_table_reference(case):
    table = case["table"]
    return {"outputs": table, "hidden": Between(0, len(table)), "table": table}


EXERCISES = [
    Exercise(
        id="sigmoid",
        title="A sigmoid that does not break",
        points=3,
        parts={"values": 2, "gradient": 1},
        task="solve equation (2) for σ(x) and write it with `ops.tanh`.",
        cases=sigmoid_cases,
        reference=sigmoid_reference,
        defines=("sigmoid",),
        forbids=(
            "keras.ops.sigmoid",
            "keras.ops.log_sigmoid",
            "keras.ops.silu",
            "keras.ops.swish",
            "keras.activations",
            "keras.layers",
            "tf.sigmoid",
            "tf.math.sigmoid",
            "tf.math.log_sigmoid",
            "tf.nn.sigmoid",
            "tf.nn.silu",
            "scipy.special",
            "sklearn",
        ),
        mistakes=(
            Mistake(
                "equation (1) as it is printed: the value is right, but far to the left e^(−x) overflows and the "
                "gradient is inf/inf, a nan that spreads to every weight.",
                {"0.5 * (1.0 + ops.tanh(0.5 * x))": "1.0 / (1.0 + ops.exp(-x))"},
            ),
            Mistake(
                "e^x / (1 + e^x) overflows on the right: at 100 it is inf/inf. Multiplying through only moved the "
                "trouble.",
                {"0.5 * (1.0 + ops.tanh(0.5 * x))": "ops.exp(x) / (1.0 + ops.exp(x))"},
            ),
            Mistake(
                "it is mirrored: it falls where it should rise. The exponent of (1) has a minus sign.",
                {"ops.tanh(0.5 * x)": "ops.tanh(-0.5 * x)"},
            ),
            Mistake(
                "it is twice too steep: the argument in (2) is 2x, so tanh must be given half of x.",
                {"ops.tanh(0.5 * x)": "ops.tanh(x)"},
            ),
            Mistake(
                "this is tanh of half the argument, from −1 to 1: (2) still has to be shifted and halved, since σ is "
                "a probability, from 0 to 1.",
                {"0.5 * (1.0 + ops.tanh(0.5 * x))": "ops.tanh(0.5 * x)"},
            ),
            Mistake(
                "this is the derivative σ(1 − σ), not σ itself.",
                {"0.5 * (1.0 + ops.tanh(0.5 * x))": "0.25 * (1.0 - ops.tanh(0.5 * x) ** 2)"},
            ),
            Mistake(
                "the input is cut off so early that the value is wrong and the gradient is zero where it should be "
                "small.",
                {"ops.tanh(0.5 * x)": "ops.tanh(0.5 * ops.clip(x, -2.0, 2.0))"},
            ),
            Mistake(
                "a straight line between two corners is the 'hard' sigmoid, an approximation of this one.",
                {"0.5 * (1.0 + ops.tanh(0.5 * x))": "ops.clip(0.25 * x + 0.5, 0.0, 1.0)"},
            ),
        ),
        variants=(
            Variant(
                "chooses the side whose exponential is small",
                code="""def sigmoid(x):
    e = ops.exp(-ops.where(x >= 0, x, -x))
    return ops.where(x >= 0, 1 / (1 + e), e / (1 + e))
""",
            ),
            Variant("by the softplus", {"0.5 * (1.0 + ops.tanh(0.5 * x))": "ops.exp(-ops.softplus(-x))"}),
            Variant(
                "brings its own gradient",
                code="""@keras.ops.custom_gradient
def sigmoid(x):
    y = 1 / (1 + ops.exp(-x))

    def backward(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        return upstream * y * (1 - y)

    return y, backward
""",
            ),
        ),
    ),
    Exercise(
        id="leaky_relu",
        title="Leaky ReLU",
        points=2,
        task="choose, element by element, between x and negative_slope · x as (3) says.",
        cases=leaky_relu_cases,
        reference=leaky_relu_reference,
        defines=("leaky_relu",),
        forbids=(
            "keras.ops.leaky_relu",
            "keras.ops.relu",
            "keras.activations",
            "keras.layers",
            "tf.nn.leaky_relu",
            "tf.nn.relu",
        ),
        mistakes=(
            Mistake(
                "both sides are multiplied by an indicator, as on the slide: ∞ · 0 is not a number, so the side that "
                "is switched off still spoils the sum. Choose between the sides.",
                {
                    "ops.where(x >= 0, x, negative_slope * x)": "negative_slope * x * ops.cast(x < 0, x.dtype) + x * ops.cast(x >= 0, x.dtype)"
                },
            ),
            Mistake(
                "max(x, a x) takes the wrong side when the slope is above 1: (3) asks for the sign of x, not for the "
                "larger value.",
                {"ops.where(x >= 0, x, negative_slope * x)": "ops.maximum(x, negative_slope * x)"},
            ),
            Mistake(
                "the slope is always 0.01: use the argument.",
                {"negative_slope * x": "0.01 * x"},
            ),
            Mistake(
                "this is the plain ReLU: nothing leaks. Without a slope on the left, silent units stay silent.",
                {"negative_slope * x": "0.0 * ops.where(x < 0, 0.0, x)"},
            ),
            Mistake(
                "the sides are exchanged: the slope belongs to the left of zero.",
                {"ops.where(x >= 0": "ops.where(x < 0"},
            ),
            Mistake(
                "the left side has the wrong sign: a·x is negative there, so that the function keeps rising.",
                {"negative_slope * x": "-negative_slope * x"},
            ),
            Mistake(
                "the left side is a constant: the slope multiplies x.",
                {"negative_slope * x": "negative_slope * ops.ones_like(x)"},
            ),
            Mistake(
                "a Python `if` decides once for the whole tensor: the choice is made element by element.",
                code="""def leaky_relu(x, negative_slope=0.01):
    return x if ops.all(x >= 0) else negative_slope * x
""",
            ),
            Mistake(
                "nan comes out as a number: whatever went wrong before this unit is now hidden.",
                {
                    "ops.where(x >= 0, x, negative_slope * x)": "ops.where(x >= 0, x, ops.where(x < 0, negative_slope * x, 0.0))"
                },
            ),
        ),
        variants=(
            Variant(
                "two half-lines added",
                {
                    "ops.where(x >= 0, x, negative_slope * x)": "ops.maximum(x, 0.0) + negative_slope * ops.minimum(x, 0.0)"
                },
            ),
            Variant(
                "a slope for each element",
                {
                    "ops.where(x >= 0, x, negative_slope * x)": "x * ops.where(x < 0, ops.cast(negative_slope, x.dtype), 1.0)"
                },
            ),
            Variant(
                "from the absolute value",
                code="""def leaky_relu(x, negative_slope=0.01):
    left = ops.minimum(x, 0.0)
    return ops.where(x > 0, ops.abs(x), left * negative_slope)
""",
            ),
        ),
    ),
    Exercise(
        id="dead_fraction",
        title="Dead units",
        points=2,
        task="a unit is dead if none of its sums is above 0: which part of them is?",
        cases=dead_fraction_cases,
        reference=dead_fraction_reference,
        defines=("dead_fraction",),
        mistakes=(
            Mistake(
                "this counts silent outputs, not dead units: a unit that is silent for most examples is useful and "
                "alive.",
                {"np.mean(np.all(units <= 0, axis=0))": "np.mean(units <= 0)"},
            ),
            Mistake(
                "one silent example is enough here: a unit is dead only if it is silent for *all*.",
                {"np.all(units": "np.any(units"},
            ),
            Mistake(
                "this asks which examples silence all units: the axes are exchanged. The units stand in the last one.",
                {"np.all(units <= 0, axis=0)": "np.all(units <= 0, axis=1)"},
            ),
            Mistake(
                "this is the part that lives.",
                {"np.mean(np.all(units <= 0, axis=0))": "np.mean(np.any(units > 0, axis=0))"},
            ),
            Mistake(
                "this counts the dead instead of giving their part: 3 of 8 and 3 of 800 are different news.",
                {"np.mean(": "np.sum("},
            ),
            Mistake(
                "a sum of exactly 0 counts as firing: ReLU passes neither value nor gradient there.",
                {"units <= 0": "units < 0"},
            ),
            Mistake(
                "only the examples are looked through, so in a convolution every place counts as a unit of its own: a "
                "channel lives if it fires anywhere.",
                code="""def dead_fraction(z):
    return np.mean(np.all(z <= 0, axis=0))
""",
            ),
            Mistake(
                "the caller's z has been changed: `out=` and `z[...] = …` write into the array that was handed over.",
                {"    units = ": "    np.maximum(z, 0, out=z)\n    units = "},
            ),
            Mistake(
                "the mean of the sums is asked for: a unit that fires strongly for one example and is far below zero "
                "for the rest is alive.",
                {"np.all(units <= 0, axis=0)": "units.mean(axis=0) <= 0"},
            ),
        ),
        variants=(
            Variant("by the largest sum", {"np.all(units <= 0, axis=0)": "units.max(axis=0) <= 0"}),
            Variant(
                "over all axes but the last",
                code="""def dead_fraction(z):
    fires = (z > 0).any(axis=tuple(range(z.ndim - 1)))
    return 1 - fires.sum() / fires.size
""",
            ),
            Variant(
                "unit by unit",
                code="""def dead_fraction(z):
    dead = 0
    for unit in range(z.shape[-1]):
        dead += not np.maximum(z[..., unit], 0).any()
    return dead / z.shape[-1]
""",
            ),
        ),
    ),
    Exercise(
        id="perceptron",
        title="The perceptron",
        points=3,
        task="go through the examples, answer, and correct w and b by (4) before the next one.",
        cases=perceptron_cases,
        reference=perceptron_reference,
        defines=("train_perceptron",),
        forbids=("sklearn",),
        tolerances={"float32": (1e-4, 1e-5)},
        mistakes=(
            Mistake(
                "it learns away from the labels: the error is y − ŷ, label minus answer.",
                {"int(label) - answer": "answer - int(label)"},
            ),
            Mistake(
                "the bias never learns, so every line goes through the origin.",
                {"            b = b + learning_rate * error\n": ""},
            ),
            Mistake(
                "the learning rate is missing from the bias: (4) has it in both places.",
                {"b = b + learning_rate * error": "b = b + error"},
            ),
            Mistake(
                "the learning rate is missing.",
                {
                    "learning_rate * error * example": "error * example",
                    "b + learning_rate * error": "b + error",
                },
            ),
            Mistake(
                "the weights are corrected once an epoch: all examples meet the old ones. The perceptron corrects "
                "after each mistake.",
                {
                    "        mistakes = 0\n": "        mistakes, old_w, old_b = 0, w, b\n",
                    "int(w @ example + b > 0)": "int(old_w @ example + old_b > 0)",
                },
            ),
            Mistake(
                "a sum of exactly 0 is answered with 1: the unit says 1 only *above* 0, and at the start all sums "
                "are 0.",
                {"w @ example + b > 0": "w @ example + b >= 0"},
            ),
            Mistake(
                "it learns from every example with label 1, mistaken or not: the weights then grow for ever.",
                {"error = int(label) - answer": "error = int(label)"},
            ),
            Mistake(
                "the sum itself is used as the answer: that is the delta rule of a linear unit, not the perceptron.",
                {
                    "error = int(label) - answer": "error = int(label) - (w @ example + b)",
                    "mistakes += abs(error)": "mistakes += int(answer != label)",
                },
            ),
            Mistake(
                "the count goes on from epoch to epoch: it must begin at 0 in each.",
                {
                    "        mistakes = 0\n": "",
                    "w, b, wrong = np.zeros(x.shape[1]), 0.0, []": "w, b, wrong, mistakes = np.zeros(x.shape[1]), 0.0, [], 0",
                },
            ),
            Mistake(
                "the wrong answers are counted at the end of the epoch, with weights that have already learned from "
                "them: count each at the moment it is met.",
                {"        wrong.append(mistakes)": "        wrong.append(int(np.sum((x @ w + b > 0) != y)))"},
            ),
            Mistake(
                "the caller's labels have been changed: make a new array for labels of −1 and 1.",
                {
                    "    for _ in range(epochs):": "    signs = y\n    signs[signs == 0] = -1\n    for _ in range(epochs):",
                    "int(label) - answer": "(int(label) + 1) // 2 - answer",
                },
            ),
            Mistake(
                "it stops at the first epoch without a mistake, and its list is too short: one count for each epoch "
                "was asked for.",
                {
                    "        wrong.append(mistakes)": "        wrong.append(mistakes)\n        if not mistakes:\n            break"
                },
            ),
        ),
        variants=(
            Variant(
                "the bias as one more weight",
                code="""def train_perceptron(x, y, learning_rate=1.0, epochs=10):
    inputs = np.column_stack([x, np.ones(len(x))]).astype("float64")
    w, wrong = np.zeros(inputs.shape[1]), []
    for epoch in range(epochs):
        wrong.append(0)
        for i in range(len(inputs)):
            said = float(np.dot(w, inputs[i]) > 0)
            if said != y[i]:
                w += learning_rate * (y[i] - said) * inputs[i]
                wrong[epoch] += 1
    return w[:-1], w[-1], wrong
""",
            ),
            Variant(
                "labels of −1 and 1, in new arrays",
                code="""def train_perceptron(x, y, learning_rate=1.0, epochs=10):
    signs = np.where(np.asarray(y) > 0, 1, -1)
    w, b = np.zeros(x.shape[1]), 0.0
    wrong = np.zeros(epochs, int)
    for epoch in range(epochs):
        for row, sign in zip(x, signs):
            fires = row @ w + b > 0
            if fires != (sign > 0):
                w, b = w + learning_rate * sign * row, b + learning_rate * sign
                wrong[epoch] += 1
    return w, b, wrong
""",
            ),
            Variant(
                "by whole numbers of corrections",
                code="""def train_perceptron(x, y, learning_rate=1.0, epochs=10):
    times, wrong = np.zeros(len(x)), []
    for _ in range(epochs):
        count = 0
        for i in range(len(x)):
            error = float(y[i]) - float(times @ (x @ x[i]) + times.sum() > 0)
            times[i] += error
            count += int(error != 0)
        wrong.append(count)
    return learning_rate * times @ x, learning_rate * times.sum(), wrong
""",
            ),
        ),
    ),
    Exercise(
        id="truth_table",
        title="Any truth table, by hand",
        points=4,
        task="give one hidden unit to each true entry of the table, and let the output fire if any of them does.",
        cases=truth_table_cases,
        reference=truth_table_reference,
        computes=truth_table_outputs,
        defines=("truth_table_network",),
        forbids=("sklearn", "keras.Model", "keras.Sequential", "keras.models"),
        mistakes=(
            Mistake(
                "inputs that should be 0 have no weight, so each unit also fires at corners with more ones: those "
                "inputs need −1.",
                {"2.0 * corners - 1": "1.0 * corners"},
            ),
            Mistake(
                "the bias subtracts all inputs, not only those that should be 1: units for corners with zeros never "
                "fire.",
                {"0.5 - corners.sum(axis=1)": "0.5 - n * np.ones(len(rows))"},
            ),
            Mistake(
                "the bias is the number of ones itself: the sum at the corner is then exactly 0, and 0 does not fire.",
                {"0.5 - corners.sum(axis=1)": "0.0 - corners.sum(axis=1)"},
            ),
            Mistake(
                "the bias is too small by one: corners that differ in one input fire too.",
                {"0.5 - corners.sum(axis=1)": "1.5 - corners.sum(axis=1)"},
            ),
            Mistake(
                "the output unit asks for all hidden units at once, but each fires at another corner: it must fire if "
                "*any* does.",
                {"np.array([-0.5])": "np.array([0.5 - len(rows)])"},
            ),
            Mistake(
                "the output fires even when no hidden unit does: its bias must be below 0.",
                {"np.array([-0.5])": "np.array([0.5])"},
            ),
            Mistake(
                "the digits are read from the wrong end: the first input is the highest digit of k.",
                {"k >> (n - 1 - i) & 1": "k >> i & 1"},
            ),
            Mistake(
                "the table is turned around: the units stand at its false entries.",
                {"if wanted]": "if not wanted]"},
            ),
            Mistake(
                "the hidden units are the inputs themselves, so the output is one line through the cube, and no line "
                "separates XNOR.",
                code="""def truth_table_network(table):
    n = len(table).bit_length() - 1
    corners = np.array([[k >> (n - 1 - i) & 1 for i in range(n)] for k in range(len(table))])
    inputs = np.column_stack([corners, np.ones(len(table))])
    weights = np.linalg.lstsq(inputs, 2.0 * np.asarray(table) - 1, rcond=None)[0]
    return np.eye(n), -0.5 * np.ones(n), weights[None, :-1], weights[-1:] - 1e-9
""",
            ),
            Mistake(
                "with no true entry there is no hidden unit, and the shapes fall apart: W1 must be (0, n) then, or "
                "hold a unit that never fires.",
                {".reshape(-1, n)": ""},
            ),
        ),
        variants=(
            Variant(
                "units at the false entries, which veto",
                {
                    "if wanted]": "if not wanted]",
                    "np.ones((1, len(rows)))": "-np.ones((1, len(rows)))",
                    "np.array([-0.5])": "np.array([0.5])",
                },
            ),
            Variant(
                "a thermometer: units count up, the output adds the changes of the table",
                code="""def truth_table_network(table):
    n, count = len(table).bit_length() - 1, len(table)
    powers = 2.0 ** np.arange(n)[::-1]
    steps = np.diff(np.concatenate([[0], np.asarray(table, int)]))
    W1 = np.tile(powers, (count, 1))
    b1 = 0.5 - np.arange(count)
    return W1, b1, steps[None, :], [-0.5]
""",
            ),
            Variant(
                "twice the strength, row by row",
                code="""def truth_table_network(table):
    inputs = 0
    while 2**inputs < len(table):
        inputs += 1
    W1, b1, W2 = [], [], []
    for k in range(len(table)):
        digits = [int(c) for c in format(k, f"0{inputs}b")]
        W1.append([4 if d else -4 for d in digits])
        b1.append(2 - 4 * sum(digits))
        W2.append(8 if table[k] else 0)
    return np.array(W1), np.array(b1), np.array([W2]), np.array([-4])
""",
            ),
        ),
    ),
]
