"""Train methods on the workers that TF_CONFIG names; write weights and History: `python on_workers.py FILE`.

Two workers share 18 examples in minibatches of 6 evenly. 19 examples in minibatches of 9 are 9, 9 and 1, which the
workers share as 5 + 4 and 1 + 0. When imported, the module trains the same methods in one process. Other methods use
nothing between machines that these do not: sums of gradients and of measures, gathered embeddings, validation.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from tf_kit import data, networks, regularization
from tf_kit.pretraining import (
    RBM,
    DenoisingAutoencoder,
    SimCLR,
    finetune,
    linear_probe,
    pretrain_greedily,
)

X = np.random.default_rng(0).random((19, 4, 4, 1)).astype("float32")
Y = np.arange(19) % 3


def encoder(*units):
    return networks.mlp(units, num_classes=None, seed=0)


def encoder_with_dropout():
    hidden = networks.mlp((8,), num_classes=None, activation="relu", seed=0).layers
    return keras.Sequential([keras.layers.Flatten(), regularization.Dropout(0.3, seed=1), *hidden[1:]])


def compiled(model, optimizer=None):
    model.compile(optimizer or keras.optimizers.SGD(0.02, momentum=0.9))
    return model


def denoising():
    clipped = keras.optimizers.Adam(0.01, global_clipnorm=0.05)
    return compiled(DenoisingAutoencoder(encoder(5)), clipped), {}


def contrastive_divergence():
    return compiled(RBM(encoder=encoder(5), gibbs_steps=2)), {"validation_data": (X[:7],)}


def simclr():
    augment = regularization.compose(regularization.RandomFlip(), regularization.AddNoise(0.1))
    return compiled(SimCLR(encoder_with_dropout(), projector=(6, 4), augment=augment)), {}


def tuned():
    """Fine-tuning with dropout and validation, and with a metric of Keras in addition to the built-in ones."""
    model = finetune(encoder_with_dropout(), num_classes=3)
    metric = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="compiled")
    model.compile(keras.optimizers.Adam(0.01), metrics=[metric])
    return model, {"y": Y, "validation_data": (X[:7], Y[:7])}


def probed():
    return linear_probe(encoder(5), num_classes=3), {"y": Y}


METHODS = {method.__name__: method for method in (denoising, contrastive_divergence, simclr, tuned, probed)}


def train(name):
    """Yield arrays by `name/even/…` and `name/uneven/…`: History, weights, and the result of `evaluate`."""
    model, arguments = METHODS[name]()
    for kind, count, batch_size in (("even", 18, 6), ("uneven", 19, 9)):
        given = {key: value[:count] if key == "y" else value for key, value in arguments.items()}
        history = model.fit(X[:count], batch_size=batch_size, epochs=2, verbose=0, **given).history
        yield from ((f"{name}/{kind}/history/{metric}", np.array(v)) for metric, v in history.items())
        yield from ((f"{name}/{kind}/weight/{i}", each) for i, each in enumerate(model.get_weights()))
    evaluated = model.evaluate(X, arguments.get("y"), batch_size=9, return_dict=True, verbose=0)
    yield from ((f"{name}/uneven/evaluated/{metric}", np.array(value)) for metric, value in evaluated.items())


def greedy_on_a_data_set():
    """Pretrain layers from a data set of batches, which every worker reads completely and takes its part of."""
    batches = data.minibatches(X, batch_size=9, shuffle=False)
    both = encoder(5, 4)
    blocks = pretrain_greedily(both, batches, epochs=2)
    yield from ((f"data set/uneven/weight/{i}", each) for i, each in enumerate(both.get_weights()))
    yield from (
        (f"data set/uneven/history/{i}", np.array(block.history.history["loss"]))
        for i, block in enumerate(blocks)
    )


def train_all():
    arrays = {key: array for name in METHODS for key, array in train(name)}
    return arrays | dict(greedy_on_a_data_set())


def refusals():
    """Return the messages of the errors that `fit` raises if the workers have different data, options or models."""
    import tensorflow as tf

    from tf_kit.training import workers

    index = workers.worker_index(tf.distribute.get_strategy())
    different = {
        "data": lambda: compiled(DenoisingAutoencoder(encoder(5))).fit(X + 0.1 * index, batch_size=9),
        "option": lambda: compiled(DenoisingAutoencoder(encoder(5))).fit(X, batch_size=9 - index),
        "model": lambda: compiled(DenoisingAutoencoder(encoder(5 + index))).fit(X),
        "method": lambda: compiled((DenoisingAutoencoder, RBM)[index](encoder=encoder(5))).fit(X),
        "optimizer": lambda: compiled(RBM(encoder=encoder(5)), keras.optimizers.SGD(0.1, 0.5 * index)).fit(X),
    }
    found = {}
    for name, fit in different.items():
        try:
            fit()
        except ValueError as error:
            found[f"refusal/{name}"] = np.array(str(error))
    return found


def main(path):
    import tensorflow as tf

    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        np.savez(path, **train_all(), **refusals())


if __name__ == "__main__":
    main(sys.argv[1])
