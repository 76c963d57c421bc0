"""Files of a run, each written whole or not at all."""

import json
from pathlib import Path

from tf_kit.checks import refuse


def save_model(model, path):
    """Writes a model as a `.keras` file, whole or not at all."""
    unfinished = path.with_name(f"unfinished-{path.name}")
    model.save(unfinished)
    unfinished.replace(path)


def write_json(path, content):
    """Writes a JSON file, whole or not at all."""
    unfinished = replacing(Path(path))
    unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def read_json(path, what):
    """Reads a JSON file, or `InputError` if it is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        refuse(what, "be a readable JSON file of a run", f"{path}", "Start a new run in another folder")


def replacing(path):
    """Where the new content of `path` is written before it takes its place in one rename."""
    return path.with_name(f".{path.name}.unfinished")
