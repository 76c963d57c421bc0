"""Style, display and storage of every figure. Chooses a backend of matplotlib that works where it runs."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler

if not os.environ.get("DISPLAY") and "MPLBACKEND" not in os.environ and "JPY_PARENT_PID" not in os.environ:
    matplotlib.use("agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image  # a dependency of matplotlib, which writes its PNG files with it

from tf_kit.checks import refuse
from tf_kit.whole_files import replacing

if "inline" in os.environ.get("MPLBACKEND", ""):
    # A notebook's backend turns interactive mode on when it is loaded. If it is loaded inside an `rc_context`, the end
    # of the context turns it off again, and only the first figure is shown.
    plt.switch_backend(os.environ["MPLBACKEND"])

# Colors of Okabe and Ito, which color-blind readers can distinguish; dashes and markers distinguish lines in print.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[Any, Any] = {  # matplotlib declares each key as a literal
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "font.size": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=COLORS),
}


def show(figure: Figure) -> bool:
    """Show a figure in the notebook or in a window. Returns False if the backend can only write files."""
    if matplotlib.get_backend().lower() == "agg":
        return False
    plt.show(block=False)
    return True


def save(figure: Figure, path: str | Path, close: bool = True) -> Path:
    """Write a figure as a file, which appears only once it is complete.

    A PNG file of a figure without color photographs has a palette of 256 colors and a third of the size.

    Args:
        figure: the figure.
        path: path of the file, whose ending gives the format: ".png", ".pdf", ".svg" or any other that matplotlib
            writes; missing folders are made.
        close: whether to close the figure. Defaults to True.

    Returns:
        The path.

    Raises:
        InputError: matplotlib does not write files with this ending.
    """
    path = Path(path)
    formats = [f".{name}" for name in sorted(figure.canvas.get_supported_filetypes())]
    if path.suffix.lower() not in formats:
        refuse(
            "plotting.save.path", f"end in one of {', '.join(formats)}", f"{path}", "Use .png, .pdf or .svg"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        figure.savefig(unfinished, bbox_inches="tight", facecolor="white")
        arrays = [image.get_array() for axes in figure.axes for image in axes.images]
        photographs = any(array is not None and array.ndim == 3 for array in arrays)
        if path.suffix.lower() == ".png" and not photographs:
            with Image.open(unfinished) as drawn:
                drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(unfinished, optimize=True)
    if close:
        plt.close(figure)
    return path


def picture(figure: Figure, dpi: int = 90) -> bytes:
    """Return a figure as a PNG file with a palette of 256 colors, and close it.

    Args:
        figure: the figure.
        dpi: pixels per inch. Defaults to 90.
    """
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi, facecolor="white")
    plt.close(figure)
    whole = Image.open(drawn).convert("RGB")
    whole.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()


def font_file(name: str) -> Path:
    """Return the file of a font that comes with matplotlib, such as `"DejaVuSans"`."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
