"""What is measured of an answer to the lab on data parallelism. Public: it runs beside the student's objects."""

import numpy as np
from keras import ops


def split_batch(namespace, case):
    shards = list(namespace["split_batch"](case["x"].copy(), int(case["replicas"])))
    measured = {"shards": np.array(len(shards))}
    for r, shard in enumerate(shards):
        measured[f"shard {r}"] = np.array(shard)
    return measured


def shard_loss(namespace, case):
    count = int(np.sum(case["counts"]))

    def share(losses):
        return namespace["shard_loss"](losses, count)

    return {
        f"share of replica {r}": called(share, case, [shard])
        for r, shard in enumerate(shards_of(case, "losses"))
    }


def combine_means(namespace, case):
    means = [ops.convert_to_tensor(mean) for mean in case["means"]]
    return {"mean": namespace["combine_means"](means, [int(count) for count in case["counts"]])}


def clip_after_reduction(namespace, case):
    """The clipped gradients of two variables, given the shares of each replica."""

    def clipped(matrices, vectors):
        shares = [[matrices[r], vectors[r]] for r in range(matrices.shape[0])]
        return namespace["clip_after_reduction"](shares, float(case["max_norm"]))

    arrays = case["matrices"], case["vectors"]
    matrix, vector = called(clipped, case, arrays, known=True)
    return {"matrix": matrix, "vector": vector}


def synchronized_moments(namespace, case):
    shards = shards_of(case, "x")
    mean, variance = called(lambda *each: namespace["synchronized_moments"](list(each)), case, shards)
    return {"mean": mean, "variance": variance}


def shard_nt_xent(namespace, case):
    temperature, first, shares = float(case["temperature"]), 0, {}
    for r, (za, zb) in enumerate(zip(shards_of(case, "za"), shards_of(case, "zb"), strict=True)):

        def share(*arrays, first=first):
            return namespace["shard_nt_xent"](*arrays, first, temperature)

        shares[f"share of replica {r}"] = called(share, case, (za, zb, case["za"], case["zb"]))
        first += len(za)
    return shares


def example_uniform(namespace, case):
    """How the numbers of examples are alike and unlike, drawn together, in shards, in another epoch, …"""
    seed, epoch, width = int(case["seed"]), int(case["epoch"]), int(case["width"])
    indices = case["indices"]

    def draw(indices, seed=seed, epoch=epoch):
        return np.array(namespace["example_uniform"](seed, epoch, indices.copy(), width))

    whole = draw(indices)
    if len(indices) < 2:
        return {"numbers": whole}
    shards = [draw(shard) for shard in np.split(indices, np.cumsum(case["counts"])[:-1])]
    order = case["order"]
    numbers = whole.astype("float64")
    return {
        "numbers": whole,
        "drawn again": draw(indices) - whole,
        "drawn in shards": np.concatenate([np.reshape(shard, (-1, width)) for shard in shards]) - whole,
        "drawn in another order": draw(indices[order]) - whole[order],
        "rows that two examples share": equal_rows(whole, whole) - len(whole),
        "rows shared with the next epoch": equal_rows(whole, draw(indices, epoch=epoch + 1)),
        "rows shared with the next seed": equal_rows(whole, draw(indices, seed=seed + 1)),
        "rows shared with epoch and seed swapped": equal_rows(whole, draw(indices, seed=epoch, epoch=seed)),
        "mean": numbers.mean(),
        "mean of squares": (numbers**2).mean(),
        "mean of an example": numbers.mean(axis=1),
        "product of neighbors": ((numbers[1:] - 0.5) * (numbers[:-1] - 0.5)).mean(),
    }


def equal_rows(one, other):
    """How many pairs of rows, one of each array, are equal."""
    return np.array(int((one[:, None] == other[None]).all(axis=-1).sum()))


def shards_of(case, name):
    return np.split(case[name], np.cumsum(case["counts"])[:-1])


def called(function, case, arrays, known=False):
    """The function's result, eagerly or in a graph that does not know how many examples there are (unless `known`)."""
    tensors = [ops.convert_to_tensor(each) for each in arrays]
    if not case.get("compiled"):
        return function(*tensors)
    import tensorflow as tf

    signature = [
        tf.TensorSpec(each.shape if known else (None, *each.shape[1:]), each.dtype) for each in tensors
    ]
    return tf.function(function, input_signature=signature, autograph=False)(*tensors)
