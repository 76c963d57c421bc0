"""Norm penalties: l2, l1, both, a bound on the norm, and what shrinks a weight against what zeroes it.

A penalty in the loss is seen by the optimizer as part of the gradient. Decoupled weight decay (the
`weight_decay` of a Keras optimizer, `AdamW`) shrinks the weights beside the optimizer's step:

    penalty in the loss:   w ← w − η · step(∇L + λ w)                    (1)
    decoupled:             w ← w − η · step(∇L) − η λ w                  (2)

For plain gradient descent step(g) = g, so both walk the same path with `l2 = weight_decay`. Adam divides the
penalty's gradient by √r as it divides every gradient, so in (1) the weights with large gradients are shrunk
less and the two part.

Reference: Goodfellow, Bengio, Courville 2016, section 7.1; Loshchilov and Hutter 2019, proposition 1 and 2
"""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class L2(keras.regularizers.Regularizer):
    """Half the squared Euclidean norm: shrinks every weight by the same factor.

    At the minimum of a loss with curvature h along an eigendirection the penalty multiplies that coordinate
    by h / (h + λ): directions the loss hardly cares for vanish, none becomes exactly zero.

        penalty = λ/2 Σ w²                                               (1)

    where λ = `l2`; the gradient is λ w.

    Args:
        l2: λ, at least 0. Defaults to 0.01.

    Returns: the penalty, a scalar of the weights' dtype.

    Raises: ValueError: when `l2` is negative or not finite.

    Example:
        >>> float(L2(0.1)(ops.array([3.0, 4.0])))
        1.25

    Convention: this is the lecture's λ/2; `keras.regularizers.L2(l2)` has no ½ and equals `L2(2 * l2)`.
    Reference: Goodfellow, Bengio, Courville 2016, equation 7.2
    """

    def __init__(self, l2=0.01):
        self.l2 = number("L2.l2", l2, at_least=0)

    def __call__(self, weights: Tensor) -> Tensor:
        return self.l2 / 2 * ops.sum(ops.square(weights))  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


@keras.saving.register_keras_serializable(package="tf_kit")
class L1(keras.regularizers.Regularizer):
    """Sum of absolute values: pulls every weight towards zero with the same force; small ones reach it.

    Plain gradient steps jump to and fro around zero, by about η λ; add `SoftThreshold` to land on it.

        penalty = λ Σ |w|                                                (1)

    where λ = `l1`; the gradient is λ sign(w), and 0 at w = 0.

    Args:
        l1: λ, at least 0. Defaults to 0.01.

    Returns: the penalty, a scalar of the weights' dtype.

    Raises: ValueError: when `l1` is negative or not finite.

    Example:
        >>> float(L1(0.5)(ops.array([3.0, -4.0])))
        3.5

    Convention: the same as `keras.regularizers.L1`.
    Reference: Goodfellow, Bengio, Courville 2016, equation 7.19
    """

    def __init__(self, l1=0.01):
        self.l1 = number("L1.l1", l1, at_least=0)

    def __call__(self, weights: Tensor) -> Tensor:
        return self.l1 * ops.sum(ops.abs(weights))  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


@keras.saving.register_keras_serializable(package="tf_kit")
class ElasticNet(keras.regularizers.Regularizer):
    """Both penalties: l1 chooses the weights, l2 keeps correlated ones together.

        penalty = λ₁ Σ |w| + λ₂/2 Σ w²                                   (1)

    where λ₁ = `l1` and λ₂ = `l2`.

    Args:
        l1: λ₁, at least 0. Defaults to 0.01.
        l2: λ₂, at least 0. Defaults to 0.01.

    Returns: the penalty, a scalar of the weights' dtype.

    Raises: ValueError: when `l1` or `l2` is negative or not finite.

    Example:
        >>> float(ElasticNet(l1=0.5, l2=0.1)(ops.array([3.0, -4.0])))
        4.75

    Convention: `keras.regularizers.L1L2(l1, l2)` has no ½ and equals `ElasticNet(l1, 2 * l2)`.
    Reference: Zou and Hastie 2005, equation 3
    """

    def __init__(self, l1=0.01, l2=0.01):
        self.l1 = number("ElasticNet.l1", l1, at_least=0)
        self.l2 = number("ElasticNet.l2", l2, at_least=0)

    def __call__(self, weights: Tensor) -> Tensor:
        return self.l1 * ops.sum(ops.abs(weights)) + self.l2 / 2 * ops.sum(ops.square(weights))  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


@keras.saving.register_keras_serializable(package="tf_kit")
class MaxNorm(keras.constraints.Constraint):
    """Projects the incoming weights of each unit back into a ball after every step.

    The usual companion of dropout: it allows large learning rates without letting the weights explode.
    Weights inside the ball are left exactly as they are.

        w ← w · min(1, c / ‖w‖₂)                                         (1)

    where w is the vector of one unit, c = `max_value`, and the norm runs over `axis`.

    Args:
        max_value: c, above 0; 3 to 4 are usual. Defaults to 3.
        axis: the axis, or axes, that hold one unit's incoming weights: 0 for the (in, out) kernel of a dense
            layer, (0, 1, 2) for the (height, width, in, out) kernel of a convolution. Defaults to 0.

    Returns: the projected weights, shaped as given.

    Raises: ValueError: when `max_value` is not above 0.

    Example:
        >>> MaxNorm(5.0)(ops.array([[6.0, 0.6], [8.0, 0.8]])).numpy().tolist()
        [[3.0, 0.6000000238418579], [4.0, 0.800000011920929]]

    Convention: `keras.constraints.MaxNorm` divides by ‖w‖ + 1e-7, so it also changes weights inside the ball.
    Reference: Srivastava et al. 2014, section 5.1
    """

    def __init__(self, max_value=3.0, axis=0):
        self.max_value = number("MaxNorm.max_value", max_value, above=0)
        self.axis = tuple(axis) if isinstance(axis, (list, tuple)) else axis

    def __call__(self, weights: Tensor) -> Tensor:
        norm = ops.sqrt(ops.sum(ops.square(weights), axis=self.axis, keepdims=True))
        return weights * (self.max_value / ops.maximum(norm, self.max_value))  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


@keras.saving.register_keras_serializable(package="tf_kit")
class SoftThreshold(keras.constraints.Constraint):
    """The step of an l1 penalty that can land on zero: shrink every weight by a fixed amount, stop at zero.

    Used as a constraint instead of `L1` in the loss, gradient descent becomes proximal gradient descent
    (ISTA): its fixed points are the minima of loss + λ Σ|w|, with exact zeros.

        w ← sign(w) · max(|w| − t, 0)  =  w − clip(w, −t, t)             (1)

    where t = `threshold`; for gradient descent with learning rate η and penalty λ take t = η λ.

    Args:
        threshold: t, at least 0.

    Returns: the shrunken weights, shaped as given.

    Raises: ValueError: when `threshold` is negative or not finite.

    Example:
        >>> SoftThreshold(0.5)(ops.array([2.0, -0.25, -1.0])).numpy().tolist()
        [1.5, 0.0, -0.5]

    Reference: Daubechies, Defrise, De Mol 2004; Goodfellow, Bengio, Courville 2016, equation 7.23
    """

    def __init__(self, threshold):
        self.threshold = number("SoftThreshold.threshold", threshold, at_least=0)

    def __call__(self, weights: Tensor) -> Tensor:
        return weights - ops.clip(weights, -self.threshold, self.threshold)  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold}
