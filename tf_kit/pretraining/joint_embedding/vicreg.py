"""VICReg: views that agree, with features that vary and do not covary."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.pretraining.joint_embedding.embeddings import pair
from tf_kit.pretraining.joint_embedding.frame import BatchObjective
from tf_kit.pretraining.method_options import VICRegOptions
from tf_kit.typing import ArrayLike, Tensor


def vicreg(
    za: ArrayLike,
    zb: ArrayLike,
    invariance_weight: float = VICRegOptions.invariance_weight,
    variance_weight: float = VICRegOptions.variance_weight,
    covariance_weight: float = VICRegOptions.covariance_weight,
) -> Tensor:
    """Compute the VICReg loss (variance-invariance-covariance regularization) of two views.

        s = 1/(n d) Σ_ij (za_ij − zb_ij)²                                   (1)
        v(z) = 1/d Σ_j max(0, 1 − √(C_jj + 10⁻⁴))                           (2)
        C(z) = (z − mean z)ᵀ (z − mean z) / (n − 1)                         (3)
        c(z) = 1/d Σ_{j ≠ k} C_jk²                                          (4)
        L = λ s + μ ½ [v(za) + v(zb)] + ν [c(za) + c(zb)]                   (5)

    where λ = `invariance_weight`, μ = `variance_weight`, ν = `covariance_weight` and C is (d, d).

    Args:
        za, zb: embeddings of the two views, (n, d).
        invariance_weight, variance_weight, covariance_weight: λ, μ, ν, each at least 0. Default to 25, 25 and 1.

    Returns:
        L, a scalar.

    Raises:
        InputError: the shapes differ, or a weight is negative.

    Example:
        >>> import numpy as np
        >>> round(float(vicreg(np.zeros((4, 3)), np.zeros((4, 3)))), 4)    # collapsed: almost the whole variance term
        24.75

    Convention: (1) and (5) follow the authors' code, for which the weights were chosen; the paper writes (1) without
    1/d and (5) without ½.
    Reference: Bardes, Ponce, LeCun, 2022, VICReg: variance-invariance-covariance regularization for self-supervised
    learning, equations 1 to 6 and algorithm 1, arXiv:2105.04906.
    """
    weights = {"invariance": invariance_weight, "variance": variance_weight, "covariance": covariance_weight}
    weights = {k: number(f"vicreg.{k}_weight", w, at_least=0) for k, w in weights.items()}
    za, zb = pair("vicreg", za, zb)
    identity = ops.eye(za.shape[1], dtype=za.dtype)

    def variance_and_covariance(z):
        centered = z - ops.mean(z, axis=0)
        others = ops.maximum(ops.cast(ops.shape(z)[0] - 1, z.dtype), 1)  # a single example has covariance 0
        covariance = ops.matmul(ops.transpose(centered), centered) / others  # (3)
        deviation = ops.sqrt(ops.sum(identity * covariance, axis=0) + 1e-4)
        off = ops.sum((1 - identity) * ops.square(covariance)) / z.shape[1]  # (4)
        return ops.mean(ops.relu(1 - deviation)), off  # (2)

    (va, ca), (vb, cb) = variance_and_covariance(za), variance_and_covariance(zb)
    invariance = ops.mean(ops.square(za - zb))  # (1)
    terms = {"invariance": invariance, "variance": (va + vb) / 2, "covariance": ca + cb}
    return sum(weights[name] * term for name, term in terms.items())  # (5)


@keras.saving.register_keras_serializable(package="tf_kit")
class VICReg(BatchObjective):
    """VICReg: views that agree, with features that vary and do not covary; each of the three terms has a weight.

    The loss is `vicreg` of the global batch. With `variance_weight=0` nothing prevents the embeddings from collapsing
    to a point.

    Args:
        encoder, projector, augment, seed, chunk_size: as for `JointEmbedding`.
        invariance_weight: weight λ of the distance between the views, at least 0. Defaults to 25.
        variance_weight: weight μ of the variance of each feature, at least 0. Defaults to 25.
        covariance_weight: weight ν of the covariance between features, at least 0. Defaults to 1.

    Convention: the authors apply batch norm to each view separately; here it is applied to both together.
    Reference: Bardes, Ponce, LeCun, 2022, VICReg: variance-invariance-covariance regularization for self-supervised
    learning, algorithm 1, arXiv:2105.04906.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        invariance_weight: float = VICRegOptions.invariance_weight,
        variance_weight: float = VICRegOptions.variance_weight,
        covariance_weight: float = VICRegOptions.covariance_weight,
        seed: int = 0,
        chunk_size: int | None = VICRegOptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.options = VICRegOptions(chunk_size, invariance_weight, variance_weight, covariance_weight)
        self.invariance_weight = self.options.invariance_weight
        self.variance_weight = self.options.variance_weight
        self.covariance_weight = self.options.covariance_weight

    def loss_of_batch(self, za: Tensor, zb: Tensor) -> Tensor:
        return vicreg(za, zb, self.invariance_weight, self.variance_weight, self.covariance_weight)
