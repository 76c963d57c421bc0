"""Data augmentation: random transformations that keep the label, drawn for each example from its own key.

Be careful which: a flip makes 'd' of 'b', a half turn makes '9' of '6'. `label_preserving` measures it.

Reference: Goodfellow, Bengio, Courville 2016, sections 7.4 and 7.5; Shorten and Khoshgoftaar 2019
"""

from tf_kit.randomness.keys import example_keys
from tf_kit.regularization.augmentation.base import Augmentation
from tf_kit.regularization.augmentation.color import ColorJitter, RandomBrightness, RandomContrast
from tf_kit.regularization.augmentation.composition import Composition, compose, preset
from tf_kit.regularization.augmentation.corruption import AddNoise, Cutout, GaussianBlur
from tf_kit.regularization.augmentation.geometry import (
    GeometricAugmentation,
    RandomCrop,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
)
from tf_kit.regularization.augmentation.labels import label_preserving

__all__ = [
    "AddNoise",
    "Augmentation",
    "ColorJitter",
    "Composition",
    "Cutout",
    "GaussianBlur",
    "GeometricAugmentation",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "compose",
    "example_keys",
    "label_preserving",
    "preset",
]
