"""Property tests: whatever stands in the files of a run, or is typed, the user gets one line and no traceback."""

import json
import shutil

import numpy as np
import pytest
from cli.typed import run_main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tf_kit.errors import InputError
from tf_kit.pretraining.methods import METHODS
from tf_kit.runs import Run, classification, pretraining, text

FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
QUICK = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=FIXTURES)
LONG = settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=FIXTURES)

ODD = [5, True, -1, 2.5, "x", "", "12", "/nowhere", [], [1], [3, "a"], {"a": 1}, "\0", "a" * 300, "\ud800"]
SCALARS = st.sampled_from(ODD) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
OPTIONS = {"command": "test", "units": [8, 8]}


class Started(Exception):
    """Raised in place of a run that would begin."""


def start(*arguments, **options):
    raise Started


@pytest.mark.slow
@QUICK
@given(
    content=JSON,
    keys=st.sampled_from([(), ("options",), ("data",), ("data", "digest"), ("options", "units")]),
)
def test_any_config_is_resumed_or_refused_in_one_line(content, keys, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    Run(folder, OPTIONS, data={"x": [1.0]})
    replace(folder / "config.json", keys, content)
    line = ""
    try:
        Run(folder, OPTIONS, resume=True, data={"x": [1.0]})
    except InputError as error:
        line = str(error)
    assert "\n" not in line


def replace(path, keys, content):
    """Put a value in the place of another in a JSON file."""
    whole = json.loads(path.read_text())
    place = whole
    for key in keys[:-1]:
        place = place[key]
    if keys:
        place[keys[-1]] = content
    path.write_text(json.dumps(whole if keys else content))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    place = tmp_path_factory.mktemp("pretrained")
    for i in range(30):
        (place / "pictures" / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), "uint8")
        Image.fromarray(pixels).save(place / "pictures" / f"{i % 2}" / f"{i}.png")
    folder = place / "run"
    pretraining.pretrain(
        "masked", str(place / "pictures"), folder, units=(8,), epochs=1, batch_size=8, monitor_every=0
    )
    return folder


NAMES = [
    "data",
    "data_dir",
    "image_size",
    "color",
    "unlabeled",
    "labels_file",
    "method",
    "files",
    "split_seed",
]


@pytest.mark.slow
@LONG
@given(name=st.sampled_from(NAMES), content=st.sampled_from(ODD) | JSON)
def test_fine_tuning_on_any_recorded_option_starts_or_is_refused(name, content, pretrained, tmp_path_factory):
    folder = shutil.copytree(pretrained, tmp_path_factory.mktemp("copy") / "run")
    replace(folder / "config.json", ("options", name), content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "Run", start)
        with pytest.raises((InputError, Started)) as caught:
            classification.finetune_run(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@LONG
@given(
    name=st.sampled_from(["config.json", "data.csv", "results.json", "encoder.keras"]),
    content=st.binary(max_size=60),
)
def test_fine_tuning_on_any_bytes_starts_or_is_refused(name, content, pretrained, tmp_path_factory):
    folder = shutil.copytree(pretrained, tmp_path_factory.mktemp("copy") / "run")
    (folder / name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "Run", start)
        with pytest.raises((InputError, Started)) as caught:
            classification.finetune_run(folder)
    assert "\n" not in str(caught.value)


FLAGS = [
    "--epochs",
    "--batch-size",
    "--learning-rate",
    "--seed",
    "--data",
    "--rate",
    "--units",
    "--monitor-every",
]
FLAGS += [
    "--activation",
    "--encoder",
    "--image-size",
    "--color",
    "--labels",
    "--length",
    "--mask-ratio",
    "--depth",
]
VALUES = [
    "",
    "0",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "0x8",
    "１２",
    "8,8",
    "8,,8",
    ",",
    "3.0",
    "½",
    "a b",
    "'",
    "~",
]
WORDS = st.sampled_from(VALUES) | st.text(
    st.characters(exclude_characters="\0/~.", exclude_categories=["Cs"]), max_size=4
)


@pytest.mark.slow
@LONG
@given(
    method=st.sampled_from(sorted(METHODS)),
    typed=st.lists(st.tuples(st.sampled_from(FLAGS), WORDS), min_size=1, max_size=2),
)
def test_any_flags_start_a_run_or_are_refused(method, typed, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretraining, "Run", start)
    monkeypatch.setattr(text, "Run", start)
    try:
        status, _, err = run_main(
            monkeypatch,
            capsys,
            "pretrain",
            method,
            *(word for pair in typed for word in pair),
            "--out",
            "run",
        )
    except Started:
        return
    assert status == 2 or "--help" in typed
    assert err.startswith("tf-kit: ")
    assert len(err.splitlines()) == 1, err
