"""The page of a class: one HTML file without scripts that needs no network, for the teacher.

It shows the points and how they are spread, each exercise, the misconceptions, who needs help, answers that are nearly
the same, and a line per student with a link to the student's own page.
"""

from __future__ import annotations

import dataclasses
import functools
import string
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tf_kit.grading.labs import Lab
from tf_kit.grading.record import Grade, Result
from tf_kit.grading.roster import HandedIn, matched
from tf_kit.grading.similarity import Alike
from tf_kit.markup import escaped

Key = tuple[str, str]

MOST_BARS = 12
MOST_NAMES = 12
MOST_MISTAKES = 12
MOST_ALIKE = 25
BY_HAND = "the grader failed"  # first words of the sentence of an answer that the grader could not grade
UNREADABLE = ("SyntaxError", "IndentationError", "TabError")
SIGNS = {"ok": "✓", "wrong": "✗", "missing": "–"}
TROUBLE = {
    "missing": "not begun",
    "wrong": "wrong",
    "error": "stops with an error",
    "timeout": "does not end in time",
    "memory": "takes too much memory",
    "crashed": "ends Python",
    "forbidden": "lets the library do the work",
}


@dataclasses.dataclass(frozen=True)
class ClassOfStudents:
    """Contents of the page.

    Args:
        lab: the lab.
        grades: grade of each student.
        folders: name and number of a student -> folder of the student's own page, below the page of the class.
        seconds: time that grading took, and the number of submissions that were graded in it, if known.
        handed_in: the files that were handed in and the roster of the class, if known.
        alike: students with nearly the same answers.
    """

    lab: Lab
    grades: Sequence[Grade]
    folders: Mapping[Key, str]
    seconds: tuple[float, int] | None = None
    handed_in: HandedIn | None = None
    alike: Sequence[Alike] = ()

    @functools.cached_property
    def listed(self) -> dict[Key, str]:
        """Names of the students on the roster."""
        if self.handed_in is None or not self.handed_in.listed:
            return {}
        pairs = matched(self.handed_in.listed, self.handed_in.survey.submissions)
        return {key: student.name for key, student in pairs.items()}

    def name(self, key: Key) -> str:
        """Name a student as the roster does, or else as the submission does, with the number if it needs one."""
        if key in self.listed:
            key = (self.listed[key], key[1])
            shared = [*self.listed.values()].count(key[0]) > 1
            return f"{key[0]} ({key[1]})" if shared and key[1] else key[0]
        shared = sum(grade.student == key[0] for grade in self.grades) > 1
        return f"{key[0]} ({key[1]})" if shared and key[1] else key[0]

    def link(self, key: Key) -> str:
        """Write the name of a student as a link to the student's page."""
        name = escaped(self.name(key))
        if key not in self.folders:
            return name
        return f'<a href="{escaped(urllib.parse.quote(self.folders[key]))}/report.html">{name}</a>'

    def title(self, id: str) -> str:
        """Title of an exercise, escaped."""
        return escaped(self.lab.exercises[id].title)


def class_page(of: ClassOfStudents) -> str:
    """Write the page of a class as HTML."""
    parts = (_head, _points, _exercises, _misconceptions, _help, _by_hand, _alike, _students)
    body = "\n".join(part(of) for part in parts) if of.grades else "<p>Nothing was handed in.</p>"
    template = string.Template(Path(__file__).with_name("class.html").read_text(encoding="utf-8"))
    return template.substitute(title=escaped(of.lab.title), body=body)


def _head(of):
    totals = [grade.points for grade in of.grades]
    cards = [
        (len(totals), "handed in"),
        (f"{np.mean(totals):.1f} of {of.lab.points}", "points on average"),
        (f"{np.median(totals):g}", "points in the middle (median)"),
    ]
    if of.handed_in is not None and of.handed_in.listed:
        cards.insert(1, (len(of.handed_in.absent), "handed in nothing"))
    late = sum(grade.late for grade in of.grades)
    cards += [(late, "late")] if late else []
    if of.seconds is not None:
        taken, graded = of.seconds
        label = f"to grade {graded} submissions" if graded else "to read the grades on record"
        cards.append((_duration(taken), label))
    boxes = "".join(
        f'<div class="card"><b>{escaped(value)}</b>{escaped(name)}</div>' for value, name in cards
    )
    return f'<h1>{escaped(of.lab.title)}</h1>\n<div class="cards">{boxes}</div>'


def _points(of):
    """Count students by points, in at most `MOST_BARS` ranges of the same width."""
    width = -(-(of.lab.points + 1) // MOST_BARS)
    counted = Counter(grade.points // width for grade in of.grades)
    most = max(counted.values())
    rows = []
    for i in range(of.lab.points // width, -1, -1):
        low, high = i * width, min((i + 1) * width - 1, of.lab.points)
        bar = _bar([("all", counted[i] / most)]) if counted[i] else ""
        rows.append([str(low) if low == high else f"{low} to {high}", str(counted[i]), bar])
    return "<h2>Points</h2>\n" + _table(("points", "#students", "|of the most frequent"), rows)


def _exercises(of):
    rows = []
    for results in zip(*(grade.results for grade in of.grades), strict=True):
        n, maximum = len(results), results[0].maximum
        full = sum(result.points == maximum for result in results)
        begun = sum(result.status != "missing" for result in results)
        nothing = sum(result.points == 0 and result.status != "missing" for result in results)
        some = n - full - nothing - (n - begun)
        bar = _bar(
            [("all", full / n), ("some", some / n), ("none", nothing / n), ("left", (n - begun) / n)],
            f"{full} all points, {some} some, {nothing} none, {n - begun} not begun",
        )
        counted = Counter(TROUBLE[r.status] for r in results if r.status in TROUBLE)
        trouble = ", ".join(f"{count} {words}" for words, count in counted.most_common())
        mean = sum(result.points for result in results) / n
        seconds = sum(result.seconds for result in results) / max(begun, 1)
        cells = [escaped(results[0].title), maximum, f"{mean:.1f}", f"{full} of {n}", bar, escaped(trouble)]
        rows.append([*map(str, cells), f"{seconds:.2f}"])
    key = '<p class="key"><i class="all"></i>all points<i class="some"></i>some<i class="none"></i>none'
    heads = ("exercise", "#points", "#mean", "#solved", "|students", "what went wrong", "#seconds per answer")
    return f'<h2>Exercises</h2>\n{key}<i class="left"></i>not begun</p>\n{_table(heads, rows)}'


def _misconceptions(of):
    """List the known mistakes by name, and apart from them code that Python cannot read."""
    known = {
        (id, mistake.sentence) for id, exercise in of.lab.exercises.items() for mistake in exercise.mistakes
    }
    made = _collected(of, lambda r: r.points < r.maximum and (r.exercise, r.sentence) in known)
    broken = _collected(of, lambda r: r.sentence.startswith(UNREADABLE), by_sentence=False)
    rows = [
        [str(len(keys)), of.title(id), escaped(sentence), _names(of, keys)]
        for (id, sentence), keys in sorted(made.items(), key=lambda item: (-len(item[1]), item[0]))[
            :MOST_MISTAKES
        ]
    ]
    text = "<h2>Most frequent misconceptions</h2>\n"
    if rows:
        text += _table(("#students", "exercise", "mistake", "who"), rows)
    else:
        text += "<p>No answer makes a mistake that the lab knows.</p>"
    if broken:
        rows = [[str(len(keys)), of.title(id), _names(of, keys)] for (id, _), keys in sorted(broken.items())]
        text += "\n<h2>Code that Python cannot read</h2>\n" + _table(("#students", "exercise", "who"), rows)
    return text


def _collected(
    of: ClassOfStudents, wanted: Callable[[Result], bool], by_sentence: bool = True
) -> dict[tuple[str, str], list[Key]]:
    """Collect the students whose results are wanted: (id of the exercise, sentence) -> students."""
    found: dict[tuple[str, str], list[Key]] = {}
    for grade in of.grades:
        for result in grade.results:
            if wanted(result):
                about = (result.exercise, result.sentence if by_sentence else "")
                found.setdefault(about, []).append(grade.key)
    return found


def _help(of):
    rows = [
        (
            grade.points,
            [of.link(grade.key), f"{grade.points} of {grade.maximum}", escaped(in_words(grade, of.lab))],
        )
        for grade in of.grades
        if 2 * grade.points < grade.maximum
    ]
    listed = [row for _, row in sorted(rows, key=lambda row: row[0])]
    if of.handed_in is not None:
        listed += [[escaped(student.name), "", "handed in nothing"] for student in of.handed_in.absent]
    if not listed:
        return "<h2>Who needs help</h2>\n<p>Everybody has at least half of the points.</p>"
    note = '<p class="quiet">Students with less than half of the points, and those who handed in nothing.</p>'
    return f"<h2>Who needs help</h2>\n{note}\n{_table(('student', '#points', 'where they stand'), listed)}"


def in_words(grade: Grade, lab: Lab) -> str:
    """Describe where a student stands, as a teacher would."""
    if all(result.status == "missing" for result in grade.results):
        reasons = {r.sentence for r in grade.results if r.sentence != lab.exercises[r.exercise].task}
        return reasons.pop() if len(reasons) == 1 else "has not begun any exercise"
    solved = sum(result.points == result.maximum for result in grade.results)
    tried = sum(result.status != "missing" for result in grade.results)
    words = f"tried {tried} of {len(grade.results)} exercises, solved {solved or 'none'}"
    trouble: dict[str, list[str]] = {}
    for result in grade.results:
        if result.points < result.maximum:
            unreadable = result.sentence.startswith(UNREADABLE)
            kind = "Python cannot read the code" if unreadable else TROUBLE.get(result.status, result.status)
            trouble.setdefault(kind, []).append(f"“{result.title}”")
    return "; ".join([words, *(f"{kind}: {', '.join(titles)}" for kind, titles in trouble.items())])


def _by_hand(of):
    failed = _collected(of, lambda result: result.sentence.startswith(BY_HAND))
    if not failed:
        return ""
    rows = [[of.title(id), escaped(sentence), _names(of, keys)] for (id, sentence), keys in failed.items()]
    return "<h2>To be graded by hand</h2>\n" + _table(("exercise", "why", "who"), rows)


def _alike(of):
    if not of.alike:
        return ""
    note = (
        '<p class="quiet">A hint where to look, and no verdict: names, constants and comments were left out, '
        "and pieces that many answers share count little. Students who learned together, or from the same page, may "
        "write the same independently. Read both answers before you talk to anybody.</p>"
    )
    rows = []
    for group in of.alike[:MOST_ALIKE]:
        where = ", ".join(f"{of.title(id)} ({least:.0%})" for id, least in group.exercises.items())
        same = "the same file" if group.same_file else ""
        rows.append([_names(of, group.students), "; ".join(filter(None, (same, where)))])
    more = len(of.alike) - len(rows)
    rest = f'<p class="quiet">{more} more groups are not shown.</p>' if more > 0 else ""
    heads = ("students", "exercise, and how much they share of what is rare in the class")
    return f"<h2>Answers that are nearly the same</h2>\n{note}\n{_table(heads, rows)}{rest}"


def _students(of):
    titles = [result.title for result in of.grades[0].results]
    rows = []
    for grade in sorted(of.grades, key=lambda each: of.name(each.key).casefold()):
        late = " (late)" if grade.late else ""
        cells = [
            f'<span title="{escaped(TROUBLE.get(r.status, "all points"))}">{SIGNS.get(r.status, "!")} {r.points}</span>'
            for r in grade.results
        ]
        rows.append([of.link(grade.key) + late, escaped(grade.number), f"<b>{grade.points}</b>", *cells])
    key = (
        '<p class="quiet">✓ all points, ✗ wrong, – not begun, ! did not run to its end or is not allowed</p>'
    )
    heads = ("student", "number", "#points", *(f"#{title}" for title in titles))
    return f"<h2>Students</h2>\n{key}\n{_table(heads, rows)}"


def _names(of, keys: Iterable[Key]) -> str:
    """Link to students; the later ones of many are folded away."""
    links = [of.link(key) for key in keys]
    if len(links) <= MOST_NAMES:
        return ", ".join(links)
    rest = ", ".join(links[MOST_NAMES:])
    count = len(links) - MOST_NAMES
    return f"{', '.join(links[:MOST_NAMES])}<details><summary>and {count} more</summary>{rest}</details>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of cells that are HTML. A heading `#…` is that of numbers, `|` that of bars."""
    kinds = [{"#": ' class="number"', "|": ' class="bar"'}.get(head[:1], "") for head in heads]
    top = "".join(
        f'<th scope="col"{kind}>{escaped(head.lstrip("#|"))}</th>'
        for head, kind in zip(heads, kinds, strict=True)
    )
    lines = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'


def _bar(parts: Sequence[tuple[str, float]], words: str = "") -> str:
    """Draw a bar of colored parts, each given by its class and its fraction of the width."""
    pieces = "".join(
        f'<i class="{kind}" style="width:{100 * part:.1f}%"></i>' for kind, part in parts if part
    )
    label = f' role="img" aria-label="{escaped(words)}" title="{escaped(words)}"' if words else ""
    return f'<div class="bars"{label}>{pieces}</div>'


def _duration(seconds: float) -> str:
    """Write a duration as a teacher reads it.

    Example:
        >>> _duration(9.3), _duration(200), _duration(7300)
        ('9 s', '3 min 20 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
    )
