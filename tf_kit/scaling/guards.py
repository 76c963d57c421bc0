"""Guards for custom models: comparison of a training step on several replicas with the step of one device.

Keras gives no warning if a loss is scaled wrongly, if batch statistics cover only the examples of one replica, or if
all replicas use the same mask; the model trains, with worse results. `check_replicas` takes one step of the model in
several ways, on a few examples, compares the gradients that the optimizer is given, and restores all variables.
"""

import dataclasses
import warnings
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.checks import count, refuse
from tf_kit.scaling.recording import (
    Recorder,
    SavedValues,
    Step,
    copies_of,
    distance,
    inner_optimizer,
    norm,
    recording,
    without_clipping,
)
from tf_kit.typing import ArrayLike, Tensor

_TIMES = 10  # multiple of the effect of rounding above which gradients differ in another way


class ReplicaWarning(UserWarning):
    """A model would be trained to another result on several replicas than on one device."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One way in which replicas change the result of a model.

    Args:
        kind: `"scale"`, `"clipping"`, `"statistics"`, `"state"`, `"batch"` or `"mask"`.
        where: the layer or variable concerned, or the model.
        reason: description of the difference, with numbers.
        remedy: change that removes the difference.
    """

    kind: str
    where: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}. {self.remedy}."


def check_replicas(
    model: keras.Model, x: ArrayLike, y: ArrayLike | None = None, num_examples: int = 8
) -> list[Finding]:
    """Compare a training step of `model` on its replicas with the step of one device, and warn where they differ.

    For a batch of n examples and R replicas the optimizer should be given the same gradient g in three ways:

        one      one device takes the n examples                                          (1)
        copies   every replica takes the same n examples: Σ_r g_r, each of a loss / R     (2)
        parts    every replica takes its n/R examples                                     (3)

    A difference between (2) and (1) shows a loss that is scaled wrongly, whatever its batch statistics and masks.
    If the gradients in (2) are equal on all replicas but change from step to step, all replicas draw the same random
    numbers. After (3) each variable that is not trained must be the same on all replicas: a moving statistic, a queue,
    a teacher. If nothing is random, a difference between (3) and (1) shows a loss or a layer whose output for one
    example depends on the other examples.

    The model does not change: no step is applied, and the values of all variables are restored.

    Args:
        model: compiled Keras model, made in the scope of a `MirroredStrategy` of at least two replicas, which
            `strategy("mirrored", replicas=2)` makes on any machine. It may have a custom `train_step`.
        x: examples (n, …), at least two per replica; a list or dictionary of arrays for several inputs.
        y: targets (n, …), a list or dictionary of them for several outputs, or None. Defaults to None.
        num_examples: examples per replica to use. Defaults to 8.

    Returns:
        List of `Finding`s, empty for a healthy model. Each is also issued as a `ReplicaWarning`.

    Raises:
        InputError: the model has one replica, has replicas on several machines, or is not compiled; or there are too
            few examples.

    Example:
        with scaling.strategy("mirrored", replicas=2).scope():
            model = keras.Sequential([keras.layers.Dense(8), keras.layers.BatchNormalization()])
            model.compile("sgd", "mse")
        scaling.check_replicas(model, x, y)     # names the layer: its moving mean differs between replicas

    Convention: a model that stores the number of replicas as a constant is reported as wrong, since (1) runs on one
    device; read `tf.distribute.get_strategy().num_replicas_in_sync` in the step. An uneven last batch is not checked:
    Keras weights it as a mean of means, unless the model divides by the global number of examples as
    `training.Trainer` does.
    """
    strategy, batch = _prepared(model, x, y, count("check_replicas.num_examples", num_examples))
    findings = _compare(model, strategy, batch)
    for finding in findings:
        warnings.warn(str(finding), ReplicaWarning, stacklevel=2)
    return findings


class ReplicaCheck(keras.callbacks.Callback):
    """Call `check_replicas` once, before the first step of `fit`; do nothing on one replica.

    Args:
        x, y, num_examples: as for `check_replicas`.

    Attributes:
        findings: list of `Finding`s; None before training starts.
    """

    def __init__(self, x: ArrayLike, y: ArrayLike | None = None, num_examples: int = 8) -> None:
        super().__init__()
        self.examples = x, y, num_examples
        self.findings: list[Finding] | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        if self.findings is None and self.model.distribute_strategy.num_replicas_in_sync > 1:
            self.findings = check_replicas(self.model, *self.examples)


def _prepared(
    model: keras.Model, x: ArrayLike, y: ArrayLike | None, num_examples: int
) -> tuple[tf.distribute.Strategy, Tensor]:
    """Check the arguments and build the model; return its strategy and the batch."""
    strategy = model.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    if replicas < 2 or len(strategy.extended.worker_devices) < replicas:
        refuse(
            "check_replicas.model",
            "have two replicas or more, on one machine",
            f"{replicas} replica{'s' * (replicas != 1)} under {type(strategy).__name__}",
            'Make it in the scope of scaling.strategy("mirrored", replicas=2)',
        )
    if not model.compiled:
        refuse("check_replicas.model", "be compiled", model.name, "Call model.compile(optimizer, loss) first")
    given = [_arrays(each) for each in (x, y) if each is not None]
    size = min(len(each) for each in keras.tree.flatten(given))
    num_examples = min(num_examples, size // replicas)
    if num_examples < 2:
        refuse("check_replicas.x", f"hold two examples for each of {replicas} replicas", f"{size} examples")
    total = replicas * num_examples
    first = keras.tree.map_structure(lambda each: tf.convert_to_tensor(each[:total]), given)
    batch = keras.utils.pack_x_y_sample_weight(*first)
    with strategy.scope():
        if hasattr(model, "prepare_from"):
            model.prepare_from(x, y)
        elif not (model.built and model.optimizer.built):
            keras_internals.build_from_batch(model, keras.utils.unpack_x_y_sample_weight(batch))
            model.optimizer.build(model.trainable_variables)
    return strategy, batch


def _arrays(given):
    """Return arrays as Keras takes them: a list is one of arrays, or itself an array of numbers."""
    several = not isinstance(given, list | tuple) or all(hasattr(each, "shape") for each in given)
    return given if several else np.asarray(given)


def _compare(model: keras.Model, strategy: tf.distribute.Strategy, batch: Tensor) -> list[Finding]:
    """Take the steps (1), (2) and (3) and list what differs."""
    replicas = strategy.num_replicas_in_sync
    saved = SavedValues(model)
    copies = [batch] * replicas
    parts = [
        tf.nest.map_structure(lambda tensor, r=r: tf.split(tensor, replicas)[r], batch)
        for r in range(replicas)
    ]
    try:
        with recording(model) as recorder:
            one = recorder.step(batch)  # (1)
            saved.restore()
            several = recorder.step_on_replicas(strategy, copies)  # (2)
            saved.restore(keep_draws=True)
            again = recorder.step_on_replicas(strategy, copies)
            saved.restore()
            shared = recorder.step_on_replicas(strategy, parts)  # (3)
            findings = list(_diverged(model))
            saved.restore()
            random = distance(several.raw[0], again.raw[0]) > 1e-3
            if random:  # a single draw may be off, or right, by chance
                scale = _scale_of_draws(recorder, saved, strategy, batch, copies)
            else:
                scale = norm(several.given) / max(norm(one.given), 1e-30)
            if _is_off(scale, replicas):
                with without_clipping(model) as clips:
                    unclipped = None
                    if clips:
                        unclipped = norm(recorder.step_on_replicas(strategy, copies).given)
                        saved.restore()
                        unclipped /= max(norm(recorder.step(batch).given), 1e-30)
                findings.insert(0, _of_scale(model, scale, replicas, unclipped))
            if not random and not findings:
                apart = distance(one.given, shared.given)
                if apart > _TIMES * _effect_of_rounding(recorder, saved, model, batch, one):
                    findings.append(_of_batch(model, apart))
    finally:
        saved.restore()
    if random and all(distance(several.raw[0], raw) < 1e-6 for raw in several.raw[1:]):
        findings.append(_of_masks(model))
    return findings


def _effect_of_rounding(
    recorder: Recorder, saved: SavedValues, model: keras.Model, batch: Tensor, one: Step
) -> float:
    """Compute how far rounding moves the gradient (1): its relative distance from that of weights w (1 ± ε).

    ε is the spacing of numbers at 1 in the coarsest floating-point type in which a layer computes. In a deep network
    this distance is thousands of times as large as ε, and the order of sums has an effect of the same size.
    """
    rng = np.random.default_rng(0)
    types = [tf.as_dtype(each.compute_dtype) for each in keras_internals.flatten_layers(model)]
    spacing = max(float(np.spacing(np.ones((), each.as_numpy_dtype))) for each in types if each.is_floating)
    for variable in model.trainable_variables:
        sign = rng.choice([-1.0, 1.0], variable.shape)
        variable.assign(keras.ops.convert_to_numpy(variable) * (1 + spacing * sign))
    moved = recorder.step(batch)
    saved.restore()
    return max(distance(one.given, moved.given), spacing)


def _scale_of_draws(
    recorder: Recorder,
    saved: SavedValues,
    strategy: tf.distribute.Strategy,
    batch: Tensor,
    copies: list[Tensor],
    num_draws: int = 32,
) -> float:
    """Compute the ratio of the gradients (2) and (1), as root mean squares over several random draws."""
    squares = np.zeros(2)
    steps = (lambda: recorder.step(batch), lambda: recorder.step_on_replicas(strategy, copies))
    for i, step in enumerate(steps):
        saved.restore()
        for _ in range(num_draws):
            squares[i] += norm(step().given) ** 2
            saved.restore(keep_draws=True)
    saved.restore()
    return float(np.sqrt(squares[1] / max(squares[0], 1e-60)))


def _is_off(scale: float, replicas: int) -> bool:
    """Return whether the scale is wrong: by R, more than the at most √R by which masks that differ shrink the norm."""
    return not replicas**-0.75 < scale < replicas**0.25


def _of_scale(model: keras.Model, scale: float, replicas: int, unclipped: float | None) -> Finding:
    if unclipped is not None and not _is_off(unclipped, replicas):
        return Finding(
            "clipping",
            f"optimizer {inner_optimizer(model).name!r}",
            f"the gradient is {scale:.3g} times that of one device, since each of the {replicas} replicas clips "
            "its part before the sum",
            "training.Trainer clips the sum; a custom train_step can all-reduce, clip and divide by the number of "
            "replicas",
        )
    return Finding(
        "scale",
        f"model {model.name!r}",
        f"the gradient on {replicas} replicas is {scale:.3g} times that of one device",
        "Keras divides a compiled loss by the number of replicas, but not a loss computed in compute_loss or "
        "train_step: divide each replica's sum over examples by the global number of examples, or its mean by "
        "tf.distribute.get_strategy().num_replicas_in_sync, once",
    )


def _of_masks(model: keras.Model) -> Finding:
    drawing = [layer.name for layer in keras_internals.flatten_layers(model) if _draws(layer)]
    return Finding(
        "mask",
        f"layers {', '.join(drawing)}" if drawing else f"model {model.name!r}",
        "all replicas draw the same random numbers, since each has a copy of the same generator: example i gets "
        "the same numbers on every replica",
        "regularization.Dropout and the augmentations there draw numbers for each example of the global batch; "
        "randomness.ExampleRandom does so in a train_step",
    )


def _draws(layer: keras.layers.Layer) -> bool:
    """Return whether a layer has a generator of random numbers."""
    if keras_internals.seed_generators(layer):
        return True
    return isinstance(getattr(layer, "generator", None), keras.random.SeedGenerator)


def _of_batch(model: keras.Model, apart: float) -> Finding:
    return Finding(
        "batch",
        f"model {model.name!r}",
        f"the gradient of the replicas' parts differs from that of the whole batch by {100 * apart:.2g} %, although "
        "nothing is random: a layer or loss sees the examples of its replica only, such as a contrastive loss or a "
        "batch statistic",
        "Gather first, tf.distribute.get_replica_context().all_gather(z, axis=0), and divide the loss by the number "
        "of replicas, as the losses of pretraining do",
    )


def _diverged(model: keras.Model) -> Iterator[Finding]:
    """Yield a finding for each layer whose state is not the same on all replicas."""
    for layer, names in _by_layer(model, [v for v in model.non_trainable_weights if _apart(v)]).items():
        listed = ", ".join(names)
        if isinstance(layer, keras.layers.BatchNormalization):
            yield Finding(
                "statistics",
                f"{type(layer).__name__} {layer.name!r}",
                f"{listed} differ between replicas after one step, since each replica sees other examples; only those "
                "of the first replica are saved",
                "regularization.BatchNorm sees the global batch; so does synchronized=True if there is no mask",
            )
        else:
            yield Finding(
                "state",
                f"{type(layer).__name__} {layer.name!r}",
                f"{listed} differ between replicas after one step: the assigned values depend on the examples of the "
                "replica; only those of the first replica are saved",
                "Assign values that are the same on all replicas: gather the examples first "
                "(tf.distribute.get_replica_context().all_gather), or compute them from weights",
            )


def _by_layer(model: keras.Model, variables: list[keras.Variable]) -> dict[keras.layers.Layer, list[str]]:
    """Map each innermost layer to the names of its variables among `variables`."""
    owners = {}
    for layer in keras_internals.flatten_layers(model):
        for variable in layer.weights:
            owners[id(variable)] = layer  # inner layers come after outer ones
    found: dict[keras.layers.Layer, list[str]] = {}
    for variable in variables:
        found.setdefault(owners.get(id(variable), model), []).append(variable.name)
    return found


def _apart(variable: keras.Variable) -> bool:
    """Return whether the copies of a variable on the replicas differ."""
    first, *others = [np.asarray(each.numpy()) for each in copies_of(variable)]
    if first.dtype.kind not in "fiu":
        first, others = first.astype("float32"), [each.astype("float32") for each in others]
    return any(not np.allclose(first, other, rtol=1e-5, atol=1e-7, equal_nan=True) for other in others)
