"""Labels in a CSV file: one row per image, with its file name and its class."""

import collections
import csv
import dataclasses
import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.data.listing import names_below, some
from tf_kit.data.missing_labels import without_class
from tf_kit.data.owners import PARTS, TRAIN, UNLABELLED, part_of
from tf_kit.data.pictures import clean
from tf_kit.encoding import decoded
from tf_kit.tables import separated

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
_SPLIT = ["split", "part", "subset", "fold", "set", "usage"]
_LONGEST_NUMBER = 4300  # digits that Python converts


@dataclasses.dataclass(frozen=True)
class LabelsFile:
    """Classes of images by the rows of a CSV file.

    Args:
        labels: class of each image, by its index among the files; "" without a class.
        parts: TRAIN, VAL or TEST of each image by its index; empty if the file has no column for it.
        missing: names in the file that are not the name of an image.
        notes: columns that are ignored and labels that mean no class, each in one line.
    """

    labels: Mapping[int, str]
    parts: Mapping[int, int]
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()


def refuse_both(unlabeled: bool, labels_file: str | Path | None) -> None:
    """Refuse a file of labels for images that are to be taken without classes."""
    if unlabeled and labels_file is not None:
        received = f"labels_file={str(labels_file)!r} and unlabeled=True"
        refuse("load.unlabeled", "be left out with a file of labels", received, flag="--unlabeled")


def read_labels(path: str | Path, root: Path, files: Sequence[Path]) -> LabelsFile:
    """Read the classes of images from a CSV file.

    The columns are found by their names in the first row (`file`, `label`, and perhaps `split`; also names such as
    `image`, `class`), otherwise the first column is the file and the second the class. A file is given by its path
    relative to the folder, by its name, or by its name without ending; the path may begin above the folder or below
    it. The delimiter is a comma, semicolon or tab. A column for the part holds `train`, `val`, `test` (or another
    usual name), `unlabeled` for an image whose class is not used, or nothing, which means train. It is ignored if no
    row has one of these, as in a column of numbered folds. Of several columns of the same classes the first is taken.
    An image has no class if its label is empty, NaN or a negative number. Notes say what is ignored.

    Args:
        path: the CSV file.
        root: folder of the images.
        files: the images.

    Raises:
        InputError: the file cannot be read, its column of classes is not known, several columns have different
            classes or parts, a row has no class column, names several images or an unknown part, two rows give one
            image different classes or parts, or negative numbers may be classes.
    """
    path = Path(path).expanduser()
    rows = _rows(path)
    columns = _columns(path, rows[0]) if rows else None
    notes: list[str] = []
    file, label, divided = 0, 1, {}
    if columns:
        header, rows = [each.strip() for each in rows[0][1]], rows[1:]
        file, classes, splits = columns
        label = _of_classes(path, rows, classes, header, notes)
        divided = _of_parts(path, rows, splits, header, notes)
    places = _places(root, files)
    labels: dict[int, str] = {}
    parts: dict[int, int] = {}
    missing = []
    for number, row in rows:
        if len(row) <= max(file, label):
            requirement = "hold a file name and a class in each row, separated by a comma"
            refuse(path, requirement, f"row {number}: {','.join(row)}", flag="--labels-file")
        if "\n" in (row[file] + row[label]).strip():  # of an open quote, which ends at the next one
            line = " ".join(f"{row[file]},{row[label]}".split())
            requirement = "hold a file name and a class in each row, without a line break"
            received = f"row {number}: {line[:40]}…"
            refuse(path, requirement, received, "Close each quote that is opened", flag="--labels-file")
        index = _find(path, number, row[file], places)
        if index is None:
            missing.append(row[file].strip())
            continue
        part = divided.get(number)
        found = "" if part == UNLABELLED else row[label].strip()
        row_of_it = (path, number, row[file].strip())
        _check_same(row_of_it, "give each image one class", labels.setdefault(index, found), found)
        if part is not None:
            part = TRAIN if part == UNLABELLED else part
            earlier = parts.setdefault(index, part)
            _check_same(row_of_it, "have each image in one part", PARTS[earlier], PARTS[part])
    labels = _with_classes(path, labels, notes)
    if not any(labels.values()):
        first = f"; it begins with {missing[0]}" if missing else ""
        received = f"{len(rows)} rows, none for the images in {clean(root)}{first}"
        requirement = "give classes to images of the folder, by their paths relative to it"
        refuse(path, requirement, received, flag="--labels-file")
    return LabelsFile(labels, parts, tuple(missing), tuple(notes))


def _with_classes(path, labels, notes):
    """Replace the labels that mean no class by "", and note them."""
    without = without_class(str(path), labels.values(), "--labels-file") - {""}
    for each in sorted(without):
        n = list(labels.values()).count(each)
        notes.append(f"{n:,} image{'s' * (n != 1)} without a class in {path.name}: {clean(each)}")
    return {index: "" if each in without else each for index, each in labels.items()}


def _check_same(row, requirement, earlier, now):
    path, number, name = row
    if earlier != now:
        refuse(path, requirement, f"{name} as {earlier} and, in row {number}, as {now}", flag="--labels-file")


def _cell(row, column):
    return row[column].strip() if len(row) > column else ""


def _of_classes(path, rows, columns, header, notes):
    """Number of the column of classes; others with the same classes under other names are noted."""
    first, *others = columns
    for other in others:
        pairs = {(_cell(row, first), _cell(row, other)) for _, row in rows}
        if any(len(pairs) != len(set(side)) for side in zip(*pairs, strict=True)):
            received = f"{clean(header[first])} and {clean(header[other])}, which have different classes"
            remedy = "Remove or rename the others"
            refuse(path, "have one column of classes", received, remedy, flag="--labels-file")
        notes.append(
            f"Column {clean(header[other])} of {path.name} ignored: the same classes as in {clean(header[first])}"
        )
    return first


def _of_parts(path, rows, columns, header, notes):
    """Map the number of each row with a part to its part; columns without any part are noted."""
    divided, by = {}, ""
    for column in columns:
        name = clean(header[column])
        found = _divided(path, rows, column, name)
        if divided and found and found != divided:
            received = f"{by} and {name}, which have different parts"
            refuse(path, "have one column of parts", received, "Remove or rename one", flag="--labels-file")
        if not found and any(_cell(row, column) for _, row in rows):
            notes.append(f"Column {name} of {path.name} ignored: no train, val or test in it")
        if found and not divided:
            divided, by = found, name
    return divided


def _divided(path, rows, split, name):
    """Map the number of each row with a part to its part; empty if the column is for something else."""
    values = {number: value for number, row in rows if (value := _cell(row, split))}
    parts = {number: part for number, value in values.items() if (part := part_of(value)) is not None}
    unknown = sorted(values.keys() - parts.keys())
    if parts and unknown:
        requirement = f"hold train, val, test, unlabeled or nothing in each row of its column {name}"
        received = f"{values[unknown[0]]}, row {unknown[0]}"
        remedy = "Rename the value, or the column if it is not a division"
        refuse(path, requirement, received, remedy, flag="--labels-file")
    return parts


def _rows(path):
    """Pairs (line number, cells) of the rows that are not empty."""
    if not os.path.isfile(path):
        is_there = "a folder" if os.path.isdir(path) else "which does not exist"
        refuse("load.labels_file", "be a CSV file", f"{clean(path)}, {is_there}", flag="--labels-file")
    text, _ = decoded(path.read_bytes())
    if "\0" in text:  # of a spreadsheet, or a file of arrays
        received, remedy = f"{clean(path)}, which is no text", "Save the table as CSV in UTF-8"
        refuse("load.labels_file", "be a CSV file", received, remedy, flag="--labels-file")
    lines = "\n".join([*text.splitlines(), ""])
    rows, delimiter = separated(lines)
    first = lines.count("\n") - rows.count("\n")  # lines above the table
    reader = csv.reader(rows.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True)
    try:
        return [(first + reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:  # a cell above the limit of the module, most often after an open quote
        requirement = f"be a CSV file with cells of at most {csv.field_size_limit():,} characters"
        received = f"line {first + reader.line_num}: {error}"
        refuse(path, requirement, received, "Close each quote that is opened", flag="--labels-file")


def _columns(path, row):
    """Numbers of the column of files, and of those of classes and of parts by the first row; None without a header."""
    cells = [cell.strip() for cell in row[1] if cell.strip()]
    names = [cell.strip().lower().replace(" ", "_").replace("-", "_") for cell in row[1]]
    files, classes, splits = (
        [i for each in known for i, name in enumerate(names) if name == each]
        for known in (_FILE, _LABEL, _SPLIT)
    )
    if not classes and len(cells) > 2:  # of which any may be the class, or each is one class of several
        requirement = f"name its column of classes in the first row, as {_LABEL[0]} or {_LABEL[2]}"
        remedy = "Give the name of the class in one column"
        refuse(path, requirement, f"the columns {some(cells)}", remedy, flag="--labels-file")
    if not classes:
        return None
    classes = [i for i in classes if names[i] != _LABEL[-1]] or classes  # next to `label` it is a coordinate
    return (files[0] if files else 0 if classes[0] else 1), classes, splits


def _places(root, files):
    """Map the paths of the images, and the ends of these paths, to the indices of the files.

    The ends of `dog/x.png` are itself and `x.png`. All are there without the ending of the file too, as far as they
    are not the whole path of another. Accents are part of their letters (NFC), as systems write them in two ways.
    """
    paths, ends = collections.defaultdict(list), collections.defaultdict(list)
    for index, file in enumerate(files):
        relative = Path(_composed(str(file.relative_to(root))))
        for each in {relative, relative.with_suffix("")}:
            paths[each.as_posix()].append(index)
            for end in _ends(each.parts):
                ends[end].append(index)
    exact = collections.defaultdict(list)
    for index, name in enumerate(names_below(root, files)):
        exact[_composed(name)].append(index)
    return paths | exact, ends


def _composed(name):
    return unicodedata.normalize("NFC", name)


def _ends(parts):
    """Return the ends of a path, the longest first.

    >>> _ends(("train", "dog", "x.png"))
    ['train/dog/x.png', 'dog/x.png', 'x.png']
    """
    return ["/".join(parts[i:]) for i in range(len(parts))]


def _find(path, number, name, places):
    """Index of the image whose path is the name in a row or ends with it, or is the end of it; None without one."""
    name = _composed(name.strip().replace("\\", "/"))
    paths, ends = places
    whole, *others = _ends([each for each in name.split("/") if each not in ("", ".", "..")]) or [""]
    found = paths.get(whole) or ends.get(whole) or next((paths[each] for each in others if each in paths), [])
    if len(found) > 1:
        received = f"{name} in row {number}, the name of {len(found)} images"
        refuse(path, "name each image by its path relative to the folder", received, flag="--labels-file")
    return found[0] if found else None


def class_names(labels: LabelsFile) -> tuple[str, ...]:
    """Return the classes in the file: by value if all are whole numbers, otherwise in alphabetical order."""
    found = {label for label in labels.labels.values() if label}
    numeric = all(label.isdecimal() and len(label) <= _LONGEST_NUMBER for label in found)
    return tuple(sorted(found, key=(lambda each: (int(each), each)) if numeric else None))
