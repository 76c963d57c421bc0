"""Messages between the judge and the process of an answer, which do not trust each other.

A message is the length of a JSON text, the text, and the elements of its arrays, one array after another:

    {"tree": …, "arrays": [[dtype, shape], …]}

Reading a message never runs code from it. `unpack` assumes that the answer may have forged the bytes: it checks sizes
before it allocates memory and accepts only numbers and short strings.
"""

import json
import math
import os
import struct
from typing import Any

import numpy as np

from tf_kit.grading import foreign_text
from tf_kit.grading.judge import Failure

LARGEST = 32 << 20  # bytes of a message
_CHUNK = 1 << 18  # bytes that are read or written at once
MOST_ARRAYS, MOST_AXES = 4096, 16
_KINDS = "biufcUS"
_ARRAY, _DICT = "__array__", "__dict__"
_LONGEST_NAME, _LONGEST_TEXT = 80, 300  # of a failure, in characters


class Forged(ValueError):
    """The bytes do not come from `pack`."""


def pack(tree: Any) -> bytes:
    """Write a tree of dicts, lists, arrays, numbers, strings and None as bytes.

    Example:
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
    return b"".join([struct.pack("<Q", len(text)), text, *map(_elements, arrays)])


def _elements(array):
    """The elements in their order, without a copy of an array that holds them that way."""
    return array.tobytes() if array.dtype.kind in "US" or not array.flags.c_contiguous else array.data


def unpack(data: bytes) -> Any:
    """Read back the tree that `pack` wrote.

    Raises:
        Forged: the bytes do not come from `pack`.
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
    arrays, view = [], memoryview(data)
    for described, shape in message["arrays"]:
        dtype = _dtype(described)
        if len(shape) > MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
            raise Forged("shape")
        end = start + math.prod(shape) * dtype.itemsize
        if end > len(data):
            raise Forged("size")
        array = np.frombuffer(view[start:end], dtype).reshape(shape)
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
    """Read a dtype such as "<f8"; only numbers and short strings are allowed."""
    if not isinstance(described, str) or described[1:2] not in _KINDS or not described[2:].isdecimal():
        raise Forged("dtype")
    dtype = np.dtype(described)
    if dtype.kind not in _KINDS or not 0 < dtype.itemsize <= 4096:
        raise Forged("dtype")
    return dtype


def send(descriptor: int, data: bytes) -> None:
    """Write a message to a pipe."""
    head, rest = struct.pack("<Q", len(data)) + data[:_CHUNK], memoryview(data)[_CHUNK:]
    for view in (memoryview(head), rest):
        while view:
            view = view[os.write(descriptor, view[:_CHUNK]) :]


def receive(descriptor: int) -> bytes:
    """Read a message from a pipe. Returns b"" at the end of the pipe."""
    head = _exactly(descriptor, 8)
    return _exactly(descriptor, struct.unpack("<Q", head)[0]) if head else b""


def _exactly(descriptor, count):
    parts = []
    while count:
        part = os.read(descriptor, min(count, _CHUNK))
        if not part:
            return b""
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def outputs_of(message: bytes | None, count: int) -> list[dict[str, np.ndarray] | Failure] | None:
    """Read what a child sent for its cases.

    Args:
        message: packed list with one dict per case: {"arrays": {name: array}} or {"failure": [kind, message, line,
            text]}.
        count: number of cases.

    Returns:
        Arrays or a `Failure` for each case; None if the message is forged or incomplete.
    """
    if message is None:
        return None
    try:
        tree = unpack(message)
    except Forged:
        return None
    if not isinstance(tree, list) or len(tree) != count:
        return None
    outputs = []
    for each in tree:
        if not isinstance(each, dict):
            return None
        if isinstance(each.get("failure"), list) and len(each["failure"]) == 4:
            outputs.append(_failure(*each["failure"]))
        elif isinstance(each.get("arrays"), dict) and all(
            hasattr(array, "dtype") for array in each["arrays"].values()
        ):
            outputs.append(each["arrays"])
        else:
            return None
    return outputs


def _failure(kind, message, line, text):
    line = line if isinstance(line, int) else None
    kind = foreign_text.line(kind, _LONGEST_NAME)
    return Failure(
        kind, foreign_text.line(message, _LONGEST_TEXT), line, foreign_text.line(text, _LONGEST_TEXT)
    )
