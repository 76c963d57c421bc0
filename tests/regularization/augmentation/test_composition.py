"""Composition of augmentations, with one resampling for consecutive parts that move pixels."""

import time

import numpy as np
import pytest
from oracles import regularization as oracle
from support.augmentation import uncompiled
from support.twins import wrong_twin

from tf_kit.regularization import (
    AddNoise,
    ColorJitter,
    Dropout,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    compose,
    example_keys,
    preset,
)
from tf_kit.regularization.augmentation import composition

N = 8
IMAGES = np.random.default_rng(9).random((N, 7, 5, 3)).astype("float32")
KEYS = [oracle.example_key(2, 1, index) for index in range(N)]


def part_uniforms(position, purpose, count):
    return [oracle.uniforms((oracle.absorb(first, position), index), purpose, count) for first, index in KEYS]


def check_in_a_row(module):
    """Flip, then brightness, then shift, each from different keys."""
    layer = module.compose(RandomFlip("both"), RandomBrightness(0.5), RandomCrop(2))
    got = uncompiled(layer, IMAGES, example_keys(2, 1, range(N)))
    draws = zip(
        *(part_uniforms(*each) for each in ((0, "flip", 2), (1, "brightness", 1), (2, "crop", 2))),
        strict=True,
    )
    expected = [
        oracle.crop(oracle.brightness(oracle.flip(image, flip, "both"), light, 0.5), crop, 2)
        for image, (flip, light, crop) in zip(IMAGES.astype("float64"), draws, strict=True)
    ]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def check_fused(module):
    """A shift before a flip, resampled once."""
    layer = module.compose(RandomCrop(2), RandomFlip("both"))
    got = uncompiled(layer, IMAGES, example_keys(2, 1, range(N)))
    draws = zip(part_uniforms(0, "crop", 2), part_uniforms(1, "flip", 2), strict=True)
    expected = [
        oracle.flip(oracle.crop(image, crop, 2), flip, "both")
        for image, (crop, flip) in zip(IMAGES, draws, strict=True)
    ]
    np.testing.assert_array_equal(got, np.float32(expected))


@pytest.mark.parametrize("check", [check_in_a_row, check_fused])
def test_equals_parts_applied_in_order(check):
    check(composition)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_in_a_row, "absorb(key[:, 0], position)", "absorb(key[:, 0], 0)"),
        (check_in_a_row, "images = apply(images, each)", "apply(images, each)"),
        (check_fused, "product(maps, later)", "product(later, maps)"),
        (check_fused, "product(maps, later)", "later"),
    ],
)
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(composition, right, wrong))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "parts"),
    [
        (1, (RandomRotation(15), RandomResizedCrop((0.5, 1.0)), RandomContrast(0.5))),
        (3, (RandomResizedCrop((0.5, 1.0)), RandomFlip(), ColorJitter(0.5))),
    ],
)
def test_cost_is_at_most_a_few_times_that_of_the_parts(channels, parts):
    """A common kernel would resample an image, or draw its numbers, again for every pixel."""
    images = np.random.default_rng(0).random((256, 28, 28, channels), "float32")
    keys = example_keys(0, 0, range(256))

    def seconds(augmentation):
        augmentation.augment(images, keys)
        began = time.process_time()
        for _ in range(5):
            augmentation.augment(images, keys)
        return time.process_time() - began

    assert seconds(compose(*parts)) < 4 * sum(map(seconds, parts))


def test_equal_parts_draw_different_numbers():
    noise = compose(AddNoise(1.0), AddNoise(1.0)).augment(
        np.zeros((500, 2, 2, 1), "float32"), example_keys(0, 0, range(500))
    )
    assert np.var(noise) == pytest.approx(2, rel=0.2)  # equal draws would give 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "fashion", "natural"])
def test_presets_draw_from_their_seed_and_only_digits_are_not_flipped(name):
    layer = preset(name, seed=3)
    views = layer(IMAGES, training=True)
    np.testing.assert_array_equal(views, layer.augment(IMAGES, example_keys(3, 0, range(N))))
    flips = [type(part) for part in layer.parts].count(RandomFlip)
    assert flips == (0 if name == "digits" else 1)


@pytest.mark.parametrize(
    ("make", "received"),
    [(lambda: compose(), "nothing"), (lambda: compose(RandomFlip(), Dropout(0.5)), "Dropout"),
     (lambda: preset("letters"), "name='letters'")],
)  # fmt: skip
def test_refuses_bad_arguments(make, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        make()
