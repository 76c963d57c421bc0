"""Deep belief network: the pass down, and samples of a trained network."""

import keras
import numpy as np
import pytest

from tf_kit import data, networks
from tf_kit.pretraining import RBM, DeepBeliefNetwork, pretrain_greedily


def machine(W, b, c, **arguments):
    W = np.asarray(W, "float32")
    model = RBM(num_hidden=W.shape[1], **arguments)
    model.build((None, W.shape[0]))
    model.encoder.layers[-1].set_weights([W, np.asarray(c)])
    model.visible_bias.assign(b)
    return model


def copier(order=(0, 1, 2)):
    """A machine whose visible unit i copies its hidden unit order[i]."""
    W = 60 * np.eye(3)[list(order)]
    return machine(W, np.full(3, -30.0), np.full(3, -30.0))


def clamped(state):
    """A machine whose visible units are always in `state`."""
    return machine(np.zeros((3, 2)), 60 * np.array(state) - 30, np.zeros(2))


@pytest.fixture(scope="module")
def bars_and_stripes():
    """All 28 images of 4×4, and a network of two machines trained on them."""
    keras.utils.set_random_seed(0)
    images = np.concatenate([split.x for split in data.load("bars_and_stripes", size=4)])
    blocks = pretrain_greedily(
        networks.mlp((30, 20), num_classes=None, seed=0),
        np.tile(images, (100, 1, 1, 1)),
        block=RBM,
        gibbs_steps=5,
        epochs=8,
        batch_size=28,
        optimizer=keras.optimizers.SGD(0.1, momentum=0.5),
    )
    return images, DeepBeliefNetwork(blocks)


def share_that_are(images, samples):
    known = {tuple(image) for image in images.reshape(len(images), -1).astype(int)}
    return np.mean([tuple(sample) in known for sample in samples.astype(int)])


@pytest.mark.slow
def test_trained_network_samples_bars_and_stripes(bars_and_stripes):
    images, network = bars_and_stripes
    means = np.asarray(network.sample(500, num_steps=100, seed=1))
    assert means.shape == (500, 16)
    binary = np.random.default_rng(0).random(means.shape) < means
    # 28 of 65,536 images are bars or stripes: random pixels give one in 2,300.
    assert share_that_are(images, np.round(means)) > 0.6
    assert share_that_are(images, binary) > 0.4
    seen = {tuple(each) for each in np.round(means).astype(int)}
    assert sum(tuple(image) in seen for image in images.reshape(28, 16).astype(int)) > 14


@pytest.mark.slow
def test_seed_fixes_the_samples(bars_and_stripes):
    _, network = bars_and_stripes
    first, again, other = (np.asarray(network.sample(9, num_steps=3, seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.all(np.any(first != other, axis=1))


@pytest.mark.slow
def test_chains_start_at_examples(bars_and_stripes):
    """One step after an example the sample is near it; after many steps it is not."""
    images, network = bars_and_stripes
    flat = images.reshape(28, 16)

    def distance(num_steps):
        samples = np.asarray(network.sample(28, num_steps=num_steps, start=images, seed=0))
        own = np.abs(samples - flat).mean()
        return own / np.abs(samples[:, None] - flat[None]).mean()

    assert distance(1) < 0.3
    assert distance(1) < 0.5 * distance(200)


def test_representation_is_that_of_the_machine_below_the_top(bars_and_stripes):
    images, network = bars_and_stripes
    below = network.rbms[0].hidden_probabilities(images)
    np.testing.assert_array_equal(network.represent(images), below)
    assert below.shape == (28, network.rbms[1].num_visible)


@pytest.mark.parametrize("state", [(1, 0, 0), (0, 1, 0)])
def test_pass_down_uses_every_machine_from_the_top(state):
    lower, upper = (1, 2, 0), (0, 2, 1)
    network = DeepBeliefNetwork([copier(lower), copier(upper), clamped(state)])
    down = np.array(state)[list(upper)][list(lower)]
    assert not np.array_equal(down, np.array(state)[list(lower)][list(upper)])
    np.testing.assert_allclose(network.sample(5, num_steps=2), np.tile(down, (5, 1)), atol=1e-6)


@pytest.mark.slow
def test_network_of_one_machine():
    np.testing.assert_allclose(DeepBeliefNetwork([clamped((0, 1, 1))]).sample(2), [[0, 1, 1]] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ("rbms", "message"), [([], r"Received: \[\]"), ([keras.layers.Dense(2)], r"Received: \['Dense'\]")]
)
def test_refuses_anything_but_machines(rbms, message):
    with pytest.raises(ValueError, match=message):
        DeepBeliefNetwork(rbms)


def test_refusals():
    network = DeepBeliefNetwork([copier()])
    with pytest.raises(ValueError, match="count=0"):
        network.sample(0)
    with pytest.raises(ValueError, match="2 examples"):
        network.sample(3, start=np.zeros((2, 3), "float32"))
    with pytest.raises(ValueError, match="num_steps=0"):
        network.sample(1, num_steps=0)
    above = machine(np.zeros((3, 2)), np.zeros(3), np.zeros(2), visible="gaussian")
    with pytest.raises(ValueError, match=r"bernoulli visible units above.*\['bernoulli', 'gaussian'\]"):
        DeepBeliefNetwork([copier(), above])


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_hidden_units_are_binary_in_every_layer(visible):
    """The pass down samples the hidden units by the probabilities of the machine above, for any kind of data."""
    x = np.random.default_rng(0).random((40, 4)).astype("float32")
    encoder = networks.mlp((5, 4, 3), num_classes=None, activation="sigmoid")
    machines = pretrain_greedily(encoder, x, block=RBM, visible=visible, epochs=1)
    assert [each.visible for each in machines] == [visible, "bernoulli", "bernoulli"]
    means = np.asarray(machines[1].visible_means(np.eye(4, dtype="float32")))
    assert 0 < means.min() <= means.max() < 1
    assert DeepBeliefNetwork(machines).sample(3, num_steps=2).shape == (3, 4)
