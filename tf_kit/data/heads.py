"""Heads and hashes of image files, each of which is opened once if it is a plain JPEG or PNG.

Pillow needs ten times as long for the head of such a file as the few lines here, which leave it all others: those with
an orientation, a color profile, a palette or a transparent color, and every file that is not as the standard has it.
"""

import functools
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from tf_kit.data.fingerprint import hashed_image
from tf_kit.data.pictures import Head, in_parallel, read_head

_MOST_PIXELS = 10**8  # larger images are left to Pillow, which refuses some
_JPEG_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif")
_JPEG_MODES = {1: "L", 3: "RGB"}  # number of components → mode of Pillow
_JFIF, _ADOBE, _COMMENT, _TABLES = 0xE0, 0xEE, 0xFE, 0xDB  # markers of segments
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive
_FRAME = struct.Struct(">BHHB")  # bits, height, width, number of components
_SCAN = 0xDA
_SKIPPED = (0xC4, _COMMENT, 0xDD)  # with Huffman tables and the restart interval
_TABLE = 65  # bytes of a quantization table with 8 bits per value
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_PNG_MODES = {(8, 0): "L", (8, 2): "RGB", (8, 4): "LA", (8, 6): "RGBA"}  # bits and kind of color


def heads_and_hashes(files: Sequence[Path]) -> tuple[list[Head], list[tuple[int, str]]]:
    """Read the heads of image files, and their bytes and hashes as a fingerprint of images has them.

    Raises:
        InputError: files are not readable images; the message names them.
    """

    def look(i):
        hashed, content = hashed_image(files[i])
        return plain_head(str(files[i]), content) or read_head(files[i]), hashed

    found = in_parallel(look, len(files), "looking at images")
    return [head for head, _ in found], [hashed for _, hashed in found]


def plain_head(name: str, content: bytes) -> Head | None:
    """Find the head of a plain JPEG or PNG, as `read_head` does.

    Args:
        name: name of the file, whose ending must be that of its format.
        content: its first bytes.

    Returns:
        `Head`, or None for any other file.

    Example:
        >>> size = struct.pack(">II", 640, 480) + b"\\x08\\x02\\0\\0\\0"
        >>> content = _PNG_START + size + struct.pack(">I", zlib.crc32(b"IHDR" + size)) + b"\\0\\0\\0\\x09IDAT"
        >>> plain_head("a.png", content)
        Head(size=(480, 640), mode='RGB', format='PNG', is_upright=True, is_opaque=True)
        >>> plain_head("a.jpg", content)
    """
    name = name.lower()
    if name.endswith(_JPEG_ENDINGS):
        return _jpeg(content)
    return _png(content) if name.endswith(".png") else None


def _jpeg(content):
    """Head of a JPEG from its segments up to the first scan, as far as Pillow reads them."""
    if content[:2] != b"\xff\xd8":
        return None
    head, at, end = None, 2, len(content)
    while at + 4 <= end and content[at] == 0xFF:
        marker, length = content[at + 1], content[at + 2] << 8 | content[at + 3]
        start, at = at + 4, at + 2 + length
        if at > end:
            return None
        if marker in _SKIPPED:
            continue
        if marker == _TABLES:
            if (length - 2) % _TABLE or max(content[start:at:_TABLE], default=0) > 15:
                return None
        elif marker in (_JFIF, _ADOBE):
            if length < 9:  # too short for the version, which Pillow reads
                return None
        elif marker in _FRAMES and length >= 8:
            bits, height, width, components = _FRAME.unpack_from(content, start)
            if bits != 8 or length != 8 + 3 * components or components not in _JPEG_MODES:
                return None
            head = _head(height, width, _JPEG_MODES[components], "JPEG")
            if head is None:
                return None
        else:
            return head if marker == _SCAN else None
    return None


def _png(content):
    """Head of a PNG whose pixels follow its first chunk."""
    if content[:16] != _PNG_START or content[37:41] != b"IDAT":
        return None
    width, height, bits, color, _, filtering, _ = struct.unpack_from(">IIBBBBB", content, 16)
    mode = _PNG_MODES.get((bits, color))
    if mode is None or filtering or zlib.crc32(content[12:29]) != int.from_bytes(content[29:33], "big"):
        return None
    return _head(height, width, mode, "PNG")


@functools.lru_cache
def _head(height, width, mode, kind):
    """Head of an image of a usual size, or None; the same object for the same values."""
    is_usual = 0 < height * width <= _MOST_PIXELS
    return Head((height, width), mode, kind, is_opaque="A" not in mode) if is_usual else None
