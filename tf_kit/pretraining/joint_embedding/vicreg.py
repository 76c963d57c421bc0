"""VICReg: equal views, features that vary, features that do not covary."""

import keras
from keras import ops

from tf_kit.checks import number
from tf_kit.pretraining.joint_embedding.embeddings import pair
from tf_kit.pretraining.joint_embedding.frame import BatchObjective
from tf_kit.pretraining.methods import VICRegOptions


@keras.saving.register_keras_serializable(package="tf_kit")
class VICReg(BatchObjective):
    """VICReg: equal views, features that vary, features that do not covary. Each term has a weight of its own.

    The loss is `vicreg` of the global batch. With `variance_weight=0` nothing keeps the embeddings from
    collapsing to a point.

    Args:
        encoder, projector, augment, seed, chunk_size: as in `JointEmbedding`.
        invariance_weight, variance_weight, covariance_weight: λ, μ, ν ≥ 0. Default to 25, 25 and 1.

    Convention: the authors run batch norm on each view by itself; here it sees both.
    Reference: Bardes, Ponce, LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization for
    Self-Supervised Learning", algorithm 1.
    """

    def __init__(
        self,
        encoder,
        projector=None,
        augment=None,
        invariance_weight=VICRegOptions.invariance_weight,
        variance_weight=VICRegOptions.variance_weight,
        covariance_weight=VICRegOptions.covariance_weight,
        seed=0,
        chunk_size=VICRegOptions.chunk_size,
        **kwargs,
    ):
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.options = VICRegOptions(chunk_size, invariance_weight, variance_weight, covariance_weight)
        self.invariance_weight = self.options.invariance_weight
        self.variance_weight = self.options.variance_weight
        self.covariance_weight = self.options.covariance_weight

    def loss_of_batch(self, za, zb):
        return vicreg(za, zb, self.invariance_weight, self.variance_weight, self.covariance_weight)


def vicreg(za, zb, invariance_weight=25.0, variance_weight=25.0, covariance_weight=1.0):
    """Variance-invariance-covariance regularization: equal views, features that vary and do not covary.

        s = 1/(n d) Σ_ij (za_ij − zb_ij)²                                   (1)
        v(z) = 1/d Σ_j max(0, 1 − √(var z_j + 10⁻⁴))                        (2)
        C(z) = (z − mean z)ᵀ (z − mean z) / (n − 1)                         (3)
        c(z) = 1/d Σ_{j ≠ k} C_jk²                                          (4)
        L = λ s + μ ½ [v(za) + v(zb)] + ν [c(za) + c(zb)]                   (5)

    where var z_j = C_jj, λ = `invariance_weight`, μ = `variance_weight`, ν = `covariance_weight`.

    Args:
        za, zb: embeddings of the two views, (n, d).
        invariance_weight, variance_weight, covariance_weight: λ, μ, ν ≥ 0. Default to 25, 25 and 1.

    Returns:
        L, a scalar.

    Example: collapsed embeddings agree perfectly and cost nearly the whole variance term

    >>> import numpy as np
    >>> round(float(vicreg(np.zeros((4, 3)), np.zeros((4, 3)))), 4)
    24.75

    Convention: (1) and (5) are as in the authors' code, for which the weights were found; the paper writes
    equation (1) without 1/d and (5) without ½.
    Reference: Bardes, Ponce, LeCun 2022, "VICReg: Variance-Invariance-Covariance Regularization for
    Self-Supervised Learning", equations 1 to 6 and algorithm 1.
    """
    weights = {"invariance": invariance_weight, "variance": variance_weight, "covariance": covariance_weight}
    weights = {k: number(f"vicreg.{k}_weight", w, at_least=0) for k, w in weights.items()}
    za, zb = pair("vicreg", za, zb)
    identity = ops.eye(za.shape[1], dtype=za.dtype)

    def variance_and_covariance(z):
        centered = z - ops.mean(z, axis=0)
        others = ops.maximum(ops.cast(ops.shape(z)[0] - 1, z.dtype), 1)  # one example varies by nothing
        covariance = ops.matmul(ops.transpose(centered), centered) / others  # (3)
        deviation = ops.sqrt(ops.sum(identity * covariance, axis=0) + 1e-4)
        off = ops.sum((1 - identity) * ops.square(covariance)) / z.shape[1]  # (4)
        return ops.mean(ops.relu(1 - deviation)), off  # (2)

    (va, ca), (vb, cb) = variance_and_covariance(za), variance_and_covariance(zb)
    invariance = ops.mean(ops.square(za - zb))  # (1)
    terms = {"invariance": invariance, "variance": (va + vb) / 2, "covariance": ca + cb}
    return sum(weights[name] * term for name, term in terms.items())  # (5)
