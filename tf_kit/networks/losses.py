"""Costs: squared error and cross-entropy computed from logits, and the penalty on the weights (topic 03).

The cost of the lecture is a mean over examples plus a penalty,

    J(W, b) = 1/N Σ_{n=1}^{N} L(h(x_n), y_n) + λ/2 Σ_l Σ_i Σ_j (W_ji^(l))²

The losses L are Keras losses, `l2_penalty` is the second term, `cost` is all of J.

Slide: for classification the minus sign of L is missing, both with and without the penalty. The printed formula is
the log-likelihood; minimizing it makes the targets less likely.
Slide: the sums run to M and are divided by N. Here both are the number of examples: with M ≠ N the gradient of the
loss would be M/N times as long while that of the penalty keeps its size.

Reference: Bishop, 2006, Pattern Recognition and Machine Learning, section 5.2; Goodfellow, Bengio, Courville,
2016, Deep Learning, sections 6.2.2 and 7.1.1.
"""

import math
from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from tf_kit.checks import choice, number, refuse, same_shape
from tf_kit.dtypes import widened
from tf_kit.keras_internals import is_matrix, mask_of
from tf_kit.networks.activations import ACTIVATIONS
from tf_kit.typing import ArrayLike, Tensor


class SummedLoss(keras.losses.Loss):
    """Loss of an example that is a sum over its outputs; base class of `SquaredError` and `SigmoidCrossEntropy`.

    A mask (n, T) or sample weights (n, T) weigh the outputs before they are summed, so that padded steps of a sequence
    cost nothing. Keras weighs the values that `call` returns, which are one per example.

    A subclass passes the `y_pred` of its `call` through `parted`, and the losses of the outputs through `summed`.
    """

    def __call__(self, y_true: ArrayLike, y_pred: Tensor, sample_weight: ArrayLike | None = None) -> Tensor:
        weights, mask = [], mask_of(y_pred)
        if mask is not None and len(mask.shape) > 1:
            weights.append(self._of_outputs("mask", mask, y_pred))
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            if len(sample_weight.shape) > 1 and tuple(sample_weight.shape[1:]) != (1,):
                weights.append(self._of_outputs("sample_weight", sample_weight, y_pred))
                sample_weight = None
        outputs = (y_pred, math.prod(weights)) if weights else y_pred
        return super().__call__(y_true, outputs, sample_weight)

    def _of_outputs(self, name, given, y_pred):
        """Return weights of the first axes of the outputs, in the rank of the outputs."""
        wanted = tuple(y_pred.shape)
        sides = zip(given.shape, wanted, strict=False)
        if len(given.shape) > len(wanted) or any(None not in pair and pair[0] != pair[1] for pair in sides):
            received = f"shape {tuple(given.shape)} for outputs {wanted}"
            refuse(f"{type(self).__name__}.{name}", "have the shape of the outputs' first axes", received)
        for _ in range(len(wanted) - len(given.shape)):
            given = ops.expand_dims(given, -1)
        return ops.cast(given, self.dtype)

    @staticmethod
    def parted(y_pred: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return the outputs, and their weights or None."""
        return y_pred if isinstance(y_pred, tuple) else (y_pred, None)

    @staticmethod
    def summed(each: Tensor, weights: Tensor | None) -> Tensor:
        """Return the sums (n,) of the losses of the outputs (n, …), times their weights."""
        each = each if weights is None else each * weights
        return ops.sum(ops.reshape(each, (ops.shape(each)[0], -1)), axis=-1)


@keras.saving.register_keras_serializable(package="tf_kit")
class SquaredError(SummedLoss):
    """Squared error: half the squared distance between output and target.

    The cost of regression. After a sigmoid it is a poor cost of classification: its gradient contains the factor
    σ'(z), which vanishes where the unit is confidently wrong.

        L(h, y) = 1/2 ‖h − y‖²,   h = f(z)                               (1)
        ∂L/∂z   = (h − y) f'(z)                                          (2)

    where z = `y_pred` and y = `y_true`, both (n, …), and f = `activation`, or the identity. The sum in ‖·‖²
    runs over all axes but the first, without the outputs that a mask excludes; the mean over the n examples.

    Args:
        activation: activation to apply to the outputs first: None, "sigmoid", "tanh", "relu" or "leaky_relu". Use it
            if the model ends in logits and the targets lie in the range of f. Defaults to None.
        reduction: "sum_over_batch_size" (the mean over examples), "sum" or "none". Defaults to the mean.

    Raises:
        ValueError: `activation` is another name, or the shapes of outputs and targets differ.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import SquaredError
        >>> float(SquaredError()(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])))
        6.25

    Convention: `MeanSquaredError` of Keras has no 1/2 and also divides by the number of outputs.
    Slide: the sum to M is divided by N; here both are the number of examples.
    Reference: Bishop, 2006, Pattern Recognition and Machine Learning, equation 5.11.
    """

    def __init__(
        self,
        activation: str | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "squared_error",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.activation = choice("SquaredError.activation", activation, (None, *ACTIVATIONS))
        self.function = ACTIVATIONS[activation](dtype=self.dtype) if activation else None

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y_pred, weights = self.parted(y_pred)
        h = self.function(y_pred) if self.function else y_pred
        error = h - _aligned("SquaredError.y_true", y_true, y_pred)
        return self.summed(ops.square(error), weights) / 2  # (1): (n, …) -> (n,)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="tf_kit")
class SigmoidCrossEntropy(SummedLoss):
    """Binary cross-entropy of sigmoid units, computed from logits.

    The cost of yes-or-no questions: one output for two classes, or several independent outputs, as in medical
    diagnosis, where each output stands for one disease. It is the negative log-likelihood of the targets.

        L(z, y) = −Σ_k [ y_k log σ(z_k) + (1 − y_k) log(1 − σ(z_k)) ]    (1)
                = Σ_k [ y_k softplus(−z_k) + (1 − y_k) softplus(z_k) ]   (2)
        ∂L/∂z_k = σ(z_k) − y_k                                           (3)

    where z = `y_pred` are logits and y = `y_true` are targets in [0, 1], both (n, …), and
    softplus(z) = log(1 + exp(z)). (2) is computed, since it is finite for finite logits of any size and stays accurate
    where σ(z) rounds to 0 or 1. The sum over k runs over all axes but the first, without the outputs that a mask
    excludes; the mean over the n examples.

    Args:
        reduction: "sum_over_batch_size" (the mean over examples), "sum" or "none". Defaults to the mean.

    Raises:
        ValueError: the shapes of logits and targets differ.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import SigmoidCrossEntropy
        >>> loss = SigmoidCrossEntropy()
        >>> float(loss(np.array([1.0, 0.0]), np.array([1e4, 1e4])))  # right: 0, wrong: 10000
        5000.0

    Convention: `BinaryCrossentropy` of Keras divides by the number of outputs, so the two agree for one output.
    Slide: the minus sign of (1) is missing, and a sum to M is divided by N.
    Reference: Bishop, 2006, Pattern Recognition and Machine Learning, equation 5.21.
    """

    from_logits = True  # an attribute that the cross-entropies of Keras have too

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "sigmoid_cross_entropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        z, weights = self.parted(y_pred)
        y = _aligned("SigmoidCrossEntropy.y_true", y_true, z)
        each = y * ops.softplus(-z) + (1 - y) * ops.softplus(z)  # (2)
        return self.summed(each, weights)  # (n, …) -> (n,)


@keras.saving.register_keras_serializable(package="tf_kit")
class SoftmaxCrossEntropy(keras.losses.Loss):
    """Cross-entropy of a softmax over exclusive classes, computed from logits.

    The cost of the question "which of K classes". Targets are class labels or probabilities (one-hot rows); their
    shape decides which.

        L(z, y) = −Σ_k y_k log softmax(z)_k                              (1)
                = Σ_k y_k ( log Σ_j exp(z_j) − z_k )                     (2)
        ∂L/∂z_k = softmax(z)_k − y_k         for y that sums to 1        (3)

    where z = `y_pred` are logits (n, …, K) and y = `y_true` are labels 0 … K − 1 of shape (n, …) or
    (n, …, 1), or probabilities (n, …, K). (2) is computed after subtracting the largest logit, so it is finite for
    finite logits of any size; a logit of −inf rules its class out. The mean runs over the n examples and over
    the axes between n and K, if there are any. A label outside 0 … K − 1, or between two classes, gives NaN.

    Args:
        reduction: "sum_over_batch_size" (the mean over examples), "sum" or "none". Defaults to the mean.

    Raises:
        ValueError: the targets have neither the shape of labels nor that of probabilities.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import SoftmaxCrossEntropy
        >>> z = np.array([[0.0, 0.0, 0.0, 0.0], [1e4, 0.0, 0.0, 0.0]])
        >>> round(float(SoftmaxCrossEntropy()(np.array([2, 0]), z)), 4)  # (log 4 + 0) / 2
        0.6931

    Convention: equals `SparseCategoricalCrossentropy(from_logits=True)` of Keras for labels and
    `CategoricalCrossentropy(from_logits=True)` for probabilities.
    Slide: printed for two classes only and without the minus sign; for K = 2 this is `SigmoidCrossEntropy` of
    the difference of the two logits.
    Reference: Bishop, 2006, Pattern Recognition and Machine Learning, equation 5.24.
    """

    from_logits = True  # an attribute that the cross-entropies of Keras have too

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "softmax_cross_entropy",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        z, num_classes = y_pred, y_pred.shape[-1]
        log_softmax = z - ops.logsumexp(z, axis=-1, keepdims=True)
        if len(y_true.shape) == len(z.shape) and y_true.shape[-1] == num_classes:
            return cross_entropy(y_true, log_softmax)  # (2): (n, …, K) -> (n, …)
        labels = _aligned("SoftmaxCrossEntropy.y_true", y_true, z[..., 0], tuple(z.shape))
        y, known = one_hot(labels, num_classes, z.dtype)
        losses = cross_entropy(y, log_softmax)  # (2): (n, …, K) -> (n, …)
        return ops.where(known, losses, float("nan"))


def one_hot(labels: Tensor, num_classes: int, dtype: str) -> tuple[Tensor, Tensor]:
    """Return the rows (…, K) of class labels (…), and booleans (…), False where a label is not one of 0 … K − 1."""
    if not keras.backend.is_float_dtype(labels.dtype):
        labels = ops.cast(labels, "int64")  # uint8 cannot hold 256, the number of its classes
    number = ops.cast(labels, "int32")
    in_range = ops.logical_and(labels >= 0, labels < num_classes)
    known = ops.logical_and(in_range, labels == ops.cast(number, labels.dtype))
    return ops.one_hot(number, num_classes, dtype=dtype), known


def cross_entropy(y: Tensor, log_softmax: Tensor) -> Tensor:
    """Return −Σ_k y_k log softmax(z)_k over the last axis; classes with y_k = 0 add nothing, even if z_k is −inf."""
    return -ops.sum(ops.where(y != 0, y * log_softmax, ops.zeros_like(log_softmax)), axis=-1)


def l2_penalty(weights: Iterable[ArrayLike], l2: float) -> Tensor:
    """Penalty on the weights, a term of the cost.

        penalty = λ/2 Σ_l Σ_i Σ_j (W_ji^(l))²                            (1)

    where W^(l) are `weights`, λ = `l2`. Its gradient is λW. If the backward pass omits it, weights do not decay (see
    `backpropagate`).

    Args:
        weights: arrays, tensors or variables of any shape. The slide leaves out the biases.
        l2: λ, at least 0.

    Returns:
        Scalar tensor, in at least float32.

    Raises:
        ValueError: `l2` is negative or not a number.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import l2_penalty
        >>> float(l2_penalty([np.array([[1.0, 2.0]]), np.array([[2.0]])], l2=0.5))
        2.25

    Convention: `regularizers.L2(l2)` of Keras has no 1/2; pass it λ/2 for the same penalty.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, equations 7.1 and 7.2.
    """
    l2 = number("l2_penalty.l2", l2, at_least=0)
    return l2 / 2 * sum(ops.sum(ops.square(widened(each))) for each in weights)  # (1)


def cost(model: keras.Model, x: ArrayLike, y: ArrayLike, loss: keras.losses.Loss, l2: float = 0.0) -> Tensor:
    """Cost J of the lecture: the mean loss over the examples plus the penalty on the weights.

        J(W, b) = 1/N Σ_{n=1}^{N} L(h(x_n), y_n) + λ/2 Σ_l Σ_i Σ_j (W_ji^(l))²      (1)

    where h = `model` in inference mode, L = `loss`, λ = `l2`, N is the number of rows of `x` and `y`, and
    W^(l) are the trainable matrices of the model: kernels, but not biases or the gains of batch normalization.

    Args:
        model: Keras model of any kind.
        x, y: examples and targets, in the form that `loss` expects.
        loss: Keras loss, such as `SoftmaxCrossEntropy()`.
        l2: λ, at least 0. Defaults to 0.

    Returns:
        Scalar tensor, differentiable with respect to the weights. The penalties in `model.losses` are not included.

    Raises:
        ValueError: `l2` is negative or not a number.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import SoftmaxCrossEntropy, cost, mlp
        >>> model = mlp(units=(3,), num_classes=4, input_shape=(2,))
        >>> model.set_weights([np.ones((2, 3)), np.zeros(3), np.ones((3, 4)), np.zeros(4)])
        >>> J = cost(model, np.ones((5, 2)), np.zeros(5), SoftmaxCrossEntropy(), l2=0.1)
        >>> round(float(J), 4), round(float(np.log(4) + 0.1 / 2 * (2 * 3 + 3 * 4)), 4)
        (2.2863, 2.2863)

    Slide: see the docstring of this module for the minus sign and the number of examples.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, equation 7.1.
    """
    l2 = number("cost.l2", l2, at_least=0)
    outputs = model(x, training=False)
    matrices = filter(is_matrix, model.trainable_variables)
    return loss(ops.convert_to_tensor(y), outputs) + l2_penalty(matrices, l2)  # (1)


def _aligned(subject, y_true, y_pred, outputs=None):
    """Return `y_true` in the shape of `y_pred`; (n,) and (n, 1) count as equal, and nothing else is broadcast.

    `outputs` is the shape of the model's outputs, if `y_pred` is a part of them.
    """
    given, wanted = tuple(y_true.shape), tuple(y_pred.shape)
    if len(given) == len(wanted) - 1 and wanted[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    elif len(given) == len(wanted) + 1 and given[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if not same_shape(y_true.shape, wanted):
        received = f"targets {given} for outputs {outputs or wanted}"
        remedy = "" if outputs else "keras.ops.one_hot converts labels to rows"
        refuse(subject, f"have one target for each {'example' if outputs else 'output'}", received, remedy)
    return y_true
