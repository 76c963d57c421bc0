"""Whose file is it? Names of files and folders as course systems write them, and folders of any other form.

    Canvas       lovelaceada_LATE_4711_678_lab-1.ipynb, LATE_anon_Xy12Z_678_lab.ipynb, …_4711_text.html
    Moodle       Ada Lovelace_4711_assignsubmission_file_/lab.ipynb, or lab.ipynb at the end of the name itself;
                 Participant_4711_… if names are hidden
    Gradescope   submission_4711/lab.ipynb and submission_metadata.yml next to the folders
    Classroom    Ada Lovelace - lab.ipynb
    nbgrader     submitted/ada/lab/lab.ipynb with timestamp.txt; inbound/ada+lab+2026-11-02 10:00:00 UTC+…/lab.ipynb

Elsewhere a folder is one student's or a collection (a section of the class), which its contents tell.

Sources: instructure/canvas-lms, lib/content_zipper.rb; moodle/moodle, mod/assign/locallib.php; jupyter/nbgrader,
nbgrader/exchange/default/collect.py.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from tf_kit.grading import foreign_text

_ID = r"(?P<id>\d+)"
_MOODLE = re.compile(rf"^(?P<name>.+)_{_ID}_assignsubmission_[a-z]+(?:_(?P<file>.*))?$")
_END = r"_(?:\d+_(?P<file>.+)|(?:text|link)\.html)$"
_CANVAS = re.compile(rf"^(?P<name>.+?)_(?P<late>LATE_)?{_ID}{_END}")
_CANVAS_HIDDEN = re.compile(rf"^(?P<late>LATE_)?(?P<name>anon)_(?P<id>[A-Za-z0-9]+){_END}")
_GRADESCOPE = re.compile(rf"^(?P<name>submission)_{_ID}$")
_INBOUND = re.compile(r"^(?P<name>[^+]+)\+(?P<lab>[^+]+)\+(?P<time>\d{4}-\d\d-\d\d [\d:.]+ \w+)(?:\+\w*)?$")
_CLASSROOM = re.compile(r"^(?P<name>.+?) - (?P<file>.+)$")
_COPY = re.compile(r"(?:[ _-]*\((\d+)\)|[ _-]*[Cc]opy[ _-]?(\d*)|-(\d{1,2})|[ _-]?[vV](\d+))$")
_COPY_OF = re.compile(r"^(?:Copy|Kopie) (?:of|von) ")
_GENERAL = re.compile(
    r"(?i)final|last|new|old|draft|backup|copy|lab|notebook|solutions?|answers?|homework|assignment|submission|work|my|"
    r"untitled|version|done|ipynb|[\W\d_]+"
)
_NBGRADER = ("autograded", "feedback", "source", "release")  # next to `submitted`


@dataclasses.dataclass(frozen=True)
class Owner:
    """The student whom a file belongs to.

    Args:
        name: name of the student.
        number: number of the student in the course system, or "".
        late: whether the system calls the submission late.
        time: time of the submission as the system writes it, or ""; it sorts as text.
        system: name of the system, or "".
    """

    name: str
    number: str = ""
    late: bool = False
    time: str = ""
    system: str = ""


def recognized(name: str) -> Owner | None:
    """Read the name of a file or a folder that a course system has written; None for any other name.

    Example:
        >>> recognized("lovelaceada_LATE_4711_678_lab.ipynb")
        Owner(name='lovelaceada', number='4711', late=True, time='', system='Canvas')
        >>> recognized("Participant_12_assignsubmission_file_").name
        'Participant 12'
    """
    found = _MOODLE.match(name)
    if found:
        hidden = " " not in found["name"] and found["name"] in ("Participant", "Teilnehmer", "Participante")
        who = f"{found['name']} {found['id']}" if hidden else found["name"]
        return Owner(who, found["id"], system="Moodle")
    found = _CANVAS_HIDDEN.match(name) or _CANVAS.match(name)
    if found:
        who = f"anon {found['id']}" if found["name"] == "anon" else found["name"]
        return Owner(who, found["id"], bool(found["late"]), system="Canvas")
    found = _GRADESCOPE.match(name)
    if found:
        return Owner(name, found["id"], system="Gradescope")
    found = _INBOUND.match(name)
    if found:
        return Owner(found["name"], time=found["time"], system="nbgrader")
    return None


def attempt(name: str) -> int:
    """Read the number of a copy that a browser or a system appends: `lab (2).ipynb`, `lab-2.ipynb`; 0 without one."""
    found = _COPY.search(_stem(name))
    if not found:
        return 1 if _COPY_OF.match(name) else 0
    return int(next((digits for digits in found.groups() if digits), "1"))


def _stem(name):
    return re.sub(r"(?i)(\.ipynb|\.json|\.txt|\.zip)+$", "", name)


def _plain(name):
    """Drop from the name of a file its suffix and what marks it as a copy."""
    return _COPY.sub("", _COPY_OF.sub("", _stem(name))).strip()


class Owners:
    """Finds the owner of each file of a class.

    Args:
        files: files as the parts of their paths below the folder that was given; an archive counts as a folder.
        context: names of the folders above.
        labs: names and titles of labs, by which a file may be called.
        metadata: names of students by the name of their folder, with a number each, as Gradescope's metadata list them.
    """

    def __init__(
        self,
        files: Iterable[Sequence[str]],
        context: Sequence[str] = (),
        labs: Sequence[str] = (),
        metadata: Mapping[str, Sequence[Owner]] | None = None,
    ):
        self._labs = {_plain(name).casefold() for name in labs}
        self._metadata = dict(metadata or {})
        self._context = tuple(context)
        self._tree: dict[tuple[str, ...], tuple[list[str], list[str]]] = collections.defaultdict(
            lambda: ([], [])
        )
        for parts in files:
            for i in range(1, len(parts)):
                folders = self._tree[tuple(parts[: i - 1])][0]
                if parts[i - 1] not in folders:
                    folders.append(parts[i - 1])
            self._tree[tuple(parts[:-1])][1].append(parts[-1])

    def of(self, parts: Sequence[str]) -> list[Owner]:
        """Return the owners of a file: one, or all members of a group; none for a file about the class."""
        known = self._by_system(parts)
        if known is not None:
            return known
        folder: tuple[str, ...] = ()
        while len(folder) < len(parts) - 1:
            inner = (*folder, parts[len(folder)])
            if not self._is_collection(inner):
                return [Owner(foreign_text.line(_stem(inner[-1]), 200))]
            folder = inner
        return [self._named_after_file(parts[-1])]

    def collection(self, parts: Sequence[str]) -> str:
        """Name the collection that a file's student is in: its folders above the student."""
        folder: tuple[str, ...] = ()
        while len(folder) < len(parts) - 1 and self._is_collection((*folder, parts[len(folder)])):
            folder = (*folder, parts[len(folder)])
        return "/".join(folder)

    def _by_system(self, parts):
        for i in reversed(range(len(parts))):
            if parts[i] in self._metadata:
                return list(self._metadata[parts[i]])
            owner = recognized(parts[i])
            if owner:
                return [dataclasses.replace(owner, name=foreign_text.line(owner.name, 200))]
        whole = (*self._context, *parts)
        if "submitted" in whole[:-2]:
            student = whole[whole.index("submitted") + 1]
            return [Owner(foreign_text.line(student, 200), system="nbgrader")]
        for i, part in enumerate(parts[:-1]):
            if part in _NBGRADER and "submitted" in self._tree[tuple(parts[:i])][0]:
                return []
        return None

    def _named_after_file(self, name):
        found = _CLASSROOM.match(_stem(name))
        if found and _plain(found["file"]).casefold() in self._labs:
            return Owner(foreign_text.line(found["name"], 200), system="Google Classroom")
        return Owner(foreign_text.line(_stem(name), 200))

    def _is_collection(self, folder):
        if any(recognized(name) for name in self._tree[folder][0] + self._tree[folder][1]):
            return True
        if self._many_students(folder):
            return True
        if self._has_notebooks(folder):
            return False
        siblings = self._tree[folder[:-1]][0]
        decided = [s for s in siblings if self._has_notebooks((*folder[:-1], s))]
        if any(not self._many_students((*folder[:-1], s)) for s in decided):
            return False  # the folder next to it is one student's, so this one is
        inner = self._tree[folder][0]
        return bool(inner) and not any(_plain(name).casefold() in self._labs for name in inner)

    def _has_notebooks(self, folder):
        return any(".ipynb" in name.lower() for name in self._tree[folder][1])

    def _many_students(self, folder):
        """Whether the notebooks in a folder have names of students, not of one student's versions of the lab."""
        own = set()
        for name in self._tree[folder][1]:
            if ".ipynb" in name.lower() or name.lower().endswith(".zip"):
                found = _CLASSROOM.match(_stem(name))
                plain = (
                    found["name"]
                    if found and _plain(found["file"]).casefold() in self._labs
                    else _plain(name)
                )
                for lab in sorted(self._labs, key=len, reverse=True):
                    plain = plain.casefold().replace(lab, "")
                own.add(_GENERAL.sub("", plain))
        return len(own - {""}) > 1
