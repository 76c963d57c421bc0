"""What is measured of an answer to the lab on shuffling and compression. Public: it runs beside the student's."""

import random

import numpy as np
from keras import ops


def epoch_batches(namespace, case):
    """Minibatches by epoch; once more from the last epoch to the first; those of the next seed."""
    n, batch_size, epochs, seed = (int(case[name]) for name in ("n", "batch_size", "epochs", "seed"))

    def table(epoch, seed):
        """A row for each minibatch, with -1 behind its last index. The judge counts what is in it."""
        batches = namespace["epoch_batches"](n, batch_size, epoch, seed)
        rows = np.full((len(batches), max(n, batch_size)), -1)
        for row, batch in zip(rows, batches, strict=True):
            row[: len(batch)] = batch
        return rows

    np.random.seed(case["elsewhere"])
    before = np.random.get_state()[1].copy()
    first = [table(epoch, seed) for epoch in range(epochs)]
    after = np.random.get_state()[1]
    np.random.seed(case["elsewhere"] + 1)
    random.seed(1)
    again = [table(epoch, seed) for epoch in reversed(range(epochs))]
    other = [table(epoch, seed + 1) for epoch in range(epochs)]
    return {
        "batches": np.array(first),
        "again": np.array(again[::-1]),
        "other_seed": np.array(other),
        "global_state": np.array([before, after]),
    }


def zca_whitening(namespace, case):
    train, x = case["train"].copy(), case["x"].copy()
    z = namespace["zca_whiten"](train, x, float(case["epsilon"]))
    return {"z": z, "arguments": np.concatenate([train, x])}


def magnitude_masks(namespace, case):
    kernels = kernels_of(case)
    masks = namespace["magnitude_masks"](kernels, float(case["sparsity"]))
    found = {f"mask_{i}": mask for i, mask in enumerate(masks)}
    return {**found, "kernels": np.concatenate([kernel.ravel() for kernel in kernels])}


def quantize_kernel(namespace, case):
    kernel = case["kernel"].copy()
    levels, scales = namespace["quantize_kernel"](kernel, int(case["bits"]))
    return {"levels": levels, "scales": scales, "kernel": kernel}


def quantized_outputs(namespace, case):
    outputs, bounds = namespace["quantized_outputs"](
        *(case[name].copy() for name in ("x", "levels", "scales"))
    )
    return {"outputs": outputs, "bounds": bounds}


def distillation_loss(namespace, case):
    tensors = [ops.convert_to_tensor(case[name]) for name in ("labels", "teacher", "student")]

    def loss(labels, teacher, student):
        return namespace["distillation_loss"](
            labels, teacher, student, float(case["temperature"]), float(case["alpha"])
        )

    if case.get("compiled"):
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in tensors]
        graph = tf.function(loss, input_signature=signature, autograph=False)
        loss = graph.get_concrete_function()  # without a warning of many tracings
    return {"loss": loss(*tensors)}


def kernels_of(case):
    return [case[name].copy() for name in sorted(case) if name.startswith("kernel_")]
