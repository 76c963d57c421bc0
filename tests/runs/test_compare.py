"""Tests of `finetune --compare`: the network from scratch is the one before pretraining, and a kill changes nothing."""

import json
import random

import keras
import numpy as np
import pytest
from cli.typed import run_main

from tf_kit import data
from tf_kit.pretraining import finetune
from tf_kit.runs import Run, classification, compare, encoders, pretraining

pytestmark = pytest.mark.slow

FINETUNE = {"labels": 100, "epochs": 2, "compare": True, "seed": 3}


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare") / "masked"
    pretraining.pretrain("masked", "digits", folder, epochs=1, units=(16,), monitor_every=0)
    return folder


@pytest.fixture(scope="module")
def whole(pretrained):
    return classification.finetune_run(pretrained, out=pretrained.parent / "whole", **FINETUNE)


def test_killed_between_the_two_trainings_ends_as_the_uninterrupted_one(pretrained, whole, monkeypatch):
    fit, out = Run.fit, pretrained.parent / "killed"

    def killed(self, *arguments, stage, **options):
        if stage == compare.STAGE:
            raise Killed
        return fit(self, *arguments, stage=stage, **options)

    monkeypatch.setattr(Run, "fit", killed)
    with pytest.raises(Killed):
        classification.finetune_run(pretrained, out=out, **FINETUNE)
    monkeypatch.undo()
    assert not (out / "results.json").exists()
    assert classification.finetune_run(pretrained, out=out, resume=True, **FINETUNE) == whole
    ours, theirs = (
        keras.models.load_model(each / "classifier.keras").get_weights()
        for each in (out, out.parent / "whole")
    )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_row_from_scratch_is_that_of_the_untrained_encoder(whole):
    """Trained here without a run: the initial weights of the pretraining, and the seed and order of the fine-tuning."""
    train, val, test = data.load("digits", seed=0)
    kept = data.splits.withhold(train, 100, seed=0)
    encoder = encoders.make_encoder((8, 8, 1), "mlp", units=(16,), activation="relu", seed=0)
    classifier = finetune(encoder, 10, learning_rate=0.001, seed=3)
    best, errors = None, []
    for epoch in range(2):
        classifier.fit(kept.x, kept.y, batch_size=32, epochs=epoch + 1, initial_epoch=epoch, verbose=0)
        found = [classifier.evaluate(each.x, each.y, verbose=0, return_dict=True) for each in (val, test)]
        errors.append([round(100 * (1 - float(each["accuracy"])), 4) for each in found])
    best = min(range(2), key=lambda epoch: errors[epoch][0])
    scratch = whole["from_scratch"]
    assert scratch["best_epoch"] == best + 1
    assert [scratch["error"][split] for split in ("valid", "test")] == errors[best]


def test_pretrained_row_is_that_of_a_run_without_comparison(pretrained, whole, tmp_path):
    alone = classification.finetune_run(pretrained, out=tmp_path / "alone", **FINETUNE | {"compare": False})
    assert {name: whole[name] for name in alone} == alone


def test_difference_and_counts_agree_with_the_errors(whole):
    scratch, n = whole["from_scratch"], sum(map(sum, whole["test_by_class"]["confusion"]))
    for split, difference in scratch["difference"].items():
        assert difference == pytest.approx(whole["error"][split] - scratch["error"][split], abs=1e-4)
    only = scratch["test_right_only"]
    gained = only["pretrained"] - only["from scratch"]
    assert -100 * gained / n == pytest.approx(scratch["difference"]["test"], abs=1e-3)


def test_command_prints_two_rows_and_their_difference(pretrained, whole, monkeypatch, capsys):
    words = ("--labels", 100, "--epochs", 2, "--seed", 3, "--compare", "--resume")
    typed = ("finetune", pretrained, *words, "--out", pretrained.parent / "whole")
    status, out, _ = run_main(monkeypatch, capsys, *typed)
    assert status == 0
    rows = {line[:28].strip(): line[28:].split() for line in out.splitlines()[:4]}
    assert rows["100 labels; error in %"] == ["train", "valid", "test"]
    for name, found in (("pretrained", whole), ("from scratch", whole["from_scratch"])):
        wanted = [f"{each:.2f}" for each in found["error"].values()]
        assert [each.rstrip(",") for each in rows[name][:3]] == wanted
        assert int(rows[name][-1]) == found["best_epoch"]
    wanted = [f"{each:+.2f}" for each in whole["from_scratch"]["difference"].values()]
    assert rows["difference"] == wanted


@pytest.mark.parametrize("kind", ["mlp", "cnn", "vit"])
def test_every_encoder_begins_as_before_its_pretraining(kind, tmp_path):
    shape = (8, 8, 1)
    encoder = encoders.make_encoder(shape, kind, **encoders.usual_sizes(kind, shape), seed=5)
    first = encoder.get_weights()
    encoder.set_weights([each + 1 for each in first])
    encoder.save(tmp_path / "encoder.keras")
    fresh = compare.from_scratch(keras.models.load_model(tmp_path / "encoder.keras"))
    for one, other in zip(fresh.get_weights(), first, strict=True):
        np.testing.assert_array_equal(one, other)


def test_initializers_without_seed_draw_from_the_given_one():
    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    state = random.getstate()
    kernels = [compare.from_scratch(encoder, seed).get_weights()[0] for seed in (1, 1, 2)]
    assert random.getstate() == state
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0.1


def test_config_records_the_comparison(whole, pretrained):
    options = json.loads((pretrained.parent / "whole" / "config.json").read_text())["options"]
    assert options["compare"] is True
