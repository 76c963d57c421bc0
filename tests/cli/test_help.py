"""Tests of the help: light, quick, complete, and true in its defaults."""

import ast
import dataclasses
import re
import subprocess
import sys

import click
import pytest
from cli.typed import run_main

from tf_kit import cli, lectures
from tf_kit.cli import pretraining as pretraining_commands
from tf_kit.experiments import label_efficiency, pretraining_table
from tf_kit.options import text_of
from tf_kit.pretraining.methods import METHODS, own_options
from tf_kit.runs.encoders import usual_sizes

HEAVY = {"tensorflow", "keras", "numpy", "matplotlib", "sklearn", "tensorflow_datasets"}


def commands(group=cli.cli, names=()):
    """Names of every command and subcommand, with a demo in place of `lecture NN`."""
    yield names
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in (*group.list_commands(context), *(["01", "20"] if names == ("lecture",) else [])):
            yield from commands(group.get_command(context, name), (*names, name))


COMMANDS = list(commands())


def find_command(*names):
    command = cli.cli
    for name in names:
        command = command.get_command(click.Context(command), name)
    return command


def defaults_of(*names):
    """Parameter → text of the default that the help of a command shows."""
    shown = {}
    for parameter in find_command(*names).params:
        found = re.search(r"default: (.*)\]$", getattr(parameter, "help", None) or "")
        if found:
            shown[parameter.name] = found[1]
    return shown


def test_every_command_is_listed():
    assert len(COMMANDS) >= 30
    assert {("pretrain", name) for name in METHODS} <= set(COMMANDS)


def test_help_imports_little_and_is_quick_for_that():
    """`benchmarks/starts.py` has the seconds, of which each import is a part: 204 modules for `tf-kit --help`."""
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from tf_kit.cli import cli\n"
        f"for names in {COMMANDS}:\n"
        "    cli([*names, '--help'], standalone_mode=False)\n"
        "loaded = sys.modules.keys() - before\n"
        "print(sorted({each.partition('.')[0] for each in loaded} - sys.stdlib_module_names))\n"
        "print(len(loaded))\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    others, count = shown.splitlines()[-2:]
    assert others == "['click', 'tf_kit']"
    assert int(count) < 280


@pytest.mark.parametrize(
    "names", [("data", "list"), ("lecture", "list"), ("lecture", "slides")], ids=" ".join
)
def test_lists_import_nothing_heavy_but_numpy(names):
    code = f"from tf_kit.cli import cli; import sys; cli({list(names)}, standalone_mode=False)\n"
    code += f"print(sorted(sys.modules.keys() & {HEAVY - {'numpy'}}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


def test_importing_the_package_is_light():
    code = f"import sys, tf_kit; print(sorted(sys.modules.keys() & {HEAVY}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_help_explains_command_and_flags(names, monkeypatch, capsys):
    status, out, err = run_main(monkeypatch, capsys, *names, "--help")
    assert (status, err) == (0, "")
    assert re.search(r"\n {2}[A-Z]\w+", out), "no description"
    assert "..." not in out.split("Options")[-1].replace("SUBMISSION...", ""), "a description that is cut off"
    for parameter in find_command(*names).params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[0] in out
            assert re.match(r"[A-Z].*[.\]]$", parameter.help), f"{parameter.name}: {parameter.help}"


def test_commands_are_listed_in_their_order(monkeypatch, capsys):
    _, out, _ = run_main(monkeypatch, capsys, "--help")
    listed = re.findall(r"^  ([a-z-]+)  ", out.split("Commands:")[1], re.M)
    assert listed == list(cli.cli.commands)
    assert listed[:4] == ["table", "pretrain", "finetune", "probe"]


@pytest.mark.parametrize("method", METHODS)
def test_defaults_of_a_method_are_those_of_a_run(method):
    shown = defaults_of("pretrain", method)
    own = {
        name: "all at once" if name == "chunk_size" and value is None else text_of(value)
        for name, value in own_options(method, {}).items()
    }
    assert {name: shown[name] for name in own} == own
    for name in ("epochs", "batch_size", "learning_rate"):
        assert shown[name] == text_of(getattr(METHODS[method], name))


@pytest.mark.parametrize("method", METHODS)
def test_sizes_of_a_method_are_those_of_a_run(method):
    shown, declared = defaults_of("pretrain", method), METHODS[method]
    kinds = [kind for kind in declared.encoders if kind != "text"]
    assert shown.get("encoder", kinds[0] if kinds else None) == (kinds[0] if kinds else None)
    for kind in kinds:
        sizes = usual_sizes(kind, (28, 28, 1), "sigmoid" if declared.greedy else "relu")
        if "activation" in sizes:
            assert shown["activation"] == sizes["activation"]
        if kinds == ["mlp"]:
            assert shown["units"] == text_of(sizes["units"])
        elif "units" in sizes:
            assert f"{text_of(sizes['units'])} for {kind}" in shown["units"]
        if kind == "vit":
            assert (shown["width"], shown["depth"]) == (str(sizes["width"]), str(sizes["depth"]))


@pytest.mark.parametrize("method", METHODS)
def test_sections_list_every_flag_once(method, monkeypatch, capsys):
    _, out, _ = run_main(monkeypatch, capsys, "pretrain", method, "--help")
    flags = re.findall(r"^  (?:-h, )?(--[a-z-]+)", out, re.M)
    assert sorted(flags) == sorted(
        {each.opts[-1] for each in find_command("pretrain", method).params} | {"--help"}
    )
    own = [name for name in METHODS[method].options.names()]
    assert (f"\nOptions of {method}:" in out) == bool(own or METHODS[method].views)
    for section in pretraining_commands.SECTIONS:
        assert f"\n{section}:" in out


def by_size(small, large):
    return f"{text_of(small)}; from 10,000 training images {text_of(large)}"


def test_defaults_of_the_table_are_those_of_its_settings():
    shown, small, large = defaults_of("table"), pretraining_table.SMALL, pretraining_table.LARGE
    for name in ("units", "batch_size", "learning_rates"):
        assert shown[name] == by_size(getattr(small, name), getattr(large, name))
    assert shown["epochs"] == str(small.epochs) == str(large.epochs)
    assert shown["systems"] == ",".join(pretraining_table.SYSTEMS)
    assert small.pretrain_epochs == {"dbn": 15, "autoencoder": 15, "supervised": 8}
    assert large.pretrain_epochs == {"dbn": 10, "autoencoder": 15, "supervised": 5}
    assert shown["pretrain_epochs"] == by_size("15, but supervised 8", "15, but dbn 10 and supervised 5")


def test_defaults_of_label_efficiency_are_those_of_its_settings():
    settings = label_efficiency.settings
    shown, small, large = defaults_of("label-efficiency"), settings.SMALL, settings.LARGE
    for name in ("steps", "learning_rates"):
        assert shown[name] == by_size(getattr(small, name), getattr(large, name))
    counts = [text_of(tuple("all" if n is None else n for n in each.labels)) for each in (small, large)]
    assert shown["labels"] == by_size(*counts)
    assert (small.val_labels, large.val_labels) == (None, 1000)
    assert shown["val_labels"] == by_size("all", 1000)
    assert (small.pretrainings, large.pretrainings) == (None, 1)
    assert shown["pretrainings"] == by_size("one per seed", 1)
    assert small.pretrain_epochs == {name: METHODS[name].epochs for name in small.pretrain_epochs}
    assert large.pretrain_epochs == {
        name: 5 if METHODS[name].greedy else 10 for name in large.pretrain_epochs
    }
    assert shown["pretrain_epochs"] == by_size("those of `tf-kit pretrain`", "5 per layer, or 10")


@pytest.mark.parametrize("demo", lectures.demos(), ids=lambda demo: demo.topic)
def test_help_of_a_demo_needs_only_its_config(demo):
    """The fields by the syntax tree of the file, in which nothing has run."""
    (config,) = (
        node
        for node in ast.parse(demo.path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name == "Config"
    )
    fields = [node.target.id for node in config.body if isinstance(node, ast.AnnAssign)]
    assert [flag.name for flag in lectures.flags(demo)] == fields
    assert lectures.docstring(demo).startswith(demo.question)


def test_flags_of_a_demo_that_uses_its_own_names(tmp_path):
    """Then the demo is imported."""
    demo = tmp_path / "04_sizes.py"
    lines = [
        "import dataclasses",
        "from tf_kit import lectures",
        "SIZE = 3",
        "@dataclasses.dataclass(frozen=True)",
    ]
    lines += ["class Config:", "    size: int = lectures.option(SIZE, 'Size.')"]
    demo.write_text("\n".join(lines))
    described = lectures.Demo("04", "sizes", "Sizes", "Which?", 1, demo)
    assert [flag.help for flag in lectures.flags(described)] == ["Size. [default: 3]"]
    assert dataclasses.fields(lectures.load(described).Config)[0].default == 3


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_no_path_may_be_empty(names):
    """A shell variable without a value gives "", which `pathlib` takes for the working directory."""
    command = find_command(*names)
    for each in command.params:
        if isinstance(each.type, click.Path):
            with pytest.raises(click.UsageError, match=r"must be a path\. Received: ''\."):
                each.type.convert("", each, click.Context(command))
