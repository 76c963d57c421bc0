"""Whose notebook is it? Layouts of classes, with the students that each has: one table for all rules."""

import json
import re
import zipfile

import pytest

from grading.class_of_students import LAB, notebook
from tf_kit.grading import labs, submissions

WORKED = json.dumps(notebook())
BLANK = json.dumps(notebook(**{id: LAB.stub(id) for id in ("leaky", "descent")}))
OTHER = json.dumps({"cells": [{"cell_type": "code", "source": "# exercise: momentum\nclass Momentum: pass"}]})
ADA, BOB = "Ada Lovelace_4711_assignsubmission_file_", "Bob Ross_4712_assignsubmission_file_"
CANVAS = (
    "lovelaceada_4711_94711_lab.ipynb",
    "rossbob_LATE_4712_94712_lab-1.ipynb",
    "roejane_4713_94713_lab.ipynb",
)
NAME = LAB.name

# A name that ends with `*` has a notebook of another lab, one with `-` a notebook without answers. A file that is no
# notebook has a word of text.
LAYOUTS = {
    # a date or a number in a name below that of a course system
    "moodle, date": ([f"{ADA}/lab_2026_11_29.ipynb", f"{BOB}/lab_2026_11_29.ipynb"], "Ada Lovelace, Bob Ross"),
    "moodle, flat, date": ([f"{ADA}lab_2026_11_29.ipynb", f"{BOB}lab_2026_11_29.ipynb"], "Ada Lovelace, Bob Ross"),
    "moodle, picture": (
        [f"{ADA}/lab.ipynb", f"{ADA}/fig_1_2_loss.png", f"{BOB}/lab.ipynb", f"{BOB}/fig_1_2_loss.png"],
        "Ada Lovelace, Bob Ross",
    ),
    "moodle, another's export": ([f"{ADA}/{BOB}/lab.ipynb", f"{BOB}/lab.ipynb"], "Ada Lovelace, Bob Ross"),
    "canvas, zips with dates": (
        ["lovelaceada_4711_94711_lab.zip/lab_2026_11_29.ipynb", "rossbob_4712_94712_lab.zip/lab_2026_11_29.ipynb"],
        "lovelaceada, rossbob",
    ),
    "canvas, zips with names of others": (
        ["lovelaceada_4711_94711_lab.zip/rossbob_4712_1_lab.ipynb", "rossbob_4712_94712_lab.zip/lab.ipynb"],
        "lovelaceada, rossbob",
    ),
    "gradescope, date": (
        ["submission_1/lab_2026_11_29.ipynb", "submission_2/lab_2026_11_29.ipynb"],
        "submission_1, submission_2",
    ),
    "nbgrader, date": (["submitted/ada/lab/lab_2026_11_29.ipynb", "submitted/bob/lab/x_1_2_y.ipynb"], "ada, bob"),
    "inbound, date": (["ada+lab+2026-11-02 10:00:00.1 UTC+x/lab_2026_11_29.ipynb"], "ada"),
    "folders, date": (["ada/backprop_2026_11_29.ipynb", "bob/backprop_2026_11_29.ipynb"], "ada, bob"),
    "folders, dates that differ": (["ada/work_2026_11_29.ipynb", "bob/sgd_2025_10_28.ipynb"], "ada, bob"),
    "folders, numbers": (["ada/lab_02_1_final.ipynb", "carol/lab_02_1_v2.ipynb"], "ada, carol"),
    "folders, dates of versions": (["ada/work_20261128.ipynb", "ada/work_20261129.ipynb", "bob/lab.ipynb"], "ada, bob"),
    "folders, picture": (
        ["ada/lab.ipynb", "ada/fig_1_2_loss.png", "bob/img/fig_1_2_x.png", "bob/img/acc_3_4_y.png"],
        "ada, bob",
    ),
    "folders, pictures": (
        [f"{who}/{name}" for who in ("ada", "bob") for name in (f"{who}_1_2_x.png", f"x{who}_3_4_y.png")],
        "ada, bob",
    ),
    "brightspace": (
        [
            "index.html",
            "88321-1204 - Ada Lovelace - Nov 2, 2026 1000 AM/lab.ipynb",
            "88321-1204 - Ada Lovelace - Nov 12, 2026 411 PM/lab.ipynb",
            "88322-1204 - Bob O'Neil-Ross - Nov 2, 2026 926 PM/lab.ipynb",
            "88323-1204 - Cy - Nov 2, 2026 926 PM/index.html",
        ],
        "Ada Lovelace, Bob O'Neil-Ross, Cy",
    ),
    "blackboard": (
        [
            f"Lab 2_{who}_attempt_2026-11-0{day}-10-00-00{file}"
            for who, day in (("ada", 2), ("ada", 3), ("bob", 4), ("cy", 5))
            for file in ("_lab.ipynb", ".txt")[who == "cy" :]
        ],
        "ada, bob, cy",
    ),
    "blackboard, numbers and underscores": (
        [f"Lab_2_{who}_attempt_2026-11-02-10-00-00_x.ipynb" for who in ("a_king", "b_king", "1234567", "1234568")],
        "1234567, 1234568, a_king, b_king",
    ),
    "blackboard, one student": (["Lab 2_ada_attempt_2026-11-02-10-00-00_x.ipynb"], "ada"),
    "sakai": (
        [
            "Lab 2/grades.csv",
            "Lab 2/King, Ada(ak)/Submission attachment(s)/x.ipynb",
            "Lab 2/King, Ada(ak)/timestamp.txt",
            "Lab 2/Ross, Bob(br)/Submission attachment(s)/x.ipynb",
            "Lab 2/Ross, Bob(bross)/Submission attachment(s)/x.ipynb",
            "Lab 2/Le Roy, Cy(cy)/timestamp.txt",
        ],
        "King, Ada, Le Roy, Cy, Ross, Bob, Ross, Bob",
    ),
    "sakai, one student": (["Lab 2/King, Ada(ak)/Submission attachment(s)/x.ipynb"], "King, Ada"),
    "nbgrader, only a time": (["submitted/ada/lab/x.ipynb", "submitted/bob/lab/timestamp.txt"], "ada, bob"),
    "one name in two spellings": (["Jose\u0301/lab.ipynb", "Jos\xe9/lab.ipynb", "bob/lab.ipynb"], "Jos\xe9, bob"),
    # where Canvas writes
    "canvas": (CANVAS, "lovelaceada, roejane, rossbob"),
    "canvas, one student": (CANVAS[:1], "lovelaceada"),
    "canvas, handout next to it": ([*CANVAS, f"{NAME}.ipynb"], f"{NAME}, lovelaceada, roejane, rossbob"),
    "canvas in a folder": ([f"export/{name}" for name in CANVAS], "lovelaceada, roejane, rossbob"),
    "canvas, folder and its zip": (
        [*(f"export/{name}" for name in CANVAS), *(f"export.zip/{name}" for name in CANVAS)],
        "lovelaceada, roejane, rossbob",
    ),
    "canvas, sections": ([f"a/{CANVAS[0]}", f"a/{CANVAS[1]}", f"b/{CANVAS[2]}"], "lovelaceada, roejane, rossbob"),
    "canvas in an archive with a date": (
        [f"lab_2_2026_submissions.zip/{name}" for name in CANVAS],
        "lovelaceada, roejane, rossbob",
    ),
    "moodle in a folder such as Gradescope's": (
        [f"submission_2/{ADA}/lab.ipynb", f"submission_2/{BOB}/lab.ipynb"],
        "Ada Lovelace, Bob Ross",
    ),
    # names that differ by a number
    "matriculation numbers": ([f"abgaben/{i}.ipynb" for i in (1234567, 1234568, 1234569)], "1234567, 1234568, 1234569"),
    "sections of numbers": (
        [f"group{g}/{i}.ipynb" for g in "AB" for i in (f"471{g == 'B':d}", f"472{g == 'B':d}")],
        "4710, 4711, 4720, 4721",
    ),
    "teams": (
        [f"abgaben/team{i}_{NAME}.ipynb" for i in (1, 2, 3)],
        f"team1_{NAME}, team2_{NAME}, team3_{NAME}",
    ),
    "students": ([f"abgaben/student-{i}.ipynb" for i in (1, 2)], "student-1, student-2"),
    "short numbers with answers": ([f"abgaben/{i}.ipynb" for i in (1, 2)], "1, 2"),
    "submissions with numbers": ([f"abgaben/submission{i}.ipynb" for i in (1, 2)], "submission1, submission2"),
    "folders of numbers": ([f"class/{i}/lab.ipynb" for i in (1234567, 1234568)], "1234567, 1234568"),
    "folders of short numbers": ([f"class/{i}/lab.ipynb" for i in (1, 2)], "1, 2"),
    "folders of letters and numbers": ([f"class/s{i}/work/lab.ipynb" for i in (1, 2)], "s1, s2"),
    "folders of submissions": ([f"class/submission{i}/lab.ipynb" for i in (1, 2)], "submission1, submission2"),
    "one team's versions": (["a/team1_lab.ipynb", "a/team1_lab_v2.ipynb", "b/team2_lab (1).ipynb"], "a, b"),
    # one student's notebooks and files
    "a notebook per lab": (
        ["ada/02_backpropagation.ipynb*", "ada/03_optimizers.ipynb*", "ada/lab_90.ipynb", "bob/lab.ipynb"],
        "ada, bob",
    ),
    "a notebook per week": (["ada/01.ipynb*", "ada/02.ipynb", "ada/03.ipynb*"], "ada"),
    "a notebook per experiment": (["ada/exp1.ipynb", "ada/exp2.ipynb", "bob/lab.ipynb"], "ada, bob"),
    "a notebook per part": (["ada/part_1.ipynb", "ada/part_2.ipynb", "bob/test1.ipynb", "bob/test2.ipynb"], "ada, bob"),
    "folders of experiments": (["ada/exp1/a.ipynb", "ada/exp2/b.ipynb", "bob/exp1/a.ipynb"], "ada, bob"),
    "names of experiments in a class": (["class/exp1_ada.ipynb", "class/exp1_bob.ipynb"], "exp1_ada, exp1_bob"),
    "names that begin so": (["class/exner.ipynb", "class/parton.ipynb"], "exner, parton"),
    "folders of weeks": (
        ["ada/week1/01.ipynb*", "ada/week2/02.ipynb", "bob/week1/a.ipynb*", "bob/week2/b.ipynb"],
        "ada, bob",
    ),
    "folders of labs": (["ada/lab1/a.ipynb*", "ada/lab2/b.ipynb", "bob/lab1/a.ipynb*", "bob/lab2/b.ipynb"], "ada, bob"),
    "weeks of a course": (
        ["week1/ada/x.ipynb", "week1/bob/x.ipynb", "week2/cy/x.ipynb", "week2/dan/x.ipynb"],
        "ada, bob, cy, dan",
    ),
    "folder of weeks of a course": (
        ["course/week1/ada.ipynb", "course/week1/bob.ipynb", "course/week2/cy.ipynb", "course/week2/dan.ipynb"],
        "ada, bob, cy, dan",
    ),
    "scratch next to the lab": (
        [f"{who}/{name}.ipynb" for who in ("ada", "bob") for name in (NAME, "scratch", "plots")],
        "ada, bob",
    ),
    "scratch next to the empty lab": ([f"ada/{NAME}.ipynb-", "ada/scratch.ipynb*", "ada/plots.ipynb*"], "ada"),
    "the empty lab next to a class": (
        [f"class/{NAME}.ipynb-", "class/ada.ipynb", "class/bob.ipynb"],
        f"{NAME}, ada, bob",
    ),
    "repositories": (
        [
            f"lab-2-{who}/{name}"
            for who in ("ada", "bob")
            for name in ("README.md", ".gitignore", ".github/workflows/c.yml", f"notebooks/{NAME}.ipynb")
        ],
        "lab-2-ada, lab-2-bob",
    ),
    "a repository": (["lab-2-ada/README.md", "lab-2-ada/.gitattributes", "lab-2-ada/solution/x.ipynb"], "lab-2-ada"),
    "a repository with code": (["ada/README.md", "ada/src/x.py", "ada/work/mine.ipynb", "bob/.gitkeep"], "ada, bob"),
    "repositories with folders": (
        [f"lab-2-{who}/{name}" for who in ("ada", "bob") for name in ("README.md", "labs/x.py", "labs/work/x.ipynb")],
        "lab-2-ada, lab-2-bob",
    ),
    "files of other kinds next to notebooks": (
        ["ada.ipynb", "ada.pdf", "bob.zip/lab.ipynb", "bob.html", "cy/lab.ipynb", "cy.py", "dan.pdf", "eve.v2.ipynb"],
        "ada, bob, cy, dan.pdf, eve.v2",
    ),
    "classroom, pictures of notebooks": (
        ["Ada Lovelace - lab_90.ipynb", "Ada Lovelace - lab_90.pdf", "Bob Ross - lab_90.pdf", "Cy - lab_90.ipynb"],
        "Ada Lovelace, Bob Ross, Cy",
    ),
    "archives and notebooks": (
        ["class/ada.zip/lab.ipynb", "class/bob.zip/x/lab.ipynb", "class/cy.ipynb"],
        "ada, bob, cy",
    ),
    "a table of the class next to folders": (
        ["class/roster.csv", "class/all/ada/work/x.ipynb", "class/all/bob/work/x.ipynb"],
        "ada, bob, roster.csv",
    ),
    "labs with one student": (
        ["course/lab1/ada/a.ipynb", "course/lab1/bob/a.ipynb", "course/lab2/ada/a.ipynb"],
        "bob, lab1/ada, lab2/ada",
    ),
    "folders that were handed out": (["class/ada/deep/x.ipynb", "class/bob/deep/x.ipynb"], "ada, bob"),
    "folders that were handed out, further down": (
        ["ada/Documents/ml/x.ipynb", "bob/Documents/ml/x.ipynb", "bob/Documents/ml/data/x.csv"],
        "ada, bob",
    ),
    "sections, each with a folder of the class": (
        [f"{day}/lab2/{who}/x.ipynb" for day in ("monday", "friday") for who in (f"{day}ada", f"{day}bob")],
        "fridayada, fridaybob, mondayada, mondaybob",
    ),
    "sections of folders": (
        ["section1/ada/x.ipynb", "section1/bob.pdf", "section2/ada/x.ipynb"],
        "bob.pdf, section1/ada, section2/ada",
    ),
}  # fmt: skip


def hand_in(folder, names):
    """Write the files of a layout; a folder that ends with .zip becomes an archive."""
    for name in names:
        text = {"*": OTHER, "-": BLANK}.get(name[-1], WORKED)
        name = name.rstrip("*-")
        text = text if name.endswith(".ipynb") else "text"
        archive, found, member = name.rpartition(".zip/")
        path = folder / (archive + ".zip" if found else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if found:
            with zipfile.ZipFile(path, "a") as file:
                file.writestr(member, text)
        else:
            path.write_text(text)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_student_has_one_submission(layout, zipped, tmp_path):
    names, expected = LAYOUTS[layout]
    given = tmp_path / "class"
    given.mkdir()
    hand_in(given, names)
    if zipped:
        with zipfile.ZipFile(tmp_path / "class.zip", "w") as file:
            for path in given.rglob("*"):
                file.write(path, path.relative_to(given))
        given = tmp_path / "class.zip"
    if zipped and any(name.endswith(".gitkeep") for name in names):
        pytest.skip("an archive lists no empty folders")
    found = submissions.survey([given], LAB)
    assert ", ".join(each.student for each in found.submissions) == expected
    if not zipped:
        files = {path for path in given.rglob("*") if path.is_file()}
        accounted = {file.path for file in found.files if not re.search(r"\.zip/|\.gitkeep", str(file.path))}
        assert {path for path in files if path.suffix != ".zip" and path.name != ".gitkeep"} <= accounted


def test_names_of_all_labs_are_known_without_a_lab(tmp_path):
    hand_in(tmp_path, [f"{who}/{lab.name}.ipynb" for who in ("ada", "bob") for lab in labs.built_in()])
    assert [each.student for each in submissions.survey([tmp_path]).submissions] == ["ada", "bob"]


@pytest.mark.parametrize("part", ["a", "x_1_2_a", "lab", "submission_1"])
def test_deep_folders_are_one_students(part, tmp_path):
    deep = "/".join([part] * (900 // (len(part) + 1)))
    hand_in(tmp_path, ["ada.ipynb", f"bob.zip/{deep}/x.ipynb"])
    assert len(submissions.survey([tmp_path], LAB).submissions) == 2


@pytest.mark.parametrize("begun", [False, True], ids=["first run", "later run"])
def test_grades_are_not_graded(begun, tmp_path):
    written = ["course-secret", "class.html", "students/ada/report.txt", "students/bob/x.ipynb"]
    written += ["grades.jsonl", "manifest.json"] if begun else []
    hand_in(tmp_path, ["ada.ipynb", "bob/lab.ipynb", *(f"grades/{name}" for name in written)])
    found = submissions.survey([tmp_path], LAB, leave_out=None if begun else tmp_path / "grades")
    assert [each.student for each in found.submissions] == ["ada", "bob"]
    assert found.counts == {submissions.SYSTEM: len(written), submissions.GRADED: 2}


def test_a_folder_that_is_left_out_lies_below_the_path(tmp_path, monkeypatch):
    hand_in(tmp_path, ["class/ada.ipynb", "class/out/x.txt", "grades/y.txt"])
    monkeypatch.chdir(tmp_path / "class")
    for given, out in ((".", "out"), (tmp_path / "class", "../class/out")):
        assert len(submissions.survey([given], LAB, leave_out=out).submissions) == 1
    for out in ("../grades", ".", None):
        assert len(submissions.survey(["."], LAB, leave_out=out).submissions) == 2
