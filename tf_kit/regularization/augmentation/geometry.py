"""Augmentations that move pixels: flip, crop, rotation, resized crop, all by the same bilinear resampling.

Each of them draws, for every example, the affine map from a pixel of the output to a point of the input:

    (x', y') = M (x, y, 1)                                               (1)
    out(x, y) = bilinear interpolation of the image at (x', y')          (2)

where M has the shape (2, 3), x points to the right, y points down, and pixel centers are at whole numbers. The image
covers [-½, width − ½) × [-½, height − ½): points outside are 0, and points in the outer half pixel get the value of
the nearest pixels. `compose` multiplies consecutive maps and resamples once, so it blurs only once.
"""

import math
from typing import Any

import keras
from keras import ops

from tf_kit.checks import choice, count, number, refuse
from tf_kit.randomness.keys import stream, uniform
from tf_kit.regularization.augmentation.base import Augmentation
from tf_kit.typing import Tensor

Row = tuple[Tensor, Tensor, Tensor]  # three tensors (n,): a row of M for each image
Maps = tuple[Row, Row]


class GeometricAugmentation(Augmentation):
    """Augmentation by an affine map of the plane; base class of the augmentations that move pixels.

    A subclass defines `maps`.
    """

    known_axes = (1, 2, 3)

    def maps(self, key: Tensor, height: int, width: int) -> Maps:
        """Draw one map M for each key, (n, 2, 3) in all, as two rows of three tensors (n,)."""
        raise NotImplementedError(f"{type(self).__name__} does not define maps(key, height, width)")

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return self.maps(key, *shape[:2])

    def apply(self, images: Tensor, maps: Any) -> Tensor:
        return resample(images, maps)


@keras.saving.register_keras_serializable(package="tf_kit")
class RandomFlip(GeometricAugmentation):
    """Mirror each image with probability ½ horizontally, vertically, or independently in both directions.

    This does not preserve the labels of letters and digits: 'b' is the mirror image of 'd'.

        x' = width − 1 − x   with probability ½,   x' = x otherwise      (1)

    Args:
        mode: "horizontal", "vertical" or "both". Defaults to "horizontal".
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: `mode` is another name.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> image = ops.reshape(ops.array([1.0, 2.0]), (1, 1, 2, 1))
        >>> flipped = RandomFlip().augment(ops.repeat(image, 6, axis=0), example_keys(0, 0, range(6)))
        >>> flipped[:, 0, 0, 0].numpy().tolist()
        [2.0, 1.0, 1.0, 2.0, 1.0, 1.0]
    """

    def __init__(self, mode: str = "horizontal", seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.mode = choice("RandomFlip.mode", mode, ("horizontal", "vertical", "both"))

    def maps(self, key: Tensor, height: int, width: int) -> Maps:
        coins = ops.where(uniform(stream(key, "flip"), 2) < 0.5, -1.0, 1.0)
        one = ops.ones_like(coins[:, 0])
        across = coins[:, 0] if self.mode != "vertical" else one
        down = coins[:, 1] if self.mode != "horizontal" else one
        zero = ops.zeros_like(one)
        return (
            (across, zero, (1 - across) * ((width - 1) / 2)),  # (1)
            (zero, down, (1 - down) * ((height - 1) / 2)),
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}


@keras.saving.register_keras_serializable(package="tf_kit")
class RandomCrop(GeometricAugmentation):
    """Shift each image by whole pixels: pad with zeros on all sides, then crop to the original size.

        x' = x + dx,  y' = y + dy,   dx, dy uniform in {−p, …, p}        (1)

    Args:
        padding: p in pixels; usually 4 for 32 × 32 images.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: `padding` is not a whole number of at least 0.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> image = ops.tile(ops.reshape(ops.arange(1.0, 5.0), (1, 1, 4, 1)), (3, 3, 1, 1))
        >>> moved = RandomCrop(1).augment(image, example_keys(0, 0, [0, 2, 5]))
        >>> moved[:, 1, :, 0].numpy().tolist()
        [[2.0, 3.0, 4.0, 0.0], [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0]]

    Reference: He, Zhang, Ren, Sun, 2016, Deep residual learning for image recognition, section 4.2,
    arXiv:1512.03385.
    """

    def __init__(self, padding: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.padding = count("RandomCrop.padding", padding, at_least=0)

    def maps(self, key: Tensor, height: int, width: int) -> Maps:
        places = 2 * self.padding + 1
        shift = ops.floor(uniform(stream(key, "crop"), 2, 0, places)) - self.padding
        one, zero = ops.ones_like(shift[:, 0]), ops.zeros_like(shift[:, 0])
        return (one, zero, shift[:, 0]), (zero, one, shift[:, 1])  # (1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable(package="tf_kit")
class RandomRotation(GeometricAugmentation):
    """Rotate each image about its center, counterclockwise on the screen, by an angle in [−degrees, degrees).

        x' − cx = cos θ (x − cx) − sin θ (y − cy)                        (1)
        y' − cy = sin θ (x − cx) + cos θ (y − cy)                        (2)

    where (cx, cy) is the center of the image.

    Args:
        degrees: largest angle, in [0, 180]. A rotation by 180° turns 9 into 6.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: `degrees` is outside [0, 180].

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> image = ops.ones((1, 9, 9, 1))
        >>> turned = RandomRotation(30).augment(image, example_keys(0, 0, [0]))
        >>> turned[0, 0, 0, 0].numpy().item(), turned[0, 4, 4, 0].numpy().item()
        (0.0, 1.0)
    """

    def __init__(self, degrees: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.degrees = number("RandomRotation.degrees", degrees, at_least=0, at_most=180)

    def maps(self, key: Tensor, height: int, width: int) -> Maps:
        largest = math.radians(self.degrees)
        angle = uniform(stream(key, "rotation"), 1, -largest, largest)[:, 0]
        return turned(angle, height, width)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "degrees": self.degrees}


@keras.saving.register_keras_serializable(package="tf_kit")
class RandomResizedCrop(GeometricAugmentation):
    """Crop a window of random area, shape and position, and stretch it to the size of the image.

        s ~ U(scale),  log r ~ U(log ratio)
        w = min(1, √(s r)),  h = min(1, √(s / r))      parts of the width and the height     (1)
        x' = left + (x + ½) w − ½,   left ~ U(0, (1 − w) width),  y' likewise                (2)

    Args:
        scale: interval (lo, hi) of the area of the window as a fraction of the image, 0 < lo <= hi <= 1. Defaults to
            (0.08, 1).
        ratio: interval (lo, hi) of width over height of the window, relative to that of the image. Defaults to
            (3/4, 4/3).
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: `scale` or `ratio` is not an interval.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> images = ops.repeat(ops.reshape(ops.arange(8.0), (1, 1, 8, 1)), 8, axis=1)
        >>> zoomed = RandomResizedCrop((0.25, 0.25), (1, 1)).augment(images, example_keys(0, 0, [0]))
        >>> [round(float(step), 4) for step in zoomed[0, 0, 2:5, 0] - zoomed[0, 0, 1:4, 0]]
        [0.5, 0.5, 0.5]

    Convention: if a window does not fit, torchvision draws again up to ten times; here the window is cut to fit.
    Reference: Szegedy et al., 2015, Going deeper with convolutions, section 6, arXiv:1409.4842; Chen, Kornblith,
    Norouzi, Hinton, 2020, A simple framework for contrastive learning of visual representations, appendix A,
    arXiv:2002.05709.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.scale = _interval("RandomResizedCrop.scale", scale, at_most=1)
        self.ratio = _interval("RandomResizedCrop.ratio", ratio)

    def maps(self, key: Tensor, height: int, width: int) -> Maps:
        draws = uniform(stream(key, "resized crop"), 4)
        area = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[:, 0]
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        ratio = ops.exp(low + (high - low) * draws[:, 1])
        w = ops.minimum(ops.sqrt(area * ratio), 1.0)
        h = ops.minimum(ops.sqrt(area / ratio), 1.0)  # (1)
        left, top = draws[:, 2] * (1 - w) * width, draws[:, 3] * (1 - h) * height
        zero = ops.zeros_like(w)
        return (w, zero, left + w / 2 - 0.5), (zero, h, top + h / 2 - 0.5)  # (2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "ratio": self.ratio}


def turned(angle: Tensor, height: int, width: int) -> Maps:
    """Return the maps that rotate images about their centers by `angle`, (n,), in radians, counterclockwise."""
    cos, sin = ops.cos(angle), ops.sin(angle)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    return (cos, -sin, cx - cos * cx + sin * cy), (sin, cos, cy - sin * cx - cos * cy)  # (1), (2)


def product(first: Maps, second: Maps) -> Maps:
    """Return the maps of `first` followed by `second`: points of the output are traced back through both."""
    (e, f, g), (h, i, j) = second
    top, bottom = ((a * e + b * h, a * f + b * i, a * g + b * j + c) for a, b, c in first)
    return top, bottom


def resample(images: Tensor, maps: Maps) -> Tensor:
    """Apply maps to images, equations (1) and (2) of this module.

    Args:
        images: floats (n, height, width, channels).
        maps: two rows of three tensors (n,): ((m₀₀, m₀₁, m₀₂), (m₁₀, m₁₁, m₁₂)).

    Returns:
        Images of the same shape and dtype.
    """
    num_examples = ops.shape(images)[0]
    height, width, channels = images.shape[1:]
    x = ops.arange(width, dtype="float32")[None, None, :]
    y = ops.arange(height, dtype="float32")[None, :, None]
    # Sums of products instead of a matrix product, since accelerators round the factors of that to ten bits.
    u, v = (
        m0[:, None, None] * x + m1[:, None, None] * y + m2[:, None, None] for m0, m1, m2 in maps
    )  # (1): (n, height, width)
    inside = (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)
    u, v = ops.clip(u, 0, width - 1), ops.clip(v, 0, height - 1)
    left, top = ops.floor(u), ops.floor(v)
    du, dv = (u - left)[..., None], (v - top)[..., None]
    left, top = ops.cast(left, "int64"), ops.cast(top, "int64")
    right, bottom = ops.minimum(left + 1, width - 1), ops.minimum(top + 1, height - 1)
    pixels = ops.reshape(images, (-1, channels))
    first = ops.arange(num_examples, dtype="int64")[:, None, None] * (height * width)

    def at(row, column):
        return ops.cast(ops.take(pixels, first + row * width + column, axis=0), "float32")

    upper = at(top, left) * (1 - du) + at(top, right) * du
    lower = at(bottom, left) * (1 - du) + at(bottom, right) * du
    seen = upper * (1 - dv) + lower * dv  # (2)
    return ops.cast(ops.where(inside[..., None], seen, 0.0), images.dtype)


def _interval(subject, pair, at_most=None):
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
        refuse(subject, "be a pair (lo, hi)", repr(pair))
    low = number(f"{subject}[0]", pair[0], above=0, at_most=at_most)
    return low, number(f"{subject}[1]", pair[1], at_least=low, at_most=at_most)
