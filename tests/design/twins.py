"""Wrong twins: a module as it would be with one token wrong, to show that a test can fail."""

import inspect
import types


def wrong_twin(module, right, wrong):
    """`module` again, with `right`, which must stand in its source exactly once, replaced by `wrong`."""
    source = inspect.getsource(module)
    assert source.count(right) == 1, f"{right!r} stands {source.count(right)} times in {module.__name__}"
    source = source.replace(right, wrong).replace('package="tf_kit"', 'package="twin"')
    twin = types.ModuleType(f"{module.__name__}_twin")
    exec(compile(source, f"<{module.__name__} with {wrong!r}>", "exec"), twin.__dict__)
    return twin
