"""Optimizers as float64 NumPy loops, written from the papers and the slides, without tf_kit.

`theta` is one flat vector, `gradient` a function of it, `rates` the learning rate of each step. A loop
returns the points after each step, (num_steps, n); the look-ahead methods also return the velocities.
"""

import numpy as np

# A bowl with coupled coordinates of different scales: no optimizer arrives in 25 steps.
START = np.array([1.0, -2.0, 0.5, 3.0, -1.5, 0.25, 2.0, -0.75, 1.25, -3.0])
SCALES = np.array([0.1, 3.0, 1.0, 0.5, 2.0, 10.0, 0.02, 1.5, 0.7, 0.3])
TARGET = np.array([0.3, 0.1, -0.4, 1.0, 0.2, -0.1, 0.6, 0.5, -0.8, 0.9])


def bowl_gradient(theta):
    return SCALES * (theta - TARGET) + 0.1 * theta**3 + 0.05 * theta.sum()


def sgd(theta, gradient, rates):
    path = []
    for rate in rates:
        theta = theta - rate * gradient(theta)
        path.append(theta)
    return np.array(path)


def momentum_velocity(theta, gradient, rates, alpha):
    v, path = np.zeros_like(theta), []
    for rate in rates:
        v = alpha * v - rate * gradient(theta)
        theta = theta + v
        path.append(theta)
    return np.array(path)


def momentum_average(theta, gradient, rates, lam):
    v, path = np.zeros_like(theta), []
    for rate in rates:
        v = lam * v - (1 - lam) * gradient(theta)
        theta = theta + rate * v
        path.append(theta)
    return np.array(path)


def nesterov(theta, gradient, rates, alpha):
    """The slide's loop: the gradient is taken at θ + αv, and θ is returned."""
    v, path, velocities = np.zeros_like(theta), [], []
    for rate in rates:
        v = alpha * v - rate * gradient(theta + alpha * v)
        theta = theta + v
        path.append(theta)
        velocities.append(v)
    return np.array(path), np.array(velocities)


def adagrad(theta, gradient, rates, delta):
    r, path = np.zeros_like(theta), []
    for rate in rates:
        g = gradient(theta)
        r = r + g * g
        theta = theta - rate / (delta + np.sqrt(r)) * g
        path.append(theta)
    return np.array(path)


def adagrad_as_printed(theta, gradient, rates, delta):
    """The slide "Popular Solver Examples": Δθ without its minus sign."""
    return adagrad(theta, lambda at: -gradient(at), rates, delta)


def downscaled_parameter_as_printed(theta, gradient, rates, delta):
    """AdaGrad exactly as the slide describes it: the parameter is divided by the root of its history."""
    history, path = np.zeros_like(theta), []
    for rate in rates:
        history = history + theta * theta
        theta = theta / (delta + np.sqrt(history)) - rate * gradient(theta)
        path.append(theta)
    return np.array(path)


def rmsprop(theta, gradient, rates, rho, delta):
    r, path = np.zeros_like(theta), []
    for rate in rates:
        g = gradient(theta)
        r = rho * r + (1 - rho) * g * g
        theta = theta - rate / (delta + np.sqrt(r)) * g
        path.append(theta)
    return np.array(path)


def rmsprop_nesterov(theta, gradient, rates, rho, alpha, delta):
    """Goodfellow et al. 2016, algorithm 8.6, with δ where the slide's RMSProp has it."""
    r, v, path, velocities = np.zeros_like(theta), np.zeros_like(theta), [], []
    for rate in rates:
        interim = theta + alpha * v
        g = gradient(interim)
        r = rho * r + (1 - rho) * g * g
        v = alpha * v - rate / (delta + np.sqrt(r)) * g
        theta = theta + v
        path.append(theta)
        velocities.append(v)
    return np.array(path), np.array(velocities)


def adam(theta, gradient, rates, rho_1, rho_2, delta, decay=0.0):
    """Algorithm 7 of the slides, algorithm 1 of the paper; `decay` is decoupled and scaled by the rate."""
    s, r, path = np.zeros_like(theta), np.zeros_like(theta), []
    for t, rate in enumerate(rates, start=1):
        g = gradient(theta)
        s = rho_1 * s + (1 - rho_1) * g
        r = rho_2 * r + (1 - rho_2) * g * g
        s_hat = s / (1 - rho_1**t)
        r_hat = r / (1 - rho_2**t)
        theta = theta - rate * decay * theta - rate * s_hat / (np.sqrt(r_hat) + delta)
        path.append(theta)
    return np.array(path)


def lars(theta, gradient, rates, alpha, eta, beta, layers):
    """You et al. 2017, algorithm 1. `layers` has each variable's slice of theta and whether it is adapted."""
    v, path = np.zeros_like(theta), []
    for rate in rates:
        g = gradient(theta)
        new = theta.copy()
        for part, adapted in layers:
            if adapted:
                norm = np.linalg.norm(theta[part])
                local_rate = eta * norm / (np.linalg.norm(g[part]) + beta * norm)
                v[part] = alpha * v[part] + rate * local_rate * (g[part] + beta * theta[part])
            else:
                v[part] = alpha * v[part] + rate * g[part]
            new[part] = theta[part] - v[part]
        theta = new
        path.append(theta)
    return np.array(path)


def robbins_monro(k, initial, power, delay):
    return initial / (1 + k / delay) ** power


def linear_decay(k, initial, num_steps, final):
    return final if k >= num_steps else initial + k / num_steps * (final - initial)


def warmup_cosine(k, peak, warmup_steps, num_steps, initial, final):
    if k < warmup_steps:
        return initial + k / warmup_steps * (peak - initial)
    if k >= num_steps:
        return final
    angle = np.pi * (k - warmup_steps) / (num_steps - warmup_steps)
    return final + 0.5 * (peak - final) * (1 + np.cos(angle))
