"""Design: what is decided around a network: its inputs, batches, curves, hyper-parameters and memory."""

from tf_kit.design.memory import LayerBill, MemoryBill, memory_bill
from tf_kit.design.preprocessing import PCAWhitening, Standardize, ZCAWhitening, condition_number

__all__ = [
    "LayerBill",
    "MemoryBill",
    "PCAWhitening",
    "Standardize",
    "ZCAWhitening",
    "condition_number",
    "memory_bill",
]
