"""Search: which hyper-parameters, how many layers, how many units (topic 14).

A *space* names each hyper-parameter and its values; `grid` and `random` make candidates of it, plain
dictionaries; `try_all` evaluates candidates, `successive_halving` gives long training only to those that do
well in short training, and `grow` follows the lecture's recipe for the shape of a network. All three return
`Results`: the trials, best first, with all that was tried.

What is evaluated is a function of the user's own: candidate in, one number out, such as the error on the
validation set (never on the test set).

Reference: Bergstra, Bengio, 2012, Random search for hyper-parameter optimization; Jamieson, Talwalkar, 2016,
Non-stochastic best arm identification and hyperparameter optimization, algorithm 1 (successive halving).
"""

import concurrent.futures
import contextlib
import csv
import dataclasses
import itertools
import math
import multiprocessing
import pickle
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from tf_kit.checks import choice, count, number, refuse


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Any number in [low, high], each as likely: a dropout rate, a momentum.

    Example:
        >>> import numpy as np
        >>> 0.2 <= Uniform(0.2, 0.5).rvs(np.random.default_rng(0)) <= 0.5
        True
    """

    low: float
    high: float

    def __post_init__(self):
        number("Uniform.high", self.high, above=number("Uniform.low", self.low))

    def rvs(self, random_state):
        """One draw from a NumPy generator, as SciPy's distributions have it."""
        return float(random_state.uniform(self.low, self.high))


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Any number in [low, high], each *order of magnitude* as likely: a learning rate, a weight decay.

        v = exp(u),   u uniform in [ln low, ln high]                     (1)

    So half the draws from [1e-4, 1] lie below 1e-2; of uniform draws one in a hundred would.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> draws = [LogUniform(1e-4, 1.0).rvs(rng) for _ in range(1000)]
        >>> 450 < sum(value < 1e-2 for value in draws) < 550
        True
    """

    low: float
    high: float

    def __post_init__(self):
        low = number("LogUniform.low", self.low, above=0, remedy="Uniform takes 0 and negative numbers")
        number("LogUniform.high", self.high, above=low)

    def rvs(self, random_state):
        """One draw from a NumPy generator, as SciPy's distributions have it."""
        value = math.exp(random_state.uniform(math.log(self.low), math.log(self.high)))  # (1)
        return min(max(value, self.low), self.high)


@dataclasses.dataclass(frozen=True)
class IntUniform:
    """Any whole number from low to high, both included, each as likely: a number of layers.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> sorted({IntUniform(1, 3).rvs(rng) for _ in range(50)})
        [1, 2, 3]
    """

    low: int
    high: int

    def __post_init__(self):
        low = count("IntUniform.low", self.low, at_least=-(2**63))
        count("IntUniform.high", self.high, at_least=low + 1)

    def rvs(self, random_state):
        """One draw from a NumPy generator, as SciPy's distributions have it."""
        return int(random_state.integers(self.low, self.high, endpoint=True))


def grid(space: Mapping[str, Sequence]) -> list[dict]:
    """Every combination of the values of a space: grid search.

    For few hyper-parameters with few values each; the number of candidates is the product of their numbers.
    The last name varies fastest.

    Args:
        space: name to list of values.

    Returns:
        A list of candidates, {name: value}.

    Raises:
        ValueError: when `space` is empty or holds anything but non-empty lists.

    Example:
        >>> from tf_kit.design import grid
        >>> grid({"units": [10, 20], "rate": [0.0, 0.5]})[:3]
        [{'units': 10, 'rate': 0.0}, {'units': 10, 'rate': 0.5}, {'units': 20, 'rate': 0.0}]

    Reference: Bergstra, Bengio, 2012, section 1.
    """
    space = _space("grid", space)
    for name, values in space.items():
        if not _is_list(values):
            refuse(
                "grid.space",
                "list the values of each name",
                f"{name}={values!r}",
                "random() draws from ranges",
            )
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def random(space: Mapping[str, object], n: int, seed: int = 0) -> list[dict]:
    """Candidates drawn at random from a space: randomized search.

    Better than a grid of as many candidates when only some of the hyper-parameters matter, as is usual: each
    trial tries a new value of all of them, while a grid tries the few values of the important one again and
    again. The first candidates of a larger `n` are those of a smaller one, so a search can be continued.

    Args:
        space: name to list of values, or to a range: `Uniform`, `LogUniform`, `IntUniform`, or any object
            with `rvs(random_state)`, such as SciPy's distributions. A space of lists alone is finite; from it
            no candidate is drawn twice.
        n: number of candidates, at least 1.
        seed: a whole number that fixes the draws. Defaults to 0.

    Returns:
        A list of n candidates, {name: value}.

    Raises:
        ValueError: when `space` is empty or holds something to draw from that is none of the above, or
            `n` exceeds a finite space.

    Example:
        >>> from tf_kit.design import LogUniform, random
        >>> space = {"learning_rate": LogUniform(1e-4, 1e-1), "activation": ["tanh", "relu"]}
        >>> candidates = random(space, 5, seed=1)
        >>> all(1e-4 <= each["learning_rate"] <= 1e-1 for each in candidates)
        True
        >>> candidates[:2] == random(space, 2, seed=1)
        True

    Reference: Bergstra, Bengio, 2012, section 2.
    """
    space = _space("random", space)
    n = count("random.n", n)
    rng = np.random.default_rng(count("random.seed", seed, at_least=0))
    if all(_is_list(values) for values in space.values()):
        sizes = [len(values) for values in space.values()]
        if n > math.prod(sizes):
            refuse(
                "random.n", f"be at most {math.prod(sizes)}, all that there is", f"n={n}", "Use grid(space)"
            )
        chosen = rng.permutation(math.prod(sizes))[:n]
        return [
            {name: space[name][i] for name, i in zip(space, indices, strict=True)}
            for indices in zip(*np.unravel_index(chosen, sizes), strict=True)
        ]
    return [{name: _draw(name, values, rng) for name, values in space.items()} for _ in range(n)]


def _draw(name, values, rng):
    if _is_list(values):
        return values[int(rng.integers(len(values)))]
    if not hasattr(values, "rvs"):
        refuse(
            "random.space", "map names to lists or ranges", f"{name}={values!r}", "Give LogUniform(low, high)"
        )
    return values.rvs(random_state=rng)


def _is_list(values):
    return isinstance(values, Sequence) and not isinstance(values, str)


def _space(subject, space):
    if not isinstance(space, Mapping) or not space:
        refuse(f"{subject}.space", "map each name to its values", f"space={space!r}")
    for name, values in space.items():
        if isinstance(values, np.ndarray):
            space = {**space, name: values.tolist()}
        elif _is_list(values) and not values:
            refuse(f"{subject}.space", "give each name at least one value", f"{name}={values!r}")
    return dict(space)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One evaluation: what was tried, for how long, and what came of it.

    Attributes:
        candidate: the hyper-parameters.
        score: what `evaluate` returned; NaN where it failed.
        budget: what it was allowed, or None.
        seconds: how long it took.
        error: "" or the exception, as one line.
    """

    candidate: dict
    score: float
    budget: float | None = None
    seconds: float = 0.0
    error: str = ""


class Results:
    """The outcome of a search: a sequence of `Trial`s, best first, failed ones last; a table by `str`.

    Trials of a larger budget stand before those of a smaller one, because their scores are worth more; equal
    scores keep the order in which they were tried.

    Args:
        history: the trials in the order in which they were tried.
        goal: "min" when a small score is good, "max" when a large one is.

    Example:
        >>> from tf_kit.design import Results, Trial
        >>> results = Results([Trial({"units": 5}, 0.2), Trial({"units": 9}, 0.1)])
        >>> results.best.candidate
        {'units': 9}
        >>> print(results)
        score  units
          0.1      9
          0.2      5
    """

    def __init__(self, history: Iterable[Trial], goal: str = "min"):
        self.goal = choice("Results.goal", goal, ("min", "max"))
        self.history = tuple(history)
        sign = 1 if goal == "min" else -1

        def rank(trial):
            failed = math.isnan(trial.score)
            return failed, -(trial.budget or 0), 0 if failed else sign * trial.score

        self.trials = tuple(sorted(self.history, key=rank))

    @property
    def best(self) -> Trial:
        """The best trial; `ValueError` when none succeeded."""
        if not self.trials or math.isnan(self.trials[0].score):
            errors = sorted({trial.error or "score nan" for trial in self.history})
            refuse(
                "Results.best", "have a trial that succeeded", f"{len(self.history)} failed trials: {errors}"
            )
        return self.trials[0]

    def __len__(self):
        return len(self.trials)

    def __getitem__(self, index):
        return self.trials[index]

    def rows(self):
        """The trials, best first, as dictionaries with the hyper-parameters beside score, budget, error."""
        used = {"budget": lambda trial: trial.budget is not None, "error": lambda trial: trial.error}
        kept = [name for name, is_used in used.items() if any(map(is_used, self.trials))]
        return [
            {"score": trial.score, **{name: getattr(trial, name) for name in kept}, **trial.candidate}
            for trial in self.trials
        ]

    def to_csv(self, path):
        """Write the table, one trial a line, best first."""
        rows = self.rows()
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _names(rows))
            writer.writeheader()
            writer.writerows(rows)

    def __str__(self):
        rows = self.rows()
        names = _names(rows)
        cells = [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(map(str.rjust, line, widths)).rstrip() for line in cells)


def _names(rows):
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def try_all(
    evaluate: Callable[[dict], float], candidates: Iterable[dict], processes: int = 1, goal: str = "min"
) -> Results:
    """Evaluate every candidate.

    A trial that raises, returns NaN or kills its process is recorded with its error, and the search goes on.

    Args:
        evaluate: function of a candidate that trains and returns one number, such as the validation error.
        candidates: from `grid` or `random`, or any dictionaries.
        processes: how many candidates are evaluated at a time, each in a process of its own; `evaluate` must
            then be a function of a module. 1 evaluates in this process. Defaults to 1.
        goal: "min" when a small score is good, "max" when a large one is. Defaults to "min".

    Returns:
        `Results`.

    Raises:
        ValueError: when there are no candidates, or `evaluate` cannot be sent to another process.

    Example:
        >>> from tf_kit.design import grid, try_all
        >>> results = try_all(lambda c: abs(c["x"] - 3), grid({"x": [1, 2, 4, 7]}))
        >>> [trial.candidate["x"] for trial in results]
        [2, 4, 1, 7]

    Reference: Bergstra, Bengio, 2012, section 2.
    """
    candidates = _candidates("try_all", candidates)
    with _pool("try_all", evaluate, processes) as run:
        return Results(run([(candidate, None) for candidate in candidates]), goal)


def successive_halving(
    evaluate: Callable[[dict, int], float],
    candidates: Iterable[dict],
    min_budget: int = 1,
    factor: int = 3,
    max_budget: int | None = None,
    processes: int = 1,
    goal: str = "min",
) -> Results:
    """Train all candidates a little, keep the best, train these longer, and so on.

    Spends most on the promising: each round costs about as much as the last, so k rounds over n candidates
    cost about k·n·B₀ where training all to the end would cost n·B₀·ηᵏ⁻¹. It errs where a good candidate
    starts slowly (a small learning rate, heavy regularization); a larger `min_budget` guards against it.

        n_k = max(1, ⌊n / ηᵏ⌋)                                           (1)
        B_k = min(B₀·ηᵏ, B_max)                                          (2)

    where n_k candidates get the budget B_k in round k = 0, 1, …, n = the number of candidates,
    η = `factor`, B₀ = `min_budget`, B_max = `max_budget`. The last round is the first that has one candidate
    or reaches B_max.

    Args:
        evaluate: function of a candidate and a budget (epochs, say) that returns one number. Every round
            starts anew; a function that keeps its model by candidate may go on from there.
        candidates: from `random`, usually.
        min_budget: budget of the first round, at least 1. Defaults to 1.
        factor: η, at least 2. Defaults to 3.
        max_budget: the largest budget of a trial; None for no limit.
        processes: as in `try_all`. Defaults to 1.
        goal: "min" or "max". Defaults to "min".

    Returns:
        `Results` of all rounds; a trial of a later round stands before all of earlier rounds. Failed
        candidates are not promoted.

    Raises:
        ValueError: when there are no candidates, or a number is out of range.

    Example:
        >>> from tf_kit.design import successive_halving
        >>> results = successive_halving(
        ...     lambda c, budget: c["x"] + 1 / budget, [{"x": x} for x in range(9)], min_budget=2
        ... )
        >>> [(trial.candidate["x"], trial.budget) for trial in results][:5]
        [(0, 18), (0, 6), (1, 6), (2, 6), (0, 2)]

    Reference: Jamieson, Talwalkar, 2016, algorithm 1; the rounding of (1) is that of Li et al., 2018,
    Hyperband, algorithm 1.
    """
    candidates = _candidates("successive_halving", candidates)
    min_budget = count("successive_halving.min_budget", min_budget)
    factor = count("successive_halving.factor", factor, at_least=2)
    if max_budget is not None:
        max_budget = count("successive_halving.max_budget", max_budget, at_least=min_budget)
    n, history = len(candidates), []
    with _pool("successive_halving", evaluate, processes) as run:
        for k in itertools.count():
            budget = min_budget * factor**k  # (2)
            if max_budget is not None:
                budget = min(budget, max_budget)
            trials = run([(candidate, budget) for candidate in candidates])
            history += trials
            ranked = [trial for trial in Results(trials, goal) if not math.isnan(trial.score)]
            if len(candidates) == 1 or budget == max_budget or not ranked:
                return Results(history, goal)
            survivors = max(1, n // factor ** (k + 1))  # (1)
            candidates = [trial.candidate for trial in ranked[:survivors]]


def grow(
    evaluate: Callable[[dict], float],
    num_inputs: int,
    proportion: float = 0.5,
    factor: float = 2.0,
    max_layers: int = 5,
    max_units: int = 4096,
    patience: int = 1,
    goal: str = "min",
) -> Results:
    """The lecture's recipe: start with one layer of units proportional to the inputs, gradually increase.

    First no hidden layer at all, which is enough if the data are linearly separable; then one layer, made
    wider while that helps; then more layers of the width that was best, while that helps. "Helps" means that
    the validation score improves; `patience` steps in vain end a phase.

        units₁ = max(1, round(p·D))                                      (1)
        wider:   (u,) → (round(φ·u),)                                    (2)
        deeper:  (u, …, u) → (u, …, u, u)                                (3)

    where D = `num_inputs`, p = `proportion`, φ = `factor`.

    Args:
        evaluate: function of a candidate {"units": tuple}, which is what `networks.mlp(units=…)` takes, that
            trains and returns one number, such as the validation error.
        num_inputs: D, numbers in one example.
        proportion: p, above 0. Defaults to 0.5.
        factor: φ, above 1. Defaults to 2.
        max_layers: never more hidden layers. Defaults to 5.
        max_units: never more units in a layer. Defaults to 4096.
        patience: steps without improvement that end a phase. Defaults to 1.
        goal: "min" or "max". Defaults to "min".

    Returns:
        `Results`; `.best.candidate["units"]` is the network to take. Of equal scores the smaller network,
        tried first, is the better.

    Raises:
        ValueError: when a number is out of range.

    Example:
        >>> from tf_kit.design import grow
        >>> error = {(): 0.3, (2,): 0.2, (4,): 0.1, (8,): 0.1, (4, 4): 0.05, (4, 4, 4): 0.06}
        >>> results = grow(lambda candidate: error[candidate["units"]], num_inputs=4)
        >>> [trial.candidate["units"] for trial in results.history]
        [(), (2,), (4,), (8,), (4, 4), (4, 4, 4)]
        >>> results.best.candidate["units"]
        (4, 4)

    Reference: the lecture, "How to choose the number of layers and nodes".
    """
    num_inputs = count("grow.num_inputs", num_inputs)
    proportion = number("grow.proportion", proportion, above=0)
    factor = number("grow.factor", factor, above=1)
    max_layers = count("grow.max_layers", max_layers)
    max_units = count("grow.max_units", max_units)
    patience = count("grow.patience", patience)
    choice("grow.goal", goal, ("min", "max"))
    history = []

    def improves(units):
        """Tries one network; whether it is the best so far."""
        history.append(_attempt(evaluate, {"units": units}, None))
        best = Results(history, goal).trials[0]
        return best is history[-1] and not math.isnan(best.score)

    def climb(shapes):
        in_vain = 0
        for units in shapes:
            in_vain = 0 if improves(units) else in_vain + 1
            if in_vain == patience:
                return

    def wider():
        units = min(max(1, round(proportion * num_inputs)), max_units)  # (1)
        while units <= max_units:
            yield (units,)
            units = max(round(factor * units), units + 1)  # (2)

    improves(())
    climb(wider())
    one_layer = [trial for trial in Results(history, goal) if len(trial.candidate["units"]) == 1]
    if one_layer:
        (width,) = one_layer[0].candidate["units"]
        climb((width,) * layers for layers in range(2, max_layers + 1))  # (3)
    return Results(history, goal)


def _candidates(subject, candidates):
    candidates = list(candidates)
    if not candidates or not all(isinstance(each, Mapping) for each in candidates):
        received = "none" if not candidates else f"{candidates[0]!r}, …"
        refuse(
            f"{subject}.candidates",
            "be dictionaries, at least one",
            received,
            "grid() and random() make them",
        )
    return candidates


def _attempt(evaluate, candidate, budget):
    """One trial, whatever happens in it."""
    start = time.perf_counter()
    try:
        score = float(evaluate(candidate) if budget is None else evaluate(candidate, budget))
        error = "returned nan" if math.isnan(score) else ""
    except Exception as raised:
        score, error = math.nan, _one_line(raised)
    return Trial(candidate, score, budget, time.perf_counter() - start, error)


def _one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextlib.contextmanager
def _pool(subject, evaluate, processes):
    """A function from jobs (candidate, budget) to trials in the same order."""
    if count(f"{subject}.processes", processes) == 1:
        yield lambda jobs: [_attempt(evaluate, *job) for job in jobs]
        return
    remedy = "Define evaluate in a .py file and import it, or use processes=1"
    interactive = not hasattr(sys.modules["__main__"], "__file__")
    if getattr(evaluate, "__module__", "") == "__main__" and interactive:
        refuse(
            f"{subject}.evaluate", "be importable by other processes", f"{evaluate!r} of a notebook", remedy
        )
    try:
        pickle.dumps(evaluate)
    except Exception as error:
        refuse(f"{subject}.evaluate", "be importable by other processes", _one_line(error), remedy)
    workers = _Workers(evaluate, processes)
    try:
        yield workers.run
    finally:
        workers.close()


class _Workers:
    """Processes that outlive a round, so that TensorFlow is imported once in each."""

    def __init__(self, evaluate, processes):
        self.evaluate = evaluate
        self.processes = processes
        self.executor = None

    def run(self, jobs):
        trials = {}
        waiting = list(range(len(jobs)))
        while waiting:
            broken = self._round(jobs, waiting, trials)
            # A trial killed its process and with it the whole round. It is among the first that have no
            # result, for these were running; each of them is tried again alone.
            for job in broken[: self.processes]:
                if self._round(jobs, [job], trials):
                    died = "its process died (a script needs `if __name__ == '__main__':`)"
                    trials[job] = Trial(jobs[job][0], math.nan, jobs[job][1], error=died)
            waiting = broken[self.processes :]
        return [trials[job] for job in range(len(jobs))]

    def _round(self, jobs, waiting, trials):
        """Fills in `trials` and returns the jobs that have none because a process died."""
        if self.executor is None:
            spawn = multiprocessing.get_context("spawn")  # a fork of a process with TensorFlow in it may hang
            self.executor = concurrent.futures.ProcessPoolExecutor(self.processes, mp_context=spawn)
        futures, broken = {}, []
        for job in waiting:
            try:
                futures[job] = self.executor.submit(_attempt, self.evaluate, *jobs[job])
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

    def close(self):
        if self.executor is not None:
            self.executor.shutdown(cancel_futures=True)
            self.executor = None
