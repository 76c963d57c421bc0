"""Random numbers that depend only on the seed, the step and the example, not on earlier draws.

There are two forms:

    `example_keys`, `stream`, `uniform`, `normal`   numbers of each example, from its key, on any Keras backend (`keys`)
    `ExampleRandom`                                 numbers of all examples of a training step (`step`)

Both give an example the same numbers on one replica or on several, after a run is resumed, and in a graph that XLA
compiles (`philox`).
"""

from tf_kit.randomness.keys import example_keys, normal, stream, uniform
from tf_kit.randomness.step import ExampleRandom

__all__ = ["ExampleRandom", "example_keys", "normal", "stream", "uniform"]
