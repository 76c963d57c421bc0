"""Patches of images: cut as loops cut them, and put back in their places."""

import numpy as np
import pytest
from oracles import pretraining as oracle
from support.twins import wrong_twin

from tf_kit.networks import patches


def images(n=3, height=4, width=6, channels=2, seed=0):
    return np.random.default_rng(seed).random((n, height, width, channels)).astype("float32")


def check_cutting(module):
    x = images()
    np.testing.assert_array_equal(module.patchify(x, 2), [oracle.patches_of(image, 2) for image in x])  # (1)


def check_putting_together(module):
    x = images()
    np.testing.assert_array_equal(module.unpatchify(module.patchify(x, 2), x.shape[1:], 2), x)


@pytest.mark.parametrize("check", [check_cutting, check_putting_together])
def test_patches(check):
    check(patches)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_cutting, "(0, 1, 3, 2, 4, 5))  # (n, rows, columns", "(0, 3, 1, 2, 4, 5))  # (n, rows, columns"),
        (check_cutting, "(-1, rows, s, columns, s, channels)", "(-1, columns, s, rows, s, channels)"),
        (check_putting_together, "(0, 1, 3, 2, 4, 5))  # (n, rows, s", "(0, 1, 4, 2, 3, 5))  # (n, rows, s"),
    ],
)  # fmt: skip
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, ValueError)):
        check(wrong_twin(patches, right, wrong))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 5, 4, 1), "5 × 4 pixels"), ((2, 4, 5, 1), "4 × 5 pixels"), ((2, 4, 4), r"shape=\(2, 4, 4\)")],
)
def test_refusals(shape, message):
    with pytest.raises(ValueError, match=message):
        patches.patchify(np.zeros(shape), 2)


@pytest.mark.parametrize("shape", [(2, 6, 12), (2, 4, 6), (4, 12), (3, 2, 12)])
def test_patches_of_other_images_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(n, 4, 12\) for images of shape \(4, 4, 3\)"):
        patches.unpatchify(np.zeros(shape), (4, 4, 3), 2)


@pytest.mark.parametrize("patch_size", [0, -2, 1.5])
def test_sizes_of_no_patch_are_refused(patch_size):
    with pytest.raises(ValueError, match=f"patch_size={patch_size}"):
        patches.patchify(np.zeros((2, 4, 4, 1)), patch_size)
