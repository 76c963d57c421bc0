"""The places where all ways to a library's work end: function objects, and TensorFlow's operations (`operations.py`).

A name can be reached by many paths (compatibility modules, `vars`, `operator.attrgetter`, `pkgutil`), but they lead to
the same function object, whose code is replaced here. Work that another function would do just as well ends in an
operation, which is refused where Python hands it to TensorFlow: eagerly, in a graph under construction, in a graph or
function that is imported. Compiled code has no code to replace, so that it is taken from every module that holds it.
Code that is gone from memory cannot be brought back from a file either: `sources` lists the files to be hidden.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from tf_kit.grading.sandbox.sealing import restricted

LIBRARIES = ("keras", "tensorflow", "scipy", "sklearn")
# Parts of libraries that compute the same once more, and libraries that do: no answer needs them.
COPIES = (
    *("keras.src.backend.numpy", "keras.src.backend.jax", "keras.src.backend.torch"),
    *(
        "keras.src.backend.openvino",
        "tensorflow.python.keras",
        "tf_keras",
        "torch",
        "jax",
        "jaxlib",
        "openvino",
    ),
    *("ai_edge_litert", "tflite_runtime", "onnxruntime", "paddle", "mxnet", "cupy", "autograd", "pytensor"),
)
# Modules that seeding a case needs, that Keras asks before it does anything, or TensorFlow before a loop or branch.
_NEEDED = (
    *("keras.src.backend.common.global_state", "keras.src.utils.rng_utils", "keras.src.backend.config"),
    *("keras.src.random.seed_generator", "keras.src.backend.common.keras_tensor", "keras.src.api_export"),
    "tensorflow.python.keras.engine.base_layer_utils",
)
_ASKED = {"get_graph"}  # functions of TensorFlow's copy of Keras that stay open for the same reason

_found: dict[str, list[Any]] = {}  # last part of a forbidden name -> functions and classes of that name
# Number of a compiled function -> it, and the modules that hold it with their names for it.
_held: dict[int, tuple[Any, list[tuple[types.ModuleType, str]]]] = {}
_compiled: dict[str, list[Any]] = {}  # forbidden module -> functions of the compiled modules in it


def index(names: Iterable[str]) -> None:
    """Find the functions and classes that bear the last part of a name, wherever a library keeps them.

    NumPy is searched for its own names only. Call it before the forks.
    """
    names = set(names)
    own = {name.rsplit(".", 1)[-1] for name in names if name.startswith("numpy.")}
    if own:
        importlib.import_module("numpy.ma")  # loaded late, with functions of the same names
    wanted = {name.rsplit(".", 1)[-1] for name in names}
    spelled = {
        spelling: name for name in wanted for spelling in (name, f"_{name}", f"{name}_v1", f"{name}_v2")
    }
    seen = {id(thing) for things in _found.values() for thing in things}
    modules = [each for each in sys.modules.values() if isinstance(each, types.ModuleType)]
    for module in modules:
        library = module.__name__.split(".")[0]
        if library not in LIBRARIES and library != "numpy":
            continue
        for attribute, thing in list(vars(module).items()):
            named = isinstance(thing, types.FunctionType | type)
            if id(thing) in seen or not (named or _is_compiled(thing)):
                continue
            name = spelled.get(attribute) or spelled.get(getattr(thing, "__name__", ""))
            if name and (name in own if library == "numpy" else named):
                seen.add(id(thing))
                _found.setdefault(name, []).append(thing)
    _index_compiled(names, modules)


def _index_compiled(names, modules):
    inside = [name for name in names if name.split(".")[0] in ("scipy", "sklearn")]
    for module in modules:
        above = [name for name in inside if f"{module.__name__}.".startswith(f"{name}.")]
        if above and not (getattr(module, "__file__", None) or ".py").endswith(".py"):
            things = [thing for thing in vars(module).values() if _is_compiled(thing)]
            for name in above:
                _compiled.setdefault(name, []).extend(things)
    named = {id(thing) for things in _found.values() for thing in things}
    things = [thing for kept in (*_compiled.values(), *_found.values()) for thing in kept]
    _held.update({id(thing): (thing, []) for thing in things if _is_compiled(thing)})
    for module in modules if _held else ():
        # a compiled module holds functions of Python and of NumPy too, which others need
        inside = module.__name__.split(".")[0] in ("scipy", "sklearn")
        for attribute, thing in list(vars(module).items()):
            if id(thing) in _held and (inside or id(thing) in named):
                _held[id(thing)][1].append((module, attribute))


def _is_compiled(thing):
    """Whether a thing is a function without code of Python: of C, of Cython, a ufunc, a dispatcher of NumPy."""
    return callable(thing) and type(thing).__name__ in _COMPILED


_COMPILED = {
    *("ufunc", "builtin_function_or_method", "cython_function_or_method", "fused_cython_function"),
    *("_ArrayFunctionDispatcher", "_cython_3_1_fused_function", "MultiUFunc"),
}


def sources(names: Iterable[str]) -> list[str]:
    """List the files of the modules that define what the names stand for, with their compiled copies."""
    files: set[str] = set()
    for name in names:
        things = list(_found.get(name.rsplit(".", 1)[-1], ()))
        module = sys.modules.get(name)
        if "." in name and module is not None:
            things += [each for each in vars(module).values() if isinstance(each, types.FunctionType | type)]
        for thing in things:
            if _is_compiled(thing):
                continue
            defining = sys.modules.get(getattr(thing, "__module__", None) or "")
            path = getattr(defining, "__file__", None)
            if path and path.endswith(".py") and "optimizer.py" not in path:
                files |= {path, importlib.util.cache_from_source(path)}
    return sorted(file for file in files if Path(file).exists())


def copies() -> list[str]:
    """List the folders of `COPIES`."""
    folders: list[str] = []
    for name in COPIES:
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(name)
            folders += (spec.submodule_search_locations or []) if spec else []
    return folders


def of_name(name: str) -> list[Any]:
    """Return the functions and classes that `index` found for a name."""
    return _found.get(name.rsplit(".", 1)[-1], [])


def shut(thing: Any, refused: Callable[..., NoReturn]) -> None:
    """Replace the code of a function, of what it wraps, or of the methods of a class; put `refused` for compiled code.

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
    else:
        for module, attribute in _held.get(id(thing), (None, ()))[1]:
            setattr(module, attribute, refused)
        wrapped = getattr(thing, "__wrapped__", None)  # what a dispatcher of NumPy calls
        if isinstance(wrapped, types.FunctionType):
            _shut_function(wrapped, refused, set())


def shut_compiled(name: str, refused: Callable[..., NoReturn]) -> None:
    """Shut the functions of the compiled modules in a forbidden module."""
    for thing in _compiled.get(name, ()):
        shut(thing, refused)


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
    for module in _loaded(library):
        for thing in list(vars(module).values()):
            home = getattr(thing, "__module__", None) or "" if isinstance(thing, types.FunctionType) else ""
            if home.startswith(library + ".") and home not in _NEEDED:
                _shut_function(thing, refused, set())


def shut_copies(refusing: Callable[[str], Callable[..., NoReturn]]) -> None:
    """Shut the functions and classes of `COPIES` that TensorFlow loads. Call it once, before the forks.

    Args:
        refusing: function of a name that returns a function which raises.
    """
    for copy in COPIES:
        for module in _loaded(copy):
            for thing in list(vars(module).values()):
                home = getattr(thing, "__module__", None) or ""
                if not home.startswith(copy) or home in _NEEDED:
                    continue
                if isinstance(thing, types.FunctionType) and thing.__name__ not in _ASKED:
                    _shut_function(thing, refusing(f"{copy}.{thing.__name__}"), set())
                # dispatchers are asked when an operation of the answer fails
                elif isinstance(thing, type) and not thing.__name__.endswith("Dispatcher"):
                    shut(thing, refusing(f"{copy}.{thing.__name__}"))


def _loaded(library):
    return [
        module
        for module in list(sys.modules.values())
        if isinstance(module, types.ModuleType)
        and module.__name__.startswith(library + ".")
        and module.__name__ not in _NEEDED
    ]


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

    permitted = restricted(create, is_permitted)

    def create_dynamic(spec, *file):
        copied = types.SimpleNamespace(name=str.__str__(spec.name), origin=str.__str__(spec.origin))
        try:
            run = permitted((copied, *file))
        except IndexError:
            refused()
        return run()

    return create_dynamic
