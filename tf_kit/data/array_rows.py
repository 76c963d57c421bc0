"""Images in files of arrays, each in the place of an image file."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.array_files import ArrayFile, read
from tf_kit.data.pictures import clean
from tf_kit.data.reading import resized

_GREY = np.array([0.299, 0.587, 0.114], "float32")  # luma of red, green and blue, ITU-R BT.601, as in Pillow


@dataclasses.dataclass(frozen=True)
class Row(os.PathLike):
    """One image of a file of arrays, in the place of an image file; its name is `photos.npz[3]`.

    Args:
        file: the file.
        index: place of the image among all its examples, those for training first.
    """

    file: ArrayFile
    index: int

    def __fspath__(self) -> str:
        return f"{self.file.path}[{self.index}]"

    __str__ = __fspath__

    def image(self, shape: tuple[int, int, int]) -> np.ndarray:
        """Return the image as float32 in [0, 1], scaled and converted to a shape (height, width, channels)."""
        x = self.file.x[self.index]
        if x.shape[-1] != shape[-1]:
            x = np.repeat(x, 3, axis=-1) if shape[-1] == 3 else (x @ _GREY)[..., None]
        return x if x.shape == tuple(shape) else resized(x[None], shape[:2])[0]


def rows(path: Path) -> list[Row]:
    """List the images of a file of arrays.

    Raises:
        InputError: as for `read`; or the file holds vectors.
    """
    found = read(path, unlabeled=True)
    if found.x.ndim != 4:
        refuse(clean(path), "hold images (n, h, w) or (n, h, w, c)", f"shape {found.x.shape}")
    return [Row(found, i) for i in range(len(found))]
