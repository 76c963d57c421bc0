"""Formulas of the papers for `regularization` as float64 loops. This file must not import tf_kit."""

import itertools
import math
import zlib

import numpy as np

# Penalties


def penalty(weights, l1=0.0, l2=0.0):
    return sum(l1 * abs(w) + l2 / 2 * w * w for w in np.asarray(weights, "float64").ravel())


def max_norm(kernel, bound):
    """Project each column, the incoming weights of one unit, into the ball (Srivastava et al., 2014, section 5.1)."""
    kernel = np.array(kernel, "float64")
    for unit in range(kernel.shape[1]):
        length = math.sqrt(sum(w * w for w in kernel[:, unit]))
        if length > bound:
            kernel[:, unit] *= bound / length
    return kernel


def soft_threshold(weights, amount):
    return np.array([math.copysign(max(abs(w) - amount, 0.0), w) for w in weights])


def descend(gradient, start, learning_rate, num_steps):
    """Run plain gradient descent."""
    w = np.array(start, "float64")
    for _ in range(num_steps):
        w = w - learning_rate * gradient(w)
    return w


# Batch normalization: Ioffe and Szegedy 2015, algorithm 1


def batch_norm(x, gamma, beta, epsilon, visible=None):
    """Return (y, mean, variance) of x (m, features); `visible` (m,) marks the rows that count."""
    x = np.asarray(x, "float64")
    visible = np.ones(len(x), bool) if visible is None else visible
    y, means, variances = np.empty_like(x), [], []
    for k in range(x.shape[1]):
        column = [value for value, counts in zip(x[:, k], visible, strict=True) if counts]
        mean = math.fsum(column) / len(column)
        variance = math.fsum((value - mean) ** 2 for value in column) / len(column)
        for i in range(len(x)):
            y[i, k] = gamma[k] * (x[i, k] - mean) / math.sqrt(variance + epsilon) + beta[k]
        means.append(mean)
        variances.append(variance)
    return y, np.array(means), np.array(variances)


def batch_norm_gradients(x, gamma, epsilon, dy):
    """Return (dx, dgamma, dbeta) of all features, by the chain rule in section 3 of the paper."""
    x, dy = np.asarray(x, "float64"), np.asarray(dy, "float64")
    m = len(x)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    root = np.sqrt(variance + epsilon)
    normal = (x - mean) / root
    d_normal = dy * gamma
    d_variance = (d_normal * (x - mean) * -0.5 * root**-3).sum(axis=0)
    d_mean = (-d_normal / root).sum(axis=0) + d_variance * (-2 * (x - mean)).mean(axis=0)
    dx = d_normal / root + d_variance * 2 * (x - mean) / m + d_mean / m
    return dx, (dy * normal).sum(axis=0), dy.sum(axis=0)


# Dropout: predictions of all thinned networks


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def all_masks(num_units, rate):
    """Yield every mask with its probability."""
    for mask in itertools.product([0, 1], repeat=num_units):
        yield np.array(mask), math.prod(1 - rate if kept else rate for kept in mask)


def geometric_mean(x, kernel, bias, rate):
    """Renormalized geometric mean of softmax regression over all masks of its inputs (Goodfellow et al., 7.55)."""
    logs = 0.0
    for mask, probability in all_masks(x.shape[1], rate):
        logs = logs + probability * np.log(softmax((mask * x / (1 - rate)) @ kernel + bias))
    products = np.exp(logs)
    return products / products.sum(axis=1, keepdims=True)


def arithmetic_mean(x, kernel, bias, rate):
    return sum(
        probability * softmax((mask * x / (1 - rate)) @ kernel + bias)
        for mask, probability in all_masks(x.shape[1], rate)
    )


def drop_connect_moments(x, kernel, bias, rate):
    """Return mean and variance of the sums of a dense layer over all masks of its weights and biases."""
    mean, variance = np.zeros((len(x), kernel.shape[1])), np.zeros((len(x), kernel.shape[1]))
    for i, row in enumerate(x):
        for unit in range(kernel.shape[1]):
            terms = np.append(row * kernel[:, unit], bias[unit])
            sums = [(p, (mask * terms).sum() / (1 - rate)) for mask, p in all_masks(len(terms), rate)]
            mean[i, unit] = sum(p * u for p, u in sums)
            variance[i, unit] = sum(p * (u - mean[i, unit]) ** 2 for p, u in sums)
    return mean, variance


# Random numbers of an example: SplitMix64 (Steele, Lea, Flood, 2014, figure 17) on Python integers

_ALL = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def split_mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _ALL
    return z ^ (z >> 31)


def absorb(state, value):
    return split_mix((state + _GOLDEN * (value + 1)) & _ALL)


def example_key(seed, step, index):
    return absorb(absorb(0, seed), step), index


def numbers(key, purpose, count):
    state = 0
    for value in (key[0], key[1], zlib.crc32(purpose.encode())):
        state = absorb(state, value)
    return [absorb(state, i) for i in range(count)]


def uniforms(key, purpose, count):
    return [(bits >> 40) / 2**24 for bits in numbers(key, purpose, count)]


def normals(key, purpose, count):
    pairs = numbers(key, purpose, (count + 1) // 2)
    radii = [math.sqrt(-2 * math.log(((bits >> 40) + 1) / 2**24)) for bits in pairs]
    angles = [2 * math.pi * ((bits >> 8) % 2**24) / 2**24 for bits in pairs]
    cosines = [r * math.cos(a) for r, a in zip(radii, angles, strict=True)]
    sines = [r * math.sin(a) for r, a in zip(radii, angles, strict=True)]
    return np.array(cosines + sines)[:count]


# Augmentations of one image (height, width, channels), given its uniform draws


def flip(image, draws, mode):
    out = np.array(image)
    if mode != "vertical" and draws[0] < 0.5:
        out = out[:, ::-1]
    if mode != "horizontal" and draws[1] < 0.5:
        out = out[::-1]
    return out


def crop(image, draws, padding):
    height, width, _ = image.shape
    padded = np.zeros((height + 2 * padding, width + 2 * padding, image.shape[2]))
    padded[padding : padding + height, padding : padding + width] = image
    left = int(draws[0] * (2 * padding + 1))
    top = int(draws[1] * (2 * padding + 1))
    return padded[top : top + height, left : left + width]


def point(image, x, y):
    """Return the bilinear value at a point: 0 outside the image, the nearest pixels in its outer half pixel."""
    height, width, _ = image.shape
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        return np.zeros(image.shape[2])
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = (1 - (x - left)) * image[top, left] + (x - left) * image[top, right]
    lower = (1 - (x - left)) * image[bottom, left] + (x - left) * image[bottom, right]
    return (1 - (y - top)) * upper + (y - top) * lower


def rotate(image, draws, degrees):
    """Rotate counterclockwise on the screen; the axis of rows points down."""
    height, width, _ = image.shape
    angle = math.radians(degrees * (2 * draws[0] - 1))
    out = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            right, up = column - (width - 1) / 2, (height - 1) / 2 - row
            # The point that a rotation by `angle` moves here.
            source_right = math.cos(angle) * right + math.sin(angle) * up
            source_up = -math.sin(angle) * right + math.cos(angle) * up
            out[row, column] = point(image, source_right + (width - 1) / 2, (height - 1) / 2 - source_up)
    return out


def resized_crop(image, draws, scale, ratio):
    height, width, _ = image.shape
    area = scale[0] + (scale[1] - scale[0]) * draws[0]
    shape = math.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * draws[1])
    wide, high = min(1.0, math.sqrt(area * shape)) * width, min(1.0, math.sqrt(area / shape)) * height
    left, top = draws[2] * (width - wide), draws[3] * (height - high)
    out = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            x = left + (column + 0.5) / width * wide - 0.5
            y = top + (row + 0.5) / height * high - 0.5
            out[row, column] = point(image, x, y)
    return out


def grey(image):
    return image if image.shape[2] == 1 else (image @ np.array([0.299, 0.587, 0.114]))[..., None]


def factor(draw, strength):
    low = max(0.0, 1 - strength)
    return low + (1 + strength - low) * draw


def brightness(image, draws, strength):
    return np.clip(factor(draws[0], strength) * image, 0, 1)


def contrast(image, draws, strength):
    f = factor(draws[0], strength)
    return np.clip(f * image + (1 - f) * grey(image).mean(), 0, 1)


def jitter(image, draws, strength, probability):
    """Color jitter of Chen et al., 2020, appendix A, in the order brightness, contrast, saturation, hue."""
    if draws[4] >= probability:
        return image
    b, c, s = (factor(draw, 0.8 * strength) for draw in draws[:3])
    x = b * image
    x = c * x + (1 - c) * grey(x).mean()
    if image.shape[2] == 3:
        x = s * x + (1 - s) * grey(x)
        turn = 2 * math.pi * 0.2 * strength * (2 * draws[3] - 1)
        yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
        turned = np.array(
            [[1, 0, 0], [0, math.cos(turn), -math.sin(turn)], [0, math.sin(turn), math.cos(turn)]]
        )
        x = x @ (np.linalg.inv(yiq) @ turned @ yiq).T
    return np.clip(x, 0, 1)


def cutout(image, draws, size):
    height, width, _ = image.shape
    out = np.array(image)
    top = math.floor(draws[0] * height) - size // 2
    left = math.floor(draws[1] * width) - size // 2
    for row in range(max(top, 0), min(top + size, height)):
        for column in range(max(left, 0), min(left + size, width)):
            out[row, column] = 0
    return out


def blur(image, draws, sigma, probability, radius):
    if draws[1] >= probability:
        return image
    height, width, _ = image.shape
    s = sigma[0] + (sigma[1] - sigma[0]) * draws[0]
    weights = np.array([math.exp(-t * t / (2 * s * s)) for t in range(-radius, radius + 1)])
    weights /= weights.sum()
    mirrored = np.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    out = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            window = mirrored[row : row + 2 * radius + 1, column : column + 2 * radius + 1]
            out[row, column] = np.einsum("i,j,ijc->c", weights, weights, window)
    return out
