"""Numbers in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def enumerated(values: Mapping[str, float] | Iterable[float], form: str = ".3g", unit: str = "") -> str:
    """Write numbers, with their names if they have some, for the middle of a sentence.

    Args:
        values: name → number, or numbers.
        form: format of a number. Defaults to `".3g"`.
        unit: text after each number, such as `" %"`. Defaults to none.

    Example:
        >>> enumerated({"as they are": 82.51, "mirrored": 85.0}, ".1f", " %")
        'as they are 82.5 %, mirrored 85.0 %'
        >>> enumerated([1.0, 0.25])
        '1, 0.25'
    """
    if isinstance(values, Mapping):
        return ", ".join(f"{name} {value:{form}}{unit}" for name, value in values.items())
    return ", ".join(f"{value:{form}}{unit}" for value in values)
