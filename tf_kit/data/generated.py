"""Small sets generated from a formula and a seed, for showing which classes a network can separate.

Points lie in the unit square, so that the inputs of every set of the kit are in [0, 1].
"""

import numpy as np

from tf_kit.checks import count, number, refuse
from tf_kit.data.splits import Split, stratified


def xor(seed: int = 0, *, n: int = 600, noise: float = 0.1) -> tuple[Split, Split, Split]:
    """Generate points near the corners of the unit square, of class 1 if exactly one coordinate is near 1.

    No straight line separates the classes, so a perceptron needs a hidden layer.

        y = b₁ xor b₂,   b uniform over the four corners                                (1)
        x = |b − min(|ε|, 1)|,   ε normal with standard deviation `noise`               (2)

    The noise moves a point from its corner into the square. With noise = 0 the points are the four corners.

    Args:
        seed: whole number, at least 0. Defaults to 0.
        n: number of points, at least 12; a sixth each is for validation and test. Defaults to 600.
        noise: standard deviation of ε, at least 0. Defaults to 0.1.

    Returns:
        `Split` train, val, test of points (n, 2).

    Example:
        >>> train, val, test = xor(n=60, noise=0.0)
        >>> len(train), len(val), len(test)
        (40, 10, 10)
        >>> np.unique(np.column_stack([train.x, train.y]), axis=0).astype(int).tolist()
        [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]

    Reference: Minsky, Papert, 1969, Perceptrons.
    """
    rng, n, noise = _given("xor", seed, n, noise)
    corner = np.arange(n) % 4
    b = np.stack([corner // 2, corner % 2], axis=1)
    x = np.abs(b - np.minimum(np.abs(noise * rng.normal(size=(n, 2))), 1))  # (2)
    return _divided(x, b[:, 0] ^ b[:, 1], ("equal", "different"), rng)  # (1)


def two_moons(seed: int = 0, *, n: int = 600, noise: float = 0.025) -> tuple[Split, Split, Split]:
    """Generate points on two interlocking half circles.

        upper: (cos t, sin t),   lower: (1 − cos t, 1/2 − sin t),   t uniform in [0, π]     (1)
        x = 1/2 + ((u, v) − (1/2, 1/4)) / 4 + ε                                             (2)

    where (u, v) is the point on its half circle and ε is normal with standard deviation `noise`. Points outside
    the unit square are moved to its edge, which is five standard deviations away at the default.

    Args:
        seed: whole number, at least 0. Defaults to 0.
        n: number of points, at least 12; a sixth each is for validation and test. Defaults to 600.
        noise: standard deviation of ε, at least 0; a half circle has radius 1/4. Defaults to 0.025.

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
    u = np.where(y == 0, np.cos(t), 1 - np.cos(t))  # (1)
    v = np.where(y == 0, np.sin(t), 0.5 - np.sin(t))
    x = 0.5 + (np.stack([u, v], axis=1) - (0.5, 0.25)) / 4  # (2)
    return _divided(x + noise * rng.normal(size=(n, 2)), y, ("upper", "lower"), rng)


def spirals(
    seed: int = 0, *, n: int = 600, noise: float = 0.01, arms: int = 2, turns: float = 1.5
) -> tuple[Split, Split, Split]:
    """Generate points on spiral arms that wind around each other.

        φ = 2π (turns · t + c / arms),   t uniform in [0, 1]                (1)
        x = 1/2 + 0.4 · t · (cos φ, sin φ) + ε                              (2)

    where c is the class and ε is normal with standard deviation `noise`. Points outside the unit square are moved
    to its edge.

    Args:
        seed: whole number, at least 0. Defaults to 0.
        n: number of points, at least 6 · `arms`; a sixth each is for validation and test. Defaults to 600.
        noise: standard deviation of ε, at least 0. Defaults to 0.01.
        arms: number of arms, one per class, at least 2. Defaults to 2.
        turns: number of turns of an arm around the center, above 0. Defaults to 1.5.

    Returns:
        `Split` train, val, test of points (n, 2).

    Example:
        >>> train, val, test = spirals(n=90, arms=3)
        >>> np.bincount(train.y).tolist()
        [20, 20, 20]

    Reference: Lang, Witbrock, 1988, Learning to tell two spirals apart, Connectionist Models Summer School.
    """
    arms = count("spirals.arms", arms, at_least=2)
    rng, n, noise = _given("spirals", seed, n, noise, num_classes=arms)
    turns = number("spirals.turns", turns, above=0)
    y = np.arange(n) % arms
    t = rng.uniform(0, 1, n)
    phi = 2 * np.pi * (turns * t + y / arms)  # (1)
    x = 0.5 + 0.4 * t[:, None] * np.stack([np.cos(phi), np.sin(phi)], axis=1)  # (2)
    return _divided(x + noise * rng.normal(size=(n, 2)), y, tuple(f"arm {c}" for c in range(arms)), rng)


def bars_and_stripes(
    seed: int = 0, *, size: int = 8, n: int | None = None, noise: float = 0.0
) -> tuple[Split, Split, Split]:
    """Generate images in which each column is all on or all off (bars), or each row is (stripes).

    There are 2^size − 2 images of each class; the empty and the full image, which belong to both, are left out. An
    RBM should learn that all other images have probability zero. Without noise no image is in two splits.

        bars: x_ij = c_j,   stripes: x_ij = c_i,   c ∈ {0, 1}^size, not constant            (1)

    Args:
        seed: whole number, at least 0. Defaults to 0.
        size: height and width, 3 to 16. Defaults to 8.
        n: number of images, drawn without repetition, at least 12; a sixth each is for validation and test. None
            means all 2·(2^size − 2). Defaults to None.
        noise: probability that a pixel is flipped, in [0, 1]. Defaults to 0.

    Returns:
        `Split` train, val, test of images (n, size, size, 1) of zeros and ones.

    Example:
        >>> train, val, test = bars_and_stripes(size=4)
        >>> len(train) + len(val) + len(test)
        28

    Reference: MacKay, 2003, Information theory, inference, and learning algorithms, section 43.1.
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
    x = np.where((y == 0)[:, None, None], line[:, None, :], line[:, :, None])  # (1), (n, size, size)
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
