"""Energy: joules of a network, estimated from its operations and the bytes that it moves.

A multiply-accumulate of floats takes one to five picojoules; fetching one of its operands from memory takes a hundred
times as much. Energy is therefore saved by moving fewer bytes: fewer weights, fewer bits, larger minibatches.

The estimate is a lower bound, for comparing networks on one idealized chip: it leaves out processor logic, idle
memory, leakage, cooling and power supplies, and a real machine needs far more. `measured_joules` reads the counters
of a real processor.

Reference: Horowitz, 2014, Computing's energy problem (and what we can do about it), ISSCC, figure 1.1.9,
doi:10.1109/ISSCC.2014.6757323; Sze, Chen, Yang, Emer, 2017, Efficient processing of deep neural networks, section V,
arXiv:1703.09039; Strubell, Ganesh, McCallum, 2019, Energy and policy considerations for deep learning in NLP,
arXiv:1906.02243.
"""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import keras

from tf_kit.checks import choice, count, number, refuse
from tf_kit.scaling import operations


@dataclasses.dataclass(frozen=True)
class Constant:
    """Physical constant of the estimate: its value, its unit and its source."""

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
"""Constants of `energy_bill` by name: value, unit, source."""

# Parts of a multiply-accumulate. bfloat16 has a smaller multiplier than float16, but is counted as float16.
_ADD_AND_MULTIPLY = {
    "float32": ("float32_add_joules", "float32_multiply_joules"),
    "float16": ("float16_add_joules", "float16_multiply_joules"),
    "bfloat16": ("float16_add_joules", "float16_multiply_joules"),
    "int8": ("int32_add_joules", "int8_multiply_joules"),
}
_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}


@dataclasses.dataclass(frozen=True)
class LayerEnergy:
    """Entry of an `EnergyBill` for one call of a layer, for all examples and steps."""

    name: str
    flops: int
    moved_bytes: float
    compute_joules: float
    memory_joules: float

    @property
    def total_joules(self) -> float:
        return self.compute_joules + self.memory_joules


@dataclasses.dataclass(frozen=True)
class EnergyBill:
    """Operations, bytes, joules and CO2 of a network; the result of `energy_bill`, printed as a table by `str`.

    Attributes:
        layers: one `LayerEnergy` for each call of a layer that multiplies or looks up.
        carbon_intensity: grams of CO2 per kilowatt-hour.
        uncounted: paths of weights in layers whose operations cannot be counted.
        total_flops, moved_bytes, compute_joules, memory_joules, total_joules: sums over the layers. A
            multiply-accumulate is two floating-point operations.
        co2_grams: carbon dioxide for `total_joules`.
    """

    layers: tuple[LayerEnergy, ...]
    carbon_intensity: float
    uncounted: tuple[str, ...] = ()

    @property
    def total_flops(self) -> int:
        return sum(layer.flops for layer in self.layers)

    @property
    def moved_bytes(self) -> float:
        return sum(layer.moved_bytes for layer in self.layers)

    @property
    def compute_joules(self) -> float:
        return sum(layer.compute_joules for layer in self.layers)

    @property
    def memory_joules(self) -> float:
        return sum(layer.memory_joules for layer in self.layers)

    @property
    def total_joules(self) -> float:
        return self.compute_joules + self.memory_joules

    @property
    def co2_grams(self) -> float:
        return self.total_joules / CONSTANTS["kilowatt_hour_joules"].value * self.carbon_intensity  # (5)

    def __str__(self) -> str:
        lines = [f"{'':<24}{'MFLOP':>12}{'MB moved':>12}{'µJ compute':>12}{'µJ memory':>12}"]
        parts: list[tuple[str, Any]] = [(layer.name, layer) for layer in self.layers]
        for name, part in [*parts, ("total", self)]:
            flops = part.total_flops if part is self else part.flops
            lines.append(
                f"{name[:24]:<24}{flops / 1e6:>12.3f}{part.moved_bytes / 1e6:>12.3f}"
                f"{part.compute_joules * 1e6:>12.3f}{part.memory_joules * 1e6:>12.3f}"
            )
        lines += ["", f"{self.total_joules:.3g} J, {self.co2_grams:.3g} g CO2"]
        return "\n".join([*lines, *(f"not counted: {path}" for path in self.uncounted)])


def energy_bill(
    model: keras.Model,
    batch_size: int,
    num_steps: int = 1,
    training: bool = True,
    num_slots: int = 2,
    skip_zeros: bool = False,
    arithmetic: str | None = None,
    carbon_intensity: float | None = None,
    constants: Mapping[str, float] | None = None,
    x: Any = None,
) -> EnergyBill:
    """Estimate the energy of training or using a network, from its operations and the bytes that it moves.

    For comparing networks, batch sizes and number formats before training; the docstring of the module lists what
    the estimate leaves out. One example passes through the model, to find the shapes of its layers.

        C     = Σ_kernels positions · #weights                 multiply-accumulates per example    (1)
        bytes = P (weights + n (inputs + outputs)) + update    per layer and step                  (2)
        E     = steps · (P n C (e_add + e_multiply) + bytes · e_dram)                              (3)
        P     = 1 forward; 3 in training: forward, gradient of the inputs, gradient of the weights (4)
        CO2   = E / 3.6 MJ · carbon intensity                                                      (5)

    where n = `batch_size`, positions are the places where a kernel is applied, and update = 3 weights + 2 slots ·
    weights: read gradient and weight, write the weight, read and write each slot. In each product the weights,
    inputs and outputs of a layer (or their gradients) are transferred from or to memory once; activation functions,
    normalization, pooling and sums are assumed to be fused with it and cost nothing. P = 2 for a layer that is not
    trainable.

    Args:
        model: built Keras model. Dense layers, convolutions (also depthwise, separable, transposed),
            `EinsumDense`, attention and embeddings are counted; an embedding moves the rows that are looked up, and
            the update of its table is left out.
        batch_size: n, examples per minibatch, at least 1.
        num_steps: number of minibatches, at least 1. Defaults to 1.
        training: True for training the network, False for using it. Defaults to True.
        num_slots: numbers that the optimizer keeps for each weight: 0 for SGD, 1 with momentum, 2 for Adam.
            Defaults to 2.
        skip_zeros: whether the chip skips weights that are zero and reads pruned kernels in the format of their
            file, as ordinary processors do not. Defaults to False.
        arithmetic: number format of products and activations, "float32", "float16", "bfloat16" or "int8" (with
            sums in 32 bits); None means the compute dtype of each layer. Defaults to None.
        carbon_intensity: grams of CO2 per kilowatt-hour, at least 0. Defaults to the world mean in `CONSTANTS`.
        constants: other values for names in `CONSTANTS`, for another chip, such as {"dram_joules_per_byte": 5e-11}.
            Defaults to None.
        x: batch of inputs, for models that do not know the shape of their inputs. Defaults to None.

    Returns:
        `EnergyBill`.

    Raises:
        ValueError: an argument is outside its range, the model is not built, or the shape of its inputs is unknown
            and `x` is None.

    Example:
        >>> import keras
        >>> from tf_kit.scaling import energy_bill
        >>> model = keras.Sequential([keras.Input((100,)), keras.layers.Dense(50)])
        >>> bill = energy_bill(model, batch_size=8, training=False)
        >>> bill.total_flops == 8 * 2 * 100 * 50, bill.moved_bytes == 4 * (101 * 50 + 8 * (100 + 50))
        (True, True)
        >>> round(bill.memory_joules / bill.compute_joules, 1)
        22.1

    Convention: equation (4) is the rule of thumb that training takes three times the forward pass.
    Reference: Horowitz, 2014, figure 1.1.9, doi:10.1109/ISSCC.2014.6757323; Sze et al., 2017, section V.A,
    arXiv:1703.09039.
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
    works, uncounted = operations.works(model, x)
    for work in works:
        dtype = arithmetic or work.layer.compute_dtype
        if dtype not in _ADD_AND_MULTIPLY:
            remedy = 'Give arithmetic="float32"'
            refuse("energy_bill.model", "compute in float32 or less", f"{work.layer.name} in {dtype}", remedy)
        passes = 1 if not training else 3 if work.learns else 2  # (4)
        multiplied: float = num_steps * passes * n * work.multiply_accumulates
        multiplied *= work.nonzero_fraction if skip_zeros else 1
        weights_bytes = work.weights_bytes(skip_zeros)
        update_bytes: float = 0
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
        listed = ", ".join(uncounted)
        warnings.warn(
            f"energy_bill does not know the layers of {listed} and does not count them", stacklevel=2
        )
    return EnergyBill(tuple(layers), carbon_intensity, uncounted)


def _values(constants):
    values = {name: constant.value for name, constant in CONSTANTS.items()}
    for name, value in (constants or {}).items():
        choice("energy_bill.constants", name, tuple(values))
        values[name] = number(f"energy_bill.constants[{name!r}]", value, at_least=0)
    return values
