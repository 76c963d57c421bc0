"""Memory: what training a network takes, counted before it is run (topic 15).

Five things lie in memory during an update: the minibatch, the weights, the activations of the forward pass
(kept until the backward pass has used them), the gradients, and what the optimizer remembers of each weight.
`memory_bill` counts them, layer by layer, for any Keras model.

How many activations a network has depends on what is counted. For ResNet-50 on one image of 224 × 224:

    outputs of all layers                                               37.0 M
    … without those that can be written over their input                16.3 M

The second is the slide's "16 million activations in the forward pass": convolutions, residual sums, pools and
the last layer, 10.59 + 5.52 + 0.20 + 0.00 M. Batch normalization, activation functions and padding write no
array of their own when they are fused with the convolution beside them. What a backward pass reads lies
between the two: TensorFlow keeps 21.0 M, the inputs of batch normalization as well as the outputs of ReLU.

Slide: "26 million weight parameters, 16 million activations, 168MB (assuming 32-bit float)" is
(26 + 16) M × 4 bytes: the weights and the forward activations of one example. Training also holds a gradient
for each weight and, with Adam, two more numbers, and the activations of every example of the minibatch. At a
minibatch of 32 with Adam the same network takes 2.5 GB.

Reference: He, Zhang, Ren, Sun, 2016, Deep residual learning for image recognition, table 1; Chen, Xu, Zhang,
Guestrin, 2016, Training deep nets with sublinear memory cost, section 3 (in-place operations).
"""

import contextlib
import dataclasses
import math

import keras
import numpy as np

from tf_kit._checks import count, refuse

# By name: the operations behind keras.ops are no public classes.
_PADDING = {"ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Pad"}
_VIEWS = {"Flatten", "Reshape", "ExpandDims", "Squeeze"}


@dataclasses.dataclass(frozen=True)
class LayerBill:
    """One layer's part of a `MemoryBill`; weights shared by several calls stand at the first."""

    name: str
    weights_bytes: int
    activations_bytes: int
    outputs_bytes: int


@dataclasses.dataclass(frozen=True)
class MemoryBill:
    """Bytes that training holds at once; made by `memory_bill`, printed as a table by `str`.

    Attributes:
        batch_size: examples in a minibatch.
        num_weights, num_activations: how many numbers; activations of one example.
        weights_bytes, gradients_bytes, slots_bytes, inputs_bytes, activations_bytes: the five parts.
        outputs_bytes: the activations if every layer kept its own output, an upper bound.
        layers: one `LayerBill` a layer, in the order of the forward pass.
        total_bytes: the sum of the five parts.
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
    def total_bytes(self):
        return (
            self.weights_bytes
            + self.gradients_bytes
            + self.slots_bytes
            + self.inputs_bytes
            + self.activations_bytes
        )

    def __str__(self):
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


def memory_bill(model, batch_size: int, optimizer=None, x=None) -> MemoryBill:
    """Bill of memory: the bytes that one training step of a Keras model holds.

    For choosing a batch size, an optimizer or a smaller network before memory runs out. Nothing is computed
    and nothing of the model changes: the forward pass is only traced, at its real shapes and dtypes, so
    shared layers, nested models, layers within layers and mixed precision are counted as they run.

        weights     = Σ_v size(v)·bytes(v)            over the variables of the layers              (1)
        gradients   = Σ_v size(v)·bytes(v)            over the trainable ones                       (2)
        slots       = Σ_s size(s)·bytes(s)            over the variables of the optimizer           (3)
        activations = Σ_a size(a)·bytes(a)            over the arrays that the forward pass writes  (4)
        total       = weights + gradients + slots + inputs + activations

    where in (4) a layer writes a new array unless it has one input, no kernel and as many outputs as inputs
    (normalization, activation functions, dropout, reshaping), or only pads. Such layers can work in place
    or fused with their neighbor. `outputs_bytes` counts these too; a real backward pass lies between.

    Args:
        model: a built Keras model of any kind.
        batch_size: examples in a minibatch, at least 1.
        optimizer: a Keras optimizer or its name; None takes the one the model was compiled with, or leaves
            slots out where there is none. Defaults to None.
        x: a batch of inputs of any size, for models that do not know the shape of their inputs.

    Returns:
        `MemoryBill`, in bytes.

    Raises:
        ValueError: when `batch_size` is not a positive whole number, when the model is not built, or when
            the shape of its inputs is open and `x` is not given.

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
    what a kernel needs while it runs is not counted.
    Slide: 168 MB leaves out gradients, slots and the minibatch; see the head of this file.
    Reference: Chen, Xu, Zhang, Guestrin, 2016, Training deep nets with sublinear memory cost, section 3.
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
    """What one call of an operation added to memory."""

    operation: keras.Operation
    size: int
    nbytes: int
    in_place: bool


class _Trace(keras.layers.Layer):
    """The forward pass of training as a layer of its own: its output spec is traced, never computed."""

    def __init__(self, model):
        super().__init__(dtype=model.dtype_policy, autocast=False)
        self.run = lambda inputs: model(inputs, training=True)  # as a function: its weights are not ours

    def call(self, inputs):
        return self.run(inputs)


def _trace(model, inputs):
    """The `_Call`s of the forward pass of training, those within a layer before the layer's own."""
    calls, seen = [], {}

    def record(operation, args, kwargs, outputs):
        kind = type(operation).__name__
        made = [] if kind in _VIEWS else _tensors(outputs)
        # A tensor that was seen before was made by a layer within this one, or is handed through.
        made = [tensor for tensor in made if id(tensor) not in seen]
        size = sum(math.prod(tensor.shape) for tensor in made)
        read = _tensors((args, kwargs))
        elementwise = len(read) == 1 and math.prod(read[0].shape) == size and not _has_kernel(operation)
        calls.append(_Call(operation, size, _nbytes(made), elementwise or kind in _PADDING))
        seen.update((id(tensor), tensor) for tensor in _tensors(outputs))

    with _recorded_calls(record, seen):
        _Trace(model).compute_output_spec(inputs)
    return calls


@contextlib.contextmanager
def _recorded_calls(record, seen):
    """Keras has no hook for calls; every layer and operation passes through `Operation.__call__`."""
    original = keras.Operation.__call__
    running = []

    def call(operation, *args, **kwargs):
        # A layer may be written with operations such as ops.pad: those are its own affair.
        within_layer = running and not isinstance(running[-1], keras.Model | _Trace)
        if within_layer and not isinstance(operation, keras.layers.Layer):
            return original(operation, *args, **kwargs)
        seen.update((id(tensor), tensor) for tensor in _tensors((args, kwargs)))
        running.append(operation)
        outputs = original(operation, *args, **kwargs)
        running.pop()
        record(operation, args, kwargs, outputs)
        return outputs

    keras.Operation.__call__ = call
    try:
        yield
    finally:
        keras.Operation.__call__ = original


def _tensors(structure):
    return [
        leaf for leaf in keras.tree.flatten(structure) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    ]


def _has_kernel(operation):
    return any(sum(side > 1 for side in v.shape) > 1 for v in getattr(operation, "weights", ()))


def _layer_bills(calls):
    """One line a layer, in the order of its first call; each weight stands with the innermost layer.

    What no called layer owns stands with the model itself, which comes last.
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
    """The variables of the optimizer for this model; made for the count where they do not exist yet."""
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
    """The structure of inputs as symbolic tensors of `batch_size` examples."""
    if not getattr(model, "built", False):
        refuse("memory_bill.model", "be built", f"{model!r}", "Give it a keras.Input or call it once")
    if x is not None:
        given = keras.tree.map_structure(keras.ops.convert_to_tensor, x)
    elif isinstance(model, keras.Sequential):
        given = model.inputs[0]
    elif hasattr(model, "inputs"):
        given = model.input
    else:  # a class of the user's own remembers the shape that it was built for
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
