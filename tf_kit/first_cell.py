"""First cell of every notebook: it installs the kit where it is missing, and starts TensorFlow without its log."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shlex
import tomllib
from pathlib import Path

from tf_kit import stderr
from tf_kit.checks import refuse

CELL = """# This installs the kit where it is missing, as in a fresh Colab, and starts TensorFlow without its log.
import importlib.util

if importlib.util.find_spec("tf_kit") is None:
    {install}

from tf_kit.first_cell import start_quietly

start_quietly()"""
MISSING = 'raise ModuleNotFoundError("Install tf-kit in this environment, then run this cell again.")'


def first_cell(requirement: str = "") -> str:
    """Return the source of the cell.

    Args:
        requirement: what pip is to install: a name, a URL, a wheel, or a repository as in `"git+https://…"`. Defaults
            to "", the repository's address in pyproject.toml; if there is none, the cell tells what to do.

    Raises:
        InputError: `requirement` has several lines.
    """
    requirement = address(requirement)
    install = f"%pip install --quiet {shlex.quote(requirement)}" if requirement else MISSING
    return CELL.format(install=install)


def address(requirement: str = "") -> str:
    """Return what pip is to install: `requirement`, or else the repository's address in pyproject.toml, or "".

    Raises:
        InputError: `requirement` has several lines.
    """
    if "\n" in requirement or "\r" in requirement:
        refuse("first_cell.requirement", "be one line", repr(requirement), flag="--install")
    return requirement or _repository()


def start_quietly() -> None:
    """Import TensorFlow and Keras and look for devices, without a line of log.

    On its import TensorFlow writes to descriptor 2 before it reads `TF_CPP_MIN_LOG_LEVEL`, so the variable alone, which
    is set here too unless it has a value, hides only what comes later. Exceptions are raised as ever.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr.closed():
        importlib.import_module("tensorflow").config.list_physical_devices()
        importlib.import_module("keras")


def _repository():
    """Return the address of the repository for pip, or "". In a checkout pyproject.toml counts as it is now."""
    file = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}) if file.is_file() else {}
    if project.get("name") == "tf-kit":
        urls = project.get("urls", {})
    else:
        try:
            lines = importlib.metadata.metadata("tf-kit").get_all("Project-URL") or []
        except importlib.metadata.PackageNotFoundError:
            return ""
        urls = dict(line.split(", ", 1) for line in lines)
    return f"tf-kit @ git+{urls['Repository']}" if "Repository" in urls else ""
