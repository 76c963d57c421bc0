"""Augmentations that move pixels: flip, crop, rotation, resized crop. All share one bilinear resampling.

Each draws, for every example, the affine map from a pixel of the output to a point of the input:

    (x', y') = M (x, y, 1)                                               (1)
    out(x, y) = bilinear interpolation of the image at (x', y')          (2)

with M of shape (2, 3), x to the right, y downwards, pixel centers at whole numbers. The image covers
[-½, width − ½) × [-½, height − ½): points outside it are 0, points in its outer half pixel take the nearest
pixels. Maps in a row are multiplied first and resampled once, so `compose` blurs no more than one of them
does.
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
    """An augmentation that is an affine map of the plane. Abstract: subclasses give `maps`."""

    def maps(self, key: Tensor, height: int, width: int) -> Maps:
        """The maps M, (n, 2, 3), one for each key, as a pair of rows of three tensors (n,)."""
        raise NotImplementedError(f"{type(self).__name__} gives no maps(key, height, width)")

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return self.maps(key, *shape[:2])

    def apply(self, images: Tensor, maps: Any) -> Tensor:
        return resample(images, maps)


@keras.saving.register_keras_serializable(package="tf_kit")
class RandomFlip(GeometricAugmentation):
    """Mirrors each image with probability ½: left and right, top and bottom, or each by its own coin.

    Not label preserving for letters and digits: 'b' and 'd' are each other's mirror image.

        x' = width − 1 − x   with probability ½,   x' = x otherwise      (1)

    Args:
        mode: "horizontal", "vertical" or "both". Defaults to "horizontal".
        seed: as in `Augmentation`.

    Raises: ValueError: when `mode` is none of these.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> image = ops.reshape(ops.array([1.0, 2.0]), (1, 1, 2, 1))
        >>> flipped = RandomFlip().augment(ops.repeat(image, 6, axis=0), example_keys(0, 0, range(6)))
        >>> flipped[:, 0, 0, 0].numpy().tolist()
        [2.0, 1.0, 1.0, 2.0, 1.0, 1.0]
    """

    def __init__(self, mode="horizontal", seed: int | None = None, **kwargs: Any) -> None:
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
    """Pads with zeros on all sides and cuts a window of the original size: a shift by whole pixels.

        x' = x + dx,  y' = y + dy,   dx, dy uniform in {−p, …, p}        (1)

    Args:
        padding: p, pixels; 4 is usual for 32 × 32 images.
        seed: as in `Augmentation`.

    Raises: ValueError: when `padding` is not a whole number of at least 0.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> image = ops.tile(ops.reshape(ops.arange(1.0, 5.0), (1, 1, 4, 1)), (3, 3, 1, 1))
        >>> moved = RandomCrop(1).augment(image, example_keys(0, 0, [0, 2, 5]))
        >>> moved[:, 1, :, 0].numpy().tolist()
        [[2.0, 3.0, 4.0, 0.0], [1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 2.0, 3.0]]

    Reference: He et al. 2016, section 4.2
    """

    def __init__(self, padding, seed: int | None = None, **kwargs: Any) -> None:
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
    """Turns each image about its center, counter-clockwise as seen, by an angle from [−degrees, degrees).

        x' − cx = cos θ (x − cx) − sin θ (y − cy)                        (1)
        y' − cy = sin θ (x − cx) + cos θ (y − cy)                        (2)

    where (cx, cy) is the center of the image.

    Args:
        degrees: the largest angle, in [0, 180]. A turn of 180° makes 6 of 9.
        seed: as in `Augmentation`.

    Raises: ValueError: when `degrees` is outside [0, 180].

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> image = ops.ones((1, 9, 9, 1))
        >>> turned = RandomRotation(30).augment(image, example_keys(0, 0, [0]))
        >>> turned[0, 0, 0, 0].numpy().item(), turned[0, 4, 4, 0].numpy().item()
        (0.0, 1.0)
    """

    def __init__(self, degrees, seed: int | None = None, **kwargs: Any) -> None:
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
    """Cuts a window of random area, shape and place, and stretches it to the size of the image.

        s ~ U(scale),  log r ~ U(log ratio)
        w = min(1, √(s r)),  h = min(1, √(s / r))      parts of the width and the height     (1)
        x' = left + (x + ½) w − ½,   left ~ U(0, (1 − w) width),  y' likewise                (2)

    Args:
        scale: (lo, hi), the part of the image's area, 0 < lo <= hi <= 1. Defaults to (0.08, 1).
        ratio: (lo, hi), width over height of the window, relative to the image's. Defaults to (3/4, 4/3).
        seed: as in `Augmentation`.

    Raises: ValueError: when `scale` or `ratio` is not such a pair.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> images = ops.repeat(ops.reshape(ops.arange(8.0), (1, 1, 8, 1)), 8, axis=1)
        >>> zoomed = RandomResizedCrop((0.25, 0.25), (1, 1)).augment(images, example_keys(0, 0, [0]))
        >>> [round(float(step), 4) for step in zoomed[0, 0, 2:5, 0] - zoomed[0, 0, 1:4, 0]]
        [0.5, 0.5, 0.5]

    Convention: torchvision draws again, up to ten times, when a window does not fit; here it is cut to fit.
    Reference: Szegedy et al. 2015, section 6; Chen et al. 2020, appendix A
    """

    def __init__(
        self, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), seed: int | None = None, **kwargs: Any
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


def turned(angle, height, width):
    """The maps that turn an image about its center by `angle`, (n,), in radians counter-clockwise as seen."""
    cos, sin = ops.cos(angle), ops.sin(angle)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    return (cos, -sin, cx - cos * cx + sin * cy), (sin, cos, cy - sin * cx - cos * cy)  # (1), (2)


def product(first, second):
    """The maps of two transformations in a row: what `second` puts out is traced back through `first`."""
    (e, f, g), (h, i, j) = second
    return tuple((a * e + b * h, a * f + b * i, a * g + b * j + c) for a, b, c in first)


def resample(images, maps):
    """The images seen through the maps: equations (1) and (2) of the module.

    Args:
        images: floats (n, height, width, channels).
        maps: two rows of three tensors (n,): ((m₀₀, m₀₁, m₀₂), (m₁₀, m₁₁, m₁₂)).

    Returns: images of the same shape and dtype.
    """
    num_examples = ops.shape(images)[0]
    height, width, channels = images.shape[1:]
    x = ops.arange(width, dtype="float32")[None, None, :]
    y = ops.arange(height, dtype="float32")[None, :, None]
    # Sums of products, not a matrix product: accelerators round the factors of a product to ten bits.
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
