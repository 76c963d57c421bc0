"""Random numbers that depend on the seed, the step and the example, and on nothing that was drawn before.

Two forms of one idea:

    `example_keys`, `stream`, `uniform`, `normal`   numbers of one example, from its key, on any Keras backend (`keys`)
    `ExampleRandom`                                 numbers of all examples of a training step (`step`)

Both give an example the same numbers on one replica or on several, and after a resume.
"""

from tf_kit.randomness.keys import example_keys, normal, stream, uniform
from tf_kit.randomness.step import ExampleRandom

__all__ = ["ExampleRandom", "example_keys", "normal", "stream", "uniform"]
