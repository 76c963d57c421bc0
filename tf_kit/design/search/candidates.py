"""Candidates from a space of hyper-parameters: all of a grid, or random draws."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_kit.checks import count, refuse

_LARGEST_PERMUTATION = 10**7  # candidates; 80 MB


def grid(space: Mapping[str, Sequence]) -> list[dict[str, Any]]:
    """Every combination of the values of a space: grid search.

    For few hyper-parameters with few values each: the number of candidates is the product of the numbers of
    values. The last name varies fastest.

    Args:
        space: dictionary from name to list of values.

    Returns:
        List of candidates, {name: value}.

    Raises:
        ValueError: `space` is empty, or a value of it is not a non-empty list.

    Example:
        >>> from tf_kit.design import grid
        >>> grid({"units": [10, 20], "rate": [0.0, 0.5]})[:3]
        [{'units': 10, 'rate': 0.0}, {'units': 10, 'rate': 0.5}, {'units': 20, 'rate': 0.0}]

    Reference: Bergstra, Bengio, 2012, section 1.
    """
    space = _checked_space("grid", space)
    for name, values in space.items():
        if not _is_list(values):
            remedy = "random() draws from ranges"
            refuse("grid.space", "map each name to a list of values", f"{name}={values!r}", remedy)
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def random(space: Mapping[str, Any], n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Candidates drawn at random from a space: randomized search.

    Better than a grid of as many candidates if only some of the hyper-parameters matter, as is usual: each
    trial tries a new value of all of them, while a grid tries the few values of the important one again and
    again. The first candidates of a larger `n` are those of a smaller `n`, so a search can be continued.

    Args:
        space: dictionary from name to list of values or to range: `Uniform`, `LogUniform`, `IntUniform`, or
            any object with `rvs(random_state)`, such as SciPy's distributions. A space that has only lists is
            finite; no candidate is drawn from it twice.
        n: number of candidates, at least 1.
        seed: whole number that fixes the draws. Defaults to 0.

    Returns:
        List of n candidates, {name: value}.

    Raises:
        ValueError: `space` is empty, a value of it is neither a list nor a range, or `n` exceeds the number of
            candidates in a finite space.

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
    space = _checked_space("random", space)
    n = count("random.n", n)
    rng = np.random.default_rng(count("random.seed", seed, at_least=0))
    if all(_is_list(values) for values in space.values()):
        sizes = [len(values) for values in space.values()]
        if n > math.prod(sizes):
            requirement = f"be at most {math.prod(sizes)}, the number of candidates in the space"
            refuse("random.n", requirement, f"n={n}", "Use grid(space)")
        if math.prod(sizes) <= _LARGEST_PERMUTATION:
            chosen = rng.permutation(math.prod(sizes))[:n]
            drawn = list(zip(*np.unravel_index(chosen, sizes), strict=True))
        else:
            drawn = _distinct(sizes, n, rng)
        return [{name: space[name][i] for name, i in zip(space, indices, strict=True)} for indices in drawn]
    return [{name: _draw(name, values, rng) for name, values in space.items()} for _ in range(n)]


def _distinct(sizes, n, rng):
    """Draw n tuples of indices, each once, from a space with far too many for a permutation."""
    drawn = {}  # in the order of the draws
    while len(drawn) < n:
        drawn.setdefault(tuple(map(int, rng.integers(sizes))))
    return list(drawn)


def _draw(name, values, rng):
    if _is_list(values):
        return values[int(rng.integers(len(values)))]
    if not hasattr(values, "rvs"):
        remedy = "LogUniform(low, high) is a range"
        refuse("random.space", "map each name to a list or a range", f"{name}={values!r}", remedy)
    return values.rvs(random_state=rng)


def _is_list(values):
    return isinstance(values, Sequence) and not isinstance(values, str)


def _checked_space(subject, space):
    """Return the space as a dictionary, with arrays as lists."""
    if not isinstance(space, Mapping) or not space:
        refuse(f"{subject}.space", "map each name to its values", f"space={space!r}")
    for name, values in space.items():
        if isinstance(values, np.ndarray):
            values = np.atleast_1d(values).tolist()
            space = {**space, name: values}
        if _is_list(values) and not len(values):
            refuse(f"{subject}.space", "have at least one value for each name", f"{name}={values!r}")
    return dict(space)
