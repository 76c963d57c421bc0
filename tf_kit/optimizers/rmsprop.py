"""RMSProp, and RMSProp with Nesterov momentum."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.optimizers import _kernels
from tf_kit.optimizers._optimizer import LearningRate, Optimizer
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class RMSProp(Optimizer):
    """RMSProp: each parameter's step is divided by the root of the moving average of its squared gradients.

    `AdaGrad` shrinks the rate by all past gradients. RMSProp forgets those older than about 1/(1 − ρ) steps, so
    its steps grow again once the gradients become small, as on the floor of a narrow valley.

        r ← ρ r + (1 − ρ) ĝ ⊙ ĝ                                          (1)
        θ ← θ − ε / (δ + √r) ⊙ ĝ                                         (2)

    where ε = learning_rate, ρ = rho, δ = epsilon, ĝ = the gradient, and r has the variable's shape and starts
    from zero. There is no correction for that start: the first step is ε/√(1 − ρ), not ε.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.001.
        rho: ρ, the weight of the past in the average, in [0, 1). Defaults to 0.9.
        epsilon: δ, which bounds the step where gradients are tiny; above 0. Defaults to 1e-6.
        **kwargs: arguments of every Keras optimizer, see `SGD`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizers.RMSProp(learning_rate=0.1, rho=0.75).apply([2 * w], [w])      # both move by 0.1/√0.25
        >>> print(w.numpy().round(4))
        [ 0.8 -1.8]

    Convention: epsilon is outside the root, as on the slide and in PyTorch; `keras.optimizers.RMSprop` and
    Goodfellow et al. put it inside.
    Slide: "an exponentially decaying average of the gradient" must read: of the squared gradient, as in Algorithm 5.
    An average of the gradient itself has no root where it is negative.
    Reference: Tieleman and Hinton, 2012, Lecture 6.5, rmsprop; Goodfellow, Bengio, Courville, 2016, Deep
    Learning, algorithm 8.5.
    """

    def __init__(
        self, learning_rate: LearningRate = 0.001, rho: float = 0.9, epsilon: float = 1e-6, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.rho = number("RMSProp.rho", rho, at_least=0, below=1)
        self.epsilon = number("RMSProp.epsilon", epsilon, above=0)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._averages = self.add_optimizer_variables(variables, "average_square")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        r = self._averages[self._get_variable_index(variable)]
        g = ops.cast(gradient, r.dtype)
        rate = ops.cast(learning_rate, r.dtype)
        self.assign(r, self.rho * r + (1 - self.rho) * g * g)  # (1)
        self.assign_sub(variable, rate / (self.epsilon + ops.sqrt(r)) * g)  # (2)

    def fused_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        r = self._averages[self._get_variable_index(variable)]
        g, rate = _scaled(gradient, ops.cast(learning_rate, r.dtype), self.rho, r.dtype)
        self.assign(r, self.rho * r)
        _kernels.adagrad(variable, r, g, rate, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="tf_kit")
class RMSPropNesterov(Optimizer):
    """RMSProp with Nesterov momentum: collect the steps of RMSProp in a velocity, with the gradient taken ahead.

    For problems that are both badly scaled and noisy. Unlike in `Adam`, there is no correction for the zero
    start, and the rate is part of the velocity, so a schedule acts on new gradients only.

        r ← ρ r + (1 − ρ) ĝ ⊙ ĝ,   ĝ = ∇L(θ + α v)                       (1)
        v ← α v − ε / (δ + √r) ⊙ ĝ                                       (2)
        θ ← θ + v                                                        (3)

    As in `Nesterov`, **the weights of the model hold the look-ahead point φ = θ + α v**, not θ, because Keras
    takes the gradient at the weights. So (3) becomes, without approximation,

        φ ← φ + α v − ε / (δ + √r) ⊙ ĝ                                   (4)

    where ε = learning_rate, ρ = rho, α = momentum, δ = epsilon; r and v have the variable's shape and start
    from zero; v in (4) is the one after (2). The book's θ is φ − α v.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.001.
        rho: ρ, the weight of the past in the average of (1), in [0, 1). Defaults to 0.9.
        momentum: α, the weight of the past in the velocity, in [0, 1). Defaults to 0.9.
        epsilon: δ, which bounds the step where gradients are tiny; above 0. Defaults to 1e-6.
        **kwargs: arguments of every Keras optimizer, see `SGD`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizer = optimizers.RMSPropNesterov(learning_rate=0.1, rho=0.75, momentum=0.5)
        >>> optimizer.apply([2 * w], [w])              # v = ∓0.1/√0.25, plus half of it
        >>> print(w.numpy().round(4))
        [ 0.7 -1.7]

    Convention: the book divides by √r, without δ; here δ is where the slide's RMSProp has it.
    `keras.optimizers.RMSprop(momentum=α)` has no look-ahead.
    Slide: "Algorithm 7 RMSProp with Nesterov" prints Adam, with its corrections of the moments and without a
    look-ahead. This class is the algorithm of that name; `Adam` is the one printed.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, algorithm 8.6.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.rho = number("RMSPropNesterov.rho", rho, at_least=0, below=1)
        self.momentum = number("RMSPropNesterov.momentum", momentum, at_least=0, below=1)
        self.epsilon = number("RMSPropNesterov.epsilon", epsilon, above=0)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._averages = self.add_optimizer_variables(variables, "average_square")
        self._velocities = self.add_optimizer_variables(variables, "velocity")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        index = self._get_variable_index(variable)
        r, v = self._averages[index], self._velocities[index]
        g = ops.cast(gradient, r.dtype)
        rate = ops.cast(learning_rate, r.dtype)
        self.assign(r, self.rho * r + (1 - self.rho) * g * g)  # (1)
        step = rate / (self.epsilon + ops.sqrt(r)) * g
        self.assign(v, self.momentum * v - step)  # (2)
        self.assign_add(variable, self.momentum * v - step)  # (4)

    def fused_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        index = self._get_variable_index(variable)
        r, v = self._averages[index], self._velocities[index]
        g, rate = _scaled(gradient, ops.cast(learning_rate, r.dtype), self.rho, r.dtype)
        self.assign(r, self.rho * r)
        self.assign(v, self.momentum * v)
        _kernels.adagrad(v, r, g, rate, self.epsilon)  # (1), (2)
        _kernels.gradient_descent(variable, v, -self.momentum)
        _kernels.adagrad(variable, r, g, rate, self.epsilon, accumulate=False)  # (4)

    def get_config(self) -> dict[str, Any]:
        own = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


def _scaled(gradient, rate, rho, dtype):
    """Return √(1 − ρ) ĝ and ε / √(1 − ρ), with which the step of AdaGrad from ρ r is the one of RMSProp."""
    root = (1 - rho) ** 0.5
    return root * ops.cast(gradient, dtype), rate / root
