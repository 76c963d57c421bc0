"""Meeting of all workers before TensorFlow starts, which would wait forever for a worker that never comes.

    1. Each worker listens at its own address and waits until it can connect to all the others.
    2. It then reports to the first worker and keeps that connection open.
    3. When all have reported, the first worker lets them continue; after the limit it sends them the list of the
       missing ones.

A worker that stops and comes again before (3) is counted once, and whatever an earlier run has left at an address is
not mistaken for a worker.
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
from tf_kit.training.cluster import Cluster

LIMIT = "TF_KIT_WAIT_SECONDS"  # environment variable

_PAUSE = 0.2  # seconds between two attempts
_ANSWER = 2  # seconds that a machine may take to answer


def meet(cluster: Cluster, limit_seconds: float | None = None) -> None:
    """Wait until all workers of a cluster have called this function.

    Args:
        cluster: the `Cluster`, with the same addresses on all workers.
        limit_seconds: longest time to wait for the others. Defaults to None: the environment variable
            TF_KIT_WAIT_SECONDS, or 300 if it is not set.

    Raises:
        WorkerLost: on all workers present, if others have not come within the limit.
        InputError: the address of this worker cannot be opened, or the limit is not a number above 0.
    """
    limit = _limit() if limit_seconds is None else limit_seconds
    deadline = time.monotonic() + limit
    others = [index for index in range(len(cluster.workers)) if index != cluster.index]
    with _listening(cluster, deadline) as listener:
        missing = _unreachable(cluster, others, deadline)  # 1.
        if not missing and cluster.index == 0:
            missing = _gather(listener, cluster, others, deadline)
        elif not missing:
            missing = _report(cluster, limit, deadline)
    if missing:
        names = [f"worker {index} ({cluster.workers[index]})" for index in missing]
        raise WorkerLost(
            f"{' and '.join(names)} did not come within {limit:g} s, so worker {cluster.index} stops too. Start all "
            "workers with the same list of workers, and check that their machines can reach each other's ports; "
            f"{LIMIT}=600 waits ten minutes"
        )


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


def _report(cluster, limit, deadline):
    """Do steps 2 and 3 on all workers but the first; return the missing workers."""
    while True:
        with contextlib.suppress(OSError, ValueError), _connect(cluster, 0) as connection:
            connection.sendall(f"{_cluster_id(cluster)} {cluster.index}\n".encode())
            connection.settimeout(limit + _ANSWER)  # the first worker may have started its limit later
            return json.loads(_read(connection))
        if time.monotonic() > deadline:
            return [0]
        time.sleep(_PAUSE)


def _gather(listener, cluster, others, deadline):
    """Do steps 2 and 3 on the first worker; return the missing workers."""
    connections = {}
    try:
        while connections.keys() < set(others) and time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                connection, _ = listener.accept()
                connection.settimeout(_ANSWER)
                identifier, index = _read(connection).split()
                if identifier == _cluster_id(cluster) and int(index) in others:  # else of another cluster
                    connections[int(index)] = connection
            connections = {index: each for index, each in connections.items() if _is_open(each)}
        missing = sorted(set(others) - connections.keys())
        for connection in connections.values():
            with contextlib.suppress(OSError):
                connection.sendall(f"{json.dumps(missing)}\n".encode())
        return missing
    finally:
        for connection in connections.values():
            connection.close()


def _cluster_id(cluster):
    return f"tf_kit-{zlib.crc32(repr(cluster.workers).encode()):x}"


def _connect(cluster, index):
    return socket.create_connection(_parts(cluster.workers[index]), timeout=_ANSWER)


def _parts(address):
    """Split an address into host and port.

    >>> _parts("a:1"), _parts("[::1]:2")
    (('a', 1), ('::1', 2))
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _read(connection):
    """Read a short line of text; return an empty one if the other side has closed the connection."""
    text = b""
    while not text.endswith(b"\n") and len(text) < 1 << 16:
        piece = connection.recv(4096)
        if not piece:
            return ""
        text += piece
    return text.decode()


def _is_open(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(_ANSWER)
