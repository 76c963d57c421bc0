"""Measurement of an answer by its probe, in the process that runs the answer.

Nothing in this module knows the expected values.
"""

import ast
import functools
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_kit.grading.ipython import Shell
from tf_kit.grading.judge import Failure

CELL = "<answer>"
LARGEST_OUTPUT = 4 << 20  # bytes of one case


def execute(code: str, name: str = "__main__", keep: bool = False) -> dict[str, Any] | Failure:
    """Run the code of an answer in a module that `sys.modules` holds, where dataclasses look up annotations.

    Args:
        code: the code.
        name: name of the module.
        keep: whether the module stays in `sys.modules`, in a process that runs nothing but answers. The next answer
            replaces it.

    Returns:
        The namespace of the module, or a `Failure` if the code raised.
    """
    module, before = types.ModuleType(name), sys.modules.get(name)
    namespace = vars(module)
    namespace.update({"__builtins__": __builtins__, "display": _display})
    namespace["get_ipython"] = functools.partial(Shell, namespace)
    sys.modules[name] = module
    try:
        compiled = compile(code, CELL, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        _finish(eval(compiled, namespace))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return failure(error, code)
    finally:
        if not keep:
            _register(name, before)
    return namespace


def _finish(coroutine):
    """Run code that awaits something to its end. A loop of events would need a socket, which no answer may open."""
    while coroutine is not None:
        try:
            coroutine.send(None)
        except StopIteration:
            return


def _register(name, module):
    if module is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = module


def _display(*_, **__):
    """Stand in for the function that a notebook has without an import."""


def measure(
    probe: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]],
    namespace: dict[str, Any],
    case: dict[str, Any],
    code: str = "",
) -> dict[str, np.ndarray] | Failure:
    """Run a probe on one case of an answer.

    Args:
        probe: function of the namespace and the case that returns a dict of values.
        namespace: names of the answer.
        case: arguments of the measurement.
        code: code of the answer, to quote the line that raised.

    Returns:
        The probe's values as plain arrays, or a `Failure` if the answer raised.
    """
    try:
        arrays = {str(name): plain(value) for name, value in probe(namespace, case).items()}
        size = sum(array.nbytes for array in arrays.values())
        if size > LARGEST_OUTPUT:
            raise ValueError(f"the answer returned {size >> 20} MB where a few numbers are expected")
        return arrays
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return failure(error, code)


def plain(value: Any) -> np.ndarray:
    """Convert a tensor, variable, number or nested list to an array of a dtype that NumPy has.

    Raises:
        TypeError: the value does not hold numbers or strings.
    """
    if value is None:
        raise TypeError("the answer returned None; a function without `return` does")
    kind = type(value).__name__
    if type(value) is not np.ndarray:
        value = np.array(value)
    if value.dtype.name == "bfloat16":
        value = value.astype("float32")
    if value.dtype.kind not in "biufcUS":
        of_dtype = f" of dtype {value.dtype}" if kind == "ndarray" else ""
        raise TypeError(f"the answer returned {kind}{of_dtype}, not numbers")
    return np.ascontiguousarray(value) if value.ndim else value


def failure(error: BaseException, code: str = "") -> Failure:
    """Describe an exception, with the line of the answer that raised it."""
    kind, message = type(error).__name__, _brief(error)
    lines = code.splitlines()
    if isinstance(error, SyntaxError):
        line = error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        # AutoGraph runs a converted copy from another file; its message names the original line.
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == CELL), None)
    text = lines[line - 1].strip() if line and line <= len(lines) else ""
    return Failure(kind, message, line, text)


def _brief(error, longest=300):
    if isinstance(error, SystemExit):
        return f"the answer ended Python with sys.exit({error.code!r})"
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except Exception:  # the exception's `__str__` fails
        return ""
    # In graph mode the original message is the last line, below a report on the traced code.
    message = lines[-1] if lines and lines[0].startswith("in user code") else lines[0] if lines else ""
    return message if len(message) <= longest else message[: longest - 1] + "…"
