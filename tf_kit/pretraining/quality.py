"""How good a set of vectors is without labels: four numbers that fall or rise when embeddings collapse.

A pretrainer's loss can fall to its minimum while its embeddings become one point or one line. These functions of
arrays tell: a point has `feature_deviation` 0, `uniformity` 0 and `rankme` 1; a line has `rankme` 1 or 2.
`monitors.CollapseMonitor` records them during pretraining.
"""

import numpy as np

from tf_kit.checks import refuse


def rankme(z):
    """Effective rank of embeddings: how many directions they use, between 1 and d.

        p_k = σ_k / Σ_j σ_j + 10⁻⁷                                          (1)
        rank = exp(−Σ_k p_k log p_k)                                        (2)

    where σ_k are the singular values of z, which is not centered: embeddings that are all equal have rank 1.
    Embeddings that are all zero have 0.

    Args:
        z: (n, d); take n well above d, since the rank is at most n.

    Returns:
        A float.

    Example: four equally used directions, and two

    >>> round(rankme(np.eye(4)), 3), round(rankme(np.eye(4)[:, :2] @ np.ones((2, 2)) + np.eye(4)[:, :2]), 3)
    (4.0, 1.755)

    Reference: Garrido, Balestriero, Najman, LeCun 2023, "RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank", equations 1 and 2.
    """
    singular = np.linalg.svd(_rows("rankme", z), compute_uv=False)
    if not singular.any():
        return 0.0
    p = singular / singular.sum() + 1e-7  # (1)
    return float(np.exp(-np.sum(p * np.log(p))))  # (2)


def feature_deviation(z):
    """Mean standard deviation of the features of the directions, in units of the largest it can be for even spread.

        ẑ = z / ‖z‖                                                         (1)
        s = 1/√d Σ_j √(var ẑ_j)                                             (2)

    Near 1 where directions are spread evenly, 0 where all embeddings point one way; the length of embeddings
    does not count. (The mean of d deviations of 1/√d each is 1/√d; (2) is √d times it.)

    Args:
        z: (n, d).

    Returns:
        A float in [0, 1].

    Example:

    >>> feature_deviation(np.array([[1, 0], [-1, 0], [0, 5], [0, -5]])), feature_deviation(np.ones((4, 2)))
    (1.0, 0.0)

    Reference: Chen, He 2021, "Exploring Simple Siamese Representation Learning", section 4.1, figure 2.
    """
    directions = _directions("feature_deviation", z)
    return float(np.sum(directions.std(axis=0)) / np.sqrt(directions.shape[1]))  # (2)


def alignment(za, zb):
    """Mean squared distance between the directions of an example's two views: 0 where they agree, at most 4.

        a = 1/n Σ_i ‖ẑa_i − ẑb_i‖²                                          (1)

    Args:
        za, zb: (n, d), row i of both from example i.

    Example:

    >>> alignment(np.eye(2), 3 * np.eye(2)), alignment(np.eye(2), -np.eye(2))
    (0.0, 4.0)

    Reference: Wang, Isola 2020, "Understanding Contrastive Representation Learning through Alignment and Uniformity
    on the Hypersphere", section 4.1, α = 2.
    """
    za, zb = _directions("alignment", za), _directions("alignment", zb)
    if za.shape != zb.shape:
        refuse("alignment", "be given two arrays of one shape", f"shapes {za.shape} and {zb.shape}")
    return float(np.mean(np.sum((za - zb) ** 2, axis=1)))  # (1)


def uniformity(z):
    """How evenly directions cover the sphere: 0 where all are equal, towards −4 the more evenly they lie.

        u = log 2/(n(n − 1)) Σ_{i<j} exp(−2 ‖ẑ_i − ẑ_j‖²)                   (1)

    Args:
        z: (n, d), n at least 2.

    Example: a right angle is √2 wide

    >>> round(uniformity(np.eye(2)), 6), abs(uniformity(np.ones((3, 2)))) < 1e-9
    (-4.0, True)

    Reference: Wang, Isola 2020, section 4.1, t = 2.
    """
    directions = _directions("uniformity", z)
    if len(directions) < 2:
        refuse("uniformity.z", "hold at least two embeddings", f"{len(directions)}")
    cosines = directions @ directions.T
    pairs = np.triu_indices(len(directions), k=1)
    distances = np.maximum(2 - 2 * cosines[pairs], 0)
    return float(np.log(np.mean(np.exp(-2 * distances))))  # (1)


def _rows(name, z):
    """z as float64 (n, d), or `InputError`."""
    z = np.asarray(z, "float64")
    if z.ndim != 2 or not z.size:
        refuse(f"{name}.z", "have shape (n, d)", f"shape {z.shape}")
    if not np.all(np.isfinite(z)):
        refuse(f"{name}.z", "be finite", f"{np.count_nonzero(~np.isfinite(z))} NaN or infinite values")
    return z


def _directions(name, z):
    """Rows of length 1; zero stays zero."""
    z = _rows(name, z)
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-30)
