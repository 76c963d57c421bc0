"""What the optimizers of this wing do alike, on top of what every Keras optimizer does."""

import keras
from keras import ops

from tf_kit._checks import number


class Optimizer(keras.optimizers.Optimizer):
    """A Keras optimizer whose formulas hold for half-precision weights and for embeddings too.

    A subclass is `__init__`, `build`, `update_step` and `get_config`, nothing else.

    Args:
        learning_rate: a number of at least 0, or a schedule.
        jit_update: compile clipping, decay, update and averages of all weights into one kernel, at the first
            step. The same numbers up to rounding, sooner where an elementwise update is a large part of the
            step: many weights, few examples a batch, a CPU. (`LARS` gets slower: its norms do not fuse.) No
            effect under a distribution strategy or on another backend than TensorFlow. Defaults to False.
        **kwargs: what every Keras optimizer takes.
    """

    def __init__(self, learning_rate, jit_update=False, **kwargs):
        if not callable(learning_rate):  # schedules are callable
            remedy = "The update already carries the minus sign; a schedule may be given too"
            subject = f"{type(self).__name__}.learning_rate"
            learning_rate = number(subject, learning_rate, at_least=0, remedy=remedy)
        super().__init__(learning_rate, **kwargs)
        self.jit_update = bool(jit_update)
        self._compiled_apply = None

    def add_variable(self, shape, initializer="zeros", dtype=None, **kwargs):
        """The slots of half-precision weights are float32: float16 has no g⊙g, bfloat16 no (1−ρ)g⊙g.

        Keras's own averages and accumulators are made before `built` is set, and keep the weight's dtype.
        """
        half = dtype is not None and keras.backend.standardize_dtype(dtype) in ("float16", "bfloat16")
        return super().add_variable(shape, initializer, "float32" if half and self.built else dtype, **kwargs)

    def apply(self, grads, trainable_variables=None):
        """An embedding's gradient is a list of rows, some twice: their sum is what is clipped and squared."""
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
            apply = super().apply
            self._compiled_apply = _compiled.compile_apply(
                lambda gradients, indices: apply(gradients, [self._trainable_variables[i] for i in indices])
            )
        if variables is None:
            variables = self._trainable_variables
        self._compiled_apply(gradients, tuple(self._get_variable_index(variable) for variable in variables))

    def get_config(self):
        return {**super().get_config(), "jit_update": self.jit_update}
