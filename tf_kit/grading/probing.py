"""Running an answer and measuring it with its probe: what happens in the student's own process.

Nothing here knows what is expected.
"""

import traceback

import numpy as np

from tf_kit.grading.judge import Failure

CELL = "<answer>"
LARGEST_OUTPUT = 4 << 20  # bytes of one case


def execute(code, name="__main__"):
    """Runs an answer's code and returns its names, or a `Failure`."""
    namespace = {"__name__": name, "__builtins__": __builtins__}
    try:
        exec(compile(code, CELL, "exec"), namespace)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return failure(error, code)
    return namespace


def measure(probe, namespace, case, code=""):
    """What the probe returns for a case, as plain arrays, or a `Failure`."""
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


def plain(value):
    """A tensor, variable, number or nested list as an array of a dtype that NumPy itself has."""
    if type(value) is not np.ndarray:
        value = np.array(value)
    if value.dtype.name == "bfloat16":
        value = value.astype("float32")
    if value.dtype.kind not in "biufcUS":
        raise TypeError(f"the answer returned {type(value).__name__} of dtype {value.dtype}, not numbers")
    return np.ascontiguousarray(value) if value.ndim else value


def failure(error, code=""):
    """An exception with the line of the answer it came from."""
    kind, message = type(error).__name__, _brief(error)
    lines = code.splitlines()
    if isinstance(error, SyntaxError):
        line = error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        # AutoGraph runs the answer from a file of its own and says in its message where the line was.
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == CELL), None)
    text = lines[line - 1].strip() if line and line <= len(lines) else ""
    return Failure(kind, message, line, text)


def _brief(error, longest=300):
    if isinstance(error, SystemExit):
        return f"the answer left Python with sys.exit({error.code!r})"
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except Exception:  # an exception that cannot say what it is
        return ""
    # In graph mode the exception's own words come last, under a report of the traced code.
    message = lines[-1] if lines and lines[0].startswith("in user code") else lines[0] if lines else ""
    return message if len(message) <= longest else message[: longest - 1] + "…"
