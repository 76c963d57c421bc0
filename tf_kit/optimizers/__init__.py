"""The optimizers of the lecture as Keras optimizers, and the schedules of their learning rates.

Each goes into `compile(optimizer=…)`, saves, loads and clips as any Keras optimizer, and its `update_step`
reads as the lecture's equations. `import tf_kit.optimizers` is enough for a saved model to find them. The
slots of float16 and bfloat16 weights are float32, and the gradient of an embedding is the sum over repeated rows.
"""

from tf_kit.optimizers.adagrad import AdaGrad
from tf_kit.optimizers.adam import Adam, AdamW
from tf_kit.optimizers.lars import LARS
from tf_kit.optimizers.momentum import Momentum, Nesterov
from tf_kit.optimizers.rmsprop import RMSProp, RMSPropNesterov
from tf_kit.optimizers.schedules import LinearDecay, RobbinsMonro, WarmupCosine
from tf_kit.optimizers.sgd import SGD

__all__ = [
    "LARS",
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "LinearDecay",
    "Momentum",
    "Nesterov",
    "RMSProp",
    "RMSPropNesterov",
    "RobbinsMonro",
    "WarmupCosine",
]
