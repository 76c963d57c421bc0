"""Answers that are nearly the same: a hint for the teacher where to look, never a verdict.

An answer is read as the sequence of nodes of its syntax tree, without its own names, constants, comments, docstrings,
annotations, imports and prints. Every run of six nodes of a statement is a feature, which counts the more, the fewer
answers have it:

    w(s) = log((max(N, 20) + 1) / n(s))                                                                             (1)
    alike(a, b) = sum of w over a ∩ b / sum of w over a ∪ b                                                         (2)

where n(s) of the N answers of the class have feature s. Features of the cell as handed out and of the answers that the
lab knows (solution, variants, mistakes) count nothing: they show no more than that two students solved the exercise, or
made a mistake that many make.
"""

from __future__ import annotations

import ast
import collections
import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tf_kit.grading import reading, submissions
from tf_kit.grading.labs import Lab
from tf_kit.grading.slicing import Notebook
from tf_kit.grading.submissions import Submission

RUN = 6  # nodes of the syntax tree in a feature
LEAST_ALIKE = 0.75  # of (2)
LEAST_SHARED = 60.0  # sum of w over a ∩ b: in a class of 40, 20 features that nobody else has, a line or two
LONGEST_ANSWER = 50_000  # characters
MOST_FEATURES = 5_000  # of an answer

Key = tuple[str, str]
Feature = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Alike:
    """Students with nearly the same answers.

    Args:
        students: name and number of each.
        exercises: id of an exercise -> (2) for the two least similar answers that were found to be alike.
        same_file: whether they handed in the same file, which then has answers.
    """

    students: tuple[Key, ...]
    exercises: Mapping[str, float]
    same_file: bool = False


def alike(found: Sequence[Submission], lab: Lab) -> list[Alike]:
    """Find students with nearly the same answers, those with the most such exercises first.

    Args:
        found: the submissions of a class.
        lab: the lab that they answer.
    """
    answers: dict[str, dict[Key, frozenset[Feature]]] = {id: {} for id in lab.exercises}
    for submission in found:
        try:
            codes = dict(_answers(submission, lab))
        except Exception:  # whatever a notebook provokes costs no more than its comparison
            continue
        for id, code in codes.items():
            features = features_of(code)
            if features:
                answers[id][submission.key] = features
    groups: dict[tuple[Key, ...], dict[str, float]] = {}
    begun = {key for by_student in answers.values() for key in by_student}
    by_file: dict[str, list[Key]] = {}
    for submission in found:
        if submission.key in begun:
            by_file.setdefault(submissions.digest_of(submission), []).append(submission.key)
    copies = {tuple(sorted(keys)) for keys in by_file.values() if len(keys) > 1}
    groups.update({keys: {} for keys in copies})
    for id, by_student in answers.items():
        for students, least in _groups(by_student, _known(lab, id)):
            groups.setdefault(students, {})[id] = least
    rows = [Alike(students, exercises, students in copies) for students, exercises in groups.items()]
    return sorted(
        rows, key=lambda row: (not row.same_file, -len(row.exercises), -len(row.students), row.students)
    )


def _answers(submission: Submission, lab: Lab) -> Iterator[tuple[str, str]]:
    """Yield (id of an exercise, code of its answer) for the answers in a notebook."""
    if submission.note:
        return
    try:
        notebook = Notebook(reading.read(submission.path), lab.stubs)
    except reading.Unreadable:
        return
    for id, exercise in lab.exercises.items():
        answer = notebook.answer(id, exercise.defines)
        if not answer.status and len(answer.code) <= LONGEST_ANSWER:
            yield id, answer.code


def _known(lab: Lab, id: str) -> frozenset[Feature]:
    """Return the features of the cell as handed out and of the answers that the lab knows."""
    exercise, solution = lab.exercises[id], lab.solution(id)
    known = [lab.stub(id), solution]
    known += [variant.of(solution) for variant in exercise.variants]
    known += [mistake.of(solution) for mistake in exercise.mistakes]
    return frozenset().union(*map(features_of, known))


def features_of(code: str) -> frozenset[Feature]:
    """Return the features of an answer; none if Python cannot read it.

    Example:
        >>> features_of("def f(x, a):\\n    return a * x  # mine") == features_of("def g(u, v): return v * u")
        True
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in a student's strings
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    own = {name for node in ast.walk(tree) for name in _bound(node)}
    found: set[Feature] = set()
    for statement in tree.body:  # a run does not cross statements, whose order may differ
        nodes = list(_nodes(statement, own))
        found.update(tuple(nodes[i : i + RUN]) for i in range(max(len(nodes) - RUN + 1, min(len(nodes), 1))))
        if len(found) > MOST_FEATURES:
            break
    return frozenset(found)


def _bound(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    return [node.arg] if isinstance(node, ast.arg) else []


def _nodes(tree: ast.AST, own: set[str]) -> Iterator[str]:
    """Yield the nodes of a syntax tree from the top, a node before its parts, without what a copier changes first."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom | ast.expr_context) or _only_shown(node):
            continue
        yield _named(node, own)
        for field, value in reversed(list(ast.iter_fields(node))):
            if field in ("annotation", "returns"):
                continue
            parts = value if isinstance(value, list) else [value]
            pending += [part for part in reversed(parts) if isinstance(part, ast.AST)]


def _only_shown(node: ast.AST) -> bool:
    """Whether a node is a docstring, another constant as a statement, or a call of `print`."""
    if not isinstance(node, ast.Expr):
        return False
    called = node.value.func if isinstance(node.value, ast.Call) else None
    return isinstance(node.value, ast.Constant) or (isinstance(called, ast.Name) and called.id == "print")


def _named(node: ast.AST, own: set[str]) -> str:
    """Return the kind of a node, with its name if it is not one of the answer's own."""
    kind = type(node).__name__
    if isinstance(node, ast.Name):
        return kind if node.id in own else node.id
    if isinstance(node, ast.Attribute):
        root: ast.AST = node
        while isinstance(root, ast.Attribute):
            root = root.value
        return kind if isinstance(root, ast.Name) and root.id in own else f".{node.attr}"
    return kind


def _groups(
    answers: Mapping[Key, frozenset[Feature]], known: frozenset[Feature]
) -> Iterator[tuple[tuple[Key, ...], float]]:
    """Yield (students, least similarity) for each group of answers that are connected by similar pairs."""
    students = sorted(answers)
    counts = collections.Counter(s for features in answers.values() for s in features - known)
    total = max(len(students), 20) + 1
    weights = {s: float(np.log(total / n)) for s, n in counts.items()}  # (1)
    shared_by_some = {s: i for i, s in enumerate(s for s, n in counts.items() if n > 1)}
    if len(students) < 2 or not shared_by_some:
        return
    table = np.zeros((len(students), len(shared_by_some)), "float32")
    for row, key in zip(table, students, strict=True):
        row[[shared_by_some[s] for s in answers[key] if s in shared_by_some]] = 1
    shared = (table * np.array([weights[s] for s in shared_by_some], "float32")) @ table.T
    own = np.array([sum(weights.get(s, 0.0) for s in answers[key]) for key in students])
    union = own[:, None] + own - shared
    likeness = shared / np.maximum(union, 1e-9)  # (2)
    linked = (likeness >= LEAST_ALIKE) & (shared >= LEAST_SHARED)
    np.fill_diagonal(linked, False)
    left = {i for i in range(len(students)) if linked[i].any()}
    while left:
        group, pending = set(), [min(left)]
        while pending:
            i = pending.pop()
            if i in left:
                left.remove(i)
                group.add(i)
                pending += np.flatnonzero(linked[i]).tolist()
        members = sorted(group)
        inside = linked[np.ix_(members, members)]
        yield tuple(students[i] for i in members), float(likeness[np.ix_(members, members)][inside].min())
