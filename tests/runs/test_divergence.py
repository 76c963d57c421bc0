"""Tests of numbers gone wrong: a run stops within the epoch in one line, and later commands refuse or warn."""

import json

import keras
import numpy as np
import pytest
from cli.typed import run_main
from support.cases import mostly_slow

from tf_kit import networks
from tf_kit.errors import InputError, TrainingDiverged
from tf_kit.experiments.tuning import tune
from tf_kit.pretraining import Autoencoder, Classifier
from tf_kit.pretraining.methods import METHODS
from tf_kit.runs import Run, checkpoint, classification, pretraining, save_model
from tf_kit.runs.divergence import Guard, first_variable_gone_wrong, scale_of
from tf_kit.runs.progress import Progress

X = np.random.default_rng(0).random((48, 6)).astype("float32")
Y = np.arange(48) % 3
SIZES = {"mlp": {"units": (8, 8)}, "cnn": {"filters": (2, 2), "units": (4,)}, "vit": {"width": 8, "depth": 1}}
SIZES["text"] = {"width": 8, "depth": 1, "length": 24}
QUICK = ("rbm", "masked")


def quiet_run(folder, **kwargs):
    return Run(folder, {"test": 1}, progress=Progress(quiet=True), **kwargs)


@pytest.mark.parametrize("method", mostly_slow(METHODS, QUICK))
def test_rate_of_a_million_stops_every_method(method, tmp_path):
    (tmp_path / "rhyme.txt").write_text("the cat sat on the mat. " * 300)
    kind = METHODS[method]
    name = str(tmp_path / "rhyme.txt") if kind.reads_text else "digits"
    sizes = SIZES["text" if kind.reads_text else kind.encoders[0]]
    with pytest.raises(TrainingDiverged) as caught:
        pretraining.pretrain(
            method, name, tmp_path / "run", epochs=2, batch_size=64, learning_rate=1e6, **sizes
        )
    line = str(caught.value)
    assert line.startswith("layer 1 stopped in" if kind.greedy else "pretraining stopped in epoch 1, step")
    assert " has grown to " in line or " holds nan" in line or "holds inf" in line
    assert "no checkpoint was written before. Start a new run with a smaller learning rate" in line
    assert "\n" not in line
    assert not (tmp_path / "run" / "results.json").exists()
    assert not (tmp_path / "run" / "encoder.keras").exists()


def test_command_ends_with_one_line_and_status_1(tmp_path, monkeypatch, capsys):
    arguments = ["--units", "8", "--epochs", "1", "--batch-size", "256", "--learning-rate", "1e6"]
    monkeypatch.chdir(tmp_path)
    status, out, err = run_main(monkeypatch, capsys, "pretrain", "rbm", *arguments, "--out", "r")
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("tf-kit: layer 1 stopped in epoch 1, step")
    assert "Traceback" not in err


class PoisonAfter(keras.callbacks.Callback):
    """Makes a variable NaN at the beginning of an epoch."""

    def __init__(self, epoch, variable):
        super().__init__()
        self.epoch, self.variable = epoch, variable

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.variable(self.model).assign(np.nan * np.ones(self.variable(self.model).shape))


def autoencoder():
    model = Autoencoder(networks.mlp((4, 3), num_classes=None, input_shape=(6,), seed=0))
    model.compile(keras.optimizers.SGD(0.1))
    return model


def test_last_checkpoint_before_is_kept_and_named(tmp_path):
    run, model = quiet_run(tmp_path / "run"), autoencoder()
    poison = PoisonAfter(2, lambda model: model.encoder.layers[1].kernel)
    with pytest.raises(TrainingDiverged, match=r"^only stopped in epoch 3, step") as caught:
        run.fit(model, X, stage="only", epochs=4, batch_size=16, callbacks=[poison])
    line = str(caught.value)
    assert "the loss is nan, and encoder/hidden_1/kernel holds nan; the checkpoint of epoch 2 is kept" in line
    state = checkpoint.StageState(tmp_path / "run" / "checkpoints" / "only")
    assert state.epoch == 2
    state.restore_last(model)
    assert first_variable_gone_wrong(model) is None


def test_statistic_that_training_does_not_use_is_found_at_the_end_of_the_epoch(tmp_path):
    """A NaN in the moving mean of batch normalization shows in the loss of validation only."""
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(name="norm")]
    model = Classifier(keras.Sequential([keras.Input((6,)), *layers]), 3)
    model.compile(keras.optimizers.SGD(0.1))
    poison = PoisonAfter(1, lambda model: model.encoder.layers[1].moving_mean)
    with pytest.raises(TrainingDiverged, match=r"epoch 2, step.*norm/moving_mean holds nan"):
        quiet_run(tmp_path / "run").fit(model, X, Y, stage="s", epochs=3, batch_size=16, callbacks=[poison])


def test_validation_loss_is_checked(tmp_path):
    model = autoencoder()
    model.prepare_from(X)
    guard = Guard("s", checkpoint.StageState(tmp_path))
    guard.set_model(model)
    guard.on_epoch_end(0, {"val_loss": 1.0})
    with pytest.raises(TrainingDiverged, match="the val_loss is inf, while all weights are finite"):
        guard.on_epoch_end(1, {"val_loss": np.inf})


def test_large_data_allow_large_weights():
    assert scale_of(X, None) == 1
    assert scale_of(1e6 * X) > 9e5
    assert scale_of(lambda: None, [1, 2], Y) == 2
    layer = keras.layers.Dense(1, name="dense")
    layer.build((None, 1))
    layer.set_weights([np.array([[3e4]]), np.zeros(1)])
    assert first_variable_gone_wrong(layer, 1e4) == "dense/kernel has grown to 3e+04"
    assert first_variable_gone_wrong(layer, 1e4 * 1e6) is None


def test_integers_and_halves_are_checked_too():
    layer = keras.layers.Dense(2, dtype="bfloat16", name="half")
    layer.build((None, 1))
    layer.set_weights([np.array([[1.0, np.inf]]), np.zeros(2)])
    assert first_variable_gone_wrong(layer) == "half/kernel holds inf"
    assert first_variable_gone_wrong(keras.layers.Dropout(0.5, seed=1)) is None


def classifying(run, rates):
    class Split:
        x, y, num_classes = X, Y, 3

    encoder = networks.mlp((4,), num_classes=None, input_shape=(6,), seed=0)
    options = {"epochs": 2, "batch_size": 16, "stage": "tuning"}
    return tune(run, encoder, Split, Split, learning_rates=rates, **options)


@pytest.mark.slow
def test_tuning_leaves_out_a_rate_that_diverges(tmp_path, capsys):
    alone = classifying(quiet_run(tmp_path / "alone"), (0.01,))[1]
    run = Run(tmp_path / "run", {"test": 1})
    assert classifying(run, (1e6, 0.01, 1e7))[1] == alone
    assert capsys.readouterr().err.count("this rate is left out") == 2
    with pytest.raises(TrainingDiverged, match="at 1e"):
        classifying(quiet_run(tmp_path / "none"), (1e6, 1e7))


# Later commands.


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "run"
    pretraining.pretrain("masked", "digits", folder, units=(8,), epochs=1, batch_size=256, monitor_every=0)
    return folder


@pytest.fixture
def copied(pretrained, tmp_path):
    import shutil

    return shutil.copytree(pretrained, tmp_path / "run")


JUDGES = [classification.finetune_run, classification.probe_run]


@pytest.mark.parametrize("judge", JUDGES)
def test_encoder_that_is_not_finite_is_refused(judge, copied):
    encoder = keras.models.load_model(copied / "encoder.keras")
    weights = encoder.get_weights()
    weights[0][0, 0] = np.nan
    encoder.set_weights(weights)
    save_model(encoder, copied / "encoder.keras")
    with pytest.raises(
        InputError, match=r"must hold an encoder with finite weights\. .*hidden_1/kernel holds nan"
    ):
        judge(copied)
    assert not list(copied.glob("*-seed-0")), "no time is spent"


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty", "cut", "foreign"])
def test_damaged_encoder_is_refused(damage, copied):
    path = copied / "encoder.keras"
    content = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "cut": content[: len(content) // 2], "foreign": b"\xff\xd8 photo"}[damage]
    )
    with pytest.raises(
        InputError, match=r"must hold an encoder that can be read\..*pretrain again"
    ) as caught:
        classification.finetune_run(copied)
    assert "\n" not in str(caught.value)
    (copied / "results.json").unlink()
    path.unlink()
    sizes = {"units": (8,), "epochs": 1, "batch_size": 256, "monitor_every": 0}
    pretraining.pretrain("masked", "digits", copied, resume=True, **sizes)
    assert path.exists(), "the remedy works"


def test_encoder_of_unknown_classes_is_refused(copied):
    encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Lambda(lambda x: x + 1)])
    encoder.save(copied / "encoder.keras")
    with pytest.raises(InputError, match=r"must hold an encoder that can be read\. .*[Ll]ambda") as caught:
        classification.probe_run(copied)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{}", "", "[]", '{"options": 1}', '{"options": {}}'])
def test_damaged_config_of_the_pretraining_is_refused(content, copied):
    (copied / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json") as caught:
        classification.finetune_run(copied)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_collapsed_encoder_is_named_before_the_training(copied, capsys):
    results = json.loads((copied / "results.json").read_text())
    (copied / "results.json").write_text(json.dumps(results | {"collapsed_in": {"pretraining": 3}}))
    classification.finetune_run(copied, epochs=1, batch_size=256)
    lines = capsys.readouterr().err.splitlines()
    assert "the embeddings collapsed in epoch 3 of its pretraining, so this will gain little" in lines[0]
    assert lines[1].startswith("finetune: 1 epoch")


@pytest.mark.parametrize("content", ["", "{}", '{"collapsed_in": null}', '{"collapsed_in": 3}'])
def test_damaged_results_of_the_pretraining_do_not_matter(content, copied):
    (copied / "results.json").write_text(content)
    assert classification._collapsed_in(copied / "results.json") == {}


def dead_mlp(units, **options):
    network = make_mlp(units, **(options | {"activation": "relu"}))
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.set_weights([0 * layer.get_weights()[0], layer.get_weights()[1] - 9])
    return network


make_mlp = networks.mlp


@pytest.mark.parametrize("monitor_every", [0, pytest.param(None, marks=pytest.mark.slow)])
def test_collapsed_layer_is_reported_and_the_next_one_trained(monitor_every, tmp_path, monkeypatch, capsys):
    """All representations of the layers above are equal, which is no overlap of the images."""
    monkeypatch.setattr(networks, "mlp", dead_mlp)
    results = pretraining.pretrain(
        "denoising",
        "digits",
        tmp_path / "run",
        units=(4, 4),
        epochs=1,
        batch_size=256,
        monitor_every=monitor_every,
    )
    assert list(results["collapsed_in"]) == ["layer 1", "layer 2"]
    assert capsys.readouterr().err.count("the embeddings have collapsed") == 2
    assert "collapsed in epoch 1" in results["kept"]["layer 1"]["text"]
