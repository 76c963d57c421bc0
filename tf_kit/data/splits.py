"""Splits of a data set: arrays of examples and classes, their division, and the withholding of labels."""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tf_kit.checks import count, number, refuse
from tf_kit.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of a data set: examples with their classes, and examples whose class is withheld.

    Args:
        x: float32 (n, h, w, c) in [0, 1], or (n, d) for vectors.
        y: int64 (n,), classes from 0 to num_classes − 1.
        class_names: one name per class.
        unlabelled_x: float32 (m, h, w, c), examples without a label. Defaults to none, m = 0.

    Example:
        >>> import numpy as np
        >>> part = Split(np.zeros((3, 8, 8, 1), "float32"), np.array([0, 1, 1]), ("cat", "dog"))
        >>> len(part), part.num_classes, part.unlabelled_x.shape
        (3, 2, (0, 8, 8, 1))
    """

    x: np.ndarray
    y: np.ndarray
    class_names: tuple[str, ...]
    unlabelled_x: np.ndarray = None  # type: ignore[assignment]  # __post_init__ replaces None by an array

    def __post_init__(self) -> None:
        if is_sparse(self.x):
            refuse("Split.x", "be an array", type(self.x).__name__, OF_SPARSE)
        if self.unlabelled_x is None:
            object.__setattr__(self, "unlabelled_x", self.x[:0])

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        rest = f", {len(self.unlabelled_x)} unlabelled" if len(self.unlabelled_x) else ""
        return f"Split({len(self)} of shape {self.x.shape[1:]} in {self.num_classes} classes{rest})"

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def all_x(self) -> np.ndarray:
        """`x` and `unlabelled_x` together, for unsupervised pretraining."""
        return np.concatenate([self.x, self.unlabelled_x]) if len(self.unlabelled_x) else self.x

    @property
    def all_y(self) -> np.ndarray:
        """Classes of `all_x`, −1 for the examples without label."""
        return np.concatenate([self.y, np.full(len(self.unlabelled_x), -1, "int64")])


def labelled_first(x: np.ndarray, y: np.ndarray | None, class_names: tuple[str, ...]) -> Split:
    """Make a `Split` of examples, of which those with a class come first.

    Args:
        x: examples (n, …).
        y: int (n,), classes, −1 without one; or None.
        class_names: names of the classes; () without classes.

    Example:
        >>> labelled_first(np.eye(3), np.array([1, 0, -1]), ("a", "b"))
        Split(2 of shape (3,) in 2 classes, 1 unlabelled)
    """
    if y is None:
        return Split(x[:0], np.zeros(0, "int64"), (), unlabelled_x=x)
    n = int((y >= 0).sum())
    return Split(x[:n], y[:n].astype("int64"), class_names, unlabelled_x=x[n:])


def stratified(y: np.ndarray, sizes: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Divide examples at random into parts of the given sizes, each with the class proportions of the whole.

    Each example gets a random rank within its class, divided by the size of the class; the examples are sorted by
    this number and cut into parts.

    Args:
        y: int (n,), classes.
        sizes: sizes of the parts; they sum to n.
        rng: NumPy generator.

    Returns:
        List of int arrays, the ascending indices of each part.

    Example:
        >>> y = np.repeat([0, 1], [4, 8])
        >>> [np.bincount(y[part]).tolist() for part in stratified(y, (6, 3, 3), np.random.default_rng(0))]
        [[2, 4], [1, 2], [1, 2]]
    """
    rank, size = _rank_in_class(y, rng)
    order = np.argsort((rank + 0.5) / size, kind="stable")
    return [np.sort(part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def withhold(split: Split, labels: int | float | None, seed: int) -> Split:
    """Withhold the labels of all but some examples, evenly over the classes.

    The order in which examples lose their labels depends only on the seed, so the 100 examples that keep their
    label are among the 1000 that keep it with the same seed.

    Args:
        split: `Split` with all its labels.
        labels: number of labels to keep, an int from num_classes to n, or a fraction in (0, 1]; None keeps all.
        seed: whole number that fixes the choice.

    Returns:
        `Split` with the chosen examples in `x`, `y` and the others in `unlabelled_x`, in their original order.

    Raises:
        ValueError: `labels` is out of range: fewer than there are classes, or more than there are examples.

    Example:
        >>> y = np.repeat([0, 1, 2], [10, 20, 70])
        >>> whole = Split(np.zeros((100, 2), "float32"), y, ("a", "b", "c"))
        >>> few = withhold(whole, 0.3, seed=0)
        >>> np.bincount(few.y).tolist(), len(few.unlabelled_x)
        ([10, 10, 10], 70)
    """
    if labels is None:
        return split
    kept = _how_many(labels, len(split), split.num_classes)
    seed = count("load.seed", seed, at_least=0)
    rank, _ = _rank_in_class(split.y, np.random.default_rng((seed, _LABELS)))
    order = np.argsort(rank, kind="stable")
    labelled, rest = np.sort(order[:kept]), np.sort(order[kept:])
    return dataclasses.replace(split, x=split.x[labelled], y=split.y[labelled], unlabelled_x=split.x[rest])


_LABELS = 1  # makes these random numbers differ from those that divide the examples


def _rank_in_class(y, rng):
    """Draw the random rank of each example within its class, from 0; also return the size of its class."""
    shuffled = rng.permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    _, start, size = np.unique(y[by_class], return_index=True, return_counts=True)
    rank, of = np.empty(len(y), int), np.empty(len(y), int)
    rank[by_class] = np.arange(len(y)) - np.repeat(start, size)
    of[by_class] = np.repeat(size, size)
    return rank, of


def _how_many(labels, n, num_classes):
    if isinstance(labels, numbers.Integral):
        kept = count("load.labels", labels)
    else:
        remedy = "A whole number is the number of labels, such as 100"
        kept = round(number("load.labels", labels, above=0, at_most=1, remedy=remedy) * n)
    if not num_classes <= kept <= n:
        refuse(
            "load.labels",
            f"keep from {num_classes} (one per class) to {n} labels (all of train)",
            f"labels={labels!r}, which keeps {kept}",
            "labels=None keeps all",
            typed_remedy="Without `--labels` all are kept",
        )
    return kept


def check_images(
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    num_classes: int | None = None,
    interval: tuple[float, float] | None = None,
    name: str = "x",
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Check that a network can be trained on images, and convert them to float32.

    Args:
        x: images (n, h, w, c), or (n, h, w), to which c = 1 is added.
        y: classes (n,), or None. Defaults to None.
        num_classes: classes must lie in 0 … num_classes − 1; None allows any that are not negative. Defaults to None.
        interval: `(low, high)` in which all values must lie; None allows any finite value. Defaults to None.
        name: name of the arrays in the message: a file, or an argument. Defaults to "x".

    Returns:
        `x` float32 (n, h, w, c) or, if `y` is given, the pair `x`, `y` with `y` int64.

    Raises:
        ValueError: `x` has no examples, another rank, entries that are not numbers, NaN or infinity, or values
            outside `interval`; or `y` does not hold one class per example, whole and in range.

    Example:
        >>> check_images(np.zeros((5, 8, 8))).shape
        (5, 8, 8, 1)
        >>> check_images(np.full((5, 8, 8, 1), 255), interval=(0, 1), name="photos.npy")
        Traceback (most recent call last):
        tf_kit.errors.InputError: `photos.npy` must have values in [0, 1]. Received: values ...
    """
    refuse_masked(name, x)
    x = np.asarray(x)
    if x.ndim not in (3, 4):
        refuse(name, "be images of shape (n, height, width, channels)", f"shape {x.shape}")
    if x.size == 0:
        refuse(name, "hold at least one example", f"shape {x.shape}")
    if x.dtype.kind not in "buif":
        refuse(name, "hold numbers", f"dtype {x.dtype}")
    x = (x if x.ndim == 4 else x[..., None]).astype("float32", copy=False)
    low, high = float(x.min()), float(x.max())
    if not np.isfinite(low + high):
        bad = int((~np.isfinite(x)).any(axis=(1, 2, 3)).sum())
        refuse(name, "hold finite numbers", f"NaN or infinity in {bad} of {len(x)} examples")
    if interval and not interval[0] <= low <= high <= interval[1]:
        refuse(
            name,
            f"have values in [{interval[0]}, {interval[1]}]",
            f"values from {low:g} to {high:g}",
            "Divide 8-bit images by 255",
        )
    return x if y is None else (x, check_classes(y, len(x), num_classes, name))


OF_SPARSE = "x.toarray() makes an array"  # the remedy


def is_sparse(x: Any) -> bool:
    """Return whether `x` is a matrix of `scipy.sparse`, which has a shape and no length.

    Example:
        >>> is_sparse(np.eye(3))
        False
    """
    return hasattr(x, "toarray")


def values_of(x: Any) -> Any:
    """Return the values of a table, as of pandas or polars, as an array; anything else as it is.

    The columns of a table may have several types, so that it has none itself.

    Example:
        >>> values_of(5)
        5
    """
    return x.to_numpy() if hasattr(x, "to_numpy") else x


def refuse_masked(subject: str, x: Any) -> None:
    """Raise `InputError` for a NumPy masked array, whose hidden entries would be taken for data."""
    if np.ma.isMaskedArray(x) and np.ma.is_masked(x):
        remedy = "Fill them, x.filled(0), or leave the examples out"
        refuse(subject, "hold no masked entries", f"{int(np.ma.getmaskarray(x).sum())} masked", remedy)


def check_classes(y: ArrayLike, n: int, num_classes: int | None = None, name: str = "x") -> np.ndarray:
    """Check that `y` holds one class for each of n examples, whole numbers from 0, and convert it to int64.

    Args:
        y: classes (n,), or a column (n, 1) of them, as Keras's data sets have.
        n: number of examples.
        num_classes: the classes must be below it; None allows any. Defaults to None.
        name: name of the examples in the message. Defaults to "x".

    Raises:
        InputError: `y` has another shape, such as that of one-hot vectors, or entries that are not classes.

    Example:
        >>> check_classes([1.0, 0.0], 2)
        array([1, 0])
        >>> check_classes(np.eye(3), 3)
        Traceback (most recent call last):
        tf_kit.errors.InputError: `x: y` must hold one class for each of 3 examples. Received: shape (3, 3), one-hot
        vectors. y.argmax(-1) gives their classes.
    """
    name = f"{name}: y"
    refuse_masked(name, y)
    y = np.asarray(y)
    if y.shape == (n, 1):
        y = y[:, 0]
    if y.shape != (n,):
        one_hot = y.ndim == 2 and len(y) == n and y.dtype.kind in "buif" and bool((y.sum(-1) == 1).all())
        received = f"shape {y.shape}{', one-hot vectors' if one_hot else ''}"
        remedy = "y.argmax(-1) gives their classes" if one_hot else ""
        refuse(name, f"hold one class for each of {n} examples", received, remedy)
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        refuse(
            name, "hold whole numbers", f"NaN or infinity in {int((~np.isfinite(y)).sum())} of {n} classes"
        )
    if y.dtype.kind not in "buif" or (y != np.floor(y)).any():
        refuse(name, "hold whole numbers", f"dtype {y.dtype}, first {y[:3].tolist()}")
    above = "" if num_classes is None else f" and below {num_classes}"
    if n and (y.min() < 0 or (num_classes is not None and y.max() >= num_classes)):
        refuse(name, f"hold classes of at least 0{above}", f"classes from {y.min():g} to {y.max():g}")
    return y.astype("int64")
