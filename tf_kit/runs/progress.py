"""One progress bar for a whole command: which stage, which epoch, how much time is left."""

import sys
import time

import keras
from tqdm.auto import tqdm


class Progress:
    """Shows how far a command of several trainings is.

    On a terminal it is one bar; where the output goes to a file it is one line for each finished stage.

    Args:
        total: epochs that the command will train in all, each weighted by what it costs; None if unknown (then
            every stage has a bar of its own).
        quiet: whether to show nothing.
    """

    def __init__(self, total=None, quiet=False):
        self._total, self._done, self._worked, self._started = total, 0.0, 0.0, time.perf_counter()
        self._interactive = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._bar = None

    def start(self, stage, epochs, first_epoch=0, cost=1.0):
        """A stage begins. Returns the Keras callback that reports on it. `cost` weighs one of its epochs."""
        if self._interactive and (self._bar is None or self._total is None):
            self.close()
            total = self._total if self._total is not None else epochs * cost
            self._bar = tqdm(
                total=total,
                initial=self._done if self._total is not None else first_epoch * cost,
                leave=False,
                dynamic_ncols=True,
                bar_format="{desc} |{bar}| {percentage:3.0f} % {postfix} [{elapsed}, {remaining} left]",
            )
        return _StageProgress(self, stage, epochs, first_epoch, cost)

    def skip(self, epochs, cost=1.0):
        """`epochs` need not be trained: an earlier run has done them."""
        self._done += epochs * cost
        if self._bar is not None:
            self._bar.update(epochs * cost)

    def say(self, line):
        """Prints a line above the bar."""
        if not self._quiet:
            tqdm.write(line, file=sys.stderr)

    def close(self):
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _advance(self, amount):
        self._done += amount
        self._worked += amount
        if self._bar is not None:
            self._bar.update(amount)

    def _time_left(self):
        if self._total is None or not self._worked:
            return ""
        rate = (time.perf_counter() - self._started) / self._worked
        return f", about {_duration(rate * max(0.0, self._total - self._done))} left"


class _StageProgress(keras.callbacks.Callback):
    def __init__(self, progress, stage, epochs, first_epoch, cost):
        super().__init__()
        self._progress, self._stage, self._epochs, self._cost = progress, stage, epochs, cost
        self._epoch, self._reported, self._began = first_epoch, 0.0, time.perf_counter()
        self._trained = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._reported = epoch, 0.0
        if self._progress._bar is not None:
            self._progress._bar.set_description_str(f"{self._stage}, epoch {epoch + 1}/{self._epochs}")

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params.get("steps")
        if self._progress._bar is not None and steps:
            share = (batch + 1) / steps
            self._progress._advance(self._cost * (share - self._reported))
            self._reported = share

    def on_epoch_end(self, epoch, logs=None):
        self._progress._advance(self._cost * (1 - self._reported))
        self._trained += 1
        if self._progress._bar is not None:
            self._progress._bar.set_postfix_str(_brief(logs))

    def on_train_end(self, logs=None):
        if not self._progress._interactive:
            seconds = time.perf_counter() - self._began
            epochs = f"{self._trained} epoch{'s' * (self._trained != 1)}"
            self._progress.say(
                f"{self._stage}: {epochs} in {_duration(seconds)}, {_brief(logs)}"
                f"{self._progress._time_left()}"
            )


def _brief(logs):
    return ", ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())


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
