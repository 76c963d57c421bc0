"""Multiply-accumulates of a network, counted layer by layer as one example passes through it."""

import dataclasses
import inspect
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from tf_kit.checks import refuse
from tf_kit.networks.inspection import observed_calls
from tf_kit.typing import Tensor


@dataclasses.dataclass(frozen=True)
class Work:
    """Operations of one call of a layer on one example.

    Args:
        layer: the layer.
        multiply_accumulates: number of multiply-accumulates.
        num_inputs, num_outputs: numbers that the call reads and writes.
        kernels: weights that are multiplied with the inputs.
    """

    layer: keras.layers.Layer
    multiply_accumulates: int
    num_inputs: int
    num_outputs: int
    kernels: tuple[keras.Variable, ...] = ()

    @property
    def learns(self) -> bool:
        """Whether the second operand has a gradient: a trainable kernel or table, or another activation."""
        looked_up = self.layer.weights if isinstance(self.layer, keras.layers.Embedding) else ()
        weights = (*self.kernels, *looked_up)
        return not weights or any(each.trainable for each in weights)

    @property
    def nonzero_fraction(self) -> float:
        """Share of the weights of the kernels that are not zero."""
        if not self.kernels:
            return 1.0
        values = [keras.ops.convert_to_numpy(kernel) for kernel in self.kernels]
        return int(sum(map(np.count_nonzero, values))) / sum(value.size for value in values)

    def weights_bytes(self, skip_zeros: bool) -> float:
        """Count the bytes of the kernels in memory, or in a file with `skip_zeros`, and of biases and scales."""
        if not self.kernels:
            return 0
        if skip_zeros and hasattr(self.layer, "stored_kernel_bytes"):
            kernels = self.layer.stored_kernel_bytes
        else:
            kernels = sum(self._kernel_bytes(kernel) for kernel in self.kernels)
        known = {id(kernel) for kernel in self.kernels} | {id(getattr(self.layer, "mask", None))}
        return kernels + sum(_size(v) * _item_bytes(v) for v in self.layer.weights if id(v) not in known)

    def _kernel_bytes(self, kernel):
        return _size(kernel) * getattr(self.layer, "bits", 8 * _item_bytes(kernel)) / 8


def _size(tensor):
    return math.prod(tensor.shape)


def _item_bytes(variable):
    return np.dtype(keras.backend.standardize_dtype(variable.dtype)).itemsize


def works(model: keras.Model, x: Any = None) -> tuple[list[Work], tuple[str, ...]]:
    """Count the operations of a forward pass of one example.

    Args:
        model: built Keras model.
        x: batch of inputs, for models that do not know the shape of their inputs. Defaults to None.

    Returns:
        One `Work` for each call of a layer that multiplies or looks up, and the paths of the weights that no such call
        uses.
    """
    found: list[Work] = []

    def count(layer, args, kwargs, outputs, around):
        # The work of a known layer includes that of its sublayers.
        if not any(_is_known(outer) for outer in around):
            found.extend(_work(layer, args, kwargs, outputs))

    with observed_calls(count, keras.layers.Layer):
        model(_example(model, x), training=False)
    known = {id(v) for work in found for v in work.layer.weights}
    uncounted = [
        v.path for v in model.weights if sum(side > 1 for side in v.shape) > 1 and id(v) not in known
    ]
    return found, tuple(uncounted)


_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
_ATTENTIONS = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.Attention,
    keras.layers.AdditiveAttention,
)
_KNOWN = (keras.layers.Dense, keras.layers.EinsumDense, *_CONVOLUTIONS, *_SEPARABLE, *_TRANSPOSED)


def _is_known(layer):
    return isinstance(layer, (*_KNOWN, keras.layers.Embedding)) or _is_matrix(layer)


def _is_matrix(layer):
    """Return whether a custom layer has one matrix only, a kernel (inputs, units) like that of a dense layer."""
    matrices = [v.name for v in getattr(layer, "weights", ()) if len(v.shape) > 1]
    return matrices == ["kernel"] and len(getattr(getattr(layer, "kernel", None), "shape", ())) == 2


def _work(layer: keras.layers.Layer, args: tuple, kwargs: dict, outputs: Any) -> Iterator[Work]:
    """Yield the `Work` of a call, if the layer multiplies or looks up."""
    inputs, outputs = _tensors((args, kwargs)), _tensors(outputs)
    if not inputs or not outputs:
        return
    num_inputs, num_outputs = _size(inputs[0]), _size(outputs[0])
    if isinstance(layer, keras.layers.Embedding):  # a lookup reads and writes rows and multiplies nothing
        yield Work(layer, 0, num_outputs, num_outputs)
    elif isinstance(layer, _ATTENTIONS):  # the projections of those with heads are separate layers
        yield _attention(layer, inspect.signature(layer.call).bind(*args, **kwargs).arguments)
    elif _is_known(layer):
        kernels = _kernels(layer)
        positions = _positions(layer, kernels[-1].shape, inputs[0], outputs[0])
        multiply_accumulates = sum(positions * _size(kernel) for kernel in kernels)  # (1)
        yield Work(layer, multiply_accumulates, num_inputs, num_outputs, kernels)


def _attention(layer: keras.layers.Layer, given: dict[str, Any]) -> Work:
    """Count the products of queries with keys and of their weights with values, from the arguments of a call."""
    axes: tuple[int, ...] = (1,)
    if isinstance(layer, keras.layers.MultiHeadAttention):
        query, value = given["query"], given["value"]
        heads = groups = layer.num_heads
        key_width, value_width = layer.key_dim, layer.value_dim or layer.key_dim
        axes = layer.get_config()["attention_axes"] or tuple(range(1, len(query.shape) - 1))
    elif isinstance(layer, keras.layers.GroupQueryAttention):  # some heads share keys and values
        query, value = given["query"], given["value"]
        heads, groups = layer.num_query_heads, layer.num_key_value_heads
        key_width = value_width = layer.head_dim
    else:  # without heads
        query, value = given["inputs"][:2]
        heads = groups = 1
        key_width, value_width = query.shape[-1], value.shape[-1]
    queries, keys = (math.prod(each.shape[axis] for axis in axes) for each in (query, value))
    apart = math.prod(query.shape[1:-1]) // queries  # positions on axes over which no attention runs
    num_inputs = queries * heads * key_width + keys * groups * (key_width + value_width)
    return Work(
        layer,
        apart * queries * keys * heads * (key_width + value_width),
        apart * num_inputs,
        apart * queries * heads * value_width,
    )


def _kernels(layer):
    """Variables of a layer that are multiplied with its inputs."""
    names = ("kernel", "depthwise_kernel", "pointwise_kernel")
    return tuple(v for v in layer.weights if v.name in names)


def _positions(layer: keras.layers.Layer, kernel_shape: tuple, inputs: Tensor, outputs: Tensor) -> int:
    """Count the positions of one example to which a kernel is applied; each position uses each weight once."""
    if isinstance(layer, _TRANSPOSED):
        return _size(inputs) // kernel_shape[-1]  # (…, filters, channels of the input)
    if isinstance(layer, keras.layers.EinsumDense):
        _, kernel, output = layer.equation.replace("->", ",").split(",")
        made = math.prod(side for axis, side in zip(kernel, kernel_shape, strict=True) if axis in output)
        return _size(outputs) // made
    if isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        return _size(outputs) // math.prod(kernel_shape[-2:])
    return _size(outputs) // kernel_shape[-1]


def _tensors(structure):
    return [
        leaf for leaf in keras.tree.flatten(structure) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    ]


def _example(model, x):
    """Make one example of the model's inputs: the first of `x`, or zeros."""
    if not getattr(model, "built", False):
        refuse("energy_bill.model", "be built", f"{model!r}", "Give the model a keras.Input or call it once")
    if x is not None:
        return keras.tree.map_structure(lambda batch: keras.ops.convert_to_tensor(batch[:1]), x)
    if not hasattr(model, "inputs"):
        refuse("energy_bill.model", "know the shape of its inputs", f"{model.name}", "Give a batch as x")
    given = model.inputs[0] if isinstance(model, keras.Sequential) else model.input

    def zeros(tensor):
        if None in tensor.shape[1:]:
            received = f"inputs of shape {tuple(tensor.shape)}"
            refuse("energy_bill.model", "take examples of one known shape", received, "Give a batch as x")
        return keras.ops.zeros((1, *tensor.shape[1:]), dtype=tensor.dtype)

    return keras.tree.map_structure(zeros, given)
