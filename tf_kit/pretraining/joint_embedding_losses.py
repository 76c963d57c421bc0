"""The losses of joint embedding: what the embeddings of two views should agree in, and what keeps them apart.

Functions of two arrays (n, d), row i of both from example i, that return a scalar. Agreement alone is won by a
constant embedding; each loss has its own way to rule that out: other examples as negatives (NT-Xent), features
that vary and are not copies of one another (Barlow Twins, VICReg), a teacher that is not trained (BYOL).
"""

from keras import backend, ops

from tf_kit import _checks

_TINY = 1e-12  # squared norm below which a vector counts as this long: zero has no direction


def nt_xent(za, zb, temperature=0.5):
    """Normalized temperature-scaled cross-entropy: find your other view among all embeddings of the batch.

        ẑ = z / ‖z‖                                                         (1)
        s_uv = ẑ_u·ẑ_v / τ                                                  (2)
        ℓ_u = log Σ_{v ≠ u} exp(s_uv) − s_{u u′}                            (3)
        L = 1/(2n) Σ_u ℓ_u                                                  (4)

    where u and v run over the 2n rows of za and zb, u′ is the other view of u's example and τ = `temperature`:
    2n anchors, each with one positive and 2n − 2 negatives. Where all embeddings are equal, L = log(2n − 1).

    Args:
        za, zb: embeddings of the two views, (n, d).
        temperature: τ > 0; the smaller, the more the hardest negatives count. Defaults to 0.5.

    Returns:
        L, a scalar: the mean over the 2n anchors.

    Example:

    >>> import math
    >>> import numpy as np
    >>> equal = np.ones((4, 3), "float32")
    >>> round(float(nt_xent(equal, equal)), 4), round(math.log(2 * 4 - 1), 4)
    (1.9459, 1.9459)

    Convention: some code averages over n, or compares za with zb only (n − 1 negatives).
    Reference: Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
    Representations", equation 1 and algorithm 1.
    """
    temperature = _checks.number("nt_xent.temperature", temperature, above=0)
    za, zb = _pair("nt_xent", za, zb)
    index = ops.arange(ops.shape(za)[0])
    return ops.mean(nt_xent_of_each(za, zb, za, zb, index, temperature))  # (4)


def nt_xent_of_each(za, zb, every_a, every_b, index, temperature):
    """½ (ℓ_a + ℓ_b) of each example of a part of the batch, (n,): equation (3) of `nt_xent`.

    Args:
        za, zb: embeddings of the part's views, (n, d).
        every_a, every_b: those of the whole batch, (N, d), the part's among them.
        index: the part's places in the whole batch, whole numbers (n,).
        temperature: τ.
    """
    num_examples, index = ops.shape(every_a)[0], ops.cast(index, "int32")
    anchors = _unit(ops.concatenate([za, zb]))  # (1): (2n, d)
    everything = _unit(ops.concatenate([every_a, every_b]))  # (2N, d)
    similarity = ops.matmul(anchors, ops.transpose(everything)) / temperature  # (2): (2n, 2N)
    columns = ops.arange(2 * num_examples, dtype="int32")[None]
    itself = columns == ops.concatenate([index, num_examples + index])[:, None]
    positive = columns == ops.concatenate([num_examples + index, index])[:, None]
    losses = ops.logsumexp(ops.where(itself, -float("inf"), similarity), axis=1)
    losses = losses - ops.sum(ops.where(positive, similarity, 0.0), axis=1)  # (3)
    return ops.mean(ops.reshape(losses, (2, -1)), axis=0)


def byol(prediction, target):
    """Squared distance between the directions of a prediction and of its target, which is a constant.

        L = 1/n Σ_i ‖p̂_i − ẑ_i‖² = 1/n Σ_i (2 − 2 p̂_i·ẑ_i),   p̂ = p / ‖p‖,  ẑ = z / ‖z‖     (1)

    Args:
        prediction: p, the student's prediction from one view, (n, d).
        target: z, the teacher's embedding of the other view, (n, d). No gradient flows into it.

    Returns:
        L in [0, 4], a scalar.

    Example:

    >>> import numpy as np
    >>> float(byol(np.eye(2), 5 * np.eye(2))), float(byol(np.eye(2), np.eye(2)[::-1]))
    (0.0, 2.0)

    Reference: Grill et al. 2020, "Bootstrap Your Own Latent", equation 2.
    """
    return ops.mean(byol_of_each(*_pair("byol", prediction, target)))


def byol_of_each(prediction, target):
    """‖p̂_i − ẑ_i‖² of each example, (n,): equation (1) of `byol`."""
    return ops.sum(ops.square(_unit(prediction) - ops.stop_gradient(_unit(target))), axis=-1)


def barlow_twins(za, zb, redundancy_weight=0.005):
    """Brings the cross-correlation of two views' features to the identity.

        x̂ = (x − mean x) / √(var x + 10⁻⁵), for each feature over the batch    (1)
        C = ẑaᵀ ẑb / n                                                      (2)
        L = Σ_j (1 − C_jj)² + λ Σ_{j ≠ k} C_jk²                             (3)

    The first term asks that a feature be the same for both views, the second that features be no copies of one
    another. C is (d, d), λ = `redundancy_weight`.

    Args:
        za, zb: embeddings of the two views, (n, d).
        redundancy_weight: λ ≥ 0. Defaults to 0.005.

    Returns:
        L, a scalar.

    Example: two features that are the same for both views, and one another's copies

    >>> import numpy as np
    >>> z = np.array([[1, 1], [-1, -1]], "float32")
    >>> round(float(barlow_twins(z, z, redundancy_weight=0.5)), 3)
    1.0

    Reference: Zbontar, Jing, Misra, LeCun, Deny 2021, "Barlow Twins: Self-Supervised Learning via Redundancy
    Reduction", equations 1 and 2.
    """
    redundancy_weight = _checks.number("barlow_twins.redundancy_weight", redundancy_weight, at_least=0)
    za, zb = _pair("barlow_twins", za, zb)
    num_examples = ops.cast(ops.shape(za)[0], za.dtype)
    correlation = ops.matmul(ops.transpose(_standardized(za)), _standardized(zb)) / num_examples  # (2)
    identity = ops.eye(za.shape[1], dtype=za.dtype)
    on = ops.sum(identity * ops.square(1 - correlation))
    off = ops.sum((1 - identity) * ops.square(correlation))
    return on + redundancy_weight * off  # (3)


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
    weights = {k: _checks.number(f"vicreg.{k}_weight", w, at_least=0) for k, w in weights.items()}
    za, zb = _pair("vicreg", za, zb)
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


def _pair(name, za, zb):
    """Both arrays as tensors of float32 or more, or `InputError`."""
    za, zb = ops.convert_to_tensor(za), ops.convert_to_tensor(zb)
    if len(za.shape) != 2 or tuple(za.shape) != tuple(zb.shape):
        received = f"shapes {tuple(za.shape)} and {tuple(zb.shape)}"
        _checks.refuse(name, "be given two arrays of one shape (n, d)", received)
    dtype = backend.result_type(za.dtype, zb.dtype, "float32")
    return ops.cast(za, dtype), ops.cast(zb, dtype)


def _unit(z):
    """Rows of length 1; what has no length stays zero, and has a finite gradient."""
    return z * ops.rsqrt(ops.maximum(ops.sum(ops.square(z), axis=-1, keepdims=True), _TINY))


def _standardized(z):
    """Columns of mean 0 and variance 1; constant ones are 0."""
    centered = z - ops.mean(z, axis=0)
    return centered * ops.rsqrt(ops.mean(ops.square(centered), axis=0) + 1e-5)
