"""Names of files and folders as course systems and browsers write them.

    Canvas       lovelaceada_LATE_4711_678_lab-1.ipynb, LATE_anon_Xy12Z_678_lab.ipynb, …_4711_text.html
    Moodle       Ada Lovelace_4711_assignsubmission_file_/lab.ipynb, or lab.ipynb at the end of the name itself;
                 Participant_4711_… if names are hidden
    Gradescope   submission_4711/lab.ipynb and submission_metadata.yml next to the folders
    Classroom    Ada Lovelace - lab.ipynb
    nbgrader     submitted/ada/lab/lab.ipynb with timestamp.txt; inbound/ada+lab+2026-11-02 10:00:00 UTC+…/lab.ipynb
    Brightspace  397063-2557369 - Ada Lovelace - Nov 2, 2026 926 PM/lab.ipynb, a folder per attempt, next to index.html
    Blackboard   Lab 2_ada_attempt_2026-11-02-10-00-00_lab.ipynb, and …_attempt_2026-11-02-10-00-00.txt about it
    Sakai        Lab 2/Lovelace, Ada(ada)/Submission attachment(s)/lab.ipynb next to grades.csv

Sources: instructure/canvas-lms, lib/content_zipper.rb; moodle/moodle, mod/assign/locallib.php; jupyter/nbgrader,
nbgrader/exchange/default/collect.py; for Blackboard the guide of kwurst/bb-file-cleanup.
"""

from __future__ import annotations

import dataclasses
import re
import time
import unicodedata

from tf_kit.grading import archives, foreign_text

_ENDINGS = "|".join(map(re.escape, (".ipynb", ".json", ".txt", *archives.SUFFIXES)))
_ID = r"(?P<id>\d+)"
_MOODLE = re.compile(rf"^(?P<name>.+)_{_ID}_assignsubmission_[a-z]+(?:_(?P<file>.*))?$")
_END = r"_(?:\d+_(?P<file>.+)|(?:text|link)\.html)$"
_CANVAS = re.compile(rf"^(?P<name>.+?)_(?P<late>LATE_)?{_ID}{_END}")
_CANVAS_HIDDEN = re.compile(rf"^(?P<late>LATE_)?(?P<name>anon)_(?P<id>[A-Za-z0-9]+){_END}")
_GRADESCOPE = re.compile(rf"^(?P<name>submission)_{_ID}$")
_INBOUND = re.compile(r"^(?P<name>[^+]+)\+(?P<lab>[^+]+)\+(?P<time>\d{4}-\d\d-\d\d [\d:.]+ \w+)(?:\+\w*)?$")
_BRIGHTSPACE = re.compile(
    r"^(?P<id>\d+-\d+) - (?P<name>.+) - (?P<day>\w{3} \d\d?, \d{4}) (?P<hour>\d{3,4} [AP]M)(?: - .+)?$"
)
_BLACKBOARD = re.compile(r"^(?P<name>.+?)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_.+|\.txt)$")
_SAKAI = re.compile(r"^(?P<name>[^,()]+, [^,()]*[^\s,()])\((?P<id>[^\s()]{2,})\)$")
_COPY = re.compile(r"(?:[ _-]*\((\d+)\)|[ _-]*[Cc]opy[ _-]?(\d*)|-(\d{1,2})|[ _-]?[vV](\d+))$")
_COPY_OF = re.compile(r"^(?:Copy|Kopie) (?:of|von) ")


@dataclasses.dataclass(frozen=True)
class Owner:
    """The student whom a file belongs to.

    Args:
        name: name of the student.
        number: number of the student in the course system, or "".
        late: whether the system calls the submission late.
        time: time of the submission as the system writes it, or ""; it sorts as text.
        system: name of the system, or "".
        person: guess of the student's name, where a student chose the name of the file or folder, or "".
    """

    name: str
    number: str = ""
    late: bool = False
    time: str = ""
    system: str = ""
    person: str = dataclasses.field(default="", repr=False)


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
        hidden = " " not in found["name"] and found["name"] in (
            "Participant",
            "Teilnehmer",
            "Teilnehmerin",
            "Participante",
        )
        who = f"{found['name']} {found['id']}" if hidden else found["name"]
        return Owner(who, found["id"], system="Moodle")
    found = _BLACKBOARD.match(name)  # before Canvas, since names of labs and users may be numbers
    if found:
        return Owner(found["name"], time=found["time"], system="Blackboard")
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
    found = _BRIGHTSPACE.match(name)
    if found:
        return Owner(found["name"], found["id"], time=_sortable(found), system="Brightspace")
    found = _SAKAI.match(name)
    if found:
        return Owner(found["name"], found["id"], system="Sakai")
    return None


def _sortable(found):
    """Write the time of Brightspace, such as `Nov 2, 2026 926 PM`, so that it sorts as text; "" if it is no time."""
    try:
        read = time.strptime(f"{found['day']} {found['hour'].zfill(7)}", "%b %d, %Y %I%M %p")
    except ValueError:
        return ""
    return time.strftime("%Y-%m-%d %H:%M", read)


def name_of(text: object) -> str:
    """Clean the name of a student; of letters with accents there are two spellings, which look the same."""
    return unicodedata.normalize("NFC", foreign_text.line(foreign_text.file_name(str(text)), 200))


def attempt(name: str) -> int:
    """Read the number of a copy that a browser or a system appends: `lab (2).ipynb`, `lab-2.ipynb`; 0 without one."""
    found = _COPY.search(stem(name))
    if not found:
        return 1 if _COPY_OF.match(name) else 0
    return int(next((digits for digits in found.groups() if digits), "1"))


def stem(name: str) -> str:
    """Drop the suffixes of a notebook or an archive from the name of a file."""
    return re.sub(rf"(?i)(?:{_ENDINGS})+$", "", name)


def plain(name: str) -> str:
    """Drop from the name of a file its suffix and what marks it as a copy."""
    return _COPY.sub("", _COPY_OF.sub("", stem(name))).strip()
