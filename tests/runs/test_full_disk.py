"""Tests of a full disk while each file of a run is written: one line, and the run continues when there is room."""

import subprocess

import keras
import numpy as np
import pytest
from PIL import Image
from runs.damage import fill_the_disk
from runs.killed import KINDS

from tf_kit.errors import InputError, RunStopped
from tf_kit.runs import pretraining

pytestmark = pytest.mark.slow

FILES = [
    "config.json",
    "images.csv",
    "epoch-00001.npz",
    "epoch-00002.npz",
    "state.json",
    "encoder.keras",
    "inputs.json",
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(30):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), "uint8")
        (folder / f"{i % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i % 2}" / f"{i}.png")
    return folder


def train(pictures, out):
    tiny = {"units": (8,), "epochs": 2, "batch_size": 8, "monitor_every": 0}
    pretraining.pretrain("masked", str(pictures), out, resume=True, **tiny)
    return keras.models.load_model(out / "encoder.keras").get_weights()


@pytest.fixture(scope="module")
def expected(pictures, tmp_path_factory):
    return train(pictures, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("name", FILES)
def test_full_disk_stops_in_one_line_and_the_run_continues(name, pictures, expected, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fill_the_disk(patch, name)
        with pytest.raises((RunStopped, InputError)) as caught:
            train(pictures, tmp_path / "run")
    line = str(caught.value)
    assert "\n" not in line
    assert ("written" in line, "run" in line) == (True, True)
    assert not [path for path in (tmp_path / "run").rglob("*unfinished*") if path.is_file()]
    for ours, theirs in zip(train(pictures, tmp_path / "run"), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder with the finished pretraining that the classifiers of `KINDS` are trained on."""
    place = tmp_path_factory.mktemp("place")
    (place / "masked").mkdir()
    KINDS["masked"](place / "masked" / "whole")
    return place


ON_A_FULL_DISK = {
    "finetune": ("config.json", "state.json", "classifier.keras", "results.json"),
    "probe": ("history.csv", "classifier.keras"),
}


@pytest.mark.parametrize("kind", ON_A_FULL_DISK)
def test_classifier_stops_in_one_line_at_each_file_and_ends(kind, place, monkeypatch):
    """The other kinds of run: `test_damaged_tables.py`."""
    folder = place / kind / "run"
    folder.parent.mkdir()
    for name in ON_A_FULL_DISK[kind]:
        with monkeypatch.context() as patch:
            fill_the_disk(patch, name)
            with pytest.raises((RunStopped, InputError), match=name) as caught:
                KINDS[kind](folder)
        assert "\n" not in str(caught.value)
    KINDS[kind](folder)
    assert (folder / "results.json").is_file()
    assert not [path for path in folder.rglob("*unfinished*") if path.is_file()]


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a file system of some kilobytes at the folder that it returns, or makes it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(kilobytes, *more):
        options = ",".join([*more, f"size={kilobytes}k"])
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this process may not mount a file system")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], capture_output=True)


@pytest.mark.parametrize("kilobytes", [4, 48, 96])
def test_small_file_system_stops_in_one_line_and_the_run_continues(kilobytes, pictures, expected, small_disk):
    """Also where events and figures do not fit, which other libraries write."""
    out = small_disk(kilobytes) / "run"
    with pytest.raises((RunStopped, InputError)) as caught:
        train(pictures, out)
    assert "\n" not in str(caught.value)
    assert "No space left" in str(caught.value)
    small_disk(20_000, "remount")
    for ours, theirs in zip(train(pictures, out), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
