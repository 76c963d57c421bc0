"""Pruning and distillation give the same weights on two replicas as on one device, also for uneven minibatches."""

import numpy as np
import pytest
from scaling.compression import shrunk_on_replicas
from support import processes


@pytest.mark.slow
def test_two_replicas_give_the_same_weights_as_one_device(tmp_path):
    with processes.running(shrunk_on_replicas.__file__, 2, tmp_path / "two.npz"):
        one = shrunk_on_replicas.results()
    got = np.load(tmp_path / "two.npz")
    assert got.files == list(one)
    apart = {name: np.abs(got[name].astype("float64") - expected).max() for name, expected in one.items()}
    exact = {name: each for name, each in apart.items() if "alone_uneven" not in name}
    assert len(exact) == len(apart) - 7
    assert max(exact.values()) < 1e-6, exact
    assert max(apart.values()) > 1e-3  # so a mean of means would be noticed
    for way in ("pruned_alone ", "pruned_in_a_classifier "):
        kernels = [got[name] for name in got.files if way in name and got[name].ndim == 2]
        masked = [each for each in kernels if each.dtype != bool]
        assert sum(np.count_nonzero(kernel) for kernel in masked) == 36
