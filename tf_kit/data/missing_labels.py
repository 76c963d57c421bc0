"""Labels that mean that an example has no class."""

import re
from collections.abc import Iterable

from tf_kit.checks import refuse
from tf_kit.data.listing import some

_WORDS = ("", "nan", "<na>", "n/a", "#n/a")
_NEGATIVE = re.compile(r"-\d+(\.0*)?")
_ONE = re.compile(r"1(\.0*)?")


def without_class(subject: str, labels: Iterable[int | str], flag: str | None = None) -> set[int | str]:
    """Return those of some labels that mean no class: "", NaN and the like as text, and a negative number.

    Args:
        subject: file of the labels, for messages.
        labels: different labels of all examples, numbers or text.
        flag: flag of the command line that names the file. Defaults to None.

    Raises:
        InputError: there are several negative numbers, or only −1 and 1, which may be classes.

    Example:
        >>> sorted(without_class("labels.csv", ["cat", "dog", "NaN", ""]))
        ['', 'NaN']
        >>> without_class("y.npy", [-1, 0, 1])
        {-1}
        >>> without_class("y.npy", [-1, 1])
        Traceback (most recent call last):
        tf_kit.errors.InputError: `y.npy` must number classes from 0, since a negative number means no class. Received: only -1 and 1. Write 0 for -1 if it is a class.
    """  # noqa: E501
    labels = set(labels)
    words = {each for each in labels if str(each).strip().lower() in _WORDS}
    negative = {each for each in labels if _NEGATIVE.fullmatch(str(each)) and float(each) < 0}
    classes = labels - words - negative
    if len(negative) > 1:
        requirement = "have at most one negative number among labels, which means no class"
        received = some(map(str, sorted(negative, key=float)))
        refuse(subject, requirement, received, "Number the classes from 0, or name them", flag=flag)
    if classes and all(_ONE.fullmatch(str(each)) for each in classes) and {-1.0} == set(map(float, negative)):
        requirement = "number classes from 0, since a negative number means no class"
        refuse(subject, requirement, "only -1 and 1", "Write 0 for -1 if it is a class", flag=flag)
    return words | negative
