"""Data that no experiment can use are refused before anything is trained."""

import numpy as np
import pytest

from tf_kit.errors import InputError
from tf_kit.experiments import run_label_efficiency, run_table, search_recipe

X = np.random.default_rng(0).random((60, 6)).astype("float32")
Y = np.arange(60) % 3
EXPERIMENTS = {
    "table": lambda name, out: run_table(name, 1, out=out, quiet=True),
    "label-efficiency": lambda name, out: run_label_efficiency(
        name, 1, out, methods=["denoising"], quiet=True
    ),
    "search-recipe": lambda name, out: search_recipe("deep", "2007", name, out=out, quiet=True),
}
REFUSED = {
    "no classes": ({"x": X}, "must have labels for this"),
    "one class": ({"x": X, "y": 0 * Y + 4}, "must have two classes or more.*only the class 4"),
    "equal examples": ({"x": 0 * X, "y": Y}, "for training, validation, test.*none for validation, test"),
    "no labels to test on": (
        {"x_train": X[:40], "y_train": Y[:40], "x_test": X[40:], "y_test": np.full(20, -1)},
        "must have labelled examples.*none for test",
    ),
}

WITH_RBMS = {
    "table": lambda name, out: run_table(name, 1, out=out, quiet=True, systems=["shallow", "dbn"]),
    "label-efficiency": lambda name, out: run_label_efficiency(
        name, 1, out, methods=["denoising", "rbm"], quiet=True
    ),
    "search-recipe": lambda name, out: search_recipe("dbn", "2007", name, out=out, quiet=True),
}


@pytest.mark.parametrize("experiment", WITH_RBMS)
@pytest.mark.parametrize("scale", [-1.0, 3.0])
def test_values_that_an_rbm_cannot_take_are_refused_before_other_rows_train(scale, experiment, tmp_path):
    np.savez(tmp_path / "mine.npz", x=scale * X, y=Y)
    with pytest.raises(InputError, match=r"must have values in \[0, 1\].*Scale each feature to \[0, 1\]"):
        WITH_RBMS[experiment](str(tmp_path / "mine.npz"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, experiment, tmp_path):
    arrays, message = REFUSED[case]
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(InputError, match=message) as refused:
        EXPERIMENTS[experiment](str(tmp_path / "mine.npz"), tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()
