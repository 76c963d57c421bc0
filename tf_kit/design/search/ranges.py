"""Ranges from which hyper-parameters are drawn."""

import dataclasses
import math

import numpy as np

from tf_kit.checks import count, number


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Uniform distribution on [low, high]: for a dropout rate or a momentum.

    Args:
        low, high: ends of the range, `low` below `high`.

    Raises:
        ValueError: an end is not a number, or `high` is not above `low`.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import Uniform
        >>> 0.2 <= Uniform(0.2, 0.5).rvs(np.random.default_rng(0)) <= 0.5
        True
    """

    low: float
    high: float

    def __post_init__(self):
        number("Uniform.high", self.high, above=number("Uniform.low", self.low))

    def rvs(self, random_state: np.random.Generator) -> float:
        """Draw one value from a NumPy generator, as SciPy's distributions do."""
        return float(random_state.uniform(self.low, self.high))


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Uniform distribution of the logarithm on [low, high]: for a learning rate or a weight decay.

        v = exp(u),   u uniform in [ln low, ln high]                     (1)

    Each order of magnitude is equally likely: half the draws from [1e-4, 1] are below 1e-2, but only one in a
    hundred draws from the uniform distribution is.

    Args:
        low, high: ends of the range, 0 < `low` < `high`.

    Raises:
        ValueError: an end is not a number above 0, or `high` is not above `low`.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import LogUniform
        >>> rng = np.random.default_rng(0)
        >>> draws = [LogUniform(1e-4, 1.0).rvs(rng) for _ in range(1000)]
        >>> 450 < sum(value < 1e-2 for value in draws) < 550
        True
    """

    low: float
    high: float

    def __post_init__(self):
        low = number("LogUniform.low", self.low, above=0, remedy="Uniform accepts 0 and negative numbers")
        number("LogUniform.high", self.high, above=low)

    def rvs(self, random_state: np.random.Generator) -> float:
        """Draw one value from a NumPy generator, as SciPy's distributions do."""
        value = math.exp(random_state.uniform(math.log(self.low), math.log(self.high)))  # (1)
        return min(max(value, self.low), self.high)


@dataclasses.dataclass(frozen=True)
class IntUniform:
    """Uniform distribution of whole numbers from low to high, both included: for a number of layers.

    Args:
        low, high: ends of the range, `low` below `high`.

    Raises:
        ValueError: an end is not a whole number, or `high` is not above `low`.

    Example:
        >>> import numpy as np
        >>> from tf_kit.design import IntUniform
        >>> rng = np.random.default_rng(0)
        >>> sorted({IntUniform(1, 3).rvs(rng) for _ in range(50)})
        [1, 2, 3]
    """

    low: int
    high: int

    def __post_init__(self):
        low = count("IntUniform.low", self.low, at_least=-(2**63))
        count("IntUniform.high", self.high, at_least=low + 1)

    def rvs(self, random_state: np.random.Generator) -> int:
        """Draw one value from a NumPy generator, as SciPy's distributions do."""
        return int(random_state.integers(self.low, self.high, endpoint=True))
