"""Names by which people divide a folder of images: for training, validation and test, by date, in portions."""

import re
from collections.abc import Iterable

TRAIN, VAL, TEST, UNLABELLED = range(4)
PARTS = ("train", "val", "test")

_WORDS = {
    TRAIN: "train training trn tr trains trainval trainvalid",
    VAL: "val valid validation validate vali dev eval evaluation",
    TEST: "test testing tst tests heldout holdout",
    UNLABELLED: "unlabelled unlabeled unlabel unsup unsupervised unlab nolabel nolabels",
}
_PART = {word: part for part, words in _WORDS.items() for word in words.split()}
_FILLERS = [
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
    "pics",
    "photos",
    "dataset",
    "data",
    "set",
    "folder",
    "dir",
    "split",
    "splits",
    "samples",
    "files",
    "jpg",
    "jpeg",
    "png",
]
_PORTION = re.compile(r"(k?[-_ ]?folds?|batch|shard|chunk|portion|cv)[-_. ]?\d+")
_DATE = re.compile(r"(19|20)\d\d([-_. ]?(0[1-9]|1[0-2])([-_. ]?([0-2]\d|3[01]))?)?")


def part_of(name: str, common: Iterable[str] = ()) -> int | None:
    """Return the part that a folder is by its name: TRAIN, VAL, TEST, UNLABELLED; or None.

    Args:
        name: name of the folder.
        common: words that all its siblings have too and that are left out. Defaults to none.

    Example:
        >>> [part_of(name) for name in ("train2017", "Testing", "val_images", "trainset", "trains of 1920", "cat")]
        [0, 2, 1, 0, None, None]
        >>> part_of("trainval"), part_of("TrainVal"), part_of("train_val")  # both, which leaves the test images
        (0, 0, 0)
    """
    words = [word for word in words_of(name) if word not in _FILLERS and word not in common]
    if [_PART.get(word) for word in words] == [TRAIN, VAL]:
        return TRAIN
    return _PART.get(words[0]) if len(words) == 1 else None


def words_of(name: str) -> list[str]:
    """Split a name into lower-case words, without numbers and without fillers at the end of a word.

    Example:
        >>> words_of("TrainData-2017"), words_of("seg_test"), words_of("testset")
        (['train', 'data'], ['seg', 'test'], ['test'])
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = [word for word in re.split(r"[^a-z]+", spaced.lower()) if word]
    return [_without_filler(word) for word in words]


def _without_filler(word):
    for filler in _FILLERS:
        shorter = word.removesuffix(filler)
        if shorter != word and shorter in _PART:
            return shorter
    return word


def division(names: Iterable[str]) -> dict[str, int] | None:
    """Return the part of each of some sibling folders; None if they are not a division.

    They are one if a folder for training and another part are among them.

    Example:
        >>> division(["seg_train", "seg_test"]), division(["bus", "car", "train"])
        ({'seg_train': 0, 'seg_test': 2}, None)
        >>> division(["train", "test", "scan"])
        {'train': 0, 'test': 2}
    """
    found = _parts_of(names)
    return found if TRAIN in found.values() and len(set(found.values())) > 1 else None


def _parts_of(names):
    """Map those of some sibling folders that are parts to the part; words that all have do not count."""
    names = list(names)
    words = [set(words_of(name)) for name in names]
    common = set.intersection(*words) - _PART.keys() if len(words) > 1 else set()
    return {name: part for name in names if (part := part_of(name, common)) is not None}


def is_untrained(names: Iterable[str]) -> bool:
    """Return whether there are folders for validation and test among some siblings, but none for training.

    Example:
        >>> is_untrained(["val", "test"]), is_untrained(["train", "val", "test"]), is_untrained(["test", "cat"])
        (True, False, False)
        >>> is_untrained(["wiki.valid.txt", "wiki.test.txt"]), is_untrained(["val", "test", "readme.txt"])
        (True, True)
    """
    parts = set(_parts_of(names).values())
    return {VAL, TEST} <= parts and TRAIN not in parts


def are_portions(names: Iterable[str]) -> bool:
    """Return whether all names are numbered portions of a whole, such as folds of a cross-validation.

    Example:
        >>> are_portions(["fold1", "fold2"]), are_portions(["batch_01", "batch_02"]), are_portions(["cat1", "cat2"])
        (True, True, False)
    """
    names = list(names)
    return bool(names) and all(_PORTION.fullmatch(name.strip().lower()) for name in names)


def are_dates(names: Iterable[str]) -> bool:
    """Return whether all names are years, months or days.

    Example:
        >>> are_dates(["2023", "2024-05", "20240517"]), are_dates(["2023", "cat"])
        (True, False)
    """
    names = list(names)
    return bool(names) and all(_DATE.fullmatch(name.strip()) for name in names)
