"""Notebooks of the demos."""

from __future__ import annotations

from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.lectures.catalog import Demo


def write_notebook(demo: Demo, out: str | Path) -> Path:
    """Write a demo as a notebook that opens in Jupyter and on Colab.

    Args:
        demo: the demo.
        out: folder for the notebook.

    Returns:
        Path of the notebook.

    Raises:
        InputError: jupytext is not installed.
    """
    try:
        import jupytext
        import nbformat
    except ModuleNotFoundError:
        remedy = '`pip install "tf-kit[labs]"` installs it'
        refuse("write_notebook", "find the package jupytext", "no such package", remedy, flag="--notebook")
    notebook = jupytext.read(demo.path, fmt="py:percent")
    install = "# In an environment without the kit, such as a fresh Colab:\n# %pip install <the kit's wheel>"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(install))
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = Path(out) / f"{demo.path.stem}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(notebook, path)
    return path
