"""Training images of a pretraining: as arrays, or read from disk as they are needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np

from tf_kit import data
from tf_kit.checks import refuse
from tf_kit.data import folder, loading
from tf_kit.data.splits import Split, withhold

STREAM_ABOVE_BYTES = 2**30  # a folder that needs more as float32 is read in minibatches, never as a whole


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Images that a method may learn from.

    Attributes:
        x: images (n, h, w, c), or None if they are streamed.
        y: labels of `x`, which then holds the labelled images only; or None.
        shown: some of the images, for figures.
        num_examples: number n of images.
        num_classes: number of classes, 0 without classes.
        stream: function `(first_epoch, epochs, seed)` that returns the data set of minibatches of these epochs, each
            in a different order; None for arrays.
        image_size: (height, width) that the images of a folder are scaled to; None for other data sets.
        watched: function `(part, most)` that returns at most `most` images of "train" or "val" as a `Split`, evenly
            over the classes if they are in memory.
        files: `folder.fingerprint` of a folder, on which its split depends.
    """

    x: np.ndarray | None
    y: np.ndarray | None
    shown: np.ndarray
    num_examples: int
    num_classes: int
    stream: Callable | None = None
    image_size: tuple[int, int] | None = None
    watched: Callable | None = None
    files: str | None = None


def training_data(
    name: str,
    *,
    supervised: bool = False,
    labels: int | float | None = None,
    image_size: int | tuple[int, int] | None = None,
    data_dir: str | Path | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> TrainingData:
    """Load the training images of a data set or a folder, split as by `data.load` with seed 0.

    Args:
        name, labels, image_size, data_dir: as for `data.load`.
        supervised: whether to return the labelled images only, with their labels. Defaults to False.
        batch_size: examples per minibatch of a stream. Defaults to 32.
        seed: seed of a stream, which also draws the images that are shown. Defaults to 0.

    Raises:
        InputError: as for `data.load`; or `supervised` is True and the images have no classes.
    """
    size = None
    if loading.is_folder(name, data_dir):
        found = folder.scan(name, loading.size_of_images(image_size))
        size = found.shape[:2]
        if supervised and not found.class_names:
            refuse_without_labels("pretrain.name", name)
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
    """Return at most `most` examples of a split, or one of each class if that is more."""
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


def refuse_without_labels(subject: str, name: str) -> NoReturn:
    """Raise `InputError` for images without classes.

    Args:
        subject: argument that names the images, such as `"run_table.name"`.
        name: folder of the images.
    """
    refuse(
        subject,
        "have labels for this: a subfolder of images for each class",
        f"{name}, whose images have no classes",
        "Sort some of them into subfolders named after their classes",
        flag="--data",
    )
