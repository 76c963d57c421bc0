"""The index of the deck: each slide leads to demos, modules, labs and commands that exist, and the gallery shows it.

`python tests/lectures/test_index.py` writes the two tables of the gallery.
"""

import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest

from tf_kit import cli, lectures
from tf_kit.grading import labs
from tf_kit.lectures import index, quiz

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "lectures" / "README.md"


def slide_table():
    """The index as a Markdown table, with links that hold in the folder of the demos."""
    paths = {demo.topic: demo.path.name for demo in lectures.demos()}
    notebooks = {path.stem[:2]: path.name for path in (ROOT / "labs" / "notebooks").glob("*.ipynb")}
    lines = ["| slide | states or asks | answer | demo | module | lab |", "| --- " * 6 + "|"]
    for i, slide in enumerate(index.slides(), 1):
        demos = [f"[`{paths[topic][:2]}`]({paths[topic]})" for topic in slide.topics]
        demos += [f"`{each}`" for each in slide.commands if not demos or "lecture" not in each]
        modules = [f"[`{module}`]({link_to(module)})" for module in slide.modules]
        notebook = [f"[`{lab}`](../labs/notebooks/{notebooks[lab]})" for lab in slide.labs]
        cells = [f"{i}. {slide.heading}", slide.sentence, slide.answer]
        cells += [", ".join(each) for each in (demos, modules, notebook)]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def link_to(module):
    path = f"tf_kit/{module.replace('.', '/')}"
    return f"../{path}" if (ROOT / path).is_dir() else f"../{path}.py"


def review_table():
    lines = ["| question | answer | shown by |", "| --- | --- | --- |"]
    lines += [
        f"| {i}. {each.review} | {each.reason} | `{each.command}` |"
        for i, each in enumerate(quiz.questions("review"), 1)
    ]
    return "\n".join(lines)


TABLES = {"slides": slide_table, "review": review_table}


def between(name, text):
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.S)[1].strip()


@pytest.mark.parametrize("name", TABLES)
def test_gallery_shows_the_declared_table(name):
    assert between(name, GALLERY.read_text(encoding="utf-8")) == TABLES[name]()


HELD_BY = {  # sentence of the gallery that lists demos → text that exactly these have, or lack
    r"All but (.*?) accept another data set": ("    data: str = ", False),
    r"\. (\d\d[^.]*?) use\s+MNIST at full size": ('lectures.option("mnist or digits"', True),
    r"Sliders are there for (.*?);": ("\ndef sliders(", True),
    r"; animations for (.*?)\. ": ("\ndef animation(", True),
}


@pytest.mark.parametrize("sentence", HELD_BY)
def test_gallery_lists_the_demos_that_have_it(sentence):
    listed = re.search(sentence, GALLERY.read_text(encoding="utf-8"), re.S)[1]
    wanted, has = HELD_BY[sentence]
    assert set(re.findall(r"\b\d\d\b", listed)) == {
        demo.path.name[:2]
        for demo in lectures.demos()
        if (wanted in demo.path.read_text(encoding="utf-8")) == has
    }


def test_gallery_names_the_lab_of_each_demo():
    topics = index.read("slides.toml")["topics"]
    lines = re.findall(r"^\[Demo\]\(\d\d_(\w+)\.py\)(.*)", GALLERY.read_text(encoding="utf-8"), re.M)
    found = {name: re.search(r"Lab: \[`(\d\d)`\]", line) for name, line in lines}
    assert {name: lab and lab[1] for name, lab in found.items()} == {
        name: topic.get("lab") for name, topic in topics.items()
    }


def parse(typed):
    """Parse a command with its flags; raises if a name or a flag does not exist."""
    program, *words = shlex.split(typed)
    assert program == "tf-kit"
    command, context = cli.cli, click.Context(cli.cli, info_name="tf-kit")
    while isinstance(command, click.Group):
        command, words = command.get_command(context, words[0]), words[1:]
        assert command is not None, f"no such command: {typed}"
    if "--help" not in words:
        command.make_context("tf-kit", words, parent=context)


COMMANDS = sorted(
    {each for slide in index.slides() for each in slide.commands}
    | {each.command for each in quiz.everything()}
)


@pytest.mark.parametrize("typed", COMMANDS)
def test_command_exists(typed):
    parse(typed)


def test_deck_has_its_slides_in_order():
    titles = [slide.title for slide in index.slides()]
    assert len(titles) == 59
    order = [
        "Review",
        "Activation Function",
        "Backpropagation",
        "Minibatch",
        "Early Stopping",
        "Data Parallelism",
    ]
    assert sorted(order, key=titles.index) == order
    headings = [slide.heading for slide in index.slides()]
    assert len(set(headings)) == len(headings), "a part must tell slides of one title apart"


def test_every_demo_and_every_lab_is_on_a_slide():
    assert {topic for slide in index.slides() for topic in slide.topics} == {
        d.topic for d in lectures.demos()
    }
    assert {lab for slide in index.slides() for lab in slide.labs} == {lab.number for lab in labs.labs()}


@pytest.mark.parametrize("slide", index.slides(), ids=lambda slide: slide.heading)
def test_every_slide_has_sentence_answer_and_a_way_to_see_it(slide):
    assert slide.sentence
    assert slide.answer.endswith(".")
    assert slide.commands
    for module in slide.modules:
        assert importlib.util.find_spec(f"tf_kit.{module}") is not None


def test_links_name_files():
    for slide in index.slides():
        for module in slide.modules:
            assert (GALLERY.parent / link_to(module)).exists()


if __name__ == "__main__":
    text = GALLERY.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        text = text.split(start)[0] + f"{start}{table()}\n{end}" + text.split(end)[1]
    GALLERY.write_text(text, encoding="utf-8")
