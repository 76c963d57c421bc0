"""A run that is asked for again with another option: the line names the flag, and values that can be typed."""

import re

import click
import pytest
from cli.test_refusals import check_line
from cli.typed import run_main

from tf_kit import cli
from tf_kit.errors import RunStopped
from tf_kit.runs import pretraining

pytestmark = pytest.mark.slow

RUNS = {
    "simclr": ["pretrain", "simclr", "--encoder", "mlp", "--units", "8", "--out", "run"],
    "autoencoder": ["pretrain", "autoencoder", "--units", "8", "--out", "run"],
}
CHANGES = [
    ("simclr", "--epochs", "2"),
    ("simclr", "--batch-size", "64"),
    ("simclr", "--learning-rate", "0.1"),
    ("simclr", "--precision", "bfloat16"),
    ("simclr", "--seed", "3"),
    ("simclr", "--temperature", "0.5"),
    ("simclr", "--chunk-size", "8"),
    ("simclr", "--augment", "none"),
    ("simclr", "--keep", "best:loss"),
    ("simclr", "--monitor-every", "0"),
    ("simclr", "--image-size", "4"),
    ("simclr", "--units", "9,8"),
    ("simclr", "--activation", "tanh"),
    ("autoencoder", "--loss", "squared_error"),
]


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A working directory in which a pretraining stops after its run has begun."""

    def stop(*arguments, **options):
        raise RunStopped("stopped")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretraining, "pretrain_into", stop)


def settings(received, flag):
    """Return the values of a flag in «--epochs 2, but the run began with 1», and in «a run with --epochs 1, not 2»."""
    text = re.sub(r".* a run (with|without) ", lambda found: "no " * (found[1] == "without"), received)
    now, before = re.split(r", (?:but the run began with|not|but the run began) ", text)
    sides = (now, before)
    return [each.removeprefix(flag).strip() for each in sides if not each.startswith(("no ", "with"))]


@pytest.mark.parametrize("resumed", [["--resume"], []], ids=["resumed", "typed again"])
@pytest.mark.parametrize("is_typed_first", [True, False], ids=["left out", "added"])
@pytest.mark.parametrize(("method", "flag", "value"), CHANGES, ids=[each[1] for each in CHANGES])
def test_changed_option_is_named_as_typed(
    method, flag, value, is_typed_first, resumed, stopped, monkeypatch, capsys
):
    words = [[*RUNS[method], flag, value], RUNS[method]]
    first, again = words if is_typed_first else words[::-1]
    status, _, err = run_main(monkeypatch, capsys, *first)
    assert (status, err.splitlines()[-1]) == (1, "tf-kit: stopped")
    status, out, err = run_main(monkeypatch, capsys, *again, *resumed)
    assert (status, out) == (2, "")
    check_line(err, flag, "Received: ")
    received = re.search(r"Received: (.*?)\. (Repeat|`--out`)", err)[1]
    command = cli.cli.commands["pretrain"].get_command(None, method)
    parameter = next(each for each in command.params if flag in each.opts)
    values = settings(received, flag)
    assert value in values or parameter.name == "image_size"  # one number stands for both sides
    for each in values:
        parameter.type.convert(each, parameter, click.Context(command))
