"""Backpropagation by the formulas of the slides, in NumPy and float64 (topic 04).

Read it together with the slides, and compare other gradients with it. For training use Keras.

Slide: "Implementation" gives ∂J/∂W = α δ, although J contains λ/2 Σ W². The gradient is α δ + λ W.
Slide: δ of the output node is printed with f'(z). That is right for squared error; for a sigmoid with
cross-entropy f'(z) cancels and δ = α − y.

Reference: Rumelhart, Hinton, Williams, 1986, Learning representations by back-propagating errors,
doi:10.1038/323533a0; Bishop, 2006, Pattern Recognition and Machine Learning, section 5.3.
"""

from collections.abc import Sequence

import numpy as np
from keras import ops

from tf_kit.checks import choice, number, refuse
from tf_kit.networks.activations import ACTIVATIONS, ActivationLayer
from tf_kit.typing import ArrayLike, Tensor

LOSSES = ("squared_error", "cross_entropy")
Activation = str | ActivationLayer | type[ActivationLayer]


def backpropagate(
    weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    activation: Activation = "sigmoid",
    loss: str = "cross_entropy",
    l2: float = 0.0,
) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
    """Cost of a multilayer perceptron and its gradient, by forward and backward propagation.

    Forward, with α^(1) = x, for layers l = 1 … L − 1:

        z^(l+1) = W^(l) α^(l) + b^(l)                                    (1)
        α^(l+1) = f(z^(l+1))                                             (2)
        J = 1/N Σ_n L(α^(L), y_n) + λ/2 Σ_l Σ_ij (W_ij^(l))²             (3)

    Backward, for each example, then averaged over the N examples:

        δ^(L)     = (α^(L) − y) f'(z^(L))       squared error            (4)
        δ^(L)     = α^(L) − y                   cross-entropy            (5)
        δ^(l)     = (W^(l)ᵀ δ^(l+1)) f'(z^(l))                           (6)
        ∂J/∂W^(l) = δ^(l+1) α^(l)ᵀ + λ W^(l)                             (7)
        ∂J/∂b^(l) = δ^(l+1)                                              (8)

    where W^(l) = weights[l − 1], b^(l) = biases[l − 1], f = `activation`, λ = `l2`.

    `loss` and the shape of y determine the output layer and L:

    - "squared_error": α^(L) = f(z^(L)) and L = 1/2 ‖α^(L) − y‖².
    - "cross_entropy" with one value of y for each output, also for one-hot rows: independent sigmoids,
      L = −Σ_k [y_k log α_k + (1 − y_k) log(1 − α_k)].
    - "cross_entropy" with class labels y for two or more outputs: a softmax over exclusive classes,
      L = −log α_y.

    Args:
        weights: one array (out, in) for each layer, first to last.
        biases: one array (out,) for each layer.
        x: examples, (n, in).
        y: targets, (n, out), or (n,) for one output; or class labels 0 … out − 1, (n,) or (n, 1), for
            cross-entropy over several exclusive classes.
        activation: f, as "sigmoid", "tanh", "relu" or "leaky_relu", or as an activation layer of `networks`, such
            as `LeakyReLU(0.2)`. Defaults to "sigmoid".
        loss: "squared_error" or "cross_entropy". Defaults to "cross_entropy".
        l2: λ, at least 0. Defaults to 0.

    Returns:
        (cost, dW, db): J as a float, ∂J/∂W and ∂J/∂b as lists of float64 arrays with the shapes of `weights` and
        `biases`. Means run over the n examples, sums over the outputs.

    Raises:
        ValueError: shapes do not match, labels or probabilities are out of range, or a name is unknown.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import backpropagate
        >>> x, y = np.array([[1.0, 2.0]]), np.array([1.0])
        >>> cost, dW, db = backpropagate([np.zeros((1, 2))], [np.zeros(1)], x, y)
        >>> round(cost, 4), dW[0].tolist(), db[0].tolist()  # log 2, (1/2 − 1) x, 1/2 − 1
        (0.6931, [[-0.5, -1.0]], [-0.5])

    Convention: W is (out, in) as on the slide, the transpose of a Keras kernel.
    Slide: see the docstring of this module.
    Reference: Bishop, 2006, Pattern Recognition and Machine Learning, equations 5.53 to 5.57.
    """
    weights, biases, x, y, softmax = _checked(weights, biases, x, y, loss)
    f = _Elementwise(activation)
    l2 = number("backpropagate.l2", l2, at_least=0)
    dW: list[np.ndarray] = [np.zeros(0)] * len(weights)
    db: list[np.ndarray] = [np.zeros(0)] * len(weights)

    def propagate(l, alpha):
        """Propagate α forward from layer l to the end, and δ back; return (cost, ∂cost/∂α)."""
        z = alpha @ weights[l].T + biases[l]  # (1): (n, in) -> (n, out)
        if l == len(weights) - 1:
            cost, delta = _output(z, y, f, loss, softmax)  # (3), (4), (5)
        else:
            cost, d_alpha = propagate(l + 1, f(z))  # (2)
            delta = d_alpha * f.derivative(z)  # (6), right factor
        dW[l] = delta.T @ alpha + l2 * weights[l]  # (7)
        db[l] = delta.sum(axis=0)  # (8)
        cost += l2 / 2 * np.sum(weights[l] ** 2)  # (3)
        return cost, delta @ weights[l]  # (6), left factor

    cost, _ = propagate(0, x)
    return float(cost), dW, db


def _output(z, y, f, loss, softmax):
    """Return the mean loss over the n rows of z, and its gradient δ with respect to z."""
    n = len(z)
    if loss == "squared_error":
        alpha = f(z)
        return np.sum((alpha - y) ** 2) / (2 * n), (alpha - y) * f.derivative(z) / n  # (4)
    if softmax:
        log_alpha = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
        return -np.sum(y * log_alpha) / n, (np.exp(log_alpha) - y) / n  # (5)
    log_alpha, log_other = -np.logaddexp(0, -z), -np.logaddexp(0, z)  # log σ(z), log(1 − σ(z))
    return -np.sum(y * log_alpha + (1 - y) * log_other) / n, (np.exp(log_alpha) - y) / n  # (5)


def gradient_check(
    weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    activation: Activation = "sigmoid",
    loss: str = "cross_entropy",
    l2: float = 0.0,
    gradients: tuple[Sequence[ArrayLike], Sequence[ArrayLike]] | None = None,
    step: float = 1e-5,
) -> float:
    """Relative error of a gradient, measured against central differences of the cost.

    Tests any backward pass: 1e-6 or less means that gradient and cost agree; a wrong formula gives 0.001 to 1. The
    cost is computed twice for each weight, so use a small network and few examples.

        g̃_i = (J(θ + ε e_i) − J(θ − ε e_i)) / 2ε                         (1)
        error = max over arrays of ‖g − g̃‖ / max(‖g‖, ‖g̃‖)               (2)

    where θ are all weights and biases, g = `gradients`, ε = `step`, and the maximum runs over the arrays W^(l),
    b^(l). The denominator of an array is at least 1e-4 of the norm of the whole gradient, so that rounding errors
    around a gradient of 0 do not count.

    Args:
        weights, biases, x, y, activation, loss, l2: as for `backpropagate`, which computes the cost J.
        gradients: pair (dW, db) to check. Defaults to None, the gradients that `backpropagate` returns.
        step: ε, above 0. Defaults to 1e-5, near the cube root of the rounding error of float64.

    Returns:
        The error (2), a float; 0 is exact.

    Raises:
        ValueError: as for `backpropagate`, or `gradients` has other shapes than the weights and biases.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import backpropagate, gradient_check
        >>> rng = np.random.default_rng(0)
        >>> W, b = [rng.normal(size=(3, 2)), rng.normal(size=(1, 3))], [np.zeros(3), np.zeros(1)]
        >>> x, y = rng.normal(size=(5, 2)), np.array([0, 1, 1, 0, 1])
        >>> gradient_check(W, b, x, y, "tanh", l2=0.1) < 1e-8
        True
        >>> _, dW, db = backpropagate(W, b, x, y, "tanh", l2=0.0)  # as printed: λW is missing
        >>> gradient_check(W, b, x, y, "tanh", l2=0.1, gradients=(dW, db)) > 0.01
        True

    Convention: with "relu" a difference across the kink at z = 0 is wrong while the gradient is right; use other
    data then.
    Reference: Bishop, 2006, Pattern Recognition and Machine Learning, equation 5.69.
    """
    step = number("gradient_check.step", step, above=0)
    if gradients is None:
        _, dW, db = backpropagate(weights, biases, x, y, activation, loss, l2)
        gradients = dW, db
    weights = [np.array(each, "float64") for each in weights]
    biases = [np.array(each, "float64") for each in biases]
    parameters = [*weights, *biases]
    given = [np.asarray(each, "float64") for each in (*gradients[0], *gradients[1])]
    shapes = [each.shape for each in parameters]
    if [each.shape for each in given] != shapes:
        refuse("gradient_check.gradients", f"have the shapes {shapes}", str([each.shape for each in given]))

    def cost():
        return backpropagate(weights, biases, x, y, activation, loss, l2)[0]

    numeric = [np.zeros(shape) for shape in shapes]
    for parameter, differences in zip(parameters, numeric, strict=True):
        for index in np.ndindex(parameter.shape):
            value = parameter[index]
            parameter[index] = value + step
            above = cost()
            parameter[index] = value - step
            below = cost()
            parameter[index] = value
            differences[index] = (above - below) / (2 * step)  # (1)

    whole = np.sqrt(sum(np.sum(each**2) for each in numeric))
    sizes = [max(np.linalg.norm(g), np.linalg.norm(d)) for g, d in zip(given, numeric, strict=True)]
    errors = [np.linalg.norm(g - d) for g, d in zip(given, numeric, strict=True)]
    floor = max(1e-4 * whole, np.finfo("float64").tiny)
    return float(max(error / max(size, floor) for error, size in zip(errors, sizes, strict=True)))  # (2)


class _Elementwise:
    """Activation given by name, class or layer, as functions of float64 arrays."""

    def __init__(self, activation):
        if not hasattr(activation, "derivative"):
            remedy = "A layer with derivative(z) is allowed too"
            activation = ACTIVATIONS[
                choice("backpropagate.activation", activation, tuple(ACTIVATIONS), remedy)
            ]
        self.layer = activation() if isinstance(activation, type) else activation

    def __call__(self, z):
        # `call`, since `__call__` would first round z to float32.
        return ops.convert_to_numpy(self.layer.call(ops.convert_to_tensor(z, "float64")))

    def derivative(self, z: Tensor) -> Tensor:
        return ops.convert_to_numpy(self.layer.derivative(ops.convert_to_tensor(z, "float64")))


def _checked(weights, biases, x, y, loss):
    """Check the arguments; return them in float64 with y as (n, out), and whether the outputs are a softmax."""
    choice("backpropagate.loss", loss, LOSSES)
    weights = [np.asarray(each, "float64") for each in weights]
    biases = [np.asarray(each, "float64") for each in biases]
    x, y = np.asarray(x, "float64"), np.asarray(y, "float64")
    if not weights or len(weights) != len(biases):
        received = f"{len(weights)} weights and {len(biases)} biases"
        refuse("backpropagate.weights", "hold one array for each layer, as `biases` does", received)
    if x.ndim != 2 or not len(x):
        refuse(
            "backpropagate.x",
            "be of shape (n, in) with n at least 1",
            f"shape {x.shape}",
            "Flatten images first",
        )
    size = x.shape[1]
    for l, (W, b) in enumerate(zip(weights, biases, strict=True)):
        if W.ndim != 2 or W.shape[1] != size or b.shape != W.shape[:1]:
            received = f"weights {W.shape} and biases {b.shape}"
            refuse(f"backpropagate.weights[{l}]", f"be of shape (out, {size}), with biases (out,)", received)
        size = len(W)
    n = len(x)
    if loss == "cross_entropy" and size > 1 and y.shape in ((n,), (n, 1)):
        labels = y.reshape(n)
        if not np.isin(labels, np.arange(size)).all():
            received = f"y between {labels.min():g} and {labels.max():g}"
            refuse("backpropagate.y", f"hold class labels 0 … {size - 1}", received)
        return weights, biases, x, np.eye(size)[labels.astype(int)], True
    if y.shape == (n,) and size == 1:
        y = y[:, None]
    if y.shape != (n, size):
        refuse("backpropagate.y", f"be of shape ({n}, {size}), one value for each output", f"shape {y.shape}")
    if loss == "cross_entropy" and not ((y >= 0) & (y <= 1)).all():
        refuse("backpropagate.y", "lie in [0, 1] for cross-entropy", f"y between {y.min():g} and {y.max():g}")
    return weights, biases, x, y, False
