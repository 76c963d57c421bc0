"""Masked autoencoder: most patches of an image are hidden and predicted from the visible ones."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import refuse
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import build_on, freeze_parts
from tf_kit.networks.patches import patchify, unpatchify
from tf_kit.networks.transformer import Blocks, PatchEncoder, grid_positions
from tf_kit.pretraining.masked.hiding import hide, put_back, take_places
from tf_kit.pretraining.method_options import MaskedAutoencoderOptions
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.randomness.step import ExampleRandom
from tf_kit.typing import ArrayLike, Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class MaskedAutoencoder(Pretrainer):
    """Masked autoencoder (MAE): most patches of an image are hidden and predicted from the visible ones.

    In each step V = P − round(`mask_ratio` · P) of the P patches of each example are drawn to stay visible. Only
    these pass through the encoder, so a high ratio also saves time. A small decoder gets the encoded patches in their
    places and the same trained vector in all other places, and predicts the pixels of all patches.

        h = encoder(x_v for v visible)                                      (1)
        t = put_back(A h + a, mask token) + positions                       (2)
        x̂ = B norm(blocks(t)) + b                                           (3)
        ℓ = 1/|M| Σ_{p ∈ M} 1/D ‖x_p − x̂_p‖²                                (4)

    where M are the masked patches and D is the number of values of a patch. With `normalize_patches`, x_p in (4) is
    the patch minus its mean, divided by its standard deviation. Evaluation draws masks too (those of step 0). After
    pretraining, `model(x)` encodes whole images, one vector per image.

    Args:
        encoder: `PatchEncoder`, trained in place.
        mask_ratio: fraction of the patches that is hidden, in (0, 1); at least one patch is hidden and at least one
            visible. Defaults to 0.75.
        normalize_patches: whether the target is each patch minus its mean, divided by its standard deviation, which
            weights edges more than brightness. Defaults to False.
        decoder_width: length of a token in the decoder, divisible by 4 and by `decoder_heads`. Defaults to 32.
        decoder_depth: number of blocks of the decoder. Defaults to 1.
        decoder_heads: number of attention heads of the decoder. Defaults to 4.
        seed: whole number that fixes the masks, the decoder's initial weights and the order of the data. Defaults to
            0.

    Raises:
        InputError: the encoder is not a `PatchEncoder`, a number is out of range, or an image is a single patch.

    Example:
        >>> from tf_kit import data
        >>> train, val, test = data.load("digits", seed=0)
        >>> model = MaskedAutoencoder(PatchEncoder(patch_size=2, width=16, depth=1), mask_ratio=0.5)
        >>> model.compile(keras.optimizers.Adam(0.003))
        >>> loss = model.fit(train.x, batch_size=64, epochs=5, verbose=0).history["loss"]
        >>> loss[-1] < 0.6 * loss[0]
        True
        >>> model.reconstruct(val.x[:3]).shape
        TensorShape([3, 8, 8, 1])

    Reference: He, Chen, Xie, Li, Dollár, Girshick, 2022, Masked autoencoders are scalable vision learners,
    arXiv:2111.06377.
    """

    reconstructs = True

    def __init__(
        self,
        encoder: PatchEncoder,
        mask_ratio: float = MaskedAutoencoderOptions.mask_ratio,
        normalize_patches: bool = MaskedAutoencoderOptions.normalize_patches,
        decoder_width: int = MaskedAutoencoderOptions.decoder_width,
        decoder_depth: int = MaskedAutoencoderOptions.decoder_depth,
        decoder_heads: int = MaskedAutoencoderOptions.decoder_heads,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, seed=seed, **kwargs)
        if not isinstance(encoder, PatchEncoder):
            refuse(
                "MaskedAutoencoder.encoder",
                "be a PatchEncoder, which can encode some of the patches only",
                type(encoder).__name__,
                "Use MaskedVectors for other networks",
            )
        self.options = MaskedAutoencoderOptions(
            mask_ratio, normalize_patches, decoder_width, decoder_depth, decoder_heads
        )
        self.mask_ratio, self.normalize_patches = self.options.mask_ratio, self.options.normalize_patches
        self.decoder = PatchDecoder(
            decoder_width, decoder_depth, decoder_heads, seed=seed, dtype=self.dtype_policy, name="decoder"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        build_on(self.encoder, input_shape)
        if self.encoder.num_patches < 2:
            height, width = input_shape[1:3]
            requirement = f"divide images of {height} × {width} pixels into at least two patches"
            received = f"patch_size={self.encoder.patch_size}"
            refuse("MaskedAutoencoder.encoder.patch_size", requirement, received)
        pixels = self.encoder.patch_size**2 * input_shape[-1]
        self.decoder.create(self.encoder.width, pixels, self.encoder.grid)
        freeze_parts(self)
        self.built = True

    @property
    def num_visible(self) -> int:
        """V, the number of visible patches; the model must be built."""
        patches = self.encoder.num_patches
        return min(max(patches - round(self.mask_ratio * patches), 1), patches - 1)

    def predict_patches(
        self, patches: Tensor, noise: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Predict all patches from the visible ones, those with the smallest numbers in `noise`.

        Args:
            patches: (n, P, D).
            noise: (n, P); in each row the `num_visible` smallest numbers belong to the visible patches.
            training: whether this is a training step.

        Returns:
            x̂ of all patches, (n, P, D), float32; masked, (n, P), True where hidden.
        """
        visible, rank, masked = hide(noise, self.num_visible)
        h = self.encoder.run_on(take_places(patches, visible), visible, training=training)  # (1)
        return self.decoder.decode(h, rank, training=training), masked

    def targets(self, patches: Tensor) -> Tensor:
        """Return the targets of patches (n, P, D): the patches, normalized with `normalize_patches`."""
        if not self.normalize_patches:
            return patches
        mean, deviation = _moments(patches)
        return (patches - mean) / deviation

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], None]:
        self.encoder.check_images(x)
        patches = patchify(widened(x), self.encoder.patch_size)
        noise = random.uniform((self.encoder.num_patches,))
        predictions, masked = self.predict_patches(patches, noise, training=training)
        return {"loss": masked_mean_square(self.targets(patches), predictions, masked)}, None

    def draw_masked(self, count: int, seed: int | None = None) -> Tensor:
        """Draw random masks, (count, P), True where hidden, from `seed` or the seed of the model."""
        random = ExampleRandom(self.seed if seed is None else seed, 0, count)
        return hide(random.uniform((self.encoder.num_patches,)), self.num_visible)[2]

    def cover(self, x: ArrayLike, masked: ArrayLike, value: float = 0.0) -> Tensor:
        """Return the images (n, h, w, c) with `value` in the masked patches."""
        patches = patchify(ops.cast(x, "float32"), self.encoder.patch_size)
        covered = ops.where(masked[..., None], ops.full_like(patches, value), patches)
        return unpatchify(covered, tuple(x.shape[1:]), self.encoder.patch_size)

    def reconstruct(self, x: ArrayLike, masked: ArrayLike | None = None) -> Tensor:
        """Replace the hidden patches of images by the predicted ones.

        With `normalize_patches` the model predicts a patch except for brightness and contrast, which are then taken
        from the true patch.

        Args:
            x: images (n, h, w, c).
            masked: (n, P), True where hidden, with the number per row that follows from `mask_ratio`. Defaults to
                None, `draw_masked(n)`.

        Returns:
            (n, h, w, c), float32.
        """
        x = ops.cast(x, "float32")
        self.build_for(x)
        self.encoder.check_images(x)
        masked = ops.convert_to_tensor(self.draw_masked(len(x)) if masked is None else masked, dtype="bool")
        hidden = self.encoder.num_patches - self.num_visible
        if not ops.all(ops.sum(ops.cast(masked, "int32"), axis=-1) == hidden):
            refuse(
                "MaskedAutoencoder.reconstruct.masked",
                f"hide {hidden} of {self.encoder.num_patches} patches in each image",
                "masks with another number of hidden patches",
                "draw_masked(n) makes masks of this number",
            )
        patches = patchify(x, self.encoder.patch_size)
        predictions, _ = self.predict_patches(patches, ops.cast(masked, "float32"))
        if self.normalize_patches:
            mean, deviation = _moments(patches)
            predictions = predictions * deviation + mean
        filled = ops.where(masked[..., None], predictions, patches)
        return unpatchify(filled, tuple(x.shape[1:]), self.encoder.patch_size)


class PatchDecoder(Blocks):
    """Decoder of `MaskedAutoencoder`, its equations (2) and (3).

    Args:
        width: length of a token, divisible by 4 and by `num_heads`.
        depth: number of transformer blocks.
        num_heads: number of attention heads.
        seed: whole number that fixes the initial weights.
    """

    def __init__(self, width: int, depth: int, num_heads: int, seed: int, **kwargs: Any) -> None:
        super().__init__(width, depth, num_heads, None, seed, **kwargs)
        glorot = keras.initializers.GlorotUniform
        self.narrow = keras.layers.Dense(
            width, kernel_initializer=glorot(self.first_seed), dtype=self.dtype_policy, name="narrow"
        )
        self._last_seed = self.first_seed + 1

    def create(self, encoder_width: int, pixels: int, grid: tuple[int, int]) -> None:
        """Create the weights.

        Args:
            encoder_width: length of the encoder's tokens.
            pixels: number of values of a patch.
            grid: number of rows and columns of patches.
        """
        glorot = keras.initializers.GlorotUniform(self._last_seed)
        self.to_pixels = keras.layers.Dense(
            pixels, kernel_initializer=glorot, dtype=self.dtype_policy, name="to_pixels"
        )
        self.narrow.build((None, None, encoder_width))
        self.to_pixels.build((None, None, self.width))
        self.positions = grid_positions(*grid, self.width)
        normal = keras.initializers.RandomNormal(stddev=0.02, seed=self._last_seed + 1)
        self.mask_token = self.add_weight(shape=(self.width,), initializer=normal, name="mask_token")
        self._build_blocks()

    def decode(self, h: Tensor, rank: Tensor, training: bool = False) -> Tensor:
        """Predict the patches (n, P, D), float32, from the encoded visible ones (n, V, encoder_width)."""
        tokens = put_back(self.narrow(h), ops.cast(self.mask_token, self.compute_dtype), rank)
        tokens = tokens + ops.convert_to_tensor(self.positions, dtype=self.compute_dtype)  # (2)
        return widened(self.to_pixels(self.run_blocks(tokens, training=training)))  # (3)


def masked_mean_square(targets: Tensor, predictions: Tensor, masked: ArrayLike) -> Tensor:
    """Compute the mean squared error of each example over its hidden patches: equation (4) of `MaskedAutoencoder`.

    Args:
        targets, predictions: (n, P, D).
        masked: (n, P), True where hidden.

    Returns:
        (n,).

    Example:
        >>> import numpy as np
        >>> far = np.array([[[1.0], [5.0]]], "float32")
        >>> masked_mean_square(far, np.zeros_like(far), np.array([[True, False]])).numpy().tolist()
        [1.0]
    """
    targets = ops.cast(targets, predictions.dtype)
    of_patch = ops.mean(ops.square(targets - predictions), axis=-1)  # (n, P)
    weights = ops.cast(masked, of_patch.dtype)
    return ops.sum(weights * of_patch, axis=-1) / ops.sum(weights, axis=-1)  # (4)


def _moments(patches):
    """Compute mean and standard deviation of each patch, (n, P, 1) each; that of a constant patch is 1e-3."""
    mean = ops.mean(patches, axis=-1, keepdims=True)
    return mean, ops.sqrt(ops.mean(ops.square(patches - mean), axis=-1, keepdims=True) + 1e-6)
