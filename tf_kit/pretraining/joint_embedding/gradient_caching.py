"""Gradient caching: the gradient of a large batch in the memory of a small one."""

from typing import Any

import keras
import tensorflow as tf

from tf_kit.checks import refuse
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import all_layers, call_with, output_shape
from tf_kit.typing import Tensor


def encode_in_chunks(encoder: keras.layers.Layer, x: Tensor, chunk_size: int) -> Tensor:
    """Compute encoder(x, training=True), and keep the activations of only one chunk at a time: gradient caching.

    A loss over all pairs of a batch needs all representations at once, but not all activations of the encoder:

        h = [f(x_1); …; f(x_C)]                                             (1)
        ∂L/∂θ = Σ_c (∂f(x_c)/∂θ)ᵀ ∂L/∂h_c                                   (2)

    where x_1 … x_C are chunks of `chunk_size` rows, of which the last may be shorter. (1) keeps only h. When the
    gradient with respect to h is known, each chunk is encoded again, with the same random masks, and back-propagated
    (2). This costs one more forward pass.

    Args:
        encoder: built Keras layer or model that treats each row independently. Variables that a forward pass changes
            (seeds of dropout) are changed by (1) only, once per chunk, so each chunk has its own masks.
        x: inputs (n, …); no gradient with respect to them is computed.
        chunk_size: number of rows per chunk.

    Returns:
        h, (n, …), at least float32.

    Reference: Gao, Zhang, Han, Callan, 2021, Scaling deep contrastive learning batch size under memory limited setup,
    section 3, arXiv:2101.06983.
    """
    trained, states = encoder.trainable_variables, encoder.non_trainable_variables
    start = tuple(tf.convert_to_tensor(state.value) for state in states)
    num_rows = tf.shape(x)[0]
    num_chunks = -(-num_rows // chunk_size)

    def rows(i):
        return slice(i * chunk_size, tf.minimum((i + 1) * chunk_size, num_rows))

    def forward(i, weights, state):
        values = [*zip(trained, weights, strict=True), *zip(states, state, strict=True)]
        h, after = call_with(encoder, values, x[rows(i)], training=True)
        return widened(h), tuple(after(each) for each in states)

    dtype = keras.backend.result_type(encoder.compute_dtype, "float32")
    shape = output_shape(
        encoder, (None, *x.shape[1:])
    )  # out here, as it may trace the encoder with its variables

    @tf.custom_gradient
    def encode(*weights):
        constants = [
            tf.stop_gradient(weight) for weight in weights
        ]  # constants, so that no tape keeps activations

        def encode_chunk(i, state, parts):
            h, state = forward(i, constants, state)
            return i + 1, state, parts.write(i, h)

        parts = tf.TensorArray(dtype, num_chunks, infer_shape=False, element_shape=shape)
        _, end, parts = tf.while_loop(lambda i, *_: i < num_chunks, encode_chunk, (0, start, parts))

        def gradient(dh, *_):
            def add_chunk(i, state, sums):
                with tf.GradientTape() as tape:
                    tape.watch(weights)
                    h, state = forward(i, weights, state)
                parts = tape.gradient(h, weights, dh[rows(i)], tf.UnconnectedGradients.ZERO)  # (2)
                return i + 1, state, tuple(total + part for total, part in zip(sums, parts, strict=True))

            zeros = tuple(tf.zeros_like(weight) for weight in weights)
            return tf.while_loop(lambda i, *_: i < num_chunks, add_chunk, (0, start, zeros))[-1]

        return (parts.concat(), *end), gradient  # (1)

    h, *end = encode(*[tf.convert_to_tensor(weight.value) for weight in trained])
    for state, value in zip(states, end, strict=True):
        state.assign(value)
    return h


def check_chunkable(subject: str, encoder: Any) -> None:
    """Refuse a built encoder with batch normalization, which would normalize each chunk separately.

    Args:
        subject: class that has the argument `chunk_size`, for the error message.
        encoder: the encoder.
    """
    layers = all_layers(encoder) if isinstance(encoder, keras.layers.Layer) else []
    found = [layer.name for layer in layers if hasattr(layer, "moving_mean")]
    if found:
        refuse(
            f"{subject}.chunk_size",
            "be left out for an encoder with batch normalization, which needs the whole batch",
            f"layers {found}",
            "Use LayerNormalization or GroupNormalization in the encoder; the projector may have batch normalization",
            typed_remedy="--encoder vit and --encoder mlp have no batch normalization",
        )
