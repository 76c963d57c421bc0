"""Images that TensorFlow decodes: the same pixels as Pillow's, and nothing that Pillow refuses."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tf_kit.data import as_is, folder, pictures
from tf_kit.errors import InputError

HEIGHT, WIDTH = 21, 34
COLORS = 3, 1  # channels


@pytest.fixture(autouse=True)
def many(monkeypatch):
    monkeypatch.setattr(as_is, "_MANY", 1)


def picture(seed=0):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype="uint8")).resize((WIDTH, HEIGHT))
    noise = rng.integers(-9, 10, (HEIGHT, WIDTH, 1))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype("uint8"))


def chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(depth, is_color, extra=b""):
    """Bytes of a PNG of random pixels with some bits per channel."""
    rng = np.random.default_rng(depth)
    row = (WIDTH * depth * (3 if is_color else 1) + 7) // 8
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, 2 if is_color else 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + rng.bytes(row) for _ in range(HEIGHT)))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra
    return start + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def write_all(root):
    """Write every kind of JPEG and PNG, and files whose ending names another format."""
    image = picture()
    for quality in (1, 30, 85, 100):
        for sampling in (0, 1, 2):
            for progressive in (False, True):
                name = f"{quality}-{sampling}-{progressive}.jpg"
                image.save(root / name, quality=quality, subsampling=sampling, progressive=progressive)
        image.convert("L").save(root / f"grey-{quality}.jpg", quality=quality)
    image.save(root / "rgb.jpg", keep_rgb=True)
    image.save(root / "restart.jpg", restart_marker_blocks=3)
    image.convert("CMYK").save(root / "cmyk.jpg")
    for mode in ("L", "RGB", "P", "1", "RGBA", "LA"):
        image.convert(mode).save(root / f"{mode}.png")
    for depth in (1, 2, 4, 8, 16):
        (root / f"grey-{depth}.png").write_bytes(png(depth, False))
    (root / "rgb-16.png").write_bytes(png(16, True))
    for name, content in {"gAMA": struct.pack(">I", 220_000), "sBIT": b"\5\6\5", "tRNS": bytes(6)}.items():
        (root / f"{name}.png").write_bytes(png(8, True, chunk(name.encode(), content)))
    for orientation in (1, 3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(root / f"exif-{orientation}.jpg", exif=exif)
        image.save(root / f"exif-{orientation}.png", exif=exif)
    for name, kind in {"a.png": "JPEG", "b.jpg": "PNG", "c.jpg": "GIF", "d.png": "WEBP"}.items():
        image.save(root / name, kind)


def damage(root):
    """Write files that end early, have one wrong byte, or go on after their end."""
    rng = np.random.default_rng(0)
    for name in ("85-2-False.jpg", "85-0-True.jpg", "grey-85.jpg", "restart.jpg", "RGB.png", "L.png"):
        whole = (root / name).read_bytes()
        for k in range(1, 12):
            (root / f"cut-{k}-{name}").write_bytes(whole[: len(whole) * k // 12])
            wrong, at = bytearray(whole), rng.integers(20, len(whole))
            wrong[at] ^= int(rng.integers(1, 256))
            (root / f"wrong-{k}-{name}").write_bytes(bytes(wrong))
            (root / f"long-{k}-{name}").write_bytes(whole + rng.bytes(k))


def decoded(files, channels):
    """Images of TensorFlow by their files."""
    shape, flags, found = (HEIGHT, WIDTH, channels), [], {}
    for file in files:
        try:
            flags.append(as_is.is_as_decoded(pictures.read_head(file), shape))
        except InputError:
            flags.append(False)
    left = as_is.decode_as_is(
        files, np.array(flags), shape, lambda i, pixels: found.update({files[i]: pixels.copy()})
    )
    assert sorted([*left, *map(files.index, found)]) == list(range(len(files))), "each file once"
    return found


@pytest.mark.parametrize("channels", COLORS)
def test_pixels_are_those_of_pillow(tmp_path, channels, capfd):
    write_all(tmp_path)
    sound = set(tmp_path.iterdir())
    damage(tmp_path)
    found = decoded(sorted(tmp_path.iterdir()), channels)
    assert len(sound & found.keys()) == {1: 8, 3: 34}[channels]
    for file, pixels in found.items():
        np.testing.assert_array_equal(
            pixels, pictures.decode(file, (HEIGHT, WIDTH, channels)), err_msg=file.name
        )


def test_faster_cosine_transform_would_give_other_pixels(tmp_path, monkeypatch):
    """Wrong twin."""
    import tensorflow as tf

    write_all(tmp_path)
    decode = tf.io.decode_jpeg
    monkeypatch.setattr(
        tf.io, "decode_jpeg", lambda *args, dct_method: decode(*args, dct_method="INTEGER_FAST")
    )
    found = decoded(sorted(tmp_path.iterdir()), 3)
    shape = HEIGHT, WIDTH, 3
    assert any((pixels != pictures.decode(file, shape)).any() for file, pixels in found.items())


def test_folder_is_read_the_same_with_few_images_and_with_many(tmp_path, monkeypatch):
    for i in range(12):
        picture(i).save(tmp_path / f"{i}.{['png', 'jpg'][i % 2]}")
    picture(12).resize((HEIGHT, WIDTH)).save(tmp_path / "turned.png")
    found = folder.scan(tmp_path, (HEIGHT, WIDTH))
    assert found.as_is.sum() == 12
    indices = np.random.default_rng(0).permutation(len(found))
    many = folder.read_images(found, indices)
    monkeypatch.setattr(as_is, "_MANY", 100)
    np.testing.assert_array_equal(many, folder.read_images(found, indices))


def test_damaged_files_are_named(tmp_path, capfd):
    for i in range(6):
        picture(i).save(tmp_path / f"{i}.jpg")
    whole = (tmp_path / "3.jpg").read_bytes()
    (tmp_path / "3.jpg").write_bytes(whole[:-200])
    found = folder.scan(tmp_path)
    with pytest.raises(InputError, match=r"3\.jpg` must be a readable image"):
        folder.read_images(found, np.arange(6))


def test_file_that_has_become_another_is_read_as_it_is_now(tmp_path):
    for i in range(6):
        picture(i).save(tmp_path / f"{i}.png")
    found = folder.scan(tmp_path)
    picture(9).resize((2 * WIDTH, 2 * HEIGHT)).save(tmp_path / "3.png")
    x = folder.read_images(found, np.arange(6))
    np.testing.assert_array_equal(x[3], pictures.decode(tmp_path / "3.png", found.shape) / np.float32(255))
