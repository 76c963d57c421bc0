"""Badges that open a notebook in Colab: they lead to files of a repository on GitHub, and elsewhere there are none."""

import re
from pathlib import Path

import nbformat
import pytest
from cli.typed import run_main

from tf_kit import colab, first_cell, lectures
from tf_kit.errors import InputError
from tf_kit.grading import labs, new_lab, notebooks

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = "git+https://github.com/me/tf_kit"
PLACE = "https://colab.research.google.com/github/me/tf_kit/blob"
GUIDES = [ROOT / "labs" / "README.md", ROOT / "lectures" / "README.md"]
by_name = pytest.mark.parametrize("lab", labs.built_in(), ids=lambda lab: lab.name)


def set_repository(monkeypatch, address):
    monkeypatch.setattr(first_cell, "_repository", lambda: address)


def links(text):
    """Places to which the badges of a text lead, after checking that each shows Colab's picture."""
    found = re.findall(r"\[!\[Open in Colab\]\((\S+?)\)\]\((\S+?)\)", text)
    assert {image for image, _ in found} <= {"https://colab.research.google.com/assets/colab-badge.svg"}
    assert len(found) == text.count("![Open in Colab]") == text.count("colab-badge")
    return [place for _, place in found]


def text_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


@by_name
@pytest.mark.parametrize("way", ["setting", "argument"])
def test_notebook_of_a_lab_begins_with_a_badge_that_leads_to_it(lab, way, monkeypatch):
    set_repository(monkeypatch, f"tf-kit @ {ADDRESS}" if way == "setting" else "")
    notebook = notebooks.student_notebook(lab, ADDRESS if way == "argument" else "")
    first, *others = text_of(notebook)
    assert re.match(rf"# {re.escape(lab.title)}\n\n\[!\[Open in Colab\]\S+\n\n\S", first)
    assert links(first) == [f"{PLACE}/main/{lab.notebook_path.relative_to(ROOT)}"]
    assert lab.notebook_path.is_file()
    assert links("".join(others)) == []
    assert ADDRESS in notebook.cells[0].source


@pytest.mark.parametrize("address", ["", "tf-kit @ git+https://gitlab.com/me/tf_kit"])
def test_notebook_has_no_badge_without_a_repository_on_github(address, monkeypatch):
    set_repository(monkeypatch, address)
    plain = notebooks.student_notebook(labs.find("optimizers"))
    set_repository(monkeypatch, f"tf-kit @ {ADDRESS}")
    badged = notebooks.student_notebook(labs.find("optimizers"))
    assert links("".join(text_of(plain))) == []
    without = [re.sub(rf"{colab.BADGE}\n\n", "", cell.source) for cell in badged.cells]
    assert without[1:] == [cell.source for cell in plain.cells][1:], "the badge is all that is added"


@pytest.mark.parametrize(
    ("address", "place"),
    [
        (ADDRESS, "main/labs/notebooks"),
        (f"tf-kit @ {ADDRESS}.git", "main/labs/notebooks"),
        (f"tf-kit[labs]@{ADDRESS}/", "main/labs/notebooks"),
        (f"{ADDRESS}.git@autumn", "autumn/labs/notebooks"),
        (f"{ADDRESS}@v1.0#egg=tf_kit", "v1.0/labs/notebooks"),
        (f"{ADDRESS}@week/3", "week%2F3/labs/notebooks"),
        (f"{ADDRESS}@autumn#subdirectory=kits/tf_kit&egg=tf_kit", "autumn/kits/tf_kit/labs/notebooks"),
        ("git+ssh://git@github.com/me/tf_kit.git@autumn", "autumn/labs/notebooks"),
        ("git@github.com:me/tf_kit.git", "main/labs/notebooks"),
        ("https://secret@www.GitHub.com/me/tf_kit", "main/labs/notebooks"),
    ],
)
def test_forms_of_an_address_on_github(address, place):
    assert links(colab.badge("a b.ipynb", address)) == [f"{PLACE}/{place}/a%20b.ipynb"]


@pytest.mark.parametrize(
    "address",
    [
        "tf-kit",
        "dist/tf_kit-0.1.0-py3-none-any.whl",
        "https://github.com/me/tf_kit/releases/download/v1/tf_kit-0.1.0-py3-none-any.whl",
        "https://github.com/me/tf_kit/archive/refs/heads/main.zip",
        "https://github.com/me/tf_kit/tree/main/kit",
        "https://github.com/me",
        "git+https://gitlab.com/me/tf_kit",
        "git+https://github.com.example.org/me/tf_kit",
        "git+https://example.org/github.com/me/tf_kit",
        "git+https://git.example.org/github/tf_kit",
    ],
)
def test_other_addresses_have_no_badge(address):
    assert colab.badge("a.ipynb", address) == ""
    with pytest.raises(InputError, match="must be in a repository on GitHub"):
        colab.badge("a.ipynb", address, "demos")


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.parent.name)
def test_badges_of_the_guide_are_those_of_the_setting(guide):
    text = guide.read_text(encoding="utf-8")
    assert notebooks.with_badges(text) == text, "stale: run `python -m tf_kit.grading.notebooks`"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.parent.name)
def test_guide_shows_a_badge_per_lab_that_leads_to_its_notebook(guide, monkeypatch):
    set_repository(monkeypatch, "")
    bare = notebooks.with_badges(guide.read_text(encoding="utf-8"))
    assert links(bare) == []
    set_repository(monkeypatch, f"tf-kit @ {ADDRESS}@old")
    earlier = notebooks.with_badges(bare)
    set_repository(monkeypatch, f"tf-kit @ {ADDRESS}")
    badged = notebooks.with_badges(earlier)
    assert badged == notebooks.with_badges(bare) == notebooks.with_badges(badged) != earlier
    lines = [line for line in badged.splitlines() if links(line)]
    if guide.parent.name == "labs":
        assert [re.match(r"\| \[`(\d\d)`\]", line)[1] for line in lines] == [
            lab.number for lab in labs.built_in()
        ]
    else:
        assert len(lines) == bare.count("Lab: [") >= 20
    for line in lines:
        (place,) = links(line)
        path = place.removeprefix(f"{PLACE}/main/")
        assert (ROOT / path).is_file()
        assert f"{Path(path).stem}." in line.split("[![")[0], "the lab that the line names"
    set_repository(monkeypatch, "")
    assert notebooks.with_badges(badged) == bare


@pytest.mark.parametrize(
    ("declared", "address"),
    [
        ('[project]\nname = "tf-kit"\n', ""),
        (
            '[project]\nname = "tf-kit"\n[project.urls]\nRepository = "https://github.com/me/tf_kit"\n',
            f"tf-kit @ {ADDRESS}",
        ),
    ],
)
def test_setting_of_a_checkout_is_read_without_installing_it_again(declared, address, monkeypatch, tmp_path):
    (tmp_path / "pyproject.toml").write_text(declared)
    monkeypatch.setattr(first_cell, "__file__", str(tmp_path / "tf_kit" / "first_cell.py"))
    assert first_cell.address() == address
    assert bool(colab.badge("a.ipynb")) == bool(address)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n[project.urls]\nRepository = "x"\n')
    assert first_cell.address() != "tf-kit @ git+x", "the file of another project"


def test_other_forms_and_own_labs_have_a_badge_where_their_folder_is_given(tmp_path):
    lab, own = labs.find("optimizers"), new_lab.create("circles", tmp_path)
    for form in ("nbgrader", "otter"):
        assert links("".join(text_of(notebooks.released(lab, form, ADDRESS)))) == []
        given = text_of(notebooks.released(lab, form, ADDRESS, "week 3"))
        assert links(given[0]) == [f"{PLACE}/main/week%203/03_optimizers.ipynb"]
    assert links("".join(text_of(notebooks.student_notebook(own, ADDRESS)))) == []
    given = text_of(notebooks.student_notebook(own, f"{ADDRESS}@autumn#subdirectory=kit", "."))
    assert links(given[0]) == [f"{PLACE}/autumn/circles.ipynb"]


def test_demo_has_a_badge_where_its_folder_is_given(monkeypatch, tmp_path):
    demo = lectures.find("optimizers")
    set_repository(monkeypatch, f"tf-kit @ {ADDRESS}")
    plain = nbformat.read(lectures.write_notebook(demo, tmp_path / "a"), as_version=4)
    assert links("".join(text_of(plain))) == []
    path = lectures.write_notebook(demo, tmp_path / "b", folder="demos/")
    first = text_of(nbformat.read(path, as_version=4))[0]
    assert re.match(rf"# 06 {demo.title}\n\n\[!\[Open in Colab\]\S+\n\n\*\*", first)
    assert links(first) == [f"{PLACE}/main/demos/06_optimizers.ipynb"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["demos"], "Received: no address on GitHub. Add --install git+https://github.com/OWNER/NAME."),
        (["demos", "--install", "kit.whl"], "Received: 'kit.whl'. Add --install git+https://github"),
        (
            ["../demos", "--install", ADDRESS],
            "must be a folder of the repository, as in `demos`. Received: '../demos'",
        ),
        (["https://github.com/me/x", "--install", ADDRESS], "must be a folder of the repository"),
    ],
)
@pytest.mark.parametrize("command", [("lab", "release", "optimizers"), ("lecture", "06", "--notebook")])
def test_folder_that_no_badge_can_lead_to_is_refused(command, typed, said, monkeypatch, capsys, tmp_path):
    set_repository(monkeypatch, "")
    status, out, err = run_main(monkeypatch, capsys, *command, "--out", tmp_path, "--colab", *typed)
    assert (status, out) == (2, "")
    assert err.startswith("tf-kit: `--colab` must be")
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_released_lab_and_demo_have_the_badges_that_were_typed(monkeypatch, capsys, tmp_path):
    where = ("--out", tmp_path, "--colab", "handout", "--install", f"{ADDRESS}@autumn")
    for command in (("lab", "release", "optimizers"), ("lecture", "06", "--notebook")):
        status, out, err = run_main(monkeypatch, capsys, *command, *where)
        assert status == 0, err
        path = Path(out.splitlines()[-1])
        assert links(text_of(nbformat.read(path, as_version=4))[0]) == [f"{PLACE}/autumn/handout/{path.name}"]
