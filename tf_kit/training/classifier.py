"""Classifier: an encoder with an output layer of logits, trained on labels."""

import contextlib
import re
from typing import Any, Self

import keras
import tensorflow as tf
from keras import ops

from tf_kit import keras_internals
from tf_kit.checks import count, refuse
from tf_kit.dtypes import widened
from tf_kit.networks.inspection import build_on, freeze_parts, intercepted, last_layer, one_vector
from tf_kit.networks.stages import HEAD
from tf_kit.networks.transformer import TokenEncoder
from tf_kit.randomness.step import ExampleRandom
from tf_kit.training.compiled import (
    check_compiled,
    check_loss_of_labels,
    check_metrics_of_labels,
    loss_of_each,
)
from tf_kit.training.converted import converted
from tf_kit.training.inputs import check_one_input, check_shape, check_tokens
from tf_kit.training.targets import check_labels
from tf_kit.training.trainer import Trainer
from tf_kit.typing import ArrayLike, Dataset, Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class Classifier(Trainer):
    """Classifier: an encoder with an output layer of logits, trained on labels.

        z = V r + a,  r = encoder(x)                                        (1)
        ℓ = −log softmax(z)_y                                               (2)

    Reports `loss` (2) and `accuracy`, means over examples. `compile(optimizer)` is enough; a Keras loss given to
    `compile` replaces (2) and must take logits.

    Args:
        encoder: Keras layer or model; trained in place unless `frozen`. If its last layer is the head of
            `networks.mlp(…, num_classes=K)`, no other output layer is added.
        num_classes: number of classes; labels are 0 … num_classes − 1.
        frozen: whether only the output layer is trained and the encoder runs in inference mode, as in a linear probe;
            also as a part of another model, which applies the encoder's regularizers all the same, unless
            `encoder.trainable` is False. Defaults to False.
        seed: whole number that fixes the output layer's weights and the order of the data. Defaults to 0.

    Raises:
        InputError: `num_classes` differs from the number of outputs that the encoder already has.

    Reference: Bengio, Lamblin, Popovici, Larochelle, 2007, Greedy layer-wise training of deep networks; for the probe
    Alain, Bengio, 2016, Understanding intermediate layers using linear classifier probes, arXiv:1610.01644.
    """

    takes_loss = True
    needs_targets = True

    def __init__(
        self,
        encoder: keras.layers.Layer,
        num_classes: int,
        frozen: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.num_classes = count("Classifier.num_classes", num_classes, at_least=2)
        self.frozen = bool(frozen)
        self.encoder = encoder
        check_one_input("Classifier.encoder", encoder)
        last = last_layer(encoder)
        if last is not encoder and last.name == HEAD:
            if last.units != num_classes:
                refuse(
                    "Classifier.num_classes",
                    f"be the {last.units} outputs that the network already has",
                    f"num_classes={num_classes}",
                    "Or make the network without a head: networks.mlp(units, num_classes=None)",
                )
            self.head = None  # the last layer of the encoder is the head
        else:
            glorot = keras.initializers.GlorotUniform(seed=seed)
            self.head = keras.layers.Dense(
                num_classes, kernel_initializer=glorot, dtype=self.dtype_policy, name=HEAD
            )

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        loss: Any = None,
        metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configure training, as `keras.Model.compile`; the default loss is (2), and accuracy is always reported."""
        check_compiled({"loss": loss})  # `Trainer.compile` checks the others
        loss = keras.losses.get(loss)
        config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
        named = getattr(loss, "__name__", "")
        if config.get("from_logits") is False or named.endswith("crossentropy"):
            refuse(
                f"{type(self).__name__}.compile.loss",
                "take logits",
                named or type(loss).__name__,
                "Make the loss with from_logits=True, or leave it out",
            )
        if loss is not None:
            check_loss_of_labels(loss, self.num_classes)
        for name, given in (("metrics", metrics), ("weighted_metrics", kwargs.get("weighted_metrics"))):
            check_metrics_of_labels(name, given, self.num_classes)
        metrics = _with_accuracy_as(None, metrics, ("accuracy", "acc"))
        if all(each is None for each in keras.tree.flatten(metrics)):
            metrics = None
        if kwargs.get("weighted_metrics") is not None:
            # Keras gives the weighted one another name than the one without weights.
            weighted = keras.metrics.SparseCategoricalAccuracy(name="weighted_accuracy")
            kwargs["weighted_metrics"] = _with_accuracy_as(
                weighted, kwargs["weighted_metrics"], ("accuracy",)
            )
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        build_on(self.encoder, input_shape)
        if self.head is not None:
            self.head.build(one_vector(f"{type(self).__name__}.encoder", self.encoder, input_shape))
        freeze_parts(self)
        self.built = True

    def build_for(self, x: Tensor) -> None:
        check_shape(f"{type(self).__name__}.x", self.encoder, x)
        super().build_for(x)

    @property
    def input_dtype(self) -> str:
        return self.encoder.input_dtype  # which may have another dtype policy than this model

    @property
    def trained_variables(self) -> list[keras.Variable]:
        if not self.frozen:
            return super().trainable_variables
        return (self.head or last_layer(self.encoder)).trainable_variables

    # Keras's hooks (averages of the weights, `SwapEMAWeights`) read these four.

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        return self.trained_variables

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        return self.trained_variables

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        return self._not_trained(self.variables)

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        return self._not_trained(self.weights)

    def _not_trained(self, variables):
        trained = {id(variable) for variable in self.trained_variables}
        return [variable for variable in variables if id(variable) not in trained]

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if self.head is None and self.frozen:
            # A model around this one may train all weights.
            with intercepted([last_layer(self.encoder)], _on_constant):
                z = self.encoder(x, training=False)
        elif self.head is None:
            z = self.encoder(x, training=training)
        else:
            r = self.encoder(x, training=training and not self.frozen)
            z = self.head(ops.stop_gradient(r) if self.frozen else r)  # (1)
        return widened(z)

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        z = self(x, training=training)
        y = _whole(ops.reshape(y, (-1,)))
        loss = self._loss_of_each(y, z)
        right = ops.cast(ops.equal(ops.cast(y, "int64"), ops.cast(ops.argmax(z, -1), "int64")), "float32")
        return {"loss": loss, "accuracy": right}, z

    def _loss_of_each(self, y, z):
        given = keras_internals.given_loss(self)
        if given is None:
            return ops.sparse_categorical_crossentropy(y, z, from_logits=True)  # (2)
        return loss_of_each(given, y, z)

    def check_targets(self, method: str, x: ArrayLike | Dataset, y: ArrayLike | None = None) -> None:
        check_labels(self, method, self.num_classes, x, y)
        if isinstance(self.encoder, TokenEncoder):
            check_tokens(f"{type(self).__name__}.{method}.x", self.encoder.num_tokens, x)

    def fit(
        self, x: ArrayLike | Dataset = None, y: ArrayLike | None = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        x = converted("fit.x", x)
        self.check_targets("fit", x, y)
        with self._naming_bad_labels("fit"):
            return super().fit(x, y, *args, **kwargs)

    def evaluate(
        self, x: ArrayLike | Dataset = None, y: ArrayLike | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        x = converted("evaluate.x", x)
        self.check_targets("evaluate", x, y)
        with self._naming_bad_labels("evaluate"):
            return super().evaluate(x, y, *args, **kwargs)

    def train_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, *args: Any, **kwargs: Any) -> Any:
        self.check_targets("train_on_batch", x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x: ArrayLike, y: ArrayLike | None = None, *args: Any, **kwargs: Any) -> Any:
        self.check_targets("test_on_batch", x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    @contextlib.contextmanager
    def _naming_bad_labels(self, method):
        """Turn TensorFlow's error about a label, which only a later batch of a data set has, into one line."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            found = re.search(r"label value of (-?\d+)", str(error))
            if found is None:
                raise
            subject = f"{type(self).__name__}.{method}.x (labels)"
            wanted = f"be class numbers 0 … {self.num_classes - 1}, shape (n,)"
            label = f"the label {found[1]}"
            refuse(subject, wanted, label if found[1] != "-1" else f"{label}, or one that is no whole number")

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "num_classes": self.num_classes,
            "frozen": self.frozen,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})


def _with_accuracy_as(replacement, given, names):
    """Replace the accuracy, which a classifier reports by itself, in metrics given to `compile`; None removes it."""
    if isinstance(given, dict):
        return {name: _with_accuracy_as(replacement, each, names) for name, each in given.items()}
    if isinstance(given, list | tuple):
        found = [_with_accuracy_as(replacement, each, names) for each in given]
        return [each for each in found if each is not None]
    is_object = type(given) is keras.metrics.SparseCategoricalAccuracy and given.name == "accuracy"
    return replacement if is_object or (isinstance(given, str) and given in names) else given


def _on_constant(layer, call):
    """Let no gradient pass a layer to those below it."""
    return lambda inputs, *args, **kwargs: call(ops.stop_gradient(inputs), *args, **kwargs)


def _whole(y):
    """Replace labels that are no whole numbers, as later batches of a data set may have, by −1, which is refused."""
    if not keras.backend.is_float_dtype(y.dtype):
        return y
    return ops.where(ops.equal(y, ops.floor(y)), y, -ops.ones_like(y))
