"""Test of the whole path from a folder of JPEGs to a model in use: the commands of the guide, as they stand there."""

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from cli.typed import run_main
from PIL import Image

import tf_kit
from tf_kit import data
from tf_kit.errors import InputError
from tf_kit.runs import read_json

pytestmark = pytest.mark.slow


def section():
    """The commands of the section, and its program."""
    guide = (Path(tf_kit.__file__).parent / "pretraining" / "README.md").read_text(encoding="utf-8")
    pattern = r"### The whole path\n.*?```sh\n(.*?)```.*?```python\n(.*?)```"
    ((block, program),) = re.findall(pattern, guide, re.S)
    return [shlex.split(line)[1:] for line in block.splitlines()], program


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """2,000 JPEGs without labels, 60 in each of ten folders, 100 to classify; returns the classes of the latter."""
    try:
        train = data.load("fashion_mnist", seed=0)[0]
    except InputError:
        pytest.skip("Fashion-MNIST is not prepared")
    images = np.round(255 * train.x[..., 0]).astype("uint8")

    def save(i, folder):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(tmp_path / folder / f"{i:05}.jpg", quality=95)

    names = [name.replace("/", "-") for name in train.class_names]
    for i in range(2000):
        save(i, "pool")
    for k, name in enumerate(names):
        for i in 2000 + np.flatnonzero(train.y[2000:6000] == k)[:60]:
            save(i, f"labelled/{name}")
    for i in range(6000, 6100):
        save(i, "new")
    monkeypatch.chdir(tmp_path)
    return {f"new/{i:05}.jpg": names[train.y[i]] for i in range(6000, 6100)}


def test_commands_of_the_guide_lead_from_pictures_to_a_model_in_use(pictures, monkeypatch, capsys):
    typed, program = section()
    assert [words[0] for words in typed][2:] == ["pretrain", "finetune", "predict", "embed", "export"]
    for words in typed:
        status, _, err = run_main(monkeypatch, capsys, *words)
        assert status == 0, (words, err)
    with open("classes.csv", encoding="utf-8") as file:
        found = {row["file"]: row["class"] for row in csv.DictReader(file)}
    assert found.keys() == pictures.keys()
    assert np.mean([found[name] == pictures[name] for name in found]) > 0.65  # a guess is right for a tenth
    results = read_json("runs/classifier/results.json", "results.json")
    assert results["labels"] == 300
    assert results["error"]["test"] < 40
    assert results["from_scratch"]["error"].keys() == results["error"].keys()
    for run in ("runs/pool", "runs/classifier"):
        page = Path(run, "report.html").read_text(encoding="utf-8")
        assert 50_000 < len(page) < 1_500_000
        assert page.count("<img") == 3
    for written in (
        "map/map.png",
        "map/neighbors.png",
        "map/sprite.png",
        "runs/classifier/savedmodel/saved_model.pb",
    ):
        assert Path(written).is_file()

    names = {}
    exec(program, names)
    assert found == dict(zip(names["found"].files, names["found"].classes, strict=True))
    probabilities, test = names["probabilities"], names["test"]
    np.testing.assert_allclose(names["same"], probabilities, atol=1e-5)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-5)
    assert np.mean(np.argmax(probabilities, axis=1) == test.y) > 0.6
    assert names["features"].shape == (len(test), 128)
    assert names["history"].history["val_accuracy"][-1] > 0.3
