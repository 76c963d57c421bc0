"""Lecture demos: how they are found, described, configured and run.

A demo is a percent script `NN_topic.py` with a docstring whose first line is its question, the constants `TITLE` and
`SECONDS` (duration at full size on two cores), a dataclass `Config`, and the functions

    run(config) -> dict        plain numbers and arrays, the same for the same config
    check(results) -> str      asserts the claim of the docstring and returns the answer in one sentence
    plot(results) -> figure    draws the results

It ends with `if __name__ == "__main__": lectures.main(globals())`, so that it runs as a program, imports as a module
and opens as a notebook.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import importlib.util
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from tf_kit.checks import refuse
from tf_kit.errors import InputError
from tf_kit.options import flags_of, help_text
from tf_kit.options import option as option


@dataclasses.dataclass(frozen=True)
class Demo:
    """Description of a demo, read from its file without running it.

    Attributes:
        number: two digits, such as `"06"`.
        topic: rest of the file name, such as `"optimizers"`.
        title: title.
        question: first line of the docstring.
        seconds: duration at full size on two cores.
        path: path of the file.
    """

    number: str
    topic: str
    title: str
    question: str
    seconds: float
    path: Path


def folder() -> Path:
    """Return the folder of the demos: in the installed package, or next to the package in a checkout."""
    inside = Path(__file__).parent / "_lectures"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "lectures"


def demos() -> list[Demo]:
    """Return all demos in order."""
    return [_describe(path) for path in sorted(folder().glob("[0-9][0-9]_*.py"))]


def find(name: str) -> Demo:
    """Return the demo with a number (`"6"`, `"06"`) or a topic (`"optimizers"`).

    Raises:
        InputError: there is none; the message names the most similar topic.
    """
    everything = demos()
    for demo in everything:
        if name in (demo.topic, demo.number, demo.number.lstrip("0"), f"{demo.number}_{demo.topic}"):
            return demo
    near = difflib.get_close_matches(name, [demo.topic for demo in everything], n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    refuse(
        "find.name",
        "be the number or the name of a demo",
        f"{name!r}",
        f"{hint}`lectures.demos()` lists them",
        flag="NAME",
        typed_remedy=f"{hint}`tf-kit lecture list` shows them",
    )


def load(demo: Demo) -> ModuleType:
    """Import a demo."""
    name = f"tf_kit_lecture_{demo.number}_{demo.topic}"
    spec = importlib.util.spec_from_file_location(name, demo.path)
    assert spec is not None  # as for every path that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    spec.loader.exec_module(module)
    return module


def docstring(demo: Demo) -> str:
    """Return the docstring of a demo without importing it."""
    return ast.get_docstring(_tree(demo.path)) or ""


def flags(demo: Demo) -> list[click.Option]:
    """Make a flag for each field of a demo's `Config`.

    Executes only the definition of `Config`, so that `--help` does not import TensorFlow. If the definition uses other
    names of the demo, the demo is imported.
    """
    names: dict[str, Any] = {
        "__name__": __name__,
        "dataclasses": dataclasses,
        "lectures": sys.modules[__name__],
    }
    body: list[ast.stmt] = [
        each for each in _tree(demo.path).body if isinstance(each, ast.ClassDef) and each.name == "Config"
    ]
    with contextlib.suppress(NameError):
        exec(compile(ast.Module(body, []), str(demo.path), "exec"), names)
    return flags_of(names["Config"] if "Config" in names else load(demo).Config)


def configure(module: ModuleType, quick: bool = False, **changes: Any) -> Any:
    """Return the configuration of a demo.

    Args:
        module: demo, as `load` returns it.
        quick: whether to start from `Config.quick()` instead of `Config()`. Defaults to False.
        **changes: fields to change; None keeps a field.
    """
    config = module.Config.quick() if quick else module.Config()
    return dataclasses.replace(
        config, **{name: value for name, value in changes.items() if value is not None}
    )


def perform(module: ModuleType, config: Any, out: str | Path) -> Path:
    """Run a demo, draw its figure and check its claim; print the question first and the answer last.

    Args:
        module: demo, as `load` returns it.
        config: its configuration.
        out: folder for the figure.

    Returns:
        Path of the figure.

    Raises:
        AssertionError: the claim of the demo does not hold.
    """
    from tf_kit import plotting

    assert module.__doc__ is not None
    assert module.__file__ is not None  # in a notebook, `main` sets it
    size = "" if config == module.Config() else " at full size"
    click.echo(f"{question(module.__doc__)} (about {module.SECONDS:g} s{size})")
    began = time.perf_counter()
    results = module.run(config)
    figure = module.plot(results)
    shown = plotting.show(figure)
    path = plotting.save(figure, Path(out) / f"{Path(module.__file__).stem}.png", close=not shown)
    answer = module.check(results)
    click.echo(f"{answer} ({time.perf_counter() - began:.0f} s; figure: {path})")
    return path


def main(namespace: Mapping[str, Any]) -> None:
    """Run a demo as a program, with the arguments of the command line, or in a notebook, with the defaults.

    Args:
        namespace: `globals()` of the demo.
    """
    module = sys.modules[namespace["__name__"]]
    if "ipykernel" in sys.modules:
        module.__file__ = namespace.get("__file__", f"{namespace['TITLE'].lower().replace(' ', '_')}.py")
        perform(module, module.Config(), "figures")
        return

    def command(quick, out, **changes):
        perform(module, configure(module, quick, **changes), out)

    parameters: list[click.Parameter] = [*flags_of(module.Config), *general_flags()]
    try:
        click.Command("demo", callback=command, params=parameters, help=module.__doc__).main()
    except InputError as error:
        click.echo(f"{error}", err=True)
        sys.exit(2)


def general_flags() -> list[click.Option]:
    """Make the flags that every demo has."""
    out = help_text("Folder for the figure", "figures")
    return [
        click.Option(["--quick"], is_flag=True, help="Run a smaller version of the demo."),
        click.Option(["--out"], default="figures", help=out, metavar="FOLDER"),
    ]


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


def question(docstring: str) -> str:
    """Return the first line of a demo's docstring.

    Example:
        >>> question('''What can one layer not separate?
        ...
        ... More text.''')
        'What can one layer not separate?'
    """
    return docstring.strip().splitlines()[0]


def _describe(path):
    tree = _tree(path)
    constants = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    number, topic = path.stem.split("_", 1)
    asked = question(ast.get_docstring(tree))
    return Demo(number, topic, constants["TITLE"], asked, constants["SECONDS"], path)


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))
