"""Tests of fine-tuning and probing on images that are read from disk as they are needed."""

import numpy as np
import pytest
from PIL import Image

from tf_kit.data import folder
from tf_kit.errors import InputError
from tf_kit.runs import classification, labelled, pretraining, training_data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run of a pretraining on sixty images of two classes: noise that is dark above or below."""
    place = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    for i in range(60):
        image = rng.integers(0, 200, (8, 8), dtype="uint8")
        image[4 * (i % 2) :][:4] += 30
        folder = place / "images" / ("below" if i % 2 else "above")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:02}.png")
    options = {"units": (8,), "epochs": 1, "batch_size": 16, "monitor_every": 0}
    pretraining.pretrain("masked", str(place / "images"), place / "run", **options)
    return place / "run"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["finetune", "probe"])
def test_stream_gives_the_results_of_arrays(kind, run, tmp_path, monkeypatch):
    """Errors, best epoch, and the confusion matrix, whose rows need images and classes in one order."""
    classify = {"finetune": classification.finetune_run, "probe": classification.probe_run}[kind]
    held = classify(run, epochs=3, batch_size=8, out=tmp_path / "held")
    monkeypatch.setattr(training_data, "STREAM_ABOVE_BYTES", 0)
    read = folder.read_images

    def few(found, indices, *options, **more):
        assert len(indices) <= 12, "a figure shows the few images that are most wrong"
        return read(found, indices, *options, **more)

    monkeypatch.setattr(folder, "read_images", few)
    streamed = classify(run, epochs=3, batch_size=8, out=tmp_path / "streamed")
    assert streamed == held
    confusion = np.array(held["test_by_class"]["confusion"])
    assert held["error"]["test"] == pytest.approx(100 * (1 - confusion.trace() / confusion.sum()), abs=1e-3)


def test_images_of_another_size_are_refused_with_the_size_to_pretrain_with():
    with pytest.raises(InputError, match=r"images of 8×8×3.*image_size=\(8, 12\) gets images of this size"):
        labelled._refuse_shape("data", "wide", (8, 12, 3), (8, 8, 3))
