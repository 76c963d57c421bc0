"""The judge's side of the lab on regularization: cases, references, known mistakes, right variants. NumPy only."""

import numpy as np

from tf_kit.grading import Between, Close, Exercise, Mistake, Variant


def elastic_net_cases(rng):
    def case(about, shape, l1, l2, dtype="float32"):
        return {"about": about, "dtype": dtype, "weights": rng.normal(size=shape) * 2, "l1": l1, "l2": l2}

    return [
        case("both prices", (3, 2), *rng.uniform(0.1, 0.9, 2)),
        case("l1 alone", 5, float(rng.uniform(0.1, 0.9)), 0.0),
        case("l2 alone, rank 4", (2, 2, 1, 3), 0.0, float(rng.uniform(0.1, 0.9))),
        case("float64", (4, 3), 0.25, 0.5, "float64"),
    ]


def elastic_net_reference(case):
    w = case["weights"].astype(case["dtype"]).astype("float64").ravel()
    value = sum(case["l1"] * abs(each) + case["l2"] / 2 * each * each for each in w)
    gradient = case["l1"] * np.sign(w) + case["l2"] * w
    return {"penalty": value, "gradient": gradient.reshape(case["weights"].shape)}


def soft_threshold_cases(rng):
    edges = np.array([-np.inf, -1.0, -0.5, -0.25, -0.0, 0.0, 0.25, 0.5, 2.0, np.inf, np.nan])
    return [
        {
            "about": "rank 2",
            "dtype": "float32",
            "weights": rng.normal(size=(3, 4)),
            "threshold": rng.uniform(0.3, 0.7),
        },
        {
            "about": "rank 4, float64",
            "dtype": "float64",
            "weights": rng.normal(size=(2, 1, 2, 3)),
            "threshold": 0.125,
        },
        {"about": "at the edges, ±0, ±inf, nan", "dtype": "float32", "weights": edges, "threshold": 0.5},
        {"about": "nothing to take", "dtype": "float32", "weights": rng.normal(size=5), "threshold": 0.0},
    ]


def soft_threshold_reference(case):
    w = case["weights"].astype(case["dtype"]).astype("float64")
    t = case["threshold"]
    shrunk = np.where(w > t, w - t, np.where(w < -t, w + t, np.where(np.isnan(w), np.nan, 0.0)))
    return {"shrunk": shrunk, "zeros": np.abs(w) <= t}


def dropout_cases(rng):
    def case(about, rate, part="training"):
        x = rng.uniform(0.5, 1.5, (60, 50)).astype("float32")
        return {"about": about, "part": part, "rate": rate, "seed": int(rng.integers(2**31)), "x": x}

    return [
        case("a fifth", 0.2),
        case("two thirds", float(rng.uniform(0.6, 0.7))),
        case("prediction", float(rng.uniform(0.3, 0.6))),
        case("in a compiled graph", float(rng.uniform(0.3, 0.4)), part="graph"),
    ]


def dropout_statistics(case, drawn):
    if case["about"] == "prediction":
        return drawn
    first, second, again = (drawn[name] for name in ("first", "second", "again"))
    kept = first != 0
    factors = (first / case["x"])[kept]
    return {
        "dropped": np.mean(~kept),
        "factors": [factors.min(), factors.max()] if kept.any() else [0.0, 0.0],
        "examples_alike": np.mean(kept[::2] == kept[1::2]),
        "units_alike": np.mean(kept[:, ::2] == kept[:, 1::2]),
        "calls_alike": np.mean(kept == (second != 0)),
        "same_seed_alike": np.mean(kept == (again != 0)),
    }


def dropout_reference(case):
    """Bounds that a right answer misses once in a million: 5.5 standard deviations of a mean of n bits."""
    if case["about"] == "prediction":
        x = case["x"].astype("float64")
        return {"outputs": Close(x, dtype="float32"), "by_default": Close(x, dtype="float32")}
    rate, n = case["rate"], case["x"].size
    alike = rate**2 + (1 - rate) ** 2

    def near(p, n):
        width = 5.5 * np.sqrt(p * (1 - p) / n)
        return Between(p - width, p + width)

    return {
        "dropped": near(rate, n),
        "factors": Close(np.full(2, 1 / (1 - rate)), dtype=None),
        "examples_alike": near(alike, n / 2),
        "units_alike": near(alike, n / 2),
        "calls_alike": near(alike, n),
        **({} if case["part"] == "graph" else {"same_seed_alike": np.array(1.0)}),
    }


def two_votes_cases(rng):
    def case(about, n, units, classes, masks, rate, dtype="float64"):
        found = {
            "about": about,
            "dtype": dtype,
            "rate": rate,
            "h": np.abs(rng.normal(size=(n, units))).astype(dtype),
        }
        found["W"], found["b"] = (
            rng.normal(size=(units, classes)).astype(dtype),
            rng.normal(size=classes).astype(dtype),
        )
        found["masks"] = (rng.random((masks, units)) >= rate).astype(dtype)
        return found

    sure = case("sure of it", 3, 6, 3, 4, 0.5)
    sure["W"] = 300 * sure["W"]
    return [
        case("ten masks", 4, 6, 3, 10, float(rng.uniform(0.2, 0.4))),
        case("as many units as classes, float32", 3, 4, 4, 5, float(rng.uniform(0.6, 0.8)), "float32"),
        case("one mask, one example", 1, 5, 2, 1, float(rng.uniform(0.2, 0.4))),
        sure,
    ]


def two_votes_reference(case):
    h, W, b, masks = (case[name].astype("float64") for name in ("h", "W", "b", "masks"))

    def softmax(z):
        e = np.exp(z - z.max())
        return e / e.sum()

    sampling = np.zeros((len(h), len(b)))
    for n in range(len(h)):
        for mask in masks:
            sampling[n] += softmax(W.T @ (mask * h[n]) + b) / len(masks)
    scaling = np.array([softmax(W.T @ row * (1 - case["rate"]) + b) for row in h])
    arguments = np.concatenate([np.ravel(each) for each in (h, W, b, masks)])
    return {"sampling": sampling, "scaling": scaling, "arguments": Close(arguments, dtype=None)}


def early_stopping_cases(rng):
    up = 1 + rng.random(5)
    return [
        {
            "about": "falls, then rises",
            "patience": 2,
            "first": [5.0, 3.0, 4.0, 3.5, 2.0],
            "second": [9.0, 8.0, 8.5, 7.0],
        },
        {"about": "runs to its end", "patience": 3, "first": [4.0, 2.0, 3.0], "second": [6.0, 7.0, 5.0, 5.5]},
        {
            "about": "a long way down in steps",
            "patience": 2,
            "first": [5.0, 6.0, 4.0, 4.5, 3.0, 3.5, 3.2, 1.0],
            "second": [1.0, *up],
        },
        {
            "about": "the same loss again",
            "patience": 2,
            "first": [3.0, 3.0, 3.0, 1.0],
            "second": [2.0, 3.0, 2.0, 2.0],
        },
        {
            "about": "up and down above the best",
            "patience": 3,
            "first": [1.0, 5.0, 4.0, 3.0, 2.0, 0.5],
            "second": [3.0, 2.0],
        },
        {
            "about": "nan",
            "patience": 2,
            "first": [4.0, 3.0, np.nan, np.nan, 1.0],
            "second": [np.nan, 2.0, np.nan, 1.0],
        },
        {"about": "patience 1", "patience": 1, "first": [4.0, 3.0, 3.5, 1.0], "second": [1.0, 2.0]},
    ]


def early_stopping_reference(case):
    found = {}
    for fit in ("first", "second"):
        losses, best, at = case[fit], np.inf, None
        for epoch, loss in enumerate(losses):
            if loss < best:
                best, at = loss, epoch
            waited = epoch - at if at is not None else epoch + 1
            if waited >= case["patience"]:
                break
        found[f"{fit}_epochs"] = np.array(epoch + 1)
        found[f"{fit}_stopped"] = np.array(waited >= case["patience"])
        found[f"{fit}_weight"] = np.array(at + 1.0)
    return found


DROPPED = (
    "keras.layers.Dropout",
    "keras.layers.SpatialDropout1D",
    "keras.layers.GaussianDropout",
    "keras.layers.AlphaDropout",
    "keras.random.dropout",
    "tf.nn.dropout",
    "tf.nn.experimental",
)

EXERCISES = [
    Exercise(
        id="elastic_net",
        title="A price for weights",
        points=2,
        task="return the two sums of (1), each times its price, as one tensor of `keras.ops`.",
        cases=elastic_net_cases,
        reference=elastic_net_reference,
        defines=("ElasticNet",),
        bases={"ElasticNet": "keras.regularizers.Regularizer"},
        forbids=("keras.regularizers", "tf.nn.l2_loss"),
        mistakes=(
            Mistake(
                "the half is missing: with λ₂/2 the pull is λ₂w, without it twice that. (Keras's own L2 leaves it out.)",
                {"self.l2 / 2": "self.l2"},
            ),
            Mistake(
                "these are means: a large layer would then pay no more than a small one. (1) has sums.",
                {"ops.sum(ops.abs": "ops.mean(ops.abs", "ops.sum(ops.square": "ops.mean(ops.square"},
            ),
            Mistake(
                "without the absolute value, negative weights earn money: the cheapest weight is −∞.",
                {"ops.abs(weights)": "weights"},
            ),
            Mistake(
                "this is the length of the weights, not its square: the pull no longer fades as they shrink.",
                {"ops.sum(ops.square(weights))": "ops.sqrt(ops.sum(ops.square(weights)))"},
            ),
            Mistake(
                "the two prices have changed places.",
                {"self.l1 *": "self.l2 *", "self.l2 / 2": "self.l1 / 2"},
            ),
            Mistake(
                "the l1 price is missing.",
                {"self.l1 * ops.sum(ops.abs(weights)) + ": ""},
            ),
            Mistake(
                "the half stands in front of both sums: it belongs to the squares, where the derivative brings a 2.",
                {"self.l1 * ops": "self.l1 / 2 * ops"},
            ),
            Mistake(
                "the prices are always 0.01: use the arguments.",
                {"self.l1 = l1": "self.l1 = 0.01", "self.l2 = l2": "self.l2 = 0.01"},
            ),
            Mistake(
                "NumPy has taken the value out of the graph: the number is right, but no gradient flows back, so the "
                "penalty would change nothing. Use `keras.ops`.",
                {
                    "ops.sum(ops.abs(weights))": "ops.cast(np.sum(np.abs(weights)), weights.dtype)",
                    "ops.sum(ops.square(weights))": "ops.cast(np.sum(np.square(weights)), weights.dtype)",
                },
            ),
            Mistake(
                "one price for each weight is returned: Keras wants one number, the sum.",
                {
                    "ops.sum(ops.abs(weights))": "ops.abs(weights)",
                    "ops.sum(ops.square(weights))": "ops.square(weights)",
                },
            ),
        ),
        variants=(
            Variant(
                "one sum over both",
                {
                    "self.l1 * ops.sum(ops.abs(weights)) + self.l2 / 2 * ops.sum(ops.square(weights))": "ops.sum(self.l1 * ops.abs(weights) + 0.5 * self.l2 * weights * weights)"
                },
            ),
            Variant(
                "a dot product and signs",
                {
                    "ops.sum(ops.abs(weights))": "ops.sum(weights * ops.sign(weights))",
                    "ops.sum(ops.square(weights))": "ops.dot(ops.ravel(weights), ops.ravel(weights))",
                },
            ),
            Variant(
                "written in TensorFlow",
                code="""import tensorflow as tf


class ElasticNet(keras.regularizers.Regularizer):
    def __init__(self, l1=0.01, l2=0.01):
        self.prices = l1, l2

    def __call__(self, weights):
        l1, l2 = self.prices
        total = tf.zeros((), weights.dtype)
        if l1:
            total += l1 * tf.reduce_sum(tf.abs(weights))
        if l2:
            total += l2 * tf.reduce_sum(weights**2) / 2
        return total
""",
            ),
        ),
    ),
    Exercise(
        id="soft_threshold",
        title="Landing on zero",
        points=2,
        task="move each weight towards zero by the threshold, and stop at zero: equation (2).",
        cases=soft_threshold_cases,
        reference=soft_threshold_reference,
        defines=("SoftThreshold",),
        bases={"SoftThreshold": "keras.constraints.Constraint"},
        forbids=(
            "keras.ops.soft_shrink",
            "keras.activations",
            "sklearn",
        ),
        mistakes=(
            Mistake(
                "small weights are set to zero, but large ones are not shrunk: that is the hard threshold. (2) moves "
                "every weight by t.",
                {
                    "ops.sign(weights) * ops.maximum(ops.abs(weights) - self.threshold, 0.0)": "weights * ops.cast(ops.abs(weights) > self.threshold, weights.dtype)"
                },
            ),
            Mistake(
                "weights are pulled past zero: they change sign and swing. The maximum with 0 stops them there.",
                {
                    "ops.maximum(ops.abs(weights) - self.threshold, 0.0)": "(ops.abs(weights) - self.threshold)"
                },
            ),
            Mistake(
                "the sign is lost: negative weights come out positive.",
                {"ops.sign(weights) * ": ""},
            ),
            Mistake(
                "only positive weights are handled: t must be taken from the size, not from the value.",
                {
                    "ops.sign(weights) * ops.maximum(ops.abs(weights) - self.threshold, 0.0)": "ops.maximum(weights - self.threshold, 0.0)"
                },
            ),
            Mistake(
                "weights grow: the threshold is added instead of taken off.",
                {"- self.threshold": "+ self.threshold"},
            ),
            Mistake(
                "the weights are multiplied: that is the pull of the squared penalty, which never arrives at zero.",
                {
                    "ops.sign(weights) * ops.maximum(ops.abs(weights) - self.threshold, 0.0)": "weights * (1 - self.threshold)"
                },
            ),
            Mistake(
                "the weights are cut off at the threshold: clipping keeps the small ones and changes the large ones, "
                "the other way round.",
                {
                    "ops.sign(weights) * ops.maximum(ops.abs(weights) - self.threshold, 0.0)": "ops.clip(weights, -self.threshold, self.threshold)"
                },
            ),
            Mistake(
                "the threshold is fixed: use the argument.",
                {"self.threshold = threshold": "self.threshold = 0.01"},
            ),
        ),
        variants=(
            Variant(
                "what is left when the clipped part is taken off",
                {
                    "ops.sign(weights) * ops.maximum(ops.abs(weights) - self.threshold, 0.0)": "ops.where(ops.abs(weights) > self.threshold, weights - self.threshold * ops.sign(weights),"
                    " 0.0 * ops.clip(weights, -1.0, 1.0))"
                },
            ),
            Variant(
                "both sides added",
                {
                    "ops.sign(weights) * ops.maximum(ops.abs(weights) - self.threshold, 0.0)": "ops.maximum(weights - self.threshold, 0.0) + ops.minimum(weights + self.threshold, 0.0)"
                },
            ),
            Variant(
                "by choosing",
                code="""class SoftThreshold(keras.constraints.Constraint):
    def __init__(self, threshold):
        self.t = threshold

    def __call__(self, w):
        nearer = ops.where(w > 0, w - self.t, w + self.t)
        return ops.where(ops.abs(w) <= self.t, ops.zeros_like(w), nearer)
""",
            ),
        ),
    ),
    Exercise(
        id="dropout_layer",
        title="Dropout",
        points=4,
        parts={"training": 3, "graph": 1},
        task="draw a mask of the shape of the inputs while training; return the inputs as they are otherwise.",
        cases=dropout_cases,
        reference=dropout_reference,
        computes=dropout_statistics,
        defines=("Dropout",),
        bases={"Dropout": "keras.layers.Layer"},
        forbids=DROPPED,
        mistakes=(
            Mistake(
                "the rate is used as the probability of keeping: in Keras and here it is that of dropping.",
                {">= self.rate": "< self.rate", "(1 - self.rate)": "self.rate"},
            ),
            Mistake(
                "what is kept is not scaled up: in training the next layer sees smaller sums than at prediction.",
                {"inputs / (1 - self.rate)": "inputs"},
            ),
            Mistake(
                "what is kept is scaled down: divide by 1 − r, so that the expectation is x again.",
                {"inputs / (1 - self.rate)": "inputs * (1 - self.rate)"},
            ),
            Mistake(
                "what is kept is divided by r: the part that is left is 1 − r.",
                {"/ (1 - self.rate)": "/ self.rate"},
            ),
            Mistake(
                "the outputs are scaled at prediction as well: (3) has done that in training, and a second time "
                "makes them too small.",
                {"            return inputs\n": "            return inputs * (1 - self.rate)\n"},
            ),
            Mistake(
                "it drops at prediction too: without training the layer returns its inputs.",
                {"        if not training:\n            return inputs\n": ""},
            ),
            Mistake(
                "training and prediction are exchanged.",
                {"if not training": "if training"},
            ),
            Mistake(
                "all examples share one mask: the mask must have the shape of the inputs, the batch included.",
                {"ops.shape(inputs), seed": "ops.shape(inputs)[1:], seed"},
            ),
            Mistake(
                "whole examples are dropped: each unit must have a random number of its own.",
                {
                    "keras.random.uniform(ops.shape(inputs), seed": "keras.random.uniform((ops.shape(inputs)[0], 1), seed"
                },
            ),
            Mistake(
                "the same mask comes every time: a number as seed is the same numbers at every call. The "
                "`SeedGenerator` moves on.",
                {"seed=self.seed_generator": "seed=1"},
            ),
            Mistake(
                "the mask is drawn with NumPy: a compiled step has drawn it once and for all, and no seed fixes it.",
                {
                    "keras.random.uniform(ops.shape(inputs), seed=self.seed_generator)": "np.random.random(inputs.shape)"
                },
            ),
            Mistake(
                "the seed is not used: the same seed must give the same masks, or nothing can be repeated.",
                {"seed=self.seed_generator)": "seed=None)"},
            ),
        ),
        variants=(
            Variant(
                "multiplies by a mask of numbers",
                {
                    "ops.where(kept, inputs / (1 - self.rate), 0.0)": "inputs * ops.cast(kept, inputs.dtype) / (1 - self.rate)"
                },
            ),
            Variant(
                "draws the dropped ones by Bernoulli",
                {
                    "keras.random.uniform(ops.shape(inputs), seed=self.seed_generator) >= self.rate": "keras.random.binomial(ops.shape(inputs), 1, 1 - self.rate, seed=self.seed_generator) > 0.5"
                },
            ),
            Variant(
                "rounds down to a mask",
                code="""class Dropout(keras.layers.Layer):
    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.keep, self.source = 1.0 - rate, keras.random.SeedGenerator(seed)

    def call(self, x, training=None):
        if training:
            noise = keras.random.uniform(ops.shape(x), seed=self.source)
            x = x / self.keep * ops.floor(noise + self.keep)
        return x
""",
            ),
        ),
    ),
    Exercise(
        id="two_votes",
        title="Two ways to vote",
        points=3,
        task="write (4), a mean of probabilities over the given masks, and (5), one pass with scaled units.",
        cases=two_votes_cases,
        reference=two_votes_reference,
        defines=("vote_by_sampling", "vote_by_scaling"),
        forbids=("keras", "tensorflow", "scipy"),
        mistakes=(
            Mistake(
                "the sums are averaged before the softmax: that is the geometric mean, which (5) has for one pass. "
                "Sampling averages probabilities.",
                {
                    "np.mean([softmax((h * mask) @ W + b) for mask in masks], axis=0)": "softmax(np.mean([(h * mask) @ W + b for mask in masks], axis=0))"
                },
            ),
            Mistake(
                "each mask votes for one class: a count of winners forgets how sure each was. Average the probabilities.",
                {
                    "softmax((h * mask) @ W + b) for": "np.eye(len(b), dtype=h.dtype)[((h * mask) @ W + b).argmax(axis=-1)] for"
                },
            ),
            Mistake(
                "the probabilities are added up and not averaged: they must sum to 1.",
                {"np.mean([softmax": "np.sum([softmax"},
            ),
            Mistake(
                "the mean runs over the examples: it must run over the masks, axis 0 of the stack.",
                {"for mask in masks], axis=0)": "for mask in masks], axis=1)"},
            ),
            Mistake(
                "scaling multiplies by the rate of dropping: a unit was there with probability 1 − r.",
                {"(1 - rate) * h": "rate * h"},
            ),
            Mistake(
                "scaling divides: nothing was scaled up in training, so the whole network's sums are too large and "
                "must shrink.",
                {"(1 - rate) * h": "h / (1 - rate)"},
            ),
            Mistake(
                "the bias is scaled too: it belongs to no unit and was always there.",
                {"(1 - rate) * h @ W + b": "(1 - rate) * (h @ W + b)"},
            ),
            Mistake(
                "scaling scales nothing: all units together give larger sums than any thinned network saw.",
                {"(1 - rate) * h": "h"},
            ),
            Mistake(
                "the thinned networks are scaled up by the units that they lost: in this exercise nothing is.",
                {"(h * mask) @ W": "(h * mask / mask.mean()) @ W"},
            ),
            Mistake(
                "masks are drawn anew: the given ones must vote, or the answer differs every time.",
                {"for mask in masks]": "for mask in np.random.random(masks.shape) < masks.mean()]"},
            ),
            Mistake(
                "the scaled probabilities are multiplied, not the units: softmax must come last.",
                {"softmax((1 - rate) * h @ W + b)": "(1 - rate) * softmax(h @ W + b)"},
            ),
            Mistake(
                "the caller's h has been changed: `*=` writes into the array that was handed over.",
                {
                    "    return softmax((1 - rate) * h @ W + b)": "    h *= 1 - rate\n    return softmax(h @ W + b)"
                },
            ),
        ),
        variants=(
            Variant(
                "all masks at once",
                {
                    "np.mean([softmax((h * mask) @ W + b) for mask in masks], axis=0)": "softmax((h * masks[:, None]) @ W + b).mean(axis=0)"
                },
            ),
            Variant(
                "thins and scales the weights instead of the units",
                {"(h * mask) @ W": "h @ (mask[:, None] * W)", "(1 - rate) * h @ W": "h @ (W * (1 - rate))"},
            ),
            Variant(
                "adds up in a loop",
                {
                    "    return np.mean([softmax((h * mask) @ W + b) for mask in masks], axis=0)": "    total = 0.0\n    for k in range(len(masks)):\n"
                    "        total = total + softmax(np.einsum('nu,u,uc->nc', h, masks[k], W) + b)\n"
                    "    return total / len(masks)"
                },
            ),
        ),
    ),
    Exercise(
        id="early_stopping",
        title="Stop in time",
        points=4,
        task="keep the best loss, a copy of its weights and a count of epochs; compare in `on_epoch_end`.",
        cases=early_stopping_cases,
        reference=early_stopping_reference,
        defines=("EarlyStopping",),
        bases={"EarlyStopping": "keras.callbacks.Callback"},
        forbids=("keras.callbacks",),
        mistakes=(
            Mistake(
                "the last weights come back: those of the best epoch must be kept and restored, and kept as copies "
                "(`get_weights` makes them; the variables in `weights` go on changing).",
                {"            self.model.set_weights(self.best_weights)": "            pass"},
            ),
            Mistake(
                "the best weights are restored only when training was stopped: it may also run through all its epochs.",
                {
                    "if self.best_weights is not None:": "if self.best_weights is not None and self.model.stop_training:"
                },
            ),
            Mistake(
                "it stops one epoch too late: after `patience` epochs without a better one it is time.",
                {"self.waited >= self.patience": "self.waited > self.patience"},
            ),
            Mistake(
                "it stops one epoch too early: the best epoch itself does not count as waiting.",
                {"self.waited >= self.patience": "self.waited >= self.patience - 1"},
            ),
            Mistake(
                "the count never goes back to 0: `patience` epochs *in a row* must pass without a better one.",
                {"            self.waited = 0\n            return": "            return"},
            ),
            Mistake(
                "each epoch is compared with the one before: a small improvement above the best counts as a new best.",
                {
                    "        if logs": '        loss, self.last = logs["val_loss"], getattr(self, "last", np.inf) if epoch else np.inf\n        if logs',
                    'logs["val_loss"] < self.best': "loss < self.last",
                    "            self.waited = 0\n            return": "            self.waited, self.last = 0, loss\n            return",
                    "        self.waited += 1": "        self.waited, self.last = self.waited + 1, loss",
                },
            ),
            Mistake(
                "an equal loss counts as better: training on a plateau would never end.",
                {'logs["val_loss"] < self.best': 'logs["val_loss"] <= self.best'},
            ),
            Mistake(
                "the larger loss wins: a loss is better when it is lower.",
                {
                    "self.best = np.inf": "self.best = -np.inf",
                    'logs["val_loss"] < self.best': 'logs["val_loss"] > self.best',
                },
            ),
            Mistake(
                "the training loss is watched: it falls for ever. Overfitting shows in `val_loss` only.",
                {
                    'if logs["val_loss"] < self.best': 'if logs["loss"] < self.best',
                    'self.best = logs["val_loss"]': 'self.best = logs["loss"]',
                },
            ),
            Mistake(
                "nan counts as better: every comparison with nan is false, so ask `v < best` and not whether v is no "
                "worse.",
                {'if logs["val_loss"] < self.best': 'if not logs["val_loss"] >= self.best'},
            ),
            Mistake(
                "the second `fit` remembers the first: what is kept must be reset in `on_train_begin`.",
                {
                    "        self.best = np.inf\n        self.best_weights = None\n        self.waited = 0\n": '        if hasattr(self, "best"):\n            return\n        self.best = np.inf\n        self.best_weights = None\n        self.waited = 0\n'
                },
            ),
            Mistake(
                "it never stops: `self.model.stop_training = True` tells `fit` so.",
                {"            self.model.stop_training = True": "            self.stopped = True"},
            ),
        ),
        variants=(
            Variant(
                "remembers the epoch instead of counting",
                code="""class EarlyStopping(keras.callbacks.Callback):
    def __init__(self, patience=5):
        super().__init__()
        self.patience = patience

    def on_train_begin(self, logs=None):
        self.losses, self.kept, self.at = [], None, -1

    def on_epoch_end(self, epoch, logs=None):
        value = float(logs["val_loss"])
        if all(value < old for old in self.losses) and value == value:
            self.kept, self.at = [np.array(w) for w in self.model.weights], epoch
        if value == value:
            self.losses.append(value)
        self.model.stop_training = epoch - self.at >= self.patience

    def on_train_end(self, logs=None):
        for variable, value in zip(self.model.weights, self.kept or []):
            variable.assign(value)
""",
            ),
            Variant(
                "counts down",
                {
                    "        self.waited = 0\n\n": "        self.left = self.patience\n\n",
                    "            self.waited = 0\n            return": "            self.left = self.patience\n            return",
                    "        self.waited += 1\n        if self.waited >= self.patience:": "        self.left -= 1\n        if not self.left:",
                },
            ),
            Variant(
                "restores at once when it stops, and at the end",
                {
                    "            self.model.stop_training = True": "            self.model.stop_training = True\n            self.on_train_end()",
                },
            ),
        ),
    ),
]
