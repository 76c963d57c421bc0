"""Tests of `config.json`: it records the declared options of the method, and nothing else but the run's settings."""

import json

import pytest
from support.cases import mostly_slow

from tf_kit.pretraining.methods import METHODS, own_options
from tf_kit.pretraining.run_options import TrainingOptions
from tf_kit.runs import Run, pretraining, text

SHARED = {"command", "method", "data", "data_dir", "seed", *TrainingOptions.names()}
OF_IMAGES = SHARED | {"image_size", "encoder", "augment", "labels", "monitor_every", "keep", "files"}
OF_TEXT = SHARED | {"length", "width", "depth"}
CHANGED = {  # an option of each method, with a value that is not its default
    "autoencoder": {"tied": False},
    "denoising": {"rate": 0.4, "corruption": "gaussian"},
    "rbm": {"gibbs_steps": 2, "persistent": True, "num_chains": 16},
    "supervised": {},
    "simclr": {"temperature": 0.3},
    "byol": {"momentum": 0.9},
    "simsiam": {},
    "nnclr": {"temperature": 0.2, "queue_size": 64},
    "supcon": {"temperature": 0.2},
    "barlow": {"redundancy_weight": 0.01},
    "vicreg": {"covariance_weight": 4.0},
    "dino": {"local_views": 1, "num_prototypes": 64, "teacher_temperature": 0.05},
    "lejepa": {"normality_weight": 0.2, "num_directions": 64},
    "mae": {"decoder_width": 8, "decoder_heads": 2},
    "masked": {"mask_ratio": 0.3},
    "tokens": {"mask_ratio": 0.2},
}
TINY = {
    "mlp": {"units": (8,)},
    "cnn": {"filters": (2, 2), "units": (4,)},
    "vit": {"width": 8, "depth": 1},
    "text": {"width": 8, "depth": 1},
}


class Started(Exception):
    """Raised in place of a run, with its options."""


def recorded(method, monkeypatch, tmp_path, **options):
    """Options that a pretraining gives its run, which then does not start."""

    def stop(out, options, **more):
        raise Started(json.loads(json.dumps(options)))

    monkeypatch.setattr(pretraining, "Run", stop)
    monkeypatch.setattr(text, "Run", stop)
    (tmp_path / "rhyme.txt").write_text("the cat sat on the mat. " * 300)
    name = str(tmp_path / "rhyme.txt") if METHODS[method].reads_text else "digits"
    with pytest.raises(Started) as started:
        pretraining.pretrain(method, name, tmp_path / "run", **TINY[METHODS[method].encoders[0]], **options)
    (options,) = started.value.args
    return options


@pytest.mark.parametrize("given", [False, True], ids=["defaults", "changed"])
@pytest.mark.parametrize(
    "method", mostly_slow(METHODS, [name for name in METHODS if not METHODS[name].views])
)
def test_config_holds_exactly_the_own_options(method, given, monkeypatch, tmp_path):
    changes = CHANGED[method] if given else {}
    options = recorded(method, monkeypatch, tmp_path, **changes)
    own = own_options(method, changes)
    assert {name: options[name] for name in own} == json.loads(json.dumps(own))
    assert changes.items() <= own.items()
    settings = OF_TEXT if METHODS[method].reads_text else OF_IMAGES
    assert options.keys() == settings | own.keys()
    for name in TrainingOptions.names():
        assert options[name] == (getattr(METHODS[method], name) or "float32")  # None is the policy of Keras


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rbm", "masked"])
def test_config_of_a_run_is_written(method, tmp_path):
    tiny = {"epochs": 1, "batch_size": 256, "units": (8,)}
    pretraining.pretrain(method, "digits", tmp_path / "run", **tiny, **CHANGED[method])
    options = json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    own = own_options(method, CHANGED[method])
    assert {name: options[name] for name in options.keys() - OF_IMAGES} == own
    assert options.keys() == OF_IMAGES | own.keys()
    assert (options["epochs"], options["batch_size"]) == (1, 256)
    assert options["encoder"]["units"] == [8]
    Run(tmp_path / "run", options, resume=True)
