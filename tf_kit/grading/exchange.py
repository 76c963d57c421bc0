"""Trees of arrays as bytes and back, between processes that do not trust each other.

The format is npz without pickles: one entry holds the tree as JSON, the others its arrays. `unpack` reads what an
answer's process may have forged: it looks at sizes before it allocates, and lets in numbers and short strings only.
"""

import ast
import io
import json
import math
import os
import struct
import zipfile

import numpy as np

LARGEST = 32 << 20  # bytes of a message
MOST_ARRAYS = 4096
_TREE = "tree.npy"
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

    text = json.dumps(flat(tree)).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        _write(archive, _TREE, np.frombuffer(text, np.uint8))
        for i, array in enumerate(arrays):
            _write(archive, f"{i}.npy", array)
    return buffer.getvalue()


def unpack(data):
    """The tree that `pack` was given.

    Raises:
        Forged: whatever else the bytes are.
    """
    try:
        return _unpacked(data)
    except Forged:
        raise
    except (ValueError, KeyError, IndexError, TypeError, RecursionError, MemoryError, OSError) as error:
        raise Forged(f"{type(error).__name__}") from None
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        struct.error,
        SyntaxError,
        EOFError,
    ) as error:
        raise Forged(f"{type(error).__name__}") from None


def _unpacked(data):
    if len(data) > LARGEST:
        raise Forged("too large")
    archive = zipfile.ZipFile(io.BytesIO(data))
    entries = archive.infolist()
    if len(entries) > MOST_ARRAYS + 1 or len({entry.filename for entry in entries}) != len(entries):
        raise Forged("too many or repeated entries")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise Forged("compressed or encrypted")
    if sum(entry.file_size for entry in entries) > LARGEST:
        raise Forged("too large")
    arrays = {entry.filename: _array(archive.read(entry)) for entry in entries}
    tree = json.loads(arrays.pop(_TREE).tobytes().decode())

    def full(value):
        if isinstance(value, dict):
            if set(value) == {_ARRAY}:
                return arrays[f"{int(value[_ARRAY])}.npy"]
            return {str(key): full(each) for key, each in value[_DICT]}
        if isinstance(value, list):
            return [full(each) for each in value]
        return value

    return full(tree)


def _write(archive, name, array):
    with archive.open(name, "w") as entry:
        np.lib.format.write_array(entry, array, allow_pickle=False)


def _array(data):
    """An array from npy bytes, after its header was found to describe exactly these bytes."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise Forged("npy version")
    (length,) = struct.unpack("<H", stream.read(2))
    header = ast.literal_eval(stream.read(length).decode("latin1"))
    shape, fortran, described = header["shape"], header["fortran_order"], header["descr"]
    if not isinstance(described, str) or not isinstance(shape, tuple) or len(shape) > 16:
        raise Forged("npy header")
    dtype = np.dtype(described)
    if (
        dtype.kind not in "biufcUS"
        or dtype.itemsize > 4096
        or not all(type(n) is int and n >= 0 for n in shape)
    ):
        raise Forged("dtype or shape")
    start = stream.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - start or not dtype.itemsize:
        raise Forged("size")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran else "C")
    return array.astype(dtype.newbyteorder("="))


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
