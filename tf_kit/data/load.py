"""`load`: any data set by its name, as three splits of arrays."""

from tf_kit._checks import choice, count
from tf_kit.data import embedded
from tf_kit.data.splits import withhold


def load(name, *, seed=0, labels=None):
    """Training, validation and test split of a data set.

    >>> train, val, test = load("digits", labels=0.1)
    >>> train
    Split(120 of shape (8, 8, 1) in 10 classes, 1077 unlabelled)
    """
    seed = count("load.seed", seed, at_least=0)
    choice("load.name", name, ("digits",))
    train, val, test = embedded.digits(seed)
    return withhold(train, labels, seed), val, test
