"""Adam, and AdamW, which adds decoupled weight decay."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.optimizers import _kernels
from tf_kit.optimizers._optimizer import LearningRate, Optimizer
from tf_kit.typing import Tensor

_HIGHEST_BETA = 1 - 1e-7  # float32 rounds anything closer to 1 to 1, and (3) would divide by zero
_LOWEST_FUSED_BETA = (
    0.01  # below it the kernel's form of (2), r + (1 − β₂)(ĝ² − r), loses ĝ² next to a large r
)


@keras.saving.register_keras_serializable(package="tf_kit")
class Adam(Optimizer):
    """Adam: mean gradient divided by the root of the mean squared gradient, both corrected for their zero start.

    RMSProp with momentum and a correction of both moments. The usual first choice for deep nets, since one
    rate works for layers of different scale: the step of a parameter is about ε, however large its gradients.

        s ← β₁ s + (1 − β₁) ĝ                                            (1)
        r ← β₂ r + (1 − β₂) ĝ ⊙ ĝ                                        (2)
        ŝ = s / (1 − β₁ᵗ),   r̂ = r / (1 − β₂ᵗ)                           (3)
        θ ← θ − ε ŝ / (√r̂ + δ)                                           (4)

    where ε = learning_rate, β₁ = beta_1 and β₂ = beta_2 (the slide's ρ₁ and ρ₂), δ = epsilon, ĝ = the
    gradient, and t = 1, 2, … counts the updates; s and r have the variable's shape and start from zero.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.001.
        beta_1: β₁, the weight of the past in the first moment, in [0, 1 − 1e-7]. Defaults to 0.9.
        beta_2: β₂, the weight of the past in the second moment, in [0, 1 − 1e-7]. Defaults to 0.999. Above 0.99999
            the rounding of 1 − β₂ to float32 shows in the steps.
        epsilon: δ, which bounds the step where gradients are tiny; above 0. Defaults to 1e-8.
        **kwargs: arguments of every Keras optimizer, see `SGD`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizers.Adam(learning_rate=0.1).apply([keras.ops.array([3.0, -0.003])], [w])
        >>> print(w.numpy().round(4))                  # the first step is ε, whatever the scale of the gradient
        [ 0.9 -1.9]

    Convention: δ is added after the correction, as on the slide, in the paper's algorithm 1 and in PyTorch.
    `keras.optimizers.Adam` adds it before ("epsilon hat" of the paper's section 2): at t = 1 the same value
    has 1/√(1 − β₂) ≈ 32 times the effect.
    Slide: the algorithm is printed under the name "RMSProp with Nesterov", with ε = 0.0001 and ρ₂ = 0.9. The
    paper has 0.001 and 0.999, as here: with ρ₂ = 0.9 a rare large gradient is forgotten at once, and Adam can
    move away from the minimum.
    Reference: Kingma and Ba, 2015, Adam: a method for stochastic optimization, algorithm 1, arXiv:1412.6980.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        name = type(self).__name__
        self.beta_1 = number(f"{name}.beta_1", beta_1, at_least=0, at_most=_HIGHEST_BETA)
        self.beta_2 = number(f"{name}.beta_2", beta_2, at_least=0, at_most=_HIGHEST_BETA)
        self.epsilon = number(f"{name}.epsilon", epsilon, above=0)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._means = self.add_optimizer_variables(variables, "mean")
        self._squares = self.add_optimizer_variables(variables, "mean_square")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        index = self._get_variable_index(variable)
        s, r = self._means[index], self._squares[index]
        g = ops.cast(gradient, s.dtype)
        rate = ops.cast(learning_rate, s.dtype)
        t = ops.cast(self.iterations + 1, s.dtype)
        self.assign(s, self.beta_1 * s + (1 - self.beta_1) * g)  # (1)
        self.assign(r, self.beta_2 * r + (1 - self.beta_2) * g * g)  # (2)
        s_hat = s / (1 - ops.power(self.beta_1, t))  # (3)
        r_hat = r / (1 - ops.power(self.beta_2, t))  # (3)
        self.assign_sub(variable, rate * s_hat / (ops.sqrt(r_hat) + self.epsilon))  # (4)

    def fused_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        if self.beta_2 < _LOWEST_FUSED_BETA:
            return self.update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        s, r = self._means[index], self._squares[index]
        t = ops.cast(self.iterations + 1, s.dtype)
        powers = ops.power(self.beta_1, t), ops.power(self.beta_2, t)
        betas = self.beta_1, self.beta_2
        return _kernels.adam(variable, s, r, gradient, learning_rate, powers, betas, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="tf_kit")
class AdamW(Adam):
    """Adam with decoupled weight decay: the weights shrink separately from the step, not through the gradient.

    A penalty λ/2 ‖θ‖² in the loss would pass through (3) and (4) of `Adam`, where parameters with large
    gradients decay less. With decoupled decay all shrink at the same rate; pretraining mostly uses this form.

        θ ← θ − ε λ θ − ε ŝ / (√r̂ + δ)                                   (1)

    where ε = learning_rate, λ = weight_decay, and ŝ, r̂, δ are those of `Adam`.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.001.
        weight_decay: λ, at least 0. Defaults to 0.004, as in Keras.
        beta_1, beta_2, epsilon: as in `Adam`.
        **kwargs: arguments of every Keras optimizer, see `SGD`. To exclude the biases, call
            `exclude_from_weight_decay(var_names=["bias"])` before training, as in Keras.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizers.AdamW(0.1, weight_decay=0.5).apply([keras.ops.array([0.0, 0.0])], [w])
        >>> print(w.numpy().round(4))                  # no gradient: the weights times 1 − 0.1·0.5
        [ 0.95 -1.9 ]

    Convention: the decay is multiplied by the learning rate, as in Keras and PyTorch; the paper multiplies it
    by the factor of the schedule only.
    Reference: Loshchilov and Hutter, 2019, Decoupled weight decay regularization, algorithm 2,
    arXiv:1711.05101.
    """

    def __init__(
        self, learning_rate: LearningRate = 0.001, weight_decay: float = 0.004, **kwargs: Any
    ) -> None:
        remedy = "0 is Adam without decay"
        weight_decay = number("AdamW.weight_decay", weight_decay, at_least=0, remedy=remedy)
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
