"""Optimizers of the lecture as Keras optimizers, and schedules of the learning rate.

Each is passed to `compile(optimizer=…)` and is saved, loaded and clipped like any Keras optimizer. Its
`update_step` is the lecture's equations, line by line. On TensorFlow `fused_step` takes the same step by fused kernels,
up to twice as fast, unless the optimizer is given `fused=False`. A saved model finds them after
`import tf_kit.optimizers`.
The slots of float16 and bfloat16 weights are float32, and repeated rows in the gradient of an embedding are summed.
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
