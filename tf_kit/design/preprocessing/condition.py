"""Condition number of data."""

from collections.abc import Iterable

import keras
import numpy as np

from tf_kit.checks import refuse
from tf_kit.design.preprocessing.batches import batches
from tf_kit.design.preprocessing.moments import Moments, eigen
from tf_kit.typing import ArrayLike, Dataset


def condition_number(x: ArrayLike | Dataset | keras.utils.PyDataset | Iterable) -> float:
    """Condition number of the covariance of data: its largest eigenvalue divided by its smallest.

    The number of steps that gradient descent needs on a linear unit grows in proportion to it; whitening
    reduces it to 1. Directions without variance are left out, because the gradient has no component there.

        κ = λ_max / λ_min                                                (1)

    Args:
        x: array (n, …), or batches as in `Standardize.adapt`; each example is one vector.

    Returns:
        κ ≥ 1.

    Raises:
        ValueError: `x` is empty or does not vary at all.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import condition_number
        >>> round(condition_number(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [3.0, 1.0]])), 6)
        9.0

    Reference: LeCun, Kanter, Solla, 1991, Eigenvalues of covariance matrices: application to neural-network
    learning, doi:10.1103/PhysRevLett.66.2396.
    """
    moments = None
    for batch in batches("condition_number", x):
        rows = batch.reshape(len(batch), -1)
        moments = moments or Moments(rows.shape[1], full=True)
        moments.add(rows)
    eigenvalues = eigen(moments)[0] if moments else np.zeros(1)
    # The threshold of the layers, for data in float32.
    varying = eigenvalues[np.sqrt(eigenvalues) > len(eigenvalues) * 2.0**-23 * np.sqrt(eigenvalues[0])]
    if not len(varying):
        received = f"{moments.count if moments else 0} equal examples"
        refuse("condition_number", "be given data that vary", received)
    return float(varying[0] / varying[-1])  # (1)
