"""Train each kind of run whole, and killed by SIGKILL and resumed: `python killed.py FOLDER KIND… [--kills 12]`.

Several such lines, with `then` between them, share the import of TensorFlow.

Each training is a fork of this process, which has imported TensorFlow but runs nothing, so it starts in no time. A
process kills itself at a chosen flush of a file to the disk: between two files or within an epoch; with a file that
is half written; and again, right after it was resumed. Each run is killed up to three times, in this order, at moments
drawn by a seed. `FOLDER/KIND/whole` and `FOLDER/KIND/killed-0` and so on hold the runs, `FOLDER/KIND/moments.json` the
kills.
"""

import argparse
import json
import os
import signal
import sys
import traceback
from functools import partialmethod
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import keras
import numpy as np

from tf_kit import data, networks, regularization, whole_files
from tf_kit.experiments import run_label_efficiency, run_table
from tf_kit.optimizers import Adam
from tf_kit.pretraining import SimCLR
from tf_kit.pretraining.methods import METHODS
from tf_kit.runs import Run, checkpoint, classification, figures, pretraining, save_model
from tf_kit.runs.progress import Progress
from tf_kit.training import resident, strategy

SIZES = {"mlp": {"units": (8, 6)}, "cnn": {"filters": (2, 2), "units": (4,)}, "vit": {"width": 8, "depth": 1}}
SIZES["text"] = {"width": 8, "depth": 1, "length": 24}
TINY = {"epochs": 2, "batch_size": 150}


def of_method(method, folder):
    kind = METHODS[method]
    text = folder.parent / "rhyme.txt"
    text.write_text("the cat sat on the mat. " * 900)
    sizes = SIZES["text" if kind.reads_text else kind.encoders[0]]
    watched = {} if method in ("masked", "tokens", "supervised") else {"monitor_every": 0}
    name = str(text) if kind.reads_text else "digits"
    pretraining.pretrain(method, name, folder, resume=True, **watched, **TINY, **sizes)


def simclr(folder):
    """SimCLR with batch normalization and dropout in the encoder, augmentation, and a schedule."""
    keras.utils.set_random_seed(0)
    layers = [networks.mlp((8,), num_classes=None, input_shape=(8, 8, 1), seed=0)]
    layers += [regularization.BatchNorm(), keras.layers.Dropout(0.2, seed=3), keras.layers.Dense(4)]
    encoder = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model = SimCLR(encoder, projector=(6, 4), augment=regularization.preset("digits"), seed=1)
    model.compile(Adam(keras.optimizers.schedules.CosineDecay(0.01, 16)))
    run = Run(folder, {"kind": "simclr"}, resume=True, progress=Progress(quiet=True))
    run.fit(model, data.load("digits")[0].x, stage="pretraining", epochs=2, batch_size=150)
    save_model(encoder, folder / "encoder.keras")
    run.finish({"loss": run.history()["pretraining"]["loss"]})


def judged(judge):
    def train(folder):
        judge(
            folder.parent.parent / "masked" / "whole",
            out=folder,
            resume=True,
            labels=600,
            epochs=2,
            batch_size=50,
        )

    return train


def table(folder):
    sizes = {"units": 8, "layers": 2, "epochs": 2, "pretrain_epochs": 1, "batch_size": 200}
    systems = ["autoencoder", "supervised"]
    run_table("digits", 1, folder, True, systems, quiet=True, learning_rates=(0.001, 0.01), **sizes)


def label_efficiency(folder):
    sizes = {"labels": (50,), "steps": 20, "pretrain_epochs": 1, "learning_rates": (0.01,)}
    run_label_efficiency("digits", 1, folder, True, ["masked"], quiet=True, **sizes)


def method(name):
    return lambda folder: of_method(name, folder)


METHODS_KILLED = ("masked", "rbm", "denoising", "supervised", "byol", "mae", "tokens")
KINDS = {name: method(name) for name in METHODS_KILLED} | {
    "simclr": simclr,
    "finetune": judged(classification.finetune_run),
    "probe": judged(classification.probe_run),
    "table": table,
    "label-efficiency": label_efficiency,
}


class Flushes:
    """Counts the flushes to the disk, and kills the process before one of them.

    Args:
        last: number of the flush at which the process is killed; None for none.
        half: whether it is killed within the writing of a file, half of which is left.
    """

    def __init__(self, last, half):
        self.count, self.last, self.half, self.flush = 0, last, half, whole_files._flush

    def __call__(self, path):
        self.count += 1
        if self.last is not None and self.count >= self.last and (path.is_file() or not self.half):
            if self.half:
                os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        self.flush(path)


def in_a_fork(train, folder, last=None, half=False, replicas=1):
    """Train in a new process, to the end or until it kills itself; return its status and the number of flushes."""
    counted = folder.with_name(f"{folder.name}.flushes")
    process = os.fork()
    if process == 0:
        try:
            flushes = whole_files._flush = Flushes(last, half)
            Run.__init__ = partialmethod(
                Run.__init__, checkpoint_seconds=0.0
            )  # a checkpoint after each piece
            resident._FIRST, resident._GROWTH = 3, 1
            figures.draw_results = Run.draw = lambda *arguments: None  # figures take most of the time
            with strategy("mirrored" if replicas > 1 else "none", replicas if replicas > 1 else None).scope():
                train(folder)
            counted.write_text(str(flushes.count))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    _, status = os.waitpid(process, 0)
    return status, int(counted.read_text()) if status == 0 else None


def moments_of(rng, count):
    """Flushes at which a run of `count` flushes is killed: in its first half, half written, and right afterwards."""
    first = int(rng.integers(4, count // 2))
    second = int(rng.integers(2, max(3, (count - first) // 2)))
    return [(first, False), (second, True), (int(rng.integers(1, 3)), False)]


def train_and_kill(kind, folder, rng, kills=2, replicas=1):
    """Train whole, then with kills, up to three for each run."""
    folder.mkdir(parents=True, exist_ok=True)
    train, killed = KINDS[kind], []
    status, count = in_a_fork(train, folder / "whole", replicas=replicas)
    assert status == 0, kind
    for number in range(-(-kills // 3)):
        run, moments = folder / f"killed-{number}", moments_of(rng, count)[: kills - 3 * number]
        for moment in moments:
            status, _ = in_a_fork(train, run, *moment, replicas=replicas)
            assert status == signal.SIGKILL, (kind, moments, moment, count, status)
        assert in_a_fork(train, run, replicas=replicas)[0] == 0, (kind, moments)
        killed.append(moments)
    (folder / "moments.json").write_text(json.dumps({"flushes": count, "killed before": killed}))


VARIABLES = checkpoint._variables


def without_the_last(model):
    """Variables of a checkpoint that forgets the last slot of the optimizer."""
    return VARIABLES(model)[:-1]


def main(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forget-a-slot", action="store_true")
    given = parser.parse_args([str(word) for word in words])
    checkpoint._variables = without_the_last if given.forget_a_slot else VARIABLES
    first = sorted(given.kinds, key=lambda kind: kind != "masked")  # whose encoder others may use
    for number, kind in enumerate(first):
        masked = given.folder / "masked" / "whole"
        if kind in ("finetune", "probe") and not (masked / "results.json").exists():
            masked.parent.mkdir(parents=True, exist_ok=True)
            in_a_fork(KINDS["masked"], masked)
        rng = np.random.default_rng((given.seed, number))
        train_and_kill(kind, given.folder / kind, rng, given.kills, given.replicas)


def lines_of(words):
    """Split words at each `then`."""
    lines = [[]]
    for word in words:
        if word == "then":
            lines.append([])
        else:
            lines[-1].append(word)
    return [line for line in lines if line]


if __name__ == "__main__":
    for words in lines_of(sys.argv[1:]):
        main(*words)
