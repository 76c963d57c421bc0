"""Consistency of a lab: its text, its answers and its probes must have the same exercises.

This is found by reading: probes import Keras, which a process that judges must not load.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tf_kit.checks import refuse

if TYPE_CHECKING:
    from tf_kit.grading.labs import Lab


def require(lab: Lab) -> None:
    """Refuse a lab that cannot be released or graded.

    Raises:
        InputError: Python cannot read a file of the lab, or an exercise is not in each of its files.
    """
    lacking = differences(lab)
    if lacking:
        listed = "; ".join(f"{file} lacks {', '.join(ids)}" for file, ids in lacking.items())
        remedy = f"Mend the ids, then run `tf-kit lab selftest {lab.folder}`"
        requirement = "have the same ids of exercises in its text, its answers and its probes"
        refuse("lab", requirement, f"{str(lab.folder)!r}: {listed}", remedy, flag="NAME")


def differences(lab: Lab) -> dict[str, list[str]]:
    """Return the ids of exercises that each file of a lab lacks: name of the file -> ids; empty if it lacks none.

    Raises:
        InputError: Python cannot read the answers or the probes.
    """
    ids = dict.fromkeys([*lab.exercises, *lab.cells])
    probed = _names(lab)
    lacking = {
        lab.source: [id for id in ids if id not in lab.cells],
        lab.answers_path: [id for id in ids if id not in lab.exercises],
        lab.probes_path: [id for id in ids if probed is not None and id not in probed],
    }
    return {path.relative_to(lab.folder).as_posix(): ids for path, ids in lacking.items() if ids}


def _names(lab: Lab) -> set[str] | None:
    """Names that the probes define at their top level; None if only running them shows which."""
    try:
        tree = ast.parse(lab.probes_path.read_bytes())
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes
        line = getattr(error, "lineno", None) or 1
        received = f"{lab.probes_path}, line {line}: {type(error).__name__}: {getattr(error, 'msg', error)}"
        refuse("lab", "have files that Python can run", received, flag="NAME")
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            continue
        if isinstance(node, ast.Name):
            found.add(node.id)
        if isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        pending += ast.iter_child_nodes(node)
    return None if found & {"*", "globals", "setattr", "exec"} else found
