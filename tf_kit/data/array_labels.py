"""Classes of the examples in a file of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.pictures import clean


def classes_of(
    path: Path,
    sizes: Mapping[int | None, int],
    labels: Mapping[int | None, np.ndarray],
    names: np.ndarray | None,
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the class of each example, −1 without one, and the names of the classes; None and () without labels.

    Args:
        path: the file, for messages.
        sizes: part → number of its examples.
        labels: part → array of classes: whole numbers or text.
        names: names of the classes that are numbers, or None.

    Raises:
        InputError: the labels are not one class for each example.
    """
    if not labels:
        return None, ()
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
            refuse(
                f"{clean(path)}: labels", "hold one class for each example", received, remedy, flag="--data"
            )
        values.append(_values(path, flat))
    y = np.concatenate(values)
    different = {each for each in y if each is not None}
    if len({type(each) for each in different}) > 1:
        refuse(f"{clean(path)}: labels", "be all whole numbers or all text", "both", flag="--data")
    known = sorted(different)
    are_numbers = bool(known) and isinstance(known[0], int)
    if are_numbers and names is not None and names.ndim == 1 and len(names) > known[-1]:
        class_names = tuple(str(names[each]) for each in known)
    else:
        class_names = tuple(str(each) for each in known)
    number = {each: i for i, each in enumerate(known)} | {None: -1}
    return np.array([number[each] for each in y], "int64"), class_names


def _values(path, y):
    """Convert labels to an array of int or str; None for an example without one."""
    if y.dtype.kind in "US":
        text = y.astype(str) if y.dtype.kind == "U" else np.char.decode(y, "utf-8", "replace")
        return np.array([each.strip() or None for each in text.tolist()] or [], object)
    if y.dtype.kind not in "buif":
        refuse(f"{clean(path)}: labels", "hold whole numbers or text", f"dtype {y.dtype}", flag="--data")
    missing = ~np.isfinite(y) if y.dtype.kind == "f" else np.zeros(len(y), bool)
    whole = np.where(missing, -1, y)
    if (whole != np.floor(whole)).any():
        refuse(
            f"{clean(path)}: labels", "hold whole numbers or text", f"first {y[:3].tolist()}", flag="--data"
        )
    return np.array([int(each) if each >= 0 else None for each in whole.tolist()], object)
