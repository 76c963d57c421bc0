"""Masked autoencoder: most patches of an image are hidden, and predicted from the few that are seen."""

import keras
from keras import ops

from tf_kit.checks import refuse
from tf_kit.networks.patches import patchify, unpatchify
from tf_kit.networks.transformer import Blocks, PatchEncoder, grid_positions
from tf_kit.pretraining.masked.hiding import hide, put_back, take_places
from tf_kit.pretraining.methods import MaskedAutoencoderOptions
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.randomness.step import ExampleRandom


@keras.saving.register_keras_serializable(package="tf_kit")
class MaskedAutoencoder(Pretrainer):
    """Masked autoencoder (MAE): hides most patches of an image and learns to fill them in.

    Each example draws anew in each step which V = P − round(`mask_ratio` · P) of its P patches stay visible. Only
    those go through the encoder, so a high ratio is also cheap; a small decoder gets the encoded patches in their
    places, the same trained vector in all other places, and says what the patches look like.

        h = encoder(x_v for v visible)                                      (1)
        t = put_back(A h + a, mask token) + positions                       (2)
        x̂ = B norm(blocks(t)) + b                                           (3)
        ℓ = 1/|M| Σ_{p ∈ M} 1/D ‖x_p − x̂_p‖²                                (4)

    where M are the masked patches, D their number of values. With `normalize_patches`, x_p in (4) is the patch
    less its own mean and divided by its own standard deviation. Evaluation draws masks too (those of step 0).
    The encoder sees whole images once it is used: `model(x)` is one vector an image.

    Args:
        encoder: `PatchEncoder`, trained in place.
        mask_ratio: share of the patches that is hidden, in (0, 1); at least one patch is hidden and one seen.
            Defaults to 0.75.
        normalize_patches: whether the target is each patch in units of its own deviation, which favors edges
            over brightness. Defaults to False.
        decoder_width: length of a token in the decoder, divisible by 4 and by its heads. Defaults to 32.
        decoder_depth: blocks of the decoder. Defaults to 1.
        decoder_heads: attention heads of the decoder. Defaults to 4.
        seed: seed of the masks, the decoder's initial weights and the data order.

    Raises:
        InputError: if the encoder is no `PatchEncoder`, a number is out of range, or patches do not cover images.

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

    Reference: He, Chen, Xie, Li, Dollár, Girshick 2022, "Masked Autoencoders Are Scalable Vision Learners".
    """

    def __init__(
        self,
        encoder,
        mask_ratio=MaskedAutoencoderOptions.mask_ratio,
        normalize_patches=MaskedAutoencoderOptions.normalize_patches,
        decoder_width=MaskedAutoencoderOptions.decoder_width,
        decoder_depth=MaskedAutoencoderOptions.decoder_depth,
        decoder_heads=MaskedAutoencoderOptions.decoder_heads,
        seed=0,
        **kwargs,
    ):
        super().__init__(encoder, seed=seed, **kwargs)
        if not isinstance(encoder, PatchEncoder):
            refuse(
                "MaskedAutoencoder.encoder",
                "be a PatchEncoder, which can leave patches out",
                type(encoder).__name__,
                "For other networks there is MaskedVectors",
            )
        self.options = MaskedAutoencoderOptions(
            mask_ratio, normalize_patches, decoder_width, decoder_depth, decoder_heads
        )
        self.mask_ratio, self.normalize_patches = self.options.mask_ratio, self.options.normalize_patches
        self.decoder = PatchDecoder(decoder_width, decoder_depth, decoder_heads, seed=seed, name="decoder")

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        if self.encoder.num_patches < 2:
            received = f"patch_size={self.encoder.patch_size}, images of {tuple(input_shape[1:3])}"
            refuse("MaskedAutoencoder.encoder", "cut an image into two patches or more", received)
        pixels = self.encoder.patch_size**2 * input_shape[-1]
        self.decoder.create(self.encoder.width, pixels, self.encoder.grid)
        self.built = True

    @property
    def num_visible(self):
        """V, known once built."""
        patches = self.encoder.num_patches
        return min(max(patches - round(self.mask_ratio * patches), 1), patches - 1)

    def predict_patches(self, patches, noise, training=False):
        """What the model makes of patches of which it sees those with the smallest numbers.

        Args:
            patches: (n, P, D).
            noise: (n, P); the `num_visible` smallest of a row stay visible.
            training: whether this is a training step.

        Returns:
            x̂, (n, P, D) float32, of all patches; masked, (n, P), True where hidden.
        """
        visible, rank, masked = hide(noise, self.num_visible)
        h = self.encoder.run_on(take_places(patches, visible), visible, training=training)  # (1)
        return self.decoder.decode(h, rank, training=training), masked

    def targets(self, patches):
        """What is to be predicted of the patches (n, P, D)."""
        if not self.normalize_patches:
            return patches
        mean, deviation = _moments(patches)
        return (patches - mean) / deviation

    def per_example(self, x, y, random, training):
        x = ops.cast(x, "float32")
        patches = patchify(x, self.encoder.patch_size)
        noise = random.uniform((self.encoder.num_patches,))
        predictions, masked = self.predict_patches(patches, noise, training=training)
        return {"loss": masked_mean_square(self.targets(patches), predictions, masked)}, None

    def draw_masked(self, count, seed=None):
        """Random masks, (count, P), True = hidden; the model's `seed` unless another is given."""
        random = ExampleRandom(self.seed if seed is None else seed, 0, count)
        return hide(random.uniform((self.encoder.num_patches,)), self.num_visible)[2]

    def cover(self, x, masked, value=0.0):
        """Images (n, h, w, c) with `value` in the masked patches."""
        patches = patchify(ops.cast(x, "float32"), self.encoder.patch_size)
        covered = ops.where(masked[..., None], ops.full_like(patches, value), patches)
        return unpatchify(covered, tuple(x.shape[1:]), self.encoder.patch_size)

    def reconstruct(self, x, masked=None):
        """Images whose hidden patches are the model's, the others their own.

        With `normalize_patches` the model says a patch up to brightness and contrast; these two are then taken
        from the true patch.

        Args:
            x: (n, h, w, c).
            masked: (n, P), True = hidden, as many in each row as the ratio says. Defaults to `draw_masked(n)`.

        Returns:
            (n, h, w, c) float32.
        """
        x = ops.cast(x, "float32")
        self.build_for(x)
        masked = ops.convert_to_tensor(self.draw_masked(len(x)) if masked is None else masked, dtype="bool")
        hidden = self.encoder.num_patches - self.num_visible
        if not ops.all(ops.sum(ops.cast(masked, "int32"), axis=-1) == hidden):
            refuse(
                "MaskedAutoencoder.reconstruct.masked",
                f"hide {hidden} of {self.encoder.num_patches} patches in each image",
                "another number",
                "draw_masked(n) makes such masks",
            )
        patches = patchify(x, self.encoder.patch_size)
        predictions, _ = self.predict_patches(patches, ops.cast(masked, "float32"))
        if self.normalize_patches:
            mean, deviation = _moments(patches)
            predictions = predictions * deviation + mean
        filled = ops.where(masked[..., None], predictions, patches)
        return unpatchify(filled, tuple(x.shape[1:]), self.encoder.patch_size)


class PatchDecoder(Blocks):
    """The decoder of `MaskedAutoencoder`: equations (2) and (3) there."""

    def __init__(self, width, depth, num_heads, seed, **kwargs):
        super().__init__(width, depth, num_heads, None, seed, **kwargs)
        glorot = keras.initializers.GlorotUniform
        self.narrow = keras.layers.Dense(width, kernel_initializer=glorot(self.first_seed), name="narrow")
        self._last_seed = self.first_seed + 1

    def create(self, encoder_width, pixels, grid):
        """Makes the weights, for tokens of the encoder's width and patches of so many values."""
        glorot = keras.initializers.GlorotUniform(self._last_seed)
        self.to_pixels = keras.layers.Dense(pixels, kernel_initializer=glorot, name="to_pixels")
        self.narrow.build((None, None, encoder_width))
        self.to_pixels.build((None, None, self.width))
        self.positions = grid_positions(*grid, self.width)
        normal = keras.initializers.RandomNormal(stddev=0.02, seed=self._last_seed + 1)
        self.mask_token = self.add_weight(shape=(self.width,), initializer=normal, name="mask_token")
        self._build_blocks()

    def decode(self, h, rank, training=False):
        """Predicted patches (n, P, D), float32, from the encoded visible ones (n, V, encoder's width)."""
        tokens = put_back(self.narrow(h), ops.cast(self.mask_token, self.compute_dtype), rank)
        tokens = tokens + ops.convert_to_tensor(self.positions, dtype=self.compute_dtype)  # (2)
        return ops.cast(self.to_pixels(self.run_blocks(tokens, training=training)), "float32")  # (3)


def masked_mean_square(targets, predictions, masked):
    """Squared error of each example over what was hidden, (n,) float32: equation (4) of `MaskedAutoencoder`.

    Args:
        targets, predictions: (n, P, D).
        masked: (n, P), True where hidden.

    Example:

    >>> import numpy as np
    >>> far = np.array([[[1.0], [5.0]]], "float32")
    >>> masked_mean_square(far, np.zeros_like(far), np.array([[True, False]])).numpy().tolist()
    [1.0]
    """
    of_patch = ops.mean(ops.square(targets - predictions), axis=-1)  # (n, P)
    weights = ops.cast(masked, of_patch.dtype)
    return ops.sum(weights * of_patch, axis=-1) / ops.sum(weights, axis=-1)  # (4)


def _moments(patches):
    """Mean and standard deviation of each patch, (n, P, 1) each; a patch of one color has 1e-3."""
    mean = ops.mean(patches, axis=-1, keepdims=True)
    return mean, ops.sqrt(ops.mean(ops.square(patches - mean), axis=-1, keepdims=True) + 1e-6)
