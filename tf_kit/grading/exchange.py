"""Trees of arrays as bytes and back, between processes that do not trust each other.

A message is the length of a JSON text, the text, and the elements of its arrays one after another:

    {"tree": …, "arrays": [[dtype, shape], …]}

Nothing in it is run, whatever it says. `unpack` reads what an answer's process may have forged: it looks at sizes
before it allocates, and lets in numbers and short strings only.
"""

import json
import math
import os
import struct

import numpy as np

LARGEST = 32 << 20  # bytes of a message
MOST_ARRAYS, MOST_AXES = 4096, 16
_KINDS = "biufcUS"
_ARRAY, _DICT = "__array__", "__dict__"


class Forged(ValueError):
    """The bytes are not what `pack` writes."""


def pack(tree):
    """A tree of dicts, lists, arrays, numbers, strings and None as bytes.

    >>> unpack(pack([{"x": np.arange(3), "rate": 0.5}]))
    [{'x': array([0, 1, 2]), 'rate': 0.5}]
    """
    arrays = []

    def flat(value):
        if isinstance(value, np.ndarray | np.generic):
            arrays.append(np.asarray(value))
            return {_ARRAY: len(arrays) - 1}
        if isinstance(value, dict):
            return {_DICT: [[key, flat(each)] for key, each in value.items()]}
        if isinstance(value, list | tuple):
            return [flat(each) for each in value]
        return value

    tree = flat(tree)
    described = [[array.dtype.str, array.shape] for array in arrays]
    text = json.dumps({"tree": tree, "arrays": described}).encode()
    return b"".join([struct.pack("<Q", len(text)), text, *(array.tobytes() for array in arrays)])


def unpack(data):
    """The tree that `pack` was given.

    Raises:
        Forged: whatever else the bytes are.
    """
    try:
        return _unpacked(data)
    except Forged:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
        raise Forged(f"{type(error).__name__}") from None
    except (struct.error, OverflowError, SyntaxError) as error:
        raise Forged(f"{type(error).__name__}") from None


def _unpacked(data):
    if len(data) > LARGEST:
        raise Forged("too large")
    start = 8 + struct.unpack_from("<Q", data)[0]
    message = json.loads(bytes(data[8:start]))
    if len(message["arrays"]) > MOST_ARRAYS:
        raise Forged("too many arrays")
    arrays = []
    for described, shape in message["arrays"]:
        dtype = _dtype(described)
        if len(shape) > MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
            raise Forged("shape")
        end = start + math.prod(shape) * dtype.itemsize
        if end > len(data):
            raise Forged("size")
        array = np.frombuffer(data[start:end], dtype).reshape(shape)
        arrays.append(array.astype(dtype.newbyteorder("=")))
        start = end
    if start != len(data):
        raise Forged("size")

    def full(value):
        if isinstance(value, dict):
            if set(value) == {_ARRAY}:
                return arrays[int(value[_ARRAY])]
            return {str(key): full(each) for key, each in value[_DICT]}
        if isinstance(value, list):
            return [full(each) for each in value]
        return value

    return full(message["tree"])


def _dtype(described):
    """The dtype of a name such as "<f8" that stands for numbers or short strings."""
    if not isinstance(described, str) or described[1:2] not in _KINDS or not described[2:].isdecimal():
        raise Forged("dtype")
    dtype = np.dtype(described)
    if dtype.kind not in _KINDS or not 0 < dtype.itemsize <= 4096:
        raise Forged("dtype")
    return dtype


def send(descriptor, data):
    """Writes a message to a pipe."""
    view = memoryview(struct.pack("<Q", len(data)) + data)
    while view:
        view = view[os.write(descriptor, view[: 1 << 20]) :]


def receive(descriptor):
    """Reads a message from a pipe, or b"" at its end."""
    head = _exactly(descriptor, 8)
    return _exactly(descriptor, struct.unpack("<Q", head)[0]) if head else b""


def _exactly(descriptor, count):
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            return b""
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
