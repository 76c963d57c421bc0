"""The data set of a demo: its splits, of as many examples or labels as the demo takes, or a refusal in one line."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from tf_kit.checks import refuse

if TYPE_CHECKING:
    import numpy as np

    from tf_kit.data import Split

OR = " or "


def first_prepared(names: str) -> str:
    """Return the first of some data sets that this machine has; a line is printed if it is not the first of all.

    Args:
        names: one name, or several with " or " between them, such as `"mnist or digits"`. The last one is returned
            if no other is there.

    Example:
        >>> first_prepared("digits")
        'digits'
        >>> first_prepared("spirals or digits")
        'spirals'
    """
    from tf_kit.data import catalogue, prepared

    *wanted, last = names.split(OR)
    for name in wanted:
        if name in catalogue.BUILT_IN or prepared.find(name):
            return name
    if wanted:
        click.echo(
            f"{wanted[0]} is not prepared here, so this uses {last}. `tf-kit data get {wanted[0]}` prepares it."
        )
    return last


def load_data(
    names: str,
    *,
    seed: int = 0,
    examples: int | None = None,
    labels: int | None = None,
    flag: str = "labels",
    images: bool = False,
) -> tuple[Split, Split, Split]:
    """Load the splits of a demo's data set, which must have classes.

    Args:
        names: name or path of a data set, or several names as for `first_prepared`.
        seed: whole number, as for `data.load`. Defaults to 0.
        examples: largest number of training examples, see `first_examples`. Defaults to None, all.
        labels: largest number of training examples that keep their label, one per class at least. Defaults to None,
            all.
        flag: parameter of the demo that sets `labels`. Defaults to `"labels"`.
        images: whether the demo needs images, so that vectors are refused. Defaults to False.

    Returns:
        `Split` train, val, test.

    Raises:
        InputError: the data set has no classes, has vectors instead of images, or has more classes than `labels`.

    Example:
        >>> load_data("digits", labels=20)[0]
        Split(20 of shape (8, 8, 1) in 10 classes, 1177 unlabelled)
    """
    from tf_kit import data
    from tf_kit.data.splits import withhold

    name = first_prepared(names)
    train, val, test = data.load(name, seed=seed)
    if not train.num_classes:
        remedy = "Put the images of each class into a separate subfolder"
        refuse("Config.data", "have classes for this demo", f"{name}, which has none", remedy)
    if images and train.x.ndim != 4:
        received = f"{name}, vectors of {train.x.shape[1]} numbers"
        refuse("Config.data", "have images for this demo", received)
    if labels is not None:
        if labels < train.num_classes:
            rule = f"be at least {train.num_classes}, one per class of {name}"
            refuse(f"Config.{flag}", rule, f"{labels}")
        train = withhold(train, min(labels, len(train)), seed)
    return train if examples is None else first_examples(train, examples), val, test


def first_examples(split: Split, n: int) -> Split:
    """Return the first examples of a split; if these lack a class, the first of each class by turns.

    The examples of a folder lie class by class.

    Args:
        split: the split.
        n: largest number of examples.

    Example:
        >>> import numpy as np
        >>> from tf_kit.data import Split
        >>> split = Split(np.eye(6), np.array([0, 0, 0, 1, 1, 2]), ("a", "b", "c"))
        >>> first_examples(split, 4).y.tolist()
        [0, 1, 2, 0]
    """
    import numpy as np

    chosen = np.arange(len(split))
    if len(set(split.y[:n].tolist())) < len(set(split.y.tolist())):
        place = np.empty(len(split), int)  # of an example in its class
        for each in range(split.num_classes):
            place[split.y == each] = np.arange(np.sum(split.y == each))
        chosen = np.argsort(place, kind="stable")
    return dataclasses.replace(split, x=split.x[chosen[:n]], y=split.y[chosen[:n]])


def mislabel(y: np.ndarray, num_classes: int, share: float, seed: int) -> np.ndarray:
    """Return labels of which a share is drawn again, evenly over all classes.

    Args:
        y: classes, numbers from 0, (n,).
        num_classes: number of classes.
        share: probability that a label is drawn again, which may give the same class.
        seed: seed of the draws.

    Example:
        >>> import numpy as np
        >>> mislabel(np.zeros(8, int), 10, 0.5, seed=0)
        array([0, 5, 5, 9, 0, 0, 0, 0])
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(y)) < share, rng.integers(num_classes, size=len(y)), y)
