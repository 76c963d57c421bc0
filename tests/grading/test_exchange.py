"""Bytes that an answer's process may have forged."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from tf_kit.grading import exchange


def archive(**entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", entries.pop("kind", zipfile.ZIP_STORED)) as file:
        for name, data in entries.items():
            file.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def npy(descr="'<f8'", shape="(2,)", data=bytes(16), more=""):
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, {more}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def tree(value):
    return npy("'|u1'", f"({len(json.dumps(value))},)", json.dumps(value).encode())


def test_round_trip():
    given = [
        {"x": np.arange(6.0).reshape(2, 3).T, "k": 3, "n": None, "deep": [{"b": np.array(True)}], "s": "é"}
    ]
    got = exchange.unpack(exchange.pack(given))
    np.testing.assert_array_equal(got[0].pop("x"), given[0]["x"])
    assert got[0].pop("deep")[0]["b"]
    assert got == [{"k": 3, "n": None, "s": "é"}]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        b"\x80\x04cos\nsystem\n.",
        bytes(100),
        archive(tree=b"not npy"),
        archive(tree=tree({"__array__": 5})),
        archive(tree=tree({"anything": 1})),
        archive(tree=npy(shape="(1 << 40,)")),
        archive(tree=npy(shape="(1099511627776,)")),
        archive(tree=npy(shape="(-2,)")),
        archive(tree=npy("'|O'", "(2,)")),
        archive(tree=npy("[('a', '<f8')]", "(2,)")),
        archive(tree=npy("'<U999999999'", "(2,)")),
        archive(tree=npy("__import__('os').system('true')")),
        archive(tree=tree([]), kind=zipfile.ZIP_DEFLATED),
        archive(tree=tree([]), **{f"a{i}": b"" for i in range(5000)}),
        archive(tree=npy("'|u1'", "(200000,)", b"[" * 200_000)),
        exchange.pack([1])[:-10],
    ],
    ids=range(18),
)
def test_forged_bytes_are_refused(data):
    with pytest.raises(exchange.Forged):
        exchange.unpack(data)
