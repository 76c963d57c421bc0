"""Compression: smaller networks made from trained ones (topic 21).

`prune` removes weights of small magnitude, `quantize` stores weights in few bits, `distill` trains a small network
on the answers of a large one. They can be combined: a pruned network can be quantized, a student can be pruned.

Reference: Han, Pool, Tran, Dally, 2015, Learning both weights and connections for efficient neural networks,
arXiv:1506.02626; Han, Mao, Dally, 2016, Deep compression, arXiv:1510.00149; Hinton, Vinyals, Dean, 2015, Distilling
the knowledge in a neural network, arXiv:1503.02531.
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
