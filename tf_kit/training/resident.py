"""Many steps in one graph: arrays that TensorFlow holds, of which each step gathers its minibatch by index.

Per step, the loop of Keras spends 0.5 to 5 ms on an iterator, a call of a traced function and its results, whatever
the size of the model. Here a `tf.while_loop` runs the steps

    B_k = {x[π_e[j]] : k·b ≤ j < min((k + 1)·b, n)},  k = first … first + count − 1              (1)

of epoch e in one call, with the order π_e and the minibatches of `data.minibatches`.
"""

from __future__ import annotations

import copy
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.data.batches import draw_order
from tf_kit.training import sharing
from tf_kit.training.loop import Piece
from tf_kit.training.steps import isolated
from tf_kit.typing import ArrayLike, Tensor

# Arrays above this size stay in the memory of the host if the model trains on a GPU, and are sent minibatch by
# minibatch.
LARGEST_ON_DEVICE = 1 << 31

_SECONDS = 0.5  # duration of a piece: short enough for a progress line, checkpoints and Ctrl-C
_FIRST = 8  # steps of the first piece, which shows how long a step takes
_GROWTH = 16  # largest ratio of the lengths of two pieces in a row


def fits_on_device(arrays: Sequence[ArrayLike]) -> bool:
    """Return whether the arrays may lie where the model trains: always in the memory of the host."""
    if not tf.config.list_logical_devices("GPU"):
        return True
    return (
        sum(math.prod(array.shape) * tf.as_dtype(array.dtype).size for array in arrays) <= LARGEST_ON_DEVICE
    )


class Resident:
    """Minibatches of arrays on one device, of which each call of a traced function runs many.

    Args:
        model: a `Trainer`.
        kind: `"train"` or `"test"`, the step to run.
        arrays: inputs, and targets and sample weights if there are some, each (n, …).
        batch_size: examples per step b.
        seed: seed of the orders π_e. None keeps the order of the arrays. Defaults to None.

    Attributes:
        num_steps: steps per epoch, ⌈n/b⌉.
    """

    def __init__(
        self,
        model: keras.Model,
        kind: str,
        arrays: Sequence[ArrayLike],
        batch_size: int,
        seed: int | None = None,
    ) -> None:
        self.model, self.kind, self.batch_size, self.seed = model, kind, batch_size, seed
        self.arrays = tuple(tf.convert_to_tensor(array) for array in arrays)
        self.num_examples = len(arrays[0])
        self.num_steps = -(-self.num_examples // batch_size)
        self._first = (0, 0)

    def begin(self, first_epoch: int, first_step: int) -> None:
        self._first = (first_epoch, first_step)

    def pieces(self, epoch: int) -> Iterator[Piece]:
        step = self._first[1] if epoch == self._first[0] else 0
        order = self._order(epoch)
        run = self.model.traced_pieces.of(self.model, self.kind, self.arrays)
        while step < self.num_steps:
            is_last = self.kind == "train" and self.model.stop_training  # before it began: Keras takes a step
            count = min(self.model.steps_per_execution if is_last else run.suggested, self.num_steps - step)
            yield step, functools.partial(self._run, run, order, step, count)
            step += count

    def _run(self, run, order, first, count):
        return first + count - 1, run(self.arrays, order, self.batch_size, first, count)

    def _order(self, epoch):
        if self.seed is None:
            return tf.range(self.num_examples)
        numbers = [tf.constant(each, tf.int64) for each in (self.num_examples, self.seed, epoch)]
        return _traced_order()(*numbers)


@functools.cache
def _traced_order():
    """Return `draw_order` as one traced function for all trainings."""
    number = tf.TensorSpec((), tf.int64)

    @functools.partial(tf.function, input_signature=[number, number, number], autograph=False)
    def order(n, seed, epoch):
        with tf.device("CPU"):
            return draw_order(n, seed, epoch)

    return order


class Pieces:
    """Traced function that runs steps of a model; traced once for arrays of any length and any batch size.

    Args:
        model: a `Trainer`.
        step: its `train_step` or `test_step`, as `steps.isolated` returns it.
        arrays: arrays of the first training, for their shapes and dtypes.

    Attributes:
        suggested: number of steps that take about half a second, as far as is known.
    """

    def __init__(self, model: keras.Model, step: Callable, arrays: Sequence[Tensor]) -> None:
        self.suggested = _FIRST
        self._traced: Any = None  # the concrete function
        self._captures: list[Tensor] | None = None  # variables of another model than the traced one
        number = tf.TensorSpec((), tf.int32)
        examples = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in arrays)

        def run(arrays, order, batch_size, first, count):
            def body(k):
                start = k * batch_size
                chosen = order[start : tf.minimum(start + batch_size, tf.shape(order)[0])]
                batch = tuple(tf.gather(array, chosen) for array in arrays)  # (1)
                model.distribute_strategy.run(step, args=(batch,))
                return k + 1

            end = first + count
            tf.while_loop(lambda k: k < end, body, [first], parallel_iterations=1)
            return model.get_metrics_result()

        signature = (examples, tf.TensorSpec((None,), tf.int32), number, number, number)
        self._run = tf.function(run, input_signature=signature, autograph=False)

    def __call__(
        self, arrays: Sequence[Tensor], order: Tensor, batch_size: int, first: int, count: int
    ) -> dict[str, Any]:
        """Run `count` steps from step `first` on; return the running means."""
        traced = self._concrete()
        began = time.perf_counter()
        inputs = [*arrays, order, *(tf.constant(number, tf.int32) for number in (batch_size, first, count))]
        captures = traced.captured_inputs if self._captures is None else self._captures
        logs = keras_internals.called_with(traced, inputs, captures)
        logs = {name: _plain(value) for name, value in logs.items()}
        seconds = max(time.perf_counter() - began, 1e-6)
        fitting = math.ceil(count * _SECONDS / seconds)
        self.suggested = max(1, min(fitting, _GROWTH * max(count, self.suggested)))
        return logs

    def with_variables(self, owner: list[tf.Variable], other: list[tf.Variable]) -> Pieces | None:
        """Return the function with the variables of another model; None if it uses more than these variables.

        Args:
            owner: variables of the model that was traced, from `sharing.variables_of`.
            other: variables of the other model.
        """
        captures = sharing.rebound(self._concrete().captured_inputs, owner, other)
        if captures is None:
            return None
        found = copy.copy(self)
        found._captures = captures
        return found

    def _concrete(self):
        if self._traced is None:
            self._traced = self._run.get_concrete_function()
        return self._traced


def _plain(value):
    """Return the value of a metric as Keras does: a float, or an array if it is not one number."""
    array = value.numpy()
    return float(array) if array.ndim == 0 else array


class TracedPieces:
    """Traced functions of a model, and its seed as a variable, which they read.

    (A plain dictionary, or a variable as an attribute of the model, would be tracked by Keras.)
    """

    def __init__(self) -> None:
        self._made: dict[tuple, Pieces] = {}
        self._seed: tf.Variable | None = None
        self._trained: tuple | None = None

    @property
    def seed(self) -> tf.Variable:
        """Seed of the model, int64; `set_seed` gives it its value."""
        if self._seed is None:
            with tf.init_scope(), tf.device("CPU"):
                self._seed = tf.Variable(0, dtype=tf.int64, trainable=False)
        return self._seed

    def set_seed(self, seed: int) -> None:
        """Let the steps that follow draw their random numbers from a seed."""
        self.seed.assign(seed)

    def of(self, model: keras.Model, kind: str, arrays: Sequence[Tensor]) -> Pieces:
        """Return the function that runs steps of a kind on arrays of these shapes and dtypes."""
        key = (kind, *((tuple(array.shape[1:]), array.dtype) for array in arrays))
        if key not in self._made:
            self._made[key] = self._shared(model, key, arrays) or self._traced(model, kind, arrays)
        return self._made[key]

    def forget(self) -> None:
        """Discard all functions, as `compile` discards Keras's own."""
        self._made.clear()

    def still_train(self, model: keras.Model) -> bool:
        """Return whether the same parts of the model are trained as at the last call; if not, discard all functions."""
        layers = keras_internals.flatten_layers(model)
        trained = *map(id, model.trained_variables), *(layer.trainable for layer in layers)
        before, self._trained = self._trained, trained
        if before in (None, trained):
            return True
        self.forget()
        return False

    def _traced(self, model, kind, arrays):
        keras_internals.count_traced_function()
        return Pieces(model, isolated(getattr(model, f"{kind}_step"), model.jit_compile), arrays)

    def _shared(self, model, key, arrays):
        """Return the function of another model of the same structure, or one for models to come, or None."""
        functions = sharing.current()
        structure = None if functions is None else sharing.structure(model)
        if functions is None or structure is None:
            return None
        variables = sharing.variables_of(model)
        if (key, structure) not in functions:
            made = self._traced(model, key[0], arrays)
            functions[key, structure] = made, variables
            return made
        made, owner = functions[key, structure]
        return made.with_variables(owner, variables)
