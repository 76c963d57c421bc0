"""Training steps of a model that are recorded and not applied, on one device or on several replicas."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_kit import keras_internals, replicas
from tf_kit.checks import refuse
from tf_kit.dtypes import widened
from tf_kit.typing import Tensor


@dataclasses.dataclass
class Step:
    """Gradients of one training step.

    Args:
        raw: for each replica, the gradients that its tape computed.
        given: the gradients that the optimizer was given, summed over the replicas.
    """

    raw: list[list[np.ndarray]]
    given: list[np.ndarray]


class SavedValues:
    """Values of all variables of a compiled model on all replicas, to be restored."""

    def __init__(self, model: keras.Model) -> None:
        seeds = {id(v) for v in model.variables} - {id(v) for v in model.weights}
        variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
        counters = {id(v) for v in model.optimizer.variables if "iteration" in v.name}
        self._saved = [
            (copy, copy.numpy(), id(v) in seeds | counters) for v in variables for copy in copies_of(v)
        ]

    def restore(self, keep_draws: bool = False) -> None:
        """Restore all values; with `keep_draws`, all except those that determine the next random numbers."""
        for copy, value, draws in self._saved:
            if not (keep_draws and draws):
                copy.assign(value)


class Recorder:
    """Takes training steps of a model and records their gradients; `recording` makes one."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._forget()

    def _forget(self) -> None:
        self.raw: dict[int, list[np.ndarray]] = {}
        self.given: list[np.ndarray] | None = None

    def step(self, batch: Tensor) -> Step:
        """Take a step on one device, in a new thread, outside the scope of the model's strategy."""
        failed = []

        def run():
            try:
                self._model.train_step(batch)
            except Exception as error:
                failed.append(error)

        self._forget()
        with keras_internals.without_strategy(self._model):
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        if failed:
            raise failed[0]
        return self._recorded()

    def step_on_replicas(self, strategy: tf.distribute.Strategy, batches: Sequence[Tensor]) -> Step:
        """Take a step in which replica r gets `batches[r]`."""
        self._forget()

        def of_replica(context):
            return batches[context.replica_id_in_sync_group]

        def run(batch):
            self._model.train_step(batch)

        strategy.run(run, args=(strategy.experimental_distribute_values_from_function(of_replica),))
        return self._recorded()

    def _recorded(self):
        if self.given is None:
            refuse(
                "check_replicas.model",
                "update its weights by its optimizer in train_step",
                f"a step of {self._model.name} without a call of optimizer.apply",
            )
        return Step([self.raw[replica] for replica in sorted(self.raw)], self.given)


@contextlib.contextmanager
def recording(model: keras.Model) -> Iterator[Recorder]:
    """Within this context, record the gradients of training steps and apply none of them."""
    recorder, optimizer, gradient = Recorder(model), inner_optimizer(model), tf.GradientTape.gradient

    def update(grads, trainable_variables, learning_rate):
        values = [v.value if isinstance(v, keras.Variable) else v for v in trainable_variables]
        pairs = list(zip(grads, values, strict=True))
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            pairs = keras_internals.sum_gradients(optimizer, pairs)
        if replicas.index() == 0:
            recorder.given = [_array(gradient) for gradient, _ in pairs if gradient is not None]

    def recorded_gradient(tape, target, sources, *args, **kwargs):
        found = gradient(tape, target, sources, *args, **kwargs)
        arrays = [_array(each) for each in tf.nest.flatten(found) if each is not None]
        recorder.raw[int(replicas.index())] = arrays
        return found

    with keras_internals.updates_replaced(optimizer, update):
        tf.GradientTape.gradient = recorded_gradient  # TensorFlow has no hook in a tape
        try:
            yield recorder
        finally:
            tf.GradientTape.gradient = gradient


@contextlib.contextmanager
def without_clipping(model: keras.Model) -> Iterator[bool]:
    """Within this context, the optimizer does not clip; gives whether it does otherwise."""
    optimizer = inner_optimizer(model)
    names = ("clipnorm", "clipvalue", "global_clipnorm")
    limits = {name: getattr(optimizer, name) for name in names}
    for name in names:
        setattr(optimizer, name, None)
    try:
        yield any(limit is not None for limit in limits.values())
    finally:
        for name, limit in limits.items():
            setattr(optimizer, name, limit)


def inner_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """Return the optimizer of a model, without loss scaling."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def copies_of(variable: keras.Variable) -> tuple[tf.Variable, ...]:
    """Return the copies of a variable, one per replica."""
    return getattr(variable.value, "values", None) or (variable.value,)


def norm(arrays: Sequence[np.ndarray]) -> float:
    """Compute the Euclidean norm of several arrays together."""
    return float(np.sqrt(sum(np.sum(np.square(array, dtype="float64")) for array in arrays)))


def distance(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """Compute ‖first − second‖ / ‖first‖ over several arrays together."""
    return norm([a - b for a, b in zip(first, second, strict=True)]) / max(norm(first), 1e-30)


def _array(tensor):
    return keras.ops.convert_to_numpy(widened(tensor))
