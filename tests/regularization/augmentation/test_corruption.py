"""Noise, holes and blur equal loops over pixels; noise on a linear model is ridge regression."""

import numpy as np
import pytest
from oracles import regularization as oracle
from support.augmentation import uncompiled
from support.twins import wrong_twin

from tf_kit.regularization import AddNoise, Cutout, GaussianBlur, example_keys
from tf_kit.regularization.augmentation import corruption

N, SHAPE = 8, (6, 5, 2)
IMAGES = np.random.default_rng(9).random((N, *SHAPE)).astype("float32")
KEYS = [oracle.example_key(2, 1, index) for index in range(N)]


def augmented(layer):
    return uncompiled(layer, IMAGES, example_keys(2, 1, range(N)))


def check_noise(module):
    noise = [oracle.normals(key, "noise", 60).reshape(SHAPE) for key in KEYS]
    np.testing.assert_allclose(augmented(module.AddNoise(0.3)), IMAGES + 0.3 * np.array(noise), atol=1e-5)


def check_cutout(module):
    for size in (1, 2, 3):
        draws = [oracle.uniforms(key, "cutout", 2) for key in KEYS]
        expected = [oracle.cutout(image, draw, size) for image, draw in zip(IMAGES, draws, strict=True)]
        np.testing.assert_array_equal(augmented(module.Cutout(size)), expected)


def check_blur(module):
    sigma, probability, radius = (0.3, 2.0), 0.6, 2
    draws = [oracle.uniforms(key, "blur", 2) for key in KEYS]
    expected = [
        oracle.blur(image, draw, sigma, probability, radius)
        for image, draw in zip(IMAGES, draws, strict=True)
    ]
    np.testing.assert_allclose(
        augmented(module.GaussianBlur(sigma, probability, radius)), expected, atol=1e-6
    )


@pytest.mark.parametrize("check", [check_noise, check_cutout, check_blur])
def test_equals_the_loops(check):
    check(corruption)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_noise, "images + ops.cast", "images - ops.cast"),
        (check_noise, "self.stddev * noise", "self.stddev**2 * noise"),
        (check_cutout, "places < first + self.size", "places <= first + self.size"),
        (check_cutout, "rows[:, :, None, None] & columns", "rows[:, :, None, None] | columns"),
        (check_cutout, "draws[:, 1:] * width", "draws[:, :1] * width"),
        (check_blur, "(2 * ops.square(s))", "ops.square(s)"),
        (check_blur, 'mode="symmetric"', 'mode="constant"'),
        (check_blur, "draws[:, 1] < self.probability", "draws[:, 0] < self.probability"),
    ],
)  # fmt: skip
def test_rejects_wrong_twins(check, right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check(wrong_twin(corruption, right, wrong))


@pytest.mark.parametrize("layer", [AddNoise(0), GaussianBlur(probability=0), GaussianBlur((1e-3, 1e-3), 1.0)])
def test_identity_parameters_return_the_inputs(layer):
    np.testing.assert_allclose(augmented(layer), IMAGES, atol=1e-7)


def test_noise_on_a_linear_model_is_ridge_regression():
    """Least squares on copies of the inputs with noise σ approaches argmin mean of squares + σ² ‖w‖² (Bishop 1995)."""
    rng = np.random.default_rng(0)
    copies, stddev, x = 4000, 0.7, rng.normal(size=(10, 3))
    y = x @ [1.0, -2.0, 0.5]
    images = np.repeat(x, copies, axis=0).reshape(-1, 1, 3, 1).astype("float32")
    noisy = np.asarray(AddNoise(stddev).augment(images, example_keys(0, 0, range(len(images)))), "float64")
    trained, *_ = np.linalg.lstsq(noisy.reshape(-1, 3), np.repeat(y, copies), rcond=None)
    ridge = np.linalg.solve(x.T @ x / 10 + stddev**2 * np.eye(3), x.T @ y / 10)
    np.testing.assert_allclose(trained, ridge, atol=5 * stddev * np.abs(y).max() / np.sqrt(len(images)))
    plain = np.linalg.solve(x.T @ x, x.T @ y)
    assert np.abs(plain - ridge).max() > 0.2


def test_blur_preserves_the_mean():
    blurred = augmented(GaussianBlur((1.0, 1.0), 1.0, 2))
    np.testing.assert_allclose(np.mean(blurred, axis=(1, 2)), IMAGES.mean(axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: AddNoise(-1), "stddev=-1"),
        (lambda: Cutout(0), "size=0"),
        (lambda: GaussianBlur(2.0), "sigma=2.0"),
        (lambda: GaussianBlur((0, 1)), r"sigma\[0\]=0"),
        (lambda: GaussianBlur((2, 1)), r"sigma\[1\]=1"),
        (lambda: GaussianBlur(probability=2), "probability=2"),
        (lambda: GaussianBlur(radius=0), "radius=0"),
        (lambda: augmented(GaussianBlur(radius=6)), "radius=6 with images"),
    ],
)
def test_refuses_bad_arguments(call, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        call()
