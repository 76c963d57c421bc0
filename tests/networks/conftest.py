"""Wrong twins: a function of the package with one token changed, which the test of the right one must reject."""

import inspect
import textwrap

import pytest


@pytest.fixture
def wrong_twin(monkeypatch):
    """install(owner, name, old, new): replaces owner.name by the same source with `old` written as `new`."""

    def install(owner, name, old, new):
        function = vars(owner)[name]
        source = textwrap.dedent(inspect.getsource(function))
        head, quotes, body = source.rpartition('"""') if function.__doc__ else ("", "", source)
        assert body.count(old) == 1, f"{name} has {old!r} {body.count(old)} times"
        made = {}
        mutant = compile(head + quotes + body.replace(old, new), f"wrong twin of {name}", "exec")
        exec(mutant, vars(inspect.getmodule(function)), made)
        monkeypatch.setattr(owner, name, made[name])

    return install
