"""Batch normalization: the algorithm of the slide, with masks, on any axis, over the batch of all replicas.

The last step can undo the first three: γ = √(σ²_B + ε) and β = μ_B restore the inputs.

Reference: Ioffe, Szegedy, 2015, Batch normalization, arXiv:1502.03167.
"""

import numbers
from typing import Any

import keras
from keras import ops

from tf_kit.checks import number, refuse, same_shape
from tf_kit.dtypes import as_floats
from tf_kit.replicas import sum_over_replicas
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class BatchNorm(keras.layers.Layer):
    """Normalize each feature by the mean and variance of the minibatch, then scale and shift it.

    In training the statistics are those of the current batch, and gradients flow through them; at inference they are
    the moving averages computed in training. Under a distribution strategy the batch is the global batch: counts and
    sums are added over replicas, so the result is the same as on one device, even if replicas have unequal numbers of
    examples. A layer with `trainable = False` runs in inference mode.

        μ_B  = 1/m Σ x                                                   (1)
        σ²_B = 1/m Σ (x − μ_B)²                                          (2)
        x̂    = (x − μ_B) / √(σ²_B + ε)                                   (3)
        y    = γ x̂ + β                                                   (4)
        moving ← ρ moving + (1 − ρ) (μ_B, σ²_B)                          (5)

    where the sums run over all axes but `axis`, m is the number of entries that are not masked, ε = `epsilon`,
    ρ = `momentum`; γ, β, the moving mean and the moving variance have one entry per feature.

    Args:
        momentum: weight ρ of the past in the moving averages, in [0, 1). Defaults to 0.99.
        epsilon: ε, added to the variance, above 0. Defaults to 1e-3.
        axis: axis of the features, not the first. Defaults to -1.
        center, scale: whether to use β and γ. Default to True.

    Call arguments:
        inputs: tensor (n, …) of rank 2 or more; integers become floats.
        training: whether to use and update the statistics of the batch instead of using the moving averages.
        mask: booleans with the shape of the inputs without the feature axis. Entries that are False do not count in
            the statistics, but are normalized too.

    Input shape: (n, …). Output shape: the same.

    Raises:
        ValueError: `momentum` or `epsilon` is out of range, the feature axis is not one axis of fixed size, or the mask
            has another shape.

    Example:
        >>> layer = BatchNorm(epsilon=1e-6)
        >>> layer(ops.array([[1.0, 10000.0], [3.0, 10002.0]]), training=True).numpy().round(3).tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
        >>> [round(float(mean), 2) for mean in layer.moving_mean.numpy()]
        [0.02, 100.01]

    Convention: σ²_B is a sum divided by m everywhere, as in Keras; PyTorch and algorithm 2 of the paper multiply the
    moving variance by m / (m − 1). `momentum` of PyTorch is 1 − ρ. Keras synchronizes replicas only with
    `synchronized=True`, and not with a mask.
    Reference: Ioffe, Szegedy, 2015, Batch normalization, algorithm 1, arXiv:1502.03167.
    """

    def __init__(
        self,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        axis: int = -1,
        center: bool = True,
        scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.momentum = number("BatchNorm.momentum", momentum, at_least=0, below=1)
        self.epsilon = number("BatchNorm.epsilon", epsilon, above=0)
        whole = isinstance(axis, numbers.Integral) and not isinstance(axis, bool)
        if not whole:
            refuse("BatchNorm.axis", "be one whole number, the axis of the features", f"axis={axis!r}")
        self.axis = int(axis)
        self.center = bool(center)
        self.scale = bool(scale)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        rank = len(input_shape)
        feature_axis = self.axis % rank if -rank <= self.axis < rank else 0
        if feature_axis == 0 or input_shape[feature_axis] is None:
            remedy = "Axis 0 holds the examples; the feature axis needs a fixed size"
            received = f"axis={self.axis} with input shape {tuple(input_shape)}"
            refuse("BatchNorm.axis", "be a feature axis of the inputs", received, remedy)
        shape = (input_shape[feature_axis],)
        self._reduced = tuple(axis for axis in range(rank) if axis != feature_axis)
        self._shape = tuple(shape[0] if axis == feature_axis else 1 for axis in range(rank))
        self._feature_axis = feature_axis
        self.gamma = self.add_weight(shape, "ones", name="gamma", autocast=False) if self.scale else None
        self.beta = self.add_weight(shape, "zeros", name="beta", autocast=False) if self.center else None
        self.moving_mean = self.add_weight(
            shape, "zeros", name="moving_mean", trainable=False, autocast=False
        )
        self.moving_variance = self.add_weight(
            shape, "ones", name="moving_variance", trainable=False, autocast=False
        )

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        inputs = as_floats(inputs, self.compute_dtype)
        x = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))  # sums of halves overflow
        if training and self.trainable:
            # Shifting the data by a first mean, taken as a constant, keeps (1) and (2) accurate.
            origin, counted = self._origin(x, mask)
            m = ops.maximum(counted, 1)
            x = x - ops.reshape(origin, self._shape)
            seen = self._unmasked(x, mask)
            total, squares = sum_over_replicas([self._sum(seen), self._sum(ops.square(seen))])
            mean = total / m  # (1)
            variance = ops.maximum(squares / m - ops.square(mean), 0)  # (2)
            self._remember(origin + mean, variance, counted)
        else:
            mean = ops.cast(self.moving_mean, x.dtype)
            variance = ops.cast(self.moving_variance, x.dtype)
        # (3) and (4) as y = s x + t: one product and one sum per entry, everything else once per feature.
        s = 1 / ops.sqrt(variance + self.epsilon)
        if self.scale:
            s = ops.cast(self.gamma, x.dtype) * s
        t = -mean * s
        if self.center:
            t = ops.cast(self.beta, x.dtype) + t
        outputs = ops.reshape(s, self._shape) * x + ops.reshape(t, self._shape)
        return ops.cast(outputs, inputs.dtype)

    def _origin(self, x, mask):
        """Return the mean of the global batch as a constant, and the number of its entries."""
        total = self._sum(self._unmasked(x, mask))
        if mask is None:
            counted = ops.cast(ops.size(x), x.dtype) / x.shape[self._feature_axis]
        else:
            entries = ops.ones_like(ops.take(x, [0], axis=self._feature_axis))
            counted = ops.sum(self._unmasked(entries, mask))
        total, counted = sum_over_replicas([total, counted])
        return ops.stop_gradient(total / ops.maximum(counted, 1)), counted

    def _unmasked(self, x, mask):
        if mask is None:
            return x
        wanted = [side for axis, side in enumerate(x.shape) if axis != self._feature_axis]
        if not same_shape(mask.shape, wanted):
            received = f"mask of shape {tuple(mask.shape)} with inputs of shape {tuple(x.shape)}"
            refuse("BatchNorm.mask", "have the shape of the inputs without the feature axis", received)
        return ops.where(ops.expand_dims(mask, self._feature_axis), x, ops.zeros_like(x))

    def _sum(self, x):
        return ops.sum(x, axis=self._reduced)

    def _remember(self, mean, variance, counted):
        rho = ops.where(
            counted > 0, ops.cast(self.momentum, mean.dtype), 1
        )  # without entries nothing changes
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = ops.cast(moving, value.dtype)
            moving.assign(rho * old + (1 - rho) * ops.stop_gradient(value))  # (5)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "axis": self.axis,
            "center": self.center,
            "scale": self.scale,
        }
