"""Files of a run. Each is written under another name and renamed, so that it is never incomplete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras

from tf_kit.checks import refuse


def save_model(model: keras.Model, path: Path) -> None:
    """Write a model as a `.keras` file."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    model.save(unfinished)
    unfinished.replace(path)


def write_json(path: str | Path, content: Any) -> None:
    """Write a JSON file."""
    unfinished = replacing(Path(path))
    unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def read_json(path: str | Path, name: str) -> Any:
    """Read a JSON file.

    Args:
        path: path of the file.
        name: name of the file in the error message.

    Raises:
        InputError: the file cannot be read, or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        refuse(name, "be a readable JSON file of a run", f"{path}", "Start a new run in another folder")


def replacing(path: Path) -> Path:
    """Path of the file that is written first and then renamed to `path`."""
    return path.with_name(f".{path.name}.unfinished")
