"""The places where all ways to a library's work end: function objects and TensorFlow's operations.

A name can be reached by many paths (compatibility modules, `vars`, `operator.attrgetter`, `pkgutil`), but they lead to
the same function object, whose code is replaced here. Work that another function would do just as well ends in an
operation, which is refused where Python hands it to TensorFlow: eagerly, in a graph under construction, in a graph or
function that is imported. Code that is gone from memory cannot be brought back from a file either: `sources` lists the
files to be hidden.
"""

from __future__ import annotations

import collections
import functools
import gc
import importlib
import importlib.util
import itertools
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = ("keras", "tensorflow", "scipy", "sklearn")
# Modules that seeding a case needs, and that Keras asks before it does anything.
_NEEDED = (
    *("keras.src.backend.common.global_state", "keras.src.utils.rng_utils", "keras.src.backend.config"),
    *("keras.src.random.seed_generator", "keras.src.backend.common.keras_tensor", "keras.src.api_export"),
)
_FAMILIES = {  # forbidden name -> operations that do its work under another name
    "keras.optimizers": r"(resource|sparse)*apply\w*",
    "batch_normalization": r"\w*batchnorm\w*|fusedbatchnorm\w*",
    "fused_batch_norm": r"\w*batchnorm\w*",
    "extract_patches": r"extract\w*patches|spacetodepth|depthtospace",
    "space_to_depth": r"spacetodepth|depthtospace|extract\w*patches|spacetobatch\w*|batchtospace\w*",
    "sigmoid_cross_entropy_with_logits": r"\w*crossentropy\w*",
    "clip_by_norm": r"clipbynorm",
}

_found: dict[str, list[Any]] = {}  # last part of a forbidden name -> functions and classes of that name


def index(names: Iterable[str]) -> None:
    """Find the functions and classes that bear the last part of a name, wherever a library keeps them.

    Call it once, before the forks.
    """
    wanted = {name.rsplit(".", 1)[-1] for name in names}
    spelled = {
        spelling: name for name in wanted for spelling in (name, f"_{name}", f"{name}_v1", f"{name}_v2")
    }
    seen: set[int] = set()
    for module in list(sys.modules.values()):
        if not isinstance(module, types.ModuleType) or module.__name__.split(".")[0] not in LIBRARIES:
            continue
        for attribute, thing in list(vars(module).items()):
            if not isinstance(thing, types.FunctionType | type) or id(thing) in seen:
                continue
            name = spelled.get(attribute) or spelled.get(thing.__name__)
            if name:
                seen.add(id(thing))
                _found.setdefault(name, []).append(thing)


def sources(names: Iterable[str]) -> list[str]:
    """List the files of the modules that define what the names stand for, with their compiled copies."""
    files: set[str] = set()
    for name in names:
        things = list(_found.get(name.rsplit(".", 1)[-1], ()))
        module = sys.modules.get(name)
        if "." in name and module is not None:
            things += [each for each in vars(module).values() if isinstance(each, types.FunctionType | type)]
        for thing in things:
            defining = sys.modules.get(getattr(thing, "__module__", None) or "")
            path = getattr(defining, "__file__", None)
            if path and path.endswith(".py") and "optimizer.py" not in path:
                files |= {path, importlib.util.cache_from_source(path)}
    return sorted(file for file in files if Path(file).exists())


def of_name(name: str) -> list[Any]:
    """Return the functions and classes that `index` found for a name."""
    return _found.get(name.rsplit(".", 1)[-1], [])


def shut(thing: Any, refused: Callable[..., NoReturn]) -> None:
    """Replace the code of a function, of what it wraps, or of the methods of a class.

    Args:
        thing: the function or class.
        refused: function that raises.
    """
    if isinstance(thing, type):
        for method in list(vars(thing).values()):
            inner: list[Any] = [method] if isinstance(method, types.FunctionType) else []
            inner += [getattr(method, part, None) for part in ("__func__", "fget", "fset")]
            for function in inner:
                if isinstance(function, types.FunctionType) and function.__qualname__.startswith(
                    thing.__qualname__
                ):
                    _shut_function(function, refused, set())
    elif isinstance(thing, types.FunctionType):
        _shut_function(thing, refused, set())


def _shut_function(function, refused, done):
    if id(function) in done:
        return
    done.add(id(function))
    inner = [getattr(function, "__wrapped__", None)]
    for cell in function.__closure__ or ():
        try:
            inner.append(cell.cell_contents)
        except ValueError:  # an empty cell
            continue
    for each in inner:
        if isinstance(each, types.FunctionType) and each.__name__ == function.__name__:
            _shut_function(each, refused, done)

    constants = tuple(refused if each == "refuse" else each for each in _TEMPLATE.co_consts)
    code = _TEMPLATE.replace(co_consts=constants, co_freevars=function.__code__.co_freevars)
    function.__code__, function.__defaults__, function.__kwdefaults__ = code, None, None


def _template():
    """Make code that takes any arguments and calls a constant, whatever the function was that it is put into."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = compile("def closed(*arguments, **options):\n    return 'refuse'()", "<closed>", "exec")
    return next(each for each in made.co_consts if isinstance(each, types.CodeType))


_TEMPLATE = _template()


def shut_library(library: str, refused: Callable[..., NoReturn]) -> None:
    """Shut every function of a library that is loaded, except those that seed a case."""
    for module in list(sys.modules.values()):
        if not isinstance(module, types.ModuleType) or not module.__name__.startswith(library + "."):
            continue
        if module.__name__ in _NEEDED:
            continue
        for thing in list(vars(module).values()):
            home = getattr(thing, "__module__", None) or "" if isinstance(thing, types.FunctionType) else ""
            if home.startswith(library + ".") and home not in _NEEDED:
                _shut_function(thing, refused, set())


def operations(names: Iterable[str]) -> re.Pattern[str] | None:
    """Make the pattern of the operations that do the work of forbidden names; None if there are none.

    Example:
        >>> pattern = operations(["tf.nn.leaky_relu", "keras.optimizers"])
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
    return re.compile("|".join(sorted(parts))) if parts else None


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


def refuse_operations(pattern: re.Pattern[str], refused: Callable[[str], NoReturn]) -> None:
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

        restricted = _restricted(original, is_permitted)
        runs: dict[Any, Any] = {}  # operation -> head of a call, what runs it

        def guarded(*arguments):
            head = arguments[: at + 1]
            if kept:  # what runs an operation of a graph would keep the graph
                before, run = runs.get(arguments[at], ((), None))
                if run is None or any(one is not other for one, other in zip(head, before, strict=True)):
                    run = restricted(head)
                    runs[arguments[at]] = head, run
            else:
                run = restricted(head)
            return run(*arguments[at + 1 :])

        return guarded

    for holder in _HOLDERS:
        module = sys.modules.get(holder)
        for names, inside in ((_RUN, False), (_IMPORT, True)):
            for name, at in names.items():
                original = getattr(module, name, None)
                if original is not None:
                    setattr(module, name, guard(original, at, inside, kept=name.startswith("TFE_Py")))


_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_]+")


def lock(refused: Callable[..., NoReturn]) -> None:
    """Close what would lead around the doors: searches of memory, tracing, second copies of compiled modules."""
    for owner, names in (
        (gc, ("get_objects", "get_referrers", "get_referents")),
        (sys, ("settrace", "setprofile")),
        (threading, ("settrace", "setprofile")),
        (importlib, ("reload",)),
        (sys.modules["_imp"], ("create_dynamic",)),
    ):
        for name in names:
            setattr(
                owner, name, _only_new(getattr(owner, name), refused) if name == "create_dynamic" else refused
            )


def _only_new(create, refused):
    contains = str.__contains__

    def is_permitted(head):
        name = head[0].name
        return not contains(name, "_pywrap") and not contains(name, "pywrap_")

    restricted = _restricted(create, is_permitted)

    def create_dynamic(spec, *file):
        copied = types.SimpleNamespace(name=str.__str__(spec.name), origin=str.__str__(spec.origin))
        try:
            run = restricted((copied, *file))
        except IndexError:
            refused()
        return run()

    return create_dynamic


def _restricted(function, is_permitted):
    """Make a function that restricts another one to calls which begin with given arguments, if they are permitted.

    All steps are of compiled code, but for `is_permitted`. So no frame, no closure and no attribute shows `function`:
    not to code that runs below (a conversion, a finalizer, the handler of a signal), not in a traceback, not to another
    thread. What is returned can be called with the rest of the arguments, and shows nothing either.

    Args:
        function: the function.
        is_permitted: function of a tuple of arguments. It must look up nothing that an answer can replace.

    Example:
        >>> add = _restricted(max, lambda head: head[0] > 2)
        >>> add((3,))(7)
        7
    """
    heads: collections.deque[tuple[Any, ...]] = collections.deque()
    permitted = filter(is_permitted, iter(heads.popleft, None))
    made = map(_sealed, itertools.starmap(functools.partial(functools.partial, function), permitted))
    take, lock = _sealed(functools.partial(next, made)), threading.Lock()

    def restricted(head):
        with lock:
            heads.append(head)
            return take()  # IndexError if it is not permitted

    return restricted


# Wraps a function so that it can be called, but not be found by attributes: the wrapper of `functools.lru_cache`, which
# is compiled and, made directly, has no `__wrapped__`.
_wrapper: Any = functools._lru_cache_wrapper
_sealed = functools.partial(_wrapper, maxsize=0, typed=False, cache_info_type=tuple)
