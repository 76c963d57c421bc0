"""Tests of the data sets of demos: how many examples and labels they give, and from which classes."""

import numpy as np
import pytest

from tf_kit import data, lectures


def test_first_examples_are_those_of_the_split_where_they_have_all_classes():
    train = data.load("digits")[0]
    few = lectures.load_data("digits", examples=200)[0]
    np.testing.assert_array_equal(few.x, train.x[:200])
    np.testing.assert_array_equal(few.y, train.y[:200])


@pytest.mark.parametrize(
    ("n", "expected"), [(2, [1, 1]), (4, [2, 2]), (5, [3, 2]), (70, [10, 4]), (14, [10, 4])]
)
def test_examples_that_lie_class_by_class_are_taken_from_all_classes(n, expected):
    y = np.repeat([0, 1], [10, 4])
    few = lectures.first_examples(data.Split(np.arange(14.0)[:, None], y, ("a", "b")), n)
    assert np.bincount(few.y).tolist() == expected
    assert len(np.unique(few.x)) == len(few)
    np.testing.assert_array_equal(y[few.x[:, 0].astype(int)], few.y)


def test_labels_are_those_that_load_keeps():
    few, expected = (
        lectures.load_data("digits", seed=3, labels=50)[0],
        data.load("digits", seed=3, labels=50)[0],
    )
    np.testing.assert_array_equal(few.x, expected.x)
    np.testing.assert_array_equal(few.unlabelled_x, expected.unlabelled_x)


def test_more_labels_than_examples_are_all():
    assert len(lectures.load_data("digits", labels=5000)[0]) == 1197
