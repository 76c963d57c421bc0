"""Answers in a process of their own: confine, read what is asked, run the code, measure it.

Requests come one at a time, each after the one before has been answered. So what an answer says of its visible cases,
exceptions' words included, is said before the hidden ones are in its memory.
"""

import os

from tf_kit.grading import closing, exchange, seeding
from tf_kit.grading.judge import Failure
from tf_kit.grading.probing import execute, failure, measure


def answer(order, pipes, walls, probes):
    """Answers requests until the judge closes the pipe.

    Args:
        order: "seconds" and "memory_mb", for everything that is asked.
        pipes: descriptors: from the judge, to the judge.
        walls: the `confinement.Walls`.
        probes: the module of the lab's probes.
    """
    incoming, outgoing = pipes
    walls.confine(order["seconds"], order["memory_mb"])
    send, receive, pack, unpack = exchange.send, exchange.receive, exchange.pack, exchange.unpack
    closed, namespace = False, None
    os.write(outgoing, b"1")  # the answer's time begins
    while message := receive(incoming):
        asked = unpack(message)
        if not closed:
            closing.close(asked["forbids"], asked["allows"], asked["kit"])
            closed = True
        if asked["code"] is not None:
            seeding.seed(asked["code"])
            namespace = execute(asked["code"])
            if not isinstance(namespace, Failure):
                namespace = _derived(namespace, asked["bases"])
        probe = getattr(probes, asked["probe"])
        send(outgoing, pack(_outcomes(probe, namespace, asked["cases"], asked["code"] or "")))
    os._exit(0)


def _derived(namespace, bases):
    """The namespace, or a `Failure` if a class derives from what it may not derive from."""
    for name, base in bases.items():
        try:
            thing = namespace[name]
            if not closing.derives(thing, base):
                raise TypeError(f"`{name}` must derive from {base}")
            found = closing.strangers(thing, base)
            if found:
                raise closing.NotAllowed(
                    f"`{name}` derives from {found[0]}; it must derive from {base} alone"
                )
        except Exception as error:
            return failure(error)
    return namespace


def _outcomes(probe, namespace, cases, code):
    outcomes = []
    for case in cases:
        seeding.seed(code)
        outcome = namespace if isinstance(namespace, Failure) else measure(probe, namespace, case, code)
        if isinstance(outcome, Failure):
            outcome = {
                "failure": [outcome.kind, outcome.message, outcome.line, outcome.text],
            }
        else:
            outcome = {"arrays": outcome}
        outcomes.append(outcome)
    return outcomes
