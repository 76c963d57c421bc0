"""The process of one answer, or of a few: confine it, read requests, run the code, measure it.

The judge sends a request after the outputs of the previous one have arrived. So an answer's outputs for the visible
cases, with the messages of its exceptions, leave the process before the hidden cases enter it.
"""

import os
from collections.abc import Collection
from types import ModuleType
from typing import Any, NoReturn

from tf_kit.grading.judge import Failure
from tf_kit.grading.sandbox import messages, prohibitions, seeds
from tf_kit.grading.sandbox.confinement import Walls
from tf_kit.grading.sandbox.measurement import execute, failure, measure


def serve(
    order: dict[str, Any],
    pipes: tuple[int, int],
    walls: Walls,
    probes: ModuleType,
    shut: Collection[str] = (),
) -> NoReturn:
    """Handle requests until the judge closes the pipe, then end the process.

    Args:
        order: "seconds" and "memory_mb", the limits for all requests together.
        pipes: descriptors to read requests from and to write outputs to.
        walls: confinement of this process.
        probes: the lab's probes.
        shut: forbidden names that were closed before this process was forked.
    """
    incoming, outgoing = pipes
    walls.confine(order["seconds"], order["memory_mb"])
    send, receive, pack, unpack = messages.send, messages.receive, messages.pack, messages.unpack
    closed, namespace, code = False, None, ""
    os.write(outgoing, b"1")  # the time of the answer starts here
    while message := receive(incoming):
        request = unpack(message)
        if not closed:
            prohibitions.close(request["forbids"], request["allows"], request["kit"], shut)
            closed = True
        if request["code"] is not None:
            code = request["code"]
            seeds.seed(code)
            namespace = execute(code, keep=True)
            if not isinstance(namespace, Failure):
                namespace = _with_allowed_bases(namespace, request["bases"])
        probe = getattr(probes, request["probe"])
        send(outgoing, pack(_outcomes(probe, namespace, request["cases"], code)))
    os._exit(0)


def _with_allowed_bases(namespace, bases):
    """Return the namespace, or a `Failure` if a class in it derives from a class that is not allowed."""
    for name, base in bases.items():
        try:
            thing = namespace[name]
            if not prohibitions.derives(thing, base):
                raise TypeError(f"`{name}` must derive from {base}")
            found = prohibitions.foreign_bases(thing, base)
            if found:
                raise prohibitions.NotAllowed(
                    f"`{name}` derives from {found[0]}; it must derive from {base} alone"
                )
        except Exception as error:
            return failure(error)
    return namespace


def _outcomes(probe, namespace, cases, code):
    outcomes = []
    for case in cases:
        seeds.seed(code)
        outcome = namespace if isinstance(namespace, Failure) else measure(probe, namespace, case, code)
        if isinstance(outcome, Failure):
            outcome = {"failure": [outcome.kind, outcome.message, outcome.line, outcome.text]}
        else:
            outcome = {"arrays": outcome}
        outcomes.append(outcome)
    return outcomes
