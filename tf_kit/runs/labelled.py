"""Labelled examples for fine-tuning and probing: the data of the pretraining, or others of the same shape."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit import data
from tf_kit.checks import refuse
from tf_kit.data import folder, loading
from tf_kit.data.folder import Folder
from tf_kit.data.overlap import fingerprints
from tf_kit.data.owners import PARTS
from tf_kit.data.pictures import clean
from tf_kit.data.splits import Split, withhold
from tf_kit.runs import training_data
from tf_kit.typing import ArrayLike, Dataset

RECORD = "images.csv"  # of a run: file, bytes and part of each image of its folder


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled examples of one part, as arrays, or read from disk as they are needed.

    Args:
        y: int64 (n,), classes.
        class_names: names of the classes.
        x: float32 (n, h, w, c), or None if the images are streamed.
        found: folder of the images that are streamed.
        indices: indices of the images in `found`.
    """

    y: np.ndarray
    class_names: tuple[str, ...]
    x: np.ndarray | None
    found: Folder | None = None
    indices: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def given(self) -> tuple[ArrayLike, np.ndarray] | tuple[Dataset]:
        """Return the arguments of `model.evaluate`: x and y, or a data set of batches in the order of the files."""
        return (self._stream(0, 1, 0, False, 256),) if self.x is None else (self.x, self.y)

    def for_training(self, batch_size: int, seed: int) -> dict[str, Any]:
        """Return the arguments of `Run.fit`. The order of the examples is the same for arrays and for a stream."""
        if self.x is not None:
            return {"x": self.x, "y": self.y, "batch_size": batch_size}

        def stream(first_epoch, epochs):
            return self._stream(first_epoch, epochs, seed, True, batch_size)

        return {"x": stream, "steps_per_epoch": math.ceil(len(self) / batch_size)}

    def _stream(self, first_epoch, epochs, seed, shuffle, batch_size):
        assert self.found is not None
        order: dict[str, Any] = {
            "first_epoch": first_epoch,
            "epochs": epochs,
            "seed": seed,
            "shuffle": shuffle,
        }
        return folder.batches(self.found, self.indices, batch_size=batch_size, **order)

    def kept(self, places: np.ndarray) -> Examples:
        """Return the examples at some places."""
        return dataclasses.replace(
            self,
            y=self.y[places],
            x=None if self.x is None else self.x[places],
            indices=None if self.indices is None else self.indices[places],
        )

    def withhold(self, labels: int | float | None) -> Examples:
        """Return the examples that keep their labels, see `data.splits.withhold`."""
        return self.kept(withhold(Split(np.arange(len(self)), self.y, self.class_names), labels, seed=0).x)

    def prints(self) -> list[bytes]:
        """Return the fingerprints of the examples; those of a stream are decoded for it."""
        return fingerprints(self.given()[0])


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Examples to train and test a classifier on.

    Args:
        train, val, test: the examples.
        notes: what was left out, each in one line.
        seen: number of test images that the pretraining has seen, without their labels.
    """

    train: Examples
    val: Examples
    test: Examples
    notes: tuple[str, ...] = ()
    seen: int = 0


def labelled_examples(
    function: str,
    run_folder: Path,
    shape: tuple[int, ...],
    pretrained: Mapping[str, Any],
    *,
    name: str | None = None,
    data_dir: str | Path | None = None,
    labels_file: str | Path | None = None,
    test_on_seen: bool = False,
) -> Labelled:
    """Load labelled examples with images of the shape that an encoder takes.

    No test example is among those that the pretraining was fitted on, unless `test_on_seen`. A folder is divided so
    that images that the pretraining has not seen come first for test and validation.

    Args:
        function: name of the caller, for messages.
        run_folder: run folder of the pretraining.
        shape: shape of one example.
        pretrained: options of the pretraining.
        name: data set or folder. Defaults to None, the data of the pretraining.
        data_dir: folder of prepared sets. Defaults to None, that of the pretraining.
        labels_file: CSV file with the classes of the images of the folder. Defaults to None.
        test_on_seen: whether images may be tested on that the pretraining has seen without labels. Defaults to False.

    Raises:
        InputError: the data cannot be used.
    """
    own = training_data.reading_of(pretrained)
    subject = f"{function}.data"
    place = pretrained["data"] if name is None else name
    is_folder = loading.is_folder(place, data_dir or own.get("data_dir"))
    if labels_file is not None and not is_folder:
        received = f"labels_file={str(labels_file)!r} for {place}"
        refuse(f"{function}.labels_file", "be left out for data that are not a folder", received)
    if name is None and labels_file is None:
        found = _own_examples(function, run_folder, pretrained, own, is_folder)
        return _without_overlap(subject, found)
    seen = _seen(pretrained, own)
    if not is_folder:
        labelled = _of_set(subject, place, shape, data_dir or own.get("data_dir"))
        labelled = _without_overlap(subject, labelled)
    else:
        labelled = _other_folder(function, place, shape, labels_file, seen)
    hit = [each in seen for each in labelled.test.prints()]
    if any(hit) and not test_on_seen:
        refuse(
            "test",
            "hold no example of the pretraining",
            f"{sum(hit)} of {len(hit)} test examples of {clean(place)} that the pretraining has seen",
            "`test_on_seen=True` tests on them all the same, and records it",
            flag="--data",
            typed_remedy="`--test-on-seen` tests on them all the same, and records it",
        )
    return dataclasses.replace(labelled, seen=sum(hit))


def _own_examples(function, run_folder, pretrained, own, is_folder):
    """Examples of the pretraining's data, divided as they were then."""
    if not is_folder:
        how = {each: own[each] for each in own if each in ("data_dir", "image_size")}
        splits = data.load(pretrained["data"], seed=pretrained.get("split_seed", 0), **how)
        if not splits[0].num_classes:
            training_data.refuse_without_labels(f"{function}.data", pretrained["data"])
        return Labelled(*(Examples(each.y, each.class_names, each.x) for each in splits))
    how = {each: own[each] for each in own if each != "data_dir"}
    if how.get("image_size"):
        how["image_size"] = tuple(how["image_size"])
    found = folder.scan(pretrained["data"], **how)
    if not found.class_names:
        training_data.refuse_without_labels(f"{function}.data", pretrained["data"])
    parts, notes = folder.parts(found, 0), []
    files = pretrained.get("files")
    if files and found.fingerprint != files:
        parts, notes = _recorded(function, run_folder, found, pretrained)
    return dataclasses.replace(_examples(found, parts), notes=tuple(notes))


def _examples(found, parts):
    """Make the labelled examples of a folder, as arrays if they are small enough."""
    labelled = [part[found.y[part] >= 0] for part in parts]
    size_bytes = 4 * sum(map(len, labelled)) * math.prod(found.shape)
    if size_bytes > training_data.STREAM_ABOVE_BYTES:
        return Labelled(*(Examples(found.y[each], found.class_names, None, found, each) for each in labelled))
    x = folder.read_images(found, np.concatenate(labelled))
    pieces = np.split(x, np.cumsum([len(each) for each in labelled])[:-1])
    return Labelled(
        *(
            Examples(found.y[each], found.class_names, piece, found, each)
            for each, piece in zip(labelled, pieces, strict=True)
        )
    )


def _without_overlap(subject, labelled):
    """Leave out validation and test images whose pixels equal those of a training image."""
    known, notes, parts = set(labelled.train.prints()), list(labelled.notes), []
    for name, part in (("validation", labelled.val), ("test", labelled.test)):
        is_new = np.array([each not in known for each in part.prints()], bool)
        if is_new.sum() < max(1, len(part) // 2):
            received = f"{len(part) - is_new.sum()} of {len(part)} {name} examples that are also in train"
            remedy = "Remove the copies; `tf_kit.data.check(folder)` names them"
            typed = "Remove the copies; `tf-kit data check FOLDER` names them"
            refuse(
                subject, "hold other images than train", received, remedy, flag="--data", typed_remedy=typed
            )
        if not is_new.all():
            copies = np.flatnonzero(~is_new)
            which = f": {_names(part, copies)}" if part.found is not None else ""
            plural = "s" * (len(copies) != 1)
            notes.append(
                f"left out {len(copies)} {name} image{plural} whose pixels equal a training image{which}"
            )
        parts.append(part.kept(np.flatnonzero(is_new)))
    return dataclasses.replace(labelled, val=parts[0], test=parts[1], notes=tuple(notes))


def _names(part, places):
    names = [clean(part.found.files[i].relative_to(part.found.path)) for i in part.indices[places]]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _seen(pretrained, own):
    """Fingerprints of the images that the pretraining was fitted on; empty if they are no longer there.

    Of a folder that has changed, all images count as seen.
    """
    place, files = pretrained["data"], pretrained.get("files")
    if files is not None and not Path(place).is_dir():
        return set()
    found = training_data.training_data(place, **own)
    seen = set(fingerprints(found.stream(0, 1, seed=0) if found.stream else found.x))
    if found.found is not None and found.files != files:
        everything = np.arange(len(found.found))
        seen |= set(fingerprints(folder.read_images(found.found, everything)))
    return seen


def _other_folder(function, place, shape, labels_file, seen):
    """Examples of another folder, or of the pretraining's with labels from a file."""
    if len(shape) != 3 or shape[2] not in (1, 3):
        received = f"{clean(place)} for examples of shape {shape}"
        refuse(
            f"{function}.data", "be a data set as in the pretraining, not a folder", received, flag="--data"
        )
    color = folder.COLORS[shape[2] == 3]
    found = folder.scan(place, tuple(shape[:2]), color=color, labels_file=labels_file)
    if not found.class_names:
        training_data.refuse_without_labels(f"{function}.data", place)
    # Images are copies of each other if they have equal pixels at this size, whatever their files.
    whole = Examples(np.zeros(len(found), "int64"), (), None, found, np.arange(len(found)))
    unlabelled = dataclasses.replace(found, y=np.zeros(len(found), "int64"))
    prints = dataclasses.replace(whole, found=unlabelled).prints()
    first: dict[Any, int] = {}
    part = np.zeros(len(found), int) if found.part is None else found.part
    original = np.array(
        [first.setdefault((each, k), i) for i, (each, k) in enumerate(zip(prints, part, strict=True))]
    )
    parts = folder.parts(
        dataclasses.replace(found, original=original),
        0,
        seen=np.array([each in seen for each in prints], bool),
    )
    labelled = _examples(found, parts)
    return _without_overlap(f"{function}.data", labelled) if found.part is not None else labelled


def _of_set(subject, name, shape, data_dir):
    """Load a data set with images of a shape; grey ones get three channels."""
    splits = data.load(name, seed=0, data_dir=data_dir)
    if not splits[0].num_classes:
        training_data.refuse_without_labels(subject, name)
    found = []
    for each in splits:
        x = each.x
        if x.shape[1:] == (*shape[:-1], 1) and shape[-1] == 3:
            x = np.repeat(x, 3, axis=-1)
        if x.shape[1:] != tuple(shape):
            wanted = "×".join(map(str, shape))
            refuse(
                subject,
                f"have images of {wanted}, as in the pretraining",
                f"{name}, {x.shape[1:]}",
                flag="--data",
            )
        found.append(Examples(each.y, each.class_names, x))
    return Labelled(*found)


def record_division(run_folder: Path, found: Folder) -> None:
    """Write the images of a folder with their parts into a run; so the division survives a change of the folder."""
    part = np.zeros(len(found), int)
    for k, indices in enumerate(folder.parts(found, 0)):
        part[indices] = k
    with open(run_folder / RECORD, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "bytes", "part"])
        for path, k in zip(found.files, part, strict=True):
            writer.writerow([path.relative_to(found.path).as_posix(), path.stat().st_size, PARTS[k]])


def _recorded(function, run_folder, found, pretrained):
    """Divide a folder that has changed as the run recorded it; images that are new are not used."""
    if not (run_folder / RECORD).is_file():
        requirement = "find the images of its pretraining as they were"
        received = f"{found.path} with {found.fingerprint}; the pretraining began with {pretrained['files']}"
        remedy = "The split depends on the images, so pretrain again on the folder as it is"
        refuse(f"{function}.folder", requirement, received, remedy, flag="RUN")
    with open(run_folder / RECORD, newline="", encoding="utf-8", errors="surrogateescape") as file:
        known = {(row["file"], int(row["bytes"])): PARTS.index(row["part"]) for row in csv.DictReader(file)}
    keys = [(path.relative_to(found.path).as_posix(), path.stat().st_size) for path in found.files]
    part = np.array([known.get(key, -1) for key in keys])
    new, gone = int((part < 0).sum()), len(known.keys() - set(keys))
    parts = [np.flatnonzero(part == k) for k in range(len(PARTS))]
    changes = [
        f"{new:,} new or changed images are not used" if new else "",
        f"{gone:,} are gone" if gone else "",
    ]
    if any(len(each) == 0 for each in parts):
        received = f"{found.path}, where {' and '.join(filter(None, changes))}"
        refuse(f"{function}.folder", "find images of its pretraining", received, flag="RUN")
    return parts, [f"{found.path} has changed since the pretraining: {', '.join(filter(None, changes))}"]
