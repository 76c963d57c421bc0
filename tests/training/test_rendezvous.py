"""Workers wait for each other, or name the missing ones: late workers, lost workers, other clusters."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest
from support import processes
from support.twins import wrong_twin

from tf_kit.errors import InputError, WorkerLost
from tf_kit.training import agreement, rendezvous
from tf_kit.training.cluster import Cluster


class Meeting:
    """Workers in threads that call `meet`; `outcomes` has "met" or the error of each."""

    def __init__(self, count, module=rendezvous, limit=5.0, configurations=None):
        self.ports = processes.free_ports(count)
        self.addresses = tuple(f"127.0.0.1:{port}" for port in self.ports)
        self.module, self.limit = module, limit
        self.configurations = configurations or {}
        self.outcomes, self.threads = {}, []

    def start(self, *indices, limit=None):
        for index in indices:
            self.threads.append(
                threading.Thread(target=self._meet, args=(index, limit or self.limit), daemon=True)
            )
            self.threads[-1].start()

    def _meet(self, index, limit):
        try:
            self.module.meet(Cluster(self.addresses, index), limit, self.configurations.get(index))
            self.outcomes[index] = "met"
        except Exception as error:
            self.outcomes[index] = error

    def wait(self):
        for thread in self.threads:
            thread.join(15)
        return self.outcomes


def report(module, cluster, index, **configuration):
    mark = module._cluster_id(cluster)
    return f"{json.dumps({'mark': mark, 'index': index, 'configuration': configuration})}\n".encode()


def check_all_meet(module):
    meeting = Meeting(4, module)
    meeting.start(3, 1)
    time.sleep(0.5)
    assert not meeting.outcomes, "the others are late"
    meeting.start(2)
    time.sleep(0.5)
    assert not meeting.outcomes
    meeting.start(0)
    assert meeting.wait() == dict.fromkeys(range(4), "met")
    for port in meeting.ports:  # the addresses are free for TensorFlow
        with socket.create_server(("127.0.0.1", port)):
            pass


def check_missing(module):
    """The first worker tells the others at its limit, and they do not wait until their own."""
    meeting = Meeting(3, module, limit=30)
    third = Cluster(meeting.addresses, 2)
    with module._listening(third, time.monotonic() + 1):  # its address is open, but it does not report
        meeting.start(1)
        meeting.start(0, limit=1)
        meeting.wait()
    for index in (0, 1):
        error = meeting.outcomes[index]
        assert isinstance(error, WorkerLost), error
        assert f"worker 2 ({meeting.addresses[2]}) did not come within" in str(error)
        assert f"so worker {index} stops too" in str(error)


def check_worker_that_reconnects(module):
    """A closed connection does not count; the same worker may report again."""
    meeting = Meeting(3, module)
    meeting.start(0)
    first = Cluster(meeting.addresses, 1)
    time.sleep(0.3)
    with module._listening(first, time.monotonic() + 5):
        with module._connect(first, 0) as connection:
            connection.sendall(report(module, first, 1))
        meeting.start(2)
        time.sleep(0.7)
        assert not meeting.outcomes
    meeting.start(1)
    assert meeting.wait() == dict.fromkeys(range(3), "met")


def check_foreign_connections(module):
    """Workers of another cluster and of another step at the same addresses, and invalid messages, do not count."""
    meeting = Meeting(2, module)
    meeting.start(0)
    cluster = Cluster(meeting.addresses, 1)
    with module._listening(cluster, time.monotonic() + 5):
        time.sleep(0.5)
        with contextlib.ExitStack() as connections:
            others = Cluster(("a:1", "b:1"), 1), Cluster(meeting.addresses, 1, "another step")
            reports = [report(module, other, 1) for other in others]
            for text in (
                *reports,
                b"PRI * HTTP/2.0\n",
                b"1\n",
                b"{}\n",
                b"\xff\n",
                report(module, cluster, 7),
            ):
                connections.enter_context(module._connect(cluster, 0)).sendall(text)
            time.sleep(0.5)
            assert not meeting.outcomes
    meeting.start(1)
    assert meeting.wait() == {0: "met", 1: "met"}


def check_slow_strangers(module):
    """Programs that send nothing, or one byte at a time, neither count nor delay the workers."""
    meeting = Meeting(3, module, limit=1e9)
    meeting.start(0)
    cluster = Cluster(meeting.addresses, 1)
    with contextlib.ExitStack() as connections:
        time.sleep(0.3)
        silent, slow = (connections.enter_context(module._connect(cluster, 0)) for _ in range(2))
        ended = threading.Event()

        def drip():
            with contextlib.suppress(OSError):
                while not ended.wait(0.1):
                    slow.sendall(b"x")

        threading.Thread(target=drip, daemon=True).start()
        time.sleep(0.3)
        began = time.monotonic()
        meeting.start(1, 2)
        for thread in meeting.threads:
            thread.join(4)
        ended.set()
        assert meeting.outcomes == dict.fromkeys(range(3), "met")
        assert time.monotonic() - began < 4
        assert silent.fileno() > 0


CHECKS = (
    check_all_meet,
    check_missing,
    check_worker_that_reconnects,
    check_foreign_connections,
    check_slow_strangers,
)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_meeting(check):
    check(rendezvous)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_all_meet, "while reported.keys() < set(others)", "while not reported"),
        (check_missing, "json.dumps([missing, difference])", "json.dumps([[], difference])"),
        (check_worker_that_reconnects, "return bool(piece) and", "return True or"),
        (check_foreign_connections, 'report["mark"] == _cluster_id(cluster) and', ""),
        (check_foreign_connections, "(cluster.workers, cluster.mark)", "(cluster.workers)"),
        (
            check_slow_strangers,
            "piece = self.connection.recv(1 << 16)",
            "self.connection.setblocking(True); piece = self.connection.makefile('rb').readline()",
        ),
    ],
)
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, OSError)):
        check(wrong_twin(rendezvous, right, wrong))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"units": [8]},
            r"`units` must be the same on worker 2 as on worker 0. Received: units=\[8\], not \[9\]",
        ),
        ({"units": [9], "seed": 1}, "Received: seed=1, not None"),
        ({}, r"Received: units=None, not \[9\]"),
    ],
)
def test_first_difference_is_reported_by_all_workers(other, message):
    meeting = Meeting(3, configurations={0: {"units": [9]}, 1: {"units": (9,)}, 2: other})
    meeting.start(0, 1, 2)
    outcomes = meeting.wait()
    assert len({str(each) for each in outcomes.values()}) == 1
    for outcome in outcomes.values():
        assert isinstance(outcome, InputError)
        assert re.search(message, str(outcome))


def test_versions_are_compared(monkeypatch):
    """Of the packages here, and of those that the report of another machine names."""
    meeting = Meeting(2)
    cluster = Cluster(meeting.addresses, 1)
    meeting.start(0)
    versions = {**agreement.versions(), "keras": "2.0"}
    with rendezvous._listening(cluster, time.monotonic() + 5):
        time.sleep(0.3)
        with rendezvous._connect(cluster, 0) as connection:
            connection.sendall(report(rendezvous, cluster, 1, version=versions))
            missing, (index, (name, *_)) = json.loads(rendezvous._line(connection, time.monotonic() + 5))
    assert (missing, index, name) == ([], 1, "version.keras")
    assert "keras='2.0', not '3" in str(meeting.wait()[0])


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_limits_that_are_no_finite_time_are_refused(limit):
    with pytest.raises(InputError, match=r"meet\.limit_seconds"):
        rendezvous.meet(Cluster(("a:1", "b:1"), 0), limit)


def test_answer_that_never_ends_is_given_up():
    """The address of the first worker may belong to a program that sends one byte after another."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.sendall(b"x")
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            rendezvous._line(reader, began + 0.3)
        assert time.monotonic() - began < 1


@pytest.mark.slow
def test_reports_a_missing_first_worker():
    meeting = Meeting(3, limit=1.0)
    meeting.start(1, 2)
    for index, error in meeting.wait().items():
        assert f"worker 0 ({meeting.addresses[0]}) did not come within 1 s, so worker {index}" in str(error)


@pytest.mark.slow
def test_waits_for_a_port_in_use_and_then_refuses_it():
    meeting = Meeting(2, limit=1.0)
    with socket.create_server(("", meeting.ports[0])):
        meeting.start(0)
        assert isinstance(meeting.wait()[0], InputError)
        assert meeting.addresses[0] in str(meeting.outcomes[0])
        assert "port that it may open" in str(meeting.outcomes[0])
        meeting.start(0, 1, limit=8)
        time.sleep(0.5)
    assert meeting.wait() == {0: "met", 1: "met"}


def test_limit_from_the_environment(monkeypatch):
    monkeypatch.delenv(rendezvous.LIMIT, raising=False)
    assert rendezvous._limit() == 300
    monkeypatch.setenv(rendezvous.LIMIT, "7.5")
    assert rendezvous._limit() == 7.5
    for wrong in ("soon", "0", "-1", "inf"):
        monkeypatch.setenv(rendezvous.LIMIT, wrong)
        with pytest.raises(InputError, match=f"seconds above 0. Received: '{wrong}'"):
            rendezvous._limit()


PROGRAM = """
from tf_kit.scaling import strategy
import tensorflow as tf
for _ in range(2):
    here = strategy("multiworker")

@tf.function  # as a training; TensorFlow's eager sum hangs once in a while on busy cores
def summed():
    return here.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(())))

print("sum", float(summed()))
"""


def start(addresses, index, **environment):
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    environment = os.environ | environment | {"TF_CONFIG": json.dumps(config)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, **pipes)


@pytest.mark.slow
def test_processes_stop_at_the_limit_and_meet_if_one_is_late():
    addresses = [f"127.0.0.1:{port}" for port in processes.free_ports(2)]
    alone = start(addresses, 1, **{rendezvous.LIMIT: "1"})
    _, errors = alone.communicate(timeout=60)
    assert alone.returncode == 1
    line = errors.strip().splitlines()[-1]
    assert f"worker 0 ({addresses[0]}) did not come within 1 s, so worker 1 stops too" in line

    workers = [start(addresses, 1)]
    time.sleep(2)
    workers.append(start(addresses, 0))
    for worker in workers:
        output, errors = worker.communicate(timeout=100)
        assert "sum 2.0" in output, errors[-2000:]
