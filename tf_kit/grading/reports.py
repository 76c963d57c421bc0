"""Reports on a class, in the formats that teachers and learning platforms read, written from the grades alone."""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_kit.grading.class_page import ClassOfStudents, class_page
from tf_kit.grading.handed_in import GRADED, SYSTEM
from tf_kit.grading.judge import STATUSES
from tf_kit.grading.labs import Lab
from tf_kit.grading.record import Grade
from tf_kit.grading.roster import HandedIn, matched, misread, other_maximum
from tf_kit.grading.roster_columns import is_worksheet, worksheet_column
from tf_kit.grading.similarity import Alike
from tf_kit.markup import clean, escaped
from tf_kit.whole_files import write_text

_WIDTH, _MOST_FILES = 110, 12
_NO_MISTAKE = ("SyntaxError", "IndentationError", "TabError", "the grader failed")  # not about the subject


def write(
    grades: Sequence[Grade],
    lab: Lab,
    folder: str | Path,
    manifest: Mapping[str, Any],
    handed_in: HandedIn | None = None,
    alike: Sequence[Alike] = (),
) -> None:
    """Write the reports on a class into a folder.

    They are `class.html`, `grades.csv`, `canvas.csv`, `moodle.csv`, `junit.xml`, `summary.txt`, `manifest.json`, and
    for each student, in `students/<name>/`, a `results.json` for Gradescope and a `report.html`; with `handed_in` also
    `files.csv`, a line per file.

    Args:
        grades: grade of each student.
        lab: the lab.
        folder: folder for the reports.
        manifest: conditions under which the grades were given, as plain values.
        handed_in: the files that were handed in and the roster of the class.
        alike: students with nearly the same answers, for `class.html`.
    """
    folder = Path(folder)
    grades = sorted(grades, key=lambda grade: grade.key)
    rows = rows_of_the_roster(grades, handed_in)
    save(folder / "grades.csv", grades_csv(grades))
    save(folder / "canvas.csv", canvas_csv(grades, lab, rows))
    save(folder / "moodle.csv", moodle_csv(grades, rows))
    if handed_in is not None:
        save(folder / "files.csv", files_csv(handed_in))
    save(folder / "junit.xml", junit_xml(grades, lab))
    save(folder / "manifest.json", json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    save(folder / "summary.txt", summary(grades, lab, handed_in))
    folders = _folders(grades)
    for grade in grades:
        place = folder / folders[grade.key]
        save(place / "results.json", json.dumps(gradescope(grade), indent=2, ensure_ascii=False) + "\n")
        save(place / "report.html", page(grade, lab))
    seconds = None
    if "seconds" in manifest:
        seconds = (manifest["seconds"], manifest["submissions"] - manifest["from the record"])
    of = ClassOfStudents(lab, grades, folders, seconds, handed_in, alike)
    save(folder / "class.html", class_page(of))


def grades_csv(grades: Sequence[Grade]) -> str:
    """Write one line per answer: student, number, lab, exercise, points, max, status."""
    rows: list[tuple] = [("student", "number", "lab", "exercise", "points", "max", "status")]
    for grade in grades:
        who = (grade.student, grade.number, grade.lab)
        rows += [(*who, r.exercise, r.points, r.maximum, r.status) for r in grade.results]
    return csv_of(rows)


def files_csv(handed_in: HandedIn) -> str:
    """Write one line per file that was handed in, and one per student who handed in nothing."""
    rows: list[tuple] = [("file", "student", "number", "late", "kind", "why")]
    for file in handed_in.survey.files:
        owner = file.owner
        who = (owner.name, owner.number, "late" if owner.late else "") if owner else ("", "", "")
        rows.append((file.label, *who, file.kind, file.why))
    rows[1:] = sorted(rows[1:])
    rows += [("", student.name, "", "", "nothing handed in", "") for student in handed_in.absent]
    return csv_of(rows)


def rows_of_the_roster(
    grades: Sequence[Grade], handed_in: HandedIn | None
) -> dict[tuple[str, str], dict[str, str]]:
    """Find the row of the roster for each student: key of the grade -> cells by heading."""
    if handed_in is None or not handed_in.listed:
        return {}
    pairs = matched(handed_in.listed, handed_in.survey.submissions)
    return {grade.key: dict(pairs[grade.key].row) for grade in grades if grade.key in pairs}


_CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def canvas_csv(
    grades: Sequence[Grade], lab: Lab, rows: Mapping[tuple[str, str], Mapping[str, str]] | None = None
) -> str:
    """Write a gradebook for import into Canvas: one line per student, with the maximum in a second heading.

    Canvas finds a student by ID, then by SIS ID or login, then by name; with the gradebook as roster all of them stand
    there, and the assignment has the heading that Canvas gave it.
    """
    rows = rows or {}
    headings = [heading for row in rows.values() for heading in row]
    title = next(
        (each for each in headings if re.fullmatch(rf"{re.escape(lab.title)} \(\d+\)", each)), lab.title
    )
    lines: list[tuple] = [(*_CANVAS, title)]
    lines.append(("    Points Possible", "", "", "", "", lab.points))
    for grade in grades:
        own = {"Student": grade.student, "ID": grade.number}
        known = rows.get(grade.key, {})
        # Canvas writes all three; the ID of another table is another number.
        found = known if {"Student", "ID", "Section"} <= known.keys() else {}
        lines.append((*(found.get(each) or own.get(each, "") for each in _CANVAS), grade.points))
    return csv_of(lines)


_MOODLE = ("Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade")
_MOODLE_MORE = ("Last modified (submission)", "Last modified (grade)", "Feedback comments")


def moodle_csv(
    grades: Sequence[Grade], rows: Mapping[tuple[str, str], Mapping[str, str]] | None = None
) -> str:
    """Write an offline grading worksheet for import into Moodle.

    The import wants the columns Identifier, Grade and Last modified (grade), called as in the language of its user, and
    skips a grade that was changed in Moodle after the time in the last one. So if the roster is the worksheet that
    Moodle exported, its headings and its rows are written, with other grades and comments; "-" means not graded before.
    """
    rows = rows or {}
    first = next(iter(rows.values()), {})  # as all rows of the roster
    worksheet = first if is_worksheet(first) else {}
    headings = tuple(worksheet) or (*_MOODLE, *_MOODLE_MORE)
    column = {heading: worksheet_column(heading) for heading in headings}
    participant = "Participant "
    for heading, cell in worksheet.items():
        if column[heading] == "Identifier":
            participant = re.sub(r"\d+$", "", cell)
    lines: list[tuple] = [headings]
    for grade in grades:
        words = "; ".join(f"{r.title}: {r.points} of {r.maximum}, {r.status}" for r in grade.results)
        own = {
            "Identifier": f"{participant}{grade.number}" if grade.number else grade.student,
            "Full name": grade.student,
            "Status": "Submitted for grading",
            "Maximum Grade": grade.maximum,
            "Last modified (submission)": "-",
            "Last modified (grade)": "-",
        }
        known = rows.get(grade.key, {}) if worksheet or "Identifier" in first else {}
        new = {"Grade": grade.points, "Feedback comments": words}
        lines.append(
            tuple(
                new[column[each]] if column[each] in new else known.get(each) or own.get(column[each], "")
                for each in headings
            )
        )
    return csv_of(lines)


def gradescope(grade: Grade) -> dict[str, Any]:
    """Make the contents of `results.json` as Gradescope's autograder reads it."""
    return {
        "score": grade.points,
        "max_score": grade.maximum,
        "output": f"{grade.lab}: {grade.points} of {grade.maximum} points",
        "stdout_visibility": "hidden",
        "tests": [
            {
                "name": result.title,
                "number": str(i),
                "score": result.points,
                "max_score": result.maximum,
                "status": "passed" if result.status == "ok" else "failed",
                "output": "\n".join([result.status, *_words(result)]),
                "visibility": "visible",
            }
            for i, result in enumerate(grade.results, start=1)
        ],
    }


def junit_xml(grades: Sequence[Grade], lab: Lab) -> str:
    """Write JUnit XML with a test suite per student and a test per exercise."""
    suites = ElementTree.Element("testsuites", name=lab.name)
    for grade in grades:
        failed = sum(result.status in ("wrong", "forbidden", "missing") for result in grade.results)
        broken = sum(result.status in ("error", "timeout", "memory", "crashed") for result in grade.results)
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=clean(grade.student),
            tests=str(len(grade.results)),
            failures=str(failed),
            errors=str(broken),
        )
        for result in grade.results:
            test = ElementTree.SubElement(
                suite, "testcase", classname=lab.name, name=result.exercise, time=f"{result.seconds:.3f}"
            )
            if result.status != "ok":
                tag = "failure" if result.status in ("wrong", "forbidden", "missing") else "error"
                message = f"{result.points} of {result.maximum} points: {result.status}"
                element = ElementTree.SubElement(test, tag, type=result.status, message=message)
                element.text = clean("\n".join(_words(result)))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def page(grade: Grade, lab: Lab) -> str:
    """Write the report for a student as an HTML page."""
    rows = []
    for result in grade.results:
        words = "".join(f"<li>{escaped(each)}</li>" for each in result.findings)
        sentence = f"<p>{escaped(result.sentence)}</p>" if result.sentence else ""
        rows.append(
            f'<section class="{result.status}"><h2>{escaped(result.title)} '
            f"<span>{result.points} of {result.maximum}, {result.status}</span></h2>{sentence}"
            f"{f'<ul>{words}</ul>' if words else ''}</section>"
        )
    title = f"{escaped(lab.title)}: {escaped(grade.student)}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
h1 {{ font-size: 1.4rem }} h2 {{ font-size: 1.1rem; margin: 0 }} h2 span {{ font-weight: normal }}
section {{ border-left: 4px solid #d55e00; padding: .3rem 1rem; margin: 1rem 0; overflow-wrap: anywhere }}
section.ok {{ border-color: #0072b2 }} section.missing {{ border-color: #999 }}
p, ul {{ margin: .3rem 0 }} li {{ font-family: ui-monospace, monospace; font-size: .9rem }}
</style></head><body>
<h1>{title}</h1>
<p><strong>{grade.points} of {grade.maximum} points</strong></p>
{"".join(rows)}
</body></html>
"""


def summary(grades: Sequence[Grade], lab: Lab, handed_in: HandedIn | None = None) -> str:
    """Summarize a class on one screen: points and statuses by exercise, the most frequent mistakes, and the files."""
    if not grades:
        return f"{lab.title}: no submissions\n"
    totals = [grade.points for grade in grades]
    lines = [
        f"{lab.title}: {len(grades)} submissions, mean {sum(totals) / len(totals):.1f} of {lab.points} points",
        "",
        f"{'exercise':28}{'points':>8}{'mean':>8}{'full':>7}  other statuses",
    ]
    for rows in _by_exercise(grades):
        counted = Counter(result.status for result in rows)
        others = ", ".join(f"{counted[status]} {status}" for status in STATUSES[1:] if counted[status])
        mean = sum(result.points for result in rows) / len(rows)
        full = sum(result.points == result.maximum for result in rows)
        lines.append(f"{rows[0].title[:27]:28}{rows[0].maximum:>8}{mean:>8.2f}{full:>7}  {others}".rstrip())
    frequent = frequent_mistakes(grades)
    if frequent:
        lines += ["", "most frequent mistakes"]
        for (title, sentence), count in frequent:
            lines += textwrap.wrap(
                f"{title}: {sentence}",
                _WIDTH,
                initial_indent=f"{count:>4}  ",
                subsequent_indent=" " * 6,
                break_long_words=False,
                break_on_hyphens=False,
            )
    if handed_in is not None:
        lines += ["", *_files(handed_in, lab.points)]
    return "\n".join(lines) + "\n"


def _files(handed_in, points):
    """Account for all files: the number of each kind, and those that were not graded, as far as they fit."""
    counts = handed_in.survey.counts
    total = sum(counts.values())
    kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    lines = [f"{total} file{'s' if total != 1 else ''}: {kinds}"]
    left_out = [file for file in handed_in.survey.files if file.kind not in (GRADED, SYSTEM)]
    for file in left_out[:_MOST_FILES]:
        lines.append(f"  {file.kind}: {file.label}{f' ({file.why})' if file.why else ''}")
    if len(left_out) > _MOST_FILES:
        lines.append(f"  and {len(left_out) - _MOST_FILES} more; every file has a line in files.csv")
    late = sorted(submission.student for submission in handed_in.survey.submissions if submission.late)
    lines += _names("late", late)
    groups = "; ".join(", ".join(names) for names in handed_in.survey.alike)
    if groups:
        words = "maybe one student's versions, graded as several students'"
        lines += _wrapped(f"{words}: {groups}. If so, put them into a folder with the name of the student")
    if handed_in.listed:
        doubts = (
            misread(handed_in.listed, handed_in.survey.submissions),
            other_maximum(handed_in.listed, points),
        )
        lines += filter(None, doubts)
        lines += _names("handed in nothing", [student.name for student in handed_in.absent]) or [
            "everybody on the roster handed something in"
        ]
        known = matched(handed_in.listed, handed_in.survey.submissions)
        strangers = [each.student for each in handed_in.survey.submissions if each.key not in known]
        lines += _names("not found on the roster", strangers)
    return lines


def _names(what, names):
    return _wrapped(f"{what} ({len(names)}): {', '.join(names)}") if names else []


def _wrapped(text):
    return textwrap.wrap(
        text,
        _WIDTH,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def frequent_mistakes(grades: Sequence[Grade], most: int = 8) -> list[tuple[tuple[str, str], int]]:
    """Count the known mistakes: ((title of the exercise, sentence), count), the most frequent first."""
    counted = Counter(
        (result.title, result.sentence)
        for grade in grades
        for result in grade.results
        if result.status in ("wrong", "error")
        and result.sentence
        and not result.sentence.startswith(_NO_MISTAKE)
    )
    return counted.most_common(most)


def points_by_exercise(grades: Sequence[Grade]) -> dict[str, tuple[int, list[int]]]:
    """Collect for each title of an exercise its maximum and the points of every student."""
    return {
        rows[0].title: (rows[0].maximum, [result.points for result in rows]) for rows in _by_exercise(grades)
    }


def _by_exercise(grades):
    return list(zip(*(grade.results for grade in grades), strict=True))


def _words(result):
    return [*([result.sentence] if result.sentence else []), *result.findings]


def csv_of(rows: Sequence[tuple]) -> str:
    """Write CSV in which no spreadsheet finds a formula.

    Example:
        >>> csv_of([("=1+1", -2)])
        "'=1+1,-2\\n"
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow(
            [
                f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell
                for cell in row
            ]
        )
    return buffer.getvalue()


def _folders(grades):
    """Name the folder of each student below that of the reports: name and number -> relative path."""
    taken: set[str] = set()
    shared = Counter(grade.student for grade in grades)
    folders = {}
    for grade in grades:
        name = grade.student if shared[grade.student] == 1 else f"{grade.student} {grade.number}"
        folders[grade.key] = f"students/{_filename(name, taken)}"
    return folders


def _filename(student, taken):
    """Make a unique folder name for a student, without separators or a leading dot, that every file system takes."""
    name = unicodedata.normalize("NFC", re.sub(r"[^\w .-]", "_", student)).strip(" .")
    name = name.encode("utf-8", "replace")[:120].decode("utf-8", "ignore").strip(" .") or "student"
    unique, i = name, 2
    while unique.casefold() in taken:
        unique, i = f"{name}-{i}", i + 1
    taken.add(unique.casefold())
    return unique


def save(path: Path, text: str) -> None:
    """Write text to a file whose folder need not exist."""
    write_text(path, text, errors="replace")
