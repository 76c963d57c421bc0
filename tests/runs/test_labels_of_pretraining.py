"""Labels that a pretraining sees: `supcon` all images with those labels that there are, other methods none."""

import numpy as np
import pytest
from PIL import Image

from tf_kit import data
from tf_kit.pretraining.methods import METHODS
from tf_kit.runs import training_data as module
from tf_kit.runs.training_data import training_data


@pytest.fixture
def folder(tmp_path):
    """Thirty images in each of two subfolders, those of `dark` darker than those of `light`."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        (tmp_path / name).mkdir()
        for i in range(30):
            pixels = rng.integers(low, low + 100, (8, 8)).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / name / f"{i:02}.png")
    return str(tmp_path)


def is_light(x):
    return (x.mean(axis=(1, 2, 3)) > 0.4).astype("int64")


@pytest.mark.parametrize("labels", [None, 10])
def test_images_of_a_folder_keep_the_labels_that_are_asked_for(folder, labels):
    found = training_data(folder, partly=True, labels=labels)
    known = found.y >= 0
    assert len(found.x) == len(found.y) == found.num_examples == len(training_data(folder).x)
    assert known.sum() == (labels or len(found.x))
    np.testing.assert_array_equal(found.y[known], is_light(found.x[known]))
    assert set(found.y[~known]) <= {-1}
    assert np.all(found.watched("val", 4).y >= 0)


def test_streamed_images_have_the_same_labels(folder, monkeypatch):
    expected = training_data(folder, partly=True, labels=10)
    monkeypatch.setattr(module, "STREAM_ABOVE_BYTES", 0)
    streamed = training_data(folder, partly=True, labels=10, batch_size=7)
    assert streamed.x is None
    batches = list(streamed.stream(0, 1).as_numpy_iterator())
    x, y = (np.concatenate(each) for each in zip(*batches, strict=True))
    labels = {image.tobytes(): label for image, label in zip(expected.x, expected.y, strict=True)}
    assert [labels[image.tobytes()] for image in x] == y.tolist()
    assert np.count_nonzero(y >= 0) == 10


def test_data_set_keeps_the_labels_that_are_asked_for():
    found, train = training_data("digits", partly=True, labels=50), data.load("digits", labels=50, seed=0)[0]
    np.testing.assert_array_equal(found.x, train.all_x)
    np.testing.assert_array_equal(found.y[:50], train.y)
    assert set(found.y[50:]) == {-1}
    assert training_data("digits").y is None


def test_one_method_needs_labels_and_one_takes_them():
    uses = {name: method.labels for name, method in METHODS.items() if method.labels != "ignored"}
    assert uses == {"supervised": "needed", "supcon": "optional"}
