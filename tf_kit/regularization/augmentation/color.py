"""Augmentations of color for images in [0, 1]: brightness, contrast, and both with saturation and hue.

Results are clipped to [0, 1], so that images of another range lose what lies outside.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import number, refuse
from tf_kit.randomness.keys import stream, uniform
from tf_kit.regularization.augmentation.base import Augmentation
from tf_kit.typing import Tensor

_LUMA = (0.299, 0.587, 0.114)
_YIQ = np.array([_LUMA, (0.596, -0.274, -0.322), (0.211, -0.523, 0.312)])
_RGB = np.linalg.inv(_YIQ)


@keras.saving.register_keras_serializable(package="tf_kit")
class RandomBrightness(Augmentation):
    """Multiply each image by a random factor.

        y = clip(f x, 0, 1),   f ~ U(max(0, 1 − strength), 1 + strength)     (1)

    Args:
        strength: at least 0.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: `strength` is negative.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> grey = ops.full((500, 1, 1, 1), 0.5)
        >>> light = RandomBrightness(0.2).augment(grey, example_keys(0, 0, range(500))).numpy()
        >>> round(float(light.min()), 2), round(float(light.max()), 2)
        (0.4, 0.6)
    """

    def __init__(self, strength: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.strength = number("RandomBrightness.strength", strength, at_least=0)

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return _factors(uniform(stream(key, "brightness"), 1), self.strength)

    def apply(self, images: Tensor, factor: Any) -> Tensor:
        return _stored(brightened(ops.cast(images, "float32"), factor[:, 0]), images.dtype)  # (1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength}


@keras.saving.register_keras_serializable(package="tf_kit")
class RandomContrast(Augmentation):
    """Stretch the values of each image about the mean of its grey version by a random factor.

        y = clip(f x + (1 − f) mean(grey(x)), 0, 1),   f ~ U(max(0, 1 − strength), 1 + strength)    (1)

    Args:
        strength: at least 0.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: `strength` is negative, or the images have neither one nor three channels.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> image = ops.reshape(ops.array([0.4, 0.6]), (1, 1, 2, 1))
        >>> y = RandomContrast(0.5).augment(image, example_keys(0, 0, [3])).numpy()
        >>> round(float(y.mean()), 4), bool(0.5 <= (y[0, 0, 1, 0] - y[0, 0, 0, 0]) / 0.2 <= 1.5)
        (0.5, True)
    """

    known_axes = (3,)

    def __init__(self, strength: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.strength = number("RandomContrast.strength", strength, at_least=0)

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return _factors(uniform(stream(key, "contrast"), 1), self.strength)

    def apply(self, images: Tensor, factor: Any) -> Tensor:
        return _stored(contrasted(ops.cast(images, "float32"), factor[:, 0]), images.dtype)  # (1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength}


@keras.saving.register_keras_serializable(package="tf_kit")
class ColorJitter(Augmentation):
    """Change brightness, contrast, saturation and hue of each image, in this order, by random amounts.

    Grey images (one channel) change only in brightness and contrast.

        b, c, s ~ U(max(0, 1 − 0.8 k), 1 + 0.8 k),   h ~ U(−0.2 k, 0.2 k) turns
        x ← b x                                                          (1)
        x ← c x + (1 − c) mean(grey(x))                                  (2)
        x ← s x + (1 − s) grey(x)                                        (3)
        x ← x with its chrominance (I, Q) rotated by 2π h                (4)
        y = clip(x, 0, 1)                                                (5)

    where k = `strength`; with probability 1 − `probability` an image does not change.

    Args:
        strength: k, at least 0. Defaults to 1.
        probability: probability of changing an image, in [0, 1]. Defaults to 1.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: an argument is out of range, or the images have neither one nor three channels.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> grey = ops.full((1, 2, 2, 3), 0.5)
        >>> y = ColorJitter(0.5).augment(grey, example_keys(0, 0, [0])).numpy()
        >>> bool(abs(y - y.mean()).max() < 1e-6), bool(y.mean() != 0.5)
        (True, True)

    Convention: torchvision shuffles the four steps, clips after each, and rotates the hue of HSV; rotating (I, Q) is
    linear and preserves the luma. The paper uses `probability=0.8` and removes all color with probability 0.2.
    Reference: Chen, Kornblith, Norouzi, Hinton, 2020, A simple framework for contrastive learning of visual
    representations, appendix A, arXiv:2002.05709.
    """

    known_axes = (3,)

    def __init__(
        self, strength: float = 1.0, probability: float = 1.0, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed, **kwargs)
        self.strength = number("ColorJitter.strength", strength, at_least=0)
        self.probability = number("ColorJitter.probability", probability, at_least=0, at_most=1)

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return uniform(stream(key, "jitter"), 5)

    def apply(self, images: Tensor, draws: Any) -> Tensor:
        factor = _factors(draws, 0.8 * self.strength)
        x = brightened(ops.cast(images, "float32"), factor[:, 0])  # (1)
        x = contrasted(x, factor[:, 1])  # (2)
        if images.shape[-1] == 3:
            x = saturated(x, factor[:, 2])  # (3)
            x = hue_turned(x, (2 * draws[:, 3] - 1) * (2 * math.pi * 0.2 * self.strength))  # (4)
        changed = draws[:, 4] < self.probability
        return ops.where(changed[:, None, None, None], _stored(x, images.dtype), images)  # (5)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength, "probability": self.probability}


def brightened(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply each image by its factor, (n,)."""
    return factor[:, None, None, None] * images


def contrasted(images: Tensor, factor: Tensor) -> Tensor:
    """Stretch each image about the mean of its grey version by its factor, (n,)."""
    return _blended(images, ops.mean(_grey(images), axis=(1, 2, 3), keepdims=True), factor)


def saturated(images: Tensor, factor: Tensor) -> Tensor:
    """Interpolate from the grey version of each image (factor 0) to the image (factor 1), or beyond; factor (n,)."""
    return _blended(images, _grey(images), factor)


def hue_turned(images: Tensor, angle: Tensor) -> Tensor:
    """Rotate the chrominance of each image, I and Q of its YIQ colors, by its angle, (n,), in radians."""
    y, i, q = _mixed(images, _YIQ)
    cos, sin = (f(angle)[:, None, None] for f in (ops.cos, ops.sin))
    return ops.stack(_mixed(ops.stack([y, cos * i - sin * q, sin * i + cos * q], axis=-1), _RGB), axis=-1)


def _blended(images, other, factor):
    factor = factor[:, None, None, None]
    return factor * images + (1 - factor) * other


def _grey(images):
    if images.shape[-1] == 1:
        return images
    if images.shape[-1] != 3:
        refuse("images", "have one or three channels for changes of color", f"shape {tuple(images.shape)}")
    return _mixed(images, [_LUMA])[0][..., None]


def _mixed(images, rows):
    """Return the weighted sum of the three channels, (n, height, width), for each row of weights."""
    planes = [images[..., channel] for channel in range(3)]
    return [sum(float(w) * plane for w, plane in zip(row, planes, strict=True)) for row in rows]


def _factors(draws, strength):
    low, high = max(0.0, 1 - strength), 1 + strength
    return low + (high - low) * draws


def _stored(images, dtype):
    return ops.cast(ops.clip(images, 0, 1), dtype)
