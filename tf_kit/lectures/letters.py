"""Images of printed letters, drawn with the fonts that come with matplotlib; nothing is downloaded."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tf_kit.checks import count, refuse
from tf_kit.plotting import font_file

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
)


def draw_letters(
    letters: str, n: int, size: tuple[int, int] = (16, 16), seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw letters, each in a random font and size and a little away from the center.

    Args:
        letters: the letters to choose from, such as `"bdpq"`.
        n: number of images, at least 1.
        size: (height, width) of an image in pixels, at least 8. Defaults to (16, 16).
        seed: whole number that fixes the images. Defaults to 0.

    Returns:
        Images (n, height, width, 1), float32 in [0, 1], white on black, and labels (n,), places in `letters`.

    Raises:
        InputError: there is no letter, or a number is out of range.

    Example:
        >>> x, y = draw_letters("bd", 6)
        >>> x.shape, y.tolist()
        ((6, 16, 16, 1), [0, 1, 0, 1, 0, 1])
    """
    if not letters or not letters.isprintable():
        refuse("draw_letters.letters", "be one letter or more", repr(letters))
    n = count("draw_letters.n", n)
    height, width = (count("draw_letters.size", each, at_least=8) for each in size)
    rng = np.random.default_rng(count("draw_letters.seed", seed, at_least=0))
    y = np.arange(n) % len(letters)
    images = [_draw(letters[label], height, width, rng) for label in y]
    return np.stack(images)[..., None], y


def _draw(letter, height, width, rng):
    """Draw one letter at four times the size, then average the pixels."""
    scale, side = 4, min(height, width)
    font = ImageFont.truetype(
        str(font_file(rng.choice(FONTS))), round(scale * side * rng.uniform(0.75, 0.95))
    )
    canvas = Image.new("L", (scale * width, scale * height))
    place = (np.array([width, height]) / 2 + side / 16 * rng.uniform(-1, 1, 2)) * scale
    pen = ImageDraw.Draw(canvas)
    left, top, right, bottom = pen.textbbox((0, 0), letter, font=font)
    pen.text((place[0] - (left + right) / 2, place[1] - (top + bottom) / 2), letter, fill=255, font=font)
    small = canvas.resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, "float32") / 255
