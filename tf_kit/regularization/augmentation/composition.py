"""Augmentations one after the other, and three ready rows of them."""

from functools import partial
from itertools import groupby
from typing import Any

import keras
from keras import ops

from tf_kit.checks import choice, refuse
from tf_kit.randomness.keys import absorb
from tf_kit.regularization.augmentation.base import Augmentation
from tf_kit.regularization.augmentation.color import ColorJitter
from tf_kit.regularization.augmentation.geometry import (
    GeometricAugmentation,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    product,
    resample,
)
from tf_kit.typing import Tensor
from tf_kit.xla import compiled


@keras.saving.register_keras_serializable(package="tf_kit")
class Composition(Augmentation):
    """Augmentations in a row, as one layer; `compose(first, second, …)` makes it.

    The parts draw from keys of their own, so the same augmentation twice does two things. Neighbors that move
    pixels are multiplied into one map and resampled once: that is faster, blurs once, and what one of them
    moved over the edge the next can bring back. XLA compiles each such row of neighbors and each other part by
    itself: in one kernel of all, whatever averages over an image would resample it anew for every pixel it writes.

    Args:
        parts: list of augmentations.
        seed: as in `Augmentation`; the parts' own seeds are not used.

    Raises: ValueError: when there is no part, or one is not an augmentation.
    """

    def __init__(self, parts, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        parts = list(parts)
        wrong = [type(part).__name__ for part in parts if not isinstance(part, Augmentation)]
        if wrong or not parts:
            remedy = "Wrap another Keras layer in a subclass of Augmentation"
            refuse("compose", "be given augmentations", ", ".join(wrong) or "nothing", remedy)
        self.parts = parts
        self._apply = self.apply
        self._stages = self._divide()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for part in self.parts:
            part.build(input_shape)

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        return tuple(draw(key, shape) for draw, _ in self._stages)

    def apply(self, images: Tensor, numbers: Any) -> Tensor:
        for (_, apply), each in zip(self._stages, numbers, strict=True):
            images = apply(images, each)
        return images

    def _divide(self):
        """The parts as pairs of functions (draw, apply), neighbors that move pixels as one pair."""
        stages = []
        for moving, row in groupby(
            enumerate(self.parts), lambda each: isinstance(each[1], GeometricAugmentation)
        ):
            row = list(row)
            if moving:
                stages.append((partial(_draw_maps, row), compiled(resample)))
            else:
                stages += [(partial(_draw_part, *each), compiled(each[1].apply)) for each in row]
        return stages

    def get_config(self) -> dict[str, Any]:
        parts = [keras.saving.serialize_keras_object(part) for part in self.parts]
        for part in parts:
            part.pop("build_config", None)  # which is there or not, as the part was called or not
        return {**super().get_config(), "parts": parts}

    @classmethod
    def from_config(cls, config):
        parts = [keras.saving.deserialize_keras_object(part) for part in config.pop("parts")]
        return cls(parts, **config)


def _draw_maps(row, key, shape):
    """The maps of a row of (position, augmentation) that move pixels, multiplied."""
    maps = None
    for position, part in row:
        later = part.draw(key_of_part(key, position), shape)
        maps = later if maps is None else product(maps, later)
    return maps


def _draw_part(position, part, key, shape):
    return part.draw(key_of_part(key, position), shape)


def compose(*parts, seed=None):
    """One augmentation that applies `parts` from first to last.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> augment = compose(RandomFlip(), RandomCrop(2), ColorJitter(0.5))
        >>> augment.augment(ops.ones((4, 8, 8, 3)), example_keys(0, 0, range(4))).shape
        TensorShape([4, 8, 8, 3])
    """
    return Composition(parts, seed=seed)


def preset(name, seed=None, strong=False):
    """A row of augmentations that keeps the labels of a kind of images.

    "digits": small turns and shifts, no flips; "fashion": flips and shifts (clothes stand upright);
    "natural": resized crops, flips and colors, for photographs in RGB.

    Args:
        name: one of these.
        seed: as in `Augmentation`.
        strong: for the two views of joint embedding, which learns from what it must see through: closer crops in
            place of the shifts, brightness, contrast and color. Too much for training on labels.

    Raises: ValueError: when `name` is none of these.

    Example:
        >>> [type(part).__name__ for part in preset("digits").parts]
        ['RandomRotation', 'RandomCrop']
        >>> [type(part).__name__ for part in preset("digits", strong=True).parts]
        ['RandomRotation', 'RandomResizedCrop', 'ColorJitter']
    """
    choice("preset.name", name, ("digits", "fashion", "natural"))
    weak = {
        "digits": (RandomRotation(15), RandomCrop(2)),
        "fashion": (RandomFlip(), RandomCrop(2)),
        "natural": (RandomResizedCrop((0.5, 1.0)), RandomFlip(), ColorJitter(0.5, 0.8)),
    }
    far = {
        "digits": (RandomRotation(15), RandomResizedCrop((0.5, 1.0)), ColorJitter(0.5)),
        "fashion": (RandomFlip(), RandomResizedCrop((0.4, 1.0)), ColorJitter(0.5)),
        "natural": (RandomResizedCrop((0.2, 1.0)), RandomFlip(), ColorJitter(1.0, 0.8)),
    }
    return compose(*(far if strong else weak)[name], seed=seed)


def key_of_part(key, position):
    """The keys (n, 2) that the part at `position` of a composition draws from."""
    key = ops.cast(key, "int64")
    return ops.stack([absorb(key[:, 0], position), key[:, 1]], axis=1)
