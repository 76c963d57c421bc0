"""Tests of showing and saving figures."""

import subprocess
import sys

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from tf_kit import plotting
from tf_kit.errors import InputError
from tf_kit.runs import files


def test_saved_figure_is_whole_and_closed(tmp_path):
    figure = plotting.curves({"loss": [3.0, 2.0, 1.0]})
    path = plotting.save(figure, tmp_path / "figures" / "loss.png")
    assert [each.name for each in path.parent.iterdir()] == ["loss.png"]
    assert np.ptp(matplotlib.image.imread(path)[..., :3]) > 0.5, "an empty figure"
    assert not plt.fignum_exists(figure.number)


@pytest.mark.slow
def test_every_format_of_matplotlib_is_whole(tmp_path):
    begins = {
        "png": b"\x89PNG",
        "PNG": b"\x89PNG",
        "svg": b"<?xml",
        "pdf": b"%PDF",
        "eps": b"%!PS",
        "jpg": b"\xff\xd8",
    }
    for ending, begin in begins.items():
        path = plotting.save(plotting.curves({"loss": [3.0, 2.0]}), tmp_path / f"loss.{ending}")
        assert path.read_bytes().startswith(begin), ending
    assert {path.suffix[1:] for path in tmp_path.iterdir()} == set(begins)


@pytest.mark.parametrize("name", ["loss", "loss.csv", "loss.png.gz", ".png"])
def test_other_endings_are_refused(tmp_path, name):
    figure = plotting.curves({"loss": [3.0, 2.0]})
    with pytest.raises(
        InputError, match=rf"end in one of .*\.pdf, .*\.png, .*{name}\. Use \.png, \.pdf or \.svg"
    ):
        plotting.save(figure, tmp_path / "figures" / name)
    assert list(tmp_path.iterdir()) == []
    plt.close("all")


def started(path):
    """Return the unfinished file of a process that is killed while it saves a figure."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom tf_kit import plotting\n"
        "Path.replace = lambda *paths: os._exit(9)\n"
        "plotting.save(plotting.curves({'loss': [3.0, 2.0]}), sys.argv[1])\n"
    )
    before = set(path.parent.iterdir())
    assert subprocess.run([sys.executable, "-c", code, path]).returncode == 9
    (left,) = set(path.parent.iterdir()) - before
    return left


@pytest.mark.slow
def test_two_processes_that_save_one_figure_use_two_files(tmp_path):
    first, second = (started(tmp_path / "loss.png") for _ in range(2))
    assert first.name.startswith(".")
    assert second.name.startswith(".")
    plotting.save(plotting.curves({"loss": [3.0, 2.0]}), tmp_path / "loss.png")
    assert first.exists(), "another process may still write it"
    files.remove_unfinished(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["loss.png"]


def test_figure_that_cannot_be_saved_leaves_no_file(tmp_path):
    (tmp_path / "loss.png").mkdir()
    with pytest.raises(OSError, match="loss"):
        plotting.save(plotting.curves({"loss": [3.0, 2.0]}), tmp_path / "loss.png")
    assert [each.name for each in tmp_path.iterdir()] == ["loss.png"]


def test_only_photographs_need_all_colors(tmp_path):
    rng = np.random.default_rng(0)
    for shape, mode in (((4, 8, 8), "P"), ((4, 8, 8, 3), "RGBA")):
        path = plotting.save(plotting.tiles(rng.random(shape), columns=2), tmp_path / "tiles.png")
        with Image.open(path) as image:
            assert image.mode == mode


def test_show_returns_false_without_a_display():
    assert plotting.show(plotting.curves({"loss": [1.0]})) is False
    plt.close("all")


@pytest.mark.slow
def test_every_figure_of_a_notebook_is_shown(monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # so that the kernel chooses its own
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    drawing = "figure = plotting.curves({'loss': [3, 2, 1]})"
    cells = [nbformat.v4.new_code_cell(code) for code in ("from tf_kit import plotting", drawing, drawing)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    pictures = [["image/png" in output.get("data", {}) for output in cell.outputs] for cell in notebook.cells]
    assert pictures == [[], [True], [True]]
