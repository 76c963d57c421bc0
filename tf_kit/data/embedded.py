"""Data set that is part of scikit-learn: 1,797 handwritten digits of 8×8 pixels, without a download."""

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
    from sklearn.datasets import load_digits

    raw = load_digits()
    x = (raw.images[..., None] / 16).astype("float32")  # 17 grey levels, 0 … 16
    y = raw.target.astype("int64")
    names = tuple(str(digit) for digit in raw.target_names)
    parts = stratified(y, DIGITS_SIZES, np.random.default_rng(seed))
    train, val, test = (Split(x[part], y[part], names) for part in parts)
    return train, val, test
