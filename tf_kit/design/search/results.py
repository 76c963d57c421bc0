"""Results of a search: trials, ranked."""

import csv
import dataclasses
import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

from tf_kit.checks import choice, refuse
from tf_kit.whole_files import replacing


@dataclasses.dataclass(frozen=True)
class Trial:
    """One evaluation of a candidate.

    Attributes:
        candidate: the hyper-parameters.
        score: return value of `evaluate`; NaN if the trial failed.
        budget: budget of the trial, or None.
        seconds: duration.
        error: "", or the exception as one line.
    """

    candidate: dict
    score: float
    budget: float | None = None
    seconds: float = 0.0
    error: str = ""


class Results:
    """Outcome of a search: a sequence of `Trial`s, best first, failed ones last; printed as a table by `str`.

    Trials with a larger budget come before those with a smaller one, because their scores are more reliable.
    Equal scores keep the order of evaluation.

    Args:
        history: trials in the order of evaluation.
        goal: "min" if a small score is good, "max" if a large one is. Defaults to "min".

    Raises:
        ValueError: `goal` is neither "min" nor "max".

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

    def __init__(self, history: Iterable[Trial], goal: str = "min") -> None:
        self.goal = choice("Results.goal", goal, ("min", "max"))
        self.history = tuple(history)
        sign = 1 if goal == "min" else -1

        def rank(trial):
            failed = math.isnan(trial.score)
            return failed, -(trial.budget or 0), 0 if failed else sign * trial.score

        self.trials = tuple(sorted(self.history, key=rank))

    @property
    def best(self) -> Trial:
        """Best trial; raises `ValueError` if all failed."""
        if not self.trials or math.isnan(self.trials[0].score):
            errors = sorted({trial.error or "score nan" for trial in self.history})
            received = f"{len(self.history)} failed trials: {errors}"
            refuse("Results.best", "come from a trial that succeeded", received)
        return self.trials[0]

    def __len__(self) -> int:
        return len(self.trials)

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.trials)

    def __getitem__(self, index: int | slice) -> Trial | tuple[Trial, ...]:
        return self.trials[index]

    def rows(self) -> list[dict[str, Any]]:
        """Return the trials, best first, as dictionaries of score, budget, error and the hyper-parameters.

        A hyper-parameter with the name of one of the first three is called "candidate.score" and so on.
        """
        used = {"budget": lambda trial: trial.budget is not None, "error": lambda trial: trial.error}
        kept = [name for name, is_used in used.items() if any(map(is_used, self.trials))]
        return [
            {
                **{name: getattr(trial, name) for name in ("score", *kept)},
                **{_column(name): value for name, value in trial.candidate.items()},
            }
            for trial in self.trials
        ]

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table to a file, one line per trial, best first."""
        rows = self.rows()
        with (
            replacing(path) as unfinished,
            unfinished.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, _names(rows))
            writer.writeheader()
            writer.writerows(rows)

    def __str__(self) -> str:
        rows = self.rows()
        names = _names(rows)
        cells = [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(map(str.rjust, line, widths)).rstrip() for line in cells)


def _column(name):
    return f"candidate.{name}" if name in ("score", "budget", "error") else name


def _names(rows):
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value):
    return f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).splitlines())
