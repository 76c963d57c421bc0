"""Image files: orientation, formats, sizes, and files that cannot be read."""

import errno
import os
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from data.image_kinds import chunk
from PIL import Image, ImageOps

from tf_kit.data import fingerprint, folder, load, pictures
from tf_kit.errors import InputError

WEDGE = np.zeros((16, 24, 3), "uint8")
WEDGE[:8, :12] = 255


def exif(orientation, extra=b""):
    """EXIF block with an orientation, and an entry of Pillow #8965: a rational number out of the block."""
    entries = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + extra
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries) // 12) + entries + b"\0\0\0\0"


RATIONAL = struct.pack(">HHII", 0x011A, 5, 1, 0xFFFFFF00)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation, suffix, tmp_path):
    file = tmp_path / f"a.{suffix}"
    options = {"quality": 100} if suffix in ("jpg", "webp") else {}
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(WEDGE).save(file, exif=tags, **options)
    head = pictures.read_head(file)
    with Image.open(file) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    assert head.size == expected.size[::-1]
    found = pictures.decode(file, (*head.size, 3)).astype(int)
    np.testing.assert_allclose(found, np.asarray(expected), atol=12)


def test_orientation_is_read_without_the_rest_of_the_block(tmp_path):
    file = tmp_path / "a.jpg"
    Image.fromarray(WEDGE).save(file, exif=exif(6, RATIONAL), quality=100)
    assert pictures.read_head(file).size == (24, 16)
    np.testing.assert_allclose(pictures.decode(file, (24, 16, 1))[:12, :8], 0, atol=12)


@pytest.mark.parametrize(
    "block", [b"", b"Exif\0\0", b"Exif\0\0MM\0*\0\0\xff\xff", exif(9), exif(6)[:18], b"II*\0" * 3]
)
def test_damaged_exif_is_no_orientation(block):
    assert pictures.orientation_in(block) == 1


@pytest.mark.parametrize("size", [(1200, 1600), (1600, 1200), (1000, 70)])
def test_large_jpeg_is_decoded_at_reduced_size(size, tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (6, 8, 3), "uint8")).resize(size, Image.Resampling.BICUBIC)
    image.save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as whole:
        expected = np.asarray(whole.resize((64, 48), Image.Resampling.BILINEAR)).astype(int)
    found = pictures.decode(tmp_path / "a.jpg", (48, 64, 3)).astype(int)
    assert np.abs(found - expected).mean() < 3


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [
        (1 / 255, "float32"),
        (1, "float32"),
        (257, "float32"),
        (257, "uint16"),
        (1, "int32"),
        (257, "int32"),
    ],
)
def test_pixels_of_other_ranges_become_8_bits(scale, dtype, tmp_path):
    grey = np.arange(240, dtype="float64").reshape(15, 16)
    grey[0, 0] = 255
    Image.fromarray((grey * scale).astype(dtype)).save(tmp_path / "a.tiff")
    assert pictures.read_head(tmp_path / "a.tiff").is_grey
    np.testing.assert_array_equal(pictures.decode(tmp_path / "a.tiff", (15, 16, 1))[..., 0], grey)


@pytest.mark.parametrize(("low", "high"), [(-1, 255), (0, 65536), (0, 2**24), (-(2**31), 2**31 - 1)])
def test_whole_numbers_of_unknown_range_are_refused(low, high, tmp_path):
    Image.fromarray(np.array([[low, high], [1, 2]], "int32")).save(tmp_path / "a.tiff")
    received = rf"a.tiff` must hold pixels in \[0, 65535\]. Received: pixels from {low:,} to {high:,}\."
    with pytest.raises(InputError, match=received):
        pictures.decode(tmp_path / "a.tiff", (2, 2, 1))


@pytest.mark.parametrize(
    ("low", "high", "received"),
    [
        (-1, 1, r"in \[0, 65535\]. Received: pixels from -1.0 to 1.0"),
        (0, 70000, "pixels from 0.0 to 70,000.0"),
        (0, 1.02, "of a known scale, up to 1, 255 or 65535. Received: pixels from 0 to 1.0"),
        (0, np.nextafter(np.float32(1), np.float32(2)), "known scale.* from 0 to 1.00000012"),
        (0, 300, "known scale, up to 1, 255 or 65535. Received: pixels from 0 to 300"),
        (0, 4095, "known scale.* from 0 to 4095"),
    ],
)
def test_real_numbers_of_unknown_range_are_refused(low, high, received, tmp_path):
    Image.fromarray(np.array([[low, high], [0.5, 0.25]], "float32")).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match=received):
        pictures.decode(tmp_path / "a.tiff", (2, 2, 1))


@pytest.mark.parametrize("high", [256, 4095])
def test_whole_numbers_of_another_scale_are_refused(high, tmp_path):
    """They would be nearly black next to images of at most 255."""
    Image.fromarray(np.array([[0, high]], "int32")).save(tmp_path / "a.tiff")
    with pytest.raises(
        InputError, match=f"known scale, up to 255 or 65535. Received: pixels from 0 to {high}"
    ):
        pictures.decode(tmp_path / "a.tiff", (1, 2, 1))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_text_is_cleaned_whatever_the_encoding_of_file_names(encoding):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "1" if encoding == "utf-8" else "0"}
    code = """if True:
        import os, sys
        from tf_kit.data.pictures import clean
        names = os.fsdecode(b"\\xc3\\xa9"), os.fsdecode(b"d\\xf6g") + ", 3 \\xd7 4"
        print(sys.getfilesystemencoding(), *map(ascii, map(clean, names)), sep=";")"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout == f"{encoding};'\\xe9';'d\\ufffdg, 3 \\xd7 4'\n", done.stderr


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_transparent_value_of_a_grey_png_becomes_white(bits, tmp_path):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 2, bits, 0, 0, 0, 0))
    ones = sum(1 << bits * i for i in range(8)).to_bytes(bits, "big")  # eight pixels of value 1
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + ones + b"\0" + bytes(bits)))
    one = 255 // (2**bits - 1)
    for clear, expected in ((1, (255, 0)), (0, (one, 255))):
        transparent = chunk(b"tRNS", struct.pack(">H", clear))
        (tmp_path / "a.png").write_bytes(
            b"\x89PNG\r\n\x1a\n" + head + transparent + pixels + chunk(b"IEND", b"")
        )
        found = pictures.decode(tmp_path / "a.png", (2, 8, 1))[..., 0]
        np.testing.assert_array_equal(found, np.repeat([[each] for each in expected], 8, axis=1))


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_whose_values_begin_at_white_is_inverted(bits, tmp_path):
    grey = np.arange(240, dtype=f"uint{bits}").reshape(15, 16)
    grey = grey * (257 if bits == 16 else 1)
    Image.fromarray(grey).save(tmp_path / "a.tiff", tiffinfo={262: 1})
    content = (tmp_path / "a.tiff").read_bytes()
    is_black_zero, is_white_zero = (struct.pack("<HHIHH", 262, 3, 1, value, 0) for value in (1, 0))
    assert content.count(is_black_zero) == 1
    (tmp_path / "b.tiff").write_bytes(content.replace(is_black_zero, is_white_zero))
    found, inverted = (pictures.decode(tmp_path / f"{name}.tiff", (15, 16, 1)).astype(int) for name in "ab")
    np.testing.assert_array_equal(inverted, 255 - found)


def test_nan_in_an_image_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), np.nan, "float32")).save(tmp_path / "a.tiff")
    with pytest.raises(InputError, match="finite pixels"):
        pictures.decode(tmp_path / "a.tiff", (4, 4, 1))


def test_image_of_400_megapixels_is_refused_with_its_size(tmp_path):
    file = tmp_path / "a.png"
    Image.new("1", (8, 8)).save(file)
    content = bytearray(file.read_bytes())
    content[16:24] = struct.pack(">II", 20_000, 20_000)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    file.write_bytes(content)
    for read in (pictures.read_head, lambda path: pictures.decode(path, (8, 8, 1))):
        with pytest.raises(InputError, match=r"at most 179 megapixels\. Received: .*400 megapixels\. Scale"):
            read(file)


@pytest.fixture
def six(tmp_path):
    for i in range(6):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 40, 3), "uint8")).save(
            tmp_path / f"{i}.png"
        )
    return tmp_path


def test_all_damaged_files_are_named(six):
    for i in (1, 3, 4):
        file = six / f"{i}.png"
        file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(
        InputError, match=r"1.png` must be .* likewise 3.png, 4.png, 3 files in all"
    ) as caught:
        load(str(six))
    assert "`tf-kit data check FOLDER` lists them" in caught.value.typed_remedy


@pytest.mark.parametrize(
    ("error", "received"),
    [
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES)), "without permission to read it"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), "no longer there"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "cannot be read: Input/output error"),
        (struct.error("argument out of range"), "damaged or truncated"),
    ],
)
def test_cause_of_an_unreadable_file_is_named(error, received, six, monkeypatch):
    def fail(*arguments, **options):
        raise error

    def unreadable(*arguments, **options):
        raise OSError

    monkeypatch.setattr(Image, "open", fail)
    monkeypatch.setattr(fingerprint, "open", unreadable, raising=False)
    with pytest.raises(InputError, match=rf"0.png` must be a readable image\. Received: a .*{received}"):
        folder.scan(six)


def test_folder_without_permission_is_refused_in_one_line(six, monkeypatch):
    def fail(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(InputError, match=r"be a folder that can be read. Received: Permission denied. Allow"):
        folder.scan(six)


def test_name_that_is_not_utf8_is_read_and_printed(six):
    raw = os.fsencode(six) + b"/caf\xe9"
    for name in (raw, os.fsencode(six) + b"/dog"):
        os.mkdir(name)
        for i in range(3):
            os.rename(os.fsencode(six / f"{i + 3 * name.endswith(b'dog')}.png"), name + b"/%d.png" % i)
    train = load(str(six))[0]
    assert train.class_names == ("caf�", "dog")


@pytest.mark.parametrize("n", [0, 1, 5, 150])
@pytest.mark.parametrize("slow_from", [0, 40, 1000])
def test_only_slow_calls_are_given_to_threads(n, slow_from):
    def call(i):
        time.sleep(0.002 * (i >= slow_from))
        return i, threading.get_ident()

    found = pictures.in_parallel(call, n, "")
    assert [i for i, _ in found] == list(range(n))
    others = {thread for _, thread in found} - {threading.get_ident()}
    assert bool(others) == (n - slow_from > 10)
