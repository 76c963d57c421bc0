"""The judge's side of the lab on masked pretraining: cases, references, known mistakes, right variants. NumPy only."""

import numpy as np

from tf_kit.grading import Exercise, Mistake, Variant

IN_A_GRAPH = "in a compiled graph, number of examples unknown"
STATIC_SHAPE = (
    "the number of examples is read with `.shape[0]`. While a graph is built it is None, because the last minibatch "
    "may be shorter: write -1 in a reshape, and `ops.shape(x)[0]` elsewhere."
)
NUMPY_INSIDE = (
    "this uses NumPy inside. Tried out on its own it works, but a training step is compiled, and a tensor in a graph "
    "has no value yet that NumPy could take. Use `keras.ops`."
)
PYTHON_IF = (
    "a Python `if` or `while` asks for the value of a tensor, or `ops.isin` does inside: a graph that is being built has "
    "none yet. Choose with `ops.where`, or compare with each number in turn."
)
CUTTERS = (
    "keras.ops.image.extract_patches",
    "keras.ops.extract_patches",
    "tensorflow.image.extract_patches",
    "tensorflow.nn.space_to_depth",
    "tensorflow.nn.depth_to_space",
    "tensorflow.space_to_depth",
    "tensorflow.depth_to_space",
)


def exact(case, *names):
    """Arrays of a case as the answer got them, in float64."""
    return [np.asarray(case[name]).astype("float64") for name in names]


SHAPES = [
    ((2, 4, 4, 1), 2, {"about": "square grey images"}),
    ((2, 4, 6, 3), 2, {"about": "wide images, three channels"}),
    ((1, 6, 3, 2), 3, {"about": "one high image, patches of 3"}),
    ((2, 3, 2, 1), 1, {"about": "patches of one pixel"}),
    ((1, 2, 4, 2), 2, {"about": "float64", "dtype": "float64"}),
    ((3, 4, 6, 2), 2, {"about": IN_A_GRAPH, "compiled": True, "part": "graph"}),
]


def images(rng):
    for shape, size, more in SHAPES:
        case = {"dtype": "float32", **more, "size": size, "image_shape": np.array(shape[1:])}
        yield {**case, "images": rng.normal(size=shape).astype(case["dtype"])}


def cut(x, size):
    """(1), patch by patch."""
    rows, columns = x.shape[1] // size, x.shape[2] // size
    patches = [
        x[:, r * size : (r + 1) * size, c * size : (c + 1) * size].reshape(len(x), -1)
        for r in range(rows)
        for c in range(columns)
    ]
    return np.stack(patches, axis=1)


PATCHIFY = Exercise(
    id="patchify",
    title="Images into patches",
    points=3,
    parts={"values": 2, "graph": 1},
    task="`patchify` is as it was handed out. Split height and width in two axes each, transpose, and flatten.",
    cases=lambda rng: list(images(rng)),
    reference=lambda case: {"patches": cut(*exact(case, "images"), case["size"])},
    defines=("patchify",),
    forbids=CUTTERS,
    mistakes=(
        Mistake(
            "the image is only reshaped. That gives runs of neighboring pixels of a row, not squares: the inner axes "
            "must be brought together by a transpose first.",
            {"    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))": "    x = x"},
        ),
        Mistake(
            "the patches are numbered column by column. They run row by row, as one reads; positions would be wrong "
            "by a reflection.",
            {"(0, 1, 3, 2, 4, 5)": "(0, 3, 1, 2, 4, 5)"},
        ),
        Mistake(
            "the pixels inside a patch are turned on their side: rows of the patch come before its columns, as in "
            "the image.",
            {"(0, 1, 3, 2, 4, 5)": "(0, 1, 3, 4, 2, 5)"},
        ),
        Mistake(
            "the channels come first inside a patch. In (1) a flattened piece of the image keeps its order: row, "
            "column, channel.",
            {"(0, 1, 3, 2, 4, 5)": "(0, 1, 3, 5, 2, 4)"},
        ),
        Mistake(
            "height and width are not split in the order in which they lie in memory: an axis of the image is cut into "
            "(patch, place inside the patch), so the shape is (…, rows, size, columns, size, …).",
            {"(-1, rows, size, columns, size, channels)": "(-1, rows, columns, size, size, channels)"},
        ),
        Mistake(
            "rows and columns have changed places everywhere: these are the patches of the image on its side.",
            {"(0, 1, 3, 2, 4, 5)": "(0, 3, 1, 4, 2, 5)"},
        ),
        Mistake(
            "the image is taken to be square: the width has its own number of patches.",
            {"rows, columns = height // size, width // size": "rows = columns = height // size"},
        ),
        Mistake(
            "rows and columns are swapped: `height // size` counts the rows. On square images nothing shows.",
            {
                "rows, columns = height // size, width // size": "columns, rows = height // size, width // size"
            },
        ),
        Mistake(
            "only the first channel is kept: a patch has size · size · channels numbers.",
            {
                "    return ops.reshape(x, (-1, rows * columns, size * size * channels))": "    return ops.reshape(x[..., :1], (-1, rows * columns, size * size))"
            },
        ),
        Mistake(
            STATIC_SHAPE,
            {
                "ops.reshape(images, (-1,": "ops.reshape(images, (images.shape[0],",
                "ops.reshape(x, (-1,": "ops.reshape(x, (images.shape[0],",
            },
        ),
        Mistake(
            NUMPY_INSIDE,
            {"x = ops.reshape(images,": "x = np.reshape(np.asarray(images),"},
        ),
    ),
    variants=(
        Variant(
            "slices the patches one after another",
            code="""def patchify(images, size):
    height, width, channels = images.shape[1:]
    patches = []
    for top in range(0, height, size):
        for left in range(0, width, size):
            square = images[:, top : top + size, left : left + size, :]
            patches.append(ops.reshape(square, (-1, size * size * channels)))
    return ops.stack(patches, axis=1)
""",
        ),
        Variant(
            "swaps the two axes",
            {"ops.transpose(x, (0, 1, 3, 2, 4, 5))": "ops.swapaxes(x, 2, 3)"},
        ),
        Variant(
            "picks the pixels by their number",
            code="""def patchify(images, size):
    height, width, channels = images.shape[1:]
    number = np.arange(height * width).reshape(height // size, size, width // size, size)
    number = number.transpose(0, 2, 1, 3).reshape(-1)
    pixels = ops.reshape(images, (ops.shape(images)[0], height * width, channels))
    picked = ops.take(pixels, number, axis=1)
    return ops.reshape(picked, (ops.shape(images)[0], -1, size * size * channels))
""",
        ),
        Variant(
            "splits along height, then along width",
            code="""def patchify(images, size):
    height, width, channels = images.shape[1:]
    rows = ops.stack(ops.split(images, height // size, axis=1), axis=1)
    squares = ops.stack(ops.split(rows, width // size, axis=3), axis=2)
    return ops.reshape(squares, (-1, (height // size) * (width // size), size * size * channels))
""",
        ),
    ),
)


def cut_images(rng):
    return [{**case, "patches": cut(case["images"], case["size"])} for case in images(rng)]


UNPATCHIFY = Exercise(
    id="unpatchify",
    title="Patches into images",
    points=2,
    parts={"values": 1, "graph": 1},
    task="`unpatchify` is as it was handed out. Undo the steps of `patchify`, the last one first.",
    cases=lambda rng: [{k: v for k, v in case.items() if k != "images"} for case in cut_images(rng)],
    reference=lambda case: {"images": put_together(case)},
    defines=("unpatchify",),
    forbids=CUTTERS,
    mistakes=(
        Mistake(
            "the patches are only reshaped: without the transpose, the rows of a patch lie behind each other in one "
            "row of the image.",
            {"    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))": "    x = x"},
        ),
        Mistake(
            "the image comes out turned: its patches are set column by column.",
            {
                "ops.reshape(patches, (-1, rows, columns, size, size, channels))": "ops.swapaxes(ops.reshape(patches, (-1, columns, rows, size, size, channels)), 1, 2)"
            },
        ),
        Mistake(
            "every patch is turned on its side: inside a patch the rows come first.",
            {"(0, 1, 3, 2, 4, 5)": "(0, 1, 4, 2, 3, 5)"},
        ),
        Mistake(
            "the image is taken to be square: the number of patches does not tell its shape, `image_shape` does.",
            {
                "rows, columns = height // size, width // size": "rows = columns = int(patches.shape[1] ** 0.5)"
            },
        ),
        Mistake(
            "rows and columns are swapped: `height // size` counts the rows. On square images nothing shows.",
            {
                "rows, columns = height // size, width // size": "columns, rows = height // size, width // size"
            },
        ),
        Mistake(
            "these are the steps of `patchify` once more. Undo them: the patches lie as (rows, columns, size, size), and "
            "the image is (rows, size, columns, size).",
            {"(-1, rows, columns, size, size, channels)": "(-1, rows, size, columns, size, channels)"},
        ),
        Mistake(
            "the channels are taken to come first inside a patch. `patchify` leaves them last.",
            {
                "(-1, rows, columns, size, size, channels)": "(-1, rows, columns, channels, size, size)",
                "(0, 1, 3, 2, 4, 5)": "(0, 1, 4, 2, 5, 3)",
            },
        ),
        Mistake(
            STATIC_SHAPE,
            {
                "ops.reshape(patches, (-1,": "ops.reshape(patches, (patches.shape[0],",
                "ops.reshape(x, (-1,": "ops.reshape(x, (patches.shape[0],",
            },
        ),
        Mistake(
            NUMPY_INSIDE,
            {"x = ops.reshape(patches,": "x = np.reshape(np.asarray(patches),"},
        ),
    ),
    variants=(
        Variant(
            "joins the patches of a row, then the rows",
            code="""def unpatchify(patches, image_shape, size):
    height, width, channels = image_shape
    columns = width // size
    squares = [ops.reshape(patches[:, i], (-1, size, size, channels)) for i in range(patches.shape[1])]
    rows = [ops.concatenate(squares[i : i + columns], axis=2) for i in range(0, len(squares), columns)]
    return ops.concatenate(rows, axis=1)
""",
        ),
        Variant(
            "swaps the two axes",
            {"ops.transpose(x, (0, 1, 3, 2, 4, 5))": "ops.swapaxes(x, 2, 3)"},
        ),
        Variant(
            "finds for each pixel where it is among the patches",
            code="""def unpatchify(patches, image_shape, size):
    height, width, channels = image_shape
    y, x = np.mgrid[:height, :width]
    patch = (y // size) * (width // size) + x // size
    place = (patch * size + y % size) * size + x % size
    pixels = ops.reshape(patches, (ops.shape(patches)[0], height * width, channels))
    return ops.reshape(ops.take(pixels, place.reshape(-1), axis=1), (ops.shape(patches)[0], *image_shape))
""",
        ),
    ),
)


def put_together(case):
    (patches,) = exact(case, "patches")
    height, width, channels = (int(each) for each in case["image_shape"])
    size = case["size"]
    image = np.zeros((len(patches), height, width, channels))
    for p in range(patches.shape[1]):
        r, c = divmod(p, width // size)
        square = patches[:, p].reshape(-1, size, size, channels)
        image[:, r * size : (r + 1) * size, c * size : (c + 1) * size] = square
    return image


def distinct(rng, n, places):
    """(n, places) of numbers in (0, 1), no two of a row near each other; the rows are ordered differently.

    Small numbers are more frequent than large ones, so that a threshold does not hide the number of places it should.
    """
    while True:
        rank = np.stack([rng.permutation(places) for _ in range(n)])
        order = np.argsort(rank, axis=1)
        unlike = n == 1 or (rank[0] != rank[1]).any()
        if unlike and (order[0] != rank[0]).any():  # not its own inverse
            ends = np.cumsum(rng.uniform(0.2, 1, size=(n, places + 1)), axis=1)
            return np.take_along_axis((ends[:, :-1] / ends[:, -1:]) ** 2, rank, axis=1)


def draws(rng):
    sizes = [
        (3, 6, 2, "3 images, 2 of 6 places seen"),
        (4, 5, 4, "most places seen"),
        (1, 7, 3, "one image"),
        (2, 8, 1, "one place seen"),
        (3, 4, 4, "nothing hidden"),
    ]
    cases = [
        {"about": about, "uniform": distinct(rng, n, places).astype("float32"), "num_visible": visible}
        for n, places, visible, about in sizes
    ]
    return [
        *cases,
        {
            "about": IN_A_GRAPH,
            "part": "graph",
            "compiled": True,
            "num_visible": 3,
            "uniform": distinct(rng, 3, 5).astype("float32"),
        },
    ]


def hidden(case):
    order = np.argsort(case["uniform"], axis=1)  # (2)
    masked = np.ones(order.shape, bool)
    for i, visible in enumerate(order[:, : case["num_visible"]]):
        masked[i, visible] = False
    return {"order": order, "masked": masked}


HIDE = Exercise(
    id="hide",
    title="Masks, another for each image",
    points=3,
    parts={"values": 2, "graph": 1},
    task="`hide` is as it was handed out. Sort each row's places by their numbers; the first ones stay visible.",
    cases=draws,
    reference=hidden,
    defines=("hide",),
    mistakes=(
        Mistake(
            "the mask is the wrong way round: `masked` is True where a patch is hidden.",
            {"rank >= num_visible": "rank < num_visible"},
        ),
        Mistake(
            "the order itself is compared with the number of visible places. Which position a place has in the order "
            "is the inverse permutation, the order's own argsort; the two agree only for some permutations.",
            {"rank = ops.argsort(order, axis=-1)": "rank = order"},
        ),
        Mistake(
            "every image gets the mask of the first. The network then sees a minibatch with one and the same hole, "
            "and its gradient says little about other places.",
            {
                "ops.argsort(uniform, axis=-1)": "ops.broadcast_to(ops.argsort(uniform[:1], axis=-1), ops.shape(uniform))"
            },
        ),
        Mistake(
            "the largest numbers stay visible: (2) takes the smallest.",
            {"ops.argsort(uniform, axis=-1)": "ops.argsort(-uniform, axis=-1)"},
        ),
        Mistake(
            "the numbers are sorted along the images (axis 0). Each image orders its own places.",
            {"ops.argsort(uniform, axis=-1)": "ops.argsort(uniform, axis=0)"},
        ),
        Mistake(
            "places are hidden by a threshold, so one image loses more of them than another. Their number must be the "
            "same, or the visible patches do not fit into one array.",
            {"rank >= num_visible": "uniform >= num_visible / uniform.shape[1]"},
        ),
        Mistake(
            "`num_visible` counts the hidden places here: it is how many are seen.",
            {"rank >= num_visible": "rank >= uniform.shape[1] - num_visible"},
        ),
        Mistake(
            "`masked` says which positions of the order are hidden, the last ones. It is to say which *places* are: take "
            "it back through the order.",
            {
                "rank >= num_visible": "ops.broadcast_to(ops.arange(uniform.shape[1]) >= num_visible, ops.shape(order))"
            },
        ),
        Mistake(
            "one place too many is seen: the positions 0 to V − 1 are, so V itself is hidden.",
            {"rank >= num_visible": "rank > num_visible"},
        ),
        Mistake(
            "what is returned first is the rank of each place, the inverse of the order that (2) asks for.",
            {"return order, rank": "return rank, rank"},
        ),
        Mistake(
            NUMPY_INSIDE,
            {"ops.argsort(uniform, axis=-1)": "np.argsort(np.asarray(uniform), axis=-1)"},
        ),
    ),
    variants=(
        Variant(
            "a one-hot sum over the visible places",
            code="""def hide(uniform, num_visible):
    order = ops.argsort(uniform, axis=1)
    seen = ops.sum(ops.one_hot(order[:, :num_visible], uniform.shape[1], dtype="int32"), axis=1)
    return order, seen == 0
""",
        ),
        Variant(
            "counts how many numbers of the row are smaller",
            {
                "ops.argsort(order, axis=-1)": 'ops.sum(ops.cast(uniform[:, None, :] < uniform[:, :, None], "int32"), axis=-1)'
            },
        ),
        Variant(
            "compares with the largest visible number",
            code="""def hide(uniform, num_visible):
    largest = ops.sort(uniform, axis=-1)[:, num_visible - 1 : num_visible]
    return ops.argsort(uniform, axis=-1), uniform > largest
""",
        ),
        Variant(
            "top_k of the negative numbers",
            {"order = ops.argsort(uniform, axis=-1)": "order = ops.top_k(-uniform, uniform.shape[1])[1]"},
        ),
    ),
)


def shuffled(rng):
    sizes = [
        (3, 6, 2, {"about": "3 images, 2 of 6 places seen"}),
        (2, 5, 4, {"about": "most places seen"}),
        (1, 4, 1, {"about": "one image, one place seen"}),
        (2, 4, 4, {"about": "nothing hidden"}),
        (2, 5, 2, {"about": "float64", "dtype": "float64"}),
        (3, 5, 2, {"about": IN_A_GRAPH, "compiled": True, "part": "graph"}),
    ]
    cases = []
    for n, places, visible, more in sizes:
        case = {"dtype": "float32", **more}
        width = 2 + len(cases)
        case["tokens"] = np.maximum(rng.normal(size=(n, visible, width)), 0).astype(case["dtype"])
        case["tokens"][:, 0, 0] = 0  # as behind a ReLU: zeros do not tell where nothing was seen
        case["mask_token"] = rng.uniform(0.5, 1, size=width).astype(case["dtype"])
        case["order"] = np.argsort(distinct(rng, n, places), axis=1).astype("int32")
        cases.append(case)
    return cases


def in_place(case):
    tokens, mask_token = exact(case, "tokens", "mask_token")
    placed = np.tile(mask_token, (*case["order"].shape, 1))
    for i, order in enumerate(case["order"]):
        placed[i, order[: tokens.shape[1]]] = tokens[i]  # (3)
    return {"tokens": placed}


PUT_BACK = Exercise(
    id="put_back",
    title="Tokens back in their places",
    points=4,
    parts={"values": 3, "graph": 1},
    task="`put_back` is as it was handed out. Append mask tokens, then undo the order.",
    cases=shuffled,
    reference=in_place,
    defines=("put_back",),
    mistakes=(
        Mistake(
            "the tokens are picked with the order itself. Undoing a permutation takes its inverse; picking with the "
            "order shuffles a second time, and with few places that often looks right.",
            {"rank = ops.argsort(order, axis=-1)": "rank = order"},
        ),
        Mistake(
            "the tokens stay in the order in which they were seen. The decoder adds the code of each place, so it "
            "would take every patch for another.",
            {"return ops.take_along_axis(in_order, rank[:, :, None], axis=1)": "return in_order"},
        ),
        Mistake(
            "the hidden places are zero: the mask token, which is learned, stands there.",
            {"ops.broadcast_to(mask_token,": "ops.broadcast_to(ops.zeros_like(mask_token),"},
        ),
        Mistake(
            "the mask token stands wherever a number is 0. A token that was seen may contain zeros too, as behind a "
            "ReLU: the order tells what was seen.",
            {
                "ops.broadcast_to(mask_token,": "ops.broadcast_to(ops.zeros_like(mask_token),",
                "return ops.take_along_axis(in_order, rank[:, :, None], axis=1)": "placed = ops.take_along_axis(in_order, rank[:, :, None], axis=1)\n    return ops.where(placed == 0, mask_token, placed)",
            },
        ),
        Mistake(
            "all images are put back by the order of the first. Each has its own.",
            {"rank[:, :, None]": "ops.broadcast_to(rank[:1, :, None], (*ops.shape(rank), 1))"},
        ),
        Mistake(
            "the mask tokens are put before the seen ones. In the order of (2) the visible places come first.",
            {"ops.concatenate([tokens, hidden], axis=1)": "ops.concatenate([hidden, tokens], axis=1)"},
        ),
        Mistake(
            "the mask token is added to the seen tokens too: it stands only where nothing was seen.",
            {
                "ops.concatenate([tokens, hidden], axis=1)": "ops.concatenate([tokens + mask_token, hidden], axis=1)"
            },
        ),
        Mistake(
            STATIC_SHAPE,
            {"(ops.shape(tokens)[0], places - visible": "(tokens.shape[0], places - visible"},
        ),
        Mistake(
            NUMPY_INSIDE,
            code="""def put_back(tokens, mask_token, order):
    placed = np.tile(np.asarray(mask_token), (*order.shape, 1))
    for i in range(len(order)):
        placed[i, np.asarray(order)[i, : tokens.shape[1]]] = np.asarray(tokens)[i]
    return placed
""",
        ),
    ),
    variants=(
        Variant(
            "a permutation matrix",
            {
                "return ops.take_along_axis(in_order, rank[:, :, None], axis=1)": "return ops.matmul(ops.one_hot(rank, places, dtype=tokens.dtype), in_order)"
            },
        ),
        Variant(
            "a one-hot matrix of the visible places, and the mask token in the rest",
            code="""def put_back(tokens, mask_token, order):
    places = ops.one_hot(order[:, : tokens.shape[1]], order.shape[1], dtype=tokens.dtype)
    seen = ops.sum(places, axis=1)[:, :, None]
    return ops.einsum("nvp,nvd->npd", places, tokens) + (1 - seen) * mask_token
""",
        ),
        Variant(
            "TensorFlow's gather",
            code="""import tensorflow as tf


def put_back(tokens, mask_token, order):
    hidden = tf.shape(order)[1] - tf.shape(tokens)[1]
    fill = tf.tile(mask_token[None, None, :], [tf.shape(tokens)[0], hidden, 1])
    return tf.gather(tf.concat([tokens, fill], 1), tf.argsort(order, axis=1), batch_dims=1)
""",
        ),
        Variant(
            "TensorFlow's scatter",
            code="""import tensorflow as tf


def put_back(tokens, mask_token, order):
    visible = order[:, : tokens.shape[1]]
    row = tf.broadcast_to(tf.range(tf.shape(order)[0], dtype=order.dtype)[:, None], tf.shape(visible))
    everywhere = tf.zeros([tf.shape(order)[0], tf.shape(order)[1], tokens.shape[2]], tokens.dtype) + mask_token
    return tf.tensor_scatter_nd_update(everywhere, tf.stack([row, visible], axis=-1), tokens)
""",
        ),
    ),
)


def predicted(rng):
    cases = []
    sizes = [
        (3, 5, {"about": "images that hide unequal numbers of patches"}),
        (1, 6, {"about": "one image"}),
        (2, 4, {"about": "nothing is masked", "masked": np.zeros((2, 4), bool)}),
        (2, 4, {"about": "everything is masked", "masked": np.ones((2, 4), bool)}),
        (3, 4, {"about": "one masked patch in all", "masked": np.arange(12).reshape(3, 4) == 5}),
        (3, 4, {"about": "float64", "dtype": "float64"}),
        (4, 5, {"about": IN_A_GRAPH, "compiled": True, "part": "graph"}),
    ]
    for n, places, more in sizes:
        size = 3 + len(cases)
        dtype = more.get("dtype", "float32")
        masked = rng.uniform(size=(n, places)) < 0.5
        masked[0, :3], masked[-1, -1] = (True, False, True), False
        if n > 1:
            masked[1] = np.arange(places) == 0
        drawn = {
            name: rng.normal(size=(n, places, size)).astype(dtype) for name in ("patches", "predictions")
        }
        cases.append({"dtype": dtype, "masked": masked, **drawn, **more})
    return cases


def over_masked(case):
    x, prediction = exact(case, "patches", "predictions")
    chosen = np.mean((x - prediction) ** 2, axis=-1)[case["masked"]]
    return {"loss": chosen.mean() if chosen.size else 0.0}  # (4)


MASKED_PATCH_LOSS = Exercise(
    id="masked_patch_loss",
    title="Loss on masked patches only",
    points=3,
    parts={"values": 2, "graph": 1},
    task="`masked_patch_loss` is as it was handed out. Sum the errors of the masked patches; divide by their number.",
    cases=predicted,
    reference=over_masked,
    defines=("masked_patch_loss",),
    tolerances={
        "float64": (1e-5, 1e-9)
    },  # so that a small number may be added to the number of masked patches
    mistakes=(
        Mistake(
            "the loss is over all patches. What was seen can be copied, and with most of it visible most of the loss "
            "is about copying.",
            {"ops.sum(weights * error) / ops.maximum(ops.sum(weights), 1)": "ops.mean(error)"},
        ),
        Mistake(
            "the loss is over the visible patches: `masked` is True where a patch was hidden, and those are to be "
            "predicted.",
            {"ops.cast(masked, error.dtype)": "1 - ops.cast(masked, error.dtype)"},
        ),
        Mistake(
            "the sum over the masked patches is divided by the number of all. The loss, and with it the step, then "
            "depends on the mask ratio.",
            {"ops.sum(weights * error) / ops.maximum(ops.sum(weights), 1)": "ops.mean(weights * error)"},
        ),
        Mistake(
            "the squares are summed over the pixels of a patch: (4) averages them, so that patches of any size give "
            "losses of one size.",
            {
                "ops.mean(ops.square(patches - predictions), axis=-1)": "ops.sum(ops.square(patches - predictions), axis=-1)"
            },
        ),
        Mistake(
            "this averages the images' own averages. An image with one masked patch then weighs as much as one with "
            "many; (4) is one mean over all masked patches.",
            {
                "ops.sum(weights * error) / ops.maximum(ops.sum(weights), 1)": "ops.mean(ops.sum(weights * error, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1))"
            },
        ),
        Mistake(
            "the errors of the masked patches are added up: (4) is their mean.",
            {"ops.sum(weights * error) / ops.maximum(ops.sum(weights), 1)": "ops.sum(weights * error)"},
        ),
        Mistake(
            "each image has a loss of its own here: (4) is one number for the whole minibatch.",
            {
                "ops.sum(weights * error) / ops.maximum(ops.sum(weights), 1)": "ops.sum(weights * error, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)"
            },
        ),
        Mistake(
            "1 is added to the number of masked patches, so that the loss is too small. Against 0/0, take the larger of "
            "the number and 1.",
            {"ops.maximum(ops.sum(weights), 1)": "(ops.sum(weights) + 1)"},
        ),
        Mistake(
            "the sizes of patches are fixed: a patch has D numbers, as many as its last axis is long.",
            {
                "ops.mean(ops.square(patches - predictions), axis=-1)": "ops.sum(ops.square(patches - predictions), axis=-1) / 4"
            },
        ),
        Mistake(
            PYTHON_IF,
            {
                "    return ops.sum(weights": "    if ops.sum(weights) == 0:\n        return ops.zeros((), error.dtype)\n    return ops.sum(weights"
            },
        ),
        Mistake(
            "when nothing is masked this is 0/0, and one nan in the loss ruins all weights.",
            {"ops.maximum(ops.sum(weights), 1)": "ops.sum(weights)"},
        ),
        Mistake(
            "this is the absolute error, not the squared one of (4).",
            {"ops.square(patches - predictions)": "ops.abs(patches - predictions)"},
        ),
        Mistake(
            "the masked sum is divided by the number of images: (4) divides by the number of masked patches.",
            {"ops.maximum(ops.sum(weights), 1)": "ops.cast(ops.shape(patches)[0], error.dtype)"},
        ),
        Mistake(
            NUMPY_INSIDE,
            {
                "error = ops.mean(ops.square(patches - predictions), axis=-1)": "error = ops.convert_to_tensor(np.mean(np.square(np.asarray(patches) - np.asarray(predictions)), axis=-1))"
            },
        ),
    ),
    variants=(
        Variant(
            "weights the pixels themselves",
            code="""def masked_patch_loss(patches, predictions, masked):
    weights = ops.cast(masked[:, :, None], patches.dtype) * ops.ones_like(patches)
    total = ops.sum(weights)
    return ops.sum(weights * (predictions - patches) ** 2) / ops.where(total > 0, total, 1)
""",
        ),
        Variant(
            "takes the masked patches out",
            code="""import tensorflow as tf


def masked_patch_loss(patches, predictions, masked):
    wrong = tf.boolean_mask(patches - predictions, masked)
    return tf.math.divide_no_nan(tf.reduce_sum(wrong**2), tf.cast(tf.size(wrong), wrong.dtype))
""",
        ),
        Variant(
            "a small number against 0/0",
            {"ops.maximum(ops.sum(weights), 1)": "(ops.sum(weights) + keras.config.epsilon())"},
        ),
        Variant(
            "zeroes what was seen",
            {"ops.sum(weights * error)": "ops.sum(ops.where(masked, error, ops.zeros_like(error)))"},
        ),
    ),
)


def sentences(rng):
    settings = [
        (3, 8, (0, 1), 0.5, {"about": "two specials"}),
        (2, 10, (0,), 0.3, {"about": "one special"}),
        (2, 8, (), 0.7, {"about": "no specials"}),
        (1, 9, (0, 5), 0.15, {"about": "one sentence, a rate of 0.15"}),
        (3, 8, (1, 0), 0.4, {"about": IN_A_GRAPH, "compiled": True, "part": "graph"}),
    ]
    return [sentence(rng, *setting) for setting in settings]


def sentence(rng, n, length, specials, rate, more):
    tokens = rng.integers(2, 12, size=(n, length))
    for i, special in enumerate(specials):
        tokens[:, i] = special
    tokens[:, len(specials)] = 2  # smaller than some special
    uniform = np.where(
        rng.uniform(size=tokens.shape) < 0.6,
        rate * rng.uniform(0.1, 0.9, size=tokens.shape),
        rate + (1 - rate) * rng.uniform(0.1, 0.9, size=tokens.shape),
    )
    kind = rng.uniform([[[0.01]], [[0.81]], [[0.91]]], [[[0.79]], [[0.89]], [[0.99]]], size=(3, n, length))
    which = rng.integers(0, 3, size=tokens.shape)
    # specials would be chosen; behind them stand one token of each kind, then one that is not chosen
    first = len(specials)
    uniform[:, : first + 3], uniform[:, first + 3] = 0.5 * rate, 0.5 * (1 + rate)
    which[:, first : first + 4] = (0, 1, 2, 0)
    if specials:  # at the end too, as padding is
        tokens[:, -1], uniform[:, -1], which[:, -1] = specials[0], 0.5 * rate, 0
    kind = np.take_along_axis(kind, which[None], axis=0)[0]
    kind[0, first] = 0.05
    return {
        **more,
        "tokens": tokens.astype("int32"),
        "uniform": uniform.astype("float32"),
        "kind": kind.astype("float32"),
        "random_tokens": (2 + (tokens - 2 + rng.integers(1, 10, size=tokens.shape)) % 10).astype("int32"),
        "mask_token_id": int(rng.integers(12, 20)),
        "specials": np.array(specials, dtype="int32"),
        "rate": rate,
    }


def replaced(case):
    inputs = case["tokens"].copy()
    chosen = np.zeros(inputs.shape, bool)
    for i, token in np.ndenumerate(case["tokens"]):
        chosen[i] = case["uniform"][i] < case["rate"] and token not in case["specials"].tolist()  # (5)
        if chosen[i] and case["kind"][i] < 0.8:
            inputs[i] = case["mask_token_id"]
        elif chosen[i] and case["kind"][i] < 0.9:
            inputs[i] = case["random_tokens"][i]  # (6)
    return {"inputs": inputs, "chosen": chosen, "inputs have the dtype of the tokens": np.array("int32")}


MASK_TOKENS = Exercise(
    id="mask_tokens",
    title="Masked tokens: 80, 10, 10",
    points=4,
    parts={"values": 3, "graph": 1},
    task="`mask_tokens` is as it was handed out. Choose by (5), then replace by (6).",
    cases=sentences,
    reference=replaced,
    defines=("mask_tokens",),
    mistakes=(
        Mistake(
            "every chosen token becomes the mask token. The network then learns nothing about ordinary tokens, and "
            "later it will see no others: one chosen token in ten stays, one becomes a random one.",
            {"ops.where(kind < 0.8, mask_token, ops.where(kind < 0.9, random_tokens, tokens))": "mask_token"},
        ),
        Mistake(
            "specials are chosen too. Whether a place is padding is no question about language.",
            {"ops.logical_and(uniform < rate, ops.logical_not(special))": "uniform < rate"},
        ),
        Mistake(
            "the tokens that stay as they are do not count as chosen. They must be predicted as well; that is what "
            "makes the network say something about tokens that it can see.",
            {
                "return ops.where(chosen, replacement, tokens), chosen": "return ops.where(chosen, replacement, tokens), ops.logical_and(chosen, kind < 0.9)"
            },
        ),
        Mistake(
            "what is not masked becomes random: of the chosen tokens one in ten stays as it is.",
            {"ops.where(kind < 0.9, random_tokens, tokens)": "random_tokens"},
        ),
        Mistake(
            "none of the chosen tokens becomes a random one. Without those the network may trust whatever is not the "
            "mask token.",
            {"ops.where(kind < 0.9, random_tokens, tokens)": "tokens"},
        ),
        Mistake(
            "the 80, 10 and 10 % are taken of all tokens. They are shares of the chosen ones; the others stay.",
            {"return ops.where(chosen, replacement, tokens), chosen": "return replacement, chosen"},
        ),
        Mistake(
            "random tokens and kept ones have changed places in (6).",
            {"ops.where(kind < 0.9, random_tokens, tokens)": "ops.where(kind < 0.9, tokens, random_tokens)"},
        ),
        Mistake(
            "the shares are the wrong way round: 80 % of the chosen tokens are masked, not those above 0.2.",
            {"kind < 0.8": "kind > 0.2", "kind < 0.9": "kind > 0.1"},
        ),
        Mistake(
            "the choice is the wrong way round: a uniform number lies *below* the rate as often as the rate says.",
            {"uniform < rate": "uniform >= rate"},
        ),
        Mistake(
            "the rate is always 0.15: use the argument.",
            {"uniform < rate": "uniform < 0.15"},
        ),
        Mistake(
            "only the first of the specials is spared.",
            {"for each in specials:": "for each in specials[:1]:"},
        ),
        Mistake(
            "only the last of the specials is spared: each round of the loop forgets the one before.",
            {"special = ops.logical_or(special, tokens == each)": "special = tokens == each"},
        ),
        Mistake(
            "specials are not predicted, but they are replaced. A token that is not chosen stays as it is.",
            {
                "return ops.where(chosen, replacement, tokens), chosen": "return ops.where(uniform < rate, replacement, tokens), chosen"
            },
        ),
        Mistake(
            "only what shows as the mask token counts as chosen. Random tokens and those that stay are to be predicted "
            "as well.",
            {
                "return ops.where(chosen, replacement, tokens), chosen": "return ops.where(chosen, replacement, tokens), ops.logical_and(chosen, kind < 0.8)"
            },
        ),
        Mistake(
            "the inputs are not integers any more: they are looked up in a table of embeddings, by their number.",
            {
                "return ops.where(chosen, replacement, tokens), chosen": 'return ops.cast(ops.where(chosen, replacement, tokens), "float32"), chosen'
            },
        ),
        Mistake(
            PYTHON_IF,
            {
                """    special = ops.zeros_like(tokens, dtype="bool")
    for each in specials:
        special = ops.logical_or(special, tokens == each)
""": "    special = ops.isin(tokens, list(specials))\n",
            },
        ),
        Mistake(
            NUMPY_INSIDE,
            {
                'special = ops.zeros_like(tokens, dtype="bool")': "special = np.zeros(np.asarray(tokens).shape, bool)"
            },
        ),
    ),
    variants=(
        Variant(
            "arithmetic with 0 and 1",
            code="""def mask_tokens(tokens, uniform, kind, random_tokens, mask_token, specials, rate):
    spared = sum([ops.cast(tokens == each, "int32") for each in specials], ops.zeros_like(tokens))
    chosen = ops.cast(uniform < rate, "int32") * (1 - spared)
    masked = chosen * ops.cast(kind < 0.8, "int32")
    random = chosen * ops.cast(kind < 0.9, "int32") - masked
    return masked * mask_token + random * random_tokens + (1 - masked - random) * tokens, chosen > 0
""",
        ),
        Variant(
            "one replacement after the other",
            code="""def mask_tokens(tokens, uniform, kind, random_tokens, mask_token, specials, rate):
    chosen = uniform < rate
    for each in specials:
        chosen = chosen & (tokens != each)
    inputs = ops.where(chosen & (kind < 0.8), mask_token, tokens)
    return ops.where(chosen & (kind >= 0.8) & (kind < 0.9), random_tokens, inputs), chosen
""",
        ),
        Variant(
            "compares with all specials at once",
            {
                """    special = ops.zeros_like(tokens, dtype="bool")
    for each in specials:
        special = ops.logical_or(special, tokens == each)
""": """    listed = ops.convert_to_tensor(np.array([-1, *specials], "int32"))
    special = ops.any(tokens[:, :, None] == listed, axis=-1)
""",
            },
        ),
        Variant(
            "TensorFlow's select",
            {
                "return ops.where(chosen, replacement, tokens), chosen": "import tensorflow as tf\n\n    return tf.where(chosen, replacement, tokens), tf.identity(chosen)"
            },
        ),
    ),
)

EXERCISES = [PATCHIFY, UNPATCHIFY, HIDE, PUT_BACK, MASKED_PATCH_LOSS, MASK_TOKENS]
