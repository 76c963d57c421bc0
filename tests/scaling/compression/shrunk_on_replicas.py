"""Pruning and distillation on so many logical CPU devices: python shrunk_on_replicas.py REPLICAS OUT.npz"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tf_kit.scaling import GradualPruning, distill, prune

rng = np.random.default_rng(24)
X = rng.normal(size=(32, 6)).astype("float32")
Y = rng.integers(3, size=32)
SETTINGS = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}


def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)]
    )


def results(strategy):
    """The weights and the losses of both."""
    with strategy.scope():
        pruned = prune(network(1), 0)
        optimizer = keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.5)
        pruned.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        distiller = distill(network(2), network(3), temperature=3.0, alpha=0.4)
        distiller.compile(keras.optimizers.Adam(0.1))
    pruned.fit(X, Y, callbacks=[GradualPruning(0.5, end_step=6, frequency=2)], **SETTINGS)
    losses = distiller.fit(X, Y, **SETTINGS).history["loss"]
    found = {f"pruned {i}": layer._kernel.numpy() for i, layer in enumerate(pruned.layers)}
    found |= {f"student {i}": weight for i, weight in enumerate(distiller.student.get_weights())}
    return found | {"losses": np.array(losses)}


if __name__ == "__main__":
    num_replicas = int(sys.argv[1])
    (processor,) = tf.config.list_physical_devices("CPU")
    configurations = [tf.config.LogicalDeviceConfiguration()] * num_replicas
    tf.config.set_logical_device_configuration(processor, configurations)
    np.savez(
        sys.argv[2], **results(tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)]))
    )
