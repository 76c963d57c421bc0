"""Layers of `regularization` on a strategy of several logical CPU devices: python on_replicas.py REPLICAS OUT.npz

Each process has one strategy, since strategies of different size conflict. On two replicas, batches of 5 are split
into 3 and 2, and the last of the 11 examples into 1 and 0.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tf_kit.regularization import BatchNorm, DropConnect, Dropout, GaussianNoise, NoisyBatchNorm, RandomFlip

rng = np.random.default_rng(11)
X = (rng.normal(size=(11, 4, 3)) * [1, 5, 0.1] + [0, 100, -1]).astype("float32")
SLOPES = rng.normal(size=X.shape).astype("float32")
VISIBLE = rng.random(X.shape[:2]) < 0.7


def results(strategy):
    """Return the outputs of every layer for the 11 examples, in order, and its state afterward."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        plain, masked = BatchNorm(momentum=0.5, name="plain"), BatchNorm(momentum=0.5, name="masked")
        dropping = (
            Dropout(0.5, seed=1),
            DropConnect(5, 0.5, per_example=True, seed=2),
            GaussianNoise(0.5, seed=4),
            NoisyBatchNorm(0.5, seed=5),
        )
        moving = RandomFlip("both", seed=3)
        alone = keras.layers.BatchNormalization(
            momentum=0.5
        )  # Keras's default: separate statistics on each replica
        for layer in (plain, masked, *dropping, alone):
            layer.build(X.shape)
        plain.gamma.assign([1.0, 2.0, 3.0])

    def step(x, slopes, visible):
        found = {"alone": alone(x, training=True)}
        for layer, arguments in ((plain, {}), (masked, {"mask": visible})):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True, **arguments)
                loss = tf.reduce_sum(tf.sin(y) * slopes)
            dx, dgamma = tape.gradient(loss, [x, layer.gamma.value])
            found |= {f"{layer.name} y": y, f"{layer.name} dx": dx, f"{layer.name} dgamma": dgamma[None]}
        for i, layer in enumerate(dropping):
            found[f"dropping {i}"] = layer(x, training=True)
        found["flipped"] = moving(x[..., None], training=True)
        return found

    dataset = tf.data.Dataset.from_tensor_slices((X, SLOPES, VISIBLE)).batch(5)
    run = tf.function(lambda *batch: strategy.run(step, batch), reduce_retracing=True)
    gathered = {}
    for batch in strategy.experimental_distribute_dataset(dataset):
        for name, value in run(*batch).items():
            parts = np.concatenate([np.asarray(part) for part in strategy.experimental_local_results(value)])
            gathered.setdefault(name, []).append(
                parts.sum(axis=0, keepdims=True) if "dgamma" in name else parts
            )
    found = {name: np.concatenate(parts) for name, parts in gathered.items()}
    for layer in (plain, masked):
        for moving_value in (layer.moving_mean, layer.moving_variance):
            copies = strategy.experimental_local_results(moving_value.value)
            found[f"{layer.name} {moving_value.name}"] = np.stack([np.asarray(copy) for copy in copies])
    return found


def main(num_replicas, out):
    devices = [tf.config.LogicalDeviceConfiguration()] * num_replicas
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(num_replicas)])
    assert strategy.num_replicas_in_sync == num_replicas
    np.savez(out, **results(strategy))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
