"""Classes of the examples in a file of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.listing import some
from tf_kit.data.missing_labels import without_class
from tf_kit.data.pictures import clean


def classes_of(
    path: Path,
    sizes: Mapping[int | None, int],
    labels: Mapping[int | None, np.ndarray],
    names: np.ndarray | None,
    labels_file: str | Path | None = None,
    notes: list[str] | None = None,
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the class of each example, −1 without one, and the names of the classes; None and () without labels.

    Args:
        path: the file, for messages.
        sizes: part → number of its examples.
        labels: part → array of classes: whole numbers or text.
        names: names of the classes that are numbers, from 0 or from 1, or None.
        labels_file: the file of the labels, if it is another one. Defaults to None.
        notes: list to which texts that mean no class, such as NaN, are appended. Defaults to None.

    Raises:
        InputError: the labels are not one class for each example, negative numbers may be classes, or the names are
            not one for each class.
    """
    if not labels:
        return None, ()
    subject, flag = f"{clean(path)}: labels", "--data"
    if labels_file is not None:
        subject, flag = clean(labels_file), "--labels-file"
    values = []
    for part, n in sizes.items():
        y = labels.get(part)
        if y is None:
            values.append(np.full(n, None, object))
            continue
        flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if flat.shape != (n,):
            remedy = "y.argmax(-1) gives the classes of one-hot vectors" if y.ndim == 2 else ""
            received = f"{y.shape} for {n:,} examples"
            refuse(subject, "hold one class for each example", received, remedy, flag=flag)
        values.append(_values(subject, flag, flat))
    y = np.concatenate(values)
    different = {each for each in y if each is not None}
    if len({type(each) for each in different}) > 1:
        refuse(subject, "be all whole numbers or all text", "both", flag=flag)
    missing = without_class(subject, different, flag)
    words = sorted(each for each in missing if isinstance(each, str))
    if words and notes is not None:
        notes.append(f"no class for the label {some(words)}")
    known = sorted(different - missing)
    are_numbers = bool(known) and isinstance(known[0], int)
    if are_numbers and names is not None:
        class_names = _named(path, known, names)
    else:
        class_names = tuple(str(each) for each in known)
    number = {each: i for i, each in enumerate(known)}
    return np.array([number.get(each, -1) for each in y], "int64"), class_names


def _named(path, known, names):
    """Names of the classes `known`, ascending numbers; the first name is of class 0, or of 1 if there are that many."""
    count = names.size if names.ndim == 1 else 0
    first = 1 if known[0] > 0 and count == known[-1] else 0
    if names.ndim != 1 or count <= known[-1] - first:
        received = f"shape {names.shape}, and classes from {known[0]} to {known[-1]}"
        remedy = "Leave the names out if there are none"
        refuse(f"{clean(path)}: names", "hold one name for each class", received, remedy, flag="--data")
    found = tuple(str(each) for each in _as_text(names[[each - first for each in known]]).tolist())
    if len(set(found)) < len(found):
        received = next(each for each in found if found.count(each) > 1)
        requirement = "hold different names for different classes"
        refuse(f"{clean(path)}: names", requirement, f"{received} for two", flag="--data")
    return found


def _as_text(array):
    """Decode an array of bytes."""
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def _values(subject, flag, y):
    """Convert labels to an array of int or str; None for an example without one."""
    if y.dtype.kind in "US":
        return np.array([each.strip() or None for each in _as_text(y).tolist()] or [], object)
    if y.dtype.kind not in "buif":
        refuse(subject, "hold whole numbers or text", f"dtype {y.dtype}", flag=flag)
    missing = ~np.isfinite(y) if y.dtype.kind == "f" else np.zeros(len(y), bool)
    whole = np.where(missing, -1, y)
    if (whole != np.floor(whole)).any():
        refuse(subject, "hold whole numbers or text", f"first {y[:3].tolist()}", flag=flag)
    pairs = zip(whole.tolist(), missing.tolist(), strict=True)
    return np.array([None if is_missing else int(each) for each, is_missing in pairs], object)
