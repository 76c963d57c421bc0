"""Standardization: each feature with mean 0 and variance 1."""

import math
import numbers
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import refuse
from tf_kit.design.preprocessing.adapted import Adapted
from tf_kit.typing import ArrayLike, Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class Standardize(Adapted):
    """Center each feature at zero, then scale it to variance 1.

    For features of different units that matter about equally, such as age and income. Correlations between
    features remain (`PCAWhitening` removes them). The layer does the same in training and inference. Before
    `adapt` is called, it returns its inputs unchanged.

        μ = 1/n Σ x,   σ² = 1/n Σ (x − μ)²                               (1)
        z = (x − μ) / σ                                                  (2)
        x = μ + σ·z                                                      (3)

    where x = `inputs` (n, …), with one μ and one σ for each index of `axis`; the sums run over all other axes.
    A feature that does not vary is only centered (σ = 1).

    Args:
        axis: axis or axes with one mean and one scale per index, never 0 (the examples). −1 means one scale per
            column of a table and per channel of images; (1, 2, 3) means one per pixel. Defaults to −1.

    Input shape: (n, …). Output shape: the same.

    Raises:
        ValueError: `axis` contains the axis of examples or an axis that the inputs lack, or the data of `adapt`
            cannot be used, or the inputs have another shape than the data.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import Standardize
        >>> x = np.array([[1.0, 20.0, 7.0], [3.0, 60.0, 7.0]])
        >>> layer = Standardize().adapt(x)
        >>> np.array(layer(x)).tolist()
        [[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]
        >>> np.array(layer.inverse([[0.0, 0.0, 0.0]])).tolist()
        [[2.0, 40.0, 7.0]]

    Convention: σ² is the mean over n, as in `keras.layers.Normalization` and scikit-learn's `StandardScaler`.
    For a feature that does not vary scikit-learn has σ = 1, as here; Keras has σ = 1e-7, so at inference the
    smallest deviation is multiplied by 10⁷.
    Reference: LeCun, Bottou, Orr, Müller, 1998, Efficient BackProp, section 4.3, doi:10.1007/3-540-49430-8_2.
    """

    def __init__(self, axis: int | tuple[int, ...] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
        if not all(isinstance(side, numbers.Integral) and not isinstance(side, bool) for side in self.axis):
            remedy = "The default, -1, has one mean and one scale for each column or channel"
            refuse("Standardize.axis", "be a whole number or several", f"axis={axis!r}", remedy)
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.built:  # by adapt
            return
        rank = len(input_shape)
        axes = {side + rank if side < 0 else side for side in self.axis}
        if not axes or min(axes) < 1 or max(axes) >= rank:
            refuse(
                "Standardize.axis",
                f"name axes of the inputs {tuple(input_shape)} other than 0, the examples",
                f"axis={self.axis}",
            )
        self._axes = sorted(axes)
        sides = [input_shape[side] for side in self._axes]
        if None in sides:
            refuse("Standardize.axis", "name axes of known size", f"inputs of shape {tuple(input_shape)}")
        self._feature_shape = tuple(s if i in axes else None for i, s in enumerate(input_shape))[1:]
        shape = [1 if side not in axes else input_shape[side] for side in range(rank)]
        self.mean = self._statistic("mean", shape, "zeros")
        self.stddev = self._statistic("stddev", shape, "ones")

    def _rows(self, batch):
        kept = np.moveaxis(batch, self._axes, range(-len(self._axes), 0))
        return kept.reshape(-1, math.prod(batch.shape[side] for side in self._axes))  # (n·others, features)

    def _keep(self, moments):
        stddev = np.sqrt(moments.scatter / moments.count)  # (1)
        # A variation smaller than the rounding error of the mean is rounding error itself.
        varies = stddev > self._resolution() * np.abs(moments.mean)
        self.mean.assign(moments.mean.reshape(self.mean.shape))
        self.stddev.assign(np.where(varies, stddev, 1.0).reshape(self.mean.shape))

    def call(self, inputs: Tensor) -> Tensor:
        inputs = self._checked(inputs)
        return ops.cast((inputs - self.mean) / self.stddev, self.compute_dtype)  # (2)

    def inverse(self, z: ArrayLike) -> Tensor:
        """Undo the standardization of z (n, …)."""
        z = self._checked_inverse(z)
        return self.mean + self.stddev * z  # (3)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": list(self.axis)}
