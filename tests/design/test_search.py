import csv
import math
import multiprocessing
import os
import re
import sys
import types

import keras
import numpy as np
import pytest
from design import trials
from scipy import stats
from sklearn.model_selection import ParameterGrid, ParameterSampler
from support.twins import use_wrong_twin

from tf_kit.design import (
    IntUniform,
    LogUniform,
    Results,
    Trial,
    Uniform,
    grid,
    grow,
    random,
    search,
    successive_halving,
    try_all,
)
from tf_kit.design.search.evaluation import Workers

# Theorems, each as a check that a wrong twin must fail.


def check_log_uniform(module):
    draws = [c["v"] for c in module.random({"v": module.LogUniform(1e-5, 1e-1)}, 4000, seed=3)]
    # ln v is uniform, so its distribution function is within 1.95/√n of a line with probability 0.999.
    assert stats.kstest(np.log10(draws), stats.uniform(-5, 4).cdf).statistic < 1.95 / math.sqrt(4000)


def check_uniform(module):
    draws = [c["v"] for c in module.random({"v": module.Uniform(-2.0, 6.0)}, 4000, seed=3)]
    assert stats.kstest(draws, stats.uniform(-2, 8).cdf).statistic < 1.95 / math.sqrt(4000)


def check_int_uniform(module):
    draws = [c["v"] for c in module.random({"v": module.IntUniform(-1, 2)}, 4000, seed=3)]
    values, counts = np.unique(draws, return_counts=True)
    assert values.tolist() == [-1, 0, 1, 2]
    assert stats.chisquare(counts).pvalue > 1e-3


def check_halving_schedule(module):
    seen = []

    def evaluate(candidate, budget):
        seen.append((candidate["x"], budget))
        return candidate["x"] if budget > 2 else -candidate["x"]  # early leaders lose in the end

    results = module.successive_halving(evaluate, [{"x": x} for x in range(30)], min_budget=2, factor=3)
    by_budget = {}
    for x, budget in seen:
        by_budget.setdefault(budget, set()).add(x)
    # n_k = 30, ⌊30/3⌋, ⌊30/9⌋, ⌊30/27⌋ and B_k = 2·3ᵏ
    assert {b: len(x) for b, x in by_budget.items()} == {2: 30, 6: 10, 18: 3, 54: 1}
    assert by_budget[6] == set(range(20, 30))
    assert by_budget[18] == {20, 21, 22}
    assert results.best == results[0]
    assert (results.best.candidate, results.best.budget) == ({"x": 20}, 54)
    assert len(results) == len(seen) == 44


def check_halving_goal(module):
    results = module.successive_halving(lambda c, b: c["x"], [{"x": x} for x in range(9)], goal="max")
    assert results.best.candidate == {"x": 8}


def check_failures_rank_last(module):
    results = module.try_all(failing, grid({"x": [0, 1, 3, 4]}))
    assert [trial.candidate["x"] for trial in results] == [3, 4, 0, 1]
    assert [trial.error for trial in results] == ["", "", "RuntimeError: on purpose", "returned nan"]
    assert [trial.candidate["x"] for trial in results.history] == [0, 1, 3, 4]


def check_grow(module):
    error = {(): 9, (3,): 8, (6,): 7, (12,): 7.5, (24,): 5, (6, 6): 6, (6, 6, 6): 6.5, (6, 6, 6, 6): 1}
    results = module.grow(lambda c: error[c["units"]], num_inputs=6)
    assert [t.candidate["units"] for t in results.history] == [(), (3,), (6,), (12,), (6, 6), (6, 6, 6)]
    assert results.best.candidate["units"] == (6, 6)


def failing(candidate):
    return trials.accident(candidate)


CHECKS = [
    check_log_uniform,
    check_uniform,
    check_int_uniform,
    check_halving_schedule,
    check_halving_goal,
    check_failures_rank_last,
    check_grow,
]


@pytest.mark.parametrize("check", CHECKS)
def test_theorem(check):
    check(search)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_log_uniform, "math.exp(random_state.uniform(math.log(self.low), math.log(self.high)))",
         "random_state.uniform(self.low, self.high)"),
        (check_uniform, "random_state.uniform(self.low, self.high)", "random_state.uniform(0, self.high)"),
        (check_int_uniform, "endpoint=True", "endpoint=False"),
        (check_halving_schedule, "factor ** (k + 1)", "factor ** k"),
        (check_halving_schedule, "min_budget * factor**k", "min_budget * factor*k"),
        (check_halving_schedule, "-(trial.budget or 0)", "(trial.budget or 0)"),
        (check_halving_schedule, "in ranked[:survivors]", "in ranked[-survivors:]"),
        (check_halving_goal, "for trial in Results(trials, goal)", "for trial in Results(trials)"),
        (check_failures_rank_last, "return failed, -", "return not failed, -"),
        (check_grow, "round(factor * units)", "round(factor + units)"),
        (check_grow, "(width,) * layers for", "(layers,) * width for"),
        (check_grow, "best is history[-1] and", "best is not history[-1] and"),
    ],
)  # fmt: skip
def test_wrong_twin(monkeypatch, check, right, wrong):
    use_wrong_twin(monkeypatch, search, right, wrong)
    with pytest.raises((AssertionError, KeyError)):
        check(search)


# Spaces.


def test_grid_equals_scikit_learn():
    space = {"a": [1, 2, 3], "b": ("x", "y"), "c": np.array([0.5, 1.5])}
    ours = grid(space)
    assert len(ours) == 12
    assert all(each in list(ParameterGrid({**space, "c": [0.5, 1.5]})) for each in ours)
    assert {type(each["c"]) for each in ours} == {float}


def test_random_draws_each_candidate_of_a_finite_space_once():
    space = {"a": [1, 2, 3], "b": ["x", "y"]}
    candidates = random(space, 6, seed=5)
    assert sorted(map(str, candidates)) == sorted(map(str, grid(space)))
    assert random(space, 4, seed=5) == candidates[:4]
    assert random(space, 6, seed=6) != candidates


def test_random_draws_from_a_finite_space_of_any_size():
    space = {f"p{i}": list(range(10)) for i in range(25)}  # more than int64 can count
    candidates = random(space, 20, seed=1)
    assert len(set(map(str, candidates))) == 20
    assert random(space, 5, seed=1) == candidates[:5]
    assert {type(value) for value in candidates[0].values()} == {int}


def test_random_mixes_lists_and_ranges_and_depends_on_the_seed_only():
    space = {"a": ["x", "y"], "b": IntUniform(1, 5), "c": stats.loguniform(1e-3, 1)}
    candidates = random(space, 50, seed=1)
    assert candidates == random(space, 50, seed=1)
    assert {c["a"] for c in candidates} == {"x", "y"}
    assert {c["b"] for c in candidates} == {1, 2, 3, 4, 5}
    assert all(1e-3 <= c["c"] <= 1 for c in candidates)
    assert {type(c["b"]) for c in candidates} == {int}


def test_ranges_work_with_scikit_learn():
    sampler = ParameterSampler({"rate": LogUniform(1e-3, 1), "units": Uniform(0, 1)}, 5, random_state=0)
    assert all(1e-3 <= each["rate"] <= 1 for each in sampler)


def test_random_beats_grid_if_one_of_two_hyper_parameters_matters():
    """Bergstra and Bengio, figure 1: 25 trials try 5 values of the important one on a grid, 25 at random."""

    def evaluate(candidate):
        return abs(candidate["matters"] - 0.62)

    ticks = [0.1, 0.3, 0.5, 0.7, 0.9]
    by_grid = try_all(evaluate, grid({"matters": ticks, "does_not": ticks})).best.score
    space = {"matters": Uniform(0, 1), "does_not": Uniform(0, 1)}
    by_random = [try_all(evaluate, random(space, 25, seed)).best.score for seed in range(20)]
    assert np.median(by_random) < by_grid / 2


# Halving.


def test_halving_costs_the_same_in_each_round():
    candidates = [{"x": x} for x in range(27)]
    results = successive_halving(trials.parabola_with_budget, candidates, min_budget=1, factor=3)
    assert [sum(t.budget for t in results if t.budget == b) for b in (1, 3, 9, 27)] == [27, 27, 27, 27]
    assert results.best.candidate == {"x": 3}


def test_halving_stops_at_the_largest_budget():
    candidates = [{"x": x} for x in range(27)]
    results = successive_halving(
        trials.parabola_with_budget, candidates, min_budget=2, factor=3, max_budget=10
    )
    assert [sum(t.budget == b for t in results) for b in (2, 6, 10)] == [27, 9, 3]
    assert results.best.budget == 10


@pytest.mark.parametrize("returned", [None, "high", {"loss": 0.5}, [0.5, 0.7], 1j, np.zeros(2)], ids=repr)
def test_result_that_is_no_number_is_named(returned):
    for results in (
        try_all(lambda _: returned, [{"x": 1}]),
        successive_halving(lambda *_: returned, [{"x": 1}]),
        grow(lambda _: returned, num_inputs=2),
    ):
        assert [trial.error for trial in results] == [f"returned {returned!r}, not one number"] * len(results)
        assert np.isnan([trial.score for trial in results]).all()


def test_halving_does_not_promote_failed_candidates():
    def evaluate(candidate, budget):
        if candidate["x"] < 8:
            raise MemoryError("too large")
        return candidate["x"]

    results = successive_halving(evaluate, [{"x": x} for x in range(9)])
    assert [(t.candidate["x"], t.budget) for t in results if not t.error] == [(8, 3), (8, 1)]
    hopeless = successive_halving(lambda c, b: 1 / 0, [{"x": x} for x in range(9)])
    assert len(hopeless) == 9


def test_candidates_stay_whole_if_the_function_takes_values_out_of_them():
    def evaluate(candidate, budget=1):
        return candidate.pop("x") + candidate["sizes"].pop() / budget

    candidates = [{"x": x, "sizes": [x, 1]} for x in range(9)]
    assert try_all(evaluate, candidates).best.candidate == {"x": 0, "sizes": [0, 1]}
    results = successive_halving(evaluate, candidates)
    assert not any(trial.error for trial in results)
    assert results.best.candidate == candidates[0]


def a_divisor(candidate):
    return candidate["x"] / (candidate["x"] != 1)


def a_generator(candidate):
    return candidate["x"] if isinstance(candidate["x"], int) else 0


FAILURES = {
    "exception": (a_divisor, [{"x": 0}, {"x": 1}, {"x": 2}], "ZeroDivisionError"),
    "candidate without a copy": (a_generator, [{"x": 0}, {"x": (each for each in ())}, {"x": 2}], "pickle"),
}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.usefixtures("forked")
def test_trials_after_a_failed_one_are_evaluated(failure, processes):
    evaluate, candidates, error = FAILURES[failure]
    results = try_all(evaluate, candidates, processes=processes)
    assert [trial.score for trial in results][:2] == [0, 2]
    assert error in results.history[1].error
    assert math.isnan(results.history[1].score)


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_program_ends_the_search(end):
    def ends(candidate):
        raise end(143)

    with pytest.raises(end):
        try_all(ends, [{"x": 0}, {"x": 1}])


# Growing.


def test_grow_respects_limits():
    tried = grow(lambda c: -sum(c["units"]), 100, max_layers=3, max_units=300, proportion=1, factor=2)
    assert [t.candidate["units"] for t in tried.history] == [
        (), (100,), (200,), (200, 200), (200, 200, 200)
    ]  # fmt: skip
    assert [t.candidate["units"] for t in grow(lambda c: 0, 100, max_units=9).history][1] == (9,)


def test_grow_with_patience_continues_after_a_worse_step():
    error = {(): 9, (1,): 8, (2,): 8.5, (4,): 7, (8,): 9, (16,): 9, (4, 4): 8, (4, 4, 4): 8}
    tried = grow(lambda c: error[c["units"]], num_inputs=2, patience=2, max_layers=3)
    assert tried.best.candidate["units"] == (4,)
    assert len(tried) == len(error)


def test_grow_continues_after_failures():
    def evaluate(candidate):
        if len(candidate["units"]) != 1:
            raise ValueError("one layer only")
        return 1 / candidate["units"][0]

    tried = grow(evaluate, num_inputs=2, max_units=8)
    assert tried.best.candidate["units"] == (8,)


@pytest.mark.slow
def test_grow_adds_a_hidden_layer_for_a_ring():
    """Points in a ring are not linearly separable, so one hidden layer must beat none."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)).astype("float32")
    y = (np.linalg.norm(x, axis=1) > 1.18).astype("int64")

    def evaluate(candidate):
        from tf_kit.networks import mlp

        model = mlp(candidate["units"], 2, activation="tanh", input_shape=(2,), seed=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
        model.fit(x[:300], y[:300], epochs=12, batch_size=50, verbose=0, shuffle=False)
        return 1 - model.evaluate(x[300:], y[300:], verbose=0)[1]

    results = grow(evaluate, num_inputs=2, proportion=4, max_layers=1, max_units=8)
    linear, hidden = results.history
    assert linear.candidate["units"] == ()
    assert linear.score > 0.35
    assert hidden.score < 0.1
    assert results.best is hidden


# Results.


def test_table_and_csv(tmp_path):
    results = Results(
        [Trial({"a": 1}, 0.5, 2), Trial({"b": "x"}, 0.25, 2), Trial({"a": 3}, math.nan, 2, error="broke")],
        "max",
    )
    assert str(results).splitlines() == [
        "score  budget  error  a  b",
        "  0.5       2         1",
        " 0.25       2            x",
        "  nan       2  broke  3",
    ]
    results.to_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows] == ["0.5", "0.25", "nan"]
    assert rows[0]["a"] == "1"
    assert rows[1]["b"] == "x"


def test_each_trial_has_one_line():
    table = str(Results([Trial({"kernel": np.eye(2), "text": "a\nb"}, 0.5), Trial({"kernel": None}, 0.6)]))
    assert len(table.splitlines()) == 3


def test_hyper_parameters_may_be_named_like_columns():
    (row,) = Results([Trial({"score": 9, "budget": 8, "error": 7, "x": 6}, 0.5, 2)]).rows()
    assert row == {
        "score": 0.5,
        "budget": 2,
        "candidate.score": 9,
        "candidate.budget": 8,
        "candidate.error": 7,
        "x": 6,
    }


def test_equal_scores_keep_their_order_and_infinity_ranks_last():
    results = Results([Trial({"x": x}, score) for x, score in enumerate([2, math.inf, 1, 1])])
    assert [trial.candidate["x"] for trial in results] == [2, 3, 0, 1]


def test_seconds_are_measured():
    (trial,) = try_all(trials.parabola, [{"x": 1}])
    assert 0 <= trial.seconds < 5


# Processes.


@pytest.mark.slow
def test_other_process_imports_the_evaluated_function(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))  # earlier tests may change it
    (trial,) = try_all(trials.parabola, [{"x": 5}], processes=2)  # spawned, so nothing is inherited
    assert (trial.score, trial.error) == (4, "")


@pytest.mark.usefixtures("forked")
def test_other_processes_give_the_same_results():
    candidates = [{"x": x} for x in range(5)]
    here = try_all(trials.parabola, candidates)
    there = try_all(trials.parabola, candidates, processes=2)
    assert [t.candidate for t in there] == [t.candidate for t in here]
    assert [t.score for t in there] == [t.score for t in here]


@pytest.fixture
def forked(monkeypatch):
    """Fork processes, which start fast; the functions evaluated here do not use TensorFlow."""
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: context)


@pytest.mark.usefixtures("forked")
def test_trial_that_kills_its_process_is_recorded():
    results = try_all(trials.accident, [{"x": x} for x in (5, 2, 0, 4, 2, 1, 3)], processes=2)
    assert [t.candidate["x"] for t in results] == [3, 4, 5, 2, 0, 2, 1]
    errors = [t.error.split(" (")[0] for t in results.history]
    died = "its process died"
    assert errors == ["", died, "RuntimeError: on purpose", "", died, "returned nan", ""]


@pytest.mark.usefixtures("forked")
def test_halving_keeps_its_processes_between_rounds():
    def rounds(evaluate):
        candidates = [{"x": x} for x in range(9)]
        return successive_halving(evaluate, candidates, processes=2)

    assert rounds(trials.parabola_with_budget).best.candidate == {"x": 3}
    workers = Workers(trials.process_id, 2)
    first, second = ({t.score for t in workers.run([({"x": x}, None) for x in range(8)])} for _ in range(2))
    workers.close()
    assert len(first | second) <= 2
    assert os.getpid() not in first | second


@pytest.mark.usefixtures("forked")
def test_candidate_that_cannot_be_pickled_is_recorded():
    results = try_all(trials.parabola, [{"x": 1}, {"x": lambda: 0}], processes=2)
    assert results.history[0].score == 4
    assert "pickle" in results.history[1].error.lower()


# Errors.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogUniform(0, 1), "low=0"),
        (lambda: LogUniform(2, 1), "high=1"),
        (lambda: Uniform(1, 1), "high=1"),
        (lambda: IntUniform(0.5, 2), "low=0.5"),
        (lambda: IntUniform(3, 2), "high=2"),
        (lambda: grid({}), "space={}"),
        (lambda: grid([1]), "space=[1]"),
        (lambda: grid({"a": []}), "a=[]"),
        (lambda: grid({"a": "tanh"}), "a='tanh'"),
        (lambda: grid({"a": Uniform(0, 1)}), "a=Uniform(low=0, high=1)"),
        (lambda: random({"a": 3}, 2), "a=3"),
        (lambda: random({"a": [1, 2]}, 3), "n=3"),
        (lambda: random({"a": [1, 2]}, 0), "n=0"),
        (lambda: random({"a": [1, 2]}, 1, seed=-1), "seed=-1"),
        (lambda: try_all(len, []), "none"),
        (lambda: try_all(len, [1]), "1, …"),
        (lambda: try_all(len, [{}], processes=0), "processes=0"),
        (lambda: try_all(len, [{}], goal="best"), "`try_all.goal` must be one of 'min', 'max'"),
        (lambda: successive_halving(len, [{}], goal="best"), "`successive_halving.goal` must be one of"),
        (lambda: grid({"a": np.array([])}), "a=[]"),
        (lambda: random({"a": np.array([])}, 1), "a=[]"),
        (lambda: try_all(lambda c: 0, [{}], processes=2), "use processes=1"),
        (lambda: try_all(failing_alone, [{}]).best, "ZeroDivisionError"),
        (lambda: successive_halving(len, [{}], min_budget=0), "min_budget=0"),
        (lambda: successive_halving(len, [{}], factor=1), "factor=1"),
        (lambda: successive_halving(len, [{}], min_budget=5, max_budget=4), "max_budget=4"),
        (lambda: grow(len, 0), "num_inputs=0"),
        (lambda: grow(len, 4, proportion=0), "proportion=0"),
        (lambda: grow(len, 4, factor=1), "factor=1"),
        (lambda: grow(len, 4, max_layers=0), "max_layers=0"),
        (lambda: grow(len, 4, goal="up"), "goal='up'"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def failing_alone(candidate):
    return 1 / 0


def test_refuses_a_function_of_a_notebook(monkeypatch):
    monkeypatch.setattr(trials.parabola, "__module__", "__main__")
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(ValueError, match="of a notebook"):
        try_all(trials.parabola, [{"x": 1}], processes=2)
