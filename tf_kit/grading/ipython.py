"""IPython's syntax in a cell, turned into Python: magics, shell commands, help.

IPython's own transformer does it, as in the notebook in which the cell ran. It is imported where a cell is not Python.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import re
import sys
import warnings
from pathlib import Path
from typing import Any

_RUNS_ITS_CELL = ("time", "capture", "prun", "memit", "mprun", "lprun", "script_time")
_WRITES_ITS_CELL = ("writefile", "file")
_RUNS_ITS_LINE = ("time", "prun", "memit", "lprun")
# Lines of one notebook that IPython reads, in about five seconds; labs have a few thousand.
MOST_WORK = 100_000


class Shell:
    """Stand-in for IPython's shell in the process of an answer: `%%writefile` writes, all else does nothing.

    Args:
        namespace: names of the answer.
    """

    def __init__(self, namespace: dict[str, Any]):
        self.user_ns = self.user_global_ns = namespace

    def push(self, variables: dict[str, Any], interactive: bool = True) -> None:
        """Define names."""
        self.user_ns.update(variables)

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        """Write the file of `%%writefile` where modules are found, which is the working folder."""
        if name in _WRITES_ITS_CELL and line.split():
            path = _path(line)
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open(
                    "a" if {"-a", "--append"} & {*line.split()} else "w", encoding="utf-8"
                ) as file:
                    file.write(cell)
            importlib.invalidate_caches()
            # Bytecode is known by the second and size of its source, which may be written again at once.
            sys.dont_write_bytecode = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: [] if name == "getoutput" else None


def _path(line):
    path = Path(line.split()[-1].strip("\"'"))
    return Path(path.name) if path.is_absolute() else path


def as_python(source: str) -> str:
    """Turn a cell into Python by IPython's own transformer.

    Raises:
        SyntaxError: IPython cannot read the cell.

    Example:
        >>> print(as_python("if True:\\n    %matplotlib inline\\n    x = (7\\n% 5)").splitlines()[-1])
        % 5)
    """
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        with warnings.catch_warnings(action="ignore"):  # about lines, to whoever grades
            return TransformerManager().transform_cell(source)
    except Exception as error:  # it was written for people at a keyboard
        raise SyntaxError(f"IPython cannot read the cell ({type(error).__name__})") from error


def work(source: str) -> int:
    """Bound the lines that `as_python` reads: all of them, and again after each line that it changes.

    Example:
        >>> work("%time f()\\n!ls\\nx = 1")
        9
    """
    lines = source.splitlines()
    changed = [line for line in lines if {*"%!?"} & {*line} or line.lstrip().startswith((",", ";", "/"))]
    return len(lines) * (1 + len(changed))


def code_in(node: ast.stmt) -> str | None:
    """Return the code that a magic or `exec` of a string runs in the notebook's own names, as `%time x = f()` does.

    None for any other statement, and "" for a magic that runs nothing there.

    Example:
        >>> code_in(ast.parse("get_ipython().run_line_magic('time', 'x = 1')").body[0])
        'x = 1'
        >>> code_in(ast.parse("get_ipython().system('mkdir -p out')").body[0])
        "[__import__('os').makedirs(folder, exist_ok=True) for folder in ['out']]"
    """
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return None
    call = node.value
    if isinstance(call.func, ast.Name) and call.func.id == "exec":
        return _literal(call)
    if not isinstance(call.func, ast.Attribute) or not isinstance(call.func.value, ast.Call):
        return None
    shell = call.func.value.func
    if not isinstance(shell, ast.Name) or shell.id != "get_ipython":
        return None
    words = _words(call)
    if file_in(node) is not None:
        return None
    if call.func.attr == "run_cell_magic" and len(words) == 3:
        return words[2] if words[0] in _RUNS_ITS_CELL else ""
    if call.func.attr == "run_line_magic" and len(words) == 2 and words[0] in _RUNS_ITS_LINE:
        return re.sub(r"^(?:-\w+ +)*", "", words[1])
    if call.func.attr in ("run_line_magic", "system") and words and words[0].split()[:1] == ["mkdir"]:
        folders = [word for word in " ".join(words).split()[1:] if not word.startswith("-")]
        return f"[__import__('os').makedirs(folder, exist_ok=True) for folder in {folders}]"
    if call.func.attr == "run_line_magic" and words and words[0] in ("env", "set_env"):
        name, _, value = " ".join(words[1:]).replace("=", " ", 1).partition(" ")
        return f"__import__('os').environ[{name!r}] = {value.strip()!r}" if value.strip() else ""
    return "" if call.func.attr in ("run_line_magic", "system", "getoutput", "set_next_input") else None


def file_in(node: ast.AST) -> tuple[str, str] | None:
    """Return the name, without folder and suffix, and the text of the file that `%%writefile` writes.

    Example:
        >>> file_in(ast.parse("get_ipython().run_cell_magic('writefile', '-a tools.py', 'x = 1')").body[0])
        ('tools', 'x = 1')
    """
    call = node.value if isinstance(node, ast.Expr) else node
    if not isinstance(call, ast.Call) or getattr(call.func, "attr", "") != "run_cell_magic":
        return None
    words = _words(call)
    if len(words) != 3 or words[0] not in _WRITES_ITS_CELL or not words[1].split():
        return None
    return _path(words[1]).stem, words[2]


def _words(call):
    """List the strings that a call is given."""
    constants = [each.value for each in call.args if isinstance(each, ast.Constant)]
    return [each for each in constants if isinstance(each, str)]


def _literal(call):
    """Return the code that `exec` is given as a string, if that is all that it is given."""
    if len(call.args) != 1 or call.keywords or not isinstance(call.args[0], ast.Constant):
        return None
    code = call.args[0].value
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return code if isinstance(code, str) else None


_NAMES = ("globals", "locals", "vars")
_SHELLS = ("user_ns", "user_global_ns")


def name_by_string(node: ast.AST) -> str:
    """Return the name of the notebook that an expression stands for, as `globals()["rate"]` does; "" for others.

    Example:
        >>> texts = "globals()['a']", "vars().get('b', 1)", "get_ipython().user_ns['c']", "table['d']", "globals()[e]"
        >>> [name_by_string(ast.parse(text, mode="eval").body) for text in texts]
        ['a', 'b', 'c', '', '']
    """
    if isinstance(node, ast.Subscript):
        names, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        if node.func.attr not in ("get", "setdefault", "pop"):
            return ""
        names, key = node.func.value, node.args[0]
    else:
        return ""
    if not isinstance(key, ast.Constant) or not isinstance(key.value, str) or not _are_names(names):
        return ""
    return key.value


def names_by_update(node: ast.AST) -> list[str]:
    """List the names that a call binds as `globals().update(rate=1)` or `get_ipython().push({"rate": 1})` does.

    Example:
        >>> names_by_update(ast.parse("globals().update({'a': 1}, b=2)", mode="eval").body)
        ['a', 'b']
    """
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return []
    owner, method = node.func.value, node.func.attr
    if not (_are_names(owner) if method == "update" else method == "push" and _is_shell(owner)):
        return []
    given = node.args[0] if node.args else None
    keys = given.keys if isinstance(given, ast.Dict) else []
    found = [each.value for each in keys if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return [*found, *(each.arg for each in node.keywords if each.arg and method == "update")]


def _are_names(node):
    """Whether an expression is the dict of the notebook's names."""
    if isinstance(node, ast.Attribute):
        return node.attr in _SHELLS and _is_shell(node.value)
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _NAMES
        and not node.args
        and not node.keywords
    )


def _is_shell(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"
