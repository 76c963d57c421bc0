"""Pruning and distillation on several replicas: python shrunk_on_replicas.py REPLICAS OUT.npz

25 examples in minibatches of 8 are 8, 8, 8 and 1, on two replicas 4 + 4 and 1 + 0. Keras without a `Trainer` of the
kit gives the same results on two replicas only for minibatches that they share evenly.
"""

import sys

import keras
import numpy as np

from tf_kit import regularization
from tf_kit.pretraining import Classifier
from tf_kit.scaling import GradualPruning, prune, strategy
from tf_kit.scaling.compression import distillation

rng = np.random.default_rng(24)
X = rng.normal(size=(25, 6)).astype("float32")
Y = rng.integers(3, size=25)
SETTINGS = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}


def network(seed, *more):
    keras.utils.set_random_seed(seed)
    hidden = keras.layers.Dense(8, activation="tanh", kernel_regularizer="l2")
    return keras.Sequential([keras.Input((6,)), hidden, *more, keras.layers.Dense(3, name="logits")])


def pruned_alone(num_examples=24):
    """Networks and losses of Keras without a `Trainer`."""
    pruned = prune(network(1), 0)
    optimizer = keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5)
    pruned.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    schedule = GradualPruning(0.5, end_step=6, frequency=2)
    return [pruned], pruned.fit(X[:num_examples], Y[:num_examples], callbacks=[schedule], **SETTINGS).history[
        "loss"
    ]


def pruned_alone_uneven():
    return pruned_alone(len(X))


def pruned_in_a_classifier():
    pruned = prune(network(1), 0)
    classifier = Classifier(pruned, num_classes=3)
    classifier.compile(keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5))
    schedule = GradualPruning(0.5, end_step=8, frequency=2)
    return [pruned], classifier.fit(X, Y, callbacks=[schedule], **SETTINGS).history["loss"]


def distilled(module=distillation):
    """With dropout, clipping and validation; once with and once without labels."""
    students, losses = [], []
    for alpha, labels in ((0.4, Y), (0.0, None)):
        student = network(3, regularization.Dropout(0.3, seed=1))
        distiller = module.distill(network(2), student, temperature=3.0, alpha=alpha)
        distiller.compile(keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.5))
        held_out = (X[:7],) if labels is None else (X[:7], Y[:7])
        history = distiller.fit(X, labels, validation_data=held_out, **SETTINGS).history
        students.append(student)
        losses += history["loss"] + history["val_loss"]
    return students, losses


def results():
    """Weights and losses of each way to train."""
    found = {}
    for train in (pruned_alone, pruned_alone_uneven, pruned_in_a_classifier, distilled):
        networks, losses = train()
        weights = [weight for network in networks for weight in network.get_weights()]
        found |= {f"{train.__name__} {i}": weight for i, weight in enumerate(weights)}
        found[f"{train.__name__} losses"] = np.array(losses)
    return found


if __name__ == "__main__":
    with strategy("mirrored", replicas=int(sys.argv[1])).scope():
        np.savez(sys.argv[2], **results())
