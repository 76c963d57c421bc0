"""Figures where people look at them."""

import pytest


def test_every_figure_of_a_notebook_shows(monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)  # so that the kernel chooses its own
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    drawing = "figure = plotting.curves({'loss': [3, 2, 1]})"
    cells = [nbformat.v4.new_code_cell(code) for code in ("from tf_kit import plotting", drawing, drawing)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    pictures = [["image/png" in output.get("data", {}) for output in cell.outputs] for cell in notebook.cells]
    assert pictures == [[], [True], [True]]
