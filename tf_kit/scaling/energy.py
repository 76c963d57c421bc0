"""Energy: joules of a network, estimated from its operations and the bytes it moves, or read from the machine.

A multiply-accumulate costs a picojoule or a few; fetching one of its operands from memory costs a hundred times
as much. So what saves energy is to move fewer bytes: fewer weights, fewer bits, larger minibatches.

The estimate is a lower bound for comparing networks on one imagined chip: processor logic, memory at rest,
leakage, cooling and power supplies are left out, and a real machine spends far more.
`measured_joules` reads what the processor spent, where the machine tells.

Reference: Horowitz, 2014, Computing's energy problem (and what we can do about it), ISSCC, figure 1.1.9;
Sze, Chen, Yang, Emer, 2017, Efficient processing of deep neural networks, section V; Strubell, Ganesh, McCallum,
2019, Energy and policy considerations for deep learning in NLP.
"""

import contextlib
import dataclasses
import math
import time
import warnings
from pathlib import Path

import keras
import numpy as np

from tf_kit.checks import choice, count, number, refuse


@dataclasses.dataclass(frozen=True)
class Constant:
    """A physical constant of the estimate: its value, its unit and where it was published."""

    value: float
    unit: str
    source: str


_HOROWITZ = "Horowitz 2014, figure 1.1.9 (45 nm, 0.9 V)"

CONSTANTS = {
    "float32_add_joules": Constant(0.9e-12, "J", _HOROWITZ),
    "float32_multiply_joules": Constant(3.7e-12, "J", _HOROWITZ),
    "float16_add_joules": Constant(0.4e-12, "J", _HOROWITZ),
    "float16_multiply_joules": Constant(1.1e-12, "J", _HOROWITZ),
    "int8_multiply_joules": Constant(0.2e-12, "J", _HOROWITZ),
    "int32_add_joules": Constant(0.1e-12, "J", _HOROWITZ),
    "dram_joules_per_byte": Constant(
        1.3e-9 / 8, "J/byte", f"{_HOROWITZ}: 1.3 nJ for 64 bits, the lower end of 1.3 to 2.6"
    ),
    "carbon_intensity": Constant(
        480.0, "g CO2/kWh", "Ember, Global Electricity Review 2024: mean of the world's electricity in 2023"
    ),
    "kilowatt_hour_joules": Constant(3.6e6, "J/kWh", "definition"),
}
"""Every constant of `energy_bill`, by name: value, unit, source."""

# What a multiply-accumulate is made of. bfloat16 has a smaller multiplier than float16; it is billed as float16.
_ADD_AND_MULTIPLY = {
    "float32": ("float32_add_joules", "float32_multiply_joules"),
    "float16": ("float16_add_joules", "float16_multiply_joules"),
    "bfloat16": ("float16_add_joules", "float16_multiply_joules"),
    "int8": ("int32_add_joules", "int8_multiply_joules"),
}
_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


@dataclasses.dataclass(frozen=True)
class LayerEnergy:
    """One layer's part of an `EnergyBill`, for all its examples and steps; a layer called twice stands twice."""

    name: str
    flops: int
    moved_bytes: float
    compute_joules: float
    memory_joules: float

    @property
    def total_joules(self):
        return self.compute_joules + self.memory_joules


@dataclasses.dataclass(frozen=True)
class EnergyBill:
    """Operations, bytes, joules and CO2 of a network; made by `energy_bill`, printed as a table by `str`.

    Attributes:
        layers: one `LayerEnergy` for each call of a layer that multiplies or looks up.
        carbon_intensity: grams of CO2 for a kilowatt-hour.
        uncounted: paths of weights whose layers the bill does not know.
        total_flops, moved_bytes, compute_joules, memory_joules, total_joules: sums over the layers. A
            multiply-accumulate is two floating-point operations.
        co2_grams: carbon dioxide of `total_joules`.
    """

    layers: tuple[LayerEnergy, ...]
    carbon_intensity: float
    uncounted: tuple[str, ...] = ()

    @property
    def total_flops(self):
        return sum(layer.flops for layer in self.layers)

    @property
    def moved_bytes(self):
        return sum(layer.moved_bytes for layer in self.layers)

    @property
    def compute_joules(self):
        return sum(layer.compute_joules for layer in self.layers)

    @property
    def memory_joules(self):
        return sum(layer.memory_joules for layer in self.layers)

    @property
    def total_joules(self):
        return self.compute_joules + self.memory_joules

    @property
    def co2_grams(self):
        return self.total_joules / CONSTANTS["kilowatt_hour_joules"].value * self.carbon_intensity  # (5)

    def __str__(self):
        lines = [f"{'':<24}{'MFLOP':>12}{'MB moved':>12}{'µJ compute':>12}{'µJ memory':>12}"]
        for name, part in [*((layer.name, layer) for layer in self.layers), ("total", self)]:
            flops = part.total_flops if part is self else part.flops
            lines.append(
                f"{name[:24]:<24}{flops / 1e6:>12.3f}{part.moved_bytes / 1e6:>12.3f}"
                f"{part.compute_joules * 1e6:>12.3f}{part.memory_joules * 1e6:>12.3f}"
            )
        lines += ["", f"{self.total_joules:.3g} J, {self.co2_grams:.3g} g CO2"]
        return "\n".join([*lines, *(f"not counted: {path}" for path in self.uncounted)])


def energy_bill(
    model,
    batch_size: int,
    num_steps: int = 1,
    training: bool = True,
    num_slots: int = 2,
    skip_zeros: bool = False,
    arithmetic: str | None = None,
    carbon_intensity: float | None = None,
    constants: dict | None = None,
    x=None,
) -> EnergyBill:
    """Estimates the energy of training a network, or of using it, from operations and bytes.

    For comparing networks, batch sizes and number formats before anything is run; see the head of this file for
    what the estimate leaves out. One example goes through the model to see the shapes of its layers.

        C     = Σ_kernels positions · #weights                 multiply-accumulates an example     (1)
        bytes = P (weights + n (inputs + outputs)) + update    for each layer and step             (2)
        E     = steps · (P n C (e_add + e_multiply) + bytes · e_dram)                              (3)
        P     = 1 forward; 3 in training: forward, gradient of the inputs, gradient of the weights (4)
        CO2   = E / 3.6 MJ · carbon intensity                                                      (5)

    where n = `batch_size`, positions are the places where a kernel is applied, and update = 3 weights + 2 slots ·
    weights: read gradient and weight, write the weight, read and write each slot. In each product a layer's
    weights, inputs and outputs (or their gradients) cross the memory once; activation functions, normalization,
    pooling and sums are taken to be fused with it and cost nothing. P = 2 for a layer that is not trainable.

    Args:
        model: a built Keras model. Dense layers, convolutions (also depthwise, separable, transposed),
            `EinsumDense`, attention and embeddings are counted.
        batch_size: n, examples in a minibatch.
        num_steps: how many minibatches. Defaults to 1.
        training: whether the network is trained, or only used. Defaults to True.
        num_slots: numbers the optimizer keeps of each weight: 0 for SGD, 1 with momentum, 2 for Adam.
            Defaults to 2.
        skip_zeros: whether the chip skips weights that are zero and reads pruned kernels in the form that
            their file has. Ordinary processors do not. Defaults to False.
        arithmetic: number format of products and activations, "float32", "float16", "bfloat16" or "int8" (with
            sums in 32 bits); None takes the compute dtype of each layer. Defaults to None.
        carbon_intensity: grams of CO2 for a kilowatt-hour. Defaults to the world's mean in `CONSTANTS`.
        constants: other values for names in `CONSTANTS`, for another chip, as {"dram_joules_per_byte": 5e-11}.
        x: a batch of inputs, for models that do not know the shape of their inputs.

    Returns: `EnergyBill`.

    Raises:
        ValueError: when an argument is outside its range, when the model is not built, or when the shape of its
            inputs is open and `x` is not given.

    Example:
        >>> import keras
        >>> from tf_kit.scaling import energy_bill
        >>> model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(50)])
        >>> bill = energy_bill(model, batch_size=8, training=False)
        >>> bill.total_flops == 8 * 2 * 100 * 50, bill.moved_bytes == 4 * (101 * 50 + 8 * (100 + 50))
        (True, True)
        >>> round(bill.memory_joules / bill.compute_joules, 1)
        22.1

    Convention: the rule of thumb that training costs three times the forward pass is equation (4).
    Reference: Horowitz, 2014, figure 1.1.9; Sze et al., 2017, section V.A.
    """
    n = count("energy_bill.batch_size", batch_size)
    num_steps = count("energy_bill.num_steps", num_steps)
    num_slots = count("energy_bill.num_slots", num_slots, at_least=0)
    if arithmetic is not None:
        choice("energy_bill.arithmetic", arithmetic, tuple(_ADD_AND_MULTIPLY))
    joules = _values(constants)
    if carbon_intensity is None:
        carbon_intensity = joules["carbon_intensity"]
    carbon_intensity = number("energy_bill.carbon_intensity", carbon_intensity, at_least=0)

    layers, updated = [], set()
    works, uncounted = _works(model, x)
    for work in works:
        dtype = arithmetic or work.layer.compute_dtype
        if dtype not in _ADD_AND_MULTIPLY:
            remedy = 'Give arithmetic="float32"'
            refuse("energy_bill.model", "compute in float32 or less", f"{work.layer.name} in {dtype}", remedy)
        passes = 1 if not training else 3 if work.learns else 2  # (4)
        multiplied = num_steps * passes * n * work.multiply_accumulates
        multiplied *= work.nonzero_fraction if skip_zeros else 1
        weights_bytes = work.weights_bytes(skip_zeros)
        update_bytes = 0
        if training and work.learns and id(work.layer) not in updated:
            update_bytes = (3 + 2 * num_slots) * weights_bytes
            updated.add(id(work.layer))
        activations_bytes = n * (work.num_inputs + work.num_outputs) * _ITEM_BYTES[dtype]
        moved_bytes = num_steps * (passes * (weights_bytes + activations_bytes) + update_bytes)  # (2)
        add, multiply = (joules[name] for name in _ADD_AND_MULTIPLY[dtype])
        layers.append(
            LayerEnergy(
                name=work.layer.name,
                flops=round(2 * multiplied),
                moved_bytes=moved_bytes,
                compute_joules=multiplied * (add + multiply),  # (3)
                memory_joules=moved_bytes * joules["dram_joules_per_byte"],
            )
        )
    if uncounted:
        warnings.warn(f"energy_bill does not know the layers of {', '.join(uncounted)}", stacklevel=2)
    return EnergyBill(tuple(layers), carbon_intensity, uncounted)


def _values(constants):
    values = {name: constant.value for name, constant in CONSTANTS.items()}
    for name, value in (constants or {}).items():
        choice("energy_bill.constants", name, tuple(values))
        values[name] = number(f"energy_bill.constants[{name!r}]", value, at_least=0)
    return values


@dataclasses.dataclass(frozen=True)
class _Work:
    """What one call of a layer does for one example."""

    layer: keras.layers.Layer
    multiply_accumulates: int
    num_inputs: int
    num_outputs: int
    kernels: tuple = ()

    @property
    def learns(self):
        """Whether a gradient is taken of a second operand: a trainable kernel, or another activation."""
        return not self.kernels or any(kernel.trainable for kernel in self.kernels)

    @property
    def nonzero_fraction(self):
        if not self.kernels:
            return 1.0
        values = [keras.ops.convert_to_numpy(kernel) for kernel in self.kernels]
        return int(sum(map(np.count_nonzero, values))) / sum(value.size for value in values)

    def weights_bytes(self, skip_zeros):
        """Bytes of the kernels as they lie in memory, and of biases and scales."""
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


def _works(model, x):
    """The `_Work` of each call in a forward pass of one example, and the paths of weights that none of them has."""
    works, running = [], []

    def call(layer, *args, **kwargs):
        running.append(layer)
        try:
            outputs = original(layer, *args, **kwargs)
        finally:
            running.pop()
        # A layer that is known does the work of the layers within it.
        if not any(_is_known(outer) for outer in running):
            works.extend(_work(layer, args, kwargs, outputs))
        return outputs

    example = _example(model, x)
    original = keras.layers.Layer.__call__
    keras.layers.Layer.__call__ = call  # Keras has no hook for calls
    try:
        model(example, training=False)
    finally:
        keras.layers.Layer.__call__ = original
    known = {id(v) for work in works for v in work.layer.weights}
    uncounted = [
        v.path for v in model.weights if sum(side > 1 for side in v.shape) > 1 and id(v) not in known
    ]
    return works, tuple(uncounted)


_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
_KNOWN = (keras.layers.Dense, keras.layers.EinsumDense, *_CONVOLUTIONS, *_SEPARABLE, *_TRANSPOSED)


def _is_known(layer):
    return isinstance(layer, (*_KNOWN, keras.layers.Embedding)) or _is_matrix(layer)


def _is_matrix(layer):
    """A layer of one's own whose only matrix is a kernel (inputs, units), as a dense layer has."""
    matrices = [v.name for v in getattr(layer, "weights", ()) if len(v.shape) > 1]
    return matrices == ["kernel"] and len(getattr(getattr(layer, "kernel", None), "shape", ())) == 2


def _work(layer, args, kwargs, outputs):
    inputs, outputs = _tensors((args, kwargs)), _tensors(outputs)
    if not inputs or not outputs:
        return
    num_inputs, num_outputs = _size(inputs[0]), _size(outputs[0])
    if isinstance(layer, keras.layers.Embedding):  # a look-up: rows are read and written, nothing multiplied
        yield _Work(layer, 0, num_outputs, num_outputs)
    elif isinstance(layer, keras.layers.MultiHeadAttention):  # its projections are layers of their own
        queries, keys = inputs[0].shape[1], inputs[1].shape[1]
        key_width = layer.num_heads * layer.key_dim
        value_width = layer.num_heads * (layer.value_dim or layer.key_dim)
        num_inputs = queries * key_width + keys * (key_width + value_width)
        yield _Work(layer, queries * keys * (key_width + value_width), num_inputs, queries * value_width)
    elif _is_known(layer):
        kernels = _kernels(layer)
        positions = _positions(layer, kernels[-1].shape, inputs[0], outputs[0])
        multiply_accumulates = sum(positions * _size(kernel) for kernel in kernels)  # (1)
        yield _Work(layer, multiply_accumulates, num_inputs, num_outputs, kernels)


def _kernels(layer):
    """The variables of a layer that it multiplies with its inputs."""
    names = ("kernel", "depthwise_kernel", "pointwise_kernel")
    return tuple(v for v in layer.weights if v.name in names)


def _positions(layer, kernel_shape, inputs, outputs):
    """How many places of one example a kernel is applied to: each of its weights is used once at each."""
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
    """One example of the model's inputs."""
    if not getattr(model, "built", False):
        refuse("energy_bill.model", "be built", f"{model!r}", "Give it a keras.Input or call it once")
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


@dataclasses.dataclass
class Measurement:
    """What `measured_joules` read; filled in when its block ends.

    Attributes:
        total_joules: energy of processors and memory, or None where the machine does not tell.
        domain_joules: the same by counter, such as {"package-0": 12.3, "dram": 1.4}.
        seconds: duration of the block.
        reason: why there is no number, or "".
    """

    total_joules: float | None = None
    domain_joules: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""

    def __str__(self):
        if self.total_joules is None:
            return f"energy not measured: {self.reason}"
        return f"{self.total_joules:.3g} J in {self.seconds:.3g} s"


@contextlib.contextmanager
def measured_joules(powercap: str | Path = "/sys/class/powercap"):
    """Reads the energy counters of the processor around a block of code.

    The counters (RAPL, running average power limit) count all that the processors and, where they have a
    counter, the memory modules spent, whoever used them; GPUs are not among them. They exist on Linux on Intel
    and AMD processors, seldom within virtual machines, and often only the administrator may read them.

        E = Σ_domains (c_end − c_start) mod range                        (1)

    where c are the counters in microjoules, which start again at 0 after `range`: blocks longer than that
    (half an hour at full power) are counted short.

    Args:
        powercap: folder of the counters. Defaults to that of Linux.

    Returns: a context manager that gives a `Measurement`. Where the machine does not tell, its `total_joules` is
        None and its `reason` says why; nothing is raised.

    Example:
        >>> from tf_kit.scaling import measured_joules
        >>> with measured_joules("/no/such/folder") as measured:
        ...     pass
        >>> print(measured)
        energy not measured: /no/such/folder has no RAPL counters (intel-rapl:*)

    Reference: Linux kernel documentation, Power Capping Framework; Khan et al., 2018, RAPL in action.
    """
    measurement = Measurement()
    counters = {}
    try:
        counters = _counters(Path(powercap))
        before = {name: _read(counter / "energy_uj") for name, counter in counters.items()}
    except OSError as error:
        measurement.reason = f"{error.filename} cannot be read ({error.strerror})"
    if not counters and not measurement.reason:
        measurement.reason = f"{powercap} has no RAPL counters (intel-rapl:*)"
    began = time.perf_counter()
    try:
        yield measurement
    finally:
        measurement.seconds = time.perf_counter() - began
        if not measurement.reason:
            for name, counter in counters.items():
                spent = _read(counter / "energy_uj") - before[name]
                if spent < 0:
                    spent += _read(counter / "max_energy_range_uj")
                measurement.domain_joules[name] = spent / 1e6  # (1)
            measurement.total_joules = sum(measurement.domain_joules.values())


def _counters(powercap):
    """The zones that add up: whole packages, and memory, which is not part of them."""
    found = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):  # intel-rapl-mmio shows the same packages again
        name = (zone / "name").read_text().strip()
        if name.startswith("package") or name == "dram":
            found[name if name not in found else f"{name} ({zone.name})"] = zone
    return found


def _read(path):
    return int(path.read_text())
