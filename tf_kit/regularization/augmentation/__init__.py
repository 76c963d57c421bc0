"""Data augmentation: random transformations that preserve the label, drawn for each example from its key.

Not every transformation preserves every label: a flip turns 'b' into 'd', a half turn turns '6' into '9'.
`label_preserving` measures this.

Reference: Goodfellow, Bengio, Courville, 2016, Deep Learning, sections 7.4 and 7.5; Shorten, Khoshgoftaar, 2019, A
survey on image data augmentation for deep learning, doi:10.1186/s40537-019-0197-0.
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
