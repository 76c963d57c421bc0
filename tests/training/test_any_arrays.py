"""Property test: whatever arrays are given to `fit`, it trains on them or refuses them in one line."""

import contextlib

import numpy as np
import pytest
from data.test_any_data import ANYTHING, attempt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tf_kit import networks, pretraining


@pytest.fixture(scope="module")
def model():
    model = pretraining.Classifier(networks.mlp((2,), num_classes=3, input_shape=(3,), seed=0), 3)
    model.compile("sgd", run_eagerly=True)
    return model


LABELS = st.integers(0, 4).map(lambda n: np.arange(n) % 3)
ROWS = st.integers(1, 4).map(lambda n: np.ones((n, 3), "float32"))
LONG = settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@contextlib.contextmanager
def accepting_other_widths():
    """Keras's own error names the layer that takes inputs of another size."""
    try:
        yield
    except ValueError as error:
        if "incompatible with the layer" not in str(error):
            raise


@pytest.mark.slow
@LONG
@given(x=ROWS | ANYTHING, y=LABELS | ANYTHING, weights=st.none() | ANYTHING)
def test_any_arrays_are_trained_on_or_refused(model, x, y, weights):
    for act in (model.fit, model.train_on_batch, model.test_on_batch):
        options = {"verbose": 0} if act == model.fit else {}
        with accepting_other_widths():
            attempt(act, x, y, sample_weight=weights, **options)
