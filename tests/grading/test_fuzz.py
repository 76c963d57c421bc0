"""Whatever a notebook holds, or its process sends back, is a value: it costs its own points and never ends a batch."""

import copy
import json

import numpy as np
import pytest

from grading.class_of_students import LAB, notebook
from tf_kit.grading import grader, paper, reports, submissions
from tf_kit.grading.judge import Failure
from tf_kit.grading.roster import HandedIn
from tf_kit.grading.sandbox import messages

STRANGE = [
    *(
        "\ud800",
        "\x00",
        "\x1b[2J\x1b]0;title\x07",
        "\u202egnp.exe",
        "\u2028",
        "\ufeff",
        "\uffff",
        "é" * 9,
        "😀",
    ),
    *(
        "%%time\n",
        "!ls\n",
        "%timeit x\n",
        "x?\n",
        "\\\n",
        '"""',
        "'",
        "(" * 300,
        "def ",
        "class ",
        "\t",
        "\f",
        "0x",
    ),
    *(
        "lambda: ",
        "await x\n",
        "return\n",
        "global leaky_relu\n",
        "leaky_relu = ",
        "-" * 2000 + "1\n",
        "import *\n",
    ),
    *(
        "if x:\n",
        "match x:\n case ",
        "# exercise: leaky\n",
        "f'{",
        "..",
        "1e999",
        "9" * 5000,
        "\r",
        "del np\n",
    ),
]
VALUES = [
    *(
        None,
        True,
        -1,
        1e308,
        float("nan"),
        10**30,
        "",
        "\udfff",
        "x" * 5000,
        [],
        [[]],
        {},
        {"": None},
        [None, 3],
    ),
    *([{"cell_type": "code", "source": [1, None, "\ud800"]}], {"cell_type": "code"}, {"source": {"a": 1}}),
]


def nodes(tree, path=()):
    """Yield the path of every value in a JSON tree."""
    yield path
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        yield from nodes(value, (*path, key))


def mutated(rng, made):
    """Change a notebook in one to four places: a value of the JSON, a piece of source, bytes of the file."""
    tree = copy.deepcopy(made)
    for _ in range(rng.integers(1, 5)):
        kind = rng.integers(4)
        cells = tree["cells"] if isinstance(tree, dict) and isinstance(tree.get("cells"), list) else []
        sources = [c for c in cells if isinstance(c, dict) and isinstance(c.get("source"), str)]
        if kind < 2 and sources:
            cell = sources[rng.integers(len(sources))]
            at = rng.integers(len(cell["source"]) + 1)
            end = at + rng.integers(0, 12) * rng.integers(2)
            cell["source"] = cell["source"][:at] + STRANGE[rng.integers(len(STRANGE))] + cell["source"][end:]
        elif kind == 2 and cells:
            cells.insert(rng.integers(len(cells)), copy.deepcopy(cells[rng.integers(len(cells))]))
        else:
            path = list(nodes(tree))[1:]
            if not path:
                continue
            *parents, last = path[rng.integers(len(path))]
            owner = tree
            for key in parents:
                owner = owner[key]
            owner[last] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    data = json.dumps(tree).encode("utf-8", "surrogatepass")
    if rng.integers(5) == 0:
        at = rng.integers(len(data))
        data = data[:at] + bytes(rng.integers(0, 256, 3).tolist()) + data[at + rng.integers(3) :]
    if rng.integers(12) == 0:
        data = data[: rng.integers(len(data))]
    return data


def strange_outputs(rng, request):
    """Make what a hostile process might send for the cases of a request, through the judge's own reader."""
    arrays = [
        *(
            np.zeros(6),
            np.full(4, np.nan),
            np.array(["\ud800", "a\x1b[0m"]),
            np.zeros((0, 3)),
            np.zeros(()),
            np.array([1j]),
        ),
        *(
            np.ones((2, 3), bool),
            np.array([2**63], "uint64"),
            np.zeros(6, "float16"),
            np.array([b"\xff\x00"]),
        ),
    ]
    shapes = [{"arrays": {"y": arrays[rng.integers(len(arrays))], "x": arrays[rng.integers(len(arrays))]}}]
    shapes += [
        {"failure": ["\ud800" * 200, "\x1b[31m\udcff" * 100, None, "x\ny"]},
        {"arrays": {}},
        {"failure": [1, None, [], {}]},
    ]
    tree = [shapes[rng.integers(len(shapes))] for _ in request.cases]
    if rng.integers(6) == 0:
        return messages.outputs_of(bytes(rng.integers(0, 256, 60).tolist()), len(request.cases))
    return messages.outputs_of(messages.pack(tree), len(request.cases))


class Strange:
    """Children that answer at once, with anything."""

    jobs, level, parts = 2, "full", {"limits": True}

    def __init__(self, *_):
        self.rng, self.started = np.random.default_rng(1), []

    def __exit__(self, *_):
        pass

    @property
    def free(self):
        return 2 - len(self.started)

    def start(self, job):
        for request in job.requests:
            request.outputs = strange_outputs(self.rng, request)
            if request.outputs is None:
                job.ended = ("timeout", "crashed")[self.rng.integers(2)]
                break
        self.started.append(job)

    def wait(self, _=None):
        ended, self.started = self.started, []
        return ended


def grade(monkeypatch, tmp_path, count, seed):
    monkeypatch.setattr(grader, "Children", Strange)
    rng = np.random.default_rng(seed)
    made = json.loads(json.dumps(notebook()))
    folder = tmp_path / "class"
    folder.mkdir()
    for i in range(count):
        (folder / f"student{'abcdefghij'[i % 10]} {i:05}.ipynb").write_bytes(mutated(rng, made))
    survey = submissions.survey([folder], LAB)
    with grader.Grader(LAB, secret="a secret of the course") as judge:
        grades = list(judge.grade(survey.submissions))
    reports.write(grades, LAB, tmp_path / "out", {}, HandedIn(survey))
    return grades


def assert_judged(grades, count):
    assert len(grades) == count
    by_hand = [r.sentence for each in grades for r in each.results if paper.BY_HAND in r.sentence]
    assert not by_hand, by_hand[:3]
    texts = [t for each in grades for r in each.results for t in (r.sentence, *r.findings)]
    assert not [t for t in texts if not t.isprintable() or t != t.encode("utf-8", "replace").decode()]
    assert {r.status for each in grades for r in each.results} >= {"missing", "error", "wrong"}


def test_mutated_notebooks_are_judged(monkeypatch, tmp_path):
    assert_judged(grade(monkeypatch, tmp_path, 60, seed=0), 60)


@pytest.mark.slow
def test_two_thousand_mutated_notebooks_are_judged(monkeypatch, tmp_path):
    assert_judged(grade(monkeypatch, tmp_path, 2000, seed=1), 2000)


def test_a_fault_of_the_grader_costs_one_submission(monkeypatch, tmp_path):
    """Whatever is not foreseen ends in a line of the report, not in a traceback."""
    original = paper.Notebook.answer

    def failing(self, *arguments):
        if any("break it" in cell.source for cell in self.cells):
            raise KeyError("unforeseen")
        return original(self, *arguments)

    monkeypatch.setattr(grader, "Children", Strange)
    paths = []
    for name, made in (("ada", notebook()), ("bob", notebook(before=["# break it"])), ("eve", notebook())):
        paths.append(tmp_path / f"{name}.ipynb")
        paths[-1].write_text(json.dumps(made))
    found = submissions.find(paths)
    monkeypatch.setattr(paper.Notebook, "answer", failing)
    with grader.Grader(LAB) as judge:
        grades = {each.student: each for each in judge.grade(found)}
    assert set(grades) == {"ada", "bob", "eve"}
    assert all(paper.BY_HAND in result.sentence for result in grades["bob"].results)
    assert not any(paper.BY_HAND in result.sentence for result in grades["eve"].results)


def test_failure_of_a_process_is_cleaned():
    tree = [{"failure": ["E\x1b[1m", "\ud800 and\nmore", 3, "\u202ecode"]}]
    (failure,) = messages.outputs_of(messages.pack(tree), 1)
    assert failure == Failure("E", "\N{REPLACEMENT CHARACTER} and more", 3, "\N{REPLACEMENT CHARACTER}code")
