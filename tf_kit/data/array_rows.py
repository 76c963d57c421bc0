"""Examples in files of arrays, each in the place of an image file."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.array_files import ArrayFile, read
from tf_kit.data.array_scale import refuse_another_scale
from tf_kit.data.pictures import clean
from tf_kit.data.reading import resized

_GREY = np.array([0.299, 0.587, 0.114], "float32")  # luma of red, green and blue, ITU-R BT.601, as in Pillow


@dataclasses.dataclass(frozen=True)
class Row(os.PathLike):
    """One example of a file of arrays, in the place of an image file; its name is `photos.npz[3]`.

    Args:
        file: the file.
        index: place of the example among all its examples, those for training first.
    """

    file: ArrayFile
    index: int

    def __fspath__(self) -> str:
        return f"{self.file.path}[{self.index}]"

    __str__ = __fspath__

    def example(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the vector, or the image as float32 in [0, 1], scaled and converted to (height, width, channels)."""
        (x,) = self.file.examples(np.array([self.index]))
        if len(shape) == 1:
            return x
        if x.shape[-1] != shape[-1]:
            x = np.repeat(x, 3, axis=-1) if shape[-1] == 3 else (x @ _GREY)[..., None]
        return x if x.shape == tuple(shape) else resized(x[None], (shape[0], shape[1]))[0]


def rows(path: Path, shape: tuple[int, ...] | None = None, divisor: float | None = None) -> list[Row]:
    """List the examples of a file of arrays; a warning tells what is passed over, or unusual.

    Args:
        path: the file.
        shape: `(features,)` if vectors are wanted. Defaults to images of any size.
        divisor: what the vectors of the training were divided by. Defaults to None, not known.

    Raises:
        InputError: as for `read`; or the examples are of the other kind, vectors of another length or scale, or one
            image.
    """
    found = read(path, unlabeled=True, divided=False)
    if shape is not None and len(shape) == 1:
        if found.shape != tuple(shape):
            refuse(clean(path), f"hold vectors (n, {shape[0]})", f"shape {(len(found), *found.shape)}")
        refuse_another_scale(found, divisor)
    elif shape is not None and _is_one_picture(found, shape):
        received = f"shape {found.arrays[0].shape}, which looks like one image with channels"
        refuse(clean(path), "hold images (n, h, w) or (n, h, w, c)", received, "Save x[None] for one image")
    elif len(found.shape) != 3:
        refuse(clean(path), "hold images (n, h, w) or (n, h, w, c)", f"shape {(len(found), *found.shape)}")
    if found.warning:
        warnings.warn(f"{clean(path)}: {found.warning}", stacklevel=2)
    return [Row(found, i) for i in range(len(found))]


def _is_one_picture(found, shape):
    """Return whether an array (h, w, c) would be taken for h images that are three or four pixels wide."""
    return found.arrays[0].ndim == 3 and found.shape[1] in (3, 4) and shape[1] > 4
