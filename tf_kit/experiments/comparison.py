"""Paired differences between the rows of a table, with a confidence interval over the seeds."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tf_kit import networks
from tf_kit.checks import refuse
from tf_kit.training.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class Difference:
    """Mean difference of two rows over seeds that they share.

    Attributes:
        mean: mean difference, first row minus second, in the unit of the rows.
        low, high: ends of the confidence interval of the mean; None with one seed, which shows no spread.
    """

    mean: float
    low: float | None
    high: float | None

    @property
    def sign(self) -> int:
        """−1 or 1 if the interval lies on that side of zero, otherwise 0, as for one without width."""
        if self.low is None or self.high is None or not self.low < self.high:  # no spread, or NaN
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def paired_difference(one: Sequence[float], other: Sequence[float], level: float = 0.95) -> Difference:
    """Compute the mean difference of two rows and its confidence interval by Student's t distribution.

    With d_i the difference of seed i = 1 … n, d̄ their mean and s their standard deviation,

        d̄ ± t · s / √n                                                          (1)

    where t is the quantile (1 + level)/2 of Student's t distribution with n − 1 degrees of freedom. Rows that share
    split and seed are compared in pairs, because the spread between splits is common to both.

    Args:
        one, other: values of the seeds, in the same order.
        level: probability that the interval covers the mean. Defaults to 0.95.

    Example:
        >>> paired_difference([3.0, 4.0, 6.0], [1.0, 3.0, 4.0])
        Difference(mean=1.6667, low=0.2324, high=3.1009)

    Reference: Student, 1908, The probable error of a mean, Biometrika 6.
    """
    if len(one) != len(other) or not len(one):
        refuse(
            "paired_difference",
            "be given two rows with the same seeds",
            f"{len(one)} and {len(other)} values",
        )
    differences = np.asarray(one, "float64") - np.asarray(other, "float64")
    mean, n = float(np.mean(differences)), len(differences)
    if n == 1:
        return Difference(round(mean, 4), None, None)
    from scipy import stats  # half a second, which only a finished table needs

    half = float(stats.t.ppf((1 + level) / 2, n - 1) * np.std(differences, ddof=1) / np.sqrt(n))  # (1)
    return Difference(round(mean, 4), round(mean - half, 4), round(mean + half, 4))


WIDTH = 100  # columns of printed text

# First row, second row, and the claim of the lecture about the sign of first minus second.
CLAIMS = (
    ("dbn", "deep", -1, "DBN pre-training lowers the error of the deep net"),
    ("autoencoder", "deep", -1, "auto-associator pre-training lowers the error of the deep net"),
    ("supervised", "deep", -1, "supervised pre-training lowers the error of the deep net"),
    ("deep", "shallow", 1, "without pre-training the deep net errs more than the shallow net"),
)
_SHORT = {
    "dbn": "DBN",
    "autoencoder": "auto-associator",
    "supervised": "supervised",
    "deep": "deep, no pre-training",
    "shallow": "shallow",
}


def compare(test_errors: Mapping[str, Sequence[float]]) -> list[dict[str, Any]]:
    """Compare the rows of the lecture's table whose order is part of its claim.

    Args:
        test_errors: row → test errors of the seeds, in percent.

    Returns:
        List of dictionaries, one per comparison of rows that are there: the names of both `rows`, the `claim` of the
        lecture, the `difference` (mean, low, high), and whether it is `shown`.
    """
    found = []
    for one, other, sign, claim in CLAIMS:
        if one in test_errors and other in test_errors:
            difference = paired_difference(test_errors[one], test_errors[other])
            found.append(
                {
                    "rows": [one, other],
                    "claim": claim,
                    "difference": dataclasses.asdict(difference),
                    "shown": difference.sign == sign,
                }
            )
    return found


def format_comparisons(comparisons: Sequence[Mapping[str, Any]], seeds: int) -> list[str]:
    """Format comparisons as lines of text, and end with what they show.

    Args:
        comparisons: list from `compare`.
        seeds: number of seeds.
    """
    if not comparisons:
        return []
    if seeds == 1:
        return ["One seed shows no spread, so it decides nothing; --seeds 5 adds intervals."]
    lines = [f"paired differences of test errors, 95 % interval over {seeds} seeds:"]
    for each in comparisons:
        one, other = (_SHORT[row] for row in each["rows"])
        difference = Difference(**each["difference"])
        interval = f"{difference.mean:+6.2f}  [{difference.low:+.2f}, {difference.high:+.2f}]"
        lines.append(f"  {one} − {other}".ljust(45) + interval)
    for heading, shown in (("Shown: ", True), ("Not shown: ", False)):
        claims = [each["claim"] for each in comparisons if each["shown"] is shown]
        if claims:
            lines += textwrap.wrap(heading + "; ".join(claims) + ".", WIDTH, break_on_hyphens=False)
    return lines


def gradient_ratio(encoder: keras.Model, x: Any, y: Any, num_classes: int, seed: int = 0) -> float:
    """Compute how much of the gradient reaches the first layer at the start of fine-tuning.

        ratio = ‖∂J/∂θ^(1)‖ / ‖∂J/∂θ^(L+1)‖

    where J is the mean cross-entropy of `x`, θ^(1) the weights of the first hidden layer and θ^(L+1) those of a new
    output layer. A small ratio is a vanishing gradient, see `networks.gradient_norms`.

    Args:
        encoder: encoder, unchanged.
        x, y: a batch of examples and their classes.
        num_classes: number of classes.
        seed: seed of the output layer. Defaults to 0.
    """
    classifier = Classifier(encoder, num_classes, seed=seed)
    norms = list(networks.gradient_norms(classifier, x, y, networks.SoftmaxCrossEntropy()).values())
    return norms[0] / norms[-1]
