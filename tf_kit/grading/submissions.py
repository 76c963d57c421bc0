"""Submissions as course systems export them: find them, tell them apart, account for every file."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tf_kit.checks import refuse
from tf_kit.grading import file_names, foreign_text, persons, reading
from tf_kit.grading.file_names import Owner
from tf_kit.grading.handed_in import (
    BLANK,
    DAMAGED,
    EMPTY,
    GRADED,
    NO_NOTEBOOK,
    OTHER_LAB,
    SUPERSEDED,
    SYSTEM,
    Entry,
    File,
    entries_of,
)
from tf_kit.grading.layouts import Owners
from tf_kit.grading.slicing import Cell, Notebook

if TYPE_CHECKING:
    from tf_kit.grading.labs import Lab

_OF_GRADES = {"grades.jsonl", "manifest.json"}  # a folder with both holds what the grader wrote
_ABOUT_THE_CLASS = ("submission_metadata.yml", "timestamp.txt")


@dataclasses.dataclass(frozen=True)
class Submission:
    """A notebook and its student.

    Args:
        student: name of the student.
        path: the notebook; it may lie in an archive.
        number: number of the student in the course system, if the name of the file or its folder contains it.
        late: whether the course system calls it late.
        note: why there is no notebook to grade, or "".
        person: guess of the student's name, where a student chose the name of the file or folder, or "".
    """

    student: str
    path: Path
    number: str = ""
    late: bool = False
    note: str = ""
    person: str = dataclasses.field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """Name and number, by which students are told apart."""
        return self.student, self.number


@dataclasses.dataclass(frozen=True)
class Survey:
    """The submissions of a class and its files.

    Args:
        submissions: one per student, ordered by name and number.
        files: every file and every empty folder.
        alike: students whose names in one folder differ only by the lab's or by words such as "final".
    """

    submissions: list[Submission]
    files: list[File]
    alike: Sequence[Sequence[str]] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Number of files of each kind."""
        return dict(collections.Counter(file.kind for file in self.files).most_common())


def find(paths: Sequence[str | Path], lab: Lab | None = None) -> list[Submission]:
    """Find the submissions in files, folders and archives: one per student, as `survey` does."""
    return survey(paths, lab).submissions


def survey(
    paths: Sequence[str | Path], lab: Lab | None = None, leave_out: str | Path | None = None
) -> Survey:
    """Find the submissions in files, folders and archives, and account for every file.

    A student is known by name and number. Of several notebooks of a student, the one with the most exercises of the
    lab answered is taken, then the newest. Notebooks of a flat folder are one student's if they are named after one
    number, else `Survey.alike` names them. A student who handed in something else gets a submission without a
    notebook, so that nobody is lost.

    Folders below the paths that the grader wrote, with record and manifest, are no student's.

    Args:
        paths: notebooks, folders and archives.
        lab: the lab they answer. Without it the notebook with the most marked cells is taken.
        leave_out: folder below the paths whose files are no student's, such as that of the grades.

    Raises:
        InputError: a path does not exist, or nothing was handed in.
    """
    files: list[File] = []
    handed_in: dict[tuple[str, str, str], list[tuple[Owner, Entry]]] = {}
    together: dict[str, str] = {}  # folder of a student -> folder whose names are compared
    names = _names_of_labs(lab)
    for path in _outermost(paths):
        entries, left_out = entries_of(path)
        files += left_out
        entries, written = _without_grades(entries, path, leave_out)
        files += [File(entry.path, None, SYSTEM) for entry in written]
        context = path.resolve().parts[-2:] if path.is_dir() else ()
        of_the_class = [entry for entry in entries if entry.parts[-1] in _ABOUT_THE_CLASS]
        files += [File(entry.path, None, SYSTEM) for entry in of_the_class]
        entries = [entry for entry in entries if entry not in of_the_class]
        entries += _only_dated(of_the_class, entries)
        owners = _owners(entries, context, names, _gradescope(of_the_class), lab)
        for entry in entries:
            found = owners.of(entry.parts)
            if not found:
                files.append(File(entry.path, None, SYSTEM))
            for owner in found:
                place = "" if owner.number else f"{path}/{owners.collection(entry.parts)}"
                handed_in.setdefault((owner.name, owner.number, place), []).append((owner, entry))
                together[place] = str(path.parent) if entry.path == path else place
    if not handed_in:
        received = f"{', '.join(foreign_text.line(p) for p in paths)}, where there is no notebook"
        refuse("SUBMISSION", "be a notebook, a folder or an archive of notebooks", received)
    _join_by_number(handed_in, together)
    chosen, persons_of = [], collections.defaultdict(list)
    for (name, number, place), several in handed_in.items():
        alike = [key for key in handed_in if key[:2] == (name, number)]
        label = name if len(alike) == 1 else _placed(name, place, alike)
        submission, fates = _chosen(label, several, lab)
        chosen.append(submission)
        files += fates
        if submission.person:
            persons_of[together[place], submission.person.casefold()].append(label)
    named_alike = [sorted(labels) for labels in persons_of.values() if len(labels) > 1]
    return Survey(sorted(chosen, key=lambda each: each.key), files, sorted(named_alike))


def _outermost(paths):
    """Return the paths that are neither given earlier nor below another, so that no file counts twice."""
    places: dict[Path, Path] = {}
    for path in map(Path, paths):
        if not os.path.lexists(path):
            received = f"{foreign_text.line(path)!r}, which does not exist"
            refuse("SUBMISSION", "be a notebook, a folder or an archive of notebooks", received)
        places.setdefault(Path(os.path.abspath(path)), path)
    return [path for place, path in places.items() if not places.keys() & set(place.parents)]


def _join_by_number(handed_in, together):
    """Give all notebooks that are named after one number to one student, where others are named after other numbers."""
    keys = collections.defaultdict(list)
    for key, several in handed_in.items():
        person = several[0][0].person.casefold()
        if persons.is_number(person):
            keys[together[key[2]], person].append(key)
    numbers = collections.Counter(folder for folder, _ in keys)
    for (folder, person), same in keys.items():
        if len(same) > 1 and numbers[folder] > 1:
            joined = [each for key in same for each in handed_in.pop(key)]
            handed_in[person, *same[0][1:]] = joined


def _names_of_labs(graded):
    """Names by which a student may call the notebook of any lab: a folder may hold several."""
    from tf_kit.grading import labs

    names = []
    for lab in dict.fromkeys([*([graded] if graded else []), *labs.labs()]):
        names += [lab.name, lab.title, lab.topic]
        if lab.number:
            numbers = dict.fromkeys((lab.number, lab.number.lstrip("0")))
            names += [f"lab{between}{number}" for number in numbers for between in ("", " ", "_", "-")]
    return names


def _owners(entries, context, names, metadata, lab):
    paths = {entry.parts: entry for entry in entries}

    def answered(parts):
        entry = paths.get(parts)
        try:
            return entry is not None and not entry.problem and answers_in(reading.read(entry.path), lab) > 0
        except reading.Unreadable:
            return False

    return Owners(list(paths), context, names, metadata, lab.name if lab else "", answered)


def _only_dated(of_the_class, entries):
    """List the folders in which a system wrote the time of a submission, and no file lies: they are students' too."""
    used = {entry.parts[:i] for entry in entries for i in range(len(entry.parts))}
    return [
        Entry(entry.path.parent, (*entry.parts[:-1], ""), entry.modified, empty=True)
        for entry in of_the_class
        if entry.parts[-1] == "timestamp.txt" and entry.parts[:-1] and entry.parts[:-1] not in used
    ]


def _without_grades(entries, path, leave_out):
    """Split the files below a path into those of students and those in folders of grades."""
    names = collections.defaultdict(set)
    for entry in entries:
        names[entry.parts[:-1]].add(entry.parts[-1])
    written = {folder for folder, found in names.items() if folder and found >= _OF_GRADES}
    own, given = (Path(os.path.realpath(each)) for each in (leave_out or "", path))
    if leave_out is not None and own.is_relative_to(given):
        written |= {own.relative_to(given).parts} - {()}
    kept, left = [], []
    for entry in entries:
        inside = any(entry.parts[:i] in written for i in range(1, len(entry.parts)))
        (left if inside else kept).append(entry)
    return kept, left


def of_student(folder: str | Path, lab: Lab, name: str) -> Submission:
    """Find the submission in a folder that is known to be one student's, as `survey` would choose it.

    Args:
        folder: the folder.
        lab: the lab.
        name: name of the student.
    """
    entries, _ = entries_of(Path(folder))
    if not entries:
        return Submission(name, Path(folder), note="no file was handed in")
    return _chosen(name, [(Owner(name), entry) for entry in entries], lab)[0]


def _placed(name, place, alike):
    """Name a student after the collection too, where another collection has a student of that name."""
    places = [key[2].rstrip("/") for key in alike]
    shared = os.path.commonpath(places) if len({os.path.isabs(each) for each in places}) == 1 else ""
    return foreign_text.line(f"{place[len(shared) :].strip('/')}/{name}".strip("/"), 200)


def _gradescope(entries):
    """Read the students of Gradescope's folders from its metadata: folder -> its submitters."""
    students: dict[str, list[Owner]] = {}
    for entry in entries:
        if entry.parts[-1] != "submission_metadata.yml":
            continue
        try:
            import yaml

            described = yaml.safe_load(reading.content(entry.path))
            for folder, about in described.items():
                found = []
                for each in about.get(":submitters") or []:
                    name = file_names.name_of(each.get(":name") or each.get(":email") or folder)
                    number = foreign_text.line(each.get(":sid") or each.get(":email") or "", 80)
                    found.append(
                        Owner(name, number, time=str(about.get(":created_at", "")), system="Gradescope")
                    )
                if found:
                    students[str(folder)] = found
        except Exception:  # without metadata the students are named after their folders
            continue
    return students


def _chosen(name, several, lab):
    """Choose the notebook of a student, and tell what became of each file."""
    owner = max((owner for owner, _ in several), key=lambda owner: owner.time)
    late = any(owner.late for owner, _ in several)
    looked = [_Look(owner, entry, lab, alone=len(several) == 1) for owner, entry in several]
    best = max(looked, key=lambda look: look.rank)
    files = [File(look.entry.path, owner, look.kind, look.why) for look in looked if look is not best]
    graded = best.readable and best.kind != OTHER_LAB
    files.append(File(best.entry.path, owner, GRADED if graded else best.kind, best.why))
    note = "" if graded else _note(best, [look.entry for look in looked])
    return Submission(name, best.entry.path, owner.number, late, note, owner.person), files


def _note(best, entries):
    if best.entry.empty:
        return "nothing is in the folder or archive"
    if best.kind == OTHER_LAB:
        return f"the notebook is not of this lab: {best.why}"
    names = ", ".join(foreign_text.line(entry.parts[-1], 80) for entry in entries[:4])
    more = f" and {len(entries) - 4} more" if len(entries) > 4 else ""
    why = f" ({best.why})" if best.why else ""
    return f"no notebook was handed in that can be read, but {names}{more}{why}"


class _Look:
    """A look into a file that was handed in: is it a notebook, of this lab, how much of it is answered?"""

    def __init__(self, owner, entry, lab, alone):
        self.entry, self.readable, self.kind, self.why = entry, False, NO_NOTEBOOK, ""
        name, answered = entry.parts[-1].lower(), 0
        if entry.empty:
            self.kind = EMPTY
        elif entry.problem:
            self.kind, self.why = DAMAGED, entry.problem
        elif ".ipynb" in name or name.endswith((".json", ".txt")) or "." not in name:
            try:
                cells = reading.read(entry.path)
                self.readable = True
                answered = 0 if alone else answers_in(cells, lab)
                self.kind = SUPERSEDED if answered or alone else BLANK
                if not answered and lab is not None:
                    self._compare_labs(cells, lab)
            except reading.Unreadable as error:
                if ".ipynb" in name:
                    self.kind, self.why = DAMAGED, foreign_text.line(error)
        # a copy is kept in a folder further down, and archives keep no reliable times
        order = (
            owner.time,
            file_names.attempt(entry.parts[-1]),
            -len(entry.parts),
            entry.modified,
            entry.parts,
        )
        self.rank = (self.readable, ".ipynb" in name, answered, self.kind != OTHER_LAB, *order)

    def _compare_labs(self, cells, lab):
        from tf_kit.grading import labs

        if labs.traces(cells, lab) != (0, 0):
            return
        other = labs.of_cells(cells)
        if other is not None and other.name != lab.name:
            self.kind, self.why = OTHER_LAB, f"it answers {other.name}"


def answers_in(cells: Sequence[Cell], lab: Lab | None) -> int:
    """Count the exercises of a lab that a notebook answers; without a lab, the cells marked as answers."""
    if lab is None:
        return len({mark for cell in cells for mark in cell.marks})
    notebook = Notebook(cells, lab.stubs)
    return sum(
        notebook.answer(id, exercise.defines).status != "missing" for id, exercise in lab.exercises.items()
    )


def digest_of(submission: Submission) -> str:
    """Hash the bytes of a submission, or the reason why they cannot be read."""
    try:
        if submission.note:
            raise reading.Unreadable(submission.note)
        return reading.digest(reading.content(submission.path))
    except reading.Unreadable as error:
        return reading.digest("unreadable", str(error))
