"""Choice of the precision of a run: measured once for a machine, an encoder and a batch size, and remembered."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_kit.checks import choice, refuse
from tf_kit.data.prepared import home_folder
from tf_kit.errors import InputError, RunStopped
from tf_kit.runs.files import read_json, write_json
from tf_kit.training import workers
from tf_kit.training.precision import current_precision, gain

PRECISIONS = ("auto", "float32", "bfloat16")
WORTH_IT = 1.1  # ratio of seconds, float32 / bfloat16, from which `auto` takes bfloat16


def choose(
    wanted: str | None,
    make: Callable[[], keras.Model],
    sizes: Mapping[str, Any],
    x: np.ndarray,
    batch_size: int,
    *,
    keeps_quality: bool = True,
    resumed: str | Path | None = None,
) -> tuple[str | None, str]:
    """Return the precision that `"auto"` stands for on this machine; another one is returned as it is.

    `"auto"` is bfloat16 if `training.precision.gain` is at least `WORTH_IT`. The gain is remembered in the user's
    folder of caches.

    Args:
        wanted: `"auto"`, `"float32"`, `"bfloat16"`, or None for the policy that Keras has.
        make: function that makes the encoder.
        sizes: kind and sizes of the encoder, by which a measurement is remembered.
        x: some examples.
        batch_size: examples per step.
        keeps_quality: whether the method is as good in bfloat16. Defaults to True.
        resumed: folder of the run that is resumed, whose precision `"auto"` keeps if it has one. Defaults to None.

    Returns:
        The precision, and a line that says what was chosen and why, empty if nothing had to be chosen.
    """
    if wanted is None:
        return None, ""
    choice("pretrain.precision", wanted, PRECISIONS)
    if wanted != "auto":
        return wanted, ""
    began_with = precision_of_run(resumed)
    if began_with is not None:
        return began_with, f"precision: {began_with}, as the run began"
    if workers.several():
        refuse("pretrain.precision", "be named on several machines", "'auto'", "float32 or bfloat16")
    if not keeps_quality:
        return "float32", "precision: float32, because this method was not measured to be as good in bfloat16"
    key = json.dumps([sizes, [*x.shape[1:]], batch_size], sort_keys=True)
    measured = _remembered(key, lambda: gain(make, x, batch_size))
    chosen = "bfloat16" if measured >= WORTH_IT else "float32"
    return (
        chosen,
        f"precision: {chosen}; bfloat16 is {measured:.2f} times as fast here for this encoder and batch size",
    )


def precision_of_run(folder: str | Path | None) -> str | None:
    """Return the precision in the configuration of a run; None if there is no run, or it names none.

    A pretraining that names none is older than the choice, and computed in the policy that Keras has.
    """
    if folder is None:
        return None
    try:
        options = read_json(Path(folder).expanduser() / "config.json", "config.json")["options"]
        usual = current_precision() if options.get("command") == "pretrain" else None
        return options.get("precision", usual)
    except (InputError, KeyError, TypeError, AttributeError, OSError):
        return None


def _remembered(key, measure):
    """Return what was measured before on this machine for `key`, or measure it."""
    home = home_folder()
    caches = os.environ.get("XDG_CACHE_HOME") or (home and home / ".cache")
    if caches is None:
        return measure()
    file = Path(caches) / "tf_kit" / "precision.json"
    key, known = f"{_machine()} {key}", _read(file)
    if isinstance(known.get(key), float | int):
        return float(known[key])
    found = measure()
    with contextlib.suppress(OSError, RunStopped):  # without the file it is measured each time
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {**_read(file), key: round(found, 3)})
    return found


def _read(file):
    """Return the measurements of a file; none if it is missing or damaged."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    return known if isinstance(known, dict) else {}


@functools.cache
def _machine():
    """Return what a measurement holds for: processor, GPU, and version of TensorFlow."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus[:1]]
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    processor = model or platform.processor() or platform.machine()
    return " ".join([processor, f"{os.cpu_count()} cores", *names, f"TensorFlow {tf.__version__}"])
