"""Names of a package that are imported on first use, so that the command line starts at once."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazily(package: str, names: Mapping[str, Sequence[str]]) -> tuple[Callable, Callable, list[str]]:
    """Make the `__getattr__`, `__dir__` and `__all__` of a package whose names are imported on first use.

    Editors and type checkers do not see these names, so the package also imports them under `if TYPE_CHECKING:`.

    Args:
        package: `__name__` of the package.
        names: module → names that the package takes from it. A module without names is a submodule to offer as a whole.

    Returns:
        The two functions, and the sorted names.
    """
    taken = sorted(name for module, group in names.items() for name in group if module == f"{package}.{name}")
    if taken:  # the import of such a module would put it in the place of the name
        raise ValueError(f"{package} cannot offer names of its modules lazily: {', '.join(taken)}")
    home = {name: module for module, group in names.items() for name in group}
    modules = {module.rsplit(".", 1)[-1]: module for module, group in names.items() if not group}
    everything = sorted({*home, *modules})

    def get(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(home[name]), name)
        if name in modules:
            return importlib.import_module(modules[name])
        raise AttributeError(f"{package} has no attribute {name!r}; it has {', '.join(everything)}")

    def directory() -> list[str]:
        return everything

    return get, directory, everything
