"""Options of a run as its `config.json` records them, and as records of older versions are read."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf_kit.checks import refuse
from tf_kit.runs.files import finite


def plain(values: Any) -> Any:
    """Return values with Python's numbers for those of NumPy, and strings for paths.

    Args:
        values: a value, or dictionaries, lists and tuples of values. Other objects remain as they are.

    Example:
        >>> plain({"seed": np.int64(1), "units": (np.int32(8), 8), "data": Path("flowers")})
        {'seed': 1, 'units': (8, 8), 'data': 'flowers'}
    """
    if isinstance(values, Mapping):
        return {name: plain(value) for name, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(map(plain, values))
    if isinstance(values, os.PathLike):
        return os.fspath(values)
    return values.item() if isinstance(values, np.generic) else values


def as_json(subject: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON stores them.

    Raises:
        InputError: JSON cannot store one of them, which is named.

    Example:
        >>> as_json("Run.options", {"units": np.int64(8), "rate": float("nan")})
        {'units': 8, 'rate': None}
    """
    if not isinstance(values, Mapping):
        refuse(subject, "be a dictionary of JSON values", f"a {type(values).__name__}")
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            found |= json.loads(json.dumps(finite({name: plain(value)})))
        except (TypeError, ValueError):
            remedy = "`.tolist()` makes a list of an array"
            received = f"a {type(value).__name__} as {name!r}"
            refuse(subject, "hold JSON values, numbers of NumPy and paths", received, remedy)
    return found


def with_whole_path(options: dict[str, Any]) -> dict[str, Any]:
    """Make the folder of prepared sets absolute, which older versions recorded as it was typed."""
    place = options.get("data_dir")
    if place and isinstance(place, str):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # a name that no folder can have
            return {**options, "data_dir": str(Path(place).expanduser().resolve())}
    return options


def with_defaults(
    began: Mapping[str, Any], defaults: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, Any]:
    """Add to recorded options those of today that the record lacks.

    Example:
        >>> with_defaults({"net": {"units": 8}}, {"net": {"bias": True}}, {"seed": 1, "net": {"bias": False}})
        {'net': {'units': 8, 'bias': True}}
    """
    completed = dict(began)
    for name in defaults.keys() & now.keys():
        if name not in began:
            completed[name] = defaults[name]
        elif all(isinstance(each[name], dict) for each in (began, defaults, now)):
            completed[name] = with_defaults(began[name], defaults[name], now[name])
    return completed
