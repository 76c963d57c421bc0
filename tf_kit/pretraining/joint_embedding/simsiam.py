"""SimSiam: each view predicts the embedding of the other one, which is held constant."""

from typing import Any

import keras
from keras import ops

from tf_kit.pretraining.joint_embedding.embeddings import pair, unit
from tf_kit.pretraining.joint_embedding.prediction import JointEmbeddingWithPredictor
from tf_kit.pretraining.method_options import SimSiamOptions
from tf_kit.randomness.step import ExampleRandom
from tf_kit.typing import ArrayLike, Tensor


def simsiam(prediction: ArrayLike, target: ArrayLike) -> Tensor:
    """Compute the SimSiam loss: negative cosine similarity of predictions and constant targets.

        L = −1/n Σ_i p̂_i·ẑ_i,   p̂ = p / ‖p‖,  ẑ = z / ‖z‖                   (1)

    Args:
        prediction: p, predictions from one view, (n, d).
        target: z, embeddings of the other view, (n, d). No gradient flows into them.

    Returns:
        L in [−1, 1], a scalar.

    Raises:
        InputError: the shapes differ.

    Example:
        >>> import numpy as np
        >>> float(simsiam(np.eye(2), 5 * np.eye(2))), float(simsiam(np.eye(2), np.eye(2)[::-1]))
        (-1.0, 0.0)

    Convention: the loss of BYOL is 2 L + 2.
    Reference: Chen, He, 2021, Exploring simple Siamese representation learning, equations 1 and 3, arXiv:2011.10566.
    """
    return ops.mean(simsiam_of_each(*pair("simsiam", prediction, target)))


def simsiam_of_each(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute −p̂_i·ẑ_i of each example, (n,), the term of equation (1) of `simsiam`; 0 where p or z is zero."""
    return -ops.sum(unit(prediction) * unit(ops.stop_gradient(target)), axis=-1)  # (1)


@keras.saving.register_keras_serializable(package="tf_kit")
class SimSiam(JointEmbeddingWithPredictor):
    """SimSiam (simple Siamese networks): each view predicts the embedding of the other one, which is held constant.

    It needs neither negatives nor a teacher; predictor and constant targets keep the embeddings apart. For view v of
    an example,

        p_v = predictor(z_v)                                                (1)
        ℓ = ½ D(p_0, z_1) + ½ D(p_1, z_0),   D(p, z) = −p̂·ẑ with z a constant      (2)

    where the hats scale to length 1. Its loss is −1 for collapsed embeddings as well as for perfect agreement, so
    `CollapseMonitor` should watch the training.

    Args:
        encoder, projector, augment, predictor, seed, chunk_size: as for `JointEmbeddingWithPredictor`.

    Example:
        >>> from tf_kit import data, networks, regularization
        >>> train = data.load("digits", seed=0)[0]
        >>> model = SimSiam(networks.mlp((64,), num_classes=None), augment=regularization.preset("digits"))
        >>> model.compile(keras.optimizers.Adam(0.003))
        >>> history = model.fit(train.x, batch_size=256, epochs=5, verbose=0).history
        >>> -1 < history["loss"][-1] < history["loss"][0]
        True

    Convention: the authors' projector ends in batch norm, and their predictor narrows (2048 to 512); here the default
    projector has batch norm in its hidden layer only, which the paper's table 3 finds nearly as good.
    Reference: Chen, He, 2021, Exploring simple Siamese representation learning, algorithm 1, arXiv:2011.10566.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        predictor: Any = None,
        seed: int = 0,
        chunk_size: int | None = SimSiamOptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, predictor, seed, chunk_size, **kwargs)
        self.options = SimSiamOptions(chunk_size)

    def loss_of_each(self, z: Tensor, views: Tensor, random: ExampleRandom, training: bool) -> Tensor:
        p = self.predictions(z, training)  # (1)
        return (simsiam_of_each(p[:, 0], z[:, 1]) + simsiam_of_each(p[:, 1], z[:, 0])) / 2  # (2)
