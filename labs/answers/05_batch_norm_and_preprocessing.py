"""The judge's side of the lab on batch norm and preprocessing: cases, references, mistakes, variants. NumPy only."""

import numpy as np

from tf_kit.grading import Close, Exercise, Holds, Mistake, Variant

PREPARED = ("keras", "tensorflow", "sklearn", "scipy")
CHANGED = (
    "the caller's array has been changed in place: `-=`, `/=` and `out=` write into what was handed over."
)


def unchanged(*arrays):
    return Close(np.concatenate([np.asarray(each, "float64") for each in arrays]), dtype=None)


def standardize_cases(rng):
    def case(about, n, m, d, dtype="float64"):
        scale, shift = 10 ** rng.uniform(-1, 2, d), rng.normal(size=d) * 10
        train, test = (rng.normal(size=(k, d)) * scale + shift for k in (n, m))
        return {
            "about": about,
            "dtype": dtype,
            "train": train.astype(dtype),
            "test": (test + scale).astype(dtype),
        }

    constant = case("a feature that does not vary", 6, 4, 3)
    constant["train"][:, 1] = 7.0
    constant["test"][:, 1] = 7.0, 7.5, 6.0, 7.0
    return [
        case("three features", 8, 5, 3),
        case("one test example", 7, 1, 4),
        case("float32, as many examples as features", 5, 5, 5, "float32"),
        constant,
    ]


def standardize_reference(case):
    train, test = case["train"].astype("float64"), case["test"].astype("float64")
    results = [np.zeros_like(train), np.zeros_like(test)]
    for k in range(train.shape[1]):
        mean = sum(train[:, k]) / len(train)
        deviation = (sum((train[:, k] - mean) ** 2) / len(train)) ** 0.5
        for result, part in zip(results, (train, test), strict=True):
            result[:, k] = (part[:, k] - mean) / (deviation if deviation > 0 else 1.0)
    return {"train": results[0], "test": results[1], "arguments": unchanged(train, test)}


def pca_whitening_cases(rng):
    def case(about, n, d, epsilon, offset=3.0):
        turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
        widths = 3.0 ** np.arange(d)[::-1] * rng.uniform(0.8, 1.2, d)
        cloud = (rng.normal(size=(n, d)) * widths) @ turn.T + offset * rng.normal(size=d)
        return {"about": about, "train": cloud, "x": cloud[:3] + rng.normal(size=(3, d)), "epsilon": epsilon}

    return [
        case("three features", 30, 3, 0.0),
        case("with an epsilon", 30, 4, float(rng.uniform(0.5, 2))),
        case("far from zero", 40, 2, 0.0, offset=1000.0),
        case("fewer examples than features", 4, 6, float(rng.uniform(0.5, 2)))
        | {"x": rng.normal(size=(1, 6))},
    ]


def pca_whitening_reference(case):
    train, x = case["train"], case["x"]
    mean = train.mean(axis=0)
    _, widths, directions = np.linalg.svd(train - mean, full_matrices=True)
    variances = np.zeros(train.shape[1])
    variances[: len(widths)] = widths**2 / (len(train) - 1)
    z = (x - mean) @ directions.T / np.sqrt(np.maximum(variances, 0) + case["epsilon"])
    known = variances > 1e-9  # directions without any variance may be turned among themselves
    size = np.abs(z)
    return {
        "size_of_z": Close(size, rtol=1e-5, atol=1e-7) if known.all() else spread(size, known),
        "arguments": unchanged(train, x),
    }


def spread(size, known):
    """The directions that have no variance span a plane: only the length of z in it is defined."""

    def test(got):
        rest = np.linalg.norm(size[:, ~known], axis=1)
        return (
            got.shape == size.shape
            and np.allclose(got[:, known], size[:, known], rtol=1e-5, atol=1e-7)
            and np.allclose(np.linalg.norm(got[:, ~known], axis=1), rest, rtol=1e-5, atol=1e-7)
        )

    return Holds(test, "follow (3) where there are fewer examples than features")


def batch_norm_cases(rng):
    def case(about, shape, part="training"):
        d = shape[-1]
        found = {"about": about, "part": part, "dtype": "float32", "epsilon": float(rng.uniform(0.1, 0.5))}
        found["momentum"] = float(rng.uniform(0.3, 0.8))
        found["batches"] = (
            rng.normal(size=(3, *shape)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)
        ).astype("float32")
        found["gamma"], found["beta"] = rng.uniform(0.5, 2, d), rng.normal(size=d)
        found["moving_mean"], found["moving_variance"] = rng.normal(size=d), rng.uniform(0.5, 3, d)
        return found

    return [
        case("a table", (6, 4)),
        case("as many examples as features", (3, 3)),
        case("images", (2, 3, 3, 2)),
        case("prediction alone", (5, 3), part="prediction"),
        case("prediction for images", (3, 2, 2, 4), part="prediction"),
        case("in a compiled graph", (5, 3), part="graph"),
    ]


def batch_norm_reference(case):
    batches, epsilon, rho = case["batches"].astype("float64"), case["epsilon"], case["momentum"]
    gamma, beta, d = case["gamma"], case["beta"], len(case["gamma"])
    moving_mean, moving_variance = np.zeros(d), np.ones(d)
    outputs = []
    for batch in batches:
        rows = batch.reshape(-1, d)
        mean = rows.sum(axis=0) / len(rows)
        variance = ((rows - mean) ** 2).sum(axis=0) / len(rows)
        outputs.append(gamma * (batch - mean) / np.sqrt(variance + epsilon) + beta)
        moving_mean = rho * moving_mean + (1 - rho) * mean
        moving_variance = rho * moving_variance + (1 - rho) * variance
    if case["part"] == "prediction":
        moving_mean, moving_variance = case["moving_mean"], case["moving_variance"]
    predictions = gamma * (batches[-1][:2] - moving_mean) / np.sqrt(moving_variance + epsilon) + beta
    found = {"predictions": predictions, "moving_mean": moving_mean, "moving_variance": moving_variance}
    return found if case["part"] == "prediction" else found | {"outputs": np.stack(outputs)}


def batch_norm_gradient_cases(rng):
    def case(about, m, d, dtype="float64"):
        found = {"about": about, "dtype": dtype, "epsilon": float(rng.uniform(0.05, 0.3))}
        found["x"] = (rng.normal(size=(m, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)).astype(dtype)
        found["g"], found["gamma"] = (
            rng.normal(size=(m, d)).astype(dtype),
            rng.uniform(0.5, 2, d).astype(dtype),
        )
        return found

    equal = case("all g equal", 5, 2)
    equal["g"] = np.ones_like(equal["g"])
    return [
        case("a minibatch", 6, 3),
        case("as many examples as features, float32", 4, 4, "float32"),
        case("a batch of one", 1, 3),
        equal,
    ]


def batch_norm_gradient_reference(case):
    """By the matrix of derivatives of one feature's outputs with respect to its inputs."""
    x, g, gamma = (case[name].astype("float64") for name in ("x", "g", "gamma"))
    m, d = x.shape
    dx, dgamma = np.zeros((m, d)), np.zeros(d)
    for k in range(d):
        centered = x[:, k] - x[:, k].mean()
        s = np.sqrt((centered**2).mean() + case["epsilon"])
        centering = np.eye(m) - 1 / m
        jacobian = gamma[k] * (centering / s - np.outer(centered, centered) / (m * s**3))
        dx[:, k] = jacobian.T @ g[:, k]
        dgamma[k] = (g[:, k] * centered / s).sum()
    return {"dx": dx, "dgamma": dgamma, "dbeta": g.sum(axis=0), "arguments": unchanged(x, g)}


def fold_cases(rng):
    def case(about, inputs, units, dtype="float64"):
        found = {"about": about, "dtype": dtype, "epsilon": float(rng.uniform(0.1, 0.5))}
        found["W"] = rng.normal(size=(inputs, units)).astype(dtype)
        for name in ("b", "beta", "mean"):
            found[name] = rng.normal(size=units).astype(dtype)
        for name in ("gamma", "variance"):
            found[name] = rng.uniform(0.5, 3, units).astype(dtype)
        return found

    return [
        case("more inputs than units", 5, 3),
        case("as many inputs as units", 3, 3),
        case("one unit", 4, 1),
        case("float32", 2, 4, "float32"),
    ]


def fold_reference(case):
    names = ("W", "b", "gamma", "beta", "mean", "variance")
    W, b, gamma, beta, mean, variance = (case[name].astype("float64") for name in names)

    def both(x):
        return gamma * (x @ W + b - mean) / np.sqrt(variance + case["epsilon"]) + beta

    start = both(np.zeros(len(W)))
    columns = np.stack([both(one) - start for one in np.eye(len(W))])
    return {"W": columns, "b": start, "arguments": unchanged(*(np.ravel(case[name]) for name in names))}


EXERCISES = [
    Exercise(
        id="standardize",
        title="One scale for all",
        points=2,
        task="learn mean and deviation of each column from train, and transform both arrays with them.",
        cases=standardize_cases,
        reference=standardize_reference,
        defines=("standardize",),
        forbids=PREPARED,
        tolerances={"float32": (1e-4, 1e-5)},
        mistakes=(
            Mistake(
                "the test set is standardized with statistics of its own: they belong to the model, and one example "
                "alone has no deviation.",
                {
                    "(test - mean) / scale": "(test - test.mean(axis=0)) / np.where(test.std(axis=0) > 0, test.std(axis=0), 1.0)"
                },
            ),
            Mistake(
                "the statistics are those of both sets together: training has then seen the test set.",
                {
                    "train.mean(axis=0), train.std(axis=0)": "np.r_[train, test].mean(axis=0), np.r_[train, test].std(axis=0)"
                },
            ),
            Mistake(
                "one mean and one deviation serve all features: each column has its own unit.",
                {"train.mean(axis=0), train.std(axis=0)": "train.mean(), train.std()"},
            ),
            Mistake(
                "the test set is left as it was: the network would meet it in another unit.",
                {"(test - mean) / scale": "test"},
            ),
            Mistake(
                "it is not centered: (1) takes the mean off first.",
                {"(train - mean)": "train", "(test - mean)": "test"},
            ),
            Mistake(
                "it divides by the variance: its root has the unit of the feature.",
                {"train.std(axis=0)": "train.var(axis=0)"},
            ),
            Mistake(
                "a feature that does not vary is 0/0: it has nothing to scale, center it only.",
                {"np.where(deviation > 0, deviation, 1.0)": "deviation"},
            ),
            Mistake(
                "a tiny number keeps the division from failing, and turns the first departure of a constant feature "
                "into millions. Use 1 where the deviation is 0.",
                {"np.where(deviation > 0, deviation, 1.0)": "deviation + 1e-7"},
            ),
            Mistake(
                "the deviation divides by n − 1: (1) has n.",
                {"train.std(axis=0)": "train.std(axis=0, ddof=1)"},
            ),
            Mistake(
                CHANGED,
                {
                    "    return (train": "    train -= mean\n    mean = mean * 1.0\n    return (train",
                    "(train - mean)": "train",
                },
            ),
            Mistake(
                "features are squeezed between 0 and 1 by their extremes: one outlier then decides the scale.",
                {"train.mean(axis=0), train.std(axis=0)": "train.min(axis=0), np.ptp(train, axis=0)"},
            ),
        ),
        variants=(
            Variant(
                "leaves out the division for constants",
                {"np.where(deviation > 0, deviation, 1.0)": "deviation + (deviation == 0)"},
            ),
            Variant(
                "feature by feature",
                code="""def standardize(train, test):
    both = [np.empty_like(train), np.empty_like(test)]
    for k in range(train.shape[1]):
        center, width = np.mean(train[:, k]), np.std(train[:, k])
        for new, old in zip(both, (train, test)):
            new[:, k] = old[:, k] - center
            if width > 0:
                new[:, k] /= width
    return tuple(both)
""",
            ),
            Variant(
                "a function that is made from train",
                code="""def fitted(train):
    mean = np.sum(train, axis=0) / len(train)
    variance = np.sum((train - mean) ** 2, axis=0) / len(train)
    variance[variance == 0] = 1
    return lambda x: (x - mean) * variance**-0.5


def standardize(train, test):
    transform = fitted(train)
    return transform(train), transform(test)
""",
            ),
        ),
    ),
    Exercise(
        id="pca_whitening",
        title="Whitening",
        points=4,
        task="center, turn to the eigenvectors of the covariance, divide by the roots of the eigenvalues.",
        cases=pca_whitening_cases,
        reference=pca_whitening_reference,
        defines=("pca_whiten",),
        forbids=PREPARED,
        mistakes=(
            Mistake(
                "it divides by the eigenvalue, as the slide says: an eigenvalue is a variance, so wide directions "
                "come out narrow. Divide by its root.",
                {"np.sqrt(eigenvalues + epsilon)": "(eigenvalues + epsilon)"},
            ),
            Mistake(
                "the directions are turned but not scaled: the cigar lies straight and is still a cigar.",
                {" / np.sqrt(eigenvalues + epsilon)": ""},
            ),
            Mistake(
                "x is not centered before it is turned.",
                {"(x - mean) @ directions": "x @ directions"},
            ),
            Mistake(
                "x is centered with a mean of its own: the mean of train belongs to the model.",
                {"(x - mean) @ directions": "(x - x.mean(axis=0)) @ directions"},
            ),
            Mistake(
                "the covariance is taken of data that are not centered: it measures how far they are from zero, not "
                "how they vary.",
                {"(train - mean).T @ (train - mean)": "train.T @ train"},
            ),
            Mistake(
                "the smallest direction comes first: `eigh` sorts upwards, (3) wants the largest first.",
                {"eigenvalues[::-1], directions[:, ::-1]": "eigenvalues, directions"},
            ),
            Mistake(
                "the eigenvalues are turned around, their eigenvectors are not: each must be divided by its own.",
                {"eigenvalues[::-1], directions[:, ::-1]": "eigenvalues[::-1], directions"},
            ),
            Mistake(
                "rows of U are taken for eigenvectors: `eigh` returns them as columns.",
                {"directions[:, ::-1]": "directions[:, ::-1].T"},
            ),
            Mistake(
                "ε is added to the root: in (3) it is added to the eigenvalue, a variance.",
                {"np.sqrt(eigenvalues + epsilon)": "(np.sqrt(np.maximum(eigenvalues, 0)) + epsilon)"},
            ),
            Mistake(
                "ε is missing: directions without variance are divided by nothing.",
                {"eigenvalues + epsilon": "eigenvalues"},
            ),
            Mistake(
                "the covariance divides by n: (2) has n − 1.",
                {"(len(train) - 1)": "len(train)"},
            ),
            Mistake(
                "it is turned back into the old axes: that is ZCA whitening, white too, but the first number is no longer "
                "the widest direction.",
                {"/ np.sqrt(eigenvalues + epsilon)": "/ np.sqrt(eigenvalues + epsilon) @ directions.T"},
            ),
            Mistake(
                "the covariance is not divided by the number of examples: the more of them, the smaller the outputs.",
                {" / (len(train) - 1)": ""},
            ),
        ),
        variants=(
            Variant(
                "by the singular values of the data",
                code="""def pca_whiten(train, x, epsilon=0.0):
    mean = np.mean(train, axis=0)
    _, widths, rows = np.linalg.svd(train - mean)
    variances = np.zeros(len(mean))
    variances[: len(widths)] = widths**2 / (len(train) - 1)
    return (x - mean) @ rows.T / (variances + epsilon) ** 0.5
""",
            ),
            Variant(
                "np.cov, and sorted by hand",
                {
                    "(train - mean).T @ (train - mean) / (len(train) - 1)": "np.cov(train, rowvar=False)",
                    "eigenvalues[::-1], directions[:, ::-1]": "np.sort(eigenvalues)[::-1], directions[:, np.argsort(-eigenvalues)]",
                },
            ),
            Variant(
                "one matrix, applied to each example",
                {
                    "(x - mean) @ directions / np.sqrt(eigenvalues + epsilon)": "np.array([np.diag(1 / np.sqrt(eigenvalues + epsilon)) @ directions.T @ (row - mean) for row in x])"
                },
            ),
        ),
    ),
    Exercise(
        id="batch_norm",
        title="Batch normalization",
        points=5,
        parts={"training": 3, "prediction": 1, "graph": 1},
        task="in training use (4) and write (6); at prediction use the moving statistics; (5) for both.",
        cases=batch_norm_cases,
        reference=batch_norm_reference,
        defines=("BatchNorm",),
        bases={"BatchNorm": "keras.layers.Layer"},
        forbids=(
            "keras.layers.BatchNormalization",
            "keras.layers.LayerNormalization",
            "keras.layers.GroupNormalization",
            "keras.ops.batch_normalization",
            "keras.ops.layer_normalization",
            "tf.nn.batch_normalization",
            "tf.nn.fused_batch_norm",
        ),
        tolerances={"float32": (3e-4, 3e-6)},
        mistakes=(
            Mistake(
                "the minibatch's own statistics are used at prediction too: an answer then depends on who else is in "
                "the batch.",
                code="""class BatchNorm(keras.layers.Layer):
    def __init__(self, momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape):
        def weight(initial, trainable):
            return self.add_weight(shape=input_shape[-1:], initializer=initial, trainable=trainable)

        self.gamma, self.beta = weight("ones", True), weight("zeros", True)
        self.moving_mean, self.moving_variance = weight("zeros", False), weight("ones", False)

    def call(self, inputs, training=False):
        axes = tuple(range(len(inputs.shape) - 1))
        mean, variance = ops.mean(inputs, axis=axes), ops.var(inputs, axis=axes)
        if training:
            self.moving_mean.assign(self.momentum * self.moving_mean + (1 - self.momentum) * mean)
            self.moving_variance.assign(self.momentum * self.moving_variance + (1 - self.momentum) * variance)
        return self.gamma * (inputs - mean) / ops.sqrt(variance + self.epsilon) + self.beta
""",
            ),
            Mistake(
                "the moving statistics are used while training: the outputs are then not normalized by their own batch, "
                "and (8) no longer holds.",
                {
                    "        normal = ": "        mean, variance = self.moving_mean, self.moving_variance\n        normal = "
                },
            ),
            Mistake(
                "the moving statistics never learn: at prediction the layer still has a mean of 0 and a variance of 1.",
                code="""class BatchNorm(keras.layers.Layer):
    def __init__(self, momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, input_shape):
        def weight(initial, trainable):
            return self.add_weight(shape=input_shape[-1:], initializer=initial, trainable=trainable)

        self.gamma, self.beta = weight("ones", True), weight("zeros", True)
        self.moving_mean, self.moving_variance = weight("zeros", False), weight("ones", False)

    def call(self, inputs, training=False):
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, variance = ops.moments(inputs, axes=tuple(range(len(inputs.shape) - 1)))
        return self.gamma * (inputs - mean) / ops.sqrt(variance + self.epsilon) + self.beta
""",
            ),
            Mistake(
                "ρ and 1 − ρ have changed places in (6): ρ is how much of the old average is kept.",
                {
                    "rho * self.moving_mean + (1 - rho) * mean": "(1 - rho) * self.moving_mean + rho * mean",
                    "rho * self.moving_variance + (1 - rho) * variance": "(1 - rho) * self.moving_variance + rho * variance",
                },
            ),
            Mistake(
                "the moving statistics are those of the last minibatch: (6) averages over many.",
                {
                    "rho * self.moving_mean + (1 - rho) * mean": "mean",
                    "rho * self.moving_variance + (1 - rho) * variance": "variance",
                },
            ),
            Mistake(
                "momentum is always 0.99: use the argument.",
                {"self.momentum = momentum": "self.momentum = 0.99"},
            ),
            Mistake(
                "each place of an image has statistics of its own: all axes but the last are averaged over.",
                {"tuple(range(len(inputs.shape) - 1))": "0"},
            ),
            Mistake(
                "each example is normalized by itself: that is layer normalization. Batch norm looks along the batch, "
                "feature by feature.",
                {
                    "            mean = ops.mean(inputs, axis=axes)\n            variance = ops.mean(ops.square(inputs - mean), axis=axes)  # (4)": "            mean, variance = ops.mean(inputs, axis=axes), ops.var(inputs, axis=axes)",
                    "        normal = ": "        if training:\n            mean = ops.mean(inputs, axis=-1, keepdims=True)\n"
                    "            variance = ops.var(inputs, axis=-1, keepdims=True)\n        normal = ",
                },
            ),
            Mistake(
                "ε stands outside the root: in (5) it is added to the variance.",
                {"ops.sqrt(variance + self.epsilon)": "(ops.sqrt(variance) + self.epsilon)"},
            ),
            Mistake(
                "it divides by the variance: (5) has its root.",
                {"ops.sqrt(variance + self.epsilon)": "(variance + self.epsilon)"},
            ),
            Mistake(
                "γ and β are missing: the later layers could not choose another scale.",
                {"self.gamma * normal + self.beta": "normal"},
            ),
            Mistake(
                "the variance divides by m − 1: (4) has m.",
                {
                    "ops.mean(ops.square(inputs - mean), axis=axes)": "ops.sum(ops.square(inputs - mean), axis=axes) / (np.prod(inputs.shape[:-1]) - 1)"
                },
            ),
            Mistake(
                "prediction writes the moving statistics too: only training may learn.",
                {
                    "        normal = ": "        if not training:\n"
                    "            self.moving_mean.assign(self.momentum * self.moving_mean"
                    " + (1 - self.momentum) * ops.mean(inputs, axis=tuple(range(len(inputs.shape) - 1))))\n        normal = "
                },
            ),
            Mistake(
                "the moving statistics are replaced by tensors: a compiled step forgets what is not `assign`ed, and the "
                "weights that are saved never change.",
                {
                    "self.moving_mean.assign(rho * self.moving_mean + (1 - rho) * mean)": "self.moving_mean = rho * self.moving_mean + (1 - rho) * mean",
                    "self.moving_variance.assign(rho * self.moving_variance + (1 - rho) * variance)": "self.moving_variance = rho * self.moving_variance + (1 - rho) * variance",
                },
            ),
        ),
        variants=(
            Variant(
                "moments in one call, the averages moved by a part of the difference",
                {
                    "            mean = ops.mean(inputs, axis=axes)\n            variance = ops.mean(ops.square(inputs - mean), axis=axes)  # (4)": "            mean, variance = ops.moments(inputs, axes=axes)",
                    "self.moving_mean.assign(rho * self.moving_mean + (1 - rho) * mean)": "self.moving_mean.assign_add((1 - self.momentum) * (mean - self.moving_mean))",
                    "self.moving_variance.assign(rho * self.moving_variance + (1 - rho) * variance)": "self.moving_variance.assign_add((1 - self.momentum) * (variance - self.moving_variance))",
                },
            ),
            Variant(
                "rows of features",
                {
                    "axes = tuple(range(len(inputs.shape) - 1))": "rows = ops.reshape(inputs, (-1, inputs.shape[-1]))",
                    "ops.mean(inputs, axis=axes)": "ops.mean(rows, axis=0)",
                    "ops.mean(ops.square(inputs - mean), axis=axes)": "ops.var(rows, axis=0)",
                },
            ),
            Variant(
                "scale and shift put together first",
                {
                    "        normal = (inputs - mean) / ops.sqrt(variance + self.epsilon)\n": "        c = self.gamma * ops.rsqrt(variance + self.epsilon)\n",
                    "self.gamma * normal + self.beta": "inputs * c + (self.beta - c * mean)",
                },
            ),
        ),
    ),
    Exercise(
        id="batch_norm_gradient",
        title="The gradient of batch norm",
        points=3,
        task="compute s and x̂ as in (5), then the sums of (7) and the three terms of (8).",
        cases=batch_norm_gradient_cases,
        reference=batch_norm_gradient_reference,
        defines=("batch_norm_gradient",),
        forbids=PREPARED,
        tolerances={"float32": (1e-3, 1e-5), "float64": (1e-8, 1e-10)},
        mistakes=(
            Mistake(
                "mean and variance are treated as constants: then every example is alone, and the network would try to "
                "shift and stretch what the layer undoes.",
                {"(g - g.mean(axis=0) - normal * (g * normal).mean(axis=0))": "g"},
            ),
            Mistake(
                "the way through the variance is missing: the last term of (8).",
                {" - normal * (g * normal).mean(axis=0)": ""},
            ),
            Mistake(
                "the way through the mean is missing: the middle term of (8).",
                {"g - g.mean(axis=0) - normal": "g - normal"},
            ),
            Mistake(
                "the sums in (8) are not divided by m.",
                {
                    "g - g.mean(axis=0) - normal * (g * normal).mean(axis=0)": "g - g.sum(axis=0) - normal * (g * normal).sum(axis=0)"
                },
            ),
            Mistake(
                "γ is missing from (8): what flows back passes the scale that it came through.",
                {"dx = gamma / s": "dx = 1 / s"},
            ),
            Mistake(
                "the division by s is missing from (8).",
                {"dx = gamma / s": "dx = gamma"},
            ),
            Mistake(
                "∂L/∂γ takes x itself: γ multiplies the normalized x̂.",
                {"dgamma = (g * normal)": "dgamma = (g * x)"},
            ),
            Mistake(
                "∂L/∂γ and ∂L/∂β are averaged: γ and β act on every example, and their derivatives add up.",
                {"g.sum(axis=0)": "g.mean(axis=0)", "(g * normal).sum(axis=0)": "(g * normal).mean(axis=0)"},
            ),
            Mistake(
                "γ is in ∂L/∂γ: y depends on γ linearly, so only x̂ is left.",
                {"dgamma = (g * normal)": "dgamma = (gamma * g * normal)"},
            ),
            Mistake(
                "ε is left out of s: it is part of every division.",
                {"x.var(axis=0) + epsilon": "np.maximum(x.var(axis=0), 1e-12)"},
            ),
            Mistake(
                "∂L/∂γ and ∂L/∂β are returned in the other order.",
                {"dx, dgamma, dbeta\n": "dx, dbeta, dgamma\n"},
            ),
            Mistake(
                "the sums run over the features: each feature is by itself, the sums run over the batch.",
                {
                    "g - g.mean(axis=0) - normal * (g * normal).mean(axis=0)": "g - g.mean(axis=1, keepdims=True) - normal * (g * normal).mean(axis=1, keepdims=True)"
                },
            ),
        ),
        variants=(
            Variant(
                "step by step back through (5) and (4)",
                code="""def batch_norm_gradient(x, gamma, g, epsilon=1e-3):
    m = len(x)
    centered = x - x.mean(axis=0)
    variance = (centered**2).mean(axis=0)
    inverse = (variance + epsilon) ** -0.5
    dnormal = g * gamma
    dvariance = (dnormal * centered).sum(axis=0) * -0.5 * inverse**3
    dmean = -(dnormal * inverse).sum(axis=0)
    dx = dnormal * inverse + dvariance * 2 * centered / m + dmean / m
    return dx, (g * centered * inverse).sum(axis=0), g.sum(axis=0)
""",
            ),
            Variant(
                "with the sums of (7)",
                {
                    "(g - g.mean(axis=0) - normal * (g * normal).mean(axis=0))": "(len(x) * g - dbeta - normal * dgamma) / len(x)"
                },
            ),
            Variant(
                "takes the shift and the stretch out one after the other",
                {
                    "    dx = gamma / s * (g - g.mean(axis=0) - normal * (g * normal).mean(axis=0))": "    rest = g - dbeta / len(g)\n"
                    "    dx = (rest - normal * np.einsum('mk,mk->k', rest, normal) / len(g)) * (gamma / s)"
                },
            ),
        ),
    ),
    Exercise(
        id="fold_batch_norm",
        title="Fold it away",
        points=2,
        task="collect in (9) what multiplies x, that is W′, and what does not, that is b′.",
        cases=fold_cases,
        reference=fold_reference,
        defines=("fold_batch_norm",),
        forbids=PREPARED,
        mistakes=(
            Mistake(
                "the old bias is not scaled: b passes the batch norm as xW does.",
                {"c * (b - mean) + beta": "b - c * mean + beta"},
            ),
            Mistake(
                "the moving mean is not taken off.",
                {"c * (b - mean) + beta": "c * b + beta"},
            ),
            Mistake(
                "the moving mean is added: (9) takes it off.",
                {"(b - mean)": "(b + mean)"},
            ),
            Mistake(
                "the moving mean is not scaled: it stands inside the fraction of (9).",
                {"c * (b - mean) + beta": "c * b - mean + beta"},
            ),
            Mistake(
                "β is scaled too: it is added after the scaling.",
                {"c * (b - mean) + beta": "c * (b - mean + beta)"},
            ),
            Mistake(
                "β is missing.",
                {" + beta": ""},
            ),
            Mistake(
                "ε is missing: the folded network would not be the same.",
                {"np.sqrt(variance + epsilon)": "np.sqrt(variance)"},
            ),
            Mistake(
                "the root is missing: the variance must be divided by as a deviation.",
                {"np.sqrt(variance + epsilon)": "(variance + epsilon)"},
            ),
            Mistake(
                "the rows of W are scaled: each *unit* has a factor, and in Keras's kernel (inputs, units) units are columns.",
                {"W * c": "(W.T * np.resize(c, len(W))).T"},
            ),
            Mistake(
                "the weights are left as they were: γ/√(σ² + ε) scales them as well.",
                {"W * c": "1.0 * W"},
            ),
            Mistake(
                "γ is missing from the factor.",
                {"c = gamma / ": "c = 1 / "},
            ),
        ),
        variants=(
            Variant(
                "a diagonal matrix",
                {"W * c": "W @ np.diag(c)", "c * (b - mean) + beta": "beta + np.diag(c) @ b - c * mean"},
            ),
            Variant("einsum", {"W * c": "np.einsum('iu,u->iu', W, c)"}),
            Variant(
                "asks the layer itself: what comes out for zeros, and for each unit vector",
                code="""def fold_batch_norm(W, b, gamma, beta, mean, variance, epsilon=1e-3):
    def layers(x):
        return gamma * ((x @ W + b - mean) / np.sqrt(variance + epsilon)) + beta

    nothing = layers(np.zeros((1, len(W)), W.dtype))
    return layers(np.eye(len(W), dtype=W.dtype)) - nothing, nothing[0]
""",
            ),
        ),
    ),
]
