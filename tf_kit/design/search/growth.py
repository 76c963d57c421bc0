"""Growth of a network, layer by layer: the lecture's recipe for its shape."""

import math
from collections.abc import Callable

from tf_kit.checks import choice, count, number
from tf_kit.design.search.evaluation import attempt
from tf_kit.design.search.results import Results


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
    """The lecture's recipe: start with one layer of units proportional to the inputs, then gradually increase.

    The first network has no hidden layer, which is enough if the data are linearly separable. Then one layer is
    made wider as long as that helps; then layers of the best width are added as long as that helps. "Helps"
    means that the validation score improves; `patience` steps without improvement end a phase.

        units₁ = max(1, round(p·D))                                      (1)
        wider:   (u,) → (round(φ·u),)                                    (2)
        deeper:  (u, …, u) → (u, …, u, u)                                (3)

    where D = `num_inputs`, p = `proportion`, φ = `factor`.

    Args:
        evaluate: function of a candidate {"units": tuple}, the argument of `networks.mlp(units=…)`, that trains
            and returns one number, such as the validation error.
        num_inputs: D, the number of values in one example.
        proportion: p, above 0. Defaults to 0.5.
        factor: φ, above 1. Defaults to 2.
        max_layers: largest number of hidden layers. Defaults to 5.
        max_units: largest number of units in a layer. Defaults to 4096.
        patience: number of steps without improvement that end a phase. Defaults to 1.
        goal: "min" if a small score is good, "max" if a large one is. Defaults to "min".

    Returns:
        `Results`; `.best.candidate["units"]` is the best network. Of equal scores the smaller network, which was
        tried first, ranks higher.

    Raises:
        ValueError: a number is out of range.

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
        """Evaluate one network and return whether it is the best so far."""
        history.append(attempt(evaluate, {"units": units}))
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
