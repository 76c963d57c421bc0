"""Training loop whose results depend only on seed and data, on one device, on several, or on several machines."""

from tf_kit.training.classifier import Classifier
from tf_kit.training.representation import represent
from tf_kit.training.strategy import strategy
from tf_kit.training.trainer import Trainer

__all__ = ["Classifier", "Trainer", "represent", "strategy"]
