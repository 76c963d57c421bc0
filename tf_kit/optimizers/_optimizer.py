"""What the optimizers of this wing do alike, on top of what every Keras optimizer does."""

import keras
from keras import ops

from tf_kit._checks import number


class Optimizer(keras.optimizers.Optimizer):
    """A Keras optimizer whose formulas hold for half-precision weights and for embeddings too.

    A subclass is `__init__`, `build`, `update_step` and `get_config`, nothing else.
    """

    def __init__(self, learning_rate, **kwargs):
        if not callable(learning_rate):  # schedules are callable
            remedy = "The update already carries the minus sign; a schedule may be given too"
            subject = f"{type(self).__name__}.learning_rate"
            learning_rate = number(subject, learning_rate, at_least=0, remedy=remedy)
        super().__init__(learning_rate, **kwargs)

    def add_variable(self, shape, initializer="zeros", dtype=None, **kwargs):
        """The slots of half-precision weights are float32: float16 has no g⊙g, bfloat16 no (1−ρ)g⊙g.

        Keras's own averages and accumulators are made before `built` is set, and keep the weight's dtype.
        """
        half = dtype is not None and keras.backend.standardize_dtype(dtype) in ("float16", "bfloat16")
        return super().add_variable(shape, initializer, "float32" if half and self.built else dtype, **kwargs)

    def apply(self, grads, trainable_variables=None):
        """An embedding's gradient is a list of rows, some twice: their sum is what is clipped and squared."""
        dense = [ops.add(gradient, 0) if hasattr(gradient, "indices") else gradient for gradient in grads]
        super().apply(dense, trainable_variables)
