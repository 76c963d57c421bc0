"""TensorFlow's operations, where all ways to them end: refused where Python hands them to TensorFlow's C library.

That is eagerly, in a graph under construction, and in a graph or function that is imported.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from tf_kit.grading.sandbox.sealing import restricted

_FAMILIES = {  # forbidden name -> operations that do its work under another name
    "keras.optimizers": r"(resource|sparse)*apply\w*",
    "batch_normalization": r"\w*batchnorm\w*|fusedbatchnorm\w*",
    "fused_batch_norm": r"\w*batchnorm\w*",
    "extract_patches": r"extract\w*patches|spacetodepth|depthtospace",
    "space_to_depth": r"spacetodepth|depthtospace|extract\w*patches|spacetobatch\w*|batchtospace\w*",
    "sigmoid_cross_entropy_with_logits": r"\w*crossentropy\w*",
    "clip_by_norm": r"clipbynorm",
    "soft_shrink": r"\w*apply(proximal|ftrl)\w*",
    "sigmoid": r"(lstm|gru)block\w*|blocklstm\w*",
}
# Operations that do what a text or an attribute says.
_INTERPRETERS = r"datasetfromgraph|xlacallmodule|fused(matmul|conv\w*)|\w*fusedbatchmatmul\w*"
# Compiled modules of TensorFlow that run, or compute in advance, graphs that no guard has seen.
_ENGINES = (
    *(
        "_pywrap_tf_optimizer",
        "_pywrap_tf_cluster",
        "_pywrap_tf_item",
        "pywrap_mlir",
        "_pywrap_quantize_training",
    ),
    *("pywrap_quantize_model", "pywrap_function_lib", "_pywrap_converter_api"),
    *("_pywrap_tensorflow_interpreter_wrapper", "_pywrap_analyzer_wrapper"),
)


def pattern_of(names: Iterable[str]) -> re.Pattern[str] | None:
    """Make the pattern of the operations that do the work of forbidden names; None if there are none.

    Example:
        >>> pattern = pattern_of(["tf.nn.leaky_relu", "keras.optimizers"])
        >>> [bool(pattern.fullmatch(plain(each))) for each in ("LeakyRelu", "ResourceApplyAdam", "Relu", "AddV2")]
        [True, True, False, False]
    """
    parts = set()
    for name in names:
        library, last = name.split(".")[0], name.rsplit(".", 1)[-1]
        if name in ("tensorflow", "tf", "keras"):
            parts.add(".*")
        elif library in ("tensorflow", "tf", "keras"):
            parts.add(f"{re.escape(plain(last))}(grad)?")
            parts |= {_FAMILIES[key] for key in (name, last) if key in _FAMILIES}
    return re.compile("|".join([*sorted(parts), _INTERPRETERS])) if parts else None


def plain(operation: str) -> str:
    """Write the type of an operation, or the name of its function, without case and underscores."""
    return operation.replace("_", "").lower()


# Functions of TensorFlow's C library by the position of the operation's type, or of a graph, among their arguments.
_RUN = {"TFE_Py_FastPathExecute": 1, "TFE_Py_Execute": 2, "TFE_Py_ExecuteCancelable": 2, "TF_NewOperation": 1}
_IMPORT = {
    **dict.fromkeys(("TFE_ContextAddFunctionDef", "TFE_ContextAddFunctionDefNoSerialization"), 1),
    **dict.fromkeys(
        ("TF_GraphImportGraphDefWithResults", "TF_GraphImportGraphDefWithResultsNoSerialization"), 1
    ),
    **dict.fromkeys(("TF_FunctionImportFunctionDef", "TF_FunctionImportFunctionDefNoSerialization"), 0),
}
_HOLDERS = (
    *("tensorflow.python.pywrap_tfe", "tensorflow.python._pywrap_tfe"),
    *("tensorflow.python.client.pywrap_tf_session", "tensorflow.python.client._pywrap_tf_session"),
)


def engines() -> list[str]:
    """List the loaded modules that run graphs which no guard has seen.

    Call it before the forks, which remember the list: a search counts a reference to each of some thousand modules,
    and thereby copies three thousand pages of memory that a fork shares with its parent.
    """
    _engines[:] = [
        name
        for name, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType) and name.startswith("tensorflow.") and name.endswith(_ENGINES)
    ]
    return _engines


_engines: list[str] = []


def refuse(pattern: re.Pattern[str], refused: Callable[[str], NoReturn]) -> None:
    """Refuse operations from now on in this process.

    Args:
        pattern: types of operations, as `plain` writes them.
        refused: function of the type of an operation that raises.
    """
    # bound here, since an answer may replace whatever is looked up when it runs
    matches, words_of, kind_of, text, octets = pattern.fullmatch, _WORD.findall, type, str, bytes

    def guard(original, at, inside, kept):
        def is_permitted(head):
            given = head[at]
            kind = kind_of(given)  # an exact type, of which no method is the answer's
            if kind is not text and kind is not octets:  # a message could be changed after it was read
                refused("a graph" if inside else "an operation without a name")
                return False
            for word in words_of(given) if inside else (given,):
                word = word if kind is text else word.decode()
                if matches(word.replace("_", "").lower()) is not None:
                    refused("a graph" if inside else word)
                    return False
            return True

        made_for = restricted(original, is_permitted)
        runs: dict[Any, Any] = {}  # operation -> head of a call, what runs it

        def guarded(*arguments):
            head = arguments[: at + 1]
            if kept:  # what runs an operation of a graph would keep the graph
                before, run = runs.get(arguments[at], ((), None))
                if run is None or any(one is not other for one, other in zip(head, before, strict=True)):
                    run = made_for(head)
                    runs[arguments[at]] = head, run
            else:
                run = made_for(head)
            return run(*arguments[at + 1 :])

        return guarded

    for name in _engines or engines():
        engine = sys.modules[name]
        for attribute, thing in list(vars(engine).items()):
            if callable(thing) and not attribute.startswith("__"):
                setattr(engine, attribute, lambda *_, **__: refused("a graph"))
    for holder in _HOLDERS:
        module = sys.modules.get(holder)
        for names, inside in ((_RUN, False), (_IMPORT, True)):
            for name, at in names.items():
                original = getattr(module, name, None)
                if original is not None:
                    setattr(module, name, guard(original, at, inside, kept=name.startswith("TFE_Py")))


_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_]+")
