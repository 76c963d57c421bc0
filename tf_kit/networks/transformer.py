"""Small transformers built from Keras layers: block, fixed positions, encoders of patches and of tokens."""

from typing import Any, Self

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse, same_shape
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import export_signature, freeze_parts
from tf_kit.networks.patches import grid_shape, patchify
from tf_kit.typing import Tensor

_HIDDEN = -1e30  # score of a token that must not be attended to; finite, for rows that hide all
EMBEDDING_SCALE = 4.0  # variance of the embedding's initial weights, times the pixels of a patch


def sine_cosine_positions(count: int, width: int) -> np.ndarray:
    """Fixed codes of the positions 0 … count − 1: sines and cosines of geometrically decreasing frequencies.

        ω_k = 10000^(−2k / width),  k = 0 … width/2 − 1                     (1)
        e_p = [sin(ω_k p)]_k ‖ [cos(ω_k p)]_k                               (2)

    Args:
        count: number of positions.
        width: length of a code, even.

    Returns:
        float32 array (count, width), which is not trained.

    Example:
        >>> sine_cosine_positions(2, 4)[0].tolist()
        [0.0, 0.0, 1.0, 1.0]

    Convention: sines and cosines fill two halves instead of alternating, which makes no difference to the network.
    Reference: Vaswani et al., 2017, Attention is all you need, section 3.5, arXiv:1706.03762.
    """
    angles = np.arange(count)[:, None] * sine_cosine_frequencies(width)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype("float32")  # (2)


def sine_cosine_frequencies(width: int) -> np.ndarray:
    """Compute ω of equation (1) of `sine_cosine_positions`, float64 array (width/2,)."""
    return 10000.0 ** (-2 * np.arange(width // 2) / width)  # (1)


def grid_positions(rows: int, columns: int, width: int) -> np.ndarray:
    """Fixed codes of the positions in a grid, row by row: half of the code for the row, half for the column.

        e = (c − mean c) / √(mean (c − mean c)²)                            (1)

    where c are the codes (`sine_cosine_positions` of row and column) and the first mean runs over positions. On a
    small grid most features of c are almost constant and would hide both the content of a patch and the differences
    between positions; (1) removes the constant part.

    Args:
        rows, columns: size of the grid.
        width: length of a code, divisible by 4.

    Returns:
        float32 array (rows · columns, width).

    Example:
        >>> codes = grid_positions(2, 3, 8)
        >>> codes.shape, bool((codes[1, :4] == codes[2, :4]).all()), bool((codes[1, 4:] == codes[4, 4:]).all())
        ((6, 8), True, True)

    Convention: He et al., 2022, Masked autoencoders are scalable vision learners, arXiv:2111.06377, use c itself, on
    14 × 14 positions.
    """
    row = np.repeat(sine_cosine_positions(rows, width // 2), columns, axis=0)
    column = np.tile(sine_cosine_positions(columns, width // 2), (rows, 1))
    codes = np.concatenate([row, column], axis=1)
    codes = codes - codes.mean(axis=0)
    return codes / max(np.sqrt(np.mean(codes**2)), 1e-6)  # (1)


@keras.saving.register_keras_serializable(package="tf_kit")
class TransformerBlock(keras.layers.Layer):
    """Block of a transformer: attention, then two dense layers, each added to its input.

        a = x + attention(norm_1(x))                                        (1)
        y = a + W₂ gelu(W₁ norm_2(a) + b₁) + b₂                             (2)

    Each part starts with its normalization ("pre-norm"), so a deep stack trains without a warm-up.

    Args:
        width: length of a token.
        num_heads: number of attention heads; divides `width`.
        hidden_units: units of W₁. Defaults to None, 4 · `width`.
        seed: whole number that fixes the initial weights, independently of the global seed. Defaults to 0.

    Call arguments:
        x: tokens (n, tokens, width).
        attended: booleans (n, 1, tokens), False at tokens that must not be attended to. Defaults to None, all True.
        training: whether this is a training step.

    Input shape: (n, tokens, width). Output shape: the same.

    Reference: Vaswani et al., 2017, Attention is all you need, section 3, arXiv:1706.03762; Xiong et al., 2020, On
    layer normalization in the transformer architecture, arXiv:2002.04745.
    """

    def __init__(
        self, width: int, num_heads: int, hidden_units: int | None = None, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.width = count("TransformerBlock.width", width)
        self.num_heads = count("TransformerBlock.num_heads", num_heads)
        if width % num_heads:
            refuse("TransformerBlock.num_heads", f"divide the width {width}", f"num_heads={num_heads}")
        hidden = 4 * width if hidden_units is None else hidden_units
        self.hidden_units = count("TransformerBlock.hidden_units", hidden)
        self.seed = count("TransformerBlock.seed", seed, at_least=0)
        first, second = (_seeds(seed, 6)[4:]).tolist()
        glorot, dtype = keras.initializers.GlorotUniform, self.dtype_policy
        self.norm_1 = keras.layers.LayerNormalization(epsilon=1e-6, dtype=dtype)
        self.norm_2 = keras.layers.LayerNormalization(epsilon=1e-6, dtype=dtype)
        self.attention = keras.layers.MultiHeadAttention(num_heads, width // num_heads, dtype=dtype)
        self.widen = keras.layers.Dense(
            self.hidden_units, "gelu", kernel_initializer=glorot(first), dtype=dtype
        )
        self.narrow = keras.layers.Dense(width, kernel_initializer=glorot(second), dtype=dtype)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (None, None, self.width)
        self.norm_1.build(shape)
        self.norm_2.build(shape)
        self.attention.build(shape, shape)
        self.widen.build(shape)
        self.narrow.build((None, None, self.hidden_units))
        # `MultiHeadAttention` would draw query, key and value from the same seed, so they would be equal.
        kernels = [each for each in self.attention.weights if each.name == "kernel"]
        for kernel, seed in zip(kernels, _seeds(self.seed, 6)[:4].tolist(), strict=True):
            matrix = keras.initializers.GlorotUniform(seed)((self.width, self.width))
            kernel.assign(ops.reshape(matrix, kernel.shape))
        freeze_parts(self)
        self.built = True

    def call(self, x: Tensor, attended: Tensor | None = None, training: bool = False) -> Tensor:
        a = x + self._attend(self.norm_1(x), attended)  # (1)
        return a + self.narrow(self.widen(self.norm_2(a)))  # (2)

    def _attend(self, tokens, attended):
        """Compute what the layer `attention` computes, with one product for query, key and value instead of three.

        The weights stay those of the layer, so that files of earlier versions load.
        """
        parts = self.attention.query_dense, self.attention.key_dense, self.attention.value_dense
        if any(part.quantization_mode for part in parts):
            return self.attention(tokens, tokens, attention_mask=attended)
        shape = (-1, ops.shape(tokens)[1], 3, self.num_heads, self.width // self.num_heads)
        kernels = [ops.reshape(part.kernel, (self.width, -1)) for part in parts]
        biases = [ops.reshape(part.bias, (-1,)) for part in parts]
        kernel, bias = (
            ops.cast(ops.concatenate(each, axis=-1), self.compute_dtype) for each in (kernels, biases)
        )
        together = ops.reshape(ops.matmul(tokens, kernel) + bias, shape)
        together = ops.transpose(together, (2, 0, 3, 1, 4))  # -> (3, n, heads, tokens, size)
        query, key, value = ops.unstack(together, 3)
        scores = ops.matmul(query * shape[-1] ** -0.5, ops.swapaxes(key, -1, -2))
        scores = widened(scores)
        if attended is not None:
            scores = ops.where(ops.cast(attended, "bool")[:, None], scores, _HIDDEN)
        seen = ops.matmul(ops.cast(ops.softmax(scores), self.compute_dtype), value)
        return self.attention.output_dense(ops.transpose(seen, (0, 2, 1, 3)))

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
    """Stack of transformer blocks with a final normalization; base class of the encoders of patches and of tokens."""

    def __init__(
        self, width: int, depth: int, num_heads: int, hidden_units: int | None, seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        name = type(self).__name__
        self.width = count(f"{name}.width", width)
        self.depth = count(f"{name}.depth", depth)
        self.num_heads = count(f"{name}.num_heads", num_heads)
        self.hidden_units = hidden_units
        self.seed = count(f"{name}.seed", seed, at_least=0)
        if width % 4:
            refuse(f"{name}.width", "be divisible by 4 because of the codes of positions", f"width={width}")
        self.first_seed, *seeds = _seeds(seed, depth + 1).tolist()
        self.blocks = [
            TransformerBlock(
                width, num_heads, hidden_units, seed=each, dtype=self.dtype_policy, name=f"block_{i}"
            )
            for i, each in enumerate(seeds)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy, name="norm")

    def _build_blocks(self):
        for block in self.blocks:
            block.build((None, None, self.width))
        self.norm.build((None, None, self.width))
        freeze_parts(self)
        self.built = True

    def run_blocks(self, tokens: Tensor, attended: Tensor | None = None, training: bool = False) -> Tensor:
        """Apply all blocks and the normalization to any number k of tokens, (n, k, width) -> (n, k, width)."""
        for block in self.blocks:
            tokens = block(tokens, attended=attended, training=training)
        return self.norm(tokens)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self.width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "width": self.width,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)

    def export(self, filepath: Any, *args: Any, input_signature: Any = None, **kwargs: Any) -> None:
        """Export the encoder, as `keras.Model.export`, also if only `run_on` has been called."""
        signature = input_signature or export_signature(self)
        super().export(filepath, *args, input_signature=signature, **kwargs)


@keras.saving.register_keras_serializable(package="tf_kit")
class PatchEncoder(Blocks):
    """Vision transformer without a class token: maps each image to one vector.

        t_p = E x_p + b + e_p                                               (1)
        r = 1/P Σ_p blocks(t_1, …, t_P)_p                                   (2)

    where x_p is patch p of the image, flattened, E the embedding and e_p the fixed code of its position. Called as a
    layer, it encodes all patches; `run_on(patches, places)` encodes only those that it gets, which saves time in
    `MaskedAutoencoder`.

    Args:
        patch_size: side of a patch in pixels; divides height and width.
        width: length of a token, divisible by 4 and by `num_heads`. Defaults to 64.
        depth: number of blocks. Defaults to 3.
        num_heads: number of attention heads. Defaults to 4.
        hidden_units: units of the hidden dense layer in a block. Defaults to None, 4 · `width`.
        seed: whole number that fixes the initial weights. Defaults to 0.

    Input shape: (n, height, width, channels). Output shape: (n, width).

    Example:
        >>> encoder = PatchEncoder(patch_size=2, width=8, depth=1)
        >>> tuple(encoder(np.zeros((5, 4, 4, 1), "float32")).shape)
        (5, 8)

    Convention: other implementations expect images of variance 1. For images in [0, 1], E starts larger here instead.
    Reference: Dosovitskiy et al., 2021, An image is worth 16×16 words, arXiv:2010.11929; Beyer, Zhai, Kolesnikov,
    2022, Better plain ViT baselines for ImageNet-1k, arXiv:2205.01580, for the mean instead of a class token and for
    fixed codes.
    """

    def __init__(
        self,
        patch_size: int,
        width: int = 64,
        depth: int = 3,
        num_heads: int = 4,
        hidden_units: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(width, depth, num_heads, hidden_units, seed, **kwargs)
        self.patch_size = count("PatchEncoder.patch_size", patch_size)
        # Pixels in [0, 1] are small (root mean square ⅓ on MNIST), and should weigh as much as the position.
        wide = keras.initializers.VarianceScaling(EMBEDDING_SCALE, "fan_in", "uniform", seed=self.first_seed)
        self.embedding = keras.layers.Dense(
            width, kernel_initializer=wide, dtype=self.dtype_policy, name="embedding"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.grid = grid_shape(input_shape, self.patch_size)
        self.image_shape = tuple(input_shape[1:])
        channels = input_shape[-1]
        if channels is None:
            refuse("PatchEncoder", "know the channels of the images", f"inputs of shape {tuple(input_shape)}")
        self.embedding.build((None, None, self.patch_size**2 * channels))
        self.positions = grid_positions(*self.grid, self.width)
        self._build_blocks()

    def __call__(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        if self.built:
            self.check_images(x)
        return super().__call__(x, *args, **kwargs)

    def check_images(self, x: Any) -> None:
        """Refuse images of another shape than that for which the built encoder has codes of positions."""
        given = tuple(np.shape(x) if isinstance(x, (list, tuple)) else x.shape)[1:]
        if not same_shape(given, self.image_shape):
            requirement = f"hold images of shape {self.image_shape}, for which the encoder was built"
            remedy = "Resize them, or make another encoder"
            refuse("PatchEncoder.x", requirement, f"images of shape {given}", remedy)

    @property
    def num_patches(self) -> int:
        """P, the number of patches of an image; known once the encoder is built."""
        return self.grid[0] * self.grid[1]

    def run_on(self, patches: Tensor, places: Tensor | None = None, training: bool = False) -> Tensor:
        """Encode some patches of each image.

        Args:
            patches: tensor (n, k, pixels).
            places: integers (n, k), the position of each patch in the image. Defaults to None, all in order.
            training: whether this is a training step. Defaults to False.

        Returns:
            Tokens (n, k, width).
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
    """Transformer that maps each sequence of integer tokens to one vector.

        t_p = E[x_p] + e_p                                                  (1)
        r = mean of blocks(t_1, …, t_L)_p over the p with x_p ≠ padding     (2)

    where E (num_tokens, width) is a trained table and e_p the fixed code of position p. No token attends to padding.
    A sequence that consists of padding only has r = 0.

    Args:
        num_tokens: size of the vocabulary, including the mask token and other special tokens.
        width, depth, num_heads, hidden_units, seed: as for `PatchEncoder`, but `depth` defaults to 2.
        padding: token that fills up short sequences. Defaults to None, no padding.

    Input shape: (n, length) integers. Output shape: (n, width).

    Example:
        >>> encoder = TokenEncoder(num_tokens=5, width=8, depth=1, padding=0)
        >>> short, long = encoder(np.array([[3, 1, 0]])), encoder(np.array([[3, 1, 0, 0, 0]]))
        >>> bool(np.allclose(short, long, atol=1e-6))
        True

    Reference: Devlin, Chang, Lee, Toutanova, 2019, BERT: pre-training of deep bidirectional transformers for language
    understanding, arXiv:1810.04805.
    """

    def __init__(
        self,
        num_tokens: int,
        width: int = 64,
        depth: int = 2,
        num_heads: int = 4,
        hidden_units: int | None = None,
        padding: int | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(width, depth, num_heads, hidden_units, seed, **kwargs)
        self.num_tokens = count("TokenEncoder.num_tokens", num_tokens, at_least=2)
        if padding is not None and count("TokenEncoder.padding", padding, at_least=0) >= num_tokens:
            refuse("TokenEncoder.padding", f"be below num_tokens={num_tokens}", f"padding={padding}")
        self.padding = padding
        normal = keras.initializers.RandomNormal(stddev=1.0, seed=self.first_seed)  # as large as the codes
        self.embedding = keras.layers.Embedding(
            num_tokens, width, normal, dtype=self.dtype_policy, name="embedding"
        )

    @property
    def input_dtype(self) -> str:
        return "int32"  # for `export` and for tokens that were read as floats; Keras takes the compute dtype

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 2:
            refuse("TokenEncoder.x", "have shape (n, length)", f"shape={tuple(input_shape)}")
        self.embedding.build(input_shape)
        self._build_blocks()

    def present(self, x: Tensor) -> Tensor:
        """Return booleans (n, length), True at tokens and False at padding."""
        return ops.ones_like(x, dtype="bool") if self.padding is None else ops.not_equal(x, self.padding)

    def run_on(self, x: Tensor, training: bool = False) -> Tensor:
        """Encode every token of the sequences x, (n, length) -> (n, length, width)."""
        tokens = self.embedding(x) + ops.cast(self._codes(x), self.compute_dtype)  # (1)
        attended = None if self.padding is None else self.present(x)[:, None, :]
        return self.run_blocks(tokens, attended, training=training)

    def _codes(self, x):
        """Return the codes of the positions of sequences, whose length a graph may learn only when it runs."""
        if x.shape[1] is not None:
            return sine_cosine_positions(x.shape[1], self.width)
        frequencies = sine_cosine_frequencies(self.width)
        angles = ops.cast(ops.arange(ops.shape(x)[1]), "float64")[:, None] * frequencies
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        tokens = self.run_on(x, training=training)
        weights = ops.cast(self.present(x), tokens.dtype)[..., None]
        return ops.sum(weights * tokens, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)  # (2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tokens": self.num_tokens, "padding": self.padding}


def _seeds(seed, count):
    """Derive `count` seeds from one, for the matrices of a block or the blocks of an encoder."""
    return np.random.SeedSequence(seed).generate_state(count) % 2**31
