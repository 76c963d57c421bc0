"""How a trainer takes its minibatches: many steps in one graph where that can be, one step at a time elsewhere."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import keras

from tf_kit import data
from tf_kit.checks import refuse
from tf_kit.training import arguments, loop, workers
from tf_kit.training.inputs import is_array, without_empty_batches
from tf_kit.training.resident import Resident, fits_on_device
from tf_kit.typing import Dataset

if TYPE_CHECKING:
    from tf_kit.training.trainer import Trainer

Callbacks: TypeAlias = keras.callbacks.CallbackList


def of_arrays(
    trainer: Trainer,
    arrays: arguments.Arrays,
    callbacks: Callbacks,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int,
    epochs: int,
) -> loop.Source:
    """Choose how the minibatches of arrays are run.

    Args:
        trainer: model that trains.
        arrays: arrays of n examples each.
        callbacks: callbacks of the training; one that looks at every minibatch needs single steps.
        batch_size: examples per step.
        shuffle: whether the order of the examples changes in every epoch.
        seed: seed of the order.
        epochs: number of the last epoch.
    """
    if runs_in_pieces(trainer, arrays) and not loop.looks_at_minibatches(callbacks):
        return Resident(trainer, "train", arrays, batch_size, seed if shuffle else None)
    num_steps = steps_per_epoch(len(arrays[0]), batch_size)
    _check_steps_per_execution(trainer, num_steps)
    options = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed, "epochs": epochs}

    def make(first_epoch: int, first_step: int) -> Dataset:
        return _minibatches(trainer, arrays, first_epoch=first_epoch, first_step=first_step, **options)

    return loop.Batches(trainer, make, num_steps)


def of_data_set(
    trainer: Trainer, dataset: Dataset, num_steps: int | None, initial_epoch: int = 0
) -> loop.Source:
    """Return the source that takes the batches of a data set in their order, and anew after its end.

    Args:
        trainer: model that trains.
        dataset: data set of batches.
        num_steps: steps per epoch, or None if each epoch reads the data set to its end.
        initial_epoch: epoch that the first batch belongs to, if there is a number of steps. A training that a callback
            restores may begin later. Defaults to 0.
    """
    # Counted before workers share it: where it ends, they would take a step without examples.
    size = arguments.num_batches(dataset, None)
    shared = workers.in_order(trainer.distribute_strategy, without_empty_batches(dataset))

    def make(first_epoch: int, first_step: int) -> Dataset:
        passed, together = first_epoch - initial_epoch, trainer.steps_per_execution
        taken = (
            math.ceil((num_steps or 0) / together) * together
        )  # steps of an epoch, whose last execution is whole
        if taken and size:
            passed %= math.ceil(size / taken)  # epochs after which the data set is read anew
        skipped = passed * taken + first_step
        return shared.skip(skipped) if skipped else shared

    return loop.Batches(trainer, make, num_steps, size, initial_epoch)


def validation(
    trainer: Trainer, given: Any, batch_size: int, num_steps: int | None, callbacks: Callbacks
) -> Callable[[Callbacks], dict[str, float]]:
    """Return the function that computes the validation metrics after an epoch.

    Args:
        trainer: model that trains.
        given: tuple of arrays or data set, as `targets.check_validation` returns it.
        batch_size: examples per step of arrays.
        num_steps: steps of a data set, or None for all.
        callbacks: callbacks of the training.
    """
    if isinstance(given, tuple) and num_steps is None:
        source = evaluated_in_pieces(trainer, given, batch_size, callbacks)
        if source is not None:
            return lambda callbacks: run_evaluation(trainer, source, callbacks)
    x, y, weights = keras.utils.unpack_x_y_sample_weight(
        workers.in_order(trainer.distribute_strategy, given, batch_size)
    )
    sizes = {"batch_size": batch_size} if is_array(x) else {}
    return lambda callbacks: keras.Model.evaluate(
        trainer,
        x,
        y,
        sample_weight=weights,
        steps=num_steps,
        callbacks=callbacks,
        return_dict=True,
        **sizes,
    )


def evaluated_in_pieces(
    trainer: Trainer, arrays: arguments.Arrays, batch_size: int, callbacks: Callbacks
) -> Resident | None:
    """Return arrays to evaluate in pieces; None if a callback or the model needs single steps."""
    arrays = tuple(each for each in arrays if each is not None)
    if not runs_in_pieces(trainer, arrays) or loop.looks_at_minibatches(callbacks, "test"):
        return None
    return Resident(trainer, "test", arrays, batch_size)


def run_evaluation(trainer: Trainer, source: Resident, callbacks: Callbacks) -> dict[str, Any]:
    """Evaluate piece by piece; return the metrics."""
    callbacks.on_test_begin()
    trainer.reset_metrics()
    logs: dict[str, Any] = {}
    for step, run in source.pieces(0):
        callbacks.on_test_batch_begin(step)
        last, logs = cast(tuple[int, dict[str, Any]], run())  # arrays do not end within a piece
        callbacks.on_test_batch_end(last, logs)
    callbacks.on_test_end(logs)
    return logs


def runs_in_pieces(trainer: Trainer, arrays: arguments.Arrays) -> bool:
    """Return whether many steps on these arrays can run as one graph."""
    return not trainer.is_under_strategy and not trainer.run_eagerly and fits_on_device(arrays)


def steps_per_epoch(num_examples: int, batch_size: int, given: int | None = None) -> int:
    """Return the number of minibatches of an epoch of arrays; refuse another number."""
    if given is not None:
        refuse(
            "fit.steps_per_epoch",
            "be left out for arrays, because an epoch uses every example once",
            f"steps_per_epoch={given}",
            "Give a tf.data.Dataset for shorter epochs",
        )
    return -(-num_examples // batch_size)


def check_initial_step(initial_step: int, num_steps: int | None) -> None:
    """Refuse to begin an epoch after its last step."""
    if num_steps is not None and initial_step >= num_steps:
        requirement = f"be less than the {num_steps} steps of an epoch"
        refuse("fit.initial_step", requirement, f"initial_step={initial_step}")


def _check_steps_per_execution(trainer: Trainer, num_steps: int) -> None:
    if num_steps % trainer.steps_per_execution:
        refuse(
            "compile.steps_per_execution",
            f"divide the {num_steps} steps of an epoch, so that no execution belongs to two epochs",
            f"steps_per_execution={trainer.steps_per_execution}",
            "Choose a divisor, or another batch size",
        )


def _minibatches(trainer: Trainer, arrays: arguments.Arrays, **options: Any) -> Dataset:
    """Make shuffled minibatches; on several machines the part of each worker, if all have the same data."""
    strategy = trainer.distribute_strategy
    make = functools.partial(data.minibatches, arrays if len(arrays) > 1 else arrays[0], **options)
    if not workers.several(strategy):
        return make()
    workers.check_same_everywhere(f"{type(trainer).__name__}.fit.x", strategy, *arrays, options)
    # Repeated without end, as `fit` counts the steps: otherwise the workers would agree on the end at every step.
    return workers.distributed(strategy, lambda share: make(share=share).repeat())
