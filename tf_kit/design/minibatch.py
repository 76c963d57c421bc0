"""Minibatches: the number of examples per gradient, and the noise of the gradient (topic 05).

Three methods that are often confused, by the number of examples B in one update:

    full-batch gradient descent      B = N        exact gradient, one update per epoch
    stochastic gradient descent      B = 1        noisiest gradient, N updates per epoch
    minibatch gradient descent       1 < B < N    variance in proportion to 1/B, N/B updates per epoch

`gradient_variance` measures the noise on a given model; `minibatch_variance` computes it from theory.
`minibatches` draws shuffled minibatches, and `tf_kit.optimizers.RobbinsMonro` is a learning rate with which
noisy gradients converge.

Slide: "Batch size: the number of times the entire training set pass through the neural network" repeats the
definition of the number of epochs. The batch size is the number of examples in one update; see
`epochs_to_steps`.

Reference: Bottou, 2010, Large-scale machine learning with stochastic gradient descent,
doi:10.1007/978-3-7908-2604-3_16; Bottou, Curtis, Nocedal, 2018, Optimization methods for large-scale machine
learning, section 5, doi:10.1137/16M1080173.
"""

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np

from tf_kit.checks import count, number, refuse
from tf_kit.data import minibatches
from tf_kit.networks.gradient_probe import GradientProbe, flat
from tf_kit.typing import ArrayLike

__all__ = [
    "GradientVariance",
    "epochs_to_steps",
    "gradient_variance",
    "minibatch_variance",
    "minibatches",
    "name_descent",
    "steps_per_epoch",
]


def minibatch_variance(
    example_variance: float, batch_size: int, num_examples: int, replace: bool = False
) -> float:
    """Variance of the gradient of a minibatch, from the variance of the gradients of its examples.

    Ten times as many examples cost ten times the work. They divide the variance by 10, but the standard
    deviation only by √10, which is an argument for small minibatches.

        σ² = 1/N Σ_n ‖g_n − ḡ‖²                                          (1)
        E‖g_B − ḡ‖² = σ²/B                       drawn with replacement  (2)
        E‖g_B − ḡ‖² = σ²/B · (N − B)/(N − 1)     without                 (3)

    where g_n is the gradient of example n, ḡ their mean, g_B the mean over a minibatch of B = `batch_size`
    of the N = `num_examples`, and σ² = `example_variance`. An epoch draws without replacement, as in (3),
    where the variance is 0 at B = N.

    Args:
        example_variance: σ² of (1), at least 0.
        batch_size: B, at least 1; at most N when drawn without replacement.
        num_examples: N, at least 1.
        replace: whether an example can be drawn twice into a minibatch. Defaults to False.

    Returns:
        Expected squared distance of the minibatch gradient from the full gradient.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> from tf_kit.design import minibatch_variance
        >>> minibatch_variance(6.0, batch_size=4, num_examples=10, replace=True)
        1.5
        >>> minibatch_variance(6.0, batch_size=4, num_examples=10)
        1.0

    Reference: Cochran, 1977, Sampling techniques, theorem 2.2 (the finite population correction).
    """
    variance = number("minibatch_variance.example_variance", example_variance, at_least=0)
    b, n = _sizes("minibatch_variance", batch_size, num_examples, replace)
    if replace:
        return variance / b  # (2)
    return variance / b * (n - b) / max(n - 1, 1)  # (3)


@dataclasses.dataclass(frozen=True)
class GradientVariance:
    """Result of `gradient_variance`, one entry per batch size; printed as a table by `str`.

    Attributes:
        batch_sizes: int (k,).
        measured: float64 (k,), mean of ‖g_B − ḡ‖² over the draws.
        standard_error: float64 (k,), of `measured`.
        theory: float64 (k,), by `minibatch_variance`.
        example_variance: σ² of the examples.
        gradient_norm: ‖ḡ‖, for comparison with the size of the noise, √measured.
    """

    batch_sizes: np.ndarray
    measured: np.ndarray
    standard_error: np.ndarray
    theory: np.ndarray
    example_variance: float
    gradient_norm: float

    def __str__(self) -> str:
        lines = [f"{'batch size':>10}{'measured':>12}{'± error':>12}{'theory':>12}{'noise/signal':>14}"]
        columns = (self.batch_sizes, self.measured, self.standard_error, self.theory)
        for size, measured, error, theory in zip(*columns, strict=True):
            ratio = math.sqrt(measured) / self.gradient_norm if self.gradient_norm else math.inf
            lines.append(f"{size:>10}{measured:>12.4g}{error:>12.2g}{theory:>12.4g}{ratio:>14.3g}")
        return "\n".join(lines)


def gradient_variance(
    model: keras.Model,
    x: ArrayLike,
    y: ArrayLike,
    loss: keras.losses.Loss | str,
    batch_sizes: Sequence[int] = (1, 4, 16, 64),
    num_draws: int = 100,
    replace: bool = False,
    seed: int = 0,
) -> GradientVariance:
    """Measure the noise of a model's minibatch gradients and compare it with theory.

    Helps to choose a batch size: larger minibatches help up to the size at which the noise equals the
    gradient; far above it they are wasted. The model runs in inference mode and does not change.

        measured_B = mean over draws of ‖g_B − ḡ‖²                       (1)

    where g_B is the gradient of the model's mean loss over a freshly drawn minibatch and ḡ that over all
    examples of `x`, each as one vector over all trainable weights. Computes one gradient per example and per
    draw.

    Args:
        model: Keras model.
        x, y: arrays of the N examples (n, …) and targets, taken as the whole training set.
        loss: Keras loss or its name.
        batch_sizes: sizes B to measure. Defaults to (1, 4, 16, 64).
        num_draws: minibatches per size, at least 2. Defaults to 100.
        replace: whether an example can be drawn twice into a minibatch. Defaults to False, as in training.
        seed: whole number that fixes the draws. Defaults to 0.

    Returns:
        `GradientVariance`.

    Raises:
        ValueError: a number is out of range, `x` and `y` differ in length or are empty, or the model has no
            trainable weights.

    Example:
        >>> import keras, numpy as np
        >>> from tf_kit.design import gradient_variance
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(64, 3)), rng.normal(size=(64, 1))
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> found = gradient_variance(model, x, y, "mse", batch_sizes=(1, 16, 64), num_draws=50)
        >>> bool(np.all(np.abs(found.measured - found.theory) <= 4 * found.standard_error + 1e-9))
        True

    Reference: Bottou, Curtis, Nocedal, 2018, section 5, doi:10.1137/16M1080173.
    """
    x, y = np.asarray(x), np.asarray(y)
    n = len(x)
    if n == 0 or len(y) != n:
        requirement = "get at least one example, and one target per example"
        refuse("gradient_variance", requirement, f"{n} examples, {len(y)} targets")
    if not np.size(batch_sizes) or np.ndim(batch_sizes) != 1:
        received = f"batch_sizes={batch_sizes!r}"
        refuse("gradient_variance.batch_sizes", "be a list of at least one size, such as (1, 16)", received)
    sizes = [_sizes("gradient_variance", size, n, replace)[0] for size in batch_sizes]
    num_draws = count("gradient_variance.num_draws", num_draws, at_least=2)
    rng = np.random.default_rng(count("gradient_variance.seed", seed, at_least=0))
    if not model.built:
        model(x[:1])
    if not model.trainable_variables:
        refuse("gradient_variance.model", "have trainable weights", f"{model.name}")
    probe = GradientProbe(model, loss)

    def gradient(indices):
        return flat(probe(x[indices], y[indices])[1])

    mean, squares = 0.0, 0.0
    for i in range(n):  # Welford's update avoids the difference of two large sums
        example = gradient([i])
        delta = example - mean
        mean = mean + delta / (i + 1)
        squares += float(delta @ (example - mean))
    example_variance = squares / n

    rows = []
    for size in sizes:
        draws = [gradient(rng.choice(n, size, replace=replace)) - mean for _ in range(num_draws)]
        distances = np.array([each @ each for each in draws])  # (1)
        theory = minibatch_variance(example_variance, size, n, replace)
        rows.append((distances.mean(), distances.std(ddof=1) / math.sqrt(num_draws), theory))
    measured, errors, theory = np.array(rows).T
    return GradientVariance(
        np.array(sizes), measured, errors, theory, example_variance, float(np.linalg.norm(mean))
    )


def steps_per_epoch(num_examples: int, batch_size: int, drop_remainder: bool = False) -> int:
    """Number of updates in one pass over the training set.

        steps = ⌈N / B⌉, or ⌊N / B⌋ when a short last minibatch is dropped   (1)

    Args:
        num_examples: N, at least 1.
        batch_size: B, examples in one update, at least 1.
        drop_remainder: whether the short last minibatch is left out. Defaults to False.

    Returns:
        Number of steps, at least 1.

    Raises:
        ValueError: a number is out of range, or no minibatch is left after dropping.

    Example:
        >>> from tf_kit.design import steps_per_epoch
        >>> steps_per_epoch(50_000, 128), steps_per_epoch(50_000, 128, drop_remainder=True)
        (391, 390)
    """
    n = count("steps_per_epoch.num_examples", num_examples)
    b = count("steps_per_epoch.batch_size", batch_size)
    if drop_remainder and b > n:
        refuse(
            "steps_per_epoch.batch_size", f"be at most {n} when the remainder is dropped", f"batch_size={b}"
        )
    return n // b if drop_remainder else -(-n // b)  # (1)


def epochs_to_steps(epochs: int, num_examples: int, batch_size: int, drop_remainder: bool = False) -> int:
    """Number of updates in a training run, as learning rate schedules count them.

    The batch size is the number of examples in one update, an epoch is one pass over the training set, and a
    step is one update.

        steps = epochs · ⌈N / B⌉                                         (1)

    Args:
        epochs: passes over the training set, at least 1.
        num_examples, batch_size, drop_remainder: as in `steps_per_epoch`.

    Returns:
        Number of steps.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> from tf_kit.design import epochs_to_steps
        >>> epochs_to_steps(epochs=10, num_examples=1197, batch_size=32)
        380

    Slide: "Batch size: the number of times the entire training set pass through the neural network" defines
    the number of epochs. `batch_size=5` does not make five passes, but one pass in updates of five examples.
    """
    epochs = count("epochs_to_steps.epochs", epochs)
    return epochs * steps_per_epoch(num_examples, batch_size, drop_remainder)  # (1)


def name_descent(batch_size: int, num_examples: int) -> str:
    """Name of gradient descent with this many examples in one update.

    Args:
        batch_size: examples in one update, from 1 to `num_examples`.
        num_examples: examples in the training set.

    Returns:
        "full-batch gradient descent", "stochastic gradient descent" or "minibatch gradient descent". If the
        training set has one example, that example is a full batch: its gradient is exact.

    Raises:
        ValueError: `batch_size` is out of range.

    Example:
        >>> from tf_kit.design import name_descent
        >>> [name_descent(size, 1000).split()[0] for size in (1, 32, 1000)]
        ['stochastic', 'minibatch', 'full-batch']

    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, section 8.1.3.
    """
    b, n = _sizes("name_descent", batch_size, num_examples, replace=False)
    kind = "full-batch" if b == n else "stochastic" if b == 1 else "minibatch"
    return f"{kind} gradient descent"


def _sizes(subject, batch_size, num_examples, replace):
    n = count(f"{subject}.num_examples", num_examples)
    b = count(f"{subject}.batch_size", batch_size)
    if b > n and not replace:
        requirement = f"be at most {n}, the number of examples"
        refuse(
            f"{subject}.batch_size",
            requirement,
            f"batch_size={b}",
            "replace=True draws an example again",
        )
    return b, n
