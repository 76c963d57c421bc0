"""Two replicas prune and distil to what one does; zeros are zeros there too."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scaling.compression import shrunk_on_replicas


@pytest.mark.slow
def test_two_replicas_give_what_one_device_gives(tmp_path):
    root = Path(shrunk_on_replicas.__file__).parents[3]
    program = [sys.executable, shrunk_on_replicas.__file__, "2", str(tmp_path / "two.npz")]
    environment = os.environ | {"PYTHONPATH": str(root)}
    two = subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)
    one = shrunk_on_replicas.results(tf.distribute.get_strategy())
    _, errors = two.communicate(timeout=300)
    assert two.returncode == 0, errors[-3000:]
    got = np.load(tmp_path / "two.npz")
    assert len(one) == 7
    for name, expected in one.items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
    assert sum(np.count_nonzero(got[f"pruned {i}"]) for i in range(2)) == 36
