"""Which trainings XLA compiles, and that it changes nothing else."""

import numpy as np
import pytest
import tensorflow as tf

from tf_kit.pretraining.methods import METHODS
from tf_kit.runs import methods
from tf_kit.runs.pretraining import pretrain


def test_xla_compiles_long_trainings_of_the_methods_that_it_makes_faster():
    enough = methods.STEPS_FOR_XLA
    compiled = {name for name in METHODS if methods.is_compiled(name, enough)}
    assert compiled == {name for name, method in METHODS.items() if method.faster_by_xla} == {"mae"}
    assert not any(methods.is_compiled(name, enough - 1) for name in METHODS)
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert not methods.is_compiled("mae", enough)


@pytest.mark.slow
def test_compiled_training_has_the_losses_of_the_other(tmp_path, monkeypatch):
    losses = []
    for enough in (methods.STEPS_FOR_XLA, 1):
        monkeypatch.setattr(methods, "STEPS_FOR_XLA", enough)
        options = {"epochs": 1, "batch_size": 600, "width": 8, "depth": 1, "monitor_every": 0}
        results = pretrain("mae", "digits", out=tmp_path / str(enough), **options)
        losses.append(results["stages"]["pretraining"]["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
