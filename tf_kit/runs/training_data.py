"""What pretraining reads: the training images as arrays, or from disk as they are needed."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tf_kit import data
from tf_kit.checks import refuse
from tf_kit.data import folder, loading
from tf_kit.data.splits import Split, withhold

STREAM_ABOVE_BYTES = 2**30  # a folder that takes more as float32 is read in minibatches, never as a whole


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The images that a method may learn from.

    Attributes:
        x: (n, h, w, c), or None where they are streamed.
        y: labels of the labelled ones, which then are `x`; or None.
        shown: a few of them, for figures.
        num_examples: n.
        num_classes: 0 where nobody has named any.
        stream: a function `(first_epoch, epochs, seed)` that gives the data set of minibatches of those epochs, each in
            an order of its own; None for arrays.
        image_size: (height, width) that a folder's images are brought to; None for other data sets.
        watched: a function `(part, most)` that gives at most so many images of "train" or "val" as a `Split`, evenly
            over the classes where they lie in memory.
        files: `folder.fingerprint` of a folder, on which its split depends.
    """

    x: np.ndarray | None
    y: np.ndarray | None
    shown: np.ndarray
    num_examples: int
    num_classes: int
    stream: Callable | None = None
    image_size: tuple | None = None
    watched: Callable | None = None
    files: str | None = None


def training_data(
    name, *, supervised=False, labels=None, image_size=None, data_dir=None, batch_size=32, seed=0
):
    """The training images of a data set or a folder, split as `data.load` does with seed 0.

    Args:
        name, labels, image_size, data_dir: as for `data.load`.
        supervised: whether only the labelled images are wanted, with their labels.
        batch_size, seed: of a stream; the seed draws which images are shown.

    Raises:
        InputError: as `data.load`; or if labels are wanted of images without.
    """
    size = None
    if loading.is_folder(name, data_dir):
        found = folder.scan(name, loading.size_of_images(image_size))
        size = found.shape[:2]
        if supervised and not found.class_names:
            refuse_without_labels(name)
        if found.size_bytes > STREAM_ABOVE_BYTES and labels is None:
            return _streamed(name, found, supervised, batch_size, seed)
    train, val, _ = data.load(name, seed=0, labels=labels, data_dir=data_dir, image_size=size or image_size)
    x, y = (train.x, train.y) if supervised else (train.all_x, None)
    held = {"train": train, "val": val}
    return TrainingData(
        x,
        y,
        x[:40],
        len(x),
        train.num_classes,
        image_size=size,
        watched=lambda part, most: _evenly(held[part], most),
        files=size and folder.fingerprint(name),
    )


def _evenly(split, most):
    """At most so many examples of a split, or one of each class if that is more."""
    if not split.num_classes:
        return dataclasses.replace(split, unlabelled_x=split.unlabelled_x[:most])
    few = withhold(split, min(max(most, split.num_classes), len(split)), seed=0)
    return dataclasses.replace(few, unlabelled_x=few.x[:0])


def _streamed(name, found, supervised, batch_size, seed):
    def batches(part="train", first_epoch=0, epochs=1, seed=seed):
        order = {"seed": seed, "first_epoch": first_epoch, "epochs": epochs, "split_seed": 0}
        return data.stream(name, part, batch_size=batch_size, image_size=found.shape[:2], **order)

    def stream(first_epoch, epochs, seed):
        read = batches("train", first_epoch, epochs, seed)
        return read if supervised or found.y is None else read.map(lambda x, y: x)

    def first(part, most):
        read = batches(part).unbatch().take(most).batch(most)
        batch = next(read.as_numpy_iterator())
        if found.y is None:
            return Split(batch[:0], np.zeros(0, "int64"), (), unlabelled_x=batch)
        return Split(*batch, found.class_names)

    shown = first("train", 40).all_x
    num_examples = len(folder.parts(found, 0)[0])
    classes = len(found.class_names)
    files = folder.fingerprint(name)
    return TrainingData(None, None, shown, num_examples, classes, stream, found.shape[:2], first, files)


def refuse_without_labels(name):
    """Raises `InputError` where labels are needed and a folder has none."""
    refuse(
        "--data",
        "have labels for this: a subfolder of images for each class",
        f"{name}, whose images have no classes",
        "Sort some of them into subfolders named after their classes",
    )
