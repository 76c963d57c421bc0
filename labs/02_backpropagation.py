# %% [markdown]
# # Backpropagation
#
# Training needs one number for every weight: by how much would the cost change if this weight changed a little? A
# network of a million weights could be asked a million times. Backpropagation finds all answers in one pass from the
# output back to the input, at about the price of two forward passes. Here you write both passes in NumPy, find out
# whether they are right without trusting them, and train on handwritten digits with nothing else.
#
# The network of this lab: every layer $l$ has a matrix $W^{(l)}$ of shape (units, inputs) and a bias $b^{(l)}$; every
# activation is a sigmoid, the last one too, and the outputs are $K$ answers of yes or no. Examples are the rows of
# `x`.
#
# $$z^{(l+1)} = W^{(l)} a^{(l)} + b^{(l)}, \qquad a^{(l+1)} = \sigma(z^{(l+1)}), \qquad a^{(1)} = x \qquad (1)$$
#
# The sigmoid is given; its derivative is $\sigma'(z) = \sigma(z)\,(1 - \sigma(z))$.

# %%
import itertools

import numpy as np

from tf_kit import data, plotting
from tf_kit.grading import check


def sigmoid(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))


# %% [markdown]
# ## 1. Forward, and keep what you pass
#
# The way back needs every $z$ and every activation of the way there, so the forward pass returns them all. For one
# example (1) is written with $W a$; for $n$ examples in the rows of an array (n, inputs) the same sum is `a @ W.T`,
# which is (n, units). In numbers: 5 examples, layers of 4, 3 and 2 units. $W^{(1)}$ is (3, 4), and $z^{(2)}$ is
# (5, 4) @ (4, 3) = (5, 3).
#
# The caller keeps using `x`, so the list should hold it, not a changed copy of it.


# %% exercise="mlp_forward"
def forward(weights, biases, x):
    """All sums and all activations of the network (1).

    Args:
        weights: list of (units, inputs); biases: list of (units,); x: (n, inputs).

    Returns:
        The list of z, one for each layer of weights, and the list of activations, which begins with x itself.
    """
    ### BEGIN SOLUTION
    zs, activations = [], [x]
    for W, b in zip(weights, biases, strict=True):
        zs.append(activations[-1] @ W.T + b)
        activations.append(sigmoid(zs[-1]))
    return zs, activations
    ### END SOLUTION


# %%
check("mlp_forward")

# %% [markdown]
# ## 2. The cost
#
# How wrong are $K$ answers between 0 and 1? Cross-entropy, averaged over the $N$ examples and summed over the outputs,
# with the penalty on the weights:
#
# $$J = -\frac1N \sum_{n=1}^{N} \sum_{k=1}^{K}
# \bigl( y_{nk} \log \sigma(z_{nk}) + (1 - y_{nk}) \log(1 - \sigma(z_{nk})) \bigr)
# + \frac\lambda2 \sum_l \sum_{ij} \bigl(W^{(l)}_{ij}\bigr)^2 \qquad (2)$$
#
# The minus sign is easily lost (it is missing on more than one slide): the logarithm of a number below 1 is negative,
# and a cost has to be positive. Biases are not penalized.
#
# And (2) must not be typed as it stands. At $z = 40$, $\sigma(z)$ rounds to exactly 1 and $\log(1 - 1) = -\infty$; $0
# \cdot \infty$ is `nan`. Since $-\log \sigma(z) = \log(1 + e^{-z})$ and $-\log(1 - \sigma(z)) = \log(1 + e^{z})$, the
# bracket with its minus is
#
# $$\log(1 + e^{z}) - y z \qquad (3)$$
#
# and NumPy has $\log(e^a + e^b)$, computed without overflow, as `np.logaddexp(a, b)`. Example: $z = 40$, $y = 0$ costs
# 40; $z = 40$, $y = 1$ costs $4 \cdot 10^{-18}$; $z = 0$ costs $\log 2$ either way.


# %% exercise="cross_entropy_cost"
def cost(weights, z, y, l2=0.0):
    """J of equation (2), from the sums z (n, K) of the last layer and the labels y (n, K)."""
    ### BEGIN SOLUTION
    entropy = np.sum(np.logaddexp(0.0, z) - y * z) / len(z)  # (3)
    return entropy + l2 / 2 * sum(np.sum(W**2) for W in weights)
    ### END SOLUTION


# %%
check("cross_entropy_cost")

# %% [markdown]
# ## 3. Backward
#
# Call $\delta^{(l)}$ the derivative of the cost of one example with respect to $z^{(l)}$. For the last layer
# differentiate (3): the derivative of $\log(1 + e^z)$ is $\sigma(z)$, so
#
# $$\delta^{(L)} = a^{(L)} - y \qquad (4)$$
#
# Beautifully simple, and not what every slide has: with the *squared* error there is a factor $\sigma'(z)$ behind it;
# with cross-entropy that factor has canceled. For the layers before, the blame goes back along the weights it came
# through:
#
# $$\delta^{(l)}_i = \Bigl( \sum_j W^{(l)}_{ji}\, \delta^{(l+1)}_j \Bigr)\, \sigma'(z^{(l)}_i) \qquad (5)$$
#
# Each weight connects an activation with a $\delta$, and its derivative is their product, averaged over the examples.
# The penalty in (2) has a derivative too:
#
# $$\frac{\partial J}{\partial W^{(l)}_{ij}} = \frac1N \sum_n \delta^{(l+1)}_{ni}\, a^{(l)}_{nj} + \lambda W^{(l)}_{ij},
# \qquad \frac{\partial J}{\partial b^{(l)}_i} = \frac1N \sum_n \delta^{(l+1)}_{ni} \qquad (6)$$
#
# With examples in rows, (5) is `delta @ W`, no transpose, (n, units) @ (units, inputs); and the sum in (6) is
# `delta.T @ a`, of the shape of $W$. Whenever you are unsure, let the shapes decide. The lists begin with the first
# layer: `weights[l]` takes `activations[l]` to `zs[l]`.


# %% exercise="mlp_backward"
def backward(weights, zs, activations, y, l2=0.0):
    """Gradients of J.

    Args:
        weights: list of (units, inputs); y: (n, K) labels.
        zs, activations: what `forward` has returned for n examples; activations[0] is x.

    Returns:
        The list of ∂J/∂W and the list of ∂J/∂b, from the first layer to the last.
    """
    ### BEGIN SOLUTION
    dW, db = [], []
    delta = activations[-1] - y  # (4)
    for l in reversed(range(len(weights))):
        dW.insert(0, delta.T @ activations[l] / len(y) + l2 * weights[l])  # (6)
        db.insert(0, delta.mean(axis=0))
        if l > 0:
            slope = sigmoid(zs[l - 1]) * (1 - sigmoid(zs[l - 1]))
            delta = (delta @ weights[l]) * slope  # (5)
    return dW, db
    ### END SOLUTION


# %%
check("mlp_backward")

# %% [markdown]
# ## 4. Trust nothing: the gradient by differences
#
# A wrong gradient still trains, only worse, and nobody notices. So compare it with the definition. For each number
# $\theta_i$ in an array, move that one and no other, a little up and a little down:
#
# $$\frac{\partial J}{\partial \theta_i} \approx \frac{J(\theta + h e_i) - J(\theta - h e_i)}{2h} \qquad (7)$$
#
# Why both ways? One-sided, the error is about $\tfrac h2 J''$; in (7) these terms cancel and $\tfrac{h^2}{6} J'''$ is
# left. For $J = e^\theta$ at 0 and $h = 0.01$, the one-sided answer is 1.00502, the two-sided 1.0000167, the truth 1.
#
# Two pitfalls. The array belongs to the caller: after your function it must hold what it held before, also if you
# moved its numbers in place. And float32 has seven digits, so $J(\theta + h) - J(\theta - h)$ may be all rounding:
# move a float64 copy, whatever you are given.


# %% exercise="numerical_gradient"
def numerical_gradient(function, theta, h=1e-5):
    """The gradient of function(array) -> number at theta by equation (7), float64, of the shape of theta."""
    ### BEGIN SOLUTION
    theta = np.array(theta, dtype="float64")
    gradient = np.zeros_like(theta)
    for i in np.ndindex(theta.shape):
        kept = theta[i]
        theta[i] = kept + h
        above = function(theta)
        theta[i] = kept - h
        below = function(theta)
        theta[i] = kept
        gradient[i] = (above - below) / (2 * h)  # (7)
    return gradient
    ### END SOLUTION


# %%
check("numerical_gradient")

# %% [markdown]
# ## 5. Break the symmetry
#
# If all weights of a layer begin equal, all its units compute the same, get the same $\delta$ from (5), take the same
# step, and stay equal for ever: a hundred units do the work of one. So weights begin random. How large? If $z$ is the
# sum of many terms, it grows with their number; too large and the sigmoids saturate, too small and the signal dies
# from layer to layer. Glorot and Bengio's compromise between the way there and the way back:
#
# $$W_{ij} \sim U[-c, c], \qquad c = \sqrt{\frac{6}{\text{inputs} + \text{units}}}, \qquad b = 0 \qquad (8)$$
#
# For 64 inputs and 32 units the limit is $\sqrt{6 / 96} = 0.25$. Biases may begin equal: the weights have already
# broken the symmetry. Draw every number from `rng`, the generator that you are given, so that a seed fixes the
# network; do not make another one, and do not seed it again for each layer.


# %% exercise="initialize"
def initialize(sizes, rng):
    """Lists of weights and biases by equation (8) for layers of `sizes`, such as (64, 32, 10)."""
    ### BEGIN SOLUTION
    weights, biases = [], []
    for inputs, units in itertools.pairwise(sizes):
        limit = np.sqrt(6.0 / (inputs + units))  # (8)
        weights.append(rng.uniform(-limit, limit, size=(units, inputs)))
        biases.append(np.zeros(units))
    return weights, biases
    ### END SOLUTION


# %%
check("initialize")

# %% [markdown]
# ## Do the two gradients agree?
#
# Your backward pass against your differences, for every weight of a small network with a penalty.

# %%
rng = np.random.default_rng(0)
weights, biases = initialize((6, 5, 4, 3), rng)
x, y = rng.normal(size=(7, 6)), rng.integers(0, 2, (7, 3))
dW, _ = backward(weights, *forward(weights, biases, x), y, l2=0.1)
for l, W in enumerate(weights):

    def with_layer(candidate, l=l):
        changed = [candidate if i == l else each for i, each in enumerate(weights)]
        return cost(changed, forward(changed, biases, x)[0][-1], y, l2=0.1)

    difference = np.abs(dW[l] - numerical_gradient(with_layer, W)).max()
    print(
        f"layer {l + 1}: largest difference {difference:.1e} in gradients of up to {np.abs(dW[l]).max():.2f}"
    )

# %% [markdown]
# ## A network for digits, all yours
#
# Gradient descent on minibatches with your `backward`. It is run twice, from your random start and from equal weights
# of the same average size.

# %%
train, val, _ = data.load("digits", seed=0)
x, val_x = (part.x.reshape(len(part.x), -1).astype("float64") for part in (train, val))
wanted = np.eye(10)[train.y]


def descend(weights, biases, learning_rate=1.0, epochs=30, batch_size=32, l2=1e-4):
    rng, path = np.random.default_rng(0), []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            chosen = order[start : start + batch_size]
            dW, db = backward(weights, *forward(weights, biases, x[chosen]), wanted[chosen], l2)
            weights = [W - learning_rate * g for W, g in zip(weights, dW, strict=True)]
            biases = [b - learning_rate * g for b, g in zip(biases, db, strict=True)]
        path.append(cost(weights, forward(weights, biases, x)[0][-1], wanted, l2))
    return weights, biases, path


paths, sizes = {}, (x.shape[1], 48, 10)
starts = {"random weights": initialize(sizes, np.random.default_rng(0))}
starts["equal weights"] = (
    [np.full_like(W, np.abs(W).mean()) for W in starts["random weights"][0]],
    [np.zeros(units) for units in sizes[1:]],
)
for name, (weights, biases) in starts.items():
    weights, biases, paths[name] = descend(weights, biases)
    accuracy = np.mean(forward(weights, biases, val_x)[1][-1].argmax(axis=1) == val.y)
    different = len(np.unique(weights[0].round(6), axis=0))
    print(f"{name}: validation accuracy {accuracy:.1%}; {different} of 48 hidden units differ")

# %%
figure = plotting.curves(paths, y_label="cost J", title="64-48-10 on digits, by hand")

# %% [markdown]
# Look at what is left of the 48 units when they begin equal. Why can the network still say something about ten digits?
# Then take the factor $\sigma'(z)$ back into (4) for a moment and train again: what happens in the first epochs, and
# which outputs are slowest to correct, those that are a little wrong or those that are wrong and sure of it?
#
# **Where this comes from.** Rumelhart, Hinton and Williams 1986 (backpropagation); Glorot and Bengio 2010 (the initial
# weights); Nielsen 2015, *Neural Networks and Deep Learning*, chapter 3 (cross-entropy against squared error).
