"""Successive halving: longer training for fewer candidates."""

import itertools
import math
from collections.abc import Callable, Iterable

from tf_kit.checks import choice, count
from tf_kit.design.search.evaluation import checked_candidates, evaluator
from tf_kit.design.search.results import Results


def successive_halving(
    evaluate: Callable[[dict, int], float],
    candidates: Iterable[dict],
    min_budget: int = 1,
    factor: int = 3,
    max_budget: int | None = None,
    processes: int = 1,
    goal: str = "min",
) -> Results:
    """Train all candidates for a short time, keep the best, train these longer, and so on.

    Most of the work goes to promising candidates: each round costs about as much as the last, so k rounds over
    n candidates cost about k·n·B₀, while training all to the end costs n·B₀·ηᵏ⁻¹. A good candidate that starts
    slowly (small learning rate, strong regularization) may be dropped; a larger `min_budget` guards against it.

        n_k = max(1, ⌊n / ηᵏ⌋)                                           (1)
        B_k = min(B₀·ηᵏ, B_max)                                          (2)

    where n_k candidates get the budget B_k in round k = 0, 1, …, n = the number of candidates,
    η = `factor`, B₀ = `min_budget`, B_max = `max_budget`. The last round is the first that has one candidate
    or reaches B_max.

    Args:
        evaluate: function of a candidate and a budget (for example epochs) that returns one number. Every round
            starts training from the beginning, unless the function keeps the model of each candidate.
        candidates: candidates, usually from `random`.
        min_budget: budget of the first round, at least 1. Defaults to 1.
        factor: η, at least 2. Defaults to 3.
        max_budget: largest budget of a trial, at least `min_budget`. Defaults to None, no limit.
        processes: number of candidates to evaluate at the same time, as in `try_all`. Defaults to 1.
        goal: "min" if a small score is good, "max" if a large one is. Defaults to "min".

    Returns:
        `Results` of all rounds; trials of a later round come before all of earlier rounds. Failed candidates
        are not promoted.

    Raises:
        ValueError: there are no candidates, `goal` has another value, or a number is out of range.

    Example:
        >>> from tf_kit.design import successive_halving
        >>> results = successive_halving(
        ...     lambda c, budget: c["x"] + 1 / budget, [{"x": x} for x in range(9)], min_budget=2
        ... )
        >>> [(trial.candidate["x"], trial.budget) for trial in results][:5]
        [(0, 18), (0, 6), (1, 6), (2, 6), (0, 2)]

    Reference: Jamieson, Talwalkar, 2016, algorithm 1, arXiv:1502.07943; the rounding of (1) is that of Li et al.,
    2018, Hyperband, algorithm 1, arXiv:1603.06560.
    """
    choice("successive_halving.goal", goal, ("min", "max"))
    candidates = checked_candidates("successive_halving", candidates)
    min_budget = count("successive_halving.min_budget", min_budget)
    factor = count("successive_halving.factor", factor, at_least=2)
    if max_budget is not None:
        max_budget = count("successive_halving.max_budget", max_budget, at_least=min_budget)
    n, history = len(candidates), []
    with evaluator("successive_halving", evaluate, processes) as run:
        for k in itertools.count():
            budget = min_budget * factor**k  # (2)
            if max_budget is not None:
                budget = min(budget, max_budget)
            trials = run([(candidate, budget) for candidate in candidates])
            history += trials
            ranked = [trial for trial in Results(trials, goal) if not math.isnan(trial.score)]
            if len(candidates) == 1 or budget == max_budget or not ranked:
                break
            survivors = max(1, n // factor ** (k + 1))  # (1)
            candidates = [trial.candidate for trial in ranked[:survivors]]
    return Results(history, goal)
