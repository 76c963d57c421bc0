"""Dropout of units and of weights, as layers; `voting` averages the thinned networks.

`rate` is always the probability of dropping. Kept units or weights are multiplied by 1 / (1 − rate) in training
("inverted" scaling), so prediction uses the trained weights unchanged.

Slide: p is the probability of *keeping* a neuron on one slide and of *dropping* it (0.2 / 0.5) on the next; on the
third, α is that of keeping it (0.8 / 0.5). α = 0.8 for input units is `Dropout(rate=0.2)`; a rate of 0.8 would drop
80 % of the input. The prediction of the third slide, "weights going out from a unit are multiplied by α", belongs to
training without scaling. With inverted scaling the weights contain this factor already, and it is not applied again.

Reference: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, 2014, Dropout: a simple way to prevent neural
networks from overfitting, sections 4 and 10; Wan, Zeiler, Zhang, LeCun, Fergus, 2013, Regularization of neural
networks using DropConnect.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import choice, count, number, refuse
from tf_kit.dtypes import as_floats, widened
from tf_kit.randomness.saved_seed import SavesItsSeed
from tf_kit.replicas import drawn_for_the_global_batch
from tf_kit.typing import Tensor

_MIXING_UNITS = (
    keras.activations.softmax,
    keras.activations.log_softmax,
    keras.activations.sparsemax,
    keras.activations.glu,
)
_MOST_POINTS = 300  # NumPy's weights of the quadrature are nan from 380 on
_KEEPS = "`rate` is the probability of dropping; for a probability α of keeping, use 1 − α"


@keras.saving.register_keras_serializable(package="tf_kit")
class Dropout(SavesItsSeed, keras.layers.Layer):
    """Set each unit of each example to zero with probability `rate` in training.

    A new mask is drawn for every example at every step, so each example trains a different thinned network, and all
    of these share their weights. At inference the inputs are returned unchanged.

        m ~ Bernoulli(1 − r), one for each element                       (1)
        y = m · x / (1 − r)                                              (2)

    where r = `rate`; the expectation of y over masks is x, its variance x² r / (1 − r).

    Args:
        rate: probability of dropping a unit, in [0, 1); usually 0.2 for input units and 0.5 for hidden units.
        seed: whole number that fixes the masks. Defaults to None, masks that differ from run to run. The state of the
            generator is saved with the model. Under a distribution strategy the masks of the global batch are drawn
            and each replica takes those of its examples, so masks do not depend on the number of replicas.

    Call arguments:
        inputs: tensor (n, …) of any rank; integers become floats.
        training: whether to draw a mask instead of returning the inputs.

    Input shape: (n, …). Output shape: the same.

    Raises:
        ValueError: `rate` is outside [0, 1).

    Example:
        >>> layer = Dropout(0.25, seed=0)
        >>> outputs = layer(np.ones((1000, 100)), training=True).numpy()
        >>> sorted(set(outputs.ravel().tolist()))
        [0.0, 1.3333333730697632]
        >>> bool(abs((outputs == 0).mean() - 0.25) < 0.01)
        True

    Convention: `rate` as in Keras, p in PyTorch; Srivastava et al. write p for the probability of keeping.
    Slide: p and α are probabilities of keeping or of dropping; see the docstring of this module.
    Reference: Srivastava et al., 2014, Dropout: a simple way to prevent neural networks from overfitting, section 4;
    Goodfellow, Bengio, Courville, 2016, Deep Learning, section 7.12.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = number("Dropout.rate", rate, at_least=0, below=1, remedy=_KEEPS)
        self.seed = seed if seed is None else count("Dropout.seed", seed, at_least=0)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        inputs = as_floats(inputs, self.compute_dtype)
        if not training or self.rate == 0:
            return inputs
        kept = _kept_for_each_example(inputs, ops.shape(inputs)[1:], self.rate, self.seed_generator)  # (1)
        return ops.where(kept, inputs / (1 - self.rate), ops.zeros_like(inputs))  # (2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="tf_kit")
class DropConnect(SavesItsSeed, keras.layers.Dense):
    """Dense layer that drops weights instead of units in training.

    Dropout of the inputs drops all outgoing weights of an input together. Here each weight is dropped independently,
    so each unit loses different inputs. The bias counts as one more weight.

        M ~ Bernoulli(1 − r), one for each weight                        (1)
        u = ((M ∘ W)ᵀ v + m ∘ b) / (1 − r),   y = a(u)                   (2)

    Inference uses either the mean of u, or the mean of y for a Gaussian u with the same mean and variance:

        μ = Wᵀ v + b,   s² = r / (1 − r) · ((W ∘ W)ᵀ (v ∘ v) + b ∘ b)    (3)
        "mean":      y = a(μ)                                            (4)
        "gaussian":  y = E a(u),  u ~ N(μ, s²)                           (5)

    where v are the inputs, a = `activation`, r = `rate`.

    Args:
        units: number of outputs.
        rate: probability of dropping a weight, in [0, 1).
        per_example: whether to draw a mask for every example, as in the paper, which needs memory for n · in · units
            numbers, instead of one mask for the batch. Defaults to False.
        inference: "mean" or "gaussian". Defaults to "mean".
        num_points: number of nodes of the quadrature that computes (5), at most 300. Defaults to 32.
        seed: whole number that fixes the masks. Defaults to None, masks that differ from run to run.
        **kwargs: arguments of `keras.layers.Dense`, such as activation, use_bias, kernel_initializer.

    Input shape: (n, …, in). Output shape: (n, …, units).

    Raises:
        ValueError: `rate` is outside [0, 1), `num_points` is above 300, or "gaussian" is combined with softmax or
            another activation of Keras that mixes units.

    Example:
        >>> layer = DropConnect(1, rate=0.5, use_bias=False, kernel_initializer="ones", seed=0)
        >>> layer(np.ones((1, 4))).numpy().tolist()
        [[4.0]]
        >>> drawn = [layer(np.ones((1, 4)), training=True).numpy().item() for _ in range(50)]
        >>> sorted(set(drawn))
        [0.0, 2.0, 4.0, 6.0, 8.0]

    Convention: the paper does not scale in training and multiplies μ by the probability of keeping. For (5) it
    averages over random draws of u; here Gauss–Hermite quadrature makes prediction deterministic. The Gaussians of
    single units do not determine the joint distribution of all units, which a softmax would need.
    Reference: Wan, Zeiler, Zhang, LeCun, Fergus, 2013, Regularization of neural networks using DropConnect, sections 3
    and 3.2.
    """

    def __init__(
        self,
        units: int,
        rate: float,
        *,
        per_example: bool = False,
        inference: str = "mean",
        num_points: int = 32,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        self.rate = number("DropConnect.rate", rate, at_least=0, below=1, remedy=_KEEPS)
        self.per_example = bool(per_example)
        mixes = self.activation in _MIXING_UNITS
        allowed = ("mean",) if mixes else ("mean", "gaussian")
        remedy = (
            f"Put the {self.activation.__name__} into a separate layer, since it mixes units" if mixes else ""
        )
        self.inference = choice("DropConnect.inference", inference, allowed, remedy)
        self.num_points = count("DropConnect.num_points", num_points)
        if self.num_points > _MOST_POINTS:
            refuse("DropConnect.num_points", f"be at most {_MOST_POINTS}", f"num_points={num_points}")
        self.seed = seed if seed is None else count("DropConnect.seed", seed, at_least=0)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        inputs = as_floats(inputs, self.compute_dtype)
        if training and self.rate > 0:
            return self.thinned(inputs, self.per_example)
        if self.inference == "gaussian" and self.rate > 0:
            return self._expected(inputs)
        return super().call(inputs)  # (4)

    def thinned(self, inputs: Tensor, per_example: bool) -> Tensor:
        """Compute the outputs of one random thinned network, or of one for every example: equations (1) and (2)."""
        shape = ops.shape(self.kernel)
        if per_example:
            kept = _kept_for_each_example(inputs, shape, self.rate, self.seed_generator)
            product = "n...i,nio->n...o"
        else:
            kept = keras.random.uniform(shape, seed=self.seed_generator) >= self.rate
            product = "n...i,io->n...o"
        kernel = ops.cast(kept, self.kernel.dtype) * self.kernel / (1 - self.rate)  # (1)
        outputs = ops.einsum(product, inputs, ops.cast(kernel, inputs.dtype))
        if self.use_bias:
            if per_example:
                kept = _kept_for_each_example(inputs, (self.units,), self.rate, self.seed_generator)
                kept = ops.reshape(kept, (-1, *[1] * (len(inputs.shape) - 2), self.units))
            else:
                kept = keras.random.uniform((self.units,), seed=self.seed_generator) >= self.rate
            outputs += ops.cast(kept, outputs.dtype) * ops.cast(self.bias, outputs.dtype) / (1 - self.rate)
        return self.activation(outputs)  # (2)

    def _expected(self, inputs):
        v, kernel = widened(inputs), widened(self.kernel)  # float16 cannot hold the square of 256
        mean, variance = ops.matmul(v, kernel), ops.matmul(ops.square(v), ops.square(kernel))
        if self.use_bias:
            bias = widened(self.bias)
            mean, variance = mean + bias, variance + ops.square(bias)
        deviation = ops.sqrt(self.rate / (1 - self.rate) * variance)  # (3)
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.num_points)
        weights = weights / weights.sum()
        values = [
            float(w) * self.activation(mean + float(z) * deviation)
            for z, w in zip(nodes, weights, strict=True)
        ]
        return ops.cast(sum(values), inputs.dtype)  # (5)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate": self.rate,
            "per_example": self.per_example,
            "inference": self.inference,
            "num_points": self.num_points,
            "seed": self.seed,
        }


def _kept_for_each_example(inputs, shape, rate, seed_generator):
    """Return booleans (n, *shape), True with probability 1 − rate; drawn for the global batch."""
    return drawn_for_the_global_batch(keras.random.uniform, inputs, shape, seed_generator) >= rate
