"""Wrong twins: code of the package as it would be with one token wrong, to show that a test can fail."""

import importlib
import inspect
import pkgutil
import textwrap
import types


def wrong_twin(module, right, wrong):
    """`module` again, with `right`, which must stand in its source exactly once, replaced by `wrong`."""
    source = _replaced(inspect.getsource(module), right, wrong, module.__name__)
    twin = types.ModuleType(f"{module.__name__}_twin")
    exec(_compiled(source.replace('package="tf_kit"', 'package="twin"'), module.__name__, wrong), vars(twin))
    return twin


def use_wrong_twin(monkeypatch, package, right, wrong):
    """Replace the module of `package` with `right` in its source by its wrong twin, wherever it is imported."""
    names = [f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)]
    modules = [importlib.import_module(name) for name in names]
    (original,) = (module for module in modules if right in inspect.getsource(module))
    twin = wrong_twin(original, right, wrong)
    for name, thing in list(vars(original).items()):
        if getattr(thing, "__module__", None) == original.__name__:
            for module in (package, *modules):
                if getattr(module, name, None) is thing:
                    monkeypatch.setattr(module, name, getattr(twin, name))


def wrong_function(owner, name, right, wrong):
    """The function `name` of a module or class, with `right`, once in its body, replaced by `wrong`."""
    function = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(function))
    head, quotes, body = source.rpartition('"""') if function.__doc__ else ("", "", source)
    made = {}
    source = head + quotes + _replaced(body, right, wrong, name)
    exec(_compiled(source, name, wrong), vars(inspect.getmodule(function)), made)
    return made[function.__name__]


def wrong_class(owner, method, right, wrong):
    """The class `owner` with that `wrong_function` as its method."""
    return type(owner.__name__, (owner,), {method: wrong_function(owner, method, right, wrong)})


def _replaced(source, right, wrong, name):
    if source.count(right) != 1:  # no AssertionError, which the test of a twin expects
        raise LookupError(f"{right!r} stands {source.count(right)} times in {name}")
    return source.replace(right, wrong)


def _compiled(source, name, wrong):
    return compile(source, f"<{name} with {wrong!r}>", "exec")
