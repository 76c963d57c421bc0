"""Errors of a classifier by class: which classes are confused with which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_kit.typing import ArrayLike


def by_class(z: ArrayLike, y: ArrayLike, class_names: Sequence[str]) -> dict[str, Any]:
    """Count how the examples of each class were classified.

        C_ij = number of examples of class i with argmax z = j              (1)
        error of class i = 1 − C_ii / Σ_j C_ij                              (2)

    Args:
        z: (n, classes), logits or probabilities.
        y: int (n,), classes.
        class_names: names of the classes.

    Returns:
        JSON values: `class_names`; `error` (2) in percent, None for a class without examples; `confusion` (1), a row
        for each true class.

    Example:
        >>> found = by_class([[2, 0], [0, 1], [3, 1]], [0, 0, 0], ("cat", "dog"))
        >>> found["error"], found["confusion"]
        ([33.3333, None], [[2, 1], [0, 0]])
    """
    k = len(class_names)
    confusion = np.zeros((k, k), "int64")
    np.add.at(confusion, (np.asarray(y), np.asarray(z).argmax(axis=1)), 1)
    number, right = confusion.sum(axis=1), confusion.diagonal()
    error = [round(100 * (1 - int(r) / int(n)), 4) if n else None for r, n in zip(right, number, strict=True)]
    return {"class_names": list(class_names), "error": error, "confusion": confusion.tolist()}
