"""The judge's side of the lab on shuffling and compression: cases, references, mistakes, right variants. NumPy only."""

import math

import numpy as np

from tf_kit.grading import Between, Close, Exercise, Holds, Mistake, Variant

LIBRARIES = ("keras", "tensorflow", "sklearn", "scipy")
CHANGED = "an argument is changed in place: `-=`, `*=` and `out=` write into the array of the caller, who still needs it."


def unchanged(*arrays):
    return Close(np.concatenate([np.asarray(each, "float64") for each in arrays]), dtype=None)


def epochs_of_batches(rng):
    def case(about, n, batch_size, epochs=5):
        seed, elsewhere = (int(each) for each in rng.integers(1, 10_000, size=2))
        return {
            **{"about": about, "n": n, "batch_size": batch_size, "epochs": epochs},
            **{"seed": seed, "elsewhere": elsewhere},
        }

    return [
        case("12 examples in fours", 12, 4),
        case("a shorter last minibatch", 11, 3),
        case("a minibatch larger than the data", 10, 64),
        case("300 epochs of 4 examples", 4, 2, 300),
        case("1,100 epochs of 20 examples", 20, 10, 1100),
    ]


def few_orders(case):
    """Whether so few examples have orders that epochs must have some in common."""
    return case["n"] < 5


def measured(case, arrays):
    """Sizes, orders and counts, from tables of indices with -1 behind the last index of a minibatch."""
    batches, many = arrays["batches"], few_orders(case)
    order, other = orders(batches), orders(arrays["other_seed"])
    rows = {tuple(row) for row in order.tolist()}
    found = {
        "sizes": np.sum(batches >= 0, axis=2),
        "order": order,
        "again": np.array(np.array_equal(batches, arrays["again"])),
        "epochs": np.array(many or len(rows) == len(order)),
        "seeds": np.array(many or not rows & {tuple(row) for row in other.tolist()}),
        "seed": np.array(many or not (order == other).all(axis=1).any()),
        "global_state": np.array(np.array_equal(*arrays["global_state"])),
    }
    if many:
        found["at_place"] = np.array([np.bincount(column, minlength=4) for column in order.T])
        found["together"] = np.sum(np.sum(order[:, :2] < 2, axis=1) != 1)  # examples 0 and 1 in one minibatch
    return found


def orders(batches):
    return batches[batches >= 0].reshape(len(batches), -1)


def permuted(case):
    n, size = case["n"], case["batch_size"]
    sizes = [min(size, n - start) for start in range(0, n, size)]
    every = np.arange(n)

    def complete(order):
        return order.shape == (case["epochs"], n) and np.array_equal(
            np.sort(order, axis=1), np.tile(every, (case["epochs"], 1))
        )

    found = {
        "sizes": np.tile(sizes, (case["epochs"], 1)),
        "order": Holds(complete, "hold each example once in every epoch"),
        "again": Holds(np.all, "be equal when an epoch is asked for a second time"),
        "epochs": Holds(np.all, "differ in their orders"),
        "seeds": Holds(np.all, "have no order in common"),
        "seed": Holds(np.all, "have a part in the order: the next one has the same in the same epoch"),
        "global_state": Holds(np.all, "stay as it was: NumPy's global generator belongs to the caller"),
    }
    if few_orders(case):  # six standard deviations around the mean of a binomial distribution
        found["at_place"] = spread(np.full((4, 4), 1 / 4), case["epochs"])
        found["together"] = spread(np.float64(1 / 3), case["epochs"])
    return found


def spread(probability, draws):
    mean, deviation = draws * probability, np.sqrt(draws * probability * (1 - probability))
    return Between(mean - 6 * deviation, mean + 6 * deviation)


ORDER = "np.random.default_rng([seed, epoch]).permutation(n)"

EPOCH_BATCHES = Exercise(
    id="epoch_batches",
    title="A new order for every epoch",
    points=4,
    task="`epoch_batches` is as it was handed out. Permute the indices by seed and epoch, then cut them into minibatches.",
    cases=epochs_of_batches,
    computes=measured,
    reference=permuted,
    defines=("epoch_batches",),
    forbids=LIBRARIES,
    mistakes=(
        Mistake(
            "every epoch has the same order: `epoch` must have a part in it. The same examples would meet in the same "
            "minibatches for ever.",
            {"[seed, epoch]": "seed"},
        ),
        Mistake(
            "seed and epoch are added: seed 1 then repeats the epochs of seed 0, one later, and runs that should be "
            "independent share all but one of their orders.",
            {"[seed, epoch]": "seed + epoch"},
        ),
        Mistake(
            "the seed is left out: all runs meet the same orders, and repeating one with other seeds tells nothing about "
            "chance.",
            {ORDER: "np.random.default_rng(epoch).permutation(n)"},
        ),
        Mistake(
            "seed and epoch are packed into one number with a factor that an epoch outgrows: seed 1 then begins where "
            "seed 0 is after so many epochs. Give the generator a list of the two.",
            {ORDER: "np.random.default_rng(100 * seed + epoch).permutation(n)"},
        ),
        Mistake(
            "the generator starts anew from the clock: a run that is resumed after it was killed meets another order. "
            "Start it from seed and epoch.",
            {"np.random.default_rng([seed, epoch])": "np.random.default_rng()"},
        ),
        Mistake(
            "the indices are drawn with replacement: about a third of the examples is left out in each epoch, and "
            "others come twice.",
            {".permutation(n)": ".integers(0, n, size=n)"},
        ),
        Mistake(
            "the last minibatch is dropped where it is shorter: its examples are missing from the epoch.",
            {"range(0, n, batch_size)": "range(0, n - batch_size + 1, batch_size)"},
        ),
        Mistake(
            "the minibatches change places, and their examples do not mix: what is sorted stays sorted within them.",
            code="""def epoch_batches(n, batch_size, epoch, seed):
    batches = [np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    full = len(batches) - (len(batches[-1]) < batch_size)
    order = np.random.default_rng([seed, epoch]).permutation(full)
    return [batches[k] for k in order] + batches[full:]
""",
        ),
        Mistake(
            "nothing is shuffled: the examples come as they lie in the file.",
            {ORDER: "np.arange(n)"},
        ),
        Mistake(
            "`np.random.seed` sets the generator that all other code shares: whatever else is random in the program "
            "now repeats itself in every epoch. Make a generator for yourself.",
            code="""def epoch_batches(n, batch_size, epoch, seed):
    np.random.seed([seed, epoch])
    order = np.random.permutation(n)
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]
""",
        ),
        Mistake(
            "the order comes from NumPy's global generator, so it depends on all that was drawn before. Start a "
            "generator from seed and epoch.",
            {ORDER: "np.random.permutation(n)"},
        ),
        Mistake(
            "the last minibatch is filled up with examples from the front: they count twice in this epoch.",
            {
                "return [order[start : start + batch_size] for": "order = np.concatenate([order, order[: -n % batch_size]])\n    return [order[start : start + batch_size] for"
            },
        ),
        Mistake(
            "each epoch only starts at another place of one and the same order, so neighbors stay neighbors.",
            {ORDER: "np.roll(np.random.default_rng(seed).permutation(n), epoch)"},
        ),
    ),
    variants=(
        Variant(
            "sorts random numbers",
            {ORDER: "np.argsort(np.random.default_rng((epoch, seed)).random(n))"},
        ),
        Variant(
            "Python's generator, from a text",
            code="""import random


def epoch_batches(n, batch_size, epoch, seed):
    order = list(range(n))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return [np.array(order[start : start + batch_size]) for start in range(0, n, batch_size)]
""",
        ),
        Variant(
            "Fisher and Yates, then array_split",
            code="""def epoch_batches(n, batch_size, epoch, seed):
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(epoch,))))
    order = np.arange(n)
    for i in range(n - 1, 0, -1):
        j = rng.integers(0, i + 1)
        order[i], order[j] = order[j], order[i]
    return np.split(order, range(batch_size, n, batch_size))
""",
        ),
    ),
)


def clouds(rng):
    def case(about, n, d, epsilon, rows=3, offset=2.0):
        turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
        widths = 2.0 ** np.arange(d) * rng.uniform(0.8, 1.2, d)
        train = (rng.normal(size=(n, d)) * widths) @ turn.T + offset * rng.normal(size=d)
        x = train[rng.integers(0, n, size=rows)] + rng.normal(size=(rows, d))
        return {"about": about, "train": train, "x": x, "epsilon": epsilon}

    return [
        case("three features", 20, 3, 0.0),
        case("with an epsilon", 15, 4, float(rng.uniform(0.5, 2))),
        case("one row", 12, 3, float(rng.uniform(0.1, 1)), rows=1),
        case("far from zero", 30, 2, 0.0, offset=500.0),
        case("fewer examples than features", 4, 6, float(rng.uniform(0.5, 2))),
    ]


def whitened(case):
    train, x, d = case["train"], case["x"], case["train"].shape[1]
    mean = train.mean(axis=0)
    covariance = np.zeros((d, d))
    for row in train:
        covariance += np.outer(row - mean, row - mean) / (len(train) - 1)
    root = np.zeros((d, d))
    values, vectors = np.linalg.eigh(covariance + case["epsilon"] * np.eye(d))
    for value, vector in zip(values, vectors.T, strict=True):
        root += np.outer(vector, vector) / math.sqrt(value)
    z = np.array([root @ (row - mean) for row in x])
    return {"z": Close(z, rtol=1e-6, atol=1e-8), "arguments": unchanged(train, x)}


ZCA_WHITENING = Exercise(
    id="zca_whitening",
    title="Whitening that leaves an image an image",
    points=3,
    task="`zca_whiten` is as it was handed out. Find mean and covariance of train (2), its eigenvectors, then (3).",
    cases=clouds,
    reference=whitened,
    defines=("zca_whiten",),
    forbids=LIBRARIES,
    mistakes=(
        Mistake(
            "this is PCA whitening: the coordinates along the eigenvectors are white, but no image. Turn them back "
            "with U.",
            {" @ U.T": ""},
        ),
        Mistake(
            "it divides by the eigenvalue: that is a variance, so wide directions come out narrow. Divide by its "
            "root.",
            {"np.sqrt(eigenvalues + epsilon)": "(eigenvalues + epsilon)"},
        ),
        Mistake(
            "x is centered with its own mean: the mean of train belongs to the model, and one row alone would always "
            "become zero.",
            {"(x - mean) @ U": "(x - x.mean(axis=0)) @ U"},
        ),
        Mistake("x is not centered: (3) takes off the mean first.", {"(x - mean) @ U": "x @ U"}),
        Mistake(
            "ε is missing: eigenvalues of 0 are divided by, and directions that hardly vary are blown up.",
            {"eigenvalues + epsilon": "eigenvalues"},
        ),
        Mistake(
            "ε is added to the root: in (3) it is added to the eigenvalue, a variance.",
            {"np.sqrt(eigenvalues + epsilon)": "(np.sqrt(np.maximum(eigenvalues, 0)) + epsilon)"},
        ),
        Mistake(
            "the covariance is that of x: whitening is learned from the training set, like every other part of the "
            "model.",
            {
                "(train - mean).T @ (train - mean) / (len(train) - 1)": "(x - mean).T @ (x - mean) / max(len(x) - 1, 1)"
            },
        ),
        Mistake(
            "U and its transpose are swapped: `eigh` returns the eigenvectors as columns, so a row is turned to them "
            "by `@ U` and back by `@ U.T`.",
            {
                "(x - mean) @ U / np.sqrt(eigenvalues + epsilon) @ U.T": "(x - mean) @ U.T / np.sqrt(eigenvalues + epsilon) @ U"
            },
        ),
        Mistake(
            "the covariance divides by n: (2) has n − 1.",
            {"(len(train) - 1)": "len(train)"},
        ),
        Mistake(
            "the covariance is taken of data that are not centered: it measures how far they are from zero, not how "
            "they vary.",
            {"(train - mean).T @ (train - mean)": "train.T @ train"},
        ),
        Mistake(
            CHANGED,
            {"return (x - mean) @ U": "x -= mean\n    return x @ U"},
        ),
    ),
    variants=(
        Variant(
            "a matrix for all rows",
            code="""def zca_whiten(train, x, epsilon):
    mean = np.mean(train, axis=0)
    values, vectors = np.linalg.eigh(np.cov(train, rowvar=False) + epsilon * np.eye(train.shape[1]))
    W = vectors @ np.diag(values**-0.5) @ vectors.T
    return (x - mean) @ W
""",
        ),
        Variant(
            "singular values of the centered data",
            code="""def zca_whiten(train, x, epsilon):
    mean = train.mean(axis=0)
    _, widths, rows = np.linalg.svd(train - mean, full_matrices=True)
    variances = np.zeros(train.shape[1])
    variances[: len(widths)] = widths**2 / (len(train) - 1)
    return ((x - mean) @ rows.T) * (variances + epsilon) ** -0.5 @ rows
""",
        ),
        Variant(
            "direction by direction",
            code="""def zca_whiten(train, x, epsilon):
    centered = train - train.mean(axis=0)
    values, vectors = np.linalg.eigh(np.einsum("ni,nj->ij", centered, centered) / (len(train) - 1))
    rest = x - train.mean(axis=0)
    z = np.zeros_like(rest)
    for value, vector in zip(values, vectors.T):
        z += np.outer(rest @ vector, vector) / np.sqrt(max(value, 0.0) + epsilon)
    return z
""",
        ),
    ),
)


def prunable(rng):
    def case(about, *shapes, pruned, ties=False):
        found = {"about": about}
        for i, shape in enumerate(shapes):
            kernel = rng.normal(size=shape) * 3.0**i
            if ties:
                kernel = rng.integers(-2, 3, size=shape) / 2
            found[f"kernel_{i}"] = kernel
        total = sum(math.prod(shape) for shape in shapes)
        return found | {"sparsity": (pruned + float(rng.uniform(0.6, 0.9))) / total}

    return [
        case("two kernels of different scale", (4, 3), (3, 5), pruned=9),
        case("one kernel", (5, 4), pruned=13),
        case("a convolution and a dense layer", (2, 2, 1, 3), (3, 2), pruned=7),
        case("equal magnitudes and zeros", (4, 4), (3, 3), pruned=11, ties=True),
        case("less than one weight", (3, 2), pruned=0),
    ]


def kernels_of(case):
    return [case[name] for name in sorted(case) if name.startswith("kernel_")]


def masked(case):
    kernels = kernels_of(case)
    places = [(abs(w), i, place) for i, kernel in enumerate(kernels) for place, w in np.ndenumerate(kernel)]
    masks = [np.ones(kernel.shape, dtype=bool) for kernel in kernels]
    for _, i, place in sorted(places)[: math.floor(case["sparsity"] * len(places))]:  # (4)
        masks[i][place] = False
    found = {f"mask_{i}": mask for i, mask in enumerate(masks)}
    return found | {"kernels": unchanged(*(kernel.ravel() for kernel in kernels))}


MAGNITUDES = "np.concatenate([np.abs(kernel).ravel() for kernel in kernels])"

MAGNITUDE_MASKS = Exercise(
    id="magnitude_masks",
    title="Pruning by magnitude",
    points=3,
    task="`magnitude_masks` is as it was handed out. Sort all magnitudes together, prune the first k, cut into shapes.",
    cases=prunable,
    reference=masked,
    defines=("magnitude_masks",),
    forbids=LIBRARIES,
    mistakes=(
        Mistake(
            "the same part is taken of every kernel: (4) compares the weights of all of them. A layer with large "
            "weights loses few.",
            code="""def magnitude_masks(kernels, sparsity):
    masks = []
    for kernel in kernels:
        keep = np.ones(kernel.size, dtype=bool)
        keep[np.argsort(np.abs(kernel).ravel(), kind="stable")[: int(sparsity * kernel.size)]] = False
        masks.append(keep.reshape(kernel.shape))
    return masks
""",
        ),
        Mistake(
            "the masks are turned around: True is where a weight is kept.",
            {
                "np.ones(len(magnitudes), dtype=bool)": "np.zeros(len(magnitudes), dtype=bool)",
                "keep[pruned] = False": "keep[pruned] = True",
            },
        ),
        Mistake(
            "the *most negative* weights are pruned, which are large: without the absolute value, −3 counts as less "
            "than 0.",
            {"np.abs(kernel).ravel()": "kernel.ravel()"},
        ),
        Mistake(
            "the largest weights are pruned: `argsort` begins with the smallest, and those are to go.",
            {"np.argsort(magnitudes, kind": "np.argsort(-magnitudes, kind"},
        ),
        Mistake(
            "all weights at the threshold are pruned: where magnitudes are equal, that is more than k. Prune exactly "
            "k, the first ones.",
            code="""def magnitude_masks(kernels, sparsity):
    magnitudes = np.sort(np.concatenate([np.abs(kernel).ravel() for kernel in kernels]))
    k = int(sparsity * len(magnitudes))
    threshold = magnitudes[k - 1] if k else -1.0
    return [np.abs(kernel) > threshold for kernel in kernels]
""",
        ),
        Mistake(
            "all weights at the threshold are kept: where magnitudes are equal, fewer than k are pruned. Prune exactly "
            "k, the first ones.",
            code="""def magnitude_masks(kernels, sparsity):
    magnitudes = np.sort(np.concatenate([np.abs(kernel).ravel() for kernel in kernels]))
    threshold = magnitudes[int(sparsity * len(magnitudes))]
    return [np.abs(kernel) >= threshold for kernel in kernels]
""",
        ),
        Mistake(
            "the sparsity is taken for the part that is kept: it is the part that goes.",
            {"int(sparsity * len(magnitudes))": "len(magnitudes) - int(sparsity * len(magnitudes))"},
        ),
        Mistake(
            "k is rounded up, or to the nearest whole number: (4) rounds down.",
            {"int(sparsity * len(magnitudes))": "round(sparsity * len(magnitudes))"},
        ),
        Mistake(
            "of equal magnitudes the last ones are pruned: the first ones are to go, which a stable sort from the "
            "front gives.",
            {
                'np.argsort(magnitudes, kind="stable")[: int(sparsity * len(magnitudes))]': 'len(magnitudes) - 1 - np.argsort(magnitudes[::-1], kind="stable")[: int(sparsity * len(magnitudes))]'
            },
        ),
        Mistake(
            "these are the pruned weights: return masks, True and False, with which training can hold the zeros.",
            {"return [part.reshape(kernel.shape) for": "return [part.reshape(kernel.shape) * kernel for"},
        ),
        Mistake(
            "the weights are set to zero in the kernels of the caller: return masks and leave the kernels as they are.",
            code="""def magnitude_masks(kernels, sparsity):
    magnitudes = np.concatenate([np.abs(kernel).ravel() for kernel in kernels])
    keep = np.ones(len(magnitudes), dtype=bool)
    keep[np.argsort(magnitudes, kind="stable")[: int(sparsity * len(magnitudes))]] = False
    masks, start = [], 0
    for kernel in kernels:
        masks.append(keep[start : start + kernel.size].reshape(kernel.shape))
        kernel *= masks[-1]
        start += kernel.size
    return masks
""",
        ),
    ),
    variants=(
        Variant(
            "the rank of each weight",
            code="""def magnitude_masks(kernels, sparsity):
    flat = np.abs(np.concatenate([np.reshape(kernel, -1) for kernel in kernels]))
    rank = np.empty(flat.size, dtype=int)
    rank[np.argsort(flat, kind="stable")] = np.arange(flat.size)
    keep, masks = rank >= np.floor(sparsity * flat.size), []
    for kernel in kernels:
        masks.append(keep[: kernel.size].reshape(kernel.shape))
        keep = keep[kernel.size :]
    return masks
""",
        ),
        Variant(
            "sorts places in Python",
            code="""def magnitude_masks(kernels, sparsity):
    masks = [np.full(kernel.shape, True) for kernel in kernels]
    places = [(i, place) for i, kernel in enumerate(kernels) for place in np.ndindex(kernel.shape)]
    places.sort(key=lambda each: abs(kernels[each[0]][each[1]]))
    for i, place in places[: int(sparsity * len(places))]:
        masks[i][place] = False
    return masks
""",
        ),
        Variant(
            "a threshold, and the first of those at it",
            code="""def magnitude_masks(kernels, sparsity):
    flat = np.concatenate([np.abs(kernel).flatten() for kernel in kernels])
    k = int(flat.size * sparsity)
    threshold = np.partition(flat, k)[k]
    at, missing = flat == threshold, k - np.sum(flat < threshold)
    pruned = (flat < threshold) | (at & (np.cumsum(at) <= missing))
    ends = np.cumsum([kernel.size for kernel in kernels])
    return [~pruned[end - kernel.size : end].reshape(kernel.shape) for kernel, end in zip(kernels, ends)]
""",
        ),
    ),
)


def to_quantize(rng):
    def case(about, shape, bits):
        kernel = rng.normal(size=shape) * 4.0 ** rng.permutation(np.arange(shape[-1]) - 1)
        return {"about": about, "kernel": kernel, "bits": bits}

    zeros = case("a channel of zeros", (5, 3), 8)
    zeros["kernel"][:, 1] = 0
    halves = rng.permuted(np.array([[-3, 3], [0.5, -0.5], [1.5, -1.5], [2.5, 1.5], [-2.5, 0.5]]), axis=0)
    return [
        case("8 bits", (6, 4), 8),
        case("4 bits", (7, 2), 4),
        case("2 bits", (5, 3), 2),
        case("as many inputs as channels", (4, 4), 5),
        case("a convolution", (2, 3, 2, 3), 8),
        zeros,
        {"about": "halves", "bits": 3, "kernel": halves * 2.0 ** rng.integers(-4, 3, size=2)},
    ]


def with_bytes(case, arrays):
    levels = arrays["levels"]
    return {**arrays, "bytes_per_level": np.array(levels.dtype.itemsize)}


def quantized(case):
    kernel, highest = case["kernel"], 2 ** (case["bits"] - 1) - 1
    levels, scales = np.zeros(kernel.shape, dtype="int8"), np.ones(kernel.shape[-1])
    for c in range(kernel.shape[-1]):
        largest = max(abs(w) for w in kernel[..., c].ravel())
        scales[c] = largest / highest if largest else 1.0  # (5)
    for place, w in np.ndenumerate(kernel):
        levels[place] = round(w / scales[place[-1]])  # (6): Python, too, rounds halves to the even number
    return {"levels": levels, "scales": scales, "kernel": kernel, "bytes_per_level": np.array(1)}


ROUNDED = 'np.rint(kernel / scales).astype("int8")'

QUANTIZE_KERNEL = Exercise(
    id="quantize_kernel",
    title="Weights as small whole numbers",
    points=3,
    task="`quantize_kernel` is as it was handed out. Find a scale for each channel (5), then round (6).",
    cases=to_quantize,
    computes=with_bytes,
    reference=quantized,
    defines=("quantize_kernel",),
    forbids=LIBRARIES,
    mistakes=(
        Mistake(
            "one scale serves the whole kernel: channels of small weights are then rounded to zero. Each channel has "
            "its own.",
            {
                "np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0)": "np.full(kernel.shape[-1], np.abs(kernel).max())"
            },
        ),
        Mistake(
            "the highest level is 2^(b−1): for 8 bits that is 128, which int8 turns into −128. The levels end at "
            "2^(b−1) − 1.",
            {"(2 ** (bits - 1) - 1)": "2 ** (bits - 1)"},
        ),
        Mistake(
            "the levels are cut off, not rounded: `astype` drops the fraction, so the error reaches a whole level "
            "instead of half.",
            {ROUNDED: '(kernel / scales).astype("int8")'},
        ),
        Mistake(
            "halves are rounded up: (6) takes them to the even neighbor, as `np.rint` does, so that as many go up as down.",
            {ROUNDED: 'np.floor(kernel / scales + 0.5).astype("int8")'},
        ),
        Mistake(
            "the levels are rounded down: every weight becomes smaller or stays, and the errors of a sum no longer "
            "cancel.",
            {"np.rint(kernel / scales)": "np.floor(kernel / scales + 1e-9)"},
        ),
        Mistake(
            "a channel of zeros is 0/0: its scale is 1.",
            {
                "np.where(largest > 0, largest / (2 ** (bits - 1) - 1), 1.0)": "largest / (2 ** (bits - 1) - 1)"
            },
        ),
        Mistake(
            "the scale looks at the largest weight instead of the largest *magnitude*: where the most extreme weight is "
            "negative, its level does not fit.",
            {
                "np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0)": "kernel.reshape(-1, kernel.shape[-1]).max(axis=0)"
            },
        ),
        Mistake(
            "the scales belong to the inputs: the channels are in the last axis.",
            code="""def quantize_kernel(kernel, bits):
    largest = np.abs(kernel).max(axis=tuple(range(1, kernel.ndim)), keepdims=True)
    scales = np.where(largest > 0, largest / (2 ** (bits - 1) - 1), 1.0)
    return np.rint(kernel / scales).astype("int8"), scales.ravel()
""",
        ),
        Mistake(
            "there are always 8 bits: use the argument.",
            {"2 ** (bits - 1) - 1": "127"},
        ),
        Mistake(
            "the levels are whole numbers of more than one byte: as int64 they take twice the space of float32. Use "
            "int8.",
            {'.astype("int8")': '.astype("int64")'},
        ),
        Mistake(
            "these are the rounded weights: return the levels q, and the scales beside them.",
            {ROUNDED: "np.rint(kernel / scales) * scales"},
        ),
        Mistake(
            "the range is split between the smallest and the largest weight: that is asymmetric quantization, in which "
            "a weight of zero does not stay zero. Take the largest magnitude.",
            {
                "np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0)": "np.ptp(kernel.reshape(-1, kernel.shape[-1]), axis=0) / 2"
            },
        ),
    ),
    variants=(
        Variant(
            "channel by channel",
            code="""def quantize_kernel(kernel, bits):
    highest = 2 ** (bits - 1) - 1
    levels, scales = np.zeros(kernel.shape, np.int8), np.ones(kernel.shape[-1])
    for c in range(kernel.shape[-1]):
        channel = kernel[..., c]
        if np.any(channel):
            scales[c] = np.abs(channel).max() / highest
        levels[..., c] = np.round(channel / scales[c])
    return levels, scales
""",
        ),
        Variant(
            "the largest over all axes but the last",
            code="""def quantize_kernel(kernel, bits):
    largest = np.max(np.abs(kernel), axis=tuple(range(kernel.ndim - 1)))
    scales = largest / (2.0 ** (bits - 1) - 1)
    scales[largest == 0] = 1
    return np.round(kernel / scales).astype(np.int8), scales
""",
        ),
        Variant(
            "both extremes, and a clip",
            code="""def quantize_kernel(kernel, bits):
    rows = np.reshape(kernel, (-1, kernel.shape[-1]))
    highest = (1 << (bits - 1)) - 1
    scales = np.maximum(rows.max(0), -rows.min(0)) / highest
    scales = scales + (scales == 0)
    return np.clip(np.rint(rows / scales), -highest, highest).astype("int8").reshape(kernel.shape), scales
""",
        ),
    ),
)


def products(rng):
    def case(about, n, d, channels, highest=127):
        return {
            "about": about,
            "x": rng.normal(size=(n, d)) * 2,
            "levels": rng.integers(-highest, highest + 1, size=(d, channels)).astype("int8"),
            "scales": rng.uniform(0.01, 0.2, size=channels),
        }

    whole = case("inputs that are whole numbers", 3, 4, 2)
    whole["x"] = rng.integers(-90, 90, size=(3, 4)).astype("float64")
    return [
        case("5 examples, 3 channels", 5, 4, 3),
        case("as many of all", 4, 4, 4),
        case("one input, 3 bits", 3, 1, 2, 3),
        case("one example", 1, 6, 2),
        whole,
    ]


def bounded(case):
    x, scales = case["x"], case["scales"]
    outputs, bounds = np.zeros((len(x), len(scales))), np.zeros((len(x), len(scales)))
    for i, c in np.ndindex(outputs.shape):
        for j in range(x.shape[1]):
            outputs[i, c] += x[i, j] * scales[c] * int(case["levels"][j, c])  # (7)
            bounds[i, c] += abs(x[i, j]) * scales[c] / 2  # (8)
    return {"outputs": outputs, "bounds": bounds}


BOUNDS = "np.abs(x).sum(axis=1, keepdims=True) * scales / 2"

QUANTIZED_OUTPUTS = Exercise(
    id="quantized_outputs",
    title="How wrong can the output be?",
    points=3,
    task="`quantized_outputs` is as it was handed out. Write (7) and (8).",
    cases=products,
    reference=bounded,
    defines=("quantized_outputs",),
    forbids=LIBRARIES,
    mistakes=(
        Mistake(
            "the bound takes a whole level: rounding to the nearest moves a weight by half a level at most.",
            {"* scales / 2": "* scales"},
        ),
        Mistake(
            "the inputs are added with their signs: errors of both signs can meet inputs of both signs, so the worst "
            "case takes the absolute values.",
            {"np.abs(x).sum(axis=1, keepdims=True)": "np.abs(x.sum(axis=1, keepdims=True))"},
        ),
        Mistake(
            "the bound takes the Euclidean length of x, which is smaller than (8): with all roundings in the worst "
            "direction the errors simply add up.",
            {"np.abs(x).sum(axis=1, keepdims=True)": "np.sqrt((x**2).sum(axis=1, keepdims=True))"},
        ),
        Mistake(
            "the bound is that of a single product, with the largest input: the errors of all inputs add up.",
            {"np.abs(x).sum(axis=1, keepdims=True)": "np.abs(x).max(axis=1, keepdims=True)"},
        ),
        Mistake(
            "the outputs are not scaled: the levels are whole numbers, and weights only times s.",
            {"(x @ levels) * scales": "(x @ levels) * 1.0"},
        ),
        Mistake(
            "it divides by the scales: a level times its scale is the weight.",
            {"(x @ levels) * scales": "(x @ levels) / scales"},
        ),
        Mistake(
            "the inputs are turned to int8 before the product: fractions are cut off, and the sums overflow.",
            {"(x @ levels) * scales": '(x.astype("int8") @ levels) * scales'},
        ),
        Mistake(
            "the scales are averaged: each channel has its own, in the outputs and in the bounds.",
            {
                "(x @ levels) * scales": "(x @ levels) * scales.mean()",
                BOUNDS: "np.abs(x).sum(axis=1, keepdims=True) * np.full(len(scales), scales.mean()) / 2",
            },
        ),
        Mistake(
            "the bound is one number for each example: the channels have scales of their own, (n, channels).",
            {BOUNDS: "np.abs(x).sum(axis=1) * scales.max() / 2"},
        ),
        Mistake(
            "the bound grows with the levels: the error of a rounded weight does not depend on how large the weight is.",
            {BOUNDS: "np.abs(x) @ np.abs(levels) * scales / 2"},
        ),
    ),
    variants=(
        Variant(
            "the weights first",
            code="""def quantized_outputs(x, levels, scales):
    weights = levels * scales
    half = np.broadcast_to(scales / 2, weights.shape)
    return x @ weights, np.abs(x) @ half
""",
        ),
        Variant(
            "norm and outer product",
            code="""def quantized_outputs(x, levels, scales):
    outputs = np.einsum("nd,dc,c->nc", x, levels.astype(float), scales)
    return outputs, 0.5 * np.outer(np.linalg.norm(x, ord=1, axis=1), scales)
""",
        ),
        Variant(
            "channel by channel",
            code="""def quantized_outputs(x, levels, scales):
    outputs = np.zeros((len(x), len(scales)))
    bounds = np.zeros_like(outputs)
    for c, scale in enumerate(scales):
        outputs[:, c] = scale * (x @ levels[:, c].astype("float64"))
        bounds[:, c] = scale / 2 * np.sum(np.fabs(x), axis=-1)
    return outputs, bounds
""",
        ),
    ),
)


def lessons(rng):
    def case(about, n, k, temperature, alpha, scale=2.0, dtype="float32", **more):
        found = {"about": about, "dtype": dtype, "temperature": temperature, "alpha": alpha}
        found |= {name: (rng.normal(size=(n, k)) * scale).astype(dtype) for name in ("teacher", "student")}
        return found | {"labels": rng.integers(0, k, size=n).astype("int32")} | more

    temperature, alpha = float(rng.uniform(2, 5)), float(rng.uniform(0.2, 0.4))
    return [
        case("5 examples, 4 classes", 5, 4, temperature, alpha),
        case("labels only", 3, 3, 3.0, 1.0),
        case("the teacher only", 4, 3, temperature, 0.0),
        case("as many examples as classes, a temperature below 1", 4, 4, 0.5, alpha),
        case("large logits", 4, 3, 1.5, alpha, scale=300.0),
        case("float64", 3, 5, temperature, alpha, dtype="float64"),
        case(
            "in a compiled graph, number of examples unknown",
            3,
            4,
            temperature,
            alpha,
            part="graph",
            compiled=True,
        ),
    ]


def log_softmax(z):
    shifted = z - z.max()
    return shifted - math.log(np.sum(np.exp(shifted)))


def distilled(case):
    T, alpha, losses = case["temperature"], case["alpha"], []
    teacher, student = (case[name].astype("float64") for name in ("teacher", "student"))
    for label, v, z in zip(case["labels"], teacher, student, strict=True):
        hard = -log_softmax(z)[label]  # (9)
        soft = -sum(
            math.exp(p) * q for p, q in zip(log_softmax(v / T), log_softmax(z / T), strict=True)
        )  # (10)
        losses.append(alpha * hard + (1 - alpha) * T**2 * soft)
    return {"loss": sum(losses) / len(losses)}  # (11)


TEACHER = "ops.softmax(teacher_logits / temperature)"
SOFT = "ops.log_softmax(student_logits / temperature)"
BALANCE = "alpha * hard + (1 - alpha) * temperature**2 * soft"

DISTILLATION_LOSS = Exercise(
    id="distillation_loss",
    title="What the large network knows",
    points=4,
    parts={"values": 3, "graph": 1},
    task="`distillation_loss` is as it was handed out. Write (9) and (10) for each example, then their mean (11).",
    cases=lessons,
    reference=distilled,
    defines=("distillation_loss",),
    forbids=("keras.losses", "keras.metrics", "keras.layers", "sklearn", "scipy"),
    mistakes=(
        Mistake(
            "T² is missing: the gradient of the teacher's part shrinks as 1/T², so a high temperature would turn the "
            "teacher off.",
            {"(1 - alpha) * temperature**2 * soft": "(1 - alpha) * soft"},
        ),
        Mistake(
            "the factor is T: both the derivative of z/T and the difference of the softmaxes bring in 1/T, so it takes "
            "T².",
            {"temperature**2": "temperature"},
        ),
        Mistake(
            "α weighs the teacher: in (11) it is the weight of the labels.",
            {BALANCE: "(1 - alpha) * hard + alpha * temperature**2 * soft"},
        ),
        Mistake(
            "the labels are learned at the temperature, too: the student will predict without one, and (9) has none.",
            {"y * ops.log_softmax(student_logits)": "y * ops.log_softmax(student_logits / temperature)"},
        ),
        Mistake(
            "the teacher's answers are not softened: its small probabilities, which are what it knows, stay hidden.",
            {TEACHER: "ops.softmax(teacher_logits)"},
        ),
        Mistake(
            "the student is not softened: in (10) both have the temperature, or the best student would not be the "
            "teacher.",
            {SOFT: "ops.log_softmax(student_logits)"},
        ),
        Mistake(
            "teacher and student are swapped in (10): the teacher's probabilities are the targets, the student's "
            "logarithms are what they weigh.",
            {
                TEACHER: "ops.softmax(student_logits / temperature)",
                SOFT: "ops.log_softmax(teacher_logits / temperature)",
            },
        ),
        Mistake(
            "this is the Kullback–Leibler divergence, (10) less the teacher's own entropy. It has the same gradient, "
            "but (10) asks for the cross-entropy.",
            {f"teacher * {SOFT}": f"teacher * ({SOFT} - ops.log_softmax(teacher_logits / temperature))"},
        ),
        Mistake(
            "only the class that the teacher prefers counts: what it knows of the others is lost, and a label would do "
            "as well.",
            {
                TEACHER: "ops.one_hot(ops.argmax(teacher_logits, axis=-1), teacher_logits.shape[-1], dtype=teacher_logits.dtype)"
            },
        ),
        Mistake(
            "the logarithm is taken of a softmax that has rounded to 0: use `ops.log_softmax`, which never leaves the "
            "logits.",
            {SOFT: "ops.log(ops.softmax(student_logits / temperature))"},
        ),
        Mistake(
            "the examples are added up: (11) is their mean.",
            {"ops.mean(alpha": "ops.sum(alpha"},
        ),
        Mistake(
            "the softmax runs over the examples: the probabilities of each *row* add up to 1.",
            {
                TEACHER: "ops.softmax(teacher_logits / temperature, axis=0)",
                SOFT: "ops.log_softmax(student_logits / temperature, axis=0)",
            },
        ),
        Mistake(
            "this uses NumPy inside. A training step is compiled, and a tensor in a graph has no value yet that NumPy "
            "could take. Use `keras.ops`.",
            {TEACHER: "ops.softmax(ops.convert_to_tensor(np.asarray(teacher_logits) / temperature))"},
        ),
    ),
    variants=(
        Variant(
            "by logsumexp",
            code="""def log_p(z):
    return z - ops.logsumexp(z, axis=-1, keepdims=True)


def distillation_loss(labels, teacher_logits, student_logits, temperature, alpha):
    hard = -ops.take_along_axis(log_p(student_logits), ops.expand_dims(labels, -1), axis=-1)[:, 0]
    soft = -ops.sum(ops.exp(log_p(teacher_logits / temperature)) * log_p(student_logits / temperature), axis=-1)
    return alpha * ops.mean(hard) + (1 - alpha) * temperature * temperature * ops.mean(soft)
""",
        ),
        Variant(
            "the cross-entropies of keras.ops",
            code="""def distillation_loss(labels, teacher_logits, student_logits, temperature, alpha):
    hard = ops.sparse_categorical_crossentropy(labels, student_logits, from_logits=True)
    softened = ops.softmax(teacher_logits / temperature, axis=-1)
    soft = ops.categorical_crossentropy(softened, student_logits / temperature, from_logits=True)
    return ops.mean(alpha * hard + (1 - alpha) * temperature**2 * soft)
""",
        ),
        Variant(
            "TensorFlow's own names",
            code="""import tensorflow as tf


def distillation_loss(labels, teacher_logits, student_logits, temperature, alpha):
    hard = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=student_logits)
    targets = tf.nn.softmax(teacher_logits / temperature)
    soft = tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=student_logits / temperature)
    return tf.reduce_mean(alpha * hard + (1 - alpha) * temperature**2 * soft)
""",
        ),
    ),
)

EXERCISES = [
    EPOCH_BATCHES,
    ZCA_WHITENING,
    MAGNITUDE_MASKS,
    QUANTIZE_KERNEL,
    QUANTIZED_OUTPUTS,
    DISTILLATION_LOSS,
]
