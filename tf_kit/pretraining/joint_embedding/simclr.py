"""SimCLR: contrastive learning, in which each view is to identify the other view of its example in the batch."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.pretraining.joint_embedding.embeddings import pair, unit
from tf_kit.pretraining.joint_embedding.frame import JointEmbedding
from tf_kit.pretraining.method_options import SimCLROptions
from tf_kit.randomness.step import ExampleRandom
from tf_kit.replicas import gather
from tf_kit.typing import ArrayLike, Tensor


def nt_xent(za: ArrayLike, zb: ArrayLike, temperature: float = SimCLROptions.temperature) -> Tensor:
    """Compute the normalized temperature-scaled cross-entropy (NT-Xent) of two views.

    Each embedding is classified: which of all other embeddings of the batch is the other view of its example?

        ẑ = z / ‖z‖                                                         (1)
        s_uv = ẑ_u·ẑ_v / τ                                                  (2)
        ℓ_u = log Σ_{v ≠ u} exp(s_uv) − s_{u u′}                            (3)
        L = 1/(2n) Σ_u ℓ_u                                                  (4)

    where u and v run over the 2n rows of za and zb, u′ is the other view of the example of u, and τ = `temperature`.
    So there are 2n anchors, each with one positive and 2n − 2 negatives. If all embeddings are equal, L = log(2n − 1).

    Args:
        za, zb: embeddings of the two views, (n, d).
        temperature: τ, above 0; the smaller it is, the more the most similar negatives count. Defaults to 0.5.

    Returns:
        L, a scalar: the mean over the 2n anchors.

    Raises:
        InputError: the shapes differ, or τ is not above 0.

    Example:
        >>> import math
        >>> import numpy as np
        >>> equal = np.ones((4, 3), "float32")
        >>> round(float(nt_xent(equal, equal)), 4), round(math.log(2 * 4 - 1), 4)
        (1.9459, 1.9459)

    Convention: some implementations divide by n, or compare za with zb only (n − 1 negatives).
    Reference: Chen, Kornblith, Norouzi, Hinton, 2020, A simple framework for contrastive learning of visual
    representations, equation 1 and algorithm 1, arXiv:2002.05709.
    """
    temperature = number("nt_xent.temperature", temperature, above=0)
    za, zb = pair("nt_xent", za, zb)
    index = ops.arange(ops.shape(za)[0])
    return ops.mean(nt_xent_of_each(za, zb, za, zb, index, temperature))  # (4)


def nt_xent_of_each(
    za: Tensor, zb: Tensor, every_a: Tensor, every_b: Tensor, index: Tensor, temperature: float
) -> Tensor:
    """Compute ½ (ℓ_a + ℓ_b) of each example of a part of the batch, with ℓ as in equation (3) of `nt_xent`.

    Args:
        za, zb: embeddings of the two views of the part, (n, d).
        every_a, every_b: embeddings of the whole batch, which contain those of the part, (N, d).
        index: indices of the part's examples in the whole batch, whole numbers (n,).
        temperature: τ.

    Returns:
        (n,).
    """
    num_examples, index = ops.shape(every_a)[0], ops.cast(index, "int32")
    anchors = unit(ops.concatenate([za, zb]))  # (1): (2n, d)
    everything = unit(ops.concatenate([every_a, every_b]))  # (2N, d)
    columns = ops.arange(2 * num_examples, dtype="int32")[None]
    itself = columns == ops.concatenate([index, num_examples + index])[:, None]
    positive = ops.sum(anchors * ops.roll(anchors, ops.shape(za)[0], axis=0), axis=1) / temperature
    losses = log_sum_of_candidates(anchors, everything, itself, temperature) - positive  # (3)
    return ops.mean(ops.reshape(losses, (2, -1)), axis=0)


def log_sum_of_candidates(anchors: Tensor, everything: Tensor, itself: Tensor, temperature: float) -> Tensor:
    """Compute log Σ_{v ≠ u} exp(s_uv) of each anchor, (2n,), with its gradient in closed form.

        ∂/∂ẑ_u = 1/τ Σ_v p_uv ẑ_v,   p_uv = exp(s_uv) / Σ_{v ≠ u} exp(s_uv)         (5)

    and likewise for ẑ_v, so that the gradient needs one pass over the (2n, 2N) exponentials and two products.

    Args:
        anchors: ẑ_u, (2n, d).
        everything: ẑ_v, (2N, d).
        itself: booleans (2n, 2N), True where v = u.
        temperature: τ.
    """
    similarity = ops.matmul(anchors / temperature, ops.transpose(everything))  # (2): (2n, 2N)
    similarity = ops.where(itself, -float("inf"), similarity)
    # Without `initial`, Keras refuses the empty part of a replica in eager execution.
    largest = ops.max(similarity, axis=1, keepdims=True, initial=-float("inf"))
    exponentials = ops.exp(similarity - largest)
    total = ops.sum(exponentials, axis=1)
    value = ops.log(total) + largest[:, 0]

    @ops.custom_gradient
    def with_gradient(anchors, everything):
        def gradient(upstream):
            shares = exponentials * (upstream / (total * temperature))[:, None]
            return ops.matmul(shares, everything), ops.matmul(ops.transpose(shares), anchors)  # (5)

        return ops.stop_gradient(value), gradient

    return with_gradient(anchors, everything)


@keras.saving.register_keras_serializable(package="tf_kit")
class SimCLR(JointEmbedding):
    """SimCLR: contrastive learning, in which each view is to identify the other view of its example in the batch.

        ℓ_i = ½ (ℓ_{i0} + ℓ_{i1}),  ℓ_{iv} as in equation (3) of `nt_xent`          (1)

    The negatives are all other examples of the global batch, so larger batches give harder tasks.

    Args:
        encoder, projector, augment, seed, chunk_size: as for `JointEmbedding`.
        temperature: τ, above 0; the smaller it is, the more the most similar negatives count. Defaults to 0.5.

    Example:
        >>> from tf_kit import data, networks, regularization
        >>> train = data.load("digits", seed=0)[0]
        >>> model = SimCLR(networks.mlp((64,), num_classes=None), augment=regularization.preset("digits"))
        >>> model.compile(keras.optimizers.Adam(0.003))
        >>> history = model.fit(train.x, batch_size=256, epochs=5, verbose=0).history
        >>> history["loss"][-1] < history["loss"][0] < 6.24                      # log(2·256 − 1)
        True

    Convention: the authors apply batch norm to both views together, as here.
    Reference: Chen, Kornblith, Norouzi, Hinton, 2020, A simple framework for contrastive learning of visual
    representations, algorithm 1, arXiv:2002.05709.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        temperature: float = SimCLROptions.temperature,
        seed: int = 0,
        chunk_size: int | None = SimCLROptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.options = SimCLROptions(chunk_size, temperature)
        self.temperature = self.options.temperature

    def loss_of_each(self, z: Tensor, views: Tensor, random: ExampleRandom, training: bool) -> Tensor:
        every = gather(z)  # the anchors are this replica's examples, the negatives those of all replicas
        return nt_xent_of_each(
            z[:, 0], z[:, 1], every[:, 0], every[:, 1], random.index, self.temperature
        )  # (1)
