"""The gradient of a model's cost on a batch, again and again, without touching the model."""

import keras
import numpy as np
from keras import ops


class GradientProbe:
    """Gradients of a model in inference mode, traced once.

    Every Keras backend hands gradients to an optimizer, so that is how they are caught: a wrapper around the
    model is compiled with an optimizer that writes them down and moves nothing. Neither weights, moving
    statistics nor random states of the model change, and its own compiled loss, metrics and optimizer are
    not used.

    Args:
        model: a built Keras model.
        loss: a Keras loss, or a name that `compile` knows.
        beside: variables outside the model that the cost depends on too.
        run_eagerly: whether nothing is traced, for a model whose layers do something else in each call.
    """

    def __init__(self, model, loss, beside=(), run_eagerly=False):
        self._recorder = Recorder()
        self._wrapper = InferenceMode(model, list(beside))
        self._wrapper.compile(
            self._recorder, loss, run_eagerly=run_eagerly, jit_compile=False, auto_scale_loss=False
        )
        self._model = model

    @property
    def variables(self):
        """What the gradients are taken by: the model's trainable variables, then those beside it."""
        return self._wrapper.trainable_variables

    def __call__(self, x, y):
        """The cost, with the model's own penalties, and a float64 gradient for each of `variables`; 0 where the cost
        does not depend on one."""
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
    """Keeps the gradients and changes nothing."""

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
    """Calls a model with training=False even in a training step; owns what is beside it, so that has gradients."""

    def __init__(self, model, beside):
        super().__init__()
        self.model = model
        self.beside = beside

    def call(self, inputs):
        return self.model(inputs, training=False)


def flat(gradients):
    """All gradients as one float64 vector."""
    return np.concatenate([np.ravel(each) for each in gradients])
