"""Base class of the optimizers: checked rates, wide slots, dense gradients, an optional compiled update."""

from typing import Any, TypeAlias

import keras
from keras import ops

from tf_kit import keras_internals
from tf_kit.checks import number
from tf_kit.typing import Tensor

LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


class Optimizer(keras.optimizers.Optimizer):
    """Keras optimizer whose formulas also hold for half-precision weights and for embeddings.

    A subclass defines `__init__`, `build`, `update_step` and `get_config`, and nothing else.

    Args:
        learning_rate: number of at least 0, or a schedule.
        jit_update: whether to compile clipping, decay, update and averages of all weights into one kernel, at
            the first step. Gives the same numbers up to rounding. Faster where the elementwise update is a
            large part of the step: many weights, few examples per batch, a CPU. (`LARS` gets slower: its norms
            do not fuse.) No effect under a distribution strategy or on a backend other than TensorFlow.
            Defaults to False.
        **kwargs: arguments of every Keras optimizer.

    Raises:
        ValueError: `learning_rate` is neither a number of at least 0 nor a schedule.
    """

    def __init__(self, learning_rate: LearningRate, jit_update: bool = False, **kwargs: Any) -> None:
        if not callable(learning_rate):  # schedules are callable
            remedy = "The update already has the minus sign; a schedule is allowed too"
            subject = f"{type(self).__name__}.learning_rate"
            learning_rate = number(subject, learning_rate, at_least=0, remedy=remedy)
        super().__init__(learning_rate, **kwargs)
        self.jit_update = bool(jit_update)
        self._compiled_apply = None

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
        """
        dense = [ops.add(gradient, 0) if hasattr(gradient, "indices") else gradient for gradient in grads]
        if self.jit_update and keras.backend.backend() == "tensorflow":
            self._apply_compiled(dense, trainable_variables)
        else:
            super().apply(dense, trainable_variables)

    def _apply_compiled(self, gradients, variables):
        from tf_kit.optimizers import _compiled

        if _compiled.is_distributed():
            super().apply(gradients, variables)
            return
        if not self.built:
            self.build(list(variables))
        if self._compiled_apply is None:
            apply, optimized = super().apply, keras_internals.optimized_variables(self)
            self._compiled_apply = _compiled.compile_apply(
                lambda gradients, indices: apply(gradients, [optimized[i] for i in indices])
            )
        if variables is None:
            variables = keras_internals.optimized_variables(self)
        self._compiled_apply(gradients, tuple(self._get_variable_index(variable) for variable in variables))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "jit_update": self.jit_update}
