"""Scaling: more devices, smaller models, less energy."""

from tf_kit.scaling.compression import (
    Distiller,
    GradualPruning,
    PrunedConv1D,
    PrunedConv2D,
    PrunedConv3D,
    PrunedDense,
    QuantizedConv1D,
    QuantizedConv2D,
    QuantizedConv3D,
    QuantizedDense,
    distill,
    distillation_loss,
    nonzero_fraction,
    prune,
    quantize,
    quantize_weights,
    size_on_disk,
)
from tf_kit.scaling.counters import Measurement, measured_joules
from tf_kit.scaling.energy import CONSTANTS, Constant, EnergyBill, LayerEnergy, energy_bill
from tf_kit.scaling.guards import Finding, ReplicaCheck, ReplicaWarning, check_replicas
from tf_kit.scaling.model_parallel import Split, split
from tf_kit.scaling.traffic import TrafficBill, balanced_cuts, split_points, traced_collectives, traffic_bill
from tf_kit.training.strategy import strategy

__all__ = [
    "CONSTANTS",
    "Constant",
    "Distiller",
    "EnergyBill",
    "Finding",
    "GradualPruning",
    "LayerEnergy",
    "Measurement",
    "PrunedConv1D",
    "PrunedConv2D",
    "PrunedConv3D",
    "PrunedDense",
    "QuantizedConv1D",
    "QuantizedConv2D",
    "QuantizedConv3D",
    "QuantizedDense",
    "ReplicaCheck",
    "ReplicaWarning",
    "Split",
    "TrafficBill",
    "balanced_cuts",
    "check_replicas",
    "distill",
    "distillation_loss",
    "energy_bill",
    "measured_joules",
    "nonzero_fraction",
    "prune",
    "quantize",
    "quantize_weights",
    "size_on_disk",
    "split",
    "split_points",
    "strategy",
    "traced_collectives",
    "traffic_bill",
]
