"""Barlow Twins: features agree between the views, and no feature repeats another."""

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.pretraining.joint_embedding.embeddings import pair, standardized
from tf_kit.pretraining.joint_embedding.frame import BatchObjective
from tf_kit.pretraining.methods import BarlowTwinsOptions


@keras.saving.register_keras_serializable(package="tf_kit")
class BarlowTwins(BatchObjective):
    """Barlow Twins: features agree between the views, and no feature repeats another.

    The loss is `barlow_twins` of the global batch. It needs no negatives and no teacher; wide embeddings help.

    Args:
        encoder, projector, augment, seed, chunk_size: as in `JointEmbedding`.
        redundancy_weight: λ ≥ 0. Defaults to 0.005.

    Convention: the authors run batch norm on each view by itself; here it sees both. The correlations are of each
    view by itself everywhere.
    Reference: Zbontar, Jing, Misra, LeCun, Deny 2021, "Barlow Twins: Self-Supervised Learning via Redundancy
    Reduction", algorithm 1.
    """

    def __init__(
        self,
        encoder,
        projector=None,
        augment=None,
        redundancy_weight=BarlowTwinsOptions.redundancy_weight,
        seed=0,
        chunk_size=BarlowTwinsOptions.chunk_size,
        **kwargs,
    ):
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.options = BarlowTwinsOptions(chunk_size, redundancy_weight)
        self.redundancy_weight = self.options.redundancy_weight

    def loss_of_batch(self, za, zb):
        return barlow_twins(za, zb, self.redundancy_weight)


def barlow_twins(za, zb, redundancy_weight=0.005):
    """Brings the cross-correlation of two views' features to the identity.

        x̂ = (x − mean x) / √(var x + 10⁻⁵), for each feature over the batch    (1)
        C = ẑaᵀ ẑb / n                                                      (2)
        L = Σ_j (1 − C_jj)² + λ Σ_{j ≠ k} C_jk²                             (3)

    The first term asks that a feature be the same for both views, the second that features be no copies of one
    another. C is (d, d), λ = `redundancy_weight`.

    Args:
        za, zb: embeddings of the two views, (n, d).
        redundancy_weight: λ ≥ 0. Defaults to 0.005.

    Returns:
        L, a scalar.

    Example: two features that are the same for both views, and one another's copies

    >>> import numpy as np
    >>> z = np.array([[1, 1], [-1, -1]], "float32")
    >>> round(float(barlow_twins(z, z, redundancy_weight=0.5)), 3)
    1.0

    Reference: Zbontar, Jing, Misra, LeCun, Deny 2021, "Barlow Twins: Self-Supervised Learning via Redundancy
    Reduction", equations 1 and 2.
    """
    redundancy_weight = number("barlow_twins.redundancy_weight", redundancy_weight, at_least=0)
    za, zb = pair("barlow_twins", za, zb)
    num_examples = ops.cast(ops.shape(za)[0], za.dtype)
    correlation = ops.matmul(ops.transpose(standardized(za)), standardized(zb)) / num_examples  # (2)
    identity = ops.eye(za.shape[1], dtype=za.dtype)
    on = ops.sum(identity * ops.square(1 - correlation))
    off = ops.sum((1 - identity) * ops.square(correlation))
    return on + redundancy_weight * off  # (3)
