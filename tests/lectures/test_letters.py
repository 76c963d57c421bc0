"""Tests of the drawn letters: fixed by the seed, centered, and mirror images where the alphabet has them."""

import numpy as np
import pytest

from tf_kit.errors import InputError
from tf_kit.lectures import letters


def test_seed_fixes_the_images_and_another_gives_others():
    first, labels = letters.draw_letters("bd", 8, seed=3)
    again, _ = letters.draw_letters("bd", 8, seed=3)
    other, _ = letters.draw_letters("bd", 8, seed=4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert labels.tolist() == [0, 1] * 4
    assert first.dtype == np.float32
    assert first.max() <= 1


def test_mirror_image_of_b_is_nearer_to_d_than_to_b():
    x, y = letters.draw_letters("bd", 80, size=(32, 32))
    b, d = (x[y == label].mean(axis=0) for label in (0, 1))
    assert np.abs(b[:, ::-1] - d).mean() < 0.5 * np.abs(b - d).mean()


def test_size_is_height_and_width():
    x, _ = letters.draw_letters("x", 1, size=(9, 20))
    assert x.shape == (1, 9, 20, 1)
    assert x.max() > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 3), "be one letter or more"),
        (("b", 0), "draw_letters.n"),
        (("b", 1, (4, 16)), "draw_letters.size"),
        (("b", 1, (16, 16), -1), "draw_letters.seed"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        letters.draw_letters(*arguments)
