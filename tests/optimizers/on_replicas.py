"""Steps of every optimizer on a strategy of several logical CPU devices: python on_replicas.py REPLICAS OUT.npz"""

import functools
import sys

import keras
import numpy as np
import tensorflow as tf
from support.optimizer import make_variables, read

from tf_kit import optimizers

FORMS = {
    **{
        each.__name__: each
        for each in (getattr(optimizers, name) for name in optimizers.__all__)
        if issubclass(each, keras.optimizers.Optimizer)
    },
    "Momentum average": functools.partial(optimizers.Momentum, form="average"),
}
RNG = np.random.default_rng(5)
START, GRADIENTS = RNG.normal(size=10), RNG.normal(size=(20, 10))
OPTIONS = {"learning_rate": optimizers.RobbinsMonro(0.1, 0.75, 3), "weight_decay": 0.1, "use_ema": True}


def results(strategy, fused=True):
    """The weights after 20 steps, and their averages, of every optimizer; the replicas share each gradient evenly."""
    return {
        name: _walk(strategy, functools.partial(make, fused=fused, **OPTIONS)) for name, make in FORMS.items()
    }


def _walk(strategy, make):
    with strategy.scope():
        optimizer = make()
        variables = make_variables(START, "float32")
        optimizer.build(variables)

    def step(gradient):
        parts = tf.split(gradient / strategy.num_replicas_in_sync, [6, 4])
        optimizer.apply([tf.reshape(parts[0], (2, 3)), parts[1]], variables)

    @tf.function
    def run(gradient):
        strategy.run(step, (gradient,))

    for gradient in GRADIENTS:
        run(tf.constant(gradient, "float32"))
    averages = [each for each in optimizer.variables if each.path.endswith("_average")]
    assert len(averages) == len(variables)
    return np.stack([read(variables), read(averages)])


def main():
    num_replicas, out = int(sys.argv[1]), sys.argv[2]
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * num_replicas)
    devices = [f"CPU:{i}" for i in range(num_replicas)]
    np.savez(out, **results(tf.distribute.MirroredStrategy(devices)))


if __name__ == "__main__":
    main()
