"""Methods of pretraining as float64 NumPy loops, written from the papers, without tf_kit.

Matrices have the layout of the papers: W of an RBM is (visible, hidden); W of an autoencoder is (units, features), one
row per unit.
"""

import itertools
import math

import numpy as np


def all_binary(n):
    """All 2ⁿ vectors of n binary units, (2ⁿ, n)."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


# Restricted Boltzmann machine (Hinton 2002), by enumeration of all states


def energy(v, h, W, b, c, visible="bernoulli"):
    """E(v, h) of one pair of vectors, term by term."""
    total = 0.0
    for i in range(len(v)):
        total += 0.5 * (v[i] - b[i]) ** 2 if visible == "gaussian" else -b[i] * v[i]
        for j in range(len(h)):
            total -= v[i] * W[i, j] * h[j]
    for j in range(len(h)):
        total -= c[j] * h[j]
    return total


def free_energy(v, W, b, c, visible="bernoulli"):
    """−log Σ_h exp(−E(v, h)) by the sum over all h."""
    return -math.log(sum(math.exp(-energy(v, h, W, b, c, visible)) for h in all_binary(len(c))))


def hidden_given_visible(v, W, b, c, visible="bernoulli"):
    """P(h_j = 1 | v) by the sum over all h, (hidden,)."""
    states = all_binary(len(c))
    weights = np.array([math.exp(-energy(v, h, W, b, c, visible)) for h in states])
    return weights @ states / weights.sum()


def visible_given_hidden(h, W, b, c):
    """P(v_i = 1 | h) of binary visible units by the sum over all v, (visible,)."""
    states = all_binary(len(b))
    weights = np.array([math.exp(-energy(v, h, W, b, c)) for v in states])
    return weights @ states / weights.sum()


def joint(W, b, c):
    """P(v, h) of all states, (2^visible, 2^hidden), in the order of `all_binary`."""
    weights = [[math.exp(-energy(v, h, W, b, c)) for h in all_binary(len(c))] for v in all_binary(len(b))]
    return np.array(weights) / np.sum(weights)


def gibbs_transition(W, b, c):
    """T[v, v′] = Σ_h P(v′ | h) P(h | v), (2^visible, 2^visible)."""
    p = joint(W, b, c)
    h_given_v, v_given_h = p / p.sum(1, keepdims=True), p / p.sum(0, keepdims=True)
    return h_given_v @ v_given_h.T


def likelihood_gradient(data, W, b, c):
    """∂/∂(W, b, c) of −mean log P(v) over the data: mean over the model minus mean over the data."""
    visible, hidden, p = all_binary(len(b)), all_binary(len(c)), joint(W, b, c)
    dW, db, dc = np.zeros_like(W), np.zeros_like(b), np.zeros_like(c)
    for k, v in enumerate(visible):
        for m, h in enumerate(hidden):
            dW += p[k, m] * np.outer(v, h)
            db += p[k, m] * v
            dc += p[k, m] * h
    for v in data:
        probability = hidden_given_visible(v, W, b, c)
        dW -= np.outer(v, probability) / len(data)
        db -= v / len(data)
        dc -= probability / len(data)
    return dW, db, dc


def mean_pseudo_log_likelihood(data, W, b, c):
    """Mean over binary examples of Σ_i log P(v_i | v_−i), for larger machines: from the closed form of F."""

    def free(v):
        return -v @ b - np.logaddexp(0, v @ W + c).sum(axis=1)

    total = np.zeros(len(data))
    for i in range(data.shape[1]):
        other = data.copy()
        other[:, i] = 1 - other[:, i]
        total -= np.logaddexp(0, free(data) - free(other))  # log σ(F(other) − F(data))
    return total.mean()


def pseudo_log_likelihood(v, W, b, c):
    """Σ_i log P(v_i | v_−i) of one binary vector, one unit at a time."""
    total = 0.0
    for i in range(len(v)):
        other = v.copy()
        other[i] = 1 - v[i]
        here = math.exp(-free_energy(v, W, b, c))
        total += math.log(here / (here + math.exp(-free_energy(other, W, b, c))))
    return total


# Autoencoders (Vincent et al. 2010)


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def affine(W, b, x):
    return [sum(W[i][j] * x[j] for j in range(len(x))) + b[i] for i in range(len(b))]


def propagate(x, layers):
    """One example through layers (W, b, f), one unit at a time."""
    for W, b, f in layers:
        x = [f(z) for z in affine(W, b, x)]
    return x


def cross_entropy(x, z):
    total = 0.0
    for j in range(len(x)):
        x_hat = sigmoid(z[j])
        total -= x[j] * math.log(x_hat) + (1 - x[j]) * math.log(1 - x_hat)
    return total


def squared_error(x, z):
    return 0.5 * sum((x[j] - z[j]) ** 2 for j in range(len(x)))


def autoencoder_cost(xs, encoder, decoder, loss):
    """Mean over examples of the loss, a sum over features; the last f of the decoder is the identity."""
    return sum(loss(x, propagate(propagate(x, encoder), decoder)) for x in xs) / len(xs)


def central_differences(function, array, step=1e-5):
    """∂function/∂array; `array` is changed in place and restored."""
    gradient = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        above = function()
        array[place] = kept - step
        gradient[place] = (above - function()) / (2 * step)
        array[place] = kept
    return gradient


def principal_subspace(x, rank):
    """Orthogonal projection onto the first `rank` principal axes of centered x."""
    _, _, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return axes[:rank].T @ axes[:rank]


# Classifiers on a representation


def softmax_cost(r, V, a, labels):
    """Mean of −log softmax(V r + a)_y; V is (classes, features)."""
    total = 0.0
    for features, label in zip(r, labels, strict=True):
        z = affine(V, a, features)
        total += math.log(sum(math.exp(each) for each in z)) - z[label]
    return total / len(r)


def nearest_neighbor_classes(known, labels, queries, k):
    """Most frequent class among the k neighbors of each query by cosine; the lowest of equally frequent classes."""
    classes = []
    for query in queries:
        cosines = [
            sum(q * v for q, v in zip(query, each, strict=True))
            / math.sqrt(sum(q * q for q in query) * sum(v * v for v in each))
            for each in known
        ]
        nearest = sorted(range(len(known)), key=lambda i: -cosines[i])[:k]
        counts = {label: sum(labels[i] == label for i in nearest) for label in sorted(set(labels))}
        classes.append(max(counts, key=lambda label: (counts[label], -label)))
    return np.array(classes)


# Joint embedding: one pair of views, one feature, one entry of a matrix at a time


def cosine(u, v):
    lengths = math.sqrt(sum(a * a for a in u) * sum(b * b for b in v))
    return sum(a * b for a, b in zip(u, v, strict=True)) / lengths if lengths else 0.0


def nt_xent(za, zb, temperature):
    """Chen et al. 2020, equation 1 and the mean of algorithm 1 over all 2n anchors."""
    z, n = [*za, *zb], len(za)
    total = 0.0
    for i in range(2 * n):
        j = i + n if i < n else i - n
        others = sum(math.exp(cosine(z[i], z[k]) / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(cosine(z[i], z[j]) / temperature) / others)
    return total / (2 * n)


def byol(prediction, target):
    """Grill et al. 2020, equation 2: the mean of 2 − 2 cos over examples."""
    return sum(2 - 2 * cosine(p, z) for p, z in zip(prediction, target, strict=True)) / len(prediction)


def dino(student, teacher, center, temperature, teacher_temperature):
    """Caron et al. 2021, the function H of algorithm 1, one example and one prototype at a time."""
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        t = [each - c for each, c in zip(t, np.broadcast_to(center, t.shape), strict=True)]
        theirs = [math.exp((each - max(t)) / teacher_temperature) for each in t]
        whole = math.log(sum(math.exp((each - max(s)) / temperature) for each in s)) + max(s) / temperature
        for own, their in zip(s, theirs, strict=True):
            total -= their / sum(theirs) * (own / temperature - whole)
    return total / len(student)


def simsiam(prediction, target):
    """Chen and He 2021, equation 1: the mean of −cos over examples."""
    return sum(-cosine(p, z) for p, z in zip(prediction, target, strict=True)) / len(prediction)


def nnclr(neighbor, prediction, temperature):
    """Dwibedi et al. 2021, the function L of algorithm 1: cross-entropy of each row of the similarities."""
    total = 0.0
    for i, q in enumerate(neighbor):
        exps = [math.exp(cosine(q, p) / temperature) for p in prediction]
        total -= math.log(exps[i] / sum(exps))
    return total / len(neighbor)


def nearest(z, support):
    """Dwibedi et al. 2021, equation 3, for embeddings scaled to length 1."""
    return np.array([max(support, key=lambda q: cosine(row, q)) for row in z])


def supcon(za, zb, y, temperature):
    """Khosla et al. 2020, equation 2; an example of a negative class has its other view as the only positive."""
    z, n = [*za, *zb], len(za)
    total = 0.0
    for i in range(2 * n):
        others = [a for a in range(2 * n) if a != i]
        denominator = sum(math.exp(cosine(z[i], z[a]) / temperature) for a in others)
        positives = [
            p for p in others if p % n == i % n or (y is not None and y[i % n] >= 0 and y[p % n] == y[i % n])
        ]
        total -= sum(
            math.log(math.exp(cosine(z[i], z[p]) / temperature) / denominator) for p in positives
        ) / len(positives)
    return total / (2 * n)


def barlow_twins(za, zb, redundancy_weight):
    """Zbontar et al. 2021, equations 1 and 2, with the batch normalization of their code (ε = 1e-5)."""
    n, d = za.shape
    correlation = np.zeros((d, d))
    for i in range(d):
        for j in range(d):
            a, b = za[:, i] - za[:, i].mean(), zb[:, j] - zb[:, j].mean()
            deviations = math.sqrt((sum(a * a) / n + 1e-5) * (sum(b * b) / n + 1e-5))
            correlation[i, j] = sum(a[m] * b[m] for m in range(n)) / n / deviations
    on = sum((1 - correlation[i, i]) ** 2 for i in range(d))
    off = sum(correlation[i, j] ** 2 for i in range(d) for j in range(d) if i != j)
    return on + redundancy_weight * off


def vicreg(za, zb, invariance_weight, variance_weight, covariance_weight):
    """Bardes et al. 2022, equations 1 to 6 and algorithm 1, with the factors of their code (1/d in s, ½ in v)."""
    n, d = za.shape
    invariance = sum((za[i, j] - zb[i, j]) ** 2 for i in range(n) for j in range(d)) / (n * d)
    variance = covariance = 0.0
    for z in (za, zb):
        matrix = np.zeros((d, d))
        for row in z:
            matrix += np.outer(row - z.mean(axis=0), row - z.mean(axis=0)) / (n - 1)
        variance += sum(max(0.0, 1 - math.sqrt(matrix[j, j] + 1e-4)) for j in range(d)) / d
        covariance += sum(matrix[j, k] ** 2 for j in range(d) for k in range(d) if j != k) / d
    return invariance_weight * invariance + variance_weight * variance / 2 + covariance_weight * covariance


def epps_pulley(u):
    """Epps and Pulley 1983 in closed form: n ∫ |φ(t) − e^{−t²/2}|² e^{−t²/2} dt over all t."""
    n = len(u)
    pairs = sum(math.exp(-((a - b) ** 2) / 2) for a in u for b in u) / n
    singles = sum(math.exp(-(a**2) / 4) for a in u)
    return math.sqrt(2 * math.pi) * (pairs - math.sqrt(2) * singles + n / math.sqrt(3))


def sigreg(z, directions):
    """Balestriero and LeCun 2025: the statistic by the trapezoidal rule over [0, 3], twice, in complex numbers."""
    total = 0.0
    for a in directions.T:
        u = [sum(x * y for x, y in zip(row, a, strict=True)) / math.sqrt(sum(a * a)) for row in z]
        heights = []
        for k in range(17):
            t = 3 * k / 16
            phi = sum(complex(math.cos(t * each), math.sin(t * each)) for each in u) / len(u)
            heights.append(abs(phi - math.exp(-t * t / 2)) ** 2 * math.exp(-t * t / 2))
        total += 2 * len(u) * 3 / 16 * (sum(heights) - (heights[0] + heights[-1]) / 2)
    return total / directions.shape[1]


def lejepa(za, zb, normality_weight, num_directions, random):
    """Balestriero and LeCun 2025: each view's distance from the mean of the views, and SIGReg of each view."""
    directions = random.shared_normal((za.shape[1], num_directions))
    mean = (za + zb) / 2
    agreement = sum(((z - mean) ** 2).sum() for z in (za, zb)) / (2 * za.size)
    normality = sum(sigreg(z, directions) for z in (za, zb)) / 2
    return (1 - normality_weight) * agreement + normality_weight * normality


# Measures of collapse: one pair of examples at a time


def rankme(z):
    """Garrido et al. 2023, equations 1 and 2: exp of the entropy of the normalized singular values."""
    singular = [math.sqrt(max(value, 0.0)) for value in np.linalg.eigvalsh(z.T @ z)]
    shares = [value / sum(singular) + 1e-7 for value in singular]
    return math.exp(-sum(p * math.log(p) for p in shares))


def squared_distance(u, v):
    """Squared distance between directions: 2 − 2 cos."""
    return 2 - 2 * cosine(u, v)


def alignment(za, zb):
    """Wang and Isola 2020, section 4.1 with α = 2."""
    return sum(squared_distance(a, b) for a, b in zip(za, zb, strict=True)) / len(za)


def uniformity(z):
    """Wang and Isola 2020, section 4.1 with t = 2: the log of the mean over all pairs."""
    pairs = list(itertools.combinations(z, 2))
    return math.log(sum(math.exp(-2 * squared_distance(u, v)) for u, v in pairs) / len(pairs))


# Masked pretraining (He et al. 2022; Devlin et al. 2019; Vaswani et al. 2017)


def patches_of(image, size):
    """Patches of an image (h, w, c), row by row, each flattened pixel by pixel."""
    height, width, channels = image.shape
    return [
        [image[y + i, x + j, c] for i in range(size) for j in range(size) for c in range(channels)]
        for y in range(0, height, size)
        for x in range(0, width, size)
    ]


def masked_patch_loss(targets, predictions, masked):
    """Mean over the masked patches of the mean squared error of their pixels."""
    errors = [
        sum((t - p) ** 2 for t, p in zip(target, prediction, strict=True)) / len(target)
        for target, prediction, hidden in zip(targets, predictions, masked, strict=True)
        if hidden
    ]
    return sum(errors) / len(errors)


def sine_cosine(place, width):
    """Code of one place: sines, then cosines, of place / 10000^(2k/width)."""
    angles = [place / 10000 ** (2 * k / width) for k in range(width // 2)]
    return [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]


# Minibatch training for the cost ℓ_i = ½‖x_i − w‖² with the penalty l2·‖w‖²


def fit_center(x, orders, batch_size, learning_rate, l2=0.0, weights=None, clip=math.inf):
    """w after each epoch of gradient descent from 0, and the mean over the epoch's examples of the cost of each in the
    step that used it, with the penalty. `orders` has one permutation per epoch."""
    w = np.zeros(x.shape[1])
    weights = np.ones(len(x)) if weights is None else weights
    path, means = [], []
    for order in orders:
        total = 0.0
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            gradient = 2 * l2 * w
            for i in batch:
                gradient = gradient + weights[i] * (w - x[i]) / len(batch)
                total += weights[i] * 0.5 * np.sum((x[i] - w) ** 2) + l2 * np.sum(w**2)
            norm = np.sqrt(np.sum(gradient**2))
            w = w - learning_rate * gradient * min(1.0, clip / norm)
        path.append(w)
        means.append(total / len(order))
    return np.array(path), np.array(means)


# Transformer block (Vaswani et al. 2017, section 3, with normalization first)


def layer_norm(token, epsilon=1e-6):
    """Token shifted and scaled to mean 0 and variance 1."""
    mean = sum(token) / len(token)
    variance = sum((value - mean) ** 2 for value in token) / len(token)
    return np.array([(value - mean) / math.sqrt(variance + epsilon) for value in token])


def gelu(z):
    """z times the normal distribution function of z."""
    return np.array([value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in z])


def attend(tokens, weights, attended):
    """Sum over heads of the attended tokens' values, weighted by the softmax of q·k / √size, for each token.

    `weights` has kernel (d, heads, size) and bias (heads, size) for query, key and value, then kernel (heads, size, d)
    and bias (d,) of the output.
    """
    (query, query_bias), (key, key_bias), (value, value_bias), (out, out_bias) = weights
    heads, size = query_bias.shape
    rows = []
    for token in tokens:
        total = out_bias.copy()
        for head in range(heads):
            q = token @ query[:, head] + query_bias[head]
            scores = [
                q @ (other @ key[:, head] + key_bias[head]) / math.sqrt(size) if seen else -math.inf
                for other, seen in zip(tokens, attended, strict=True)
            ]
            shares = np.exp(np.array(scores) - max(scores))
            shares = shares / shares.sum()
            for share, other in zip(shares, tokens, strict=True):
                total = total + share * (other @ value[:, head] + value_bias[head]) @ out[head]
        rows.append(total)
    return np.array(rows)


def transformer_block(tokens, attention, widen, narrow, attended):
    """a = x + attention(norm(x));  y = a + W₂ gelu(W₁ norm(a) + b₁) + b₂, for tokens (k, d)."""
    a = tokens + attend(np.array([layer_norm(token) for token in tokens]), attention, attended)
    (w1, b1), (w2, b2) = widen, narrow
    return np.array([token + gelu(layer_norm(token) @ w1 + b1) @ w2 + b2 for token in a])
