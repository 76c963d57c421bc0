"""Folders whose images are all nearly black, mostly because their pixels use a small part of their bits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_kit.data.pictures import Head, decode

LOOKED_AT = 16  # images of a folder, at most, evenly spaced
LONGEST_SIDE = 2048  # pixels, above which an image is scaled down to look at it
DARK = 255 // 8  # of 255: a brightest pixel below is suspected of another scale, as in files of arrays


def darkness(files: Sequence[Path], heads: Sequence[Head]) -> list[str]:
    """Note that the images of a folder are nearly black: no note, or one line.

    Images are decoded until one is bright, which is mostly the first.

    Args:
        files: path of each image.
        heads: head of each image.

    Raises:
        InputError: an image cannot be decoded; the message names it.
    """
    if not files:
        return []
    looked_at = np.unique(np.linspace(0, len(files) - 1, LOOKED_AT).round().astype(int))
    brightest = 0
    for i in looked_at:
        scale = max(1, max(heads[i].size) / LONGEST_SIDE)
        height, width = (max(1, round(side / scale)) for side in heads[i].size)
        brightest = max(brightest, int(decode(files[i], (height, width, 3)).max()))
        if brightest >= DARK:
            return []
    some = "" if len(looked_at) == len(files) else f" of the {len(looked_at)} images looked at"
    note = f"no pixel{some} is brighter than {brightest} of 255"
    if any(heads[i].mode.startswith("I") for i in looked_at):
        note += ": white is 65535 in images of 16 bits, so scale up those of 10 or 12 bits"
    return [note]
