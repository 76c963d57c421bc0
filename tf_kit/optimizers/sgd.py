"""Stochastic gradient descent: the update that all other optimizers refine."""

from typing import Any

import keras
from keras import ops

from tf_kit.optimizers import _kernels
from tf_kit.optimizers._optimizer import LearningRate, Optimizer
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class SGD(Optimizer):
    """Stochastic gradient descent: a step against the gradient estimate.

    The number of examples in the estimate decides the name: one gives stochastic gradient descent, several
    give minibatch gradient descent, all give full-batch gradient descent; the update is the same. With a
    constant rate it hovers around the minimum; with a falling rate such as `RobbinsMonro` it converges. It is
    slow in a narrow valley; `Momentum` is faster there.

        θ ← θ − ε ĝ                                                      (1)

    where ε = learning_rate and ĝ = the gradient, with the variable's shape.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.01.
        **kwargs: arguments of every Keras optimizer: `weight_decay`, `clipnorm`, `clipvalue`,
            `global_clipnorm`, `use_ema`, `gradient_accumulation_steps`, `loss_scale_factor`, `name`; and of
            this kit `fused`, where False takes each step by the formulas of `update_step` instead of by
            TensorFlow's fused kernels, with the same numbers up to rounding. With `gradient_accumulation_steps`,
            schedules count updates; `use_ema` averages after each minibatch, as in Keras.

    Raises:
        ValueError: `learning_rate` is neither a number of at least 0 nor a schedule.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizers.SGD(learning_rate=0.1).apply([2 * w], [w])        # the gradient of w₁² + w₂²
        >>> print(w.numpy().round(4))
        [ 0.8 -1.6]

    Convention: `keras.optimizers.SGD` includes the momentum methods; here they are `Momentum` and `Nesterov`.
    Reference: Robbins and Monro, 1951, A stochastic approximation method, doi:10.1214/aoms/1177729586.
    """

    def __init__(self, learning_rate: LearningRate = 0.01, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        g = ops.cast(gradient, variable.dtype)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * g)  # (1)

    def fused_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        _kernels.gradient_descent(variable, gradient, learning_rate)
