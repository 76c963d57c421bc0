"""The house: imports run one way, the guides are true, and the text is in plain American English."""

import ast
import functools
import importlib
import io
import re
import shlex
import subprocess
import sys
import tokenize
from pathlib import Path

import click
import pytest

import tf_kit
from tf_kit.cli import cli

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tf_kit"
FOUNDATION = {
    "checks",
    "colab",
    "dtypes",
    "encoding",
    "errors",
    "first_cell",
    "folders",
    "keras_internals",
    "lazy",
    "lean_keras",
    "markup",
    "options",
    "ownership",
    "registration",
    "stderr",
    "tables",
    "typing",
    "whole_files",
    "xla",
}
BASE = FOUNDATION | {"randomness", "replicas"}
TOPICS = {"networks", "optimizers", "regularization", "design", "pretraining", "scaling"}
# A part may import the parts named here, and itself.
ARROWS = {
    **{part: FOUNDATION for part in FOUNDATION},
    "replicas": FOUNDATION,
    "randomness": FOUNDATION | {"replicas"},
    "data": FOUNDATION,
    "plotting": FOUNDATION,
    "networks": BASE,
    "optimizers": BASE,
    "regularization": BASE | {"data", "networks"},
    "design": BASE | {"data", "networks"},
    "training": BASE | {"data", "networks"},
    "pretraining": BASE | {"data", "networks", "optimizers", "regularization", "training"},
    "scaling": BASE | {"data", "networks", "training"},
    "runs": BASE | {"data", "plotting", "training", *TOPICS},
    "experiments": BASE | {"data", "plotting", "training", "runs", *TOPICS},
    "lectures": BASE | {"data", "plotting"},
    "grading": FOUNDATION | {"plotting"},
    "cli": BASE | {"data", "training", "runs", "experiments", "lectures", "grading", *TOPICS},
}
EXPECTED = [
    ROOT / "README.md",
    *sorted(ROOT.glob(".github/*.md")),
    *(ROOT / folder / "README.md" for folder in ("lectures", "labs", "tests")),
    *(PACKAGE / folder / "README.md" for folder in ("pretraining", "training", "experiments")),
]


GUIDES = [path for path in EXPECTED if path.exists()]


def imports_of(path):
    """The tf_kit parts that a file imports anywhere, inside functions too, but not for type checkers alone."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
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
    if part != "__init__":
        assert imports_of(path) <= ARROWS[part] | {part}


def test_matplotlib_is_imported_where_figures_are_drawn():
    seen = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) matplotlib", path.read_text(encoding="utf-8"), re.M)
    }
    with_one_caller = {"grading/class_figure.py", "experiments/table_figure.py", "experiments/depth.py"}
    with_one_caller |= {"experiments/function_space.py"}
    with_one_caller |= {"runs/maps.py", "runs/mistakes.py"}
    assert {path for path in seen if not path.startswith("plotting/")} <= with_one_caller


def test_private_names_of_keras_stand_in_one_file():
    """Attributes with one underscore of objects that are not `self`, `cls` or a module of the kit."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / "keras_internals.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            names.add(node.attr)
    assert len(names) > 15
    documented = {"_get_variable_index"}  # Keras's guide to writing an optimizer uses it
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "keras_internals.py" and "sandbox" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in names - documented
    ]
    assert found == []


def test_top_level_is_what_was_agreed():
    agreed = {"pyproject.toml", "README.md", "lectures", "labs", "tests", "tf_kit"}
    built = {"dist", "build", "runs"}
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert {name for name in there if not name.endswith(".egg-info")} - built <= agreed


def test_no_file_is_called_utils():
    vague = {"utils", "helpers", "common", "misc"}
    assert [path for path in PACKAGE.rglob("*.py") if path.stem in vague] == []


@pytest.mark.parametrize("wing", tf_kit.WINGS)
def test_every_public_name_exists_and_has_a_docstring(wing):
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


# Guides


def test_every_guide_is_there():
    assert EXPECTED == GUIDES


def commands_in(path):
    """Every `tf-kit …` that the shell blocks of a guide type."""
    for block in re.findall(r"```(?:sh|console|bash)\n(.*?)```", path.read_text(encoding="utf-8"), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;|\|", line.split("  #")[0].removeprefix("$ ")):
                words = shlex.split(part)
                names = [i for i, word in enumerate(words) if word.split("/")[-1] == "tf-kit"]
                if names:
                    yield words[names[0] + 1 :]


COMMANDS = {" ".join(words): words for path in GUIDES for words in commands_in(path)}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_commands_of_the_guides_exist(words, tmp_path, monkeypatch):
    """Each command parses: its name, its flags, its values; a file of flags is the one that the guide shows."""
    if "--config" in words:
        monkeypatch.chdir(tmp_path)
        guide = (PACKAGE / "pretraining" / "README.md").read_text(encoding="utf-8")
        file = tmp_path / words[words.index("--config") + 1]
        file.parent.mkdir(parents=True)
        file.write_text(re.findall(r"```toml\n(.*?)```", guide, re.S)[0])
    command, context = cli, click.Context(cli, info_name="tf-kit")
    while isinstance(command, click.Group):
        if words in (["--help"], ["--version"], []):
            return
        command, words = command.get_command(context, words[0]), words[1:]
        assert command is not None, "no such command"
    if "--help" not in words:
        command.make_context("tf-kit", list(words), parent=context, resilient_parsing=False)


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_the_guides_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    missing = [
        target
        for target in targets
        if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists()
    ]
    assert missing == []


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_table_of_methods_is_that_of_the_declarations():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    written = re.search(r"<!-- methods -->\n(.*?)<!-- /methods -->", text, re.S)[1]
    assert written.strip() == methods_table().strip()


def methods_table():
    """The README's table of methods, as the declarations give it: `python tests/test_house.py` prints it."""
    from tf_kit.pretraining.methods import METHODS

    lines = ["| method | learns by | encoders | its own options |", "| --- | --- | --- | --- |"]
    for name, method in METHODS.items():
        own = ", ".join(f"`{option}`" for option in method.options.names()) or "–"
        learns = f"{method.title}: {method.learns}"
        lines.append(f"| `{name}` | {learns} | {', '.join(method.encoders)} | {own} |")
    return "\n".join(lines) + "\n"


# Words


BRITISH = re.compile(
    r"\b\w*(?:(?:col|neighb|behavi|fav)our|(?:normal|standard|optim|initial|regular|summar|organ|recogn|penal|quant"
    r"|synchron|minim|maxim|general)is(?:e|ed|es|ing|ation)\b|centred?\b|centring)",
    re.IGNORECASE,
)
CALQUES = {
    "a noun clause as a heading": re.compile(r"\A(?:What|Which|Who|How many|Where) [a-z]"),
    "goes on for continues": re.compile(r"\b(?:goes|go|gone|went) on (?:with|after|where|from)\b"),
    "of its own": re.compile(r"\bof (?:its|their|one's|your) own(?=[.,;:)]|$)"),
    "beside for next to": re.compile(r"\bbeside\b"),
    "is none": re.compile(r"(?<!there )\b(?:is|are) none\b|\bbe no [a-z]"),
    "says of code": re.compile(
        r"\b(?:code|function|model|run|test|layer|file|message)s? (?:say|says|tell|tells)\b"
    ),
    "so many as a number": re.compile(r"\b(?:at most|gives?|makes?|takes?) so many\b"),
    "gone on": re.compile(r"\bbears?\b (?:no|it|them|one|two)"),
}


def texts_of(path):
    """(line, text) of each docstring, comment and plain string of a Python file."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
        elif token.type == tokenize.STRING:
            yield token.start[0], token.string.strip("rbf\"'\n ")


def lines_of(path):
    return list(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))


@functools.cache
def written():
    """(place, text) of all that is written; reading it takes seconds."""
    return list(_written())


def _written():
    for folder in ("tf_kit", "lectures", "labs", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path != Path(__file__):
                for line, text in texts_of(path):
                    yield f"{path.relative_to(ROOT)}:{line}", text
    for path in GUIDES:
        for line, text in lines_of(path):
            yield f"{path.relative_to(ROOT)}:{line}", text


def test_spelling_is_american():
    files = [
        path for folder in ("tf_kit", "lectures", "labs", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {BRITISH.search(text)[0]}"
        for path in {*files, *GUIDES} - {Path(__file__)}
        if BRITISH.search(
            path.read_text(encoding="utf-8")
        )  # most files have none, and are not read token by token
        for line, text in (texts_of(path) if path.suffix == ".py" else lines_of(path))
        if BRITISH.search(text)
    ]
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("pattern", CALQUES)
def test_english_is_plain(pattern):
    """The package, the demos and the guides; a lab may ask its student "What is …?"."""
    found = [
        f"{place}: {text[:80]!r}"
        for place, text in written()
        if not place.startswith(("labs/", "tests/")) and "?" not in text and CALQUES[pattern].search(text)
    ]
    assert found == []


def test_importing_a_light_part_imports_nothing_heavy():
    code = (
        "import sys, tf_kit.cli, tf_kit.pretraining.methods, tf_kit.errors, tf_kit.checks; "
        "print(sorted(sys.modules.keys() & {'tensorflow', 'keras', 'numpy', 'matplotlib', 'sklearn'}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


if __name__ == "__main__":
    print(methods_table(), end="")
