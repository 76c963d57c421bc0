"""Division of examples, withholding of labels, and checks of arrays."""

import numpy as np
import pytest
from oracles.data import class_counts

from tf_kit.data import Split, check_images
from tf_kit.data.splits import stratified, withhold
from tf_kit.errors import InputError


def a_split(counts=(40, 60, 100)):
    y = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    x = np.arange(len(y), dtype="float32").reshape(-1, 1, 1, 1)
    return Split(x, y, tuple("abcdefgh"[: len(counts)]))


def unstratified(y, sizes, rng):
    """Wrong twin: parts of a plain permutation."""
    return np.split(rng.permutation(len(y)), np.cumsum(sizes)[:-1])


def worst_excess(divide, y, sizes):
    worst = 0
    for seed in range(20):
        parts = divide(y, sizes, np.random.default_rng(seed))
        assert sorted(np.concatenate(parts)) == list(range(len(y)))
        assert [len(part) for part in parts] == list(sizes)
        for part in parts:
            expected = np.array(class_counts(y, 3)) * len(part) / len(y)
            worst = max(worst, np.abs(class_counts(y[part], 3) - expected).max())
    return worst


def test_stratified_parts_keep_the_class_proportions():
    y = a_split().y
    assert worst_excess(stratified, y, (120, 40, 40)) < 1.5
    assert worst_excess(unstratified, y, (120, 40, 40)) > 3


def test_withholding_keeps_the_same_number_of_each_class():
    for kept in (3, 30, 90, 120):
        few = withhold(a_split(), kept, seed=0)
        counts = class_counts(few.y, 3)
        assert sum(counts) == len(few) == kept
        assert max(counts) - min(counts) <= 1 or kept > 3 * 40  # as long as the smallest class has examples
    assert class_counts(withhold(a_split(), 190, seed=0).y, 3) == [40, 60, 90]


def drawn_anew(split, labels, seed):
    """Wrong twin: the draw depends on the number of labels, so a smaller choice is not within a larger one."""
    chosen = np.random.default_rng((seed, labels)).permutation(len(split))[:labels]
    return Split(split.x[chosen], split.y[chosen], split.class_names)


@pytest.mark.parametrize("seed", [0, 1])
def test_smaller_choices_are_within_larger_ones(seed):
    def nested(withhold):
        kept = [set(withhold(a_split(), labels, seed).x.ravel()) for labels in (6, 20, 100)]
        return kept[0] <= kept[1] <= kept[2]

    assert nested(withhold)
    assert not nested(drawn_anew)


def test_withholding_keeps_all_examples_and_their_classes():
    whole = a_split()
    few = withhold(whole, 0.25, seed=3)
    assert len(few) == 50
    assert sorted(few.all_x.ravel()) == list(range(200))
    np.testing.assert_array_equal(whole.y[few.x.ravel().astype(int)], few.y)
    assert whole.all_x is whole.x
    assert whole.unlabelled_x.shape == (0, 1, 1, 1)


def test_choice_depends_on_the_seed():
    kept = [withhold(a_split(), 30, seed).x.ravel().tolist() for seed in (0, 0, 1)]
    assert kept[0] == kept[1] != kept[2]


@pytest.mark.parametrize("labels", [200, 1.0])
def test_keeping_all_labels_changes_nothing(labels):
    np.testing.assert_array_equal(withhold(a_split(), labels, 0).x, a_split().x)


@pytest.mark.parametrize("labels", [2, 201, 0, -1, 1.5, 0.0, 0.001, float("nan"), "ten", True])
def test_bad_numbers_of_labels_are_refused(labels):
    with pytest.raises(ValueError, match=f"Received: labels={labels!r}"):
        withhold(a_split(), labels, seed=0)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (np.zeros((4, 8)), None, {}, r"shape \(4, 8\)"),
        (np.zeros((0, 8, 8, 1)), None, {}, r"at least one example. Received: shape \(0, 8, 8, 1\)"),
        (np.array([[["a"]]]), None, {}, "dtype <U1"),
        (np.full((2, 3, 3, 1), np.nan), None, {}, "NaN or infinity in 2 of 2"),
        (np.full((2, 3, 3, 1), np.inf), None, {}, "NaN or infinity in 2 of 2"),
        (np.full((2, 3, 3, 1), 255), None, {"interval": (0, 1)}, "values from 255 to 255"),
        (np.zeros((2, 3, 3)), np.zeros(3), {}, r"2 examples. Received: shape \(3,\)"),
        (
            np.zeros((2, 3, 3)),
            np.array([0, 10]),
            {"num_classes": 10},
            "below 10. Received: classes from 0 to 10",
        ),
        (np.zeros((2, 3, 3)), np.array([-1, 1]), {}, "classes from -1 to 1"),
        (np.zeros((2, 3, 3)), np.array([0.5, 1]), {}, "whole numbers"),
        (np.zeros((2, 3, 3)), np.array([np.nan, 1]), {}, "whole numbers"),
    ],
)
def test_unusable_arrays_are_refused(x, y, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_images(x, y, name="photos.npy", **options)
    assert str(caught.value).startswith("`photos.npy")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [[0, 1], [[0], [1]]], ids=["(n,)", "(n, 1)"])
def test_checked_images_are_float32_with_a_channel(classes):
    x, y = check_images(np.ones((2, 3, 3), "uint8"), classes, num_classes=2, interval=(0, 1))
    assert y.tolist() == [0, 1]
    assert (x.shape, x.dtype, y.dtype) == ((2, 3, 3, 1), np.float32, np.int64)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.0, np.inf, 1.0], "NaN or infinity in 1 of 3 classes"),
        ([0.0, np.nan, 1.0], "NaN or infinity in 1 of 3 classes"),
        ([0, -1, 1], "classes from -1 to 1"),
        (np.eye(3), r"one-hot vectors\. y\.argmax\(-1\) gives their classes"),
        (np.ma.array([0, 1, 2], mask=[0, 1, 0]), "1 masked"),
    ],
)
def test_labels_that_are_not_classes_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        check_images(np.zeros((3, 4, 4)), y)


def test_masked_images_are_refused():
    x = np.ma.masked_greater(np.arange(48.0).reshape(3, 4, 4), 46)
    with pytest.raises(InputError, match="1 masked"):
        check_images(x)
    assert check_images(np.ma.array(x.data)).shape == (3, 4, 4, 1), "nothing is masked"


def test_nearest_neighbors_refuse_one_hot_labels():
    from tf_kit.pretraining import knn_accuracy

    train, test = (Split(np.random.default_rng(i).random((6, 2)), np.eye(6), ()) for i in range(2))
    with pytest.raises(InputError, match=r"train: y` must hold one class .* one-hot"):
        knn_accuracy(lambda x, training: x, train, test, k=1)
