"""New labs: the files of a lab with one exercise, from a template, in a teacher's own folder."""

from __future__ import annotations

import keyword
import os
import re
import string
from pathlib import Path

from tf_kit import folders
from tf_kit.checks import refuse
from tf_kit.grading import labs, notebooks
from tf_kit.whole_files import new_folder, write_text

TEMPLATE = Path(__file__).with_name("lab_template")


def create(name: str, folder: str | Path = ".") -> labs.Lab:
    """Write the files of a new lab into `folder/name`: source, probes, answers and student notebook.

    Args:
        name: topic of the lab, a valid Python name in lower case.
        folder: folder in which the folder of the lab is made.

    Returns:
        The lab.

    Raises:
        InputError: the name cannot be used, or its folder already has files.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,40}", name) or keyword.iskeyword(name):
        refuse(
            "name",
            "be a word of 2 to 41 lower-case letters, digits and underscores that begins with a letter, and no "
            "keyword of Python",
            f"{name!r}",
            "Use for example `circles`",
            flag="NAME",
        )
    if any(name in (lab.topic, lab.name) for lab in labs.labs()):
        refuse(
            "name", "be another than that of a lab of this kit", f"{name!r}", "Choose another", flag="NAME"
        )
    place = Path(folder) / name
    if os.path.lexists(place) and (not place.is_dir() or any(place.iterdir())):
        remedy = "Choose another name, or another folder with --out"
        refuse("name", "be that of a folder without files", f"{str(place)!r}", remedy, flag="NAME")
    title = name.replace("_", " ").capitalize()
    folders.make(folder)
    with new_folder(place) as unfinished:
        for part in (".", "probes", "answers"):
            written = string.Template((TEMPLATE / part / "source.txt").read_text(encoding="utf-8"))
            text = written.safe_substitute(name=name, title=title)
            write_text(unfinished / part / f"{name}.py", text)
        lab = labs.at(unfinished / f"{name}.py")
        assert lab is not None
        notebooks.write(notebooks.student_notebook(lab), lab.notebook_path)
    lab = labs.at(place)
    assert lab is not None
    return lab
