"""Learning rates that change with the step: Robbins–Monro, linear decay, warmup with cosine decay."""

import math

import keras
from keras import ops

from tf_kit._checks import count, number, refuse


def _as_float(step):
    return ops.cast(step, keras.config.floatx())


@keras.saving.register_keras_serializable(package="tf_kit")
class RobbinsMonro(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls as a power of the step, slowly enough to arrive and fast enough to settle.

    With noisy gradients a constant rate leaves SGD hovering around the minimum. It converges if the rates sum
    to infinity, so that it can arrive from anywhere, while their squares have a finite sum, so that the noise
    is averaged away. Of the powers below, those in (1/2, 1] do both; others are refused.

        ηₖ = η₀ (1 + k/τ)^(−p),   k = 0, 1, 2, …                         (1)
        Σ ηₖ = ∞   if and only if p ≤ 1                                  (2)
        Σ ηₖ² < ∞  if and only if p > 1/2                                (3)

    where η₀ = initial, p = power, τ = delay, k counts the steps. After τ steps the rate is 2^(−p) η₀.

    Args:
        initial: η₀, the rate of the first step, above 0.
        power: p, in (0.5, 1]. Defaults to 1, the fastest fall that still arrives.
        delay: τ, in steps, above 0. Defaults to 1.

    Call arguments:
        step: k, a whole number, scalar.

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
        tf_kit._checks.InputError: `RobbinsMonro.power` must be a number in (0.5, 1] so that Σηₖ diverges and
        Σηₖ² converges. Received: power=0.3. Use `LinearDecay` outside this class.

    Reference: Robbins and Monro, 1951, A stochastic approximation method; Bottou, 2010, Large-scale machine
    learning with stochastic gradient descent.
    """

    def __init__(self, initial: float, power: float = 1.0, delay: float = 1.0):
        self.initial = number("RobbinsMonro.initial", initial, above=0)
        why, remedy = "so that Σηₖ diverges and Σηₖ² converges", "Use `LinearDecay` outside this class"
        self.power = number("RobbinsMonro.power", power, above=0.5, at_most=1, why=why, remedy=remedy)
        self.delay = number("RobbinsMonro.delay", delay, above=0)

    def __call__(self, step):
        return self.initial * ops.power(1 + _as_float(step) / self.delay, -self.power)  # (1)

    def get_config(self):
        return {"initial": self.initial, "power": self.power, "delay": self.delay}


@keras.saving.register_keras_serializable(package="tf_kit")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls along a straight line, then stays.

    For a training whose number of steps is decided beforehand. The sums of Robbins and Monro say nothing
    about it: with `final` at zero it stops wherever it is.

        a = min(k/K, 1)                                                  (1)
        ηₖ = (1 − a) η₀ + a η_K                                          (2)

    where η₀ = initial, η_K = final, K = num_steps, k counts the steps from zero.

    Args:
        initial: η₀, above 0.
        num_steps: K, at least 1: the steps until `final` is reached.
        final: η_K, at least 0. Defaults to 0.

    Call arguments:
        step: k, a whole number, scalar.

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

    def __init__(self, initial: float, num_steps: int, final: float = 0.0):
        self.initial = number("LinearDecay.initial", initial, above=0)
        self.num_steps = count("LinearDecay.num_steps", num_steps)
        self.final = number("LinearDecay.final", final, at_least=0)

    def __call__(self, step):
        a = ops.minimum(_as_float(step) / self.num_steps, 1.0)  # (1)
        return (1 - a) * self.initial + a * self.final  # (2)

    def get_config(self):
        return {"initial": self.initial, "num_steps": self.num_steps, "final": self.final}


@keras.saving.register_keras_serializable(package="tf_kit")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises along a line to its peak, then falls along half a cosine.

    The usual schedule of pretraining: the warmup protects the first steps, whose gradients and moments are
    those of random weights, and the cosine spends most steps at rates that matter.

        ηₖ = η₀ + (η_max − η₀) k/w                              for k < w        (1)
        ηₖ = η_K + (η_max − η_K) (1 + cos(π (k − w)/(K − w)))/2  for w ≤ k ≤ K   (2)

    where η_max = peak, η₀ = initial, η_K = final, w = warmup_steps, K = num_steps, k counts the steps from
    zero; after K the rate stays at η_K.

    Args:
        peak: η_max, above 0.
        warmup_steps: w, at least 0 and below `num_steps`.
        num_steps: K, the steps of the whole training, warmup included, at least 1.
        initial: η₀, at least 0. Defaults to 0.
        final: η_K, at least 0. Defaults to 0.

    Call arguments:
        step: k, a whole number, scalar.

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
    Reference: Loshchilov and Hutter, 2017, SGDR: stochastic gradient descent with warm restarts, equation 5;
    the warmup: Goyal et al., 2017, Accurate, large minibatch SGD, section 2.2.
    """

    def __init__(
        self, peak: float, warmup_steps: int, num_steps: int, initial: float = 0.0, final: float = 0.0
    ):
        self.peak = number("WarmupCosine.peak", peak, above=0)
        self.warmup_steps = count("WarmupCosine.warmup_steps", warmup_steps, at_least=0)
        self.num_steps = count("WarmupCosine.num_steps", num_steps)
        self.initial = number("WarmupCosine.initial", initial, at_least=0)
        self.final = number("WarmupCosine.final", final, at_least=0)
        if self.warmup_steps >= self.num_steps:
            requirement = f"be below num_steps={num_steps}, which includes the warmup"
            remedy = "Give the steps of the whole training as `num_steps`"
            refuse("WarmupCosine.warmup_steps", requirement, f"warmup_steps={warmup_steps}", remedy)

    def __call__(self, step):
        k = _as_float(step)
        rising = self.initial + (self.peak - self.initial) * k / max(self.warmup_steps, 1)  # (1)
        a = ops.minimum((k - self.warmup_steps) / (self.num_steps - self.warmup_steps), 1.0)
        falling = self.final + (self.peak - self.final) * (1 + ops.cos(math.pi * a)) / 2  # (2)
        return ops.where(k < self.warmup_steps, rising, falling)

    def get_config(self):
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "num_steps": self.num_steps,
            "initial": self.initial,
            "final": self.final,
        }
