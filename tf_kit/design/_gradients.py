"""The gradient of a model's cost on a batch, again and again, without touching the model."""

import keras
import numpy as np
from keras import ops


class GradientProbe:
    """Gradients of a model in inference mode, compiled once.

    Every Keras backend hands gradients to an optimizer, so that is how they are caught: a wrapper around the
    model is compiled with an optimizer that writes them down and moves nothing. Neither weights, moving
    statistics nor random states of the model change, and its own compiled loss, metrics and optimizer are
    not used.
    """

    def __init__(self, model, loss):
        self._recorder = Recorder()
        self._wrapper = InferenceMode(model)
        self._wrapper.compile(self._recorder, loss, jit_compile=False, auto_scale_loss=False)
        self._model = model

    def __call__(self, x, y):
        """The cost, with the model's own penalties, and one float64 gradient for each trainable variable."""
        # A layer may draw random numbers even at inference.
        before = [(each, ops.convert_to_numpy(each)) for each in self._model.non_trainable_variables]
        self._wrapper.reset_metrics()
        cost = self._wrapper.train_on_batch(x, y, return_dict=True)["loss"]
        for variable, value in before:
            variable.assign(value)
        return float(cost), [
            ops.convert_to_numpy(each).astype("float64") for each in self._recorder.gradients
        ]


class Recorder(keras.optimizers.Optimizer):
    def __init__(self):
        super().__init__(learning_rate=0.0)
        self.gradients = []

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.gradients = [self.add_variable_from_reference(each, name="gradient") for each in variables]

    def apply(self, grads, trainable_variables=None):
        self.build(trainable_variables)
        for kept, gradient in zip(self.gradients, grads, strict=True):
            # None: the cost does not depend on this variable. Embeddings give sparse gradients.
            kept.assign(ops.zeros_like(kept) if gradient is None else ops.convert_to_tensor(gradient))


class InferenceMode(keras.Model):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def call(self, inputs):
        return self.model(inputs, training=False)


def flat(gradients):
    """All gradients as one float64 vector."""
    return np.concatenate([np.ravel(each) for each in gradients])
