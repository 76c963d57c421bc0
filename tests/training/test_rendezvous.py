"""Workers wait for each other, or name the missing ones: late workers, lost workers, other clusters."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from support import processes
from support.twins import wrong_twin

from tf_kit.errors import InputError, WorkerLost
from tf_kit.training import rendezvous
from tf_kit.training.cluster import Cluster


class Meeting:
    """Workers in threads that call `meet`; `outcomes` has "met" or the error of each."""

    def __init__(self, count, module=rendezvous, limit=5.0):
        self.ports = processes.free_ports(count)
        self.addresses = tuple(f"127.0.0.1:{port}" for port in self.ports)
        self.module, self.limit = module, limit
        self.outcomes, self.threads = {}, []

    def start(self, *indices, limit=None):
        for index in indices:
            self.threads.append(
                threading.Thread(target=self._meet, args=(index, limit or self.limit), daemon=True)
            )
            self.threads[-1].start()

    def _meet(self, index, limit):
        try:
            self.module.meet(Cluster(self.addresses, index), limit)
            self.outcomes[index] = "met"
        except Exception as error:
            self.outcomes[index] = error

    def wait(self):
        for thread in self.threads:
            thread.join(15)
        return self.outcomes


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
            connection.sendall(f"{module._cluster_id(first)} 1\n".encode())
        meeting.start(2)
        time.sleep(0.7)
        assert not meeting.outcomes
    meeting.start(1)
    assert meeting.wait() == dict.fromkeys(range(3), "met")


def check_foreign_connections(module):
    """A worker of another cluster and two invalid messages do not count."""
    meeting = Meeting(2, module)
    meeting.start(0)
    cluster = Cluster(meeting.addresses, 1)
    with module._listening(cluster, time.monotonic() + 5):
        time.sleep(0.5)
        with contextlib.ExitStack() as connections:
            other = module._cluster_id(Cluster(("a:1", "b:1"), 1))
            for text in (f"{other} 1\n", "PRI * HTTP/2.0\n", "1\n"):
                connections.enter_context(module._connect(cluster, 0)).sendall(text.encode())
            time.sleep(0.5)
            assert not meeting.outcomes
    meeting.start(1)
    assert meeting.wait() == {0: "met", 1: "met"}


CHECKS = (check_all_meet, check_missing, check_worker_that_reconnects, check_foreign_connections)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_meeting(check):
    check(rendezvous)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_all_meet, "while connections.keys() < set(others)", "while not connections"),
        (check_missing, "json.dumps(missing)", "json.dumps([])"),
        (check_worker_that_reconnects, "if _is_open(each)}", "if True}"),
        (check_foreign_connections, "identifier == _cluster_id(cluster) and", ""),
    ],
)
def test_wrong_twin(check, right, wrong):
    with pytest.raises((AssertionError, OSError)):
        check(wrong_twin(rendezvous, right, wrong))


def test_reports_a_missing_first_worker():
    meeting = Meeting(3, limit=1.0)
    meeting.start(1, 2)
    for index, error in meeting.wait().items():
        assert f"worker 0 ({meeting.addresses[0]}) did not come within 1 s, so worker {index}" in str(error)


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
sum = here.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(())))
print("sum", float(sum))
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
