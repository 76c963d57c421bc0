"""Design: preprocessing, minibatches, monitoring, search for hyper-parameters, and memory."""

from tf_kit.design.memory import LayerBill, MemoryBill, memory_bill
from tf_kit.design.minibatch import (
    GradientVariance,
    epochs_to_steps,
    gradient_variance,
    minibatch_variance,
    minibatches,
    name_descent,
    steps_per_epoch,
)
from tf_kit.design.monitoring import Diagnosis, TrainingMonitor, diagnose, read_history
from tf_kit.design.preprocessing import PCAWhitening, Standardize, ZCAWhitening, condition_number
from tf_kit.design.search import (
    IntUniform,
    LogUniform,
    Results,
    Trial,
    Uniform,
    grid,
    grow,
    random,
    successive_halving,
    try_all,
)

__all__ = [
    "Diagnosis",
    "GradientVariance",
    "IntUniform",
    "LayerBill",
    "LogUniform",
    "MemoryBill",
    "PCAWhitening",
    "Results",
    "Standardize",
    "TrainingMonitor",
    "Trial",
    "Uniform",
    "ZCAWhitening",
    "condition_number",
    "diagnose",
    "epochs_to_steps",
    "gradient_variance",
    "grid",
    "grow",
    "memory_bill",
    "minibatch_variance",
    "minibatches",
    "name_descent",
    "random",
    "read_history",
    "steps_per_epoch",
    "successive_halving",
    "try_all",
]
