"""Masked vectors: some features of an example are hidden and predicted from the others, with any encoder."""

import math
from typing import Any

import keras
from keras import ops

from tf_kit.checks import refuse
from tf_kit.dtypes import widened
from tf_kit.pretraining.autoencoder import Autoencoder, reconstruction_loss
from tf_kit.pretraining.masked.hiding import hide
from tf_kit.pretraining.method_options import MaskedVectorsOptions
from tf_kit.randomness.step import ExampleRandom
from tf_kit.typing import ArrayLike, Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class MaskedVectors(Autoencoder):
    """Masked autoencoder for plain vectors: some features are hidden and predicted from the others.

    Exactly round(`mask_ratio` · F) of the F features of each example are hidden, drawn anew in each step; in their
    place the encoder gets trained values.

        x̃_j = (1 − m_j) x_j + m_j t_j                                       (1)
        z = decoder(encoder(x̃))                                             (2)
        ℓ = 1/|M| Σ_{j ∈ M} ℓ_j(x_j, z_j),   M = {j : m_j = 1}              (3)

    where ℓ_j is the j-th term of the autoencoder's loss and t (F,) starts at 0. `DenoisingAutoencoder` hides features
    too, but its loss is the sum over all features, so most of it measures how well visible features are copied.
    Evaluation hides features too (as in step 0).

    Args:
        encoder, decoder, tied, loss: as for `Autoencoder`.
        mask_ratio: fraction of the features that is hidden, in (0, 1); at least one feature is hidden and at least
            one visible. Defaults to 0.5.
        seed: whole number that fixes the masks, the decoder's initial weights and the order of the data. Defaults to
            0.

    Raises:
        InputError: as for `Autoencoder`, or an example has a single feature.

    Example:
        >>> import numpy as np
        >>> from tf_kit import networks
        >>> x = np.eye(2, dtype="float32").repeat(3, axis=1).repeat(100, axis=0)  # two groups of three equal features
        >>> model = MaskedVectors(networks.mlp((8,), num_classes=None), mask_ratio=0.5)
        >>> model.compile(keras.optimizers.Adam(0.03))
        >>> loss = model.fit(x, batch_size=20, epochs=15, verbose=0).history["loss"]
        >>> loss[-1] < 0.2 * loss[0]
        True

    Reference: He et al., 2022, Masked autoencoders are scalable vision learners, arXiv:2111.06377; for corrupted
    features Vincent et al., 2010, Stacked denoising autoencoders.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        decoder: keras.layers.Layer | None = None,
        tied: bool = MaskedVectorsOptions.tied,
        loss: str = MaskedVectorsOptions.loss,
        mask_ratio: float = MaskedVectorsOptions.mask_ratio,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, decoder, tied, loss, seed, **kwargs)
        self.options = MaskedVectorsOptions(tied, loss, mask_ratio)
        self.mask_ratio = self.options.mask_ratio

    @property
    def counts_features(self) -> bool:
        return True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if tuple(input_shape[1:]) == (1,) * len(input_shape[1:]):
            requirement = "have examples of at least two features, one to hide and one to see"
            refuse("MaskedVectors.x", requirement, f"examples of shape {tuple(input_shape[1:])}")
        self.mask_values = self.add_weight(
            shape=tuple(input_shape[1:]), initializer="zeros", name="mask_values"
        )
        super().build(input_shape)

    def draw_masked(self, x: ArrayLike, random: ExampleRandom | None = None) -> Tensor:
        """Draw the hidden features: booleans in the shape of `x`, True where hidden.

        Args:
            x: examples (n, …).
            random: random numbers of the step. Defaults to None, those of step 0.
        """
        random = ExampleRandom(self.seed, 0, len(x)) if random is None else random
        # A data set may leave its number of features open, also in the graph of a step.
        shape = self.mask_values.shape if self.built else x.shape[1:]
        features = math.prod(shape)
        visible = min(max(features - round(self.mask_ratio * features), 1), features - 1)
        return ops.reshape(hide(random.uniform((features,)), visible)[2], (-1, *shape))

    def cover(self, x: Tensor, masked: Tensor) -> Tensor:
        """Compute x̃, the input of the encoder, equation (1)."""
        dtype = keras.backend.result_type(x.dtype, self.mask_values.dtype)
        return ops.where(masked, ops.cast(self.mask_values, dtype), ops.cast(x, dtype))  # (1)

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], None]:
        x = widened(x)
        masked = self.draw_masked(x, random)
        z = self.decoded(self.cover(x, masked), training=training)  # (2)
        loss = reconstruction_loss(ops.reshape(x, (-1, 1)), ops.reshape(z, (-1, 1)), self.resolve_loss(x))
        weights = ops.reshape(ops.cast(masked, loss.dtype), ops.shape(z))
        total = ops.sum(weights * ops.reshape(loss, ops.shape(z)), axis=-1)
        return {"loss": total / ops.sum(weights, axis=-1)}, None  # (3)

    def reconstruct(self, x: ArrayLike, masked: ArrayLike | None = None) -> Tensor:
        """Replace the hidden features by the predicted ones; float32, in the shape of `x`.

        Args:
            x: examples (n, …).
            masked: booleans in the shape of `x`, True where hidden; any number may be. Defaults to None,
                `draw_masked(x)`.
        """
        x = ops.cast(x, "float32")
        self.build_for(x)
        masked = ops.convert_to_tensor(self.draw_masked(x) if masked is None else masked, dtype="bool")
        z = widened(self.decode(self.encoder(self.cover(x, masked), training=False)))
        x_hat = ops.sigmoid(z) if self.resolve_loss(x) == "cross_entropy" else z
        return ops.where(masked, ops.reshape(x_hat, ops.shape(x)), x)
