# %% [markdown]
# # Gradient flow and losses
#
# A network learns from the derivative that arrives at its weights. On the way from the loss to the first layer it can
# get lost in four places: in a softmax that overflows, in a squared error behind a sigmoid that is sure of itself, in
# weights that are too small or too large, and in a ReLU that has stopped firing. In this lab you write, for each of
# the four, what shows that it happens, and what prevents it.
#
# All of it is NumPy in float64, written by hand. Keras and TensorFlow are closed for the answers, since the point is
# to see what happens inside them.

# %%
import numpy as np

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1. The logarithm of a sum of exponentials
#
# A softmax and its cross-entropy both need
#
# $$\operatorname{LSE}(z) = \log \sum_k e^{z_k} \qquad (1)$$
#
# Typed as it stands, (1) gives infinity at $z = (1000, 1000)$, since $e^{1000}$ overflows, and $-\infty$ at
# $z = (-1000, -1000)$, since both terms round to zero. The right answers are $1000 + \log 2$ and $-1000 + \log 2$.
# Take the largest $z_k$ out of the sum, and nothing can overflow:
#
# $$m = \max_k z_k, \qquad \operatorname{LSE}(z) = m + \log \sum_k e^{z_k - m} \qquad (2)$$
#
# The sum in (2) lies between 1 and the number of classes. Each row has its *own* maximum: with one maximum for the
# whole array a row of much smaller logits would still round to zero.
#
# A class that is ruled out has $z_k = -\infty$ and adds $e^{-\infty} = 0$. No row here consists of such classes only.
# The sum runs over the last axis, and the array may have any number of axes before it.


# %% exercise="log_sum_exp"
def log_sum_exp(z):
    """LSE over the last axis: z (…, k) -> (…)."""
    ### STUB
    # raise NotImplementedError("take out the largest of each row, then write (2)")
    ### BEGIN SOLUTION
    m = z.max(axis=-1, keepdims=True)
    return m[..., 0] + np.log(np.sum(np.exp(z - m), axis=-1))  # (2)
    ### END SOLUTION


# %%
check("log_sum_exp")

# %% [markdown]
# ## 2. Softmax and cross-entropy, and their derivative together
#
# With the logits $z_i$ of example $i$ and its class $y_i$, a whole number from 0:
#
# $$p_{ik} = \frac{e^{z_{ik}}}{\sum_j e^{z_{ij}}} = e^{z_{ik} - \operatorname{LSE}(z_i)} \qquad (3)$$
# $$J = -\frac1n \sum_i \log p_{i y_i} = \frac1n \sum_i \bigl(\operatorname{LSE}(z_i) - z_{i y_i}\bigr) \qquad (4)$$
#
# Differentiate (4). The derivative of $\operatorname{LSE}$ with respect to $z_k$ is $p_k$ (try it), so
#
# $$\frac{\partial J}{\partial z_{ik}} = \frac1n \bigl(p_{ik} - \mathbb I(k = y_i)\bigr) \qquad (5)$$
#
# That is prediction minus target, with no derivative of the softmax left over. Each row of (5) sums to zero. For
# two classes with $z = (0, 0)$ and $y = 0$: $J = \log 2 = 0.693$, and the gradient is $(-1/2, 1/2)$.
#
# Compute (4) from the logits, not from $\log p$: where the network is sure and wrong, $p$ rounds to 0, and the loss
# would be infinite just where it matters. Your `log_sum_exp` does it. Neither argument may be changed.


# %% exercise="softmax_cross_entropy"
def softmax_cross_entropy(z, labels):
    """Loss (4), a number, and its gradient (5), (n, k), of logits z (n, k) and labels (n,)."""
    ### STUB
    # raise NotImplementedError("write (4) with log_sum_exp, then (3) and (5)")
    ### BEGIN SOLUTION
    n, total = len(z), log_sum_exp(z)
    rows = np.arange(n)
    loss = np.mean(total - z[rows, labels])  # (4)
    gradient = np.exp(z - total[:, None])  # (3)
    gradient[rows, labels] -= 1
    return loss, gradient / n  # (5)
    ### END SOLUTION


# %%
check("softmax_cross_entropy")

# %% [markdown]
# ## 3. Sure of itself, and wrong
#
# One sigmoid unit with the sum $z$, the output $a = \sigma(z) = 1/(1 + e^{-z})$ and the target $y$, 0 or 1. Two
# losses for it:
#
# $$J_{\text{ce}} = -y \log a - (1 - y) \log(1 - a), \qquad J_{\text{se}} = \tfrac12 (a - y)^2$$
#
# Their derivatives with respect to $z$ are what backpropagation starts from:
#
# $$\delta_{\text{ce}} = a - y, \qquad \delta_{\text{se}} = (a - y)\, a\, (1 - a) \qquad (6)$$
#
# For $z = 10$ and $y = 0$ the unit could hardly be more wrong. $\delta_{\text{ce}} = 0.99995$ says so, while
# $\delta_{\text{se}} = 0.000045$: the sigmoid is flat there, and the squared error learns slowest where the
# mistake is greatest.
#
# There is a second trap, in the arithmetic. For $z = 40$ float64 rounds $a$ to 1, so $1 - a$ and $a - 1$ come out
# as 0 although they are $4 \cdot 10^{-18}$. Use
#
# $$1 - \sigma(z) = \sigma(-z) \qquad (7)$$
#
# which never subtracts from 1: for $y = 1$, $a - y = -\sigma(-z)$. Your results should be right to nine digits for
# $|z|$ up to 200, also where they are tiny. The sums and targets have any shape, the same for both.


# %% exercise="output_deltas"
def output_deltas(z, y):
    """δ of the cross-entropy and δ of the squared error (6), each of the shape of z; y holds 0 and 1."""
    ### STUB
    # raise NotImplementedError("write (6), with (7) in place of every 1 − a")
    ### BEGIN SOLUTION
    a, rest = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))  # (7)
    cross_entropy = np.where(y == 1, -rest, a)
    return cross_entropy, cross_entropy * a * rest  # (6)
    ### END SOLUTION


# %%
check("output_deltas")

# %% [markdown]
# ## 4. How large should the first weights be?
#
# A unit adds up $z = \sum_j w_j h_j$ over its inputs, of which there are $n_\text{in}$ (*fan-in*). If the weights are
# independent with mean 0 and variance $\sigma^2$,
#
# $$\operatorname{E} z^2 = n_{\text{in}}\, \sigma^2 \operatorname{E} h^2 \qquad (8)$$
#
# Each layer multiplies the scale by the same factor, and $L$ layers by its $L$-th power. To keep the scale, choose
# $\sigma$ so that the factor is 1:
#
# | rule | $\sigma^2$ | reason |
# | --- | --- | --- |
# | `"lecun"` | $1 / n_\text{in}$ | keeps $\operatorname{E} h^2$ where $f(z) \approx z$, as for tanh near 0 |
# | `"he"` | $2 / n_\text{in}$ | a ReLU sets half of the sums to zero, which halves $\operatorname{E} h^2$ |
# | `"glorot"` | $2 / (n_\text{in} + n_\text{out})$ | a compromise: backward, (8) holds with *fan-out* $n_\text{out}$ |
#
# Fan-out is the number of sums that one input takes part in. Kernels are in the layout of Keras, (…, inputs,
# outputs). For a dense layer (inputs, outputs) the fans are the two axes. In a convolution (height, width, channels
# in, channels out) each sum runs over a whole window: $n_\text{in}$ is height · width · channels in, and
# $n_\text{out}$ is height · width · channels out. A kernel (3, 3, 4, 8) has 36 and 72.
#
# You are given the standard normal numbers; return them with the right $\sigma$.


# %% exercise="initial_weights"
def initial_weights(normal, rule):
    """Weights of the shape of `normal` (…, inputs, outputs), standard normal numbers, by a rule of the table."""
    ### STUB
    # raise NotImplementedError("find fan-in and fan-out from the shape, then the variance from the table")
    ### BEGIN SOLUTION
    window = np.prod(normal.shape[:-2])  # 1 for a dense layer
    fan_in, fan_out = window * normal.shape[-2], window * normal.shape[-1]
    variance = {"lecun": 1 / fan_in, "he": 2 / fan_in, "glorot": 2 / (fan_in + fan_out)}[rule]
    return normal * np.sqrt(variance)
    ### END SOLUTION


# %%
check("initial_weights")

# %% [markdown]
# ## 5. Forward and backward through all layers
#
# Now watch it. Layers without biases, examples in rows, kernels $W_l$ (inputs, outputs), $h_0 = x$:
#
# $$z_l = h_{l-1} W_l, \qquad h_l = f(z_l), \qquad l = 1, \dots, L \qquad (9)$$
#
# The derivative $g = \partial J / \partial h_L$ comes in at the other end:
#
# $$\delta_L = g \odot f'(z_L), \qquad \delta_l = (\delta_{l+1} W_{l+1}^\top) \odot f'(z_l) \qquad (10)$$
#
# Return the *mean square* of all elements of each $h_l$ and of each $\delta_l$, two arrays of length $L$, both in
# the order of the layers: the first number belongs to the layer next to the input. $x$ itself is not among them.
#
# `f` and `df` are functions of arrays: the activation and its derivative, which you call. One layer, one example,
# $f$ the identity: $x = (1, 1)$, $W_1 = (1, 2)^\top$ and $g = 4$ give $h_1 = 3$ and $\delta_1 = 4$, so the results
# are $(9)$ and $(16)$.


# %% exercise="signal_scales"
def signal_scales(weights, x, g, f, df):
    """Mean squares of h_1 … h_L (9) and of δ_1 … δ_L (10): two arrays (L,).

    Args:
        weights: list of L kernels (inputs, outputs); x: (n, inputs of the first); g: (n, outputs of the last).
        f, df: activation and its derivative, functions of an array of sums.
    """
    ### STUB
    # raise NotImplementedError("go forward and keep every z, then go backward")
    ### BEGIN SOLUTION
    hs, zs = [x], []
    for W in weights:
        zs.append(hs[-1] @ W)
        hs.append(f(zs[-1]))  # (9)
    deltas = [g * df(zs[-1])]
    for l in range(len(weights) - 1, 0, -1):
        deltas.insert(0, (deltas[0] @ weights[l].T) * df(zs[l - 1]))  # (10)
    return np.array([np.mean(h**2) for h in hs[1:]]), np.array([np.mean(each**2) for each in deltas])
    ### END SOLUTION


# %%
check("signal_scales")

# %% [markdown]
# ## 6. The step that kills a unit
#
# A ReLU unit with weights $w$ and bias $b$ fires for example $i$ if $z_i = w^\top x_i + b > 0$. One step of gradient
# descent, $w \leftarrow w - \eta\, g_w$ and $b \leftarrow b - \eta\, g_b$, moves each of these sums along a line:
#
# $$z_i(\eta) = z_i - \eta\, s_i, \qquad s_i = g_w^\top x_i + g_b \qquad (11)$$
#
# If afterwards $z_i(\eta) \le 0$ for *every* example, no gradient reaches the unit any more, and it stays dead. Find
# the smallest learning rate $\eta \ge 0$ for which that happens:
#
# - An example that fires now falls silent at $\eta = z_i / s_i$, if $s_i > 0$. If $s_i \le 0$, no step silences it.
# - All of them have to be silent, so the *last* one to fall silent decides.
# - By then, an example that is silent now may have begun to fire ($s_i < 0$). It will go on to fire for every
#   larger $\eta$, so the unit cannot be killed. (Ask only the silent ones: the sum of the last one is 0 at its $\eta$
#   but for rounding, and may come out above 0.)
# - If nothing fires to begin with, the unit is dead already: 0. If no step kills it: `np.inf`.
#
# Two examples with $z = (2, 1)$: with $s = (4, 1)$ they fall silent at 0.5 and at 1, so the answer is 1; with
# $s = (4, -1)$ it is infinity.


# %% exercise="fatal_learning_rate"
def fatal_learning_rate(x, w, b, grad_w, grad_b):
    """The smallest learning rate that kills the unit, 0 or np.inf included: a number.

    Args:
        x: (n, d) examples; w, grad_w: (d,); b, grad_b: numbers.
    """
    ### STUB
    # raise NotImplementedError("find z and s (11), then the last example to fall silent, and who fires by then")
    ### BEGIN SOLUTION
    z, s = x @ w + b, x @ grad_w + grad_b  # (11)
    fires = z > 0
    if not fires.any():
        return 0.0
    if (s[fires] <= 0).any():
        return np.inf
    rate = np.max(z[fires] / s[fires])
    awake = z[~fires] - rate * s[~fires] > 0
    return np.inf if awake.any() else rate
    ### END SOLUTION


# %%
check("fatal_learning_rate")

# %% [markdown]
# ## Thirty layers
#
# Digits go in on one side, random derivatives on the other. Three ways to choose the first weights, with ReLU and
# with tanh. How many powers of ten lie between the last layer and the first?

# %%
train, val, _ = data.load("digits", seed=0)
flat, val_flat = (part.x.reshape(len(part.x), -1).astype("float64") for part in (train, val))
mean, deviation = flat.mean(axis=0), flat.std(axis=0)
flat, val_flat = ((each - mean) / np.where(deviation > 0, deviation, 1) for each in (flat, val_flat))

DEPTH, WIDTH = 30, 64
rng = np.random.default_rng(0)
normals = [rng.normal(size=(WIDTH, WIDTH)) for _ in range(DEPTH)]
g = rng.normal(size=(200, WIDTH))
activations = {
    "ReLU": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
}
starts = {
    "0.05 for all": [0.05 * each for each in normals],
    "LeCun": [initial_weights(each, "lecun") for each in normals],
    "He": [initial_weights(each, "he") for each in normals],
}
layers = np.arange(1, DEPTH + 1)
for name, (f, df) in activations.items():
    arriving = {}
    for start, weights in starts.items():
        forward, backward = signal_scales(weights, flat[:200], g, f, df)
        arriving[start] = (layers, backward)
        print(
            f"{name}, {start}: from layer 1 to {DEPTH}, h² times {forward[-1] / forward[0]:.0e}; "
            f"from layer {DEPTH} to 1, δ² times {backward[0] / backward[-1]:.0e}"
        )
    figure = plotting.curves(arriving, "layer", "mean square of δ", f"{name}: what arrives where", log_y=True)

# %% [markdown]
# ## A unit that begins on the wrong side
#
# One sigmoid unit starts at $z = 6$ and should say 0. It moves down by its δ at a learning rate of 1, once with
# each loss. How many steps until it gives the right answer, $z < 0$?

# %%
paths = {}
for k, name in enumerate(("cross-entropy", "squared error")):
    z, path = np.array([6.0]), []
    for _ in range(600):
        path.append(z[0])
        z = z - output_deltas(z, np.array([0]))[k]
    paths[name] = path
    print(f"{name}: right after {np.argmax(np.array(path) < 0)} steps")
figure = plotting.curves(paths, "step", "z", "sure of itself, and wrong")

# %% [markdown]
# ## Which learning rates are dangerous?
#
# A network with one hidden layer of ReLUs on the digits, at its start. `softmax_cross_entropy` gives the gradient
# at its logits; two products take it to the hidden units. Then your `fatal_learning_rate` finds for each unit which
# step kills it, for inputs that are centered and for the same inputs far from zero.

# %%
hidden = initial_weights(np.random.default_rng(1).normal(size=(64, 100)), "he")
out = initial_weights(np.random.default_rng(2).normal(size=(100, 10)), "lecun")
for name, shift in (("centered inputs", 0.0), ("inputs shifted by 5", 5.0)):
    x = flat + shift
    z = x @ hidden
    h = np.maximum(z, 0)
    loss, at_logits = softmax_cross_entropy(h @ out, train.y)
    delta = at_logits @ out.T * (z > 0)
    rates = np.array(
        [
            fatal_learning_rate(x, hidden[:, j], 0.0, x.T @ delta[:, j], delta[:, j].sum())
            for j in range(hidden.shape[1])
        ]
    )
    print(
        f"{name}: loss {loss:.2f}; dead already {np.mean(rates == 0):.0%}; "
        f"a step of 1 kills {np.mean((rates > 0) & (rates <= 1)):.0%}; no step kills {np.mean(np.isinf(rates)):.0%}"
    )

# %% [markdown]
# With ReLU, He's weights hold the scale in both directions, and LeCun's lose a factor of two in every layer. With tanh,
# LeCun's weights lose a factor of 15 to 50 over all layers, depending on the draw, and He's, which hold $h$, let δ grow
# eight to twenty times. What do $f(z)$ and $f'(z)$ of tanh do to sums that are not near 0, and why can no σ hold both?
#
# Why does an offset of the inputs kill units that no step kills where inputs are centered? Look at the signs of the
# $s_i$ of one unit. Which preprocessing is the remedy?
#
# **Where this comes from.** LeCun, Bottou, Orr and Müller 1998, *Efficient BackProp*; Glorot and Bengio 2010; He,
# Zhang, Ren and Sun 2015 (the factor 2 for ReLU); Blanchard, D. J. Higham and N. J. Higham 2021 (log-sum-exp in
# floating point); Lu, Shin, Su and Karniadakis 2020 (dying ReLU).
