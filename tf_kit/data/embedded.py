"""The data set that scikit-learn carries: 1,797 handwritten digits of 8×8 pixels, no download."""

import numpy as np

from tf_kit.data.splits import Split, stratified

DIGITS_SIZES = (1197, 300, 300)


def digits(seed=0):
    """Train, val and test of the digits, 1197 / 300 / 300, drawn by the seed with the classes in proportion.

    >>> [len(part) for part in digits()]
    [1197, 300, 300]

    Reference: Alpaydin and Kaynak, 1998, "Cascading Classifiers", the test half of their set
    """
    from sklearn.datasets import load_digits

    raw = load_digits()
    x = (raw.images[..., None] / 16).astype("float32")  # 17 grey levels, 0 … 16
    y = raw.target.astype("int64")
    names = tuple(str(digit) for digit in raw.target_names)
    parts = stratified(y, DIGITS_SIZES, np.random.default_rng(seed))
    return tuple(Split(x[part], y[part], names) for part in parts)
