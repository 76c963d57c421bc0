"""Quality of embeddings without labels: four numbers that show a collapse.

The loss of a pretrainer can reach its minimum while all embeddings become one point or lie on one line. These
functions of arrays detect it: a point has `feature_deviation` 0, `uniformity` 0 and `rankme` 1; a line has `rankme`
1 or 2. `monitors.CollapseMonitor` records them during pretraining.
"""

import numpy as np

from tf_kit.checks import refuse
from tf_kit.typing import ArrayLike


def rankme(z: ArrayLike) -> float:
    """Compute the effective rank of embeddings, the number of directions that they use, between 1 and d.

        p_k = σ_k / Σ_j σ_j + 10⁻⁷                                          (1)
        rank = exp(−Σ_k p_k log p_k)                                        (2)

    where σ_k are the singular values of z, which is not centered: equal embeddings have rank 1. Embeddings that are
    all zero have rank 0.

    Args:
        z: embeddings (n, d), with n well above d, since the rank is at most n.

    Example:
        >>> round(rankme(np.eye(4)), 3), round(rankme(np.diag([3.0, 1.0])), 3)
        (4.0, 1.755)

    Reference: Garrido, Balestriero, Najman, LeCun, 2023, RankMe: assessing the downstream performance of pretrained
    self-supervised representations by their rank, equations 1 and 2, arXiv:2210.02885.
    """
    singular = np.linalg.svd(_rows("rankme", z), compute_uv=False)
    if not singular.any():
        return 0.0
    p = singular / singular.sum() + 1e-7  # (1)
    return float(np.exp(-np.sum(p * np.log(p))))  # (2)


def feature_deviation(z: ArrayLike) -> float:
    """Compute the mean standard deviation of the features of embeddings scaled to length 1, between 0 and 1.

        ẑ = z / ‖z‖                                                         (1)
        s = 1/√d Σ_j √(var ẑ_j)                                             (2)

    The factor makes s = 1 for directions that are spread evenly, where each of the d deviations is 1/√d. s is 0 where
    all embeddings have the same direction. Their lengths do not count.

    Args:
        z: embeddings (n, d).

    Example:
        >>> feature_deviation(np.array([[1, 0], [-1, 0], [0, 5], [0, -5]])), feature_deviation(np.ones((4, 2)))
        (1.0, 0.0)

    Reference: Chen, He, 2021, Exploring simple Siamese representation learning, section 4.1, figure 2,
    arXiv:2011.10566.
    """
    directions = _directions("feature_deviation", z)
    return float(np.sum(directions.std(axis=0)) / np.sqrt(directions.shape[1]))  # (2)


def alignment(za: ArrayLike, zb: ArrayLike) -> float:
    """Compute the mean squared distance between the directions of an example's two views, between 0 and 4.

        a = 1/n Σ_i ‖ẑa_i − ẑb_i‖²,   ẑ = z / ‖z‖                           (1)

    Args:
        za, zb: embeddings of the two views (n, d), row i of both from example i.

    Example:
        >>> alignment(np.eye(2), 3 * np.eye(2)), alignment(np.eye(2), -np.eye(2))
        (0.0, 4.0)

    Reference: Wang, Isola, 2020, Understanding contrastive representation learning through alignment and uniformity
    on the hypersphere, section 4.1, α = 2, arXiv:2005.10242.
    """
    za, zb = _directions("alignment", za), _directions("alignment", zb)
    if za.shape != zb.shape:
        refuse("alignment", "be given two arrays of one shape", f"shapes {za.shape} and {zb.shape}")
    return float(np.mean(np.sum((za - zb) ** 2, axis=1)))  # (1)


def uniformity(z: ArrayLike) -> float:
    """Compute how evenly directions cover the sphere: 0 where all are equal, closer to −4 the more evenly they lie.

        u = log 2/(n(n − 1)) Σ_{i<j} exp(−2 ‖ẑ_i − ẑ_j‖²),   ẑ = z / ‖z‖     (1)

    Args:
        z: embeddings (n, d), n at least 2.

    Example:
        >>> round(uniformity(np.eye(2)), 6)                    # at a right angle ‖ẑ_1 − ẑ_2‖² = 2
        -4.0
        >>> abs(uniformity(np.ones((3, 2)))) < 1e-9
        True

    Reference: Wang, Isola, 2020, section 4.1, t = 2, as for `alignment`.
    """
    directions = _directions("uniformity", z)
    if len(directions) < 2:
        refuse("uniformity.z", "hold at least two embeddings", f"{len(directions)}")
    cosines = directions @ directions.T
    pairs = np.triu_indices(len(directions), k=1)
    distances = np.maximum(2 - 2 * cosines[pairs], 0)
    return float(np.log(np.mean(np.exp(-2 * distances))))  # (1)


def _rows(name, z):
    """Return z as float64 (n, d); refuse other shapes and values that are not finite."""
    z = np.asarray(z, "float64")
    if z.ndim != 2 or not z.size:
        refuse(f"{name}.z", "have shape (n, d)", f"shape {z.shape}")
    if not np.all(np.isfinite(z)):
        refuse(f"{name}.z", "be finite", f"{np.count_nonzero(~np.isfinite(z))} NaN or infinite values")
    return z


def _directions(name, z):
    """Scale rows to length 1; zero stays zero."""
    z = _rows(name, z)
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-30)  # (1) of `feature_deviation`
