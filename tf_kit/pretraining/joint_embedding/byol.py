"""BYOL (bootstrap your own latent): the student predicts the embedding of the other view by a slow teacher."""

from typing import Any

import keras
from keras import ops

from tf_kit.dtypes import widened
from tf_kit.networks.inspection import freeze_parts
from tf_kit.pretraining.joint_embedding.embeddings import one_over_length, pair, unit
from tf_kit.pretraining.joint_embedding.prediction import JointEmbeddingWithPredictor
from tf_kit.pretraining.joint_embedding.teacher import Teacher, follow_students, start_teachers
from tf_kit.pretraining.method_options import BYOLOptions
from tf_kit.randomness.step import ExampleRandom
from tf_kit.typing import ArrayLike, Tensor


def byol(prediction: ArrayLike, target: ArrayLike) -> Tensor:
    """Compute the BYOL loss: mean squared distance between the directions of predictions and of constant targets.

        L = 1/n Σ_i ‖p̂_i − ẑ_i‖² = 1/n Σ_i (2 − 2 p̂_i·ẑ_i),   p̂ = p / ‖p‖,  ẑ = z / ‖z‖     (1)

    Args:
        prediction: p, predictions of the student from one view, (n, d).
        target: z, embeddings of the other view by the teacher, (n, d). No gradient flows into them.

    Returns:
        L in [0, 4], a scalar.

    Raises:
        InputError: the shapes differ.

    Example:
        >>> import numpy as np
        >>> float(byol(np.eye(2), 5 * np.eye(2))), float(byol(np.eye(2), np.eye(2)[::-1]))
        (0.0, 2.0)

    Reference: Grill et al., 2020, Bootstrap your own latent: a new approach to self-supervised learning, equation 2,
    arXiv:2006.07733.
    """
    return ops.mean(byol_of_each(*pair("byol", prediction, target)))  # (1)


def byol_of_each(prediction: Tensor, target: Tensor) -> Tensor:
    """Compute ℓ_i = ‖p̂_i − ẑ_i‖² of each example, (n,), the term of equation (1) of `byol`.

    Its gradient is computed in closed form: with p̂·ẑ = 1 − ℓ/2 and the unit vectors p̂ and ẑ,

        ∂ℓ/∂p = 2 (p̂ p̂·ẑ − ẑ) / ‖p‖ = 2 (p̂ − ẑ − p̂ ℓ/2) / ‖p‖             (2)
    """
    constant = ops.stop_gradient(prediction)
    scale = one_over_length(constant)
    p = scale * constant
    difference = p - unit(ops.stop_gradient(target))
    loss = ops.sum(ops.square(difference), axis=-1)
    slope = 2 * scale * (difference - p * (loss[:, None] / 2))  # (2)

    @ops.custom_gradient
    def with_gradient(prediction):
        return ops.stop_gradient(loss), lambda upstream: upstream[:, None] * slope

    return with_gradient(prediction)


@keras.saving.register_keras_serializable(package="tf_kit")
class BYOL(JointEmbeddingWithPredictor):
    """BYOL (bootstrap your own latent): the student predicts the embedding of the other view by a slow teacher.

    It needs no negatives. With the student's weights θ (encoder, projector, predictor) and the teacher's weights ξ
    (encoder, projector),

        p_v = predictor(projector(encoder(x_v; θ); θ); θ)                   (1)
        z_v = projector(encoder(x_v; ξ); ξ)                                 (2)
        ℓ = ‖p̂_0 − ẑ_1‖² + ‖p̂_1 − ẑ_0‖²                                    (3)
        ξ ← ρ ξ + (1 − ρ) θ   after each step                               (4)

    where the hats scale to length 1. The gradient of (3) is taken with respect to θ only. The teacher starts as a copy
    of the student and is saved with the model. It is the same on all replicas, because (4) depends only on weights
    that are. In training its batch norms use the batch; their moving statistics come from its own passes.

    Args:
        encoder, projector, augment, predictor, seed, chunk_size: as for `JointEmbeddingWithPredictor`.
        momentum: ρ in [0, 1], the share of its weights that the teacher keeps in each step; 1 never changes it.
            Defaults to 0.99.

    Attributes:
        teacher_encoder, teacher_projector: the teacher, see `Teacher`; its weights are not trainable.

    Raises:
        InputError: the predictor is not a layer or does not return embeddings, or `momentum` is out of range.

    Convention: the authors increase ρ from 0.996 to 1 along a cosine over a long training.
    Reference: Grill et al., 2020, Bootstrap your own latent: a new approach to self-supervised learning, equations 1
    and 2 and algorithm 1, arXiv:2006.07733.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        predictor: Any = None,
        momentum: float = BYOLOptions.momentum,
        seed: int = 0,
        chunk_size: int | None = BYOLOptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, predictor, seed, chunk_size, **kwargs)
        self.options = BYOLOptions(chunk_size, momentum)
        self.momentum = self.options.momentum
        self.teacher_encoder, self.teacher_projector = Teacher(self.encoder), Teacher(self.projector)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        start_teachers(self._pairs, (input_shape, self._representation_shape))
        freeze_parts(self)

    @property
    def _pairs(self):
        """(teacher, student) of encoder and projector."""
        return (self.teacher_encoder, self.encoder), (self.teacher_projector, self.projector)

    def loss_of_each(self, z: Tensor, views: Tensor, random: ExampleRandom, training: bool) -> Tensor:
        p = self.predictions(z, training)  # (1)
        target = self.teacher_encoder(views, training=training)
        target = self.teacher_projector(target, training=training)
        target = ops.reshape(widened(target), (-1, 2, z.shape[-1]))  # (2)
        return byol_of_each(p[:, 0], target[:, 1]) + byol_of_each(p[:, 1], target[:, 0])  # (3)

    def train_step(self, batch: Any) -> dict[str, Tensor]:
        result = super().train_step(batch)
        follow_students(self._pairs, self.momentum)  # (4)
        return result
