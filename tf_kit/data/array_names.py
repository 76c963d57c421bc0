"""Arrays of a file by their names: examples or classes, of one part or another, or names of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.listing import some
from tf_kit.data.owners import TRAIN, UNLABELLED, part_of, words_of
from tf_kit.data.pictures import clean

_EXAMPLES = frozenset(
    [
        *("x", "image", "images", "img", "imgs", "picture", "pictures", "data", "features", "examples"),
        *("inputs", "samples", "vectors", "embeddings"),
    ]
)
_LABELS = frozenset(["y", "label", "labels", "target", "targets", "class", "classes"])
_NAMES = "names"  # the word that makes an array of labels one of their names, as in `class_names`
_UNNAMED = ("arr_0", "arr_1")  # how NumPy names arrays that are saved without names


@dataclasses.dataclass(frozen=True)
class Named:
    """Arrays of a file by what they are.

    Args:
        examples, labels: arrays by part, TRAIN, VAL, TEST, UNLABELLED, or None if their names have no word for a part.
        class_names: array of the names of the classes, or None.
        others: names of the other arrays.
    """

    examples: dict[int | None, np.ndarray]
    labels: dict[int | None, np.ndarray] = dataclasses.field(default_factory=dict)
    class_names: np.ndarray | None = None
    others: tuple[str, ...] = ()


def named(path: Path, arrays: Mapping[str, np.ndarray]) -> Named:
    """Find out what each array of a file is by its name.

    Args:
        path: the file, for messages.
        arrays: arrays by name; the only one, whatever its name, has examples.

    Raises:
        InputError: there are no examples, two arrays are the same, or labels have no examples.
    """
    if len(arrays) == 1:
        return Named({None: next(iter(arrays.values()))})
    if set(arrays) == set(_UNNAMED):
        return Named({None: arrays[_UNNAMED[0]]}, {None: arrays[_UNNAMED[1]]})
    examples: dict[int | None, np.ndarray] = {}
    labels: dict[int | None, np.ndarray] = {}
    key_of: dict[tuple[str, int | None], str] = {}
    names, others = None, []
    for name, array in arrays.items():
        role, part = _role(name)
        if role is None:
            others.append(name)
        elif role == _NAMES:
            names = array
        else:
            if (role, part) in key_of:
                _refuse_names(path, arrays, f"both {key_of[role, part]} and {name}")
            key_of[role, part] = name
            (examples if role == "x" else labels)[part] = array
    if not examples or (None in examples and set(examples) - {None, UNLABELLED}):
        _refuse_names(path, arrays)
    for part in labels.keys() - examples.keys():
        _refuse_names(path, arrays, f"{key_of['y', part]} without its examples")
    if set(examples) - {None, UNLABELLED} and TRAIN not in examples:
        _refuse_names(path, arrays, "no examples for training")
    in_order = sorted(examples, key=lambda part: -1 if part is None else part)
    return Named({part: examples[part] for part in in_order}, labels, names, tuple(others))


def _role(name):
    """Return what an array is by its name, "x", "y", `_NAMES` or None, and the part that it belongs to.

    >>> [_role(name) for name in ("x_train", "testLabels", "images", "Xval", "class_names", "train", "date")]
    [('x', 0), ('y', 2), ('x', None), ('x', 1), ('names', None), ('x', 0), (None, None)]
    """
    words = []
    for word in words_of(name):
        joined = word[:1] in ("x", "y") and part_of(word[1:]) is not None
        words += [word[:1], word[1:]] if joined else [word]
    found = [part_of(word) for word in words]
    own = [part for part in found if part is not None]
    rest = {word for word, part in zip(words, found, strict=True) if part is None}
    part = own[0] if len(own) == 1 else None
    if len(own) > 1:
        return None, None
    if _NAMES in rest and rest - {_NAMES} <= _LABELS:
        return _NAMES, None
    if rest and rest <= _LABELS:
        return "y", part
    return ("x", part) if rest <= _EXAMPLES and (rest or own) else (None, None)


def _refuse_names(path, arrays, received=""):
    shapes = some([f"{name} {array.shape}" for name, array in arrays.items()]) or "no array"
    refuse(
        clean(path),
        "name its arrays x and y, or x_train, y_train, x_val, y_val, x_test, y_test, or similarly",
        f"{received}; its arrays are {shapes}" if received else shapes,
        flag="--data",
    )
