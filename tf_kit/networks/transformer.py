"""Small transformers of Keras's layers: a block, fixed positions, an encoder of patches and one of tokens."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse
from tf_kit.networks.patches import grid_shape, patchify
from tf_kit.typing import Tensor

EMBEDDING_SCALE = 4.0  # variance of the embedding's initial weights, times the pixels of a patch


def sine_cosine_positions(count, width):
    """Fixed codes of the places 0 … count − 1: sines and cosines of geometrically falling frequencies.

        ω_k = 10000^(−2k / width),  k = 0 … width/2 − 1                     (1)
        e_p = [sin(ω_k p)]_k ‖ [cos(ω_k p)]_k                               (2)

    Args:
        count: number of places.
        width: length of a code, even.

    Returns:
        (count, width) float32, a plain array: there is nothing to train.

    Example:

    >>> sine_cosine_positions(2, 4)[0].tolist()
    [0.0, 0.0, 1.0, 1.0]

    Convention: sines and cosines lie in two halves, not by turns; the network cannot tell.
    Reference: Vaswani et al. 2017, "Attention Is All You Need", section 3.5.
    """
    frequencies = 10000.0 ** (-2 * np.arange(width // 2) / width)  # (1)
    angles = np.arange(count)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype("float32")  # (2)


def grid_positions(rows, columns, width):
    """Fixed codes of the places of a grid, row by row: half the code says the row, half the column.

        e = (c − mean c) / √(mean (c − mean c)²)                            (1)

    where c are the codes (`sine_cosine_positions` of row and column) and the first mean is over places. On a grid
    of a few places most features of c are nearly the same everywhere; without (1) the content of a patch and what
    tells its place from another both drown in that.

    Returns:
        (rows · columns, width) float32; width divisible by 4.

    Convention: He et al. 2022 take c as it is, on 14 × 14 places.

    >>> codes = grid_positions(2, 3, 8)
    >>> codes.shape, bool((codes[1, :4] == codes[2, :4]).all()), bool((codes[1, 4:] == codes[4, 4:]).all())
    ((6, 8), True, True)
    """
    row = np.repeat(sine_cosine_positions(rows, width // 2), columns, axis=0)
    column = np.tile(sine_cosine_positions(columns, width // 2), (rows, 1))
    codes = np.concatenate([row, column], axis=1)
    codes = codes - codes.mean(axis=0)
    return codes / max(np.sqrt(np.mean(codes**2)), 1e-6)  # (1)


@keras.saving.register_keras_serializable(package="tf_kit")
class TransformerBlock(keras.layers.Layer):
    """A block of a transformer: attention, then two dense layers, each added to its input.

        a = x + attention(norm_1(x))                                        (1)
        y = a + W₂ gelu(W₁ norm_2(a) + b₁) + b₂                             (2)

    Normalization comes before each part ("pre-norm"), so a deep stack trains without a warm-up.

    Args:
        width: length of a token.
        num_heads: attention heads; divides `width`.
        hidden_units: units of W₁. Defaults to 4 · `width`.
        seed: fixes the initial weights, whatever the global seed is.

    Input shape: (n, tokens, width). Output shape: the same.

    Reference: Vaswani et al. 2017, section 3; Xiong et al. 2020, "On Layer Normalization in the Transformer
    Architecture".
    """

    def __init__(self, width, num_heads, hidden_units=None, seed=0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.width = count("TransformerBlock.width", width)
        self.num_heads = count("TransformerBlock.num_heads", num_heads)
        if width % num_heads:
            refuse("TransformerBlock.num_heads", f"divide the width {width}", f"num_heads={num_heads}")
        hidden = 4 * width if hidden_units is None else hidden_units
        self.hidden_units = count("TransformerBlock.hidden_units", hidden)
        self.seed = count("TransformerBlock.seed", seed, at_least=0)
        first, second = (_seeds(seed, 6)[4:]).tolist()
        self.norm_1 = keras.layers.LayerNormalization(epsilon=1e-6)
        self.norm_2 = keras.layers.LayerNormalization(epsilon=1e-6)
        self.attention = keras.layers.MultiHeadAttention(num_heads, width // num_heads)
        self.widen = keras.layers.Dense(
            self.hidden_units, "gelu", kernel_initializer=keras.initializers.GlorotUniform(first)
        )
        self.narrow = keras.layers.Dense(width, kernel_initializer=keras.initializers.GlorotUniform(second))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (None, None, self.width)
        self.norm_1.build(shape)
        self.norm_2.build(shape)
        self.attention.build(shape, shape)
        self.widen.build(shape)
        self.narrow.build((None, None, self.hidden_units))
        # `MultiHeadAttention` would start query, key and value from the same seed, thus equal
        kernels = [each for each in self.attention.trainable_variables if each.name == "kernel"]
        for kernel, seed in zip(kernels, _seeds(self.seed, 6)[:4].tolist(), strict=True):
            matrix = keras.initializers.GlorotUniform(seed)((self.width, self.width))
            kernel.assign(ops.reshape(matrix, kernel.shape))
        self.built = True

    def call(self, x, attended=None, training=False):
        """`attended`: (n, 1, tokens), False at the tokens that nobody may look at. Defaults to None: all."""
        normal = self.norm_1(x)
        a = x + self.attention(normal, normal, attention_mask=attended, training=training)  # (1)
        return a + self.narrow(self.widen(self.norm_2(a)))  # (2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "seed": self.seed,
        }


class Blocks(keras.Model):
    """What the encoders of patches and of tokens share: a stack of blocks and a last normalization. Abstract."""

    def __init__(self, width, depth, num_heads, hidden_units, seed, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        name = type(self).__name__
        self.width = count(f"{name}.width", width)
        self.depth = count(f"{name}.depth", depth)
        self.num_heads = count(f"{name}.num_heads", num_heads)
        self.hidden_units = hidden_units
        self.seed = count(f"{name}.seed", seed, at_least=0)
        if width % 4:
            refuse(f"{name}.width", "be divisible by 4, for the codes of positions", f"width={width}")
        self.first_seed, *seeds = _seeds(seed, depth + 1).tolist()
        self.blocks = [
            TransformerBlock(width, num_heads, hidden_units, seed=each, name=f"block_{i}")
            for i, each in enumerate(seeds)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")

    def _build_blocks(self):
        for block in self.blocks:
            block.build((None, None, self.width))
        self.norm.build((None, None, self.width))
        self.built = True

    def run_blocks(self, tokens, attended=None, training=False):
        """Tokens (n, k, width) of any number k through all blocks: (n, k, width)."""
        for block in self.blocks:
            tokens = block(tokens, attended=attended, training=training)
        return self.norm(tokens)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.width)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "width": self.width,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="tf_kit")
class PatchEncoder(Blocks):
    """Vision transformer without a class token: images to one vector each.

        t_p = E x_p + b + e_p                                               (1)
        r = 1/P Σ_p blocks(t_1, …, t_P)_p                                   (2)

    where x_p is patch p of the image, flattened, E the embedding and e_p the fixed code of its place. As a layer
    it sees all patches; `run_on(patches, places)` sees those it is given, which is what `MaskedAutoencoder`
    saves its time with.

    Args:
        patch_size: side of a patch in pixels; divides height and width.
        width: length of a token, divisible by 4 and by `num_heads`. Defaults to 64.
        depth: blocks. Defaults to 3.
        num_heads: attention heads. Defaults to 4.
        hidden_units: units of the dense layer inside a block. Defaults to 4 · `width`.
        seed: fixes the initial weights.

    Input shape: (n, height, width, channels). Output shape: (n, width).

    Example:

    >>> encoder = PatchEncoder(patch_size=2, width=8, depth=1)
    >>> tuple(encoder(np.zeros((5, 4, 4, 1), "float32")).shape)
    (5, 8)

    Convention: other implementations expect images of variance 1; here E starts larger instead, for images in [0, 1].
    Reference: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words"; Beyer, Zhai, Kolesnikov 2022, "Better
    plain ViT baselines for ImageNet-1k" (mean instead of class token, fixed codes).
    """

    def __init__(
        self, patch_size, width=64, depth=3, num_heads=4, hidden_units=None, seed=0, **kwargs: Any
    ) -> None:
        super().__init__(width, depth, num_heads, hidden_units, seed, **kwargs)
        self.patch_size = count("PatchEncoder.patch_size", patch_size)
        # pixels in [0, 1] are small (root mean square ⅓ on MNIST): a token must say as much of them as of its place
        wide = keras.initializers.VarianceScaling(EMBEDDING_SCALE, "fan_in", "uniform", seed=self.first_seed)
        self.embedding = keras.layers.Dense(width, kernel_initializer=wide, name="embedding")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.grid = grid_shape(input_shape, self.patch_size)
        self.image_shape = tuple(input_shape[1:])
        self.embedding.build((None, None, self.patch_size**2 * input_shape[-1]))
        self.positions = grid_positions(*self.grid, self.width)
        self._build_blocks()

    @property
    def num_patches(self):
        """P, known once built."""
        return self.grid[0] * self.grid[1]

    def run_on(self, patches, places=None, training=False):
        """Tokens (n, k, width) of the patches at `places`.

        Args:
            patches: (n, k, pixels).
            places: (n, k) integers, the place of each patch in the image. Defaults to all, in order.
            training: whether this is a training step.
        """
        codes = ops.convert_to_tensor(self.positions, dtype=self.compute_dtype)
        tokens = self.embedding(patches) + (
            codes if places is None else ops.take(codes, places, axis=0)
        )  # (1)
        return self.run_blocks(tokens, training=training)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return ops.mean(self.run_on(patchify(x, self.patch_size), training=training), axis=1)  # (2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "patch_size": self.patch_size}


@keras.saving.register_keras_serializable(package="tf_kit")
class TokenEncoder(Blocks):
    """Transformer over sequences of integer tokens: one vector each.

        t_p = E[x_p] + e_p                                                  (1)
        r = mean of blocks(t_1, …, t_L)_p over the p with x_p ≠ padding     (2)

    where E (num_tokens, width) is a trained table and e_p the fixed code of place p. Nobody attends to padding.
    A sequence of nothing but padding has r = 0.

    Args:
        num_tokens: size of the vocabulary, the mask token and other specials among it.
        padding: the token that fills short sequences up, or None. Defaults to None.
        width, depth, num_heads, hidden_units, seed: as in `PatchEncoder`.

    Input shape: (n, length) integers. Output shape: (n, width).

    Example:

    >>> encoder = TokenEncoder(num_tokens=5, width=8, depth=1, padding=0)
    >>> short, long = encoder(np.array([[3, 1, 0]])), encoder(np.array([[3, 1, 0, 0, 0]]))
    >>> bool(np.allclose(short, long, atol=1e-6))
    True

    Reference: Devlin, Chang, Lee, Toutanova 2019, "BERT".
    """

    def __init__(
        self, num_tokens, width=64, depth=2, num_heads=4, hidden_units=None, padding=None, seed=0, **kwargs
    ):
        super().__init__(width, depth, num_heads, hidden_units, seed, **kwargs)
        self.num_tokens = count("TokenEncoder.num_tokens", num_tokens, at_least=2)
        if padding is not None and count("TokenEncoder.padding", padding, at_least=0) >= num_tokens:
            refuse("TokenEncoder.padding", f"be below num_tokens={num_tokens}", f"padding={padding}")
        self.padding = padding
        normal = keras.initializers.RandomNormal(stddev=1.0, seed=self.first_seed)  # as large as the codes
        self.embedding = keras.layers.Embedding(num_tokens, width, normal, name="embedding")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 2:
            refuse("TokenEncoder.x", "have shape (n, length)", f"shape={tuple(input_shape)}")
        self.embedding.build(input_shape)
        self._build_blocks()

    def present(self, x):
        """(n, length), True where there is a token and not padding."""
        return ops.ones_like(x, dtype="bool") if self.padding is None else ops.not_equal(x, self.padding)

    def run_on(self, x, training=False):
        """Tokens (n, length, width) of the sequences x (n, length)."""
        codes = sine_cosine_positions(x.shape[1], self.width)
        tokens = self.embedding(x) + ops.convert_to_tensor(codes, dtype=self.compute_dtype)  # (1)
        attended = None if self.padding is None else self.present(x)[:, None, :]
        return self.run_blocks(tokens, attended, training=training)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        tokens = self.run_on(x, training=training)
        weights = ops.cast(self.present(x), tokens.dtype)[..., None]
        return ops.sum(weights * tokens, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)  # (2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tokens": self.num_tokens, "padding": self.padding}


def _seeds(seed, count):
    """Seeds made from one, each for one matrix or block."""
    return np.random.SeedSequence(seed).generate_state(count) % 2**31
