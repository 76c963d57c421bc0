"""Checks of what a user gives: the subject, the requirement, what was received, the remedy, in one line."""

import math
import numbers


class InputError(ValueError):
    """The user gave something that cannot be used. The command line prints it as one line and exits with 2."""


class WorkerLost(RuntimeError):
    """Another worker of the cluster has stopped, so this one cannot go on. The command line exits with 1."""


def refuse(subject, requirement, received, remedy=""):
    """Raises `InputError`: «`subject` must requirement. Received: …. Remedy.»

    >>> refuse("Dropout.rate", "be in [0, 1)", "rate=1.5", "0.5 drops every second unit")
    Traceback (most recent call last):
    tf_kit._checks.InputError: `Dropout.rate` must be in [0, 1). Received: rate=1.5. 0.5 drops every second unit.
    """
    line = f"`{subject}` must {requirement}. Received: {received}."
    raise InputError(f"{line} {remedy.rstrip('.')}." if remedy else line)


def number(subject, value, *, above=None, at_least=None, below=None, at_most=None, why="", remedy=""):
    """`value` as a float, or `InputError` if it is not a finite number in the interval.

    >>> number("SGD.momentum", 0.9, at_least=0, below=1)
    0.9
    """
    low = f"({above}" if above is not None else f"[{at_least}" if at_least is not None else "(-inf"
    high = f"{below})" if below is not None else f"{at_most}]" if at_most is not None else "inf)"
    inside = (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (above is None or value > above)
        and (at_least is None or value >= at_least)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
    )
    if not inside:
        received = f"{subject.rsplit('.', 1)[-1]}={value!r}"
        refuse(subject, f"be a number in {low}, {high}{' ' + why if why else ''}", received, remedy)
    return float(value)


def count(subject, value, *, at_least=1, remedy=""):
    """`value` as an int, or `InputError` if it is not a whole number of at least `at_least`.

    >>> count("mlp.num_classes", 10)
    10
    """
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= at_least
    if not whole:
        received = f"{subject.rsplit('.', 1)[-1]}={value!r}"
        refuse(subject, f"be a whole number of at least {at_least}", received, remedy)
    return int(value)


def choice(subject, value, allowed, remedy=""):
    """`value`, or `InputError` that lists what is allowed.

    >>> choice("Momentum.form", "velocity", ("velocity", "average"))
    'velocity'
    """
    if value not in allowed:
        received = f"{subject.rsplit('.', 1)[-1]}={value!r}"
        refuse(subject, "be one of " + ", ".join(repr(each) for each in allowed), received, remedy)
    return value
