"""The number of replicas changes nothing: batch norm, masks and augmentations on two are those on one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from regularization import on_replicas

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_and_two_replicas(tmp_path_factory):
    out = tmp_path_factory.mktemp("replicas") / "two.npz"
    root = Path(on_replicas.__file__).parents[2]
    program = [sys.executable, on_replicas.__file__, "2", str(out)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    two = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)
    one = on_replicas.results(tf.distribute.get_strategy())
    _, errors = two.communicate(timeout=300)
    assert two.returncode == 0, errors[-3000:]
    return one, dict(np.load(out))


def test_two_replicas_give_what_one_device_gives(one_and_two_replicas):
    one, two = one_and_two_replicas
    names = sorted(set(one) - {"alone"})
    assert len(names) == 13
    for name in names:
        expected, got = one[name], two[name]
        if "moving_" in name:  # one copy a replica, and they agree
            np.testing.assert_array_equal(got[0], got[1], err_msg=name)
            expected, got = expected[0], got[0]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_unsynchronised_statistics_would_differ(one_and_two_replicas):
    """Wrong twin: Keras's batch normalisation as it comes."""
    one, two = one_and_two_replicas
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        np.testing.assert_allclose(two["alone"], one["alone"], rtol=0.1, atol=0.1)
