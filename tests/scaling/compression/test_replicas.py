"""Two replicas prune and distil to what one does; zeros are zeros there too."""

import numpy as np
import pytest
import tensorflow as tf
from contracts import processes
from scaling.compression import shrunk_on_replicas


@pytest.mark.slow
def test_two_replicas_give_what_one_device_gives(tmp_path):
    with processes.running(shrunk_on_replicas.__file__, 2, tmp_path / "two.npz"):
        one = shrunk_on_replicas.results(tf.distribute.get_strategy())
    got = np.load(tmp_path / "two.npz")
    assert len(one) == 7
    for name, expected in one.items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
    assert sum(np.count_nonzero(got[f"pruned {i}"]) for i in range(2)) == 36
