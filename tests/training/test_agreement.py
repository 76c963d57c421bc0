"""Configurations that workers compare: everything that counts, and nothing that may differ from machine to machine."""

import keras
import pytest

from tf_kit import networks, optimizers, pretraining, regularization
from tf_kit.training import agreement


def model(
    method=pretraining.SimCLR, units=4, learning_rate=0.1, rate=0.2, optimizer=optimizers.Adam, **options
):
    hidden = [regularization.Dropout(rate, seed=0), keras.layers.Dense(units)]
    made = method(keras.Sequential([networks.Sigmoid(), *hidden]), **options)
    made.compile(optimizer(learning_rate))
    return made


def test_equal_models_agree_though_names_and_initial_values_differ():
    one, other = (agreement.of_model(model()) for _ in range(2))
    assert agreement.first_difference(one, other) is None
    functional = []
    for _ in range(2):
        x = keras.Input((3,))
        encoder = keras.Model(x, keras.layers.Dense(2)(x))
        functional.append(agreement.of_model(pretraining.Autoencoder(encoder)))
    assert functional[0] == functional[1]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"method": pretraining.BarlowTwins}, "model"),
        ({"units": 5}, "SimCLR.encoder.layers.2.units"),
        ({"rate": 0.3}, "SimCLR.encoder.layers.1.rate"),
        ({"temperature": 0.4}, "SimCLR.temperature"),
        ({"seed": 1}, "SimCLR.seed"),
        ({"dtype": "mixed_bfloat16"}, "SimCLR.dtype"),
        ({"learning_rate": 0.2}, "SimCLR.optimizer.learning_rate"),
        ({"optimizer": optimizers.SGD}, "SimCLR.optimizer.class"),
    ],
)
def test_first_difference_of_models_is_named(change, name):
    found = agreement.first_difference(agreement.of_model(model()), agreement.of_model(model(**change)))
    assert found is not None
    assert found[0] == name


def test_model_without_configuration_is_compared_by_its_shapes():
    class Own(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.w = self.add_weight(shape=(units,))

        def get_config(self):
            raise NotImplementedError

    one, other = (agreement.of_model(Own(units)) for units in (2, 3))
    assert agreement.first_difference(one, other) == ("Own.shapes", [[2]], [[3]])


def test_places_of_files_may_differ():
    one = {
        "data": "/scratch/flowers/",
        "labels_file": "a/labels.csv",
        "out": "a",
        "data_dir": "x",
        "rate": 0.1,
    }
    other = {"data": "flowers", "labels_file": "labels.csv", "out": "b", "data_dir": None, "rate": 0.1}
    compared = [agreement.without_places(each) for each in (one, other)]
    assert compared[0] == compared[1] == {"data": "flowers", "labels_file": "labels.csv", "rate": 0.1}


def test_differing_worker_is_found():
    assert agreement.differing_worker([{"a": 1}, {"a": 1}]) is None
    assert agreement.differing_worker([{"a": 1}, {"a": 1}, {"a": 2}]) == (2, ("a", 1, 2))
