"""Search for the values of a row's recipe on the validation set, by successive halving."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_kit import design
from tf_kit.checks import choice, count, refuse
from tf_kit.design.search.results import Results, Trial
from tf_kit.errors import TrainingDiverged
from tf_kit.experiments.given_data import given_data
from tf_kit.experiments.pretraining_table import SYSTEMS, fine_tune, pretrained_encoder
from tf_kit.experiments.recipes import LARGE, Recipe, rows_for
from tf_kit.experiments.tuning import forget_models
from tf_kit.runs import Run
from tf_kit.runs.progress import Progress
from tf_kit.runs.run import refuse_results
from tf_kit.training.precision import precision as precision_of_layers
from tf_kit.training.sharing import shared_traces

# Fields on which pretraining depends: candidates that agree in them share one pretraining.
_OF_PRETRAINING = (
    "units",
    "activation",
    "pretrain_optimizer",
    "pretrain_epochs",
    "pretrain_learning_rate",
    "pretrain_batch_size",
    "rate",
    "gibbs_steps",
)

_UNITS = [(500, 500, 2000), (1000, 1000, 1000)]
_UNITS_TODAY = [(1000, 500, 250, 250, 250)]
_SHALLOW_UNITS = [(500,), (1000,), (2000,)]
_RBM: dict[str, list[Any]] = {"pretrain_epochs": [20, 40, 60], "pretrain_learning_rate": [0.01, 0.02, 0.05]}
_DENOISING: dict[str, list[Any]] = {"pretrain_epochs": [15, 25, 40], "rate": [0.1, 0.25, 0.3, 0.4]}
# Rates of momentum in 2007, and of Adam today, but for RBMs.
_PRETRAINING: dict[str, dict[str, dict[str, list[Any]]]] = {
    "2007": {
        "dbn": _RBM,
        "autoencoder": {**_DENOISING, "pretrain_learning_rate": [0.01, 0.02, 0.05]},
        "supervised": {"pretrain_epochs": [2, 4, 8], "pretrain_learning_rate": [0.02, 0.05, 0.1]},
    },
    "today": {"dbn": _RBM, "autoencoder": _DENOISING, "supervised": {"pretrain_epochs": [2, 5]}},
}
_TUNING: dict[str, dict[str, list[Any]]] = {
    "2007": {"learning_rates": [(rate,) for rate in (0.03, 0.05, 0.1, 0.2, 0.3, 0.5)]},
    "today": {
        "learning_rates": [(rate,) for rate in (0.0005, 0.001, 0.002, 0.004)],
        "noise": [0.2, 0.3, 0.4],
        "dropout": [0.0, 0.1, 0.2],
    },
}
# Momentum finds no way out of random sigmoid units at high rates.
_WITHOUT_PRETRAINING = {"learning_rates": [(rate,) for rate in (0.003, 0.005, 0.01, 0.02, 0.03, 0.05)]}


def space_of(recipe: str, system: str) -> dict[str, list[Any]]:
    """Return the space of a row: field of `Recipe` → list of values that are tried.

    Example:
        >>> space_of("2007", "deep")["learning_rates"]
        [(0.003,), (0.005,), (0.01,), (0.02,), (0.03,), (0.05,)]
    """
    choice("search_recipe.recipe", recipe, tuple(LARGE))
    choice("search_recipe.system", system, tuple(SYSTEMS))
    deep = [*_UNITS, *(_UNITS_TODAY if recipe == "today" else [])]
    units = deep if SYSTEMS[system].deep else _SHALLOW_UNITS
    # The energy of an RBM describes sigmoid units only.
    both = recipe == "today" and system != "dbn"
    activation = {"activation": ["sigmoid", "relu"]} if both else {}
    tuning = _WITHOUT_PRETRAINING if (recipe, system) == ("2007", "deep") else _TUNING[recipe]
    return {"units": units, **activation, **_PRETRAINING[recipe].get(system, {}), **tuning}


def _check_space(space):
    """Refuse fields that no recipe has, and fields without a list of values of their kind."""
    kinds = {field.name: field.default for field in dataclasses.fields(Recipe)}
    for field, values in space.items():
        choice("search_recipe.space", field, tuple(kinds))
        if not isinstance(values, list | tuple) or not values:
            refuse("search_recipe.space", f"hold a list of values for {field}", f"{field}: {values!r}")
        wrong = [
            each for each in values if isinstance(kinds[field], tuple) and not isinstance(each, list | tuple)
        ]
        if wrong:
            received = f"{field}: {wrong[0]!r}"
            refuse("search_recipe.space", f"hold tuples for {field}, which a recipe has several of", received)
    if not space:
        refuse("search_recipe.space", "hold at least one field that is not fixed", "no field")


def search_recipe(
    system: str,
    recipe: str = "2007",
    name: str = "mnist",
    candidates: int = 9,
    min_epochs: int = 3,
    max_epochs: int = 27,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    quiet: bool = False,
    space: Mapping[str, Sequence[Any]] | None = None,
    precision: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    color: str | None = None,
    labels_file: str | Path | None = None,
    **changes: Any,
) -> Results:
    """Search the recipe of a row: its declared values and random draws from its space, on the validation set alone.

    Successive halving (`design.successive_halving`) fine-tunes every candidate for `min_epochs`, the best third for
    three times as long, and so on to `max_epochs`; the score is the lowest validation error of a training in percent.
    Candidates that differ in fine-tuning only share one pretraining. The test set is not used. With fewer than 10,000
    training examples, all candidates have the units of the recipe.

    Args:
        system: name of the row.
        recipe: `"2007"` or `"today"`. Defaults to `"2007"`.
        name: data set. Defaults to `"mnist"`.
        candidates: number of candidates, the first of which is the declared recipe; all of the space if it has fewer.
            Defaults to 9.
        min_epochs, max_epochs: epochs of fine-tuning in the first round and in the last. Defaults to 3 and 27.
        seed: seed of the draws, the initial weights and the trainings. Defaults to 0.
        out: run folder; `search.csv` in it is the log, best candidate first.
        resume: whether to continue the search in `out`. Defaults to False.
        data_dir: folder of prepared data sets. Defaults to None.
        quiet: whether to show no progress. Defaults to False.
        space: field of `Recipe` → list of values, instead of `space_of`. Defaults to None.
        precision: `"float32"` or `"bfloat16"`. Defaults to None, the policy that Keras has.
        image_size, color, labels_file: how the images of a folder are read, as for `data.load`. Default to None.
        **changes: fields of `Recipe` that are the same for every candidate, see `recipes.rows_for`.

    Returns:
        All trials, best first; a training that diverges is a failed trial.

    Raises:
        InputError: an argument is out of range, the data cannot be used, or `out` holds another run.
        RunStopped: a training had to stop, such as on a full disk. `resume=True` continues.
    """
    count("search_recipe.min_epochs", min_epochs)
    count("search_recipe.max_epochs", max_epochs, at_least=min_epochs)
    if precision is not None:
        choice("search_recipe.precision", precision, ("float32", "bfloat16"))
    full = space_of(recipe, system)
    examples = given_data("search_recipe", name, data_dir, image_size, color, labels_file)
    splits = examples.load(seed, for_rbm=system == "dbn")
    fixed = {field for field, value in changes.items() if value is not None}
    fixed |= {"units"} if "layers" in fixed or len(splits[0]) < 10_000 else set()
    space = {
        field: values for field, values in (full if space is None else space).items() if field not in fixed
    }
    _check_space(space)
    base = rows_for(recipe, len(splits[0]), **changes).of(system)
    declared = {field: getattr(base, field) for field in space}
    most = math.prod(map(len, space.values()))
    drawn = design.random(space, min(most, count("search_recipe.candidates", candidates)), seed)
    tried = [declared, *(each for each in drawn if each != declared)][:candidates]
    options: dict[str, Any] = {
        "command": "search",
        **examples.options(),
        "recipe": recipe,
    }
    options |= {"system": system, "seed": seed, "base": dataclasses.asdict(base)}
    options |= {"tried": tried, "min_epochs": min_epochs, "max_epochs": max_epochs}
    options |= {"precision": precision} if precision else {}
    run = Run(out, options, resume=resume, progress=Progress(quiet=quiet), data=examples.contents())
    log = run.folder / "search.csv"
    if run.results is not None:
        results = _recorded(run, tried)
        results.to_csv(log)
        return results

    stopped: list[Exception] = []

    def evaluate(candidate, epochs):
        if stopped:
            raise stopped[0]
        row = dataclasses.replace(base, **candidate, epochs=epochs)
        try:
            return _validation_error(run, system, row, splits, seed, tried.index(candidate), tuple(space))
        except TrainingDiverged:
            raise  # the fault of the candidate
        except Exception as error:
            stopped.append(error)
            raise
        finally:
            forget_models()

    with shared_traces(), precision_of_layers(precision):
        results = design.successive_halving(evaluate, tried, min_epochs, 3, max_epochs)
    if stopped:
        raise stopped[0]  # such as a full disk, after which the search can be resumed
    results.to_csv(log)
    best = results.best
    found = {"score": best.score, "epochs": best.budget, "chosen": best.candidate, "trials": len(results)}
    run.finish({**found, "history": [_as_record(trial, tried) for trial in results.history]})
    return results


def _as_record(trial, tried):
    """Return a trial as JSON stores it: the number of its candidate instead of the candidate."""
    return {**dataclasses.asdict(trial), "candidate": tried.index(trial.candidate)}


def _recorded(run, tried):
    """Return the trials of a finished search."""
    try:
        return Results(
            Trial(**{**each, "candidate": tried[each["candidate"]], "score": _number(each["score"])})
            for each in run.results["history"]
        )
    except (KeyError, IndexError, TypeError):
        refuse_results(run.folder, ", which lacks the trials")


def _number(score):
    return math.nan if score is None else score  # JSON has no NaN


def _validation_error(run, system, row, splits, seed, number, varied):
    """Pretrain, or load what an earlier candidate has pretrained, and fine-tune; return the lowest error in percent."""
    pretraining = _stage_of_pretraining(row, varied)
    encoder = pretrained_encoder(run, system, row, splits[0], seed, pretraining, shared=True)
    stage = f"candidate {number}, {row.epochs} epochs"
    _, chosen = fine_tune(run, system, encoder, row, splits, seed, stage)
    return round(100 * (1 - chosen["val_accuracy"]), 4)


def _stage_of_pretraining(row: Recipe, varied: Sequence[str]) -> str:
    """Name a pretraining by the values in which it differs from that of other candidates.

    Example:
        >>> _stage_of_pretraining(Recipe((500, 2000), pretrain_epochs=40), ("units", "pretrain_epochs", "batch_size"))
        'pretraining, units 500-2000, epochs 40'
    """
    words = ["pretraining"]
    for field in _OF_PRETRAINING:
        if field in varied:
            value = getattr(row, field)
            shown = "-".join(map(str, value)) if isinstance(value, tuple | list) else value
            words.append(f"{field.removeprefix('pretrain_').replace('_', ' ')} {shown}")
    return ", ".join(words)
