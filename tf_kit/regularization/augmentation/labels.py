"""Measurement of how well an augmentation preserves labels, by a trained classifier."""

from collections.abc import Callable

import numpy as np

from tf_kit.checks import count, refuse
from tf_kit.randomness.keys import example_keys
from tf_kit.regularization.augmentation.base import Augmentation
from tf_kit.typing import ArrayLike, Tensor


def label_preserving(
    classifier: Callable[[Tensor], ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    augmentation: Augmentation,
    *,
    num_draws: int = 5,
    seed: int = 0,
    batch_size: int = 256,
) -> np.ndarray:
    """Fraction of augmented examples that a classifier still recognizes, for each class.

    Only examples that the classifier gets right without augmentation are used, so its errors do not count against the
    augmentation. Near 1 the augmentation preserves the class. If the value is lower, look at some images, since a
    classifier may also fail because it was not trained on such views.

        s(c) = mean over examples x of class c with f(x) = c, and over draws a, of [f(a(x)) = c]     (1)

    Args:
        classifier: trained Keras model, or any function, that maps images to scores (n, num_classes), at least two.
        x: images (n, height, width, channels).
        y: class labels (n,) or (n, 1), whole numbers from 0 to num_classes − 1.
        augmentation: augmentation to measure.
        num_draws: number of augmented copies of each example. Defaults to 5.
        seed: whole number that fixes the draws. Defaults to 0.
        batch_size: images per forward pass. Defaults to 256.

    Returns:
        Float array s, (num_classes,); NaN for classes of which the classifier gets no example right.

    Raises:
        ValueError: x and y differ in length, x is empty, y does not hold class labels, or there are no scores of two
            classes.

    Example:
        The classifier decides whether the left or the right half is brighter.

        >>> from tf_kit.regularization import AddNoise, RandomFlip
        >>> x = np.zeros((400, 4, 4, 1), "float32")
        >>> x[:200, :, :2], x[200:, :, 2:] = 1, 1
        >>> y = np.repeat([0, 1], 200)
        >>> def classifier(images):
        ...     left, right = np.asarray(images)[:, :, :2], np.asarray(images)[:, :, 2:]
        ...     return np.stack([left.sum((1, 2, 3)), right.sum((1, 2, 3))], axis=1)
        >>> label_preserving(classifier, x, y, AddNoise(0.1)).tolist()
        [1.0, 1.0]
        >>> label_preserving(classifier, x, y, RandomFlip()).round(1).tolist()
        [0.5, 0.5]
    """
    num_draws = count("label_preserving.num_draws", num_draws)
    x, y = np.asarray(x), np.asarray(y)
    if not len(x):
        refuse("label_preserving.x", "hold at least one image", f"shape {x.shape}")
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if len(x) != len(y):
        refuse("label_preserving.y", "have one label for each image", f"{len(x)} images and {len(y)} labels")
    scores = _scores(classifier, x, batch_size)
    if scores.ndim != 2 or scores.shape[1] < 2:
        remedy = "Of one sigmoid output p make two: np.concatenate([1 - p, p], axis=1)"
        refuse("label_preserving.classifier", "give scores (n, num_classes)", f"shape {scores.shape}", remedy)
    num_classes = scores.shape[1]
    whole = y.ndim == 1 and y.dtype.kind in "iuf" and np.all(y == np.rint(y))
    if not whole or y.min() < 0 or y.max() >= num_classes:
        remedy = "np.argmax(y, axis=1) makes labels of one-hot rows"
        received = f"{y.dtype} of shape {y.shape}" + (f" from {y.min():g} to {y.max():g}" if whole else "")
        refuse("label_preserving.y", f"hold class labels from 0 to {num_classes - 1}", received, remedy)
    y = y.astype("int64")
    right = np.flatnonzero(scores.argmax(axis=1) == y)
    survived = np.zeros(len(right))
    for draw in range(num_draws):
        for first in range(0, len(right), batch_size):
            index = right[first : first + batch_size]
            views = augmentation.augment(x[index], example_keys(seed, draw, index))
            decided = _scores(classifier, views, batch_size).argmax(axis=1)
            survived[first : first + batch_size] += decided == y[index]
    recognized = np.bincount(y[right], minlength=num_classes)
    kept = np.bincount(y[right], weights=survived / num_draws, minlength=num_classes)
    return np.where(recognized > 0, kept / np.maximum(recognized, 1), np.nan)  # (1)


def _scores(classifier, x, batch_size):
    batches = [np.asarray(classifier(x[i : i + batch_size])) for i in range(0, len(x), batch_size)]
    return np.concatenate(batches)
