"""Circumstances of a run, which its `config.json` records and its results do not depend on."""

from __future__ import annotations

import datetime
import platform
from importlib import metadata
from typing import Any

import tensorflow as tf


def circumstances() -> dict[str, Any]:
    """Return the time, the versions of the packages, the machine and the number of replicas."""
    packages = ("tf-kit", "tensorflow", "keras", "numpy")
    return {
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": {name: _version(name) for name in packages} | {"python": platform.python_version()},
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
