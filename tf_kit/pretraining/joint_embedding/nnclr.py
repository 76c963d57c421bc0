"""NNCLR: contrastive learning, in which the positive is the nearest neighbor among earlier embeddings."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number, refuse
from tf_kit.pretraining.joint_embedding.embeddings import pair, unit
from tf_kit.pretraining.joint_embedding.prediction import JointEmbeddingWithPredictor
from tf_kit.pretraining.method_options import NNCLROptions
from tf_kit.randomness.step import ExampleRandom
from tf_kit.replicas import gather
from tf_kit.typing import ArrayLike, Tensor


def nnclr(
    neighbor: ArrayLike, prediction: ArrayLike, temperature: float = NNCLROptions.temperature
) -> Tensor:
    """Compute the NNCLR loss: which of all predictions belongs to the neighbor of an example?

        s_ik = q̂_i·p̂_k / τ,   q̂ = q / ‖q‖,  p̂ = p / ‖p‖                     (1)
        ℓ_i = log Σ_k exp(s_ik) − s_ii                                      (2)
        L = 1/n Σ_i ℓ_i                                                     (3)

    where τ = `temperature`. If all predictions are equal, L = log n.

    Args:
        neighbor: q, the `nearest` earlier embedding to that of one view, (n, d). No gradient flows into it.
        prediction: p, predictions from the other view, (n, d).
        temperature: τ, above 0. Defaults to 0.1.

    Returns:
        L, a scalar.

    Raises:
        InputError: the shapes differ, or τ is not above 0.

    Example:
        >>> import math
        >>> import numpy as np
        >>> round(float(nnclr(np.eye(3), np.ones((3, 3)))), 4), round(math.log(3), 4)
        (1.0986, 1.0986)

    Reference: Dwibedi, Aytar, Tompson, Sermanet, Zisserman, 2021, With a little help from my friends: nearest-neighbor
    contrastive learning of visual representations, equation 2 and algorithm 1, arXiv:2104.14548.
    """
    temperature = number("nnclr.temperature", temperature, above=0)
    neighbor, prediction = pair("nnclr", neighbor, prediction)
    return ops.mean(nnclr_of_each(neighbor, prediction, prediction, temperature))  # (3)


def nnclr_of_each(neighbor: Tensor, prediction: Tensor, every: Tensor, temperature: float) -> Tensor:
    """Compute ℓ_i of equation (2) of `nnclr` of each example of a part of the batch, (n,).

    Args:
        neighbor, prediction: those of the part, (n, d).
        every: predictions of the whole batch, which contain those of the part, (N, d).
        temperature: τ.
    """
    q = ops.stop_gradient(unit(neighbor)) / temperature
    similarity = ops.matmul(q, ops.transpose(unit(every)))  # (1): (n, N)
    return ops.logsumexp(similarity, axis=1) - ops.sum(q * unit(prediction), axis=1)  # (2)


def nearest(z: ArrayLike, support: ArrayLike) -> Tensor:
    """Return the row of `support` whose direction is nearest to that of each row of `z`, (n, d).

    Args:
        z: embeddings, (n, d).
        support: candidates, (q, d), with q at least 1.

    Example:
        >>> import numpy as np
        >>> np.asarray(nearest(np.array([[3.0, 0.1]]), np.eye(2))).tolist()
        [[1.0, 0.0]]

    Reference: Dwibedi et al., 2021, equation 3, as for `nnclr`.
    """
    z, support = ops.convert_to_tensor(z), ops.convert_to_tensor(support)
    if len(z.shape) != 2 or len(support.shape) != 2 or z.shape[1] != support.shape[1]:
        received = f"shapes {tuple(z.shape)} and {tuple(support.shape)}"
        refuse("nearest", "be given arrays (n, d) and (q, d)", received)
    return ops.take(support, ops.argmax(ops.matmul(z, ops.transpose(unit(support))), axis=1), axis=0)


@keras.saving.register_keras_serializable(package="tf_kit")
class NNCLR(JointEmbeddingWithPredictor):
    """NNCLR (nearest-neighbor contrastive learning): the positive is the nearest neighbor among earlier embeddings.

    Different examples that look alike become positives, which no augmentation of one example gives. With the queue Q
    of the last embeddings,

        q_v = argmax_{q ∈ Q} ẑ_v·q,   p_v = predictor(z_v)                  (1)
        ℓ = ½ ℓ(q_0, p_1) + ½ ℓ(q_1, p_0),   with ℓ as in equation (2) of `nnclr`    (2)
        Q ← the last `queue_size` of [Q; ẑ_0 of the global batch]   after each step   (3)

    where the hats scale to length 1. Q is saved with the model and is the same on all replicas. It starts with random
    directions.

    Args:
        encoder, projector, augment, predictor, seed, chunk_size: as for `JointEmbeddingWithPredictor`.
        temperature: τ, above 0. Defaults to 0.1.
        queue_size: number of embeddings in Q. Defaults to 4096.

    Attributes:
        queue: Q, (`queue_size`, d), the newest embeddings last; not trainable.

    Example:
        >>> from tf_kit import data, networks, regularization
        >>> train = data.load("digits", seed=0)[0]
        >>> model = NNCLR(
        ...     networks.mlp((64,), num_classes=None), augment=regularization.preset("digits"), queue_size=512)
        >>> model.compile(keras.optimizers.Adam(0.003))
        >>> history = model.fit(train.x, batch_size=256, epochs=5, verbose=0).history
        >>> history["loss"][-1] < history["loss"][0] < 6                        # log 256 = 5.5
        True

    Reference: Dwibedi, Aytar, Tompson, Sermanet, Zisserman, 2021, With a little help from my friends: nearest-neighbor
    contrastive learning of visual representations, algorithm 1, arXiv:2104.14548.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        predictor: Any = None,
        temperature: float = NNCLROptions.temperature,
        queue_size: int = NNCLROptions.queue_size,
        seed: int = 0,
        chunk_size: int | None = NNCLROptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, predictor, seed, chunk_size, **kwargs)
        self.options = NNCLROptions(chunk_size, temperature, queue_size)
        self.temperature, self.queue_size = self.options.temperature, self.options.queue_size
        self.queue: Any = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.queue = self.add_weight(
            shape=(self.queue_size, self._embedding_shape[-1]),
            initializer=keras.initializers.RandomNormal(seed=self.seed + 2000),
            dtype=keras.backend.result_type(self.variable_dtype, "float32"),
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name="queue",
        )

    def loss_of_each(self, z: Tensor, views: Tensor, random: ExampleRandom, training: bool) -> Tensor:
        p = self.predictions(z, training)
        every = gather(p)
        earlier = ops.cast(self.queue, z.dtype)
        losses = [
            nnclr_of_each(
                nearest(z[:, view], earlier), p[:, 1 - view], every[:, 1 - view], self.temperature
            )  # (1), (2)
            for view in (0, 1)
        ]
        if training:
            newest = unit(gather(ops.stop_gradient(z[:, 0])))
            # The optimizer skips a step whose gradients are not finite, and the queue its embeddings.
            newest = ops.where(ops.isfinite(newest), newest, 0.0)
            self.queue.assign(ops.concatenate([earlier, newest])[-self.queue_size :])  # (3)
        return (losses[0] + losses[1]) / 2  # (2)
