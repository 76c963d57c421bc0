"""Split models over three devices, trace them on two replicas: `python split_on_devices.py FILE` writes the results."""

import json
import os
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from support.twins import wrong_twin

from tf_kit import keras_internals, networks, pretraining, regularization
from tf_kit.scaling import Split, split, traced_collectives, traffic_bill
from tf_kit.training import trainer

X = np.random.default_rng(0).random((20, 6)).astype("float32")
Y = np.random.default_rng(1).random((20, 3)).astype("float32")


def stack():
    """Stack with dropout and batch norm, whose states must stay the same as on one device, and a penalty."""
    layers = [
        keras.layers.Dense(16, "relu", kernel_regularizer="l2", name="first"),
        keras.layers.Dropout(0.3, seed=1),
        keras.layers.Dense(8, name="second"),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(3, name="third"),
    ]
    return keras.Sequential([keras.Input((6,)), *layers])


def number(device):
    return int(device.rsplit(":", 1)[-1])


def split_over_three():
    devices = ["CPU:0", "CPU:1", "CPU:2"]
    whole = stack()
    parts = split(whole, cuts=["second", "third"], devices=devices)
    for model in (whole, parts):
        model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    histories = [
        model.fit(X, Y, batch_size=8, epochs=3, shuffle=False, verbose=0).history for model in (whole, parts)
    ]
    pairs = list(zip(whole.get_weights(), parts.get_weights(), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        parts.save(f"{folder}/parts.keras")
        loaded = keras.models.load_model(f"{folder}/parts.keras")
    slots = [v for v in parts.optimizer.variables if len(v.shape) == 2]
    yield "histories", histories
    yield "weights apart", max(float(np.abs(a - b).max()) for a, b in pairs)
    yield "weight devices", [number(layer.weights[0].value.device) for layer in parts.stack if layer.weights]
    yield "slot devices", [number(slot.value.device) for slot in slots]
    yield "output device", number(parts(X).device)
    yield "gradients", gradients(whole, parts)
    yield "graph", devices_of_products(parts)
    yield "loaded apart", float(np.abs(loaded.predict(X, verbose=0) - parts.predict(X, verbose=0)).max())
    yield "loaded cuts", loaded.cuts
    yield "loaded devices", [number(loaded.device_of(stage)) for stage in range(3)]
    yield "balanced", Split([keras.layers.Dense(n) for n in (4, 4, 100, 4)], devices=devices[:2])(X).shape[-1]


def gradients(whole, parts):
    """Largest difference of the gradients with respect to weights and inputs, in inference mode."""
    found = []
    for model in (whole, parts):
        x = tf.Variable(X)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x) ** 2)
        found.append(tape.gradient(loss, [*model.trainable_variables, x]))
    return max(float(tf.reduce_max(tf.abs(a - b))) for a, b in zip(*found, strict=True))


def devices_of_products(parts):
    """Number of matrix products per device in the traced training step, forward and backward."""
    step = tf.function(parts.train_step).get_concrete_function((tf.constant(X), tf.constant(Y)))
    products = [op.device for op in step.graph.get_operations() if op.type == "MatMul"]
    return {str(device): sum(number(each) == device for each in products) for device in range(3)}


OPTIMIZERS = {
    "trainer": lambda: keras.optimizers.SGD(0.1),
    "trainer, clipped": lambda: keras.optimizers.SGD(0.1, global_clipnorm=0.1),
    "trainer, scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, clipnorm=0.1)),
    "trainer, accumulated": lambda: keras.optimizers.Adam(0.1, gradient_accumulation_steps=2),
}


def of_trainer(optimizer):
    """Bytes of the gradients and of the metrics that a `Trainer` reports, one number each, against the traced bytes."""
    trainer = pretraining.Classifier(networks.mlp((9,), num_classes=None), num_classes=3)
    trainer.compile(optimizer)
    traced = traced_collectives(trainer, X[:8], np.arange(8) % 3)
    network = keras.Sequential([keras.Input((6,)), keras.layers.Dense(9), keras.layers.Dense(3)])
    return {
        "computed": traffic_bill(network, 2, 8).gradient_bytes,
        "reported": 4 * (len(trainer.metrics) + 1),  # and the penalty
        "traced": traced,
    }


def collectives():
    """Computed and traced bytes of the gradients on two replicas, with Keras's train_step and with a `Trainer`."""
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        for name, layer in (
            ("dense", []),
            ("convolution", [keras.layers.Reshape((3, 2)), keras.layers.Conv1D(5, 2)]),
        ):
            flat = [keras.layers.Flatten()] if layer else []
            model = keras.Sequential(
                [keras.Input((6,)), *layer, *flat, keras.layers.Dense(9), keras.layers.Dense(3)]
            )
            model.compile("adam", "mse")
            computed = traffic_bill(model, 2, 8).gradient_bytes
            yield name, {"computed": computed, "traced": traced_collectives(model, X[:8], Y[:8])}
        for name, optimizer in OPTIMIZERS.items():
            yield name, of_trainer(optimizer())
        trainer.keras_internals = wrong_twin(
            keras_internals,
            '["_all_reduce_sum_gradients"] = list',
            '["_all_reduce_sum_gradients"] = optimizer._all_reduce_sum_gradients',
        )
        yield "twin", of_trainer(OPTIMIZERS["trainer"]())
        trainer.keras_internals = keras_internals
        synced = keras.Sequential([keras.Input((6,)), regularization.BatchNorm(), keras.layers.Dense(3)])
        synced.compile("sgd", "mse")
        computed = traffic_bill(synced, 2, 8).gradient_bytes
        yield "batch norm", {"computed": computed, "traced": traced_collectives(synced, X[:8], Y[:8])}


def main(path):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
    found = {"split": dict(split_over_three()), "collectives": dict(collectives())}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1])
