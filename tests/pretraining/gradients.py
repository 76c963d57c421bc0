"""Every method on replicas against one device: gradients in float64, and trajectories in float32.

    PYTHONPATH=tests python tests/pretraining/gradients.py                      prints the table of the guide
    PYTHONPATH=tests python tests/pretraining/gradients.py REPLICAS FILE CASE … writes the distances of these cases

Each method has the encoder, the batch size and the optimizer that `tf-kit pretrain` gives it on the digits; of a greedy
method the first layer is trained.

In float64 the order of a sum changes a gradient by about 1e-15 of its norm, so a difference above 1e-12 is a mistake
and not rounding. In float32 training enlarges the rounding of each step, on one device as on several. Therefore the
distance between one device and replicas is compared with that of a twin: one device again, whose first kernel differs
by the last bit. A TensorFlow process supports one number of replicas only, so each number has its own process.
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from support import processes

from tf_kit import data, scaling
from tf_kit.pretraining import TokenEncoder
from tf_kit.pretraining.joint_embedding import frame
from tf_kit.pretraining.methods import METHODS, own_options
from tf_kit.runs import encoders, methods
from tf_kit.scaling.recording import SavedValues, distance, recording

LIMIT = 1e-12  # distance of two gradients in float64, as a fraction of their norm
FURTHER = 10  # times the distance of the twin that replicas may be from one device
POINTS, STEPS = 3, 2  # points of the training, and steps between two of them
FEW = 24  # examples of these steps
TRAJECTORY = 8  # steps of a trajectory
TWIN = "float32 on the way to the loss"
CASES = tuple(METHODS)
REPLICAS = (1, 2, 4)


def examples(name):
    """Return the inputs, and the targets of a supervised method."""
    method = METHODS[name]
    if method.reads_text:
        return (np.random.default_rng(0).integers(60, size=(256, 64)).astype("int32"),)
    train = data.load("digits", seed=0)[0]
    return (train.x, train.y) if method.labels == "needed" else (train.x,)


def make(name, shape):
    """Make and compile the model of a method as its command does."""
    method, options = METHODS[name], own_options(name, {})
    if method.reads_text:
        encoder = TokenEncoder(num_tokens=61, width=64, depth=2, seed=0)
        model = method.kind(encoder, mask_token=60, **options)
    else:
        sizes = encoders.encoder_options(name, None, shape, {})
        sizes |= {"units": sizes["units"][:1]} if method.greedy else {}
        encoder = encoders.make_encoder(shape, **sizes)
        options |= {"num_classes": 10} if method.labels == "needed" else {}
        views = methods.augmentation("digits", shape) if method.views else None
        if method.greedy:
            model = method.kind(encoder=encoder, **options)
        else:
            model = methods.make_pretrainer(name, encoder, options, views)
    num_steps = None if method.greedy else 1000
    model.compile(methods.optimizer_of(method.kind, method.learning_rate, num_steps))
    return model


# Gradients in float64


def parts_of(batch, replicas, even):
    """Cut a batch evenly; or unevenly, with no example for the last of four replicas."""
    count = len(batch[0])
    size = -(-count // replicas) if even else -(-3 * count // (2 * replicas))
    return [tuple(each[r * size : (r + 1) * size] for each in batch) for r in range(replicas)]


def take_step(model, strategy, parts):
    def own(context):
        return parts[context.replica_id_in_sync_group]

    values = strategy.experimental_distribute_values_from_function(own)
    strategy.run(lambda batch: model.train_step(batch) and None, args=(values,))


def gradients_apart(name, strategy):
    """Return the distances of the gradients: for each point of the training those of even and of uneven parts."""
    replicas = strategy.num_replicas_in_sync
    arrays = tuple(map(tf.convert_to_tensor, examples(name)))
    batch = tuple(each[: METHODS[name].batch_size] for each in arrays)
    with strategy.scope():
        model = make(name, tuple(arrays[0].shape[1:]))
    model.prepare_from(*(each.numpy() for each in arrays))
    found = []
    for point in range(POINTS):
        saved = SavedValues(model)
        with recording(model) as recorder:
            alone = recorder.step(batch).given
            assert {str(each.dtype) for each in alone} == {"float64"}
            found.append([])
            for even in (True, False):
                saved.restore()
                shared = recorder.step_on_replicas(strategy, parts_of(batch, replicas, even)).given
                found[-1].append(distance(alone, shared))
        saved.restore()
        for step in range(STEPS):
            first = FEW * (STEPS * point + step)
            few = tuple(each[first : first + FEW] for each in arrays)
            take_step(model, strategy, parts_of(few, replicas, even=True))
    return np.array(found)


@contextlib.contextmanager
def rounded_embeddings():
    """Within this context, embeddings are rounded to float32 on the way to the loss."""
    widened = frame.widened
    frame.widened = lambda z: ops.cast(z, "float32")
    try:
        yield
    finally:
        frame.widened = widened


# Trajectories in float32


def trajectory(name, scope, twin=False):
    """Train for some steps; return the weights after each, from the same start. A twin starts one bit away."""
    arrays = examples(name)
    with scope:
        model = make(name, tuple(arrays[0].shape[1:]))
    model.prepare_from(*arrays)
    if twin:
        kernel = next(each for each in model.trained_variables if len(each.shape) > 1)
        kernel.assign(np.nextafter(kernel.numpy(), np.float32(np.inf)))
    weights = []
    keep = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs=None: weights.append(
            [each.numpy() for each in model.trained_variables]
        )
    )
    size = METHODS[name].batch_size
    several = tuple(each[: TRAJECTORY * size] for each in arrays)
    epochs = -(-TRAJECTORY * size // len(several[0]))
    model.fit(*several, batch_size=size, epochs=epochs, verbose=0, callbacks=[keep])
    return weights[:TRAJECTORY]


def trajectories_apart(name, strategy):
    """Return the distances of the replicas and of the twin from one device, after the last step and the largest."""
    alone, twin = (trajectory(name, contextlib.nullcontext(), twin) for twin in (False, True))
    shared = trajectory(name, strategy.scope())
    return np.array([[distance(a, b) for a, b in zip(alone, other, strict=True)] for other in (shared, twin)])


# Processes


def main(replicas, path, cases):
    strategy = scaling.strategy("mirrored", replicas=replicas)
    found = {}
    for case in cases:
        kind, _, name = case.partition("/")
        keras.config.set_floatx("float32" if kind == "trajectory" else "float64")
        keras.config.set_dtype_policy(keras.config.floatx())
        with rounded_embeddings() if kind == TWIN else contextlib.nullcontext():
            found[case] = (trajectories_apart if kind == "trajectory" else gradients_apart)(name, strategy)
        print(replicas, case, found[case].tolist(), flush=True)
    np.savez(path, **{case.replace("/", "|"): each for case, each in found.items()})


def measured(folder, cases):
    """Measure cases in one process for each number of replicas.

    Args:
        folder: folder for the files of the processes.
        cases: number of replicas → cases: `"gradient/METHOD"`, `"trajectory/METHOD"`.

    Returns:
        (number of replicas, case) → distances.
    """
    found = {}
    files = {count: Path(folder) / f"{count}.npz" for count in cases}
    children = {count: processes.start(__file__, count, path, *cases[count]) for count, path in files.items()}
    try:
        for count, child in children.items():
            processes.finish(child, timeout=1800)
            with np.load(files[count]) as arrays:
                found |= {(count, case.replace("|", "/")): arrays[case] for case in arrays.files}
    finally:
        for child in children.values():
            child.kill()
    return found


def table(found):
    """Format the largest distance of each method, and of its trajectories the distance after the last step."""
    titles = [*(f"{count} replicas" for count in REPLICAS), "in float32", "twin"]
    lines = [" " * 14 + "".join(f"{title:>14}" for title in titles)]
    for name in CASES:
        numbers = [found[count, f"gradient/{name}"].max() for count in REPLICAS]
        numbers += list(found[2, f"trajectory/{name}"][:, -1])
        lines.append(f"{name:14}" + "".join(f"{number:14.1e}" for number in numbers))
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:]:
        main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    else:
        every = {count: [f"gradient/{name}" for name in CASES] for count in REPLICAS}
        every[2] += [f"trajectory/{name}" for name in CASES]
        with tempfile.TemporaryDirectory() as folder:
            print(table(measured(folder, every)))
