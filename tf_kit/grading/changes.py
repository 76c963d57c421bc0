"""Changes by a regrade: the answers whose points differ from those given before, under other rules."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_kit.checks import refuse
from tf_kit.grading import reading
from tf_kit.grading.labs import Lab
from tf_kit.grading.record import RECORD, Grade, Record
from tf_kit.whole_files import new_folder

Key = tuple[str, str]

MOST_SHOWN = 20
KEPT = ("class.html", "grades.csv", "canvas.csv", "moodle.csv", "files.csv", "summary.txt", "manifest.json")


@dataclasses.dataclass(frozen=True)
class Move:
    """An answer whose points have changed.

    Args:
        student: name of the student.
        number: number of the student on the learning platform, or "".
        title: title of the exercise.
        before: points before; None if the exercise was not in the lab.
        after: points now; None if the exercise is no longer in the lab.
        total_before: points of the student in the lab before.
        total: points of the student in the lab now.
        same_file: whether both grades are for the same file.
    """

    student: str
    number: str
    title: str
    before: int | None
    after: int | None
    total_before: int
    total: int
    same_file: bool


def grades_of(folder: str | Path, lab: Lab) -> dict[Key, Grade]:
    """Read the latest grade of each student from a folder of grades.

    Raises:
        InputError: the folder has no grades of the lab.
    """
    known = Record(folder).latest(lab.name)
    if not known:
        there = Path(folder, RECORD).exists()
        what = f"{RECORD} has no grades of {lab.name}" if there else f"there is no {RECORD}"
        refuse(
            "--compare", "be a folder that `tf-kit lab grade` has written", f"{str(folder)!r}, where {what}"
        )
    return known


def moves(before: Mapping[Key, Grade], after: Sequence[Grade]) -> list[Move]:
    """List the answers whose points differ, by student and in the order of the lab."""
    found = []
    for grade in sorted(after, key=lambda each: each.key):
        old = before.get(grade.key)
        if old is None:
            continue
        points = {result.exercise: result for result in old.results}, {r.exercise: r for r in grade.results}
        for id in dict.fromkeys([*points[1], *points[0]]):
            one, other = (each.get(id) for each in points)
            earned = (one.points if one else None), (other.points if other else None)
            if earned[0] != earned[1]:
                title = next(result.title for result in (other, one) if result)
                same = old.digest == grade.digest
                found.append(Move(*grade.key, title, *earned, old.points, grade.points, same))
    return found


HEADINGS = ("student", "number", "exercise", "before", "after", "total before", "total", "same file")


def rows(moved: Sequence[Move]) -> list[tuple]:
    """Make the rows of `changes.csv`, with the headings."""
    found: list[tuple] = [HEADINGS]
    for move in moved:
        *values, same = dataclasses.astuple(move)
        found.append((*("" if value is None else value for value in values), "yes" if same else "no"))
    return found


def text(moved: Sequence[Move], compared: int, place: str) -> str:
    """Describe what moved, for the terminal.

    Args:
        moved: the answers whose points differ.
        compared: number of students who had a grade before.
        place: file with all rows.
    """
    students = {(move.student, move.number): move for move in moved}
    lines = [f"compared with the grades before: {len(students)} of {compared} students have other points"]
    if not moved:
        return f"{lines[0]}\n"
    gained = sum(move.total > move.total_before for move in students.values())
    lost = sum(move.total < move.total_before for move in students.values())
    lines[0] += f" ({gained} more, {lost} fewer)"
    lines.append(f"  {'student':28}{'exercise':28}{'before':>8}{'after':>7}   lab")
    for move in moved[:MOST_SHOWN]:
        new = "" if move.same_file else "   (another file)"
        lines.append(
            f"  {_short(move.student)}{_short(move.title)}{_points(move.before):>8}{_points(move.after):>7}   "
            f"{move.total_before} → {move.total}{new}"
        )
    if len(moved) > MOST_SHOWN:
        lines.append(f"  and {len(moved) - MOST_SHOWN} more")
    return "\n".join([*lines, f"  all of them in {place}"]) + "\n"


def _short(name):
    return f"{name if len(name) < 28 else f'{name[:26]}…':28}"


def _points(points):
    return "–" if points is None else str(points)


def rules(lab: Lab) -> dict[str, str]:
    """Hash each file of a lab on which grades depend, for the manifest."""
    files = {"text and stubs": lab.source, "probes": lab.probes_path, "answers": lab.answers_path}
    return {name: reading.digest(path.read_bytes())[:12] for name, path in files.items()}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Name the rules that differ between two manifests."""
    files = old.get("files of the lab", {})
    found = [
        f"{name} of the lab" for name, hash in new["files of the lab"].items() if files.get(name) != hash
    ]
    found += [name for name in ("hidden cases", "limits") if old.get(name) != new[name]]
    versions = old.get("versions", {}).get("tf-kit"), new["versions"]["tf-kit"]
    return found + (["version of tf-kit"] if versions[0] != versions[1] else [])


def manifest_of(folder: str | Path) -> dict[str, Any]:
    """Read the manifest in a folder of grades; empty if there is none that can be read."""
    try:
        read = json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def keep_reports(folder: str | Path) -> Path:
    """Copy the reports on the class in a folder of grades, before others are written. Returns the place of the copy."""
    made = re.sub(r"[^0-9T-]", "", str(manifest_of(folder).get("made", ""))[:19])
    place = Path(folder, f"before-{made or 'unknown'}")
    if place.exists():  # kept by a regrade that was interrupted
        return place
    with new_folder(place) as unfinished:
        for name in KEPT:
            if Path(folder, name).exists():
                shutil.copy2(Path(folder, name), unfinished / name)
    return place
