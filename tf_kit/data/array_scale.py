"""Scale of the vectors in a file of arrays: a model takes them as its training read them.

Bytes are divided by 255, other numbers are read as they are, so files of two types can hold one example at two scales.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tf_kit.checks import refuse
from tf_kit.data.array_files import ArrayFile
from tf_kit.data.pictures import clean


def divisor_of(found: Any) -> float:
    """Return what the numbers of a file of arrays were divided by; 1 for data from elsewhere."""
    return float(found.white) if isinstance(found, ArrayFile) else 1.0


def refuse_another_scale(file: ArrayFile, divisor: float | None) -> None:
    """Refuse vectors that are divided by another number than those of the training.

    Args:
        file: the file.
        divisor: `divisor_of` the training, or None if it is not known.

    Raises:
        InputError: the divisors differ. The type of the file does not say which of them is right.
    """
    if len(file.shape) != 1 or divisor in (None, divisor_of(file)):
        return
    kind = np.result_type(*(each.dtype for each in file.arrays))
    if divisor == 1:
        requirement = "hold numbers of the type of the training, which used them as they were"
        received = f"{kind}, which is divided by {file.white:g}"
        remedy = 'Save x.astype("float32"), in the units of the training'
    else:
        requirement = f"hold numbers of the type of the training, which divided them by {divisor:g}"
        received = f"{kind}, which is used as it is"
        remedy = 'Save x.astype("uint8"), in the units of the training'
    refuse(clean(file.path), requirement, received, remedy)
