"""SimCLR: two views of an example find each other among all views of the batch."""

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.pretraining.joint_embedding.embeddings import pair, unit
from tf_kit.pretraining.joint_embedding.frame import JointEmbedding
from tf_kit.pretraining.methods import SimCLROptions
from tf_kit.replicas import gather


@keras.saving.register_keras_serializable(package="tf_kit")
class SimCLR(JointEmbedding):
    """SimCLR: an example's two views must find each other among all views of the batch.

        ℓ_i = ½ (ℓ_{i0} + ℓ_{i1}),  ℓ_{iv} as in equation (3) of `nt_xent`          (1)

    The other examples of the global batch are the negatives, so the larger the batch, the harder the question.

    Args:
        encoder, projector, augment, seed, chunk_size: as in `JointEmbedding`.
        temperature: τ > 0. Defaults to 0.5.

    Example:

    >>> from tf_kit import data, networks, regularization
    >>> train = data.load("digits", seed=0)[0]
    >>> model = SimCLR(networks.mlp((64,), num_classes=None), augment=regularization.preset("digits"))
    >>> model.compile(keras.optimizers.Adam(0.003))
    >>> history = model.fit(train.x, batch_size=256, epochs=5, verbose=0).history
    >>> history["loss"][-1] < history["loss"][0] < 6.24                      # log(2·256 − 1)
    True

    Convention: the authors pass both views through batch norm together, as here.
    Reference: Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", algorithm 1.
    """

    def __init__(
        self,
        encoder,
        projector=None,
        augment=None,
        temperature=SimCLROptions.temperature,
        seed=0,
        chunk_size=SimCLROptions.chunk_size,
        **kwargs,
    ):
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.options = SimCLROptions(chunk_size, temperature)
        self.temperature = self.options.temperature

    def loss_of_each(self, z, views, random, training):
        every = gather(z)  # each replica's own anchors against everything
        return nt_xent_of_each(
            z[:, 0], z[:, 1], every[:, 0], every[:, 1], random.index, self.temperature
        )  # (1)


def nt_xent(za, zb, temperature=0.5):
    """Normalized temperature-scaled cross-entropy: find your other view among all embeddings of the batch.

        ẑ = z / ‖z‖                                                         (1)
        s_uv = ẑ_u·ẑ_v / τ                                                  (2)
        ℓ_u = log Σ_{v ≠ u} exp(s_uv) − s_{u u′}                            (3)
        L = 1/(2n) Σ_u ℓ_u                                                  (4)

    where u and v run over the 2n rows of za and zb, u′ is the other view of u's example and τ = `temperature`:
    2n anchors, each with one positive and 2n − 2 negatives. Where all embeddings are equal, L = log(2n − 1).

    Args:
        za, zb: embeddings of the two views, (n, d).
        temperature: τ > 0; the smaller, the more the hardest negatives count. Defaults to 0.5.

    Returns:
        L, a scalar: the mean over the 2n anchors.

    Example:

    >>> import math
    >>> import numpy as np
    >>> equal = np.ones((4, 3), "float32")
    >>> round(float(nt_xent(equal, equal)), 4), round(math.log(2 * 4 - 1), 4)
    (1.9459, 1.9459)

    Convention: some code averages over n, or compares za with zb only (n − 1 negatives).
    Reference: Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", equation 1 and algorithm 1.
    """
    temperature = number("nt_xent.temperature", temperature, above=0)
    za, zb = pair("nt_xent", za, zb)
    index = ops.arange(ops.shape(za)[0])
    return ops.mean(nt_xent_of_each(za, zb, za, zb, index, temperature))  # (4)


def nt_xent_of_each(za, zb, every_a, every_b, index, temperature):
    """½ (ℓ_a + ℓ_b) of each example of a part of the batch, (n,): equation (3) of `nt_xent`.

    Args:
        za, zb: embeddings of the part's views, (n, d).
        every_a, every_b: those of the whole batch, (N, d), the part's among them.
        index: the part's places in the whole batch, whole numbers (n,).
        temperature: τ.
    """
    num_examples, index = ops.shape(every_a)[0], ops.cast(index, "int32")
    anchors = unit(ops.concatenate([za, zb]))  # (1): (2n, d)
    everything = unit(ops.concatenate([every_a, every_b]))  # (2N, d)
    similarity = ops.matmul(anchors, ops.transpose(everything)) / temperature  # (2): (2n, 2N)
    columns = ops.arange(2 * num_examples, dtype="int32")[None]
    itself = columns == ops.concatenate([index, num_examples + index])[:, None]
    positive = columns == ops.concatenate([num_examples + index, index])[:, None]
    losses = ops.logsumexp(ops.where(itself, -float("inf"), similarity), axis=1)
    losses = losses - ops.sum(ops.where(positive, similarity, 0.0), axis=1)  # (3)
    return ops.mean(ops.reshape(losses, (2, -1)), axis=0)
