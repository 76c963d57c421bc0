"""A folder of the user's images: labelled if each class has a subfolder, unlabelled otherwise."""

import contextlib
import dataclasses
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.splits import Split, stratified
from tf_kit.errors import InputError
from tf_kit.typing import Dataset

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
LONGEST_SIDE = 64  # pixels, if no image size is given
_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test"}


@dataclasses.dataclass(frozen=True)
class Folder:
    """Images of a folder: their files, their classes, and the shape to which all are scaled.

    Args:
        path: the folder.
        files: path of each image, sorted by name.
        y: int64 (n,), class of each image; None without classes.
        class_names: names of the subfolders in alphabetical order; empty without classes.
        shape: (height, width, channels) of every image after scaling; one channel if all are grey, else three.
    """

    path: Path
    files: tuple[Path, ...]
    y: np.ndarray | None
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def size_bytes(self) -> int:
        """Bytes of all images in memory, as float32."""
        return 4 * len(self) * int(np.prod(self.shape))


def is_folder(name: str | Path) -> bool:
    """Return whether a name is the path of a directory."""
    return Path(name).expanduser().is_dir()


def scan(path: str | Path, image_size: tuple[int, int] | None = None) -> Folder:
    """List the images of a folder; only the head of each file is read, no pixels.

    The images are either directly in `path`, or in its subfolders, one per class, at any depth. Other files and
    hidden ones (names that start with a dot) are ignored.

    Args:
        path: the folder.
        image_size: `(height, width)` of all images. None means the size they have if it is the same for all and the
            longer side is at most 64; otherwise the median height and width, scaled down to a longer side of at most
            64 and rounded to multiples of 4. Defaults to None.

    Returns:
        `Folder`.

    Raises:
        ValueError: the folder has no images, both images and subfolders of images, a single subfolder, or a class of
            fewer than three images; or a file is not a readable image, which the message names.
    """
    path = Path(path).expanduser()
    flat = _images(each for each in _visible(path) if each.is_file())
    classes = {each.name: _images(_walk(each)) for each in _visible(path) if each.is_dir()}
    classes = {name: files for name, files in classes.items() if files}
    if not flat and not classes:
        requirement = f"hold images ({', '.join(each[1:] for each in ENDINGS)})"
        refuse(path, requirement, "a folder without images", flag="--data")
    if flat and classes:
        received = f"{len(flat)} image{'s' * (len(flat) > 1)} and the subfolders {_listed(classes)}"
        refuse(path, "hold either images or one subfolder of images per class", received, flag="--data")
    if classes and {name.lower() for name in classes} <= _SPLIT_NAMES:
        requirement, received = "hold images, or one subfolder per class", f"subfolders {_listed(classes)}"
        remedy = f"Give one of them, such as {path / next(iter(classes))}; it is divided by the seed"
        refuse(path, requirement, received, remedy, flag="--data")
    if len(classes) == 1:
        received = f"only the subfolder {_listed(classes)}"
        remedy = f"Without classes, give {path / next(iter(classes))} itself"
        refuse(path, "have two classes or more", received, remedy, flag="--data")
    if flat and len(flat) < 3:
        requirement = "hold at least three images, one each for training, validation and test"
        refuse(path, requirement, f"{len(flat)}", flag="--data")
    for name, files in classes.items():
        if len(files) < 3:
            requirement = "hold at least three images, one each for training, validation and test"
            refuse(path / name, requirement, f"{len(files)}")
    files = tuple(flat or [file for each in classes.values() for file in each])
    y = np.repeat(np.arange(len(classes)), [len(each) for each in classes.values()]) if classes else None
    heads = [_head(file) for file in files]
    grey = all(mode in ("1", "L", "LA", "I", "I;16", "F") for _, mode in heads)
    sizes = np.array([size for size, _ in heads])
    height, width = image_size or _usual_size(sizes)
    return Folder(path, files, y, tuple(classes), (height, width, 1 if grey else 3))


def fingerprint(path: str | Path) -> str:
    """Compute the number of images in a folder and 8 bytes from their names and sizes, to notice a change.

    The split depends on the files: with one more file, other images are in the test split.
    """
    path, content = Path(path).expanduser(), hashlib.blake2b(digest_size=8)
    files = _images(_walk(path))
    for file in files:
        content.update(
            f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode(errors="surrogateescape")
        )
    return f"{len(files)} images, {content.hexdigest()}"


def parts(folder: Folder, seed: int) -> list[np.ndarray]:
    """Divide the images at random into train, val and test: two thirds, a sixth and a sixth of each class.

    Args:
        folder: the images.
        seed: whole number that fixes the division.

    Returns:
        Three arrays of indices into `folder.files`, none empty; each part has examples of every class.
    """
    rng, n = np.random.default_rng(seed), len(folder)
    if folder.y is None:
        sixth = max(1, n // 6)
        order = rng.permutation(n)
        return [np.sort(each) for each in np.split(order, [n - 2 * sixth, n - sixth])]
    by_class = [np.flatnonzero(folder.y == c) for c in range(len(folder.class_names))]
    found: list[list[np.ndarray]] = [[], [], []]
    for members in by_class:
        sixth = max(1, len(members) // 6)
        sizes = (len(members) - 2 * sixth, sixth, sixth)
        for part, chosen in zip(found, stratified(np.zeros(len(members), int), sizes, rng), strict=True):
            part.append(members[chosen])
    return [np.sort(np.concatenate(part)) for part in found]


def read(
    path: str | Path, seed: int, image_size: tuple[int, int] | None = None
) -> tuple[Split, Split, Split]:
    """Read a folder into arrays.

    Args:
        path, image_size: as for `scan`.
        seed: whole number that fixes the division into splits.

    Returns:
        `Split` train, val, test. Images without classes are in `.unlabelled_x`, and `.x`, `.y` are empty.

    Raises:
        ValueError: as for `scan`; or the images do not fit into memory.
    """
    folder = scan(path, image_size)
    _check_memory(folder)
    splits = []
    for part in parts(folder, seed):
        x = np.empty((len(part), *folder.shape), "float32")
        for row, index in enumerate(part):
            np.divide(decode(folder.files[index], folder.shape), np.float32(255), out=x[row])
        if folder.y is None:
            splits.append(Split(x[:0], np.zeros(0, "int64"), (), unlabelled_x=x))
        else:
            splits.append(Split(x, folder.y[part].astype("int64"), folder.class_names))
    train, val, test = splits
    return train, val, test


def batches(
    path: str | Path,
    split: str,
    *,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int,
    shuffle: bool,
    split_seed: int,
    image_size: tuple[int, int] | None = None,
) -> Dataset:
    """Stream minibatches of one split, decoded as they are needed; the arguments are those of `stream`.

    The file names are in memory and shuffled as a whole in each epoch, the images are not.

    Returns:
        `tf.data.Dataset` of `(x, y)`, or of `x` without classes.
    """
    import tensorflow as tf

    from tf_kit.data.batches import minibatches

    folder = scan(path, image_size)
    part = parts(folder, split_seed)[("train", "val", "test").index(split)]
    names = np.array([os.fsencode(file) for file in folder.files], dtype=object)[part]
    order: dict[str, Any] = {
        "batch_size": batch_size,
        "seed": seed,
        "epochs": epochs,
        "first_epoch": first_epoch,
    }
    labels = None if folder.y is None else folder.y[part].astype("int64")
    stream = minibatches(tf.constant(list(names)), labels, shuffle=shuffle, **order)

    def read_batch(names):
        images = [decode(Path(os.fsdecode(name)), folder.shape) for name in names]
        return np.stack(images).astype("float32") / np.float32(255)

    def read_names(names, *labels):
        x = tf.numpy_function(read_batch, [names], tf.float32, stateful=False)
        x = tf.ensure_shape(x, (None, *folder.shape))
        return (x, *labels) if labels else x

    return stream.map(read_names, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


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


def decode(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode an image file and scale it to a shape.

    Of several frames only the first is used; transparent pixels become white; an orientation noted by the camera is
    applied.

    Args:
        file: path of the image.
        shape: (height, width, channels), with 1 or 3 channels.

    Returns:
        uint8 (height, width, channels).

    Raises:
        ValueError: the file is not a readable image; the message names it.
    """
    from PIL import Image, ImageOps

    height, width, channels = shape
    with _reading(file), Image.open(file) as opened:
        opened.load()
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I") or image.mode == "F":  # 16 bits per pixel
            image = Image.fromarray(np.clip(np.asarray(image, "float32") / 257, 0, 255).astype("uint8"))
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(shape)


def _head(file):
    """Read ((height, width), mode) from the head of an image file."""
    from PIL import Image

    with _reading(file), Image.open(file) as image:
        orientation = Image.Image.getexif(image).get(
            0x0112, 1
        )  # the method of PNG images would read all pixels
        turned = orientation in (5, 6, 7, 8)
        width, height = reversed(image.size) if turned else image.size
        return (height, width), image.mode


class _reading:
    """Turn an exception of Pillow about a file into an `InputError` of one line that names the file."""

    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        from PIL import Image

        if isinstance(error, Image.DecompressionBombError):
            refuse(self._file, "be an image of reasonable size", str(error).split("(")[0].strip())
        if isinstance(error, OSError | SyntaxError | ValueError | EOFError):
            cut = isinstance(error, OSError) and "cannot identify" not in str(error)
            received = "a damaged or truncated file" if cut else "a file that is not an image"
            refuse(self._file, "be a readable image", received, "Repair it or remove it from the folder")


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


def _images(files):
    return sorted(file for file in files if file.suffix.lower() in ENDINGS)


def _visible(path):
    return sorted(each for each in path.iterdir() if not each.name.startswith("."))


def _walk(path):
    for each in _visible(path):
        if each.is_dir():
            yield from _walk(each)
        else:
            yield each


def _listed(classes):
    names = list(classes)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _check_memory(folder):
    if not hasattr(os, "sysconf"):
        return
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if folder.size_bytes > 0.8 * have:
        refuse(
            folder.path,
            f"fit into the memory of {have / 2**30:.0f} GiB",
            f"{len(folder):,} images, {folder.size_bytes / 2**30:.0f} GiB as float32",
            "`data.stream` reads it in minibatches; a smaller `image_size` needs less memory",
            flag="--data",
            typed_remedy="A smaller `--image-size` needs less memory",
        )
