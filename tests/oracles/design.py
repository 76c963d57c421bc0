"""Formulas of design as float64 loops, written from the papers, without tf_kit."""

import itertools

import numpy as np


def mean_and_covariance(x, ddof):
    """Mean and covariance of the rows of x (n, d) in two passes: the mean, then the centered products."""
    n, d = x.shape
    mean = np.zeros(d)
    for row in x:
        mean += row / n
    covariance = np.zeros((d, d))
    for row in x:
        for i in range(d):
            for j in range(d):
                covariance[i, j] += (row[i] - mean[i]) * (row[j] - mean[j]) / (n - ddof)
    return mean, covariance


def inverse_square_root(covariance):
    """C^(−1/2) by the Denman–Beavers iteration, without eigenvectors (Higham, 2008, equation 6.15)."""
    root, inverse = covariance.astype(float), np.eye(len(covariance))
    for _ in range(60):
        root, inverse = (root + np.linalg.inv(inverse)) / 2, (inverse + np.linalg.inv(root)) / 2
    return inverse


def least_squares_gradient(weights, x, y):
    """Gradient of the mean over the batch of (w·x − y)²."""
    gradient = np.zeros(len(weights))
    for row, target in zip(x, y, strict=True):
        error = -target
        for i in range(len(weights)):
            error += weights[i] * row[i]
        for i in range(len(weights)):
            gradient[i] += 2 * error * row[i] / len(x)
    return gradient


def variance_over_all_batches(gradients, batch_size, replace):
    """E‖g_B − ḡ‖² over every batch that can be drawn, all equally likely."""
    indices = range(len(gradients))
    mean = sum(gradients) / len(gradients)
    with_replacement = itertools.product(indices, repeat=batch_size)
    batches = with_replacement if replace else itertools.combinations(indices, batch_size)
    total = number = 0
    for batch in batches:
        error = sum(gradients[i] for i in batch) / batch_size - mean
        total += float(error @ error)
        number += 1
    return total / number
