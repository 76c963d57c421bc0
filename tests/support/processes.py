"""Files of the tests that run in a process of their own, as TensorFlow bears one set of devices in each."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def start(file, *arguments):
    """A process that runs a Python file with the kit and the tests on its path."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(TESTS.parent), str(TESTS)))}
    program = [sys.executable, str(file), *map(str, arguments)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(program, env=environment, **pipes)


def finish(process, timeout=300):
    """Waits for the end of a process, which must be a good one; what it said is shown otherwise."""
    _, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors[-3000:]


def free_ports(count):
    """So many ports of this machine that nobody has."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


@contextlib.contextmanager
def running(file, *arguments):
    """Runs a Python file beside what the `with` block does, and has ended with it."""
    process = start(file, *arguments)
    try:
        yield
        finish(process)
    finally:
        process.kill()
