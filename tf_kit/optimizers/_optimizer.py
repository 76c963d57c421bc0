"""Base class of the optimizers: checked rates, wide slots, dense gradients, one form to read and one to run fast."""

import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import numpy as np
from keras import ops

from tf_kit import keras_internals
from tf_kit.checks import count, number, refuse
from tf_kit.typing import Tensor

LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule

# Arguments of every Keras optimizer that Keras takes unchecked: a negative limit would switch clipping off in silence.
_ARGUMENTS_OF_KERAS: dict[str, dict[str, Any]] = {
    "weight_decay": {"at_least": 0},
    "clipnorm": {"above": 0},
    "clipvalue": {"above": 0},
    "global_clipnorm": {"above": 0},
    "loss_scale_factor": {"above": 0},
    "ema_momentum": {"at_least": 0, "at_most": 1},
}
# Least values of whole numbers; 0 and None switch both off.
_COUNTS_OF_KERAS = {"gradient_accumulation_steps": 2, "ema_overwrite_frequency": 1}


class Optimizer(keras_internals.ChosenUpdateStep, keras.optimizers.Optimizer):
    """Keras optimizer whose formulas also hold for half-precision weights and for embeddings.

    A subclass defines `__init__`, `build`, `update_step` and `get_config`. It may define `fused_step` with the
    arguments of `update_step`: the same step by TensorFlow's fused kernels, which read and write the weights once
    instead of once per operation. A class or object with its own `update_step` needs its own `fused_step`, or none.

    Args:
        learning_rate: number of at least 0, or a schedule.
        fused: whether `fused_step` takes the step where it can: on TensorFlow, for float32 and float64 weights. It
            is equal to `update_step` up to rounding, under any strategy too. Defaults to True.
        jit_update: without effect, kept for configurations of earlier versions, which compiled the update by XLA: the
            fused step is faster. Defaults to False.
        **kwargs: arguments of every Keras optimizer.

    Raises:
        ValueError: `learning_rate`, given or assigned later, is neither a number of at least 0 nor a schedule;
            `weight_decay` is negative; a limit of clipping or `loss_scale_factor` is not above 0; `ema_momentum` is
            not in [0, 1]; `gradient_accumulation_steps` or `ema_overwrite_frequency` is not a whole number.
    """

    _in_graph = False  # whether a graph has been traced, which keeps the schedule that it found

    def __init__(
        self, learning_rate: LearningRate, fused: bool = True, jit_update: bool = False, **kwargs: Any
    ) -> None:
        if not callable(learning_rate):  # schedules are callable
            learning_rate = self._checked_rate(learning_rate)
        for name, interval in _ARGUMENTS_OF_KERAS.items():
            if kwargs.get(name) is not None:
                number(f"{type(self).__name__}.{name}", kwargs[name], **interval)
        for name, least in _COUNTS_OF_KERAS.items():
            if kwargs.get(name) not in (None, 0):
                kwargs[name] = count(f"{type(self).__name__}.{name}", kwargs[name], at_least=least)
        super().__init__(learning_rate, **kwargs)
        self.fused = bool(fused)
        self.jit_update = bool(jit_update)

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next update; what is assigned is checked like the argument.

        A schedule counts updates, where Keras counts minibatches: with `gradient_accumulation_steps=k` an update takes
        k of them, and the schedule would end k times too early. It reaches a model that has been trained already only
        when the model is compiled again.
        """
        schedule = keras_internals.schedule_of(self)
        return super().learning_rate if schedule is None else schedule(self.iterations)

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        if getattr(learning_rate, "shape", None) == () and not isinstance(learning_rate, keras.Variable):
            learning_rate = _value(learning_rate)
        if learning_rate is None or isinstance(learning_rate, str | int | float | np.number):
            learning_rate = self._checked_rate(learning_rate)
        if callable(learning_rate) and self._in_graph:
            warnings.warn(
                f"The schedule assigned to `{type(self).__name__}.learning_rate` has no effect on a model that has "
                "been trained already until `compile` is called again",
                stacklevel=2,
            )
        keras.optimizers.Optimizer.learning_rate.fset(self, learning_rate)

    def _checked_rate(self, learning_rate):
        remedy = "The update already has the minus sign; a schedule is allowed too"
        return number(f"{type(self).__name__}.learning_rate", learning_rate, at_least=0, remedy=remedy)

    def add_variable(
        self,
        shape: tuple[int, ...],
        initializer: str | keras.initializers.Initializer = "zeros",
        dtype: str | None = None,
        **kwargs: Any,
    ) -> keras.Variable:
        """Add a slot, in float32 if the weight is half precision.

        float16 cannot hold g⊙g, and bfloat16 loses (1−ρ)g⊙g. Keras's own averages and accumulators are made
        before `built` is set, and keep the dtype of the weight.
        """
        half = dtype is not None and keras.backend.standardize_dtype(dtype) in ("float16", "bfloat16")
        return super().add_variable(shape, initializer, "float32" if half and self.built else dtype, **kwargs)

    def apply(self, grads: list[Tensor], trainable_variables: list[keras.Variable] | None = None) -> None:
        """Update the variables, after summing the repeated rows in the gradient of an embedding.

        Clipping and squaring must see the sum, not the single rows.

        Raises:
            InputError: there are more or fewer gradients than variables, or a gradient has another shape than its
                variable, to which arithmetic would broadcast it.
        """
        dense = [ops.add(gradient, 0) if hasattr(gradient, "indices") else gradient for gradient in grads]
        if trainable_variables is not None:
            trainable_variables = list(trainable_variables)
            self._check_gradients(dense, trainable_variables)
        super().apply(dense, trainable_variables)

    def _check_gradients(self, gradients, variables):
        subject = f"{type(self).__name__}.apply.grads"
        if len(gradients) != len(variables):
            received = f"{len(gradients)} gradients for {len(variables)} variables"
            refuse(subject, "hold one gradient, or None, for each variable", received)
        for gradient, variable in zip(gradients, variables, strict=True):
            shape = getattr(gradient, "shape", None)
            if shape is None or getattr(shape, "rank", 0) is None:  # no gradient, or of an unknown shape
                continue
            given, wanted = tuple(shape), tuple(variable.shape)
            sides = zip(given, wanted, strict=False)
            if len(given) != len(wanted) or any(side not in (None, other) for side, other in sides):
                requirement = "have the shapes of the variables"
                refuse(subject, requirement, f"a gradient {given} for the variable {variable.path} {wanted}")

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """With `use_ema`, set each of some weights to its own average, as at the end of `fit`."""
        keras_internals.set_averages(self, var_list, super().finalize_variable_values)

    def chosen_step(self, gradient: Tensor, variable: Any, learning_rate: Any) -> Callable[..., None]:
        """Return `fused_step` if it gives the step of this variable, otherwise `update_step`.

        The kernels take weights and slots of one dtype, and half-precision weights have float32 slots; and one
        learning rate, where a schedule may give one per row.
        """
        # A tensor in a graph has no value yet.
        self._in_graph = self._in_graph or not hasattr(getattr(gradient, "values", gradient), "numpy")
        wide = keras.backend.standardize_dtype(variable.dtype) in ("float32", "float64")
        single = len(getattr(learning_rate, "shape", ())) == 0
        usable = self.fused and wide and single and not hasattr(gradient, "indices")
        return self.fused_step if usable and self._has_fused_form() else self.update_step

    def _has_fused_form(self):
        """Return whether `fused_step` was written for this `update_step`, which a subclass or the user may replace."""
        owner = next(each for each in type(self).__mro__ if "update_step" in vars(each))
        return "fused_step" in vars(owner) and "update_step" not in vars(self)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fused": self.fused, "jit_update": self.jit_update}


def _value(scalar):
    """Return the number in an array or tensor without axes; a tensor in a graph as it is."""
    return getattr(scalar, "numpy", lambda: scalar)() if ops.is_tensor(scalar) else scalar[()]
