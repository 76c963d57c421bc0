"""LARS: momentum with one learning rate per layer, from the norms of its weights and gradient."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.keras_internals import is_matrix
from tf_kit.optimizers import _kernels
from tf_kit.optimizers._optimizer import LearningRate, Optimizer
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class LARS(Optimizer):
    """Layer-wise adaptive rate scaling: each layer moves by the same fraction of its norm.

    For large minibatches (thousands of examples, as in SimCLR and BYOL), where a common rate is too large for
    layers whose gradient is large compared with their weights. For each variable of two or more axes

        λ = η ‖w‖ / (‖ĝ‖ + β ‖w‖)                                        (1)
        v ← α v + ε λ (ĝ + β w)                                          (2)
        w ← w − v                                                        (3)

    where ε = learning_rate, η = trust_coefficient, α = momentum, β = l2, the norms run over all of the
    variable's entries, and v has its shape and starts from zero. Biases and the γ and β of batch norm have λ = 1
    and β = 0, which is plain momentum: all variables of one axis or none, and the biases of attention, which have
    a second axis for the heads. λ is also 1 where (1) would be 0 or 0/0.

    Args:
        learning_rate: ε, at least 0, or a schedule; a warmup is usual. Defaults to 0.3, the value of SimCLR
            for 256 examples per minibatch, where it grows in proportion to them.
        momentum: α, the weight of the past in the velocity, in [0, 1). Defaults to 0.9.
        trust_coefficient: η, the fraction of its norm by which a layer moves at ε = 1; above 0. Defaults to
            0.001.
        l2: β, at least 0: the weight of the penalty β/2 ‖w‖², whose gradient is added here. Defaults to 0.0005.
        exclude_1d: whether variables of one axis or none, and biases of any shape, get plain momentum. Defaults to
            True.
        **kwargs: arguments of every Keras optimizer, see `SGD`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([[3.0, 4.0]])           # ‖w‖ = 5
        >>> optimizer = optimizers.LARS(learning_rate=1.0, trust_coefficient=0.1, l2=0.0)
        >>> optimizer.apply([keras.ops.array([[0.0, 200.0]])], [w])
        >>> print(w.numpy().round(4))                  # a step of 0.1·5, whatever the norm of the gradient
        [[3.  3.5]]

    Convention: the paper calls β "weight decay"; it passes through the gradient and the velocity, so it is
    named `l2` here. The `weight_decay` of `**kwargs` is decoupled, as in every Keras optimizer, and applies to
    all variables.
    Reference: You, Gitman, Ginsburg, 2017, Large batch training of convolutional networks, algorithm 1,
    arXiv:1708.03888; for the rate: Chen et al., 2020, A simple framework for contrastive learning of visual
    representations, arXiv:2002.05709; for the exclusions: Grill et al., 2020, Bootstrap your own latent,
    implementation details, arXiv:2006.07733.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.3,
        momentum: float = 0.9,
        trust_coefficient: float = 0.001,
        l2: float = 0.0005,
        exclude_1d: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.momentum = number("LARS.momentum", momentum, at_least=0, below=1)
        self.trust_coefficient = number("LARS.trust_coefficient", trust_coefficient, above=0)
        self.l2 = number("LARS.l2", l2, at_least=0)
        self.exclude_1d = bool(exclude_1d)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        self._has_own_rate = [not self.exclude_1d or is_matrix(variable) for variable in variables]

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        index = self._get_variable_index(variable)
        v = self._velocities[index]
        g = ops.cast(gradient, v.dtype)
        rate = ops.cast(learning_rate, v.dtype)
        if self._has_own_rate[index]:
            w = ops.cast(variable, v.dtype)
            trust = self._trust(ops.sqrt(ops.sum(w * w)), ops.sqrt(ops.sum(g * g)))
            g = trust * (g + self.l2 * w)
        self.assign(v, self.momentum * v + rate * g)  # (2)
        self.assign_sub(variable, v)  # (3)

    def _trust(self, weight_norm, gradient_norm):
        scale = gradient_norm + self.l2 * weight_norm
        usable = (weight_norm > 0) & (scale > 0)
        trust = self.trust_coefficient * weight_norm / ops.where(usable, scale, 1.0)  # (1)
        return ops.where(usable, trust, 1.0)

    def fused_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        index = self._get_variable_index(variable)
        v = self._velocities[index]
        g = ops.cast(gradient, v.dtype)
        step = ops.cast(learning_rate, v.dtype)
        if self._has_own_rate[index]:
            w = ops.convert_to_tensor(variable)
            step = step * self._trust(_kernels.norm(w), _kernels.norm(g))
            g = g + self.l2 * w if self.l2 else g
        _kernels.heavy_ball(variable, v, step * g, 1.0, self.momentum)

    def get_config(self) -> dict[str, Any]:
        own = {
            "momentum": self.momentum,
            "trust_coefficient": self.trust_coefficient,
            "l2": self.l2,
            "exclude_1d": self.exclude_1d,
        }
        return {**super().get_config(), **own}
