"""From a pretrained encoder to a classifier: fine-tuning, linear probe, nearest neighbors."""

import keras
import numpy as np
from keras import ops
from sklearn.neighbors import KNeighborsClassifier

from tf_kit import _checks
from tf_kit.pretraining.overlap import refuse_overlap
from tf_kit.pretraining.pretrainer import Trainer, is_array
from tf_kit.pretraining.representation import represent
from tf_kit.pretraining.stages import HEAD


@keras.saving.register_keras_serializable(package="tf_kit")
class Classifier(Trainer):
    """An encoder under an output layer of logits, trained on labels.

        z = V r + a,  r = encoder(x)                                        (1)
        ℓ = −log softmax(z)_y                                               (2)

    Reports `loss` (2) and `accuracy`, means over examples. `compile(optimizer)` is enough; a Keras loss given to
    `compile` replaces (2), and must take logits.

    Args:
        encoder: Keras layer or model; trained in place unless `frozen`.
        num_classes: classes; labels are 0 … num_classes − 1.
        frozen: whether only the output layer is trained and the encoder runs in inference mode: a linear probe.
        seed: seed of the output layer's weights and the data order.

    Reference: Bengio, Lamblin, Popovici, Larochelle 2007; for the probe Alain, Bengio 2016, "Understanding
    intermediate layers using linear classifier probes".
    """

    takes_loss = True

    def __init__(self, encoder, num_classes, frozen=False, seed=0, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.num_classes = _checks.count("Classifier.num_classes", num_classes, at_least=2)
        self.frozen = bool(frozen)
        self.encoder = encoder
        last = encoder.layers[-1] if isinstance(encoder, keras.Model) and encoder.layers else None
        if last is not None and last.name == HEAD:
            if last.units != num_classes:
                _checks.refuse(
                    "Classifier.num_classes",
                    f"be the {last.units} outputs that the network already has",
                    f"num_classes={num_classes}",
                    "Or leave the head out: networks.mlp(units, num_classes=None)",
                )
            self.head = None  # the network brings its own
        else:
            glorot = keras.initializers.GlorotUniform(seed=seed)
            self.head = keras.layers.Dense(num_classes, kernel_initializer=glorot, name=HEAD)

    def compile(self, optimizer="adam", loss=None, metrics=None, **kwargs):
        """As `keras.Model.compile`; without `loss` it is the cross-entropy (2). Accuracy is always reported."""
        loss = keras.losses.get(loss)
        config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
        named = getattr(loss, "__name__", "")
        if config.get("from_logits") is False or named.endswith("crossentropy"):
            _checks.refuse(
                f"{type(self).__name__}.compile.loss",
                "take logits",
                named or type(loss).__name__,
                "Give it from_logits=True, or leave the loss out",
            )
        if isinstance(metrics, list | tuple):
            metrics = [metric for metric in metrics if metric not in ("accuracy", "acc")] or None
        super().compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)

    def build(self, input_shape):
        if not self.encoder.built:
            self.encoder.build(input_shape)
        if self.head is not None:
            shape = self.encoder.compute_output_shape(input_shape)
            if len(shape) != 2:
                _checks.refuse(
                    f"{type(self).__name__}.encoder",
                    "give one vector for each example",
                    f"outputs of shape {tuple(shape)}",
                    "End it in Flatten or GlobalAveragePooling2D",
                )
            self.head.build(shape)
        self.built = True

    @property
    def trained_variables(self):
        if not self.frozen:
            return self.trainable_variables
        return (self.head or self.encoder.layers[-1]).trainable_variables

    def call(self, x, training=False):
        if self.head is None:
            z = self.encoder(x, training=training and not self.frozen)
        else:
            r = self.encoder(x, training=training and not self.frozen)
            z = self.head(ops.stop_gradient(r) if self.frozen else r)  # (1)
        return ops.cast(z, "float32")

    def per_example(self, x, y, random, training):
        z = self(x, training=training)
        y = ops.reshape(y, (-1,))
        loss = self._loss_of_each(y, z)
        right = ops.cast(ops.equal(ops.cast(y, "int64"), ops.cast(ops.argmax(z, -1), "int64")), "float32")
        return {"loss": loss, "accuracy": right}, z

    def _loss_of_each(self, y, z):
        given = self._compile_loss._user_loss if self.compiled and self._compile_loss is not None else None
        if given is None:
            return ops.sparse_categorical_crossentropy(y, z, from_logits=True)  # (2)
        losses = ops.convert_to_tensor(
            given.call(y, z) if isinstance(given, keras.losses.Loss) else given(y, z)
        )
        return ops.mean(ops.reshape(losses, (ops.shape(z)[0], -1)), axis=-1)

    def fit(self, x=None, y=None, *args, **kwargs):
        self._check_labels("fit", x, y)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        self._check_labels("evaluate", x, y)
        return super().evaluate(x, y, *args, **kwargs)

    def _check_labels(self, method, x, y):
        subject = f"{type(self).__name__}.{method}.y"
        if is_array(x) and y is None:
            _checks.refuse(subject, "hold the labels", "y=None")
        if y is None or not len(y):
            return
        labels = np.asarray(y)
        wanted = f"be class numbers 0 … {self.num_classes - 1}, shape (n,)"
        if labels.size != len(labels):
            remedy = "np.argmax(y, axis=-1) makes class numbers of one-hot rows"
            _checks.refuse(subject, wanted, f"y.shape={labels.shape}", remedy)
        if not (labels.min() >= 0 and labels.max() < self.num_classes and np.all(labels == labels.round())):
            _checks.refuse(subject, wanted, f"labels from {labels.min()} to {labels.max()}")

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "num_classes": self.num_classes,
            "frozen": self.frozen,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})


def finetune(encoder, num_classes, learning_rate=0.001, seed=0):
    """A classifier on the encoder whose every layer goes on learning: supervised fine-tuning.

    Args:
        encoder: pretrained layer or model, trained in place.
        num_classes: classes.
        learning_rate: of Adam, with which the classifier comes compiled; compile again for another optimizer.
        seed: seed of the output layer's weights and the data order.

    Returns:
        A compiled `Classifier`; call `fit(x, y, …)`.

    Example:

    >>> from tf_kit import data, networks
    >>> train, val, test = data.load("digits", seed=0)
    >>> classifier = finetune(networks.mlp((64,), num_classes=None), num_classes=10)
    >>> _ = classifier.fit(train.x, train.y, batch_size=32, epochs=10, verbose=0)
    >>> classifier.evaluate(val.x, val.y, return_dict=True, verbose=0)["accuracy"] > 0.8
    True
    """
    classifier = Classifier(encoder, num_classes, seed=seed)
    classifier.compile(optimizer=keras.optimizers.Adam(learning_rate))
    return classifier


def linear_probe(encoder, num_classes, learning_rate=0.01, seed=0):
    """A classifier on the frozen encoder: how linearly separable is what it has learned?

    The encoder runs in inference mode and none of its variables change.

    Args, Returns: as for `finetune`.
    """
    classifier = Classifier(encoder, num_classes, frozen=True, seed=seed)
    classifier.compile(optimizer=keras.optimizers.Adam(learning_rate))
    return classifier


def knn_accuracy(encoder, train, test, k=20):
    """Share of test examples whose class wins the vote of their k nearest training examples.

    Nearest by the cosine of the representations; no parameter is fitted.

    Args:
        encoder: layer or model.
        train: what votes: an object with `.x` and `.y`.
        test: what is classified: likewise.
        k: neighbors. Defaults to 20.

    Returns:
        Accuracy in [0, 1].

    Raises:
        InputError: if `k` is out of range, or a test example is also among the voters, see `refuse_overlap`.

    Reference: Wu, Xiong, Yu, Lin 2018, "Unsupervised Feature Learning via Non-Parametric Instance
    Discrimination" (there with weighted votes).
    """
    k = _checks.count("knn_accuracy.k", k)
    if k > len(train.x):
        _checks.refuse("knn_accuracy.k", f"be at most the {len(train.x)} training examples", f"k={k}")
    refuse_overlap(train, test, ("train", "test"))
    return share_of_votes_right(encoder, train, test, k)


def share_of_votes_right(encoder, train, test, k):
    """`knn_accuracy` of splits that have been looked at before."""
    voters, queries = (represent(encoder, split.x).reshape(len(split.x), -1) for split in (train, test))
    vote = KNeighborsClassifier(n_neighbors=k, metric="cosine", algorithm="brute").fit(voters, train.y)
    return float(vote.score(queries, test.y))
