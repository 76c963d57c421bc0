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
    """The numbers of examples, drawn together, in shards, in another epoch, …; the judge compares them."""
    seed, epoch, width = int(case["seed"]), int(case["epoch"]), int(case["width"])
    indices = case["indices"]

    def draw(indices, seed=seed, epoch=epoch):
        return np.array(namespace["example_uniform"](seed, epoch, indices.copy(), width))

    whole = draw(indices)
    if len(indices) < 2:
        return {"numbers": whole}
    shards = [draw(shard) for shard in np.split(indices, np.cumsum(case["counts"])[:-1])]
    return {
        "numbers": whole,
        "again": draw(indices),
        **{f"shard {r}": shard for r, shard in enumerate(shards)},
        "another order": draw(indices[case["order"]]),
        "next epoch": draw(indices, epoch=epoch + 1),
        "next seed": draw(indices, seed=seed + 1),
        "swapped": draw(indices, seed=epoch, epoch=seed),
    }


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
    graph = tf.function(function, input_signature=signature, autograph=False)
    return graph.get_concrete_function()(*tensors)  # without a warning of many tracings
