"""Evaluation of candidates, in this process or in several."""

import concurrent.futures
import contextlib
import copy
import math
import multiprocessing
import pickle
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tf_kit.checks import choice, count, refuse
from tf_kit.design.search.results import Results, Trial


def try_all(
    evaluate: Callable[[dict], float], candidates: Iterable[dict], processes: int = 1, goal: str = "min"
) -> Results:
    """Evaluate every candidate.

    A trial that raises, returns NaN or kills its process is recorded with its error, and the search continues.

    Args:
        evaluate: function of a candidate that trains and returns one number, such as the validation error.
        candidates: candidates from `grid` or `random`, or any dictionaries.
        processes: number of candidates to evaluate at the same time, each in a separate process; `evaluate`
            must then be a function of a module. 1 evaluates in this process. Defaults to 1.
        goal: "min" if a small score is good, "max" if a large one is. Defaults to "min".

    Returns:
        `Results`.

    Raises:
        ValueError: there are no candidates, `goal` has another value, or `evaluate` cannot be sent to another process.

    Example:
        >>> from tf_kit.design import grid, try_all
        >>> results = try_all(lambda c: abs(c["x"] - 3), grid({"x": [1, 2, 4, 7]}))
        >>> [trial.candidate["x"] for trial in results]
        [2, 4, 1, 7]

    Reference: Bergstra, Bengio, 2012, section 2.
    """
    choice("try_all.goal", goal, ("min", "max"))
    candidates = checked_candidates("try_all", candidates)
    with evaluator("try_all", evaluate, processes) as run:
        return Results(run([(candidate, None) for candidate in candidates]), goal)


def checked_candidates(subject: str, candidates: Iterable[dict]) -> list[dict]:
    """Return the candidates as a list, or raise `InputError` if they are not dictionaries, at least one."""
    candidates = list(candidates)
    if not candidates or not all(isinstance(each, Mapping) for each in candidates):
        received = "none" if not candidates else f"{candidates[0]!r}, …"
        remedy = "grid() and random() make them"
        refuse(f"{subject}.candidates", "be dictionaries, at least one", received, remedy)
    return candidates


def attempt(evaluate: Callable[..., float], candidate: dict, budget: float | None = None) -> Trial:
    """Evaluate one candidate; an exception becomes the error of the trial, but an exit or Ctrl-C passes."""
    start = time.perf_counter()
    try:
        given = copy.deepcopy(candidate)  # `evaluate` may take values out of it
        score, error = _score_of(evaluate(given) if budget is None else evaluate(given, budget))
    except Exception as raised:
        score, error = math.nan, _one_line(raised)
    return Trial(candidate, score, budget, time.perf_counter() - start, error)


def _score_of(returned):
    """Return the score, and what is wrong with it."""
    try:
        score = float(returned)
    except (TypeError, ValueError):
        return math.nan, f"returned {_shortened(returned)}, not one number"
    return score, "returned nan" if math.isnan(score) else ""


def _shortened(value):
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}…"


def _one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())


Job = tuple[dict, float | None]  # candidate, budget


@contextlib.contextmanager
def evaluator(
    subject: str, evaluate: Callable[..., float], processes: int
) -> Iterator[Callable[[list[Job]], list[Trial]]]:
    """Context with a function from jobs to trials in the same order; its processes end with the context."""
    if count(f"{subject}.processes", processes) == 1:
        yield lambda jobs: [attempt(evaluate, *job) for job in jobs]
        return
    requirement = "be importable by other processes"
    remedy = "Define evaluate in a .py file and import it, or use processes=1"
    interactive = not hasattr(sys.modules["__main__"], "__file__")
    if getattr(evaluate, "__module__", "") == "__main__" and interactive:
        refuse(f"{subject}.evaluate", requirement, f"{evaluate!r} of a notebook", remedy)
    try:
        pickle.dumps(evaluate)
    except Exception as error:
        refuse(f"{subject}.evaluate", requirement, _one_line(error), remedy)
    workers = Workers(evaluate, processes)
    try:
        yield workers.run
    finally:
        workers.close()


class Workers:
    """Processes that are kept from round to round, so that each imports TensorFlow only once.

    Args:
        evaluate: picklable function of a candidate, or of a candidate and a budget.
        processes: number of processes.
    """

    def __init__(self, evaluate: Callable[..., float], processes: int) -> None:
        self.evaluate = evaluate
        self.processes = processes
        self.executor: Any = None

    def run(self, jobs: list[Job]) -> list[Trial]:
        """Evaluate all jobs and return their trials in the same order."""
        trials: dict[int, Trial] = {}
        waiting = list(range(len(jobs)))
        while waiting:
            broken = self._round(jobs, waiting, trials)
            # A trial killed its process, which ends the whole round. That trial is among the first ones without
            # a result, because those were running; each of them is tried again alone.
            for job in broken[: self.processes]:
                if self._round(jobs, [job], trials):
                    died = "its process died (a script needs `if __name__ == '__main__':`)"
                    trials[job] = Trial(jobs[job][0], math.nan, jobs[job][1], error=died)
            waiting = broken[self.processes :]
        return [trials[job] for job in range(len(jobs))]

    def _round(self, jobs, waiting, trials):
        """Fill in `trials` and return the jobs that have no trial because a process died."""
        if self.executor is None:
            spawn = multiprocessing.get_context("spawn")  # a fork of a process with TensorFlow in it may hang
            self.executor = concurrent.futures.ProcessPoolExecutor(self.processes, mp_context=spawn)
        futures, broken = {}, []
        for job in waiting:
            try:
                futures[job] = self.executor.submit(attempt, self.evaluate, *jobs[job])
            except BrokenProcessPool:
                broken.append(job)
        for job, future in futures.items():
            try:
                trials[job] = future.result()
            except BrokenProcessPool:
                broken.append(job)
            except Exception as error:  # the candidate cannot be sent
                trials[job] = Trial(jobs[job][0], math.nan, jobs[job][1], error=_one_line(error))
        if broken:
            self.close()
        return sorted(broken)

    def close(self) -> None:
        """End the processes."""
        if self.executor is not None:
            self.executor.shutdown(cancel_futures=True)
            self.executor = None
