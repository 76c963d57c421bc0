"""`run.toml` of a run: all its flags, with which `--config` repeats it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tf_kit.pretraining.methods import METHODS, Method
from tf_kit.pretraining.run_options import EncoderOptions
from tf_kit.runs.files import write_text

FILE = "run.toml"
NOT_FLAGS = ("files",)  # recorded options that follow from the data


def write_config(folder: Path, options: Mapping[str, Any]) -> None:
    """Write `run.toml` into a run folder.

    Args:
        folder: the run folder.
        options: the options of the run, as its `config.json` records them.
    """
    command = options["command"]
    method = f" {options['method']}" if "method" in options else ""
    head = f"# Repeats the run: tf-kit {command}{method} --config {FILE} --out FOLDER\n"
    write_text(folder / FILE, head + to_toml(flags(options)))


def flags(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags of the options of a run, without those that hold their default of None.

    Example:
        >>> flags({"encoder": {"kind": "mlp", "units": (8, 8)}, "labels": None, "augment": "of the data set"})
        {'encoder': 'mlp', 'units': (8, 8)}
    """
    found = {name: value for name, value in options.items() if name not in NOT_FLAGS}
    encoder = found.pop("encoder", None)
    if isinstance(encoder, Mapping):
        sizes = {name: value for name, value in encoder.items() if name in EncoderOptions.names()}
        found = {**found, "encoder": encoder["kind"], **sizes}
    elif encoder is not None:
        found["encoder"] = encoder
    if found.get("augment") == "of the data set":
        del found["augment"]
    foreign = _names(*METHODS.values()) - _names(METHODS[options["method"]]) if "method" in options else set()
    return {name: value for name, value in found.items() if value is not None and name not in foreign}


def _names(*methods: Method) -> set[str]:
    """Return the names of all options that some methods declare."""
    return {name for method in methods for _, names, _ in method.declarations() for name in names}


def to_toml(values: Mapping[str, Any]) -> str:
    """Write strings, numbers, booleans and lists of them in TOML, a line for each.

    Example:
        >>> print(to_toml({"data": "a\\"b", "rate": 1e-05, "units": (8, 8), "unlabeled": False}), end="")
        data = "a\\"b"
        rate = 1e-05
        units = [8, 8]
        unlabeled = false
    """
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, int | float):
        return repr(value)
    text = json.dumps(
        str(value), ensure_ascii=False
    )  # TOML has the escapes of JSON, but no halves of a character
    return text.replace("\x7f", "\\u007f")
