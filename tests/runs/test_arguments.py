"""Tests of arguments of runs: NumPy numbers and paths count as Python's, and folders are recorded as whole paths."""

import functools
import inspect
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.cases import mostly_slow

from tf_kit.errors import InputError
from tf_kit.pretraining.methods import own_options
from tf_kit.runs import Run, classification, pretraining, text

TINY = {  # of some methods, with the sizes of their encoders
    "masked": {"units": (8,), "monitor_every": 0, "image_size": (8, 12)},
    "tokens": {"width": 8, "depth": 1, "length": 24},
    "supervised": {"units": (4,), "labels": 20, "image_size": 8},
    "simclr": {"filters": (2, 2), "units": (4,), "monitor_every": 1, "temperature": 1.0},
    "mae": {"width": 8, "depth": 1, "patch_size": 4, "decoder_width": 8},
}
CLASSIFY = {"finetune": classification.finetune_run, "probe": classification.probe_run}


class Killed(BaseException):
    """Raised in place of the training, or of the figures."""


def kill(*arguments, **options):
    raise Killed


def as_numpy(value):
    """Return a number, or a tuple of numbers, as NumPy has it."""
    if isinstance(value, tuple):
        return tuple(map(as_numpy, value))
    kinds = {int: np.int64, float: np.float64}
    return kinds[type(value)](value) if type(value) in kinds else value


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder `lights` of images in two classes, and a text `rhyme.txt`, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(40):
        file = Path("lights", "above" if i % 2 else "below", f"{i:02}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8), dtype="uint8")).save(file)
    Path("rhyme.txt").write_text("the cat sat on the mat. " * 300)
    return tmp_path


@pytest.fixture
def run(sources):
    """The run of a pretraining on the images."""
    pretraining.pretrain("masked", "lights", "run", units=(8,), epochs=1, monitor_every=0)
    return Path("run")


def recorded(folder):
    """Return the options and the flags that a run has recorded."""
    options = json.loads((Path(folder) / "config.json").read_text())["options"]
    return options, tomllib.loads((Path(folder) / "run.toml").read_text())


def begin(monkeypatch, method, *arguments, **options):
    """Begin a pretraining, up to the training."""
    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "pretrain_into", kill)
        patch.setattr(text.methods, "train", kill)
        with pytest.raises(Killed):
            pretraining.pretrain(method, *arguments, **options)


@pytest.mark.parametrize("method", mostly_slow(TINY, quick=2))
def test_pretraining_takes_numbers_of_numpy_and_paths(method, sources, monkeypatch):
    numbers = {"seed": 1, "epochs": 2, "batch_size": 8, "learning_rate": 0.01} | TINY[method]
    numbers = own_options(method, {}) | numbers
    name = "rhyme.txt" if method == "tokens" else "lights"
    begin(monkeypatch, method, name, "of python", **numbers)
    numbers = {each: as_numpy(value) for each, value in numbers.items()}
    begin(monkeypatch, method, Path(name), Path("of numpy"), **numbers)
    assert recorded("of numpy") == recorded("of python")
    begin(monkeypatch, method, Path(name), "of python", resume=True, **numbers)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLASSIFY)
def test_classifiers_take_numbers_of_numpy_and_paths(kind, run, monkeypatch):
    monkeypatch.setattr(classification, "_trained_and_tested", lambda *arguments: {})
    classify, given = CLASSIFY[kind], {"labels": 12, "k": 3}
    for name, parameter in inspect.signature(classify).parameters.items():
        if re.search(r"\b(int|float)\b", parameter.annotation):
            given.setdefault(name, parameter.default)
    given = {name: given[name] for name in given if name in inspect.signature(classify).parameters}
    assert given.keys() >= {"epochs", "batch_size", "learning_rate", "labels", "seed"}
    more = {"data": "lights", "test_on_seen": True}
    classify(str(run), out="of python", **given, **more)
    given = {each: as_numpy(value) for each, value in given.items()}
    classify(run, out=Path("of numpy"), **given, **(more | {"data": Path("lights")}))
    assert recorded("of numpy") == recorded("of python")


def test_run_takes_numbers_of_numpy_in_its_options(tmp_path):
    options = {"seed": 1, "net": {"units": (8, 8), "rate": 0.5, "bias": True}, "data": "flowers"}
    numpy = {
        "seed": np.uint8(1),
        "net": {"units": (np.int32(8), 8), "rate": np.float32(0.5), "bias": np.True_},
    }
    Run(tmp_path / "run", {**numpy, "data": Path("flowers")})
    assert json.loads((tmp_path / "run" / "config.json").read_text())["options"] == {
        **options,
        "net": {**options["net"], "units": [8, 8]},
    }
    Run(tmp_path / "run", options, resume=True)


@pytest.mark.parametrize("method", ["masked", "tokens"])
def test_folder_of_sets_is_recorded_as_a_whole_path(method, sources, monkeypatch):
    name, options = ("rhyme.txt", TINY[method]) if method == "tokens" else ("digits", {"units": (8,)})
    begin(monkeypatch, method, name, "begun", data_dir="sets", **options)
    assert [each["data_dir"] for each in recorded("begun")] == [str(sources / "sets")] * 2
    config = json.loads(Path("begun/config.json").read_text())
    config["options"]["data_dir"] = "sets"  # as older versions recorded it
    Path("begun/config.json").write_text(json.dumps(config))
    begin(monkeypatch, method, name, "begun", data_dir="sets", resume=True, **options)


@pytest.mark.slow
def test_classifier_records_the_folder_of_sets_as_a_whole_path(run, sources, monkeypatch):
    monkeypatch.setattr(classification, "_trained_and_tested", lambda *arguments: {})
    classification.probe_run(run, data="digits", data_dir="sets", out="probe")
    assert recorded("probe")[1]["data_dir"] == str(sources / "sets")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["masked", "tokens", "finetune", "probe"])
def test_model_is_saved_before_the_figures(kind, run, sources, monkeypatch):
    """So that an error in a figure does not cost the training."""
    monkeypatch.setattr(Run, "draw", kill)
    train, source = CLASSIFY.get(kind, functools.partial(pretraining.pretrain, kind)), run
    options = {"masked": {"units": (8,)}, "tokens": TINY["tokens"]}.get(kind, {})
    if kind not in CLASSIFY:
        source = "rhyme.txt" if kind == "tokens" else "lights"
    with pytest.raises(Killed):
        train(source, out="stopped", epochs=1, **options)
    expected = {"classifier.keras", "inputs.json"} if kind in CLASSIFY else {"encoder.keras"}
    assert {each.name for each in Path("stopped").iterdir()} >= expected


def test_pretraining_refuses_arrays():
    with pytest.raises(
        InputError, match=r"`pretrain\.name` must be the name .*Received: a ndarray\. .*fit\(x\)"
    ):
        pretraining.pretrain("simclr", np.zeros((4, 8, 8, 1)), "run")
