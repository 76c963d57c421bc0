"""Gaussian noise on inputs, on units, and on normalized sums, as layers.

Slide: "Regularization in Deep Learning": add stochastic noise.

Reference: Bishop, 1995, Training with noise is equivalent to Tikhonov regularization, doi:10.1162/neco.1995.7.1.108;
Rasmus, Valpola, Honkala, Berglund, Raiko, 2015, Semi-supervised learning with ladder networks, arXiv:1507.02672, whose
supervised baseline is noise on the normalized sum of every unit.
"""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import count, number
from tf_kit.dtypes import as_floats
from tf_kit.randomness.saved_seed import SavesItsSeed
from tf_kit.regularization.batch_norm import BatchNorm
from tf_kit.replicas import drawn_for_the_global_batch
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class GaussianNoise(SavesItsSeed, keras.layers.Layer):
    """Add Gaussian noise to each unit of each example in training.

    Unlike dropout it removes nothing: it blurs how much a unit says. Noise of fixed size only regularizes units whose
    scale is fixed, since a network can make its weights large instead: inputs, or the sums of `NoisyBatchNorm`. At
    inference the inputs are returned unchanged.

        y = x + σ z,   z ~ N(0, 1), one for each element                 (1)

    where σ = `stddev`; the expectation of y over the noise is x, its variance σ².

    Args:
        stddev: σ, at least 0, in units of the inputs; usually 0.3 for units of variance 1.
        seed: whole number that fixes the noise. Defaults to None, noise that differs from run to run. The state of
            the generator is saved with the model. Under a distribution strategy the noise of the global batch is drawn
            and each replica takes that of its examples, so noise does not depend on the number of replicas.

    Call arguments:
        inputs: tensor (n, …) of any rank; integers become floats.
        training: whether to add noise instead of returning the inputs.

    Input shape: (n, …). Output shape: the same.

    Raises:
        ValueError: `stddev` is negative.

    Example:
        >>> import numpy as np
        >>> layer = GaussianNoise(0.3, seed=0)
        >>> outputs = layer(np.ones((1000, 100)), training=True).numpy()
        >>> round(float(outputs.mean()), 2), round(float(outputs.std()), 2)
        (1.0, 0.3)

    Convention: as in Keras; a strategy there draws noise for each replica. `AddNoise` does the same to images, by the
    key of each example.
    Reference: Bishop, 1995, Training with noise is equivalent to Tikhonov regularization,
    doi:10.1162/neco.1995.7.1.108.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = number("GaussianNoise.stddev", stddev, at_least=0)
        self.seed = seed if seed is None else count("GaussianNoise.seed", seed, at_least=0)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        inputs = as_floats(inputs, self.compute_dtype)
        if not training or self.stddev == 0:
            return inputs
        z = drawn_for_the_global_batch(
            keras.random.normal, inputs, ops.shape(inputs)[1:], self.seed_generator
        )
        return inputs + ops.cast(self.stddev * z, inputs.dtype)  # (1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev, "seed": self.seed}


@keras.saving.register_keras_serializable(package="tf_kit")
class NoisyBatchNorm(BatchNorm):
    """Batch normalization with Gaussian noise on the normalized values in training.

    The noise is as large, compared with what a unit says, whatever the sizes of its weights and of γ: a network cannot
    evade it by larger weights.

        x̂    = (x − μ_B) / √(σ²_B + ε)                                   (1)
        y    = γ (x̂ + s z) + β,   z ~ N(0, 1), one for each element      (2)

    where s = `stddev`, and all else as in `BatchNorm`. At inference there is no noise.

    Args:
        stddev: s, at least 0; usually 0.3.
        seed: as for `GaussianNoise`. Defaults to None.
        **kwargs: as for `BatchNorm`.

    Call arguments: as for `BatchNorm`.

    Input shape: (n, …). Output shape: the same.

    Raises:
        ValueError: `stddev` is negative, or an argument of `BatchNorm` is out of range.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(5, 2, (1000, 100)).astype("float32")
        >>> round(float(NoisyBatchNorm(1.0, seed=0)(x, training=True).numpy().var()), 1)  # 1 + 1²
        2.0

    Reference: Rasmus, Valpola, Honkala, Berglund, Raiko, 2015, Semi-supervised learning with ladder networks,
    section 3, arXiv:1507.02672.
    """

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.noise = GaussianNoise(stddev, seed, dtype="float32")

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        outputs = super().call(inputs, training=training, mask=mask)
        if not (training and self.trainable):
            return outputs
        noise = self.noise(ops.zeros_like(outputs, dtype="float32"), training=True)  # s z
        if self.scale:
            noise *= ops.cast(ops.reshape(self.gamma, self._shape), noise.dtype)
        return outputs + ops.cast(noise, outputs.dtype)  # (2)

    def get_config(self) -> dict[str, Any]:
        own = {"stddev": self.noise.stddev, "seed": self.noise.seed}
        return {**super().get_config(), **own}
