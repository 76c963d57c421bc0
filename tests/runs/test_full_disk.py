"""Tests of a full disk while each file of a run is written: one line, and the run continues when there is room."""

import contextlib
import resource
import subprocess

import keras
import numpy as np
import pytest
from PIL import Image

from tf_kit.errors import InputError, RunStopped
from tf_kit.runs import files, pretraining

pytestmark = pytest.mark.slow

FILES = [
    "config.json",
    "data.csv",
    "images.csv",
    "epoch-00001.npz",
    "epoch-00002.npz",
    "state.json",
    "history.csv",
    "encoder.keras",
    "inputs.json",
    "results.json",
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


def fill_the_disk(monkeypatch, name):
    """Let the operating system refuse what is written to files of a name beyond their first 16 bytes."""
    writing = files.stopping_if_unwritable

    @contextlib.contextmanager
    def limited(path):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with writing(path):
            if path.name == name:
                resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(files, "stopping_if_unwritable", limited)


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


@pytest.mark.parametrize("kilobytes", [4, 24, 48, 72, 96])
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
