"""Base class of the layers that learn statistics of data with `adapt`."""

from collections.abc import Iterable
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from tf_kit.checks import refuse
from tf_kit.design.preprocessing.batches import batches
from tf_kit.design.preprocessing.moments import Moments
from tf_kit.typing import ArrayLike, Dataset


class Adapted(keras.layers.Layer):
    """Layer that computes its weights from the moments of data.

    A subclass defines the rows of a batch (`_rows`), whether it needs the full scatter (`_full_scatter`), and the
    weights computed from the moments (`_keep`).
    """

    _full_scatter = False

    def __init__(self, **kwargs: Any) -> None:
        # Inputs are not cast on entry: float16 cannot hold 70,000, so centering must come first.
        super().__init__(autocast=False, **kwargs)

    def adapt(self, data: ArrayLike | Dataset | keras.utils.PyDataset | Iterable) -> Self:
        """Compute the statistics of `data`; earlier statistics are discarded.

        Args:
            data: array (n, …), in memory or mapped from disk; or batches of such arrays: a finite batched
                `tf.data.Dataset`, a generator, a list. From batches that are tuples, (x, y), x is taken.

        Returns:
            The layer itself.

        Raises:
            ValueError: `data` is empty, endless or not finite, or its shape is not that of the layer.
        """
        name = f"{type(self).__name__}.adapt"
        moments = None
        for batch in batches(name, data):
            if 0 in batch.shape[1:]:
                refuse(name, "be given examples with features", f"a batch of shape {batch.shape}")
            if not self.built:
                self.build((None, *batch.shape[1:]))
            self._check_features(name, batch.shape)
            rows = self._rows(batch)
            if moments is None:
                moments = Moments(rows.shape[1], self._full_scatter)
            moments.add(rows)
        if moments is None:
            remedy = "A generator can be used only once"
            refuse(name, "be given at least one example", "no examples", remedy)
        if not np.isfinite(moments.scatter).all():
            requirement = "be given numbers whose squares are finite"
            refuse(name, requirement, "numbers above about 1e150", "Divide them by a constant")
        self._keep(moments)
        return self

    @property
    def _statistics_dtype(self):
        """Return float32 or float64: half precision holds neither 70,000 nor a deviation of 1e-8."""
        return keras.backend.result_type(self.variable_dtype, "float32")

    def _statistic(self, name, shape, initializer):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=self._statistics_dtype,
            trainable=False,
            autocast=False,
        )

    def _check_features(self, name, shape, wanted=None):
        """Refuse examples of another shape, which would be broadcast or cut into another number of examples."""
        if getattr(shape, "rank", 0) is None:  # of a data set that does not know it
            return
        wanted = self._feature_shape if wanted is None else wanted
        if len(shape) != len(wanted) + 1 or any(
            mine is not None and given is not None and mine != given
            for mine, given in zip(wanted, shape[1:], strict=True)
        ):
            expected = ", ".join("any" if side is None else str(side) for side in wanted)
            refuse(name, f"be given examples of shape ({expected})", f"a batch of shape {tuple(shape)}")

    def _checked(self, inputs):
        self._check_features(f"{type(self).__name__}.inputs", inputs.shape)
        return ops.cast(inputs, self._statistics_dtype)

    def _checked_inverse(self, z, wanted=None):
        name = f"{type(self).__name__}.inverse"
        if not self.built:
            refuse(name, "be called after adapt", "a layer that has seen no data", "Call adapt(x) first")
        z = ops.cast(z, self._statistics_dtype)
        self._check_features(name, z.shape, wanted)
        return z

    def _resolution(self):
        """Relative rounding error of one number in the dtype of the weights."""
        return {"float64": 2.0**-52, "float32": 2.0**-23}[self._statistics_dtype]
