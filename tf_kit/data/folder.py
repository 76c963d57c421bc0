"""A folder of the user's own images: unlabelled where they lie flat, labelled where each class has a subfolder."""

import contextlib
import dataclasses
import hashlib
import os
import re
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.splits import Split, stratified
from tf_kit.errors import InputError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
LONGEST_SIDE = 64  # of images whose size nobody has asked for
_SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test"}


@dataclasses.dataclass(frozen=True)
class Folder:
    """The images of a folder: where they lie, their classes, and the one shape they are given.

    Args:
        path: the folder.
        files: path of each image, in the order of the names.
        y: int64 (n,), the class of each; None where they have none.
        class_names: names of the subfolders in alphabetical order; empty without classes.
        shape: (height, width, channels) that every image is brought to; one channel if all are grey, else three.
    """

    path: Path
    files: tuple
    y: np.ndarray | None
    class_names: tuple
    shape: tuple

    def __len__(self):
        return len(self.files)

    @property
    def size_bytes(self):
        """Of all images as float32 in memory."""
        return 4 * len(self) * int(np.prod(self.shape))


def is_folder(name):
    """Whether a name is the path of a directory."""
    return Path(name).expanduser().is_dir()


def scan(path, image_size=None):
    """What a folder of images holds; reads the head of every file, and no pixels.

    Images lie either in `path` itself, or in its subfolders, one a class, at any depth below. Other files and
    what is hidden (names that begin with a dot) are passed over.

    Args:
        path: the folder.
        image_size: `(height, width)` of all images. None: the size they have if it is the same for all and the
            longer side is at most 64; else the median height and width, scaled down to a longer side of 64 where
            it is more, and rounded to multiples of 4.

    Returns:
        `Folder`.

    Raises:
        ValueError: no images; images beside subfolders of images; a single subfolder; a class of fewer than three
            images; a file that is no image, named.
    """
    path = Path(path).expanduser()
    flat = _images(each for each in _visible(path) if each.is_file())
    classes = {each.name: _images(_walk(each)) for each in _visible(path) if each.is_dir()}
    classes = {name: files for name, files in classes.items() if files}
    if not flat and not classes:
        refuse(path, f"hold images ({', '.join(each[1:] for each in ENDINGS)})", "a folder without any")
    if flat and classes:
        received = f"{len(flat)} image{'s' * (len(flat) > 1)} beside the subfolders {_listed(classes)}"
        refuse(path, "hold either images or one subfolder of images a class", received)
    if classes and {name.lower() for name in classes} <= _SPLIT_NAMES:
        remedy = f"Give one of them, such as {path / next(iter(classes))}; its split is drawn by the seed"
        refuse(path, "hold images, or one subfolder a class", f"subfolders {_listed(classes)}", remedy)
    if len(classes) == 1:
        remedy = f"Without classes, give {path / next(iter(classes))} itself"
        refuse(path, "have two classes or more", f"the one subfolder {_listed(classes)}", remedy)
    if flat and len(flat) < 3:
        refuse(path, "hold at least three images, one each to train, validate and test", f"{len(flat)}")
    for name, files in classes.items():
        if len(files) < 3:
            remedy = "One each is needed to train, validate and test"
            refuse(path / name, "hold at least three images", f"{len(files)}", remedy)
    files = tuple(flat or [file for each in classes.values() for file in each])
    y = np.repeat(np.arange(len(classes)), [len(each) for each in classes.values()]) if classes else None
    heads = [_head(file) for file in files]
    grey = all(mode in ("1", "L", "LA", "I", "I;16", "F") for _, mode in heads)
    sizes = np.array([size for size, _ in heads])
    height, width = image_size or _usual_size(sizes)
    return Folder(path, files, y, tuple(classes), (height, width, 1 if grey else 3))


def fingerprint(path):
    """What tells whether a folder holds the images that it held: how many, and 8 bytes of their names and sizes.

    The parts that a seed draws depend on the files: one more, and others are tested.
    """
    path, content = Path(path).expanduser(), hashlib.blake2b(digest_size=8)
    files = _images(_walk(path))
    for file in files:
        content.update(
            f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode(errors="surrogateescape")
        )
    return f"{len(files)} images, {content.hexdigest()}"


def parts(folder, seed):
    """Which images are train, val and test: two thirds and twice a sixth, drawn by the seed, classes in proportion.

    Returns:
        Three arrays of indices into `folder.files`, none empty, with every class in each where there are classes.
    """
    rng, n = np.random.default_rng(seed), len(folder)
    if folder.y is None:
        sixth = max(1, n // 6)
        order = rng.permutation(n)
        return [np.sort(each) for each in np.split(order, [n - 2 * sixth, n - sixth])]
    by_class = [np.flatnonzero(folder.y == c) for c in range(len(folder.class_names))]
    found = [[], [], []]
    for members in by_class:
        sixth = max(1, len(members) // 6)
        sizes = (len(members) - 2 * sixth, sixth, sixth)
        for part, chosen in zip(found, stratified(np.zeros(len(members), int), sizes, rng), strict=True):
            part.append(members[chosen])
    return [np.sort(np.concatenate(part)) for part in found]


def read(path, seed, image_size=None):
    """Train, val and test of a folder as arrays: three `Split`.

    Images without classes are in `.unlabelled_x`, and `.x`, `.y` are empty.
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
    return tuple(splits)


def batches(path, split, *, batch_size, seed, epochs, first_epoch, shuffle, split_seed, image_size=None):
    """`tf.data.Dataset` of minibatches of one split, decoded as they are needed; the work of `stream`.

    The names of all files are held and shuffled as a whole in each epoch, the images never: `(x, y)` with
    classes, `x` without.
    """
    import tensorflow as tf

    from tf_kit.data.batches import minibatches

    folder = scan(path, image_size)
    part = parts(folder, split_seed)[("train", "val", "test").index(split)]
    names = np.array([os.fsencode(file) for file in folder.files], dtype=object)[part]
    order = {"batch_size": batch_size, "seed": seed, "epochs": epochs, "first_epoch": first_epoch}
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
def naming_the_damaged():
    """Turns TensorFlow's error about a file of `batches` that cannot be decoded into the one line that names it."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        line = re.search(rf"{InputError.__name__}: (.*)", error.message)
        if line is None:
            raise
        raise InputError(line[1]) from None


def decode(file, shape):
    """The pixels of an image file, uint8 (height, width, channels), or `InputError` that names the file.

    Of several frames the first is taken; what is transparent shows white; turns that a camera noted are made.
    Other sizes are scaled, smoothly, to height and width.
    """
    from PIL import Image, ImageOps

    height, width, channels = shape
    with _reading(file), Image.open(file) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I") or image.mode == "F":  # 16 bits a pixel
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
    """((height, width), mode) of an image file, from its head."""
    from PIL import Image

    with _reading(file), Image.open(file) as image:
        orientation = Image.Image.getexif(image).get(0x0112, 1)  # a PNG's own would read all pixels
        turned = orientation in (5, 6, 7, 8)
        width, height = reversed(image.size) if turned else image.size
        return (height, width), image.mode


class _reading:
    """Turns what Pillow raises about a file into one line that names it."""

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
            what = "a damaged or truncated file" if cut else "a file that is none"
            refuse(self._file, "be a readable image", what, "Repair it or take it out of the folder")


def _usual_size(sizes):
    """(height, width) for images of sizes (n, 2) when nobody has asked for one.

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
            "`data.stream` reads it in minibatches; a smaller `image_size` shrinks it",
        )
