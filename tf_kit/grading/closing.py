"""What an answer must not use, made unusable in the process that runs it.

A class that would do the work keeps its name and loses its methods: whichever way an answer comes by it, it raises
`NotAllowed`. The kit's own modules, which answer most exercises, cannot be imported.
"""

import importlib
import importlib.abc
import inspect
import sys
import types

# Audit events of Python that no exercise needs.
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


class NotAllowed(RuntimeError):
    """The answer used what its exercise forbids."""


def close(forbids, allows, kit_allows=("data",)):
    """Closes the forbidden names, the kit's modules, and Python's ways to other processes.

    Args:
        forbids: dotted names of classes, functions or modules; of a module all its public classes and functions.
        allows: dotted names that stay open all the same.
        kit_allows: modules of the kit that may be imported.
    """
    open_ = {id(_found(name)) for name in allows if _found(name) is not None}
    blocked = set()
    for name in forbids:
        library = {"tf": "tensorflow"}.get(name.split(".")[0], name.split(".")[0])
        if library not in sys.modules:  # closed by its name: to load it would take the answer's time
            blocked.add(name)
            continue
        thing = _found(name)
        if isinstance(thing, types.ModuleType):
            for part, member in list(vars(thing).items()):
                if (
                    not part.startswith("_")
                    and not isinstance(member, types.ModuleType)
                    and id(member) not in open_
                ):
                    _close(thing, part, member, f"{name}.{part}")
        elif thing is not None:
            parent, part = name.rsplit(".", 1)
            _close(_found(parent), part, thing, name)
    sys.meta_path.insert(0, _Closed(kit_allows, blocked))
    sys.addaudithook(_audit)


def forget():
    """Takes the kit's modules from those that are loaded. Once, before the forks: to look through them is slow."""
    for name in [name for name in sys.modules if name.startswith("tf_kit.")]:
        del sys.modules[name]


def strangers(thing, base):
    """The classes that a class has from elsewhere besides those of its allowed base.

    >>> strangers(type("Mine", (dict,), {"__module__": "__main__"}), "collections.abc.Mapping")
    ['builtins.dict']
    """
    allowed = {id(each) for each in _found(base).__mro__}
    return [
        f"{each.__module__}.{each.__qualname__}"
        for each in type.__dict__["__mro__"].__get__(thing)
        if id(each) not in allowed and each.__module__ != "__main__"
    ]


def derives(thing, base):
    """Whether a thing is a class that derives from the class of a dotted name."""
    return inspect.isclass(thing) and any(
        each is _found(base) for each in type.__dict__["__mro__"].__get__(thing)
    )


def _found(name):
    """What a dotted name stands for, or None.

    >>> _found("os.path.join").__name__, _found("os.nothing.join"), _found("nothing")
    ('join', None, None)
    """
    parts = name.split(".")
    parts[0] = {"tf": "tensorflow"}.get(parts[0], parts[0])
    for count in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            thing = getattr(thing, part, None)
        return thing
    return None


def _close(owner, part, thing, name):
    def closed(*arguments, **options):
        raise NotAllowed(f"`{name}` does what the exercise asks for")

    if inspect.isclass(thing):
        for method, member in list(vars(thing).items()):
            if isinstance(member, types.FunctionType | staticmethod | classmethod | property):
                setattr(thing, method, closed)
    elif callable(thing):
        setattr(owner, part, closed)


class _Closed(importlib.abc.MetaPathFinder):
    """Refuses modules of the kit and forbidden libraries to `import`."""

    def __init__(self, kit_allows, blocked):
        self._kit_allows, self._blocked = kit_allows, blocked

    def find_spec(self, name, path=None, target=None):
        parts = name.split(".")
        if parts[0] == "tf_kit" and len(parts) > 1 and parts[1] not in ("_checks", *self._kit_allows):
            raise NotAllowed(f"`{name}` is part of the kit, and the kit answers this exercise")
        if name in self._blocked:
            raise NotAllowed(f"`{name}` does what the exercise asks for")
        return None


def _audit(event, arguments):
    if event in EVENTS:
        raise NotAllowed(f"{EVENTS[event]} is not allowed in an answer")
