"""Base of the pretraining methods: an encoder that is trained in place."""

import dataclasses

import keras

from tf_kit.checks import refuse
from tf_kit.networks.stages import HEAD
from tf_kit.options import Options
from tf_kit.training.trainer import Trainer


class Pretrainer(Trainer):
    """Base of the pretraining methods: wraps an `encoder` and trains it in place.

    `model(x)` is the encoder's representation; after `fit` the encoder is read back as `.encoder` and goes on to
    `finetune`, `linear_probe` or `knn_accuracy`.

    Args:
        encoder: a Keras layer or model.
        seed: seed of the data order and of all that is random in training.
    """

    def __init__(self, encoder, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        if not isinstance(encoder, keras.layers.Layer):
            refuse(
                f"{type(self).__name__}.encoder",
                "be a Keras layer or model",
                f"{type(encoder).__name__}",
                "networks.mlp(units, num_classes=None) makes one",
            )
        last = encoder.layers[-1:] if isinstance(encoder, keras.Model) else []
        if last and last[0].name == HEAD:
            refuse(
                f"{type(self).__name__}.encoder",
                "end in the representation",
                f"a network that ends in the layer {HEAD!r}",
                "networks.mlp(units, num_classes=None) leaves it out, pretrain_greedily passes it by",
            )
        self.encoder = encoder
        self.options = Options()

    def call(self, x, training=False):
        return self.encoder(x, training=training)

    def get_config(self):
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder, **dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config):
        def part(value):
            saved = isinstance(value, dict) and {"class_name", "config"} <= value.keys()
            return keras.saving.deserialize_keras_object(value) if saved else value

        return cls(**{name: part(value) for name, value in config.items()})
