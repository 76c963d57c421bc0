"""Cells of a table in separate processes, several at once.

Every cell is trained in run folders that no other cell uses, so the caller only waits for a cell and reads its results.
If a process fails, the caller trains the cell itself, and raises the error if it occurs again.
"""

from __future__ import annotations

import gc
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from types import TracebackType
from typing import Any, Self

import keras
import tensorflow as tf

from tf_kit.checks import count, refuse
from tf_kit.data import waiting
from tf_kit.data.splits import Split
from tf_kit.runs.progress import Progress
from tf_kit.runs.run import Run, refuse_results
from tf_kit.training.sharing import shared_traces

_PROCESSORS = os.cpu_count() or 1
_MOST = 4  # processes if their number is not given: each holds the data and TensorFlow


def recorded_results(cell: Run, *numbers: str) -> dict[str, Any] | None:
    """Return the results of a cell that an earlier call has finished, otherwise None.

    Args:
        cell: its run.
        *numbers: places of the numbers that the table shows, such as `"errors.test"`.

    Raises:
        InputError: the results lack one of the numbers.
    """
    results = cell.results
    for place in numbers if results is not None else ():
        value: Any = results
        for name in place.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, int | float):
            refuse_results(cell.folder, f", which lacks {place}")
    return results


def number_of_jobs(subject: str, jobs: int | None) -> int:
    """Return the number of processes that train: `jobs`, or for None that of the processors, at most 4.

    Where there are GPUs or several replicas, None stands for one process.

    Args:
        subject: argument that holds the number, such as `"run_table.jobs"`.
        jobs: the number, or None.

    Raises:
        InputError: it is not a whole number of at least 1, or more than one under a strategy of several replicas.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if jobs is None:
        alone = replicas > 1 or tf.config.list_physical_devices("GPU")
        return 1 if alone else min(_PROCESSORS, _MOST)
    if count(subject, jobs) > 1 and replicas > 1:
        refuse(subject, "be 1 with several replicas", f"jobs={jobs}, {replicas} replicas")
    return jobs


class Cells:
    """Processes that train the cells of a table. Use it as a context manager.

    Args:
        jobs: number of processes, see `number_of_jobs`; each gets an equal share of the processors. With one, or with
            one cell, there is no process, and `wait` returns False.
        train: function of a cell and a `Progress` that trains the cell; it can be pickled.
        cells: the cells, in the order in which they are waited for.
        progress: `Progress` that shows what the processes do.
    """

    def __init__(
        self,
        jobs: int,
        train: Callable[[Any, Progress], Any],
        cells: Sequence[Hashable],
        progress: Progress,
    ) -> None:
        jobs = min(jobs, len(cells))
        number = jobs if jobs > 1 else 0
        self._given = frozenset(cells if number else ())
        self._waiting = [cell for cell in reversed(cells) if cell in self._given]
        self._done: set[Hashable] = set()
        self._changed, self._progress, self._train = threading.Condition(), progress, train
        self._processes = [_start(jobs) for _ in range(number)]
        self._living = len(self._processes)
        begin = train, keras.config.floatx(), keras.config.dtype_policy().name  # Keras keeps them by thread
        for process in self._processes:
            progress.show()
            threading.Thread(target=self._feed, args=(process, begin), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        with self._changed:
            self._waiting.clear()
        for process in self._processes:
            process.kill()
            process.wait()

    def wait(self, cell: Hashable) -> bool:
        """Wait for a cell, if it was given; return whether a process has trained it."""
        if cell not in self._given:
            return False
        with self._changed:
            self._changed.wait_for(lambda: cell in self._done or not self._living)
            return cell in self._done

    def result(self, cell: Hashable) -> Any:
        """Return what `train` returns for a cell: trained by a process, and only read here, or else trained here."""
        counted = self.wait(cell)
        return self._train(cell, Progress(None, quiet=True) if counted else self._progress)

    def _feed(self, process, begin):
        """Give a process one cell after another, and report what it sends, until there are no more or it fails."""
        try:
            _send(process.stdin, begin)
            while True:
                with self._changed:
                    if not self._waiting:
                        return
                    cell = self._waiting.pop()
                _send(process.stdin, cell)
                while (message := pickle.load(process.stdout)) is not None:
                    name, arguments = message
                    with self._changed:
                        getattr(self._progress, name)(*arguments)
                with self._changed:
                    self._done.add(cell)
                    self._changed.notify_all()
        except (OSError, EOFError, pickle.UnpicklingError):
            with self._changed:
                self._waiting.clear()  # the error is likely to come again
        finally:
            with self._changed:
                self._living -= 1
                self._changed.notify_all()


class Loading:
    """Function from a seed to its splits, which keeps the splits of the last seed. A pickled one takes none along.

    Args:
        load: function from a seed to its splits; it can be pickled.
        seed, splits: the seed that is loaded already, and its splits. Default to None.
    """

    def __init__(
        self, load: Callable[[int], Sequence[Split]], seed: int | None = None, splits: Any = None
    ) -> None:
        self._load, self._last = load, (seed, splits)

    def __reduce__(self) -> tuple[Any, ...]:
        return Loading, (self._load,)

    def __call__(self, seed: int) -> Sequence[Split]:
        if self._last[0] != seed:
            self._last = seed, self._load(seed)
        return self._last[1]


def _start(jobs):
    """Start a process that has its share of the processors and is not interrupted by Ctrl-C."""
    threads = str(max(1, _PROCESSORS // jobs))
    names = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"
    environment = {**os.environ, **dict.fromkeys(names, threads), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    environment |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "MPLBACKEND": "agg"}
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from tf_kit import lean_keras; lean_keras.hide(); from {__name__} import main; main()",
        ],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _send(pipe, value):
    pickle.dump(value, pipe)
    pipe.flush()


class _Sent(Progress):
    """`Progress` that sends what it is told to the process that shows it."""

    def __init__(self, pipe):
        super().__init__(None, quiet=True)
        self._pipe = pipe

    def print(self, line: str) -> None:
        super().print(line)  # which notes the time
        _send(self._pipe, ("print", (line,)))

    def is_due(self) -> bool:
        return self._silent() >= waiting.SECONDS

    def within(self, line: str, left: float) -> None:
        super().print(line)
        _send(self._pipe, ("within", (line, left)))

    def ended(self, line: str) -> None:
        _send(self._pipe, ("ended", (line,)))

    def skip(self, epochs: int, cost: float = 1.0) -> None:
        _send(self._pipe, ("skip", (epochs, cost)))

    def advance(self, amount: float) -> None:
        _send(self._pipe, ("advance", (amount,)))


def main() -> None:
    """Train the cells that come through the standard input, until it is closed."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    received: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read():
        # In a thread, so that a training ends at once when the process that waits for it is gone.
        try:
            while True:
                received.put(pickle.load(sys.stdin.buffer))
        except (EOFError, pickle.UnpicklingError):
            os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    (train, floatx, policy), progress = received.get(), _Sent(answers)
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    gc.freeze()  # else each collection between two cells would look through all of TensorFlow
    with shared_traces():
        while True:
            train(received.get(), progress)
            _send(answers, None)
