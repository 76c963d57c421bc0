"""Brightness, contrast and color jitter equal the formulas, image by image."""

import numpy as np
import pytest
from keras import ops
from oracles import regularization as oracle
from support.augmentation import uncompiled
from support.twins import wrong_twin

from tf_kit.regularization import ColorJitter, RandomBrightness, RandomContrast, example_keys
from tf_kit.regularization.augmentation import color

N = 8
IMAGES = np.random.default_rng(9).random((N, 4, 3, 3)).astype("float32")


def check(augmentation, slow, purpose, count, images=IMAGES, **arguments):
    got = uncompiled(augmentation, images, example_keys(2, 1, range(N)))
    keys = [oracle.example_key(2, 1, index) for index in range(N)]
    expected = [
        slow(image, oracle.uniforms(key, purpose, count), **arguments)
        for image, key in zip(images.astype("float64"), keys, strict=True)
    ]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def check_brightness(module):
    check(module.RandomBrightness(0.6), oracle.brightness, "brightness", 1, strength=0.6)


def check_contrast(module):
    check(module.RandomContrast(1.6), oracle.contrast, "contrast", 1, strength=1.6)


def check_jitter(module):
    layer = module.ColorJitter(0.7, 0.6)
    check(layer, oracle.jitter, "jitter", 5, strength=0.7, probability=0.6)


def check_jitter_of_grey(module):
    layer = module.ColorJitter(0.7)
    check(layer, oracle.jitter, "jitter", 5, images=IMAGES[..., :1], strength=0.7, probability=1.0)


@pytest.mark.parametrize("check", [check_brightness, check_contrast, check_jitter, check_jitter_of_grey])
def test_equals_the_formulas(check):
    check(color)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_brightness, "ops.clip(images, 0, 1)", "images"),
        (check_brightness, "1 - strength), 1 + strength", "1 - strength), 2 + strength"),
        (check_contrast, "max(0.0, 1 - strength)", "1 - strength"),
        (check_contrast, "axis=(1, 2, 3), keepdims=True)", "axis=(0, 1, 2, 3), keepdims=True)"),
        (check_contrast, "(1 - factor) * other", "factor * other"),
        (check_jitter, "saturated(x, factor[:, 2])", "saturated(x, factor[:, 1])"),
        (check_jitter, "cos * i - sin * q", "cos * i + sin * q"),
        (check_jitter, "(2 * draws[:, 3] - 1)", "(draws[:, 3] - 1)"),
        (check_jitter, "draws[:, 4] < self.probability", "draws[:, 4] >= self.probability"),
    ],
)  # fmt: skip
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(color, right, wrong))


@pytest.mark.parametrize("layer", [RandomBrightness(0), RandomContrast(0), ColorJitter(0), ColorJitter(1, 0)])
def test_identity_parameters_return_the_inputs(layer):
    np.testing.assert_allclose(layer.augment(IMAGES, example_keys(0, 0, range(N))), IMAGES, atol=2e-6)


def test_rotating_the_hue_preserves_luma_and_greys():
    x, angle = ops.convert_to_tensor(IMAGES), ops.full((N,), 2.0)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(np.asarray(color.hue_turned(x, angle)) @ luma, IMAGES @ luma, atol=1e-6)
    grey = ops.repeat(x[..., :1], 3, axis=-1)
    np.testing.assert_allclose(color.hue_turned(grey, angle), grey, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: RandomBrightness(-1), "strength=-1"),
        (lambda: RandomContrast(-1), "strength=-1"),
        (lambda: ColorJitter(-1), "strength=-1"),
        (lambda: ColorJitter(1, 1.5), "probability=1.5"),
        (
            lambda: RandomContrast(1).augment(IMAGES[..., :2], example_keys(0, 0, range(N))),
            r"shape \(8, 4, 3, 2\)",
        ),
    ],
)
def test_refuses_bad_arguments(call, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        call()
