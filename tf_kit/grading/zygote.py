"""The process that imports TensorFlow once and forks a child for every answer.

    python -m tf_kit.grading.zygote '<settings as JSON>'

It runs no operation, so it has no threads that a fork would lose; it reads no job, so nothing of one student's is in
the memory that another's child inherits. Over the socket it is told to fork and with which limits, and handed the two
pipes between child and judge; it answers how the child ended.
"""

import contextlib
import gc
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback

from tf_kit.grading import confinement

SPEAKS = "TF_KIT_ZYGOTE_SPEAKS"  # set it to see what goes wrong here


def main(settings):
    """Serves until the judge closes the socket."""
    gc.disable()  # what is loaded stays: to look for garbage in it takes a quarter of the time
    namespaces = confinement.separate()
    control = socket.socket(fileno=settings["control"])
    hush()
    import keras
    import numpy
    import tensorflow

    del keras, numpy, tensorflow
    from tf_kit.grading import child, closing, seeding, warming

    walls = confinement.Walls(settings["scratch"], namespaces, settings["hidden"], settings["readable"])
    probes = _load(settings["probes"])
    warming.warm()
    seeding.watch()
    closing.forget()
    gc.freeze()  # the collector would write to every page that the children share
    gc.enable()
    control.send(json.dumps({"ready": walls.parts}).encode())
    _serve(control, lambda order, pipes: child.answer(order, pipes, walls, probes), walls.clear)
    os._exit(0)


def _serve(control, answer, clear):
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running = {}
    watched = selectors.DefaultSelector()
    watched.register(control, selectors.EVENT_READ)
    watched.register(woken, selectors.EVENT_READ)
    while True:
        next_end = min((deadline for _, deadline, _ in running.values()), default=None)
        ready = watched.select(None if next_end is None else max(0.0, next_end - time.monotonic()))
        for key, _ in ready:
            if key.fileobj is woken:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
                continue
            message, pipes, _, _ = socket.recv_fds(control, 1 << 16, 8)
            if not message:
                _end(running)
                return
            order = json.loads(message)
            if "kill" in order:
                for pid in [pid for pid, (id, _, _) in running.items() if id == order["kill"]]:
                    os.kill(pid, signal.SIGKILL)
                continue
            pid = os.fork()
            if pid == 0:
                _become_child(control, woken, wake, watched, answer, order, pipes)
            for pipe in pipes:
                os.close(pipe)
            running[pid] = (order["id"], time.monotonic() + order["seconds"], False)
        _reap(control, running, clear)


def _become_child(control, woken, wake, watched, answer, order, pipes):
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        watched.close()
        for end in (control, woken, wake):
            end.close()
        answer(order, pipes)
    except BaseException:
        traceback.print_exc()  # to nowhere, unless a developer asks
        os._exit(70)
    finally:
        os._exit(0)


def _reap(control, running, clear):
    now = time.monotonic()
    for pid, (id, deadline, late) in list(running.items()):
        if now >= deadline and not late:
            os.kill(pid, signal.SIGKILL)
            running[pid] = (id, float("inf"), True)
    while running:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in running:
            id, _, late = running.pop(pid)
            clear(pid)
            code = os.waitstatus_to_exitcode(status)
            ended = {"id": id, "code": code, "late": late, "cpu": usage.ru_utime + usage.ru_stime}
            control.send(json.dumps(ended).encode())


def _end(running):
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def hush():
    """Standard input, output and error lead nowhere: what an answer prints is nobody's result."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if not os.environ.get(SPEAKS):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _load(path):
    spec = importlib.util.spec_from_file_location("probes", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
