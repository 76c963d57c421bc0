"""Choice of the strategy and its devices, refusals, and equal results of the command line on two replicas."""

import importlib
import json
import os
import re
import subprocess
import sys

import click
import numpy as np
import pytest
import tensorflow as tf

from tf_kit import cli
from tf_kit.errors import InputError
from tf_kit.runs.checkpoint import StageState
from tf_kit.scaling import strategy

parallel = importlib.import_module("tf_kit.training.strategy")


def tf_config(index=1, task="worker", **jobs):
    jobs = jobs or {"worker": ["a:1", "b:1"]}
    return json.dumps({"cluster": jobs, "task": {"type": task, "index": index}})


@pytest.fixture
def machine(monkeypatch):
    """Function that simulates a machine with some GPUs and an environment."""

    def prepare(gpus=0, **environment):
        monkeypatch.setattr(
            parallel.tf.config, "list_physical_devices", lambda kind: [kind] * (gpus if kind == "GPU" else 1)
        )
        for name in [name for name in os.environ if name.startswith(("SLURM", "TF_CONFIG"))]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return prepare


@pytest.mark.parametrize(
    ("gpus", "arguments", "chosen"),
    [
        (0, (), "none, 1 replica: CPU:0"),
        (1, (), "none, 1 replica: GPU:0"),
        (2, (), "mirrored, 2 replicas: GPU:0, GPU:1"),
        (4, ("auto", 2), "mirrored, 2 replicas: GPU:0, GPU:1"),
        (4, ("auto", 1), "none, 1 replica: GPU:0"),
        (4, ("none",), "none, 1 replica: GPU:0"),
        (0, ("auto", 2), "mirrored, 2 replicas: CPU:0, CPU:1"),
        (0, ("mirrored",), "mirrored, 1 replica: CPU:0"),
    ],
)
def test_plan(machine, gpus, arguments, chosen):
    machine(gpus)
    assert str(parallel.plan(*arguments)) == chosen


def test_plan_of_several_machines(machine):
    machine(2, TF_CONFIG=tf_config())
    expected = "multiworker, 2 replicas: GPU:0, GPU:1, on each of 2 workers; this is worker 1, b:1"
    assert str(parallel.plan()) == str(parallel.plan("multiworker")) == expected
    assert parallel.plan("mirrored").cluster is None
    machine(0, TF_CONFIG=tf_config(0, worker=["a:1"]))
    assert parallel.plan().name == "none"


@pytest.mark.parametrize(
    ("gpus", "arguments", "message"),
    [
        (0, ("tpu",), "one of 'auto', 'none', 'mirrored', 'multiworker'. Received: name='tpu'"),
        (0, ("mirrored", 0), "replicas=0"),
        (2, ("mirrored", 3), "at most the 2 visible GPUs. Received: replicas=3. Hide the GPUs"),
        (0, ("mirrored", 17), "be at most 16 without a GPU, where they serve to test code"),
        (0, ("none", 2), "be 1 without a strategy. Received: replicas=2"),
        (0, ("multiworker",), "without TF_CONFIG"),
    ],
)
def test_refusals(machine, gpus, arguments, message):
    machine(gpus)
    with pytest.raises(InputError, match=re.escape(message)):
        parallel.plan(*arguments)


def test_refuses_more_replicas_on_a_worker_without_gpu(machine):
    machine(0, TF_CONFIG=tf_config())
    with pytest.raises(InputError, match="on a worker without a GPU"):
        parallel.plan("auto", 2)


def test_refuses_more_devices_after_the_first_operation(monkeypatch):
    monkeypatch.setattr(parallel, "_made", {})
    tf.zeros(()).numpy()
    with pytest.raises(
        InputError, match=r"1 device that this process has\. Received: replicas=3\. Call strategy"
    ):
        strategy("mirrored", replicas=3)


def test_makes_one_mirrored_strategy_per_process(monkeypatch):
    four = object()
    monkeypatch.setattr(parallel, "_made", {tuple(f"CPU:{i}" for i in range(4)): four})
    assert strategy("mirrored", replicas=4) is four
    with pytest.raises(InputError, match=r"be 4 as before in this process.*replicas=2"):
        strategy("mirrored", replicas=2)


def test_none_is_the_default_strategy():
    assert strategy("none") is tf.distribute.get_strategy()


# The command line


PRETRAIN = ["pretrain", "denoising", "--units", "16,8", "--epochs", "3", "--batch-size", "100"]
TUNE = ["finetune", "{}", "--epochs", "2", "--batch-size", "100"]
PROBE = ["probe", "{}", "--epochs", "2", "--batch-size", "100"]
TABLE = [
    *("table", "--systems", "deep,shallow", "--seeds", "1", "--units", "8"),
    *("--epochs", "2", "--batch-size", "100"),
]


def run(*arguments):
    cli.cli([str(each) for each in arguments], standalone_mode=False)


@pytest.mark.slow
def test_two_replicas_give_the_results_of_one_device(tmp_path, monkeypatch):
    """This includes a run that was started on one device and finished on two replicas."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    run(*PRETRAIN, "--out", alone)

    save = StageState.save

    def save_then_stop(self, model, stage, epoch, logs, **options):
        save(self, model, stage, epoch, logs, **options)
        if (stage, epoch) == ("layer 2", 2):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StageState, "save", save_then_stop)
        with pytest.raises(click.Abort):
            run(*PRETRAIN, "--out", shared)

    two = ["--replicas", "2"]
    commands = [
        [*PRETRAIN, "--out", str(shared), "--resume", *two],
        *([each.format(shared) for each in command] + two for command in (TUNE, PROBE)),
        [*TABLE, "--out", str(tmp_path / "table shared"), *two],
    ]
    code = f"from tf_kit.cli import cli\nfor each in {commands}: cli(each, standalone_mode=False)"
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    for command in (TUNE, PROBE):
        run(*[each.format(alone) for each in command])
    run(*TABLE, "--out", tmp_path / "table alone")
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors[-3000:]

    for stage, metrics in results(alone)["stages"].items():
        np.testing.assert_allclose(results(shared)["stages"][stage]["loss"], metrics["loss"], rtol=1e-6)
    for part in ("finetune-all-seed-0", "probe-all-seed-0"):
        assert results(shared / part) == results(alone / part)
    tables = [results(tmp_path / f"table {name}")["systems"] for name in ("alone", "shared")]
    for system, row in tables[0].items():
        assert tables[1][system] | {"seconds": 0} == row | {"seconds": 0}


def results(folder):
    return json.loads((folder / "results.json").read_text())
