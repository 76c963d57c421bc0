"""Labels in a CSV file: one row per image, with its file name and its class."""

import collections
import csv
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.data.owners import PARTS, part_of
from tf_kit.data.pictures import clean

_FILE = [
    "file",
    "filename",
    "file_name",
    "name",
    "image",
    "image_name",
    "image_path",
    "img",
    "path",
    "filepath",
    "image_id",
    "id",
]
_LABEL = [
    "label",
    "labels",
    "class",
    "class_name",
    "classname",
    "category",
    "target",
    "species",
    "breed",
    "y",
]
_SPLIT = ["split", "part", "subset", "fold", "set"]


@dataclasses.dataclass(frozen=True)
class LabelsFile:
    """Classes of images by the rows of a CSV file.

    Args:
        labels: class of each image, by its index among the files; "" without a class.
        parts: TRAIN, VAL or TEST of each image by its index; empty if the file has no column for it.
        missing: names in the file that are not the name of an image.
    """

    labels: Mapping[int, str]
    parts: Mapping[int, int]
    missing: tuple[str, ...]


def read_labels(path: str | Path, root: Path, files: Sequence[Path]) -> LabelsFile:
    """Read the classes of images from a CSV file.

    The columns are found by their names in the first row (`file`, `label`, and perhaps `split`; also names such as
    `image`, `class`), otherwise the first column is the file and the second the class. A file is given by its path
    relative to the folder, by its name, or by its name without ending. The delimiter is a comma, semicolon or tab.

    Args:
        path: the CSV file.
        root: folder of the images.
        files: the images.

    Raises:
        InputError: the file cannot be read, a row has no class column, names no image or several, or two rows give
            one image different classes.
    """
    path = Path(path).expanduser()
    rows = _rows(path)
    columns = _columns(rows[0]) if rows else None
    if columns:
        rows = rows[1:]
    file, label, split = columns or (0, 1, None)
    places = _places(root, files)
    labels: dict[int, str] = {}
    parts: dict[int, int] = {}
    missing = []
    for number, row in rows:
        if len(row) <= max(file, label):
            requirement = "hold a file name and a class in each row, separated by a comma"
            refuse(path, requirement, f"row {number}: {','.join(row)}", flag="--labels-file")
        index = _find(path, number, row[file], places)
        if index is None:
            missing.append(row[file].strip())
            continue
        found = row[label].strip()
        if labels.setdefault(index, found) != found:
            received = f"{row[file].strip()} as {labels[index]} and, in row {number}, as {found}"
            refuse(path, "give each image one class", received, flag="--labels-file")
        if split is not None and len(row) > split and (part := part_of(row[split])) is not None:
            parts[index] = part if part < len(PARTS) else 0
    if not any(labels.values()):
        first = f"; it begins with {missing[0]}" if missing else ""
        received = f"{len(rows)} rows, none for the images in {clean(root)}{first}"
        requirement = "give classes to images of the folder, by their paths relative to it"
        refuse(path, requirement, received, flag="--labels-file")
    return LabelsFile(labels, parts, tuple(missing))


def _rows(path):
    """Pairs (line number, cells) of the rows that are not empty."""
    if not os.path.isfile(path):
        is_there = "a folder" if os.path.isdir(path) else "which does not exist"
        refuse("load.labels_file", "be a CSV file", f"{clean(path)}, {is_there}", flag="--labels-file")
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", "replace")
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]


def _columns(row):
    """Numbers of the columns of file, class and split by the first row; None if it is not a header."""
    names = [cell.strip().lower().replace(" ", "_").replace("-", "_") for cell in row[1]]
    file, label, split = (
        next((names.index(each) for each in known if each in names), None)
        for known in (_FILE, _LABEL, _SPLIT)
    )
    if label is None:
        return None
    return (file if file is not None else 0 if label else 1), label, split


def _places(root, files):
    """Map relative paths, and names and stems as far as they are unique, to the indices of the files."""
    places = collections.defaultdict(list)
    for index, file in enumerate(files):
        relative = file.relative_to(root)
        for name in {relative.as_posix(), file.name, file.stem, relative.with_suffix("").as_posix()}:
            places[name].append(index)
    exact = {file.relative_to(root).as_posix(): [index] for index, file in enumerate(files)}
    return places | exact


def _find(path, number, name, places):
    name = name.strip().replace("\\", "/")
    found = places.get(name.removeprefix("./")) or places.get(name.rsplit("/", 1)[-1]) or []
    if len(found) > 1:
        received = f"{name} in row {number}, the name of {len(found)} images"
        refuse(path, "name each image by its path relative to the folder", received, flag="--labels-file")
    return found[0] if found else None


def class_names(labels: LabelsFile) -> tuple[str, ...]:
    """Return the classes in the file: by value if all are whole numbers, otherwise in alphabetical order."""
    found = {label for label in labels.labels.values() if label}
    numeric = all(label.isdigit() for label in found)
    return tuple(sorted(found, key=(lambda each: (int(each), each)) if numeric else None))
