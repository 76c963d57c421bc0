"""Traps of plain Keras on several replicas, and how the kit avoids them: `python traps.py FILE` runs two replicas.

Each function returns arrays by name; those named "keras …" are results of plain Keras, those named "kit …" of the
kit. Outside the scope of a strategy it returns the results of one device.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit import networks, scaling
from tf_kit.pretraining import BYOL, RBM, Classifier
from tf_kit.regularization import BatchNorm, Dropout
from tf_kit.training.trainer import Trainer

SGD = keras.optimizers.SGD
rng = np.random.default_rng(0)
X = rng.random((8, 3)).astype("float32") * np.linspace(1, 8, 8, dtype="float32")[:, None]
Y = rng.random((8, 1)).astype("float32")


def line(base=keras.Model, **methods):
    """Model y = wᵀx in plain Keras that starts at w = 0, with the given methods."""

    class Line(base):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")

        def call(self, x):
            return self.dense(x)

    for name, method in methods.items():
        setattr(Line, name, method)
    return Line()


def of_the_kit():
    """The same model as a `Trainer` of the kit."""

    def per_example(self, x, y, random, training):
        return {"loss": ops.sum((self.dense(x) - y) ** 2, axis=-1)}, None

    return line(Trainer, per_example=per_example)


def trained(model, x=X, y=Y, optimizer=None, loss=None, batch_size=8, **compiled):
    """w and the loss in the `History` after one epoch."""
    model.compile(optimizer or SGD(0.01), loss=loss, **compiled)
    history = model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0).history
    return np.append(model.get_weights()[0].ravel(), history["loss"])


def error_of(function):
    try:
        function()
    except Exception as error:
        return np.array(f"{type(error).__name__}: {error}"[:200])
    return np.array("")


def copies(variable):
    """Value of a variable on each replica."""
    return np.stack(
        [np.asarray(copy) for copy in tf.distribute.get_strategy().experimental_local_results(variable.value)]
    )


def on_each(function, *arrays):
    """Rows that `function` returns for the rows of the arrays, distributed to the replicas."""
    strategy = tf.distribute.get_strategy()
    (batch,) = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensors(arrays))
    parts = strategy.experimental_local_results(
        tf.function(lambda: strategy.run(function, batch), autograph=False)()
    )
    return np.concatenate([np.asarray(part) for part in parts])


def custom_loss():
    """1. The mean in a custom `compute_loss`."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean((y - y_pred) ** 2)

    return {"keras": trained(line(compute_loss=compute_loss)), "kit": trained(of_the_kit())}


def custom_step():
    """1. The mean in a custom `train_step`."""

    def train_step(self, batch):
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}

    model = line(train_step=train_step)
    model(X)
    return {"keras": trained(model)[:3], "kit": trained(of_the_kit())[:3]}


def uneven():
    """3. A minibatch not divisible by the number of replicas: the first one, and the last."""
    first = error_of(lambda: trained(line(), X[:5], Y[:5], loss="mse"))
    return {
        "keras first": first,
        "keras last": trained(line(), X[:7], Y[:7], loss="mse", batch_size=4),
        "kit first": trained(of_the_kit(), X[:5], Y[:5]),
        "kit last": trained(of_the_kit(), X[:7], Y[:7], batch_size=4),
    }


def clipping():
    """4 and 17. Clipping by the norm of the gradient of the whole minibatch."""
    return {
        "keras": trained(line(), optimizer=SGD(1.0, global_clipnorm=0.1), loss="mse"),
        "kit": trained(of_the_kit(), optimizer=SGD(1.0, global_clipnorm=0.1)),
    }


def not_a_number():
    """5. A NaN in an example of the second replica, with loss scaling."""
    x = X.copy()
    x[-1] = np.nan
    data = tf.data.Dataset.from_tensors((x, Y))
    found = {}
    for name, model, loss in (("keras", line(), "mse"), ("kit", of_the_kit(), None)):
        model.compile(keras.optimizers.LossScaleOptimizer(SGD(0.1)), loss=loss)
        model.fit(data, verbose=0)
        found[name] = model.get_weights()[0]
    return found


def masks():
    """6. Outputs of dropout for the same example on each replica."""
    ones = np.ones((2, 50), "float32")
    layers = {"keras": keras.layers.Dropout(0.5, seed=1), "kit": Dropout(0.5, seed=1)}
    for layer in layers.values():
        layer.build(ones.shape)
    return {
        name: on_each(lambda x, layer=layer: layer(x, training=True), ones) for name, layer in layers.items()
    }


def moving_statistics():
    """7. Moving means of each replica after one minibatch, with and without a mask."""
    norm, found = keras.layers.BatchNormalization, {}
    x, mask = np.stack([X, X], axis=1), np.arange(16).reshape(8, 2) % 3 > 0
    for name, layer, arguments in (
        ("keras", norm(momentum=0.0), ()),
        ("keras masked", norm(momentum=0.0, synchronized=True), (mask,)),
        ("kit", BatchNorm(momentum=0.0), ()),
        ("kit masked", BatchNorm(momentum=0.0), (mask,)),
    ):
        layer.build(x.shape)
        on_each(
            lambda x, *mask, layer=layer: layer(x, training=True, mask=mask[0] if mask else None),
            x,
            *arguments,
        )
        found[name] = copies(layer.moving_mean)
    return found


def local_variables():
    """8. A variable that each replica computes from its examples; persistent chains and the teacher of BYOL."""

    class Queue(keras.layers.Layer):
        def build(self, shape):
            self.last = self.add_weight(shape=(3,), initializer="zeros", trainable=False)

        def call(self, x):
            self.last.assign(ops.mean(x, axis=0))
            return x

    queue = Queue()
    queue.build(X.shape)
    on_each(queue, X)
    rbm = RBM(num_hidden=2, persistent=True, num_chains=4)
    byol = BYOL(networks.mlp((3,), num_classes=None, seed=0), projector=(4, 3), momentum=0.5)
    for model in (rbm, byol):
        model.compile(SGD(0.1))
        model.fit(X / 8, batch_size=5, verbose=0)
    teacher = [copies(each).reshape(len(copies(each)), -1) for each in byol.teacher_projector.weights]
    return {
        "keras": copies(queue.last),
        "kit chains": copies(rbm._chains),
        "kit": np.concatenate(teacher, axis=1),
    }


def several_steps():
    """10. Several steps per execution, and gradients accumulated over steps: results or the error."""
    many, accumulated = {"steps_per_execution": 2}, {"gradient_accumulation_steps": 2}
    labels = (Y[:, 0] * 3).astype("int64")

    def classify(optimizer, **compiled):
        model = Classifier(networks.mlp((3,), num_classes=None, seed=0), 3)
        return trained(model, X, labels, optimizer, batch_size=4, **compiled)

    return {
        "keras steps": error_of(lambda: trained(line(), loss="mse", batch_size=4, **many)),
        "keras accumulated": error_of(
            lambda: trained(line(), optimizer=SGD(0.1, **accumulated), loss="mse", batch_size=4)
        ),
        "kit steps": classify(SGD(0.1), **many),
        "kit accumulated": classify(SGD(0.1, **accumulated)),
        "kit overwritten": error_of(lambda: classify(SGD(0.1, use_ema=True, ema_overwrite_frequency=2))),
    }


def parts():
    """16. Number of examples that each replica gets of 5."""
    return {"sizes": on_each(lambda x: tf.shape(x)[:1], X[:5])}


def second_strategy(first):
    """18. Training under a second strategy with the same devices."""

    def train():
        with tf.distribute.MirroredStrategy(first.extended.worker_devices).scope():
            trained(line(), loss="mse")

    again = scaling.strategy("mirrored", replicas=2)
    return {"second_strategy/keras": error_of(train), "second_strategy/kit": np.array(again is first)}


TRAPS = (
    custom_loss,
    custom_step,
    uneven,
    clipping,
    not_a_number,
    masks,
    moving_statistics,
    local_variables,
    several_steps,
    parts,
)


def found(traps=TRAPS):
    """Arrays of all traps, by the name `trap/name`."""
    arrays = {}
    for trap in traps:
        keras.utils.set_random_seed(0)
        arrays |= {f"{trap.__name__}/{name}": array for name, array in trap().items()}
    return arrays


if __name__ == "__main__":
    strategy = scaling.strategy("mirrored", replicas=2)
    with strategy.scope():
        arrays = found()
    np.savez(sys.argv[1], **arrays, **second_strategy(strategy))
