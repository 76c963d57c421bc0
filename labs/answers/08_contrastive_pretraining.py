"""The judge's side of the lab on contrastive pretraining: cases, references, mistakes, right variants. NumPy only."""

import numpy as np

from tf_kit.grading import Exercise, Mistake, Variant

IN_A_GRAPH = "in a compiled graph, number of examples unknown"
GRAPH = {"about": IN_A_GRAPH, "compiled": True, "part": "graph"}
STATIC_SHAPE = (
    "the number of examples is read with `.shape[0]`. While a graph is built it is None, because the last minibatch "
    "may be shorter; `ops.shape(z)[0]` is read when the step runs."
)
NUMPY_INSIDE = (
    "this uses NumPy inside. Tried out on its own it works, but a training step is compiled, and a tensor in a graph "
    "has no value yet that NumPy could take. Use `keras.ops`."
)
# so that a small number may be added to lengths, and in each loss that uses them
GUARDED = (1e-5, 1e-6)


def exact(case, *names):
    """Arrays of a case as the answer got them, in float64."""
    return [np.asarray(case[name]).astype("float64") for name in names]


def unit(z):
    length = np.linalg.norm(z, axis=-1, keepdims=True)
    return z / np.where(length == 0, 1, length)


def crops(rng):
    settings = [
        ((4, 4, 4, 1), 1, "float32", "4 images, padding 1"),
        ((3, 3, 5, 2), 2, "float32", "wide images, two channels"),
        ((1, 5, 3, 1), 2, "float32", "one image"),
        ((2, 3, 3, 1), 0, "float32", "padding 0 changes nothing"),
        ((3, 4, 3, 1), 1, "float64", "float64"),
    ]
    cases = []
    for shape, padding, dtype, about in settings:
        place = rng.integers(0, 2 * padding + 1, size=(shape[0], 2))
        place[0] = (0, 2 * padding)  # a corner
        if shape[0] > 1:
            place[1] = (2 * padding, padding)
        uniform = (place + rng.uniform(0.55, 0.95, size=place.shape)) / (2 * padding + 1)
        images = rng.uniform(0.1, 1, size=shape).astype(dtype)
        cases.append(
            {"about": about, "images": images, "uniform": uniform, "padding": padding, "dtype": dtype}
        )
    return cases


def cropped(case):
    (images,) = exact(case, "images")
    p, (_, height, width, _) = case["padding"], images.shape
    view = np.zeros_like(images)
    for i, u in enumerate(case["uniform"]):
        top, left = (int(np.floor(each * (2 * p + 1))) for each in u)  # (1)
        for y in range(height):
            for x in range(width):
                source_y, source_x = y + top - p, x + left - p  # (2): without the margin
                if 0 <= source_y < height and 0 <= source_x < width:
                    view[i, y, x] = images[i, source_y, source_x]
    return {"view": view, "images": images}


RANDOM_CROP = Exercise(
    id="random_crop",
    title="A view",
    points=3,
    task="`random_crop` is as it was handed out. Pad the images, then cut a window of the old size out of each.",
    cases=crops,
    reference=cropped,
    defines=("random_crop",),
    forbids=("keras.layers", "tensorflow.image", "keras.ops.image", "sklearn", "scipy"),
    mistakes=(
        Mistake(
            "all images are moved alike: each has its own two numbers. A minibatch that moves as one teaches less, as "
            "all its views differ in the same way.",
            {
                "enumerate(np.floor(uniform * (2 * padding + 1)).astype(int))": "enumerate(np.floor(np.tile(uniform[:1], (len(images), 1)) * (2 * padding + 1)).astype(int))"
            },
        ),
        Mistake(
            "the last place is never reached: there are 2p + 1 places, from 0 to 2p, not 2p.",
            {"np.floor(uniform * (2 * padding + 1))": "np.floor(uniform * (2 * padding))"},
        ),
        Mistake(
            "the number is rounded, to the nearest or up, not floored: 0 comes too rarely, and 2p + 1 lies outside.",
            {"np.floor(uniform * (2 * padding + 1))": "np.round(uniform * (2 * padding + 1))"},
        ),
        Mistake(
            "rows and columns are swapped: the first number is for the height.",
            {"i, (top, left)": "i, (left, top)"},
        ),
        Mistake(
            "the window moves the other way. At place 0 it starts in the upper margin, and the content moves down.",
            {
                "padded[i, top : top + height, left : left + width]": "padded[i, 2 * padding - top :, 2 * padding - left :][:height, :width]"
            },
        ),
        Mistake(
            "what leaves the image on one side comes back on the other. A digit that is cut and glued together again "
            "is no view of the digit: pad with black.",
            {
                "np.pad(images, ((0, 0), margin, margin, (0, 0)))": 'np.pad(images, ((0, 0), margin, margin, (0, 0)), mode="wrap")'
            },
        ),
        Mistake(
            "the margin repeats the border pixels: it is to be black.",
            {
                "np.pad(images, ((0, 0), margin, margin, (0, 0)))": 'np.pad(images, ((0, 0), margin, margin, (0, 0)), mode="edge")'
            },
        ),
        Mistake(
            "there are p + 1 places here: the window moves from 0 to 2p, so that the content goes either way.",
            {"np.floor(uniform * (2 * padding + 1))": "np.floor(uniform * (padding + 1))"},
        ),
        Mistake(
            "the whole margin lies below and on the right. It goes around the image, `padding` on every side, so that "
            "the content moves up and left too.",
            {"margin = (padding, padding)": "margin = (0, 2 * padding)"},
        ),
        Mistake(
            "the margin is white: it is to be black, as the ground of the digits.",
            {
                "np.pad(images, ((0, 0), margin, margin, (0, 0)))": "np.pad(images, ((0, 0), margin, margin, (0, 0)), constant_values=1)"
            },
        ),
        Mistake(
            "the view is written into `images`. The second view would be cut from the first, and next epoch from "
            "both.",
            {"views = np.empty_like(images)": "views = images"},
        ),
        Mistake(
            "the view has another dtype than the images: `np.zeros(shape)` is float64 unless told otherwise.",
            {"np.empty_like(images)": "np.zeros(images.shape)"},
        ),
    ),
    variants=(
        Variant(
            "picks all pixels at once by index",
            code="""def random_crop(images, uniform, padding):
    n, height, width, _ = images.shape
    padded = np.pad(images, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    top, left = (uniform * (2 * padding + 1)).astype(int).T
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.arange(width)
    return padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
""",
        ),
        Variant(
            "keras.ops",
            code="""def random_crop(images, uniform, padding):
    height, width, channels = images.shape[1:]
    padded = ops.pad(ops.convert_to_tensor(images), [[0, 0], [padding, padding], [padding, padding], [0, 0]])
    places = ops.cast(ops.floor(ops.convert_to_tensor(uniform) * (2 * padding + 1)), "int32")
    cut = [
        ops.slice(padded[i], (places[i, 0], places[i, 1], 0), (height, width, channels)) for i in range(len(images))
    ]
    return ops.stack(cut)
""",
        ),
        Variant(
            "moves the image inside a black one",
            code="""def random_crop(images, uniform, padding):
    shifted = []
    for image, (u, w) in zip(images, uniform):
        down = padding - int(u * (2 * padding + 1))
        right = padding - int(w * (2 * padding + 1))
        image = np.roll(image, (down, right), axis=(0, 1))
        if down > 0:
            image[:down] = 0
        if down < 0:
            image[down:] = 0
        if right > 0:
            image[:, :right] = 0
        if right < 0:
            image[:, right:] = 0
        shifted.append(image)
    return np.stack(shifted)
""",
        ),
    ),
)


def directions(rng):
    cases = []
    settings = [
        ((4, 3), 5, {"about": "4 with 5 vectors"}),
        ((1, 2), 3, {"about": "one vector"}),
        ((3, 4), 3, {"about": "short, long and zero vectors"}),
        ((3, 3), 2, {"about": "float64", "dtype": "float64"}),
        ((3, 4), 2, GRAPH),
    ]
    for (n, d), m, more in settings:
        dtype = more.get("dtype", "float32")
        a, b = rng.normal(size=(n, d)), rng.normal(size=(m, d))
        if "zero" in more["about"]:
            a = a * np.array([[1e-2], [1e4], [0.0]])
            b = b * np.array([[0.0], [1e-2], [3.0]])
        cases.append({"dtype": dtype, **more, "a": a.astype(dtype), "b": b.astype(dtype)})
    return cases


def cosines(case):
    a, b = exact(case, "a", "b")
    return {"similarities": unit(a) @ unit(b).T}  # (3)


COSINE_SIMILARITIES = Exercise(
    id="cosine_similarities",
    title="Cosine similarity",
    points=3,
    parts={"values": 2, "graph": 1},
    task="`cosine_similarities` is as it was handed out. Divide each row by its length, then multiply.",
    cases=directions,
    reference=cosines,
    defines=("cosine_similarities",),
    forbids=("keras.losses", "keras.metrics", "keras.layers", "sklearn", "scipy"),
    tolerances={"float32": (5e-4, 1e-5), "float64": GUARDED},
    mistakes=(
        Mistake(
            "these are dot products. Without dividing by both lengths an embedding is more alike to everything the "
            "longer it is, and a network lowers its loss by growing.",
            {"a / ops.maximum(length_a, 1e-12)": "a", "b / ops.maximum(length_b, 1e-12)": "b"},
        ),
        Mistake(
            "only the rows of a are divided by their lengths: (3) needs both.",
            {"b / ops.maximum(length_b, 1e-12)": "b"},
        ),
        Mistake(
            "the length is taken along the wrong axis. Each example has one length, over its own features; along the "
            "examples, every embedding depends on who else is in the minibatch.",
            {
                "ops.sum(ops.square(a), axis=-1, keepdims=True)": "ops.sum(ops.square(a), axis=0, keepdims=True)",
                "ops.sum(ops.square(b), axis=-1, keepdims=True)": "ops.sum(ops.square(b), axis=0, keepdims=True)",
            },
        ),
        Mistake(
            "the rows are divided by their squared length: the root is missing.",
            {
                "ops.sqrt(ops.sum(ops.square(a), axis=-1, keepdims=True))": "ops.sum(ops.square(a), axis=-1, keepdims=True)",
                "ops.sqrt(ops.sum(ops.square(b), axis=-1, keepdims=True))": "ops.sum(ops.square(b), axis=-1, keepdims=True)",
            },
        ),
        Mistake(
            "a vector of length zero gives 0/0. One such row, and the whole loss is nan.",
            {"ops.maximum(length_a, 1e-12)": "length_a", "ops.maximum(length_b, 1e-12)": "length_b"},
        ),
        Mistake(
            "what is added against division by zero is so large that short vectors lose their direction. It should "
            "only act where the length is zero.",
            {
                "ops.maximum(length_a, 1e-12)": "(length_a + 1e-3)",
                "ops.maximum(length_b, 1e-12)": "(length_b + 1e-3)",
            },
        ),
        Mistake(
            "this is the distance, 1 − cos: (3) is larger the more alike two rows are.",
            {"return ops.matmul(a, ops.transpose(b))": "return 1 - ops.matmul(a, ops.transpose(b))"},
        ),
        Mistake(
            "the sign is lost: opposite directions have the similarity −1, not 1.",
            {"return ops.matmul(a, ops.transpose(b))": "return ops.abs(ops.matmul(a, ops.transpose(b)))"},
        ),
        Mistake(
            "the length is the sum of the absolute values here: it is the root of the sum of squares.",
            {
                "ops.sqrt(ops.sum(ops.square(a), axis=-1, keepdims=True))": "ops.sum(ops.abs(a), axis=-1, keepdims=True)",
                "ops.sqrt(ops.sum(ops.square(b), axis=-1, keepdims=True))": "ops.sum(ops.abs(b), axis=-1, keepdims=True)",
            },
        ),
        Mistake(
            "rows are those of b: the result is (n, m), with a row for each row of a.",
            {"ops.matmul(a, ops.transpose(b))": "ops.matmul(b, ops.transpose(a))"},
        ),
        Mistake(
            "only row i of a meets row i of b. Every row of one meets every row of the other.",
            {"ops.matmul(a, ops.transpose(b))": "ops.sum(a[: b.shape[0]] * b[: a.shape[0]], axis=-1)"},
        ),
        Mistake(
            NUMPY_INSIDE,
            {
                "ops.sqrt(ops.sum(ops.square(a), axis=-1, keepdims=True))": "ops.convert_to_tensor(np.linalg.norm(np.asarray(a), axis=-1, keepdims=True))"
            },
        ),
    ),
    variants=(
        Variant(
            "ops.normalize",
            code="""def cosine_similarities(a, b):
    return ops.matmul(ops.normalize(a, axis=-1), ops.transpose(ops.normalize(b, axis=-1)))
""",
        ),
        Variant(
            "a small number against 0/0",
            {
                "ops.maximum(length_a, 1e-12)": "(length_a + keras.config.epsilon())",
                "ops.maximum(length_b, 1e-12)": "(length_b + 1e-8)",
            },
        ),
        Variant(
            "divides the products by both lengths",
            code="""def cosine_similarities(a, b):
    lengths = ops.norm(a, axis=1)[:, None] * ops.norm(b, axis=1)[None, :]
    products = ops.einsum("nd,md->nm", a, b)
    return ops.where(lengths > 0, products / ops.where(lengths > 0, lengths, 1), 0)
""",
        ),
        Variant(
            "TensorFlow's own names",
            code="""import tensorflow as tf


def cosine_similarities(a, b):
    a = tf.math.divide_no_nan(a, tf.norm(a, axis=1, keepdims=True))
    b = tf.math.divide_no_nan(b, tf.norm(b, axis=1, keepdims=True))
    return tf.matmul(a, b, transpose_b=True)
""",
        ),
    ),
)


def views(rng, n, d, more, nearness=0.7):
    """Embeddings of two views: b is near a, and rows have different lengths."""
    dtype = more.get("dtype", "float32")
    za = rng.normal(size=(n, d)) * rng.uniform(0.5, 3, size=(n, 1))
    zb = za * rng.uniform(0.5, 2, size=(n, 1)) + nearness * rng.normal(size=(n, d))
    return {"dtype": dtype, **more, "za": za.astype(dtype), "zb": zb.astype(dtype)}


def contrasts(rng):
    equal = np.tile(rng.normal(size=3), (4, 1)).astype("float32")
    away = views(rng, 1, 3, {"about": "a temperature of 0.01, views that point away from each other"})
    away["zb"] = -2 * away["za"]
    return [
        {**views(rng, 5, 4, {"about": "5 examples"}), "temperature": 0.4},
        {**views(rng, 3, 2, {"about": "a high temperature"}), "temperature": 1.7},
        {**views(rng, 1, 3, {"about": "one example: nothing to tell apart"}), "temperature": 0.3},
        {
            "about": "all embeddings equal",
            "dtype": "float32",
            "za": equal,
            "zb": equal.copy(),
            "temperature": 0.25,
        },
        {**views(rng, 4, 3, {"about": "a temperature of 0.01"}), "temperature": 0.01},
        {**away, "temperature": 0.01},
        {**views(rng, 3, 3, {"about": "float64", "dtype": "float64"}), "temperature": 0.2},
        {**views(rng, 4, 3, GRAPH), "temperature": 0.3},
    ]


def contrasted(case):
    za, zb = exact(case, "za", "zb")
    z = unit(np.concatenate([za, zb]))
    n, losses = len(za), []
    for u in range(2 * n):
        s = z @ z[u] / case["temperature"]  # (4)
        others = np.delete(s, u)
        losses.append(
            others.max() + np.log(np.sum(np.exp(others - others.max()))) - s[(u + n) % (2 * n)]
        )  # (5)
    return {"loss": np.mean(losses)}  # (6)


NT_XENT = Exercise(
    id="nt_xent",
    title="NT-Xent",
    points=5,
    parts={"values": 4, "graph": 1},
    task="`nt_xent` is as it was handed out. Put both views under each other, compare all with all, then (5) and (6).",
    cases=contrasts,
    reference=contrasted,
    defines=("nt_xent",),
    forbids=("keras.losses", "sklearn", "scipy"),
    tolerances={"float32": (2e-4, 1e-4), "float64": GUARDED},
    mistakes=(
        Mistake(
            "the sum over 2n anchors is divided by n: the loss is twice what it should be, and so is every step. "
            "Equal embeddings must give log(2n − 1).",
            {"ops.mean(losses)": "ops.sum(losses) / ops.cast(n, s.dtype)"},
        ),
        Mistake(
            "only first views are compared with second ones, so that each anchor has n − 1 negatives. The other "
            "images' views on its own side count too: 2n − 2 negatives.",
            code="""def nt_xent(za, zb, temperature):
    s = cosine_similarities(za, zb) / temperature
    right = ops.sum(ops.eye(ops.shape(za)[0], dtype=s.dtype) * s, axis=1)
    return ops.mean(ops.logsumexp(s, axis=1) + ops.logsumexp(s, axis=0) - 2 * right) / 2
""",
        ),
        Mistake(
            "the anchor itself stays in the sum. Its similarity is 1, the largest there is, so each anchor is mostly "
            "compared with itself.",
            {"ops.where(itself, -1e9, s)": "s"},
        ),
        Mistake(
            "the anchor's own exponent is set to 0, which leaves e⁰ = 1 in the sum. It is to add nothing: make its "
            "exponent −∞.",
            {"ops.where(itself, -1e9, s)": "ops.where(itself, 0.0, s)"},
        ),
        Mistake(
            "the anchor's own exponent is not low enough: at a temperature of 0.01 views that point away from each other "
            "have −100, too. Take −∞, or −10⁹.",
            {"ops.where(itself, -1e9, s)": "ops.where(itself, -100.0, s)"},
        ),
        Mistake(
            "the anchor's own exponent, which is 1/τ, is only lowered by 100: at a temperature of 0.01 that makes it 0. "
            "Subtract 10⁹, or put −∞ in its place.",
            {"ops.where(itself, -1e9, s)": "s - 100 * ops.eye(2 * n, dtype=s.dtype)"},
        ),
        Mistake(
            "1/τ is taken out of the sum as if it were its largest exponent. Where the others point away all of them lie "
            "far below, and every term rounds to 0: `ops.logsumexp` takes the largest one that is there.",
            {
                "ops.logsumexp(others, axis=1)": "ops.log(ops.sum(ops.exp(others - 1 / temperature), axis=1)) + 1 / temperature"
            },
        ),
        Mistake(
            "the right one is left out of the sum: (5) leaves out the anchor alone. As it is, the loss has no lower "
            "bound, and a pair that already agrees is pushed on for ever.",
            {"ops.where(itself, -1e9, s)": "ops.where(ops.logical_or(itself, other > 0), -1e9, s)"},
        ),
        Mistake(
            "the embeddings are not normalized: (4) is a cosine.",
            {"cosine_similarities(z, z) / temperature": "ops.matmul(z, ops.transpose(z)) / temperature"},
        ),
        Mistake(
            "the embeddings are normalized along the examples. Each embedding has its own length; axis 0 makes it "
            "depend on who else is in the minibatch.",
            {
                "cosine_similarities(z, z) / temperature": "(lambda x: ops.matmul(x, ops.transpose(x)))(ops.normalize(z, axis=0)) / temperature"
            },
        ),
        Mistake(
            "the similarities are multiplied by the temperature: a low temperature should make the softmax sharper.",
            {"cosine_similarities(z, z) / temperature": "cosine_similarities(z, z) * temperature"},
        ),
        Mistake(
            "the temperature is always 0.5: use the argument.",
            {"cosine_similarities(z, z) / temperature": "cosine_similarities(z, z) / 0.5"},
        ),
        Mistake(
            "the exponentials overflow at low temperatures: exp(100) is infinite in float32. `ops.logsumexp` takes "
            "the largest exponent out first.",
            {"ops.logsumexp(others, axis=1)": "ops.log(ops.sum(ops.exp(others), axis=1))"},
        ),
        Mistake(
            "each anchor's right answer is itself: s_uu is a constant, so nothing brings two views together.",
            {"ops.roll(ops.eye(2 * n, dtype=s.dtype), n, axis=1)": "ops.eye(2 * n, dtype=s.dtype)"},
        ),
        Mistake(
            "the right answer is taken from the next row, as if the views of an image stood next to each other. Here "
            "all first views come first: row u belongs with row u + n.",
            {
                "ops.roll(ops.eye(2 * n, dtype=s.dtype), n, axis=1)": "ops.roll(ops.eye(2 * n, dtype=s.dtype), 1, axis=1)"
            },
        ),
        Mistake(
            "the losses of the anchors are added up: (6) is their mean.",
            {"ops.mean(losses)": "ops.sum(losses)"},
        ),
        Mistake(
            "the temperature is in the sum but not in s_uu', the similarity with the other view: (4) divides both.",
            {"ops.sum(other * s, axis=1)": "ops.sum(other * s, axis=1) * temperature"},
        ),
        Mistake(
            "only the first views are anchors: the mean runs over all 2n.",
            {"ops.mean(losses)": "ops.mean(losses[:n])"},
        ),
        Mistake(
            "the sign is wrong: minimized, this drives the views of an image apart.",
            {"ops.mean(losses)": "-ops.mean(losses)"},
        ),
        Mistake(
            STATIC_SHAPE,
            {"n = ops.shape(za)[0]": "n = za.shape[0]"},
        ),
    ),
    variants=(
        Variant(
            "two blocks of similarities, without the diagonal trick",
            code="""def nt_xent(za, zb, temperature):
    a, b = ops.normalize(za, axis=-1), ops.normalize(zb, axis=-1)
    n = ops.shape(a)[0]
    same = ops.eye(n, dtype=a.dtype)
    right = ops.sum(a * b, axis=-1) / temperature

    def side(anchors, others):
        within = ops.matmul(anchors, ops.transpose(anchors)) / temperature - same * 1e9
        across = ops.matmul(anchors, ops.transpose(others)) / temperature
        return ops.logsumexp(ops.concatenate([across, within], axis=1), axis=1) - right

    return 0.5 * (ops.mean(side(a, b)) + ops.mean(side(b, a)))
""",
        ),
        Variant(
            "subtracts the largest exponent by hand",
            code="""import tensorflow as tf


def nt_xent(za, zb, temperature):
    z = tf.math.l2_normalize(tf.concat([za, zb], axis=0), axis=1)
    size = tf.shape(z)[0]
    s = tf.matmul(z, z, transpose_b=True) / temperature
    s = tf.linalg.set_diag(s, tf.fill([size], tf.constant(float("-inf"), s.dtype)))
    largest = tf.reduce_max(s, axis=1, keepdims=True)
    total = tf.reduce_sum(tf.exp(s - largest), axis=1)
    right = tf.gather(s, (tf.range(size) + size // 2) % size, batch_dims=1)
    return tf.reduce_mean(tf.math.log(total) + largest[:, 0] - right)
""",
        ),
        Variant(
            "a log-softmax and the index of the other view",
            code="""def nt_xent(za, zb, temperature):
    n = ops.shape(za)[0]
    z = ops.concatenate([za, zb], axis=0)
    s = cosine_similarities(z, z) / temperature - 1e9 * ops.eye(2 * n, dtype=z.dtype)
    index = ops.concatenate([ops.arange(n, 2 * n), ops.arange(0, n)])
    picked = ops.take_along_axis(ops.log_softmax(s, axis=-1), index[:, None], axis=1)
    return -ops.sum(picked) / ops.cast(2 * n, z.dtype)
""",
        ),
    ),
)


def spheres(rng):
    opposite = np.array([[2.0, 0.0], [-1.0, 0.0]], "float32")
    empty = views(rng, 4, 3, {"about": "an embedding of length zero"})
    empty["za"][1] = 0
    return [
        views(rng, 5, 3, {"about": "5 examples"}),
        views(rng, 2, 4, {"about": "two examples"}),
        views(rng, 8, 2, {"about": "8 examples on a circle"}, nearness=0.3),
        empty,
        {
            "about": "opposite points, views that agree",
            "dtype": "float32",
            "za": opposite,
            "zb": 3 * opposite,
        },
        views(rng, 4, 3, {"about": "float64", "dtype": "float64"}),
        views(rng, 4, 3, GRAPH),
    ]


def measured(case):
    za, zb = (unit(z) for z in exact(case, "za", "zb"))
    pairs = [np.exp(-2 * np.sum((za[i] - za[j]) ** 2)) for i in range(len(za)) for j in range(i)]
    alignment = np.mean(np.sum((za - zb) ** 2, axis=1))  # (7)
    return {"alignment": alignment, "uniformity": np.log(np.mean(pairs))}  # (8)


DIAGONAL_IN = "others = 1 - ops.eye(ops.shape(za)[0], dtype=za.dtype)"
ALIGNMENT_AND_UNIFORMITY = Exercise(
    id="alignment_and_uniformity",
    title="Alignment and uniformity",
    points=3,
    parts={"values": 2, "graph": 1},
    task="`alignment_and_uniformity` is as it was handed out. Normalize both, then write (7) and (8).",
    cases=spheres,
    reference=measured,
    defines=("alignment_and_uniformity",),
    forbids=("sklearn", "scipy"),
    tolerances={"float32": (5e-4, 1e-5), "float64": GUARDED},
    mistakes=(
        Mistake(
            "the embeddings are not brought to length 1. Both measures live on the sphere; otherwise long embeddings "
            "look spread out and badly aligned.",
            {
                "za / ops.maximum(ops.sqrt(ops.sum(ops.square(za), axis=-1, keepdims=True)), 1e-12)": "za",
                "zb / ops.maximum(ops.sqrt(ops.sum(ops.square(zb), axis=-1, keepdims=True)), 1e-12)": "zb",
            },
        ),
        Mistake(
            "an embedding of length zero gives 0/0: a collapsed encoder, which these measures are to reveal, shows as "
            "nan.",
            {
                "ops.maximum(ops.sqrt(ops.sum(ops.square(za), axis=-1, keepdims=True)), 1e-12)": "ops.sqrt(ops.sum(ops.square(za), axis=-1, keepdims=True))",
                "ops.maximum(ops.sqrt(ops.sum(ops.square(zb), axis=-1, keepdims=True)), 1e-12)": "ops.sqrt(ops.sum(ops.square(zb), axis=-1, keepdims=True))",
            },
        ),
        Mistake(
            "each point is compared with itself too. Those n pairs add 1 each and hide how near the others are: two "
            "opposite points no longer reach −8.",
            {DIAGONAL_IN: "others = ops.ones_like(distance)"},
        ),
        Mistake(
            "the n pairs of a point with itself are left out of the sum but not out of the number of pairs.",
            {"/ ops.sum(others))": "/ ops.sum(ops.ones_like(others)))"},
        ),
        Mistake(
            "every pair is counted twice in the sum and once in the number of pairs: (8) has i < j, half of the "
            "elements off the diagonal.",
            {"/ ops.sum(others))": "/ (ops.sum(others) / 2))"},
        ),
        Mistake(
            "2 − 2 cos is the squared distance of two vectors of length 1. One of length zero stays zero, and has "
            "distance 1 from those.",
            code="""def alignment_and_uniformity(za, zb):
    za, zb = ops.normalize(za, axis=-1), ops.normalize(zb, axis=-1)
    others = 1 - ops.eye(ops.shape(za)[0], dtype=za.dtype)
    near = ops.exp(-2 * (2 - 2 * ops.matmul(za, ops.transpose(za))))
    alignment = ops.mean(2 - 2 * ops.sum(za * zb, axis=-1))
    return alignment, ops.log(ops.sum(others * near) / ops.sum(others))
""",
        ),
        Mistake(
            "alignment is added up over the examples: (7) is a mean.",
            {"ops.mean(ops.sum(ops.square(za - zb), axis=-1))": "ops.sum(ops.square(za - zb))"},
        ),
        Mistake(
            "the sign of uniformity is turned: (8) is 0 for one point and falls as points spread.",
            {"return alignment, ops.log": "return alignment, -ops.log"},
        ),
        Mistake(
            "uniformity is that of the second views: the text asks for the first.",
            {"za[:, None] - za[None]": "zb[:, None] - zb[None]"},
        ),
        Mistake(
            "the logarithm of (8) is missing. Without it the measure is flat where points are already apart.",
            {
                "ops.log(ops.sum(others * ops.exp(-2 * distance)) / ops.sum(others))": "ops.sum(others * ops.exp(-2 * distance)) / ops.sum(others)"
            },
        ),
        Mistake(
            "this is the mean of the logarithms, which is just −2 times the mean squared distance. (8) takes the "
            "logarithm of the mean, in which near pairs count most.",
            {
                "ops.log(ops.sum(others * ops.exp(-2 * distance)) / ops.sum(others))": "ops.sum(others * -2 * distance) / ops.sum(others)"
            },
        ),
        Mistake(
            "the factor 2 in the exponent of (8) is missing.",
            {"ops.exp(-2 * distance)": "ops.exp(-distance)"},
        ),
        Mistake(
            "the distances in (8) are not squared.",
            {"ops.exp(-2 * distance)": "ops.exp(-2 * ops.sqrt(distance))"},
        ),
        Mistake(
            "alignment is averaged over the features as well. A distance is a sum over them; the mean makes it d "
            "times too small.",
            {"ops.mean(ops.sum(ops.square(za - zb), axis=-1))": "ops.mean(ops.square(za - zb))"},
        ),
        Mistake(
            "alignment takes the distance, not its square.",
            {
                "ops.mean(ops.sum(ops.square(za - zb), axis=-1))": "ops.mean(ops.sqrt(ops.sum(ops.square(za - zb), axis=-1)))"
            },
        ),
        Mistake(
            "alignment is the mean cosine. It should fall when views come nearer: the squared distance is 2 − 2 cos.",
            {"ops.mean(ops.sum(ops.square(za - zb), axis=-1))": "ops.mean(ops.sum(za * zb, axis=-1))"},
        ),
        Mistake(
            "uniformity compares first views with second ones. It asks how different *images* lie, so it takes one view "
            "of each.",
            {"za[:, None] - za[None]": "za[:, None] - zb[None]"},
        ),
        Mistake(
            STATIC_SHAPE,
            {"ops.eye(ops.shape(za)[0], dtype=za.dtype)": "ops.eye(za.shape[0], dtype=za.dtype)"},
        ),
    ),
    variants=(
        Variant(
            "distances from products",
            code="""def alignment_and_uniformity(za, zb):
    a, b = ops.normalize(za, axis=-1), ops.normalize(zb, axis=-1)
    square_a, square_b = ops.sum(a * a, axis=-1), ops.sum(b * b, axis=-1)
    distance = square_a[:, None] + square_a[None] - 2 * ops.matmul(a, ops.transpose(a))
    itself = ops.eye(ops.shape(a)[0], dtype=a.dtype) > 0
    n = ops.cast(ops.shape(a)[0], a.dtype)
    total = ops.sum(ops.where(itself, ops.zeros_like(distance), ops.exp(-2 * distance)))
    return ops.mean(square_a + square_b - 2 * ops.sum(a * b, axis=-1)), ops.log(total / n / (n - 1))
""",
        ),
        Variant(
            "a log-sum-exp",
            {
                "ops.log(ops.sum(others * ops.exp(-2 * distance)) / ops.sum(others))": "ops.logsumexp(-2 * distance - 1e9 * (1 - others)) - ops.log(ops.sum(others))"
            },
        ),
        Variant(
            "TensorFlow, the pairs below the diagonal",
            code="""import tensorflow as tf


def alignment_and_uniformity(za, zb):
    za, zb = tf.math.l2_normalize(za, axis=1), tf.math.l2_normalize(zb, axis=1)
    squared = tf.reduce_sum((za[:, None] - za[None]) ** 2, axis=-1)
    index = tf.range(tf.shape(za)[0])
    pairs = tf.boolean_mask(squared, index[:, None] > index[None])
    alignment = tf.reduce_mean(tf.reduce_sum(tf.math.squared_difference(za, zb), axis=1))
    return alignment, tf.math.log(tf.reduce_mean(tf.exp(-2 * pairs)))
""",
        ),
    ),
)


def twins(rng):
    constant = views(rng, 4, 3, {"about": "a constant feature"})
    constant["za"][:, 1] = 2.0
    offset = views(rng, 6, 3, {"about": "features far from zero"})
    for name in ("za", "zb"):
        offset[name] = offset[name] + np.float32(3000)
    cases = [
        views(rng, 6, 3, {"about": "6 examples, 3 features"}),
        views(rng, 4, 4, {"about": "as many features as examples"}),
        constant,
        offset,
        views(rng, 5, 2, {"about": "float64", "dtype": "float64"}),
        views(rng, 5, 3, GRAPH),
    ]
    return [{**case, "redundancy_weight": float(rng.uniform(0.05, 0.5))} for case in cases]


def correlated(case):
    za, zb = exact(case, "za", "zb")
    za, zb = ((z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5) for z in (za, zb))  # (9)
    c = za.T @ zb / len(za)  # (10)
    on, off = 0.0, 0.0
    for (j, k), value in np.ndenumerate(c):
        if j == k:
            on += (1 - value) ** 2
        else:
            off += value**2
    return {"loss": on + case["redundancy_weight"] * off}  # (11)


BARLOW_TWINS = Exercise(
    id="barlow_twins",
    title="Barlow Twins",
    points=4,
    parts={"values": 3, "graph": 1},
    task="`barlow_twins` is as it was handed out. Standardize the features, correlate them, then write (11).",
    cases=twins,
    reference=correlated,
    defines=("barlow_twins",),
    forbids=("sklearn", "scipy"),
    tolerances={"float32": (1e-3, 1e-5)},
    mistakes=(
        Mistake(
            "the embeddings are standardized along their features. (9) takes mean and variance of each feature over the "
            "examples: axis 0.",
            {
                "(za - ops.mean(za, axis=0)) / ops.sqrt(ops.var(za, axis=0) + 1e-5)": "(za - ops.mean(za, axis=1, keepdims=True)) / ops.sqrt(ops.var(za, axis=1, keepdims=True) + 1e-5)",
                "(zb - ops.mean(zb, axis=0)) / ops.sqrt(ops.var(zb, axis=0) + 1e-5)": "(zb - ops.mean(zb, axis=1, keepdims=True)) / ops.sqrt(ops.var(zb, axis=1, keepdims=True) + 1e-5)",
            },
        ),
        Mistake(
            "the correlations are not divided by the number of examples, so the diagonal would have to be 1/n to cost "
            "nothing.",
            {"ops.matmul(ops.transpose(za), zb) / n": "ops.matmul(ops.transpose(za), zb)"},
        ),
        Mistake(
            "the sum is divided by n − 1 while the variances are divided by n: a feature's correlation with itself "
            "then comes out as n/(n − 1).",
            {"ops.matmul(ops.transpose(za), zb) / n": "ops.matmul(ops.transpose(za), zb) / (n - 1)"},
        ),
        Mistake(
            "the second sum takes the diagonal along. It asks the correlations to vanish that the first one wants at 1.",
            {"(1 - identity) * ops.square(c)": "ops.square(c)"},
        ),
        Mistake(
            "a view is correlated with itself: the diagonal is then 1 from the start, and nothing brings two views "
            "together.",
            {"ops.matmul(ops.transpose(za), zb) / n": "ops.matmul(ops.transpose(za), za) / n"},
        ),
        Mistake(
            "only half of the elements off the diagonal are there: C is not symmetric, so C_jk and C_kj both count.",
            {"(1 - identity) * ops.square(c)": "ops.triu(ops.square(c), k=1)"},
        ),
        Mistake(
            "the second sum is a mean over all elements: (11) adds them up.",
            {"ops.sum((1 - identity) * ops.square(c))": "ops.mean((1 - identity) * ops.square(c))"},
        ),
        Mistake(
            "10⁻⁵ is added to the deviation: in (9) it is added to the variance, before the root.",
            {
                "ops.sqrt(ops.var(za, axis=0) + 1e-5)": "(ops.std(za, axis=0) + 1e-5)",
                "ops.sqrt(ops.var(zb, axis=0) + 1e-5)": "(ops.std(zb, axis=0) + 1e-5)",
            },
        ),
        Mistake(
            "λ weighs the wrong term: it belongs to the redundancy, the many elements off the diagonal.",
            {
                "on_diagonal + redundancy_weight * off_diagonal": "redundancy_weight * on_diagonal + off_diagonal"
            },
        ),
        Mistake(
            "λ is always 0.005: use the argument.",
            {"redundancy_weight * off_diagonal": "0.005 * off_diagonal"},
        ),
        Mistake(
            "the features are centered but not divided by their deviation, so this is a covariance. The encoder can "
            "shrink the second term by making everything small.",
            {
                "(za - ops.mean(za, axis=0)) / ops.sqrt(ops.var(za, axis=0) + 1e-5)": "za - ops.mean(za, axis=0)",
                "(zb - ops.mean(zb, axis=0)) / ops.sqrt(ops.var(zb, axis=0) + 1e-5)": "zb - ops.mean(zb, axis=0)",
            },
        ),
        Mistake(
            "a constant feature gives 0/0: the 10⁻⁵ of (9) is missing, and collapse, the very thing to be measured, "
            "shows as nan.",
            {
                "ops.sqrt(ops.var(za, axis=0) + 1e-5)": "ops.sqrt(ops.var(za, axis=0))",
                "ops.sqrt(ops.var(zb, axis=0) + 1e-5)": "ops.sqrt(ops.var(zb, axis=0))",
            },
        ),
        Mistake(
            "examples are correlated with examples, (n, n): that is a contrastive loss. Barlow Twins correlates "
            "features, (d, d).",
            {
                "ops.matmul(ops.transpose(za), zb) / n": "ops.matmul(za, ops.transpose(zb)) / za.shape[1]",
                "ops.eye(za.shape[1], dtype=za.dtype)": "ops.eye(ops.shape(za)[0], dtype=za.dtype)",
            },
        ),
        Mistake(
            "the diagonal's distance to 1 is not squared.",
            {"identity * ops.square(1 - c)": "identity * (1 - c)"},
        ),
        Mistake(
            "the variance is computed as mean of squares less squared mean. For features far from zero these are two "
            "large numbers whose difference float32 no longer holds.",
            {
                "ops.var(za, axis=0)": "(ops.mean(za * za, axis=0) - ops.mean(za, axis=0) ** 2)",
                "ops.var(zb, axis=0)": "(ops.mean(zb * zb, axis=0) - ops.mean(zb, axis=0) ** 2)",
            },
        ),
        Mistake(
            STATIC_SHAPE,
            {"ops.cast(ops.shape(za)[0], za.dtype)": "za.shape[0]"},
        ),
    ),
    variants=(
        Variant(
            "the diagonal taken out",
            code="""def barlow_twins(za, zb, redundancy_weight):
    def standardized(z):
        centered = z - ops.mean(z, axis=0, keepdims=True)
        return centered * ops.rsqrt(ops.mean(centered**2, axis=0, keepdims=True) + 1e-5)

    c = ops.mean(standardized(za)[:, :, None] * standardized(zb)[:, None, :], axis=0)
    diagonal = ops.diagonal(c)
    return ops.sum((diagonal - 1) ** 2) + redundancy_weight * (ops.sum(c**2) - ops.sum(diagonal**2))
""",
        ),
        Variant(
            "one weight for each element",
            code="""def barlow_twins(za, zb, redundancy_weight):
    both = ops.stack([za, zb])
    both = both - ops.mean(both, axis=1, keepdims=True)
    both = both / ops.sqrt(ops.mean(both * both, axis=1, keepdims=True) + 1e-5)
    c = ops.einsum("nj,nk->jk", both[0], both[1]) / ops.cast(ops.shape(za)[0], za.dtype)
    eye = ops.eye(c.shape[0], dtype=c.dtype)
    return ops.sum((eye + redundancy_weight * (1 - eye)) * (c - eye) ** 2)
""",
        ),
        Variant(
            "TensorFlow's moments",
            code="""import tensorflow as tf


def barlow_twins(za, zb, redundancy_weight):
    def standardized(z):
        mean, variance = tf.nn.moments(z, axes=[0])
        return (z - mean) / tf.sqrt(variance + 1e-5)

    c = tf.matmul(standardized(za), standardized(zb), transpose_a=True) / tf.cast(tf.shape(za)[0], za.dtype)
    off = tf.linalg.set_diag(c, tf.zeros_like(tf.linalg.diag_part(c)))
    on = tf.reduce_sum(tf.square(1 - tf.linalg.diag_part(c)))
    return on + redundancy_weight * tf.reduce_sum(tf.square(off))
""",
        ),
    ),
)


def neighborhoods(rng):
    settings = [
        (14, 10, 3, 5, 3, {"about": "5 neighbors, 3 classes"}),
        (12, 8, 2, 4, 4, {"about": "4 neighbors: votes may tie"}),
        (10, 8, 3, 1, 5, {"about": "one neighbor"}),
        (6, 4, 3, 6, 3, {"about": "every training example is a neighbor"}),
        (25, 12, 2, 21, 12, {"about": "21 neighbors, 12 classes", "dtype": "float64"}),
    ]
    cases = []
    for n, m, d, k, num_classes, more in settings:
        dtype = more.get("dtype", "float32")
        labels = rng.integers(0, num_classes, size=n)
        if num_classes > 10:  # the many votes are for high numbers
            labels = rng.permutation(np.repeat([3, 10, 11], [5, 10, 10]))
        train_z = rng.normal(size=(n, d)) * np.exp(rng.normal(size=(n, 1)))
        test_z = rng.normal(size=(m, d)) * np.exp(rng.normal(size=(m, 1)))
        cases.append(
            {
                "about": more["about"],
                "train_z": train_z.astype(dtype),
                "train_y": labels.astype("int64"),
                "test_z": test_z.astype(dtype),
                "k": k,
                "num_classes": num_classes,
            }
        )
    return cases


def voted(case):
    train_z, test_z = exact(case, "train_z", "test_z")
    classes = []
    for row in unit(test_z):
        nearest = np.argsort(-(unit(train_z) @ row))[: case["k"]]
        votes = [np.sum(case["train_y"][nearest] == c) for c in range(case["num_classes"])]
        classes.append(int(np.argmax(votes)))  # (12)
    return {"classes": np.array(classes)}


KNN_PREDICT = Exercise(
    id="knn_predict",
    title="Nearest neighbors",
    points=3,
    task="`knn_predict` is as it was handed out. Find the k most similar training rows, then count their classes.",
    cases=neighborhoods,
    reference=voted,
    defines=("knn_predict",),
    forbids=("sklearn", "scipy"),
    mistakes=(
        Mistake(
            "these are the neighbors with the *smallest* cosine, the farthest ones.",
            {"ops.top_k(similarity, k)": "ops.top_k(-similarity, k)"},
        ),
        Mistake(
            "the nearest neighbor alone decides: k of them vote.",
            {"ops.top_k(similarity, k)": "ops.top_k(similarity, 1)"},
        ),
        Mistake(
            "the classes are averaged. They are names, not quantities: between a 2 and a 4 there is no 3.",
            code="""def knn_predict(train_z, train_y, test_z, k, num_classes):
    nearest = ops.top_k(cosine_similarities(test_z, train_z), k)[1]
    labels = ops.cast(ops.take(train_y, nearest, axis=0), "float32")
    return ops.cast(ops.round(ops.mean(labels, axis=1)), "int64")
""",
        ),
        Mistake(
            "near is measured by the dot product: long training vectors are then everybody's neighbors. (12) takes "
            "the cosine.",
            {"cosine_similarities(test_z, train_z)": "ops.matmul(test_z, ops.transpose(train_z))"},
        ),
        Mistake(
            "near is measured by the Euclidean distance of vectors of any length. (12) takes the cosine: only the "
            "direction was trained.",
            {
                "cosine_similarities(test_z, train_z)": "-ops.sum(ops.square(test_z[:, None] - train_z[None]), axis=-1)"
            },
        ),
        Mistake(
            "the nearest one is left out, as if it were the example itself. Test examples are not among the training "
            "examples.",
            {
                "ops.top_k(similarity, k)[1]": "ops.flip(ops.argsort(similarity, axis=-1), axis=-1)[:, 1 : k + 1]"
            },
        ),
        Mistake(
            "of two classes with equally many votes the larger number wins: the smaller one is to.",
            {
                "return ops.argmax(votes, axis=-1)": "return num_classes - 1 - ops.argmax(ops.flip(votes, axis=-1), axis=-1)"
            },
        ),
        Mistake(
            "of two classes with equally many votes the one with the nearest neighbor wins: the smaller number is to.",
            code="""def knn_predict(train_z, train_y, test_z, k, num_classes):
    nearest = np.asarray(ops.top_k(cosine_similarities(test_z, train_z), k)[1])
    classes = [np.asarray(train_y)[row].tolist() for row in nearest]
    return np.array([max(row, key=row.count) for row in classes])
""",
        ),
        Mistake(
            "these are the numbers of votes: return the class that has most of them.",
            {"return ops.argmax(votes, axis=-1)": "return votes"},
        ),
        Mistake(
            "votes go to the numbers of the neighbors: look up their classes in train_y.",
            {"ops.take(train_y, nearest, axis=0)": "nearest"},
        ),
        Mistake(
            "the votes are weighted by similarity. That is another classifier, and often a good one; in (12) every "
            "neighbor has one vote.",
            {
                "nearest = ops.top_k(similarity, k)[1]": "weight, nearest = ops.top_k(similarity, k)",
                "ops.one_hot(ops.take(train_y, nearest, axis=0), num_classes)": "weight[:, :, None] * ops.one_hot(ops.take(train_y, nearest, axis=0), num_classes, dtype=weight.dtype)",
            },
        ),
        Mistake(
            "the number of neighbors is always 5: use the argument.",
            {"ops.top_k(similarity, k)": "ops.top_k(similarity, 5)"},
        ),
        Mistake(
            "there are always 10 classes: use the argument, or the votes for others are lost.",
            {"axis=0), num_classes)": "axis=0), 10)"},
        ),
    ),
    variants=(
        Variant(
            "NumPy and a bincount",
            code="""def knn_predict(train_z, train_y, test_z, k, num_classes):
    similarity = np.asarray(cosine_similarities(test_z, train_z))
    labels = np.asarray(train_y)[np.argsort(-similarity, axis=1)[:, :k]]
    return np.array([np.bincount(row, minlength=num_classes).argmax() for row in labels])
""",
        ),
        Variant(
            "Euclidean distance on the unit sphere",
            {
                "cosine_similarities(test_z, train_z)": "-ops.sum((ops.normalize(test_z)[:, None] - ops.normalize(train_z)[None]) ** 2, axis=-1)"
            },
        ),
        Variant(
            "keeps everything from the k-th largest on",
            code="""def knn_predict(train_z, train_y, test_z, k, num_classes):
    similarity = cosine_similarities(test_z, train_z)
    kth = ops.sort(similarity, axis=-1)[:, -k]
    near = ops.cast(similarity >= kth[:, None], similarity.dtype)
    return ops.argmax(ops.matmul(near, ops.one_hot(train_y, num_classes, dtype=near.dtype)), axis=1)
""",
        ),
    ),
)

EXERCISES = [RANDOM_CROP, COSINE_SIMILARITIES, NT_XENT, ALIGNMENT_AND_UNIFORMITY, BARLOW_TWINS, KNN_PREDICT]
