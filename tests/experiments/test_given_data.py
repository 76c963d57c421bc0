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


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, experiment, tmp_path):
    arrays, message = REFUSED[case]
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(InputError, match=message) as refused:
        EXPERIMENTS[experiment](str(tmp_path / "mine.npz"), tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()
