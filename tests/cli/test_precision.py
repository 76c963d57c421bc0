"""`--precision bfloat16` reaches every encoder that a command trains, in every stage."""

import keras
import pytest
from cli.typed import run_main

from tf_kit import training
from tf_kit.experiments.tuning import forget_models
from tf_kit.keras_internals import flatten_layers
from tf_kit.runs import Run
from tf_kit.runs.watching import Watch
from tf_kit.training.precision import precision

SCORES = {"loss": 0.5, "accuracy": 0.5}


@pytest.fixture
def stages(monkeypatch):
    """Dtypes in which the layers of an encoder compute, by stage. Models are only built, neither trained nor tested."""
    found = {}

    def fit(self, model, x, y=None, *, stage, epochs, **arguments):
        model.prepare_from(x(0, 1) if callable(x) else x, y)
        found[stage] = {layer.compute_dtype for layer in flatten_layers(model.encoder) if layer.weights}
        history = {name: [0.5] * epochs for name in ("seconds", "loss", "val_loss", "val_accuracy")}
        return {**history, "best_epoch": 1}

    monkeypatch.setattr(Run, "fit", fit)
    monkeypatch.setattr(Run, "draw", lambda *arguments: None)
    monkeypatch.setattr(Run, "history", lambda self: {"pretraining": {"seconds": [0.5], "loss": [0.5]}})
    monkeypatch.setattr(Watch, "fit", lambda self, *arguments, **options: self.run.fit(*arguments, **options))
    monkeypatch.setattr(training.Trainer, "evaluate", lambda *arguments, **options: SCORES)
    return found


# Command, and words that occur in its stages. RUN is a pretraining in float32.
CASES = {
    "label-efficiency --jobs 1 --methods mae,supervised --labels 30 --seeds 1": (
        "mae",
        "mlp",
        "vit",
        "layer 1",
        "probe",
    ),
    "table --jobs 1 --systems dbn,shallow --layers 2 --units 4 --seeds 2": (
        "dbn, seed 1",
        "shallow",
        "layer 2",
    ),
    "pretrain rbm --units 4,3": ("layer 1", "layer 2"),
    "pretrain byol --encoder cnn": ("pretraining",),
    "pretrain tokens --data TEXT --width 8 --depth 1": ("pretraining",),
    "finetune RUN --labels 30 --compare": ("finetune", "scratch"),
    "probe RUN --labels 30": ("probe",),
}


def test_forgetting_models_keeps_the_precision():
    with precision("bfloat16"):
        forget_models()
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"


@pytest.mark.slow
@pytest.mark.parametrize("command", CASES)
def test_every_stage_computes_in_the_precision_that_is_typed(command, stages, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "TEXT").write_text("some words in a row, " * 100)
    if " RUN " in command:
        status, _, err = run_main(monkeypatch, capsys, "pretrain", "masked", "--units", "4", "--out", "RUN")
        assert (status, stages.pop("pretraining")) == (0, {"float32"}), err
    typed = [*command.split(), "--precision", "bfloat16"]
    typed += [] if " RUN " in command else ["--out", "out"]
    status, _, err = run_main(monkeypatch, capsys, *typed)
    assert status == 0, err
    assert {stage: dtypes for stage, dtypes in stages.items() if dtypes != {"bfloat16"}} == {}
    for word in CASES[command]:
        assert any(word in stage for stage in stages), (word, list(stages))
