"""Labels under transformations: a half turn changes 6 and 9 but not 0 and 8."""

import keras
import numpy as np
import pytest
from support.twins import wrong_twin

from tf_kit.regularization import AddNoise, GeometricAugmentation, RandomFlip, label_preserving
from tf_kit.regularization.augmentation import geometry, labels


class HalfTurn(GeometricAugmentation):
    def maps(self, key, height, width):
        return geometry.turned(keras.ops.full((key.shape[0],), np.pi), height, width)


# Four symbols of segments: a half turn exchanges 6 and 9 and maps 0 and 8 to themselves.
SYMBOLS = np.zeros((4, 5, 3), "float32")
SYMBOLS[:2, [0, 0, 0, 4, 4, 4], [0, 1, 2, 0, 1, 2]] = 1
SYMBOLS[:2, 1:4, [0]] = SYMBOLS[:2, 1:4, [2]] = 1
SYMBOLS[1, 2, 1] = 1
SYMBOLS[2, :, 0] = SYMBOLS[2, 2:, 2] = SYMBOLS[2, [2, 4], 1] = 1
SYMBOLS[3] = SYMBOLS[2, ::-1, ::-1]


def classifier(images):
    """Return scores by nearness to each symbol."""
    distances = np.square(np.asarray(images)[:, None, :, :, 0] - SYMBOLS).sum(axis=(2, 3))
    return -distances


Y = np.repeat([0, 1, 2, 3], 10)
X = SYMBOLS[Y][..., None]


def check_half_turn(module):
    survived = module.label_preserving(classifier, X, Y, HalfTurn(), num_draws=2, batch_size=7)
    np.testing.assert_array_equal(survived, [1, 1, 0, 0])


def check_errors_do_not_count(module):
    """Half of the 6s are labelled 9: the classifier gets them wrong before any augmentation."""
    y = np.where((Y == 2) & (np.arange(40) % 2 == 0), 3, Y)
    survived = module.label_preserving(classifier, X, y, AddNoise(0.0), num_draws=1)
    np.testing.assert_array_equal(survived, [1, 1, 1, 1])


def check_share(module):
    """Left and right are mirrored half of the time: within 5 standard errors of 40 × 50 draws."""
    left = np.zeros((40, 4, 4, 1), "float32")
    left[:, :, :2] = 1

    def sides(images):
        images = np.asarray(images)
        return np.stack([images[:, :, :2].sum((1, 2, 3)), images[:, :, 2:].sum((1, 2, 3))], axis=1)

    survived = module.label_preserving(sides, left, np.zeros(40, int), RandomFlip(), num_draws=50)
    np.testing.assert_allclose(survived, [0.5, np.nan], atol=5 * 0.5 / np.sqrt(2000))


CHECKS = [check_half_turn, check_errors_do_not_count, check_share]


@pytest.mark.parametrize("check", CHECKS)
def test_fraction_of_recognized_examples(check):
    check(labels)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_half_turn, "first : first + batch_size] += decided == y[index]",
         "first : first + batch_size] += decided != y[index]"),
        (check_errors_do_not_count, "recognized = np.bincount(y[right]", "recognized = np.bincount(y"),
        (check_share, "example_keys(seed, draw, index)", "example_keys(seed, 0, 0 * index)"),
        (check_share, "survived / num_draws", "survived"),
    ],
)  # fmt: skip
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(labels, right, wrong))


@pytest.mark.parametrize("y", [Y[:, None], Y.astype("float32")])
def test_accepts_labels_in_any_form(y):
    survived = label_preserving(classifier, X, y, HalfTurn(), num_draws=1)
    np.testing.assert_array_equal(survived, [1, 1, 0, 0])


def test_accepts_a_keras_model():
    model = keras.Sequential([keras.Input((5, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(4)])
    flat = SYMBOLS.reshape(4, 15)
    model.set_weights([2 * flat.T, -np.square(flat).sum(axis=1)])
    np.testing.assert_array_equal(label_preserving(model, X, Y, HalfTurn(), num_draws=1), [1, 1, 0, 0])


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: label_preserving(classifier, X, Y[:-1], AddNoise(0.1)), "40 images and 39 labels"),
        (lambda: label_preserving(classifier, X, Y, AddNoise(0.1), num_draws=0), "num_draws=0"),
        (lambda: label_preserving(classifier, X[:0], Y[:0], AddNoise(0.1)), r"shape \(0, 5, 3, 1\)"),
        (
            lambda: label_preserving(classifier, X, np.eye(4)[Y], AddNoise(0.1)),
            r"float64 of shape \(40, 4\). np.argmax",
        ),
        (
            lambda: label_preserving(classifier, X, Y + 1, AddNoise(0.1)),
            r"int64 of shape \(40,\) from 1 to 4",
        ),
        (lambda: label_preserving(classifier, X, Y + 0.5, AddNoise(0.1)), "float64 of shape"),
        (lambda: label_preserving(lambda x: np.ones((len(x), 1)), X, Y, AddNoise(0.1)), r"shape \(40, 1\)"),
    ],
)
def test_refuses_bad_arguments(call, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        call()
