"""Export of the model of a run to programs without Keras, with the scale of its images inside."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit import stderr
from tf_kit.checks import choice, refuse
from tf_kit.data.pictures import clean
from tf_kit.errors import InputError, RunStopped
from tf_kit.runs.files import FULL, may_be_written, write_json
from tf_kit.runs.saved import Saved, load_saved
from tf_kit.training.precision import set_precision
from tf_kit.whole_files import replacing

TOLERANCE = 1e-5  # largest difference between an exported model and that of the run
_OTHER = "Export to another format"
RESIZE = "bilinear, antialiased, to exactly this height and width; the aspect ratio is not kept"


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that models are exported to.

    Args:
        keras_name: its name in `keras.Model.export`.
        file: default name of the file or folder in the run folder.
        needs: packages that write it.
        runtime: package that runs it, with which the exported model is compared to that of the run.
    """

    keras_name: str
    file: str
    needs: tuple[str, ...] = ()
    runtime: str | None = None


FORMATS = {
    "savedmodel": Format("tf_saved_model", "savedmodel"),
    "onnx": Format("onnx", "model.onnx", ("onnx", "tf2onnx"), "onnxruntime"),
    "litert": Format("litert", "model.tflite", (), "ai-edge-litert"),
}


@dataclasses.dataclass(frozen=True)
class Exported:
    """An exported model.

    Args:
        path: its file, or folder for a SavedModel.
        difference: largest difference between its outputs and those of the run on random images, relative to the
            largest output of the image where that exceeds 1, since rounding grows with it; None if the package that
            runs it is not installed.
        runtime: the program that was used for it, or the package that is missing.
    """

    path: Path
    difference: float | None
    runtime: str


def export(run: str | Path, format: str = "savedmodel", out: str | Path | None = None) -> Exported:
    """Export the model of a run: a classifier to probabilities, an encoder to embeddings.

    The exported model takes `pixels`, float32 (n, height, width, channels) from 0 to 255, and scales them itself; it
    computes in float32. What it says about itself, in JSON, is the shape, color and resize rule of the images and the
    names of the classes:

    - `savedmodel`: the file `assets.extra/model.json` in the folder;
    - `onnx`: the entries `model` and `class_names` of its metadata;
    - `litert`: `model.json` and `labels.txt`, associated files in the manner of TensorFlow Lite: `unzip` reads them.

    Args:
        run: run folder of `pretrain`, `finetune_run` or `probe_run`.
        format: `"savedmodel"`, `"onnx"` or `"litert"`. Defaults to `"savedmodel"`.
        out: file, or folder for a SavedModel. Defaults to `savedmodel`, `model.onnx` or `model.tflite` in `run`.

    Returns:
        Where the model is, and how far its outputs differ from those of the run.

    Raises:
        InputError: `run` holds no model of images, a package is missing, the exported model gives other outputs, or
            this is called within the scope of a strategy, where a SavedModel cannot run.
    """
    chosen = FORMATS[choice("export.format", format, tuple(FORMATS))]
    missing = [name for name in chosen.needs if not _is_installed(name)]
    if missing:
        install = '`pip install "tf-kit[export]"` installs what it needs'
        refuse(
            "export.format",
            "be a format whose packages are installed",
            f"format={format!r}, which needs {' and '.join(missing)}",
            install,
        )
    if tf.distribute.has_strategy():
        received = f"the scope of a {type(tf.distribute.get_strategy()).__name__}"
        remedy = "Call `export` after the `with` block"
        refuse("export.run", "be exported outside the scope of a strategy", received, remedy, flag="RUN")
    saved = load_saved("export", run)
    path = Path(out).expanduser() if out is not None else saved.folder / chosen.file
    _check_place(path, format)
    model = _exportable(saved)
    about = _about(saved)
    beside = Path(os.path.realpath(path)).parent  # the disk of a link is another one, perhaps
    with tempfile.TemporaryDirectory(dir=beside, prefix=f".{path.name}.") as folder:
        unfinished = Path(folder) / chosen.file
        try:
            _write(model, saved.shape, format, unfinished)
            _DESCRIBE[format](unfinished, about)
            difference = _difference(model, saved.shape, _RUN[format], unfinished, chosen.runtime)
        except InputError:
            raise
        except Exception as error:  # converters raise exceptions of any class for a layer they do not know
            full = next((each for each in map(os.strerror, FULL) if each in str(error)), None)
            if full is not None:
                raise RunStopped(f"{path} cannot be written: {full}") from error
            reason = str(error).strip().splitlines()
            received = f"{clean(saved.folder)}: {reason[0][:200] if reason else type(error).__name__}"
            refuse("export.run", f"be a model that {format} can hold", received, _OTHER, flag="RUN")
        if difference is not None and not difference <= TOLERANCE:
            requirement = f"give the outputs of the run within {TOLERANCE:g}"
            refuse(
                "export",
                requirement,
                f"a difference of {difference:.1e} in {format}",
                "Export to another format",
                flag="--format",
            )
        _put(unfinished, path)
    return Exported(path, difference, chosen.runtime or "TensorFlow")


def _write(model: keras.Model, shape: tuple[int, ...], format: str, path: Path) -> None:
    model(np.zeros((1, *shape), "float32"))  # converters want a model that was called
    with _quietly():
        if format == "onnx":
            _teach_erfc()
        model.export(path, format=FORMATS[format].keras_name, verbose=False)


def _teach_erfc() -> None:
    """Tell tf2onnx, which lacks it, how to write erfc(x) = 1 − erf(x), of which GELU consists."""
    from tf2onnx.handler import tf_op

    class Erfc:
        @classmethod
        def version_9(cls, graph, node, **_):
            shape, kind = graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
            graph.remove_node(node.name)
            erf = graph.make_node("Erf", node.input)
            one = graph.make_const(f"{node.name}/one", np.array(1, "float32"))
            given = [one.output[0], erf.output[0]]
            graph.make_node("Sub", given, name=node.name, outputs=node.output, shapes=[shape], dtypes=[kind])

    tf_op("Erfc")(Erfc)


def _is_installed(name):
    return importlib.util.find_spec(name.replace("-", "_")) is not None


def _put(unfinished: Path, path: Path) -> None:
    """Move an exported model to its place. A link stays, and what is neither file nor folder is written itself."""
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file() and not place.is_dir():
        with replacing(place) as written:
            written.write_bytes(unfinished.read_bytes())
        return
    if place.is_dir():
        os.replace(place, unfinished.with_name("before"))
    os.replace(unfinished, place)


def _check_place(path, format):
    """Refuse a path whose folder is missing, and one that holds something other than an exported model."""
    if not path.parent.is_dir():
        refuse("export.out", "lie in a folder that exists", f"{path}", flag="--out")
    if not may_be_written(path.parent / "new"):
        remedies = {"remedy": "`out` names another place", "typed_remedy": "`--out` names another place"}
        refuse("export.out", "lie in a folder that can be written", f"{path}", **remedies, flag="--out")
    is_folder = format == "savedmodel"
    taken = path.is_file() if is_folder else path.is_dir()
    if is_folder and path.is_dir() and any(path.iterdir()):
        taken = not (path / "saved_model.pb").is_file()
    if taken:
        kind = "a new folder, or one with a SavedModel, which is replaced" if is_folder else "a file"
        refuse("export.out", f"be {kind}", f"{path}", flag="--out")
    if format == "onnx" and path.is_file() and path.suffix != ".onnx":
        refuse("export.out", "be a new file, or end in .onnx to be replaced", f"{path}", flag="--out")
    if format == "litert" and path.suffix != ".tflite":
        refuse("export.out", "end in .tflite", f"{path}", flag="--out")


def _exportable(saved: Saved) -> keras.Model:
    """Make a model from pixels of 0 to 255 to probabilities or embeddings, in float32."""
    set_precision(saved.model, "float32")
    pixels = keras.Input(saved.shape, name="pixels", dtype="float32")
    x = keras.layers.Rescaling(1 / 255, name="scaled")(pixels)
    output = saved.model(x, training=False)
    if saved.class_names:
        output = keras.layers.Softmax(name="probabilities")(output)
    return keras.Model(pixels, output, name="classifier" if saved.class_names else "encoder")


def _about(saved: Saved) -> dict[str, Any]:
    height, width, channels = saved.shape
    return {
        "input": {
            "height": height,
            "width": width,
            "color": "grey" if channels == 1 else "rgb",
            "values": "float32 from 0 to 255; the model divides by 255",
            "resize": RESIZE,
        },
        "output": "probabilities" if saved.class_names else "embedding",
        "class_names": list(saved.class_names),
    }


def _describe_savedmodel(path: Path, about: Mapping[str, Any]) -> None:
    (path / "assets.extra").mkdir()
    write_json(path / "assets.extra" / "model.json", about)


def _describe_onnx(path: Path, about: Mapping[str, Any]) -> None:
    import onnx

    model = onnx.load(str(path))
    names = json.dumps(about["class_names"], ensure_ascii=False)
    entries = {"model": json.dumps(about, ensure_ascii=False), "class_names": names}
    onnx.helper.set_model_props(model, entries)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _describe_litert(path: Path, about: Mapping[str, Any]) -> None:
    with zipfile.ZipFile(path, "a") as files:
        files.writestr("model.json", json.dumps(about, ensure_ascii=False, indent=2))
        if about["class_names"]:
            files.writestr("labels.txt", "".join(f"{name}\n" for name in about["class_names"]))


_DESCRIBE: dict[str, Callable[[Path, Mapping[str, Any]], None]] = {
    "savedmodel": _describe_savedmodel,
    "onnx": _describe_onnx,
    "litert": _describe_litert,
}


def _run_savedmodel(path: Path, x: np.ndarray) -> np.ndarray:
    model = tf.saved_model.load(str(path))  # which owns the variables while it is called
    return np.asarray(model.serve(x))


def _run_onnx(path: Path, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def _run_litert(path: Path, x: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    given, returned = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(given["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(returned["index"])


_RUN: dict[str, Callable[[Path, np.ndarray], np.ndarray]] = {
    "savedmodel": _run_savedmodel,
    "onnx": _run_onnx,
    "litert": _run_litert,
}


def _difference(model, shape, run, path, runtime):
    """Compare the outputs on random images of a smooth and a rough kind; None if nothing can run the file."""
    if runtime is not None and not _is_installed(runtime):
        return None
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (4, *shape)).astype("float32")
    x[2:] = rng.integers(0, 256, (2, 1, 1, 1))
    with _quietly():
        found = run(path, x)
    wanted = ops.convert_to_numpy(model(x, training=False))
    if found.shape != wanted.shape:
        return float("inf")
    largest = np.max(np.abs(wanted), axis=1, keepdims=True)
    return float(np.max(np.abs(found - wanted) / np.maximum(1, largest)))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Discard what converters print and log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), stderr.closed():
            yield
    finally:
        logging.disable(before)
