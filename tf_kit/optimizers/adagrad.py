"""AdaGrad: one learning rate per parameter, from all its gradients so far."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.optimizers import _kernels
from tf_kit.optimizers._optimizer import LearningRate, Optimizer
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class AdaGrad(Optimizer):
    """AdaGrad: each parameter's step is divided by the root of its summed squared gradients.

    For sparse features and for coordinates of very different scale: parameters with large gradients slow down
    soon, and parameters that are seldom updated keep their rate. On convex problems the regret is bounded
    without tuning a schedule. On deep nets the sum keeps growing, so the steps become too small early;
    `RMSProp` corrects this.

        r ← r + ĝ ⊙ ĝ                                                    (1)
        θ ← θ − ε / (δ + √r) ⊙ ĝ                                         (2)

    where ε = learning_rate, δ = epsilon, ĝ = the gradient, and r has the variable's shape and starts from
    zero: the first step is ε sign(ĝ), whatever the scale of the gradient.

    Args:
        learning_rate: ε, at least 0, or a schedule. Defaults to 0.01.
        epsilon: δ, which keeps (2) finite while r is 0; above 0. Defaults to 1e-7.
        **kwargs: arguments of every Keras optimizer, see `SGD`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import keras
        >>> from tf_kit import optimizers
        >>> w = keras.Variable([1.0, -2.0])
        >>> optimizer = optimizers.AdaGrad(learning_rate=0.1)
        >>> optimizer.apply([keras.ops.array([3.0, -300.0])], [w])
        >>> optimizer.apply([keras.ops.array([4.0, -400.0])], [w])       # both move by 0.1·(3/3 + 4/5)
        >>> print(w.numpy().round(4))
        [ 0.82 -1.82]

    Convention: `keras.optimizers.Adagrad` puts epsilon inside the root and starts r from 0.1, so its first
    steps are smaller where the gradients are small.
    Slide: "Popular Solver Examples" prints Δθ ← ε/(δ + √r) ⊙ g without the minus sign, which climbs; Algorithm 4 has
    the sign. It also says that "a model parameter" is downscaled by "its historical values": it is the step,
    by the historical gradients.
    Reference: Duchi, Hazan, Singer, 2011, Adaptive subgradient methods for online learning and stochastic
    optimization; Goodfellow, Bengio, Courville, 2016, Deep Learning, algorithm 8.4.
    """

    def __init__(self, learning_rate: LearningRate = 0.01, epsilon: float = 1e-7, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.epsilon = number("AdaGrad.epsilon", epsilon, above=0)

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._accumulators = self.add_optimizer_variables(variables, "accumulator")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        r = self._accumulators[self._get_variable_index(variable)]
        g = ops.cast(gradient, r.dtype)
        rate = ops.cast(learning_rate, r.dtype)
        self.assign_add(r, g * g)  # (1)
        self.assign_sub(variable, rate / (self.epsilon + ops.sqrt(r)) * g)  # (2)

    def fused_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        r = self._accumulators[self._get_variable_index(variable)]
        _kernels.adagrad(variable, r, gradient, learning_rate, self.epsilon)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}
