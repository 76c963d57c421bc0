"""A class of 200 in the layout of Canvas or Moodle, with oddities: nobody is lost, also after interruptions."""

import contextlib
import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grading.class_of_students import DESCENT, LAB, LEAKY, notebook
from tf_kit.grading import submissions

STUDENTS = 200
COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
from grading.class_of_students import LAB
from tf_kit.grading import course, labs
labs.find = lambda name: LAB
course.grade("testing", [sys.argv[2]], sys.argv[3], secret="a secret of the course", allow_unsandboxed=True)
"""


def worked(i, number):
    """The notebook of student i: a quarter is wrong in one exercise, a few are empty. Answers differ by `number`."""
    leaky = LEAKY if i % 4 else LEAKY.replace("slope * x", "0 * x")
    return json.dumps(
        notebook(leaky=f"# student {number}\n{leaky}", descent=DESCENT if i % 9 else LAB.stub("descent"))
    )


def place(layout, folder, name, number, file="lab.ipynb", late=False):
    if layout == "canvas":
        return (
            folder
            / f"{name.replace(' ', '').lower()}_{'LATE_' if late else ''}{number}_{7000 + number}_{file}"
        )
    inner = folder / f"{name}_{number}_assignsubmission_file_"
    inner.mkdir(exist_ok=True)
    return inner / file


def hand_in(layout, folder):
    """Write the notebooks of 200 students, twenty of them odd. Returns the numbers of all students."""
    folder.mkdir()
    for i in range(STUDENTS):
        name = f"Student {'abcdefghij'[i % 10]} {i // 10}" if i % 20 else "John Smith"  # ten of one name
        # Only the files differ between the layouts, so of Moodle's answers most are equal and graded once.
        text = worked(i, i // 2 if layout == "canvas" else 0)
        file, data = "lab.ipynb", text.encode()
        odd = i // 10 if i % 10 == 5 else None
        if odd in (1, 2, 3):
            file = {1: "lab.pdf", 2: "lab.py", 3: "LAB.IPYNB"}[odd]
        changed = {
            4: b"",
            5: b'{"cells": [',
            6: data[: len(data) // 2],
            7: text.replace("# student", "# \\ud800 student").encode(),
            8: text.replace("np.where", "%time\\nnp.where", 1).encode(),
            9: json.dumps({"cells": json.loads(data)["cells"]}).encode(),
            10: json.dumps({"cells": [{"cell_type": "code", "source": "while True: pass"}]}).encode(),
            11: data.replace(b"return np.where", b"raise ValueError(chr(55296) + chr(27)) #"),
            12: data.replace(b"return np.where", b"import os; os._exit(0) #"),
            13: data.decode().encode("utf-16"),
        }
        data = changed.get(odd, data)
        path = place(layout, folder, name, i + 1, file, late=odd == 14)
        path.write_bytes(data)
        if odd == 15:
            place(layout, folder, name, i + 1, "lab-1.ipynb").write_text(
                json.dumps(notebook(leaky="", descent=""))
            )
        if odd == 16:
            place(layout, folder, name, i + 1, "data.csv").write_text("x\n")
        if odd == 17:
            path.rename(path.with_name(path.name.replace("lab.ipynb", "m\udcfcller.ipynb")))
        if odd == 18:
            (folder / "._x.ipynb").write_text("")
        if odd == 19:
            path.with_name(path.name.replace("lab.ipynb", "lab (2).ipynb")).write_bytes(data)
    return {str(i + 1) for i in range(STUDENTS)}


def run(folder, out, kill_after=None):
    command = [sys.executable, "-c", COMMAND, str(Path(__file__).parents[1]), str(folder), str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 200
        while kill_after is not None and process.poll() is None and time.monotonic() < end:
            if lines(out) >= kill_after:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.02)
        errors = process.communicate()[1].decode(errors="replace")
    return process.returncode, errors


def lines(out):
    with contextlib.suppress(OSError):
        return (out / "grades.jsonl").read_bytes().count(b"\n")
    return 0


def written(out):
    """The reports that must not depend on interruptions."""
    files = ("grades.csv", "canvas.csv", "moodle.csv", "files.csv", "summary.txt")
    reports = {name: (out / name).read_bytes() for name in files}
    for path in sorted((out / "students").rglob("*.*")):
        reports[str(path.relative_to(out))] = path.read_bytes()
    return reports


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["canvas", "moodle"])
def test_class_of_two_hundred_loses_nobody(layout, tmp_path):
    folder = tmp_path / "class"
    numbers = hand_in(layout, folder)
    assert run(folder, tmp_path / "whole")[0] == 0
    whole = written(tmp_path / "whole")
    with (tmp_path / "whole" / f"{layout}.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("ID") != "" or layout == "moodle"]
    found = [
        row["ID"] if layout == "canvas" else row["Identifier"].removeprefix("Participant ") for row in rows
    ]
    assert sorted(found) == sorted(numbers), "every student has exactly one line"
    files = {path for path in folder.rglob("*") if path.is_file()}
    assert {file.path for file in submissions.survey([folder], LAB).files} == files
    assert len((tmp_path / "whole" / "files.csv").read_text().splitlines()) == len(files) + 1
    if layout == "moodle":  # being killed has nothing to do with the layout
        return
    for stop in (40, 120):
        status, errors = run(folder, tmp_path / "killed", kill_after=stop)
        assert status == -signal.SIGKILL, errors
    assert 120 <= lines(tmp_path / "killed") < STUDENTS
    assert run(folder, tmp_path / "killed")[0] == 0
    again = written(tmp_path / "killed")
    assert set(again) == set(whole)
    assert [name for name in whole if again[name] != whole[name]] == []
    assert lines(tmp_path / "killed") == STUDENTS
