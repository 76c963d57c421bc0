"""Prepared sets with few examples, unknown shapes, real numbers, other names of splits, and without labels."""

import numpy as np
import pytest

from tf_kit.data import load, stream
from tf_kit.errors import InputError


@pytest.fixture
def prepare(tmp_path):
    """Prepare a set from {split: (images, labels)} in a new folder; return the folder."""

    def write(splits, shape=(4, 4, 1), dtype=np.uint8):
        import tensorflow_datasets as tfds

        class TfKitUnusual(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            name = "tf_kit_unusual"
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=shape, dtype=dtype),
                    "label": tfds.features.ClassLabel(names=["ant", "bee"]),
                }
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
                )

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(*content) for split, content in splits.items()}

            def _generate_examples(self, images, labels):
                for i, (image, label) in enumerate(zip(images, labels, strict=True)):
                    yield i, {"image": image, "label": int(label)}

        TfKitUnusual(data_dir=tmp_path).download_and_prepare()
        return tmp_path

    return write


def images(n, seed=0, shape=(4, 4, 1)):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype="uint8")


def bees(n):
    return np.arange(n) % 2


@pytest.mark.slow
def test_own_validation_split_is_found_by_any_name(prepare):
    place = prepare(
        {"train": (images(12), bees(12)), "val": (images(4, 1), bees(4)), "test": (images(5, 2), bees(5))}
    )
    parts = load("tf_kit_unusual", data_dir=place)
    assert [len(part) for part in parts] == [12, 4, 5]
    np.testing.assert_array_equal(np.round(parts[1].x * 255), images(4, 1))
    first = next(iter(stream("tf_kit_unusual", "val", batch_size=4, shuffle_buffer=1, data_dir=place)))[0]
    np.testing.assert_array_equal(first, parts[1].x)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "white"), [(1, 255), (1 / 255, 1)])
def test_images_of_real_numbers_are_scaled_to_one(prepare, scale, white):
    x = (images(12) * scale).astype("float32")
    place = prepare({"train": (x, bees(12))}, dtype=np.float32)
    train, val, test = load("tf_kit_unusual", data_dir=place)
    whole = np.concatenate([train.x, val.x, test.x])
    np.testing.assert_allclose(whole, x / white, rtol=1e-6)
    first = next(iter(stream("tf_kit_unusual", batch_size=8, shuffle_buffer=1, data_dir=place)))[0]
    np.testing.assert_allclose(first, train.x, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("value", [-1.0, 300.0, np.inf, np.nan])
def test_images_of_other_real_numbers_are_refused(prepare, value):
    x = images(12).astype("float32")
    x[3] = value
    place = prepare({"train": (x, bees(12))}, dtype=np.float32)
    with pytest.raises(InputError, match="values in"):
        load("tf_kit_unusual", data_dir=place)


@pytest.mark.slow
def test_examples_without_class_are_unlabelled(prepare):
    y = bees(12)
    y[[1, 4]] = -1
    place = prepare({"train": (images(12), y), "validation": (images(4, 1), [0, 1, -1, 0]),
                     "test": (images(4, 2), bees(4))})  # fmt: skip
    train, val, test = load("tf_kit_unusual", data_dir=place)
    assert [len(part) for part in (train, val, test)] == [10, 3, 4]
    np.testing.assert_array_equal(np.round(train.unlabelled_x * 255), images(12)[[1, 4]])
    labels = np.concatenate([y for _, y in stream("tf_kit_unusual", batch_size=4, data_dir=place)])
    assert sorted(labels) == [0] * 5 + [1] * 5


@pytest.mark.parametrize("n", [1, 2])
def test_set_of_too_few_examples_is_refused(prepare, n):
    place = prepare({"train": (images(n), bees(n))})
    for read in (load, lambda name, **how: stream(name, batch_size=1, **how)):
        with pytest.raises(InputError, match=rf"at least 3 examples.* with {n}\."):
            read("tf_kit_unusual", data_dir=place)


def test_set_of_three_examples_is_divided(prepare):
    place = prepare({"train": (images(3), bees(3))})
    assert [len(part) for part in load("tf_kit_unusual", data_dir=place)] == [1, 1, 1]


def test_set_without_training_split_is_refused(prepare):
    place = prepare({"test": (images(4), bees(4))})
    with pytest.raises(InputError, match="a split for training"):
        load("tf_kit_unusual", data_dir=place)


@pytest.mark.slow
def test_images_of_unknown_shape_need_a_size(prepare):
    mixed = [images(1, i, (4 + i % 2, 5, 1 if i % 2 else 3))[0] for i in range(6)]
    place = prepare({"train": (mixed, bees(6))}, shape=(None, None, None))
    with pytest.raises(InputError, match="image_size"):
        load("tf_kit_unusual", data_dir=place)
    train, val, test = load("tf_kit_unusual", data_dir=place, image_size=4)
    assert [part.x.shape for part in (train, val, test)] == [(4, 4, 4, 3), (1, 4, 4, 3), (1, 4, 4, 3)]
    assert next(iter(stream("tf_kit_unusual", batch_size=4, data_dir=place, image_size=4)))[0].shape == (
        4,
        4,
        4,
        3,
    )


def test_damaged_record_of_a_stream_is_named_before_it_begins(prepare):
    place = prepare({"train": (images(12), bees(12))})
    (file,) = place.rglob("*train.tfrecord*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="must be a whole file") as caught:
        stream("tf_kit_unusual", batch_size=4, data_dir=place)
    assert str(file) in str(caught.value)
