"""Training runs on the digits for test_monitoring.py: one healthy, the others with a deliberate fault."""

import keras

from tf_kit.data import load
from tf_kit.design import TrainingMonitor
from tf_kit.networks import mlp

SGD, Adam = keras.optimizers.SGD, keras.optimizers.Adam

# name: (diagnosis, arguments of Run)
RUNS = {
    "good": ("healthy", {"validate": True}),
    "learning rate 5": ("diverging", {"activation": "tanh", "optimizer": lambda: SGD(5.0)}),
    "learning rate 0.0003": ("too slow", {"optimizer": lambda: SGD(3e-4)}),
    "60 examples": ("overfitting", {"num_examples": 60, "epochs": 12, "batch_size": 8, "validate": True}),
    "seven sigmoid layers": (
        "saturated",
        {"activation": "sigmoid", "units": (30,) * 7, "optimizer": lambda: SGD(0.05, momentum=0.9)},
    ),
    "dead units": ("saturated", {"bias": -5.0}),
    "minibatches of two": (
        "noisy",
        {"optimizer": lambda: Adam(0.03), "batch_size": 2, "num_examples": 100, "epochs": 14},
    ),
}


class Run:
    """Network with its optimizer, compiled once and trained from new weights for each seed."""

    def __init__(
        self,
        activation="relu",
        units=(40, 40),
        optimizer=lambda: Adam(5e-3),
        num_examples=600,
        epochs=10,
        batch_size=64,
        bias=0.0,
        validate=False,
    ):
        self.bias = bias
        self.validate = validate
        self.num_examples = num_examples
        self.fit_arguments = {
            "epochs": epochs,
            "batch_size": batch_size,
            "verbose": 0,
            "validation_batch_size": 300,
        }
        self.new = lambda seed: mlp(units, 10, activation, input_shape=(8, 8, 1), seed=seed)
        self.model = self.new(0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(optimizer(), loss, metrics=["accuracy"])
        self.model.optimizer.build(self.model.trainable_variables)
        self.monitor = TrainingMonitor(None, None)
        self.fresh = [keras.ops.convert_to_numpy(each) for each in self.model.optimizer.variables]

    def histories(self, seed):
        """Return the history of the monitor and that of `fit`."""
        train, val, _ = load("digits", seed=seed)
        x, y = train.x[: self.num_examples], train.y[: self.num_examples]
        keras.utils.set_random_seed(seed)
        self.model.set_weights(self.new(seed).get_weights())
        for layer in self.model.layers[:-1]:
            if layer.weights:
                layer.bias.assign(layer.bias + self.bias)
        for variable, value in zip(self.model.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        self.monitor.x, self.monitor.y = x[:256], y[:256]
        validation = (val.x, val.y) if self.validate else None
        plain = self.model.fit(
            x, y, validation_data=validation, callbacks=[self.monitor], **self.fit_arguments
        )
        return self.monitor.history, plain
