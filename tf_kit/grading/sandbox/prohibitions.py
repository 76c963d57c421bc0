"""Prohibitions that hold while an answer runs: forbidden classes, functions, modules and calls raise `NotAllowed`.

A forbidden class keeps its name and loses its methods, so that it fails however an answer got hold of it. The modules
of the kit, which would answer most exercises, cannot be imported.
"""

import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
import types
from collections.abc import Collection, Iterable
from typing import Any

from tf_kit.grading.sandbox import doors, operations

# Modules of the kit that `tf_kit.data` and the packages import. They contain no solution of an exercise.
FOUNDATION = ("checks", "encoding", "errors", "lazy", "tables", "typing")

# Python's audit events for actions that no exercise needs.
EVENTS = {
    "os.exec": "running a program",
    "os.fork": "starting a process",
    "os.forkpty": "starting a process",
    "os.kill": "sending a signal",
    "os.posix_spawn": "running a program",
    "os.startfile": "running a program",
    "os.system": "running a program",
    "pty.spawn": "running a program",
    "socket.bind": "using the network",
    "socket.connect": "using the network",
    "socket.getaddrinfo": "using the network",
    "subprocess.Popen": "running a program",
}
# Libraries that neither Keras nor TensorFlow imports while an answer runs.
_WHOLE = {"scipy", "sklearn"}


class NotAllowed(RuntimeError):
    """The answer used something that its exercise forbids."""


def close_in_memory(forbids: Iterable[str], allows: Iterable[str]) -> set[str]:
    """Make forbidden classes, functions and modules that are loaded unusable in this process and its forks, for good.

    Args:
        forbids: dotted names of classes, functions or modules; a module stands for its public classes and functions.
        allows: dotted names that may be used although `forbids` covers them.

    Returns:
        Names of `forbids` whose library is not loaded, so that nothing of it could be closed.
    """
    open_ = {id(found(name)) for name in allows if found(name) is not None}
    absent = set()
    for name in forbids:
        library = {"tf": "tensorflow"}.get(name.split(".")[0], name.split(".")[0])
        if library not in sys.modules:  # importing it here would cost time of the answer
            absent.add(name)
            continue
        thing = found(name)
        if isinstance(thing, types.ModuleType):
            for part, member in list(vars(thing).items()):
                if (
                    not part.startswith("_")
                    and not isinstance(member, types.ModuleType)
                    and id(member) not in open_
                ):
                    # of TensorFlow as a whole all operations are refused, and seeding a case needs its functions
                    _close(
                        thing, part, member, f"{name}.{part}", in_place=name != library or library == "keras"
                    )
            doors.shut_compiled(name, _refusing(name))
            if name == library and library != "tensorflow":  # all of whose operations are refused
                doors.shut_library(library, _refusing(name))
            continue
        if thing is not None:
            parent, part = name.rsplit(".", 1)
            _close(found(parent), part, thing, name)
        for twin in doors.of_name(name):
            if id(twin) not in open_:
                doors.shut(twin, _refusing(name))
    return absent


def close(
    forbids: Iterable[str],
    allows: Iterable[str],
    kit_allows: Collection[str] = ("data",),
    closed: Collection[str] = (),
) -> None:
    """Make forbidden names, modules of the kit, other processes and the network unusable in this process, for good.

    Args:
        forbids: dotted names of classes, functions or modules; a module stands for its public classes and functions.
        allows: dotted names that may be used although `forbids` covers them.
        kit_allows: modules of the kit that may be imported.
        closed: names of `forbids` for which `close_in_memory` was called before this process was forked.
    """
    forbids = list(forbids)
    blocked = close_in_memory([name for name in forbids if name not in closed], allows)
    # of which further modules may be loaded
    blocked |= {name for name in forbids if name.split(".")[0] in _WHOLE}
    if forbids:
        blocked.update(doors.COPIES)
    pattern = operations.pattern_of(forbids)
    if pattern is not None:
        operations.refuse(pattern, lambda operation: _refusing(f"the operation {operation}")())
    doors.lock(_refusing("this access to Python's internals"))
    sys.meta_path.insert(0, _Closed(kit_allows, blocked))
    sys.addaudithook(_audit)


def _refusing(name):
    def refuse(*_, **__):
        raise NotAllowed(f"`{name}` does the work of this exercise, which you must write yourself")

    return refuse


def close_copies() -> None:
    """Make copies of the libraries inside of TensorFlow unusable. Call it once, before the forks."""
    doors.shut_copies(_refusing)


def forget() -> None:
    """Drop the modules of the kit from `sys.modules`. Call it once, before the forks: the search is slow."""
    for name in [name for name in sys.modules if name.startswith("tf_kit.")]:
        del sys.modules[name]


def foreign_bases(thing: type, base: str) -> list[str]:
    """List the classes that a class derives from besides those of the answer and of its allowed base.

    Example:
        >>> foreign_bases(type("Mine", (dict,), {"__module__": "__main__"}), "collections.abc.Mapping")
        ['builtins.dict']
    """
    allowed = {id(each) for each in found(base).__mro__}
    return [
        f"{each.__module__}.{each.__qualname__}"
        for each in type.__dict__["__mro__"].__get__(thing)
        if id(each) not in allowed and each.__module__ != "__main__"
    ]


def derives(thing: Any, base: str) -> bool:
    """Whether an object is a class that derives from the class with the dotted name `base`."""
    return inspect.isclass(thing) and any(
        each is found(base) for each in type.__dict__["__mro__"].__get__(thing)
    )


def found(name: str) -> Any:
    """Find the object with a dotted name, or None.

    Example:
        >>> found("os.path.join").__name__, found("os.nothing.join"), found("nothing")
        ('join', None, None)
    """
    parts = name.split(".")
    parts[0] = {"tf": "tensorflow"}.get(parts[0], parts[0])
    for count in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            thing = getattr(thing, part, None)
        return thing
    return None


def _close(owner, part, thing, name, in_place=True):
    closed = _refusing(name)
    if in_place:
        doors.shut(thing, closed)
    if inspect.isclass(thing):
        for method, member in list(vars(thing).items()):
            if isinstance(member, types.FunctionType | staticmethod | classmethod | property):
                setattr(thing, method, closed)
    elif callable(thing):
        setattr(owner, part, closed)


class _Closed(importlib.abc.MetaPathFinder):
    """Finder that refuses to import modules of the kit and forbidden libraries."""

    def __init__(self, kit_allows, blocked):
        self._kit_allows, self._blocked = kit_allows, blocked

    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if parts[0] == "tf_kit" and len(parts) > 1 and parts[1] not in (*FOUNDATION, *self._kit_allows):
            raise NotAllowed(
                f"`{name}` is part of the kit, which contains the solution, and not allowed in an answer"
            )
        blocked = any(name == each or name.startswith(each + ".") for each in self._blocked)
        # an answer may try for what is absent
        if blocked and importlib.machinery.PathFinder.find_spec(name, path):
            raise NotAllowed(f"`{name}` does the work of this exercise, which you must write yourself")
        return None


def _audit(event, arguments):
    if event in EVENTS:
        raise NotAllowed(f"{EVENTS[event]} is not allowed in an answer")
