"""Training on two machines: weights and History of one, errors sent by the chief, lost workers, resumed runs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from support import processes
from training import on_workers

from tf_kit import runs
from tf_kit.errors import InputError, WorkerLost
from tf_kit.pretraining import Autoencoder
from tf_kit.runs import pretraining as pipeline
from tf_kit.training import workers

TESTS = Path(__file__).resolve().parents[1]


class Pair:
    """Two processes of one command with TF_CONFIG; `{worker}` in the command becomes the worker's index."""

    def __init__(self, *command):
        addresses = [f"127.0.0.1:{port}" for port in processes.free_ports(2)]
        self.processes = []
        for index in range(2):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": addresses}, "task": task}
            paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
            environment = os.environ | {"PYTHONPATH": paths, "TF_CONFIG": json.dumps(config)}
            words = [sys.executable, *(word.format(worker=index) for word in command)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            self.processes.append(subprocess.Popen(words, env=environment, **pipes))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.communicate()

    def wait(self, timeout=300):
        """Return (status, output, errors) of each process."""
        ended = time.monotonic() + timeout
        texts = [process.communicate(timeout=ended - time.monotonic()) for process in self.processes]
        return [(p.returncode, *streams) for p, streams in zip(self.processes, texts, strict=True)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Arrays of one process without a strategy, and of each of two workers."""
    folder = tmp_path_factory.mktemp("workers")
    script = str(TESTS / "training" / "on_workers.py")
    with Pair(script, f"{folder}/{{worker}}.npz") as pair:
        alone = on_workers.train_all()
        for status, _, errors in pair.wait():
            assert status == 0, errors[-2000:]
    return alone, [dict(np.load(folder / f"{index}.npz")) for index in range(2)]


PARTS = [f"{method}/{kind}" for method in on_workers.METHODS for kind in ("even", "uneven")]


@pytest.mark.slow
@pytest.mark.parametrize("part", [*PARTS, "data set/uneven"])
def test_two_machines_give_the_weights_and_history_of_one(trained, part):
    """The tolerance 1e-6 leaves room for sums in another order."""
    alone, both = trained
    names = [name for name in alone if name.startswith(f"{part}/")]
    assert any("/weight/" in name for name in names)
    assert any("/history/" in name for name in names)
    for each in both:
        for name in names:
            np.testing.assert_allclose(each[name], alone[name], rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_both_machines_have_equal_weights_and_history(trained):
    _, (chief, other) = trained
    assert chief.keys() == other.keys()
    for name in chief:
        np.testing.assert_array_equal(chief[name], other[name], err_msg=name)


REFUSALS = {
    "data": "`DenoisingAutoencoder.fit.x.checksum` must be the same on worker 1",
    "option": "Received: batch_size=8, not 9",
    "model": "`DenoisingAutoencoder.encoder.layers.1.units` must be the same on worker 1 as on worker 0. "
    "Received: units=6, not 5",
    "method": "`model` must be the same on worker 1 as on worker 0. Received: model='RBM', not 'DenoisingAut",
    "optimizer": "`RBM.optimizer.momentum` must be the same",
}


@pytest.mark.slow
@pytest.mark.parametrize("different", REFUSALS)
def test_difference_between_machines_is_refused_on_both(trained, different):
    lines = [str(each[f"refusal/{different}"]) for each in trained[1]]
    assert lines[0] == lines[1]
    assert REFUSALS[different] in lines[0]


OPTIONS = {"units": [16, 8], "epochs": 20, "batch_size": 256}


def command(folder, *more):
    units = ",".join(map(str, OPTIONS["units"]))
    sizes = ["--epochs", str(OPTIONS["epochs"]), "--batch-size", str(OPTIONS["batch_size"])]
    arguments = ["pretrain", "denoising", "--units", units, *sizes, "--strategy", "multiworker"]
    return ["-c", "from tf_kit.cli import main; main()", *arguments, "--out", f"{folder}/{{worker}}", *more]


def epochs_of(folder):
    path = folder / "history.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


@pytest.mark.slow
def test_different_commands_are_refused_on_both_machines(tmp_path):
    """Within seconds, and before anything is written."""
    with Pair(*command(tmp_path, "--rate", "0.{worker}5")) as pair:
        outcomes = pair.wait(timeout=60)
    for status, output, errors in outcomes:
        assert (status, output) == (2, "")
        (line,) = errors.strip().splitlines()
        assert "`--rate` must be the same on worker 1 as on worker 0. Received: --rate 0.15, not 0.05" in line
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_killed_worker_stops_the_others_and_the_run_resumes(tmp_path):
    """Run the command line on two machines, kill worker 1 in the middle, and start both again."""
    with Pair(*command(tmp_path)) as pair:
        ended = time.monotonic() + 240
        while epochs_of(tmp_path / "0") < 4:
            assert time.monotonic() < ended
            assert pair.processes[0].poll() is None, pair.wait()[0][2]
            time.sleep(0.05)
        pair.processes[1].send_signal(signal.SIGKILL)
        began = time.monotonic()
        (status, _, errors), _ = pair.wait()
        seconds = time.monotonic() - began
    assert status == 1
    line = errors.strip().splitlines()[-1]
    assert "the connection to worker 1 is lost, so worker 0 stops too" in line
    assert "--resume" in line
    assert "Traceback" not in errors
    assert seconds < 60  # measured: 0.1 until the error, 4 until the process ends
    done = epochs_of(tmp_path / "0")
    assert 4 <= done < 2 * OPTIONS["epochs"]
    assert not (tmp_path / "0" / "results.json").exists()

    with Pair(*command(tmp_path, "--resume")) as pair:
        (status, output, errors), (other_status, other_output, _) = pair.wait()
    assert (status, other_status) == (0, 0), errors[-2000:]
    assert f"next: tf-kit finetune {tmp_path}/0" in output
    assert other_output == "", "only the chief prints"
    assert not (tmp_path / "1").exists(), "only the chief writes"

    pipeline.pretrain("denoising", out=tmp_path / "alone", **OPTIONS)
    histories = [
        runs.read_json(tmp_path / name / "results.json", "results")["stages"] for name in ("0", "alone")
    ]
    for layer, metrics in histories[1].items():
        np.testing.assert_allclose(histories[0][layer]["loss"], metrics["loss"], rtol=1e-6)
    encoders = [keras.models.load_model(tmp_path / name / "encoder.keras") for name in ("0", "alone")]
    for weight, expected in zip(*(encoder.get_weights() for encoder in encoders), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-5)


class TwoMachines:
    """Stand-in for a strategy that spans two machines."""

    num_replicas_in_sync = 2


@pytest.fixture(autouse=True)
def second_worker(monkeypatch):
    """This process is the second worker under `TwoMachines`."""
    num_workers, worker_index = workers.num_workers, workers.worker_index

    def fake(real, value):
        return lambda strategy: value if strategy is TwoMachines else real(strategy)

    monkeypatch.setattr(workers, "num_workers", fake(num_workers, 2))
    monkeypatch.setattr(workers, "worker_index", fake(worker_index, 1))


class Collective(tf.errors.UnavailableError):
    def __init__(self, text):
        super().__init__(None, None, text)


def test_error_names_the_lost_worker():
    lines = (
        "Graph execution error:\n\nCollective ops is aborted by: Socket closed\nfrom /job:worker/task:0 while"
    )
    lost = "connection to worker 0 is lost, so worker 1 stops"
    with pytest.raises(WorkerLost, match=lost) as caught, workers.naming_the_lost(TwoMachines):
        raise Collective(lines)
    assert "TensorFlow's error: Collective ops is aborted by: Socket closed" in str(caught.value)
    assert isinstance(caught.value.__cause__, Collective)


def test_error_of_variables_that_differ_names_the_cause():
    text = "Collective ops is aborted by: Shape mismatch in the collective instance 100. Op at task:0 expected [5,9]"
    words = r"models of the same shapes.*on worker 1 a Shape mismatch.*\[5,9\]"
    with pytest.raises(InputError, match=words), workers.naming_the_lost(TwoMachines):
        raise Collective(text)


@pytest.mark.parametrize("strategy", [TwoMachines, None])
def test_other_errors_are_not_replaced(strategy):
    with pytest.raises(tf.errors.InternalError), workers.naming_the_lost(strategy):
        raise tf.errors.InternalError(None, None, "out of paper")


SGD = keras.optimizers.SGD
REFUSED = {
    "`steps_per_execution` must be 1 on several machines. Received: steps_per_execution=2": {
        "optimizer": SGD(),
        "steps_per_execution": 2,
    },
    "`gradient_accumulation_steps` must be None on several machines. Received: gradient_accumulation_steps=3": {
        "optimizer": keras.optimizers.LossScaleOptimizer(SGD(gradient_accumulation_steps=3)),
    },
    "`compile.jit_compile` must be False where several replicas train": {
        "optimizer": SGD(),
        "jit_compile": True,
    },
    "`optimizer.ema_overwrite_frequency` must be None under a strategy": {
        "optimizer": SGD(use_ema=True, ema_overwrite_frequency=2),
    },
}


class OnTwoMachines(Autoencoder):
    distribute_strategy = TwoMachines


@pytest.mark.parametrize("message", REFUSED)
@pytest.mark.parametrize("given", ["arrays", "data set"])
def test_unsupported_options_are_refused_before_the_first_step(message, given):
    x = np.zeros((4, 3), "float32")
    model = OnTwoMachines(on_workers.encoder(2))
    model.compile(**REFUSED[message])
    with pytest.raises(InputError, match=re.escape(message)):
        model.fit(x if given == "arrays" else tf.data.Dataset.from_tensors(x))
    assert not model.built


def test_averages_that_overwrite_weights_are_refused_on_one_replica_too():
    """Keras fails there, and with accumulated gradients it would leave the averages out in silence."""
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = Autoencoder(on_workers.encoder(2))
        model.compile(SGD(use_ema=True, ema_overwrite_frequency=2, gradient_accumulation_steps=2))
    with pytest.raises(InputError, match="must be None under a strategy"):
        model.fit(np.zeros((4, 3), "float32"))


def test_usual_options_are_accepted_on_several_machines():
    model = OnTwoMachines(on_workers.encoder(2))
    model.compile(SGD(clipnorm=1.0))
    model._refuse_unsupported_on_replicas()


def test_one_machine_returns_arguments_unchanged(tmp_path):
    assert not workers.several()
    assert workers.is_chief()
    assert workers.from_chief(b"abc") == b"abc"
    assert workers.done_by_chief(lambda: 3) == 3
    assert workers.folder_from_chief(tmp_path) == tmp_path
    dataset = tf.data.Dataset.range(3)
    assert workers.in_order(None, dataset) is dataset
    with pytest.raises(InputError):
        workers.done_by_chief(lambda: runs.read_json(tmp_path / "none.json", "none"))


@pytest.mark.parametrize("is_chief", [True, False])
def test_error_of_the_chief_is_raised_on_every_worker(monkeypatch, is_chief):
    """With all its parts, so that the command line of every worker can name the flag."""
    error = InputError(
        "`f.name` must be new. Received: name='a'.",
        subject="f.name",
        requirement="be new",
        received="name='a'",
        remedy="use another",
        flag="--out",
        typed_remedy="",
    )
    sent = json.dumps({"error": error.parts()}).encode()

    def function():
        assert is_chief, "called on the chief only"
        raise error

    monkeypatch.setattr(workers, "is_chief", lambda strategy: is_chief)
    monkeypatch.setattr(workers, "from_chief", lambda content, strategy: content if is_chief else sent)
    with pytest.raises(InputError) as caught:
        workers.done_by_chief(function, TwoMachines)
    assert caught.value is not error
    assert caught.value.parts() == error.parts()


def test_summaries_identify_data():
    x = np.random.default_rng(0).random((5000, 3)).astype("float32")
    summary = workers._summary(x)
    assert workers._summary(x.copy()) == summary
    for other in (x[:-1], x.astype("float64"), x.T.copy().reshape(x.shape), x + 1):
        assert workers._summary(other) != summary


def test_packs_the_files_that_match(tmp_path):
    import io
    import tarfile

    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.npz").write_bytes(b"123")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "other.txt").write_text("does not match")
    packed = workers._packed(tmp_path, ("*.json", "deep/**/*"))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert sorted(archive.getnames()) == ["config.json", "deep/er/a.npz"]
