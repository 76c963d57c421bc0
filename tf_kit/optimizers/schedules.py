"""Learning rate schedules: Robbins–Monro, linear decay, warmup with cosine decay."""

import math
from typing import Any

import keras
from keras import ops

from tf_kit.checks import count, number, refuse
from tf_kit.typing import Tensor


def _as_float(step):
    return ops.cast(step, keras.config.floatx())


@keras.saving.register_keras_serializable(package="tf_kit")
class RobbinsMonro(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that falls as a power of the step, slowly and fast enough for SGD to converge.

    With noisy gradients and a constant rate, SGD hovers around the minimum. It converges if the rates sum to
    infinity, so that it can reach the minimum from anywhere, and their squares have a finite sum, so that the
    noise averages out. The powers in (1/2, 1] satisfy both conditions; others are refused.

        ηₖ = η₀ (1 + k/τ)^(−p),   k = 0, 1, 2, …                         (1)
        Σ ηₖ = ∞   if and only if p ≤ 1                                  (2)
        Σ ηₖ² < ∞  if and only if p > 1/2                                (3)

    where η₀ = initial, p = power, τ = delay, and k counts the steps.

    Args:
        initial: η₀, the rate of the first step, above 0.
        power: p, in (0.5, 1]; a larger power falls faster. Defaults to 1, the fastest fall that converges.
        delay: τ, the number of steps after which the rate is 2^(−p) η₀, above 0. Defaults to 1.

    Call arguments:
        step: k, a whole number or a scalar tensor.

    Returns:
        ηₖ, a scalar.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> from tf_kit import optimizers
        >>> schedule = optimizers.RobbinsMonro(initial=0.1, power=1.0, delay=100)
        >>> print([round(float(schedule(k)), 4) for k in (0, 100, 900)])
        [0.1, 0.05, 0.01]
        >>> optimizers.RobbinsMonro(initial=0.1, power=0.3)
        Traceback (most recent call last):
        tf_kit.errors.InputError: `RobbinsMonro.power` must be a number in (0.5, 1] so that Σηₖ diverges and
        Σηₖ² converges. Received: power=0.3. Use `LinearDecay` outside this class.

    Reference: Robbins and Monro, 1951, A stochastic approximation method, doi:10.1214/aoms/1177729586; Bottou,
    2010, Large-scale machine learning with stochastic gradient descent, doi:10.1007/978-3-7908-2604-3_16.
    """

    def __init__(self, initial: float, power: float = 1.0, delay: float = 1.0) -> None:
        self.initial = number("RobbinsMonro.initial", initial, above=0)
        why, remedy = "so that Σηₖ diverges and Σηₖ² converges", "Use `LinearDecay` outside this class"
        self.power = number("RobbinsMonro.power", power, above=0.5, at_most=1, why=why, remedy=remedy)
        self.delay = number("RobbinsMonro.delay", delay, above=0)

    def __call__(self, step: int | Tensor) -> Tensor:
        return self.initial * ops.power(1 + _as_float(step) / self.delay, -self.power)  # (1)

    def get_config(self) -> dict[str, Any]:
        return {"initial": self.initial, "power": self.power, "delay": self.delay}


@keras.saving.register_keras_serializable(package="tf_kit")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that falls along a straight line, then stays constant.

    For training runs whose number of steps is known in advance. The conditions of `RobbinsMonro` do not hold:
    with `final` at zero, training stops after `num_steps` steps whether or not it has converged.

        a = min(k/K, 1)                                                  (1)
        ηₖ = (1 − a) η₀ + a η_K                                          (2)

    where η₀ = initial, η_K = final, K = num_steps, and k counts the steps from zero.

    Args:
        initial: η₀, the rate of the first step, above 0.
        num_steps: K, the number of steps until `final` is reached, at least 1.
        final: η_K, the rate from step K on, at least 0. Defaults to 0.

    Call arguments:
        step: k, a whole number or a scalar tensor.

    Returns:
        ηₖ, a scalar.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> from tf_kit import optimizers
        >>> schedule = optimizers.LinearDecay(initial=0.5, num_steps=100, final=0.1)
        >>> print([round(float(schedule(k)), 4) for k in (0, 50, 100, 1000)])
        [0.5, 0.3, 0.1, 0.1]

    Convention: `keras.optimizers.schedules.PolynomialDecay` with power 1.
    Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, equation 8.14.
    """

    def __init__(self, initial: float, num_steps: int, final: float = 0.0) -> None:
        self.initial = number("LinearDecay.initial", initial, above=0)
        self.num_steps = count("LinearDecay.num_steps", num_steps)
        self.final = number("LinearDecay.final", final, at_least=0)

    def __call__(self, step: int | Tensor) -> Tensor:
        a = ops.minimum(_as_float(step) / self.num_steps, 1.0)  # (1)
        return (1 - a) * self.initial + a * self.final  # (2)

    def get_config(self) -> dict[str, Any]:
        return {"initial": self.initial, "num_steps": self.num_steps, "final": self.final}


@keras.saving.register_keras_serializable(package="tf_kit")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises along a line to its peak, then falls along half a cosine.

    The usual schedule of pretraining: the warmup keeps the first steps small, while gradients and moments still
    come from random weights, and the cosine stays near the peak longer than a line would.

        ηₖ = η₀ + (η_max − η₀) k/w                              for k < w        (1)
        ηₖ = η_K + (η_max − η_K) (1 + cos(π (k − w)/(K − w)))/2  for w ≤ k ≤ K   (2)

    where η_max = peak, η₀ = initial, η_K = final, w = warmup_steps, K = num_steps, and k counts the steps from
    zero; after K the rate stays at η_K.

    Args:
        peak: η_max, the largest rate, above 0.
        warmup_steps: w, the number of steps until the peak, at least 0 and below `num_steps`.
        num_steps: K, the number of steps of the whole training, warmup included, at least 1.
        initial: η₀, the rate of the first step, at least 0. Defaults to 0.
        final: η_K, the rate from step K on, at least 0. Defaults to 0.

    Call arguments:
        step: k, a whole number or a scalar tensor.

    Returns:
        ηₖ, a scalar.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> from tf_kit import optimizers
        >>> schedule = optimizers.WarmupCosine(peak=0.4, warmup_steps=10, num_steps=110)
        >>> print([round(float(schedule(k)), 4) for k in (0, 5, 10, 60, 110)])
        [0.0, 0.2, 0.4, 0.2, 0.0]

    Convention: `keras.optimizers.schedules.CosineDecay` counts `decay_steps` from the end of the warmup
    (K − w) and takes `final` as a fraction of the peak.
    Reference: Loshchilov and Hutter, 2017, SGDR: stochastic gradient descent with warm restarts, equation 5,
    arXiv:1608.03983; for the warmup: Goyal et al., 2017, Accurate, large minibatch SGD, section 2.2,
    arXiv:1706.02677.
    """

    def __init__(
        self, peak: float, warmup_steps: int, num_steps: int, initial: float = 0.0, final: float = 0.0
    ) -> None:
        self.peak = number("WarmupCosine.peak", peak, above=0)
        self.warmup_steps = count("WarmupCosine.warmup_steps", warmup_steps, at_least=0)
        self.num_steps = count("WarmupCosine.num_steps", num_steps)
        self.initial = number("WarmupCosine.initial", initial, at_least=0)
        self.final = number("WarmupCosine.final", final, at_least=0)
        if self.warmup_steps >= self.num_steps:
            requirement = f"be below num_steps={num_steps}, which includes the warmup"
            remedy = "Pass the number of steps of the whole training as `num_steps`"
            refuse("WarmupCosine.warmup_steps", requirement, f"warmup_steps={warmup_steps}", remedy)

    def __call__(self, step: int | Tensor) -> Tensor:
        k = _as_float(step)
        rising = self.initial + (self.peak - self.initial) * k / max(self.warmup_steps, 1)  # (1)
        a = ops.minimum((k - self.warmup_steps) / (self.num_steps - self.warmup_steps), 1.0)
        falling = self.final + (self.peak - self.final) * (1 + ops.cos(math.pi * a)) / 2  # (2)
        return ops.where(k < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "num_steps": self.num_steps,
            "initial": self.initial,
            "final": self.final,
        }
