"""What a model weighs: bytes of its file, share of its weights that are not zero; and bits packed into bytes."""

import tempfile
from pathlib import Path

import keras
import numpy as np

from tf_kit.checks import refuse
from tf_kit.scaling.compression._rebuilding import layers_within


def size_on_disk(model) -> int:
    """Bytes of the `.keras` file of a model: what is shipped, without the state of the optimizer.

    The file is really written, to a folder that is removed. Beside the weights it holds the configuration and
    the frame of the HDF5 format: some ten thousand bytes, which show in small models.

    Args:
        model: any built Keras model that can be saved.

    Returns: bytes.

    Raises: ValueError: when the model is not built.

    Example:
        >>> import keras
        >>> from tf_kit.scaling import size_on_disk
        >>> model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(1000)])
        >>> 1.0 < size_on_disk(model) / (4 * 101_000) < 1.1
        True
    """
    if not getattr(model, "built", False):
        refuse("size_on_disk.model", "be built", f"{model!r}", "Give it a keras.Input or call it once")
    compiled, optimizer = model.compiled, getattr(model, "optimizer", None)
    model.compiled, model.optimizer = False, None
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            return path.stat().st_size
    finally:
        model.compiled, model.optimizer = compiled, optimizer


def nonzero_fraction(model) -> float:
    """Share of the kernels' weights that are not exactly zero.

        fraction = Σ_l #{w ∈ W^(l) : w ≠ 0} / Σ_l #W^(l)                 (1)

    where W^(l) are the kernels of the layers, as they are used in the forward pass; biases and the weights of
    normalization, which are never pruned, are left out.

    Args:
        model: a built Keras model with at least one kernel.

    Returns: a number from 0 to 1.

    Raises: ValueError: when no layer of the model has a kernel.

    Example:
        >>> import keras
        >>> from tf_kit.scaling import nonzero_fraction, prune
        >>> model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(10)])
        >>> nonzero_fraction(model), nonzero_fraction(prune(model, 0.75))
        (1.0, 0.25)

    Reference: Han et al., 2015, table 1 (its inverse is the compression rate).
    """
    kernels = [
        keras.ops.convert_to_numpy(layer.kernel) for layer in layers_within(model) if has_kernel(layer)
    ]
    if not kernels:
        refuse("nonzero_fraction.model", "have a layer with a kernel", f"{model.name}")
    return int(sum(map(np.count_nonzero, kernels))) / sum(kernel.size for kernel in kernels)  # (1)


def has_kernel(layer):
    return layer.built and hasattr(layer, "kernel")


def pack(numbers, bits):
    """Whole numbers in [0, 2^bits) as bytes, `bits` bits each, highest bit first.

    >>> pack(np.array([1, 2, 3, 0]), bits=2).tolist()  # 01 10 11 00
    [108]
    """
    digits = np.unpackbits(np.asarray(numbers, "uint8").reshape(-1, 1), axis=1)
    return np.packbits(digits[:, 8 - bits :])


def unpack(packed, bits, size):
    """The first `size` numbers that `pack` packed.

    >>> unpack(np.array([108], "uint8"), bits=2, size=4).tolist()
    [1, 2, 3, 0]
    """
    digits = np.zeros((size, 8), "uint8")
    digits[:, 8 - bits :] = np.unpackbits(packed, count=size * bits).reshape(size, bits)
    return np.packbits(digits, axis=1).ravel()
