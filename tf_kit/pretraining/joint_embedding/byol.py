"""Bootstrapping: a student predicts what a slow copy of itself, the teacher, makes of the other view."""

import keras
from keras import ops

from tf_kit.checks import refuse
from tf_kit.pretraining.joint_embedding.embeddings import pair, unit
from tf_kit.pretraining.joint_embedding.frame import JointEmbedding
from tf_kit.pretraining.joint_embedding.projection import UNITS, projection_head
from tf_kit.pretraining.methods import BYOLOptions


@keras.saving.register_keras_serializable(package="tf_kit")
class BYOL(JointEmbedding):
    """Bootstrap your own latent: no negatives, but a teacher that follows the student slowly.

    With the student's weights θ (encoder, projector, predictor) and the teacher's ξ (encoder, projector),

        p_v = predictor(projector(encoder(x_v; θ); θ); θ)                   (1)
        z_v = projector(encoder(x_v; ξ); ξ)                                 (2)
        ℓ = ‖p̂_0 − ẑ_1‖² + ‖p̂_1 − ẑ_0‖²                                    (3)
        ξ ← ρ ξ + (1 − ρ) θ   after each step                               (4)

    The gradient of (3) is taken with respect to θ alone; the hats scale to length 1. The teacher starts as a copy
    of the student, is saved with the model, and is the same on all replicas, since (4) is a function of weights
    that are. In training its batch norms use the batch, and its moving statistics are those of its own passes.

    Args:
        encoder, projector, augment, seed, chunk_size: as in `JointEmbedding`. The encoder and the projector must
            be rebuildable from their configs, as the teacher is.
        predictor: Keras layer or model from embedding to embedding; or the sizes of its hidden layers. Defaults to
            one hidden layer of 256 with batch norm.
        momentum: ρ in [0, 1]. 1 keeps the teacher as it began. Defaults to 0.99.

    Attributes:
        teacher_encoder, teacher_projector: the teacher, whose weights are not trainable.

    Convention: the authors let ρ rise from 0.996 to 1 on a cosine over a long training.
    Reference: Grill et al. 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning",
    equations 1 and 2 and algorithm 1.
    """

    def __init__(
        self,
        encoder,
        projector=None,
        augment=None,
        predictor=None,
        momentum=BYOLOptions.momentum,
        seed=0,
        chunk_size=BYOLOptions.chunk_size,
        **kwargs,
    ):
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        sizes = predictor is None or isinstance(predictor, tuple | list)
        if not (sizes or isinstance(predictor, keras.layers.Layer)):
            received = type(predictor).__name__
            refuse("BYOL.predictor", "be a Keras layer or model, or sizes of hidden layers", received)
        self.hidden_units = tuple(predictor or UNITS[:1]) if sizes else None
        self.predictor = None if sizes else predictor
        self.options = BYOLOptions(chunk_size, momentum)
        self.momentum = self.options.momentum
        self.teacher_encoder, self.teacher_projector = _copy(self.encoder), _copy(self.projector)

    def build(self, input_shape):
        super().build(input_shape)
        representation = self.encoder.compute_output_shape(input_shape)
        embedding = self.projector.compute_output_shape(representation)
        if self.predictor is None:
            units = (*self.hidden_units, embedding[-1])
            self.predictor = projection_head(units, seed=self.seed + 1000, name="predictor")
        if not self.predictor.built:
            self.predictor.build(embedding)
        if self.predictor.compute_output_shape(embedding)[-1] != embedding[-1]:
            refuse(
                "BYOL.predictor",
                f"end in the {embedding[-1]} features of the embedding",
                f"{self.predictor.compute_output_shape(embedding)[-1]} features",
            )
        for (teacher, student), shape in zip(self._pairs, (input_shape, representation), strict=True):
            if not teacher.built:
                teacher.build(shape)
            teacher.set_weights(student.get_weights())
            for variable in teacher.trainable_variables:
                variable.trainable = False  # not the layer: its batch norm would turn to inference

    @property
    def _pairs(self):
        """(teacher, student) of encoder and projector."""
        return (self.teacher_encoder, self.encoder), (self.teacher_projector, self.projector)

    def loss_of_each(self, z, views, random, training):
        shape = (-1, 2, z.shape[-1])
        p = self.predictor(ops.reshape(z, (-1, z.shape[-1])), training=training)
        p = ops.reshape(ops.cast(p, "float32"), shape)  # (1)
        target = self.teacher_encoder(views, training=training)
        target = self.teacher_projector(target, training=training)
        target = ops.reshape(ops.cast(target, "float32"), shape)  # (2)
        return byol_of_each(p[:, 0], target[:, 1]) + byol_of_each(p[:, 1], target[:, 0])  # (3)

    def train_step(self, batch):
        result = super().train_step(batch)
        for teacher, student in self._pairs:
            for slow, fast in zip(teacher.weights, student.weights, strict=True):
                if fast.trainable:  # moving statistics are the teacher's own
                    slow.assign(self.momentum * slow + (1 - self.momentum) * fast)  # (4)
        return result

    def get_config(self):
        hidden = self.hidden_units
        predictor = keras.saving.serialize_keras_object(self.predictor) if hidden is None else list(hidden)
        return {**super().get_config(), "predictor": predictor}


def byol(prediction, target):
    """Squared distance between the directions of a prediction and of its target, which is a constant.

        L = 1/n Σ_i ‖p̂_i − ẑ_i‖² = 1/n Σ_i (2 − 2 p̂_i·ẑ_i),   p̂ = p / ‖p‖,  ẑ = z / ‖z‖     (1)

    Args:
        prediction: p, the student's prediction from one view, (n, d).
        target: z, the teacher's embedding of the other view, (n, d). No gradient flows into it.

    Returns:
        L in [0, 4], a scalar.

    Example:

    >>> import numpy as np
    >>> float(byol(np.eye(2), 5 * np.eye(2))), float(byol(np.eye(2), np.eye(2)[::-1]))
    (0.0, 2.0)

    Reference: Grill et al. 2020, "Bootstrap Your Own Latent", equation 2.
    """
    return ops.mean(byol_of_each(*pair("byol", prediction, target)))


def byol_of_each(prediction, target):
    """‖p̂_i − ẑ_i‖² of each example, (n,): equation (1) of `byol`."""
    return ops.sum(ops.square(unit(prediction) - ops.stop_gradient(unit(target))), axis=-1)


def _copy(layer):
    """A layer of the same architecture with weights of its own."""
    return keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
