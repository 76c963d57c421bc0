"""Slices of a notebook: the statements that an answer needs."""

import pytest

from tf_kit.grading.slicing import Cell, Notebook
from tf_kit.grading.statements import statements


def code_of(*sources, names=("f",), stub="def f():\n    raise NotImplementedError\n"):
    return Notebook([Cell(source) for source in sources], {"f": (names, stub)}).answer("f", names)


def test_only_used_statements_are_taken():
    answer = code_of(
        "import numpy as np, os", "model = np.ones(10**12)", "def f():\n    return np.pi", "print(f())"
    )
    assert answer.code == "import numpy as np\n\ndef f():\n    return np.pi\n"


def test_local_names_do_not_pull_in_globals():
    assert "train" not in code_of("x = train()", "def f():\n    x = 1\n    return x").code


def test_each_statement_comes_after_its_dependencies():
    code = code_of(
        "def f():\n    return g()", "g = make(h)", "h = 2\ndef make(h):\n    return lambda: h"
    ).code
    assert code.index("def make") < code.index("g = make")
    assert code.index("h = 2") < code.index("g = make")
    namespace = {}
    exec(code, namespace)
    assert namespace["f"]() == 2


def test_statements_that_change_a_used_object_are_kept():
    code = code_of("def f(): return f.rate", "f.rate = 3", "other.rate = 4").code
    assert "f.rate = 3" in code
    assert "other" not in code


def test_last_cell_that_differs_from_the_stub_is_used():
    stub = "def f():\n    raise NotImplementedError\n"
    assert "return 2" in code_of("def f(): return 1", "def f(): return 2", stub).code
    assert code_of(stub).status == "missing"
    assert code_of("x = 1").status == "missing"


def test_syntax_error_names_its_line():
    answer = code_of("def f(:\n    pass")
    assert answer.status == "error"
    assert "line 1" in answer.why


def test_modulo_at_the_start_of_a_line_is_not_a_magic():
    assert "% 3" in code_of("def f():\n    return (7\n    % 3)").code


@pytest.mark.parametrize(
    "source", ["(" * 10_000, "-" * 100_000 + "1", "x" * 300_000, "a" + ".b" * 60_000, "\x00"]
)
def test_cell_that_breaks_the_parser_does_not_affect_others(source):
    answer = code_of(source, "def f(): return 1")
    assert answer.code.startswith("def f")


def test_statements_on_one_line_are_split():
    assert [statement.text for statement in statements("a = 1; b = 2")] == ["a = 1", "b = 2"]


def test_form_feed_does_not_end_a_line():
    given = 'a = "x\x0cy\u2028z"\ndef f():\n    return 1\n'
    assert [statement.text for statement in statements(given)] == given.strip().split("\n", 1)


def test_statements_that_share_a_line_with_a_longer_one_are_split():
    given = "a = (1,\n     2); b = 3\n@a\ndef f():\n    return 1  # so\nc = 4  # and\n"
    assert [statement.text for statement in statements(given)] == [
        *("a = (1,\n     2)", "b = 3"),
        *("@a\ndef f():\n    return 1  # so", "c = 4  # and"),
    ]


def test_deeply_nested_answer_is_handled():
    answer = code_of("f = a" + ".b" * 900)
    assert answer.status or answer.code
