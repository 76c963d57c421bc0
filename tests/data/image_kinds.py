"""Files of every kind of JPEG and PNG, and damaged ones."""

import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 21, 34


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
