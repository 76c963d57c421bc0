"""The autograder of a lab for Gradescope: a zip file to upload, and the program that runs there on a submission.

Gradescope unpacks the zip into `source`, runs `setup.sh` once, and `run_autograder` for each submission. The program
grades the notebook in `submission` as `tf-kit lab grade` does, and writes `results/results.json`:

    python -m tf_kit.grading.gradescope /autograder

Reference: the autograder specifications of Gradescope, https://gradescope-autograders.readthedocs.io/en/latest/specs/
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tf_kit import folders
from tf_kit.checks import refuse
from tf_kit.errors import InputError
from tf_kit.grading import foreign_text, labs, reports, submissions
from tf_kit.grading.grader import Grader
from tf_kit.grading.labs import Lab
from tf_kit.grading.record import Grade
from tf_kit.grading.submissions import Submission
from tf_kit.whole_files import replacing

SETTINGS = "autograder.json"
SETUP = """#!/usr/bin/env bash
# Runs once, when Gradescope builds the image: install Python and the kit.
set -euo pipefail
root="${{AUTOGRADER:-/autograder}}"
cd "$root/source"
find_python() {{
  for name in python3.13 python3.12 python3.11 python3; do
    if "$name" -c "import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))" 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  return 1
}}
if ! find_python; then
  apt-get update
  for version in 3.12 3.11; do
    apt-get install -y "python$version" "python$version-venv" && break
  done
fi
"$(find_python)" -m venv "$root/venv"
"$root/venv/bin/pip" install --quiet {requirement}
"""
RUN = """#!/usr/bin/env bash
# Runs for each submission: grade the notebook and write results/results.json.
root="${AUTOGRADER:-/autograder}"
exec "${AUTOGRADER_PYTHON:-$root/venv/bin/python}" -m tf_kit.grading.gradescope "$root"
"""


def write(lab: Lab, path: str | Path, requirement: str, secret: str | None) -> Path:
    """Write the zip file of the autograder of a lab. Returns its path.

    Args:
        lab: the lab.
        path: the file, which must not exist.
        requirement: what `pip install` installs on Gradescope: a name, a URL, or a wheel on this machine, which is
            put into the zip.
        secret: string from which the hidden cases are drawn. Without it there are none.

    Raises:
        InputError: the file exists or cannot be written, or the wheel does not exist.
    """
    path, wheel = Path(path), Path(requirement)
    own = lab not in labs.built_in()
    settings = {"lab": lab.source.name if own else lab.name, "own": own, "secret": secret}
    inside = wheel.suffix == ".whl" and "://" not in requirement
    if inside and not wheel.is_file():
        received = f"{requirement!r}, which does not exist"
        refuse("requirement", "be a wheel that exists, a name or a URL", received, flag="--install")
    install = shlex.quote(f"./{wheel.name}" if inside else requirement)
    if path.suffix.lower() != ".zip":
        refuse("path", "be a file that ends in .zip", f"{str(path)!r}", flag="--out")
    if os.path.lexists(path):
        refuse("path", "be a file that does not exist", f"{str(path)!r}", "Choose another name", flag="--out")
    if not requirement:
        rule = "be given, since pyproject.toml has no address of a repository"
        remedy = "`pip wheel --no-deps .` in a checkout of the kit makes a wheel, which the file then holds"
        refuse("requirement", rule, "none", remedy, flag="--install")
    folders.make(path.parent, "be a file in a folder that can be written")
    try:
        with replacing(path) as unfinished, zipfile.ZipFile(unfinished, "x", zipfile.ZIP_DEFLATED) as archive:
            _add(archive, "setup.sh", SETUP.format(requirement=install), 0o755)
            _add(archive, "run_autograder", RUN, 0o755)
            _add(archive, SETTINGS, json.dumps(settings, indent=2) + "\n", 0o600)
            for file in (lab.source, lab.probes_path, lab.answers_path) if own else ():
                _add(archive, f"lab/{file.relative_to(lab.folder)}", file.read_bytes(), 0o644)
            if inside:
                archive.write(wheel, wheel.name)
    except OSError as error:
        refuse("path", "be a file that can be written", f"{str(path)!r}: {error.strerror}", flag="--out")
    return path


def _add(archive, name, data, mode):
    entry = zipfile.ZipInfo(name, time.localtime()[:6])
    entry.external_attr = (0o100000 | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, data)


def grade(root: str | Path) -> dict[str, Any]:
    """Grade the submission below the folder of Gradescope's autograder, and write `results/results.json`.

    Where the system cannot confine answers, which could then read the hidden cases, only the visible ones are used.

    Args:
        root: the folder: `/autograder` on Gradescope.

    Returns:
        The contents of `results.json`.

    Raises:
        InputError: the system cannot run the grader. Then there is no `results.json`, and Gradescope reports a failure.
    """
    began, root = time.perf_counter(), Path(root)
    settings = json.loads((root / "source" / SETTINGS).read_text(encoding="utf-8"))
    lab = labs.find(str(root / "source" / "lab" / settings["lab"]) if settings["own"] else settings["lab"])
    submission = submissions.of_student(root / "submission", lab, _name(root))
    given, level = _graded(lab, submission, settings["secret"])
    results = reports.gradescope(given)
    del results["max_score"]  # Gradescope knows it from the tests and the assignment
    results["execution_time"] = round(time.perf_counter() - began, 1)
    if settings["secret"] and level == "none":
        results["output"] += "\nGraded on the visible cases only."
    reports.save(root / "results" / "results.json", json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    print(f"{results['output']}; sandbox {level}, {results['execution_time']} s")
    return results


def _graded(lab: Lab, submission: Submission, secret: str | None) -> tuple[Grade, str]:
    with Grader(lab, secret=secret) as grader:
        try:
            level = grader.ready()
        except InputError:
            if not secret:
                raise
            return _graded(lab, submission, None)
        (given,) = grader.grade([submission])
    return given, level


def _name(root):
    """Read the names of those who submitted, for the report."""
    try:
        users = json.loads((root / "submission_metadata.json").read_text(encoding="utf-8"))["users"]
        return foreign_text.line(", ".join(str(user["name"]) for user in users), 200) or "student"
    except (OSError, ValueError, KeyError, TypeError):
        return "student"


def main(arguments: Sequence[str]) -> None:
    """Grade the submission below the folder that is the only argument."""
    grade(arguments[0] if arguments else "/autograder")


if __name__ == "__main__":
    main(sys.argv[1:])
