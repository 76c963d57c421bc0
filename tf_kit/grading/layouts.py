"""Whose file is it? Owners of the files in exports of course systems, whose names `file_names.py` reads, and elsewhere.

Outside of exports a folder is one student's or a collection (a section of the class), which its contents tell.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tf_kit.grading import archives, persons
from tf_kit.grading.file_names import Owner, name_of, plain, recognized, stem

_ABOUT_THE_CLASS = {"Brightspace": "index.html", "Sakai": "grades.csv"}  # next to the students
_CLASSROOM = re.compile(r"^(?P<name>.+?) - (?P<file>.+)$")
_GENERAL = re.compile(
    r"(?i)final|last|new|old|draft|backup|copy|lab|notebooks?|solutions?|answers?|homework|assignment|submission|work|my|"
    r"untitled|version|done|ipynb|(?<![^\W\d_])(?:exp(?:eriments?)?|tests?|trial|try|attempt|run|versuch|parts?|teil|tasks?|"
    r"aufgaben?|exercises?|ex|[uü]e?bung(?:en)?|questions?|problems?)(?![^\W\d_])|[\W\d_]+"
)
_PERSON = re.compile(
    r"(?i)(team|group|gruppe|grp|pair|tandem|student|participant|teilnehmer|candidate|kandidat|user|person|matr)"
    r"[a-z]*[ _.-]*(\d+)"
)
_PLACE = re.compile(
    r"(?i)(?:weeks?|woche|days?|tag|parts?|teil|session|unit|chapter|kapitel|exercises?|[uü]e?bung(?:en)?|aufgaben?|"
    r"tasks?|src|code|data|figures?|images?|plots?|scratch|archive)?"
)
_SECTION = re.compile(
    r"(?i)(?:section|sektion|group|gruppe|class|klasse|course|kurs|tutor|abgabe|submission)"
)
_DATE = re.compile(r"(?:19|20)\d\d[-_. ]\d\d?[-_. ]\d\d?|(?<=\d{8})[-_tT ]\d{4,6}(?!\d)")
_DAY, _MONTH = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"
_COMPACT_DATE = re.compile(rf"(?:19|20)\d\d(?:{_MONTH}{_DAY})?|{_DAY}{_MONTH}20\d\d")
_NBGRADER = ("autograded", "feedback", "source", "release")  # next to `submitted`
_DEEPEST = 12  # folders below which no class is looked for

_Folder = tuple[str, ...]


class Owners:
    """Finds the owner of each file of a class.

    Args:
        files: files as the parts of their paths below the folder that was given; an archive counts as a folder.
        context: names of the folders above.
        labs: names and titles of all labs, by which a file may be called.
        metadata: names of students by the name of their folder, with a number each, as Gradescope's metadata list them.
        graded: name of the lab that is graded, or "".
        answered: whether a file, given by its parts, has answers. Read only where names of files do not decide.
    """

    def __init__(
        self,
        files: Iterable[Sequence[str]],
        context: Sequence[str] = (),
        labs: Sequence[str] = (),
        metadata: Mapping[str, Sequence[Owner]] | None = None,
        graded: str = "",
        answered: Callable[[tuple[str, ...]], bool] = lambda parts: False,
    ):
        self._labs = {plain(name).casefold() for name in labs}
        self._all_labs = frozenset(name.casefold() for name in labs)
        self._metadata = dict(metadata or {})
        self._context = tuple(context)
        self._graded, self._answered = graded.casefold(), answered
        self._known: dict[tuple[str, _Folder], Any] = {}
        self._tree: dict[_Folder, tuple[list[str], list[str]]] = collections.defaultdict(lambda: ([], []))
        for parts in files:
            for i in range(1, len(parts)):
                folders = self._tree[tuple(parts[: i - 1])][0]
                if parts[i - 1] not in folders:
                    folders.append(parts[i - 1])
            self._tree[tuple(parts[:-1])][1].append(parts[-1])
        self._with_notebooks = {
            folder[:i]
            for folder in list(self._tree)
            if self._notebooks(folder)
            for i in range(len(folder) + 1)
        }
        self._outer = [folder for folder in self._tree if not any(map(recognized, folder))]
        self._places = collections.Counter(
            person
            for folder in self._outer
            for person in {(who.name, who.number) for who in self._named_by_canvas(folder).values()}
        )

    def of(self, parts: Sequence[str]) -> list[Owner]:
        """Return the owners of a file: one, or all members of a group; none for a file about the class."""
        known = self._by_system(parts)
        if known is not None:
            return known
        folder: _Folder = ()
        while len(folder) < len(parts) - 1:
            inner = (*folder, parts[len(folder)])
            if not self._once(self._is_collection, inner):
                return [self._named_by_student(stem(inner[-1]))]
            folder = inner
        return [self._named_after_file(folder, parts[-1])]

    def collection(self, parts: Sequence[str]) -> str:
        """Name the collection that a file's student is in: its folders above the student."""
        folder: _Folder = ()
        while len(folder) < len(parts) - 1:
            inner = (*folder, parts[len(folder)])
            if not self._once(self._is_collection, inner):
                break
            folder = inner
        return "/".join(folder)

    def _once(self, question: Callable[[_Folder], Any], folder: _Folder) -> Any:
        """Answer a question about a folder, which is asked for each of its files, once."""
        key = (question.__name__, folder)
        if key not in self._known:
            self._known[key] = question(folder)
        return self._known[key]

    def _by_system(self, parts):
        """Find the owner by the outermost name that a course system wrote: names further down are the student's."""
        whole = (*self._context, *parts)
        for i, part in enumerate(parts):
            if part in self._metadata:
                return list(self._metadata[part])
            owner = self._recognized(tuple(parts[:i]), part)
            if owner:
                return [dataclasses.replace(owner, name=name_of(owner.name))]
            above = len(self._context) + i - 1
            if i < len(parts) - 1 and above >= 0 and whole[above] == "submitted":
                return [Owner(name_of(part), system="nbgrader")]
            if i == len(parts) - 1 and part in _ABOUT_THE_CLASS.values() and self._is_about(parts):
                return []
            if i < len(parts) - 1 and part in _NBGRADER and "submitted" in self._tree[tuple(parts[:i])][0]:
                return []
        if "submitted" in whole[:-2]:
            student = whole[whole.index("submitted") + 1]
            return [Owner(name_of(student), system="nbgrader")]
        return None

    def _is_about(self, parts):
        """Whether a file is the table or page that a course system writes next to the students."""
        names = {recognized(name) for name in self._children(parts[:-1])} - {None}
        return any(_ABOUT_THE_CLASS.get(owner.system) == parts[-1] for owner in names)

    def _recognized(self, folder, name):
        """Read the name of a file or folder where a course system may have written it."""
        owner = recognized(name)
        if owner is not None and owner.system == "Blackboard":
            lab = self._once(self._lab_of_blackboard, folder)
            owner = dataclasses.replace(owner, name=owner.name[len(lab) :])
        if owner is None or (owner.system == "Canvas" and not self._once(self._is_canvas, folder)):
            return None
        return None if self._once(self._is_export, (*folder, name)) else owner

    def _lab_of_blackboard(self, folder):
        """Read the name of the assignment, with which Blackboard begins all names in a folder, up to the user's."""
        found = {
            who.name for who in map(recognized, self._children(folder)) if who and who.system == "Blackboard"
        }
        shared = os.path.commonprefix(sorted(found))  # noqa: RUF071
        return shared[: shared.rfind("_") + 1]

    def _is_export(self, folder):
        """Whether a folder with a name such as a course system writes is the only one, and holds a whole class."""
        return (
            folder in self._tree
            and len(folder) <= _DEEPEST
            and self._once(self._one_person, folder[:-1])
            and len(self._people(folder)) > 1
        )

    def _one_person(self, folder):
        return len({recognized(name) for name in self._children(folder)} - {None}) == 1

    def _people(self, folder):
        """Students whom a course system named in a folder, or in the one folder that is in it."""
        found = {self._recognized(folder, name) for name in self._children(folder)} - {None}
        inner = self._tree[folder][0] if folder in self._tree else []
        return (
            found if found or len(inner) != 1 or len(folder) > _DEEPEST else self._people((*folder, inner[0]))
        )

    def _children(self, folder):
        return [*self._tree[folder][0], *self._tree[folder][1]] if folder in self._tree else []

    def _named_by_canvas(self, folder):
        found = {name: recognized(name) for name in (*self._tree[folder][0], *self._tree[folder][1])}
        return {name: owner for name, owner in found.items() if owner and owner.system == "Canvas"}

    def _is_canvas(self, folder):
        """Whether Canvas wrote the names in a folder, since dates and numbers in a student's names look the same.

        Canvas writes all files of a class into one folder, and its number of a student belongs to one name.
        """
        people = self._canvas_people(folder)
        if not people or self._is_all(folder) or self._once(self._is_canvas_class, folder):
            return bool(people)
        repeated = any(self._places[person] > 1 for person in people)
        return not repeated and any(self._once(self._is_canvas_class, each) for each in self._outer)

    def _is_canvas_class(self, folder):
        people = self._canvas_people(folder)
        if len(people) < 2 or not self._works(folder) & self._named_by_canvas(folder).keys():
            return False
        return len({name for name, _ in people}) > 2 or not any(self._places[person] > 1 for person in people)

    def _canvas_people(self, folder):
        """Names and numbers in a folder if they can be those of Canvas, else none."""
        people = {(owner.name, owner.number) for owner in self._named_by_canvas(folder).values()}
        if not any(self._letters(name) for name, _ in people):
            return set()
        others = sum(recognized(name) is None for name in self._works(folder))
        alone = len({number for _, number in people}) == len(people)
        return people if alone and len(people) > 2 * others else set()

    def _works(self, folder):
        children = self._children(folder)
        return {name for name in children if ".ipynb" in name.lower() or archives.is_archive(name)}

    def _is_all(self, folder):
        """Whether everything that was given is in this folder."""
        return all(len(self._children(folder[:i])) == 1 for i in range(len(folder)))

    def _named_after_file(self, folder, name):
        """Name a student after a file; one of another kind, as `ada.pdf`, belongs to the notebook `ada.ipynb` there."""
        bare = stem(name)
        other = bare == name and re.sub(r"\.\w{1,8}$", "", name)
        found = _CLASSROOM.match(other or bare)
        if found and plain(found["file"]).casefold() in self._labs:
            return Owner(name_of(found["name"]), system="Google Classroom")
        owner = self._named_by_student(other or bare)
        if other and other not in self._once(self._stems, folder):
            return dataclasses.replace(owner, name=name_of(name))
        return owner

    def _stems(self, folder):
        """Names of the folders, archives and notebooks in a folder, without suffixes."""
        return {stem(name) for name in (*self._tree[folder][0], *self._works(folder))}

    def _named_by_student(self, name):
        name = name_of(name)
        number = re.match(r"\d*", self._graded)[0]
        return Owner(name, person=persons.person(name, self._all_labs, number))

    def _is_collection(self, folder):
        if any(self._recognized(folder, name) for name in self._children(folder)):
            return True
        if self._notebooks(folder):
            return self._once(self._many_students, folder)
        siblings = [(*folder[:-1], name) for name in self._tree[folder[:-1]][0]]
        if any(self._notebooks(s) and not self._once(self._many_students, s) for s in siblings):
            return False  # the folder next to it is one student's, so this one is
        inner = [(*folder, name) for name in self._tree[folder][0]]
        if not inner or any(self._once(self._is_class, each) for each in inner):
            return bool(inner)
        used = [each for each in inner if self._below(each)] or inner
        if len(used) == 1 and not self._is_place(used[0][-1]):
            alike = any(s != folder and (*s, used[0][-1]) in self._tree for s in siblings)
            if self._tree[folder][1] or (
                alike and self._leads_to_notebooks(used[0])
            ):  # a repository, or folders handed out
                return bool(_SECTION.match(folder[-1])) or self._is_place(folder[-1])
        return not any(plain(each[-1]).casefold() in self._labs for each in inner) and not all(
            self._is_place(each[-1]) for each in used
        )

    def _leads_to_notebooks(self, folder):
        """Whether notebooks are in a folder, or in the one folder that is in it, and so on."""
        for _ in range(_DEEPEST):
            inner = [(*folder, name) for name in self._tree[folder][0] if self._below((*folder, name))]
            if self._notebooks(folder) or len(inner) != 1:
                break
            folder = inner[0]
        return bool(self._notebooks(folder))

    def _is_class(self, folder):
        """Whether a folder holds works of several students, by its contents alone."""
        if self._notebooks(folder) or len(folder) > _DEEPEST:
            return self._once(self._many_students, folder)
        inner = [(*folder, name) for name in self._tree[folder][0]]
        named = [each for each in inner if self._below(each) and not self._is_place(each[-1])]
        return (
            len(named) > 1
            or any(self._recognized(folder, name) for name in self._children(folder))
            or any(self._once(self._is_class, each) for each in inner)
        )

    def _is_place(self, name):
        """Whether the name of a folder is for a part of a student's work; a number alone may be a student's."""
        if re.search(r"\d{4}|(?i:submission)", name) or not re.search(r"[^\W\d_]", name):
            return False
        return bool(_PLACE.fullmatch(self._letters(name)))

    def _notebooks(self, folder):
        return [name for name in self._tree[folder][1] if ".ipynb" in name.lower()]

    def _below(self, folder):
        return folder in self._with_notebooks

    def _many_students(self, folder):
        """Whether the notebooks in a folder have names of students, not of one student's versions or labs."""
        files = [name for name in self._tree[folder][1] if re.search(r"(?i)\.ipynb|\.zip$", name)]
        archived = [
            name
            for name in self._tree[folder][0]
            if archives.is_archive(name) and self._below((*folder, name))
        ]
        files += archived if len(archived) > 1 else []
        handed_out = [name for name in files if self._graded and plain(name).casefold() == self._graded]
        if (
            handed_out
        ):  # one student's, who calls other notebooks by other names, or the empty one next to the class
            answered = {name for name in files if self._answered((*folder, name))}
            return answered.isdisjoint(handed_out) and len(answered) > 1
        texts = {name: self._without_labs(self._student_part(name)) for name in files}
        long = {name: re.findall(r"\d{4,}", text) for name, text in texts.items()}
        dated = all(_COMPACT_DATE.fullmatch(number) for numbers in long.values() for number in numbers)
        own = {
            (self._letters(text), *(() if dated else long[name]), *map("".join, _PERSON.findall(stem(name))))
            for name, text in texts.items()
        }
        return len(own - {("",)}) > 1 or self._several_answered(folder, texts)

    def _several_answered(self, folder, texts):
        """Whether notebooks whose names differ by a number hold answers, each with its number."""
        numbered: dict[str, dict[tuple[str, ...], str]] = collections.defaultdict(dict)
        for name, text in texts.items():
            numbers = tuple(n for n in re.findall(r"\d+", text) if not _COMPACT_DATE.fullmatch(n))
            words = re.sub(r"[\W\d_]+", "", text)
            if numbers and (not words or self._letters(text) or self._is_all(folder)):
                numbered[words].setdefault(numbers, name)
        return any(
            len(names) > 1 and sum(self._answered((*folder, name)) for name in names.values()) > 1
            for names in numbered.values()
        )

    def _student_part(self, name):
        found = _CLASSROOM.match(stem(name))
        return found["name"] if found and plain(found["file"]).casefold() in self._labs else plain(name)

    def _without_labs(self, text):
        text = text.casefold()
        for lab in sorted(self._labs, key=len, reverse=True):
            if len(lab) > 3:
                text = text.replace(lab, " ")
        return _DATE.sub(" ", text)

    def _letters(self, text):
        """Letters of a name without those of labs and of words that students add; "" for the begin of a lab's name."""
        letters = _GENERAL.sub("", self._without_labs(text))
        return "" if len(letters) > 3 and any(lab.startswith(letters) for lab in self._labs) else letters
