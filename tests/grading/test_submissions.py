"""Submissions: how their students are named."""

from tf_kit.grading.submissions import find


def test_names_of_canvas_and_moodle_are_recognized(tmp_path):
    for name in ("doeanna_12345_678901_lab.ipynb", "roejane_LATE_54321_678902_lab-1.ipynb", "plain.ipynb"):
        (tmp_path / name).write_text("{}")
    folder = tmp_path / "Ada Lovelace_4711_assignsubmission_file_"
    folder.mkdir()
    (folder / "lab.ipynb").write_text("{}")
    found = {submission.student: submission.number for submission in find([tmp_path])}
    assert found == {"doeanna": "12345", "roejane": "54321", "plain": "", "Ada Lovelace": "4711"}
