"""The lecture demos: where they are, what they ask, and how one is run from the command line or a notebook.

A demo is a percent script `NN_topic.py` with a docstring whose first line is its question, the constants `TITLE`
and `SECONDS` (what it takes at full size on two cores), a dataclass `Config`, and the functions

    run(config) -> dict        plain numbers and arrays, the same for the same config
    check(results) -> str      asserts the claim of the docstring and returns the answer in one sentence
    plot(results) -> figure    drawn by `tf_kit.plotting`

and ends with `if __name__ == "__main__": lectures.main(globals())`, so that it runs as a program, imports as a
module and opens as a notebook.
"""

import ast
import dataclasses
import difflib
import importlib.util
import sys
import time
from pathlib import Path

import click

from tf_kit.checks import refuse
from tf_kit.errors import InputError
from tf_kit.options import flags_of
from tf_kit.options import option as option


@dataclasses.dataclass(frozen=True)
class Demo:
    """What is known of a demo without running it."""

    number: str
    topic: str
    title: str
    question: str
    seconds: float
    path: Path


def folder():
    """The folder of the demos: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "_lectures"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "lectures"


def demos():
    """All demos in order, read from their files without importing them."""
    return [_describe(path) for path in sorted(folder().glob("[0-9][0-9]_*.py"))]


def find(name):
    """The demo of a number ("6", "06") or a topic ("optimizers"), or `InputError` that names the nearest."""
    everything = demos()
    for demo in everything:
        if name in (demo.topic, demo.number, demo.number.lstrip("0"), f"{demo.number}_{demo.topic}"):
            return demo
    near = difflib.get_close_matches(name, [demo.topic for demo in everything], n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    refuse(
        "lecture",
        "be the number or the name of a demo",
        f"{name!r}",
        f"{hint}`tf-kit lecture list` shows them",
    )


def load(demo):
    """The demo as a module."""
    name = f"tf_kit_lecture_{demo.number}_{demo.topic}"
    spec = importlib.util.spec_from_file_location(name, demo.path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up here
    spec.loader.exec_module(module)
    return module


def configure(module, quick=False, **changes):
    """The demo's `Config`, or its `Config.quick()`, with the changes that are not None."""
    config = module.Config.quick() if quick else module.Config()
    return dataclasses.replace(
        config, **{name: value for name, value in changes.items() if value is not None}
    )


def perform(module, config, out):
    """Asks, runs, checks, draws; prints the question first and the answer last.

    Args:
        module: a demo, as `load` returns it.
        config: its configuration.
        out: folder for the figure.

    Returns:
        Path of the figure.

    Raises:
        AssertionError: if the demo's claim does not hold.
    """
    from tf_kit import plotting

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


def main(namespace):
    """Runs the demo whose globals are given: with the arguments of the command line, or plainly in a notebook."""
    module = sys.modules[namespace["__name__"]]
    if "ipykernel" in sys.modules:
        module.__file__ = namespace.get("__file__", f"{namespace['TITLE'].lower().replace(' ', '_')}.py")
        perform(module, module.Config(), "figures")
        return

    def command(quick, out, **changes):
        perform(module, configure(module, quick, **changes), out)

    parameters = [*flags_of(module.Config), *general_flags()]
    try:
        click.Command("demo", callback=command, params=parameters, help=module.__doc__).main()
    except InputError as error:
        click.echo(f"{error}", err=True)
        sys.exit(2)


def general_flags():
    """The flags that every demo has."""
    return [
        click.Option(["--quick"], is_flag=True, help="Run a smaller version of the demo."),
        click.Option(["--out"], default="figures", show_default=True, help="Folder for the figure."),
    ]


def write_notebook(demo, out):
    """Writes the demo as a notebook that opens in Jupyter and on Colab. Returns its path."""
    try:
        import jupytext
        import nbformat
    except ModuleNotFoundError:
        refuse(
            "--notebook", "find jupytext", "an installation without it", 'pip install "tf-kit[labs]"'
        )
    notebook = jupytext.read(demo.path, fmt="py:percent")
    install = "# In an environment without the kit, such as a fresh Colab:\n# %pip install <the kit's wheel>"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(install))
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    path = Path(out) / f"{demo.path.stem}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    jupytext.write(notebook, path)
    return path


def question(docstring):
    """The first line of a demo's docstring.

    >>> question('''What can one layer not separate?
    ...
    ... More text.''')
    'What can one layer not separate?'
    """
    return docstring.strip().splitlines()[0]


def _describe(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
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
