"""Division of the examples of a folder or a file into train, val and test."""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Protocol

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.listing import some
from tf_kit.data.owners import PARTS, TEST, TRAIN, VAL
from tf_kit.data.pictures import clean
from tf_kit.data.splits import stratified

_COUNTED = {1: "one image", 2: "two images", 3: "three images"}
_NAMES = {VAL: "validation", TEST: "test"}


class Divisible(Protocol):
    """Examples that can be divided: those of a `Folder` or an `ArrayFile`, which describe these attributes."""

    @property
    def path(self) -> Path: ...
    @property
    def y(self) -> np.ndarray | None: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def part(self) -> np.ndarray | None: ...
    @property
    def original(self) -> np.ndarray: ...
    def __len__(self) -> int: ...


def parts(folder: Divisible, seed: int, seen: np.ndarray | None = None) -> list[np.ndarray]:
    """Divide the examples into train, val and test.

    Parts that the owner of the folder has made are taken as they are. Others are drawn at random from the examples for
    training: a sixth of each class, one at least. Examples with the same content are in one part; those without class,
    and those of a class that is too small to divide, are for training.

    Args:
        folder: the examples of a folder or a file.
        seed: whole number that fixes the division.
        seen: bool (n,), examples that are to be tested on only if there are no others. Defaults to None.

    Returns:
        Three arrays of indices of examples.
    """
    rng, drawn = np.random.default_rng(seed), _drawn(folder)
    assigned = np.zeros(len(folder), "int8") if folder.part is None else folder.part.copy()
    each, original = np.arange(len(folder)), folder.original
    if folder.y is None and (original == each).sum() <= len(
        drawn
    ):  # copies of an image, which no class is tested on
        original = each
    leads = (original == each) & (assigned == TRAIN)
    if folder.y is None:
        members = np.flatnonzero(leads)
        sixth = _sixth(len(members), drawn)
        order = members[rng.permutation(len(members))]
        rest = len(members) - sixth * len(drawn)
        for k, part in enumerate(drawn):
            assigned[order[rest + k * sixth : rest + (k + 1) * sixth]] = part
    else:
        for c in range(len(folder.class_names)):
            members = np.flatnonzero(leads & (folder.y == c))
            sixth = _sixth(len(members), drawn)
            sizes = (len(members) - sixth * len(drawn), *(sixth for _ in drawn))
            chosen = stratified(np.zeros(len(members), int), sizes, rng)
            if seen is not None:  # the last ones are for test, those before them for validation
                order = members[rng.permutation(len(members))]
                order = order[np.argsort(~seen[order], kind="stable")]
                chosen = [np.searchsorted(members, each) for each in np.split(order, np.cumsum(sizes)[:-1])]
            for part, indices in zip(drawn, chosen[1:], strict=True):
                assigned[members[indices]] = part
    assigned = assigned[original]
    return [np.flatnonzero(assigned == part) for part in range(len(PARTS))]


def _sixth(n, drawn):
    return max(1, n // 6) if n > len(drawn) else 0


def check_numbers(folder: Divisible, needs_labels: bool) -> None:
    """Refuse too few images, or too few of a class, to train on some and test on others."""
    drawn = _drawn(folder)
    needed = 1 + len(drawn)
    requirement = f"hold at least {_COUNTED[needed]}, one each for {_listed_parts(drawn)}"
    is_trained = np.ones(len(folder), bool) if folder.part is None else folder.part == TRAIN
    if folder.y is None or not needs_labels:
        if is_trained.sum() < needed:
            refuse(clean(folder.path), requirement, f"{is_trained.sum()}", flag="--data")
        return
    for c, name in enumerate(folder.class_names):
        members = np.flatnonzero((folder.y == c) & is_trained)
        trained = np.unique(folder.original[members])
        if len(trained) < needed:
            place = folder.path / name
            subject = clean(place) if place.is_dir() else f"class {name}"
            received = f"{len(trained)}" + _copies_of(members, trained)
            refuse(
                subject,
                requirement,
                received,
                "Add images or remove the class; without classes: `unlabeled=True`",
                typed_remedy="Add images or remove the class; without classes: `--unlabeled`",
            )


def _listed_parts(drawn):
    names = ["training", *(_NAMES[part] for part in drawn)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _copies_of(members, different):
    copies = len(members) - len(different)
    return (
        f" and {copies} cop{'ies' if copies > 1 else 'y'} of {'it' if len(different) == 1 else 'them'}"
        if copies
        else ""
    )


def _drawn(folder):
    """Parts that are drawn from the images for training, because the owner has not made them."""
    return [part for part in (VAL, TEST) if folder.part is None or not (folder.part == part).any()]


def have_classes(path: Path, known: Set[str], trained: Set[str], notes: list[str]) -> bool:
    """Whether the examples for training have classes; if not, a note says that those of the others are not used.

    Another note names classes that read alike, such as `Cat` and `cat`, which may be one that is written in two ways.

    Args:
        path: the folder or file, for messages.
        known: classes of all examples.
        trained: classes of the examples for training.
        notes: list to which the notes are appended.

    Raises:
        InputError: a class has no example for training.
    """
    if known and not trained:
        notes.append("the examples for training have no classes, so those of the others are not used")
    elif known - trained:
        received = f"{some(sorted(known - trained))} only for validation or test"
        refuse(clean(path), "have every class in the examples for training", received, flag="--data")
    if trained:
        alike = collections.defaultdict(list)
        for name in sorted(known):
            alike[_as_read(name)].append(name)
        pairs = [" and ".join(map(clean, each)) for each in alike.values() if len(each) > 1]
        if pairs:
            notes.append(f"classes that read alike: {some(pairs)}")
    return bool(trained)


def _as_read(name):
    """Name of a class without what the eye passes over; letters alone may be classes in both cases.

    >>> [_as_read(each) for each in ("Cat", "big  cat ", "cafe\u0301", "1.0", "1", "A")]
    ['cat', 'big cat', 'café', '1', '1', 'A']
    """
    text = unicodedata.normalize("NFC", " ".join(name.split()))
    text = re.sub(r"^(\d+)\.0*$", r"\1", text)
    return text if len(text) == 1 else text.casefold()


def summary(found: Divisible, noun: str, shape: str, divided_by: str, notes: Iterable[str]) -> str:
    """Describe examples in one line.

    Args:
        found: the examples.
        noun: what one is called: "image" or "example".
        shape: their shape, as text.
        divided_by: what divides them if their owner did.
        notes: what else is to be said.
    """
    n, classes = len(found), len(found.class_names)
    copies = int((found.original != np.arange(n)).sum())
    line = f"{n:,} {noun}{'s' * (n != 1)}"
    line += f" in {classes} class{'es' * (classes != 1)}" if classes else " without classes"
    without = 0 if found.y is None else int((found.y < 0).sum())
    parts = [
        f"{line}, {shape}",
        f"{without:,} without class" if without else "",
        f"divided by {divided_by}: {part_names(found.part)}" if found.part is not None else "",
        f"{copies:,} cop{'ies' if copies > 1 else 'y'} of others, kept in the same part" if copies else "",
        *notes,
    ]
    return "; ".join(filter(None, parts))


def part_names(part: np.ndarray) -> str:
    """Describe a division by its owner.

    Example:
        >>> part_names(np.array([0, 0, 2]))
        'train 2, test 1'
    """
    return ", ".join(f"{name} {n:,}" for i, name in enumerate(PARTS) if (n := int((part == i).sum())))
