"""Small sets made by a formula and a seed: problems that show what a network can and cannot separate.

Points lie in the unit square, so that every set of the kit has its inputs in [0, 1].
"""

import numpy as np

from tf_kit.checks import count, number, refuse
from tf_kit.data.splits import Split, stratified


def xor(seed=0, *, n=600, noise=0.1):
    """Points near the corners of the unit square, of class 1 where exactly one coordinate is near 1

    No straight line parts the classes: the reason why a perceptron needs a hidden layer.

        y = b₁ xor b₂,   b uniform over the four corners
        x = |b − min(|ε|, 1)|,   ε normal with standard deviation `noise`

    Noise pushes a point off its corner into the square. With noise = 0 the points are the four corners.

    Args:
        seed: whole number.
        n: points in all; a sixth each goes to validation and test.
        noise: standard deviation of each coordinate's distance from its corner, at least 0.

    Returns:
        `Split` train, val, test of points (n, 2).

    Example:

        >>> train, val, test = xor(n=60, noise=0.0)
        >>> len(train), len(val), len(test)
        (40, 10, 10)
        >>> np.unique(np.column_stack([train.x, train.y]), axis=0).astype(int).tolist()
        [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]

    Reference: Minsky and Papert, 1969, "Perceptrons"
    """
    rng, n, noise = _given("xor", seed, n, noise)
    corner = np.arange(n) % 4
    b = np.stack([corner // 2, corner % 2], axis=1)
    x = np.abs(b - np.minimum(np.abs(noise * rng.normal(size=(n, 2))), 1))
    return _divided(x, b[:, 0] ^ b[:, 1], ("equal", "different"), rng)


def two_moons(seed=0, *, n=600, noise=0.025):
    """Points on two interlocking half circles

        upper: (cos t, sin t),   lower: (1 − cos t, 1/2 − sin t),   t uniform in [0, π]
        x = 1/2 + ((u, v) − (1/2, 1/4)) / 4 + ε

    where (u, v) is the point on its half circle and ε is normal with standard deviation `noise`. Points that
    the noise carries out of the unit square are put on its edge; at the default it is five deviations away.

    Args:
        seed: whole number.
        n: points in all; a sixth each goes to validation and test.
        noise: standard deviation, in the units of x; a half circle has radius 1/4.

    Returns:
        `Split` train, val, test of points (n, 2).

    Example:

        >>> train, val, test = two_moons(n=60)
        >>> train
        Split(40 of shape (2,) in 2 classes)
    """
    rng, n, noise = _given("two_moons", seed, n, noise)
    y = np.arange(n) % 2
    t = rng.uniform(0, np.pi, n)
    u = np.where(y == 0, np.cos(t), 1 - np.cos(t))
    v = np.where(y == 0, np.sin(t), 0.5 - np.sin(t))
    x = 0.5 + (np.stack([u, v], axis=1) - (0.5, 0.25)) / 4
    return _divided(x + noise * rng.normal(size=(n, 2)), y, ("upper", "lower"), rng)


def spirals(seed=0, *, n=600, noise=0.01, arms=2, turns=1.5):
    """Points on spiral arms that wind around each other

        φ = 2π (turns · t + c / arms),   t uniform in [0, 1]
        x = 1/2 + 0.4 · t · (cos φ, sin φ) + ε

    where c is the class and ε is normal with standard deviation `noise`; points are kept in the unit square.

    Args:
        seed: whole number.
        n: points in all; a sixth each goes to validation and test.
        noise: standard deviation, in the units of x.
        arms: number of arms, which are the classes, at least 2.
        turns: how often an arm winds around the center, above 0.

    Returns:
        `Split` train, val, test of points (n, 2).

    Example:

        >>> train, val, test = spirals(n=90, arms=3)
        >>> np.bincount(train.y).tolist()
        [20, 20, 20]

    Reference: Lang and Witbrock, 1988, "Learning to Tell Two Spirals Apart"
    """
    arms = count("spirals.arms", arms, at_least=2)
    rng, n, noise = _given("spirals", seed, n, noise, num_classes=arms)
    turns = number("spirals.turns", turns, above=0)
    y = np.arange(n) % arms
    t = rng.uniform(0, 1, n)
    phi = 2 * np.pi * (turns * t + y / arms)
    x = 0.5 + 0.4 * t[:, None] * np.stack([np.cos(phi), np.sin(phi)], axis=1)
    return _divided(x + noise * rng.normal(size=(n, 2)), y, tuple(f"arm {c}" for c in range(arms)), rng)


def bars_and_stripes(seed=0, *, size=8, n=None, noise=0.0):
    """Images whose columns are all on or all off (bars), or whose rows are (stripes)

    There are 2^size − 2 images of each class; the empty and the full one, which are both, are left out. An RBM
    should learn that all others have probability zero. The splits share no image.

        bars: x_ij = c_j,   stripes: x_ij = c_i,   c ∈ {0, 1}^size, not constant

    Args:
        seed: whole number.
        size: height and width, 3 to 16.
        n: images in all, drawn without repetition; None for all 2·(2^size − 2). A sixth each goes to
            validation and test.
        noise: probability that a pixel is flipped, in [0, 1].

    Returns:
        `Split` train, val, test of images (n, size, size, 1) of zeros and ones.

    Example:

        >>> train, val, test = bars_and_stripes(size=4)
        >>> len(train) + len(val) + len(test)
        28

    Reference: MacKay, 2003, "Information Theory, Inference, and Learning Algorithms", section 43.1
    """
    size = count("bars_and_stripes.size", size, at_least=3)
    if size > 16:
        refuse("bars_and_stripes.size", "be at most 16", f"size={size}")
    a_class = 2**size - 2
    rng, n, _ = _given("bars_and_stripes", seed, 2 * a_class if n is None else n, 0)
    if n > 2 * a_class:
        refuse("bars_and_stripes.n", f"be at most 2·(2^size − 2) = {2 * a_class}", f"n={n}")
    noise = number("bars_and_stripes.noise", noise, at_least=0, at_most=1)
    y = np.arange(n) % 2
    codes = np.empty(n, int)
    for c in (0, 1):
        codes[y == c] = 1 + rng.choice(a_class, (y == c).sum(), replace=False)
    line = codes[:, None] >> np.arange(size) & 1  # (n, size)
    x = np.where((y == 0)[:, None, None], line[:, None, :], line[:, :, None])  # (n, size, size)
    x = x ^ (rng.random(x.shape) < noise)
    return _divided(x[..., None], y, ("bars", "stripes"), rng)


def _given(name, seed, n, noise, num_classes=2):
    seed = count(f"{name}.seed", seed, at_least=0)
    n = count(f"{name}.n", n, at_least=6 * num_classes)
    return np.random.default_rng(seed), n, number(f"{name}.noise", noise, at_least=0)


def _divided(x, y, names, rng):
    x, y = np.clip(x, 0, 1).astype("float32"), y.astype("int64")
    shuffled = rng.permutation(len(y))
    x, y = x[shuffled], y[shuffled]
    sixth = len(y) // 6
    parts = stratified(y, (len(y) - 2 * sixth, sixth, sixth), rng)
    return tuple(Split(x[part], y[part], names) for part in parts)
