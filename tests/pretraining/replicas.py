"""Trains each method on so many replicas, and writes weights and History: `python replicas.py REPLICAS FILE`.

19 examples in minibatches of 9 are 9, 9 and 1: on two replicas 5 + 4 and 1 + 0, on four 3 + 3 + 3 + 0 and
1 + 0 + 0 + 0. TensorFlow bears strategies of one size only in a process, so each size has its own.
"""

import inspect
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from contracts.twins import wrong_twin
from keras import ops

from tf_kit import networks, regularization
from tf_kit.pretraining import (
    BYOL,
    RBM,
    Autoencoder,
    BarlowTwins,
    Classifier,
    DenoisingAutoencoder,
    Supervised,
    VICReg,
    joint_embedding,
    pretrain_greedily,
    pretrainer,
)
from tf_kit.regularization.augmentation import draws

ADAM, SGD = keras.optimizers.Adam, keras.optimizers.SGD
X = np.random.default_rng(0).random((19, 6)).astype("float32")
IMAGES = X.reshape(19, 2, 3, 1)
Y = np.arange(19) % 3


def fit(model, optimizer, y=None, metrics=None, x=X, **arguments):
    model.compile(optimizer, metrics=metrics)
    return model, model.fit(x, y, batch_size=9, epochs=2, verbose=0, **arguments).history


def encoder(*units):
    return networks.mlp(units, num_classes=None, seed=0)


def autoencoder():
    """Deep and tied, with a penalty, and with a variable that the cost does not contain."""
    given = encoder(5, 4)
    given.layers[1].kernel_regularizer = keras.regularizers.L2(0.1)
    model = Autoencoder(given)
    model.beside = model.add_weight(shape=(2,), initializer="ones", name="beside")
    return fit(model, ADAM(0.01))


def denoising():
    """As a layer of greedy pretraining, under the strategy of the scope; each variable's gradient is clipped."""
    optimizer = ADAM(0.01, clipnorm=0.05)
    arguments = {"block": DenoisingAutoencoder, "epochs": 2, "batch_size": 9, "tied": False}
    (block,) = pretrain_greedily(encoder(5), X, optimizer=optimizer, **arguments)
    return block, block.history.history


def contrastive_divergence():
    model = RBM(encoder=encoder(5), gibbs_steps=2)
    return fit(model, SGD(0.1, momentum=0.5), validation_data=(X[:7],))


def persistent_chains():
    return fit(RBM(encoder=encoder(5), persistent=True, num_chains=8), SGD(0.1))


def supervised():
    """Clipped by the norm of all gradients, validated, and with a metric of Keras beside the built-in ones."""
    metrics = [keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="compiled")]
    optimizer = SGD(0.5, momentum=0.9, global_clipnorm=0.1)
    return fit(
        Supervised(encoder(5, 4), num_classes=3), optimizer, Y, metrics, validation_data=(X[:7], Y[:7])
    )


def noisy(x, key):
    """A view made by a plain function of keys: noise on each feature."""
    return x + 0.1 * draws.normal(draws.stream(key, "noise"), x.shape[1])


def joint(method, projector=(4,), x=X, augment=noisy, **arguments):
    """With dropout in the encoder, and views drawn anew in each step."""
    hidden = networks.mlp((8,), num_classes=None, activation="relu", seed=0).layers[1:]
    layers = [keras.layers.Flatten(), regularization.Dropout(0.3, seed=1), *hidden]
    model = method(keras.Sequential(layers), projector=projector, augment=augment)
    return fit(model, SGD(0.02), x=x, **arguments)


def simclr(module=joint_embedding):
    return joint(module.SimCLR)


def byol():
    """With batch norm in the predictor."""
    return joint(BYOL)


def barlow():
    """With batch norm, with an augmentation that XLA compiles, and validated."""
    augment = regularization.compose(regularization.RandomFlip(), regularization.AddNoise(0.1))
    return joint(BarlowTwins, (6, 4), IMAGES, augment, validation_data=(IMAGES[:7],))


def vicreg():
    return joint(VICReg)


def half_precision():
    """Gradients are clipped as they are without their loss scale."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return fit(Classifier(encoder(4), num_classes=3), SGD(1.0, global_clipnorm=0.05), Y)
    finally:
        keras.config.set_dtype_policy("float32")


def centre(module=pretrainer):
    """One vector w and the cost ½‖x + noise − w‖², with penalty and clipping."""

    class Centre(module.Trainer):
        def __init__(self):
            super().__init__(seed=0)
            self.w = self.add_weight(shape=(6,), initializer="zeros", regularizer=keras.regularizers.L2(0.1))

        def per_example(self, x, y, random, training):
            seen = x + random.normal((6,)) if training else x
            return {"loss": 0.5 * ops.sum((seen - self.w) ** 2, axis=-1)}, None

    return fit(Centre(), SGD(0.5, global_clipnorm=0.8))


MAIN = {
    each.__name__: each
    for each in (
        autoencoder,
        denoising,
        contrastive_divergence,
        persistent_chains,
        supervised,
        simclr,
        byol,
        barlow,
        vicreg,
    )
}
METHODS = MAIN | {"half_precision": half_precision, "centre": centre}  # the last two on two replicas only
TWINS = {  # name → (method, right, wrong): what one replica never shows
    "mean of means": (centre, 'ops.sum(values["loss"]) / place.total_float', 'ops.mean(values["loss"])'),
    "penalty for each replica": (centre, "penalty / place.num_replicas", "penalty"),
    "clip before the sum": (centre, '"SUM", [gradients[i] for i in reached]', '"SUM", self._clip(gradients)'),
    "own random numbers": (centre, "step, place.count, place.offset, place.total)", "step, place.count)"),
    "history of one replica": (centre, "sums = place.sum(ops", "sums = (ops"),
    "negatives of one replica": (simclr, "if replica is None or", "if True or"),
    "anchors in other places": (simclr, "every[:, 1], random.index", "every[:, 1], random.index * 0"),
    "views of one replica": (simclr, "+ view, random.index", "+ view, random.index * 0"),
}  # fmt: skip


def record(name, trained):
    model, history = trained
    yield from ((f"{name}/weight/{i}", each) for i, each in enumerate(model.get_weights()))
    yield from ((f"{name}/history/{metric}", np.array(values)) for metric, values in history.items())


def train_all(methods=METHODS):
    """Arrays by the name `method/weight/number` or `method/history/metric`."""
    return {key: array for name in methods for key, array in record(name, METHODS[name]())}


def refusals():
    """What is refused where several replicas train: the message by the name of the argument."""
    for name in ("steps_per_execution", "gradient_accumulation_steps"):
        model = RBM(num_hidden=2)
        given = {name: 3}
        if name == "steps_per_execution":
            model.compile(SGD(0.1), **given)
        else:
            model.compile(SGD(0.1, **given))
        try:
            model.fit(X, batch_size=9, verbose=0)
        except ValueError as error:
            yield f"refused/{name}", np.array(str(error))


def main(num_replicas, path):
    import tensorflow as tf

    device = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [device] * num_replicas
    )
    with tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)]).scope():
        arrays = train_all(METHODS if num_replicas == 2 else MAIN)
        if num_replicas == 2:
            arrays |= dict(refusals())
            for name, (method, right, wrong) in TWINS.items():
                module = inspect.signature(method).parameters["module"].default
                arrays |= record(f"twin {name}", method(wrong_twin(module, right, wrong)))
        np.savez(path, **arrays)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
