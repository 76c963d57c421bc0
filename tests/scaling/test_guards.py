"""`check_replicas` finds each error of sick models on two replicas, and nothing in healthy ones."""

import json

import keras
import numpy as np
import pytest
from scaling import sick_models
from support import processes
from support.sampling import cases_of_this_run

from tf_kit import scaling
from tf_kit.errors import InputError


@pytest.fixture(scope="module")
def found(tmp_path_factory, request):
    """Name of the model → its findings, from a process with two devices."""
    path = tmp_path_factory.mktemp("guards") / "found.json"
    names = {
        *cases_of_this_run(request, "test_error_of_a_sick_model_is_found"),
        *cases_of_this_run(request, "test_healthy_model_has_no_findings"),
        *cases_of_this_run(request, "test_variables_do_not_change"),
    }
    processes.finish(processes.start(sick_models.__file__, path, *sorted(names)))
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", sick_models.SICK)
def test_error_of_a_sick_model_is_found(found, name):
    kind, words, _ = sick_models.SICK[name]
    assert found[name]["kinds"] == [kind]
    assert words in found[name]["messages"][0]
    assert found[name]["warned"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sick_models.HEALTHY)
def test_healthy_model_has_no_findings(found, name):
    assert found[name]["messages"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [*sick_models.SICK, *sick_models.HEALTHY])
def test_variables_do_not_change(found, name):
    assert found[name]["kept"]


@pytest.mark.slow
def test_callback_checks_before_the_first_step(found):
    assert found["callback"]["kinds"] == ["scale"]


def test_one_replica_is_refused_and_the_callback_ignores_it():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    with pytest.raises(InputError, match="have two replicas or more"):
        scaling.check_replicas(model, x, y)
    guard = scaling.ReplicaCheck(x, y)
    model.fit(x, y, verbose=0, callbacks=[guard])
    assert guard.findings is None


@pytest.mark.parametrize("wrong", [0, 2.5])
def test_bad_number_of_examples_is_refused(wrong):
    with pytest.raises(InputError, match=f"num_examples={wrong}"):
        scaling.check_replicas(keras.Sequential(), np.ones((8, 2)), num_examples=wrong)
