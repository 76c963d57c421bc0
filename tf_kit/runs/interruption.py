"""Signals that ask a training to stop: Ctrl-C, SIGTERM and SIGHUP, noted first and obeyed after saving."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

# A terminal that closes sends SIGHUP, which Windows does not have.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Interruption:
    """Context in which the first of `SIGNALS` is only noted; a second one ends the process at once.

    The training asks for `received` after each piece of work, saves, and calls `deliver`, which hands the signal to
    the handler that was there before: by default Ctrl-C then raises `KeyboardInterrupt`, and SIGTERM ends the process.
    Signals that are ignored stay ignored. In other threads than the main one the context does nothing.

    Args:
        say: function that is called with one line when the first signal comes.

    Attributes:
        received: number of the signal, or None.

    Example:
        >>> try:
        ...     with Interruption(print) as interruption:
        ...         signal.raise_signal(signal.SIGINT)
        ...         print("saved")
        ... except KeyboardInterrupt:
        ...     print("interrupted")
        finishing the step and saving; another signal ends the process at once
        saved
        interrupted
    """

    def __init__(self, say: Callable[[str], Any]) -> None:
        self.received: int | None = None
        self._say = say
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._restore()
        if kind is None:
            self.deliver()

    def deliver(self) -> None:
        """Restore the handlers, and hand them the signal that was noted, if there was one."""
        self._restore()
        if self.received is not None:
            number, self.received = self.received, None
            signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        self._say("finishing the step and saving; another signal ends the process at once")

    def _restore(self):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
