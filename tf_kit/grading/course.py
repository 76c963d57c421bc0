"""Grading of a class from the command line: submissions on record and those left, progress, reports."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import click

from tf_kit import __version__, folders, stderr
from tf_kit.checks import refuse
from tf_kit.grading import changes, checking, grader, labs, reading, reports, roster, similarity, submissions
from tf_kit.grading.class_figure import class_figure
from tf_kit.grading.record import SECRET, Grade, Record, secret_of
from tf_kit.ownership import disown, own

_MOST_NAMED = 5


def secret(out: str | Path, like: str | Path | None = None) -> str:
    """Read the secret of a folder of grades. Folder and secret are created on first use.

    Args:
        out: the folder.
        like: another folder of grades, whose secret a new folder takes, so that both have the same hidden cases.

    Raises:
        InputError: the folder cannot be written.
    """
    folders.make(out)
    here, there = Path(out, SECRET), Path(like or out, SECRET)
    if not here.exists() and there.exists():
        shutil.copy(there, here)
    return secret_of(out)


def refuse_folder_of(paths: Sequence[str | Path], out: str | Path) -> None:
    """Refuse to write into a folder of submissions.

    Raises:
        InputError: `out` is one of the paths.
    """
    if os.path.realpath(out) in map(os.path.realpath, paths):
        rule = "be another folder than that of the submissions"
        refuse("--out", rule, f"{str(out)!r}", "Choose another folder")


def grade(
    name: str,
    paths: Sequence[str | Path],
    out: str | Path,
    jobs: int | None = None,
    seconds: float | None = None,
    secret: str | None = None,
    allow_unsandboxed: bool = False,
    listed: str | Path | None = None,
    compare: str | Path | None = None,
) -> list[Grade]:
    """Grade submissions, write the record and the reports, and print a summary of the class.

    If the folder has grades that were given under other rules (another text of the lab, other hidden cases, limits or
    version), their submissions are graded again, the reports on the class are kept in another folder, and
    `changes.csv` lists the answers whose points have changed. The reports are about the students of `paths`; if the
    folder has grades of others, the reports before are kept too.

    Args:
        name: number or topic of the lab.
        paths: notebooks and folders of notebooks.
        out: folder for the record and the reports.
        jobs: number of answers that run at once. Defaults to the number of processors.
        seconds: time limit for one answer. Defaults to that of its exercise.
        secret: string from which the hidden cases are drawn. Without it there are none.
        allow_unsandboxed: whether to use hidden cases even if the system cannot confine an answer.
        listed: file with the students of the class, by which those who handed in nothing are listed.
        compare: another folder of grades, to list in `changes.csv` what has changed since. Defaults to `out`.

    Returns:
        Grade of every student.

    Raises:
        InputError: the lab or a submission does not exist, `out` cannot be written, is in use by another process or
            has grades of another lab, `compare` has no grades of the lab, or hidden cases cannot be protected.
    """
    lab = labs.find(name)
    refuse_folder_of(paths, out)
    folders.make(out)
    lock = own(Path(out), "--out", "Wait until that process has ended, or choose another folder")
    try:
        return _grade(lab, paths, out, jobs, seconds, secret, allow_unsandboxed, listed, compare)
    finally:
        if lock is not None:
            disown(lock)


def _grade(lab, paths, out, jobs, seconds, secret, allow_unsandboxed, listed, compare):
    survey = submissions.survey(paths, lab, leave_out=out)
    found = survey.submissions
    students = roster.read(listed) if listed else []
    compared = changes.grades_of(compare, lab) if compare else {}
    record = Record(out)
    others = sorted(record.labs - {lab.name})
    if others:
        received = f"{str(out)!r}, which has grades of {', '.join(others)}"
        refuse("--out", f"be a folder for the grades of {lab.name} alone", received, "Choose another folder")
    began = time.perf_counter()
    with grader.Grader(lab, jobs, seconds, secret, allow_unsandboxed) as judge:
        identity = judge.identity()
        grades, left = _on_record(found, record, identity)
        judge.prepare(left)
        level = judge.ready()
        click.echo(f"{lab.title}: {len(found)} submissions, {len(found) - len(left)} of them on record")
        click.echo(_level_line(level, judge.parts, judge.memory, secret))
        doubt = roster.misread(students, found)
        if doubt:
            click.echo(doubt)  # before anything runs, and once more in the summary
        conditions = _conditions(lab, seconds, secret)
        before = _graded_before(record, identity, lab, found, out, conditions)
        _keep_reports_of_others(record, identity, lab, found, out)
        before = compared or before
        for done in _progress(judge.grade(left), len(left)):
            record.append(done, identity)
            grades.append(done)
        sandbox = {"level": level, **judge.parts, "memory": judge.memory}
    taken = time.perf_counter() - began
    manifest = {
        "lab": lab.name,
        "made": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": round(taken, 1),
        "submissions": len(found),
        "from the record": len(found) - len(left),
        "rules": identity,
        "sandbox": sandbox,
        **conditions,
        "files": [
            {"student": grade.student, "number": grade.number, "file": grade.file, "sha256": grade.digest}
            for grade in sorted(grades, key=lambda grade: grade.key)
        ],
    }
    handed_in = roster.HandedIn(survey, roster.absent(students, found), students)
    reports.write(grades, lab, out, manifest, handed_in, similarity.alike(found, lab))
    if grades:
        from tf_kit import plotting

        mistakes = reports.frequent_mistakes(grades, most=6)
        figure = class_figure(lab.title, reports.points_by_exercise(grades), mistakes)
        plotting.save(figure, Path(out) / "summary.png")
    click.echo(f"\n{reports.summary(grades, lab, handed_in)}")
    if before:
        moved, place = changes.moves(before, grades), Path(out, "changes.csv")
        reports.save(place, reports.csv_of(changes.rows(moved)))
        click.echo(changes.text(moved, len(before.keys() & {grade.key for grade in grades}), str(place)))
    click.echo(
        f"{taken:.1f} s; the class on one page: {Path(out, 'class.html')}; record and reports next to it"
    )
    return grades


def _on_record(found, record, identity):
    """Return the grades that the record has or can transfer, and the submissions that remain to be graded."""
    grades, left = [], []
    for submission in found:
        known = record.known(submission, submissions.digest_of(submission), identity)
        if known is None:
            left.append(submission)
            continue
        grades.append(known)
        if not record.holds(submission, known.digest, identity):
            record.append(known, identity)
    return grades, left


def _graded_before(record, identity, lab, found, out, conditions):
    """Return the grades that these students got here under other rules; their reports are kept, and a line says so."""
    names = {submission.key for submission in found}
    latest = record.latest(lab.name, other_than=identity)
    before = {key: grade for key, grade in latest.items() if key in names}
    old = changes.manifest_of(out)
    if before and old.get("rules") != identity:
        what = ", ".join(changes.differences(old, conditions)) or "unknown"
        kept = f"; the reports before are in {changes.keep_reports(out)}" if old else ""
        click.echo(f"{len(before)} students have grades under other rules here (changed: {what}){kept}")
    return before


def _keep_reports_of_others(record, identity, lab, found, out):
    """Keep the reports on students who are on record, but not among these submissions, and say so in a line."""
    names = {submission.key for submission in found}
    others = [student for student, number in record.latest(lab.name, only=identity).keys() - names]
    if not others:
        return
    kept = f"; the reports before are in {changes.keep_reports(out)}" if changes.manifest_of(out) else ""
    shown = ", ".join(sorted(others)[:_MOST_NAMED]) + (", …" if len(others) > _MOST_NAMED else "")
    click.echo(
        f"not in these reports: {len(others)} students on record ({shown}) whose notebooks were not given{kept}. "
        "To report on all, give all notebooks at once: those on record are not graded again"
    )


def _conditions(lab, seconds, secret):
    """Collect what the manifest must keep, so that the submissions can be graded again under the same conditions."""
    hidden = f"seed {reading.digest(secret)[:12]} (hash of the secret)" if secret else "none"
    packages = ("tensorflow", "keras", "numpy", "nbformat")
    return {
        "files of the lab": changes.rules(lab),
        "hidden cases": hidden,
        "visible seed": checking.VISIBLE_SEED,
        "limits": {
            exercise.id: {"seconds": seconds or exercise.seconds, "memory_mb": exercise.memory_mb}
            for exercise in lab.exercises.values()
        },
        "versions": {
            "tf-kit": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            **{package: metadata.version(package) for package in packages},
        },
    }


def _level_line(level, parts, memory, secret):
    missing = [part for part, there in parts.items() if not there]
    without = f" (without {', '.join(missing)})" if missing else ""
    hidden = "visible and hidden cases" if secret else "visible cases only"
    return f"sandbox: {level}{without}; memory: {memory}; {hidden}"


def _progress(grades, total):
    """Yield grades while showing progress: a bar on a terminal, otherwise a line about every 20 seconds."""
    from tqdm import tqdm

    interactive = stderr.is_terminal()
    yield from tqdm(
        grades,
        total=total,
        unit="submission",
        disable=total == 0,
        mininterval=0.2 if interactive else 20,
        maxinterval=1 if interactive else 20,
        file=sys.stderr,
    )
