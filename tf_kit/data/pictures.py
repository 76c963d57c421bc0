"""Image files: which of them can be read, their size, their orientation, and their pixels."""

import contextlib
import dataclasses
import functools
import itertools
import math
import os
import struct
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tf_kit.checks import refuse
from tf_kit.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

# Formats that Pillow lists but cannot decode by itself, and films.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF", "FLI", "MCIDAS"}
_GREY = ("1", "L", "LA", "La", "I", "F")  # and the kinds of I;16
_ORIENTATION, _PHOTOMETRIC = 0x0112, 0x0106  # tags of EXIF and TIFF
THREADS = (os.cpu_count() or 1) + 1  # that decode; one waits for the disk
_TASK = 32  # images of a task of a thread, at most
_FEW, _SLOW = 2, 0.0005  # images of a task without threads; seconds per image above which threads pay
_MOST_MEGAPIXELS = 179  # of Pillow's check against decompression bombs


@dataclasses.dataclass(frozen=True)
class Head:
    """Description of an image file, from its first bytes.

    Args:
        size: (height, width) as it is seen, with the orientation of the camera applied.
        mode: mode of Pillow: "L", "RGB", "P", …
        format: format by its content: "JPEG", "PNG", …
        is_upright: whether the camera noted no other orientation.
        is_opaque: whether it has no transparent pixels.
    """

    size: tuple[int, int]
    mode: str
    format: str
    is_upright: bool = True
    is_opaque: bool = True

    @property
    def is_grey(self) -> bool:
        return self.mode.startswith("I;16") or self.mode in _GREY


@functools.cache
def suffixes() -> frozenset[str]:
    """Endings, in lower case, of the files that Pillow decodes on this machine.

    HEIC is among them where its plugin pillow-heif is installed.

    Example:
        >>> {".png", ".jpg", ".webp", ".tiff", ".ppm"} <= suffixes(), ".pdf" in suffixes()
        (True, False)
    """
    from PIL import Image

    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    known = Image.registered_extensions()
    return frozenset(each for each, kind in known.items() if kind in Image.OPEN and kind not in _NOT_DECODED)


def is_picture(path: Path) -> bool:
    """Whether a file is an image by its ending, or, without an ending, by its content."""
    if path.suffix:
        return path.suffix.lower() in suffixes()
    from PIL import Image

    with contextlib.suppress(Exception), Image.open(path) as image:
        return image.format not in _NOT_DECODED
    return False


def read_head(file: Path) -> Head:
    """Read size, mode and format of an image file; no pixels.

    Raises:
        InputError: the file is not a readable image; the message names it.
    """
    with _reading(file), _opened(file) as image:
        _check_pixels(file, image.size)
        width, height = image.size
        if image.format == "TIFF":  # of which some versions of Pillow swap them
            tags = getattr(image, "tag_v2", {})
            width, height = tags.get(256, width), tags.get(257, height)
        orientation = _orientation(image)
        if orientation in (5, 6, 7, 8):
            width, height = height, width
        return Head(
            (height, width), image.mode, image.format or "", orientation == 1, not _is_transparent(image)
        )


def _opened(file):
    """Open an image file; the format of its ending is tried before all others, which is faster."""
    from PIL import Image, UnidentifiedImageError

    kind = _formats().get(os.path.splitext(file)[1].lower())
    if kind is not None:
        with contextlib.suppress(UnidentifiedImageError):
            return Image.open(file, formats=(kind,))
    return Image.open(file)


@functools.cache
def _formats():
    """Ending → format of Pillow, for those of `suffixes`."""
    from PIL import Image

    known = suffixes()
    return {each: kind for each, kind in Image.registered_extensions().items() if each in known}


def decode(file: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Decode an image file and scale it to a shape.

    Of several frames only the first is used; transparent pixels become white; an orientation noted by the camera is
    applied. A JPEG much larger than the shape is decoded at a half, a quarter or an eighth of its size.

    Args:
        file: path of the image.
        shape: (height, width, channels), with 1 or 3 channels.

    Returns:
        uint8 (height, width, channels).

    Raises:
        InputError: the file is not a readable image; the message names it.
    """
    from PIL import Image

    height, width, channels = shape
    with _reading(file), _opened(file) as image:
        _check_pixels(file, image.size)
        turned = _orientation(image) in (5, 6, 7, 8)
        room = (
            (2 * height, 2 * width) if turned else (2 * width, 2 * height)
        )  # so that scaling still averages
        mode = "L" if channels == 1 else "RGB"
        image.draft(mode, room)
        _widen_transparency(image)
        image.load()
        # Pillow turns TIFF files itself while it loads them.
        found = image if image.format == "TIFF" else _upright(image, _orientation(image))
        found = _flat(file, found)
        found = found if found.mode == mode else found.convert(mode)
        if found.size != (width, height):
            found = found.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(found).reshape(shape)


def decode_all(
    files: Sequence[Path], shape: tuple[int, int, int], put: Callable[[int, np.ndarray], None]
) -> None:
    """Decode image files in parallel, with progress on standard error if it takes long.

    Args:
        files: paths of the images.
        shape: as for `decode`.
        put: function of an index and its image, called in any order and by several threads.

    Raises:
        InputError: files are not readable images; the message names them.
    """
    in_parallel(lambda i: put(i, decode(files[i], shape)), len(files), "reading images")


def in_parallel(function: Callable[[int], Any], n: int, title: str) -> list[Any]:
    """Call `function(i)` for i < n in threads, since Pillow decodes without the interpreter's lock.

    Raises:
        InputError: of the first call that failed; it also names the files of the next ones.
    """
    from tf_kit.data.waiting import reporting

    def attempt(i):
        try:
            return function(i)
        except InputError as error:
            return error

    def attempt_some(start, stop):
        return [attempt(i) for i in range(start, stop)]

    # Pillow warns from 90 megapixels, which cameras have, and of damaged EXIF blocks, which are not used.
    with warnings.catch_warnings(action="ignore"):
        found = list(reporting(itertools.chain.from_iterable(_pieces(attempt_some, n)), n, title))
    refuse_damaged([each for each in found if isinstance(each, InputError)])
    return found


def _pieces(attempt_some, n):
    """Yield the results of `attempt_some(start, stop)`, which together cover n calls, in order.

    One thread works alone until three tasks in a row take longer than `_SLOW` per call: shorter calls are mostly
    Python code, and threads would spend more on handing each other the interpreter's lock than they gain.
    """
    start, slow = 0, 0
    while start < n and slow < 3:
        stop, began = min(start + _FEW, n), time.perf_counter()
        yield attempt_some(start, stop)
        slow = slow + 1 if time.perf_counter() - began > _SLOW * (stop - start) else 0
        start = stop
    if start == n:
        return
    step = min(_TASK, math.ceil((n - start) / (4 * THREADS)))  # threads get no `chunksize` from `map`
    begins = range(start, n, step)
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(attempt_some, begins, [min(begin + step, n) for begin in begins])


def refuse_damaged(errors: Sequence[InputError]) -> None:
    """Raise the first of some errors about files; its message also names the files of the others."""
    if not errors:
        return
    first, *rest = sorted(errors, key=lambda error: str(error.subject))
    if not rest:
        raise first
    names = ", ".join(Path(str(each.subject)).name for each in rest[:3])
    more = f" and {len(rest) - 3} more" if len(rest) > 3 else ""
    refuse(
        first.subject,
        first.requirement,
        f"{first.received}; likewise {names}{more}, {len(errors)} files in all",
        "Repair them or remove them from the folder; `tf_kit.data.check(folder)` lists them",
        typed_remedy="Repair them or remove them from the folder; `tf-kit data check FOLDER` lists them",
    )


def clean(text: Any) -> str:
    """Text of a file name that can be printed and saved: bytes that are not UTF-8 become "�"."""
    # Not `os.fsencode`: other characters than those of names, such as ×, may be missing in the encoding of the system.
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _flat(file, image):
    """Convert 16 bits or real numbers per pixel to 8 bits, and place transparent images on white."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, "float32")
        clear = image.info.get("transparency")  # of a PNG, the one value that is transparent
        if not np.isfinite(values).all():
            refuse(file, "hold finite pixels", "NaN or infinity", "Repair it or remove it from the folder")
        # White is 65535 in 16 bits; otherwise it is 1 (only of real numbers), 255 or 65535, the smallest that no
        # pixel exceeds. Formats other than TIFF hold 16 bits in mode I.
        whites = (1.0, 255.0) if image.mode == "F" else ()
        if whites or (image.mode == "I" and image.format == "TIFF"):
            whites = whites or (255.0,)
            low, high = image.getextrema()
            remedy = "Scale its pixels or remove it from the folder"
            if low < 0 or high > 65535:
                refuse(clean(file), "hold pixels in [0, 65535]", f"pixels from {low:,} to {high:,}", remedy)
            # Of [0, 1] or [0, 255] that overshoots, as after a bicubic resize, or of 10 or 12 bits.
            if (1 < high < 2 and image.mode == "F") or 255 < high < 4096:
                known = "1, 255" if image.mode == "F" else "255"
                requirement = f"hold real or 32-bit pixels of a known scale, up to {known} or 65535"
                refuse(clean(file), requirement, f"pixels from {low:g} to {high:.9g}", remedy)
        white = next((each for each in whites if values.max() <= each), 65535.0)
        if image.mode.startswith("I;16") and _is_white_zero(image):  # which Pillow inverts in 8 bits only
            values = white - values
        pixels = np.clip(np.rint(values * (255 / white)), 0, 255).astype("uint8")
        image = Image.fromarray(pixels if clear is None else np.where(values == clear, np.uint8(255), pixels))
    if _is_transparent(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image


def _is_white_zero(image):
    """Whether the values of a TIFF file begin at white, as those of some scanners and X-ray devices do."""
    return image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0


def _widen_transparency(image):
    """Convert the transparent value of a grey PNG of 2 or 4 bits to 8 bits, as Pillow does with its pixels only."""
    levels = {"L;2": 3, "L;4": 15}.get(image.tile[0].args) if image.format == "PNG" and image.tile else None
    if levels and "transparency" in image.info:
        image.info["transparency"] *= 255 // levels


def _is_transparent(image):
    bands = image.getbands()
    return "A" in bands or "a" in bands or "transparency" in image.info


def _upright(image: "Image.Image", orientation: int) -> "Image.Image":
    from PIL import Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _orientation(image):
    """Orientation of an image, 1 to 8, from its EXIF block; 1 if it has none or the block is damaged.

    Only this entry is read: cameras write others that no parser accepts.
    """
    if image.format == "TIFF":
        value = getattr(image, "tag_v2", {}).get(_ORIENTATION, 1)
        return value if isinstance(value, int) else 1
    return orientation_in(image.info.get("exif") or b"")


def orientation_in(exif: bytes) -> int:
    """Find the orientation in an EXIF block.

    Example:
        >>> orientation_in(b"Exif\\0\\0MM\\0*\\0\\0\\0\\x08\\0\\x01\\x01\\x12\\0\\x03\\0\\0\\0\\x01\\0\\x06\\0\\0")
        6
        >>> orientation_in(b"Exif\\0\\0MM\\0*\\xff\\xff")
        1
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, start)
        for i in range(entries):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * i)
            if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
                return value
    except struct.error:  # the block ends early
        pass
    return 1


def _check_pixels(file, size):
    megapixels = size[0] * size[1] / 1e6
    if megapixels > _MOST_MEGAPIXELS:
        _refuse_bomb(file, f"{size[0]:,} × {size[1]:,} pixels, {megapixels:.0f} megapixels")


def _refuse_bomb(file, received) -> NoReturn:
    requirement = f"be an image of at most {_MOST_MEGAPIXELS} megapixels"
    refuse(file, requirement, received, "Scale it down or remove it from the folder")


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turn an exception of Pillow about a file into an `InputError` of one line that names the file."""
    from PIL import Image, UnidentifiedImageError

    name = clean(file)
    try:
        yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        pixels = [int(word) for word in str(error).replace("(", " ").split() if word.isdigit()]
        _refuse_bomb(name, f"{max(pixels) / 1e6:.0f} megapixels" if pixels else "more")
    except UnidentifiedImageError:
        is_empty = not os.path.getsize(file)
        _refuse_file(name, "an empty file" if is_empty else "a file that is not an image")
    except FileNotFoundError:
        _refuse_file(name, "a file that is no longer there", "Give the folder as it is now")
    except PermissionError:
        _refuse_file(name, "a file without permission to read it", "Allow reading: `chmod a+r`")
    except MemoryError:
        _refuse_file(name, "an image that does not fit into memory")
    except OSError as error:
        named = error.strerror and error.errno  # of the system, not of Pillow
        _refuse_file(name, f"a file that cannot be read: {error.strerror}" if named else _DAMAGED)
    except (SyntaxError, ValueError, EOFError, struct.error, ArithmeticError, LookupError, TypeError):
        _refuse_file(name, _DAMAGED)


_DAMAGED = "a damaged or truncated file"


def _refuse_file(name, received, remedy="Repair it or remove it from the folder") -> NoReturn:
    refuse(name, "be a readable image", received, remedy)
