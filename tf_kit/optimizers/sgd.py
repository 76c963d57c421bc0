"""Stochastic gradient descent: the update that all others of this wing refine."""

import keras
from keras import ops

from tf_kit.optimizers._optimizer import Optimizer


@keras.saving.register_keras_serializable(package="tf_kit")
class SGD(Optimizer):
    """Stochastic gradient descent: a step against the gradient estimate.

    The estimate decides the name: one example gives stochastic gradient descent, a few give minibatch
    gradient descent, all of them full-batch gradient descent; the update is the same. With a constant rate
    it hovers around the minimum; it converges under a rate that falls as `RobbinsMonro` does. In a narrow
    valley it is slow, which is what `Momentum` is for.

        θ ← θ − ε ĝ                                                      (1)

    where ε = learning_rate, ĝ = the gradient (the variable's shape).

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.01.
        **kwargs: what every Keras optimizer takes: `weight_decay`, `clipnorm`, `clipvalue`,
            `global_clipnorm`, `use_ema`, `gradient_accumulation_steps`, `loss_scale_factor`, `name`. And
            `jit_update`: True compiles the update of all weights into one kernel, for CPUs; the same numbers
            up to rounding.

    Raises:
        ValueError: `learning_rate` is neither a number of at least 0 nor a schedule.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizers.SGD(learning_rate=0.1).apply([2 * w], [w])        # the gradient of w₁² + w₂²
        >>> print(w.numpy().round(4))
        [ 0.8 -1.6]

    Convention: `keras.optimizers.SGD` holds the momentum methods too; here see `Momentum` and `Nesterov`.
    Reference: Robbins and Monro, 1951, A stochastic approximation method.
    """

    def __init__(self, learning_rate: float = 0.01, **kwargs):
        super().__init__(learning_rate, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        g = ops.cast(gradient, variable.dtype)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * g)  # (1)
