"""Every method on replicas against one device: gradients in float64, and trajectories in float32.

    PYTHONPATH=tests python tests/pretraining/gradients.py [FOLDER]             prints the table of the guide
    PYTHONPATH=tests python tests/pretraining/gradients.py REPLICAS FILE CASE … writes the distances of these cases

Each method has the encoder, the batch size and the optimizer that `tf-kit pretrain` gives it on the digits; of a greedy
method the first layer is trained.

In float64 the order of a sum changes a gradient by about 1e-15 of its norm, so a difference above 1e-12 is a mistake
and not rounding. In float32 training enlarges the rounding of each step, on one device as on several. Therefore the
distance between one device and replicas is compared with those of twins: one device again, whose kernels differ by the
last bit. There are several twins because the distances are not alike: where the input of a ReLU is zero but for
rounding, some get the one derivative and some the other. A TensorFlow process supports one number of replicas only, so
each number has its own process.
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
FURTHER = 3  # times the distance of the farthest twin that replicas may be from one device
TWINS = 12
POINTS, STEPS = 3, 2  # points of the training, and steps between two of them
FEW = 24  # examples of these steps
TRAJECTORY = 8  # steps of a trajectory
ROUNDED = {
    "gradient": "float32",
    "trajectory": "bfloat16",
}  # types of the wrong twins, "wrong gradient" and so on
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


def gradients_apart(name, strategy, dtype=None):
    """Return the distances of the gradients: for each point of the training those of even and of uneven parts.

    Args:
        name: method.
        strategy: strategy of the replicas.
        dtype: type to which the replicas round their embeddings, a mistake, measured at the first point only. None is
            right.
    """
    replicas = strategy.num_replicas_in_sync
    arrays = tuple(map(tf.convert_to_tensor, examples(name)))
    batch = tuple(each[: METHODS[name].batch_size] for each in arrays)
    with strategy.scope():
        model = make(name, tuple(arrays[0].shape[1:]))
    model.prepare_from(*(each.numpy() for each in arrays))
    found = []
    for point in range(POINTS if dtype is None else 1):
        saved = SavedValues(model)
        with recording(model) as recorder:
            alone = recorder.step(batch).given
            assert {str(each.dtype) for each in alone} == {"float64"}
            found.append([])
            for even in (True, False):
                saved.restore()
                with rounded_embeddings(dtype):
                    shared = recorder.step_on_replicas(strategy, parts_of(batch, replicas, even)).given
                found[-1].append(distance(alone, shared))
        saved.restore()
        for step in range(STEPS):
            first = FEW * (STEPS * point + step)
            few = tuple(each[first : first + FEW] for each in arrays)
            take_step(model, strategy, parts_of(few, replicas, even=True))
    return np.array(found)


@contextlib.contextmanager
def rounded_embeddings(dtype):
    """Within this context, embeddings are rounded to `dtype`, unless it is None, on the way to the loss."""
    widened = frame.widened
    if dtype is not None:
        frame.widened = lambda z: ops.cast(ops.cast(z, dtype), z.dtype)
    try:
        yield
    finally:
        frame.widened = widened


# Trajectories in float32


def trainable(name, scope):
    """Make a model; return a function that trains it from the same start and returns the weights after each step."""
    arrays, size = examples(name), METHODS[name].batch_size
    with scope:
        model = make(name, tuple(arrays[0].shape[1:]))
    model.prepare_from(*arrays)
    start, several = SavedValues(model), tuple(each[: TRAJECTORY * size] for each in arrays)

    def train(twin=None):
        start.restore()
        if twin is not None:
            move_by_the_last_bit(model, np.random.default_rng(twin))
        weights = []
        keep = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs=None: weights.append(
                [each.numpy() for each in model.trained_variables]
            )
        )
        epochs = -(-TRAJECTORY * size // len(several[0]))
        model.fit(*several, batch_size=size, epochs=epochs, verbose=0, callbacks=[keep])
        return weights[:TRAJECTORY]

    return train


def move_by_the_last_bit(model, rng):
    """Move each element of each kernel to one of its two neighbors among the numbers of float32."""
    for kernel in model.trained_variables:
        if len(kernel.shape) > 1:
            up = rng.random(kernel.shape) < 0.5
            kernel.assign(np.nextafter(kernel.numpy(), np.where(up, np.inf, -np.inf).astype("float32")))


def trajectories_apart(name, strategy, dtype=None):
    """Return the distances from one device after each step: in the first row of replicas, in the others of twins.

    Args:
        name: method.
        strategy: strategy of the replicas.
        dtype: type to which the replicas round their embeddings, a mistake, measured without twins. None is right.
    """
    train = trainable(name, contextlib.nullcontext())
    alone = train()
    with rounded_embeddings(dtype):
        others = [trainable(name, strategy.scope())()]
    others += [train(twin) for twin in range(TWINS if dtype is None else 0)]
    return np.array([[distance(a, b) for a, b in zip(alone, each, strict=True)] for each in others])


# Processes


def main(replicas, path, cases):
    """Measure cases; a file of an interrupted process is continued."""
    strategy = scaling.strategy("mirrored", replicas=replicas)
    found = saved(path)
    for case in cases:
        if case in found:
            continue
        kind, _, name = case.partition("/")
        wrong, kind = kind.startswith("wrong "), kind.removeprefix("wrong ")
        keras.config.set_floatx("float32" if kind == "trajectory" else "float64")
        keras.config.set_dtype_policy(keras.config.floatx())
        measure = trajectories_apart if kind == "trajectory" else gradients_apart
        found[case] = measure(name, strategy, ROUNDED[kind] if wrong else None)
        print(replicas, case, found[case].tolist(), flush=True)
        np.savez(path, **{case.replace("/", "|"): each for case, each in found.items()})


def saved(path):
    """Return case → distances of a file of `main`, which may not exist yet."""
    if not Path(path).exists():
        return {}
    with np.load(path) as arrays:
        return {case.replace("|", "/"): arrays[case] for case in arrays.files}


def measured(folder, cases):
    """Measure cases in one process for each number of replicas.

    Args:
        folder: folder for the files of the processes; what an earlier call has measured there is not measured again.
        cases: number of replicas → cases: `"gradient/METHOD"`, `"trajectory/METHOD"`, `"wrong gradient/METHOD"` …

    Returns:
        (number of replicas, case) → distances.
    """
    files = {count: Path(folder) / f"{count}.npz" for count in cases}
    children = {count: processes.start(__file__, count, path, *cases[count]) for count, path in files.items()}
    try:
        for child in children.values():
            processes.finish(child, timeout=1800)
    finally:
        for child in children.values():
            child.kill()
    return {(count, case): each for count, path in files.items() for case, each in saved(path).items()}


def table(found):
    """Format the largest distance of each method, and of its trajectories that after the last step."""
    titles = [
        "1 replica",
        *(f"{count} replicas" for count in REPLICAS[1:]),
        "float32",
        "median twin",
        "farthest",
    ]
    lines = [" " * 14 + "".join(f"{title:>13}" for title in titles)]
    for name in CASES:
        numbers = [found[count, f"gradient/{name}"].max() for count in REPLICAS]
        replicas, *twins = found[2, f"trajectory/{name}"][:, -1]
        numbers += [replicas, np.median(twins), max(twins)]
        lines.append(f"{name:14}" + "".join(f"{number:13.1e}" for number in numbers))
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[2:]:
        main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    else:
        folder = sys.argv[1] if sys.argv[1:] else tempfile.mkdtemp()
        Path(folder).mkdir(parents=True, exist_ok=True)
        every = {count: [f"gradient/{name}" for name in CASES] for count in REPLICAS}
        every[2] += [f"trajectory/{name}" for name in CASES]
        print(table(measured(folder, every)))
