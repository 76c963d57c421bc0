"""Momentum, in the two forms of the lecture, and Nesterov momentum."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import choice, number
from tf_kit.optimizers import _kernels
from tf_kit.optimizers._optimizer import LearningRate, Optimizer
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class Momentum(Optimizer):
    """Momentum: repeat the last step, corrected by the gradient.

    Plain gradient descent bounces between the walls of a narrow valley and creeps along its floor. With
    momentum, steps that keep their direction add up and steps that change sign cancel. The two forms are those
    of the two slides:

        form="velocity":   v ← α v − ε ĝ                                 (1)
                           θ ← θ + v                                     (2)

        form="average":    v ← α v − (1 − α) ĝ                           (3)
                           θ ← θ + ε v                                   (4)

    where ε = learning_rate, α = momentum (the slide's λ in (3)), ĝ = the gradient, and v = the velocity, zero
    at first, with the variable's shape. In (3) v is the moving average of −ĝ.

    With a constant rate both take the same path if and only if the rate of (1) is (1 − α) times that of (4):
    at α = 0.9, `form="average"` needs ten times the rate. With a schedule the paths differ: (1) keeps each past
    gradient at the rate of its step, (4) applies the current rate to all of them.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.01.
        momentum: α, the weight of the past in the velocity, in [0, 1). Defaults to 0.9.
        form: "velocity" for (1) and (2), "average" for (3) and (4). Defaults to "velocity".
        **kwargs: arguments of every Keras optimizer, see `SGD`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizer = optimizers.Momentum(learning_rate=0.1, momentum=0.5)
        >>> optimizer.apply([2 * w], [w])              # v = −0.2, 0.4
        >>> optimizer.apply([2 * w], [w])              # v = 0.5·(−0.2) − 0.1·1.6, …
        >>> print(w.numpy().round(4))
        [ 0.54 -1.08]

    Convention: "velocity" is `keras.optimizers.SGD(momentum=α)`. PyTorch's SGD is neither: v ← α v + ĝ and
    θ ← θ − ε v, which is (3) and (4) at the rate ε/(1 − α).
    Slide: the lecture prints (1) and (3) under one name, with one letter for the rate. They differ: at the
    same rate (3) is 1/(1 − α) times slower, and no factor makes them equal while the rate changes.
    Reference: Polyak, 1964, Some methods of speeding up the convergence of iteration methods,
    doi:10.1016/0041-5553(64)90137-5.
    """

    def __init__(
        self, learning_rate: LearningRate = 0.01, momentum: float = 0.9, form: str = "velocity", **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.momentum = number("Momentum.momentum", momentum, at_least=0, below=1)
        self.form = choice("Momentum.form", form, ("velocity", "average"))

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        v = self._velocities[self._get_variable_index(variable)]
        g = ops.cast(gradient, v.dtype)
        rate = ops.cast(learning_rate, v.dtype)
        if self.form == "velocity":
            self.assign(v, self.momentum * v - rate * g)  # (1)
            self.assign_add(variable, v)  # (2)
        else:
            self.assign(v, self.momentum * v - (1 - self.momentum) * g)  # (3)
            self.assign_add(variable, rate * v)  # (4)

    def fused_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        v = self._velocities[self._get_variable_index(variable)]
        if self.form == "velocity":
            _kernels.momentum(variable, v, gradient, learning_rate, self.momentum)
        else:
            g = ops.cast(gradient, v.dtype)
            _kernels.heavy_ball(variable, v, (self.momentum - 1) * g, -learning_rate, self.momentum)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "form": self.form}


@keras.saving.register_keras_serializable(package="tf_kit")
class Nesterov(Optimizer):
    """Nesterov momentum: take the gradient at the point to which the velocity leads.

    The slide takes the gradient at θ + α v, a point that the model has not evaluated yet, then moves θ:

        v ← α v − ε ∇L(θ + α v)                                          (1)
        θ ← θ + v                                                        (2)

    A Keras optimizer receives the gradient at the weights of the model. So **the weights of the model hold the
    look-ahead point φ = θ + α v**, not θ, and (2) becomes, without approximation and for any schedule,

        φ ← φ + α v − ε ĝ                                                (3)

    where ε = learning_rate, α = momentum, ĝ = ∇L(φ), and v = the velocity after (1), zero at first, with the
    variable's shape. The slide's θ is φ − α v at any time; both reach the same minimum, where v = 0.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.01.
        momentum: α, the weight of the past in the velocity, in [0, 1). Defaults to 0.9.
        **kwargs: arguments of every Keras optimizer, see `SGD`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizers.Nesterov(learning_rate=0.1, momentum=0.5).apply([2 * w], [w])
        >>> print(w.numpy().round(4))                  # θ = 0.8, −1.6, plus half of v = −0.2, 0.4
        [ 0.7 -1.4]

    Convention: `keras.optimizers.SGD(momentum=α, nesterov=True)` holds φ as well.
    Reference: Nesterov, 1983, A method of solving a convex programming problem with convergence rate O(1/k²);
    Sutskever, Martens, Dahl, Hinton, 2013, On the importance of initialization and momentum in deep learning.
    """

    def __init__(self, learning_rate: LearningRate = 0.01, momentum: float = 0.9, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.momentum = number("Nesterov.momentum", momentum, at_least=0, below=1)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        v = self._velocities[self._get_variable_index(variable)]
        step = ops.cast(learning_rate, v.dtype) * ops.cast(gradient, v.dtype)
        self.assign(v, self.momentum * v - step)  # (1)
        self.assign_add(variable, self.momentum * v - step)  # (3)

    def fused_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        v = self._velocities[self._get_variable_index(variable)]
        _kernels.momentum(variable, v, gradient, learning_rate, self.momentum, nesterov=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum}
