"""Generated sets against their definitions."""

import numpy as np
import pytest
from oracles import data as oracle

from tf_kit.data import generated, load

SETS = ["xor", "two_moons", "spirals", "bars_and_stripes"]


@pytest.mark.parametrize("name", SETS)
def test_splits_depend_on_the_seed_and_have_equal_classes(name):
    one, same, other = (load(name, seed=seed) for seed in (0, 0, 1))
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)
        assert (a.x != c.x).any()
        assert (a.x.dtype, a.y.dtype) == (np.float32, np.int64)
        assert 0 <= a.x.min() <= a.x.max() <= 1
        assert np.ptp(oracle.class_counts(a.y, a.num_classes)) <= 2
    n = sum(map(len, one))
    assert [len(part) for part in one] == [n - 2 * (n // 6), n // 6, n // 6]


@pytest.mark.parametrize("name", SETS)
def test_splits_share_no_example(name):
    examples = [x.tobytes() for part in load(name) for x in part.x]
    assert len(set(examples)) == len(examples)


def all_of(name, **parameters):
    parts = load(name, **parameters)
    return np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts])


def test_xor_classes():
    x, y = all_of("xor", n=200, noise=0.05)
    expected = [oracle.exclusive_or(point) for point in x]
    np.testing.assert_array_equal(y, expected)
    assert (1 - y != expected).any()  # wrong twin: the equality of the bits
    distance = np.minimum(x, 1 - x)
    # The mean of |ε| is σ·√(2/π); its standard deviation over 400 draws is below σ/20; the bound is five of them.
    assert abs(distance.mean() - 0.05 * np.sqrt(2 / np.pi)) < 5 * 0.05 / 20


def test_two_moons_lie_on_half_circles():
    x, y = all_of("two_moons", n=200, noise=0.0)
    right = [oracle.distance_to_half_circle(point, lower=c) for point, c in zip(x, y, strict=True)]
    wrong = [oracle.distance_to_half_circle(point, lower=not c) for point, c in zip(x, y, strict=True)]
    np.testing.assert_allclose(right, 0, atol=1e-5)
    assert max(wrong) > 0.5
    noisy = all_of("two_moons", n=1200, noise=0.01)
    radial = [oracle.distance_to_half_circle(p, lower=c) / 4 for p, c in zip(*noisy, strict=True)]
    assert 0.007 < np.mean(radial) < 0.009  # 0.01·√(2/π) = 0.008


@pytest.mark.parametrize("arms", [2, 3])
def test_spirals_lie_on_their_arms(arms):
    x, y = all_of("spirals", n=120, noise=0.0, arms=arms, turns=1.5)
    right = [oracle.distance_to_arm(point, c, arms, 1.5) for point, c in zip(x, y, strict=True)]
    wrong = [oracle.distance_to_arm(point, c + 1, arms, 1.5) for point, c in zip(x, y, strict=True)]
    np.testing.assert_allclose(right, 0, atol=1e-3)
    assert max(wrong) > 0.03
    assert set(y) == set(range(arms))


@pytest.mark.parametrize("size", [3, 4])
def test_bars_and_stripes_are_complete(size):
    x, y = all_of("bars_and_stripes", size=size)
    images = [(tuple(map(tuple, image[..., 0].astype(int))), int(c)) for image, c in zip(x, y, strict=True)]
    expected = oracle.all_bars_and_stripes(size)
    assert len(images) == len(expected)
    assert set(images) == expected
    transposed = {(tuple(zip(*image, strict=True)), c) for image, c in images}
    assert transposed != expected  # wrong twin: bars labelled as stripes


def test_noise_flips_pixels():
    clean, noisy = (
        all_of("bars_and_stripes", size=8, n=500)[0],
        all_of("bars_and_stripes", noise=0.1, n=500)[0],
    )
    constant = [(image == image[:1]).all() or (image == image[:, :1]).all() for image in noisy]
    assert set(np.unique(noisy)) == {0, 1} == set(np.unique(clean))
    assert np.mean(constant) < 0.05  # 0.9⁶⁴ of the images stay unchanged


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (generated.xor, {"n": 5}, "n=5"),
        (generated.xor, {"noise": -1}, "noise=-1"),
        (generated.two_moons, {"noise": float("inf")}, "noise=inf"),
        (generated.spirals, {"arms": 1}, "arms=1"),
        (generated.spirals, {"turns": 0}, "turns=0"),
        (generated.bars_and_stripes, {"size": 17}, "size=17"),
        (generated.bars_and_stripes, {"size": 2}, "size=2"),
        (generated.bars_and_stripes, {"size": 3, "n": 13}, "= 12. Received: n=13"),
        (generated.bars_and_stripes, {"noise": 1.1}, "noise=1.1"),
    ],
)
def test_bad_parameters_are_refused(make, given, message):
    with pytest.raises(ValueError, match=message):
        make(**given)
