"""Moments of data: mean and scatter, merged batch by batch, and the eigenvectors of the covariance.

    n = n_A + n_B,   δ = μ_B − μ_A                                       (1)
    μ = μ_A + δ·n_B/n                                                    (2)
    S = S_A + S_B + δδᵀ·n_A·n_B/n                                        (3)

where n counts examples, μ is their mean and S = Σ (x − μ)(x − μ)ᵀ their scatter. Data are centered before they are
squared, because E[x²] − E[x]² loses every digit if the mean is large.

Reference: Chan, Golub, LeVeque, 1979, Updating formulae and a pairwise algorithm for computing sample variances,
equation 2.1, Stanford report STAN-CS-79-773.
"""

import numpy as np


class Moments:
    """Count, mean and scatter of the rows added so far.

    Args:
        num_features: number of columns of the rows.
        full: whether to keep the full scatter matrix, and not only its diagonal.
    """

    def __init__(self, num_features: int, full: bool) -> None:
        self.count = 0
        self.mean = np.zeros(num_features)
        self.scatter = np.zeros((num_features, num_features) if full else num_features)
        self.full = full

    def add(self, rows: np.ndarray) -> None:
        """Merge a float64 batch of rows (n, d)."""
        n = len(rows)
        mean = rows.mean(axis=0)
        centered = rows - mean
        scatter = centered.T @ centered if self.full else np.square(centered).sum(axis=0)
        total = self.count + n  # (1)
        delta = mean - self.mean
        between = np.outer(delta, delta) if self.full else np.square(delta)
        self.mean += delta * (n / total)  # (2)
        self.scatter += scatter + between * (self.count * n / total)  # (3)
        self.count = total


def eigen(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the covariance, largest first, and eigenvectors as columns with a fixed sign."""
    covariance = moments.scatter / max(moments.count - 1, 1)
    eigenvalues, directions = np.linalg.eigh(covariance)
    directions = directions[:, ::-1]
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(len(directions))])
    return np.maximum(eigenvalues[::-1], 0.0), directions * signs
