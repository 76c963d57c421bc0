"""Barlow Twins: features that agree between two views and are not correlated with each other."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.pretraining.joint_embedding.embeddings import centered, pair
from tf_kit.pretraining.joint_embedding.frame import BatchObjective
from tf_kit.pretraining.method_options import BarlowTwinsOptions
from tf_kit.typing import ArrayLike, Tensor


def barlow_twins(
    za: ArrayLike, zb: ArrayLike, redundancy_weight: float = BarlowTwinsOptions.redundancy_weight
) -> Tensor:
    """Compute the Barlow Twins loss: distance of the cross-correlation of two views' features from the identity.

        ẑ = (z − mean z) / √(var z + 10⁻⁵), for each feature over the batch (1)
        C = ẑaᵀ ẑb / n                                                      (2)
        L = Σ_j (1 − C_jj)² + λ Σ_{j ≠ k} C_jk²                             (3)

    where λ = `redundancy_weight` and C is (d, d). The first sum of (3) makes each feature equal in both views, the
    second makes different features uncorrelated. The gradient is computed in closed form,

        G = ∂L/∂C,   G_jj = 2 (C_jj − 1),   G_jk = 2 λ C_jk                 (4)
        ∂L/∂za_j = [Σ_k ẑb_k G_jk − ẑa_j Σ_k G_jk C_jk] / (n √(var za_j + 10⁻⁵))    (5)

    where j and k are features, and likewise for zb with the indices of G and C exchanged.

    Args:
        za, zb: embeddings of the two views, (n, d).
        redundancy_weight: λ, at least 0. Defaults to 0.005.

    Returns:
        L, a scalar.

    Raises:
        InputError: the shapes differ, or λ is negative.

    Example:
        >>> import numpy as np
        >>> z = np.array([[1, 1], [-1, -1]], "float32")        # two equal features, equal in both views
        >>> round(float(barlow_twins(z, z, redundancy_weight=0.5)), 3)
        1.0

    Reference: Zbontar, Jing, Misra, LeCun, Deny, 2021, Barlow Twins: self-supervised learning via redundancy
    reduction, equations 1 and 2, arXiv:2103.03230.
    """
    redundancy_weight = number("barlow_twins.redundancy_weight", redundancy_weight, at_least=0)
    za, zb = pair("barlow_twins", za, zb)
    num_examples = ops.cast(ops.shape(za)[0], za.dtype)
    (ca, ra), (cb, rb) = centered(za), centered(zb)
    scale = (
        ra[:, None] * rb / num_examples
    )  # applied to the (d, d) product, which is smaller than the embeddings
    correlation = scale * ops.matmul(ops.transpose(ca), cb)  # (2)
    identity = ops.eye(za.shape[1], dtype=za.dtype)
    distance = correlation - identity
    weighted = (redundancy_weight * (1 - identity) + identity) * distance
    value = ops.sum(weighted * distance)  # (3)

    @ops.custom_gradient
    def with_gradient(za, zb):
        def gradient(upstream):
            g = 2 * upstream * weighted  # (4)
            shared = g * correlation / num_examples
            of_a = ops.matmul(cb, ops.transpose(g * scale)) - ca * (ra**2 * ops.sum(shared, axis=1))  # (5)
            of_b = ops.matmul(ca, g * scale) - cb * (rb**2 * ops.sum(shared, axis=0))
            return of_a, of_b

        return ops.stop_gradient(value), gradient

    return with_gradient(za, zb)


@keras.saving.register_keras_serializable(package="tf_kit")
class BarlowTwins(BatchObjective):
    """Barlow Twins: features that agree between two views and are not correlated with each other.

    The loss is `barlow_twins` of the global batch. It needs neither negatives nor a teacher, and works best with wide
    embeddings.

    Args:
        encoder, projector, augment, seed, chunk_size: as for `JointEmbedding`.
        redundancy_weight: weight λ of the correlations between features, at least 0. Defaults to 0.005.

    Convention: the authors apply batch norm to each view separately; here it is applied to both together. The
    correlations use the statistics of each view in both cases.
    Reference: Zbontar, Jing, Misra, LeCun, Deny, 2021, Barlow Twins: self-supervised learning via redundancy
    reduction, algorithm 1, arXiv:2103.03230.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        redundancy_weight: float = BarlowTwinsOptions.redundancy_weight,
        seed: int = 0,
        chunk_size: int | None = BarlowTwinsOptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.options = BarlowTwinsOptions(chunk_size, redundancy_weight)
        self.redundancy_weight = self.options.redundancy_weight

    def loss_of_batch(self, za: Tensor, zb: Tensor) -> Tensor:
        return barlow_twins(za, zb, self.redundancy_weight)
