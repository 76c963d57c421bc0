"""Tests of the recipes of the table and of the search for their values."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
from PIL import Image

from tf_kit import data, design
from tf_kit.errors import InputError, RunStopped, TrainingDiverged
from tf_kit.experiments import Recipe, recipe_search, recipes, rows_for, run_table, search_recipe
from tf_kit.pretraining import Classifier

SIZES = [1000, 50_000]


@pytest.mark.parametrize("num_examples", SIZES)
def test_recipe_of_2007_keeps_to_the_means_of_2007(num_examples):
    rows = rows_for("2007", num_examples).rows
    assert list(rows) == ["dbn", "autoencoder", "supervised", "deep", "shallow"]
    for row in rows.values():
        assert row.activation == "sigmoid"
        assert {row.optimizer, row.pretrain_optimizer} <= {"sgd", "momentum"}
        assert (row.input_dropout, row.dropout, row.max_norm) == (0, 0, None)


@pytest.mark.parametrize("num_examples", SIZES)
def test_rows_of_today_with_the_same_units_are_fine_tuned_alike(num_examples):
    """So that their differences are those of pretraining; the sigmoid units of RBMs bear less noise."""
    rows = dict(rows_for("today", num_examples).rows)
    assert rows.pop("dbn").activation == "sigmoid"
    pretraining = {"pretrain_epochs", "pretrain_learning_rate", "rate"}
    fields = {field.name for field in dataclasses.fields(Recipe)} - pretraining
    shallow = rows.pop("shallow")
    for row in (*rows.values(), dataclasses.replace(shallow, units=rows["deep"].units)):
        assert {name for name in fields if getattr(row, name) != getattr(rows["deep"], name)} == set()


@pytest.mark.parametrize("num_examples", SIZES)
@pytest.mark.parametrize("recipe", recipes.LARGE)
def test_no_row_without_pretraining_has_a_smaller_budget_of_fine_tuning(recipe, num_examples):
    rows = rows_for(recipe, num_examples).rows
    assert len({(row.batch_size, len(row.learning_rates)) for row in rows.values()}) == 1
    pretrained = [rows[name].epochs for name in ("dbn", "autoencoder", "supervised")]
    assert min(rows["deep"].epochs, rows["shallow"].epochs) >= max(pretrained)
    assert all(len(row.units) >= 3 for name, row in rows.items() if name != "shallow")
    assert len(rows["shallow"].units) == 1


def test_changes_hold_for_every_row():
    rows = rows_for("today", 50_000, units=20, layers=2, batch_size=64, epochs=3).rows
    assert {row.units for name, row in rows.items() if name != "shallow"} == {(20, 20)}
    assert rows["shallow"].units == (20,)
    assert {(row.batch_size, row.pretrain_batch_size, row.epochs) for row in rows.values()} == {(64, 64, 3)}
    assert rows_for("today", 50_000, layers=2).of("deep").units == (1000, 1000)


@pytest.mark.parametrize(
    "changes",
    [{"units": 0}, {"layers": 0}, {"epochs": 1.5}, {"learning_rates": (0,)}, {"breadth": 3}],
    ids=lambda changes: next(iter(changes)),
)
def test_change_out_of_range_is_refused(changes):
    (name,) = changes
    with pytest.raises(InputError, match=name):
        rows_for("2007", 1000, **changes)


def test_unknown_recipe_is_refused():
    with pytest.raises(InputError, match="recipe='1986'"):
        rows_for("1986", 1000)


@pytest.mark.slow
def test_fine_tuning_drops_units_of_the_pretrained_layers_and_limits_their_norms():
    recipe = Recipe((6, 5), input_dropout=0.2, dropout=0.5, max_norm=0.5, optimizer="momentum")
    encoder = recipe.encoder((4, 4), seed=0)
    tuned = recipe.for_fine_tuning(encoder, seed=0)
    kinds = [type(layer).__name__ for layer in tuned.layers]
    assert kinds == ["Flatten", "Dropout", "Dense", "Sigmoid", "Dropout", "Dense", "Sigmoid", "Dropout"]
    assert [layer.rate for layer in tuned.layers if type(layer).__name__ == "Dropout"] == [0.2, 0.5, 0.5]
    assert [layer for layer in tuned.layers if layer in encoder.layers] == encoder.layers

    x = np.random.default_rng(0).uniform(size=(64, 4, 4)).astype("float32")
    np.testing.assert_array_equal(tuned(x), encoder(x))  # no dropout in inference
    classifier = Classifier(tuned, 2)
    classifier.compile(recipe.optimizer_of(0.5, 8))
    classifier.fit(x, np.arange(64) % 2, batch_size=16, epochs=2, verbose=0)
    norms = [np.linalg.norm(kernel, axis=0) for kernel in encoder.get_weights()[::2]]
    assert all(each.max() <= 0.5 + 1e-6 for each in norms)
    assert norms[0].max() > 0.49, "the limit is reached"


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_noise_of_fine_tuning_leaves_a_pretrained_encoder_what_it_computes(activation):
    recipe = Recipe((6, 5), activation=activation, dropout=0.5, noise=0.3)
    encoder = recipe.encoder((4, 4), seed=0)
    x = np.random.default_rng(0).uniform(size=(64, 4, 4)).astype("float32")
    tuned = recipe.for_fine_tuning(encoder, 0, x)
    kinds = [type(layer).__name__ for layer in tuned.layers]
    hidden = ["Dense", "NoisyBatchNorm", "Sigmoid" if activation == "sigmoid" else "ReLU", "Dropout"]
    assert kinds == ["Flatten", "GaussianNoise", *hidden, *hidden]
    np.testing.assert_allclose(tuned(x), encoder(x), atol=1e-5)
    seeds = [layer.seed for layer in tuned.layers if hasattr(layer, "seed")]
    seeds += [layer.noise.seed for layer in tuned.layers if hasattr(layer, "noise")]
    assert len(set(seeds)) == len(seeds) == 5, "each layer draws numbers of its own"

    quiet = Recipe((6, 5), activation=activation, noise=1e-6)
    kept, normalized = (quiet.for_fine_tuning(quiet.encoder((4, 4), seed=0), 0, shown) for shown in (x, None))
    np.testing.assert_allclose(kept(x, training=True), encoder(x), atol=1e-4)
    assert np.abs(normalized(x, training=True) - encoder(x)).max() > 0.1, "γ = 1 and β = 0"


@pytest.mark.parametrize(
    ("schedule", "rates"), [("constant", [1, 1]), ("linear", [0.5, 0]), ("cosine", [0.5, 0])]
)
def test_rate_of_fine_tuning_falls_to_zero_by_its_schedule(schedule, rates):
    optimizer = Recipe((4,), schedule=schedule, optimizer="sgd").optimizer_of(1.0, 10)
    weight = keras.Variable([0.0])
    shown = []
    for step in range(11):
        if step in (5, 10):
            shown.append(float(optimizer.learning_rate))
        optimizer.apply([keras.ops.ones((1,))], [weight])
    np.testing.assert_allclose(shown, rates, atol=1e-6)


TINY = {"units": 8, "min_epochs": 1, "max_epochs": 3, "candidates": 4, "quiet": True}


class _Untouchable:
    """Test set whose examples must not be read; how many there are may be asked."""

    def __len__(self):
        return 300

    def __getattr__(self, name):
        raise AssertionError("the search reads the test set")


def _search(out, system="shallow", **options):
    return search_recipe(system, "2007", "digits", out=out, **{**TINY, **options})


@pytest.mark.slow
def test_search_of_one_candidate_tries_the_recipe_itself(tmp_path):
    (trial,) = _search(tmp_path / "run", candidates=1, max_epochs=1)
    assert trial.candidate == {"learning_rates": rows_for("2007", 1197).of("shallow").learning_rates}
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    accuracy = float(dict(zip(*(line.split(",")[-5:] for line in history), strict=True))["val_accuracy"])
    np.testing.assert_allclose(trial.score, 100 * (1 - accuracy), atol=1e-3)


@pytest.mark.slow
def test_search_scores_the_recipe_and_its_draws_on_validation_alone(tmp_path, monkeypatch):
    load = data.load
    monkeypatch.setattr(data, "load", lambda *args, **kwargs: (*load(*args, **kwargs)[:2], _Untouchable()))
    results = _search(tmp_path / "run")
    assert [trial.budget for trial in results.history] == [1, 1, 1, 1, 3]
    rates = [trial.candidate["learning_rates"] for trial in results.history]
    assert rates[0] == rows_for("2007", 1197).of("shallow").learning_rates
    assert len(set(rates[:4])) == 4
    first = min(results.history[:4], key=lambda trial: trial.score)
    assert results.best.candidate == first.candidate
    assert all(0 < trial.score < 100 for trial in results)
    with (tmp_path / "run" / "search.csv").open() as file:
        logged = list(csv.DictReader(file))
    assert [float(row["score"]) for row in logged] == [trial.score for trial in results]
    written = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (written["score"], written["trials"]) == (results.best.score, 5)


def test_diverged_candidate_fails_and_any_other_stop_ends_the_search(tmp_path, monkeypatch):
    faults = [TrainingDiverged("the loss is not finite"), 4.0, 3.0, 3.5, RunStopped("the disk is full"), 2.0]
    calls = []

    def training(*arguments):
        calls.append(arguments)
        fault = faults[len(calls) - 1]
        if isinstance(fault, Exception):
            raise fault
        return fault

    monkeypatch.setattr(recipe_search, "_validation_error", training)
    monkeypatch.setattr(recipe_search, "forget_models", lambda: None)  # there are none, and it takes a while
    with pytest.raises(RunStopped, match="the disk is full"):
        _search(tmp_path / "run")
    assert len(calls) == 5
    assert not (tmp_path / "run" / "results.json").exists()

    calls.clear()
    faults[4] = 2.5
    results = _search(tmp_path / "run", resume=True)
    assert [trial.score for trial in results][:4] == [2.5, 3.0, 3.5, 4.0]
    assert "the loss is not finite" in results[-1].error

    calls.clear()
    log = tmp_path / "run" / "search.csv"
    written = log.read_text()
    log.unlink()
    again = _search(tmp_path / "run", resume=True)
    assert log.read_text() == written
    assert (calls, str(again)) == ([], str(results))
    assert [each.candidate for each in again.history] == [each.candidate for each in results.history]

    path = tmp_path / "run" / "results.json"
    path.write_text(json.dumps({"score": 2.5}))
    with pytest.raises(InputError, match="which lacks the trials"):
        _search(tmp_path / "run", resume=True)


@pytest.mark.slow
def test_candidates_that_differ_in_fine_tuning_only_share_a_pretraining(tmp_path):
    space = {"learning_rates": [(0.1,), (0.3,)], "pretrain_epochs": [1, 2]}
    results = _search(tmp_path / "run", "dbn", space=space, candidates=3)
    text = (tmp_path / "run" / "history.csv").read_text()
    pretrained = {line.rsplit(",", 1)[0] for line in text.splitlines() if line.startswith('"pretraining')}
    pretrained = {line.split('", ')[0].split(", layer")[0] for line in pretrained}
    assert len(pretrained) == len({trial.candidate["pretrain_epochs"] for trial in results})
    again = _search(tmp_path / "run", "dbn", space=space, candidates=3, resume=True)
    assert again.rows() == results.rows()


@pytest.mark.slow
def test_a_search_reads_a_folder_in_bfloat16(tmp_path):
    """In the precision, color and size that it is told, and by a file of labels."""
    lines = ["file,label"]
    for number in range(40):
        image = np.full((6, 6, 3), 40 * (number % 5), np.uint8)
        image[number % 6] = number
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    reading = {"color": "grey", "image_size": 4, "labels_file": tmp_path / "labels.csv"}
    arguments = {"units": 8, "min_epochs": 1, "max_epochs": 1, "candidates": 1, "quiet": True}
    out = tmp_path / "run"
    trials = search_recipe(
        "shallow", "2007", str(tmp_path), out=out, precision="bfloat16", **reading, **arguments
    )
    assert len(trials) == 1
    recorded = json.loads((out / "config.json").read_text())["options"]
    assert (recorded["precision"], recorded["color"], recorded["image_size"]) == ("bfloat16", "grey", 4)


def test_every_value_of_a_space_makes_a_row():
    for recipe in recipes.LARGE:
        for system, row in rows_for(recipe, 50_000).rows.items():
            space = recipe_search.space_of(recipe, system)
            for candidate in design.random(space, 3):
                changed = {**row.__dict__, **candidate}
                assert Recipe(**changed).units[0] >= 500
            assert row.learning_rates in space["learning_rates"]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "at least one field"),
        ({"foo": [1]}, "space='foo'"),
        ({"epochs": 3}, "a list of values for epochs. Received: epochs: 3"),
        ({"learning_rates": [0.1]}, "hold tuples for learning_rates"),
    ],
)
def test_space_without_values_of_a_recipe_is_refused(space, message, tmp_path):
    with pytest.raises(InputError, match=message):
        _search(tmp_path / "run", space=space)
    assert not (tmp_path / "run").exists()


def test_a_small_space_is_tried_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(
        recipe_search, "_validation_error", lambda run, system, row, *rest: row.learning_rates[0]
    )
    results = _search(tmp_path / "run", "deep", candidates=9, max_epochs=1)
    assert len(results) == 6


def test_unknown_row_is_refused():
    with pytest.raises(InputError, match="system='dnb'"):
        search_recipe("dnb")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", recipes.LARGE)
def test_table_by_a_recipe(recipe, tmp_path):
    options = {"epochs": 2, "pretrain_epochs": 1, "units": 16, "seeds": 1, "quiet": True}
    results = run_table("digits", out=tmp_path / "run", recipe=recipe, **options)
    assert list(results["systems"]) == ["dbn", "autoencoder", "supervised", "deep", "shallow"]
    assert results["settings"]["recipe"] == recipe
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert recorded["rows"]["deep"]["units"] == [16, 16, 16]
    again = run_table("digits", out=tmp_path / "run", recipe=recipe, resume=True, **options)
    assert again == results
