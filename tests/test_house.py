"""The house: who imports whom, and that what the README and the wings promise is there."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

import tf_kit
from tf_kit.cli import cli

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tf_kit"
TOPICS = {"networks", "optimizers", "regularization", "design", "pretraining", "scaling"}
# A wing may import the wings named here, besides the private modules and itself.
ARROWS = {
    "data": set(),
    "plotting": set(),
    "progress": set(),
    "networks": set(),
    "optimizers": set(),
    "regularization": {"data"},
    "scaling": {"data", "pretraining"},  # a distiller is a trainer
    "design": {"data", "networks"},
    "pretraining": {"data", "networks", "regularization"},  # for projectors' batch norm and examples' keys
    "runs": {"plotting", "progress", "pretraining"},
    "experiments": {"data", "plotting", "progress", "runs", *TOPICS},
    "lectures": {"data", "plotting", "progress", "runs", "experiments", *TOPICS},
    "grading": {"data", "plotting", *TOPICS},
    "cli": {"data", "plotting", "progress", "runs", "experiments", "lectures", "grading", *TOPICS},
}


def imports_of(path):
    """The tf_kit parts that a file imports anywhere, inside functions too; doctests are not looked at."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "tf_kit":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tf_kit."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("tf_kit.")}
    return {name for name in found if not name.startswith("_")}


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_run_one_way(path):
    part = part_of(path)
    if part.startswith("_"):
        assert imports_of(path) <= set(), path
    else:
        assert imports_of(path) <= ARROWS[part] | {part}, f"{path.name} imports against the arrows"


def test_only_plotting_sees_matplotlib():
    seen = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) matplotlib", path.read_text(), re.M)
    ]
    assert seen == ["plotting.py"]


def test_top_level_is_what_was_agreed():
    agreed = {"pyproject.toml", "README.md", "lectures", "labs", "tests", "tf_kit"}
    built = {"dist", "build", "runs"}
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in there if not name.endswith(".egg-info")} - built <= agreed


def test_no_file_is_called_utils():
    vague = {"utils", "helpers", "common", "misc"}
    assert [path for path in PACKAGE.rglob("*.py") if path.stem in vague] == []


@pytest.mark.parametrize("wing", tf_kit._WINGS)
def test_every_public_name_is_there_and_explained(wing):
    module = importlib.import_module(f"tf_kit.{wing}")
    assert getattr(tf_kit, wing) is module
    assert module.__doc__
    for name in getattr(module, "__all__", ()):
        thing = getattr(module, name)
        if callable(thing):
            assert (thing.__doc__ or "").strip(), f"tf_kit.{wing}.{name} has no docstring"


def test_unknown_part_is_named():
    with pytest.raises(AttributeError, match="regularisation"):
        _ = tf_kit.regularisation


def commands_in_readme():
    """Every `tf-kit …` that the README's shell blocks type."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"```(?:sh|console|bash)\n(.*?)```", text, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;|\|", line.split("  #")[0]):
                words = shlex.split(part)
                names = [i for i, word in enumerate(words) if word.split("/")[-1] == "tf-kit"]
                if names:
                    yield words[names[0] + 1 :]


@pytest.mark.parametrize("words", list(commands_in_readme()), ids=" ".join)
def test_readme_commands_exist(words):
    """Each command of the README parses: its name, its flags, its values."""
    command, context = cli, click.Context(cli, info_name="tf-kit")
    while isinstance(command, click.Group):
        assert words, "a command group alone does nothing"
        command, words = command.get_command(context, words[0]), words[1:]
        assert command is not None, "no such command"
    command.make_context("tf-kit", list(words), parent=context)
