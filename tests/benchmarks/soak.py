"""Memory of a process that works for a long time: what each round of work adds, with its standard error.

    python tests/benchmarks/soak.py [--minutes 30] [--only simclr grading] [--bound 0.5]

A round does each kind of work once, mostly with new models: greedy pretraining, the methods, fine-tuning and probes,
a run into a folder, further epochs of one model that lives through all rounds. A grader in another process, which
starts processes for the answers, grades ten notebooks per round. Free memory is returned to the system before each
sample. Pages that the grader's processes share count once. The slope is fitted without the first rounds, in which
TensorFlow and the allocator fill their caches. Exits with 1 if a slope is above the bound.
"""

import argparse
import contextlib
import ctypes
import gc
import io
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import keras
import numpy as np

from tf_kit import keras_internals, networks, pretraining, regularization
from tf_kit.grading import grader, labs, notebooks, selftest, submissions
from tf_kit.optimizers import Adam
from tf_kit.runs.pretraining import pretrain

LIBC = ctypes.CDLL("libc.so.6")
WARM = 20  # rounds before the slope begins
FEWEST = 10  # rounds of a slope
NOTEBOOKS = 10  # graded per round
X = np.random.default_rng(0).random((256, 8, 8, 1), dtype="float32")
Y = np.arange(256) % 4


def encoder():
    return networks.mlp((16, 8), num_classes=None, input_shape=(8, 8, 1))


def trained(model, *data, **options):
    model.compile(Adam(0.01))
    model.fit(*data, batch_size=32, epochs=2, verbose=0, **options)
    model.evaluate(*data, verbose=0)
    return model


def greedy():
    pretraining.pretrain_greedily(encoder(), X, epochs=1)


def dbn():
    pretraining.pretrain_greedily(encoder(), X, block=pretraining.RBM, epochs=1)


def rbm():
    trained(pretraining.RBM(8), X.reshape(256, -1))


def two_views(method):
    trained(method(encoder(), projector=(8, 4), augment=regularization.preset("digits")), X)


def simclr():
    two_views(pretraining.SimCLR)


def byol():
    two_views(pretraining.BYOL)


def mae():
    patches = pretraining.PatchEncoder(patch_size=2, width=8, depth=1)
    trained(pretraining.MaskedAutoencoder(patches), X)


def judged():
    """Linear probe, fine-tuning and predictions."""
    whole = encoder()
    trained(pretraining.linear_probe(whole, 4), X, Y)
    trained(pretraining.finetune(whole, 4), X, Y, validation_data=(X, Y)).predict(X, verbose=0)


def run():
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        pretrain("denoising", "digits", Path(folder) / "run", epochs=1, units=(8, 6))


def lasting(models=[]):  # noqa: B006 - the list lives through all rounds
    """Further epochs of one model."""
    if not models:
        models.append(trained(pretraining.finetune(encoder(), 4), X, Y))
    models[0].fit(X, Y, batch_size=32, epochs=20, verbose=0, validation_data=(X, Y))
    models[0].predict(X, verbose=0)


HERE = {each.__name__: each for each in (greedy, dbn, rbm, simclr, byol, mae, judged, run, lasting)}
KINDS = [*HERE, "grading"]


def grade_when_asked(pipe):
    """Grade `NOTEBOOKS` notebooks per message, with one grader, and answer with the memory of its processes in MB."""
    lab, count = labs.find("backpropagation"), 0
    with grader.Grader(lab, jobs=1, secret="soak", allow_unsandboxed=True) as judge:
        judge.ready()
        while pipe.recv() == "more":
            with tempfile.TemporaryDirectory() as folder:
                for _ in range(NOTEBOOKS):
                    count += 1
                    notebooks.write(selftest.solved(lab, f"student {count}"), Path(folder) / f"{count}.ipynb")
                results = [
                    each for grade in judge.grade(submissions.find([folder])) for each in grade.results
                ]
            assert results
            assert all(each.status == "ok" for each in results), results
            clean()
            pipe.send(sum(map(proportional, family(os.getpid()))))


class Grading:
    """The grader in a process of its own; each call grades, and stores the memory of its processes in `resident`."""

    def __init__(self):
        self.pipe, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=grade_when_asked, args=(there,))
        self.process.start()

    def __call__(self):
        self.pipe.send("more")
        self.resident = self.pipe.recv()

    def stop(self):
        self.pipe.send("stop")
        self.process.join()


def clean():
    """Free what is kept for a while only: cycles, kernels of old functions, memory of `malloc`."""
    gc.collect()
    for _ in range(
        keras_internals.FUNCTIONS_KEPT
    ):  # one of the calls frees; otherwise samples differ by its turn
        keras_internals.count_traced_function()
    LIBC.malloc_trim(0)


def resident():
    """Resident memory of this process in MB."""
    clean()
    return field("/proc/self/status", "VmRSS")


def proportional(process):
    """Memory of a process in MB without files, pages that it shares divided among those who share them."""
    path = f"/proc/{process}/smaps_rollup"
    try:
        return field(path, "Pss_Anon") + field(path, "Pss_Shmem")
    except OSError:  # it has ended
        return 0.0


def field(path, name):
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def family(process):
    """A process and all that come from it."""
    found = [process]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:  # it has ended
                continue
    return found


def slope(samples):
    """Slope of samples per round after the first ones, by least squares, and its standard error."""
    rounds, values = np.arange(len(samples) - WARM), np.asarray(samples[WARM:])
    centered = rounds - rounds.mean()
    found = centered @ values / (centered @ centered)
    residuals = values - values.mean() - found * centered
    return found, np.sqrt(residuals @ residuals / (len(values) - 2) / (centered @ centered))


def soak(kinds, minutes):
    """Do rounds until the time is over; return the samples of both processes, and what each kind added."""
    ends, here, graders, added = time.monotonic() + 60 * minutes, [], [], {kind: [] for kind in kinds}
    grading = Grading() if "grading" in kinds else None
    while time.monotonic() < ends or len(here) < WARM + FEWEST:
        for kind in kinds:
            before = resident()
            (grading if kind == "grading" else HERE[kind])()
            added[kind].append(resident() - before)
        here.append(resident())
        if grading:
            graders.append(grading.resident)
        rest = f", grader {graders[-1]:.1f} MB" if grading else ""
        print(f"round {len(here)}: {here[-1]:.1f} MB{rest}", flush=True)
    if grading:
        grading.stop()
    return here, graders, added


def report(name, samples, bound):
    """Print the growth of one row of samples; return whether it is within the bound."""
    found, error = slope(samples)
    print(
        f"{name}: {samples[WARM]:.1f} MB after round {WARM + 1}, {samples[-1]:.1f} MB after round {len(samples)}, "
        f"slope {found:+.3f} ± {error:.3f} MB per round, bound {bound:g}"
    )
    return found <= bound


def main():
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--bound", type=float, default=0.5, help="allowed growth per round in MB")
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    here, graders, added = soak(options.only, options.minutes)
    for kind, growth in added.items():
        print(f"{kind:8} {np.mean(growth[WARM:]):+.3f} MB per round")
    within = [report("this process", here, options.bound)]
    if graders:
        within.append(report("grader", graders, options.bound))
    sys.exit(0 if all(within) else 1)


if __name__ == "__main__":
    main()
