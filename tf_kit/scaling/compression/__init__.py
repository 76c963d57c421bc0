"""Compression: smaller networks from trained ones, by zeros, by fewer bits, by a smaller student (topic 21).

`prune` removes the weights of small magnitude, `quantize` stores the others in few bits, `distill` teaches a
small network what a large one has learned. They combine: quantize what was pruned, prune a student.

Reference: Han, Pool, Tran, Dally, 2015, Learning both weights and connections for efficient neural networks;
Han, Mao, Dally, 2016, Deep compression; Hinton, Vinyals, Dean, 2015, Distilling the knowledge in a neural
network.
"""

from tf_kit.scaling.compression.distillation import Distiller, distill, distillation_loss
from tf_kit.scaling.compression.pruning import (
    GradualPruning,
    PrunedConv1D,
    PrunedConv2D,
    PrunedConv3D,
    PrunedDense,
    prune,
)
from tf_kit.scaling.compression.quantization import (
    QuantizedConv1D,
    QuantizedConv2D,
    QuantizedConv3D,
    QuantizedDense,
    quantize,
    quantize_weights,
)
from tf_kit.scaling.compression.size import nonzero_fraction, size_on_disk

__all__ = [
    "Distiller",
    "GradualPruning",
    "PrunedConv1D",
    "PrunedConv2D",
    "PrunedConv3D",
    "PrunedDense",
    "QuantizedConv1D",
    "QuantizedConv2D",
    "QuantizedConv3D",
    "QuantizedDense",
    "distill",
    "distillation_loss",
    "nonzero_fraction",
    "prune",
    "quantize",
    "quantize_weights",
    "size_on_disk",
]
