"""Division of the images of a folder as a pretraining recorded it, which survives a change of the folder."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data import folder
from tf_kit.data.fingerprint import Entries
from tf_kit.data.folder import Folder
from tf_kit.data.owners import PARTS
from tf_kit.runs.files import replacing

# Of a run: file, bytes and part of each image of its folder, and whether it was fitted on.
RECORD = "images.csv"


def record_division(run_folder: Path, found: Folder) -> None:
    """Write the images of a folder with their parts into a run; so the division survives a change of the folder."""
    part = np.zeros(len(found), int)
    for k, indices in enumerate(folder.parts(found, 0)):
        part[indices] = k
    all_are_fitted = found.y is None and found.part is None
    with (
        replacing(run_folder / RECORD) as path,
        path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["file", "bytes", "part", "fitted"])
        for (name, (size, _)), k in zip(found.contents.entries.items(), part, strict=True):
            writer.writerow([name, size, PARTS[k], "yes" if all_are_fitted or k == 0 else "no"])


def divide_as_recorded(
    function: str, run_folder: Path, found: Folder, pretrained: Mapping[str, Any]
) -> tuple[Folder, list[np.ndarray], str]:
    """Divide a folder that has changed as a run recorded it; images that are new are not used.

    Args:
        function: name of the caller, for messages.
        run_folder: run folder of the pretraining.
        found: the folder today.
        pretrained: options of the pretraining.

    Returns:
        The folder with the recorded images only, its train, val and test, and one line about the changes.

    Raises:
        InputError: the record is missing or damaged, or a part has lost all its images.
    """
    if not (run_folder / RECORD).is_file():
        requirement = "find the images of its pretraining as they were"
        received = f"{found.path} with {found.fingerprint}; the pretraining began with {pretrained['files']}"
        remedy = "The split depends on the images, so pretrain again on the folder as it is"
        refuse(f"{function}.folder", requirement, received, remedy, flag="RUN")
    part = parts_recorded(run_folder, found)
    new, gone = int((part < 0).sum()), len(_read_record(run_folder)) - int((part >= 0).sum())
    parts = [np.flatnonzero(part[part >= 0] == k) for k in range(len(PARTS))]
    changes = [
        f"{new:,} new or changed images are not used" if new else "",
        f"{gone:,} are gone" if gone else "",
    ]
    if any(len(each) == 0 for each in parts):
        received = f"{found.path}, where {' and '.join(filter(None, changes))}"
        refuse(f"{function}.folder", "find images of its pretraining", received, flag="RUN")
    line = f"{found.path} has changed since the pretraining: {', '.join(filter(None, changes))}"
    return _only(found, np.flatnonzero(part >= 0)), parts, line


def _read_record(run_folder):
    """Map the name and the bytes of each image to its part."""
    path = run_folder / RECORD
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
        known = {(row["file"], int(row["bytes"])): PARTS.index(row["part"]) for row in rows}
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        known = {}
    if not known:
        remedy = "The division of the images is lost, so pretrain again in another folder"
        refuse(RECORD, "be the readable record of the images of a run", f"{path}", remedy)
    return known


def parts_recorded(run_folder: Path, found: Folder) -> np.ndarray:
    """Part of each image of a folder in the pretraining, −1 for images that it did not have."""
    known = _read_record(run_folder)
    keys = [(name, size) for name, (size, _) in found.contents.entries.items()]
    return np.array([known.get(key, -1) for key in keys])


def fitted_files(run_folder: Path, entries: Entries) -> set[tuple[int, str]] | None:
    """Bytes and hash of each image file that a pretraining was fitted on.

    Args:
        run_folder: run folder of the pretraining.
        entries: bytes and hash of each file of its data, from `recorded_data`.

    Returns:
        A set; None if an older version or another kind of data left no such record.
    """
    try:
        with (run_folder / RECORD).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            fitted = [row["file"] for row in csv.DictReader(file) if row["fitted"] == "yes"]
        return {entries[name] for name in fitted}
    except (OSError, KeyError, ValueError, csv.Error):
        return None


def _only(found, kept):
    """Return a folder with some of its images, and with the classes of these."""
    y, names = found.y, found.class_names
    if y is not None:
        present = np.unique(y[kept][y[kept] >= 0])
        y = np.where(y[kept] >= 0, np.searchsorted(present, y[kept]), -1)
        names = tuple(names[i] for i in present)
    return dataclasses.replace(
        found,
        files=tuple(found.files[i] for i in kept),
        y=y,
        class_names=names,
        part=None if found.part is None else found.part[kept],
        original=np.arange(len(kept)),
        as_is=found.as_is[kept],
        contents=found.contents.of(kept),
    )
