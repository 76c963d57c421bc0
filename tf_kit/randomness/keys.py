"""Random numbers of an example as pure functions of its key, computed for a whole batch at once.

With a stateful generator, the numbers of an example depend on how the batch is composed and split over replicas.
Here the i-th number of an example is a hash of (key, purpose, i): the finalizer of SplitMix64 over a Weyl sequence,
in plain integer operations:

    mix(z):        z ← (z ⊕ z≫30) · A;  z ← (z ⊕ z≫27) · B;  z ⊕ z≫31   (mod 2⁶⁴)     (1)
    absorb(s, v):  mix(s + G (v + 1))                                                    (2)
    stream         s = absorb(absorb(absorb(0, k₁), k₂), purpose)                        (3)
    i-th number    absorb(s, i)                                                          (4)

where (k₁, k₂) is the key of the example and G = 2⁶⁴ / golden ratio. This needs 64-bit integers (on JAX:
`jax_enable_x64`).

Reference: Steele, Lea, Flood, 2014, Fast splittable pseudorandom number generators, figure 17,
doi:10.1145/2660193.2660195; Salmon, Moraes, Dror, Shaw, 2011, Parallel random numbers: as easy as 1, 2, 3,
doi:10.1145/2063384.2063405, for counters instead of states.
"""

import math
import zlib

import keras
from keras import ops

from tf_kit.checks import refuse
from tf_kit.typing import ArrayLike, Tensor

_ALL = (1 << 64) - 1  # 64 ones


def _signed(constant):
    return constant - (1 << 64) if constant >> 63 else constant


_G = _signed(0x9E3779B97F4A7C15)
_A = _signed(0xBF58476D1CE4E5B9)
_B = _signed(0x94D049BB133111EB)


def example_keys(seed: int | Tensor, step: int | Tensor, index: ArrayLike) -> Tensor:
    """Return one key for each example, made from the seed, the step and the index of the example.

    Args:
        seed: seed of the run, a whole number.
        step: number of the epoch or step, a whole number or integer scalar.
        index: integers (n,), the positions of the examples in the data set or in the global batch.

    Returns:
        int64 tensor (n, 2), the argument `key` of `Augmentation.augment`.

    Example:
        >>> both = example_keys(0, 3, [7, 8])
        >>> bool(ops.all(both[1:] == example_keys(0, 3, [8]))), bool(ops.all(both[1:] == example_keys(0, 4, [8])))
        (True, False)
    """
    index = ops.cast(index, "int64")
    first = absorb(absorb(ops.zeros_like(index), seed), step)
    return ops.stack([first, index], axis=1)


def stream(key: ArrayLike, purpose: str) -> Tensor:
    """Return the state from which `uniform` and `normal` draw the numbers of each example for one purpose.

    Args:
        key: integers (n, 2), from `example_keys`.
        purpose: name of the purpose, such as "flip"; other names give independent numbers.

    Returns:
        int64 tensor (n, 1).

    Raises:
        ValueError: `key` is not an integer tensor of shape (n, 2).
    """
    key = ops.convert_to_tensor(key)
    dtype = keras.backend.standardize_dtype(key.dtype)
    if len(key.shape) != 2 or key.shape[1] != 2 or "int" not in dtype:
        remedy = "Make it with example_keys(seed, step, index)"
        refuse("key", "be integers of shape (n, 2)", f"{dtype} of shape {tuple(key.shape)}", remedy)
    key = ops.cast(key, "int64")
    state = ops.zeros_like(key[:, :1])
    for value in (key[:, :1], key[:, 1:], zlib.crc32(purpose.encode())):
        state = absorb(state, value)  # (3)
    return state


def uniform(state: Tensor, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Draw `count` uniform numbers from [low, high) for each example.

    Args:
        state: tensor (n, 1), from `stream`.
        count: numbers per example.
        low, high: ends of the interval. Default to 0 and 1.

    Returns:
        float32 tensor (n, count).

    Example:
        >>> numbers = uniform(stream(example_keys(0, 0, range(1000)), "demo"), 50)
        >>> bool(abs(float(ops.mean(numbers)) - 0.5) < 0.01)
        True
    """
    bits = _shifted_right(_numbers(state, count), 40)
    return low + (high - low) * (ops.cast(bits, "float32") * 2.0**-24)


def normal(state: Tensor, count: int) -> Tensor:
    """Draw `count` numbers from N(0, 1) for each example, by the Box–Muller transform.

    Args:
        state: tensor (n, 1), from `stream`.
        count: numbers per example.

    Returns:
        float32 tensor (n, count).

    Example:
        >>> numbers = normal(stream(example_keys(0, 0, range(1000)), "demo"), 51)
        >>> numbers.shape[1], bool(abs(float(ops.std(numbers)) - 1) < 0.01)
        (51, True)
    """
    bits = _numbers(state, (count + 1) // 2)
    above_zero = ops.cast(_shifted_right(bits, 40) + 1, "float32") * 2.0**-24
    radius = ops.sqrt(-2 * ops.log(above_zero))
    angle = ops.cast(_shifted_right(bits, 8) % (1 << 24), "float32") * (2 * math.pi * 2.0**-24)
    return ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)], axis=1)[:, :count]


def absorb(state: Tensor | int, value: Tensor | int) -> Tensor:
    """Return a new int64 state that depends on every bit of `state` and `value`."""
    if isinstance(value, int):
        return _mix(state + _signed(_G * (value + 1) & _ALL))
    return _mix(state + _G * (ops.cast(value, "int64") + 1))  # (2)


def _numbers(state, count):
    return absorb(state, ops.arange(count, dtype="int64")[None])  # (4)


def _mix(z):
    z = ops.bitwise_xor(z, _shifted_right(z, 30)) * _A
    z = ops.bitwise_xor(z, _shifted_right(z, 27)) * _B
    return ops.bitwise_xor(z, _shifted_right(z, 31))  # (1)


def _shifted_right(z, places):
    """Shift signed integers to the right, filling with zeros instead of copies of the sign."""
    return ops.bitwise_and(ops.right_shift(z, places), (1 << (64 - places)) - 1)
