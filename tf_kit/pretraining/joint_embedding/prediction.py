"""Base class of joint embedding with a predictor: embeddings of one view are predicted from the other view."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import refuse
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import freeze_parts, one_vector
from tf_kit.pretraining.joint_embedding.frame import JointEmbedding
from tf_kit.pretraining.joint_embedding.projection import UNITS, projection_head
from tf_kit.pretraining.method_options import JointEmbeddingOptions
from tf_kit.typing import Tensor


class JointEmbeddingWithPredictor(JointEmbedding):
    """Base class of BYOL, SimSiam and NNCLR, which have one more network: p = predictor(z).

    Args:
        encoder, projector, augment, seed, chunk_size: as for `JointEmbedding`.
        predictor: Keras layer or model that maps embeddings to embeddings, or a tuple of the sizes of its hidden
            layers. Defaults to None, one hidden layer of 256 with batch norm.

    Raises:
        InputError: the predictor is not a layer or does not return embeddings.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        predictor: Any = None,
        seed: int = 0,
        chunk_size: int | None = JointEmbeddingOptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        sizes = predictor is None or isinstance(predictor, tuple | list)
        if not (sizes or isinstance(predictor, keras.layers.Layer)):
            received = type(predictor).__name__
            requirement = "be a Keras layer or model, or a tuple of sizes of hidden layers"
            refuse(f"{type(self).__name__}.predictor", requirement, received)
        self.hidden_units = tuple(predictor or UNITS[:1]) if sizes else None
        self.predictor: Any = None if sizes else predictor

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        features, subject = self._embedding_shape[-1], f"{type(self).__name__}.predictor"
        if self.predictor is None and self.hidden_units is not None:
            units, seed = (*self.hidden_units, features), self.seed + 1000
            self.predictor = projection_head(units, seed=seed, name="predictor", dtype=self.dtype_policy)
        predicted = one_vector(subject, self.predictor, self._embedding_shape)
        if predicted[-1] != features:
            requirement = f"return the {features} features of the embedding"
            refuse(subject, requirement, f"{predicted[-1]} features")
        freeze_parts(self)

    def predictions(self, z: Tensor, training: bool) -> Tensor:
        """Compute p = predictor(z) of the embeddings of both views, (n, 2, d), float32."""
        p = self.predictor(ops.reshape(z, (-1, z.shape[-1])), training=training)
        return ops.reshape(widened(p), (-1, 2, z.shape[-1]))

    def get_config(self) -> dict[str, Any]:
        hidden = self.hidden_units
        predictor = keras.saving.serialize_keras_object(self.predictor) if hidden is None else list(hidden)
        return {**super().get_config(), "predictor": predictor}
