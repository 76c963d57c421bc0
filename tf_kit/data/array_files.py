"""Files of arrays: examples in `.npy`, or examples, labels and their division in `.npz`."""

from __future__ import annotations

import dataclasses
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data import division
from tf_kit.data.array_names import named
from tf_kit.data.copies import first_of, within
from tf_kit.data.labels_file import refuse_both
from tf_kit.data.listing import some
from tf_kit.data.overlap import fingerprints
from tf_kit.data.owners import TRAIN, UNLABELLED
from tf_kit.data.pictures import clean
from tf_kit.data.reading import check_memory
from tf_kit.data.splits import Split, labelled_first
from tf_kit.data.white import white_of_dtype, white_of_values

ENDINGS = (".npy", ".npz")


@dataclasses.dataclass(frozen=True)
class ArrayFile:
    """Examples of a file of arrays, before they are divided.

    Args:
        path: the file.
        x: float32 (n, h, w, c) in [0, 1], or (n, d) for vectors.
        y: int64 (n,), the class of each example, −1 without one; None without classes.
        class_names: names of the classes.
        part: int8 (n,), TRAIN, VAL or TEST of each example as the names of the arrays say; None if they do not.
        original: int (n,), the first example with the same values in the same part, which may be the example itself.
        notes: what is unusual, each in a few words.
    """

    path: Path
    x: np.ndarray
    y: np.ndarray | None
    class_names: tuple[str, ...]
    part: np.ndarray | None
    original: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    @property
    def summary(self) -> str:
        """One line about the examples."""
        shape = "×".join(map(str, self.x.shape[1:]))
        return division.summary(self, "example", shape, "the names of the arrays", self.notes)


def is_array_file(name: str | Path) -> bool:
    """Return whether a name is the path of a file of arrays, by its ending.

    Example:
        >>> is_array_file("photos.npz"), is_array_file("mnist")
        (False, False)
    """
    path = Path(name).expanduser()
    return path.suffix.lower() in ENDINGS and os.path.isfile(path)


def read(path: str | Path, *, unlabeled: bool = False, labels_file: str | Path | None = None) -> ArrayFile:
    """Read a file of arrays.

    A `.npy` file holds the examples. In a `.npz` file arrays are known by their names: examples are `x`, `images`,
    `data` and the like, classes `y`, `labels`, `targets`; a word for a part divides them, as in `x_train`, `y_test`,
    `val_images`; `unlabeled_images` have no class; `class_names` names the classes. A file with one array holds
    examples, and `arr_0`, `arr_1` are examples and classes.

    Examples are grey images (n, h, w), images (n, h, w, c) or (n, c, h, w) of 1 or 3 channels, or vectors (n, d).
    Images are divided by the value of white: the largest of an unsigned dtype, otherwise 1, or 255 if a value exceeds
    1. Vectors of bytes are divided by 255, others are left as they are. Classes are whole numbers or text; a negative
    number, NaN and "" mean that an example has none.

    Args:
        path: the file.
        unlabeled: whether to ignore classes. Defaults to False.
        labels_file: `.npy` file with the class of each example. Defaults to None.

    Returns:
        `ArrayFile`.

    Raises:
        InputError: the file is damaged, its arrays cannot be told apart, or they are no such examples or classes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "mine.npz"
        ...     np.savez(file, x=np.random.default_rng(0).integers(0, 256, (40, 8, 8), "uint8"), y=np.arange(40) % 2)
        ...     read(file).summary
        '40 examples in 2 classes, 8×8×1'
    """
    refuse_both(unlabeled, labels_file)
    path = Path(path).expanduser()
    found = named(path, _load(path))
    examples, notes = found.examples, [f"arrays passed over: {some(found.others)}"] if found.others else []
    x, form = _scaled(path, examples)
    notes += [form] if form else []
    part = None
    if not set(examples) <= {None, UNLABELLED}:
        part = np.concatenate(
            [
                np.full(len(each), TRAIN if key == UNLABELLED else key, "int8")
                for key, each in examples.items()
            ]
        )
    original = first_of(fingerprints(x))
    if part is not None:
        original = within(original, part)
    labels = {} if unlabeled else found.labels
    if labels_file is not None:
        labels = _labels_of_file(path, labels_file, examples)
    y, class_names = _classes(path, examples, labels, found.class_names)
    each_label = [None] * len(x) if y is None else [class_names[c] if c >= 0 else None for c in y.tolist()]
    is_trained = [True] * len(x) if part is None else (part == TRAIN).tolist()
    if not division.have_classes(path, each_label, is_trained, notes):
        y, class_names = None, ()
    file = ArrayFile(path, x, y, class_names, part, original, tuple(notes))
    division.check_numbers(file, needs_labels=False)
    return file


def splits(found: ArrayFile, seed: int) -> tuple[Split, Split, Split]:
    """Divide the examples: as the names of the arrays say, otherwise at random, a sixth each for validation and test.

    Examples with equal values are in one part. Those without a class are in `.unlabelled_x`.
    """
    train, val, test = (_split(found, indices) for indices in division.parts(found, seed))
    return train, val, test


def _split(found, indices):
    if found.y is not None:
        indices = indices[np.argsort(found.y[indices] < 0, kind="stable")]
    return labelled_first(found.x[indices], None if found.y is None else found.y[indices], found.class_names)


def _load(path):
    """Map the name of each array in a file to the array; "" is that of a `.npy` file."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
        return {name: each for name, each in arrays.items() if isinstance(each, np.ndarray)}
    except ValueError as error:
        if "object arrays" in str(error).lower():
            remedy = "Save labels as text, y.astype(str), and images of one size as one array"
            refuse(clean(path), "hold arrays of numbers or text", "Python objects", remedy, flag="--data")
        _refuse_damaged(path)
    except (OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        _refuse_damaged(path)


def _refuse_damaged(path):
    requirement = "be a file that `numpy.save` or `numpy.savez` wrote"
    refuse(clean(path), requirement, "a damaged or foreign file", flag="--data")


def _labels_of_file(path, labels_file, examples):
    """Return the classes in a `.npy` file, by part; they follow the order of the examples."""
    file = Path(labels_file).expanduser()
    if set(examples) != {None}:
        requirement = f"be left out for {clean(path)}, which is divided by the names of its arrays"
        refuse("load.labels_file", requirement, clean(file), flag="--labels-file")
    if file.suffix.lower() != ".npy" or not os.path.isfile(file):
        is_there = "" if os.path.isfile(file) else ", which does not exist"
        requirement = f"be a `.npy` file with the class of each example of {clean(path)}"
        refuse("load.labels_file", requirement, f"{clean(file)}{is_there}", flag="--labels-file")
    return {None: _load(file)[""]}


def _scaled(path, examples):
    """Join examples of all parts as float32 with the values that a network takes; also what was done to their form."""
    shapes = {each.shape[1:] for each in examples.values()}
    if len(shapes) > 1 or not all(each.ndim in (2, 3, 4) for each in examples.values()):
        requirement = "hold images (n, h, w) or (n, h, w, c), or vectors (n, d)"
        received = " and ".join(str(each.shape) for each in examples.values())
        refuse(clean(path), requirement, f"shape {received}", flag="--data")
    kinds = {each.dtype for each in examples.values()}
    if any(kind.kind not in "buif" for kind in kinds):
        refuse(clean(path), "hold examples of real numbers", some(sorted(map(str, kinds))), flag="--data")
    (shape,), count = shapes, sum(map(len, examples.values()))
    check_memory(clean(path), count, shape)
    if not count or 0 in shape:
        refuse(clean(path), "hold at least one example", f"shape {(count, *shape)}", flag="--data")
    x, start = np.empty((count, *shape), "float32"), 0
    for each in examples.values():
        x[start : start + len(each)] = each
        start += len(each)
    bad = int((~np.isfinite(x.reshape(count, -1))).any(axis=1).sum())
    if bad:
        refuse(
            clean(path),
            "hold finite numbers",
            f"NaN or infinity in {bad:,} of {count:,} examples",
            flag="--data",
        )
    kind = np.result_type(*kinds)
    if len(shape) > 1:
        white = white_of_dtype(kind) if kind.kind == "u" else white_of_values(str(path), x.min(), x.max())
        x /= white
        return _with_channels(path, x)
    x /= 255 if kind == np.uint8 else 1
    return x, ""


def _with_channels(path, x):
    """Give images the shape (n, h, w, c); also what was done."""
    if x.ndim == 3:
        return x[..., None], ""
    if x.shape[-1] in (1, 3):
        return x, ""
    if x.shape[1] in (1, 3):
        return np.ascontiguousarray(np.moveaxis(x, 1, -1)), "channels moved to the end"
    refuse(clean(path), "hold images of 1 or 3 channels", f"shape {x.shape}", flag="--data")


def _classes(path, examples, labels, names):
    """Return the class of each example, −1 without one, and the names of the classes; None and () without labels."""
    if not labels:
        return None, ()
    values = []
    for part, x in examples.items():
        y = labels.get(part)
        if y is None:
            values.append(np.full(len(x), None, object))
            continue
        flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if flat.shape != (len(x),):
            remedy = "y.argmax(-1) gives the classes of one-hot vectors" if y.ndim == 2 else ""
            received = f"{y.shape} for {len(x):,} examples"
            refuse(
                f"{clean(path)}: labels", "hold one class for each example", received, remedy, flag="--data"
            )
        values.append(_values(path, flat))
    y = np.concatenate(values)
    known = {each for each in y if each is not None}
    if len({type(each) for each in known}) > 1:
        refuse(f"{clean(path)}: labels", "be all whole numbers or all text", "both", flag="--data")
    known = sorted(known)
    are_named = names is not None and names.ndim == 1 and all(isinstance(each, int) for each in known)
    if are_named and known and len(names) > known[-1]:
        class_names = tuple(str(names[each]) for each in known)
    else:
        class_names = tuple(str(each) for each in known)
    number = {each: i for i, each in enumerate(known)} | {None: -1}
    return np.array([number[each] for each in y], "int64"), class_names


def _values(path, y):
    """Convert labels to an array of int or str; None for an example without one."""
    if y.dtype.kind in "US":
        text = y.astype(str) if y.dtype.kind == "U" else np.char.decode(y, "utf-8", "replace")
        return np.array([each.strip() or None for each in text.tolist()] or [], object)
    if y.dtype.kind not in "buif":
        refuse(f"{clean(path)}: labels", "hold whole numbers or text", f"dtype {y.dtype}", flag="--data")
    missing = ~np.isfinite(y) if y.dtype.kind == "f" else np.zeros(len(y), bool)
    whole = np.where(missing, -1, y)
    if (whole != np.floor(whole)).any():
        refuse(
            f"{clean(path)}: labels", "hold whole numbers or text", f"first {y[:3].tolist()}", flag="--data"
        )
    return np.array([int(each) if each >= 0 else None for each in whole.tolist()], object)
