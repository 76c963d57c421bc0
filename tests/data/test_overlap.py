"""Overlap of fitted and tested examples is found at any position, in any dtype and shape."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_kit import data
from tf_kit.data import find_overlap, refuse_overlap
from tf_kit.data.overlap import fingerprints
from tf_kit.pretraining import knn_accuracy


def images(n=6, seed=0):
    return np.random.default_rng(seed).random((n, 4, 3, 1)).astype("float32")


def test_overlap_is_found_at_any_position():
    fitted, tested = images(6), images(9, seed=1)
    assert find_overlap(fitted, tested).tolist() == []
    tested[[2, 7]] = fitted[[5, 0]]
    assert find_overlap(fitted, tested).tolist() == [2, 7]
    assert find_overlap(tested, fitted).tolist() == [0, 5]


def test_examples_that_differ_in_one_pixel_are_different():
    """Also if the sum over the pixels or over the batch is the same."""
    fitted = images(2)
    turned = fitted[:, ::-1]
    nudged = fitted.copy()
    nudged[1, 3, 2] = np.nextafter(nudged[1, 3, 2], 1)
    assert find_overlap(fitted, turned).tolist() == []
    assert find_overlap(fitted, nudged).tolist() == [0]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float64", "bool"])
def test_dtype_and_shape_do_not_matter(dtype):
    x = (images(4) > 0.5).astype("float32")
    assert find_overlap(x, x.astype(dtype).reshape(4, -1)).tolist() == [0, 1, 2, 3]
    assert fingerprints(x) == fingerprints(np.asfortranarray(x)) == fingerprints(tf.constant(x))


def test_fingerprints_of_splits_and_data_sets():
    x = images(5)
    batches = tf.data.Dataset.from_tensor_slices((x, np.arange(5))).batch(2)
    alone = tf.data.Dataset.from_tensor_slices(x).batch(2)
    split = SimpleNamespace(x=x)
    assert fingerprints(batches) == fingerprints(alone) == fingerprints(split) == fingerprints(x)


def test_message_gives_number_and_indices():
    fitted = images(9)
    with pytest.raises(
        ValueError, match=r"7 of 8 test .*also in train, the first at 1, 2, 3, 4, 5, …\. Leave"
    ):
        refuse_overlap(fitted, np.concatenate([images(1, seed=3), fitted[:7]]), ("train", "test"))
    with pytest.raises(ValueError, match=r"Received: 1 tested examples .* at 0\."):
        refuse_overlap(fitted, tf.data.Dataset.from_tensors(fitted[:1]))


def test_some_overlap_can_be_allowed():
    fitted = images(4)
    refuse_overlap(fitted, fitted[:2], allowed=2)
    with pytest.raises(ValueError, match=r"at most 2 examples of fitted\. Received: 3 of 3"):
        refuse_overlap(fitted, fitted[:3], allowed=2)
    with pytest.raises(ValueError, match="allowed=-1"):
        refuse_overlap(fitted, fitted, allowed=-1)


def test_digits_have_no_overlap():
    for seed in (0, 1):
        train, val, test = data.load("digits", seed=seed)
        for fitted, tested in ((train, val), (train, test), (val, test)):
            assert len(find_overlap(fitted, tested)) == 0


@pytest.mark.slow
def test_mnist_has_no_overlap(mnist_dir):
    train, val, test = data.load("mnist", data_dir=mnist_dir, download=False)
    for fitted, tested in ((train, val), (train, test), (val, test)):
        assert len(find_overlap(fitted, tested)) == 0


def test_knn_accuracy_refuses_overlap():
    split = SimpleNamespace(x=images(6), y=np.arange(6) % 2)
    other = SimpleNamespace(x=images(6, seed=1), y=split.y)
    knn_accuracy(keras.layers.Flatten(), split, other, k=1)
    other.x[3] = split.x[0]
    with pytest.raises(ValueError, match="1 of 6 test examples that are also in train, the first at 3"):
        knn_accuracy(keras.layers.Flatten(), split, other, k=1)
