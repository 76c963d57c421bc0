"""Labelled examples for fine-tuning and probing: the data of the pretraining, or others of the same shape."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit import data
from tf_kit.checks import refuse
from tf_kit.data import fetch, fingerprint, folder, loading
from tf_kit.data.array_files import ArrayFile, is_array_file
from tf_kit.data.array_scale import refuse_another_scale
from tf_kit.data.copies import first_of
from tf_kit.data.fingerprint import Changes, Fingerprint
from tf_kit.data.folder import Folder
from tf_kit.data.overlap import fingerprints
from tf_kit.data.pictures import clean
from tf_kit.runs import recorded_data, training_data
from tf_kit.runs.examples import Examples
from tf_kit.runs.inputs import recorded_divisor
from tf_kit.runs.recorded_division import divide_as_recorded, fitted_files, parts_recorded


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Examples to train and test a classifier on.

    Args:
        train, val, test: the examples.
        notes: what was left out, each in one line.
        seen: number of test images that the pretraining has seen, without their labels.
        unchecked: why it is not known which test images the pretraining has seen; "" if it is known.
        contents: fingerprint of the examples: of a folder only its images that are used, so it may grow.
    """

    train: Examples
    val: Examples
    test: Examples
    notes: tuple[str, ...] = ()
    seen: int = 0
    unchecked: str = ""
    contents: Fingerprint | None = None


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
    if name is None:
        own |= {} if data_dir is None else {"data_dir": data_dir}
        _refuse_gone(function, pretrained, labels_file)
    is_folder = loading.is_folder(place, data_dir or own.get("data_dir"))
    if labels_file is not None and not is_folder and not is_array_file(place):
        received = f"labels_file={str(labels_file)!r} for {place}"
        refuse(f"{function}.labels_file", "be left out for data sets, which have labels", received)
    if name is None and labels_file is None:
        labelled = _without_overlap(subject, _own_examples(function, run_folder, pretrained, own, is_folder))
        contents = _contents(labelled, place, own.get("data_dir"), own.get("labels_file"))
        return dataclasses.replace(labelled, contents=contents)
    unchecked = _unchecked(pretrained)
    by_file = (
        _seen_by_file(run_folder, pretrained, place, shape, labels_file) if unchecked and is_folder else None
    )
    if by_file is not None:
        unchecked, (seen, notes) = "", by_file
    else:
        seen, notes = (set(), [unchecked]) if unchecked else _seen(run_folder, pretrained, own)
    if not is_folder:
        own_size = own.get("image_size") if name is None else None
        labelled = _of_set(subject, place, shape, data_dir or own.get("data_dir"), labels_file, own_size)
        if isinstance(labelled.train.found, ArrayFile):
            refuse_another_scale(labelled.train.found, recorded_divisor(run_folder))
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
    contents = _contents(labelled, place, data_dir or own.get("data_dir"), labels_file)
    notes = (*notes, *labelled.notes)
    return dataclasses.replace(labelled, seen=sum(hit), notes=notes, contents=contents, unchecked=unchecked)


def _contents(labelled, place, data_dir, labels_file):
    """Compute the fingerprint of the examples: images and classes in a folder, or the whole of a data set."""
    found = labelled.train.found
    if not isinstance(found, Folder):
        return training_data.with_labels(fingerprint.of_set(place, data_dir), labels_file)
    used = np.sort(np.concatenate([each.indices for each in (labelled.train, labelled.val, labelled.test)]))
    classes = {"classes of the images": found.y[used].astype("int64")}
    return found.contents.of(used) | fingerprint.of_arrays(str(found.path), classes)


def _own_examples(function, run_folder, pretrained, own, is_folder):
    """Examples of the pretraining's data, divided as they were then."""
    recorded = recorded_data.read(run_folder)
    notes = () if recorded is not None else (f"{run_folder} {recorded_data.MISSING}",)
    if not is_folder:
        # A set that is not on this machine is downloaded, as by `load`.
        if not is_array_file(pretrained["data"]):
            fetch.downloaded(pretrained["data"], data_dir=own.get("data_dir"))
        if recorded is not None:
            now = fingerprint.of_set(pretrained["data"], own.get("data_dir"))
            _refuse_changed(function, recorded, training_data.with_labels(now, own.get("labels_file")))
        how = {each: own[each] for each in own if each != "color"}
        seed = pretrained.get("split_seed", 0)
        if is_array_file(pretrained["data"]):
            how.pop("data_dir", None)
            arrays = loading.read_arrays(pretrained["data"], **how)
            labelled = _of_arrays(f"{function}.data", arrays, None, seed)
            return dataclasses.replace(labelled, notes=(*notes, *labelled.notes))
        splits = data.load(pretrained["data"], seed=seed, **how)
        if not splits[0].num_classes:
            training_data.refuse_without_labels(f"{function}.data", pretrained["data"])
        return Labelled(*(Examples(each.y, each.class_names, each.x) for each in splits), notes=notes)
    how = {each: own[each] for each in own if each != "data_dir"}
    found = folder.scan(pretrained["data"], **how, needs_labels=False)  # new images are not used
    left_out = (f"{clean(found.path)}: {found.warning}",) if found.warning else ()
    parts = None
    if recorded is None:
        files = pretrained.get("files")
        if files and found.fingerprint != files:
            found, parts, line = divide_as_recorded(function, run_folder, found, pretrained)
            notes = (*notes, line)
    else:
        now = training_data.with_labels(found.contents, own.get("labels_file"))
        changes = _refuse_changed(function, recorded, now)
        if changes:
            found, parts, _ = divide_as_recorded(function, run_folder, found, pretrained)
            notes = _growth(found, changes)
    if not found.class_names:
        training_data.refuse_without_labels(f"{function}.data", pretrained["data"])
    folder.check_classes(found)
    parts = folder.parts(found, 0) if parts is None else parts
    return dataclasses.replace(_examples(found, parts), notes=(*left_out, *notes))


def _refuse_changed(function, recorded, now):
    """Return what was added to the data of a pretraining; refuse images of then that are gone or are others now."""
    changes = recorded.changes(now)
    if changes is not None and not _images(changes.changed) and not _images(changes.removed):
        return changes
    received = f"{now.place}, where {recorded.text(now)}"
    again = "Put back what it was, or pretrain again in another folder"
    refuse(
        f"{function}.folder",
        "find the data of its pretraining as they were",
        received,
        f"{again}; `data={now.place!r}, test_on_seen=True` takes them as they are",
        flag="RUN",
        typed_remedy=f"{again}; `--data {shlex.quote(now.place)} --test-on-seen` takes them as they are",
    )


def _images(names):
    return [name for name in names if not name.startswith(training_data.LABELS)]


def _growth(found, changes):
    """Describe what was added to a folder since the pretraining."""
    added = Changes(added=tuple(_images(changes.added))).text()
    labels = sorted({*changes.changed, *changes.removed, *changes.added} - {*_images(changes.added)})
    notes = (
        [f"{found.path} has grown since the pretraining, and new images are not used: {added}"]
        if added
        else []
    )
    return (
        *notes,
        *(f"{name} have changed since the pretraining; the images keep their parts" for name in labels),
    )


def _examples(found, parts):
    """Make the labelled examples of a folder or a file of arrays, as arrays if they are small enough."""
    labelled = [part[found.y[part] >= 0] for part in parts]
    size_bytes = 4 * sum(map(len, labelled)) * math.prod(found.shape)
    if size_bytes > training_data.STREAM_ABOVE_BYTES:
        return Labelled(*(Examples(found.y[each], found.class_names, None, found, each) for each in labelled))
    x = found.examples(np.concatenate(labelled))
    pieces = np.split(x, np.cumsum([len(each) for each in labelled])[:-1])
    return Labelled(
        *(
            Examples(found.y[each], found.class_names, piece, found, each)
            for each, piece in zip(labelled, pieces, strict=True)
        )
    )


def _of_arrays(subject, found, shape, seed):
    """Make the labelled examples of a file of arrays; grey images get three channels where the shape has them."""
    if not found.class_names:
        training_data.refuse_without_labels(subject, found.path)
    if shape is not None and found.shape == (*shape[:-1], 1) and shape[-1] == 3:
        found = dataclasses.replace(found, in_color=True)
    if shape is not None and found.shape != tuple(shape):
        _refuse_shape(subject, found.path, found.shape, tuple(shape))
    notes = (f"{clean(found.path)}: {found.warning}",) if found.warning else ()
    return dataclasses.replace(_examples(found, folder.parts(found, seed)), notes=notes)


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
    found, indices = part.found, part.indices[places]
    if isinstance(found, ArrayFile):
        names = [f"{clean(found.path.name)}[{i}]" for i in indices]
    else:
        names = [clean(found.files[i].relative_to(found.path)) for i in indices]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _gone(pretrained):
    """List (path, kind) of what the pretraining was fitted on and is no longer there: its data, its labels."""
    paths = [(pretrained["data"], "data"), (pretrained.get("labels_file"), "labels")]
    return [
        (path, kind) for path, kind in paths if path and Path(path).is_absolute() and not Path(path).exists()
    ]


def _refuse_gone(function, pretrained, labels_file):
    """Refuse to use the data of a pretraining that are no longer there, as on another machine."""
    for place, kind in _gone(pretrained):
        if kind == "data" or labels_file is None:
            requirement = f"find the {kind} of its pretraining"
            received = f"{clean(place)}, which does not exist"
            remedies = {
                "remedy": "Put it back, or name labelled images with `data`",
                "typed_remedy": "Put it back, or name labelled images with `--data`",
            }
            refuse(f"{function}.folder", requirement, received, **remedies, flag="RUN")


def _unchecked(pretrained):
    """Describe why it is not known which images the pretraining was fitted on; "" if they are still there."""
    gone = _gone(pretrained)
    if not gone:
        return ""
    place, kind = gone[0]
    return (
        f"{clean(place)}, the {kind} of the pretraining, are no longer there, so whether test images were seen in "
        "pretraining is not known"
    )


def _seen_by_file(run_folder, pretrained, place, shape, labels_file):
    """Fingerprints of the images of a folder whose files those of a folder that is gone were, and a note.

    None if it is not recorded which files they were.
    """
    recorded = recorded_data.read(run_folder)
    fitted = fitted_files(run_folder, recorded.entries) if recorded and recorded.entries else None
    if fitted is None or len(shape) != 3:
        return None
    how: dict[str, Any] = {"color": _color(shape), "labels_file": labels_file}
    found = folder.scan(place, tuple(shape[:2]), **how, needs_labels=False)
    same = [i for i, entry in enumerate(found.contents.entries.values()) if entry in fitted]
    gone, kind = _gone(pretrained)[0]
    note = (
        f"{clean(gone)}, the {kind} of the pretraining, are no longer there, so the files in {clean(place)} are "
        f"compared with those in its record: {len(same):,} of {len(found):,} were seen"
    )
    return set(fingerprints(folder.read_images(found, np.array(same, int)))), [note]


def _color(shape):
    return folder.COLORS[shape[2] == 3]


def _seen(run_folder, pretrained, own):
    """Fingerprints of the images that the pretraining was fitted on, and notes.

    Of a folder that has changed in other ways than by growth, all images count as seen.
    """
    place, files = pretrained["data"], pretrained.get("files")
    now = training_data.training_data(place, **own)
    seen = set(fingerprints(now.stream(0, 1, seed=0) if now.stream else now.x))
    recorded = recorded_data.read(run_folder)
    if recorded is None:
        same, notes = now.found is None or now.files == files, [f"{run_folder} {recorded_data.MISSING}"]
    else:
        changes, notes = recorded.changes(now.contents), []
        same = changes is not None and not changes
        if (
            changes
            and now.found is not None
            and not _images(changes.changed)
            and not _images(changes.removed)
        ):
            return _seen_before_growth(run_folder, now.found), []
        if not same:
            line = "so images that it has seen may be among the test examples"
            notes = [
                f"{now.contents.place} has changed since the pretraining, {line}: {recorded.text(now.contents)}"
            ]
    if now.found is not None and not same:
        seen |= set(fingerprints(folder.read_images(now.found, np.arange(len(now.found)))))
    return seen, notes


def _seen_before_growth(run_folder, found):
    """Fingerprints of the images of a folder that has grown, without those that were added."""
    part = parts_recorded(run_folder, found)
    all_were_used = found.y is None and found.part is None
    fitted = np.flatnonzero(part >= 0 if all_were_used else part == 0)
    return set(fingerprints(folder.read_images(found, fitted)))


def _other_folder(function, place, shape, labels_file, seen):
    """Examples of another folder, or of the pretraining's with labels from a file."""
    if len(shape) != 3 or shape[2] not in (1, 3):
        received = f"{clean(place)} for examples of shape {shape}"
        refuse(
            f"{function}.data", "be a data set as in the pretraining, not a folder", received, flag="--data"
        )
    found = folder.scan(place, tuple(shape[:2]), color=_color(shape), labels_file=labels_file)
    if not found.class_names:
        training_data.refuse_without_labels(f"{function}.data", place)
    # Images are copies of each other if they have equal pixels at this size, whatever their files.
    whole = Examples(np.zeros(len(found), "int64"), (), None, found, np.arange(len(found)))
    unlabelled = dataclasses.replace(found, y=np.zeros(len(found), "int64"))
    prints = dataclasses.replace(whole, found=unlabelled).prints()
    part = np.zeros(len(found), int) if found.part is None else found.part
    original = first_of(zip(prints, part.tolist(), strict=True))
    parts = folder.parts(
        dataclasses.replace(found, original=original),
        0,
        seen=np.array([each in seen for each in prints], bool),
    )
    notes = (f"{clean(place)}: {found.summary}",)
    labelled = dataclasses.replace(_examples(found, parts), notes=notes)
    return _without_overlap(f"{function}.data", labelled) if found.part is not None else labelled


def _refuse_shape(subject, name, found, wanted):
    """Refuse images whose shape is not that of the pretraining; the remedy is for another height and width."""
    remedies = {}
    if len(found) == len(wanted) and found[-1] == wanted[-1]:
        typed = str(found[0]) if found[0] == found[1] else f"{found[0]},{found[1]}"
        remedies = {
            "remedy": f"A pretraining with image_size={found[:2]} gets images of this size",
            "typed_remedy": f"A pretraining with `--image-size {typed}` gets images of this size",
        }
    requirement = f"have images of {'×'.join(map(str, wanted))}, as in the pretraining"
    refuse(subject, requirement, f"{name}, {found}", **remedies, flag="--data")


def _of_set(subject, name, shape, data_dir, labels_file, image_size):
    """Load a data set or a file of arrays with images of a shape; grey ones get three channels."""
    if is_array_file(name):
        arrays = loading.read_arrays(name, labels_file=labels_file, image_size=image_size)
        return _of_arrays(subject, arrays, shape, 0)
    splits = data.load(name, seed=0, data_dir=data_dir, labels_file=labels_file, image_size=image_size)
    if not splits[0].num_classes:
        training_data.refuse_without_labels(subject, name)
    found = []
    for each in splits:
        x = each.x
        if x.shape[1:] == (*shape[:-1], 1) and shape[-1] == 3:
            x = np.repeat(x, 3, axis=-1)
        if x.shape[1:] != tuple(shape):
            _refuse_shape(subject, name, x.shape[1:], tuple(shape))
        found.append(Examples(each.y, each.class_names, x))
    return Labelled(*found)
