"""The judge's side of the lab on gradient flow and losses: cases, references, mistakes, right variants. NumPy only."""

import math

import numpy as np

from tf_kit.grading import Close, Exercise, Mistake, Variant

LIBRARIES = ("keras", "tensorflow", "sklearn", "scipy")
PAIRS = ("numpy.logaddexp", "numpy.logaddexp2")  # their `reduce` is (2)
CHANGED = (
    "the argument is changed in place: `-=` and `+=` write into the array of the caller, who still needs it."
)


def sums(rng):
    ruled_out = rng.normal(size=(3, 4))
    ruled_out[0, 1] = ruled_out[2, :2] = -np.inf
    return [
        {"about": "three rows", "z": rng.normal(size=(3, 4)) * 2},
        {"about": "logits around 1000", "z": 1000 + rng.normal(size=(3, 4))},
        {"about": "logits around −1000", "z": -1000 + rng.normal(size=(2, 3))},
        {"about": "rows of different scale", "z": rng.normal(size=(3, 3)) + np.array([[900], [0], [-900]])},
        {"about": "classes that are ruled out", "z": ruled_out},
        {"about": "one axis", "z": rng.normal(size=5)},
        {"about": "three axes", "z": rng.normal(size=(2, 3, 4))},
        {"about": "one class", "z": rng.normal(size=(3, 1))},
    ]


def log_of_sum(row):
    largest = max(row)
    return largest + math.log(sum(math.exp(each - largest) for each in row))


def summed(case):
    z = case["z"]
    rows = [log_of_sum(row) for row in z.reshape(-1, z.shape[-1])]
    return {"lse": np.reshape(rows, z.shape[:-1]), "argument": z}


LOG_SUM_EXP = Exercise(
    id="log_sum_exp",
    title="The logarithm of a sum of exponentials",
    points=2,
    task="`log_sum_exp` is as it was handed out. Take the largest number of each row out of the sum, then write (2).",
    cases=sums,
    reference=summed,
    defines=("log_sum_exp",),
    forbids=(*LIBRARIES, *PAIRS),
    mistakes=(
        Mistake(
            "(1) is typed as it stands: e¹⁰⁰⁰ is infinite, and e⁻¹⁰⁰⁰ is 0, whose logarithm is −∞. Take the largest out "
            "of the sum first, as in (2).",
            {
                "m[..., 0] + np.log(np.sum(np.exp(z - m), axis=-1))": "np.log(np.sum(np.exp(z), axis=-1))",
            },
        ),
        Mistake(
            "one maximum serves the whole array: in rows that lie far below it every term rounds to 0. Each row has "
            "its own.",
            {"z.max(axis=-1, keepdims=True)": "z.max(keepdims=True)"},
        ),
        Mistake(
            "the largest is taken out and not added again: e^z was divided by e^m, so m is missing from the "
            "logarithm.",
            {"m[..., 0] + ": ""},
        ),
        Mistake(
            "the smallest, or the mean, is taken out: larger terms then grow instead of shrinking, and overflow where the "
            "row is wide.",
            {"z.max(axis=-1, keepdims=True)": "z.min(axis=-1, keepdims=True)"},
        ),
        Mistake(
            "the largest *absolute* value is taken out: for negative logits it lies far above all of them, and every "
            "term rounds to 0.",
            {"z.max(axis=-1, keepdims=True)": "np.abs(z).max(axis=-1, keepdims=True)"},
        ),
        Mistake(
            "the exponentials are averaged: (1) is their sum, larger by the logarithm of the number of classes.",
            {"np.sum(np.exp(z - m), axis=-1)": "np.mean(np.exp(z - m), axis=-1)"},
        ),
        Mistake(
            "the sum runs over the first axis: the classes lie in the last one.",
            code="""def log_sum_exp(z):
    m = z.max(axis=0, keepdims=True)
    return m[0] + np.log(np.sum(np.exp(z - m), axis=0))
""",
        ),
        Mistake(
            "the result keeps an axis of length 1: for z (…, k) it has the shape (…).",
            {
                "m[..., 0] + np.log(np.sum(np.exp(z - m), axis=-1))": "m + np.log(np.sum(np.exp(z - m), axis=-1, keepdims=True))"
            },
        ),
        Mistake(
            "the largest is returned alone: that is the limit for one class far above the others, not the sum.",
            {"m[..., 0] + np.log(np.sum(np.exp(z - m), axis=-1))": "m[..., 0]"},
        ),
        Mistake(
            CHANGED,
            {
                "return m[..., 0]": "z -= m\n    m, z = m.copy(), z + 0.0\n    return m[..., 0]",
                "np.exp(z - m)": "np.exp(z)",
            },
        ),
    ),
    variants=(
        Variant(
            "row by row",
            code="""def log_sum_exp(z):
    result = np.empty(z.shape[:-1])
    for place in np.ndindex(result.shape):
        largest = max(z[place])
        result[place] = largest + np.log(sum(np.exp(each - largest) for each in z[place]))
    return result
""",
        ),
        Variant(
            "in one pass: a running maximum, and a sum that is rescaled whenever it rises",
            code="""def log_sum_exp(z):
    m, total = z[..., 0].copy(), np.ones(z.shape[:-1])
    for k in range(1, z.shape[-1]):
        new = np.maximum(m, z[..., k])
        safe = np.where(np.isfinite(new), new, 0.0)
        total = total * np.exp(m - safe) + np.exp(z[..., k] - safe)
        total = np.where(np.isfinite(new), total, 1.0)
        m = new
    return m + np.log(total)
""",
        ),
        Variant(
            "the second largest onwards by log1p",
            code="""def log_sum_exp(z):
    z = np.sort(z, axis=-1)
    return z[..., -1] + np.log1p(np.exp(z[..., :-1] - z[..., -1:]).sum(axis=-1))
""",
        ),
    ),
)


def classified(rng):
    def case(about, z):
        return {"about": about, "z": z, "labels": rng.integers(0, z.shape[1], size=len(z))}

    sure = case("sure and wrong", rng.permuted(np.tile([-1000.0, 0.0, 1000.0], (4, 1)), axis=1))
    sure["labels"] = sure["z"].argmin(axis=1)
    same = case("three examples of one class", rng.normal(size=(3, 4)))
    same["labels"][:] = 2
    return [
        case("5 examples, 3 classes", rng.normal(size=(5, 3)) * 2),
        case("as many examples as classes", rng.normal(size=(4, 4))),
        case("one example", rng.normal(size=(1, 3))),
        same,
        sure,
        case("logits far from zero", 2000 + rng.normal(size=(3, 2))),
    ]


def classify(case):
    z, labels = case["z"], case["labels"]
    losses, gradient = [], np.zeros_like(z)
    for i, (row, label) in enumerate(zip(z, labels, strict=True)):
        total = log_of_sum(row)
        losses.append(total - row[label])  # (4)
        for k, each in enumerate(row):
            gradient[i, k] = (math.exp(each - total) - (k == label)) / len(z)  # (5)
    return {
        "loss": sum(losses) / len(z),
        "gradient": gradient,
        "logits": z,
        "labels": Close(labels, dtype=None),
    }


SOFTMAX_CROSS_ENTROPY = Exercise(
    id="softmax_cross_entropy",
    title="Softmax and cross-entropy",
    points=4,
    task="`softmax_cross_entropy` is as it was handed out. Write (4) with your `log_sum_exp`, then (3) and (5).",
    cases=classified,
    reference=classify,
    defines=("softmax_cross_entropy",),
    forbids=LIBRARIES,
    mistakes=(
        Mistake(
            "the gradient is not divided by n: J is a mean over the examples, so each has a share of 1/n in it.",
            {"gradient / n": "gradient"},
        ),
        Mistake(
            "the loss is the sum over the examples: (4) is their mean.",
            {"np.mean(total - z[rows, labels])": "np.sum(total - z[rows, labels])"},
        ),
        Mistake(
            "the gradient points the other way: it is prediction minus target. With target minus prediction a step of "
            "descent climbs.",
            {"gradient / n": "-gradient / n"},
        ),
        Mistake(
            "these are the probabilities: the 1 at the right class has not been subtracted. The logit of the right "
            "class would be pushed down as well.",
            {"    gradient[rows, labels] -= 1\n": ""},
        ),
        Mistake(
            "the loss is the logarithm of a probability that has been rounded to 0, so it is infinite where the "
            "network is sure and wrong. (4) needs only logits.",
            {
                "np.mean(total - z[rows, labels])": "-np.mean(np.log(np.exp(z - total[:, None])[rows, labels]))"
            },
        ),
        Mistake(
            "the exponentials are taken of the logits as they are, and overflow: inf/inf is nan. Subtract LSE before "
            "the exponential.",
            {"np.exp(z - total[:, None])": "np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)"},
        ),
        Mistake(
            "the derivative of the softmax is multiplied to the difference a second time: it is contained in (5), "
            "where it has canceled against the derivative of the logarithm.",
            {
                "    gradient[rows, labels] -= 1\n": "    slope = gradient * (1 - gradient)\n    gradient[rows, labels] -= 1\n    gradient *= slope\n"
            },
        ),
        Mistake(
            "1 is subtracted in every row at the classes of all examples: `gradient[:, labels]` takes whole columns. "
            "Each row has one right class.",
            {"gradient[rows, labels] -= 1": "gradient[:, labels] -= 1"},
        ),
        Mistake(
            "the loss has the wrong sign: a probability below 1 has a negative logarithm, and (4) turns it around.",
            {"np.mean(total - z[rows, labels])": "np.mean(z[rows, labels] - total)"},
        ),
        Mistake(
            "the mean runs over all elements: divide by the number of examples, not also by that of classes.",
            {"gradient / n": "gradient / z.size"},
        ),
        Mistake(
            "the softmax runs over the examples: the probabilities of each *row* add up to 1.",
            {
                "n, total = len(z), log_sum_exp(z)": "n, total = len(z), log_sum_exp(z)\n    by_example = log_sum_exp(z.T)",
                "np.exp(z - total[:, None])": "np.exp(z - by_example)",
            },
        ),
        Mistake(
            CHANGED,
            {
                "gradient = np.exp(z - total[:, None])": "z -= total[:, None]\n    gradient = np.exp(z)",
            },
        ),
    ),
    variants=(
        Variant(
            "with one-hot targets and log p",
            code="""def softmax_cross_entropy(z, labels):
    log_p = z - log_sum_exp(z)[:, None]
    target = np.eye(z.shape[1])[labels]
    loss = -np.sum(np.where(target == 1, log_p, 0.0)) / len(z)
    return loss, (np.exp(log_p) - target) / len(z)
""",
        ),
        Variant(
            "shifts the logits and needs no log_sum_exp",
            code="""def softmax_cross_entropy(z, labels):
    shifted = z - z.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    p = e / e.sum(axis=1, keepdims=True)
    right = np.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
    loss = (np.log(e.sum(axis=1)) - right).mean()
    p[np.arange(len(z)), labels] -= 1
    return loss, p / len(z)
""",
        ),
        Variant(
            "example by example",
            code="""def softmax_cross_entropy(z, labels):
    loss, gradient = 0.0, []
    for row, label in zip(z, labels):
        total = log_sum_exp(row)
        loss += total - row[label]
        gradient.append(np.exp(row - total) - (np.arange(len(row)) == label))
    return loss / len(z), np.array(gradient) / len(z)
""",
        ),
    ),
)


def sigmoids(rng):
    def case(about, z, part="values"):
        y = rng.permuted(np.arange(z.size) % 2).reshape(z.shape)
        return {"about": about, "part": part, "dtype": "float64", "z": z, "y": y}

    def tails(size):
        return rng.uniform(35, 200, size=size) * rng.permuted(np.arange(size) % 4 // 2 * 2 - 1)

    alike = case("sure and right", tails(8), "tails")
    alike["y"] = (alike["z"] > 0).astype(int)
    return [
        case("six units", rng.normal(size=6) * 2),
        case("a minibatch", rng.normal(size=(3, 4)) * 2),
        case("sure of it", tails(12), "tails"),
        alike,
    ]


def deltas(case):
    found = {"cross_entropy": np.zeros(case["z"].shape), "squared_error": np.zeros(case["z"].shape)}
    for place, z in np.ndenumerate(case["z"]):
        a, rest = 1 / (1 + math.exp(-z)), 1 / (1 + math.exp(z))  # (7)
        found["cross_entropy"][place] = -rest if case["y"][place] else a
        found["squared_error"][place] = found["cross_entropy"][place] * a * rest  # (6)
    return found


OUTPUT_DELTAS = Exercise(
    id="output_deltas",
    title="Sure of itself, and wrong",
    points=3,
    parts={"values": 2, "tails": 1},
    task="`output_deltas` is as it was handed out. Write both lines of (6), with (7) in place of every 1 − a.",
    cases=sigmoids,
    reference=deltas,
    defines=("output_deltas",),
    forbids=LIBRARIES,
    tolerances={"float64": (1e-9, 0.0)},
    mistakes=(
        Mistake(
            "both are a − y: behind a squared error the derivative of the sigmoid, a(1 − a), remains.",
            {"cross_entropy * a * rest": "cross_entropy * 1.0"},
        ),
        Mistake(
            "both contain a(1 − a): the logarithm of the cross-entropy cancels it, which is why that loss goes with a "
            "sigmoid.",
            {
                "return cross_entropy, ": "return cross_entropy * a * rest, ",
            },
        ),
        Mistake(
            "the two are in the wrong order: the cross-entropy comes first.",
            {
                "return cross_entropy, cross_entropy * a * rest": "return cross_entropy * a * rest, cross_entropy"
            },
        ),
        Mistake(
            "1 − a is computed by subtraction: where the unit is sure, a rounds to 1 and the difference to 0. σ(−z) is "
            "the same number, to all its digits.",
            {"1 / (1 + np.exp(z))": "1 - 1 / (1 + np.exp(-z))"},
        ),
        Mistake(
            "a − y is computed by subtraction: for y = 1 and a sure unit it rounds to 0. There it is −σ(−z).",
            {"np.where(y == 1, -rest, a)": "a - y"},
        ),
        Mistake(
            "the sign is turned: δ is output minus target, a − y.",
            {"np.where(y == 1, -rest, a)": "np.where(y == 1, rest, -a)"},
        ),
        Mistake(
            "the squared error is twice as large: the half in ½(a − y)² cancels the 2 of its derivative.",
            {"cross_entropy * a * rest": "2 * cross_entropy * a * rest"},
        ),
        Mistake(
            "the derivative of the sigmoid is taken at its output: σ′ belongs to the sum z, and there it is a(1 − a).",
            {
                "return cross_entropy, cross_entropy * a * rest": "s = 1 / (1 + np.exp(-a))\n    return cross_entropy, cross_entropy * s * (1 - s)"
            },
        ),
        Mistake(
            "the targets are turned around: a unit that should be 1 has δ = a − 1.",
            {"np.where(y == 1, -rest, a)": "np.where(y == 0, -rest, a)"},
        ),
        Mistake(
            "the mean is taken over the units: (6) is the derivative of the loss of each of them.",
            {
                "return cross_entropy, cross_entropy * a * rest": "return cross_entropy / z.size, cross_entropy * a * rest / z.size"
            },
        ),
    ),
    variants=(
        Variant(
            "turns the sum around, so that there is one case",
            code="""def output_deltas(z, y):
    sign = 1 - 2 * y
    wrong = 1 / (1 + np.exp(-sign * z))
    delta = sign * wrong
    return delta, delta * wrong / (1 + np.exp(sign * z))
""",
        ),
        Variant(
            "through logarithms",
            code="""def output_deltas(z, y):
    log_a, log_rest = -np.logaddexp(0, -z), -np.logaddexp(0, z)
    log_wrong = np.where(y > 0.5, log_rest, log_a)
    sign = np.where(y > 0.5, -1.0, 1.0)
    return sign * np.exp(log_wrong), sign * np.exp(log_wrong + log_a + log_rest)
""",
        ),
        Variant(
            "multiplied by the target",
            code="""def sigma(z):
    return 1 / (1 + np.exp(-z))


def output_deltas(z, y):
    delta = (1 - y) * sigma(z) - y * sigma(-z)
    return delta, delta * sigma(z) * sigma(-z)
""",
        ),
    ),
)


def kernels(rng):
    settings = [
        ((7, 5), "he", "a dense layer"),
        ((7, 5), "lecun", "a dense layer"),
        ((3, 8), "glorot", "a dense layer"),
        ((3, 3, 4, 8), "he", "a convolution"),
        ((3, 2, 5, 2), "glorot", "a convolution"),
        ((5, 2, 3), "lecun", "a convolution over time"),
        ((2, 2, 3, 3, 6), "glorot", "a convolution over volumes"),
    ]
    return [
        {"about": f"{about} {shape}, {rule}", "rule": rule, "normal": rng.normal(size=shape)}
        for shape, rule, about in settings
    ]


def scaled(case):
    shape = case["normal"].shape
    window = math.prod(shape[:-2])
    fan_in, fan_out = window * shape[-2], window * shape[-1]
    variance = {"lecun": 1 / fan_in, "he": 2 / fan_in, "glorot": 2 / (fan_in + fan_out)}[case["rule"]]
    return {"weights": math.sqrt(variance) * case["normal"], "normal": case["normal"]}


INITIAL_WEIGHTS = Exercise(
    id="initial_weights",
    title="The scale of the first weights",
    points=3,
    task="`initial_weights` is as it was handed out. Find both fans from the shape, then the variance from the table.",
    cases=kernels,
    reference=scaled,
    defines=("initial_weights",),
    forbids=LIBRARIES,
    mistakes=(
        Mistake(
            "the numbers are multiplied by the variance: a deviation is its root.",
            {"np.sqrt(variance)": "variance"},
        ),
        Mistake(
            "fan-in and fan-out are swapped: kernels here are (…, inputs, outputs).",
            {
                "window * normal.shape[-2], window * normal.shape[-1]": "window * normal.shape[-1], window * normal.shape[-2]"
            },
        ),
        Mistake(
            "the window of a convolution is not counted: each of its sums runs over height · width · channels.",
            {"np.prod(normal.shape[:-2])": "1"},
        ),
        Mistake(
            "the first axis is taken for the inputs and the last for the outputs. In a convolution the first axes are "
            "the window.",
            {"window * normal.shape[-2], window * normal.shape[-1]": "normal.shape[0], normal.shape[-1]"},
        ),
        Mistake(
            "the window counts for fan-in only: an input also takes part in the sums of all windows that contain it, "
            "height · width of them for each channel out.",
            {"window * normal.shape[-1]": "normal.shape[-1]"},
        ),
        Mistake(
            "the 2 of He's rule is missing: a ReLU lets half of the sums through, so each layer would halve the scale.",
            {'"he": 2 / fan_in': '"he": 1 / fan_in'},
        ),
        Mistake(
            "Glorot's rule divides by the mean of the fans, (n_in + n_out)/2, so there is a 2 above the sum.",
            {"2 / (fan_in + fan_out)": "1 / (fan_in + fan_out)"},
        ),
        Mistake(
            "the factor is the limit of a uniform distribution, √3 times the deviation: the numbers you have are "
            "normal.",
            {"np.sqrt(variance)": "np.sqrt(3 * variance)"},
        ),
        Mistake(
            "it divides by σ: the more inputs a unit has, the *smaller* its weights must be.",
            {"normal * np.sqrt(variance)": "normal / np.sqrt(variance)"},
        ),
        Mistake(
            "the numbers are standardized again: σ is the deviation of the distribution, and a sample may depart from "
            "it. Small kernels would no longer be random in their scale.",
            {"normal * np.sqrt(variance)": "(normal - normal.mean()) / normal.std() * np.sqrt(variance)"},
        ),
        Mistake(
            CHANGED, {"return normal * np.sqrt(variance)": "normal *= np.sqrt(variance)\n    return normal"}
        ),
    ),
    variants=(
        Variant(
            "fans from the number of weights",
            code="""def initial_weights(normal, rule):
    fan_in, fan_out = normal.size / normal.shape[-1], normal.size / normal.shape[-2]
    if rule == "glorot":
        return normal / np.sqrt((fan_in + fan_out) / 2)
    gain = np.sqrt(2) if rule == "he" else 1.0
    return gain * normal / np.sqrt(fan_in)
""",
        ),
        Variant(
            "scale and mode, as in Keras",
            code="""def initial_weights(normal, rule):
    scale, mode = {"lecun": (1, "in"), "he": (2, "in"), "glorot": (1, "average")}[rule]
    *window, inputs, outputs = normal.shape
    field = 1
    for each in window:
        field *= each
    fan = field * (inputs if mode == "in" else (inputs + outputs) / 2)
    return normal * (scale / fan) ** 0.5
""",
        ),
        Variant(
            "counts with a reshaped kernel",
            code="""def initial_weights(normal, rule):
    fan_in = len(normal.reshape(-1, normal.shape[-1]))
    fan_out = len(np.moveaxis(normal, -2, -1).reshape(-1, normal.shape[-2]))
    fan = fan_in if rule != "glorot" else 0.5 * fan_in + 0.5 * fan_out
    return np.sqrt((1 + (rule == "he")) / fan) * normal
""",
        ),
    ),
)


def stacks(rng):
    def case(about, widths, activation, n=5):
        found = {"about": about, "activation": activation, "depth": len(widths) - 1}
        for l in range(1, len(widths)):
            found[f"W{l}"] = rng.normal(size=(widths[l - 1], widths[l])) / widths[l - 1] ** 0.5
        return found | {"x": rng.normal(size=(n, widths[0])), "g": rng.normal(size=(n, widths[-1]))}

    return [
        case("three layers, ReLU", (6, 5, 4, 3), "relu"),
        case("four layers of equal width, tanh", (4, 4, 4, 4, 4), "tanh", 4),
        case("three layers, f(z) = z²", (3, 5, 2, 4), "square"),
        case("one layer, tanh", (3, 2), "tanh"),
        case("one example", (4, 6, 2), "tanh", 1),
    ]


def followed(case):
    """By the derivative of every output with respect to every sum, example by example."""
    f, df = {
        "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
        "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
        "square": (lambda z: z * z, lambda z: z + z),
    }[case["activation"]]
    weights = [case[f"W{l}"] for l in range(1, case["depth"] + 1)]
    forward, backward = np.zeros(len(weights)), np.zeros(len(weights))
    for h, g in zip(case["x"], case["g"], strict=True):
        zs = []
        for l, W in enumerate(weights):
            zs.append(np.einsum("i,ij->j", h, W))
            h = f(zs[-1])  # (9)
            forward[l] += np.mean(h**2) / len(case["x"])
        jacobian = np.eye(len(g))  # of h_L with respect to h_l
        for l in reversed(range(len(weights))):
            by_sum = jacobian * df(zs[l])  # with respect to z_l
            backward[l] += np.mean((g @ by_sum) ** 2) / len(case["x"])  # (10)
            jacobian = by_sum @ weights[l].T
    return {"forward": forward, "backward": backward}


MEANS = "np.array([np.mean(h**2) for h in hs[1:]]), np.array([np.mean(each**2) for each in deltas])"

SIGNAL_SCALES = Exercise(
    id="signal_scales",
    title="Forward and backward through all layers",
    points=5,
    task="`signal_scales` is as it was handed out. Go forward by (9) and keep every z, then backward by (10).",
    cases=stacks,
    reference=followed,
    defines=("signal_scales",),
    forbids=LIBRARIES,
    mistakes=(
        Mistake(
            "the δ are in the order in which they were computed: the first number belongs to the layer next to the "
            "input.",
            {"np.mean(each**2) for each in deltas]": "np.mean(each**2) for each in deltas[::-1]]"},
        ),
        Mistake(
            "f′ is taken at the activation h: it belongs to the sum z. For a ReLU that makes no difference, for tanh "
            "it does.",
            {"g * df(zs[-1])": "g * df(hs[-1])", "df(zs[l - 1])": "df(hs[l])"},
        ),
        Mistake(
            "f′ is missing at the output: g is the derivative with respect to h_L, δ_L that with respect to z_L.",
            {"g * df(zs[-1])": "g * 1.0"},
        ),
        Mistake(
            "f′ is missing in the hidden layers: only the weights carry δ back, and a saturated unit passes as much as "
            "any other.",
            {" * df(zs[l - 1])": ""},
        ),
        Mistake(
            "f′ is taken of the layer that δ comes from: (10) multiplies by that of the layer it arrives at, l.",
            {"df(zs[l - 1])": "df(zs[l])"},
        ),
        Mistake(
            "the kernel is not transposed: backward the same weights lead from outputs to inputs.",
            {"weights[l].T": "weights[l]"},
        ),
        Mistake(
            "δ goes back through the kernel of the wrong layer: from layer l + 1 to layer l leads W of l + 1.",
            {"weights[l].T": "weights[l - 1].T"},
        ),
        Mistake(
            "the squares are added up: wide layers would seem to carry more. Take their mean.",
            {
                MEANS: "np.array([np.sum(h**2) for h in hs[1:]]), np.array([np.sum(each**2) for each in deltas])"
            },
        ),
        Mistake(
            "these are variances, around a mean of their own. (8) is about the mean square: behind a ReLU the mean is "
            "not 0, and it counts.",
            {MEANS: "np.array([np.var(h) for h in hs[1:]]), np.array([np.var(each) for each in deltas])"},
        ),
        Mistake(
            "these are roots of the mean squares: leave out the root.",
            {
                MEANS: "np.array([np.mean(h**2) ** 0.5 for h in hs[1:]]), np.array([np.mean(each**2) ** 0.5 for each in deltas])"
            },
        ),
        Mistake(
            "the input is counted as a layer: the first number is that of h_1.",
            {"for h in hs[1:]": "for h in hs"},
        ),
        Mistake(
            "the forward numbers are those of the sums z: (9) asks for the activations h.",
            {"for h in hs[1:]": "for h in zs"},
        ),
    ),
    variants=(
        Variant(
            "recursion",
            code="""def signal_scales(weights, x, g, f, df):
    def descend(h, rest):
        if not rest:
            return [], [], g
        z = h @ rest[0]
        above, below, arriving = descend(f(z), rest[1:])
        delta = arriving * df(z)
        return [np.mean(f(z) ** 2), *above], [np.mean(delta**2), *below], delta @ rest[0].T

    forward, backward, _ = descend(x, weights)
    return np.array(forward), np.array(backward)
""",
        ),
        Variant(
            "fills arrays, keeps only z",
            code="""def signal_scales(weights, x, g, f, df):
    depth = len(weights)
    forward, backward, zs = np.empty(depth), np.empty(depth), {}
    h = x
    for l in range(depth):
        zs[l] = np.dot(h, weights[l])
        h = f(zs[l])
        forward[l] = (h * h).mean()
    upper = g
    for l in range(depth - 1, -1, -1):
        delta = upper * df(zs[l])
        backward[l] = (delta * delta).mean()
        upper = np.einsum("nj,ij->ni", delta, weights[l])
    return forward, backward
""",
        ),
        Variant(
            "lists that are turned around",
            code="""def signal_scales(weights, x, g, f, df):
    sums, h, forward, backward = [], x, [], []
    for W in weights:
        sums.append(h @ W)
        h = f(sums[-1])
        forward.append(np.average(h**2))
    delta = None
    for z, above in zip(reversed(sums), [None, *reversed(weights[1:])]):
        delta = df(z) * (g if delta is None else delta @ above.T)
        backward.append(np.average(delta**2))
    return np.array(forward), np.flip(backward)
""",
        ),
    ),
)


def steps(rng):
    """Cases made backward from the sums z and their slopes s."""

    def case(about, z, s):
        n, x = len(z), np.zeros((2, 2))
        while np.linalg.cond(x) > 30:
            x = rng.normal(size=(n, n))
        b, grad_b = rng.uniform(0.5, 2, size=2)
        w, grad_w = np.linalg.solve(x, z - b), np.linalg.solve(x, s - grad_b)
        return {"about": about, "x": x, "w": w, "b": b, "grad_w": grad_w, "grad_b": grad_b}

    def firing(n):
        return rng.uniform(0.5, 2, size=n), rng.uniform(0.5, 2, size=n)

    def with_more(z, s):
        first = firing(3)
        return np.concatenate([first[0], z]), np.concatenate([first[1], s])

    silent = -rng.uniform(5, 8, size=2)
    others = [
        case("two are silent and stay so", *with_more(silent, np.array([0.7, -rng.uniform(0.1, 0.5)]))),
        case("one is pushed up", *with_more([rng.uniform(0.5, 2)], [-rng.uniform(0.5, 2)])),
        case("a silent one wakes up in time", *with_more([-0.2], [-rng.uniform(2, 3)])),
        case("dead from the start", -firing(3)[0], rng.normal(size=3)),
        # A slope that is positive without the bias too: an answer that forgets it differs from one that climbs.
        case("one example", firing(1)[0], rng.uniform(2.5, 4, size=1)),
    ]
    # Drawn last: the number of draws depends on how the processor rounds, and the other cases must not.
    return [rounded_up(lambda: case("all examples fire", *firing(4))), *others]


def sums_and_slopes(case):
    """z and s of (11)."""
    return case["x"] @ case["w"] + case["b"], case["x"] @ case["grad_w"] + case["grad_b"]


def rounded_up(draw):
    """A case in which the last sum is still above 0 at the rate that silences it, by rounding.

    In other cases that is chance, which must not decide about an answer that asks for this sum.
    """
    while True:
        case = draw()
        z, s = sums_and_slopes(case)
        if np.max(z - np.max(z / s) * s) > 0:
            return case


def fatal(case):
    z, s = sums_and_slopes(case)
    if all(z <= 0):
        return {"learning_rate": 0.0}
    low, high = 0.0, np.inf  # the unit is dead for rates between them
    for each, slope in zip(z, s, strict=True):
        if each > 0:
            low = max(low, each / slope if slope > 0 else np.inf)
        elif slope < 0:
            high = min(high, each / slope)
    return {"learning_rate": low if low <= high else np.inf}


CHECK_SLOPES = "    if (s[fires] <= 0).any():\n        return np.inf\n"

FATAL_LEARNING_RATE = Exercise(
    id="fatal_learning_rate",
    title="The step that kills a unit",
    points=4,
    task="`fatal_learning_rate` is as it was handed out. Find z and s (11), then the last example to fall silent.",
    cases=steps,
    reference=fatal,
    defines=("fatal_learning_rate",),
    forbids=LIBRARIES,
    tolerances={"float32": (1e-8, 1e-10)},
    mistakes=(
        Mistake(
            "this is where the *first* example falls silent: the others still fire and carry gradient. The last one "
            "decides.",
            {"np.max(z[fires] / s[fires])": "np.min(z[fires] / s[fires])"},
        ),
        Mistake(
            "examples that are silent at first are forgotten: the step may wake one up, and then the unit lives.",
            {"return np.inf if awake.any() else rate": "return rate"},
        ),
        Mistake(
            "an example whose sum rises with the step never falls silent: s ≤ 0 makes the answer infinite.",
            {CHECK_SLOPES: ""},
        ),
        Mistake(
            "the bias does not move: it has a gradient too, which is the same for every example.",
            {"x @ grad_w + grad_b": "x @ grad_w"},
        ),
        Mistake(
            "the bias is missing from the sums: the unit fires where w·x + b > 0.",
            {"x @ w + b": "x @ w"},
        ),
        Mistake(
            "the step climbs: descent subtracts η times the gradient, so a positive s lowers the sum.",
            {"x @ grad_w + grad_b": "-(x @ grad_w + grad_b)"},
        ),
        Mistake(
            "a unit that fires for no example is dead already: the smallest rate that leaves it dead is 0.",
            {"return 0.0": "return np.inf"},
        ),
        Mistake(
            "all examples are asked whether they fire at the rate that silences the last one. Its own sum is 0 there but "
            "for rounding, and may come out a little above: ask only those that were silent before.",
            {"awake = z[~fires] - rate * s[~fires] > 0": "awake = z - rate * s > 0"},
        ),
        Mistake(
            "the rates are averaged: at the mean, some examples still fire.",
            {"np.max(z[fires] / s[fires])": "np.mean(z[fires] / s[fires])"},
        ),
        Mistake(
            "the fraction is upside down: a sum of z that falls by s per unit of η reaches 0 at z/s.",
            {"np.max(z[fires] / s[fires])": "np.max(s[fires] / z[fires])"},
        ),
        Mistake(
            "the unit is dead only when it fires for *no* example: this looks at their mean sum.",
            code="""def fatal_learning_rate(x, w, b, grad_w, grad_b):
    z, s = np.mean(x @ w + b), np.mean(x @ grad_w + grad_b)
    if z <= 0:
        return 0.0
    return z / s if s > 0 else np.inf
""",
        ),
    ),
    variants=(
        Variant(
            "the interval of fatal rates",
            code="""def fatal_learning_rate(x, w, b, grad_w, grad_b):
    low, high = 0.0, np.inf
    for example in x:
        z, s = w @ example + b, grad_w @ example + grad_b
        if z > 0 and s <= 0:
            return np.inf
        if z > 0:
            low = max(low, z / s)
        elif s < 0:
            high = min(high, z / s)
    return low if low <= high else np.inf
""",
        ),
        Variant(
            "tries the rates at which an example falls silent",
            code="""def fatal_learning_rate(x, w, b, grad_w, grad_b):
    x = np.column_stack([x, np.ones(len(x))])
    theta, gradient = np.append(w, b), np.append(grad_w, grad_b)
    z, s = x @ theta, x @ gradient
    candidates = [0.0, *sorted(z[i] / s[i] for i in range(len(z)) if z[i] > 0 and s[i] > 0)]
    for rate in candidates:
        if np.all(z - rate * s <= 1e-12 * (1 + np.abs(z))):
            return float(rate)
    return np.inf
""",
        ),
        Variant(
            "fills in infinity",
            code="""def fatal_learning_rate(x, w, b, grad_w, grad_b):
    z = np.dot(x, w) + b
    s = np.dot(x, grad_w) + grad_b
    ends = np.zeros(len(z))
    for i in range(len(z)):
        if z[i] > 0:
            ends[i] = z[i] / s[i] if s[i] > 0 else np.inf
    rate = ends.max()
    if np.isfinite(rate) and any(z[i] <= 0 and z[i] > rate * s[i] for i in range(len(z))):
        rate = np.inf
    return rate
""",
        ),
    ),
)

EXERCISES = [
    LOG_SUM_EXP,
    SOFTMAX_CROSS_ENTROPY,
    OUTPUT_DELTAS,
    INITIAL_WEIGHTS,
    SIGNAL_SCALES,
    FATAL_LEARNING_RATE,
]
