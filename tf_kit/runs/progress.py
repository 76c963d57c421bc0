"""One progress bar for a whole command: stage, epoch and time left."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tf_kit import stderr
from tf_kit.checks import refuse
from tf_kit.data import waiting

with warnings.catch_warnings():  # without ipywidgets a notebook shows the plain bar
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm


class Progress:
    """Progress of a command that trains several models.

    On a terminal this is one bar; if the output goes to a file, it is one line per finished stage, and in a longer one
    a line every half minute.

    Args:
        total: total cost of the command: number of epochs, each weighted by its cost. None means unknown, and every
            stage gets a separate bar. Defaults to None.
        quiet: whether to print nothing. Defaults to False.
    """

    def __init__(self, total: float | None = None, quiet: bool = False) -> None:
        self._total, self._done, self._worked, self._started = total, 0.0, 0.0, time.perf_counter()
        self._interactive = stderr.is_terminal() and not quiet
        self._quiet = quiet
        self._bar = None
        self._printed = time.perf_counter()  # when the last line was printed

    def start(
        self, stage: str, epochs: int, first_epoch: int = 0, cost: float = 1.0
    ) -> keras.callbacks.Callback:
        """Begin a stage.

        Args:
            stage: name of the stage.
            epochs: number of its epochs.
            first_epoch: epochs that an earlier run has trained. Defaults to 0.
            cost: cost of one epoch. Defaults to 1.0.

        Returns:
            Keras callback that reports the progress of the stage.
        """
        if self._total is not None:
            self.show()
        elif self._interactive:
            self.close()
            self._bar = _bar(epochs * cost, first_epoch * cost)
        return _StageProgress(self, stage, epochs, first_epoch, cost)

    def show(self) -> None:
        """Show the bar of the whole command, if there is none yet."""
        if self._interactive and self._bar is None:
            self._bar = _bar(self._total, self._done)

    def ended(self, line: str) -> None:
        """Report the end of a stage: next to the bar, or as a line with the time left."""
        if not self._interactive:
            self.print(f"{line}{self._time_left()}")
        elif self._bar is not None:
            self._bar.set_description_str(line.partition(":")[0])

    def skip(self, epochs: int, cost: float = 1.0) -> None:
        """Count epochs that need no training, because an earlier run has trained them."""
        self._done += epochs * cost
        if self._bar is not None:
            self._bar.update(epochs * cost)

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        self._printed = time.perf_counter()
        if not self._quiet and sys.stderr is not None:
            tqdm.write(line, file=sys.stderr)

    def is_due(self) -> bool:
        """Return whether it is time for a line within a stage: there is no bar, and no line for half a minute."""
        return not self._interactive and not self._quiet and self._silent() >= waiting.SECONDS

    def within(self, line: str, left: float) -> None:
        """Print how far a stage is, and the time left: of the command if its total is known, else `left` seconds."""
        if not self._interactive:
            self.print(f"{line}{self._time_left() or f', about {_duration(left)} left'}")

    def _silent(self):
        return time.perf_counter() - self._printed

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def advance(self, amount: float) -> None:
        """Count a part of the total cost as done."""
        self._done += amount
        self._worked += amount
        if self._bar is not None:
            left = self._bar.total - self._bar.n  # the sum of many parts is rounded
            self._bar.update(max(0.0, min(amount, left)))

    def _time_left(self):
        if self._total is None or not self._worked:
            return ""
        rate = (time.perf_counter() - self._started) / self._worked
        return f", about {_duration(rate * max(0.0, self._total - self._done))} left"


def _bar(total, done):
    return tqdm(
        total=total,
        initial=done,
        leave=False,
        dynamic_ncols=True,
        bar_format="{desc} |{bar}| {percentage:3.0f} % {postfix} [{elapsed}, {remaining} left]",
    )


class _StageProgress(keras.callbacks.Callback):
    works_in_pieces = True

    def __init__(self, progress, stage, epochs, first_epoch, cost):
        super().__init__()
        self._progress, self._stage, self._epochs, self._cost = progress, stage, epochs, cost
        self._epoch, self._reported, self._began = first_epoch, 0.0, time.perf_counter()
        self._trained = 0

    def _say_how_far(self, logs):
        """Print a line, if one is due."""
        done = self._trained + self._reported
        if self._progress.is_due() and done:
            rest = self._epochs - self._epoch - self._reported
            left = (time.perf_counter() - self._began) / done * rest
            line = f"{self._stage}, epoch {self._epoch + 1} of {self._epochs}: {_brief(logs)}"
            self._progress.within(line.removesuffix(": "), left)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._reported = epoch, 0.0
        if self._progress._bar is not None:
            self._progress._bar.set_description_str(f"{self._stage}, epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params.get("steps")
        if steps and (self._progress._bar is not None or self._progress.is_due()):
            share = (batch + 1) / steps
            self._progress.advance(self._cost * (share - self._reported))
            self._reported = share
            self._say_how_far(logs)

    def on_epoch_end(self, epoch, logs=None):
        self._progress.advance(self._cost * (1 - self._reported))
        self._reported = 1.0
        self._say_how_far(logs)
        self._trained += 1
        if self._progress._bar is not None:
            self._progress._bar.set_postfix_str(_brief(logs))

    def on_train_end(self, logs=None):
        seconds = time.perf_counter() - self._began
        epochs = f"{self._trained} epoch{'s' * (self._trained != 1)}"
        self._progress.ended(f"{self._stage}: {epochs} in {_duration(seconds)}, {_brief(logs)}")


def scalars(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Return logs with one number under each name: those of an array get its name and their place in it.

    Example:
        >>> scalars({"loss": 0.5, "recall": np.array([0.25, 1.0])})
        {'loss': 0.5, 'recall_0': 0.25, 'recall_1': 1.0}
    """
    found: dict[str, Any] = {}
    for name, value in logs.items():
        array = np.asarray(value)
        if array.dtype.kind not in "biufV":  # V: bfloat16
            requirement = "give the logs of an epoch numbers or arrays of numbers"
            refuse("callbacks", requirement, f"{value!r} as {name!r}", "Leave it out of the logs")
        if array.ndim == 0:
            found[name] = value
        else:
            found |= {f"{name}_{i}": each for i, each in enumerate(array.reshape(-1).tolist())}
    return found


def _brief(logs):
    return ", ".join(f"{name} {value:.4g}" for name, value in scalars(logs or {}).items())


def _duration(seconds):
    """
    >>> _duration(5.4), _duration(125), _duration(7300)
    ('5.4 s', '2 min 05 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"
