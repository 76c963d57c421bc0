"""Checks of a compiled trainer before its first step: its loss, metrics, optimizer and replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf
from keras import ops

from tf_kit import keras_internals
from tf_kit.checks import refuse
from tf_kit.training import workers
from tf_kit.typing import Tensor

if TYPE_CHECKING:
    from tf_kit.training.trainer import Trainer


def check_loss(trainer: Trainer) -> None:
    """Refuse a loss given to `compile` if the trainer has its own."""
    loss = keras_internals.given_loss(trainer)
    if loss is not None and not trainer.takes_loss:
        refuse(
            "compile.loss",
            f"be left out, because {type(trainer).__name__} has its own loss",
            f"loss={loss!r}",
            "compile(optimizer) is enough",
        )


def check_values(trainer: Trainer, values: dict[str, Tensor]) -> None:
    """Refuse values of another shape than (n,): multiplied by weights (n,) they would become (n, n)."""
    for name, value in values.items():
        if len(value.shape) != 1:
            requirement, remedy = "return arrays (n,)", "Take the mean over the other axes"
            received = f"{name!r} of shape {tuple(value.shape)}"
            refuse(f"{type(trainer).__name__}.per_example", requirement, received, remedy)


def check_names(trainer: Trainer, values: dict[str, Tensor], names: list[str]) -> None:
    """Refuse a step that returns other names than the evaluation of the first example did."""
    if set(values) != set(names):
        requirement = "return the same names in training and in evaluation"
        received = f"{', '.join(values)} in a step, {', '.join(names)} in the evaluation of the first example"
        remedy = "Return zeros where a value is not measured"
        refuse(f"{type(trainer).__name__}.per_example", requirement, received, remedy)


def build_compiled_metrics(trainer: Trainer, metrics: Any, names: list[str], y: Any, outputs: Any) -> None:
    """Build the metrics given to `compile`; refuse them where there is nothing that they could compare.

    Args:
        trainer: compiled trainer.
        metrics: its compiled metrics, or None.
        names: names of the values that are reported without them.
        y, outputs: targets and outputs of a few examples, or None.
    """
    if metrics is None or metrics.built:
        return
    if outputs is None or y is None:
        refuse(
            "compile.metrics",
            f"be left out, because {type(trainer).__name__} has no outputs to compare with targets",
            "metrics",
            "The history has " + ", ".join(names),
        )
    metrics.build(ops.convert_to_tensor(y), outputs)
    _refuse_names("compile.metrics", names, [each.name for each in metrics.metrics])


def check_tracked_metrics(trainer: Trainer, names: list[str]) -> None:
    """Refuse metrics of layers that would replace other values in the history, or see one replica's examples only."""
    tracked = [each.name for each in keras_internals.tracked_metrics(trainer)]
    if tracked and trainer.distribute_strategy.num_replicas_in_sync > 1:
        requirement = "be left out where several replicas train, because each sees its own examples only"
        received = f"the metric {tracked[0]!r} of a layer"
        refuse("metrics", requirement, received, "Return its values for each example in `per_example`")
    compiled = keras_internals.compiled_metrics(trainer) if trainer.compiled else None
    given = [] if compiled is None or not compiled.built else [each.name for each in compiled.metrics]
    _refuse_names("metrics", [*names, *given], tracked)


def _refuse_names(subject, taken, names):
    for name in names:
        if name in taken:
            requirement = f"have other names than {', '.join(taken)}"
            refuse(subject, requirement, f"a metric named {name!r}", "Give it another `name`")


def build_optimizer(trainer: Trainer) -> None:
    """Create the slots of all trained variables; refuse an optimizer that was built for others."""
    if not trainer.optimizer.built:
        trainer.optimizer.build(trainer.trained_variables)
        return
    known = {id(each) for each in keras_internals.optimized_variables(trainer.inner_optimizer)}
    unknown = [each.path for each in trainer.trained_variables if id(each) not in known]
    if unknown:
        refuse(
            "compile.optimizer",
            "know all variables that are trained, as after compile with a new optimizer",
            f"an optimizer without state for {len(unknown)} of them, such as {unknown[0]}",
            "Call compile again after layers have been unfrozen; give each model its own optimizer",
        )


def check_scope(trainer: Trainer) -> None:
    """Refuse to train in the scope of another strategy than the one that the trainer was made in."""
    made_in = keras_internals.strategy_at_creation(trainer)
    if tf.distribute.has_strategy() and tf.distribute.get_strategy() is not made_in:
        refuse(
            type(trainer).__name__,
            "be trained in the scope of the strategy that it was made in, or of none",
            f"the scope of a {type(tf.distribute.get_strategy()).__name__}",
            "Make and compile the model in this scope",
        )


def check_replicas(trainer: Trainer) -> None:
    """Refuse options of `compile` and the optimizer that fail, or do something else, under a strategy."""
    has_replicas = trainer.distribute_strategy.num_replicas_in_sync > 1
    if not trainer.compiled or not (has_replicas or keras_internals.strategy_at_creation(trainer)):
        return
    every = trainer.inner_optimizer.ema_overwrite_frequency
    if every is not None:
        refuse(
            "optimizer.ema_overwrite_frequency",
            "be None under a strategy, because Keras fails there otherwise",
            f"ema_overwrite_frequency={every}",
            "Use use_ema with keras.callbacks.SwapEMAWeights, which copies the averages into the model",
        )
    if not has_replicas:
        return
    if workers.several(trainer.distribute_strategy):
        several = {
            "steps_per_execution": (trainer.steps_per_execution, 1),
            "gradient_accumulation_steps": (trainer.inner_optimizer.gradient_accumulation_steps, None),
        }
        for name, (value, needed) in several.items():
            if value != needed:
                remedy = "One machine with several replicas supports it"
                refuse(name, f"be {needed} on several machines", f"{name}={value}", remedy)
    if trainer.jit_compile:
        requirement = "be False where several replicas train, whose steps XLA cannot compile"
        refuse("compile.jit_compile", requirement, "jit_compile=True")
