"""Heads that are read without Pillow: the same as Pillow's, and none for a file that Pillow refuses."""

import functools
import struct
import warnings

import numpy as np
import pytest
from data.image_kinds import HEIGHT, WIDTH, chunk, damage, picture, png, write_all
from support.twins import wrong_twin

from tf_kit.data import fingerprint, heads, pictures
from tf_kit.data.heads import heads_and_hashes, plain_head
from tf_kit.data.pictures import Head
from tf_kit.errors import InputError

MUTATIONS = 30  # of each file


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


def frame(height, width, components, bits=8):
    return struct.pack(">BHHB", bits, height, width, components) + b"\1\x11\0" * components


def with_segments(root):
    """Write JPEGs with further segments, and PNGs with further chunks or an odd first one."""
    picture().save(root / "plain.jpg")
    whole = (root / "plain.jpg").read_bytes()
    added = {
        "comment": segment(0xFE, b""),
        "profile": segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(9)),
        "short-jfif": segment(0xE0, b"JFIF\0\1"),
        "other-short": segment(0xE0, b"JFXX"),
        "adobe": segment(0xEE, b"Adobe\0d\0\0\0\0\0"),
        "short-adobe": segment(0xEE, b"Adobe\0"),
        "table-16": segment(0xDB, b"\x10" + bytes(128)),
        "tables-8-16": segment(0xDB, b"\3" + bytes(64) + b"\x10" + bytes(64)),
        "short-table": segment(0xDB, b"\3" + bytes(60)),
        "no-table": segment(0xDB, b""),
        "junk": b"\0\1",
        "filled": b"\xff\xff",
        "length-1": b"\xff\xfe\0\1",
        "length-0": b"\xff\xdd\0\0",
        "restart": segment(0xDD, b"\0\3"),
        "marker": b"\xff\xd0",
        "reserved": segment(0x02, b"123456"),
        "arithmetic": segment(0xCC, b"\0\0"),
        "frame-grey": segment(0xC0, frame(8, 9, 1)),
        "frame-later": segment(0xC6, frame(8, 9, 3)),
        "no-frame": segment(0xC8, frame(8, 9, 3)),
        "frame-12": segment(0xC1, frame(8, 9, 3, bits=12)),
        "frame-2": segment(0xC0, frame(8, 9, 2)),
        "frame-long": segment(0xC0, frame(8, 9, 3) + b"\1"),
        "frame-short": segment(0xC0, frame(8, 9, 3)[:5]),
        "frame-bomb": segment(0xC2, frame(65535, 65535, 3)),
        "frame-nearly-bomb": segment(0xC2, frame(65535, 2731, 3)),
        "frame-empty": segment(0xC2, frame(0, 5, 3)),
    }
    at = whole.index(b"\xff\xc0")
    scan, length = whole.index(b"\xff\xda"), struct.unpack_from(">H", whole, at + 2)[0]
    for name, content in added.items():
        (root / f"{name}-first.jpg").write_bytes(whole[:2] + content + whole[2:])
        (root / f"{name}-instead.jpg").write_bytes(whole[:at] + content + whole[at + 2 + length :])
        (root / f"{name}-last.jpg").write_bytes(whole[:scan] + content + whole[scan:])
    (root / "frame-none.jpg").write_bytes(whole[:at] + whole[at + 2 + length :])
    sound = png(8, True)
    for place in range(16, 29):
        head = sound[16:place] + b"\x01" + sound[place + 1 : 29]
        (root / f"byte-{place}.png").write_bytes(sound[:8] + chunk(b"IHDR", head) + sound[33:])
    (root / "sum.png").write_bytes(sound[:29] + b"none" + sound[33:])
    (root / "text.png").write_bytes(png(8, False, chunk(b"tEXt", b"a\0b")))


def mutated(content, rng):
    """A file with bytes flipped, cut off, left out or doubled, most often near its beginning."""
    wrong = bytearray(content)
    near = min(len(content), rng.choice([40, 700, len(content)]))
    start, stop = sorted(rng.integers(0, near + 1, 2).tolist())
    kind = rng.integers(0, 5)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[stop:]
    if kind == 2:
        return content[:stop] + content[start:]
    for place in rng.integers(0, near, kind - 2):
        wrong[place] = rng.choice([0, 1, 0xFF, wrong[place] ^ 1 << int(rng.integers(0, 8))])
    return bytes(wrong)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Files of all kinds, damaged ones and mutations, as pairs of a path and the bytes; mutations are not written."""
    root = tmp_path_factory.mktemp("kinds")
    write_all(root)
    with_segments(root)
    sound = [(file, file.read_bytes()) for file in sorted(root.iterdir())]
    damage(root)
    found = [(file, file.read_bytes()) for file in sorted(root.iterdir())]
    rng = np.random.default_rng(0)
    for file, content in sound:
        found += [(root / f"mutation-{k}-{file.name}", mutated(content, rng)) for k in range(MUTATIONS)]
    for name in ("grey-1.jpg", "1-0-True.jpg", "RGB.png"):
        content = (root / name).read_bytes()
        found += [(root / f"end-{end}-{name}", content[:end]) for end in range(min(len(content), 700))]
    return found


@functools.cache
def head_of_pillow(file, content):
    """Pillow's answer, or None for a file that it refuses."""
    file.write_bytes(content)
    with warnings.catch_warnings(action="ignore"):
        try:
            return pictures.read_head(file)
        except InputError:
            return None


def differing(kinds, found):
    """Names of files of which `found` returns a head that is not Pillow's."""
    answers = [(file, content, found(str(file), content)) for file, content in kinds]
    return [
        file.name
        for file, content, answer in answers
        if answer is not None and answer != head_of_pillow(file, content)
    ]


def test_heads_are_those_of_pillow(kinds):
    assert len(kinds) > 5000
    assert not differing(kinds, plain_head)


def test_most_plain_files_are_read_without_pillow(kinds):
    read = {file.name for file, content in kinds if plain_head(str(file), content)}
    assert {"85-2-False.jpg", "85-0-True.jpg", "grey-85.jpg", "rgb.jpg", "restart.jpg"} <= read
    assert {"RGB.png", "L.png", "RGBA.png", "LA.png", "adobe-first.jpg", "comment-last.jpg"} <= read
    assert not read & {"exif-6.jpg", "exif-6.png", "cmyk.jpg", "P.png", "a.png", "b.jpg", "tRNS.png"}
    assert len(read) > 1000


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("bits, height, width, components", "bits, width, height, components"),
        ("width, height, bits, color", "height, width, bits, color"),
        ("if at > end", "if at > end + 1"),
        ("if length < 9", "if length < 2"),
        ("bits != 8 or length", "length"),
        ("length != 8 + 3 * components", "length < 8"),
        ("> 15", "> 255"),
        ("(length - 2) % _TABLE or", ""),
        ("_SKIPPED = (0xC4,", "_SKIPPED = (0xE1, 0xC4,"),
        ("_FRAMES = (0xC0,", "_FRAMES = (0xC8, 0xC0,"),
        ("head if marker == _SCAN", "head if marker != 0xE2"),
        ("0 < height * width <=", "height * width <="),
        ("10**8", "179 * 10**6"),
        ("or filtering", ""),
        ('or zlib.crc32(content[12:29]) != int.from_bytes(content[29:33], "big")', ""),
        ('content[37:41] != b"IDAT"', "len(content) < 41"),
        ('"A" not in mode', "True"),
    ],
)
def test_wrong_twins_differ(right, wrong, kinds):
    assert differing(kinds, wrong_twin(heads, right, wrong).plain_head)


def test_hashes_are_those_of_the_fingerprint(tmp_path):
    picture().save(tmp_path / "a.jpg")
    picture().resize((300, 400)).save(tmp_path / "b.png")  # longer than the samples
    picture().save(tmp_path / "c.webp")
    files = sorted(tmp_path.iterdir())
    found, hashes = heads_and_hashes(files)
    assert found[:2] == [Head((HEIGHT, WIDTH), "RGB", "JPEG"), Head((400, 300), "RGB", "PNG")]
    assert hashes == list(fingerprint.of_images(tmp_path, files).entries.values())
    assert fingerprint.of_images(tmp_path, files, hashes) == fingerprint.of_images(tmp_path, files)
