"""Pictures of embeddings: a map, nearest neighbors, and files for the projector of TensorBoard."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from tf_kit import folders, plotting
from tf_kit.checks import refuse
from tf_kit.data.given import read_in_chunks
from tf_kit.plotting.style import STYLE
from tf_kit.plotting.words import literal
from tf_kit.runs.embedding import Embeddings
from tf_kit.runs.figures import save_figure
from tf_kit.runs.files import replacing, write_text

MOST = 10_000  # pictures in a map
ASKED, NEIGHBORS = 20, 5  # pictures whose neighbors are shown, and neighbors of each
PLACED = 150  # pictures drawn on the map
SPRITE_PIXELS = 8192  # largest side that TensorBoard loads
THUMBNAIL = 32  # pixels


def map_folder(folder: str | Path) -> Path:
    """Make the folder for a map, if it is missing, and return its path; refuse one that cannot be written."""
    folder = Path(folder).expanduser()
    folders.make(folder, subject="embed.map", flag="--map")
    return folder


def draw_map(found: Embeddings, folder: str | Path) -> str:
    """Draw embeddings, and write them for TensorBoard.

    Written are `map.png`, a map by UMAP where umap-learn is installed and otherwise by PCA; `neighbors.png`, twenty
    pictures with their nearest neighbors; and `vectors.tsv`, `metadata.tsv`, `sprite.png`, `projector_config.pbtxt`,
    which `tensorboard --logdir FOLDER` shows under Projector.

    Args:
        found: the embeddings. Of more than `MOST`, as many at even distances are taken.
        folder: folder for the files, created if it does not exist.

    Returns:
        How the map was made, in one line, which is also its title.

    Raises:
        InputError: there are fewer than three embeddings, they are of vectors, or `folder` is a file.
    """
    if len(found.shape) != 3:
        refuse("embed.map", "be of images", f"vectors of {found.shape[0]} numbers", flag="--map")
    if len(found) < 3:
        refuse("embed.pictures", "be at least three for a map", f"{len(found)}", flag="PICTURES")
    folder = map_folder(folder)
    kept = evenly(len(found), MOST)
    x, files = found.x[kept], [found.files[i] for i in kept]
    groups = [Path(file).parent.name or "." for file in files]
    small = _thumbnails([found.paths[i] for i in kept], found.shape)
    places, how = positions(x)
    how += f" {len(x):,} embeddings" + (f" of {len(found):,}" if len(kept) < len(found) else "")
    save_figure(_map(places, small, groups, how), folder / "map.png")
    save_figure(_neighbors(x, small), folder / "neighbors.png")
    _write_projector(folder, x, files, groups, small)
    return how


def positions(x: np.ndarray) -> tuple[np.ndarray, str]:
    """Map vectors to the plane, by UMAP with the cosine distance where it is installed, otherwise by PCA.

    Args:
        x: (n, d).

    Returns:
        Positions (n, 2), and how they were made, to be followed by the number of vectors.
    """
    if importlib.util.find_spec("umap") is not None:
        import umap

        return umap.UMAP(metric="cosine", random_state=0).fit_transform(x), "UMAP (cosine distance) of"
    centered = x.astype("float64") - x.mean(axis=0, dtype="float64")
    _, scales, axes = np.linalg.svd(centered, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2].sum(axis=1, keepdims=True) + 1e-300)  # a fixed sign
    share = float((scales[:2] ** 2).sum() / max((scales**2).sum(), 1e-300))
    flat = np.zeros((len(x), 2))
    flat[:, : len(axes)] = centered @ axes.T
    return flat, f"PCA (umap-learn is not installed), {100 * share:.0f} % of the variance, of"


def neighbors(x: np.ndarray, asked: np.ndarray, count: int = NEIGHBORS) -> np.ndarray:
    """Return the nearest neighbors of some vectors by the cosine of their angle, without themselves.

    Args:
        x: (n, d).
        asked: int (m,), indices of the vectors.
        count: number of neighbors. Defaults to `NEIGHBORS`.

    Returns:
        int (m, count), indices, the nearest first; fewer columns if there are fewer other vectors.

    Example:
        >>> neighbors(np.array([[1.0, 0], [0, 1], [2, 0.1], [1, 1]]), np.array([0]), 2)
        array([[2, 3]])
    """
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    similarity = unit[asked] @ unit.T
    similarity[np.arange(len(asked)), asked] = -np.inf
    return np.argsort(-similarity, axis=1, kind="stable")[:, : min(count, len(x) - 1)]


def evenly(n: int, most: int) -> np.ndarray:
    """Return at most `most` indices below n at even distances.

    Example:
        >>> evenly(10, 5)
        array([0, 2, 4, 6, 8])
    """
    return np.arange(n) if n <= most else (np.arange(most) * n) // most


def _thumbnails(paths, shape):
    """Read pictures as the encoder takes them, and make them small: uint8 (n, h, w, c)."""
    height, width, channels = shape
    scale = min(
        1.0,
        THUMBNAIL / max(height, width),
        SPRITE_PIXELS / math.ceil(math.sqrt(len(paths))) / max(height, width),
    )
    small = max(1, round(scale * height)), max(1, round(scale * width)), channels
    parts = [np.asarray(x) for _, x in read_in_chunks(paths, small, [])]
    return np.round(255 * np.concatenate(parts)).astype("uint8")


def _map(places, small, groups, how):
    names = sorted(set(groups))
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(figsize=(9, 8), layout="constrained")
        if 1 < len(names) <= 20:
            colors, of = plt.get_cmap("tab20")(np.arange(20)), np.array(groups)
            dots = [
                axes.scatter(*places[of == name].T, s=10, color=colors[(2 * i) % 20 + i // 10])
                for i, name in enumerate(names)
            ]
            _write_legend(axes, dots, names)
        else:
            axes.scatter(*places.T, s=4, color="0.75")
            _place_pictures(axes, places, small)
        axes.set(xticks=[], yticks=[])
        axes.set_title(how, fontsize=11)
        return figure


def _write_legend(axes, dots, names):
    """Name the folder of each group of dots, also one whose name begins with `_`."""
    legend = axes.legend(
        dots, [""] * len(names), loc="upper left", bbox_to_anchor=(1, 1), markerscale=2, fontsize=10
    )
    # Set afterwards, because Matplotlib before 3.10 leaves out an entry whose label begins with "_".
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(literal(name))


def _place_pictures(axes, places, small):
    low, high = places.min(axis=0), places.max(axis=0)
    side = 0.04 * np.maximum(high - low, 1e-9)
    for i in evenly(len(places), PLACED):
        (left, bottom), image = places[i] - side / 2, small[i]
        shown = image[..., 0] if image.shape[-1] == 1 else image
        place = (left, left + side[0], bottom, bottom + side[1])
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=place, interpolation="nearest", zorder=2)
    axes.set(xlim=(low[0] - side[0], high[0] + side[0]), ylim=(low[1] - side[1], high[1] + side[1]))
    axes.set_aspect("auto")


def _neighbors(x, small):
    """Draw two columns of pictures, each with its neighbors on the right."""
    asked = evenly(len(x), ASKED)
    found = neighbors(x, asked)
    blank = np.full_like(small[0], 255)
    tiles = []
    for i, (one, others) in enumerate(zip(asked, found, strict=True)):
        tiles += [small[one], blank, *small[others]] + ([blank, blank] if i % 2 == 0 else [])
    columns = 2 * (found.shape[1] + 2) + 2
    title = f"{len(asked)} pictures, and their {found.shape[1]} nearest neighbors (cosine)"
    return plotting.tiles(np.stack(tiles), columns=columns, title=title)


def _write_projector(folder, x, files, groups, small):
    n, height, width, channels = small.shape
    side = math.ceil(math.sqrt(n))
    sheet = np.zeros((side * side, height, width, channels), "uint8")
    sheet[:n] = small
    sheet = sheet.reshape(side, side, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(side * height, side * width, channels)
    with replacing(folder / "sprite.png") as path:
        Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(path)
    with replacing(folder / "vectors.tsv") as path:
        np.savetxt(path, x, fmt="%.6g", delimiter="\t")
    rows = [
        "file\tfolder",
        *(f"{' '.join(file.split())}\t{group}" for file, group in zip(files, groups, strict=True)),
    ]
    write_text(folder / "metadata.tsv", "\n".join(rows) + "\n")
    config = f"""embeddings {{
  tensor_name: "embeddings"
  tensor_path: "vectors.tsv"
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {width}
    single_image_dim: {height}
  }}
}}
"""
    write_text(folder / "projector_config.pbtxt", config)
