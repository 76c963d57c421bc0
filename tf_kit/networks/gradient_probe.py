"""Gradients of a model's cost on given batches, computed repeatedly without changing the model."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.typing import ArrayLike, Tensor


class GradientProbe:
    """Function of a batch that returns the cost of a model in inference mode and its gradients, traced once.

    Every Keras backend passes gradients to an optimizer, so a wrapper around the model is compiled with an optimizer
    that stores them and changes nothing. Weights, moving statistics and random states of the model stay the same;
    its compiled loss, metrics and optimizer are not used.

    Args:
        model: built Keras model.
        loss: Keras loss, or any loss that `compile` accepts.
        extra_variables: variables outside the model on which the cost depends too. Defaults to ().
        run_eagerly: whether to run without tracing, for a model whose layers do something else in each call.
            Defaults to False.
        loss_weights: weights of the losses of several outputs, as `compile` accepts them. Defaults to None, 1 for each.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> cost, gradients = GradientProbe(model, "mse")(np.array([[2.0]]), np.array([[5.0]]))
        >>> cost, [gradient.ravel().tolist() for gradient in gradients]
        (9.0, [[-12.0], [-6.0]])
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss | str | Callable[[Tensor, Tensor], Tensor],
        extra_variables: Sequence[keras.Variable] = (),
        run_eagerly: bool = False,
        loss_weights: Any = None,
    ) -> None:
        self._recorder = Recorder()
        self._wrapper = InferenceMode(model, list(extra_variables))
        self._wrapper.compile(
            self._recorder,
            loss,
            loss_weights,
            run_eagerly=run_eagerly,
            jit_compile=False,
            auto_scale_loss=False,
        )
        self._model = model

    @property
    def variables(self) -> list[keras.Variable]:
        """Variables of the gradients: the trainable variables of the model, then `extra_variables`."""
        return self._wrapper.trainable_variables

    def __call__(self, x: ArrayLike, y: ArrayLike) -> tuple[float, list[np.ndarray]]:
        """Return the cost, including `model.losses`, and its float64 gradient for each of `variables`.

        The gradient is 0 for a variable on which the cost does not depend.
        """
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
    """Optimizer that stores the gradients and changes no weight."""

    def __init__(self) -> None:
        super().__init__(learning_rate=0.0)
        self.gradients: list[keras.Variable] = []

    def build(self, variables: list[keras.Variable]) -> None:
        if not self.built:
            super().build(variables)
            self.gradients = [self.add_variable_from_reference(each, name="gradient") for each in variables]

    def apply(self, grads: list[Tensor], trainable_variables: list[keras.Variable] | None = None) -> None:
        if trainable_variables is not None:
            self.build(trainable_variables)
        for kept, gradient in zip(self.gradients, grads, strict=True):
            # None if the cost does not depend on the variable; gradients of embeddings are sparse.
            kept.assign(ops.zeros_like(kept) if gradient is None else ops.convert_to_tensor(gradient))


class InferenceMode(keras.Model):
    """Model that runs another model in inference mode, even in a training step.

    It owns `extra_variables` as well, so that they get gradients.
    """

    def __init__(self, model: keras.Model, extra_variables: list[keras.Variable]) -> None:
        super().__init__()
        self.model = model
        self.extra_variables = extra_variables
        if hasattr(model, "output_names"):  # `compile` finds the losses of several outputs by them
            self.output_names = list(model.output_names)

    def call(self, inputs: Tensor) -> Tensor:
        return self.model(inputs, training=False)


def flat(gradients: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenate all gradients into one float64 vector."""
    return np.concatenate([np.ravel(each) for each in gradients])
