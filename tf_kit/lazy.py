"""Names of a package that are imported when they are first used, so that the command line starts at once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazily(package: str, names: Mapping[str, Sequence[str]]) -> tuple[Callable, Callable, list[str]]:
    """Make the `__getattr__`, `__dir__` and `__all__` of a package whose names are imported on first use.

    An editor or a type checker does not see these names; the package imports them under `if TYPE_CHECKING:` too.

    Args:
        package: `__name__` of the package.
        names: module → names that the package takes from it. A module with no names is itself the name.
    """
    home = {name: module for module, group in names.items() for name in group}
    modules = {module.rsplit(".", 1)[-1]: module for module, group in names.items() if not group}
    everything = sorted({*home, *modules})

    def get(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(home[name]), name)
        if name in modules:
            return importlib.import_module(modules[name])
        raise AttributeError(f"{package} has no {name!r}; it has {', '.join(everything)}")

    def directory() -> list[str]:
        return everything

    return get, directory, everything
