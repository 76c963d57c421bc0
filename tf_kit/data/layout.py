"""Layout of a folder of images: what its subfolders mean."""

import dataclasses
from pathlib import Path
from typing import NoReturn

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.division import have_classes
from tf_kit.data.labels_file import class_names, read_labels
from tf_kit.data.listing import HEIC, LEARNS_FROM_TEXTS, Listing, counted, names_below, some
from tf_kit.data.owners import TRAIN, UNLABELLED, are_dates, are_portions, division, is_untrained, part_of
from tf_kit.data.pictures import clean

_UNTRAINED = "Parts for validation and test"
_NO_CLASSES = (
    "{} are no classes: {} takes a CSV file with the class of each; {} takes all images without classes"
)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Images of a folder with their classes and parts.

    Args:
        files: path of each image, sorted.
        y: int64 (n,), class of each image, −1 without one; None if no image has a class.
        class_names: names of the classes; empty without classes.
        part: int8 (n,), TRAIN, VAL or TEST of each image; None if the folder is not divided by its owner.
        notes: what was left out or found unusual, each in one line.
        divided_by: "its folders", "the file" or both, from which `part` was read; "" without it.
    """

    files: tuple[Path, ...]
    y: np.ndarray | None
    class_names: tuple[str, ...]
    part: np.ndarray | None
    notes: tuple[str, ...]
    divided_by: str = ""


@dataclasses.dataclass
class _Image:
    file: Path
    place: tuple[str, ...]  # parts of its path from the root
    above: tuple[str, ...]  # folders between the root and the file, less those that are left out
    part: int | None = None
    label: str | None = None


def lay_out(
    listing: Listing,
    *,
    unlabeled: bool = False,
    labels_file: str | Path | None = None,
    needs_labels: bool = True,
) -> Layout:
    """Find classes and parts of the images by the folders they are in, or by a CSV file.

    Args:
        listing: files of the folder.
        unlabeled: whether to ignore classes. Defaults to False.
        labels_file: CSV file with the classes, see `read_labels`. Defaults to None.
        needs_labels: whether the images are of no use without at least two classes. Defaults to True.

    Raises:
        InputError: the folder has no images, or its subfolders have no meaning that is known.
    """
    root = listing.path
    notes: list[str] = []
    if not listing.files:
        _refuse_empty(listing)
    places = [tuple(name.split("/")) for name in names_below(root, listing.files)]
    images = [_Image(file, place, place[:-1]) for file, place in zip(listing.files, places, strict=True)]
    start = _unwrap(listing, images)
    parts = _divide(root, images, unlabeled or labels_file is not None)
    dividers = ["its folders"] if parts else []
    if labels_file is not None:
        names, is_divided = _label_by_file(root, images, labels_file, notes)
        dividers += ["the file"] if is_divided else []
        names = _trained(root, images, names, notes)
    elif unlabeled:
        names = ()
    else:
        levels = _unwrap_parts(listing, images, [(*start, *part) for part in parts], start) or [start]
        names = _label_by_folder(images)
        names = _trained(root, images, names, notes)
        _check_classes(listing, images, names, levels, needs_labels, notes)
    kept = [each for each in images if each.label is not None or each.part in (None, TRAIN) or not names]
    if len(kept) < len(images):
        left = len(images) - len(kept)
        notes.append(f"{left:,} images for validation or test left out, since they have no classes")
    number = {name: i for i, name in enumerate(names)}
    y = np.array([number.get(each.label, -1) for each in kept], "int64") if names else None
    divided = any(each.part is not None for each in kept)
    part = np.array([each.part or TRAIN for each in kept], "int8") if divided else None
    files = tuple(each.file for each in kept)
    divided_by = " and ".join(dividers) if divided else ""
    return Layout(files, y, tuple(map(clean, names)), part, tuple(notes), divided_by)


def _unwrap(listing, images, left=()):
    """Leave out a single folder inside `left` that holds all others, as archives have; return its parts."""
    while True:
        tops = {each.above[:1] for each in images}
        if len(tops) != 1 or any(len(each.above) < 2 for each in images):
            return left
        if any(_is_empty_class(listing, folder) for folder in listing.folders if folder[:-1] == left):
            return left
        (top,) = tops
        left = (*left, *top)
        for each in images:
            each.above = each.above[1:]


def _unwrap_parts(listing, images, levels, start):
    """Leave out a single folder inside a part that holds all its classes; return the folders with the classes.

    In `train/images/cat` it is `images`. The parts for training come first: a single folder of another part is left
    out only if it is followed by classes of theirs.
    """
    inside = {level: [] for level in levels if level != start}
    for each in images:
        level = each.place[: len(start) + 1]
        if level in inside:
            inside[level].append(each)
    trained = set()
    found = {}
    for level, members in sorted(inside.items(), key=lambda each: each[1][0].part):
        before = [each.above for each in members]
        found[level] = _unwrap(listing, members, level)
        tops = {each.above[:1] for each in members}
        if members[0].part == TRAIN:
            trained |= tops
        elif not tops <= trained:
            found[level] = level
            for each, above in zip(members, before, strict=True):
                each.above = above
    return [found.get(level, level) for level in levels]


def _divide(root, images, mixed):
    """Give each image its part if the folders are a division; return the folders in which the classes then lie."""
    tops = {each.above[0] for each in images if each.above}
    parts, at = division(tops), 0
    if parts is None and all(len(each.above) > 1 for each in images):  # classes, each with its parts
        parts, at = division({each.above[1] for each in images}), 1
        if parts is not None and {each.above[1] for each in images} != parts.keys():
            parts = None
        if not mixed and is_untrained({each.above[1] for each in images}):
            _refuse_no_classes(root, sorted({each.above[1] for each in images}), _UNTRAINED)
    if parts is None:
        return []
    flat = [each for each in images if not each.above]
    odd = tops - parts.keys() if at == 0 else set()
    if (flat or odd) and not mixed:
        others = some(sorted(odd)) if odd else f"{len(flat)} images next to them"
        received = f"{some(sorted(parts))}, and {others}"
        remedy = "Move the others out of the folder"
        refuse(clean(root), "hold nothing but its division into parts", received, remedy, flag="--data")
    for each in images:
        found = parts.get(each.above[at]) if each.above else None
        each.part = TRAIN if found in (None, UNLABELLED) else found
        if found is not None:
            each.above = () if found == UNLABELLED else each.above[:at] + each.above[at + 1 :]
    return [()] if at else [(name,) for name, part in parts.items() if part != UNLABELLED]


def _label_by_folder(images):
    """Give each image the folder it is in as its class; return the names of the classes."""
    for each in images:
        each.label = each.above[0] if each.above else None
    names = {each.label for each in images if each.label is not None}
    without = {name for name in names if part_of(name) == UNLABELLED}
    if names - without:
        for each in images:
            each.label = None if each.label in without else each.label
        names -= without
    return tuple(sorted(names))


def _trained(root, images, names, notes):
    """Return the names of the classes, if images for training have some."""
    trained = {each.label for each in images if each.label is not None and each.part in (None, TRAIN)}
    if have_classes(root, {each.label for each in images if each.label is not None}, trained, notes):
        return names
    for each in images:
        each.label = None
    return ()


def _label_by_file(root, images, labels_file, notes):
    found = read_labels(labels_file, root, [each.file for each in images])
    for index, label in found.labels.items():
        images[index].label = label or None
    for index, part in found.parts.items():
        images[index].part = part
    if found.parts:
        for each in images:
            each.part = TRAIN if each.part is None else each.part
    if found.missing:
        n = len(found.missing)
        notes.append(
            f"{n:,} row{'s' * (n != 1)} of {Path(labels_file).name} without an image: {some(found.missing)}"
        )
    notes.extend(found.notes)
    return class_names(found), bool(found.parts)


def _check_classes(listing, images, names, levels, needs_labels, notes):
    """Refuse subfolders that are not classes, or too few; note empty ones. They lie in the folders `levels`."""
    root = listing.path
    beside = set(levels)
    flat = sum(
        each.label is None and each.part in (None, TRAIN) and each.place[:-1] in beside for each in images
    )
    if flat and names:
        received = f"{flat} image{'s' * (flat > 1)} and the subfolders {some(names)}"
        refuse(
            clean(root),
            "hold either images or one subfolder of images per class",
            received,
            "`unlabeled=True` takes all without classes; a subfolder `unlabeled` is for those that have none",
            flag="--data",
            typed_remedy="`--unlabeled` takes all without classes; a subfolder `unlabeled` is for those that have none",
        )
    kind = "Dates" if are_dates(names) else "Folds and other portions" if are_portions(names) else ""
    kind = _UNTRAINED if is_untrained(names) else kind
    if kind:
        _refuse_no_classes(root, names, kind)
    below = [folder for folder in listing.folders if folder[:-1] in levels]
    empty = [folder for folder in below if _is_empty_class(listing, folder)] if names else []
    if empty and needs_labels:
        _refuse_empty_class(listing, empty[0])
    if empty:
        notes.append(
            f"{len(empty)} subfolder{'s' * (len(empty) != 1)} without images: {some(map('/'.join, empty))}"
        )
    if needs_labels and len(names) == 1:
        refuse_one_class(root, names[0])


def _refuse_no_classes(root, names, kind) -> NoReturn:
    refuse(
        clean(root),
        "have subfolders that are classes",
        f"the subfolders {some(names)}",
        _NO_CLASSES.format(kind, "`labels_file=…`", "`unlabeled=True`"),
        flag="--data",
        typed_remedy=_NO_CLASSES.format(kind, "`--labels-file`", "`--unlabeled`"),
    )


def _is_empty_class(listing, folder):
    """Whether a folder holds no image, and nothing that shows that it is no class, such as notes."""
    if folder not in listing.empty:
        return False
    inside = _passed_in(listing, folder)
    return not inside or any(kind in (*HEIC, "links to nothing") for kind in inside)


def _passed_in(listing, folder):
    """Reason → files in a folder that are passed over."""
    start = "/".join(map(clean, folder)) + "/"
    inside = {
        kind: tuple(each for each in files if each.startswith(start))
        for kind, files in listing.passed.items()
    }
    return {kind: files for kind, files in inside.items() if files}


def _refuse_empty_class(listing, folder) -> NoReturn:
    received = counted(_passed_in(listing, folder)) or "no file"
    remedy = "Remove the subfolder, or put images into it"
    refuse(clean(listing.path.joinpath(*folder)), "hold images of its class", received, remedy, flag="--data")


def _refuse_empty(listing) -> NoReturn:
    received = "a folder without images"
    if listing.passed or listing.links:
        received += f"; {counted(listing.passed, listing.links)}"
    remedy = LEARNS_FROM_TEXTS if ".txt" in listing.passed else ""
    refuse(clean(listing.path), "hold images (png, jpg, webp, tiff, …)", received, remedy, flag="--data")


def refuse_one_class(root: Path, name: str) -> NoReturn:
    """Raise `InputError` for images of a single class where classes are needed."""
    itself = f", or {clean(root / name)} itself" if (root / name).is_dir() else ""
    refuse(
        clean(root),
        "have two classes or more",
        f"only the class {clean(name)}",
        f"Without classes: `unlabeled=True`{itself}",
        flag="--data",
        typed_remedy=f"Without classes: `--unlabeled`{itself}",
    )
