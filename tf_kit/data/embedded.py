"""Data set that is part of scikit-learn: 1,797 handwritten digits of 8×8 pixels, without a download."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from tf_kit.data.splits import Split, stratified

DIGITS_SIZES = (1197, 300, 300)


def digits(seed: int = 0) -> tuple[Split, Split, Split]:
    """Load the digits as train, val and test of 1197 / 300 / 300 examples, with the classes in proportion.

    Args:
        seed: whole number that fixes which digits belong to which split. Defaults to 0.

    Returns:
        `Split` train, val, test of images (n, 8, 8, 1).

    Example:
        >>> [len(part) for part in digits()]
        [1197, 300, 300]

    Reference: Alpaydin, Kaynak, 1998, Cascading classifiers, Kybernetika 34; the test half of their data set.
    """
    pixels, classes = _table()
    x = (pixels.reshape(-1, 8, 8, 1) / 16).astype("float32")  # 17 grey levels, 0 … 16
    y = classes.astype("int64")
    names = tuple(str(digit) for digit in range(10))
    parts = stratified(y, DIGITS_SIZES, np.random.default_rng(seed))
    train, val, test = (Split(x[part], y[part], names) for part in parts)
    return train, val, test


def _table():
    """Read the file of scikit-learn, whose own function for it takes a second to import."""
    found = importlib.util.find_spec("sklearn")
    path = Path((found and found.origin) or "").parent / "datasets" / "data" / "digits.csv.gz"
    if path.is_file():
        with gzip.open(path, "rt", encoding="ascii") as file:
            table = np.loadtxt(file, delimiter=",")
        return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits  # it lies elsewhere in this release

    return load_digits(return_X_y=True)
