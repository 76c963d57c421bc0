"""Statements that prepare a notebook: they make folders, set environment variables and options of libraries."""

from __future__ import annotations

import ast
from collections.abc import Sequence

_MAKING_FOLDERS = ("mkdir", "makedirs", "MakeDirs")
_ENDING = {"exit", "_exit", "abort", "kill", "sleep"}
_WORKING = (ast.Call, ast.Lambda, ast.Await, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def prepares(node: ast.stmt, text: str) -> bool:
    """Whether a statement makes folders, as `Path("out").mkdir()` does, or sets an environment variable.

    Args:
        node: the statement.
        text: its source.
    """
    if "environ" in text and _sets_variable(node):
        return True
    return any(name in text for name in _MAKING_FOLDERS) and _makes_folders(node)


def _makes_folders(node):
    """Whether a statement makes folders; of a loop, all of its body must, since a training may do it on the way."""
    if isinstance(node, ast.For | ast.While | ast.With):
        return all(map(_makes_folders, node.body))
    return any(called(n) in _MAKING_FOLDERS for n in ast.walk(node) if isinstance(n, ast.Call))


def called(call: ast.Call) -> str:
    """Find the last part of the name that a call calls."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _sets_variable(node):
    """Whether a statement is `os.environ["NAME"] = "a constant"`."""
    targets = [getattr(each, "value", None) for each in getattr(node, "targets", ())]
    return isinstance(getattr(node, "value", None), ast.Constant) and any(
        getattr(each, "attr", getattr(each, "id", "")) == "environ" for each in targets
    )


def option(node: ast.stmt) -> tuple[str, frozenset[str]] | None:
    """Read a statement as one that sets an option of a library: by a call whose result is dropped, or an attribute.

    Returns:
        The name that it begins with, which is the library's if it is imported, and the names in the values; None if
        it is another statement, or if a value has to be computed, since that may take long.

    Example:
        >>> texts = "np.random.seed(SEED)", "decimal.getcontext().prec = 50", "plt.plot(train())", "x = 1"
        >>> [option(ast.parse(text).body[0]) for text in texts]
        [('np', frozenset({'SEED'})), ('decimal', frozenset()), None, None]
    """
    values: Sequence[ast.AST]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        target, values = call.func, [*call.args, *(keyword.value for keyword in call.keywords)]
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, values = node.targets[0], [node.value]
    else:
        return None
    if not isinstance(target, ast.Attribute | ast.Subscript) or getattr(target, "attr", "") in _ENDING:
        return None
    root: ast.AST = target
    while isinstance(root, ast.Attribute | ast.Subscript | ast.Call):
        if isinstance(root, ast.Call):
            values = [*values, *root.args, *(keyword.value for keyword in root.keywords)]
        root = root.func if isinstance(root, ast.Call) else root.value
    parts = [each for value in values for each in ast.walk(value)]
    if not isinstance(root, ast.Name) or any(isinstance(each, _WORKING) for each in parts):
        return None
    return root.id, frozenset(each.id for each in parts if isinstance(each, ast.Name))


def only_sets(node: ast.stmt | None, imported: frozenset[str]) -> bool:
    """Whether a function does nothing but set options of libraries, as `def seed(n): np.random.seed(n)` does.

    Args:
        node: the definition.
        imported: names of the libraries.
    """
    if not isinstance(node, ast.FunctionDef) or node.decorator_list:
        return False
    own = {
        alias.asname or alias.name
        for each in node.body
        if isinstance(each, ast.Import)
        for alias in each.names
    }
    for each in node.body:
        silent = isinstance(each, ast.Import | ast.ImportFrom | ast.Pass) or (
            isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
        )
        found = option(each)
        if not (silent or prepares(each, ast.unparse(each)) or (found and found[0] in imported | own)):
            return False
    return True
