"""Whitening: uncorrelated features of variance 1, along the principal axes (PCA) or the original ones (ZCA)."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, number, refuse
from tf_kit.design.preprocessing.adapted import Adapted
from tf_kit.design.preprocessing.moments import eigen
from tf_kit.typing import ArrayLike, Tensor


class Whitening(Adapted):
    """Base class of PCA and ZCA whitening, with the eigenvectors and eigenvalues of the covariance.

    Args:
        epsilon: number added to each eigenvalue, at least 0. Defaults to 0.
    """

    _full_scatter = True

    def __init__(self, epsilon: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epsilon = number(f"{type(self).__name__}.epsilon", epsilon, at_least=0)

    def _directions(self, num_features):
        return num_features

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.built:  # by adapt
            return
        self._feature_shape = tuple(side for side in input_shape[1:] if side is not None)
        if not self._feature_shape or None in input_shape[1:]:
            refuse(
                type(self).__name__,
                "know the shape of an example",
                f"inputs of shape {tuple(input_shape)}",
                "Add a keras.Input to the model",
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
        eigenvalues, directions = eigen(moments)
        stddev = np.sqrt(eigenvalues[:k] + self.epsilon)
        directions = directions[:, :k]
        # A spread below the rounding error of a product over d features is noise, which division would amplify.
        varies = stddev > d * self._resolution() * np.sqrt(eigenvalues[0])
        self.mean.assign(moments.mean)
        self.directions.assign(np.where(varies, directions, 0.0))
        self.stddev.assign(np.where(varies, stddev, 1.0))

    def _project(self, inputs):
        rows = ops.reshape(self._checked(inputs), (-1, self.mean.shape[0]))
        # Centered before the product: (x − μ)U keeps the digits that xU − μU loses when μ is large.
        return ops.matmul(rows - self.mean, self.directions) / self.stddev  # (n, d) -> (n, k)

    def _lift(self, projected):
        rows = self.mean + ops.matmul(projected * self.stddev, ops.transpose(self.directions))
        return ops.reshape(rows, (-1, *self._feature_shape))  # (n, k) -> (n, …)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="tf_kit")
class PCAWhitening(Whitening):
    """PCA whitening: rotate the data to their principal axes, then scale each axis to variance 1.

    The outputs are uncorrelated with variance 1, in the order of their original variance. With fewer components
    than features it is also the best linear compression. The layer does the same in training and inference.
    Before `adapt` is called, it only flattens its inputs (and cuts them to `num_components`).

        C = 1/(n − 1) Σ (x − μ)(x − μ)ᵀ = U Λ Uᵀ                         (1)
        z = (Λ + ε)^(−1/2) Uᵀ (x − μ)                                    (2)
        x = μ + U (Λ + ε)^(1/2) z                                        (3)

    where x = `inputs` (n, …) with each example as one vector of d features, U (d, k) = the k eigenvectors with
    the largest eigenvalues, Λ their eigenvalues, and ε = `epsilon`. For a direction in which the data do not vary
    (a constant feature, a copy of another, more features than examples) (2) with ε = 0 would be 0/0; the result
    is 0.

    Args:
        num_components: k, from 1 to d; None keeps all. Defaults to None.
        epsilon: number added to each eigenvalue, a variance in the unit of x². It prevents the amplification of
            directions of small variance, which in images are mostly noise. Defaults to 0, exact whitening.

    Input shape: (n, …). Output shape: (n, k).

    Raises:
        ValueError: `num_components` exceeds d, `epsilon` is negative, or the data of `adapt` cannot be used, or
            the inputs have another shape than the data.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import PCAWhitening
        >>> x = np.random.default_rng(0).normal(size=(500, 2)) @ np.array([[9.0, 0.0], [8.0, 0.1]])
        >>> layer = PCAWhitening().adapt(x)
        >>> bool(np.allclose(np.cov(layer(x), rowvar=False), np.eye(2), atol=1e-3))
        True

    Convention: C divides by n − 1, as scikit-learn's `PCA(whiten=True)`, which gives the same up to the sign of
    each direction; here the largest entry of each direction is positive.
    Slide: "dividing every dimension by the corresponding eigenvalue" must read: by its square root. See the
    docstring of `tf_kit.design.preprocessing`.
    Reference: Kessy, Lewin, Strimmer, 2018, Optimal whitening and decorrelation, section 3, arXiv:1512.00809.
    """

    def __init__(self, num_components: int | None = None, epsilon: float = 0.0, **kwargs: Any) -> None:
        super().__init__(epsilon=epsilon, **kwargs)
        self.num_components = (
            None if num_components is None else count("PCAWhitening.num_components", num_components)
        )

    def _directions(self, num_features):
        k = self.num_components
        if k is not None and k > num_features:
            requirement = f"be at most {num_features}, the number of features"
            refuse("PCAWhitening.num_components", requirement, f"num_components={k}")
        return k or num_features

    def call(self, inputs: Tensor) -> Tensor:
        return ops.cast(self._project(inputs), self.compute_dtype)  # (2)

    def inverse(self, z: ArrayLike) -> Tensor:
        """Undo the whitening of z (n, k): exactly if k = d, otherwise up to the dropped components."""
        kept = (self.directions.shape[1],) if self.built else None
        return self._lift(self._checked_inverse(z, kept))  # (3)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], self._directions(math.prod(input_shape[1:])))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_components": self.num_components}


@keras.saving.register_keras_serializable(package="tf_kit")
class ZCAWhitening(Whitening):
    """ZCA whitening: whiten, then rotate back, so that an image remains an image.

    Of all linear maps that whiten, this symmetric one changes the data least: it minimizes E‖x − z‖². So a
    whitened digit still looks like a digit, with enhanced edges. The layer does the same in training and
    inference. Before `adapt` is called, it returns its inputs unchanged.

        C = 1/(n − 1) Σ (x − μ)(x − μ)ᵀ = U Λ Uᵀ                         (1)
        z = U (Λ + ε)^(−1/2) Uᵀ (x − μ)                                  (2)
        x = μ + U (Λ + ε)^(1/2) Uᵀ z                                     (3)

    where x = `inputs` (n, …) with each example as one vector of d features, and ε = `epsilon`. Directions in
    which the data do not vary give 0, as in `PCAWhitening`.

    Args:
        epsilon: number added to each eigenvalue, a variance in the unit of x². Defaults to 0, exact whitening;
            about 0.01 to 0.1 suppresses the noise of images with pixels in [0, 1].

    Input shape: (n, …). Output shape: the same.

    Raises:
        ValueError: `epsilon` is negative, or the data of `adapt` cannot be used, or the inputs have another shape than
            the data.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import ZCAWhitening
        >>> x = np.random.default_rng(0).normal(size=(500, 2, 2)) * [[1.0, 2.0], [3.0, 4.0]] + 5
        >>> z = np.array(ZCAWhitening().adapt(x)(x))
        >>> z.shape, bool(np.allclose(np.cov(z.reshape(500, 4), rowvar=False), np.eye(4), atol=1e-3))
        ((500, 2, 2), True)

    Convention: C divides by n − 1, as in `PCAWhitening`.
    Reference: Bell, Sejnowski, 1997, The "independent components" of natural scenes are edge filters, section
    2.3, doi:10.1016/S0042-6989(97)00121-1; Kessy, Lewin, Strimmer, 2018, Optimal whitening and decorrelation,
    section 3, arXiv:1512.00809.
    """

    def call(self, inputs: Tensor) -> Tensor:
        z = ops.matmul(self._project(inputs), ops.transpose(self.directions))  # (2)
        return ops.cast(ops.reshape(z, (-1, *self._feature_shape)), self.compute_dtype)

    def inverse(self, z: ArrayLike) -> Tensor:
        """Undo the whitening of z (n, …)."""
        rows = ops.reshape(self._checked_inverse(z), (-1, self.mean.shape[0]))
        return self._lift(ops.matmul(rows, self.directions))  # (3)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape
