"""`load` and `stream`: any data set by its name, as arrays or as minibatches read from disk."""

import inspect
import numbers

from tf_kit.checks import choice, count, refuse
from tf_kit.data import fetch, folder, prepared, reading
from tf_kit.data.batches import minibatches
from tf_kit.data.catalogue import BUILT_IN
from tf_kit.data.splits import withhold


def load(name, *, seed=0, labels=None, data_dir=None, download=True, image_size=None, **parameters):
    """Training, validation and test split of a data set, as arrays

    "digits" comes with scikit-learn: 1,797 digits of 8×8 pixels, divided by the seed into 1197 / 300 / 300 with
    the classes in proportion. "xor", "two_moons", "spirals" and "bars_and_stripes" are made by the seed. Any
    other name is an image classification set of tensorflow-datasets, read from disk if it is prepared there and
    downloaded otherwise. Its test split is the test split; its validation split is its own, or else the last
    sixth of train: MNIST is train[:50000], train[50000:] and test, in the order of its files, for every seed.

    A path is a folder of images (png, jpeg, bmp, gif). Where each class has a subfolder they have labels; where
    they lie flat they have none, and are in `.unlabelled_x` of the three splits. Validation and test are a sixth
    each, drawn by the seed. All images are scaled to one size; they are grey if all files are, else in color.

    Args:
        name: see above; `name/config:version` for sets that have them.
        seed: whole number: which digits or files go where, which points are made, which labels are kept.
        labels: how many examples of train keep their label, an int, or a fraction of train in (0, 1]; evenly
            over the classes, and fewer always lie within more. The others are in `train.unlabelled_x`.
        data_dir: folder of prepared sets; None for TFDS_DATA_DIR and tensorflow-datasets' own.
        download: False never touches the network.
        image_size: `(height, width)` or one int for both, to which images are scaled; needed where those of a
            prepared set vary in size. A folder's images have their median size otherwise, with a longer side of
            at most 64 pixels.
        **parameters: of a generated set, such as `n` and `noise`: see `tf_kit.data.generated`.

    Returns:
        `Split` train, val, test; `.x` float32 in [0, 1] of shape (n, h, w, c), or (n, 2) for points, `.y` int64
        (n,), `.num_classes`, `.class_names`.

    Raises:
        ValueError: unknown name, a set that is not image classification, damaged files, no network, or an
            argument out of range.

    Example:

        >>> train, val, test = load("digits", labels=100)
        >>> train
        Split(100 of shape (8, 8, 1) in 10 classes, 1097 unlabelled)
        >>> load("spirals", n=300, arms=3, noise=0.0)[0]
        Split(200 of shape (2,) in 3 classes)
    """
    _check_name("load", name)
    seed = count("load.seed", seed, at_least=0)
    if name in BUILT_IN:
        train, val, test = BUILT_IN[name](seed, **_parameters(name, parameters, image_size))
    elif is_folder(name, data_dir):
        train, val, test = folder.read(name, seed, _size(name, parameters, image_size))
        if labels is not None and not train.num_classes:
            remedy = "Put the images of each class into a subfolder of its own"
            refuse(
                "load.labels", "be None for images without classes", f"labels={labels!r} for {name!r}", remedy
            )
    else:
        place, size = _locate(name, parameters, data_dir, download, image_size)
        train, val, test = reading.read(place, size)
    return withhold(train, labels, seed), val, test


def stream(
    name,
    split="train",
    *,
    batch_size,
    seed=0,
    epochs=1,
    first_epoch=0,
    shuffle_buffer=10_000,
    data_dir=None,
    download=True,
    image_size=None,
    split_seed=None,
    **parameters,
):
    """Minibatches of a split read from disk as they are needed, for sets that do not fit into memory

    Examples are read in the order of their files and shuffled within blocks of `shuffle_buffer`, by the seed and
    the epoch alone as in `minibatches`; tensorflow-datasets has shuffled them once when it wrote the files. No
    more than two blocks of still compressed images are held. Of a folder of images only the names are held, and
    shuffled as a whole.

        order of block k in epoch e = argsort of random keys from (seed, e, k)

    Args:
        name: as for `load`.
        split: "train", "val" or "test", divided as by `load`.
        batch_size: examples in a minibatch; the last of an epoch may be short.
        seed: whole number that fixes all orders.
        epochs: the epoch to stop before, counted from 0.
        first_epoch: the epoch to begin with.
        shuffle_buffer: examples that are shuffled among each other; 1 keeps the order of the files.
        data_dir: as for `load`.
        download: as for `load`.
        image_size: as for `load`.
        split_seed: seed of the division of a folder or of an embedded set, where it is not that of the orders.
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
    _check_name("stream", name)
    choice("stream.split", split, ("train", "val", "test"))
    seed = count("stream.seed", seed, at_least=0)
    batch_size = count("stream.batch_size", batch_size)
    first_epoch = count("stream.first_epoch", first_epoch, at_least=0)
    epochs = count("stream.epochs", epochs, at_least=first_epoch + 1)
    shuffle_buffer = count("stream.shuffle_buffer", shuffle_buffer)
    split_seed = seed if split_seed is None else count("stream.split_seed", split_seed, at_least=0)
    order = {"batch_size": batch_size, "seed": seed, "epochs": epochs, "first_epoch": first_epoch}
    if name in BUILT_IN:
        splits = BUILT_IN[name](split_seed, **_parameters(name, parameters, image_size))
        part = splits[("train", "val", "test").index(split)]
        return minibatches(part.x, part.y, shuffle=shuffle_buffer > 1, **order)
    if is_folder(name, data_dir):
        size = _size(name, parameters, image_size)
        whole = {"shuffle": shuffle_buffer > 1, "image_size": size, "split_seed": split_seed}
        return folder.batches(name, split, **whole, **order)
    place, size = _locate(name, parameters, data_dir, download, image_size)
    return reading.batches(place, split, shuffle_buffer=shuffle_buffer, image_size=size, **order)


def _check_name(function, name):
    if not isinstance(name, str):
        refuse(f"{function}.name", "be a string", f"name={name!r}")


def _parameters(name, parameters, image_size):
    """The parameters of an embedded or generated set, or `InputError` for one that it does not have."""
    allowed = [each for each in inspect.signature(BUILT_IN[name]).parameters if each != "seed"]
    given = [*parameters] + (["image_size"] if image_size is not None else [])
    for each in given:
        if each not in allowed:
            has = f"has the parameters {', '.join(allowed)}" if allowed else "has no parameters"
            refuse("load", f"be given parameters of the data set; {name} {has}", each)
    return parameters


def is_folder(name, data_dir=None):
    """Whether a name is the path of a directory, and none of a data set."""
    if name in BUILT_IN:
        return False
    if folder.is_folder(name):
        return prepared.find(name, data_dir) is None
    if name.startswith(("/", "~", "./")):
        refuse("load.name", "be a data set or a folder of images", f"{name!r}, which does not exist")
    return False


def _locate(name, parameters, data_dir, download, image_size):
    """Folder of a prepared set, which is downloaded if need be, and the image size as a pair or None."""
    size = _size(name, parameters, image_size)
    return (fetch.get if download else fetch.on_disk)(name, data_dir=data_dir), size


def _size(name, parameters, image_size):
    """The image size as a pair or None, where no parameters of generated sets are given."""
    if parameters:
        allowed = "seed, labels, data_dir, download, image_size"
        refuse(
            "load", f"be given no other arguments than {allowed}", f"{next(iter(parameters))} for {name!r}"
        )
    return size_of_images(image_size)


def size_of_images(image_size):
    """`(height, width)` of a pair or of one number for both, None of None; or `InputError`.

    >>> size_of_images(32), size_of_images((32, 48))
    ((32, 32), (32, 48))
    """
    if image_size is None:
        return None
    pair = (image_size,) * 2 if isinstance(image_size, numbers.Number) else tuple(image_size)
    if len(pair) != 2:
        refuse("load.image_size", "be one number or a pair (height, width)", f"image_size={image_size}")
    return tuple(count("load.image_size", each) for each in pair)
