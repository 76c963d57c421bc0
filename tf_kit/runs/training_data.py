"""Training examples of a pretraining: as arrays, or read from disk as they are needed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tf_kit import data
from tf_kit.checks import refuse
from tf_kit.data import array_files, fingerprint, folder, loading
from tf_kit.data.array_scale import divisor_of
from tf_kit.data.fingerprint import Fingerprint
from tf_kit.data.memory import memory_bytes
from tf_kit.data.pictures import clean
from tf_kit.data.splits import Split, withhold
from tf_kit.errors import InputError
from tf_kit.typing import Dataset

# A folder or file that needs more as float32 is read in minibatches. Arrays are in memory twice at times.
STREAM_ABOVE_BYTES = memory_bytes() // 8
LABELS = "labels in "  # beginning of the name of a file of labels in a fingerprint


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
            over the classes.
        files: `folder.fingerprint` of a folder, on which its split depends.
        found: the folder and its division, or None for other data sets.
        summary: one line about the examples of a folder or a file of arrays; "" for data sets.
        divisor: what the numbers of a file of arrays were divided by, see `data.array_scale`; else 1.
        class_names: names of the classes.
        contents: fingerprint of the whole data set.
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
    found: folder.Folder | None = None
    class_names: tuple[str, ...] = ()
    contents: Fingerprint | None = None
    summary: str = ""
    divisor: float = 1.0

    def reading(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """How a folder or a file of arrays was read, for the options of a run; empty for a data set."""
        file = given["labels_file"]
        how = {
            "unlabeled": given["unlabeled"],
            "labels_file": file and str(Path(file).expanduser().resolve()),
        }
        if self.found is None:
            return how if self.summary else {}
        return {"color": folder.COLORS[self.found.shape[2] == 3], **how}


def training_data(
    name: str,
    *,
    supervised: bool = False,
    partly: bool = False,
    labels: int | float | None = None,
    image_size: int | tuple[int, int] | None = None,
    color: str | None = None,
    unlabeled: bool = False,
    labels_file: str | Path | None = None,
    data_dir: str | Path | None = None,
    batch_size: int = 32,
    seed: int = 0,
) -> TrainingData:
    """Load the training images of a data set or a folder, split as by `data.load` with seed 0.

    Of a folder or a file of arrays without classes all examples but those of its owner's test are used, since there is
    no test to draw.

    Args:
        name, labels, image_size, color, unlabeled, labels_file, data_dir: as for `data.load`.
        supervised: whether to return the labelled images only, with their labels. Defaults to False.
        partly: whether to return all images with their labels, −1 for those without. Defaults to False.
        batch_size: examples per minibatch of a stream. Defaults to 32.
        seed: seed of a stream. Defaults to 0.

    Raises:
        InputError: as for `data.load`; or `supervised` is True and the images have no classes.
    """
    how: dict[str, Any] = {"color": color, "unlabeled": unlabeled, "labels_file": labels_file}
    if loading.is_folder(name, data_dir):
        size = loading.size_of_images(image_size)
        found = folder.scan(name, size, needs_labels=supervised, **how)
        if supervised and not found.class_names:
            refuse_without_labels("pretrain.name", name)
        if not supervised and found.class_names:
            found = dataclasses.replace(found, summary=found.summary + _later(found))
        contents = with_labels(found.contents, labels_file)
        return _of_examples(found, contents, supervised, partly, labels, batch_size, seed)
    if array_files.is_array_file(name):
        arrays = loading.read_arrays(name, image_size=image_size, **how)
        if supervised and not arrays.class_names:
            refuse_without_labels("pretrain.name", name)
        contents = with_labels(fingerprint.of_set(name, data_dir), labels_file)
        return _of_examples(arrays, contents, supervised, partly, labels, batch_size, seed)
    train, val, _ = data.load(name, seed=0, labels=labels, data_dir=data_dir, image_size=image_size, **how)
    if supervised and not train.num_classes:
        refuse_without_labels("pretrain.name", name)
    x, y = (train.x, train.y) if supervised else (train.all_x, train.all_y if partly else None)
    held = {"train": train, "val": val}
    return TrainingData(
        x,
        y,
        x[:40],
        len(x),
        train.num_classes,
        watched=lambda part, most: _evenly(held[part], most),
        class_names=train.class_names,
        contents=with_labels(fingerprint.of_set(name, data_dir), labels_file),
    )


def with_labels(images: Fingerprint, labels_file: str | Path | None) -> Fingerprint:
    """Add a file that has the labels of images, if there is one, to the fingerprint of the images."""
    if labels_file is None:
        return images
    file = Path(labels_file).expanduser()
    labels = fingerprint.of_files(file.parent, [file])
    ((_, entry),) = labels.entries.items()
    return images | dataclasses.replace(labels, entries={f"{LABELS}{file.name}": entry})


def _later(found):
    """Say before a pretraining what a fine-tuning on its classes would refuse after it."""
    try:
        folder.check_classes(found)
    except InputError as error:
        typed = error.remedy if error.typed_remedy is None else error.typed_remedy
        return f"; fine-tuning on these classes would be refused: {error.subject} must {error.requirement}. {typed}"
    return ""


def _of_examples(found, contents, supervised, partly, labels, batch_size, seed):
    """Training data of a `Folder` or an `ArrayFile`."""
    train, val, test = folder.parts(found, 0)
    used, told = train, None  # examples, and the labels of all examples that the method may see
    if found.y is None:
        used = np.sort(np.concatenate([train, val, test])) if found.part is None else train
    elif supervised or partly:
        labelled = train[found.y[train] >= 0]
        shown = withhold(Split(labelled, found.y[labelled], found.class_names), labels, 0).x
        known = np.isin(np.arange(len(found.y)), shown)
        used, told = shown if supervised else train, np.where(known, found.y, -1)
    y = None if told is None else told[used].astype("int64")
    held = {"train": train, "val": val}
    is_folder = isinstance(found, folder.Folder)
    decoded: dict[str, Any] = {"kept": {}} if is_folder and folder.fits_as_bytes(found, used) else {}

    def watched(part, most):
        few = _few(found, held[part], most)
        return folder.split_of(found, few, found.examples(few))

    def stream(first_epoch, epochs, seed=seed) -> Dataset:
        order: dict[str, Any] = {"seed": seed, "first_epoch": first_epoch, "epochs": epochs, "shuffle": True}
        seen = dataclasses.replace(found, y=told)
        order |= {"batch_size": batch_size, **decoded}
        return seen.batches(used, with_labels=told is not None, **order)

    size_bytes = 4 * len(used) * int(np.prod(found.shape))
    x = None if size_bytes > STREAM_ABOVE_BYTES else found.examples(used)
    return TrainingData(
        x,
        None if x is None else y,
        found.examples(used[:40]) if x is None else x[:40],
        len(used),
        len(found.class_names),
        stream if x is None else None,
        found.shape[:2] if is_folder else None,
        watched,
        found.fingerprint if is_folder else None,
        found if is_folder else None,
        found.class_names,
        contents,
        found.summary,
        divisor_of(found),
    )


def _few(found, indices, most):
    """At most `most` of some examples, evenly over the classes; labelled ones if there are any."""
    if found.y is None or len(found.class_names) < 2:
        return indices[:most]
    labelled = indices[found.y[indices] >= 0]
    return _evenly(Split(labelled, found.y[labelled], found.class_names), most).x


def _evenly(split, most):
    """Return at most `most` examples of a split, or one of each class if that is more."""
    if not split.num_classes:
        return dataclasses.replace(split, unlabelled_x=split.unlabelled_x[:most])
    if len(split) > max(most, split.num_classes):
        split = withhold(split, max(most, split.num_classes), seed=0)
    return dataclasses.replace(split, unlabelled_x=split.x[:0])


def reading_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a pretraining read its data, from the options of its run: arguments of `data.load`.

    Raises:
        InputError: an option has a value that no pretraining records.
    """
    for name in ("data", "data_dir", "color", "labels_file"):
        value = options.get(name)
        if not _is_name(value) and (value is not None or name == "data"):
            _refuse_recorded(name, value)
    size = options.get("image_size")
    sides = size if isinstance(size, list) else [size] * 2
    if size is not None and not (len(sides) == 2 and all(type(each) is int and each > 0 for each in sides)):
        _refuse_recorded("image_size", size)
    names = ("data_dir", "image_size", "color", "unlabeled", "labels_file")
    reading = {name: options[name] for name in names if options.get(name)}
    return reading | ({"image_size": tuple(sides)} if size is not None else {})


def _is_name(value):
    """Return whether a file or a data set can have this name."""
    try:
        return "\0" not in value and bool(os.fsencode(value))
    except (TypeError, ValueError):
        return False


def _refuse_recorded(name, value):
    requirement = "hold the options of a pretraining, as it recorded them"
    refuse("config.json", requirement, f"{name}={clean(repr(value))}", "Pretrain again in another folder")


def given_reading(
    image_size: int | tuple[int, int] | None, color: str | None, labels_file: str | Path | None
) -> dict[str, Any]:
    """Return the arguments of `data.load` for the images of a folder that are given, with an absolute path.

    Example:
        >>> given_reading(None, "grey", None)
        {'color': 'grey'}
    """
    file = labels_file and str(Path(labels_file).expanduser().resolve())
    reading = {"image_size": image_size, "color": color, "labels_file": file}
    return {name: value for name, value in reading.items() if value is not None}


def refuse_without_labels(subject: str, name: str) -> NoReturn:
    """Raise `InputError` for examples without classes.

    Args:
        subject: argument that names the data, such as `"run_table.name"`.
        name: folder of the images, or file of the arrays.
    """
    if array_files.is_array_file(name):
        requirement, received = (
            "have labels for this: an array y next to x",
            f"{name}, whose examples have no classes",
        )
        remedy = "`numpy.savez(file, x=x, y=y)` writes both; {} takes the classes from another `.npy` file"
        typed = remedy.format("`--labels-file`")
        refuse(
            subject,
            requirement,
            received,
            remedy.format("`labels_file=…`"),
            flag="--data",
            typed_remedy=typed,
        )
    refuse(
        subject,
        "have labels for this: a subfolder of images for each class",
        f"{name}, whose images have no classes",
        "Sort some of them into subfolders named after their classes, or name them in a CSV file: `labels_file=…`",
        flag="--data",
        typed_remedy="Sort some of them into subfolders named after their classes, or name them in a CSV file: "
        "`--labels-file`",
    )
