"""The judge's side of the lab on greedy pretraining: cases, references, known mistakes, right variants. NumPy only."""

import numpy as np

from tf_kit.grading import Close, Exercise, Mistake, Variant

PARTS = {"values": 2, "graph": 1}
IN_A_GRAPH = "in a compiled graph, number of examples unknown"
STATIC_SHAPE = (
    "`x.shape[0]` is None while a graph is built, because the last minibatch may be shorter. `ops.shape(x)[0]`, "
    "`ops.mean` and `ops.sum` read the number of examples when the step runs."
)
NUMPY_INSIDE = (
    "this uses NumPy inside. Tried out on its own it works, but a training step is compiled, and a tensor in a graph "
    "has no value yet that NumPy could take. Use `keras.ops`."
)


def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


def softplus(z):
    return np.logaddexp(0, z)


def exact(case, *names):
    """Arrays of a case as the answer got them, in float64."""
    return [np.asarray(case[name]).astype("float64") for name in names]


def machine(rng, n, features, units, scale=1.0, dtype="float32", **case):
    """A case with n examples in [0, 1], some of them 0 and 1 exactly, and the weights of one layer."""
    x = np.clip(rng.uniform(-0.3, 1.3, size=(n, features)), 0, 1)
    return {
        "x": x.astype(dtype),
        "kernel": (scale * rng.normal(size=(features, units))).astype(dtype),
        "hidden_bias": rng.normal(size=units).astype(dtype),
        "visible_bias": rng.normal(size=features).astype(dtype),
        "dtype": dtype,
        **case,
    }


def machines(case_of=lambda rng, case: case):
    """Cases of a layer: shapes, one example, a square matrix, weights that saturate, float64, a graph."""

    def cases(rng):
        drawn = [
            machine(rng, 4, 5, 3, about="4 examples, 5 features, 3 units"),
            machine(rng, 1, 3, 6, about="one example"),
            machine(rng, 5, 4, 4, about="as many units as features"),
            machine(rng, 3, 6, 4, scale=80.0, about="very large weights"),
            machine(rng, 6, 4, 2, dtype="float64", about="float64"),
            machine(rng, 5, 4, 3, about=IN_A_GRAPH, compiled=True, part="graph"),
        ]
        return [case_of(rng, case) for case in drawn]

    return cases


def reconstructed(case):
    x, w, b, c = exact(case, "x", "kernel", "hidden_bias", "visible_bias")
    h = sigmoid(x @ w + b)  # (1)
    z = h @ w.T + c  # (2)
    return {"loss": np.mean(np.sum(softplus(z) - x * z, axis=1))}  # (3)


RECONSTRUCTION_LOSS = Exercise(
    id="reconstruction_loss",
    title="Loss of a tied autoencoder",
    points=3,
    parts=PARTS,
    task="`reconstruction_loss` is as it was handed out. Compute h, then the logits z, then the loss (3).",
    cases=machines(),
    reference=reconstructed,
    defines=("reconstruction_loss",),
    forbids=(
        "keras.losses",
        "keras.ops.binary_crossentropy",
        "tensorflow.nn.sigmoid_cross_entropy_with_logits",
        "sklearn",
    ),
    mistakes=(
        Mistake(
            "the loss is averaged over the features as well. (3) sums them: what an image costs is what all its "
            "pixels cost, and an average makes every step as many times too small as there are features.",
            {"ops.mean(ops.sum(cost, axis=-1))": "ops.mean(cost)"},
        ),
        Mistake(
            "the loss is summed over the examples. It should be their mean, or the step grows with the minibatch.",
            {"ops.mean(ops.sum(cost, axis=-1))": "ops.sum(cost)"},
        ),
        Mistake(
            "the hidden units are linear: the sigmoid of (1) is missing. Two linear layers in a row can do no more "
            "than principal components.",
            {"ops.sigmoid(ops.matmul(x, kernel) + hidden_bias)": "ops.matmul(x, kernel) + hidden_bias"},
        ),
        Mistake(
            "the sign is wrong: this is the log-likelihood. Whoever minimizes it makes the reconstruction worse.",
            {"ops.softplus(z) - x * z": "x * z - ops.softplus(z)"},
        ),
        Mistake(
            "only the white pixels are paid for: the half −(1 − x) log(1 − σ(z)) is missing, so that an all-white "
            "reconstruction would cost nothing.",
            {"ops.softplus(z) - x * z": "x * (ops.softplus(z) - z)"},
        ),
        Mistake(
            "the logarithm is taken of a sigmoid that has rounded to 0 or 1, and the loss becomes inf or nan. "
            "In the form (3) nothing can overflow.",
            {
                "ops.softplus(z) - x * z": "-x * ops.log(ops.sigmoid(z)) - (1 - x) * ops.log(1 - ops.sigmoid(z))",
            },
        ),
        Mistake(
            "the probability is kept off 0 and 1 by a small constant, so a pixel that is certain and wrong costs "
            "about 16 instead of its logit, and its gradient is gone. In the form (3) nothing needs clipping.",
            code="""def reconstruction_loss(x, kernel, hidden_bias, visible_bias):
    h = ops.sigmoid(ops.matmul(x, kernel) + hidden_bias)
    p = ops.clip(ops.sigmoid(ops.matmul(h, ops.transpose(kernel)) + visible_bias), 1e-7, 1 - 1e-7)
    return ops.mean(ops.sum(-x * ops.log(p) - (1 - x) * ops.log(1 - p), axis=-1))
""",
        ),
        Mistake(
            "the sigmoid is applied twice: (3) takes the logits z themselves.",
            {
                "ops.matmul(h, ops.transpose(kernel)) + visible_bias": "ops.sigmoid(ops.matmul(h, ops.transpose(kernel)) + visible_bias)",
            },
        ),
        Mistake(
            "the decoder uses the matrix as it is. The way back needs its transpose; with as many units as features "
            "even the shapes fit.",
            {"ops.transpose(kernel)": "kernel"},
        ),
        Mistake(
            "this is the squared error. Inputs in [0, 1] are read as probabilities here, and behind a sigmoid the "
            "squared error stops teaching where the unit is saturated and wrong.",
            {"ops.softplus(z) - x * z": "ops.square(ops.sigmoid(z) - x)"},
        ),
        Mistake(
            STATIC_SHAPE,
            {"ops.mean(ops.sum(cost, axis=-1))": "ops.sum(cost) / x.shape[0]"},
        ),
        Mistake(
            NUMPY_INSIDE,
            {"cost = ops.softplus(z) - x * z": "cost = np.logaddexp(np.zeros_like(z), z) - x * z"},
        ),
    ),
    variants=(
        Variant(
            "writes softplus out",
            {"ops.softplus(z) - x * z": "ops.maximum(z, 0) - x * z + ops.log1p(ops.exp(-ops.abs(z)))"},
        ),
        Variant(
            "takes log-sigmoids of z and of −z",
            {"ops.softplus(z) - x * z": "-x * ops.log_sigmoid(z) - (1 - x) * ops.log_sigmoid(-z)"},
        ),
        Variant(
            "einsum, and divides by the number of examples",
            code="""def reconstruction_loss(x, kernel, hidden_bias, visible_bias):
    h = ops.sigmoid(ops.einsum("nf,fu->nu", x, kernel) + hidden_bias)
    z = ops.einsum("nu,fu->nf", h, kernel) + visible_bias
    return ops.sum(ops.softplus(z) - x * z) / ops.cast(ops.shape(x)[0], x.dtype)
""",
        ),
        Variant(
            "TensorFlow's own names",
            code="""import tensorflow as tf


def reconstruction_loss(x, kernel, hidden_bias, visible_bias):
    z = tf.matmul(tf.sigmoid(x @ kernel + hidden_bias), kernel, transpose_b=True) + visible_bias
    return tf.reduce_mean(tf.reduce_sum(tf.nn.softplus(z) - x * z, axis=1))
""",
        ),
    ),
)


def holes(rng):
    """Cases of corruption; no uniform number lies so near the rate that rounding could decide."""
    shapes = [
        ((4, 6), 0.3, "float32", "4 examples"),
        ((3, 5), 0.75, "float32", "a high rate"),
        ((1, 8), 0.4, "float32", "one example"),
        ((2, 3, 4), 0.5, "float32", "images with two axes"),
        ((3, 4), 0.25, "float64", "float64"),
    ]
    cases = [hole(rng, *shape) for shape in shapes]
    cases.append(
        {
            **hole(rng, (3, 4), 0.0, "float32", "rate 0: nothing is lost"),
            "uniform": np.eye(3, 4, dtype="float32"),
        }
    )
    cases.append({**hole(rng, (4, 5), 0.4, "float32", IN_A_GRAPH), "compiled": True, "part": "graph"})
    return cases


def hole(rng, shape, rate, dtype, about):
    uniform = rng.uniform(size=shape)
    uniform = np.where(np.abs(uniform - rate) < 1e-3, 0.99 * (1 - rate), uniform)
    uniform.flat[0], uniform.flat[-1] = 0.5 * rate, 0.5 * (1 + rate)  # one lost and one kept at least
    x = rng.uniform(0.1, 1, size=shape)
    return {
        "about": about,
        "x": x.astype(dtype),
        "uniform": uniform.astype(dtype),
        "rate": rate,
        "dtype": dtype,
    }


def wiped(case):
    x, u = exact(case, "x", "uniform")
    return {"corrupted": np.where(u < case["rate"], 0.0, x)}  # (4)


CORRUPT = Exercise(
    id="corrupt",
    title="Corruption",
    points=2,
    parts={"values": 1, "graph": 1},
    task="`corrupt` is as it was handed out. Put a zero wherever the uniform number lies below the rate.",
    cases=holes,
    reference=wiped,
    defines=("corrupt",),
    forbids=(
        "keras.layers",
        "keras.random",
        "tensorflow.nn.dropout",
        "keras.ops.dropout",
        "sklearn",
    ),
    mistakes=(
        Mistake(
            "kept and lost are the wrong way round: `rate` is the probability that a feature is lost.",
            {"uniform < rate": "uniform >= rate"},
        ),
        Mistake(
            "what is left is scaled up by 1/(1 − rate), as dropout does. There it keeps the mean of a unit's input; "
            "here the network is to see ordinary pixels with holes among them.",
            {"ops.zeros_like(x), x)": "ops.zeros_like(x), x / (1 - rate))"},
        ),
        Mistake(
            "every example loses the same features: the numbers of the first example decide for all. "
            "The layer then never has to fill in the others.",
            {"uniform < rate": "ops.broadcast_to(uniform[:1] < rate, ops.shape(x))"},
        ),
        Mistake(
            "an example is lost as a whole or not at all: (4) draws for each feature on its own, so that what "
            "remains can tell what is missing.",
            {"uniform < rate": "ops.broadcast_to(uniform[:, :1] < rate, ops.shape(x))"},
        ),
        Mistake(
            "the rate is always 0.3: use the argument.",
            {"uniform < rate": "uniform < 0.3"},
        ),
        Mistake(
            "noise is added instead of features being wiped out: what is lost is to be 0, whatever stood there.",
            {"ops.zeros_like(x), x)": "uniform, x)"},
        ),
        Mistake(
            "the mask itself is returned, not the inputs behind it.",
            {"ops.where(uniform < rate, ops.zeros_like(x), x)": "ops.cast(uniform >= rate, x.dtype)"},
        ),
        Mistake(
            "at a rate of 0 something is lost: the comparison takes `u = rate` along. A number from [0, 1) lies below "
            "the rate with exactly that probability only when equality does not count.",
            {"uniform < rate": "uniform <= rate"},
        ),
        Mistake(
            NUMPY_INSIDE,
            code="""def corrupt(x, uniform, rate):
    corrupted = np.array(x)
    corrupted[np.array(uniform) < rate] = 0
    return corrupted
""",
        ),
    ),
    variants=(
        Variant(
            "multiplies by a mask",
            {"ops.where(uniform < rate, ops.zeros_like(x), x)": "x * ops.cast(uniform >= rate, x.dtype)"},
        ),
        Variant(
            "subtracts what is lost",
            {
                "ops.where(uniform < rate, ops.zeros_like(x), x)": "x - x * ops.cast(ops.less(uniform, rate), x.dtype)"
            },
        ),
        Variant(
            "TensorFlow's own names",
            code="""import tensorflow as tf


def corrupt(x, uniform, rate):
    return tf.where(tf.greater_equal(uniform, rate), x, tf.zeros_like(x))
""",
        ),
    ),
)


def corrupted(rng, case):
    """A layer's case with holes in what the hidden units see."""
    clean = case.pop("x")
    kept = rng.uniform(size=clean.shape) > 0.3
    kept.flat[0] = False
    clean.flat[0] = 0.7
    return {**case, "clean": clean, "corrupted": clean * kept.astype(clean.dtype)}


def tied(case):
    seen, x, w, b, c = exact(case, "corrupted", "clean", "kernel", "hidden_bias", "visible_bias")
    h = sigmoid(seen @ w + b)
    z = h @ w.T + c
    delta_z = (sigmoid(z) - x) / len(x)  # (5)
    delta_h = (delta_z @ w) * h * (1 - h)  # (6)
    return {
        "kernel": seen.T @ delta_h + delta_z.T @ h,  # (7)
        "hidden_bias": delta_h.sum(axis=0),
        "visible_bias": delta_z.sum(axis=0),
    }


def moderate(cases):
    """Without the case of very large weights: there the gradients of the hidden units vanish in rounding."""
    return lambda rng: [case for case in cases(rng) if "large" not in case["about"]]


TIED_GRADIENTS = Exercise(
    id="tied_gradients",
    title="Gradient of a denoising autoencoder",
    points=4,
    parts={"values": 3, "graph": 1},
    task="`tied_gradients` is as it was handed out. Write the errors (5) and (6), then both terms of (7).",
    cases=moderate(machines(corrupted)),
    reference=tied,
    defines=("tied_gradients",),
    forbids=("sklearn",),
    tolerances={"float32": (2e-4, 2e-6)},
    mistakes=(
        Mistake(
            "the gradient of the matrix has the decoder's term only. The encoder uses the same matrix, so what goes "
            "wrong there must reach it as well.",
            {"return encoder_part + decoder_part,": "return decoder_part,"},
        ),
        Mistake(
            "the gradient of the matrix has the encoder's term only, as if the decoder had weights of its own. "
            "Tied weights collect from both uses.",
            {"return encoder_part + decoder_part,": "return encoder_part,"},
        ),
        Mistake(
            "the errors are summed over the examples, not averaged: the step grows with the minibatch.",
            {" / ops.cast(ops.shape(clean)[0], clean.dtype)": ""},
        ),
        Mistake(
            "the derivative of the hidden sigmoid, h(1 − h), is missing from (6).",
            {" * h * (1 - h)": ""},
        ),
        Mistake(
            "the output's error has the factor σ'(z), which belongs to the squared error. With cross-entropy it "
            "cancels, and that is the reason for using it: a unit that is saturated and wrong still learns.",
            {
                "(ops.sigmoid(z) - clean) / ops.cast": "(ops.sigmoid(z) - clean) * ops.sigmoid(z) * (1 - ops.sigmoid(z)) / ops.cast",
            },
        ),
        Mistake(
            "the target is the corrupted input. The layer is then praised for leaving the holes as they are; it is "
            "the clean input that it has to find.",
            {"ops.sigmoid(z) - clean": "ops.sigmoid(z) - corrupted"},
        ),
        Mistake(
            "the hidden units see the clean input: nothing has to be filled in, and this is an ordinary autoencoder.",
            {
                "ops.matmul(corrupted, kernel) + hidden_bias": "ops.matmul(clean, kernel) + hidden_bias",
                "ops.transpose(corrupted)": "ops.transpose(clean)",
            },
        ),
        Mistake(
            "the encoder's term multiplies with the clean input. A weight is changed by what came in through it, and "
            "that was the corrupted one.",
            {"ops.transpose(corrupted)": "ops.transpose(clean)"},
        ),
        Mistake(
            "the error is the wrong way round, x − σ(z): descending along this makes the reconstruction worse.",
            {"(ops.sigmoid(z) - clean)": "(clean - ops.sigmoid(z))"},
        ),
        Mistake(
            STATIC_SHAPE,
            {"ops.cast(ops.shape(clean)[0], clean.dtype)": "clean.shape[0]"},
        ),
        Mistake(
            NUMPY_INSIDE,
            {
                "ops.sigmoid(ops.matmul(corrupted, kernel) + hidden_bias)": "1 / (1 + np.exp(-(ops.matmul(corrupted, kernel) + hidden_bias).numpy()))"
            },
        ),
    ),
    variants=(
        Variant(
            "leaves the derivative to a tape",
            code="""import tensorflow as tf


def tied_gradients(corrupted, clean, kernel, hidden_bias, visible_bias):
    with tf.GradientTape() as tape:
        tape.watch([kernel, hidden_bias, visible_bias])
        h = ops.sigmoid(ops.matmul(corrupted, kernel) + hidden_bias)
        z = ops.matmul(h, ops.transpose(kernel)) + visible_bias
        loss = ops.mean(ops.sum(ops.softplus(z) - clean * z, axis=-1))
    return tape.gradient(loss, [kernel, hidden_bias, visible_bias])
""",
        ),
        Variant(
            "divides by the number of examples at the end",
            code="""def tied_gradients(corrupted, clean, kernel, hidden_bias, visible_bias):
    h = ops.sigmoid(corrupted @ kernel + hidden_bias)
    wrong = ops.sigmoid(h @ ops.transpose(kernel) + visible_bias) - clean
    back = wrong @ kernel * (h - h * h)
    outer = ops.einsum("nf,nu->nfu", corrupted, back) + ops.einsum("nf,nu->nfu", wrong, h)
    return [ops.mean(outer, axis=0), ops.mean(back, axis=0), ops.mean(wrong, axis=0)]
""",
        ),
        Variant(
            "one product for both terms",
            {
                "return encoder_part + decoder_part,": "both = ops.concatenate([corrupted, delta_z])\n"
                "    return ops.matmul(ops.transpose(both), ops.concatenate([delta_h, h])),",
                "    encoder_part = ops.matmul(ops.transpose(corrupted), delta_h)\n": "",
                "    decoder_part = ops.matmul(ops.transpose(delta_z), h)\n": "",
            },
        ),
    ),
)


def seen(rng, case):
    return {"v": case.pop("x"), **case}


def free(case):
    v, w, b, c = exact(case, "v", "kernel", "hidden_bias", "visible_bias")
    return {"free_energy": -v @ c - np.sum(softplus(b + v @ w), axis=1)}  # (8)


FREE_ENERGY = Exercise(
    id="free_energy",
    title="Free energy",
    points=3,
    parts=PARTS,
    task="`free_energy` is as it was handed out. Both terms of (8) are negative, and there is one value an example.",
    cases=machines(seen),
    reference=free,
    defines=("free_energy",),
    forbids=("sklearn",),
    mistakes=(
        Mistake(
            "the hidden term has the wrong sign: a hidden unit that likes v lowers its free energy. With a plus, "
            "training makes the data improbable.",
            {"-visible_term - ops.sum": "-visible_term + ops.sum"},
        ),
        Mistake(
            "the visible term has the wrong sign: a positive bias makes its unit likely to be on, so it must lower "
            "the energy.",
            {"-visible_term - ops.sum": "visible_term - ops.sum"},
        ),
        Mistake(
            "this is −F: the log of the unnormalized probability. The energy is low where the probability is high.",
            {"-visible_term - ops.sum": "visible_term + ops.sum"},
        ),
        Mistake(
            "log(1 + exp(z)) overflows for large z and the energy becomes infinite. `ops.softplus` computes the same "
            "without leaving the range.",
            {"ops.softplus(hidden_logits)": "ops.log(1 + ops.exp(hidden_logits))"},
        ),
        Mistake(
            "the hidden units' probabilities are summed. That is the derivative of the free energy; the sum over all "
            "states of h gives softplus.",
            {"ops.softplus(hidden_logits)": "ops.sigmoid(hidden_logits)"},
        ),
        Mistake(
            "this is the energy with the hidden units at their means. The free energy also counts how many states "
            "they could take: softplus, not p·z.",
            {"ops.softplus(hidden_logits)": "ops.sigmoid(hidden_logits) * hidden_logits"},
        ),
        Mistake(
            "the hidden bias is outside the softplus: it belongs to what the hidden unit receives.",
            {
                "ops.matmul(v, kernel) + hidden_bias": "ops.matmul(v, kernel)",
                "ops.sum(ops.softplus(hidden_logits), axis=-1)": "ops.sum(ops.softplus(hidden_logits) + hidden_bias, axis=-1)",
            },
        ),
        Mistake(
            "this is the mean over the minibatch: each example has its own free energy, and later their differences "
            "are what counts.",
            {
                "return -visible_term - ops.sum(ops.softplus(hidden_logits), axis=-1)": "return ops.mean(-visible_term - ops.sum(ops.softplus(hidden_logits), axis=-1))"
            },
        ),
        Mistake(
            "the sum runs over the examples (axis 0): hidden units of one example are what must be summed, and no "
            "example may see another.",
            {
                "ops.sum(ops.softplus(hidden_logits), axis=-1)": "ops.sum(ops.softplus(hidden_logits), axis=0)[:1]"
            },
        ),
        Mistake(
            NUMPY_INSIDE,
            {
                "ops.sum(ops.softplus(hidden_logits), axis=-1)": "np.sum(np.logaddexp(np.zeros_like(hidden_logits), hidden_logits), axis=-1)"
            },
        ),
    ),
    variants=(
        Variant(
            "a product for the visible term",
            {"ops.sum(v * visible_bias, axis=-1)": "ops.matmul(v, visible_bias)"},
        ),
        Variant(
            "the log-sum-exp of both states of each hidden unit",
            {
                "ops.softplus(hidden_logits)": "ops.logsumexp(ops.stack([ops.zeros_like(hidden_logits), hidden_logits]), axis=0)"
            },
        ),
        Variant(
            "minus the log of the sigmoid of −z",
            {
                "- ops.sum(ops.softplus(hidden_logits), axis=-1)": "+ ops.sum(ops.log_sigmoid(-hidden_logits), axis=-1)"
            },
        ),
        Variant(
            "one example at a time",
            code="""def free_energy(v, kernel, hidden_bias, visible_bias):
    def of(one):
        z = ops.sum(one[:, None] * kernel, axis=0) + hidden_bias
        return -ops.sum(one * visible_bias) - ops.sum(ops.maximum(z, 0) + ops.log1p(ops.exp(-ops.abs(z))))

    return ops.vectorized_map(of, v)
""",
        ),
    ),
)


def chained(rng, case):
    """A case of CD-1; no uniform number lies so near its probability that rounding could decide."""
    dtype = case["dtype"]
    v, w, b, c = (case[name].astype("float64") for name in ("x", "kernel", "hidden_bias", "visible_bias"))
    p = sigmoid(v @ w + b)
    hidden_uniform = away(rng, p)
    mean = sigmoid((hidden_uniform < p) @ w.T + c)
    visible_uniform = away(rng, mean)
    case = {**case, "v": case.pop("x")}
    return {
        **case,
        "hidden_uniform": hidden_uniform.astype(dtype),
        "visible_uniform": visible_uniform.astype(dtype),
    }


def away(rng, probability):
    uniform = rng.uniform(size=probability.shape)
    near = np.abs(uniform - probability) < 1e-3
    return np.where(near, np.where(probability > 0.5, probability - 0.2, probability + 0.2), uniform)


def diverged(case):
    v, w, b, c, hidden, visible = exact(
        case, "v", "kernel", "hidden_bias", "visible_bias", "hidden_uniform", "visible_uniform"
    )
    p = sigmoid(v @ w + b)
    end = (visible < sigmoid((hidden < p) @ w.T + c)).astype("float64")  # (9)
    p_end = sigmoid(end @ w + b)
    return {
        "kernel": (end.T @ p_end - v.T @ p) / len(v),  # (10)
        "hidden_bias": np.mean(p_end - p, axis=0),  # (11)
        "visible_bias": np.mean(end - v, axis=0),
    }


CONTRASTIVE_DIVERGENCE = Exercise(
    id="contrastive_divergence",
    title="Contrastive divergence",
    points=4,
    parts={"values": 3, "graph": 1},
    task="`contrastive_divergence` is as it was handed out. Run the chain (9) for one step, then take (10) and (11).",
    cases=moderate(machines(chained)),
    reference=diverged,
    defines=("contrastive_divergence",),
    forbids=("sklearn",),
    tolerances={"float32": (2e-4, 2e-6)},
    mistakes=(
        Mistake(
            "the data stand with a plus: this is the update that some texts print, and descending along it makes the "
            "data improbable. As the gradient of a cost, the data lower it.",
            {
                "(negative - positive) / n": "(positive - negative) / n",
                "ops.sum(p_end - p, axis=0) / n": "ops.sum(p - p_end, axis=0) / n",
                "ops.sum(v_end - v, axis=0) / n": "ops.sum(v - v_end, axis=0) / n",
            },
        ),
        Mistake(
            "the statistics of the data use the sampled hidden units. Their probabilities have the same mean "
            "without the noise; sampling is for the chain.",
            {
                "ops.matmul(ops.transpose(v), p)": "ops.matmul(ops.transpose(v), h)",
                "ops.sum(p_end - p, axis=0)": "ops.sum(p_end - h, axis=0)",
            },
        ),
        Mistake(
            "the chain is fed with the hidden probabilities instead of samples: so much gets through that this is "
            "an autoencoder, and the machine never sees where it would drift.",
            {"ops.matmul(h, ops.transpose(kernel))": "ops.matmul(p, ops.transpose(kernel))"},
        ),
        Mistake(
            "the chain ends at probabilities: (9) samples the visible units too.",
            {"ops.cast(visible_uniform < visible_mean, v.dtype)": "visible_mean"},
        ),
        Mistake(
            "the comparison is the wrong way round: a unit must be on with probability p, and a uniform number lies "
            "*below* p that often.",
            {
                "hidden_uniform < p": "hidden_uniform > p",
                "visible_uniform < visible_mean": "visible_uniform > visible_mean",
            },
        ),
        Mistake(
            "the hidden units are rounded, not sampled: without noise the chain is always at the same place and "
            "what is likely around the data is never visited.",
            {"hidden_uniform < p": "p > 0.5"},
        ),
        Mistake(
            "the negative statistics use the hidden units of the data. They must be computed anew from the end of "
            "the chain.",
            {"p_end = ops.sigmoid(ops.matmul(v_end, kernel) + hidden_bias)": "p_end = p"},
        ),
        Mistake(
            "the sums are not divided by the number of examples: the step grows with the minibatch.",
            {"n = ops.cast(ops.shape(v)[0], v.dtype)": "n = 1"},
        ),
        Mistake(
            "only the matrix is divided by the number of examples: the biases need it as well.",
            {
                "ops.sum(p_end - p, axis=0) / n, ops.sum(v_end - v, axis=0) / n": "ops.sum(p_end - p, axis=0), ops.sum(v_end - v, axis=0)"
            },
        ),
        Mistake(
            STATIC_SHAPE,
            {"ops.cast(ops.shape(v)[0], v.dtype)": "v.shape[0]"},
        ),
        Mistake(
            "the answer draws its own random numbers. Take those that are given, so that a step can be repeated.",
            {"hidden_uniform < p": "keras.random.uniform(ops.shape(p), dtype=p.dtype) < p"},
        ),
    ),
    variants=(
        Variant(
            "the gradient of the free energies, by a tape",
            code="""import tensorflow as tf


def contrastive_divergence(v, kernel, hidden_bias, visible_bias, hidden_uniform, visible_uniform):
    def energy(units):
        z = ops.matmul(units, kernel) + hidden_bias
        return -ops.sum(units * visible_bias, axis=-1) - ops.sum(ops.softplus(z), axis=-1)

    h = ops.cast(hidden_uniform < ops.sigmoid(ops.matmul(v, kernel) + hidden_bias), v.dtype)
    mean = ops.sigmoid(ops.matmul(h, ops.transpose(kernel)) + visible_bias)
    end = ops.cast(visible_uniform < mean, v.dtype)
    with tf.GradientTape() as tape:
        weights = [kernel, hidden_bias, visible_bias]
        tape.watch(weights)
        cost = ops.mean(energy(v) - energy(end))
    return tape.gradient(cost, weights)
""",
        ),
        Variant(
            "means of outer products",
            code="""def contrastive_divergence(v, kernel, hidden_bias, visible_bias, hidden_uniform, visible_uniform):
    def hidden(units):
        return ops.sigmoid(units @ kernel + hidden_bias)

    h = ops.where(hidden_uniform < hidden(v), ops.ones_like(hidden_uniform), 0)
    end = ops.where(visible_uniform < ops.sigmoid(h @ ops.transpose(kernel) + visible_bias), ops.ones_like(v), 0)
    pairs = end[:, :, None] * hidden(end)[:, None, :] - v[:, :, None] * hidden(v)[:, None, :]
    return ops.mean(pairs, axis=0), ops.mean(hidden(end) - hidden(v), axis=0), ops.mean(end - v, axis=0)
""",
        ),
        Variant(
            "samples by the sign of p − u",
            {"ops.cast(hidden_uniform < p, v.dtype)": "ops.maximum(ops.sign(p - hidden_uniform), 0)"},
        ),
    ),
)


def stacks(rng):
    return [
        stack(rng, 4, (5, 3, 2), "three layers"),
        stack(rng, 3, (4, 4, 4, 4), "all as wide as the input", features=4),
        stack(rng, 2, (3,), "one layer"),
        stack(rng, 3, (6, 2), "float64", dtype="float64"),
    ]


def stack(rng, n, widths, about, features=4, dtype="float32"):
    case = {
        "about": about,
        "x": rng.uniform(size=(n, features)).astype(dtype),
        "widths": np.array(widths),
        "dtype": dtype,
    }
    for level, units in enumerate(widths):
        case[f"kernel_{level}"] = rng.normal(size=(features, units)).astype(dtype)
        case[f"bias_{level}"] = rng.normal(size=units).astype(dtype)
        features = units
    return case


def stacked(case):
    (representation,) = exact(case, "x")
    expected = {"widths": case["widths"], "layers": Close(np.array(len(case["widths"])))}
    for level in range(len(case["widths"])):
        kernel, bias = exact(case, f"kernel_{level}", f"bias_{level}")
        expected[f"trained on, layer {level + 1}"] = representation
        expected[f"kernel, layer {level + 1}"], expected[f"bias, layer {level + 1}"] = kernel, bias
        representation = sigmoid(representation @ kernel + bias)  # (12)
    return expected


PRETRAIN_GREEDILY = Exercise(
    id="pretrain_greedily",
    title="The greedy stack",
    points=3,
    task="`pretrain_greedily` is as it was handed out. Go through the widths; train a layer, keep it, and send the "
    "representation through it before the next.",
    cases=stacks,
    reference=stacked,
    defines=("pretrain_greedily",),
    forbids=("sklearn",),
    mistakes=(
        Mistake(
            "every layer is trained on the raw inputs. Layer l must see what the layers below it say; as it is, the "
            "layers do not fit on top of each other.",
            {"train_layer(representation, units)": "train_layer(x, units)"},
        ),
        Mistake(
            "the representation is linear: the sigmoid of (12) is missing, so the next layer learns from something "
            "that it will never see in the finished network.",
            {
                "ops.sigmoid(ops.matmul(representation, kernel) + bias)": "ops.matmul(representation, kernel) + bias"
            },
        ),
        Mistake(
            "the hidden bias is missing from the representation (12).",
            {"ops.matmul(representation, kernel) + bias": "ops.matmul(representation, kernel)"},
        ),
        Mistake(
            "the widths are gone through from the top. Greedy begins at the inputs: there is nothing yet that an "
            "upper layer could learn from.",
            {"for units in widths:": "for units in reversed(widths):"},
        ),
        Mistake(
            "a layer is applied to the raw inputs instead of to the representation below it, so only the last one "
            "counts.",
            {"ops.matmul(representation, kernel)": "ops.matmul(x, kernel)"},
        ),
        Mistake(
            "the layers below are trained again for every new one. Greedy means that each is trained once and then "
            "left alone; this costs as much as the square of the depth.",
            code="""def pretrain_greedily(x, widths, train_layer):
    for depth in range(1, len(widths) + 1):
        layers, representation = [], x
        for units in widths[:depth]:
            kernel, bias = train_layer(representation, units)
            layers.append((kernel, bias))
            representation = ops.sigmoid(ops.matmul(representation, kernel) + bias)
    return layers
""",
        ),
        Mistake(
            "the layers are returned from the top to the bottom: whoever builds the network takes them in the order "
            "of the widths.",
            {"return layers": "return layers[::-1]"},
        ),
        Mistake(
            "the representation is rounded to 0 and 1: (12) hands on the probabilities, which say more than one "
            "sample of them.",
            {
                "ops.sigmoid(ops.matmul(representation, kernel) + bias)": "ops.round(ops.sigmoid(ops.matmul(representation, kernel) + bias))"
            },
        ),
    ),
    variants=(
        Variant(
            "recursive",
            code="""def pretrain_greedily(x, widths, train_layer):
    if not widths:
        return []
    kernel, bias = train_layer(x, widths[0])
    above = pretrain_greedily(ops.sigmoid(x @ kernel + bias), widths[1:], train_layer)
    return [(kernel, bias), *above]
""",
        ),
        Variant(
            "sends the inputs through all layers so far each time",
            code="""def pretrain_greedily(x, widths, train_layer):
    layers = []

    def represent():
        r = x
        for kernel, bias in layers:
            r = ops.sigmoid(ops.dot(r, kernel) + bias)
        return r

    for units in widths:
        layers.append(tuple(train_layer(represent(), units)))
    return tuple(layers)
""",
        ),
        Variant(
            "in NumPy, as no graph is needed here",
            code="""def pretrain_greedily(x, widths, train_layer):
    r = np.array(x)
    layers = []
    for units in widths:
        layers.append([np.array(each) for each in train_layer(r, units)])
        r = 1 / (1 + np.exp(-(r @ layers[-1][0] + layers[-1][1])))
    return layers
""",
        ),
    ),
)

EXERCISES = [
    RECONSTRUCTION_LOSS,
    CORRUPT,
    TIED_GRADIENTS,
    FREE_ENERGY,
    CONTRASTIVE_DIVERGENCE,
    PRETRAIN_GREEDILY,
]
