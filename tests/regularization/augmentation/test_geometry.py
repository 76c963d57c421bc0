"""Flips, crops, rotations and resized crops equal loops over pixels."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from oracles import regularization as oracle
from support.augmentation import uncompiled
from support.twins import wrong_twin

from tf_kit.regularization import (
    GeometricAugmentation,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    example_keys,
)
from tf_kit.regularization.augmentation import geometry

N, SHAPE = 8, (7, 5, 2)
IMAGES = np.random.default_rng(9).random((N, *SHAPE)).astype("float32")


def check(augmentation, slow, purpose, count, **arguments):
    got = uncompiled(augmentation, IMAGES, example_keys(2, 1, range(N)))
    keys = [oracle.example_key(2, 1, index) for index in range(N)]
    expected = [
        slow(image, oracle.uniforms(key, purpose, count), **arguments)
        for image, key in zip(IMAGES.astype("float64"), keys, strict=True)
    ]
    np.testing.assert_allclose(got, expected, atol=2e-5)


def check_flip(module, mode="both"):
    check(module.RandomFlip(mode), oracle.flip, "flip", 2, mode=mode)


def check_crop(module):
    check(module.RandomCrop(3), oracle.crop, "crop", 2, padding=3)


def check_rotation(module):
    check(module.RandomRotation(70), oracle.rotate, "rotation", 1, degrees=70)


def check_resized_crop(module):
    scale, ratio = (0.3, 0.9), (0.5, 2.0)
    layer = module.RandomResizedCrop(scale, ratio)
    check(layer, oracle.resized_crop, "resized crop", 4, scale=scale, ratio=ratio)


@pytest.mark.parametrize("check", [check_flip, check_crop, check_rotation, check_resized_crop])
def test_equals_the_loops(check):
    check(geometry)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_flip, "(1 - across) * ((width - 1) / 2)", "(1 - across) * (width / 2)"),
        (check_flip, "coins[:, 1] if", "coins[:, 0] if"),
        (check_crop, "2 * self.padding + 1", "2 * self.padding"),
        (check_crop, "(zero, one, shift[:, 1])", "(zero, one, shift[:, 0])"),
        (check_rotation, "(cos, -sin, cx - cos * cx + sin * cy)", "(cos, sin, cx - cos * cx - sin * cy)"),
        (check_rotation, "cx, cy = (width - 1) / 2, (height - 1) / 2", "cx, cy = width / 2, height / 2"),
        (check_rotation, "lower * dv", "upper * dv"),
        (check_rotation, "ops.where(inside[..., None], seen, 0.0)", "seen"),
        (check_resized_crop, "left + w / 2 - 0.5", "left + w / 2"),
        (check_resized_crop, "ops.sqrt(area / ratio)", "ops.sqrt(area * ratio * 0 + area)"),
        (check_resized_crop, "draws[:, 3] * (1 - h) * height", "draws[:, 3] * height"),
        (check_resized_crop, "* (height * width)", "* height"),
    ],
)  # fmt: skip
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(geometry, right, wrong))


@pytest.mark.parametrize("mode", ["horizontal", "vertical"])
def test_flips_in_one_direction_only(mode):
    check_flip(geometry, mode)


@pytest.mark.parametrize(
    "layer", [RandomCrop(0), RandomRotation(0), RandomResizedCrop((1, 1), (1, 1))], ids=lambda each: each.name
)
def test_identity_parameters_return_the_inputs(layer):
    np.testing.assert_array_equal(layer.augment(IMAGES, example_keys(0, 0, range(N))), IMAGES)


def test_half_the_images_are_flipped():
    n = 10000
    image = np.tile(np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1), (n, 1, 1, 1))
    flipped = np.asarray(RandomFlip().augment(image, example_keys(0, 0, range(n))))[:, 0, 0, 0]
    assert flipped.mean() == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(n))


def test_all_shifts_are_equally_frequent():
    n, padding = 9000, 1
    dot = np.zeros((n, 3, 3, 1), "float32")
    dot[:, 1, 1] = 1
    shifts = np.asarray(RandomCrop(padding).augment(dot, example_keys(0, 0, range(n)))).mean(axis=0)
    np.testing.assert_allclose(shifts, 1 / 9, atol=5 * np.sqrt(1 / 9 * 8 / 9 / n))


def test_quarter_turn_equals_numpy():
    """Both rotate counterclockwise on the screen."""
    square = IMAGES[:, :5, :5]
    angle = ops.full((N,), np.pi / 2)
    turned = geometry.resample(ops.convert_to_tensor(square), geometry.turned(angle, 5, 5))
    np.testing.assert_allclose(turned, np.rot90(square, axes=(1, 2)), atol=1e-5)


def test_product_of_rotations_adds_the_angles():
    angles = ops.convert_to_tensor(np.linspace(-1, 1, N), "float32")
    both = geometry.product(geometry.turned(angles, 7, 5), geometry.turned(0.5 * angles, 7, 5))
    np.testing.assert_allclose(ops.array(both), ops.array(geometry.turned(1.5 * angles, 7, 5)), atol=1e-5)


@pytest.mark.slow
def test_gradients_reach_the_images():
    """Resampling is linear: the gradient of Σ s·out along an image is its transpose applied to s."""
    slopes = np.random.default_rng(1).normal(size=IMAGES.shape).astype("float32")
    images = tf.constant(IMAGES)
    layer, key = RandomRotation(30), example_keys(0, 0, range(N))
    with tf.GradientTape() as tape:
        tape.watch(images)
        out = layer.augment(images, key)
        total = tf.reduce_sum(out * slopes)
    np.testing.assert_allclose(tf.reduce_sum(tape.gradient(total, images) * images), total, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "received"),
    [
        (lambda: RandomFlip("left"), "mode='left'"),
        (lambda: RandomCrop(-1), "padding=-1"),
        (lambda: RandomCrop(1.5), "padding=1.5"),
        (lambda: RandomRotation(181), "degrees=181"),
        (lambda: RandomResizedCrop((0.5, 1.5)), r"scale\[1\]=1.5"),
        (lambda: RandomResizedCrop((0.5, 0.2)), r"scale\[1\]=0.2"),
        (lambda: RandomResizedCrop(0.5), "0.5"),
        (lambda: RandomResizedCrop(ratio=(0, 1)), r"ratio\[0\]=0"),
    ],
)
def test_refuses_bad_arguments(make, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        make()


def test_subclasses_must_define_maps():
    with pytest.raises(NotImplementedError, match="does not define maps"):
        GeometricAugmentation().augment(IMAGES, example_keys(0, 0, range(N)))
