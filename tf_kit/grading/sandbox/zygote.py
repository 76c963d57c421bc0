"""The process that imports TensorFlow once and forks a child for each job.

    python -m tf_kit.grading.sandbox.zygote '<settings as JSON>'

It runs no operation, so it has no threads that a fork would lose. It never sees a job, so the memory that a child
inherits holds nothing of another student. Over a socket it receives orders to fork, each with limits and the two pipes
between child and judge, and reports how each child ended.
"""

import builtins
import contextlib
import dataclasses
import functools
import gc
import importlib
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
import types
import typing
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from tf_kit import lean_keras
from tf_kit.grading.sandbox import confinement, memory

SHOW_OUTPUT = "TF_KIT_ZYGOTE_OUTPUT"  # environment variable by which a developer keeps output and tracebacks
ENVIRONMENT = {  # oneDNN rewrites graphs, for which it searches all registered kernels for each new one
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


# The libraries that Keras loads without need: name -> module to load once an answer names the library.
LATE = {
    "IPython": "IPython.display",
    "matplotlib": "matplotlib.pyplot",
    "scipy": "scipy.stats",
    "sklearn": "sklearn.base",
}


def main(settings: dict[str, Any]) -> None:
    """Serve until the judge closes the socket.

    Args:
        settings: "control", the descriptor of the socket; "scratch", an empty folder; "probes", the file of the lab's
            probes; "forbids", all names that an exercise of the lab forbids; "common", those that every exercise
            forbids, which are closed before the forks; "hidden" and "readable", as for `confinement.Walls`.
    """
    gc.disable()  # nothing loaded here becomes garbage, and collecting takes a quarter of the time of the imports
    namespaces = confinement.separate()
    wall = memory.Wall()  # tried with forks, which are small as long as nothing is imported
    control = socket.socket(fileno=settings["control"])
    _discard_output()
    late = _late(settings["forbids"], settings["common"])
    with lean_keras.hidden(late):
        importlib.import_module("keras")
        importlib.import_module("tensorflow")
    from tf_kit.grading.sandbox import child, doors, operations, prohibitions, seeds

    for name in settings["forbids"]:
        if name.split(".")[0] in LATE and name not in late:
            prohibitions.found(LATE.get(name, name))
    doors.index(settings["forbids"])
    operations.pattern_of(settings["forbids"])  # compiled once: the forks find it in the cache of `re`
    operations.engines()
    hidden = [*settings["hidden"], *doors.sources(settings["forbids"]), *doors.copies()]
    hidden += [folder for name in late & set(settings["common"]) for folder in _folders(name)]
    late -= set(settings["common"])
    walls = confinement.Walls(settings["scratch"], namespaces, hidden, settings["readable"])
    probes = _load(settings["probes"])
    _fill_registries()
    seeds.watch()
    # of a whole library this takes longer than most answers, and a fork copies each page that it writes to
    closed = set(settings["common"]) - prohibitions.close_in_memory(settings["common"], ())
    if settings["forbids"]:
        prohibitions.close_copies()
    prohibitions.forget()
    gc.freeze()  # a collection would write to every page that the children share
    gc.enable()
    wall.forks = not walls.parts["seccomp"]
    wall.adopt()
    wall.inherit()
    control.send(json.dumps({"ready": walls.parts, "memory": wall.kind}).encode())

    def answer(order, pipes):
        child.serve(order, pipes, walls, probes, closed)

    def load(names):
        for name in late.intersection(names):
            late.remove(name)
            with contextlib.suppress(ImportError):
                importlib.import_module(LATE[name])
            doors.index(settings["forbids"])
            operations.engines()
            gc.freeze()

    _serve(control, answer, load, walls, wall)
    os._exit(0)


def _late(forbids, common):
    """Find the libraries of `LATE` that need not be loaded at the start.

    One that some exercises forbid must be loaded, to be closed for them in memory; of one that is forbidden in part,
    that part. One that all exercises forbid is never loaded, and its files are hidden.
    """
    return {name for name in LATE if name not in forbids or name in common}


def _folders(library):
    spec = importlib.util.find_spec(library)
    return spec.submodule_search_locations or [] if spec else []


@dataclasses.dataclass
class _Fork:
    """A child that runs: its job, its end at the latest, its memory, and why it was ended."""

    id: int
    deadline: float
    tree: memory.Tree
    ended: str = ""

    def end(self, why):
        self.ended, self.deadline = self.ended or why, float("inf")
        self.tree.kill()


def _serve(control, answer, load, walls, wall):
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, _Fork] = {}
    watched = selectors.DefaultSelector()
    watched.register(control, selectors.EVENT_READ)
    watched.register(woken, selectors.EVENT_READ)
    while True:
        ready = watched.select(_pause(running, wall))
        for key, _ in ready:
            if key.fileobj is woken:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
                continue
            message, pipes, _, _ = socket.recv_fds(control, 1 << 16, 8)
            if not message:
                for fork in running.values():
                    fork.tree.kill()
                return
            order = json.loads(message)
            if "kill" in order:
                for fork in [fork for fork in running.values() if fork.id == order["kill"]]:
                    fork.tree.kill()
                continue
            load(order["load"])
            go, held = os.pipe()  # the child waits until its memory is limited
            pid = os.fork()
            if pid == 0:
                os.close(held)
                os.read(go, 1)
                _become_child((control, woken, wake, watched), answer, order, [*pipes, go])
            tree = _limited(wall, pid, order["memory_mb"])
            for pipe in (*pipes, go, held):
                os.close(pipe)
            running[pid] = _Fork(order["id"], time.monotonic() + order["seconds"], tree)
        _look(running, wall)
        _reap(control, running, walls.clear)


def _limited(wall, pid, memory_mb):
    """Limit the memory of a child, or end it if that fails."""
    try:
        return wall.tree(pid, memory_mb)
    except OSError:
        tree = memory.Tree(pid)
        tree.kill()
        return tree


def _pause(running, wall):
    """Seconds until something must be looked at, or None."""
    if not running:
        return None
    left = min(fork.deadline for fork in running.values()) - time.monotonic()
    return max(0.0, min(left, memory.EVERY_SECONDS if wall.kind == memory.WATCH else left))


def _look(running, wall):
    """End the children that have had their time or taken too much memory, and what answers left running."""
    now = time.monotonic()
    for fork in running.values():
        if now >= fork.deadline:
            fork.end("late")
        elif not fork.ended and fork.tree.over():
            fork.end("memory")
    wall.end_orphans(running)


def _become_child(ends, answer, order, pipes):
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in ends:
            end.close()
        os.close(pipes.pop())
        answer(order, pipes)
    except BaseException:
        traceback.print_exc()  # discarded unless SHOW_OUTPUT is set
        os._exit(70)
    finally:
        os._exit(0)


def _reap(control, running, clear):
    while running:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid in running:
            fork = running.pop(pid)
            if not fork.ended and fork.tree.over():  # the kernel has ended it
                fork.ended = "memory"
            fork.tree.close()
            clear(pid)
            code = os.waitstatus_to_exitcode(status)
            cpu = usage.ru_utime + usage.ru_stime
            control.send(json.dumps({"id": fork.id, "code": code, "ended": fork.ended, "cpu": cpu}).encode())


def _discard_output():
    """Connect standard input, output and error to nothing: results come through the pipes only."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        if not os.environ.get(SHOW_OUTPUT):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _fill_registries():
    """Do once, before the forks, some work that TensorFlow would do in every child.

    An answer runs a few dozen small operations, whose kernels take longer to create than to run. None of this starts
    a thread, which a fork would lose.
    """
    from tensorflow import config
    from tensorflow.python.framework import kernels, op_def_registry

    config.list_physical_devices()
    op_def_registry.get("VarHandleOp")
    op_def_registry.get("none of this name")  # the first that is missing has all operations written down
    kernels.get_registered_kernels_for_op("VarHandleOp")
    with contextlib.suppress(ImportError, AttributeError, TypeError):  # another TensorFlow may differ
        _share_kernels_of_variables()
        _know_types()
        _remember_protocols()
        _register_compilation()


def _register_compilation():
    """Let TensorFlow list the kernels of XLA, which it asks about each operation, even if nothing is compiled."""
    from tensorflow.python.util import pywrap_xla_ops

    pywrap_xla_ops.get_cpu_kernel_names()


def _remember_protocols():
    """Let Python remember the names in a protocol. Up to 3.11 it collects them at each `isinstance`."""
    if sys.version_info < (3, 12):
        module: Any = typing
        module._get_protocol_attrs = functools.cache(module._get_protocol_attrs)


def _share_kernels_of_variables():
    """Let all variables of one shape and dtype share a kernel: leave out their names, for which each has its own."""
    from tensorflow.python.ops import gen_resource_variable_ops as operations

    made = operations.var_handle_op

    def var_handle_op(*arguments, debug_name="", **options):
        return made(*arguments, **options)

    operations.var_handle_op = var_handle_op


def _know_types():
    """Let Python look up once which values are composite tensors, mappings and the like; it remembers the answers."""
    from tensorflow.python.framework import composite_tensor, ops, type_spec
    from tensorflow.python.ops import resource_variable_ops, variables
    from tensorflow.python.types import core, trace
    from tensorflow.python.util import custom_nest_protocol

    tensors = (ops.EagerTensor, ops.SymbolicTensor, core.Tensor, resource_variable_ops.ResourceVariable)
    kinds = (type(None), int, float, str, list, tuple, dict, types.FunctionType, np.ndarray, *tensors)
    for abstract in (
        *(composite_tensor.CompositeTensor, type_spec.TypeSpec, variables.Variable, trace.TraceType),
        *(core.TensorProtocol, custom_nest_protocol.CustomNestProtocol, Mapping, MutableMapping),
    ):
        for kind in kinds:
            issubclass(kind, abstract)


def _load(path):
    """Load the probes with private names, so that an answer that replaces `np.mean` or `len` fools only itself."""
    spec = importlib.util.spec_from_file_location("probes", path)
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__builtins__"] = dict(vars(builtins))
    spec.loader.exec_module(module)
    for name, value in list(vars(module).items()):
        if isinstance(value, types.ModuleType) and value.__name__ in _PRIVATE:
            setattr(module, name, _copied(value))
    return module


_PRIVATE = ("numpy", "numpy.random", "random", "keras.ops", "keras.api.ops")


def _copied(module):
    """Copy the names of a module, and of the private modules in it."""
    return types.SimpleNamespace(
        **{
            name: _copied(value)
            if isinstance(value, types.ModuleType) and value.__name__ in _PRIVATE
            else value
            for name, value in vars(module).items()
        }
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
