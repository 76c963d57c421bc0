"""Choice of the precision of a run, and runs in bfloat16."""

import json

import keras
import numpy as np
import pytest

from tf_kit.errors import InputError
from tf_kit.runs import precision as module
from tf_kit.runs import read_json, write_json
from tf_kit.runs.classification import finetune_run
from tf_kit.runs.precision import choose, precision_of_run
from tf_kit.runs.pretraining import pretrain
from tf_kit.training.precision import precision_of

X = np.zeros((2, 3), "float32")


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Values that the measurement returns, in turn; the caches lie in a new folder."""
    values = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "gain", lambda *arguments: values.pop(0))
    return values


def chosen(wanted="auto", batch_size=8, **options):
    return choose(wanted, lambda: None, {"units": [4]}, X, batch_size, **options)


def test_auto_measures_once_for_an_encoder_and_a_batch_size(measured):
    measured += [1.5, 1.0]
    assert chosen() == (
        "bfloat16",
        "precision: bfloat16; bfloat16 is 1.50 times as fast here for this encoder and batch size",
    )
    assert chosen()[0] == "bfloat16"
    assert chosen(batch_size=9)[0] == "float32"
    assert chosen(batch_size=9)[0] == "float32"
    assert measured == []


def test_named_precision_is_not_measured(measured):
    assert chosen("float32") == ("float32", "")
    assert chosen("bfloat16") == ("bfloat16", "")
    assert chosen(None) == (None, "")


def test_auto_keeps_the_precision_of_a_resumed_run_and_of_a_method_that_suffers(measured, tmp_path):
    write_json(tmp_path / "config.json", {"options": {"precision": "bfloat16"}})
    assert chosen(resumed=tmp_path)[0] == "bfloat16"
    write_json(tmp_path / "config.json", {"options": {"command": "pretrain"}})
    assert chosen(resumed=tmp_path)[0] == "float32", "older than the choice"
    assert chosen(keeps_quality=False)[0] == "float32"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "null"])
def test_damaged_memory_of_measurements_is_measured_again(measured, tmp_path, content):
    file = tmp_path / "tf_kit" / "precision.json"
    file.parent.mkdir()
    file.write_text(content)
    measured += [2.0]
    assert chosen()[0] == "bfloat16"
    assert measured == []


def test_folder_that_cannot_be_written_costs_a_measurement(measured, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    measured += [2.0, 2.0]
    assert chosen()[0] == chosen()[0] == "bfloat16"


def test_user_without_a_home_folder_measures_each_time(measured, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(module, "home_folder", lambda: None)
    measured += [2.0, 2.0]
    assert chosen()[0] == chosen()[0] == "bfloat16"


def test_unknown_precision_is_refused():
    with pytest.raises(InputError, match="must be one of 'auto', 'float32', 'bfloat16'"):
        chosen("half")


@pytest.mark.slow
def test_run_that_is_older_than_an_option_began_with_its_default(tmp_path):
    options = {"epochs": 1, "units": (8,), "batch_size": 512}
    results = pretrain("masked", out=tmp_path / "run", **options)
    config = read_json(tmp_path / "run" / "config.json", "config.json")
    for name in ("precision", "keep", "mask_ratio"):
        del config["options"][name]
    del config["options"]["encoder"]["activation"]
    write_json(tmp_path / "run" / "config.json", config)
    assert pretrain("masked", out=tmp_path / "run", resume=True, **options) == results
    assert pretrain("masked", out=tmp_path / "run", resume=True, precision="auto", **options) == results
    for changed in ({"keep": "best:loss"}, {"precision": "bfloat16"}, {"activation": "tanh"}):
        with pytest.raises(InputError, match=f"{next(iter(changed))}=.*, but the run began with"):
            pretrain("masked", out=tmp_path / "run", resume=True, **{**options, **changed})


@pytest.mark.slow
def test_run_in_bfloat16_is_recorded_and_fine_tuned_in_either_precision(tmp_path):
    folder = tmp_path / "run"
    options = {"epochs": 1, "units": (16,), "monitor_every": 0}
    pretrain("denoising", out=folder, precision="bfloat16", **options)
    assert json.loads((folder / "config.json").read_text())["options"]["precision"] == "bfloat16"
    assert precision_of_run(folder) == "bfloat16"
    assert precision_of_run(tmp_path) is precision_of_run(None) is None
    encoder = keras.models.load_model(folder / "encoder.keras")
    assert precision_of(encoder) == "bfloat16"
    assert encoder.weights[0].dtype == "float32"
    assert pretrain("denoising", out=folder, precision="auto", resume=True, **options)
    with pytest.raises(InputError, match="precision"):
        pretrain("denoising", out=folder, precision="float32", resume=True, **options)
    for name in (None, "float32"):
        out = tmp_path / f"finetuned {name}"
        finetune_run(folder, epochs=1, labels=100, out=out, precision=name)
        classifier = keras.models.load_model(out / "classifier.keras")
        assert precision_of(classifier) == (name or "bfloat16")
        assert {each.dtype for each in classifier.optimizer.variables if "moment" in each.path} <= {"float32"}
