"""Checks of arguments: each returns the value it was given, or raises an `InputError` of one line."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any, NoReturn

from tf_kit.errors import InputError


def refuse(
    subject: Any,
    requirement: str,
    received: Any,
    remedy: str = "",
    *,
    flag: str | None = None,
    typed_remedy: str | None = None,
) -> NoReturn:
    """Raise `InputError`: «`subject` must requirement. Received: …. Remedy.»

    Args:
        subject: argument, file or data set that is refused: `"Dropout.rate"`, a path.
        requirement: the rule, continuing "must …".
        received: the value that was given, as text.
        remedy: how to proceed, for a Python user.
        flag: flag of the command line that sets the subject, if it is not spelled as the argument.
        typed_remedy: how to proceed on the command line, if that differs from `remedy`.

    Example:
        >>> refuse("Dropout.rate", "be in [0, 1)", "rate=1.5", "0.5 drops every second unit")
        Traceback (most recent call last):
        tf_kit.errors.InputError: `Dropout.rate` must be in [0, 1). Received: rate=1.5. 0.5 drops every second unit.
    """
    subject, received, remedy = (_in_one_line(str(each)) for each in (subject, received, remedy.rstrip(".")))
    typed_remedy = None if typed_remedy is None else _in_one_line(typed_remedy)
    line = f"`{subject}` must {requirement}. Received: {received}."
    raise InputError(
        f"{line} {remedy}." if remedy else line,
        subject=subject,
        requirement=requirement,
        received=received,
        remedy=remedy,
        flag=flag,
        typed_remedy=typed_remedy,
    )


_ESCAPES = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def _in_one_line(text: str) -> str:
    """Escape the characters that would break a line or command a terminal, as names of files may contain them.

    >>> _in_one_line("a" + chr(10) + "b") == "a" + chr(92) + "nb"
    True
    """
    return text.translate(_ESCAPES)


_LARGEST = 3.4028235e38  # number of float32, in which models compute


def number(
    subject: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    why: str = "",
    remedy: str = "",
) -> float:
    """Return `value` as a float; refuse it unless it is a number in the interval that float32 can hold.

    Example:
        >>> number("SGD.momentum", 0.9, at_least=0, below=1)
        0.9
    """
    low = f"({above}" if above is not None else f"[{at_least}" if at_least is not None else "(-inf"
    high = f"{below})" if below is not None else f"{at_most}]" if at_most is not None else "inf)"
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    finite = is_number and value == value and abs(value) != math.inf
    fits = finite and abs(value) <= _LARGEST
    inside = (
        fits
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    )
    if not inside:
        received = f"{subject.rsplit('.', 1)[-1]}={value!r}"
        rule = f"{low}, {high}" if fits or not finite else f"{low}, {high}, which float32 holds"
        refuse(subject, f"be a number in {rule}{' ' + why if why else ''}", received, remedy)
    return float(value)


def count(subject: str, value: Any, *, at_least: int = 1, remedy: str = "") -> int:
    """Return `value` as an int; refuse it unless it is a whole number of at least `at_least` that int64 can hold.

    Example:
        >>> count("mlp.num_classes", 10)
        10
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not at_least <= value < 2**63:
        received = f"{subject.rsplit('.', 1)[-1]}={value!r}"
        most = " and below 2**63" if whole and value >= 2**63 else ""
        refuse(subject, f"be a whole number of at least {at_least}{most}", received, remedy)
    return int(value)


def choice(subject: str, value: Any, allowed: Iterable[Any], remedy: str = "") -> Any:
    """Return `value`; refuse it unless it is one of `allowed`.

    Example:
        >>> choice("Momentum.form", "velocity", ("velocity", "average"))
        'velocity'
    """
    allowed = tuple(allowed)
    if value not in allowed:
        received = f"{subject.rsplit('.', 1)[-1]}={value!r}"
        refuse(subject, "be one of " + ", ".join(repr(each) for each in allowed), received, remedy)
    return value


def same_shape(given: Iterable[int | None], wanted: Iterable[int | None]) -> bool:
    """Return whether two shapes agree, where None stands for any length of an axis.

    Example:
        >>> same_shape((2, None), (2, 3)), same_shape((2, 1), (2, 3)), same_shape((2,), (2, 3))
        (True, False, False)
    """
    given, wanted = tuple(given), tuple(wanted)
    sides = zip(given, wanted, strict=False)
    return len(given) == len(wanted) and all(a is None or b is None or a == b for a, b in sides)
