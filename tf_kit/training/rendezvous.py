"""Where all workers meet before TensorFlow starts, which waits for those that never come without end.

    1. Each worker listens at its own address and knocks at all the others'.
    2. It then tells the first worker that it is here, and keeps the line.
    3. When all are on the line, the first one lets them go; after the limit it tells them who is missing.

A worker that stops and comes again before (3) is counted once, and what an earlier run has left at an address is not
taken for a worker.
"""

import contextlib
import errno
import json
import os
import socket
import time
import zlib

from tf_kit.checks import number, refuse
from tf_kit.errors import WorkerLost

LIMIT = "TF_KIT_WAIT_SECONDS"  # variable of the environment

_PAUSE = 0.2  # seconds
_ANSWER = 2  # seconds that a machine may take to answer


def meet(cluster, limit_seconds=None):
    """Returns when all workers of `cluster` have called it.

    Args:
        cluster: `Cluster`.
        limit_seconds: how long to wait for the others. Defaults to the variable TF_KIT_WAIT_SECONDS of the
            environment; without it, to 300.

    Raises:
        WorkerLost: for workers that have not come within the limit; on all that have.
        InputError: for an own address that cannot be listened at, for a limit that is no number above 0.
    """
    limit = _limit() if limit_seconds is None else limit_seconds
    ends = time.monotonic() + limit
    others = [index for index in range(len(cluster.workers)) if index != cluster.index]
    with _listening(cluster, ends) as listener:
        missing = _silent(cluster, others, ends)  # 1.
        if not missing and cluster.index == 0:
            missing = _gather(listener, cluster, others, ends)
        elif not missing:
            missing = _report(cluster, limit, ends)
    if missing:
        names = [f"worker {index} ({cluster.workers[index]})" for index in missing]
        raise WorkerLost(
            f"{' and '.join(names)} did not come within {limit:g} s, so worker {cluster.index} stops too. Start all "
            "workers, each with the same list of workers, and see that their machines reach each other's ports; "
            f"{LIMIT}=600 waits ten minutes"
        )


def _limit():
    text = os.environ.get(LIMIT, "").strip() or "300"
    try:
        return number(LIMIT, float(text), above=0)
    except ValueError:
        refuse(LIMIT, "be a number of seconds above 0", repr(text))


@contextlib.contextmanager
def _listening(cluster, ends):
    """A socket at the own address, when whatever had it before is gone."""
    own = cluster.workers[cluster.index]
    backlog = 128 + len(cluster.workers)  # knocks are not answered
    while True:
        try:
            listener = _server(_parts(own)[1], backlog)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > ends:
                remedy = "End the process that has the port, or name another port on all workers"
                refuse("TF_CONFIG", "give this worker a port that it may open", f"{own}: {error}", remedy)
            time.sleep(_PAUSE)
    with listener:
        listener.settimeout(_PAUSE)
        yield listener


def _server(port, backlog):
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True
            )
    return socket.create_server(("", port), backlog=backlog)


def _silent(cluster, others, ends):
    """The workers at whose address nobody has opened."""
    silent = list(others)
    while True:
        for index in list(silent):
            with contextlib.suppress(OSError), _call(cluster, index):
                silent.remove(index)
        if not silent or time.monotonic() > ends:
            return silent
        time.sleep(_PAUSE)


def _report(cluster, limit, ends):
    """2. and 3. for all but the first: who is missing in the end."""
    while True:
        with contextlib.suppress(OSError, ValueError), _call(cluster, 0) as line:
            line.sendall(f"{_mark(cluster)} {cluster.index}\n".encode())
            line.settimeout(limit + _ANSWER)  # the first worker's limit ends later if it has come later
            return json.loads(_read(line))
        if time.monotonic() > ends:
            return [0]
        time.sleep(_PAUSE)


def _gather(listener, cluster, others, ends):
    """2. and 3. for the first: who is missing in the end."""
    lines = {}
    try:
        while lines.keys() < set(others) and time.monotonic() < ends:
            with contextlib.suppress(OSError, ValueError):
                line, _ = listener.accept()
                line.settimeout(_ANSWER)
                mark, index = _read(line).split()
                if mark == _mark(cluster) and int(index) in others:  # else of another cluster
                    lines[int(index)] = line
            lines = {index: line for index, line in lines.items() if _is_open(line)}
        missing = sorted(set(others) - lines.keys())
        for line in lines.values():
            with contextlib.suppress(OSError):
                line.sendall(f"{json.dumps(missing)}\n".encode())
        return missing
    finally:
        for line in lines.values():
            line.close()


def _mark(cluster):
    return f"tf_kit-{zlib.crc32(repr(cluster.workers).encode()):x}"


def _call(cluster, index):
    return socket.create_connection(_parts(cluster.workers[index]), timeout=_ANSWER)


def _parts(address):
    """
    >>> _parts("a:1"), _parts("[::1]:2")
    (('a', 1), ('::1', 2))
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _read(line):
    """A short line of text, or nothing from one who has hung up."""
    text = b""
    while not text.endswith(b"\n") and len(text) < 1 << 16:
        piece = line.recv(4096)
        if not piece:
            return ""
        text += piece
    return text.decode()


def _is_open(line):
    line.setblocking(False)
    try:
        return line.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        line.settimeout(_ANSWER)
