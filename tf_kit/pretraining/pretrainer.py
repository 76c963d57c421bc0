"""Base class of the pretraining methods: a model that trains an encoder in place."""

import dataclasses
from typing import Any, Self

import keras
import numpy as np

from tf_kit.checks import refuse
from tf_kit.networks.inspection import last_layer
from tf_kit.networks.stages import HEAD
from tf_kit.options import Options
from tf_kit.training import targets
from tf_kit.training.converted import converted
from tf_kit.training.inputs import (
    SCALED,
    InputRange,
    check_arrays,
    check_one_input,
    check_range,
    check_size,
    is_array,
)
from tf_kit.training.trainer import Trainer
from tf_kit.typing import ArrayLike, Dataset, Tensor


class Pretrainer(Trainer):
    """Base class of the pretraining methods: wraps an `encoder` and trains it in place.

    `model(x)` is the encoder's representation. After `fit`, `model.encoder` is the trained encoder, for `finetune`,
    `linear_probe` or `knn_accuracy`. A subclass defines `per_example`; if it uses y, it also sets `takes_targets` to
    True. Otherwise `fit` and `evaluate` refuse targets, and `sample_weight` needs none; in a data set of
    (x, y, sample_weight), y only keeps the place.

    Args:
        encoder: Keras layer or model that ends in the representation.
        seed: whole number that fixes the order of the data and all random numbers of training. Defaults to 0.

    Attributes:
        options: values of the method's own options; `get_config` includes them.
        on_representation: whether the data are outputs of layers below, which may be large. `pretrain_greedily` sets
            it; it is False otherwise.
    """

    takes_targets = False
    on_representation = False

    def __init__(self, encoder: keras.layers.Layer, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        check_one_input(f"{type(self).__name__}.encoder", encoder)
        last = last_layer(encoder)
        if last is not encoder and last.name == HEAD:
            refuse(
                f"{type(self).__name__}.encoder",
                "end in the representation",
                f"a network that ends in the layer {HEAD!r}",
                "Make the network with num_classes=None, or use pretrain_greedily, which does not train that layer",
            )
        self.encoder = encoder
        self.options = Options()

    @property
    def input_dtype(self) -> str:
        return self.encoder.input_dtype  # which may have another dtype policy than this model

    @property
    def input_range(self) -> InputRange | None:
        """Values that the data may have, see `check_range`; None leaves them unchecked. A subclass may override it."""
        return SCALED

    @property
    def counts_features(self) -> bool:
        """Whether the model has weights for each feature of an example, so that all examples have the same number."""
        return False

    def uses_as_targets(self, x: ArrayLike, y: ArrayLike) -> bool:
        return self.reconstructs and (y is x or np.array_equal(x, y))

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return self.encoder(x, training=training)

    def check_inputs(self, method: str, x: ArrayLike | Dataset) -> None:
        """Refuse data that the method cannot learn from; `fit` and `evaluate` call this first.

        Args:
            method: name of the caller.
            x: array or data set.
        """
        if is_array(x):
            check_arrays(method, x)
        targets.check_data_set(self, f"{method}.x", x)  # needs no batch, which `check_range` reads
        if self.built and self.counts_features:
            shape = (self.get_build_config() or {}).get("input_shape", (None, None))
            check_size(f"{type(self).__name__}.{method}.x", shape, x)
        allowed = self.input_range
        if not (self.on_representation and allowed is SCALED):
            check_range(f"{type(self).__name__}.{method}.x", x, allowed)

    def fit(self, x: ArrayLike | Dataset = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        x = converted(f"{type(self).__name__}.fit.x", x)
        self.check_inputs("fit", x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x: ArrayLike | Dataset = None, *args: Any, **kwargs: Any) -> Any:
        x = converted(f"{type(self).__name__}.evaluate.x", x)
        self.check_inputs("evaluate", x)
        return super().evaluate(x, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        encoder = keras.saving.serialize_keras_object(self.encoder)
        return {**super().get_config(), "encoder": encoder, **dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        def part(value):
            saved = isinstance(value, dict) and {"class_name", "config"} <= value.keys()
            return keras.saving.deserialize_keras_object(value) if saved else value

        return cls(**{name: part(value) for name, value in config.items()})
