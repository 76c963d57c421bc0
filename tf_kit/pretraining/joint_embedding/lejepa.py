"""LeJEPA: views that agree, with embeddings whose projections on random directions are standard normal."""

from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, number, refuse
from tf_kit.pretraining.joint_embedding.embeddings import pair
from tf_kit.pretraining.joint_embedding.frame import JointEmbedding
from tf_kit.pretraining.method_options import LeJEPAOptions
from tf_kit.randomness.step import ExampleRandom
from tf_kit.replicas import gather
from tf_kit.typing import ArrayLike, Tensor

_POINTS = np.linspace(0, 3, 17)  # t_k of equation (2)
_NORMAL = np.exp(-(_POINTS**2) / 2)  # characteristic function of N(0, 1), and the window of the integral
_WEIGHTS = 2 * _NORMAL * (_POINTS[1] * np.where(np.isin(_POINTS, (0, 3)), 0.5, 1))


def sigreg(z: ArrayLike, directions: ArrayLike) -> Tensor:
    """Compute SIGReg: how far projections of embeddings on directions are from a standard normal distribution.

        φ(t) = 1/n Σ_i exp(i t â·z_i),   â = a / ‖a‖                        (1)
        T(a) = n ∫ |φ(t) − e^{−t²/2}|² e^{−t²/2} dt                         (2)
        S = mean of T over the directions a                                 (3)

    (1) is the empirical characteristic function and (2) the statistic of Epps and Pulley, computed over [−3, 3] by the
    trapezoidal rule with the 17 points 0, 3/16, …, 3, since the integrand is even. If all embeddings are zero, every
    T is 0.402 n; if they are normal, T stays about 1 however many they are.

    Args:
        z: embeddings, (n, d).
        directions: the columns a, of any length above 0, (d, number of directions).

    Returns:
        S, a scalar of at least 0.

    Raises:
        InputError: the shapes do not fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z, directions = rng.normal(size=(500, 2)), rng.normal(size=(2, 10))
        >>> float(sigreg(z, directions)) < 1.5 < 100 < float(sigreg(0 * z, directions))
        True

    Reference: Balestriero, LeCun, 2025, LeJEPA: provable and scalable self-supervised learning without the heuristics,
    section 4 (the points are those of the authors' code), arXiv:2511.08544; Epps, Pulley, 1983, A test for normality
    based on the empirical characteristic function, doi:10.1093/biomet/70.3.723.
    """
    z = ops.convert_to_tensor(z)
    z = ops.cast(z, keras.backend.result_type(z.dtype, "float32"))
    a = ops.cast(ops.convert_to_tensor(directions), z.dtype)
    if len(z.shape) != 2 or len(a.shape) != 2 or z.shape[1] != a.shape[0]:
        received = f"shapes {tuple(z.shape)} and {tuple(a.shape)}"
        refuse("sigreg", "be given embeddings (n, d) and directions (d, m)", received)
    t, normal, weights = (ops.cast(each, z.dtype) for each in (_POINTS, _NORMAL, _WEIGHTS))
    projections = ops.matmul(z, a / ops.sqrt(ops.sum(ops.square(a), axis=0)))  # (n, m)
    angles = projections[:, :, None] * t
    real, imaginary = ops.mean(ops.cos(angles), axis=0), ops.mean(ops.sin(angles), axis=0)  # (1)
    distance = ops.square(real - normal) + ops.square(imaginary)
    statistic = ops.cast(ops.shape(z)[0], z.dtype) * ops.matmul(distance, weights[:, None])  # (2)
    return ops.mean(statistic)  # (3)


def lejepa(
    za: ArrayLike,
    zb: ArrayLike,
    normality_weight: float = LeJEPAOptions.normality_weight,
    num_directions: int = LeJEPAOptions.num_directions,
    random: ExampleRandom | None = None,
) -> Tensor:
    """Compute the LeJEPA loss of two views: their distance from their mean, and SIGReg of each.

        P = 1/(2 n d) Σ_v Σ_ij (z_vij − ½ (za_ij + zb_ij))²                 (1)
        L = (1 − λ) P + λ ½ [S(za) + S(zb)]                                 (2)

    with S as in `sigreg`, on directions that are drawn anew in each step, and λ = `normality_weight`.

    Args:
        za, zb: embeddings of the two views, (n, d).
        normality_weight: λ in [0, 1]; at 0 nothing keeps the embeddings from shrinking to a point. Defaults to 0.05.
        num_directions: number of random directions, the same for both views. Defaults to 256.
        random: random numbers of the step. Defaults to None, those of step 0 for seed 0.

    Returns:
        L, a scalar of at least 0.

    Raises:
        InputError: the shapes differ, or a number is out of range.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(500, 4))
        >>> bool(lejepa(z, z) < lejepa(z, z + 1))
        True

    Reference: Balestriero, LeCun, 2025, LeJEPA: provable and scalable self-supervised learning without the heuristics,
    section 5, arXiv:2511.08544.
    """
    normality_weight = number("lejepa.normality_weight", normality_weight, at_least=0, at_most=1)
    num_directions = count("lejepa.num_directions", num_directions)
    za, zb = pair("lejepa", za, zb)
    random = random or ExampleRandom(0, 0, len(za))
    directions = random.shared_normal((za.shape[1], num_directions))
    agreement = ops.mean(ops.square((za - zb) / 2))  # (1): both views are as far from their mean
    normality = (sigreg(za, directions) + sigreg(zb, directions)) / 2
    return (1 - normality_weight) * agreement + normality_weight * normality  # (2)


@keras.saving.register_keras_serializable(package="tf_kit")
class LeJEPA(JointEmbedding):
    """LeJEPA: two views that agree, with embeddings whose projections on random directions are standard normal.

    The loss is `lejepa` of the global batch. It needs neither negatives, nor a teacher, nor a constant copy of the
    embeddings, and has one weight.

    Args:
        encoder, projector, augment, seed, chunk_size: as for `JointEmbedding`.
        normality_weight: weight λ of the distance from a normal distribution, in [0, 1]. Defaults to 0.05.
        num_directions: random directions of each step. Defaults to 256.

    Convention: the authors take several global and local views of an image; here it has two.
    Reference: Balestriero, LeCun, 2025, LeJEPA: provable and scalable self-supervised learning without the heuristics,
    arXiv:2511.08544.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer,
        projector: Any = None,
        augment: Any = None,
        normality_weight: float = LeJEPAOptions.normality_weight,
        num_directions: int = LeJEPAOptions.num_directions,
        seed: int = 0,
        chunk_size: int | None = LeJEPAOptions.chunk_size,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, projector, augment, seed, chunk_size, **kwargs)
        self.options = LeJEPAOptions(chunk_size, normality_weight, num_directions)
        self.normality_weight = self.options.normality_weight
        self.num_directions = self.options.num_directions

    def loss_of_each(self, z: Tensor, views: Tensor, random: ExampleRandom, training: bool) -> Tensor:
        every = gather(z)
        loss = lejepa(every[:, 0], every[:, 1], self.normality_weight, self.num_directions, random)
        return ops.broadcast_to(loss, ops.shape(z)[:1])
