"""Submissions in the layouts of course systems: every student has one submission, every file is accounted for."""

import io
import json
import os
import tarfile
import zipfile
from unittest import mock

import pytest

from grading.class_of_students import LAB, LEAKY, notebook, write
from tf_kit.grading import archives, file_names, reading, submissions
from tf_kit.grading.reading import content
from tf_kit.grading.submissions import survey

STUB = {"leaky": LAB.stub("leaky"), "descent": LAB.stub("descent")}
WORKED, BLANK = json.dumps(notebook()), json.dumps(notebook(**STUB))
HALF = json.dumps(notebook(descent=STUB["descent"]))
OTHER = json.dumps({"cells": [{"cell_type": "code", "source": "# exercise: momentum\nclass Momentum: pass"}]})


def hand_in(folder, *names, text=WORKED):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def students(folder):
    return [submission.key for submission in survey([folder], LAB).submissions]


def test_canvas(tmp_path):
    names = ("smithjohn_11_901_lab.ipynb", "smithjohn_12_902_lab-1.ipynb", "roejane_LATE_13_903_lab.ipynb")
    hand_in(tmp_path, *names, "anon_Xy1_904_lab.ipynb", "o_brien_14_905_lab.IPYNB", "doe_15_text.html")
    found = survey([tmp_path], LAB).submissions
    assert {each.key for each in found} == {
        *(("smithjohn", "11"), ("smithjohn", "12"), ("roejane", "13"), ("anon Xy1", "Xy1")),
        *(("o_brien", "14"), ("doe", "15")),
    }
    assert [each.student for each in found if each.late] == ["roejane"]
    assert [each.student for each in found if each.note] == ["doe"]


@pytest.mark.parametrize("flat", [True, False], ids=["flat", "folders"])
def test_moodle(tmp_path, flat):
    end = "" if flat else "/"
    names = ("Ada Lovelace_1_assignsubmission_file_", "Ada Lovelace_2_assignsubmission_file_")
    hand_in(tmp_path, *(f"{name}{end}lab.ipynb" for name in (*names, "Participant_3_assignsubmission_file_")))
    hand_in(tmp_path, f"Ada Lovelace_2_assignsubmission_onlinetext_{end}onlinetext.html", text="<p>Hello")
    assert students(tmp_path) == [("Ada Lovelace", "1"), ("Ada Lovelace", "2"), ("Participant 3", "3")]


def test_gradescope(tmp_path):
    hand_in(
        tmp_path, "assignment_5_export/submission_70/lab.ipynb", "assignment_5_export/submission_71/lab.ipynb"
    )
    (tmp_path / "assignment_5_export" / "submission_metadata.yml").write_text(
        "---\nsubmission_70:\n  :submitters:\n  - :name: Ada\n    :sid: '7'\n  - :name: Bob\n    :sid: '8'\n"
        "  :created_at: 2026-11-02 10:00:00.000000000 Z\n"
    )
    assert students(tmp_path) == [("Ada", "7"), ("Bob", "8"), ("submission_71", "71")]


def test_classroom_nbgrader_and_plain_folders(tmp_path):
    hand_in(tmp_path / "drive", f"Ada Lovelace - {LAB.name}.ipynb", f"Bob - {LAB.name} (1).ipynb")
    assert students(tmp_path / "drive") == [("Ada Lovelace", ""), ("Bob", "")]
    hand_in(
        tmp_path / "course",
        "submitted/ada/lab/lab.ipynb",
        "submitted/bob/lab/lab.ipynb",
        "source/lab/lab.ipynb",
    )
    assert (
        students(tmp_path / "course")
        == students(tmp_path / "course" / "submitted")
        == [("ada", ""), ("bob", "")]
    )
    hand_in(tmp_path / "in", "ada+lab+2026-11-02 10:00:00.1 UTC+x/lab.ipynb")
    hand_in(tmp_path / "in", "ada+lab+2026-11-03 10:00:00.1 UTC+y/lab.ipynb")
    (late,) = survey([tmp_path / "in"], LAB).submissions
    assert "2026-11-03" in str(late.path)
    hand_in(
        tmp_path / "folders", "ada/lab.ipynb", "ada/lab_final.ipynb", "bob/deep/lab.ipynb", "cy/lab.ipynb"
    )
    assert students(tmp_path / "folders") == [("ada", ""), ("bob", ""), ("cy", "")]


def test_sections_keep_students_of_one_name_apart(tmp_path):
    hand_in(tmp_path, "section1/ada.ipynb", "section1/bob.ipynb", "section2/ada.ipynb", "section2/cy.ipynb")
    assert students(tmp_path) == [("bob", ""), ("cy", ""), ("section1/ada", ""), ("section2/ada", "")]
    assert [
        each.student for each in survey([tmp_path / "section1", tmp_path / "section2"], LAB).submissions
    ] == [*("bob", "cy", "section1/ada", "section2/ada")]


def test_the_notebook_with_most_answers_is_taken_then_the_newest(tmp_path):
    hand_in(tmp_path, "ada/lab.ipynb", "ada/old/lab (3).ipynb", text=BLANK)
    hand_in(tmp_path, "ada/lab (1).ipynb", text=HALF)
    hand_in(tmp_path, "bob/momentum.ipynb", text=OTHER)
    hand_in(tmp_path, "bob/lab.ipynb", text=HALF)
    hand_in(tmp_path, "cy/lab.ipynb", "cy/lab (2).ipynb", "cy/lab (10).ipynb")
    found = survey([tmp_path], LAB)
    assert [each.path.name for each in found.submissions] == ["lab (1).ipynb", "lab.ipynb", "lab (10).ipynb"]
    assert found.counts == {"graded": 3, "blank": 2, "superseded": 2, "another lab": 1}


def test_of_equal_notebooks_the_one_further_up_is_taken(tmp_path):
    folder = tmp_path / "Ada_1_assignsubmission_file_"
    for place in (folder / "lab", folder / "lab" / "old"):
        place.mkdir(parents=True)
        write(place, "lab", notebook())
    (found,) = submissions.find([tmp_path], LAB)
    assert found.path == folder / "lab" / "lab.ipynb"


def test_path_given_twice_or_below_another_counts_once(tmp_path):
    hand_in(tmp_path / "in", "ada.ipynb", "bob/lab.ipynb")
    once = survey([tmp_path / "in"], LAB)
    inside = [tmp_path / "in" / "ada.ipynb", tmp_path / "in" / "bob" / ".." / "bob"]
    for given in ([tmp_path / "in"] * 2, [tmp_path / "in", *inside], [*inside, tmp_path / "in"]):
        assert survey(given, LAB) == once
    with pytest.raises(ValueError, match="does not exist"):
        survey([tmp_path / "in", tmp_path / "in" / "cy.ipynb"], LAB)


def test_every_file_is_accounted_for(tmp_path):
    hand_in(tmp_path, "ada/lab.ipynb", "bob/.ipynb_checkpoints/lab-checkpoint.ipynb", "bob/._lab.ipynb")
    hand_in(tmp_path, "bob/lab.pdf", "cy/lab.py", "__MACOSX/ada/._lab.ipynb", "dan/lab.ipynb.txt")
    hand_in(tmp_path, "eve/lab.ipynb", text='{"cells": [')
    hand_in(tmp_path, "fay/other.ipynb", text=OTHER)
    (tmp_path / "gus").mkdir()
    (tmp_path / "hal").mkdir()
    (tmp_path / "hal" / "lab.ipynb").symlink_to(tmp_path / "ada" / "lab.ipynb")
    found = survey([tmp_path], LAB)
    assert [(each.student, bool(each.note)) for each in found.submissions] == [
        *(("ada", False), ("bob", True), ("cy", True), ("dan", False), ("eve", True), ("fay", True)),
        *(("gus", True), ("hal", True)),
    ]
    files = {path for path in tmp_path.rglob("*") if not path.is_dir()} | {tmp_path / "gus"}
    assert {file.path for file in found.files} == files
    assert found.counts == {
        **{"not a student's": 3, "graded": 2, "not a notebook": 2, "damaged": 2, "another lab": 1},
        "empty folder": 1,
    }


def test_archives_are_read_in_place(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("work/lab.ipynb", WORKED)
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        archive.writestr("export/doe_1_2_lab.ipynb", WORKED)
        archive.writestr("export/roe_3_4_work.zip", inner.getvalue())
        archive.writestr("__MACOSX/._x", "")
    with tarfile.open(tmp_path / "more.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("poe_5_6_lab.ipynb")
        info.size = len(WORKED.encode())
        archive.addfile(info, io.BytesIO(WORKED.encode()))
    for given in ([tmp_path], [tmp_path / "class.zip", tmp_path / "more.tar.gz"]):
        found = survey(given, LAB)
        assert [each.key for each in found.submissions] == [("doe", "1"), ("poe", "5"), ("roe", "3")]
        assert all(content(each.path) == WORKED.encode() for each in found.submissions)
    assert {path.name for path in tmp_path.iterdir()} == {"class.zip", "more.tar.gz"}


def test_members_that_lead_out_of_an_archive_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        for name in (
            "../evil_1_2_lab.ipynb",
            "/etc/evil_3_4_lab.ipynb",
            "C:\\evil_5_6_lab.ipynb",
            "ok_7_8_lab.ipynb",
        ):
            archive.writestr(name, WORKED)
    found = survey([tmp_path / "class.zip"], LAB)
    assert {each.number: bool(each.note) for each in found.submissions} == {
        "1": True,
        "3": True,
        "5": True,
        "7": False,
    }
    assert found.counts == {"damaged": 3, "graded": 1}


@pytest.mark.parametrize("names", [["__MACOSX/._lab.ipynb"], [".DS_Store", "lab/.ipynb_checkpoints/x.ipynb"]])
@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
def test_a_student_who_handed_in_only_files_of_the_system_is_a_line(tmp_path, names, packed):
    hand_in(tmp_path / "class", "bob/lab.ipynb")
    if packed:
        with zipfile.ZipFile(tmp_path / "class" / "ada.zip", "w") as file:
            for name in names:
                file.writestr(name, WORKED)
    else:
        hand_in(tmp_path / "class" / "ada", *names)
    found = survey([tmp_path / "class"], LAB)
    assert [(each.student, each.note) for each in found.submissions] == [
        ("ada", "nothing is in the folder or archive"),
        ("bob", ""),
    ]
    assert found.counts == {"not a student's": len(names), "empty folder": 1, "graded": 1}


@pytest.mark.parametrize("packed", [True, False], ids=["archive", "folder"])
@pytest.mark.parametrize("file", [b"", b"/lab"], ids=["flat", "folders"])
def test_names_in_another_encoding_stay_apart(tmp_path, file, packed):
    place = tmp_path / "class"
    for name in (b"M\xfcller", b"M\xf6ller", b"M\x81ller"):
        path = os.path.join(os.fsencode(place), name + file + b".ipynb")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as written:
            written.write(WORKED)
    if packed:
        with tarfile.open(tmp_path / "class.tar", "w") as archive:
            archive.add(place, "class")
        place = tmp_path / "class.tar"
    found = survey([place], LAB)
    assert [each.student for each in found.submissions] == ["M\\x81ller", "Möller", "Müller"]
    assert found.counts == {"graded": 3}


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), bytes(range(256)), b"\x1f\x8b\x08"]
)
@pytest.mark.parametrize("name", ["ada.zip", "ada.tar.gz", "ada.tar"])
def test_damaged_archive_is_a_line(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    hand_in(tmp_path, "bob.ipynb")
    assert len(survey([tmp_path], LAB).submissions) == 2


def test_names_that_no_encoding_writes(tmp_path):
    for name in (
        b"m\xfcller_1_2_lab.ipynb",
        b"\x1b[31mred_3_4_lab.ipynb",
        "\u202egnp_5_6_lab.ipynb".encode(),
    ):
        with open(os.path.join(os.fsencode(tmp_path), name), "w") as file:
            file.write(WORKED)
    found = survey([tmp_path], LAB)
    assert len(found.submissions) == 3
    for each in found.submissions:
        assert each.student.isprintable()
        assert each.student.encode()


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"cells": json.loads(WORKED)["cells"]}).encode(),
        WORKED.encode("utf-16"),
        ("\ufeff" + WORKED).encode(),
        WORKED.replace("leaky_relu(x", "leaky_relu(x", 1).replace("# ", "# \xe9", 1).encode("latin-1"),
        json.dumps({**json.loads(WORKED), "nbformat": "4", "metadata": None}).encode(),
    ],
    ids=["without a version", "utf-16", "byte order mark", "latin-1", "strange metadata"],
)
def test_unusual_encodings_are_read(tmp_path, data):
    path = tmp_path / "lab.ipynb"
    path.write_bytes(data)
    assert submissions.answers_in(reading.read(path), LAB) == 2


def test_copies_are_counted():
    names = (
        "lab.ipynb",
        "lab (2).ipynb",
        "lab-3.ipynb",
        "lab-Copy4.ipynb",
        "Copy of lab.ipynb",
        "lab_v5.ipynb",
    )
    assert [file_names.attempt(name) for name in names] == [0, 2, 3, 4, 1, 5]


def test_source_with_a_lone_surrogate_is_kept(tmp_path):
    path = tmp_path / "lab.ipynb"
    path.write_text(json.dumps(notebook(leaky="# \ud83d odd\n" + LEAKY)))
    assert submissions.answers_in(reading.read(path), LAB) == 2


@pytest.mark.parametrize("given", ["folder", "files"])
@pytest.mark.parametrize(
    ("names", "expected", "alike"),
    [
        ("ada ada_final grace grace_v2 alan", "ada ada_final alan grace grace_v2", "ada ada_final, grace grace_v2"),
        ("Ada_King_lab2 Ada_King_lab2(1) Bob", "Ada_King_lab2 Ada_King_lab2(1) Bob", "Ada_King_lab2 Ada_King_lab2(1)"),
        ("s1234567 s1234567-lab02-final s1234568-lab02", "s1234567 s1234568-lab02", ""),
        ("S1234567_v1 s1234567_v2 s1234568", "s1234567 s1234568", ""),
        # perhaps not one student's: the number may be that of the assignment, or is a date
        ("94711(1) 94711(2)", "94711(1) 94711(2)", "94711(1) 94711(2)"),
        ("20261128_final 20261128 20261129", "20261128 20261128_final 20261129", ""),
        ("team1 team2 team10", "team1 team10 team2", ""),
        ("student-1 student-2 1 2", "1 2 student-1 student-2", ""),
        ("lab lab(1) lab(2)", "lab lab(1) lab(2)", ""),
        ("j.doe j.doe2", "j.doe j.doe2", ""),
    ],
)  # fmt: skip
def test_versions_in_a_flat_folder_are_joined_by_number_or_named(names, expected, alike, given, tmp_path):
    hand_in(tmp_path, *(f"{name}.ipynb" for name in names.split()))
    found = survey([tmp_path] if given == "folder" else sorted(tmp_path.iterdir()), LAB)
    assert " ".join(each.student for each in found.submissions) == expected
    assert ", ".join(map(" ".join, found.alike)) == alike
    assert sum(found.counts.values()) == len(names.split())


def test_students_of_one_name_in_two_folders_are_no_versions(tmp_path):
    hand_in(
        tmp_path, "section1/ada.ipynb", "section1/bob.ipynb", "section2/ada_final.ipynb", "section2/cy.ipynb"
    )
    assert survey([tmp_path], LAB).alike == []


def test_labs_are_compared_only_for_notebooks_without_a_trace_of_this_one(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("tf_kit.grading.labs.of_cells", lambda cells: asked.append(cells))
    hand_in(tmp_path, "ada.ipynb", "bob.ipynb")
    hand_in(tmp_path, "cy.ipynb", text=OTHER)
    assert len(survey([tmp_path], LAB).submissions) == 3
    assert len(asked) == 1


@pytest.mark.parametrize("depth", [1, 2])
def test_an_archive_in_an_archive_is_unpacked_once_for_all_its_files(tmp_path, monkeypatch, depth):
    names = [f"{name}/lab.ipynb" for name in ("ada", "bob", "cy", "dan")]
    data = {name: WORKED.replace("slope", f"slope_of_{name[:2]}") for name in names}
    for i in range(depth + 1):
        with zipfile.ZipFile(tmp_path / "class.zip", "w") as file:
            for name, content_of in data.items():
                file.writestr(name, content_of)
        data = {f"inner{i}.zip": (tmp_path / "class.zip").read_bytes()}
    listed = mock.Mock(wraps=archives._listed)
    monkeypatch.setattr(archives, "_listed", listed)
    found = survey([tmp_path / "class.zip"], LAB).submissions
    assert [each.student for each in found] == ["ada", "bob", "cy", "dan"]
    assert all(f"slope_of_{each.student[:2]}".encode() in content(each.path) for each in found)
    assert listed.call_count <= 2 * (depth + 1)
