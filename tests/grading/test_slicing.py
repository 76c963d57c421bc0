"""Slices of a notebook: the statements that an answer needs."""

import symtable
from unittest import mock

import pytest

from tf_kit.grading.slicing import Cell, Notebook
from tf_kit.grading.statements import statements

MARK, CHECK, STUB = "# mark\n", 'check("f")', "def f():\n    raise NotImplementedError"
WRONG, RIGHT = "def f(): return 1", "def f(): return 2"


def code_of(*sources, names=("f",), stub="def f():\n    raise NotImplementedError\n"):
    cells = [Cell(source, ("f",) if source.startswith(MARK) else ()) for source in sources]
    return Notebook(cells, {"f": (names, stub)}).answer("f", names)


def value_of(code):
    """Run a slice in a new namespace and call its function."""
    namespace = {}
    exec(code, namespace)
    return namespace["f"]()


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
    assert value_of(code) == 2


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


@pytest.mark.parametrize(
    "sources",
    [
        ["from math import *", "def f(): return pow(2, 1).is_integer() + 1"],
        ["def floor(x): return 7", "from math import *", "def f(): return floor(2.5)"],
        ["from math import *", "def floor(x): return 2", "def f(): return floor(7)"],
        ["from nothing_of_this_name import *", "def f(): return 2"],
        ["def f(): return 2 if isinstance(pow(1, 1), int) else 1", CHECK, "from math import *"],
    ],
)
def test_star_imports_replace_names_as_in_the_notebook(sources):
    assert value_of(code_of(*sources).code) == 2


@pytest.mark.parametrize(
    "above",
    [
        "!pip install -q \\\n    one \\\n    two",
        "    def g(): return 2\n    print(g())",
        "%time TABLE = table()",
        "%%time\nTABLE = table()",
        "here, there = !echo 1\nTABLE = %timeit -o f()",
        "f?\n%pdb off\nif 1:\n    !ls",
    ],
)
def test_syntax_of_ipython_is_read_by_ipython(above):
    code = code_of("def table(): return 2", f"{above}\n", "def f(): return TABLE").code
    assert ("TABLE = table()" in code) == ("TABLE = table()" in above)
    assert value_of(code_of(f"{above}\n", RIGHT).code) == 2


def test_files_of_writefile_are_kept_where_they_are_named():
    above = ["%%writefile a.py\nimport b", "%%writefile b.py\nx = 2", "%%writefile c.py\nx = 3"]
    code = code_of(*above, "from a import b", "def f(): return b.x", CHECK, "%%writefile a.py\n").code
    written = [line.split("'")[3] for line in code.splitlines() if "run_cell_magic" in line]
    assert written == ["a.py", "b.py"]
    assert "writefile" not in code_of(*above, RIGHT).code


def test_statements_that_make_folders_are_kept_in_wider_slices():
    above = ["from pathlib import Path", "Path('a').mkdir()", "def g(): Path('b').mkdir()"]
    answer = code_of(*above, "for _ in range(9):\n    Path('c').mkdir()\n    train()", RIGHT, CHECK)
    assert "mkdir" not in answer.code
    assert ["'a'" in each for each in answer.others] == [True]
    assert not [each for each in answer.others if "'b'" in each or "'c'" in each]


def test_magics_without_number_cost_their_cells_alone():
    answer = code_of(RIGHT, *(["%a\n" * 2000] * 50), "%time x = 2", "def g(): return 3")
    assert value_of(answer.code) == 2


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


@pytest.mark.parametrize(
    "sources",
    [
        ["n = 1\ndef f():\n    global n\n    n += 1\n    return n"],
        ["n = 1", "def f():\n    global n\n    n += 1\n    return n"],
        ["n = 1", "def up():\n    global n\n    n += 1", "def f():\n    up()\n    return n"],
        [
            "n = 1",
            "class Up:\n    def __call__(self):\n        global n\n        n += 1\n        return n",
            "f = Up()",
        ],
        [
            "n = None",
            "def g():\n    global n\n    if n is None:\n        n = 2\n    return n",
            "def f(): return g()",
        ],
        ["n = 1", "def f():\n    globals()['n'] += 1\n    return n"],
    ],
)
@pytest.mark.parametrize("check", [[], [CHECK]], ids=["", "checked"])
def test_function_that_sets_a_global_keeps_its_first_value(sources, check):
    assert value_of(code_of(*sources, *check).code) == 2


@pytest.mark.parametrize(
    "sources",
    [
        [MARK + WRONG, RIGHT, CHECK],
        [MARK + WRONG, CHECK, RIGHT, CHECK],
        [MARK + WRONG, RIGHT, CHECK, "def f(): return 3"],
        [MARK + RIGHT, CHECK, WRONG],
        [MARK + WRONG, RIGHT, STUB, CHECK],
        [MARK + WRONG, "first = f\ndef f(): return first() + 1", CHECK],
        [MARK + WRONG, "first = f", "def f(): return first() + 1", CHECK, WRONG],
        [MARK + WRONG, "def deco(g): return lambda: g() + 1", "f = deco(f)", CHECK],
        [MARK + WRONG, "if not 0:\n    def f(): return 2", CHECK],
        [WRONG, "first = f", "def f(): return first() + 1", CHECK],
        [
            WRONG,
            "f.rate = 1\nf = RuntimeError if 0 else f",
            "first = f\ndef f(): return first.rate + 1",
            CHECK,
        ],
    ],
)
def test_definition_that_was_bound_last_before_the_check_is_the_answer(sources):
    assert value_of(code_of(*sources).code) == 2


@pytest.mark.parametrize(
    "check",
    [
        *("check()", 'check(id="f")', "check('f', hint=True)", "check(namespace=globals())", "points('f')"),
        *("for e in ids:\n    check(e)", "[check(e) for e in ids]", "check(*ids)", "check(**which)"),
        *('%time check("f")', 'kit.check("f")', 'check(\n    "f"\n)', "check(f'{name}')"),
    ],
)
def test_every_form_of_check_judges(check):
    assert value_of(code_of("check()", MARK + WRONG, CHECK, RIGHT, check).code) == 2
    assert value_of(code_of(MARK + WRONG, check, RIGHT).code) == 1


@pytest.mark.parametrize(
    "check",
    [
        *('# check("f")', "'check()'", 'print("""\ncheck("f")\n""")', 'check("g")', "check(3)", "check"),
        *("# check()\nrecheck()", 'def check(x): return x\ncheck(f)\ncheck("f")', "check( f'"),
    ],
)
def test_what_only_looks_like_a_check_does_not_judge(check):
    assert value_of(code_of(MARK + WRONG, CHECK, RIGHT, check).code) == 1


def test_checks_above_the_answer_are_not_the_first_that_saw_it():
    answer = code_of("check()", MARK + STUB, "check()", RIGHT, CHECK, WRONG, "check()")
    assert value_of(answer.code) == 1
    assert 2 in [value_of(code) for code in answer.others[:1]]


@pytest.mark.parametrize(
    "sources",
    [
        [MARK + RIGHT, WRONG, CHECK],
        [MARK + RIGHT, CHECK, WRONG, CHECK],
        [MARK + "def f(): return 1", "g = f\ndef f(): return g() + 1", CHECK, WRONG, CHECK],
    ],
)
def test_marked_cell_and_first_check_are_tried_next(sources):
    answer = code_of(*sources)
    assert value_of(answer.code) == 1
    assert 2 in [value_of(code) for code in answer.others[:2]]


@pytest.mark.parametrize(
    "sources",
    [
        [MARK + WRONG, CHECK, RIGHT],
        [MARK + WRONG, CHECK, "g = f\ndef f(): return g() + 1"],
        [WRONG, CHECK, MARK + STUB, RIGHT],
        [MARK + WRONG, RIGHT],
        [RIGHT, MARK + WRONG],
    ],
)
def test_neither_definitions_below_the_last_check_nor_unmarked_ones_without_a_check_count(sources):
    answer = code_of(*sources)
    assert {value_of(code) for code in (answer.code, *answer.others)} == {1}


def test_cell_of_many_notebooks_is_split_once_and_its_statements_stay_apart():
    source = "only_in_this_test = 1\nimport os, sys"
    with mock.patch("symtable.symtable", wraps=symtable.symtable) as made:
        first, second = (statements(source, cell) for cell in (3, 5))
    assert made.call_count == 1
    assert [s.cell for s in (*first, *second)] == [3] * 3 + [5] * 3
    assert (
        [s.text for s in first]
        == [s.text for s in second]
        == ["only_in_this_test = 1", "import os", "import sys"]
    )
    assert not set(first) & set(second)


def test_names_of_python_itself_are_not_looked_for_below():
    code = code_of("def f(): return sum([2]) + g()", CHECK, "sum = 0", "def g(): return 1").code
    assert "sum = 0" not in code
    assert value_of(code) == 3


def test_code_below_a_check_in_its_cell_does_not_count():
    assert value_of(code_of(f"{MARK}{RIGHT}\n{CHECK}\n{WRONG}").code) == 2


@pytest.mark.parametrize(
    ("above", "call"),
    [
        ("from tf_kit.grading import points, check as test", 'test("f")'),
        (f"def test():\n    {CHECK}", "test()"),
        ("from tf_kit.grading import check", 'list(map(check, ["f"]))'),
    ],
)
def test_check_is_found_by_what_it_calls(above, call):
    assert value_of(code_of(above, MARK + WRONG, RIGHT, call, WRONG).code) == 2


def test_import_of_a_part_of_a_library_keeps_the_other_parts():
    code = code_of("import wsgiref.util", "import wsgiref.headers", "def f(): return wsgiref.util, 2").code
    assert "import wsgiref.util\n" in code
    assert "import wsgiref.headers\n" in code


@pytest.mark.parametrize("names", ["f", "*"])
def test_import_from_a_module_of_the_notebook_is_an_answer(names):
    found = code_of(f"%%writefile own.py\n{RIGHT}", f"from own import {names}", STUB)
    assert not found.status
    assert RIGHT in found.code
    assert code_of(f"from numpy import {names}", STUB).status == "missing"


@pytest.mark.parametrize(
    ("option", "taken"),
    [
        ("np.random.seed(SEED)", True),
        ("begin()", True),
        ("decimal.getcontext().prec = 50", True),
        ("train()", False),
        ("np.save('x', train())", False),
        ("sys.exit(0)", False),
        ("gc.collect()", False),
        ("plt.show()", False),
    ],
)
def test_wider_slice_sets_the_options_of_libraries(option, taken):
    imports = "import numpy as np, decimal, sys, gc, matplotlib.pyplot as plt\nSEED = 1"
    begin = (
        "def begin():\n    np.random.seed(SEED)\n\ndef train():\n    begin()\n    return [np.ones(9)] * 10**9"
    )
    answer = code_of(imports, begin, option, "edge = 2", "def f(): return edge")
    assert option not in answer.code
    assert any(option in code for code in answer.others) == taken
