"""The start of the process that forks: what it does once does not change what is imported."""

import typing

from tf_kit.grading.sandbox import zygote


def test_type_variables_keep_their_constraints():
    before = typing._type_check
    with zygote._known_constraints():
        within = [typing.TypeVar("one", "int", "float"), typing.TypeVar("other", "float", "int")]
    without = [typing.TypeVar("one", "int", "float"), typing.TypeVar("other", "float", "int")]
    assert [each.__constraints__ for each in within] == [each.__constraints__ for each in without]
    assert typing._type_check is before
