"""Augmentations that remove detail: noise, holes and blur."""

import math
from typing import Any

import keras
from keras import ops

from tf_kit.checks import count, number, refuse
from tf_kit.randomness.keys import normal, stream, uniform
from tf_kit.regularization.augmentation.base import Augmentation
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class AddNoise(Augmentation):
    """Add Gaussian noise to every value.

    For a linear model with squared error, noise acts as a norm penalty: training with noise of variance σ² is ridge
    regression with the penalty σ² Σ w² on the mean of squares.

        y = x + σ z,   z ~ N(0, 1)                                       (1)

    Args:
        stddev: σ, at least 0, in units of the images; the result is not clipped.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: `stddev` is negative.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> noise = AddNoise(0.1).augment(ops.zeros((100, 8, 8, 1)), example_keys(0, 0, range(100)))
        >>> round(float(ops.std(noise)), 2)
        0.1

    Reference: Bishop, 1995, Training with noise is equivalent to Tikhonov regularization,
    doi:10.1162/neco.1995.7.1.108.
    """

    known_axes = (1, 2, 3)

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.stddev = number("AddNoise.stddev", stddev, at_least=0)

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return ops.reshape(normal(stream(key, "noise"), math.prod(shape)), (-1, *shape))

    def apply(self, images: Tensor, noise: Any) -> Tensor:
        return images + ops.cast(self.stddev * noise, images.dtype)  # (1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}


@keras.saving.register_keras_serializable(package="tf_kit")
class Cutout(Augmentation):
    """Set a square with its center anywhere in the image to zero; it may extend over the edge.

        y = 0 where −size/2 <= x − cx < size/2 in both directions, else the image     (1)

    Args:
        size: side of the square in pixels, at least 1; usually 16 for 32 × 32 images.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: `size` is not a whole number of at least 1.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> holes = Cutout(2).augment(ops.ones((200, 5, 5, 1)), example_keys(0, 0, range(200)))
        >>> sorted({int(hole) for hole in 25 - ops.sum(holes, axis=(1, 2, 3))})
        [1, 2, 4]

    Reference: DeVries, Taylor, 2017, Improved regularization of convolutional neural networks with cutout,
    arXiv:1708.04552.
    """

    known_axes = (1, 2)

    def __init__(self, size: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.size = count("Cutout.size", size)

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return uniform(stream(key, "cutout"), 2)

    def apply(self, images: Tensor, draws: Any) -> Tensor:
        height, width = images.shape[1:3]
        rows = self._hole(ops.floor(draws[:, :1] * height), height)
        columns = self._hole(ops.floor(draws[:, 1:] * width), width)
        hole = rows[:, :, None, None] & columns[:, None, :, None]
        return ops.where(hole, ops.zeros_like(images), images)  # (1)

    def _hole(self, center, length):
        first = center - self.size // 2
        places = ops.arange(length, dtype="float32")[None]
        return (places >= first) & (places < first + self.size)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="tf_kit")
class GaussianBlur(Augmentation):
    """Blur each image with some probability by a Gaussian of random width.

        w(t) ∝ exp(−t² / 2 s²),  t = −r … r,  s ~ U(sigma)               (1)
        y = rows and columns convolved with w, the image mirrored at its edges     (2)

    Args:
        sigma: interval (lo, hi) of s in pixels, 0 < lo <= hi. Defaults to (0.1, 2).
        probability: probability of blurring an image, in [0, 1]. Defaults to 0.5.
        radius: r in pixels, at least 1. Defaults to None, a twentieth of the height.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: an argument is out of range, or the images are smaller than `radius`.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> dot = ops.reshape(ops.eye(5)[2], (1, 1, 5, 1)) * ops.ones((1, 5, 1, 1))
        >>> y = GaussianBlur((1.0, 1.0), probability=1.0, radius=1).augment(dot, example_keys(0, 0, [0]))
        >>> [round(float(value), 3) for value in y[0, 0, :, 0]]
        [0.0, 0.274, 0.452, 0.274, 0.0]

    Reference: Chen, Kornblith, Norouzi, Hinton, 2020, A simple framework for contrastive learning of visual
    representations, appendix A, arXiv:2002.05709.
    """

    known_axes = (1, 2)

    def __init__(
        self,
        sigma: tuple[float, float] = (0.1, 2.0),
        probability: float = 0.5,
        radius: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        if not (isinstance(sigma, (tuple, list)) and len(sigma) == 2):
            refuse("GaussianBlur.sigma", "be a pair (lo, hi)", f"sigma={sigma!r}")
        low = number("GaussianBlur.sigma[0]", sigma[0], above=0)
        self.sigma = (low, number("GaussianBlur.sigma[1]", sigma[1], at_least=low))
        self.probability = number("GaussianBlur.probability", probability, at_least=0, at_most=1)
        self.radius = radius if radius is None else count("GaussianBlur.radius", radius)

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return uniform(stream(key, "blur"), 2)

    def apply(self, images: Tensor, draws: Any) -> Tensor:
        height, width = images.shape[1:3]
        radius = self.radius or max(1, height // 20)
        if radius > min(height, width):
            received = f"radius={radius} with images of shape {tuple(images.shape)}"
            refuse("GaussianBlur.radius", "be at most the height and width of the images", received)
        s = self.sigma[0] + (self.sigma[1] - self.sigma[0]) * draws[:, :1]
        t = ops.arange(-radius, radius + 1, dtype="float32")[None]
        weights = ops.softmax(-ops.square(t) / (2 * ops.square(s)))[:, :, None, None, None]  # (1)
        x = ops.cast(images, "float32")
        x = ops.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="symmetric")
        x = sum(weights[:, i] * x[:, i : i + height] for i in range(2 * radius + 1))
        x = sum(weights[:, i] * x[:, :, i : i + width] for i in range(2 * radius + 1))  # (2)
        blurred = draws[:, 1] < self.probability
        return ops.where(blurred[:, None, None, None], ops.cast(x, images.dtype), images)

    def get_config(self) -> dict[str, Any]:
        config = {"sigma": self.sigma, "probability": self.probability, "radius": self.radius}
        return {**super().get_config(), **config}
