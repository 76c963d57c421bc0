"""IPython's syntax in a cell, turned into Python: magics, shell commands, help.

IPython's own transformer does it where IPython is installed, as in the notebook in which the cell ran.
"""

from __future__ import annotations

import ast
import re
from typing import Any

_RUNS_ITS_CELL = ("time", "capture", "prun", "memit", "mprun", "lprun", "script_time")
_RUNS_ITS_LINE = ("time", "prun", "memit", "lprun")
_SPECIAL = re.compile(r"^\s*(?:[%!?]|[\w, ()\[\]*.]+=\s*[%!])|\?\s*$")
_MOST_LINES = 200


class Shell:
    """Stand-in for IPython's shell in the process of an answer, where magics and commands do nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: [] if name == "getoutput" else None


def as_python(source: str) -> str:
    """Turn a cell into Python.

    Example:
        >>> print(as_python("if True:\\n    %matplotlib inline\\n    x = (7\\n% 5)").splitlines()[-1])
        % 5)
    """
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        return _without_special_lines(source)
    return TransformerManager().transform_cell(source)


def _without_special_lines(source):
    """Replace the lines that only IPython understands, those at which Python's parser stops, by `pass`."""
    head, _, body = source.lstrip().partition("\n")
    if head.startswith("%%"):
        return body if head[2:].split()[:1] and head[2:].split()[0] in _RUNS_ITS_CELL else ""
    lines = source.split("\n")
    for _ in range(_MOST_LINES):
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            at = (error.lineno or 0) - 1
            candidates = [i for i in (at, at - 1) if 0 <= i < len(lines) and _SPECIAL.search(lines[i])]
            if not candidates:
                break
            line = lines[candidates[0]]
            name = re.match(r"\s*(\w+)\s*=\s*[%!]", line)
            indent = line[: len(line) - len(line.lstrip())]
            lines[candidates[0]] = f"{indent}{f'{name[1]} = None' if name else 'pass'}"
        else:
            break
    return "\n".join(lines)


def code_in(node: ast.stmt) -> str | None:
    """Return the code that a magic or `exec` of a string runs in the notebook's own names, as `%time x = f()` does.

    None for any other statement, and "" for a magic that runs nothing there.

    Example:
        >>> code_in(ast.parse("get_ipython().run_line_magic('time', 'x = 1')").body[0])
        'x = 1'
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
    words = [
        each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    if call.func.attr == "run_cell_magic" and len(words) == 3:
        return words[2] if words[0] in _RUNS_ITS_CELL else ""
    if call.func.attr == "run_line_magic" and len(words) == 2 and words[0] in _RUNS_ITS_LINE:
        return re.sub(r"^(?:-\w+ +)*", "", words[1])
    return "" if call.func.attr in ("run_line_magic", "system", "getoutput", "set_next_input") else None


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
