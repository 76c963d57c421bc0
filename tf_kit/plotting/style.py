"""Style of every figure, showing and saving. Imports matplotlib with a backend that fits where it runs."""

import os
from pathlib import Path

import matplotlib

if not os.environ.get("DISPLAY") and "MPLBACKEND" not in os.environ and "JPY_PARENT_PID" not in os.environ:
    matplotlib.use("agg")

import matplotlib.pyplot as plt
from PIL import Image  # draws matplotlib's own PNG files

if "inline" in os.environ.get("MPLBACKEND", ""):
    # a notebook's backend turns interactive when it is loaded; loaded inside an `rc_context`, that is undone at the
    # context's end, and no figure after the first shows
    plt.switch_backend(os.environ["MPLBACKEND"])

# Okabe and Ito's colors, told apart by the color-blind; dashes and markers tell them apart in print
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "font.size": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "axes.prop_cycle": matplotlib.cycler(color=COLORS),
}


def show(figure):
    """Shows a figure where it can be seen: in a notebook, or in a window. Returns whether it could."""
    if matplotlib.get_backend().lower() == "agg":
        return False
    plt.show(block=False)
    return True


def save(figure, path, close=True):
    """Writes a figure as PNG, whole or not at all, and closes it. Returns the path.

    Without color photographs in it a palette of 256 colors will do, and the file is a third as long.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.stem}.partial{path.suffix}")
    figure.savefig(unfinished, bbox_inches="tight", facecolor="white")
    if not any(image.get_array().ndim == 3 for axes in figure.axes for image in axes.images):
        with Image.open(unfinished) as drawn:
            drawn.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(unfinished, optimize=True)
    unfinished.replace(path)
    if close:
        plt.close(figure)
    return path


