"""Meeting of all workers before TensorFlow starts, which would wait forever for a worker that never comes.

    1. Each worker listens at its own address and waits until it can connect to all the others.
    2. It then reports its configuration to the first worker and keeps that connection open.
    3. When all have reported, the first worker compares the configurations and lets them continue, or sends them the
       first difference; after the limit it sends them the list of the missing ones.

A worker that stops and comes again before (3) is counted once. Other programs that connect to an address, or that an
earlier run has left there, are not mistaken for workers, and however slowly they send, nobody waits for them.
"""

import contextlib
import dataclasses
import errno
import json
import os
import selectors
import socket
import time
import zlib
from collections.abc import Mapping
from typing import Any

from tf_kit.checks import number, refuse
from tf_kit.errors import WorkerLost
from tf_kit.training import agreement
from tf_kit.training.cluster import Cluster

LIMIT = "TF_KIT_WAIT_SECONDS"  # environment variable

_PAUSE = 0.2  # seconds between two attempts
_ANSWER = 2  # seconds that a machine may take to answer
_PATIENCE = 10  # seconds that a report may take
_LONGEST = 1 << 20  # bytes of a report


def meet(
    cluster: Cluster, limit_seconds: float | None = None, configuration: Mapping[str, Any] | None = None
) -> None:
    """Wait until all workers of a cluster have called this function with the same configuration.

    Args:
        cluster: the `Cluster`, with the same addresses on all workers.
        limit_seconds: longest time to wait for the others. Defaults to None: the environment variable
            TF_KIT_WAIT_SECONDS, or 300 if it is not set.
        configuration: JSON values that must be the same on all workers. Defaults to None. The versions of the kit, of
            Keras and of TensorFlow are always compared.

    Raises:
        WorkerLost: on all workers present, if others have not come within the limit.
        InputError: on all workers, if a configuration differs; or the address of this worker cannot be opened, or the
            limit is not a finite number above 0.
    """
    limit = _limit() if limit_seconds is None else number("meet.limit_seconds", limit_seconds, above=0)
    deadline = time.monotonic() + limit
    own = agreement.plain({"version": agreement.versions(), **(configuration or {})})
    others = [index for index in range(len(cluster.workers)) if index != cluster.index]
    with _listening(cluster, deadline) as listener:
        missing, difference = _unreachable(cluster, others, deadline), None  # 1.
        if not missing and cluster.index == 0:
            missing, difference = _gather(listener, cluster, own, others, deadline)
        elif not missing:
            missing, difference = _report(cluster, own, limit, deadline)
    if missing:
        names = [f"worker {index} ({cluster.workers[index]})" for index in missing]
        raise WorkerLost(
            f"{' and '.join(names)} did not come within {limit:g} s, so worker {cluster.index} stops too. Start all "
            "workers with the same list of workers, and check that their machines can reach each other's ports; "
            f"{LIMIT}=600 waits ten minutes"
        )
    if difference is not None:
        agreement.refuse_difference(*difference)


def _limit():
    text = os.environ.get(LIMIT, "").strip() or "300"
    try:
        return number(LIMIT, float(text), above=0)
    except ValueError:
        refuse(LIMIT, "be a number of seconds above 0", repr(text))


@contextlib.contextmanager
def _listening(cluster, deadline):
    """Listen at the address of this worker, as soon as no other process uses it."""
    own = cluster.workers[cluster.index]
    backlog = 128 + len(cluster.workers)  # connections of step 1 are never accepted
    while True:
        try:
            listener = _server(_parts(own)[1], backlog)
            break
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                remedy = "End the process that uses the port, or name another port on all workers"
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


def _unreachable(cluster, others, deadline):
    """Return the workers to whose addresses no connection could be opened."""
    unreachable = list(others)
    while True:
        for index in list(unreachable):
            with contextlib.suppress(OSError), _connect(cluster, index):
                unreachable.remove(index)
        if not unreachable or time.monotonic() > deadline:
            return unreachable
        time.sleep(_PAUSE)


def _report(cluster, configuration, limit, deadline):
    """Do steps 2 and 3 on all workers but the first; return the missing workers and the difference."""
    report = {"mark": _cluster_id(cluster), "index": cluster.index, "configuration": configuration}
    while True:
        with contextlib.suppress(OSError, ValueError), _connect(cluster, 0) as connection:
            connection.sendall(f"{json.dumps(report)}\n".encode())
            # The first worker may have started its limit later.
            missing, difference = json.loads(_line(connection, time.monotonic() + limit + _ANSWER))
            return missing, difference
        if time.monotonic() > deadline:
            return [0], None
        time.sleep(_PAUSE)


@dataclasses.dataclass(eq=False)
class _Caller:
    """Connection to the first worker, and everything that has been read from it."""

    connection: socket.socket
    since: float = dataclasses.field(default_factory=time.monotonic)
    text: bytes = b""
    index: int | None = None  # of the worker that has reported here
    configuration: Any = None

    def read(self, cluster, others):
        """Read what has come; return whether the connection is of use: open, and that of a worker or not yet known."""
        try:
            piece = self.connection.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if self.index is None:
            self.text += piece
            if self.text.endswith(b"\n"):
                self._understand(cluster, others)
                return self.index is not None
        return bool(piece) and len(self.text) < _LONGEST

    def _understand(self, cluster, others):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            report = json.loads(self.text)
            if (
                report["mark"] == _cluster_id(cluster) and report["index"] in others
            ):  # else of another cluster
                self.index, self.configuration = report["index"], report["configuration"]


def _gather(listener, cluster, configuration, others, deadline):
    """Do steps 2 and 3 on the first worker; return the missing workers and the difference."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        reported = {}
        while reported.keys() < set(others) and time.monotonic() < deadline:
            for key, _ in selector.select(_PAUSE):
                if key.fileobj is listener:
                    _accept(listener, selector, stack)
                elif not key.data.read(cluster, others):
                    _drop(selector, key.fileobj)
            callers = [key.data for key in selector.get_map().values() if key.data is not None]
            reported = {caller.index: caller for caller in callers if caller.index is not None}
            for caller in callers:
                if caller.index is None and time.monotonic() > caller.since + _PATIENCE:
                    _drop(selector, caller.connection)
        missing = sorted(set(others) - reported.keys())
        configurations = [configuration, *(reported[index].configuration for index in sorted(reported))]
        difference = None if missing else agreement.differing_worker(configurations)
        for caller in reported.values():
            with contextlib.suppress(OSError):
                caller.connection.setblocking(True)
                caller.connection.settimeout(_ANSWER)
                caller.connection.sendall(f"{json.dumps([missing, difference])}\n".encode())
        return missing, difference


def _accept(listener, selector, stack):
    with contextlib.suppress(OSError):
        connection = stack.enter_context(listener.accept()[0])
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ, _Caller(connection))


def _drop(selector, connection):
    selector.unregister(connection)
    connection.close()


def _cluster_id(cluster):
    return f"tf_kit-{zlib.crc32(repr((cluster.workers, cluster.mark)).encode()):x}"


def _connect(cluster, index):
    return socket.create_connection(_parts(cluster.workers[index]), timeout=_ANSWER)


def _parts(address):
    """Split an address into host and port.

    >>> _parts("a:1"), _parts("[::1]:2")
    (('a', 1), ('::1', 2))
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _line(connection, deadline):
    """Read a line of text; raise OSError or ValueError if there is none at the deadline, or the other side closes."""
    text = b""
    while not text.endswith(b"\n"):
        remaining = deadline - time.monotonic()
        if remaining <= 0 or len(text) > _LONGEST:
            raise TimeoutError
        connection.settimeout(min(remaining, 1))  # no system waits for any number of seconds
        with contextlib.suppress(TimeoutError):
            piece = connection.recv(1 << 16)
            if not piece:
                raise ConnectionError
            text += piece
    return text.decode()
