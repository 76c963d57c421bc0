"""The judge's end: a zygote, and the answers that run in its forks."""

import contextlib
import dataclasses
import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tf_kit import _checks
from tf_kit.grading import confinement, exchange, warming
from tf_kit.grading.judge import Failure

START_SECONDS = 30  # until a child must be confined and say so; its answer's time runs from then
_PATIENCE_SECONDS = 60  # after which a zygote that does not report a killed child is taken for dead
_SPEAKS = "TF_KIT_ZYGOTE_SPEAKS"
_KEPT = (_SPEAKS, "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
_LONGEST_NAME, _LONGEST_WORDS = 80, 300


@dataclasses.dataclass
class Request:
    """One thing asked of a child: run an answer's code and measure it on cases.

    `code` is None where the code of the request before is to be measured again. `outputs` are filled in as `judge`
    takes them; None where the child did not get so far.
    """

    exercise: object
    code: str | None
    cases: list
    outputs: list | None = None


@dataclasses.dataclass
class Job:
    """The requests that one child answers, one after another.

    A request is sent when the one before has been answered: what a child says of the first cannot depend on the
    second. `seconds` limits each request instead of its exercise's limit, of which it may use the part `share`. `own`
    says that one answer has the child to itself. `ended` is "" or the status that the child's end means: "timeout" or
    "crashed".
    """

    requests: list[Request]
    key: object = None
    seconds: float | None = None
    share: float = 1.0
    own: bool = False
    ended: str = ""
    cpu: float = 0.0


class Children:
    """A zygote that answers jobs, up to so many at a time. Use it in a `with`.

    Args:
        lab: whose probes measure the answers.
        jobs: how many answers run at a time.

    Raises:
        ValueError: the zygote did not start; the system has no `fork`.
    """

    def __init__(self, lab, jobs):
        if not hasattr(os, "fork"):
            remedy = "check(…) in a notebook's cell works here; this does in WSL or a container"
            _checks.refuse("tf-kit lab", "run on Linux or macOS, whose processes fork", sys.platform, remedy)
        self.jobs = jobs
        self._lab = lab
        self._scratch = Path(tempfile.mkdtemp(prefix="tf-kit-"))
        kind = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, kind)
        package = Path(__file__).parents[1]
        settings = {
            "control": theirs.fileno(),
            "scratch": str(self._scratch),
            "probes": str(lab.probes_path),
            "hidden": [str(package), str(lab.folder)],
            "readable": [str(package / name) for name in ("__init__.py", "_checks.py", "data")],
        }
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1"}
        environment |= {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self._scratch), **warming.ENVIRONMENT}
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tf_kit.grading.zygote", json.dumps(settings)],
            pass_fds=[theirs.fileno()],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if _SPEAKS in os.environ else subprocess.DEVNULL,
        )
        theirs.close()
        self._watched = selectors.DefaultSelector()
        self._running = {}
        self._count = 0
        self._parts = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
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
    def parts(self):
        """What confines the children: part -> bool. Waits until the zygote is ready."""
        if self._parts is None:
            message = self._control.recv(1 << 16)
            if not message:
                _checks.refuse(
                    "grader",
                    "start a Python with TensorFlow",
                    "a process that ended at once",
                    "Try `tf-kit doctor`",
                )
            self._parts = json.loads(message)["ready"]
            self._watched.register(self._control, selectors.EVENT_READ)
        return self._parts

    @property
    def level(self):
        """ "full", "partial" or "none"."""
        return confinement.level_of(self.parts)

    @property
    def free(self):
        """How many more jobs may start."""
        return self.jobs - len(self._running)

    def start(self, job):
        """Forks a child for a job."""
        assert self.parts
        to_child, ours = os.pipe()
        from_child, theirs = os.pipe()
        self._count += 1
        limits = [job.share * (job.seconds or request.exercise.seconds) for request in job.requests]
        order = {
            "id": self._count,
            "seconds": sum(limits) + 2 * START_SECONDS,
            "memory_mb": max(request.exercise.memory_mb for request in job.requests),
        }
        socket.send_fds(self._control, [json.dumps(order).encode()], [to_child, theirs])
        os.close(to_child)
        os.close(theirs)
        self._running[self._count] = _Child(job, ours, from_child, limits, self._watched)

    def wait(self, seconds=None):
        """The jobs that have ended, after waiting for at least one of them (or so many seconds)."""
        ended, end = [], None if seconds is None else time.monotonic() + seconds
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
                    self._zygote.kill()  # it does not answer any more
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
        job = child.finish(report["late"])
        job.cpu = report["cpu"]
        return [job]


class ZygoteDied(RuntimeError):
    """The process that forks the answers is gone; the jobs it was running are in `args[0]`."""


class _Child:
    """The two pipes of a child: sends a request, reads its answer, sends the next, without waiting for either."""

    def __init__(self, job, to_child, from_child, limits, watched):
        self._job, self._to, self._from, self._limits, self._watched = (
            job,
            to_child,
            from_child,
            limits,
            watched,
        )
        self._outgoing, self._incoming = memoryview(b""), bytearray()
        self._asked, self._started, self.late = 0, False, False
        self.deadline = time.monotonic() + START_SECONDS
        for descriptor in (to_child, from_child):
            os.set_blocking(descriptor, False)
        watched.register(from_child, selectors.EVENT_READ, self._read)

    def _ask(self):
        request = self._job.requests[self._asked]
        message = exchange.pack(_request(request, self._job.requests))
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
            part = os.read(self._from, 1 << 18)
        except BlockingIOError:
            return
        if part:
            self._take(part)
        else:
            self._watched.unregister(self._from)
            os.close(self._from)
            self._from = -1

    def _take(self, part):
        """Takes in what the child wrote. What was not asked for, or is too long, is thrown away."""
        if not self._started:  # one byte: confined, and nothing of the answer has run
            self._started, part = True, part[1:]
            self._ask()
        self._incoming += part
        if self._outgoing or not self._asked or self._job.requests[self._asked - 1].outputs is not None:
            self._incoming.clear()
            return
        if len(self._incoming) < 8:
            return
        length = int.from_bytes(self._incoming[:8], "little")
        if length > exchange.LARGEST:
            self._incoming.clear()
            return
        if len(self._incoming) < 8 + length:
            return
        request = self._job.requests[self._asked - 1]
        request.outputs = outputs_of(bytes(self._incoming[8 : 8 + length]), len(request.cases))
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

    def finish(self, late=False):
        """Reads what is left in the pipe, closes it and says in the job how it ended."""
        while self._from >= 0 and not self.late:
            try:
                part = os.read(self._from, 1 << 18)
            except BlockingIOError:
                break
            if not part:
                break
            self._take(part)
        self.close()
        if any(request.outputs is None for request in self._job.requests):
            self._job.ended = "timeout" if late or self.late else "crashed"
        return self._job


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


def may_share(one, other):
    """Whether answers to two exercises may run in one child: neither may open what the other forbids."""
    return set(one.kit) == set(other.kit) and not any(
        name == forbidden or name.startswith(forbidden + ".")
        for a, b in ((one, other), (other, one))
        for name in set(a.opens) - set(b.opens)
        for forbidden in b.forbids
    )


def outputs_of(message, count):
    """The outputs that a child sent for its cases, or None if they are not to be read as such."""
    if message is None:
        return None
    try:
        tree = exchange.unpack(message)
    except exchange.Forged:
        return None
    if not isinstance(tree, list) or len(tree) != count:
        return None
    outputs = []
    for each in tree:
        if not isinstance(each, dict):
            return None
        if isinstance(each.get("failure"), list) and len(each["failure"]) == 4:
            kind, message, line, text = each["failure"]
            line = line if isinstance(line, int) else None
            outputs.append(
                Failure(
                    str(kind)[:_LONGEST_NAME], str(message)[:_LONGEST_WORDS], line, str(text)[:_LONGEST_WORDS]
                )
            )
        elif isinstance(each.get("arrays"), dict) and all(
            hasattr(array, "dtype") for array in each["arrays"].values()
        ):
            outputs.append(each["arrays"])
        else:
            return None
    return outputs
