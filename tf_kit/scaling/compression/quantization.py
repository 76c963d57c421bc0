"""Post-training quantization: kernels as whole numbers of few bits with one scale per output channel.

It saves bytes on disk and in memory, not time: a quantized layer multiplies its whole numbers by the scale when it is
called, and then computes like the layer that it replaces. Activations stay floats.

Reference: Jacob et al., 2018, Quantization and training of neural networks for efficient integer-arithmetic-only
inference, section 2.1, arXiv:1712.05877; Krishnamoorthi, 2018, Quantizing deep convolutional networks for efficient
inference, sections 2.2 and 3.1, arXiv:1806.08342.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import count, refuse
from tf_kit.keras_internals import stored_kernel
from tf_kit.scaling.compression.pruning import PrunedConv1D, PrunedConv2D, PrunedConv3D, PrunedDense
from tf_kit.scaling.compression.rebuilding import config_of, rebuild
from tf_kit.scaling.compression.size import pack, unpack
from tf_kit.typing import ArrayLike, LayerMixin, Tensor


def quantize_weights(weights: ArrayLike, bits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Quantize weights symmetrically, with one scale per output channel.

        s_c = max_i |w_ic| / (2^(b−1) − 1)                               (1)
        q   = round(w / s)                                               (2)
        ŵ   = s q,   |w − ŵ| ≤ s/2                                       (3)

    where c runs over the last axis, b = `bits`, and q lies in [−(2^(b−1) − 1), 2^(b−1) − 1], which is symmetric
    about zero, so zero weights stay zero. A channel of zeros has s = 1.

    Args:
        weights: (…, channels), at least one number, finite in float32.
        bits: b, from 2 to 8. Defaults to 8.

    Returns:
        q, int8 with the shape of `weights`, and s, float32 (channels,).

    Raises:
        ValueError: `bits` is outside 2 to 8, there are no weights, or one is not finite in float32.

    Example:
        >>> import numpy as np
        >>> from tf_kit.scaling import quantize_weights
        >>> levels, scale = quantize_weights(np.array([[1.0, 0.02], [-0.3, 0.012]]), bits=3)
        >>> levels.tolist(), [round(float(each), 4) for each in scale]
        ([[3, 3], [-1, 2]], [0.3333, 0.0067])

    Convention: halves are rounded to the even number, as in NumPy.
    Reference: Krishnamoorthi, 2018, section 2.2, arXiv:1806.08342.
    """
    bits = _bits("quantize_weights.bits", bits)
    weights = np.asarray(weights, "float64")
    if not weights.ndim or not weights.size:
        received = f"shape {weights.shape}"
        refuse("quantize_weights.weights", "be (…, channels), at least one number", received)
    finite = np.abs(weights) <= np.finfo("float32").max
    if not finite.all():
        refuse("quantize_weights.weights", "be finite in float32", f"{np.sum(~finite)} that are not")
    highest = 2 ** (bits - 1) - 1
    scale = np.abs(weights).reshape(-1, weights.shape[-1]).max(axis=0) / highest  # (1)
    scale = scale.astype("float32")
    scale[scale == 0] = 1
    levels = np.clip(np.rint(weights / scale.astype("float64")), -highest, highest)  # (2)
    return levels.astype("int8"), scale


def _bits(subject, bits):
    if count(subject, bits, at_least=2) > 8:
        remedy = 'For 16 bits use the dtype "float16" or "bfloat16"'
        refuse(subject, "be from 2 to 8", f"bits={bits}", remedy)
    return int(bits)


class _Quantized(LayerMixin):
    """Mixin for a Keras layer with a kernel, which it stores as int8 levels and a scale."""

    stores_levels = True  # for `rebuild`: there is no float kernel to copy

    def __init__(self, *args: Any, bits: int = 8, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bits = _bits(f"{type(self).__name__}.bits", bits)

    def add_weight(self, *args: Any, name: str | None = None, **kwargs: Any) -> keras.Variable:
        if name != "kernel":
            return super().add_weight(*args, name=name, **kwargs)
        shape = kwargs["shape"]
        self.scale = super().add_weight(
            name="scale",
            shape=shape[-1:],
            initializer="ones",
            dtype="float32",
            trainable=False,
            autocast=False,
        )
        return super().add_weight(name=name, shape=shape, initializer="zeros", dtype="int8", trainable=False)

    @property
    def kernel(self) -> Tensor:
        weights = ops.cast(super().kernel, "float32") * self.scale  # (3)
        return ops.cast(weights, self.compute_dtype)

    def copy_from(self, layer: keras.layers.Layer) -> None:
        """Quantize the kernel of the layer that this one replaces, and copy its bias."""
        levels, scale = quantize_weights(ops.convert_to_numpy(layer.kernel), self.bits)
        stored_kernel(self).assign(levels)
        self.scale.assign(scale)
        if self.bias is not None:
            self.bias.assign(layer.bias)

    @property
    def stored_kernel_bytes(self) -> int:
        """Bytes of the kernel in a file, without the scale."""
        return sum(len(part) for part in self._packed_kernel().values())

    def _packed_kernel(self) -> dict[str, np.ndarray]:
        """Pack all levels in `bits` bits each, or a mask and the nonzero levels if that is shorter."""
        levels = ops.convert_to_numpy(stored_kernel(self)).ravel()
        unsigned = (levels.astype("int16") + 2 ** (self.bits - 1)).astype("uint8")
        kept = levels != 0
        sparse = {"mask": np.packbits(kept), "levels": pack(unsigned[kept], self.bits)}
        dense = {"levels": pack(unsigned, self.bits)}
        return min(dense, sparse, key=lambda parts: sum(len(part) for part in parts.values()))

    def save_own_variables(self, store: Any) -> None:
        for name, part in self._packed_kernel().items():
            store[name] = part
        store["scale"] = self.scale
        if self.bias is not None:
            store["bias"] = self.bias

    def load_own_variables(self, store: Any) -> None:
        shape = tuple(stored_kernel(self).shape)
        size = int(np.prod(shape))
        kept = np.ones(size, bool)
        if "mask" in store:
            kept = np.unpackbits(np.array(store["mask"]), count=size).astype(bool)
        levels = np.zeros(size, "int16")
        levels[kept] = unpack(np.array(store["levels"]), self.bits, int(kept.sum())).astype("int16")
        levels[kept] -= 2 ** (self.bits - 1)
        stored_kernel(self).assign(levels.astype("int8").reshape(shape))
        self.scale.assign(store["scale"])
        if self.bias is not None:
            self.bias.assign(store["bias"])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bits": self.bits}


@keras.saving.register_keras_serializable(package="tf_kit")
class QuantizedDense(_Quantized, keras.layers.Dense):
    """Dense layer with an int8 kernel and one float scale per unit; `quantize` makes it from `keras.layers.Dense`.

        z = x (s q) + b                                                  (1)

    where q = the stored levels, s = `scale`. The bias can be trained, the kernel cannot.

    Args:
        bits: bits per level, from 2 to 8. Defaults to 8.
        *args, **kwargs: arguments of `keras.layers.Dense`.

    Raises:
        ValueError: `bits` is outside 2 to 8.

    Example:
        >>> import numpy as np
        >>> layer = QuantizedDense(1)
        >>> layer.build((None, 2))
        >>> layer.set_weights([np.zeros(1), np.array([0.5]), np.array([[3], [-4]])])  # bias, scale, levels
        >>> float(layer(np.array([[1.0, 1.0]]))[0, 0])
        -0.5

    Reference: Krishnamoorthi, 2018, section 3.1, arXiv:1806.08342.
    """


@keras.saving.register_keras_serializable(package="tf_kit")
class QuantizedConv1D(_Quantized, keras.layers.Conv1D):
    """`keras.layers.Conv1D` with an int8 kernel and one float scale per filter. See `QuantizedDense`."""


@keras.saving.register_keras_serializable(package="tf_kit")
class QuantizedConv2D(_Quantized, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with an int8 kernel and one float scale per filter. See `QuantizedDense`."""


@keras.saving.register_keras_serializable(package="tf_kit")
class QuantizedConv3D(_Quantized, keras.layers.Conv3D):
    """`keras.layers.Conv3D` with an int8 kernel and one float scale per filter. See `QuantizedDense`."""


_KINDS = {
    keras.layers.Dense: QuantizedDense,
    keras.layers.Conv1D: QuantizedConv1D,
    keras.layers.Conv2D: QuantizedConv2D,
    keras.layers.Conv3D: QuantizedConv3D,
    PrunedDense: QuantizedDense,
    PrunedConv1D: QuantizedConv1D,
    PrunedConv2D: QuantizedConv2D,
    PrunedConv3D: QuantizedConv3D,
}


def quantize(model: keras.Model, bits: int = 8) -> keras.Model:
    """Post-training quantization: copy a trained network with its kernels in few bits.

    No data and no training are needed. With 8 bits the file is a quarter as long and the accuracy nearly always the
    same; each bit less doubles the error. A pruned network can be quantized: its zeros stay zeros and are not stored
    in its file.

        q, s = quantize_weights(W, bits)                                 (1)
        |W − s q| ≤ s/2,   so |z − ẑ| ≤ Σ_i |x_i| s/2 for each unit      (2)

    Args:
        model: built Sequential or functional model, which does not change. Its dense layers and convolutions
            (of one, two and three dimensions) are quantized, also in nested models; biases and other layers are
            copied.
        bits: bits per weight, from 2 to 8. Levels are int8 in memory and have `bits` bits each in a file.
            Defaults to 8.

    Returns:
        The quantized model, compiled like `model`. Its kernels cannot be trained. Activations are floats.

    Raises:
        ValueError: `bits` is outside 2 to 8, no layer can be quantized, a layer is quantized already, or the model is
            of another kind.

    Example:
        >>> import keras
        >>> from tf_kit.scaling import quantize, size_on_disk
        >>> model = keras.Sequential([keras.Input((500,)), keras.layers.Dense(500)])
        >>> 3.5 < size_on_disk(model) / size_on_disk(quantize(model)) < 4
        True

    Convention: `model.quantize("int8")` of Keras changes the model in place and also quantizes activations, with one
    scale per example.
    Reference: Krishnamoorthi, 2018, section 3.1, arXiv:1806.08342.
    """
    bits = _bits("quantize.bits", bits)

    def replacement(layer):
        kind = _KINDS.get(getattr(layer, "same_as", type(layer)))
        return None if kind is None else kind.from_config({**config_of(layer), "bits": bits})

    copy, pairs = rebuild("quantize.model", model, replacement)
    if not pairs:
        refuse("quantize.model", "have a Dense, Conv1D, Conv2D or Conv3D layer", f"{model.name}")
    for layer, new in pairs:
        new.copy_from(layer)  # (1)
    return copy
