"""Norm penalties: l2, which shrinks weights, l1, which makes them zero, both, and a bound on the norm.

The optimizer receives a penalty in the loss as part of the gradient. Decoupled weight decay (the `weight_decay` of a
Keras optimizer, `AdamW`) shrinks the weights separately from the step of the optimizer:

    penalty in the loss:   w ← w − η · step(∇L + λ w)                    (1)
    decoupled:             w ← w − η · step(∇L) − η λ w                  (2)

For plain gradient descent step(g) = g, so with `l2 = weight_decay` the two are the same. Adam divides the gradient of
the penalty by √r like every gradient, so in (1) weights with large gradients shrink less, and the two differ.

Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, section 7.1; Loshchilov, Hutter, 2019, Decoupled weight
decay regularization, propositions 1 and 2, arXiv:1711.05101.
"""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.dtypes import widened
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class L2(keras.regularizers.Regularizer):
    """Half the squared Euclidean norm, a penalty that shrinks weights in proportion to their size.

    At the minimum of a loss with curvature h along an eigendirection, the penalty multiplies that coordinate by
    h / (h + λ): directions that hardly affect the loss almost vanish, but none becomes exactly zero.

        penalty = λ/2 Σ w²                                               (1)

    where λ = `l2`; the gradient is λ w.

    Args:
        l2: λ, at least 0. Defaults to 0.01.

    Returns:
        Penalty, a scalar of float32, or of float64 for weights in it.

    Raises:
        ValueError: `l2` is negative or not finite.

    Example:
        >>> float(L2(0.1)(ops.array([3.0, 4.0])))
        1.25

    Convention: λ/2 as in the lecture; `keras.regularizers.L2(l2)` has no ½ and equals `L2(2 * l2)`.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, equation 7.2.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = number("L2.l2", l2, at_least=0)

    def __call__(self, weights: Tensor) -> Tensor:
        return self.l2 / 2 * ops.sum(ops.square(widened(weights)))  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


@keras.saving.register_keras_serializable(package="tf_kit")
class L1(keras.regularizers.Regularizer):
    """Sum of absolute values, a penalty that pulls every weight toward zero with the same force.

    Small weights reach zero. Plain gradient steps jump back and forth around zero by about η λ; `SoftThreshold` makes
    them exactly zero.

        penalty = λ Σ |w|                                                (1)

    where λ = `l1`; the gradient is λ sign(w), and 0 at w = 0.

    Args:
        l1: λ, at least 0. Defaults to 0.01.

    Returns:
        Penalty, a scalar of float32, or of float64 for weights in it.

    Raises:
        ValueError: `l1` is negative or not finite.

    Example:
        >>> float(L1(0.5)(ops.array([3.0, -4.0])))
        3.5

    Convention: the same as `keras.regularizers.L1`.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, equation 7.19.
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = number("L1.l1", l1, at_least=0)

    def __call__(self, weights: Tensor) -> Tensor:
        return self.l1 * ops.sum(ops.abs(widened(weights)))  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


@keras.saving.register_keras_serializable(package="tf_kit")
class ElasticNet(keras.regularizers.Regularizer):
    """Sum of both penalties: l1 selects weights, l2 keeps correlated weights together.

        penalty = λ₁ Σ |w| + λ₂/2 Σ w²                                   (1)

    where λ₁ = `l1` and λ₂ = `l2`.

    Args:
        l1: λ₁, at least 0. Defaults to 0.01.
        l2: λ₂, at least 0. Defaults to 0.01.

    Returns:
        Penalty, a scalar of float32, or of float64 for weights in it.

    Raises:
        ValueError: `l1` or `l2` is negative or not finite.

    Example:
        >>> float(ElasticNet(l1=0.5, l2=0.1)(ops.array([3.0, -4.0])))
        4.75

    Convention: `keras.regularizers.L1L2(l1, l2)` has no ½ and equals `ElasticNet(l1, 2 * l2)`.
    Reference: Zou, Hastie, 2005, Regularization and variable selection via the elastic net, equation 3,
    doi:10.1111/j.1467-9868.2005.00503.x.
    """

    def __init__(self, l1: float = 0.01, l2: float = 0.01) -> None:
        self.l1 = number("ElasticNet.l1", l1, at_least=0)
        self.l2 = number("ElasticNet.l2", l2, at_least=0)

    def __call__(self, weights: Tensor) -> Tensor:
        w = widened(weights)
        return self.l1 * ops.sum(ops.abs(w)) + self.l2 / 2 * ops.sum(ops.square(w))  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


@keras.saving.register_keras_serializable(package="tf_kit")
class MaxNorm(keras.constraints.Constraint):
    """Constraint that projects the incoming weights of each unit into a ball after every step.

    Usually combined with dropout, since it allows large learning rates without exploding weights. Weights inside the
    ball do not change.

        w ← w · min(1, c / ‖w‖₂)                                         (1)

    where w is the vector of incoming weights of one unit, c = `max_value`, and the norm runs over `axis`.

    Args:
        max_value: c, above 0; usually 3 to 4. Defaults to 3.
        axis: axis or axes that hold the incoming weights of one unit: 0 for the (in, out) kernel of a dense layer,
            (0, 1, 2) for the (height, width, in, out) kernel of a convolution. Defaults to 0.

    Returns:
        Projected weights, in the same shape.

    Raises:
        ValueError: `max_value` is not above 0.

    Example:
        >>> MaxNorm(5.0)(ops.array([[6.0, 0.6], [8.0, 0.8]])).numpy().tolist()
        [[3.0, 0.6000000238418579], [4.0, 0.800000011920929]]

    Convention: `keras.constraints.MaxNorm` divides by ‖w‖ + 1e-7, so it also changes weights inside the ball.
    Reference: Srivastava et al., 2014, Dropout: a simple way to prevent neural networks from overfitting, section
    5.1.
    """

    def __init__(self, max_value: float = 3.0, axis: int | tuple[int, ...] = 0) -> None:
        self.max_value = number("MaxNorm.max_value", max_value, above=0)
        self.axis = tuple(axis) if isinstance(axis, (list, tuple)) else axis

    def __call__(self, weights: Tensor) -> Tensor:
        weights = ops.convert_to_tensor(weights)
        w = widened(weights)  # the norm of float16 would be infinite from 256 on, and the weights 0
        norm = ops.sqrt(ops.sum(ops.square(w), axis=self.axis, keepdims=True))
        return ops.cast(w * (self.max_value / ops.maximum(norm, self.max_value)), weights.dtype)  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


@keras.saving.register_keras_serializable(package="tf_kit")
class SoftThreshold(keras.constraints.Constraint):
    """Constraint that shrinks every weight by a fixed amount, but not past zero.

    With it instead of `L1` in the loss, gradient descent becomes proximal gradient descent (ISTA), whose fixed points
    are the minima of loss + λ Σ|w|, with exact zeros.

        w ← sign(w) · max(|w| − t, 0)  =  w − clip(w, −t, t)             (1)

    where t = `threshold`; for gradient descent with learning rate η and penalty λ use t = η λ.

    Args:
        threshold: t, at least 0.

    Returns:
        Shrunken weights, in the same shape.

    Raises:
        ValueError: `threshold` is negative or not finite.

    Example:
        >>> SoftThreshold(0.5)(ops.array([2.0, -0.25, -1.0])).numpy().tolist()
        [1.5, 0.0, -0.5]

    Reference: Daubechies, Defrise, De Mol, 2004, An iterative thresholding algorithm for linear inverse problems with
    a sparsity constraint, doi:10.1002/cpa.20042; Goodfellow, Bengio, Courville, 2016, Deep Learning, equation 7.23.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = number("SoftThreshold.threshold", threshold, at_least=0)

    def __call__(self, weights: Tensor) -> Tensor:
        return weights - ops.clip(weights, -self.threshold, self.threshold)  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold}
