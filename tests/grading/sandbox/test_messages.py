"""Messages: they keep their contents, and forged bytes are refused."""

import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tf_kit.grading.sandbox import messages


def message(tree=(), *arrays, data=b"", **more):
    text = json.dumps({"tree": tree, "arrays": arrays, **more}).encode()
    return struct.pack("<Q", len(text)) + text + data


ONE = {"__array__": 0}


def test_round_trip():
    given = [
        {"x": np.arange(6.0).reshape(2, 3).T, "k": 3, "n": None, "deep": [{"b": np.array(True)}], "s": "é"}
    ]
    got = messages.unpack(messages.pack(given))
    np.testing.assert_array_equal(got[0].pop("x"), given[0]["x"])
    assert got[0].pop("deep")[0]["b"]
    assert got == [{"k": 3, "n": None, "s": "é"}]


def test_large_message_passes_a_pipe_that_holds_less():
    sent = messages.pack([np.arange(200_000.0), np.arange(6)[::2]])
    incoming, outgoing = os.pipe()
    with ThreadPoolExecutor(1) as threads:
        received = threads.submit(messages.receive, incoming)
        messages.send(outgoing, sent)
        assert received.result() == sent
    np.testing.assert_array_equal(messages.unpack(sent)[1], [0, 2, 4])
    os.close(incoming)
    os.close(outgoing)


def test_forger_can_write_a_valid_message():
    """So the messages below are refused for their faults, not because `message` writes another format."""
    given = [{"x": np.array([1.0, 2.0])}]
    forged = message([{"__dict__": [["x", ONE]]}], ["<f8", [2]], data=struct.pack("<dd", 1, 2))
    assert forged == messages.pack(given)


def test_arrays_are_writable():
    array = messages.unpack(messages.pack([np.zeros(3), np.zeros((0, 2)), np.array("a")]))[0]
    array[1] = 1
    assert array[1] == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"\x80\x04cos\nsystem\n.",
        bytes(100),
        struct.pack("<Q", 1 << 63) + b"[]",
        struct.pack("<Q", 2) + b"[]",
        message({"__array__": 5}),
        message({"anything": 1}),
        message(ONE, ["<f8", [1 << 40]], data=bytes(16)),
        message(ONE, ["<f8", [1 << 4000, 0]], data=bytes(16)),
        message(ONE, ["<f8", [-2]], data=bytes(16)),
        message(ONE, ["<f8", [2.0]], data=bytes(16)),
        message(ONE, ["<f8", [1] * 40], data=bytes(8)),
        message(ONE, ["<f8", [2]], data=bytes(24)),
        message(ONE, ["|O8", [2]], data=bytes(16)),
        message(ONE, ["O", [2]], data=bytes(16)),
        message(ONE, [[["a", "<f8"]], [2]], data=bytes(16)),
        message(ONE, ["<f8,<f8", [1]], data=bytes(16)),
        message(ONE, ["<U999999999", [2]], data=bytes(16)),
        message(ONE, ["<U0", [2]]),
        message(ONE, ["__import__('os').system('true')", [2]], data=bytes(16)),
        message(ONE, *[["<f8", [0]]] * 5000),
        message([], arrays={"0": 1}),
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        messages.pack([np.arange(3)])[:-10],
    ],
    ids=range(25),
)
def test_forged_bytes_are_refused(data):
    with pytest.raises(messages.Forged):
        messages.unpack(data)
