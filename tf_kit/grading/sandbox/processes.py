"""The judge's side of the sandbox: a zygote, the jobs it runs in its forks, and the pipes to them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tf_kit.checks import refuse
from tf_kit.grading.sandbox import confinement, messages, zygote
from tf_kit.grading.sandbox.prohibitions import FOUNDATION

if TYPE_CHECKING:
    import numpy as np

    from tf_kit.grading.exercise import Exercise
    from tf_kit.grading.judge import Failure
    from tf_kit.grading.labs import Lab

START_SECONDS = 30  # for a child to be confined and report it; the time of its answer starts after that
_PATIENCE_SECONDS = 60  # after which a zygote that does not report a killed child is considered dead
PIPE_BYTES = 1 << 20
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")


@dataclasses.dataclass
class Request:
    """One task for a child: run an answer's code and measure it on cases.

    Args:
        exercise: the exercise that the code answers.
        code: the code; None measures that of the previous request again.
        cases: the cases to measure it on.
        outputs: filled in with arrays or a `Failure` for each case; None if the child ended before it reported them.
    """

    exercise: Exercise
    code: str | None
    cases: list[dict[str, Any]]
    outputs: list[dict[str, np.ndarray] | Failure] | None = None


@dataclasses.dataclass
class Job:
    """Requests that one child handles, one after another.

    A request is sent after the child has reported on the previous one, so the report on the first cannot depend on
    the second.

    Args:
        requests: the requests.
        key: anything by which the caller recognizes the job.
        seconds: time limit of each request. Defaults to that of its exercise.
        share: fraction of the limit that a request may use.
        own: whether the child runs one answer only.
        ended: filled in with "timeout", "memory" or "crashed" if the child did not report on every request.
        cpu: filled in with the processor time of the child, in seconds.
    """

    requests: list[Request]
    key: Any = None
    seconds: float | None = None
    share: float = 1.0
    own: bool = False
    ended: str = ""
    cpu: float = 0.0


class Children:
    """A zygote and the children that it forks for jobs. Use it as a context manager.

    Args:
        lab: the lab whose probes measure the answers.
        jobs: number of jobs that may run at once.

    Raises:
        InputError: the system has no `fork`. The zygote itself is checked when `parts` is first read.
    """

    def __init__(self, lab: Lab, jobs: int):
        if not hasattr(os, "fork"):
            remedy = "Run it in WSL or a container; check(…) in a notebook cell works on this system too"
            refuse("tf-kit lab", "run on Linux or macOS, where a process can fork", sys.platform, remedy)
        self.jobs = jobs
        self._lab = lab
        self._scratch = Path(tempfile.mkdtemp(prefix="tf-kit-"))
        kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, kind)
        shown = zygote.SHOW_OUTPUT in os.environ
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", zygote.__name__, json.dumps(self._settings(lab, theirs.fileno()))],
            pass_fds=[theirs.fileno()],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if shown else subprocess.DEVNULL,
        )
        theirs.close()
        self._watched = selectors.DefaultSelector()
        self._running: dict[int, _Child] = {}
        self._count = 0
        self._parts: dict[str, bool] = {}
        self._memory = ""

    def _settings(self, lab, control):
        package = Path(__file__).parents[2]
        paths = [package / name for name in ("data", *FOUNDATION)]
        return {
            "control": control,
            "scratch": str(self._scratch),
            "probes": str(lab.probes_path),
            "forbids": sorted({name for exercise in lab.exercises.values() for name in exercise.forbids}),
            "common": common_prohibitions(list(lab.exercises.values())),
            "hidden": [str(package), str(lab.folder)],
            "readable": [
                str(package / "__init__.py"),
                *(str(path if path.is_dir() else path.with_suffix(".py")) for path in paths),
            ],
        }

    def _environment(self):
        environment = {name: os.environ[name] for name in (zygote.SHOW_OUTPUT, *_KEPT) if name in os.environ}
        return {
            **environment,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "MPLBACKEND": "agg",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self._scratch),
            **zygote.ENVIRONMENT,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._control.close()
        for child in self._running.values():
            child.close()
        try:
            self._zygote.wait(5)
        except subprocess.TimeoutExpired:
            self._zygote.kill()
            self._zygote.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def parts(self) -> dict[str, bool]:
        """Whether each part of the confinement is in force. Waits until the zygote is ready.

        Raises:
            InputError: the zygote did not start.
        """
        if not self._parts:
            message = self._control.recv(1 << 16)
            if not message:
                refuse(
                    "tf-kit lab",
                    "be able to start a process with TensorFlow",
                    "a process that ended at once",
                    "Run `tf-kit doctor` to check the installation",
                )
            report = json.loads(message)
            self._parts, self._memory = report["ready"], report["memory"]
            self._watched.register(self._control, selectors.EVENT_READ)
        return self._parts

    @property
    def starting(self) -> bool:
        """Whether the zygote is not ready yet."""
        return not self._parts and not select.select([self._control], [], [], 0)[0]

    @property
    def level(self) -> str:
        """Level of confinement: "full", "partial" or "none"."""
        return confinement.level_of(self.parts)

    @property
    def memory(self) -> str:
        """How the memory of an answer is limited: one of the kinds of `memory.Wall`."""
        assert self.parts
        return self._memory

    @property
    def free(self) -> int:
        """Number of further jobs that may start now."""
        return self.jobs - len(self._running)

    def start(self, job: Job) -> None:
        """Fork a child for a job."""
        assert self.parts
        to_child, ours = os.pipe()
        from_child, theirs = os.pipe()
        _widen(from_child)
        self._count += 1
        limits = [job.share * (job.seconds or request.exercise.seconds) for request in job.requests]
        order = {
            "id": self._count,
            "seconds": sum(limits) + 2 * START_SECONDS,
            "memory_mb": min(request.exercise.memory_mb for request in job.requests),
            "load": [name for name in zygote.LATE if any(name in (r.code or "") for r in job.requests)],
        }
        socket.send_fds(self._control, [json.dumps(order).encode()], [to_child, theirs])
        os.close(to_child)
        os.close(theirs)
        self._running[self._count] = _Child(job, ours, from_child, limits, self._watched)

    def wait(self, seconds: float | None = None) -> list[Job]:
        """Wait until a job ends, or for at most `seconds`, and return the jobs that have ended.

        Raises:
            ZygoteDied: the zygote ended before its jobs.
        """
        ended: list[Job] = []
        end = None if seconds is None else time.monotonic() + seconds
        while self._running and not ended:
            deadlines = [child.deadline for child in self._running.values()] + ([end] if end else [])
            ready = self._watched.select(max(0.0, min(deadlines) - time.monotonic()))
            for key, _ in ready:
                if key.fileobj is self._control:
                    ended += self._ended()
                elif key.fileobj in self._watched.get_map():
                    key.data()
            now = time.monotonic()
            for id, child in self._running.items():
                if now >= child.deadline and child.late:
                    self._zygote.kill()  # it no longer responds
                elif now >= child.deadline:
                    child.late, child.deadline = True, now + _PATIENCE_SECONDS
                    self._control.send(json.dumps({"kill": id}).encode())
            if end is not None and now >= end:
                break
        return ended

    def _ended(self):
        message = self._control.recv(1 << 16)
        if not message:
            jobs = [child.finish() for child in self._running.values()]
            self._running.clear()
            raise ZygoteDied(jobs)
        report = json.loads(message)
        child = self._running.pop(report["id"], None)
        if child is None:
            return []
        job = child.finish(report["ended"])
        job.cpu = report["cpu"]
        return [job]


class ZygoteDied(RuntimeError):
    """The zygote ended before its jobs, which are in `args[0]`."""


class _Child:
    """The two pipes of a child: sends a request, reads the outputs, sends the next request, and never blocks."""

    def __init__(self, job, to_child, from_child, limits, watched):
        self._job, self._limits, self._watched = job, limits, watched
        self._to, self._from = to_child, from_child
        self._outgoing, self._incoming = memoryview(b""), bytearray()
        self._asked, self._started, self.late = 0, False, False
        self.deadline = time.monotonic() + START_SECONDS
        for descriptor in (to_child, from_child):
            os.set_blocking(descriptor, False)
        watched.register(from_child, selectors.EVENT_READ, self._read)

    def _ask(self):
        request = self._job.requests[self._asked]
        message = messages.pack(_request(request, self._job.requests))
        self._outgoing = memoryview(len(message).to_bytes(8, "little") + message)
        self.deadline = time.monotonic() + self._limits[self._asked]
        self._asked += 1
        self._watched.register(self._to, selectors.EVENT_WRITE, self._write)

    def _write(self):
        try:
            self._outgoing = self._outgoing[os.write(self._to, self._outgoing[: 1 << 16]) :]
        except BlockingIOError:
            return
        except OSError:  # the child is gone or has closed its end
            self._outgoing = memoryview(b"")
        if not self._outgoing:
            self._watched.unregister(self._to)
            if self._asked == len(self._job.requests):
                os.close(self._to)
                self._to = -1

    def _read(self):
        try:
            part = os.read(self._from, PIPE_BYTES)
        except BlockingIOError:
            return
        if part:
            self._take(part)
        else:
            self._watched.unregister(self._from)
            os.close(self._from)
            self._from = -1

    def _take(self, part):
        """Read outputs from the bytes that the child wrote. Bytes out of turn, or too many, are discarded."""
        if not self._started:  # the first byte: the child is confined and has not run any of the answer
            self._started, part = True, part[1:]
            self._ask()
        self._incoming += part
        if self._outgoing or not self._asked or self._job.requests[self._asked - 1].outputs is not None:
            self._incoming.clear()
            return
        if len(self._incoming) < 8:
            return
        length = int.from_bytes(self._incoming[:8], "little")
        if length > messages.LARGEST:
            self._incoming.clear()
            return
        if len(self._incoming) < 8 + length:
            return
        request = self._job.requests[self._asked - 1]
        request.outputs = messages.outputs_of(
            bytes(memoryview(self._incoming)[8 : 8 + length]), len(request.cases)
        )
        self._incoming.clear()
        if request.outputs is not None and self._asked < len(self._job.requests):
            self._ask()

    def close(self):
        for descriptor in (self._to, self._from):
            if descriptor >= 0:
                with contextlib.suppress(KeyError):
                    self._watched.unregister(descriptor)
                os.close(descriptor)
        self._to = self._from = -1

    def finish(self, ended=""):
        """Read the rest of the pipe, close it, and note in the job how the child ended."""
        while self._from >= 0 and not self.late:
            try:
                part = os.read(self._from, PIPE_BYTES)
            except BlockingIOError:
                break
            if not part:
                break
            self._take(part)
        self.close()
        if any(request.outputs is None for request in self._job.requests):
            late = self.late or ended == "late"
            self._job.ended = "memory" if ended == "memory" else "timeout" if late else "crashed"
        return self._job


def _widen(pipe):
    """Let a pipe hold most outputs, so that a child writes them at once and the judge wakes up once. Linux only."""
    import fcntl

    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _request(request, all_requests):
    exercises = [each.exercise for each in all_requests]
    return {
        "code": request.code,
        "cases": request.cases,
        "probe": request.exercise.id,
        "bases": request.exercise.bases,
        "forbids": sorted({name for exercise in exercises for name in exercise.forbids}),
        "allows": sorted({name for exercise in exercises for name in exercise.opens}),
        "kit": sorted({name for exercise in exercises for name in exercise.kit}),
    }


def common_prohibitions(exercises: Sequence[Exercise]) -> list[str]:
    """List the names that all exercises forbid, and of whose library none allows anything."""
    opened = {_library(name) for exercise in exercises for name in exercise.opens}
    common = set.intersection(*(set(exercise.forbids) for exercise in exercises))
    return sorted(name for name in common if _library(name) not in opened)


def _library(name):
    library = name.split(".")[0]
    return {"tf": "tensorflow"}.get(library, library)


def may_share(one: Exercise, other: Exercise) -> bool:
    """Whether one child may run the answers to both exercises: neither allows a name that the other forbids."""
    return set(one.kit) == set(other.kit) and not any(
        name == forbidden or name.startswith(forbidden + ".")
        for a, b in ((one, other), (other, one))
        for name in set(a.opens) - set(b.opens)
        for forbidden in b.forbids
    )
