"""Check sick and healthy models on two replicas: `python sick_models.py FILE` writes the findings."""

import json
import os
import sys
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit import networks, pretraining, regularization, scaling

X = np.random.default_rng(0).random((40, 6)).astype("float32")
Y = np.random.default_rng(1).random((40, 3)).astype("float32")
LABELS = np.arange(40) % 3


def dense(*layers, model=keras.Sequential, units=3, **compiled):
    made = model([keras.Input((6,)), *layers, keras.layers.Dense(units, name="last")])
    made.compile(**({"optimizer": keras.optimizers.SGD(0.1), "loss": "mse"} | compiled))
    return made


class MeanInComputeLoss(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(ops.square(y - y_pred))


class MeanInTrainStep(keras.Sequential):
    power = 0

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            mean = tf.reduce_mean(tf.square(y - self(x, training=True)))
            loss = mean / self.distribute_strategy.num_replicas_in_sync**self.power
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}


class DividedOnce(MeanInTrainStep):
    power = 1


class DividedTwice(MeanInTrainStep):
    power = 2


class Queue(keras.layers.Layer):
    """Store the last examples of the replica."""

    def build(self, shape):
        self.queue = self.add_weight((2, shape[-1]), "zeros", trainable=False, name="queue")

    def call(self, x, training=False):
        if training:
            self.queue.assign(x[-2:])
        return x


class GatheredQueue(Queue):
    def call(self, x, training=False):
        replica = tf.distribute.get_replica_context()
        if training and replica is not None:
            self.queue.assign(replica.all_gather(x, axis=0)[-2:])
        return x


class Contrast(keras.layers.Layer):
    """Subtract the mean of the examples of the replica."""

    def call(self, x):
        return x - ops.mean(x, axis=0, keepdims=True)


class StatelessNoise(keras.layers.Layer):
    """Draw from an operation whose state is not a variable: different numbers on every replica."""

    def call(self, x, training=False):
        return x * tf.cast(tf.random.uniform(tf.shape(x)) < 0.5, x.dtype) * 2 if training else x


HALF = keras.layers.Dropout
SICK = {  # name → (kind, words of the message, model)
    "mean in compute_loss": ("scale", "2 times", lambda: dense(model=MeanInComputeLoss)),
    "mean in train_step": ("scale", "2 times", lambda: dense(model=MeanInTrainStep)),
    "mean in train_step, with dropout": (
        "scale",
        "times",
        lambda: dense(StatelessNoise(), model=MeanInTrainStep),
    ),
    "divided twice": ("scale", "0.5 times", lambda: dense(model=DividedTwice)),
    "clipped before the sum": (
        "clipping",
        "2 times",
        lambda: dense(optimizer=keras.optimizers.SGD(0.1, global_clipnorm=1e-3)),
    ),
    "batch norm": ("statistics", "'norm'", lambda: dense(keras.layers.BatchNormalization(name="norm"))),
    "queue": ("state", "queue differ", lambda: dense(Queue(name="memory"))),
    "contrast": ("batch", "its replica only", lambda: dense(Contrast())),
    "dropout": ("mask", "layers drop", lambda: dense(HALF(0.5, seed=0, name="drop"))),
    "noise": ("mask", "layers noise", lambda: dense(keras.layers.GaussianNoise(0.5, seed=0, name="noise"))),
}


def tuned():
    encoder = keras.Sequential(
        [keras.Input((6,)), regularization.Dropout(0.5, seed=1), keras.layers.Dense(4)]
    )
    model = pretraining.Classifier(encoder, num_classes=3)
    model.compile(keras.optimizers.SGD(0.1, global_clipnorm=1e-3))
    return model


def simclr():
    """Nothing random, but with a loss over all pairs of the global batch."""
    model = pretraining.SimCLR(networks.mlp((5,), num_classes=None), projector=(6, 4))
    model.compile(keras.optimizers.SGD(0.1))
    return model


def sensitive():
    """Large weights enlarge differences, as many layers do: the order of sums moves the gradient by percents."""
    wide = keras.initializers.RandomNormal(stddev=2, seed=0)
    layers = [keras.layers.Dense(16, "tanh", kernel_initializer=wide.clone()) for _ in range(12)]
    return dense(regularization.BatchNorm(), *layers)


def two_outputs():
    inputs = keras.Input((6,))
    outputs = {name: keras.layers.Dense(units, name=name)(inputs) for name, units in (("a", 3), ("b", 1))}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"a": "mse", "b": "mae"})
    return model


HEALTHY = {  # name → (model, targets)
    "compiled loss": (dense, Y),
    "adam with penalty": (
        lambda: dense(keras.layers.Dense(4, kernel_regularizer="l2"), optimizer="adam"),
        Y,
    ),
    "divided once": (lambda: dense(model=DividedOnce), Y),
    "synchronized": (lambda: dense(keras.layers.BatchNormalization(synchronized=True)), Y),
    "BatchNorm of the kit": (lambda: dense(regularization.BatchNorm()), Y),
    "dropout of the kit": (lambda: dense(regularization.Dropout(0.5, seed=0)), Y),
    "stateless noise": (lambda: dense(StatelessNoise()), Y),
    "gathered queue": (lambda: dense(GatheredQueue()), Y),
    "classifier": (tuned, LABELS),
    "simclr": (simclr, None),
    "sensitive": (sensitive, Y),
    "two outputs": (two_outputs, {"a": Y, "b": Y[:, :1]}),
    "targets in a list": (lambda: dense(units=1), Y[:, 0].tolist()),
    "weight decay": (lambda: dense(optimizer=keras.optimizers.AdamW(0.1, weight_decay=0.1)), Y),
}


def values(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [copy.numpy() for v in variables for copy in getattr(v.value, "values", None) or [v.value]]


def check(model, y):
    """Kinds, messages, whether the warnings are the same, and whether a second check changes no variable."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        findings = scaling.check_replicas(model, X, y)
    warned = [each for each in warned if issubclass(each.category, scaling.ReplicaWarning)]
    before = values(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaling.check_replicas(model, X, y)
    kept = all(np.array_equal(a, b) for a, b in zip(before, values(model), strict=True))
    messages = [str(finding) for finding in findings]
    same = messages == [str(each.message) for each in warned]
    return {
        "kinds": [finding.kind for finding in findings],
        "messages": messages,
        "warned": same,
        "kept": kept,
    }


def main(path, *names):
    """Check the models of these names, and the callback; write what is found to a file."""
    with scaling.strategy("mirrored", replicas=2).scope():
        found = {name: check(make(), Y) for name, (_, _, make) in SICK.items() if name in names}
        found |= {name: check(make(), y) for name, (make, y) in HEALTHY.items() if name in names}
        guard = scaling.ReplicaCheck(X, Y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            SICK["mean in compute_loss"][2]().fit(X, Y, batch_size=8, verbose=0, callbacks=[guard])
    found["callback"] = {"kinds": [finding.kind for finding in guard.findings]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
