"""Adam, and AdamW, which decays the weights beside it."""

import keras
from keras import ops

from tf_kit._checks import number
from tf_kit.optimizers._optimizer import Optimizer


@keras.saving.register_keras_serializable(package="tf_kit")
class Adam(Optimizer):
    """Adam: the mean gradient over the root of the mean squared gradient, both freed of their zero start.

    RMSProp with momentum and a correction of both moments. The usual first choice for deep nets, since one
    rate serves layers of different scale: a step is about ε long however large the gradients are.

        s ← β₁ s + (1 − β₁) ĝ                                            (1)
        r ← β₂ r + (1 − β₂) ĝ ⊙ ĝ                                        (2)
        ŝ = s / (1 − β₁ᵗ),   r̂ = r / (1 − β₂ᵗ)                           (3)
        θ ← θ − ε ŝ / (√r̂ + δ)                                           (4)

    where ε = learning_rate, β₁ = beta_1 and β₂ = beta_2 (the slide's ρ₁ and ρ₂), δ = epsilon, t = 1, 2, …
    counts the updates; s and r have the variable's shape and start from zero.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.001.
        beta_1: β₁, in [0, 1). Defaults to 0.9.
        beta_2: β₂, in [0, 1). Defaults to 0.999.
        epsilon: δ, above 0. Defaults to 1e-8.
        **kwargs: what every Keras optimizer takes, see `SGD`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizers.Adam(learning_rate=0.1).apply([keras.ops.array([3.0, -0.003])], [w])
        >>> print(w.numpy().round(4))                  # the first step is ε, whatever the gradient's scale
        [ 0.9 -1.9]

    Convention: δ is added after the correction, as on the slide, in the paper's algorithm 1 and in PyTorch.
    `keras.optimizers.Adam` adds it before ("epsilon hat" of the paper's section 2), which at t = 1 weighs
    1/√(1 − β₂) ≈ 32 times as much.
    Slide: the algorithm stands under the name "RMSProp with Nesterov" and sets ε = 0.0001 and ρ₂ = 0.9. The
    paper has 0.001 and 0.999, as here: with ρ₂ = 0.9 a rare large gradient is forgotten at once, and Adam can
    walk away from the minimum.
    Reference: Kingma and Ba, 2015, Adam: a method for stochastic optimization, algorithm 1.
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        name = type(self).__name__
        self.beta_1 = number(f"{name}.beta_1", beta_1, at_least=0, below=1)
        self.beta_2 = number(f"{name}.beta_2", beta_2, at_least=0, below=1)
        self.epsilon = number(f"{name}.epsilon", epsilon, above=0)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._means = self.add_optimizer_variables(variables, "mean")
        self._squares = self.add_optimizer_variables(variables, "mean_square")

    def update_step(self, gradient, variable, learning_rate):
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

    def get_config(self):
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="tf_kit")
class AdamW(Adam):
    """Adam with decoupled weight decay: the weights shrink beside the step, not through the gradient.

    A penalty λ/2 ‖θ‖² in the loss would pass through (3) and (4) of `Adam`, where parameters with large
    gradients are decayed less. Decoupled, all shrink at the same rate; pretraining mostly uses this form.

        θ ← θ − ε λ θ − ε ŝ / (√r̂ + δ)                                   (1)

    where ε = learning_rate, λ = weight_decay, and ŝ, r̂, δ are those of `Adam`.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.001.
        weight_decay: λ, at least 0. Defaults to 0.004, as in Keras.
        beta_1, beta_2, epsilon: as in `Adam`.
        **kwargs: what every Keras optimizer takes, see `SGD`. Biases are spared by calling
            `exclude_from_weight_decay(var_names=["bias"])` before training, as in Keras.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizers.AdamW(0.1, weight_decay=0.5).apply([keras.ops.array([0.0, 0.0])], [w])
        >>> print(w.numpy().round(4))                  # no gradient: 1 − 0.1·0.5 of the weights remains
        [ 0.95 -1.9 ]

    Convention: the decay is multiplied by the rate, as in Keras and PyTorch; the paper multiplies it by the
    schedule's factor only.
    Reference: Loshchilov and Hutter, 2019, Decoupled weight decay regularization, algorithm 2.
    """

    def __init__(self, learning_rate: float = 0.001, weight_decay: float = 0.004, **kwargs):
        remedy = "0 is Adam without decay"
        weight_decay = number("AdamW.weight_decay", weight_decay, at_least=0, remedy=remedy)
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
