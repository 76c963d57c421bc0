"""Expected values for tests of `data`, computed from definitions by loops in float64, without tf_kit."""

import math

import numpy as np


def class_counts(y, num_classes):
    counts = [0] * num_classes
    for each in y:
        counts[int(each)] += 1
    return counts


def exclusive_or(point):
    """Return 1 if exactly one coordinate of a point in the unit square exceeds 1/2, otherwise 0."""
    return int((point[0] > 0.5) != (point[1] > 0.5))


def distance_to_half_circle(point, lower):
    """Return the distance of a point in the unit square from a half circle, in units of the radius."""
    u = 4 * (float(point[0]) - 0.5) + 0.5
    v = 4 * (float(point[1]) - 0.5) + 0.25
    if lower:  # the upper one, rotated by half a turn about its center (1/2, 1/4)
        u, v = 1 - u, 0.5 - v
    if v >= 0:
        return abs(math.hypot(u, v) - 1)
    return min(math.hypot(u - 1, v), math.hypot(u + 1, v))


def distance_to_arm(point, arm, arms, turns):
    """Return the distance of a point from a spiral arm, searched on a fine grid of the arm's parameter."""
    t = np.linspace(0, 1, 4001)
    angle = 2 * math.pi * (turns * t + arm / arms)
    on_arm = np.stack([0.5 + 0.4 * t * np.cos(angle), 0.5 + 0.4 * t * np.sin(angle)], axis=1)
    return float(np.sqrt(((on_arm - np.asarray(point, "float64")) ** 2).sum(axis=1)).min())


def all_bars_and_stripes(size):
    """Return the set of (image, class) for every image of bars or stripes, as a tuple of rows."""
    images = set()
    for code in range(1, 2**size - 1):
        line = tuple(code >> place & 1 for place in range(size))
        images.add((tuple(line for _ in range(size)), 0))
        images.add((tuple((value,) * size for value in line), 1))
    return images
