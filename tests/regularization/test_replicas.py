"""Batch normalization, masks and augmentations do not depend on the number of replicas."""

import numpy as np
import pytest
import tensorflow as tf
from regularization import on_replicas
from support import processes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_and_two_replicas(tmp_path_factory):
    out = tmp_path_factory.mktemp("replicas") / "two.npz"
    with processes.running(on_replicas.__file__, 2, out):
        one = on_replicas.results(tf.distribute.get_strategy())
    return one, dict(np.load(out))


def test_results_on_two_replicas_equal_one_device(one_and_two_replicas):
    one, two = one_and_two_replicas
    names = sorted(set(one) - {"alone"})
    assert len(names) == 15
    for name in names:
        expected, got = one[name], two[name]
        if "moving_" in name:  # one copy per replica, all equal
            np.testing.assert_array_equal(got[0], got[1], err_msg=name)
            expected, got = expected[0], got[0]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_unsynchronized_statistics_would_differ(one_and_two_replicas):
    """Wrong twin: batch normalization of Keras with its default arguments."""
    one, two = one_and_two_replicas
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        np.testing.assert_allclose(two["alone"], one["alone"], rtol=0.1, atol=0.1)
