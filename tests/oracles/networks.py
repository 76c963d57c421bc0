"""Networks of the lecture in float64, one unit and one example at a time, written from the slides.

Layers are numbered from 0 here: weights[l][i][j] leads from unit j of layer l to unit i of layer l + 1.
"""

import math

import numpy as np


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


ACTIVATIONS = {
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (math.tanh, lambda z: 1 - math.tanh(z) ** 2),
    "relu": (lambda z: max(0.0, z), lambda z: 1.0 if z > 0 else 0.0),
    "leaky_relu": (lambda z: z if z > 0 else 0.01 * z, lambda z: 1.0 if z > 0 else 0.01),
}


def forward(weights, biases, x, activation, output):
    """Return z and α of every layer for one example; `output` maps all z of the last layer to its α."""
    f, _ = ACTIVATIONS[activation]
    zs, alphas = [], [[float(value) for value in x]]
    for l, (W, b) in enumerate(zip(weights, biases, strict=True)):
        z = []
        for i in range(len(W)):
            total = float(b[i])
            for j in range(len(alphas[-1])):
                total += W[i][j] * alphas[-1][j]
            z.append(total)
        zs.append(z)
        alphas.append(output(z) if l == len(weights) - 1 else [f(value) for value in z])
    return zs, alphas


def softmax(z):
    total = sum(math.exp(value) for value in z)
    return [math.exp(value) / total for value in z]


def squared_error(outputs, targets):
    return sum(0.5 * (h - y) ** 2 for h, y in zip(outputs, targets, strict=True))


def sigmoid_cross_entropy(probabilities, targets):
    pairs = zip(probabilities, targets, strict=True)
    return -sum(y * math.log(h) + (1 - y) * math.log(1 - h) for h, y in pairs)


def softmax_cross_entropy(probabilities, targets):
    return -sum(y * math.log(h) for h, y in zip(probabilities, targets, strict=True))


def penalty(weights, l2):
    return l2 / 2 * sum(float(w) ** 2 for W in weights for row in W for w in row)


def backpropagate(weights, biases, xs, ys, activation, loss, l2):
    """Return J, ∂J/∂W and ∂J/∂b as nested lists.

    loss: "squared_error", or "sigmoid" or "softmax" for cross-entropy. ys: one row for each example.
    """
    f, slope = ACTIVATIONS[activation]
    output, measure = {
        "squared_error": (lambda z: [f(value) for value in z], squared_error),
        "sigmoid": (lambda z: [sigmoid(value) for value in z], sigmoid_cross_entropy),
        "softmax": (softmax, softmax_cross_entropy),
    }[loss]
    last = len(weights) - 1
    cost = penalty(weights, l2)
    dW = [[[l2 * float(w) for w in row] for row in W] for W in weights]
    db = [[0.0] * len(b) for b in biases]
    for x, y in zip(xs, ys, strict=True):
        zs, alphas = forward(weights, biases, x, activation, output)
        cost += measure(alphas[-1], y) / len(xs)
        delta = [alphas[-1][i] - y[i] for i in range(len(y))]
        if loss == "squared_error":
            delta = [delta[i] * slope(zs[last][i]) for i in range(len(y))]
        for l in range(last, -1, -1):
            for i in range(len(weights[l])):
                db[l][i] += delta[i] / len(xs)
                for j in range(len(alphas[l])):
                    dW[l][i][j] += alphas[l][j] * delta[i] / len(xs)
            if l > 0:
                back = []
                for j in range(len(alphas[l])):
                    total = sum(weights[l][i][j] * delta[i] for i in range(len(delta)))
                    back.append(total * slope(zs[l - 1][j]))
                delta = back
    return cost, dW, db


def perceptron_rule(x, y, learning_rate, epochs):
    """Return weights and bias after Rosenblatt's rule, starting from 0, one example at a time."""
    w, b = [0.0] * len(x[0]), 0.0
    for _ in range(epochs):
        for example, target in zip(x, y, strict=True):
            h = 1.0 if sum(wi * xi for wi, xi in zip(w, example, strict=True)) + b >= 0 else 0.0
            for i in range(len(w)):
                w[i] += learning_rate * (target - h) * example[i]
            b += learning_rate * (target - h)
    return w, b


def strided_convolution(image, kernel, bias):
    """Convolution with windows of 3×3 pixels, two apart, padded with zeros: (h, w, d) → (⌈h/2⌉, ⌈w/2⌉, c).

    Along a side of even length the first window begins at the first pixel, along an odd one a pixel before it.
    """
    height, width = image.shape[:2]
    out = np.zeros((-(-height // 2), -(-width // 2), kernel.shape[-1]))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = np.array(bias, "float64")
            for u in range(3):
                for v in range(3):
                    y, x = 2 * i + u - height % 2, 2 * j + v - width % 2
                    if 0 <= y < height and 0 <= x < width:
                        total = total + image[y, x].astype("float64") @ kernel[u, v].astype("float64")
            out[i, j] = total
    return out
