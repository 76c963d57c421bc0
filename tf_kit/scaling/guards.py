"""Guards for models of one's own: does a step on several replicas do what it does on one device?

Keras lets a loss that is scaled wrongly, batch statistics of a replica or a mask that all replicas share pass
without a word; the model trains, and worse. `check_replicas` takes one step of the model in several ways, on a few
examples, looks at what the optimizer was given, and puts everything back.
"""

import contextlib
import dataclasses
import threading
import warnings

import keras
import numpy as np
import tensorflow as tf

from tf_kit import replicas
from tf_kit.checks import count, refuse


class ReplicaWarning(UserWarning):
    """Several replicas would train this model to another result than one device."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One way in which replicas change the result of a model.

    Args:
        kind: `"scale"`, `"clipping"`, `"statistics"`, `"state"`, `"batch"` or `"mask"`.
        where: layer or variable, or the model.
        reason: what was seen, with numbers.
        remedy: what to change.
    """

    kind: str
    where: str
    reason: str
    remedy: str

    def __str__(self):
        return f"{self.where}: {self.reason}. {self.remedy}."


def check_replicas(model, x, y=None, num_examples=8):
    """Compares a training step of `model` on its replicas with the step of one device, and warns where they differ.

    For a batch of n examples and R replicas the optimizer should be given the same gradient g in three ways:

        one      one device takes the n examples                                          (1)
        copies   every replica takes the same n examples: Σ_r g_r, each of a loss / R     (2)
        parts    every replica takes its n/R examples                                     (3)

    (2) against (1) shows a loss that is scaled wrongly, whatever its batch statistics and its masks. In (2) equal
    gradients on all replicas, where another step would draw others, show that all draw the same random numbers. After
    (3) each variable that is not trained must be the same on all replicas: a moving statistic, a queue, a teacher.
    Where nothing is random, (3) against (1) shows a loss or a layer that looks at more than one example.

    Nothing of the model changes: no step is applied, and all variables get back the values they had.

    Args:
        model: a compiled Keras model, made in the scope of a `MirroredStrategy` of two replicas or more;
            `strategy("mirrored", replicas=2)` makes one on any machine. It may have a `train_step` of its own.
        x: examples (n, …), two for each replica at least.
        y: targets (n, …), or None.
        num_examples: examples of a replica that are used. Defaults to 8.

    Returns:
        List of `Finding`s, empty for a healthy model. Each is warned of too, as a `ReplicaWarning`.

    Raises:
        InputError: for a model on one replica or on several machines, one that is not compiled, too few examples.

    Example:

        with scaling.strategy("mirrored", replicas=2).scope():
            model = keras.Sequential([keras.layers.Dense(8), keras.layers.BatchNormalization()])
            model.compile("sgd", "mse")
        scaling.check_replicas(model, x, y)     # names the layer: its moving mean differs between replicas

    A number of replicas that a model has noted for itself as a constant looks wrong here, since one device has no use
    for it: ask `tf.distribute.get_strategy().num_replicas_in_sync` in the step.

    Convention: an uneven last batch is not looked at. Keras weighs it as a mean of means in any model that does not
    divide by the global number of examples, as `pretraining.Trainer` does.
    """
    strategy, batch = _checked(model, x, y, count("check_replicas.num_examples", num_examples))
    findings = _look(model, strategy, batch)
    for finding in findings:
        warnings.warn(str(finding), ReplicaWarning, stacklevel=2)
    return findings


class ReplicaCheck(keras.callbacks.Callback):
    """Calls `check_replicas` once, before the first step of `fit`; on one replica it does nothing.

    Args:
        x, y, num_examples: as for `check_replicas`.

    Attributes:
        findings: what was found, after training has begun.
    """

    def __init__(self, x, y=None, num_examples=8):
        super().__init__()
        self.examples = x, y, num_examples
        self.findings = None

    def on_train_begin(self, logs=None):
        if self.findings is None and self.model.distribute_strategy.num_replicas_in_sync > 1:
            self.findings = check_replicas(self.model, *self.examples)


def _checked(model, x, y, num_examples):
    strategy = model.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    if replicas < 2 or len(strategy.extended.worker_devices) < replicas:
        refuse(
            "check_replicas.model",
            "have two replicas or more, on one machine",
            f"{replicas} replicas under {type(strategy).__name__}",
            'Make it under scaling.strategy("mirrored", replicas=2)',
        )
    if not model.compiled:
        refuse("check_replicas.model", "be compiled", model.name, "compile(optimizer, loss) comes first")
    num_examples = min(num_examples, len(x) // replicas)
    if num_examples < 2:
        refuse("check_replicas.x", f"hold two examples for each of {replicas} replicas", f"{len(x)} examples")
    total = replicas * num_examples
    batch = keras.utils.pack_x_y_sample_weight(*(each[:total] for each in (x, y) if each is not None))
    batch = tf.nest.map_structure(tf.convert_to_tensor, batch)
    with strategy.scope():
        if hasattr(model, "prepare_from"):
            model.prepare_from(x, y)
        elif not (model.built and model.optimizer.built):
            model._symbolic_build(data_batch=keras.utils.unpack_x_y_sample_weight(batch))
            model.optimizer.build(model.trainable_variables)
    return strategy, batch


def _look(model, strategy, batch):
    replicas = strategy.num_replicas_in_sync
    saved = _Values(model)
    copies = [batch] * replicas
    parts = [
        tf.nest.map_structure(lambda tensor, r=r: tf.split(tensor, replicas)[r], batch)
        for r in range(replicas)
    ]
    try:
        with _recording(model) as record:
            one = record.step(batch)  # (1)
            saved.put_back()
            several = record.step_on_replicas(strategy, copies)  # (2)
            saved.put_back(keep_draws=True)
            again = record.step_on_replicas(strategy, copies)
            saved.put_back()
            shared = record.step_on_replicas(strategy, parts)  # (3)
            findings = list(_diverged(model))
            saved.put_back()
            random = _distance(several.raw[0], again.raw[0]) > 1e-3
            scale = _norm(several.given) / max(_norm(one.given), 1e-30)
            if random and _is_off(scale, replicas):  # by chance perhaps: look at more draws
                scale = _scale_of_draws(record, saved, strategy, batch, copies)
            if _is_off(scale, replicas):
                with _without_clipping(model) as clips:
                    unclipped = None
                    if clips:
                        unclipped = _norm(record.step_on_replicas(strategy, copies).given)
                        saved.put_back()
                        unclipped /= max(_norm(record.step(batch).given), 1e-30)
                findings.insert(0, _of_scale(model, scale, replicas, unclipped))
    finally:
        saved.put_back()
    if random and all(_distance(several.raw[0], raw) < 1e-6 for raw in several.raw[1:]):
        findings.append(_of_masks(model))
    if not random and not findings:
        apart = _distance(one.given, shared.given)
        if apart > 1e-3:
            findings.append(_of_batch(model, apart))
    return findings


def _scale_of_draws(record, saved, strategy, batch, copies, num_draws=16):
    """The ratio of (2) to (1) in the root mean square over several draws of what is random in a step."""
    squares = np.zeros(2)
    for i, step in enumerate((lambda: record.step(batch), lambda: record.step_on_replicas(strategy, copies))):
        saved.put_back()
        for _ in range(num_draws):
            squares[i] += _norm(step().given) ** 2
            saved.put_back(keep_draws=True)
    saved.put_back()
    return float(np.sqrt(squares[1] / max(squares[0], 1e-60)))


def _is_off(scale, replicas):
    """Masks that differ between replicas make the norm smaller, by √R at most; a loss of the wrong scale by R."""
    return not replicas**-0.75 < scale < replicas**0.25


def _of_scale(model, scale, replicas, unclipped):
    if unclipped is not None and not _is_off(unclipped, replicas):
        return Finding(
            "clipping",
            f"optimizer {_inner(model).name!r}",
            f"the gradient is {scale:.3g} times that of one device, since each of the {replicas} replicas clips "
            "its own part before they are summed",
            "pretraining.Trainer clips the sum; a train_step of one's own can all-reduce, clip and divide by the "
            "number of replicas",
        )
    return Finding(
        "scale",
        f"model {model.name!r}",
        f"the gradient on {replicas} replicas is {scale:.3g} times that of one device",
        "Keras divides a compiled loss by the number of replicas, but nothing that compute_loss or train_step "
        "computes: divide each replica's sum over examples by the global number of examples, or its mean by "
        "tf.distribute.get_strategy().num_replicas_in_sync, once",
    )


def _of_masks(model):
    drawing = [layer.name for layer in model._flatten_layers() if _draws(layer)]
    return Finding(
        "mask",
        f"layers {', '.join(drawing)}" if drawing else f"model {model.name!r}",
        "all replicas draw the same random numbers, as each has a copy of the same generator: example i of every "
        "replica is treated alike",
        "regularization.Dropout and the augmentations there draw for each example of the global batch; "
        "pretraining.ExampleRandom does so in a train_step",
    )


def _draws(layer):
    generators = getattr(layer, "_seed_generators", None) or ()
    return bool(generators) or isinstance(getattr(layer, "generator", None), keras.random.SeedGenerator)


def _of_batch(model, apart):
    return Finding(
        "batch",
        f"model {model.name!r}",
        f"the gradient of the replicas' parts differs from that of the whole batch by {100 * apart:.2g} %, though "
        "nothing is random: something sees the examples of its replica only, as a contrastive loss or a batch "
        "statistic does",
        "Gather first: tf.distribute.get_replica_context().all_gather(z, axis=0), with the loss divided by the number "
        "of replicas; the losses of pretraining do",
    )


def _diverged(model):
    """A finding for each layer whose state is not the same on all replicas."""
    for layer, names in _by_layer(model, [v for v in model.non_trainable_weights if _apart(v)]).items():
        listed = ", ".join(names)
        if isinstance(layer, keras.layers.BatchNormalization):
            yield Finding(
                "statistics",
                f"{type(layer).__name__} {layer.name!r}",
                f"{listed} differ between replicas after one step, as each sees its own examples; only those of the "
                "first replica are saved",
                "regularization.BatchNorm sees the global batch; synchronized=True does where there is no mask",
            )
        else:
            yield Finding(
                "state",
                f"{type(layer).__name__} {layer.name!r}",
                f"{listed} differ between replicas after one step: what is assigned comes from each one's own "
                "examples; only that of the first replica is saved",
                "Assign what is the same everywhere: gather the examples first "
                "(tf.distribute.get_replica_context().all_gather), or compute it from weights",
            )


def _by_layer(model, variables):
    """Innermost layer → names of those of the variables that it owns."""
    owners = {}
    for layer in (model, *model._flatten_layers(include_self=False)):
        for variable in layer.weights:
            owners[id(variable)] = layer  # outer layers come first
    found = {}
    for variable in variables:
        found.setdefault(owners.get(id(variable), model), []).append(variable.name)
    return found


def _components(variable):
    """The variable's copies, one a replica."""
    return getattr(variable.value, "values", None) or (variable.value,)


def _apart(variable):
    first, *others = [np.asarray(each.numpy()) for each in _components(variable)]
    if first.dtype.kind not in "fiu":
        first, others = first.astype("float32"), [each.astype("float32") for each in others]
    return any(not np.allclose(first, other, rtol=1e-5, atol=1e-7, equal_nan=True) for other in others)


class _Values:
    """The values of all variables on all replicas, to put back."""

    def __init__(self, model):
        seeds = {id(v) for v in model.variables} - {id(v) for v in model.weights}
        variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
        counters = {id(v) for v in model.optimizer.variables if "iteration" in v.name}
        self._saved = [
            (copy, copy.numpy(), id(v) in seeds | counters) for v in variables for copy in _components(v)
        ]

    def put_back(self, keep_draws=False):
        """All values, or all but those on which the next random numbers depend."""
        for copy, value, draws in self._saved:
            if not (keep_draws and draws):
                copy.assign(value)


@dataclasses.dataclass
class _Step:
    """What a step would have done: gradients of each replica's tape, and the sum that the optimizer was given."""

    raw: list
    given: list


class _Record:
    def __init__(self, model):
        self._model = model
        self.raw, self.given = {}, None

    def step(self, batch):
        """One device takes the batch: in a thread, which no strategy's scope reaches, nor the model's own strategy."""
        failed, strategy = [], self._model._distribute_strategy

        def run():
            try:
                self._model.train_step(batch)
            except Exception as error:
                failed.append(error)

        self.raw, self.given = {}, None
        self._model._distribute_strategy = None
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        self._model._distribute_strategy = strategy
        if failed:
            raise failed[0]
        return self._seen()

    def step_on_replicas(self, strategy, batches):
        """Each replica takes its batch."""
        self.raw, self.given = {}, None

        def of_replica(context):
            return batches[context.replica_id_in_sync_group]

        def run(batch):
            self._model.train_step(batch)

        strategy.run(run, args=(strategy.experimental_distribute_values_from_function(of_replica),))
        return self._seen()

    def _seen(self):
        if self.given is None:
            refuse(
                "check_replicas.model",
                "update its weights by its optimizer in train_step",
                f"a step of {self._model.name} without a call of optimizer.apply",
            )
        return _Step([self.raw[replica] for replica in sorted(self.raw)], self.given)


@contextlib.contextmanager
def _recording(model):
    """Steps are recorded and not applied. Keras has no hook between clipping and update, TensorFlow none in a tape."""
    record, optimizer, gradient = _Record(model), _inner(model), tf.GradientTape.gradient

    def update(grads, trainable_variables, learning_rate):
        values = [v.value if isinstance(v, keras.Variable) else v for v in trainable_variables]
        pairs = list(zip(grads, values, strict=True))
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            pairs = optimizer._all_reduce_sum_gradients(pairs)
        if replicas.index() == 0:
            record.given = [_array(gradient) for gradient, _ in pairs if gradient is not None]

    def recorded_gradient(tape, target, sources, *args, **kwargs):
        found = gradient(tape, target, sources, *args, **kwargs)
        record.raw[int(replicas.index())] = [_array(each) for each in tf.nest.flatten(found) if each is not None]
        return found

    optimizer._backend_update_step = update
    tf.GradientTape.gradient = recorded_gradient
    try:
        yield record
    finally:
        del optimizer._backend_update_step
        tf.GradientTape.gradient = gradient


def _inner(model):
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


@contextlib.contextmanager
def _without_clipping(model):
    """Yields whether the optimizer clips; within, it does not."""
    optimizer = _inner(model)
    names = ("clipnorm", "clipvalue", "global_clipnorm")
    limits = {name: getattr(optimizer, name) for name in names}
    for name in names:
        setattr(optimizer, name, None)
    try:
        yield any(limit is not None for limit in limits.values())
    finally:
        for name, limit in limits.items():
            setattr(optimizer, name, limit)


def _array(tensor):
    return np.asarray(tf.cast(tf.convert_to_tensor(tensor), tf.float32))


def _norm(arrays):
    return float(np.sqrt(sum(np.sum(np.square(array, dtype="float64")) for array in arrays)))


def _distance(first, second):
    """‖first − second‖ / ‖first‖ over all arrays together."""
    return _norm([a - b for a, b in zip(first, second, strict=True)]) / max(_norm(first), 1e-30)
