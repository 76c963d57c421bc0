"""`represent`: outputs of a layer for arrays and data sets."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_kit.data import Split
from tf_kit.errors import InputError
from tf_kit.training.representation import represent

LAYER = keras.layers.Dense(4)


def test_represents_arrays_and_data_sets(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    labels = np.arange(40) % 3
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 1, each.shape) for each in model.get_weights()])
    expected = np.asarray(model(x))
    np.testing.assert_allclose(represent(model, x, batch_size=7), expected, rtol=1e-6)
    dataset = tf.data.Dataset.from_tensor_slices((x, labels)).batch(7)
    for cache in (None, tmp_path / "cache"):
        outputs, targets = zip(*represent(model, dataset, cache), strict=True)
        np.testing.assert_allclose(np.concatenate(outputs), expected, rtol=1e-6)
        np.testing.assert_array_equal(np.concatenate(targets), labels)
    (unlabelled,) = represent(model, tf.data.Dataset.from_tensors(x))
    np.testing.assert_allclose(unlabelled, expected, rtol=1e-6)


def test_a_split_counts_as_its_examples_and_none_give_none():
    x, layer = np.ones((5, 6), "float32"), keras.layers.Dense(4)
    part = Split(x, np.zeros(5, "int64"), ("a",))
    np.testing.assert_array_equal(represent(layer, part), represent(layer, x))
    assert represent(layer, x[:0]).shape == (0, 4)


def test_folder_of_a_cache_is_made(tmp_path):
    x = np.ones((5, 6), "float32")
    found = represent(
        keras.layers.Dense(4), tf.data.Dataset.from_tensor_slices(x).batch(2), tmp_path / "a" / "b"
    )
    assert [each.shape[0] for each in found] == [2, 2, 1]
    assert list((tmp_path / "a").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs/mine", np.ones((2, 3))), "be a Keras layer or model. Received: str. keras.models.load_model"),
        ((None, np.ones((2, 3))), "be a Keras layer or model. Received: NoneType"),
        ((LAYER, [[1.0, 2.0]]), "be an array, or a tf.data.Dataset.* Received: list"),
        ((LAYER, tf.data.Dataset.from_tensor_slices(np.ones(3))), "consist of batches"),
        ((LAYER, tf.data.Dataset.from_tensors({"a": np.ones((2, 3))})), "one array each"),
        ((LAYER, np.ones((2, 3)), None, 0), "batch_size=0"),
    ],
)
def test_anything_else_is_refused_in_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as caught:
        represent(*arguments)
    assert "\n" not in str(caught.value)
