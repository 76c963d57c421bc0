"""Files of the demos: how they are found, described, imported and configured."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import functools
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from tf_kit.checks import refuse
from tf_kit.options import flags_of


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
        functions: names of its functions; `sliders` and `animation` are there if the demo moves.
    """

    number: str
    topic: str
    title: str
    question: str
    seconds: float
    path: Path
    functions: tuple[str, ...] = ()


def folder() -> Path:
    """Return the folder of the demos: in the installed package, or next to the package in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "_lectures"
    return inside if inside.is_dir() else package.parent / "lectures"


def demos() -> list[Demo]:
    """Return all demos in order."""
    return [_describe(path) for path in sorted(folder().glob("[0-9][0-9]_*.py"))]


def find(name: str, commands: Iterable[str] = ()) -> Demo:
    """Return the demo with a number (`"6"`, `"06"`) or a topic (`"optimizers"`).

    Args:
        name: the number or the topic.
        commands: other words that could have been meant, besides the topics. Defaults to none.

    Raises:
        InputError: there is none; the message names the most similar word.
    """
    everything = demos()
    for demo in everything:
        if name in (demo.topic, demo.number, demo.number.lstrip("0"), f"{demo.number}_{demo.topic}"):
            return demo
    near = difflib.get_close_matches(name, [*commands, *(demo.topic for demo in everything)], n=1)
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
    # With its assertions, which `python -O` leaves out, and its docstring.
    exec(compile(demo.path.read_bytes(), str(demo.path), "exec", dont_inherit=True, optimize=0), vars(module))
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
        "lectures": sys.modules[__package__],
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
    functions = tuple(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return Demo(number, topic, constants["TITLE"], asked, constants["SECONDS"], path, functions)


def moving(demo: Demo, kind: str) -> None:
    """Check that a demo declares `sliders` or `animation`.

    Raises:
        InputError: it does not; the message lists the demos that do.
    """
    if kind not in demo.functions:
        having = ", ".join(each.number for each in demos() if kind in each.functions)
        what = {"sliders": "sliders", "animation": "an animation"}[kind]
        flag = {"sliders": "--sliders", "animation": "--animate"}[kind]
        rule = f"be given for a demo with {what}"
        refuse("moving.demo", rule, f"demo {demo.number}", f"These have {what}: {having}", flag=flag)


def _tree(path):
    """The syntax tree of a file, which is read again when the file has changed."""
    about = path.stat()
    return _parsed(path, about.st_mtime_ns, about.st_size)


@functools.lru_cache
def _parsed(path, *_):
    return ast.parse(path.read_text(encoding="utf-8"))
