"""Value of white in images, by which they are divided so that their values lie in [0, 1]."""

from typing import Any

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.pictures import clean


def white_of_dtype(dtype: Any) -> np.float32:
    """Return the value of white in images of a dtype: the largest of whole numbers, 1 for real ones.

    Example:
        >>> [float(white_of_dtype(each)) for each in ("uint8", "uint16", "float32")]
        [255.0, 65535.0, 1.0]
    """
    return np.float32(np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1)


def white_of_values(name: str, low: float, high: float) -> np.float32:
    """Return the value of white in images with values from `low` to `high`: 1, or 255 if a value exceeds 1.

    A largest value between 1 and 2 is refused: images in [0, 1] that overshoot, as after a bicubic resize, would become
    black.

    Args:
        name: name of the data set, for messages.
        low, high: smallest and largest value of all images.

    Raises:
        InputError: a value is not finite, or not in [0, 255], or the largest is between 1 and 2.

    Example:
        >>> float(white_of_values("mine", 0, 0.9)), float(white_of_values("mine", 0, 250))
        (1.0, 255.0)
    """
    if not (np.isfinite(low + high) and low >= 0 and high <= 255):
        requirement = "have images of values in [0, 1], or from 0 to 255"
        refuse(clean(name), requirement, f"values from {low:g} to {high:g}", flag="--data")
    if 1 < high < 2:
        remedy = "Clip the values to 1 if 1 is white, divide them by 255 if 255 is"
        received = f"values from {low:g} to {high:.9g}"
        refuse(clean(name), "hold images of a known scale", received, remedy, flag="--data")
    return np.float32(1 if high <= 1 else 255)
