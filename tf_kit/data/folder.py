"""A folder of the user's images: labelled if each class has a subfolder or a row of a file, unlabelled otherwise."""

import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit.checks import choice, refuse
from tf_kit.data.as_is import decode_as_is, is_as_decoded
from tf_kit.data.copies import originals, within
from tf_kit.data.darkness import darkness
from tf_kit.data.division import Divisible, check_numbers, parts, summary
from tf_kit.data.fingerprint import Fingerprint, of_images
from tf_kit.data.heads import heads_and_hashes
from tf_kit.data.labels_file import refuse_both
from tf_kit.data.layout import lay_out, refuse_one_class
from tf_kit.data.listing import COMPANIONS, Listing, counted, list_files, names_below
from tf_kit.data.memory import memory_bytes, without_collection
from tf_kit.data.owners import PARTS, TRAIN
from tf_kit.data.pictures import decode, decode_all
from tf_kit.data.splits import Split, labelled_first
from tf_kit.data.streamed import read_as_needed
from tf_kit.errors import InputError
from tf_kit.typing import Dataset

__all__ = [
    "COLORS",
    "Folder",
    "batches",
    "check_classes",
    "decode",
    "fingerprint",
    "is_folder",
    "parts",
    "read",
    "scan",
]

LONGEST_SIDE = 64  # pixels, if no image size is given
COLORS = ("grey", "rgb")


@dataclasses.dataclass(frozen=True)
class Folder:
    """Images of a folder: their files, classes and parts, and the shape to which all are scaled.

    Args:
        path: the folder.
        files: path of each image, sorted by name.
        y: int64 (n,), class of each image, −1 without one; None if no image has a class.
        class_names: names of the classes, those of subfolders in alphabetical order; empty without classes.
        shape: (height, width, channels) of every image after scaling; one channel if all are grey, else three.
        part: int8 (n,), 0 for train, 1 for val, 2 for test, if its owner has divided the folder; None otherwise.
        original: int (n,), index of the first image with the same content.
        as_is: bool (n,), whether the pixels of the file are the image: it has the shape, is upright and opaque.
        summary: the line that counts how many images in how many classes there are, and what was passed over.
        warning: what was left out, or is wrong with the folder; "" if these are only notes next to the images, such as
            text files.
        fingerprint: number of images and 8 bytes from their names and sizes.
        contents: fingerprint of the images.
    """

    path: Path
    files: tuple[Path, ...]
    y: np.ndarray | None
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    part: np.ndarray | None
    original: np.ndarray
    as_is: np.ndarray
    summary: str
    warning: str
    fingerprint: str
    contents: Fingerprint

    def __len__(self) -> int:
        return len(self.files)

    def examples(self, indices: np.ndarray) -> np.ndarray:
        """Read some images, see `read_images`."""
        return read_images(self, indices)

    def batches(self, indices: np.ndarray, **how: Any) -> Dataset:
        """Stream minibatches of some images, see `batches`."""
        return batches(self, indices, **how)

    @property
    def size_bytes(self) -> int:
        """Bytes of all images in memory, as float32."""
        return 4 * len(self) * int(np.prod(self.shape))


def is_folder(name: str | Path) -> bool:
    """Return whether a name is the path of a directory."""
    # Unlike `Path.is_dir` this is False, and no error, for names that no file can have.
    return bool(str(name)) and os.path.isdir(Path(name).expanduser())


@without_collection()  # several objects for each file, none of which is garbage
def scan(
    path: str | Path,
    image_size: tuple[int, int] | None = None,
    *,
    color: str | None = None,
    unlabeled: bool = False,
    labels_file: str | Path | None = None,
    needs_labels: bool = True,
) -> Folder:
    """List the images of a folder; of most only the head is read, no pixels (see `darkness`).

    The images are either directly in `path`, or in its subfolders, one per class, at any depth; above or below the
    classes there may be folders for training, validation and test, under any usual name. A subfolder `unlabeled`
    holds images without class. Other files and hidden ones (names that start with a dot) are passed over.

    Args:
        path: the folder.
        image_size: `(height, width)` of all images. None means the size they have if it is the same for all and the
            longer side is at most 64; otherwise the median height and width, scaled down to a longer side of at most
            64 and rounded to multiples of 4. Defaults to None.
        color: "grey" or "rgb". None means grey if all images are. Defaults to None.
        unlabeled: whether to ignore classes. Defaults to False.
        labels_file: CSV file with the class of each image, see `read_labels`. Defaults to None.
        needs_labels: whether labelled images must have at least two classes of three images. Defaults to True.

    Returns:
        `Folder`.

    Raises:
        InputError: the folder has no images, both images and subfolders of images, a single subfolder, or a class of
            fewer than three images; or a file is not a readable image, which the message names.
    """
    path = Path(path).expanduser()
    if color is not None:
        choice("load.color", color, COLORS)
    refuse_both(unlabeled, labels_file)
    listing = list_files(path)
    layout = lay_out(listing, unlabeled=unlabeled, labels_file=labels_file, needs_labels=needs_labels)
    heads, hashes = heads_and_hashes(layout.files)
    contents = of_images(path, layout.files, hashes)
    original = originals(layout.files, hashes)
    grey = sum(head.is_grey for head in heads)
    channels = {"grey": 1, "rgb": 3}[color] if color else 1 if grey == len(heads) else 3
    height, width = image_size or _usual_size(np.array([head.size for head in heads]))
    shape = (height, width, channels)
    notes = [*layout.notes, *_leaks(original, layout.part), *darkness(layout.files, heads)]
    left_out = "; ".join(filter(None, [counted(listing.passed, listing.links), *notes]))
    folder = Folder(
        path,
        layout.files,
        layout.y,
        layout.class_names,
        shape,
        layout.part,
        original if layout.part is None else within(original, layout.part),
        np.array([is_as_decoded(head, shape) for head in heads]),
        "",
        left_out if notes or listing.links or listing.passed.keys() - COMPANIONS else "",
        _fingerprint(listing, [n for n, _ in hashes] if layout.files == listing.files else None),
        contents,
    )
    check_numbers(folder, needs_labels)
    return dataclasses.replace(folder, summary=_summary(folder, grey, left_out, layout.divided_by))


def check_classes(folder: Divisible) -> None:
    """Refuse a folder, or a file of arrays, whose classes cannot be trained and tested on.

    Raises:
        InputError: there is one class, or one of fewer images than parts.
    """
    if len(folder.class_names) == 1:
        refuse_one_class(folder.path, folder.class_names[0])
    check_numbers(folder, needs_labels=True)


def _leaks(original, part):
    """Note the images for validation and test that are also images for training, in a folder divided by its owner."""
    if part is None:
        return []
    trained = set(original[part == TRAIN].tolist())
    found = [
        (name, sum(each in trained for each in original[part == i].tolist())) for i, name in enumerate(PARTS)
    ][1:]
    return [f"{n:,} image{'s' * (n != 1)} of {name} also in train" for name, n in found if n]


def _summary(folder, grey, left_out, divided_by):
    """One line about a folder; `grey` is its number of grey images."""
    n, (height, width, channels) = len(folder), folder.shape
    in_color = f"{n - grey:,} in color among {grey:,} grey" if channels == 3 and 0 < n - grey < grey else ""
    shape = f"{height}×{width} {'grey' if channels == 1 else 'rgb'}"
    return summary(folder, "image", shape, divided_by, (in_color, left_out))


def fingerprint(path: str | Path) -> str:
    """Compute the number of images in a folder and 8 bytes from their names and sizes, to notice a change.

    The split depends on the files: with one more file, other images are in the test split.
    """
    return _fingerprint(list_files(Path(path).expanduser()))


def _fingerprint(listing: Listing, sizes: Sequence[int] | None = None) -> str:
    """The `fingerprint` of listed files, of which the sizes may be known."""
    content = hashlib.blake2b(digest_size=8)
    names = names_below(listing.path, listing.files)
    for name, size in zip(names, sizes or map(_size, listing.files), strict=True):
        content.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
    return f"{len(listing.files)} images, {content.hexdigest()}"


def _size(file):
    with contextlib.suppress(OSError):  # named when it is read
        return os.stat(file).st_size
    return 0


def read(folder: Folder, seed: int) -> tuple[Split, Split, Split]:
    """Read a folder into arrays.

    Args:
        folder: the images, from `scan`.
        seed: whole number that fixes the division into splits.

    Returns:
        `Split` train, val, test. Images without classes are in `.unlabelled_x`.

    Raises:
        InputError: the images do not fit into memory, or a file is damaged.
    """
    _check_memory(folder)
    divided = [_labelled_first(folder, part) for part in parts(folder, seed)]
    x = read_images(folder, np.concatenate(divided))
    splits, start = [], 0
    for part in divided:
        splits.append(split_of(folder, part, x[start : start + len(part)]))
        start += len(part)
    train, val, test = splits
    return train, val, test


def _labelled_first(folder, indices):
    return indices if folder.y is None else indices[np.argsort(folder.y[indices] < 0, kind="stable")]


def read_images(folder: Folder, indices: np.ndarray) -> np.ndarray:
    """Read images of a folder: float32 (n, h, w, c) in [0, 1], in the order of their indices."""
    x = np.empty((len(indices), *folder.shape), "float32")
    files = [folder.files[i] for i in indices]

    def put(row, image):
        np.divide(image, np.float32(255), out=x[row])

    def put_some(rows, images):
        if rows[-1] - rows[0] + 1 == len(rows):  # one call takes half the time of many
            put(slice(rows[0], rows[-1] + 1), images)
            return
        for row, image in zip(rows, images, strict=True):
            put(row, image)

    left = decode_as_is(files, folder.as_is[indices], folder.shape, put_some)
    decode_all([files[i] for i in left], folder.shape, lambda k, image: put(left[k], image))
    return x


def split_of(folder: Folder, indices: np.ndarray, x: np.ndarray) -> Split:
    """Make a `Split` of images `x` of a folder, the labelled ones of which come first."""
    return labelled_first(x, None if folder.y is None else folder.y[indices], folder.class_names)


def batches(
    folder: Folder,
    indices: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int,
    shuffle: bool,
    with_labels: bool = True,
    kept: dict[bytes, np.ndarray] | None = None,
) -> Dataset:
    """Stream minibatches of some images, decoded as they are needed; the arguments are those of `stream`.

    The file names are in memory and shuffled as a whole in each epoch, the images are not.

    Args:
        folder: the images, from `scan`.
        indices: indices of the images to read.
        with_labels: whether to return the classes, if the images have some. Defaults to True.
        kept: where the decoded images are kept, uint8 by file name, so that later epochs need not decode them again;
            see `fits_as_bytes`. Defaults to None, nowhere.

    Returns:
        `tf.data.Dataset` of `(x, y)`, or of `x` without classes.
    """
    names = np.array([os.fsencode(folder.files[i]) for i in indices], dtype=object)
    labels = folder.y[indices].astype("int64") if with_labels and folder.y is not None else None
    order: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "shuffle": shuffle}
    order |= {"epochs": epochs, "first_epoch": first_epoch}

    def read_image(name):
        image = None if kept is None else kept.get(name)
        if image is None:
            image = decode(Path(os.fsdecode(name)), folder.shape)
            if kept is not None:
                kept[name] = image
        return image

    def read_batch(names):
        return np.stack([read_image(name) for name in names]).astype("float32") / np.float32(255)

    return read_as_needed(names, labels, read_batch, folder.shape, **order)


def fits_as_bytes(folder: Folder, indices: np.ndarray) -> bool:
    """Return whether some images of a folder, one byte per value, need at most an eighth of the memory."""
    return len(indices) * int(np.prod(folder.shape)) <= memory_bytes() // 8


@contextlib.contextmanager
def naming_the_damaged() -> Iterator[None]:
    """Turn TensorFlow's error about an undecodable file of `batches` into the `InputError` that names the file."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        line = re.search(rf"{InputError.__name__}: (.*)", error.message)
        if line is None:
            raise
        raise InputError(line[1]) from None


def _usual_size(sizes):
    """(height, width) for images of the sizes (n, 2) if no image size is given.

    >>> _usual_size(np.array([[28, 28], [28, 28]])), _usual_size(np.array([[480, 640], [600, 800], [30, 50]]))
    ((28, 28), (48, 64))
    """
    if (sizes == sizes[0]).all() and sizes[0].max() <= LONGEST_SIDE:
        return tuple(int(side) for side in sizes[0])
    median = np.median(sizes, axis=0)
    median = median * min(1, LONGEST_SIDE / median.max())
    return tuple(max(4, int(4 * round(side / 4))) for side in median)


def _check_memory(folder):
    have = memory_bytes()
    if folder.size_bytes > 0.8 * have:
        refuse(
            folder.path,
            f"fit into the memory of {have / 2**30:.0f} GiB",
            f"{len(folder):,} images, {folder.size_bytes / 2**30:.0f} GiB as float32",
            "`data.stream` reads it in minibatches; a smaller `image_size` needs less memory",
            flag="--data",
            typed_remedy="A smaller `--image-size` needs less memory",
        )
