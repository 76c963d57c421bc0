"""Agreement of workers: everything that a training depends on must be the same on all of them.

A configuration is a dictionary of JSON values. The workers compare theirs when they meet (`rendezvous.meet`) and before
the first step (`workers.check_same_configuration`), and all refuse to train with the first difference.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, NoReturn

import keras
import numpy as np

from tf_kit.checks import refuse

Difference = tuple[str, Any, Any]  # name, value on one side, value on the other

_PACKAGES = ("tf_kit", "keras", "tensorflow")
_PLACES = ("data_dir", "out", "resume", "run", "strategy")  # may differ from machine to machine
_PATHS = ("data", "labels_file")  # of which the last part is compared
_NAMES = (
    "module",
    "registered_name",
    "name",
    "shared_object_id",
    "inbound_nodes",
    "input_layers",
    "output_layers",
)
_WITHOUT_EFFECT = (*_NAMES, "build_config", "build_input_shape")


def versions() -> dict[str, str]:
    """Return the versions of the packages that workers must have in common."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def without_places(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without those that say where files are, which may differ from machine to machine.

    Example:
        >>> without_places({"data": "/scratch/flowers", "out": "runs/a", "units": (8,)})
        {'data': 'flowers', 'units': [8]}
    """
    kept = {name: value for name, value in options.items() if name not in _PLACES}
    for name in _PATHS:
        if isinstance(kept.get(name), str | os.PathLike):
            kept[name] = os.path.basename(os.path.normpath(kept[name]))
    return plain(kept)


def plain(values: Any) -> Any:
    """Return values as JSON has them; an object that JSON does not have becomes the name of its class."""
    return json.loads(json.dumps(values, default=_plain))


def _plain(value):
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else type(value).__name__


def of_model(model: keras.Model) -> dict[str, Any]:
    """Return the configuration of a model, with its layers and optimizer.

    Names, which may be numbered, are left out, and initializers, since all workers begin with the chief's values.
    Of a model that has no configuration only the class, the shapes of the variables and the optimizer are compared.
    """
    try:
        described = keras.saving.serialize_keras_object(model)
    except Exception:  # `get_config` of a user's class may raise anything
        shapes = [list(variable.shape) for variable in model.variables]
        compiled = getattr(model, "optimizer", None)
        described = {"class_name": type(model).__name__, "config": {"shapes": shapes}}
        described["compile_config"] = compiled and {
            "optimizer": keras.saving.serialize_keras_object(compiled)
        }
    name = type(model).__name__
    return {"model": name, name: _readable(plain(described))}


def _readable(node):
    """Turn the entries of a serialized object into {"class": …, its arguments}, without names."""
    if isinstance(node, list):
        return [_readable(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("class_name") == "__lambda__":  # its code holds paths of the machine
        return "a function"
    if str(node.get("class_name")).endswith("DTypePolicy"):
        return node["config"].get("name")
    if "class_name" in node and isinstance(node.get("config"), dict):
        inner = {**node["config"], **(node.get("compile_config") or {})}
        return {"class": node["class_name"], **_readable(inner)}
    return {
        name: _readable(value)
        for name, value in node.items()
        if name not in _WITHOUT_EFFECT and not name.endswith("initializer")
    }


def first_difference(one: Any, other: Any, name: str = "") -> Difference | None:
    """Return the name and both values of the first entry in which two configurations differ, or None.

    Args:
        one, other: JSON values. Dictionaries, and lists of dictionaries, are compared entry by entry.
        name: name of both, to which those of the entries are joined.

    Example:
        >>> first_difference({"seed": 0, "encoder": {"units": [8]}}, {"seed": 0, "encoder": {"units": [9]}})
        ('encoder.units', [8], [9])
    """
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(one, dict) and isinstance(other, dict):
        pairs = [(key, one.get(key), other.get(key)) for key in dict.fromkeys([*one, *other])]
    elif _are_lists_of_dictionaries(one, other):
        pairs = [(str(place), *both) for place, both in enumerate(zip(one, other, strict=True))]
    if not pairs:
        return None if json.dumps(one) == json.dumps(other) else (name, one, other)
    found = (first_difference(ours, theirs, f"{name}.{key}".lstrip(".")) for key, ours, theirs in pairs)
    return next((each for each in found if each is not None), None)


def _are_lists_of_dictionaries(one, other):
    lists = isinstance(one, list) and isinstance(other, list) and len(one) == len(other)
    return lists and any(isinstance(each, dict) for each in (*one, *other))


def differing_worker(configurations: Sequence[Any]) -> tuple[int, Difference] | None:
    """Return the first worker whose configuration is not that of worker 0, with the first difference; or None.

    Args:
        configurations: configuration of each worker. The difference has the value of worker 0 first.
    """
    for index, configuration in enumerate(configurations):
        found = first_difference(configurations[0], configuration)
        if found is not None:
            return index, found
    return None


def refuse_difference(index: int, difference: Difference) -> NoReturn:
    """Refuse the difference between worker 0 and worker `index`, in the same words on all workers."""
    name, first, value = difference
    argument = name.rsplit(".", 1)[-1]
    refuse(
        name,
        f"be the same on worker {index} as on worker 0",
        f"{argument}={value!r}, not {first!r}",
        "Start all workers with the same program, options, data and package versions",
    )
