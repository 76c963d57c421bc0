"""Composition of augmentations, and presets for three kinds of images."""

from collections.abc import Iterable
from functools import partial
from itertools import groupby
from typing import Any, Self

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
    """Layer that applies several augmentations one after the other; `compose(first, second, …)` creates it.

    Each part draws from different keys, so the same augmentation twice gives two different transformations. The maps
    of consecutive parts that move pixels are multiplied and applied by one resampling, which is faster, blurs only
    once, and lets one part bring back pixels that another moved over the edge. XLA compiles each such group and each
    other part separately, since in a common kernel a mean over an image would resample it again for every pixel.

    Args:
        parts: list of augmentations.
        seed: as for `Augmentation`; the seeds of the parts are not used.

    Raises:
        ValueError: there is no part, or a part is not an augmentation.
    """

    def __init__(self, parts: Iterable[Augmentation], seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        parts = list(parts)
        wrong = [type(part).__name__ for part in parts if not isinstance(part, Augmentation)]
        if wrong or not parts:
            remedy = "Wrap another Keras layer in a subclass of Augmentation"
            refuse("compose.parts", "be augmentations", ", ".join(wrong) or "nothing", remedy)
        self.parts = parts
        self.known_axes = tuple(sorted({axis for part in parts for axis in part.known_axes}))
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
        """Return pairs of functions (draw, apply), one for each part, or for consecutive parts that move pixels."""
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
            part.pop("build_config", None)  # present only if the part was called
        return {**super().get_config(), "parts": parts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        parts = [keras.saving.deserialize_keras_object(part) for part in config["parts"]]
        return cls(**{**config, "parts": parts})


def _draw_maps(row, key, shape):
    """Return the product of the maps of consecutive (position, augmentation) that move pixels."""
    maps = None
    for position, part in row:
        later = part.draw(key_of_part(key, position), shape)
        maps = later if maps is None else product(maps, later)
    return maps


def _draw_part(position, part, key, shape):
    return part.draw(key_of_part(key, position), shape)


def compose(*parts: Augmentation, seed: int | None = None) -> Composition:
    """Return one augmentation that applies `parts` from first to last.

    Args:
        *parts: augmentations.
        seed: as for `Augmentation`. Defaults to None.

    Raises:
        ValueError: there is no part, or a part is not an augmentation.

    Example:
        >>> from tf_kit.regularization import example_keys
        >>> augment = compose(RandomFlip(), RandomCrop(2), ColorJitter(0.5))
        >>> augment.augment(ops.ones((4, 8, 8, 3)), example_keys(0, 0, range(4))).shape
        TensorShape([4, 8, 8, 3])
    """
    return Composition(parts, seed=seed)


def preset(name: str, seed: int | None = None, strong: bool = False) -> Composition:
    """Return a composition of augmentations that preserve the labels of one kind of images.

        "digits"    small rotations and shifts, no flips
        "fashion"   flips and shifts, no rotations, since clothes are upright
        "natural"   resized crops, flips and changes of color, for photographs in RGB

    Args:
        name: one of these names.
        seed: as for `Augmentation`. Defaults to None.
        strong: whether to use the stronger form for the two views of joint embedding, which learns to ignore these
            changes: smaller crops instead of shifts, and changes of brightness, contrast and color. Too strong for
            training on labels. Defaults to False.

    Raises:
        ValueError: `name` is another name.

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


def key_of_part(key: Tensor, position: int) -> Tensor:
    """Return the keys (n, 2) from which the part at `position` of a composition draws."""
    key = ops.cast(key, "int64")
    return ops.stack([absorb(key[:, 0], position), key[:, 1]], axis=1)
