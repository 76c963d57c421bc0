# %% [markdown]
# # Activations and perceptrons
#
# A unit adds up its weighted inputs and a bias, $z = w^\top x + b$, and passes the sum through an activation. In this
# lab you write two activations so that they survive the numbers that real training throws at them, measure when units
# stop learning, train a single unit by the oldest rule there is, and build by hand the network that it cannot replace.
#
# The first two answers work on tensors, with `keras.ops`, so that Keras can differentiate them; the others are NumPy.

# %%
import keras
import numpy as np
from keras import ops

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1. A sigmoid that does not break
#
# $$\sigma(x) = \frac{1}{1 + e^{-x}} \qquad (1)$$
#
# Typed as it stands, (1) looks safe. At $x = -100$ in float32, $e^{100}$ overflows to infinity, $1/\infty = 0$, and
# the value is right. But its derivative is $e^{-x} / (1 + e^{-x})^2$, and there a program meets $\infty / \infty$:
# the gradient is `nan`, and one `nan` in one weight is in all of them a step later. Multiplying (1) through by
# $e^x$ only moves the trouble to $x = +100$.
#
# There is a way around, and it is on the slide about the hyperbolic tangent, which never overflows:
#
# $$\tanh(x) = 2\,\sigma(2x) - 1 \qquad (2)$$
#
# Solve (2) for $\sigma(x)$. Check your formula by hand at $x = 0$, where $\sigma = 1/2$, and remember that $\sigma$
# rises from 0.27 to 0.73 between $-1$ and $1$, while $\tanh$ goes from $-0.76$ to $0.76$.


# %% exercise="sigmoid"
def sigmoid(x):
    """1 / (1 + e^(−x)) of a tensor, with a gradient that is finite for every finite x."""
    ### BEGIN SOLUTION
    return 0.5 * (1.0 + ops.tanh(0.5 * x))
    ### END SOLUTION


# %%
check("sigmoid")

# %% [markdown]
# ## 2. Leaky ReLU
#
# $$f(x) = \begin{cases} x & x \ge 0 \\ a\,x & x < 0 \end{cases} \qquad (3)$$
#
# With $a = 0$ it is the ReLU; a small slope such as 0.01 lets a little gradient through on the left, so that a unit
# that has fallen silent can recover.
#
# The slide writes (3) as $(a x) \cdot \mathbb I(x < 0) + x \cdot \mathbb I(x \ge 0)$. On paper that is the same. In
# floating point $\infty \cdot 0$ is `nan`, and the term that should be switched off poisons the sum. *Choose* between
# the sides, do not multiply them by zero and one. Another short cut, $\max(x, a x)$, is right only while $a \le 1$;
# yours should hold for any slope. A `nan` that comes in must go out again: hiding it would hide a fault elsewhere.


# %% exercise="leaky_relu"
def leaky_relu(x, negative_slope=0.01):
    """x where it is at least 0, else negative_slope · x."""
    ### BEGIN SOLUTION
    return ops.where(x >= 0, x, negative_slope * x)
    ### END SOLUTION


# %%
check("leaky_relu")

# %% [markdown]
# ## 3. Dead units
#
# A ReLU passes no gradient where $z \le 0$. That is harmless for one example. But a step that is too long can push a
# bias so far down that $z \le 0$ for *every* example of the training set. Then the unit's output is always zero, no
# gradient reaches its weights, and it will never come back: it is dead.
#
# Take the sums $z$ of a layer for $n$ examples, an array of shape (n, units), and return which part of the units is
# dead. Three units and two examples:
#
# | | unit 1 | unit 2 | unit 3 |
# | --- | --- | --- | --- |
# | example 1 | 0.5 | −1.0 | −0.1 |
# | example 2 | −2.0 | −3.0 | 0.0 |
#
# Unit 1 fires for example 1 and lives. Units 2 and 3 never do (0 does not count as firing), so the answer is 2/3,
# although 5 of 6 outputs are zero. In a convolution z is (n, height, width, channels) and a unit is a channel: it
# lives if it fires anywhere. The last axis always counts the units.


# %% exercise="dead_fraction"
def dead_fraction(z):
    """The part of the units, in the last axis of z, that are at most 0 everywhere: a number from 0 to 1."""
    ### BEGIN SOLUTION
    units = np.reshape(z, (-1, z.shape[-1]))
    return np.mean(np.all(units <= 0, axis=0))
    ### END SOLUTION


# %%
check("dead_fraction")

# %% [markdown]
# ## 4. The perceptron
#
# Rosenblatt's unit says 1 if $w^\top x + b > 0$ and 0 otherwise. It learns from one example at a time, and only
# from its mistakes. With the answer $\hat y$ and the label $y$, both 0 or 1:
#
# $$w \leftarrow w + \eta\,(y - \hat y)\,x, \qquad b \leftarrow b + \eta\,(y - \hat y) \qquad (4)$$
#
# If it should have said 1 and said 0, it adds the example to its weights, and the next sum for the same $x$ is larger
# by $\eta (\lVert x \rVert^2 + 1)$. If both agree, nothing happens.
#
# Start from $w = 0$, $b = 0$. Go through the examples in their order, `epochs` times, and *correct after each of
# them*: the next example meets the new weights. Count how many examples were answered wrongly in each epoch, at the
# moment they were met. When an epoch counts 0, the weights stay as they are from then on, and the theorem says that
# this happens after finitely many mistakes if any line separates the classes.
#
# Leave `x` and `y` as they are: someone else may still need them.


# %% exercise="perceptron"
def train_perceptron(x, y, learning_rate=1.0, epochs=10):
    """Rosenblatt's rule.

    Args:
        x: (n, d) examples; y: (n,) labels, 0 or 1.

    Returns:
        w (d,), b (a number), and a list with the number of wrong answers in each epoch.
    """
    ### BEGIN SOLUTION
    w, b, wrong = np.zeros(x.shape[1]), 0.0, []
    for _ in range(epochs):
        mistakes = 0
        for example, label in zip(x, y, strict=True):
            answer = int(w @ example + b > 0)
            error = int(label) - answer
            w = w + learning_rate * error * example  # (4)
            b = b + learning_rate * error
            mistakes += abs(error)
        wrong.append(mistakes)
    return w, b, wrong
    ### END SOLUTION


# %%
check("perceptron")

# %% [markdown]
# ## 5. Any truth table, by hand
#
# XNOR, "both the same", is 1 at (0, 0) and (1, 1). No line separates these corners from the other two, so no single
# unit computes it, however long it trains. Two hidden units do: one that fires at (1, 1) only, one that fires at
# (0, 0) only, and an output unit that fires if either does.
#
# | $x_1$ | $x_2$ | $z_1$: both | $z_2$: neither | out |
# | --- | --- | --- | --- | --- |
# | 0 | 0 | 0 | 1 | 1 |
# | 0 | 1 | 0 | 0 | 0 |
# | 1 | 0 | 0 | 0 | 0 |
# | 1 | 1 | 1 | 0 | 1 |
#
# How does a unit recognize one corner? Take $(1, 0, 1)$ of a cube. Give $+1$ to the inputs that should be 1 and $-1$
# to those that should be 0. The sum is 2 at the corner itself and at most 1 at every other, because each wrong input
# costs 1. So a bias of $-1.5$ makes it fire there and nowhere else.
#
# Write the function that does this for *any* truth table of $n$ inputs. `table` holds $2^n$ truth values; entry $k$
# is the wanted output for the inputs that spell $k$ in binary, the first input being the highest digit (for $n = 3$,
# entry 5 belongs to (1, 0, 1)). All units fire where their sum is *above* 0. Any weights will do that compute the
# table with at most $2^n$ hidden units; also for the tables that are never true or always.


# %% exercise="truth_table"
def truth_table_network(table):
    """Weights of a network with one hidden layer that computes a truth table.

    Args:
        table: (2^n,) truth values.

    Returns:
        W1 (hidden, n), b1 (hidden,), W2 (1, hidden), b2 (1,).
    """
    ### BEGIN SOLUTION
    n = int(np.log2(len(table)))
    rows = [k for k, wanted in enumerate(table) if wanted]
    corners = np.array([[k >> (n - 1 - i) & 1 for i in range(n)] for k in rows]).reshape(-1, n)
    W1 = 2.0 * corners - 1
    b1 = 0.5 - corners.sum(axis=1)
    W2 = np.ones((1, len(rows)))
    b2 = np.array([-0.5])
    return W1, b1, W2, b2
    ### END SOLUTION


# %%
check("truth_table")

# %% [markdown]
# ## Your unit reads digits
#
# One perceptron, one question: is this digit a zero? And a harder one: is it an eight?

# %%
train, val, _ = data.load("digits", seed=0)
flat = train.x.reshape(len(train.x), -1)
wrong = {}
for digit in (0, 8):
    w, b, wrong[f"is it {digit}?"] = train_perceptron(flat, (train.y == digit).astype(int), epochs=30)
    said = val.x.reshape(len(val.x), -1) @ w + b > 0
    print(f"{digit}: {np.mean(said != (val.y == digit)):.1%} of the validation examples answered wrongly")

figure = plotting.curves(
    wrong, y_label="wrong answers in an epoch", title=f"a perceptron, {len(flat)} digits"
)

# %% [markdown]
# ## Your activations in a deep network
#
# Eight hidden layers of 32 units, the same start and the same minibatches for each; only the activation differs.
# Below, your `dead_fraction` looks at a ReLU network after training with several learning rates. Half a minute.


# %%
def deep_network(activation):
    keras.utils.set_random_seed(1)
    hidden = [keras.layers.Dense(32, activation, kernel_initializer="he_normal") for _ in range(8)]
    return keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])


def train_network(activation, learning_rate, epochs=12):
    model = deep_network(activation)
    model.compile(
        keras.optimizers.SGD(learning_rate, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model, model.fit(flat, train.y, 32, epochs, verbose=0).history["loss"]


activations = {
    "sigmoid": sigmoid,
    "tanh": ops.tanh,
    "ReLU": lambda x: leaky_relu(x, 0.0),
    "leaky ReLU": lambda x: leaky_relu(x, 0.1),
}
losses = {name: train_network(activation, 0.01)[1] for name, activation in activations.items()}
figure = plotting.curves(losses, y_label="training loss", title="eight hidden layers")

# %%
rates, dead = [0.01, 0.03, 0.1, 0.2], []
for rate in rates:
    model, _ = train_network(activations["ReLU"], rate, epochs=4)
    h, parts = flat, []
    for layer in model.layers[:-1]:
        z = h @ ops.convert_to_numpy(layer.kernel) + ops.convert_to_numpy(layer.bias)
        parts.append(dead_fraction(z))
        h = np.maximum(z, 0)
    dead.append(np.mean(parts))
    print(f"learning rate {rate}: {dead[-1]:.0%} of the units are dead")

figure = plotting.curves(
    {"ReLU": (rates, 100 * np.array(dead))},
    "learning rate",
    "dead units, %",
    "what a long step leaves behind",
)

# %% [markdown]
# The sigmoid's curve hardly leaves $\ln 10 = 2.3$, the loss of guessing. Its slope is at most 1/4; eight layers
# multiply eight of them. What would you expect of two hidden layers? And why does `tanh`, which also saturates, do so
# much better here?
#
# **Where this comes from.** Rosenblatt 1958 (the perceptron); Minsky and Papert 1969 (what one layer cannot do);
# Glorot, Bordes and Bengio 2011 (ReLU in deep networks); Maas, Hannun and Ng 2013 (leaky ReLU).
