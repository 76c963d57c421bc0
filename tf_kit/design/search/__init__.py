"""Search: hyper-parameters, the number of layers and the number of units (topic 14).

A *space* maps each hyper-parameter to its values. `grid` and `random` make candidates from a space, as plain
dictionaries. `try_all` evaluates candidates, `successive_halving` trains only those for long that do well after
short training, and `grow` follows the lecture's recipe for the shape of a network. All three return `Results`:
every trial, best first.

The function to evaluate is written by the user. It takes a candidate and returns one number, such as the error on
the validation set (never on the test set).

Reference: Bergstra, Bengio, 2012, Random search for hyper-parameter optimization; Jamieson, Talwalkar, 2016,
Non-stochastic best arm identification and hyperparameter optimization, algorithm 1 (successive halving),
arXiv:1502.07943.
"""

from tf_kit.design.search.candidates import grid, random
from tf_kit.design.search.evaluation import try_all
from tf_kit.design.search.growth import grow
from tf_kit.design.search.halving import successive_halving
from tf_kit.design.search.ranges import IntUniform, LogUniform, Uniform
from tf_kit.design.search.results import Results, Trial

__all__ = [
    "IntUniform",
    "LogUniform",
    "Results",
    "Trial",
    "Uniform",
    "grid",
    "grow",
    "random",
    "successive_halving",
    "try_all",
]
