"""Notebooks of the demos: prose, parameters, the demo in steps, and something to change."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tf_kit import colab
from tf_kit.checks import refuse
from tf_kit.first_cell import first_cell
from tf_kit.lectures.catalog import Demo, docstring
from tf_kit.lectures.index import read
from tf_kit.options import help_text
from tf_kit.whole_files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode


def write_notebook(
    demo: Demo,
    out: str | Path,
    install: str = "",
    values: Mapping[str, Any] | None = None,
    folder: str | None = None,
) -> Path:
    """Write a demo as a notebook that opens in Jupyter and on Colab.

    The docstring becomes prose, followed by the equations of `notebooks.toml`; then come a cell that installs the kit
    where it is missing, a cell of parameters, the cells of the demo, the sliders if it has them, and a parameter to
    change with a hidden expectation.

    Args:
        demo: the demo.
        out: folder for the notebook.
        install: what pip is to install where the kit is missing, see `first_cell`.
        values: parameter → value that the cell of parameters gives it in place of its default. Defaults to none.
        folder: folder of the repository on GitHub into which the notebook will be put, for a badge that opens it in
            Colab, see `colab.badge`. Defaults to None, no badge.

    Returns:
        Path of the notebook.

    Raises:
        InputError: jupytext is not installed, `install` has several lines, `folder` is refused, or `out` holds another
            notebook of that name.
    """
    try:
        import jupytext
        import nbformat
    except ModuleNotFoundError:
        remedy = '`pip install "tf-kit[labs]"` installs it'
        refuse("write_notebook", "find the package jupytext", "no such package", remedy, flag="--notebook")
    values = values or {}
    new, added = nbformat.v4, read("notebooks.toml").get(demo.topic, {})
    notebook = jupytext.read(demo.path, fmt="py:percent")
    cells = notebook.cells[1:]  # without the docstring
    head = [new.new_markdown_cell(text) for text in prose(demo, added.get("equations", [])) if text]
    if folder is not None:
        badge = colab.badge(f"{demo.path.stem}.ipynb", install, folder)
        head[0].source = colab.beneath_heading(head[0].source, badge)
    head += [new.new_code_cell(first_cell(install)), new.new_code_cell(parameters(demo, values))]
    named = f"__doc__ = {demo.question!r}  # printed first"
    source = notebook.cells[0].source.split('"""', 2)[2].strip()  # the imports stand below the docstring
    last = [new.new_code_cell("lectures.states.show(sliders(Config.quick()))")] if _moves(demo) else []
    last += [new.new_markdown_cell(text) for text in (something_to_change(added, values) if added else ())]
    notebook.cells = [*head, new.new_code_cell(f"{source}\n\n{named}"), *cells, *last]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel})
    return write_once(notebook, Path(out) / f"{demo.path.stem}.ipynb")


def write_once(notebook: NotebookNode, path: Path) -> Path:
    """Write a notebook, the same bytes for the same cells; a notebook that was edited since is not overwritten.

    Args:
        notebook: the notebook; its cells get numbers as identifiers.
        path: path of the file; a missing folder is made.

    Returns:
        The path.

    Raises:
        InputError: there is a file with another content.
    """
    import nbformat

    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"
    content = nbformat.writes(notebook) + "\n"
    if path.exists() and path.read_bytes() != content.encode():
        rule = f"be a folder without {path.name}, which may hold a student's work"
        remedy = "Choose another folder, or move the file"
        refuse("write_notebook.out", rule, f"{str(path.parent)!r}", remedy, flag="--out")
    return write_text(path, content)


def prose(demo: Demo, equations: list[str]) -> list[str]:
    """Return the docstring of a demo as Markdown: title and question, experiment, equations, claim and references."""
    asked, *paragraphs = docstring(demo).split("\n\n")
    claim = next(i for i, text in enumerate(paragraphs) if text.startswith("Claim:"))
    before, after = paragraphs[:claim], paragraphs[claim:]
    typeset = "\n\n".join(f"$$ {equation} $$" for equation in equations)
    named = [re.sub(r"^(\w+):", r"**\1:**", text, flags=re.M) for text in after]
    return [
        f"# {demo.number} {demo.title}\n\n**{asked}**",
        "\n\n".join([*before, typeset]),
        "\n\n".join(named),
    ]


def parameters(demo: Demo, values: Mapping[str, Any]) -> str:
    """Return the source of the cell of parameters: one line for each field of `Config`, with its help.

    Args:
        demo: the demo.
        values: parameter → value in place of its default.
    """
    tree = ast.parse(demo.path.read_text(encoding="utf-8"))
    config = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config")
    lines = ["# Parameters: change them here, then run all cells.", "PARAMETERS = {"]
    for field in config.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(field.value, ast.Call)  # of lectures.option
            default, meaning = (ast.literal_eval(each) for each in field.value.args)
            limits = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in field.value.keywords}
            choices = ", ".join(map(str, limits.pop("choices", ())))
            meaning = f"{meaning.rstrip('.')}: {choices}." if choices else meaning
            name = field.target.id
            lines.append(f'    "{name}": {values.get(name, default)!r},  # {help_text(meaning, **limits)}')
    return "\n".join([*lines, "}"])


def something_to_change(added: Mapping[str, str], values: Mapping[str, Any]) -> list[str]:
    """Return the cells that ask what a changed parameter does, with the expectation hidden; none if it is changed."""
    name, value = added["change"].split(" = ")
    if values.get(name) == ast.literal_eval(value):
        return []
    asked = f"## What do you expect?\n\nChange `{name}` to `{value}` in the cell of parameters. What do you expect?"
    hidden = f"<details><summary>Show what to expect</summary>\n\n{added['expect']}\n\n</details>"
    return [f"{asked} Run all cells again to see it.", hidden]


def _moves(demo):
    return "sliders" in demo.functions
