"""The judge's side of the lab on data parallelism: cases, references, known mistakes, right variants. NumPy only."""

import numpy as np

from tf_kit.grading import Between, Close, Exercise, Mistake, Variant

IN_A_GRAPH = "in a compiled graph, sizes of the shards unknown"
GRAPH = {"about": IN_A_GRAPH, "compiled": True, "part": "graph"}
STATIC_SHAPE = (
    "the number of examples is read with `.shape[0]`. While a graph is built it is None, because shards of the last "
    "minibatch are shorter; `ops.shape(x)[0]` is read when the step runs."
)
NUMPY_INSIDE = (
    "this uses NumPy inside. Tried out on its own it works, but a training step is compiled, and a tensor in a graph "
    "has no value yet that NumPy could take. Use `keras.ops`."
)


def exact(case, *names):
    """Arrays of a case as the answer got them, in float64."""
    return [np.asarray(case[name]).astype("float64") for name in names]


def shards_of(case, name):
    (array,) = exact(case, name)
    return np.split(array, np.cumsum(case["counts"])[:-1])


def batches(rng):
    settings = [
        ((10, 2), 4, "10 examples on 4 replicas"),
        ((5, 3), 4, "5 examples on 4: one gets none"),
        ((6, 2), 3, "equal shards"),
        ((7, 2, 2, 1), 2, "7 images on 2"),
        ((3, 2), 1, "one replica"),
        ((2, 4), 5, "fewer examples than replicas"),
    ]
    return [
        {
            "about": about,
            "x": rng.normal(size=shape).astype("float32"),
            "replicas": replicas,
            "dtype": "float32",
        }
        for shape, replicas, about in settings
    ]


def dealt(case):
    x, replicas = case["x"], case["replicas"]
    size = int(np.ceil(len(x) / replicas))
    expected = {"shards": np.array(replicas)}
    for r in range(replicas):
        rows = [i for i in range(len(x)) if r * size <= i < (r + 1) * size]  # (1)
        expected[f"shard {r}"] = x[rows].astype("float64")
    return expected


SPLIT_BATCH = Exercise(
    id="split_batch",
    title="Sharing a minibatch",
    points=2,
    task="`split_batch` is as it was handed out. Round N/R up, and cut that many examples for each replica.",
    cases=batches,
    reference=dealt,
    defines=("split_batch",),
    mistakes=(
        Mistake(
            "the number of examples is rounded down, and the last examples are dropped. They would never be learned.",
            {"-(-len(x) // replicas)": "len(x) // replicas"},
        ),
        Mistake(
            "the sizes differ by one at most, as `np.array_split` makes them: 3, 3, 2, 2. TensorFlow rounds up until "
            "nothing is left: 3, 3, 3, 1.",
            code="""def split_batch(x, replicas):
    return np.array_split(x, replicas)
""",
        ),
        Mistake(
            "each replica gets every R-th example: shards are contiguous, so that the batch can be put together again "
            "in its order.",
            {"x[r * size : (r + 1) * size]": "x[r::replicas]"},
        ),
        Mistake(
            "empty shards are left out. Every replica takes part in each sum; if one has no shard, the others wait.",
            {"for r in range(replicas)]": "for r in range(replicas) if r * size < len(x)]"},
        ),
        Mistake(
            "the number is rounded down and the last replica gets all that is left over: it has the most to do, and "
            "the others wait for it.",
            {
                "-(-len(x) // replicas)": "len(x) // replicas",
                "[x[r * size : (r + 1) * size] for r in range(replicas)]": "[x[r * size : (r + 1) * size] for r in range(replicas - 1)] + [x[(replicas - 1) * size :]]",
            },
        ),
        Mistake(
            "each replica gets the whole minibatch: nothing is shared, and the gradient comes out R times too large.",
            {"x[r * size : (r + 1) * size]": "x"},
        ),
        Mistake(
            "the features are split instead of the examples: a shard holds whole examples.",
            code="""def split_batch(x, replicas):
    size = -(-x.shape[-1] // replicas)
    return [x[..., r * size : (r + 1) * size] for r in range(replicas)]
""",
        ),
        Mistake(
            "one example too many is cut when the shards come out even: rounding up adds nothing to a whole number.",
            {"-(-len(x) // replicas)": "len(x) // replicas + 1"},
        ),
    ),
    variants=(
        Variant(
            "takes from the front until nothing is left",
            code="""import math


def split_batch(x, replicas):
    size, rest, shards = math.ceil(len(x) / replicas), x, []
    for _ in range(replicas):
        shards.append(rest[:size])
        rest = rest[size:]
    return shards
""",
        ),
        Variant(
            "np.split at the ends of the shards",
            code="""def split_batch(x, replicas):
    size = (len(x) + replicas - 1) // replicas
    ends = [min(len(x), size * r) for r in range(1, replicas)]
    return tuple(np.split(x, ends))
""",
        ),
        Variant(
            "picks rows by the replica they belong to",
            code="""def split_batch(x, replicas):
    owner = np.arange(len(x)) // int(np.ceil(len(x) / replicas))
    return [x[owner == r] for r in range(replicas)]
""",
        ),
        Variant(
            "tensors",
            code="""def split_batch(x, replicas):
    size = -(-len(x) // replicas)
    x = ops.convert_to_tensor(x)
    return [x[size * r : size * r + size] for r in range(replicas)]
""",
        ),
    ),
)


def losses(rng):
    settings = [
        ((3, 1), {"about": "shards of 3 and 1"}),
        ((2, 2, 1, 0), {"about": "the last shard is empty"}),
        ((4,), {"about": "one replica"}),
        ((2, 3), {"about": "float64", "dtype": "float64"}),
        ((3, 2), GRAPH),
    ]
    cases = []
    for counts, more in settings:
        case = {"dtype": "float32", **more, "counts": np.array(counts)}
        cases.append({**case, "losses": rng.uniform(0.5, 3, size=sum(counts)).astype(case["dtype"])})
    return cases


def shares(case):
    total = int(case["counts"].sum())
    return {
        f"share of replica {r}": np.sum(shard) / total for r, shard in enumerate(shards_of(case, "losses"))
    }  # (2)


SHARD_LOSS = Exercise(
    id="shard_loss",
    title="A replica's share of the loss",
    points=2,
    parts={"values": 1, "graph": 1},
    task="`shard_loss` is as it was handed out. Add up the losses; divide by the number of examples of the whole batch.",
    cases=losses,
    reference=shares,
    defines=("shard_loss",),
    mistakes=(
        Mistake(
            "this is the mean over the shard. Added up over R replicas the gradient is R times too large, and with "
            "unequal shards an example counts more the fewer neighbors it has.",
            {"ops.sum(losses) / global_count": "ops.mean(losses)"},
        ),
        Mistake(
            "this is the sum: the step grows with the minibatch. Divide by the number of examples in all shards.",
            {"ops.sum(losses) / global_count": "ops.sum(losses)"},
        ),
        Mistake(
            "the losses are divided but not added up: a gradient needs one number.",
            {"ops.sum(losses) / global_count": "losses / global_count"},
        ),
        Mistake(
            "an empty shard gives nan: its mean is 0/0, and times 0 it still is nan, which the sum carries to all "
            "replicas. A sum over nothing is 0.",
            {
                "ops.sum(losses) / global_count": "ops.mean(losses) * ops.cast(ops.shape(losses)[0], losses.dtype) / global_count"
            },
        ),
        Mistake(
            "the mean is divided by the number of examples once more: the loss is too small by the size of the shard.",
            {"ops.sum(losses) / global_count": "ops.mean(losses) / global_count"},
        ),
        Mistake(
            "the mean is divided by a fixed number of replicas: right only while all shards are equal and their number "
            "is that one.",
            {
                "ops.sum(losses) / global_count": "ops.sum(losses) / ops.maximum(ops.sum(ops.ones_like(losses)), 1) / 2"
            },
        ),
        Mistake(
            NUMPY_INSIDE,
            {"ops.sum(losses)": "np.sum(np.asarray(losses))"},
        ),
    ),
    variants=(
        Variant(
            "divides first",
            {"ops.sum(losses) / global_count": "ops.sum(losses / global_count)"},
        ),
        Variant(
            "a product with ones",
            {"ops.sum(losses) / global_count": "ops.dot(losses, ops.ones_like(losses)) / global_count"},
        ),
        Variant(
            "TensorFlow's function for it",
            code="""import tensorflow as tf


def shard_loss(losses, global_count):
    return tf.reduce_sum(losses) * tf.cast(1 / tf.cast(global_count, tf.float64), losses.dtype)
""",
        ),
    ),
)


def reported(rng):
    settings = [
        ((3, 1), (2,), "shards of 3 and 1"),
        ((2, 2), (2, 3), "equal shards"),
        ((5, 2, 4), (3,), "three shards"),
        ((3, 3, 1, 0), (2, 2), "the mean of an empty shard is nan"),
        ((0, 2, 0, 5, 0), (2,), "three shards are empty"),
        ((4,), (2,), "one replica"),
        ((2, 5), (), "numbers, such as accuracies"),
    ]
    cases = []
    for counts, shape, about in settings:
        means = rng.normal(size=(len(counts), *shape)).astype("float32")
        means[np.array(counts) == 0] = np.nan
        cases.append({"about": about, "means": means, "counts": np.array(counts)})
    return cases


def weighted(case):
    (means,) = exact(case, "means")
    total = np.zeros(means.shape[1:])
    for mean, count in zip(means, case["counts"], strict=True):
        if count:
            total += count * mean
    return {"mean": total / case["counts"].sum()}  # (3)


COMBINE_MEANS = Exercise(
    id="combine_means",
    title="The mean of means",
    points=3,
    task="`combine_means` is as it was handed out. Weigh each mean by its count, and leave the empty shards out.",
    cases=reported,
    reference=weighted,
    defines=("combine_means",),
    forbids=("numpy.average", "keras.metrics", "tensorflow.nn.weighted_moments", "statistics"),
    mistakes=(
        Mistake(
            "this is the mean of the means, in which a shard of one example weighs as much as a full one.",
            code="""def combine_means(means, counts):
    return sum(means) / len(means)
""",
        ),
        Mistake(
            "the empty shards are left out, but the others all weigh the same: a mean stands for as many examples as "
            "its count says.",
            code="""def combine_means(means, counts):
    present = [mean for mean, count in zip(means, counts) if count > 0]
    return sum(present) / len(present)
""",
        ),
        Mistake(
            "the mean of an empty shard is nan, and 0 · nan is nan as well: leave it out of the sum.",
            {" if count > 0": ""},
        ),
        Mistake(
            "only the last shard is left out where it is empty. There may be more empty ones, anywhere.",
            code="""def combine_means(means, counts):
    if counts[-1] == 0:
        means, counts = means[:-1], counts[:-1]
    return sum(count * mean for mean, count in zip(means, counts)) / sum(counts)
""",
        ),
        Mistake(
            "the weighted sum is not divided by the number of examples.",
            {"total / sum(counts)": "total"},
        ),
        Mistake(
            "the weighted sum is divided by the number of replicas. The weights add up to the number of examples, so "
            "that is what to divide by.",
            {"total / sum(counts)": "total / len(counts)"},
        ),
        Mistake(
            "only the first replica's mean is returned: what the others saw is lost.",
            code="""def combine_means(means, counts):
    return means[0]
""",
        ),
        Mistake(
            "the means are weighted by one over their counts, so the smallest shard weighs most.",
            code="""def combine_means(means, counts):
    present = [(mean, 1 / count) for mean, count in zip(means, counts) if count > 0]
    return sum(weight * mean for mean, weight in present) / sum(weight for _, weight in present)
""",
        ),
    ),
    variants=(
        Variant(
            "replaces nan first",
            code="""def combine_means(means, counts):
    stacked = ops.nan_to_num(ops.stack(means))
    weights = np.array(counts, "float32") / np.sum(counts)
    return ops.tensordot(weights, stacked, axes=1)
""",
        ),
        Variant(
            "NumPy",
            code="""def combine_means(means, counts):
    counts = np.array(counts)
    kept = np.array([np.array(mean) for mean in means], "float64")[counts > 0]
    weights = counts[counts > 0] / counts.sum()
    return np.einsum("r,r...->...", weights, kept)
""",
        ),
        Variant(
            "updates a running mean",
            code="""def combine_means(means, counts):
    mean, seen = ops.zeros_like(means[0]), 0
    for other, count in zip(means, counts):
        if count:
            seen += count
            mean = mean + (other - mean) * (count / seen)
    return mean
""",
        ),
    ),
)


def clippings(rng):
    def case(replicas, max_norm, more, scale=1.0):
        dtype = more.get("dtype", "float32")
        return {
            "dtype": dtype,
            **more,
            "max_norm": max_norm,
            "matrices": (scale * rng.normal(size=(replicas, 3, 2))).astype(dtype),
            "vectors": (scale * rng.normal(size=(replicas, 4))).astype(dtype),
        }

    disagreeing = case(2, float(rng.uniform(0.6, 1.2)), {"about": "two shards that nearly cancel"})
    for name in ("matrices", "vectors"):
        disagreeing[name][1] = np.float32(-0.95) * disagreeing[name][0]
    silent = case(2, 0.7, {"about": "a gradient of zero"}, scale=0.0)
    return [
        case(3, float(rng.uniform(0.5, 1.5)), {"about": "three replicas, a long gradient"}),
        case(3, float(rng.uniform(20, 30)), {"about": "short enough: nothing is clipped"}),
        disagreeing,
        silent,
        case(1, float(rng.uniform(0.5, 0.9)), {"about": "one replica"}),
        case(2, float(rng.uniform(0.5, 0.9)), {"about": "float64", "dtype": "float64"}),
        case(2, float(rng.uniform(0.5, 0.9)), {**GRAPH, "about": "in a compiled graph"}),
    ]


def clipped(case):
    total = [gradients.sum(axis=0) for gradients in exact(case, "matrices", "vectors")]  # (4)
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in total))  # (5)
    scale = 1.0 if norm <= case["max_norm"] else case["max_norm"] / norm  # (6)
    return {"matrix": total[0] * scale, "vector": total[1] * scale}


CLIP_AFTER_REDUCTION = Exercise(
    id="clip_after_reduction",
    title="Clipping after the sum",
    points=4,
    parts={"values": 3, "graph": 1},
    task="`clip_after_reduction` is as it was handed out. Add up over the replicas first, then take one common norm.",
    cases=clippings,
    reference=clipped,
    defines=("clip_after_reduction",),
    forbids=(
        "tensorflow.clip_by_global_norm",
        "tensorflow.clip_by_norm",
        "keras.optimizers",
    ),
    tolerances={"float64": (1e-5, 1e-9)},  # so that a small number may be added to the norm
    mistakes=(
        Mistake(
            "each replica's gradient is clipped before the sum. The noise of a shard, which would have canceled, then "
            "decides how much is cut, and the sum points elsewhere.",
            code="""def clip_after_reduction(shard_gradients, max_norm):
    clipped = []
    for gradients in shard_gradients:
        norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
        clipped.append([gradient * max_norm / ops.maximum(norm, max_norm) for gradient in gradients])
    return [sum(shares) for shares in zip(*clipped)]
""",
        ),
        Mistake(
            "each variable is clipped by its own norm. That turns the gradient; one norm over all variables keeps its "
            "direction.",
            code="""def clip_after_reduction(shard_gradients, max_norm):
    total = [sum(shares) for shares in zip(*shard_gradients)]
    return [each * max_norm / ops.maximum(ops.sqrt(ops.sum(ops.square(each))), max_norm) for each in total]
""",
        ),
        Mistake(
            "the replicas' gradients are averaged. They are shares already, divided by the number of examples of the "
            "whole batch, so their sum is the gradient.",
            {"[sum(shares) for shares": "[sum(shares) / len(shard_gradients) for shares"},
        ),
        Mistake(
            "the gradient is always brought to the largest length, also when it is shorter. Near a minimum, where "
            "gradients are small, the steps then never shrink.",
            {"max_norm / ops.maximum(norm, max_norm)": "max_norm / ops.maximum(norm, 1e-12)"},
        ),
        Mistake(
            "the gradient is always brought to the largest length: one that is shorter stays as it is, and one of zero "
            "becomes 0/0.",
            {"max_norm / ops.maximum(norm, max_norm)": "max_norm / norm"},
        ),
        Mistake(
            "a gradient of zero becomes 0/0. One step of nan, and all weights are lost.",
            {"gradient * scale": "gradient / norm * ops.minimum(norm, max_norm)"},
        ),
        Mistake(
            "the root of (5) is missing: squares are compared with a length.",
            {
                "ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in total))": "sum(ops.sum(ops.square(gradient)) for gradient in total)"
            },
        ),
        Mistake(
            "the lengths of the variables are added. Lengths add like the sides of a right angle: squares first, then "
            "the root of the sum.",
            {
                "ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in total))": "sum(ops.sqrt(ops.sum(ops.square(gradient))) for gradient in total)"
            },
        ),
        Mistake(
            "the norm is that of the shards, not of their sum: gradients that cancel are clipped although what is left "
            "of them is short.",
            {"for gradient in total))  # (5)": "for shares in shard_gradients for gradient in shares))"},
        ),
        Mistake(
            "every number is cut at ±c. (6) shortens the whole gradient by one factor, which keeps its direction.",
            {"gradient * scale": "ops.clip(gradient, -max_norm, max_norm)"},
        ),
        Mistake(
            "the largest length is always 1: use the argument.",
            {"max_norm / ops.maximum(norm, max_norm)": "1 / ops.maximum(norm, 1)"},
        ),
        Mistake(
            "a Python `if` asks whether the gradient is too long. While a graph is built there is no gradient yet to "
            "ask; write the choice as `ops.minimum`, `ops.maximum` or `ops.where`.",
            {
                "    scale = max_norm / ops.maximum(norm, max_norm)\n": "    if norm <= max_norm:\n        return total\n    scale = max_norm / norm\n"
            },
        ),
    ),
    variants=(
        Variant(
            "a small number against 0/0, as in PyTorch",
            {"max_norm / ops.maximum(norm, max_norm)": "ops.minimum(1, max_norm / (norm + 1e-6))"},
        ),
        Variant(
            "min(1, c/‖g‖), as in the formula",
            {"max_norm / ops.maximum(norm, max_norm)": "ops.minimum(1, max_norm / norm)"},
        ),
        Variant(
            "one long vector",
            code="""def clip_after_reduction(shard_gradients, max_norm):
    total = [ops.sum(ops.stack(shares), axis=0) for shares in zip(*shard_gradients)]
    norm = ops.norm(ops.concatenate([ops.reshape(each, (-1,)) for each in total]))
    return [ops.where(norm > max_norm, each * (max_norm / ops.maximum(norm, 1e-30)), each) for each in total]
""",
        ),
        Variant(
            "TensorFlow's global norm",
            code="""import tensorflow as tf


def clip_after_reduction(shard_gradients, max_norm):
    total = [tf.add_n(list(shares)) for shares in zip(*shard_gradients)]
    scale = tf.minimum(tf.constant(1, total[0].dtype), max_norm * tf.math.reciprocal(tf.linalg.global_norm(total)))
    return [scale * gradient for gradient in total]
""",
        ),
        Variant(
            "adds up in a loop",
            code="""def clip_after_reduction(shard_gradients, max_norm):
    total = list(shard_gradients[0])
    for gradients in shard_gradients[1:]:
        total = [one + other for one, other in zip(total, gradients)]
    squares = 0
    for gradient in total:
        squares = squares + ops.sum(gradient * gradient)
    scale = ops.rsqrt(ops.maximum(squares, max_norm**2)) * max_norm
    return tuple(scale * gradient for gradient in total)
""",
        ),
    ),
)


def populations(rng):
    settings = [
        ((3, 1), 3, 0.0, {"about": "shards of 3 and 1"}),
        ((2, 2, 2), 2, 0.0, {"about": "equal shards"}),
        ((3, 3, 1, 0), 2, 0.0, {"about": "the last shard is empty"}),
        ((4, 3), 2, 1e4, {"about": "values near 10,000"}),
        ((1, 0), 3, 0.0, {"about": "one example"}),
        ((3, 2), 2, 0.0, {"about": "float64", "dtype": "float64"}),
        ((3, 2), 3, 0.0, GRAPH),
    ]
    cases = []
    for counts, features, offset, more in settings:
        case = {"dtype": "float32", **more, "counts": np.array(counts)}
        owner = np.repeat(np.arange(len(counts)), counts)[:, None]
        x = (
            offset
            + 3.0 * owner
            + rng.normal(size=(sum(counts), features)) * rng.uniform(0.5, 2, size=features)
        )
        cases.append({**case, "x": x.astype(case["dtype"])})
    return cases


def moments(case):
    (x,) = exact(case, "x")
    mean = x.sum(axis=0) / len(x)
    variance = ((x - mean) ** 2).sum(axis=0) / len(x)  # (7)
    # near 10,000 float32 holds a mean to 0.001 only, however it is computed
    return {"mean": mean, "variance": Close(variance, rtol=0.01 if np.abs(mean).max() > 1000 else None)}


SYNCHRONISED_MOMENTS = Exercise(
    id="synchronized_moments",
    title="Statistics of the whole batch",
    points=4,
    parts={"values": 3, "graph": 1},
    task="`synchronized_moments` is as it was handed out. Sum over all shards for μ, then once more for σ².",
    cases=populations,
    reference=moments,
    defines=("synchronized_moments",),
    forbids=("keras.layers",),
    mistakes=(
        Mistake(
            "the mean is a mean of the shards' means, so an example of a small shard counts more.",
            {
                "sum(ops.sum(x, axis=0) for x in shards) / count": "sum(ops.sum(x, axis=0) / ops.maximum(ops.cast(ops.shape(x)[0], x.dtype), 1) for x in shards) / len(shards)"
            },
        ),
        Mistake(
            "the variance is that inside the shards: each example is compared with its own shard's mean. How far the "
            "shards lie from each other is lost.",
            {
                "ops.sum(ops.square(x - mean), axis=0)": "ops.sum(ops.square(x - ops.sum(x, axis=0) / ops.maximum(ops.cast(ops.shape(x)[0], x.dtype), 1)), axis=0)"
            },
        ),
        Mistake(
            "the shards' own means and variances are averaged. Both then give small shards too much weight, and the "
            "variance misses how far the shards lie from each other.",
            code="""def synchronized_moments(shards):
    shards = [x for x in shards if x.shape[0] != 0]
    mean = sum(ops.mean(x, axis=0) for x in shards) / len(shards)
    return mean, sum(ops.var(x, axis=0) for x in shards) / len(shards)
""",
        ),
        Mistake(
            "the shards' own means and variances are averaged, and an empty shard makes everything nan: its mean is 0/0. "
            "Add up sums and counts, and divide once.",
            code="""def synchronized_moments(shards):
    mean = sum(ops.mean(x, axis=0) for x in shards) / len(shards)
    return mean, sum(ops.var(x, axis=0) for x in shards) / len(shards)
""",
        ),
        Mistake(
            "the variance is computed as mean of squares less squared mean. Far from zero these are two huge numbers "
            "whose difference float32 no longer holds.",
            {
                "sum(ops.sum(ops.square(x - mean), axis=0) for x in shards) / count": "sum(ops.sum(ops.square(x), axis=0) for x in shards) / count - ops.square(mean)"
            },
        ),
        Mistake(
            "the variance is divided by N − 1. Batch normalization divides by N: it describes this batch, it does not "
            "guess about another.",
            {
                "sum(ops.sum(ops.square(x - mean), axis=0) for x in shards) / count": "sum(ops.sum(ops.square(x - mean), axis=0) for x in shards) / (count - 1)"
            },
        ),
        Mistake(
            "an empty shard makes everything nan: its mean is 0/0. Add up sums and counts, and divide once.",
            code="""def synchronized_moments(shards):
    sizes = [ops.cast(ops.shape(x)[0], x.dtype) for x in shards]
    mean = sum(n * ops.mean(x, axis=0) for n, x in zip(sizes, shards)) / sum(sizes)
    return mean, sum(n * ops.mean(ops.square(x - mean), axis=0) for n, x in zip(sizes, shards)) / sum(sizes)
""",
        ),
        Mistake(
            "these are the first replica's statistics. The others would normalize by numbers that have nothing to do "
            "with their examples.",
            code="""def synchronized_moments(shards):
    return ops.mean(shards[0], axis=0), ops.var(shards[0], axis=0)
""",
        ),
        Mistake(
            "the second result is the standard deviation: (7) asks for its square.",
            {"return mean, variance": "return mean, ops.sqrt(variance)"},
        ),
        Mistake(
            "mean and variance are taken over everything at once. Each feature has its own.",
            {"ops.sum(x, axis=0)": "ops.sum(x) / x.shape[1] * ops.ones_like(x[0])"},
        ),
        Mistake(
            STATIC_SHAPE,
            {"ops.cast(ops.shape(x)[0], x.dtype)": "x.shape[0]"},
        ),
    ),
    variants=(
        Variant(
            "puts the shards together",
            code="""def synchronized_moments(shards):
    x = ops.concatenate(list(shards), axis=0)
    return ops.mean(x, axis=0), ops.var(x, axis=0)
""",
        ),
        Variant(
            "merges the shards' own variances with the distance of their means",
            code="""def synchronized_moments(shards):
    sizes = [ops.cast(ops.shape(x)[0], x.dtype) for x in shards]
    total = sum(sizes)
    means = [ops.sum(x, axis=0) / ops.maximum(n, 1) for n, x in zip(sizes, shards)]
    mean = sum(n * own for n, own in zip(sizes, means)) / total
    inside = sum(ops.sum((x - own) ** 2, axis=0) for own, x in zip(means, shards))
    between = sum(n * (own - mean) ** 2 for n, own in zip(sizes, means))
    return mean, (inside + between) / total
""",
        ),
        Variant(
            "moves everything near zero before the shortcut",
            code="""def synchronized_moments(shards):
    origin = shards[0][0]
    count = sum(ops.cast(ops.shape(x)[0], x.dtype) for x in shards)
    first = sum(ops.sum(x - origin, axis=0) for x in shards) / count
    second = sum(ops.sum((x - origin) ** 2, axis=0) for x in shards) / count
    return origin + first, second - first**2
""",
        ),
        Variant(
            "TensorFlow's moments",
            code="""import tensorflow as tf


def synchronized_moments(shards):
    return tf.nn.moments(tf.concat(shards, axis=0), axes=[0])
""",
        ),
    ),
    tolerances={"float32": (2e-4, 2e-5)},
)


def gathered(rng):
    settings = [
        ((3, 2), 4, {"about": "shards of 3 and 2"}),
        ((2, 2, 2), 3, {"about": "three equal shards"}),
        ((2, 1, 0), 3, {"about": "the last shard is empty"}),
        ((3,), 2, {"about": "one replica"}),
        ((1, 2), 3, {"about": "float64", "dtype": "float64"}),
        ((2, 3), 3, GRAPH),
    ]
    cases = []
    for counts, d, more in settings:
        case = {
            "dtype": "float32",
            **more,
            "counts": np.array(counts),
            "temperature": float(rng.uniform(0.15, 0.6)),
        }
        za = rng.normal(size=(sum(counts), d))
        zb = za + 0.7 * rng.normal(size=za.shape)
        for name, z in (("za", za), ("zb", zb)):
            case[name] = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(case["dtype"])
        cases.append(case)
    return cases


def contrasted(case):
    za, zb = exact(case, "za", "zb")
    z, batch = np.concatenate([za, zb]), len(za)
    losses = np.zeros(2 * batch)
    for u in range(2 * batch):
        s = z @ z[u] / case["temperature"]
        losses[u] = np.log(np.sum(np.exp(np.delete(s, u)))) - s[(u + batch) % (2 * batch)]  # (8)
    ends = np.cumsum(case["counts"])
    expected = {}
    for r, (end, count) in enumerate(zip(ends, case["counts"], strict=True)):
        own = np.arange(end - count, end)
        expected[f"share of replica {r}"] = (losses[own].sum() + losses[batch + own].sum()) / (
            2 * batch
        )  # (9)
    return expected


SHARD_NT_XENT = Exercise(
    id="shard_nt_xent",
    title="Negatives on other replicas",
    points=5,
    parts={"values": 4, "graph": 1},
    task="`shard_nt_xent` is as it was handed out. The shard's 2n embeddings are anchors; all 2N are compared with them.",
    cases=gathered,
    reference=contrasted,
    defines=("shard_nt_xent",),
    forbids=("keras.losses",),
    tolerances={"float32": (2e-4, 2e-5)},
    mistakes=(
        Mistake(
            "the index does not begin at `first`. All replicas but the first take the wrong column for the anchor "
            "itself and for its other view: they learn to recognize strangers.",
            {
                "in_a = first + ops.arange(n)": "in_a = ops.arange(n)",
                "in_b = batch + first + ops.arange(n)": "in_b = batch + ops.arange(n)",
            },
        ),
        Mistake(
            "only the shard's own embeddings are negatives. The task gets easier the more replicas there are, and so "
            "the result depends on their number: that is why embeddings are gathered.",
            code="""def shard_nt_xent(za, zb, every_a, every_b, first, temperature):
    n, batch = ops.shape(za)[0], ops.shape(every_a)[0]
    z = ops.concatenate([za, zb])
    s = ops.matmul(z, ops.transpose(z)) / temperature
    other = ops.roll(ops.eye(2 * n, dtype=s.dtype), n, axis=1)
    losses = ops.logsumexp(s - 1e9 * ops.eye(2 * n, dtype=s.dtype), axis=1) - ops.sum(other * s, axis=1)
    return ops.sum(losses) / ops.cast(2 * batch, s.dtype)
""",
        ),
        Mistake(
            "the losses are divided by the shard's own 2n. The shares are to add up to a mean over 2N anchors; like "
            "this they add up to R times too much.",
            {"ops.cast(2 * batch, s.dtype)": "ops.cast(ops.maximum(2 * n, 1), s.dtype)"},
        ),
        Mistake(
            "the losses are divided by N: there are 2N anchors, two for each example.",
            {"ops.cast(2 * batch, s.dtype)": "ops.cast(batch, s.dtype)"},
        ),
        Mistake(
            "the losses are added up and not divided: the step grows with the batch.",
            {"ops.sum(losses) / ops.cast(2 * batch, s.dtype)": "ops.sum(losses)"},
        ),
        Mistake(
            "only the first views are anchors. The second views have losses of their own.",
            {"ops.sum(losses) /": "ops.sum(losses[:n]) /"},
        ),
        Mistake(
            "the anchor itself stays in the sum. Its product with itself is 1, the largest there is.",
            {"s - 1e9 * itself": "s"},
        ),
        Mistake(
            "the column of the other view does not begin at `first`, only that of the anchor itself does.",
            {
                "other = ops.one_hot(ops.concatenate([in_b, in_a])": "other = ops.one_hot(ops.concatenate([in_b, in_a]) - first",
            },
        ),
        Mistake(
            "this is a mean over the shard's own 2n anchors, nan where there are none. Divide the sum by 2N.",
            {"ops.sum(losses) / ops.cast(2 * batch, s.dtype)": "ops.mean(losses)"},
        ),
        Mistake(
            "the other view is looked for n columns further on. All N first views come before the second ones.",
            {"in_b = batch + first + ops.arange(n)": "in_b = n + first + ops.arange(n)"},
        ),
        Mistake(
            "the right answer is left out of the sum as well: (8) leaves out the anchor alone.",
            {"s - 1e9 * itself": "s - 1e9 * (itself + other)"},
        ),
        Mistake(
            "the similarities are multiplied by the temperature instead of divided by it.",
            {"ops.transpose(everything)) / temperature": "ops.transpose(everything)) * temperature"},
        ),
        Mistake(
            STATIC_SHAPE,
            {
                "n, batch = ops.shape(za)[0], ops.shape(every_a)[0]": "n, batch = za.shape[0], every_a.shape[0]"
            },
        ),
    ),
    variants=(
        Variant(
            "each side on its own",
            code="""def shard_nt_xent(za, zb, every_a, every_b, first, temperature):
    batch = ops.shape(every_a)[0]
    mine = ops.one_hot(first + ops.arange(ops.shape(za)[0]), batch, dtype=za.dtype)

    def side(anchors, own_side, other_side):
        within = ops.matmul(anchors, ops.transpose(own_side)) / temperature - 1e9 * mine
        across = ops.matmul(anchors, ops.transpose(other_side)) / temperature
        largest = 1 / temperature
        total = ops.sum(ops.exp(within - largest), axis=1) + ops.sum(ops.exp(across - largest), axis=1)
        return ops.sum(ops.log(total) + largest - ops.sum(mine * across, axis=1))

    return (side(za, every_a, every_b) + side(zb, every_b, every_a)) / ops.cast(2 * batch, za.dtype)
""",
        ),
        Variant(
            "the right answer as a product of the shard's own rows",
            {"ops.sum(other * s, axis=1)": "ops.tile(ops.sum(za * zb, axis=1), 2) / temperature"},
        ),
        Variant(
            "TensorFlow's sparse cross-entropy",
            code="""import tensorflow as tf


def shard_nt_xent(za, zb, every_a, every_b, first, temperature):
    batch, n = tf.shape(every_a)[0], tf.shape(za)[0]
    s = tf.matmul(tf.concat([za, zb], 0), tf.concat([every_a, every_b], 0), transpose_b=True) / temperature
    own = tf.range(first, first + n)
    columns = tf.range(2 * batch)[None]
    s = tf.where(columns == tf.concat([own, batch + own], 0)[:, None], tf.constant(-1e9, s.dtype), s)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.concat([batch + own, own], 0), s)
    return tf.reduce_sum(losses) / tf.cast(2 * batch, s.dtype)
""",
        ),
    ),
)


STEPS = (
    64,
    100,
    128,
    256,
    500,
    512,
    1000,
    1024,
    10_000,
    100_000,
)  # factors by which numbers are packed into one


def owners(rng):
    cases = []
    settings = [
        ((20, 20, 15, 5), 20, "60 examples on 4 replicas"),
        ((33, 27), 12, "60 examples on 2 replicas"),
    ]
    for counts, width, about in settings:
        n = sum(counts)
        near = int(rng.integers(0, 1000)) + np.concatenate([np.arange(n // 2 - len(STEPS)), STEPS])
        far = rng.choice(np.setdiff1d(np.arange(2000, 10**6), near), n - n // 2, replace=False)
        seed, epoch = (int(each) for each in rng.choice(np.arange(1, 60), 2, replace=False))
        cases.append(
            {
                "about": about,
                "indices": rng.permutation(np.concatenate([near, far])),
                "counts": np.array(counts),
                "order": rng.permutation(n),
                "width": width,
                "seed": seed,
                "epoch": epoch,
            }
        )
    nothing = {"indices": np.zeros(0, "int64"), "counts": np.array([0]), "order": np.zeros(0, "int64")}
    return [
        *cases,
        {**cases[0], **nothing, "about": "an empty shard"},
        {**cases[0], "epoch": 0, "about": "epoch 0"},
    ]


FAR = 5.5  # standard deviations: once in 2.6e7


def likenesses(case, drawn):
    """How the numbers of examples are alike and unlike."""
    whole, width = drawn["numbers"], case["width"]
    if len(case["indices"]) < 2:
        return drawn
    shards = [np.reshape(drawn[f"shard {r}"], (-1, width)) for r in range(len(case["counts"]))]
    numbers = whole.astype("float64")
    return {
        "numbers": whole,
        "drawn again": drawn["again"] - whole,
        "drawn in shards": np.concatenate(shards) - whole,
        "drawn in another order": drawn["another order"] - whole[case["order"]],
        "rows that two examples share": equal_rows(whole, whole) - len(whole),
        "rows shared with the next epoch": equal_rows(whole, drawn["next epoch"]),
        "rows shared with the next seed": equal_rows(whole, drawn["next seed"]),
        "rows shared with epoch and seed swapped": equal_rows(whole, drawn["swapped"]),
        "mean": numbers.mean(),
        "mean of squares": (numbers**2).mean(),
        "mean of an example": numbers.mean(axis=1),
        "product of neighbors": ((numbers[1:] - 0.5) * (numbers[:-1] - 0.5)).mean(),
    }


def equal_rows(one, other):
    """How many pairs of rows, one of each array, are equal."""
    return np.array(int((one[:, None] == other[None]).all(axis=-1).sum()))


def belonging(case):
    n, width = len(case["indices"]), case["width"]
    numbers = Between(np.zeros((n, width)), np.ones((n, width)))
    if n < 2:
        return {"numbers": numbers}
    count, same = n * width, Close(np.zeros((n, width)), rtol=0, atol=0, dtype=None)
    product = FAR / 12 / np.sqrt((n - 1) * width)
    return {
        "drawn again": same,
        "drawn in shards": same,
        "drawn in another order": same,
        "rows that two examples share": np.array(0),
        "rows shared with the next epoch": np.array(0),
        "rows shared with the next seed": np.array(0),
        "rows shared with epoch and seed swapped": np.array(0),
        "numbers": numbers,
        "mean": Between(*around(1 / 2, np.sqrt(1 / 12 / count))),
        "mean of squares": Between(*around(1 / 3, np.sqrt(4 / 45 / count))),
        "mean of an example": Between(*around(np.full(n, 1 / 2), np.sqrt(1 / 12 / width))),
        "product of neighbors": Between(-product, product),
    }


def around(center, deviation):
    return center - FAR * deviation, center + FAR * deviation


EXAMPLE_UNIFORM = Exercise(
    id="example_uniform",
    title="Random numbers of an example",
    points=4,
    task="`example_uniform` is as it was handed out. Make a generator for each example from seed, epoch and its index.",
    cases=owners,
    reference=belonging,
    computes=likenesses,
    defines=("example_uniform",),
    mistakes=(
        Mistake(
            "one generator draws for the whole shard, so the numbers depend on where an example stands in it. With "
            "another number of replicas it stands elsewhere, and every replica draws the same numbers.",
            code="""def example_uniform(seed, epoch, indices, width):
    return np.random.default_rng((seed, epoch)).random((len(indices), width))
""",
        ),
        Mistake(
            "the place in the shard is used instead of the index in the data set: the same numbers on every replica, "
            "for different examples.",
            {
                "int(index))).random(width) for index in indices": "place)).random(width) for place in range(len(indices))"
            },
        ),
        Mistake(
            "the epoch is left out: an example loses the same units, or gets the same view, in every epoch, and that "
            "is no noise any more.",
            {"(seed, epoch, int(index))": "(seed, int(index))"},
        ),
        Mistake(
            "the seed is left out: all runs get the same numbers, so repeating an experiment with other seeds tells "
            "nothing about chance.",
            {"(seed, epoch, int(index))": "(epoch, int(index))"},
        ),
        Mistake(
            "seed, epoch and index are added up. Different examples in different epochs then get the very same "
            "numbers; keep the three apart.",
            {"(seed, epoch, int(index))": "seed + epoch + int(index)"},
        ),
        Mistake(
            "seed, epoch and index are packed into one number with a factor that an index outgrows: example 1000 of one "
            "epoch is example 0 of the next. Give the generator a sequence of the three.",
            {"(seed, epoch, int(index))": "1_000_000 * seed + 1000 * epoch + int(index)"},
        ),
        Mistake(
            "an empty shard gives an array of shape (0,): it is to be (0, width), like that of every other replica.",
            {"np.reshape(rows, (len(indices), width))": "np.array(rows)"},
        ),
        Mistake(
            "every example gets the same numbers: the index does not enter.",
            {"(seed, epoch, int(index))": "(seed, epoch)"},
        ),
        Mistake(
            "the numbers come from a generator that goes on from call to call. Whoever asks second gets others, and a "
            "run that is resumed is another run.",
            code="""def example_uniform(seed, epoch, indices, width):
    return np.random.random((len(indices), width))
""",
        ),
        Mistake(
            "an example has one number, repeated: each of its features needs its own.",
            {".random(width) for": ".random() * np.ones(width) for"},
        ),
        Mistake(
            "the numbers are normal: uniform in [0, 1) is asked, so that comparing with a rate gives that rate.",
            {".random(width)": ".normal(size=width)"},
        ),
        Mistake(
            "the numbers lie between −1 and 1.",
            {".random(width)": ".uniform(-1, 1, width)"},
        ),
        Mistake(
            "an empty shard makes it fail. With no example there is nothing to draw: the result has shape (0, width).",
            {"np.reshape(rows, (len(indices), width))": "np.stack(rows)"},
        ),
    ),
    variants=(
        Variant(
            "a seed sequence with a spawn key",
            {
                "np.random.default_rng((seed, epoch, int(index)))": "np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, int(index))))"
            },
        ),
        Variant(
            "Python's generator, seeded by a text",
            code="""import random


def example_uniform(seed, epoch, indices, width):
    drawn = np.zeros((len(indices), width))
    for place, index in enumerate(indices):
        generator = random.Random(f"{seed}/{epoch}/{index}")
        drawn[place] = [generator.random() for _ in range(width)]
    return drawn
""",
        ),
        Variant(
            "TensorFlow's stateless numbers",
            code="""import tensorflow as tf


def example_uniform(seed, epoch, indices, width):
    run = tf.constant([seed, epoch])
    keys = [tf.random.experimental.stateless_fold_in(run, int(index)) for index in indices]
    rows = [tf.random.stateless_uniform((width,), key).numpy() for key in keys]
    return np.array(rows, "float32").reshape(len(indices), width)
""",
        ),
        Variant(
            "counts a Philox generator on",
            code="""def example_uniform(seed, epoch, indices, width):
    rows = np.empty((len(indices), width), "float32")
    for i, index in enumerate(indices):
        philox = np.random.Philox(key=np.array([seed, epoch], "uint64"), counter=[0, 0, int(index), 0])
        rows[i] = np.random.Generator(philox).random(width, dtype="float32")
    return rows
""",
        ),
    ),
)

EXERCISES = [
    SPLIT_BATCH,
    SHARD_LOSS,
    COMBINE_MEANS,
    CLIP_AFTER_REDUCTION,
    SYNCHRONISED_MOMENTS,
    SHARD_NT_XENT,
    EXAMPLE_UNIFORM,
]
