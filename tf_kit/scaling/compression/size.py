"""Size of a model: bytes of its file, share of nonzero weights; and the packing of bits into bytes."""

import tempfile
from pathlib import Path

import keras
import numpy as np

from tf_kit.checks import refuse
from tf_kit.networks.inspection import layers_within
from tf_kit.typing import ArrayLike


def size_on_disk(model: keras.Model) -> int:
    """Count the bytes of the `.keras` file of a model, without the state of the optimizer.

    The file is written to a temporary folder. Besides the weights it holds the configuration and the structure of
    the HDF5 format, about ten thousand bytes, which matter for small models.

    Args:
        model: built Keras model that can be saved.

    Returns:
        Number of bytes.

    Raises:
        ValueError: the model is not built.

    Example:
        >>> import keras
        >>> from tf_kit.scaling import size_on_disk
        >>> model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1000)])
        >>> 1.0 < size_on_disk(model) / (4 * 101_000) < 1.1
        True
    """
    if not getattr(model, "built", False):
        refuse("size_on_disk.model", "be built", f"{model!r}", "Give the model a keras.Input or call it once")
    compiled, optimizer = model.compiled, getattr(model, "optimizer", None)
    model.compiled, model.optimizer = False, None
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            return path.stat().st_size
    finally:
        model.compiled, model.optimizer = compiled, optimizer


def nonzero_fraction(model: keras.Model) -> float:
    """Compute the share of the weights of the kernels that are not exactly zero.

        fraction = Σ_l #{w ∈ W^(l) : w ≠ 0} / Σ_l #W^(l)                 (1)

    where W^(l) are the kernels of the layers, as used in the forward pass, a shared layer once; biases and the weights
    of normalization layers, which are never pruned, are not counted.

    Args:
        model: built Keras model with at least one kernel.

    Returns:
        Share from 0 to 1.

    Raises:
        ValueError: no layer of the model has a kernel.

    Example:
        >>> import keras
        >>> from tf_kit.scaling import nonzero_fraction, prune
        >>> model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
        >>> nonzero_fraction(model), nonzero_fraction(prune(model, 0.75))
        (1.0, 0.25)

    Reference: Han et al., 2015, table 1, whose compression rate is 1 / fraction, arXiv:1506.02626.
    """
    kernels = [
        keras.ops.convert_to_numpy(layer.kernel) for layer in layers_within(model) if has_kernel(layer)
    ]
    if not kernels:
        refuse("nonzero_fraction.model", "have a layer with a kernel", f"{model.name}")
    return int(sum(map(np.count_nonzero, kernels))) / sum(kernel.size for kernel in kernels)  # (1)


def has_kernel(layer: keras.layers.Layer) -> bool:
    """Return whether a layer is built and has a kernel."""
    return layer.built and hasattr(layer, "kernel")


def pack(numbers: ArrayLike, bits: int) -> np.ndarray:
    """Pack whole numbers in [0, 2^bits) into bytes, `bits` bits each, highest bit first.

    Example:
        >>> pack(np.array([1, 2, 3, 0]), bits=2).tolist()  # 01 10 11 00
        [108]
    """
    digits = np.unpackbits(np.asarray(numbers, "uint8").reshape(-1, 1), axis=1)
    return np.packbits(digits[:, 8 - bits :])


def unpack(packed: np.ndarray, bits: int, size: int) -> np.ndarray:
    """Undo `pack` for the first `size` numbers.

    Example:
        >>> unpack(np.array([108], "uint8"), bits=2, size=4).tolist()
        [1, 2, 3, 0]
    """
    digits = np.zeros((size, 8), "uint8")
    digits[:, 8 - bits :] = np.unpackbits(packed, count=size * bits).reshape(size, bits)
    return np.packbits(digits, axis=1).ravel()
