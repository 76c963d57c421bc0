"""Files of arrays: examples in `.npy`, or examples, labels and their division in `.npz`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data import division
from tf_kit.data.array_labels import classes_of
from tf_kit.data.array_names import named
from tf_kit.data.copies import first_of, within
from tf_kit.data.labels_file import refuse_both
from tf_kit.data.listing import some
from tf_kit.data.overlap import fingerprints
from tf_kit.data.owners import TRAIN, UNLABELLED
from tf_kit.data.pictures import clean
from tf_kit.data.reading import check_memory, resized
from tf_kit.data.splits import Split, labelled_first
from tf_kit.data.streamed import read_as_needed
from tf_kit.data.white import white_of_dtype, white_of_values
from tf_kit.typing import Dataset

ENDINGS = (".npy", ".npz")
_UNREADABLE = (OSError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)
_DARK = 8  # times as much as the largest value of images is white, if they are suspected of another scale
_MOVED = "channels moved to the end"
_PIECE_BYTES = 64 * 2**20  # of examples that are converted at a time


@dataclasses.dataclass(frozen=True)
class ArrayFile:
    """Examples of a file of arrays, before they are divided.

    Args:
        path: the file.
        arrays: the examples as they are in the file, one array for each part; those of a `.npy` file stay on disk.
        white: value of white in images, or what vectors are divided by.
        y: int64 (n,), the class of each example, −1 without one; None without classes.
        class_names: names of the classes.
        part: int8 (n,), TRAIN, VAL or TEST of each example as the names of the arrays say; None if they do not.
        original: int (n,), the first example with the same values in the same part, which may be the example itself.
        notes: what is unusual, each in a few words.
        size: (height, width) that images are scaled to. Defaults to None, the size that they have.
        in_color: whether grey images are given three channels. Defaults to False.
    """

    path: Path
    arrays: tuple[np.ndarray, ...]
    white: np.float32
    y: np.ndarray | None
    class_names: tuple[str, ...]
    part: np.ndarray | None
    original: np.ndarray
    notes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    in_color: bool = False

    def __len__(self) -> int:
        return sum(map(len, self.arrays))

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """(height, width, channels) of an image, or (features,) of a vector."""
        shape = _with_channels(self.arrays[0][:0]).shape[1:]
        shape = shape if self.size is None else (*self.size, shape[-1])
        return (*shape[:-1], 3) if self.in_color else shape

    @functools.cached_property
    def x(self) -> np.ndarray:
        """All examples: float32 (n, h, w, c) in [0, 1], or (n, d) for vectors.

        Raises:
            InputError: they do not fit into memory.
        """
        check_memory(clean(self.path), len(self), self.shape)
        return self.examples(np.arange(len(self)))

    def examples(self, indices: np.ndarray) -> np.ndarray:
        """Read some examples, as `x` holds them."""
        indices = np.asarray(indices)
        x = np.empty((len(indices), *self.shape), "float32")
        for some_of_them in pieces(len(indices), self.shape):
            x[some_of_them] = self._read(indices[some_of_them])
        return x

    def in_pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the indices and the examples of a piece of the file after the other."""
        for piece in pieces(len(self), self.shape):
            indices = np.arange(piece.start, piece.stop)
            yield indices, self.examples(indices)

    def _read(self, indices):
        x, start = None, 0
        for array in self.arrays:
            here = (start <= indices) & (indices < start + len(array))
            found = _with_channels(array[indices[here] - start])
            x = np.empty((len(indices), *found.shape[1:]), "float32") if x is None else x
            x[here] = found
            start += len(array)
        x /= self.white
        x = x if self.size is None else resized(x, self.size)
        return np.repeat(x, 3, axis=-1) if self.in_color and x.shape[-1] == 1 else x

    def batches(self, indices: np.ndarray, *, with_labels: bool = True, **order: Any) -> Dataset:
        """Stream minibatches of some examples, read as they are needed.

        Args:
            indices: indices of the examples to read.
            with_labels: whether to return the classes, if the examples have some. Defaults to True.
            **order: arguments of `minibatches`.

        Returns:
            `tf.data.Dataset` of `(x, y)`, or of `x` without classes.
        """
        labels = self.y[indices].astype("int64") if with_labels and self.y is not None else None
        return read_as_needed(np.asarray(indices), labels, self.examples, self.shape, **order)

    @property
    def warning(self) -> str:
        """Notes on what was left out, or may be wrong with the examples or classes; "" if there are none."""
        return "; ".join(each for each in self.notes if each != _MOVED)

    @property
    def summary(self) -> str:
        """One line about the examples."""
        shape = "×".join(map(str, self.shape))
        return division.summary(self, "example", shape, "the names of the arrays", self.notes)


def is_array_file(name: str | Path) -> bool:
    """Return whether a name is the path of a file of arrays, by its ending.

    Example:
        >>> is_array_file("photos.npz"), is_array_file("mnist")
        (False, False)
    """
    path = Path(name).expanduser()
    return path.suffix.lower() in ENDINGS and os.path.isfile(path)


def read(
    path: str | Path,
    *,
    unlabeled: bool = False,
    labels_file: str | Path | None = None,
    divided: bool = True,
) -> ArrayFile:
    """Read a file of arrays.

    A `.npy` file holds the examples. In a `.npz` file arrays are known by their names: examples are `x`, `images`,
    `data` and the like, classes `y`, `labels`, `targets`; a word for a part divides them, as in `x_train`, `y_test`,
    `val_images`; `unlabeled_images` have no class; `class_names` names the classes, numbers from
    0 or from 1. A file with one array holds examples, and `arr_0`, `arr_1` are examples and classes.

    Examples are grey images (n, h, w), images (n, h, w, c) or (n, c, h, w) of 1 or 3 channels, or vectors (n, d).
    Images are divided by the value of white: the largest of uint8 or uint16, otherwise 1, or 255 if a value exceeds
    1. A note says if no value comes near 255 or the largest number; uint8 or uint16 of only 0 and 1, and other numbers
    of which the largest is between 1 and 2, may mean either, and are refused. Vectors of bytes are divided by 255,
    which a note says if they are only 0 and 1; others are left as they are. All arrays must have one scale. Classes
    are whole numbers or text; a negative number, NaN and "" mean that an example has none, see `without_class`.

    Args:
        path: the file.
        unlabeled: whether to ignore classes. Defaults to False.
        labels_file: `.npy` file with the class of each example. Defaults to None.
        divided: whether the examples will be divided, so that there must be one for each part. Defaults to True.

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
    arrays, notes = tuple(found.examples.values()), []
    if found.others:
        notes.append(f"arrays passed over: {some(found.others)}")
    white = _white(path, arrays, notes)
    if arrays[0].ndim == 4 and arrays[0].shape[-1] not in (1, 3):
        notes.append(_MOVED)
    sizes = {part: len(each) for part, each in found.examples.items()}
    part = None
    if not set(sizes) <= {None, UNLABELLED}:
        part = np.concatenate(
            [np.full(n, TRAIN if key == UNLABELLED else key, "int8") for key, n in sizes.items()]
        )
    labels = {} if unlabeled else found.labels
    if labels_file is not None:
        labels = {None: _labels_in(path, labels_file, sizes)}
    y, class_names = classes_of(path, sizes, labels, found.class_names, labels_file, notes)
    if y is not None:
        present = np.unique(y[y >= 0] if part is None else y[(y >= 0) & (part == TRAIN)])
        trained = {class_names[c] for c in present}
        if not division.have_classes(path, set(class_names), trained, notes):
            y, class_names = None, ()
    each = np.arange(sum(sizes.values()))
    file = ArrayFile(path, arrays, white, y, class_names, part, each, tuple(notes))
    if not divided:
        return file
    original = first_of(prints(file))
    file = dataclasses.replace(file, original=original if part is None else within(original, part))
    division.check_numbers(file, needs_labels=False)
    return file


def prints(file: ArrayFile) -> list[bytes]:
    """Compute the fingerprints of all examples, see `overlap.fingerprints`; few of them are in memory at a time."""
    return [each for _, x in file.in_pieces() for each in fingerprints(x)]


def pieces(n: int, shape: tuple[int, ...]) -> list[slice]:
    """Cut n examples of a shape into pieces that need little memory as float32.

    Example:
        >>> pieces(5, (2048, 2048, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, _PIECE_BYTES // (4 * math.prod(shape)))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def splits(found: ArrayFile, seed: int) -> tuple[Split, Split, Split]:
    """Divide the examples: as the names of the arrays say, otherwise at random, a sixth each for validation and test.

    Examples with equal values are in one part. Those without a class are in `.unlabelled_x`.

    Raises:
        InputError: the examples do not fit into memory.
    """
    check_memory(clean(found.path), len(found), found.shape)
    train, val, test = (_split(found, indices) for indices in division.parts(found, seed))
    return train, val, test


def _split(found, indices):
    if found.y is not None:
        indices = indices[np.argsort(found.y[indices] < 0, kind="stable")]
    return labelled_first(
        found.examples(indices), None if found.y is None else found.y[indices], found.class_names
    )


def _load(path, flag="--data"):
    """Map the name of each array in a file to the array; "" is that of a `.npy` file, which stays on disk."""
    loaded = None
    with contextlib.suppress(ValueError, *_UNREADABLE):  # which are told apart below; or an empty array
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    try:
        loaded = np.load(path, allow_pickle=False) if loaded is None else loaded
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
        return {name: each for name, each in arrays.items() if isinstance(each, np.ndarray)}
    except ValueError as error:
        if "object arrays" in str(error).lower():
            remedy = "Save labels as text, y.astype(str), and images of one size as one array"
            refuse(clean(path), "hold arrays of numbers or text", "Python objects", remedy, flag=flag)
        _refuse_damaged(path, flag)
    except _UNREADABLE:
        _refuse_damaged(path, flag)


def _refuse_damaged(path, flag):
    requirement = "be a file that `numpy.save` or `numpy.savez` wrote"
    refuse(clean(path), requirement, "a damaged or foreign file", flag=flag)


def _labels_in(path, labels_file, sizes):
    """Return the classes in a `.npy` file, which follow the order of the examples."""
    file = Path(labels_file).expanduser()
    if set(sizes) != {None}:
        requirement = f"be left out for {clean(path)}, which is divided by the names of its arrays"
        refuse("load.labels_file", requirement, clean(file), flag="--labels-file")
    if file.suffix.lower() != ".npy" or not os.path.isfile(file):
        is_there = "" if os.path.isfile(file) else ", which does not exist"
        requirement = f"be a `.npy` file with the class of each example of {clean(path)}"
        refuse("load.labels_file", requirement, f"{clean(file)}{is_there}", flag="--labels-file")
    arrays = _load(file, "--labels-file")
    if "" not in arrays:
        received = f"the arrays {some(arrays)}, as `numpy.savez` writes them"
        refuse(clean(file), "hold one array of classes", received, flag="--labels-file")
    return arrays[""]


def _white(path, arrays, notes):
    """Check the examples of all parts; return what they are divided by. A note is appended if all images are dark."""
    shapes = {each.shape[1:] for each in arrays}
    if len(shapes) > 1 or not all(each.ndim in (2, 3, 4) for each in arrays):
        requirement = "hold images (n, h, w) or (n, h, w, c), or vectors (n, d)"
        received = " and ".join(str(each.shape) for each in arrays)
        refuse(clean(path), requirement, f"shape {received}", flag="--data")
    kinds = {each.dtype for each in arrays}
    if any(kind.kind not in "buif" for kind in kinds):
        refuse(clean(path), "hold examples of real numbers", some(sorted(map(str, kinds))), flag="--data")
    (shape,), count = shapes, sum(map(len, arrays))
    if not count or 0 in shape:
        refuse(clean(path), "hold at least one example", f"shape {(count, *shape)}", flag="--data")
    kind = np.result_type(*kinds)
    is_full = kinds <= {np.dtype("uint8"), np.dtype("uint16")}  # white is the largest number
    ranges = [] if is_full or kind == np.bool_ else _ranges(path, arrays, shape)
    if len(kinds) > 1 and (is_full or (len(shape) == 1 and np.dtype("uint8") in kinds)):
        requirement = "hold all its examples at one scale, as numbers of one type"
        refuse(clean(path), requirement, some(str(each.dtype) for each in arrays), flag="--data")
    if len(shape) == 1:
        if kind == np.uint8 and _largest(arrays, shape, 2) == 1:
            notes.append("no value above 1 where bytes are divided by 255")
        return np.float32(255 if kind == np.uint8 else 1)
    if len(shape) == 3 and not {shape[0], shape[-1]} & {1, 3}:
        refuse(clean(path), "hold images of 1 or 3 channels", f"shape {(count, *shape)}", flag="--data")
    if not is_full:
        return _white_of_ranges(path, ranges, notes)
    white = white_of_dtype(kind)
    largest = _largest(arrays, shape, white / _DARK)
    if largest == 1:  # which is white in a mask, but black in a photo
        remedy = f'Save x.astype("float32") if 1 is white, (x / {white:g}).astype("float32") if {white:g} is'
        received = f"no value above 1 in {kind}, where white is {white:g}"
        refuse(clean(path), "hold images of a known scale", received, remedy, flag="--data")
    _note_dark(largest, white, notes)
    return white


def _white_of_ranges(path, ranges, notes):
    """White of images with values in `ranges`, a pair for each array; it must be the same in each that is not black."""
    low, high = min([0.0, *(low for low, _ in ranges)]), max([0.0, *(high for _, high in ranges)])
    white = white_of_values(str(path), low, high)
    dim = [each for _, each in ranges if each > 0 and white_of_values(str(path), 0, each) != white]
    if dim:
        requirement = "hold all its images at one scale"
        received = f"arrays with values up to {dim[0]:g} and up to {high:g}"
        refuse(clean(path), requirement, received, "Divide those in 0 … 255 by 255", flag="--data")
    if white > 1:
        _note_dark(high, white, notes)
    return white


def _note_dark(largest, white, notes):
    if largest < white / _DARK:
        notes.append(f"no value above {largest:g} where white is {white:g}")


def _largest(arrays, shape, enough):
    """Largest value of all examples, which are whole numbers from 0 on, or the first one found that is `enough`."""
    largest = 0
    for array in arrays:
        for piece in pieces(len(array), shape):
            largest = max(largest, int(array[piece].max()))
            if largest >= enough:
                return largest
    return largest


def _ranges(path, arrays, shape):
    """Smallest and largest value of each array that has examples, as float32; refuse values that are not finite."""
    found, bad, count = [], 0, sum(map(len, arrays))
    for array in filter(len, arrays):
        low, high = np.inf, -np.inf
        for piece in pieces(len(array), shape):
            with np.errstate(over="ignore"):  # what exceeds float32 becomes infinity, which is refused
                x = np.asarray(array[piece], "float32").reshape(-1, math.prod(shape))
            finite = np.isfinite(x).all(axis=1)
            bad += int((~finite).sum())
            if finite.all():
                low, high = min(low, float(x.min())), max(high, float(x.max()))
        found.append((low, high))
    if bad:
        received = f"NaN or infinity in {bad:,} of {count:,} examples"
        refuse(clean(path), "hold numbers that are finite as float32", received, flag="--data")
    return found


def _with_channels(x):
    """Give images the shape (n, h, w, c)."""
    if x.ndim == 4 and x.shape[-1] not in (1, 3):
        return np.moveaxis(x, 1, -1)
    return x[..., None] if x.ndim == 3 else x
