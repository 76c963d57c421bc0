"""Inputs and outputs of the models of a run: shape and scale of the images, names of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tf_kit.checks import refuse
from tf_kit.runs.files import read_json, write_json

FILE = "inputs.json"


def write_inputs(
    folder: Path, model: keras.Model, class_names: Sequence[str] = (), divisor: float = 1.0
) -> None:
    """Write `inputs.json` into a run folder: the images that its model takes, the classes, and the line that loads it.

    Args:
        folder: run folder.
        model: the encoder or classifier of the run.
        class_names: names of the classes, in the order of the outputs of a classifier. Defaults to none.
        divisor: what vectors were divided by, see `data.array_scale`. Defaults to 1.
    """
    file = "classifier.keras" if (folder / "classifier.keras").exists() else "encoder.keras"
    shape = input_shape_of(model)
    vectors = "as they are" if divisor == 1 else f"divided by {divisor:g}"
    write_json(
        folder / FILE,
        {
            "shape": list(shape),
            "color": {1: "grey", 3: "rgb"}.get(shape[-1]) if len(shape) == 3 else None,
            "values": "from 0 (black) to 1 (white)" if len(shape) == 3 else vectors,
            "divisor": None if len(shape) == 3 else divisor,
            "resize": "bilinear, antialiased; the aspect ratio is not kept" if len(shape) == 3 else None,
            "class_names": list(class_names),
            "load": f'import keras, tf_kit; model = keras.models.load_model("{file}")',
        },
    )


def input_shape_of(model: keras.Model) -> tuple[int, ...]:
    """Return the shape of one example that a built model takes."""
    encoder = getattr(model, "encoder", model)
    recorded = (encoder.get_build_config() or {}).get("input_shape")  # a functional model records none
    shape = recorded or encoder.input_shape
    return tuple(shape[1:])


def divisor_in(inputs: dict[str, Any]) -> float | None:
    """Return what the vectors of a run were divided by; None for images, and for an older run, which did not say."""
    found = inputs.get("divisor")
    return float(found) if isinstance(found, int | float) and found > 0 else None


def recorded_divisor(folder: Path) -> float | None:
    """Return what the vectors of the run in a folder were divided by, see `divisor_in`; None without `inputs.json`."""
    found = read_json(folder / FILE, FILE) if (folder / FILE).is_file() else {}
    return divisor_in(found) if isinstance(found, dict) else None


def read_inputs(folder: Path, model: keras.Model) -> dict[str, Any]:
    """Read `inputs.json` of a run; of an older run without it, only the shape is known.

    Raises:
        InputError: the file is damaged.
    """
    if not (folder / FILE).is_file():
        return {"shape": list(input_shape_of(model)), "class_names": []}
    found = read_json(folder / FILE, FILE)
    shape, names = (found.get("shape"), found.get("class_names")) if isinstance(found, dict) else (None, None)
    known = isinstance(shape, list) and all(each is None or type(each) is int for each in shape)
    if not known or not isinstance(names, list | None):
        refuse(
            FILE,
            "hold the shape of the images and a list of the classes",
            f"{folder / FILE}",
            "Run the command again in another folder",
        )
    return found
