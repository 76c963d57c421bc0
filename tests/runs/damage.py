"""Damages of a file: what a crash, a full disk or a stranger leaves."""


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def make_foreign(path):
    path.write_bytes(b"\xff\xd8 a photograph" * 50)


def remove(path):
    path.unlink()
