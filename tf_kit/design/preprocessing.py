"""Preprocessing: center, scale, decorrelate the inputs before the first layer sees them (topic 12).

Three layers learn from data once (`adapt`), then transform (`call`) and undo it (`inverse`). Statistics are
gathered on the host in float64, batch by batch, so the data may be larger than memory; batches are merged by

    n = n_A + n_B,   δ = μ_B − μ_A
    μ = μ_A + δ·n_B/n
    S = S_A + S_B + δδᵀ·n_A·n_B/n

where n counts examples, μ is their mean and S = Σ (x − μ)(x − μ)ᵀ their scatter. Sums of squares are never
taken of uncentered data: E[x²] − E[x]² loses every digit when the mean is large.

`condition_number` tells what it is good for: gradient descent on a linear unit needs a number of steps that
grows with the condition number of the inputs' covariance.

Shuffling, the last line of the slide, is `tf_kit.design.minibatches`.

Slide: PCA whitening is printed as "dividing every dimension by the corresponding eigenvalue". The eigenvalue
is a variance; what makes the variance 1 is division by its square root. Divided by the eigenvalue itself, a
direction of variance λ comes out with variance 1/λ: the spread is turned around, not levelled.

Reference: Chan, Golub, LeVeque, 1979, Updating formulae and a pairwise algorithm for computing sample
variances, equation 2.1; LeCun, Bottou, Orr, Müller, 1998, Efficient BackProp, section 4.3.
"""

import math

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, number, refuse

_CHUNK_BYTES = 32 * 2**20  # how much of an array or memory map is read at a time


class _Moments:
    """Count, mean and scatter of the rows seen so far; `full` keeps the matrix, else only its diagonal."""

    def __init__(self, num_features, full):
        self.count = 0
        self.mean = np.zeros(num_features)
        self.scatter = np.zeros((num_features, num_features) if full else num_features)
        self.full = full

    def add(self, rows):  # (n, d)
        n = len(rows)
        mean = rows.mean(axis=0)
        centered = rows - mean
        scatter = centered.T @ centered if self.full else np.square(centered).sum(axis=0)
        total = self.count + n
        delta = mean - self.mean
        between = np.outer(delta, delta) if self.full else np.square(delta)
        self.mean += delta * (n / total)
        self.scatter += scatter + between * (self.count * n / total)
        self.count = total


class _Adapted(keras.layers.Layer):
    """A layer that learns its weights from the moments of data; the base of the layers here.

    A subclass says which rows a batch holds (`_rows`), whether it needs the full scatter, and what it keeps
    of the moments (`_keep`).
    """

    _full_scatter = False

    def __init__(self, **kwargs):
        # Inputs are not cast down on entry: float16 cannot hold 70,000, and centering must come first.
        super().__init__(autocast=False, **kwargs)

    def adapt(self, data):
        """Learn the statistics of `data`, forgetting what was learned before.

        Args:
            data: an array (n, …), in memory or mapped from disk; or batches of such arrays: a finite batched
                `tf.data.Dataset`, a generator, a list. Of batches that are tuples, (x, y), x is taken.

        Returns:
            The layer itself.

        Raises:
            ValueError: when `data` is empty, endless, not finite, or of another shape than the layer's.
        """
        name = f"{type(self).__name__}.adapt"
        moments = None
        for batch in _batches(name, data):
            if not self.built:
                self.build((None, *batch.shape[1:]))
            self._check_features(name, batch.shape)
            rows = self._rows(batch)
            if moments is None:
                moments = _Moments(rows.shape[1], self._full_scatter)
            moments.add(rows)
        if moments is None:
            refuse(
                name, "be given at least one example", "no examples", "A used-up generator must be made anew"
            )
        self._keep(moments)
        return self

    def _statistic(self, name, shape, initializer):
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, trainable=False, autocast=False
        )

    def _check_features(self, name, shape):
        if len(shape) != len(self._feature_shape) + 1 or any(
            mine is not None and mine != given
            for mine, given in zip(self._feature_shape, shape[1:], strict=True)
        ):
            expected = ", ".join("any" if side is None else str(side) for side in self._feature_shape)
            refuse(name, f"be given examples of shape ({expected})", f"a batch of shape {tuple(shape)}")

    def _resolution(self):
        """Relative rounding of one number in the layer's own dtype."""
        return {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[
            self.variable_dtype
        ]


@keras.saving.register_keras_serializable(package="tf_kit")
class Standardize(_Adapted):
    """Zero-center each feature, then scale it to variance 1.

    For features of different units that matter about equally, such as age and income. Features keep their
    correlations (`PCAWhitening` removes them). Training and inference do the same. Until `adapt` is called
    the layer passes its inputs on unchanged.

        μ = 1/n Σ x,   σ² = 1/n Σ (x − μ)²                               (1)
        z = (x − μ) / σ                                                  (2)
        x = μ + σ·z                                                      (3)

    where x = `inputs` (n, …) and one μ, σ belongs to each index of `axis`; the sums run over all other axes.
    A feature that does not vary has nothing to scale: it is only centered (σ = 1).

    Args:
        axis: axis or axes that tell features apart, never 0 (the examples). −1 gives tables one scale a
            column and images one a channel; (1, 2, 3) gives images one a pixel. Defaults to −1.

    Input shape: (n, …). Output shape: the same.

    Raises:
        ValueError: when `axis` names the examples or an axis that the inputs lack, or `adapt` gets
            unusable data.

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
    For a feature that does not vary scikit-learn has σ = 1, as here; Keras has σ = 1e-7, so the smallest
    departure at inference comes out in millions.
    Reference: LeCun, Bottou, Orr, Müller, 1998, Efficient BackProp, section 4.3.
    """

    def __init__(self, axis: int | tuple[int, ...] = -1, **kwargs):
        super().__init__(**kwargs)
        self.axis = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
        self.supports_masking = True

    def build(self, input_shape):
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
        # Variation below the rounding of the mean is rounding itself.
        varies = stddev > self._resolution() * np.abs(moments.mean)
        self.mean.assign(moments.mean.reshape(self.mean.shape))
        self.stddev.assign(np.where(varies, stddev, 1.0).reshape(self.mean.shape))

    def call(self, inputs):
        inputs = ops.cast(inputs, self.variable_dtype)
        return ops.cast((inputs - self.mean) / self.stddev, self.compute_dtype)  # (2)

    def inverse(self, z):
        """x, of the shape of `z`, from the standardized z."""
        return self.mean + self.stddev * ops.cast(z, self.variable_dtype)  # (3)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "axis": list(self.axis)}


class _Whitening(_Adapted):
    """What PCA and ZCA whitening share: the eigenvectors and eigenvalues of the covariance."""

    _full_scatter = True

    def __init__(self, epsilon: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = number(f"{type(self).__name__}.epsilon", epsilon, at_least=0)

    def _directions(self, num_features):
        return num_features

    def build(self, input_shape):
        if self.built:  # by adapt
            return
        self._feature_shape = tuple(input_shape[1:])
        if not self._feature_shape or None in self._feature_shape:
            refuse(
                type(self).__name__,
                "know the shape of an example",
                f"inputs of shape {tuple(input_shape)}",
                "Give the model a keras.Input",
            )
        d = math.prod(self._feature_shape)
        k = self._directions(d)
        eye = keras.initializers.Identity()
        self.mean = self._statistic("mean", (d,), "zeros")
        self.directions = self._statistic("directions", (d, k), eye)
        self.stddev = self._statistic("stddev", (k,), "ones")

    def _rows(self, batch):
        return batch.reshape(len(batch), -1)  # (n, d)

    def _keep(self, moments):
        d, k = self.directions.shape
        eigenvalues, directions = _eigen(moments)
        stddev = np.sqrt(eigenvalues[:k] + self.epsilon)
        directions = directions[:, :k]
        # Narrower than the rounding of a product over d features: no variance, only noise to blow up.
        varies = stddev > d * self._resolution() * np.sqrt(eigenvalues[0])
        self.mean.assign(moments.mean)
        self.directions.assign(np.where(varies, directions, 0.0))
        self.stddev.assign(np.where(varies, stddev, 1.0))

    def _project(self, inputs):
        rows = ops.reshape(ops.cast(inputs, self.variable_dtype), (-1, self.mean.shape[0]))
        # Centered before the product: (x − μ)U keeps the digits that xU − μU loses when μ is large.
        return ops.matmul(rows - self.mean, self.directions) / self.stddev  # (n, d) -> (n, k)

    def _lift(self, projected):
        rows = self.mean + ops.matmul(projected * self.stddev, ops.transpose(self.directions))
        return ops.reshape(rows, (-1, *self._feature_shape))  # (n, k) -> (n, …)

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="tf_kit")
class PCAWhitening(_Whitening):
    """PCA whitening: turn to the axes of the data's ellipsoid, then make it a sphere.

    The outputs are uncorrelated with variance 1, in order of the variance that they had. With fewer
    components than features it is also the best linear compression. Training and inference do the same.
    Until `adapt` is called the layer only flattens (and cuts to `num_components`).

        C = 1/(n − 1) Σ (x − μ)(x − μ)ᵀ = U Λ Uᵀ                         (1)
        z = (Λ + ε)^(−1/2) Uᵀ (x − μ)                                    (2)
        x = μ + U (Λ + ε)^(1/2) z                                        (3)

    where x = `inputs` (n, …) with each example as one vector of d features, U (d, k) = the k eigenvectors of
    largest eigenvalue, Λ their eigenvalues, ε = `epsilon`. A direction in which the data do not vary (a
    constant feature, a copy of another, more features than examples) gives 0 instead of 0/0; with ε > 0 it
    gives what (2) says.

    Args:
        num_components: k, from 1 to d; None keeps all. Defaults to None.
        epsilon: added to each eigenvalue, a variance in the unit of x². Keeps narrow directions, mostly noise
            in images, from being blown up. Defaults to 0, which whitens exactly.

    Input shape: (n, …). Output shape: (n, k).

    Raises:
        ValueError: when `num_components` exceeds d, `epsilon` is negative, or `adapt` gets unusable data.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import PCAWhitening
        >>> x = np.random.default_rng(0).normal(size=(500, 2)) @ np.array([[9.0, 0.0], [8.0, 0.1]])
        >>> layer = PCAWhitening().adapt(x)
        >>> bool(np.allclose(np.cov(layer(x), rowvar=False), np.eye(2), atol=1e-3))
        True

    Convention: C divides by n − 1, as scikit-learn's `PCA(whiten=True)`, which it equals up to the sign of a
    direction; here the largest entry of each direction is positive.
    Slide: "dividing every dimension by the corresponding eigenvalue" must read: by its square root. See the
    head of this file.
    Reference: Kessy, Lewin, Strimmer, 2018, Optimal whitening and decorrelation, section 3.
    """

    def __init__(self, num_components: int | None = None, epsilon: float = 0.0, **kwargs):
        super().__init__(epsilon=epsilon, **kwargs)
        self.num_components = (
            None if num_components is None else count("PCAWhitening.num_components", num_components)
        )

    def _directions(self, num_features):
        k = self.num_components
        if k is not None and k > num_features:
            refuse(
                "PCAWhitening.num_components",
                f"be at most {num_features}, the features",
                f"num_components={k}",
            )
        return k or num_features

    def call(self, inputs):
        return ops.cast(self._project(inputs), self.compute_dtype)  # (2)

    def inverse(self, z):
        """x, of the shape of an input, from the whitened z (n, k): exact when k = d, else the closest."""
        return self._lift(ops.cast(z, self.variable_dtype))  # (3)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self._directions(math.prod(input_shape[1:])))

    def get_config(self):
        return {**super().get_config(), "num_components": self.num_components}


@keras.saving.register_keras_serializable(package="tf_kit")
class ZCAWhitening(_Whitening):
    """ZCA whitening: whiten, then turn back, so that an image stays an image.

    Of all the linear maps that whiten, this symmetric one changes the data least: it minimizes E‖x − z‖².
    So a whitened digit still looks like a digit, with its edges raised. Training and inference do the same.
    Until `adapt` is called the layer passes its inputs on unchanged.

        C = 1/(n − 1) Σ (x − μ)(x − μ)ᵀ = U Λ Uᵀ                         (1)
        z = U (Λ + ε)^(−1/2) Uᵀ (x − μ)                                  (2)
        x = μ + U (Λ + ε)^(1/2) Uᵀ z                                     (3)

    where x = `inputs` (n, …) with each example as one vector of d features, ε = `epsilon`. Directions in
    which the data do not vary give 0, as in `PCAWhitening`.

    Args:
        epsilon: added to each eigenvalue, a variance in the unit of x². Defaults to 0, which whitens exactly;
            about 0.01 to 0.1 keeps the noise of images with pixels in [0, 1] down.

    Input shape: (n, …). Output shape: the same.

    Raises:
        ValueError: when `epsilon` is negative or `adapt` gets unusable data.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import ZCAWhitening
        >>> x = np.random.default_rng(0).normal(size=(500, 2, 2)) * [[1.0, 2.0], [3.0, 4.0]] + 5
        >>> z = np.array(ZCAWhitening().adapt(x)(x))
        >>> z.shape, bool(np.allclose(np.cov(z.reshape(500, 4), rowvar=False), np.eye(4), atol=1e-3))
        ((500, 2, 2), True)

    Convention: C divides by n − 1, as in `PCAWhitening`.
    Reference: Bell, Sejnowski, 1997, The "independent components" of natural scenes are edge filters, section
    2.3; Kessy, Lewin, Strimmer, 2018, Optimal whitening and decorrelation, section 3.
    """

    def call(self, inputs):
        z = ops.matmul(self._project(inputs), ops.transpose(self.directions))  # (2)
        return ops.cast(ops.reshape(z, (-1, *self._feature_shape)), self.compute_dtype)

    def inverse(self, z):
        """x, of the shape of `z`, from the whitened z."""
        rows = ops.reshape(ops.cast(z, self.variable_dtype), (-1, self.mean.shape[0]))
        return self._lift(ops.matmul(rows, self.directions))  # (3)

    def compute_output_shape(self, input_shape):
        return input_shape


def condition_number(x) -> float:
    """Condition number of the covariance of data: its largest eigenvalue over its smallest.

    The number of steps that gradient descent needs on a linear unit grows in proportion to it; whitening
    brings it to 1. Directions without any variance are left out: no gradient points there.

        κ = λ_max / λ_min                                                (1)

    Args:
        x: an array (n, …), or batches as in `Standardize.adapt`; each example is one vector.

    Returns:
        κ ≥ 1.

    Raises:
        ValueError: when `x` is empty or does not vary at all.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import condition_number
        >>> round(condition_number(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [3.0, 1.0]])), 6)
        9.0

    Reference: LeCun, Kanter, Solla, 1991, Eigenvalues of covariance matrices: application to neural-network
    learning.
    """
    moments = None
    for batch in _batches("condition_number", x):
        rows = batch.reshape(len(batch), -1)
        moments = moments or _Moments(rows.shape[1], full=True)
        moments.add(rows)
    eigenvalues = _eigen(moments)[0] if moments else np.zeros(1)
    # The same line as in the layers, at the float32 in which data are mostly kept.
    varying = eigenvalues[np.sqrt(eigenvalues) > len(eigenvalues) * 2.0**-23 * np.sqrt(eigenvalues[0])]
    if not len(varying):
        refuse(
            "condition_number", "be given data that vary", f"{moments.count if moments else 0} equal examples"
        )
    return float(varying[0] / varying[-1])  # (1)


def _eigen(moments):
    """Eigenvalues of the covariance, largest first, and eigenvectors as columns with a fixed sign."""
    covariance = moments.scatter / max(moments.count - 1, 1)
    eigenvalues, directions = np.linalg.eigh(covariance)
    directions = directions[:, ::-1]
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(len(directions))])
    return np.maximum(eigenvalues[::-1], 0.0), directions * signs


def _batches(subject, data):
    """Non-empty float64 batches of rank 2 or more, from an array or from anything that yields arrays."""
    for batch in _pieces(subject, data):
        batch = ops.convert_to_numpy(batch[0] if isinstance(batch, list | tuple) else batch)
        if batch.ndim < 2 or batch.dtype.kind not in "biuf":
            refuse(
                subject,
                "be given batches of numbers with examples in rows, (n, …)",
                f"a batch of shape {batch.shape} and dtype {batch.dtype}",
                "A dataset of single examples needs .batch(256) first",
            )
        batch = batch.astype("float64")
        if not np.isfinite(batch).all():
            refuse(subject, "be given finite numbers", "NaN or infinity", "Drop or fill these examples")
        if len(batch):
            yield batch


def _pieces(subject, data):
    if hasattr(data, "shape") and hasattr(data, "dtype"):  # NumPy, memory map, HDF5, tensor
        if len(data.shape) < 2:
            refuse(subject, "be given examples in rows, (n, …)", f"an array of shape {tuple(data.shape)}")
        step = max(_CHUNK_BYTES // (8 * max(math.prod(data.shape[1:]), 1)), 1)
        return (data[start : start + step] for start in range(0, data.shape[0], step))
    if isinstance(data, keras.utils.PyDataset):  # its iterator has no end
        return (data[index] for index in range(data.num_batches or 0))
    if hasattr(data, "cardinality") and int(data.cardinality()) == -1:
        refuse(subject, "be given data that end", "an endless dataset", "Leave out repeat(), or take(100)")
    if not hasattr(data, "__iter__"):
        refuse(subject, "be given an array or batches of arrays", f"{type(data).__name__} {data!r}")
    return iter(data)
