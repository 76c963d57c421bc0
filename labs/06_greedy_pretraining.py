# %% [markdown]
# # Greedy pretraining
#
# A deep network of sigmoid units that starts from random weights learns badly: what reaches its first layers of the
# gradient is small, and says little. Greedy pretraining gives every layer a task of its own before there is any
# label. The first layer learns to describe the inputs, the second to describe what the first one says, and so on
# upward. Only then is the whole stack trained on the labels, from weights through which the gradient passes.
#
# A layer can learn without labels in two ways, and you write both: as an **autoencoder**, which must be able to
# rebuild its input from its hidden units, and as a **restricted Boltzmann machine** (RBM), which must find its input
# more probable than what it dreams up. At the end your own code pretrains a stack on handwritten digits, and you see
# what that is worth when few labels are at hand.
#
# All functions get and return tensors. Write them with `keras.ops` (`ops.matmul`, `ops.sigmoid`, `ops.softplus`,
# `ops.sum`, …): Keras compiles a training step into a graph, where the number of examples may not be known yet, and
# NumPy does not run.

# %%
import keras
import numpy as np
from keras import ops

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1 · The loss of an autoencoder with tied weights
#
# An autoencoder turns an input $x$ into hidden units $h$ and those back into a picture of $x$. With *tied* weights
# the way back uses the same matrix, transposed, so that one layer has one matrix to learn:
#
# $$h = \sigma(x W + b) \qquad (1)$$
# $$z = h W^\top + c \qquad (2)$$
#
# $z$ are logits: $\sigma(z_j)$ is the probability that pixel $j$ is white. The inputs lie in $[0, 1]$ and are read
# as such probabilities too, so what is paid is the cross-entropy $-x \log \sigma(z) - (1 - x) \log(1 - \sigma(z))$.
# Written for logits it becomes short, and safe where $\sigma(z)$ rounds to 0 or 1:
#
# $$L = \frac1n \sum_i \sum_j \big[\operatorname{softplus}(z_{ij}) - x_{ij} z_{ij}\big] \qquad (3)$$
#
# with $\operatorname{softplus}(z) = \log(1 + e^z)$. The sum runs over the features of an example and the mean over
# the examples.
#
# In numbers, for two features and one hidden unit: $x = (1, 0)$, $W = (2, -1)^\top$, $b = 0$, $c = (0, 0)$ give
# $h = \sigma(2) = 0.881$, $z = (1.762, -0.881)$, and $L = (1.920 - 1.762) + 0.347 = 0.505$.
#
# `kernel` is $W$ with shape (features, units), `hidden_bias` is $b$, `visible_bias` is $c$.


# %% exercise="reconstruction_loss"
def reconstruction_loss(x, kernel, hidden_bias, visible_bias):
    """Mean over the examples of the cross-entropy of x (n, features) with its reconstruction: a scalar."""
    ### STUB
    # raise NotImplementedError("write equations (1) to (3)")
    ### BEGIN SOLUTION
    h = ops.sigmoid(ops.matmul(x, kernel) + hidden_bias)  # (1)
    z = ops.matmul(h, ops.transpose(kernel)) + visible_bias  # (2)
    cost = ops.softplus(z) - x * z
    return ops.mean(ops.sum(cost, axis=-1))  # (3)
    ### END SOLUTION


# %%
check("reconstruction_loss")

# %% [markdown]
# ## 2 · Corruption
#
# With many hidden units an autoencoder could learn to copy. A *denoising* autoencoder cannot: it sees the input with
# some of its features wiped out and must rebuild the whole. To fill the holes it has to know which pixels go
# together.
#
# Each feature of each example is lost with probability `rate`, on its own:
#
# $$\tilde x_{ij} = \begin{cases} 0 & u_{ij} < \text{rate} \\ x_{ij} & \text{otherwise} \end{cases} \qquad (4)$$
#
# where the $u_{ij}$ are uniform in $[0, 1)$. They are given to you: a function whose randomness is an argument can
# be checked, and repeated. With $x = (0.8, 0.5)$, $u = (0.1, 0.7)$ and a rate of 0.3 you get $(0, 0.5)$.
#
# This is not dropout: what is left is *not* scaled up by $1/(1 - \text{rate})$, as the network is to see ordinary
# pixels with holes among them.


# %% exercise="corrupt"
def corrupt(x, uniform, rate):
    """x with the features wiped out whose uniform number lies below the rate; both (n, features)."""
    ### STUB
    # raise NotImplementedError("write equation (4)")
    ### BEGIN SOLUTION
    return ops.where(uniform < rate, ops.zeros_like(x), x)  # (4)
    ### END SOLUTION


# %%
check("corrupt")

# %% [markdown]
# ## 3 · One step of a denoising autoencoder
#
# Now the gradient of the loss, where the hidden units see $\tilde x$ and the loss asks for the clean $x$. Two errors
# travel backwards. That of the logits is plain, because the derivative of the sigmoid cancels against the
# cross-entropy; that of the hidden units comes back through $W$:
#
# $$\delta_z = \frac1n (\sigma(z) - x) \qquad (5)$$
# $$\delta_h = (\delta_z W) \odot h \odot (1 - h) \qquad (6)$$
#
# The biases collect their errors, $\partial L/\partial b = \sum_i \delta_{h,i}$ and
# $\partial L/\partial c = \sum_i \delta_{z,i}$. The matrix is used twice, so its gradient has two terms, one for each
# use:
#
# $$\frac{\partial L}{\partial W} = \tilde x^\top \delta_h + \delta_z^\top h \qquad (7)$$
#
# Check the shapes before you write: both terms are (features, units). In the example of exercise 1 with
# $\tilde x = x$: $\delta_z = (-0.147, 0.293)$, $\delta_h = -0.0615$, so
# $\partial L/\partial W = (-0.062, 0)^\top + (-0.129, 0.258)^\top$. The decoder's share is the larger one here.
#
# You may also leave the derivative to `tf.GradientTape`; try the formulas first, they are what it computes.


# %% exercise="tied_gradients"
def tied_gradients(corrupted, clean, kernel, hidden_bias, visible_bias):
    """Gradient of the loss at `clean`, seen as `corrupted`: (of kernel, of hidden_bias, of visible_bias)."""
    ### STUB
    # raise NotImplementedError("write equations (5) to (7)")
    ### BEGIN SOLUTION
    h = ops.sigmoid(ops.matmul(corrupted, kernel) + hidden_bias)
    z = ops.matmul(h, ops.transpose(kernel)) + visible_bias
    delta_z = (ops.sigmoid(z) - clean) / ops.cast(ops.shape(clean)[0], clean.dtype)  # (5)
    delta_h = ops.matmul(delta_z, kernel) * h * (1 - h)  # (6)
    encoder_part = ops.matmul(ops.transpose(corrupted), delta_h)
    decoder_part = ops.matmul(ops.transpose(delta_z), h)
    return encoder_part + decoder_part, ops.sum(delta_h, axis=0), ops.sum(delta_z, axis=0)  # (7)
    ### END SOLUTION


# %%
check("tied_gradients")

# %% [markdown]
# ## 4 · The free energy of an RBM
#
# A restricted Boltzmann machine gives every pair of visible units $v$ and binary hidden units $h$ an energy; low
# energy means high probability. As hidden units are not linked with each other, the sum over all $2^{\text{units}}$
# states of $h$ can be carried out, and what remains is the *free energy* of $v$ alone:
#
# $$E(v, h) = -c \cdot v - b \cdot h - v^\top W h, \qquad P(v) \propto \sum_h e^{-E(v, h)} = e^{-F(v)}$$
# $$F(v) = -c \cdot v - \sum_j \operatorname{softplus}\big(b_j + (v^\top W)_j\big) \qquad (8)$$
#
# In numbers: $v = (1, 0)$, $W = (2, -1)^\top$, $b = -1$, $c = (0.5, 0)$ give
# $F = -0.5 - \operatorname{softplus}(1) = -0.5 - 1.313 = -1.813$. By hand over both states of $h$: $h = 0$ has
# energy $-0.5$, $h = 1$ has $-0.5 + 1 - 2 = -1.5$, and $-\log(e^{0.5} + e^{1.5}) = -1.813$.
#
# Both signs are negative: a hidden unit that likes $v$ *lowers* its energy. There is one free energy for each example.


# %% exercise="free_energy"
def free_energy(v, kernel, hidden_bias, visible_bias):
    """F(v), (n,), of visible units v (n, features)."""
    ### STUB
    # raise NotImplementedError("write equation (8)")
    ### BEGIN SOLUTION
    hidden_logits = ops.matmul(v, kernel) + hidden_bias
    visible_term = ops.sum(v * visible_bias, axis=-1)
    return -visible_term - ops.sum(ops.softplus(hidden_logits), axis=-1)  # (8)
    ### END SOLUTION


# %%
check("free_energy")

# %% [markdown]
# ## 5 · Contrastive divergence
#
# To make data more probable, lower their free energy and raise that of everything else. "Everything else" has too
# many terms to sum; contrastive divergence asks the machine instead where it would drift if it started at the data,
# and raises the free energy there. One step of that chain (CD-1), with $p(v) = \sigma(vW + b)$ for short:
#
# $$h = [\,u^h < p(v)\,] \qquad \tilde v = [\,u^v < \sigma(h W^\top + c)\,] \qquad (9)$$
#
# where $[\cdot]$ is 1 if true and 0 if not, and $u^h$, $u^v$ are uniform numbers, given to you: a unit is on with its
# probability. The cost is $\frac1n \sum_i F(v_i) - F(\tilde v_i)$, and $\tilde v$ counts as a constant in its gradient:
#
# $$\frac{\partial}{\partial W} = \frac1n\big(\tilde v^\top p(\tilde v) - v^\top p(v)\big) \qquad (10)$$
# $$\frac{\partial}{\partial b} = \frac1n \sum_i p(\tilde v_i) - p(v_i) \qquad
#   \frac{\partial}{\partial c} = \frac1n \sum_i \tilde v_i - v_i \qquad (11)$$
#
# Two pitfalls. The chain needs *sampled* hidden units, or it would be an autoencoder; the statistics (10) and (11)
# take the *probabilities*, which have the same mean and no noise. And these are gradients of a cost, to be
# descended: the data stand with the minus sign. Some texts print the update, which has the opposite signs.


# %% exercise="contrastive_divergence"
def contrastive_divergence(v, kernel, hidden_bias, visible_bias, hidden_uniform, visible_uniform):
    """Gradient of the CD-1 cost: (of kernel, of hidden_bias, of visible_bias).

    v and visible_uniform are (n, features), hidden_uniform is (n, units).
    """
    ### STUB
    # raise NotImplementedError("write equations (9) to (11)")
    ### BEGIN SOLUTION
    n = ops.cast(ops.shape(v)[0], v.dtype)
    p = ops.sigmoid(ops.matmul(v, kernel) + hidden_bias)
    h = ops.cast(hidden_uniform < p, v.dtype)
    visible_mean = ops.sigmoid(ops.matmul(h, ops.transpose(kernel)) + visible_bias)
    v_end = ops.cast(visible_uniform < visible_mean, v.dtype)  # (9)
    p_end = ops.sigmoid(ops.matmul(v_end, kernel) + hidden_bias)
    positive = ops.matmul(ops.transpose(v), p)
    negative = ops.matmul(ops.transpose(v_end), p_end)
    of_kernel = (negative - positive) / n  # (10)
    return of_kernel, ops.sum(p_end - p, axis=0) / n, ops.sum(v_end - v, axis=0) / n  # (11)
    ### END SOLUTION


# %%
check("contrastive_divergence")

# %% [markdown]
# ## 6 · The stack
#
# Greedy means: one layer after the other, from below, each trained once and then left alone. Layer $l$ learns from
# what the layers under it make of the data,
#
# $$r^0 = x, \qquad r^l = \sigma(r^{l-1} W^l + b^l) \qquad (12)$$
#
# so layer $l$ is trained on $r^{l-1}$. How a layer is trained is not your concern here: you get
# `train_layer(inputs, units)`, which returns the kernel (features, units) and the hidden bias (units,) that it
# learned from `inputs`. Two autoencoders or two RBMs, the stacking is the same.
#
# Training on $r^{l-1}$ means on the clean representation. If a layer wants to corrupt its input, it does so inside.


# %% exercise="pretrain_greedily"
def pretrain_greedily(x, widths, train_layer):
    """Trains a stack of sigmoid layers, bottom first: a list of (kernel, hidden bias), one for each of `widths`."""
    ### STUB
    # raise NotImplementedError("train each layer on the representation (12) of those below it")
    ### BEGIN SOLUTION
    layers, representation = [], x
    for units in widths:
        kernel, bias = train_layer(representation, units)
        layers.append((kernel, bias))
        representation = ops.sigmoid(ops.matmul(representation, kernel) + bias)  # (12)
    return layers
    ### END SOLUTION


# %%
check("pretrain_greedily")

# %% [markdown]
# ## Experiment: what is pretraining worth when labels are few?
#
# 1,197 images of digits, 8 × 8 pixels; only the first 100 keep their labels. Your functions pretrain three layers of
# 100 sigmoid units on all images, once as denoising autoencoders and once as RBMs. Then the same network is trained
# on the 100 labelled images from three starts. Run the cells when the checks above are content; it takes less than a
# minute.

# %%
train, val, test = data.load("digits", seed=0)
x_train, x_val = train.x.reshape(len(train.x), -1), val.x.reshape(len(val.x), -1)
WIDTHS, LABELS, BATCH, EPOCHS = (100, 100, 100), 100, 20, 15


def train_by(gradients, learning_rate):
    """`train_layer` for the stack: stochastic gradient descent along `gradients(batch, rng, kernel, b, c)`."""

    def train_layer(inputs, units):
        inputs, rng = np.asarray(inputs), np.random.default_rng(0)
        features = inputs.shape[1]
        kernel = rng.normal(0, 0.1, (features, units)).astype("float32")
        hidden_bias, visible_bias = np.zeros(units, "float32"), np.zeros(features, "float32")
        for _ in range(EPOCHS):
            for batch in np.split(
                rng.permutation(len(inputs))[: len(inputs) // BATCH * BATCH], len(inputs) // BATCH
            ):
                changes = gradients(inputs[batch], rng, kernel, hidden_bias, visible_bias)
                kernel, hidden_bias, visible_bias = (
                    weight - learning_rate * np.asarray(change)
                    for weight, change in zip((kernel, hidden_bias, visible_bias), changes, strict=True)
                )
        return kernel, hidden_bias

    return train_layer


def uniform(rng, *shape):
    return ops.convert_to_tensor(rng.random(shape, "float32"))


def autoencoder_gradients(batch, rng, kernel, hidden_bias, visible_bias):
    clean = ops.convert_to_tensor(batch)
    seen = corrupt(clean, uniform(rng, *batch.shape), 0.3)
    return tied_gradients(seen, clean, kernel, hidden_bias, visible_bias)


def rbm_gradients(batch, rng, kernel, hidden_bias, visible_bias):
    draws = uniform(rng, len(batch), kernel.shape[1]), uniform(rng, *batch.shape)
    return contrastive_divergence(ops.convert_to_tensor(batch), kernel, hidden_bias, visible_bias, *draws)


stacks = {
    "denoising autoencoders": pretrain_greedily(x_train, WIDTHS, train_by(autoencoder_gradients, 0.1)),
    "RBMs": pretrain_greedily(x_train, WIDTHS, train_by(rbm_gradients, 0.1)),
}
kernel, hidden_bias = stacks["denoising autoencoders"][0]
blank = np.zeros(x_train.shape[1], "float32")
loss = reconstruction_loss(ops.convert_to_tensor(x_val), kernel, hidden_bias, blank)
print(f"first layer: {float(loss):.1f} nats for an image it has never seen (without its visible bias)")


# %%
def error_curve(stack):
    """Error on the validation images after every epoch on the labelled ones, in %, and the trained network."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(units, activation="sigmoid") for units in WIDTHS]
    network = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    for layer, weights in zip(network.layers, stack or (), strict=False):
        layer.set_weights([np.asarray(each) for each in weights])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.003), loss=loss, metrics=["accuracy"])
    labelled = x_train[:LABELS], train.y[:LABELS]
    history = network.fit(*labelled, batch_size=10, epochs=40, validation_data=(x_val, val.y), verbose=0)
    return 100 * (1 - np.array(history.history["val_accuracy"])), network


curves = {name: error_curve(stack)[0] for name, stack in {"random start": None, **stacks}.items()}
for name, curve in curves.items():
    print(f"{name}: {curve[4]:.1f} % wrong after 5 epochs, {curve[-1]:.1f} % after {len(curve)}")
figure = plotting.curves(curves, y_label="validation error, %", title=f"three hidden layers, {LABELS} labels")

# %% [markdown]
# Look at what the first layer has learned. Each tile shows the weights of one hidden unit as an image; those of a
# random start would be noise. Do the filters of the two methods look alike, and what would you say a unit detects?

# %%
pretrained = np.concatenate([np.asarray(stack[0][0]).T[:20].reshape(-1, 8, 8) for stack in stacks.values()])
title = "first-layer weights: autoencoder above, RBM below"
figure = plotting.tiles(pretrained, columns=10, title=title, symmetric=True)

# %% [markdown]
# Questions to take along: what happens to the random start with 1,000 labels instead of 100? With one hidden layer
# instead of three? Does the free energy of your RBM's first layer tell digits from random images?
