"""A class graded from the command line: what is known already, what is left, progress, reports."""

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

import click

from tf_kit import __version__, _checks
from tf_kit.grading import grader, labs, reports, submissions


def secret(out):
    """The secret of a folder of grades, made when it is first asked for."""
    _folder(out)
    return grader.secret_of(out)


def grade(name, paths, out, jobs=None, seconds=None, secret=None, allow_unsandboxed=False):
    """Grades submissions, writes record and reports, prints the class at a glance.

    Args:
        name: number or topic of the lab.
        paths: notebooks and folders of notebooks.
        out: folder for the record and the reports.
        jobs, seconds, secret, allow_unsandboxed: as for `grader.Grader`.

    Returns:
        The `Grade` of every student.

    Raises:
        ValueError: the lab or a submission is not there, or hidden cases cannot be protected.
    """
    lab, found = labs.find(name), submissions.find(paths)
    _folder(out)
    record = grader.Record(out)
    began = time.perf_counter()
    with grader.Grader(lab, jobs, seconds, secret, allow_unsandboxed) as judge:
        identity = judge.identity()
        grades, left = [], []
        for submission in found:
            known = record.known(submission, grader.digest_of(submission), identity)
            if known is None:
                left.append(submission)
                continue
            grades.append(known)
            if not record.holds(submission.student, known.digest, identity):
                record.append(known, identity)
        level = judge.ready()
        click.echo(f"{lab.title}: {len(found)} submissions, {len(found) - len(left)} of them on record")
        click.echo(_level_line(level, judge.parts, secret))
        for done in _progress(judge.grade(left), len(left)):
            record.append(done, identity)
            grades.append(done)
        parts = judge.parts
    taken = time.perf_counter() - began
    manifest = {
        "lab": lab.name,
        "made": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": round(taken, 1),
        "submissions": len(found),
        "from the record": len(found) - len(left),
        "rules": identity,
        "sandbox": {"level": level, **parts},
        "hidden cases": "none"
        if secret is None
        else f"seed {submissions.digest(secret)[:12]} (hash of the secret)",
        "visible seed": 0,
        "limits": {
            exercise.id: {"seconds": seconds or exercise.seconds, "memory_mb": exercise.memory_mb}
            for exercise in lab.exercises.values()
        },
        "versions": {
            "tf-kit": __version__,
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            **{
                package: metadata.version(package) for package in ("tensorflow", "keras", "numpy", "nbformat")
            },
        },
        "files": {grade.student: {"file": grade.file, "sha256": grade.digest} for grade in grades},
    }
    reports.write(grades, lab, out, manifest)
    _draw(grades, lab, out)
    click.echo(f"\n{reports.summary(grades, lab)}")
    click.echo(f"{taken:.1f} s; record, reports and figure in {out}")
    return grades


def _level_line(level, parts, secret):
    missing = [part for part, there in parts.items() if not there]
    without = f" (without {', '.join(missing)})" if missing else ""
    hidden = "visible and hidden cases" if secret else "visible cases only"
    return f"sandbox: {level}{without}; {hidden}"


def _progress(grades, total):
    """Passes grades on, with a bar on a terminal and a line now and then elsewhere, and the time that is left."""
    from tqdm import tqdm

    interactive = sys.stderr.isatty()
    yield from tqdm(
        grades,
        total=total,
        unit="submission",
        disable=total == 0,
        mininterval=0.2 if interactive else 20,
        maxinterval=1 if interactive else 20,
        file=sys.stderr,
    )


def _draw(grades, lab, out):
    from tf_kit import plotting

    if grades:
        figure = plotting.class_summary(
            lab.title, reports.points_by_exercise(grades), reports.frequent_mistakes(grades, most=6)
        )
        plotting.save(figure, Path(out) / "summary.png")


def _folder(out):
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError
    except OSError:
        _checks.refuse("--out", "be a folder that can be written", f"{str(out)!r}")
