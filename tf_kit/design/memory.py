"""Memory: the bytes needed to train a network, counted before it runs (topic 15).

During an update, memory holds the minibatch, the weights, the activations of the forward pass (until the
backward pass has used them), the gradients, and the optimizer's slots (the numbers it keeps for each weight).
`memory_bill` counts them, layer by layer, for any Keras model.

The number of activations depends on which arrays are counted. For ResNet-50 on one image of 224 × 224:

    outputs of all layers                                               37.0 M
    … without those that can be written over their input                16.3 M

The second number is the slide's "16 million activations in the forward pass": convolutions, residual sums,
pools and the last layer, 10.59 + 5.52 + 0.20 + 0.00 M. Batch normalization, activation functions and padding
need no array when they are fused with the neighboring convolution. The backward pass reads a number between
the two: TensorFlow keeps 21.0 M, the inputs of batch normalization as well as the outputs of ReLU.

Slide: "26 million weight parameters, 16 million activations in the forward pass", "168MB memory" is
(26 + 16) M × 4 bytes: the weights and the forward activations of one example. Training also holds a gradient
for each weight and, with Adam, two more numbers, and the activations of every example of the minibatch. At a
minibatch of 32 with Adam the same network takes 2.5 GB.

Reference: He, Zhang, Ren, Sun, 2016, Deep residual learning for image recognition, table 1, arXiv:1512.03385;
Chen, Xu, Zhang, Guestrin, 2016, Training deep nets with sublinear memory cost, section 3 (in-place operations),
arXiv:1604.06174.
"""

import dataclasses
import math

import keras
import numpy as np

from tf_kit.checks import count, refuse
from tf_kit.networks.inspection import observed_calls
from tf_kit.typing import ArrayLike

# Named, not imported: the classes of the operations in keras.ops are not public.
_PADDING = {"ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Pad"}
_VIEWS = {"Flatten", "Reshape", "ExpandDims", "Squeeze"}


@dataclasses.dataclass(frozen=True)
class LayerBill:
    """Entry of a `MemoryBill` for one layer; weights shared by several calls are counted at the first.

    Attributes:
        name: name of the layer or operation.
        weights_bytes: bytes of the weights that no earlier entry counts.
        activations_bytes: bytes of the arrays that the layer writes.
        outputs_bytes: bytes of its outputs, whether or not they need an array.
    """

    name: str
    weights_bytes: int
    activations_bytes: int
    outputs_bytes: int


@dataclasses.dataclass(frozen=True)
class MemoryBill:
    """Bytes held at the same time during training; the result of `memory_bill`, printed as a table by `str`.

    Attributes:
        batch_size: examples per minibatch.
        num_weights: number of weights.
        num_activations: number of activations for one example.
        weights_bytes, gradients_bytes, slots_bytes, inputs_bytes, activations_bytes: the five parts.
        outputs_bytes: the activations if every layer kept its output, an upper bound.
        layers: one `LayerBill` per layer, in the order of the forward pass.
        total_bytes: sum of the five parts.
    """

    batch_size: int
    num_weights: int
    num_activations: int
    weights_bytes: int
    gradients_bytes: int
    slots_bytes: int
    inputs_bytes: int
    activations_bytes: int
    outputs_bytes: int
    layers: tuple[LayerBill, ...]

    @property
    def total_bytes(self) -> int:
        return (
            self.weights_bytes
            + self.gradients_bytes
            + self.slots_bytes
            + self.inputs_bytes
            + self.activations_bytes
        )

    def __str__(self) -> str:
        parts = ("weights", "gradients", "slots", "inputs", "activations", "total")
        lines = [f"{'':<24}{'MB':>12}   minibatch of {self.batch_size}"]
        lines += [f"{part:<24}{getattr(self, part + '_bytes') / 1e6:>12.3f}" for part in parts]
        heaviest = sorted(self.layers, key=lambda layer: -layer.weights_bytes - layer.activations_bytes)[:8]
        lines += ["", f"{'heaviest layers':<24}{'weights':>12}{'activations':>13}"]
        lines += [
            f"{layer.name[:24]:<24}{layer.weights_bytes / 1e6:>12.3f}{layer.activations_bytes / 1e6:>13.3f}"
            for layer in heaviest
        ]
        return "\n".join(lines)


def memory_bill(
    model: keras.Model,
    batch_size: int,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    x: ArrayLike | None = None,
) -> MemoryBill:
    """Bill of memory: the bytes that one training step of a Keras model holds.

    Helps to choose a batch size, an optimizer or a smaller network before memory runs out. Nothing is computed
    and the model does not change: the forward pass is only traced, with its real shapes and dtypes, so shared
    layers, nested models, layers within layers and mixed precision are counted as they run.

        weights     = Σ_v size(v)·bytes(v)            over the variables of the layers              (1)
        gradients   = Σ_v size(v)·bytes(v)            over the trainable ones                       (2)
        slots       = Σ_s size(s)·bytes(s)            over the variables of the optimizer           (3)
        activations = Σ_a size(a)·bytes(a)            over the arrays that the forward pass writes  (4)
        total       = weights + gradients + slots + inputs + activations

    where in (4) a layer writes a new array unless it has one input, no kernel and as many outputs as inputs
    (normalization, activation functions, dropout, reshaping), or only pads. Such layers can work in place
    or fused with their neighbor. `outputs_bytes` includes them; the need of a real backward pass lies between
    the two.

    Args:
        model: built Keras model of any kind.
        batch_size: examples per minibatch, at least 1.
        optimizer: Keras optimizer or its name. None means the one that the model was compiled with; without
            one, no slots are counted. Defaults to None.
        x: batch of inputs of any size, for models that do not know the shape of their inputs. Defaults to
            None, the shapes with which the model was built.

    Returns:
        `MemoryBill`, in bytes.

    Raises:
        ValueError: `batch_size` is not a positive whole number, the model is not built, or the shape of its
            inputs is unknown and `x` is not given.

    Example:
        >>> import keras
        >>> from tf_kit.design import memory_bill
        >>> model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(50), keras.layers.ReLU()])
        >>> bill = memory_bill(model, batch_size=8, optimizer="adam")
        >>> bill.weights_bytes == (100 + 1) * 50 * 4, bill.activations_bytes == 8 * 50 * 4
        (True, True)
        >>> bill.slots_bytes - 2 * bill.weights_bytes  # the step counter and the learning rate
        12

    Convention: 1 MB is 10⁶ bytes. The body of a loop (recurrent layers) is counted once, its outputs in full;
    the scratch memory of kernels is not counted.
    Slide: 168 MB leaves out gradients, slots and the minibatch; see the docstring of this module.
    Reference: Chen, Xu, Zhang, Guestrin, 2016, Training deep nets with sublinear memory cost, section 3,
    arXiv:1604.06174.
    """
    batch_size = count("memory_bill.batch_size", batch_size)
    inputs = _inputs(model, batch_size, x)
    calls = _trace(model, inputs)
    layers = _layer_bills(calls)
    activations = [call for call in calls if not call.in_place]
    return MemoryBill(
        batch_size=batch_size,
        num_weights=sum(math.prod(v.shape) for v in model.weights),
        num_activations=sum(call.size for call in activations) // batch_size,
        weights_bytes=_nbytes(model.weights),  # (1)
        gradients_bytes=_nbytes(model.trainable_weights),  # (2)
        slots_bytes=_nbytes(_slots(model, optimizer)),  # (3)
        inputs_bytes=_nbytes(keras.tree.flatten(inputs)),
        activations_bytes=sum(call.nbytes for call in activations),  # (4)
        outputs_bytes=sum(call.nbytes for call in calls),
        layers=layers,
    )


@dataclasses.dataclass(frozen=True)
class _Call:
    """Arrays that one call of an operation adds to memory."""

    operation: keras.Operation
    size: int
    nbytes: int
    in_place: bool


class _Trace(keras.layers.Layer):
    """Layer around the forward pass of training, to trace its output spec without computing it."""

    def __init__(self, model):
        super().__init__(dtype=model.dtype_policy, autocast=False)
        self.run = lambda inputs: model(inputs, training=True)  # a function: Keras tracks no weights in it

    def call(self, inputs):
        return self.run(inputs)


def _trace(model, inputs):
    """Return the `_Call`s of the forward pass of training; calls within a layer come before that of the layer."""
    calls, seen = [], {}

    def record(operation, args, kwargs, outputs, around):
        # Operations inside a layer, such as ops.pad, belong to that layer and are not recorded.
        within_layer = around and not isinstance(around[-1], keras.Model | _Trace)
        if within_layer and not isinstance(operation, keras.layers.Layer):
            return
        seen.update((id(tensor), tensor) for tensor in _tensors((args, kwargs)))
        kind = type(operation).__name__
        made = [] if kind in _VIEWS else _tensors(outputs)
        # A tensor that was seen before comes from a layer within this one, or is passed through unchanged.
        made = [tensor for tensor in made if id(tensor) not in seen]
        size = sum(math.prod(tensor.shape) for tensor in made)
        read = _tensors((args, kwargs))
        elementwise = len(read) == 1 and math.prod(read[0].shape) == size and not _has_kernel(operation)
        calls.append(_Call(operation, size, _nbytes(made), elementwise or kind in _PADDING))
        seen.update((id(tensor), tensor) for tensor in _tensors(outputs))

    with observed_calls(record):
        _Trace(model).compute_output_spec(inputs)
    return calls


def _tensors(structure):
    return [
        leaf for leaf in keras.tree.flatten(structure) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    ]


def _has_kernel(operation):
    """A kernel of one input and one output, (1, 1), has the shape of a scale; its name tells them apart."""
    return any(
        "kernel" in v.name or sum(side > 1 for side in v.shape) > 1 for v in getattr(operation, "weights", ())
    )


def _layer_bills(calls):
    """Return one entry per layer, in the order of first calls; each weight counts at the innermost layer.

    Weights that no called layer owns count at the model itself, which comes last.
    """
    bills, claimed = {}, set()
    for call in calls:
        own = [v for v in getattr(call.operation, "weights", ()) if id(v) not in claimed]
        claimed.update(map(id, own))
        before = bills.get(id(call.operation), LayerBill(call.operation.name, 0, 0, 0))
        bills[id(call.operation)] = LayerBill(
            before.name,
            before.weights_bytes + _nbytes(own),
            before.activations_bytes + (0 if call.in_place else call.nbytes),
            before.outputs_bytes + call.nbytes,
        )
    return tuple(bill for bill in bills.values() if bill.weights_bytes or bill.outputs_bytes)


def _slots(model, optimizer):
    """Return the variables of the optimizer for this model, of a copy if they do not exist yet."""
    if optimizer is None:
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            return []
        if optimizer.built:
            return optimizer.variables
    optimizer = keras.optimizers.get(optimizer)
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(model.trainable_variables)
    return fresh.variables


def _inputs(model, batch_size, x):
    """Return the structure of inputs as symbolic tensors of `batch_size` examples."""
    if not getattr(model, "built", False):
        refuse("memory_bill.model", "be built", f"{model!r}", "Add a keras.Input or call it once")
    if x is not None:
        given = keras.tree.map_structure(keras.ops.convert_to_tensor, x)
    elif isinstance(model, keras.Sequential):
        given = model.inputs[0]
    elif hasattr(model, "inputs"):
        given = model.input
    else:  # a user-defined class stores the shape for which it was built
        shape = (model.get_build_config() or {}).get("input_shape")
        if not isinstance(shape, list | tuple) or not all(isinstance(side, int | None) for side in shape):
            refuse("memory_bill.model", "know the shape of its inputs", f"{model.name}", "Give a batch as x")
        given = keras.KerasTensor((None, *shape[1:]), dtype=model.variable_dtype)

    def sized(tensor):
        if None in tensor.shape[1:] or (x is None and tensor.shape[0] not in (None, batch_size)):
            refuse(
                "memory_bill.model",
                f"take {batch_size} examples of one known shape",
                f"inputs of shape {tuple(tensor.shape)}",
                "Give a batch as x",
            )
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        return keras.KerasTensor((batch_size, *tensor.shape[1:]), dtype=dtype)

    return keras.tree.map_structure(sized, given)


def _nbytes(tensors):
    return sum(
        math.prod(each.shape) * np.dtype(keras.backend.standardize_dtype(each.dtype)).itemsize
        for each in tensors
    )
