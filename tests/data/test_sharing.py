"""Parts of a minibatch: contiguous, in order, and together the whole minibatch."""

import numpy as np
import pytest
import tensorflow as tf
from support.twins import wrong_twin

from tf_kit.data import Share, minibatches, sharing
from tf_kit.errors import InputError

CASES = [(1, 9, 2), (7, 9, 3), (64, 9, 4), (64, 100, 2), (7, 1, 2), (64, 64, 1)]


def parts(n, batch_size, replicas, **options):
    """Minibatch → replica → examples, with one replica per machine."""
    dealt = [
        minibatches(np.arange(n), batch_size=batch_size, share=Share(r, 1, replicas), **options)
        for r in range(replicas)
    ]
    assert {int(each.cardinality()) for each in dealt} == {-(-n // batch_size) * options.get("epochs", 1)}
    return list(zip(*(each.as_numpy_iterator() for each in dealt), strict=True))


@pytest.mark.parametrize(("n", "batch_size", "replicas"), CASES)
def test_parts_make_up_the_minibatch_1_2(n, batch_size, replicas):
    whole = list(minibatches(np.arange(n), batch_size=batch_size, epochs=2).as_numpy_iterator())
    dealt = parts(n, batch_size, replicas, epochs=2)
    assert len(dealt) == len(whole)
    for batch, shares in zip(whole, dealt, strict=True):
        np.testing.assert_array_equal(np.concatenate(shares), batch)
        size = -(-len(batch) // replicas)
        assert [len(share) for share in shares] == [
            max(0, min(size, len(batch) - r * size)) for r in range(replicas)
        ]


def test_machine_with_several_replicas_reads_their_parts_in_turn():
    alone = parts(10, 4, 4, shuffle=False)
    machines = [minibatches(np.arange(10), batch_size=4, shuffle=False, share=Share(r, 2, 4)) for r in (0, 2)]
    for first, machine in zip((0, 2), machines, strict=True):
        expected = [share for batch in alone for share in batch[first : first + 2]]
        for ours, theirs in zip(machine.as_numpy_iterator(), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_structures_are_kept():
    x, y = np.arange(24.0).reshape(12, 2), np.arange(12)
    batches = tf.data.Dataset.from_tensor_slices({"x": x, "y": y}).batch(5)
    dealt = list(Share(1, 1, 2).of(batches).as_numpy_iterator())
    assert [batch["y"].tolist() for batch in dealt] == [[3, 4], [8, 9], [11]]
    np.testing.assert_array_equal(dealt[0]["x"], x[3:5])


def test_wrong_twin_with_floor_loses_examples():
    floor = wrong_twin(sharing, "-(-n // self.num_replicas)", "n // self.num_replicas")
    dealt = [minibatches(np.arange(19), batch_size=9, share=floor.Share(r, 1, 2)) for r in range(2)]
    assert sum(len(part) for each in dealt for part in each.as_numpy_iterator()) < 19


@pytest.mark.parametrize("wrong", [(0, 0, 2), (-1, 1, 2), (1, 2, 2), (0, 1, 0)])
def test_share_outside_the_replicas_is_refused(wrong):
    with pytest.raises(InputError, match="Share"):
        Share(*wrong)
