"""`load` and `stream`: any data set by its name, as arrays or as minibatches read from disk."""

import contextlib
import dataclasses
import inspect
import numbers
import os
import warnings
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from tf_kit.checks import choice, count, refuse
from tf_kit.data import array_files, fetch, folder, prepared, reading
from tf_kit.data.batches import minibatches
from tf_kit.data.catalogue import BUILT_IN
from tf_kit.data.listing import instead_of_file
from tf_kit.data.splits import Split, withhold
from tf_kit.typing import Dataset


def load(
    name: str | Path,
    *,
    seed: int = 0,
    labels: int | float | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
    image_size: int | tuple[int, int] | None = None,
    color: str | None = None,
    unlabeled: bool = False,
    labels_file: str | Path | None = None,
    **parameters: Any,
) -> tuple[Split, Split, Split]:
    """Load the training, validation and test split of a data set as arrays.

    "digits" is part of scikit-learn: 1,797 digits of 8×8 pixels, divided into 1197 / 300 / 300 with the classes in
    proportion. "xor", "two_moons", "spirals" and "bars_and_stripes" are generated. Any other name is an image
    classification set of tensorflow-datasets, read from disk if it is prepared there and downloaded otherwise.
    Its test split is used for test; its validation split, or else the last sixth of train, for validation: MNIST
    gives train[:50000], train[50000:] and test, in the order of its files, for every seed.

    A file `.npy` or `.npz` has arrays of examples, see `array_files.read`, which are divided as images of a folder are.

    A path is a folder of images, of any kind that Pillow reads. With one subfolder per class, or a file of labels, they
    have labels; directly in the folder they have none and are in `.unlabelled_x` of the three splits. Folders for
    training, validation and test are taken as they are; otherwise validation and test get a sixth each, drawn at
    random, with copies of an image in one split. All images are scaled to one size; they are grey if all files are
    grey, else in color. A warning names files that were passed over.

    Args:
        name: name or path as above; `name/config:version` for sets that have configs or versions.
        seed: whole number, at least 0, that fixes how digits and files are divided, which points are generated and
            which labels are kept. Defaults to 0.
        labels: number of training examples that keep their label, or a fraction of them in (0, 1]; evenly over the
            classes, and the examples of a smaller number are among those of a larger one. The others are in
            `train.unlabelled_x`. None keeps all labels. Defaults to None.
        data_dir: folder of prepared sets. None means TFDS_DATA_DIR and the folder that tensorflow-datasets uses by
            default. Defaults to None.
        download: False never uses the network. Defaults to True.
        image_size: `(height, width)`, or one int for both, to which images are scaled; required if the images of a
            prepared set vary in size. None keeps the size of the digits and of a prepared set, and gives the images of
            a folder their median size, with a longer side of at most 64 pixels. Defaults to None.
        color: "grey" or "rgb", to which the images of a folder are converted. None means grey if all are. Defaults to
            None.
        unlabeled: whether to take the images of a folder without classes, whatever its subfolders, or those of a file
            without its labels. Defaults to False.
        labels_file: CSV file with file name and class of each image of a folder, instead of subfolders. Images that
            it does not name have no label. For a file of arrays, a `.npy` file with their classes. Defaults to None.
        **parameters: parameters of a generated set, such as `n` and `noise`: see `tf_kit.data.generated`.

    Returns:
        `Split` train, val, test; `.x` float32 in [0, 1] of shape (n, h, w, c), or (n, d) for vectors, `.y` int64
        (n,), `.num_classes`, `.class_names`.

    Raises:
        ValueError: the name is unknown, the set is not image classification, a file is damaged, the network does not
            answer, or an argument is out of range.

    Example:
        >>> train, val, test = load("digits", labels=100)
        >>> train
        Split(100 of shape (8, 8, 1) in 10 classes, 1097 unlabelled)
        >>> load("spirals", n=300, arms=3, noise=0.0)[0]
        Split(200 of shape (2,) in 3 classes)
    """
    name = _checked_name("load", name)
    seed = count("load.seed", seed, at_least=0)
    if name in BUILT_IN:
        _check_reading(name, color, unlabeled, labels_file)
        train, val, test = _built_in(name, seed, parameters, image_size)
    elif array_files.is_array_file(name):
        how: dict[str, Any] = {"color": color, "unlabeled": unlabeled, "labels_file": labels_file}
        arrays = read_arrays(name, image_size=image_size, **how, **parameters)
        _warn(arrays)
        train, val, test = array_files.splits(arrays, seed)
    elif is_folder(name, data_dir):
        size = _size(name, parameters, image_size)
        found = folder.scan(name, size, color=color, unlabeled=unlabeled, labels_file=labels_file)
        _warn(found)
        train, val, test = folder.read(found, seed)
    else:
        _check_reading(name, color, unlabeled, labels_file, data_dir)
        place, size = _locate(name, parameters, data_dir, download, image_size)
        train, val, test = reading.read(place, size)
    if labels is not None and not train.num_classes:
        received = f"labels={labels!r} for {name!r}"
        remedy = "Put the images of each class into a separate subfolder, or an array y next to x"
        refuse("load.labels", "be left out for images without classes", received, remedy)
    return withhold(train, labels, seed), val, test


def stream(
    name: str | Path,
    split: str = "train",
    *,
    batch_size: int,
    seed: int = 0,
    epochs: int = 1,
    first_epoch: int = 0,
    shuffle_buffer: int = 10_000,
    data_dir: str | Path | None = None,
    download: bool = True,
    image_size: int | tuple[int, int] | None = None,
    color: str | None = None,
    unlabeled: bool = False,
    labels_file: str | Path | None = None,
    split_seed: int | None = None,
    **parameters: Any,
) -> Dataset:
    """Read minibatches of a split from disk as they are needed, for sets that do not fit into memory.

    Examples are read in the order of their files and shuffled within blocks of `shuffle_buffer`, in an order that
    depends only on the seed and the epoch, as in `minibatches`; tensorflow-datasets shuffled them once when it wrote
    the files. At most two blocks of compressed images are in memory. For a folder of images only the file names are
    in memory, and they are shuffled as a whole.

        order of block k in epoch e = argsort of random keys from (seed, e, k)

    Args:
        name: as for `load`.
        split: "train", "val" or "test", divided as by `load`. Defaults to "train".
        batch_size: examples per minibatch, at least 1; the last one of an epoch may be shorter.
        seed: whole number, at least 0, that fixes the orders of all epochs. Defaults to 0.
        epochs: number of the epoch to stop before, counted from 0. Defaults to 1.
        first_epoch: number of the epoch to start with. Defaults to 0.
        shuffle_buffer: examples per block; 1 keeps the order of the files. Defaults to 10,000.
        data_dir, download, image_size, color, unlabeled, labels_file: as for `load`.
        split_seed: seed that divides a folder or an embedded set into splits. None means `seed`. Defaults to None.
        **parameters: as for `load`.

    Returns:
        `tf.data.Dataset` of `(x, y)`, x float32 (batch, h, w, c) in [0, 1], y int64 (batch,); of `x` alone for a
        folder without classes.

    Raises:
        ValueError: as for `load`.

    Example:
        >>> for x, y in stream("digits", "val", batch_size=200):
        ...     print(x.shape, y.dtype.name)
        (200, 8, 8, 1) int64
        (100, 8, 8, 1) int64
    """
    name = _checked_name("stream", name)
    choice("stream.split", split, ("train", "val", "test"))
    seed = count("stream.seed", seed, at_least=0)
    batch_size = count("stream.batch_size", batch_size)
    first_epoch = count("stream.first_epoch", first_epoch, at_least=0)
    epochs = count("stream.epochs", epochs, at_least=first_epoch + 1)
    shuffle_buffer = count("stream.shuffle_buffer", shuffle_buffer)
    split_seed = seed if split_seed is None else count("stream.split_seed", split_seed, at_least=0)
    order: dict[str, Any] = {
        "batch_size": batch_size,
        "seed": seed,
        "epochs": epochs,
        "first_epoch": first_epoch,
    }
    if name in BUILT_IN:
        _check_reading(name, color, unlabeled, labels_file)
        splits = _built_in(name, split_seed, parameters, image_size)
        chosen = splits[("train", "val", "test").index(split)]
        return minibatches(chosen.x, chosen.y, shuffle=shuffle_buffer > 1, **order)
    if array_files.is_array_file(name):
        how: dict[str, Any] = {"color": color, "unlabeled": unlabeled, "labels_file": labels_file}
        arrays = read_arrays(name, image_size=image_size, **how, **parameters)
        _warn(arrays)
        return _stream(arrays, split, split_seed, shuffle=shuffle_buffer > 1, **order)
    if is_folder(name, data_dir):
        size = _size(name, parameters, image_size)
        found = folder.scan(name, size, color=color, unlabeled=unlabeled, labels_file=labels_file)
        _warn(found)
        return _stream(found, split, split_seed, shuffle=shuffle_buffer > 1, **order)
    _check_reading(name, color, unlabeled, labels_file, data_dir)
    place, size = _locate(name, parameters, data_dir, download, image_size)
    return reading.batches(place, split, shuffle_buffer=shuffle_buffer, image_size=size, **order)


def _stream(found, split, split_seed, **order):
    """Stream a part of a folder or a file of arrays: its labelled examples, if there are any."""
    part = folder.parts(found, split_seed)[("train", "val", "test").index(split)]
    return found.batches(part if found.y is None else part[found.y[part] >= 0], **order)


def _checked_name(function: str, name: Any) -> str:
    if isinstance(name, os.PathLike):
        name = os.fspath(name)
    if not isinstance(name, str):
        shape = getattr(name, "shape", None)
        received = f"name={name!r}" if shape is None else f"an array of shape {tuple(shape)}"
        remedy = "" if shape is None else "Arrays need no loading; `numpy.save` makes a file of one"
        refuse(f"{function}.name", "be the name of a data set, or a path", received, remedy)
    if not name.strip():
        remedy = 'The current folder is "."'
        refuse(
            f"{function}.name", "be a data set or a folder of images", f"name={name!r}", remedy, flag="--data"
        )
    return name


def _check_reading(name, color, unlabeled, labels_file, data_dir=None):
    """Refuse arguments that belong to folders; with a name that nothing has, the name."""
    for argument, value in {"color": color, "unlabeled": unlabeled, "labels_file": labels_file}.items():
        if value:
            if not Path(name).exists():
                fetch.check_name(name, data_dir)
            refuse(
                f"load.{argument}",
                "be left out for data sets, which have it",
                f"{argument}={value!r} for {name}",
            )


def _warn(found):
    if found.warning:
        warnings.warn(f"{found.path}: {found.summary}", stacklevel=3)


def read_arrays(
    name: str | Path,
    *,
    image_size: int | tuple[int, int] | None = None,
    color: str | None = None,
    unlabeled: bool = False,
    labels_file: str | Path | None = None,
    **parameters: Any,
) -> array_files.ArrayFile:
    """Read a file of arrays, and scale its images if a size is given; the arguments are those of `load`."""
    size = _size(name, parameters, image_size)
    _check_reading(name, color, None, None)
    found = array_files.read(name, unlabeled=unlabeled, labels_file=labels_file)
    _check_points(name, found.shape, size)
    return dataclasses.replace(found, size=size)


def _built_in(name, seed, parameters, image_size):
    """Make an embedded or generated set, and scale its images if a size is given."""
    size = size_of_images(image_size)
    splits = BUILT_IN[name](seed, **_parameters(name, parameters))
    return [dataclasses.replace(each, x=_of_size(name, each.x, size), unlabelled_x=None) for each in splits]


def _of_size(name, x, size):
    """Scale the images of an array to a size, if one is given."""
    if size is None:
        return x
    _check_points(name, x.shape[1:], size)
    reading.check_memory(name, len(x), (*size, x.shape[-1]))
    return reading.resized(x, size)


def _check_points(name, shape, size):
    """Refuse a size for examples that are not images."""
    if size is not None and len(shape) != 3:
        requirement = f"be left out for {name}, which has points, not images"
        refuse("load.image_size", requirement, f"image_size={size}", flag="--image-size")


def _parameters(name, parameters):
    """Check the parameters of an embedded or generated set."""
    allowed = [each for each in inspect.signature(BUILT_IN[name]).parameters if each != "seed"]
    for each in parameters:
        if each not in allowed:
            has = f"has the parameters {', '.join(allowed)}" if allowed else "has no parameters"
            refuse("load", f"be given only parameters of the data set; {name} {has}", each)
    return parameters


def is_folder(name: str, data_dir: str | Path | None = None) -> bool:
    """Return whether `name` is the path of a folder and not the name of a data set.

    Raises:
        ValueError: `name` is an absolute path, or starts with "~" or "./", and does not exist.
    """
    if name in BUILT_IN or array_files.is_array_file(name):
        return False
    if folder.is_folder(name):
        return prepared.find(name, data_dir) is None
    path = Path(name).expanduser()
    if os.path.exists(path):
        remedy = instead_of_file(path)
        refuse("load.name", "be a data set or a folder of images", f"{name!r}, a file", remedy, flag="--data")
    is_link = os.path.islink(path)
    is_path = name.startswith(("/", "~", "./", "../")) or path.suffix in array_files.ENDINGS
    if is_link or is_path:
        links = " links to nothing" if is_link else " does not exist"
        received = f"{name!r}, which{links}"
        refuse("load.name", "be a data set or a folder of images", received, flag="--data")
    return False


def with_whole_path(name: str, data_dir: str | Path | None = None) -> str:
    """Return the absolute path of a folder or a file of arrays; the name of a data set as it is.

    Example:
        >>> with_whole_path("digits")
        'digits'
    """
    is_path = array_files.is_array_file(name) or is_folder(name, data_dir)
    return str(Path(name).expanduser().resolve()) if is_path else name


def _locate(name, parameters, data_dir, download, image_size):
    """Find the folder of a prepared set, after a download if needed, and the image size as a pair or None."""
    size = _size(name, parameters, image_size)
    return (fetch.downloaded if download else fetch.on_disk)(name, data_dir=data_dir), size


def _size(name, parameters, image_size):
    """Check that no parameters of generated sets are given; return the image size as a pair or None."""
    if parameters:
        allowed = "seed, labels, data_dir, download, image_size"
        received = f"{next(iter(parameters))} for {name!r}"
        refuse("load", f"be given no other arguments than {allowed}", received)
    return size_of_images(image_size)


def size_of_images(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Convert an image size to a pair `(height, width)`; None stays None.

    Raises:
        ValueError: `image_size` is not one or two whole numbers of at least 1.

    Example:
        >>> size_of_images(32), size_of_images((32, 48))
        ((32, 32), (32, 48))
    """
    if image_size is None:
        return None
    pair: tuple[Any, ...] = ()
    if isinstance(image_size, int | numbers.Number):
        pair = (image_size,) * 2
    elif not isinstance(image_size, str | bytes | Set | Mapping):  # which are iterable, but no pairs
        with contextlib.suppress(TypeError):
            pair = tuple(image_size)
    if len(pair) != 2:
        refuse("load.image_size", "be one number or a pair (height, width)", f"image_size={image_size!r}")
    height, width = (count("load.image_size", each) for each in pair)
    return height, width
