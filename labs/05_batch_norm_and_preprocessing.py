# %% [markdown]
# # Batch norm and preprocessing
#
# Gradient descent does not know that one column of your table is in meters and another in millimeters. A weight whose
# input is large gets a large gradient, its neighbor a small one, and no learning rate suits both. So inputs are
# brought to one scale before the first layer sees them, and batch normalization does the same for every layer behind
# it, while the network learns.

# %%
import keras
import numpy as np
from keras import ops

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1. One scale for all
#
# Zero-center each feature, then divide by its standard deviation:
#
# $$\mu = \frac1n \sum_i x_i, \qquad \sigma^2 = \frac1n \sum_i (x_i - \mu)^2, \qquad
# z = \frac{x - \mu}{\sigma} \qquad (1)$$
#
# One $\mu$ and one $\sigma$ for each feature (column), learned from the *training* set. The test set is transformed
# by the same numbers: they are part of the model, as weights are. With its own mean, one test example alone would
# always come out as zero; and with the mean of both together the training has seen the test set.
#
# Ages 20, 40, 60: $\mu = 40$, $\sigma = 16.33$, so they become −1.22, 0, 1.22; a person of 70 in the test set becomes
# 1.84. A feature that does not vary in the training set has $\sigma = 0$ and nothing to scale: center it only.
# Adding a tiny number to $\sigma$ instead would turn the first departure in the test set into millions.


# %% exercise="standardize"
def standardize(train, test):
    """Both arrays (n, features) by (1), with the statistics of train. Features that do not vary are centered."""
    ### BEGIN SOLUTION
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return (train - mean) / scale, (test - mean) / scale
    ### END SOLUTION


# %%
check("standardize")

# %% [markdown]
# ## 2. Whitening
#
# Standardized features may still say the same thing twice: height in centimeters and height in inches. The cloud of
# the data is then a thin cigar that lies askew, and gradient descent zigzags along it. PCA whitening turns the axes
# into those of the cigar and makes it a ball. With the covariance of the training set and its eigenvectors $u_k$
# (columns of $U$) and eigenvalues $\lambda_k$, largest first,
#
# $$C = \frac{1}{n - 1} \sum_i (x_i - \mu)(x_i - \mu)^\top = U \Lambda U^\top \qquad (2)$$
# $$z_k = \frac{u_k^\top (x - \mu)}{\sqrt{\lambda_k + \epsilon}} \qquad (3)$$
#
# An eigenvalue is a *variance*. To make the variance 1 one divides by its root; divided by the eigenvalue itself, as
# it is sometimes printed, a direction of variance 100 would come out with variance 1/100. The $\epsilon$ keeps
# directions that hardly vary, mostly noise, from being blown up.
#
# `np.linalg.eigh(C)` returns the eigenvalues from the smallest to the largest and the eigenvectors as *columns* in the
# same order. Their sign is arbitrary, so yours may differ from a neighbor's; that is not an error.


# %% exercise="pca_whitening"
def pca_whiten(train, x, epsilon=0.0):
    """z of equation (3) for x (m, d), with mean, directions and eigenvalues of train (n, d); the largest first."""
    ### BEGIN SOLUTION
    mean = train.mean(axis=0)
    covariance = (train - mean).T @ (train - mean) / (len(train) - 1)  # (2)
    eigenvalues, directions = np.linalg.eigh(covariance)
    eigenvalues, directions = eigenvalues[::-1], directions[:, ::-1]
    return (x - mean) @ directions / np.sqrt(eigenvalues + epsilon)  # (3)
    ### END SOLUTION


# %%
check("pca_whitening")

# %% [markdown]
# ## 3. Batch normalization
#
# Inside the network nobody can standardize beforehand: the inputs of the third layer change whenever the first two
# learn. So it is done in every step, with the statistics of the minibatch:
#
# $$\mu_B = \frac1m \sum_i x_i, \qquad \sigma_B^2 = \frac1m \sum_i (x_i - \mu_B)^2 \qquad (4)$$
# $$\hat x_i = \frac{x_i - \mu_B}{\sqrt{\sigma_B^2 + \epsilon}}, \qquad y_i = \gamma\, \hat x_i + \beta \qquad (5)$$
#
# $\gamma$ and $\beta$ are learned. They may undo all that went before, if the later layers want that.
#
# At prediction there may be one example only, and its answer must not depend on who else is in the batch. So during
# training the layer also keeps moving averages, and at prediction it uses these in (5):
#
# $$\mu_{\text{moving}} \leftarrow \rho\, \mu_{\text{moving}} + (1 - \rho)\, \mu_B \qquad
# \sigma^2_{\text{moving}} \leftarrow \rho\, \sigma^2_{\text{moving}} + (1 - \rho)\, \sigma_B^2 \qquad (6)$$
#
# With $\rho = 0.9$, a moving mean of 0 and a batch mean of 5, the moving mean becomes 0.5.
#
# The features stand in the last axis, everything else is averaged over: for images (n, height, width, channels) there
# is one mean for each channel. `build` is given: it makes $\gamma = 1$, $\beta = 0$, a moving mean of 0 and a moving
# variance of
# 1. `self.moving_mean.assign(…)` writes. Only training writes.


# %% exercise="batch_norm"
class BatchNorm(keras.layers.Layer):
    """Batch normalization over all axes but the last."""

    def __init__(self, momentum=0.99, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        features = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=features, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=features, initializer="zeros")
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=features, initializer="zeros", trainable=False
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=features, initializer="ones", trainable=False
        )

    def call(self, inputs, training=False):
        ### STUB
        # raise NotImplementedError("write equations (4) and (6) for training, and (5) for both")
        ### BEGIN SOLUTION
        if training:
            axes = tuple(range(len(inputs.shape) - 1))
            mean = ops.mean(inputs, axis=axes)
            variance = ops.mean(ops.square(inputs - mean), axis=axes)  # (4)
            rho = self.momentum
            self.moving_mean.assign(rho * self.moving_mean + (1 - rho) * mean)  # (6)
            self.moving_variance.assign(rho * self.moving_variance + (1 - rho) * variance)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        normal = (inputs - mean) / ops.sqrt(variance + self.epsilon)
        return self.gamma * normal + self.beta  # (5)
        ### END SOLUTION


# %%
check("batch_norm")

# %% [markdown]
# ## 4. Its gradient
#
# The lecture says that one can "take the derivative" through these steps. Do it once by hand. What makes it
# interesting is that each example of the minibatch moves the mean and the variance, and so the outputs of all others.
#
# For one feature, let $g_i = \partial L / \partial y_i$ and $\hat x_i$, $\sigma_B$ as above, $s = \sqrt{\sigma_B^2 +
# \epsilon}$. Directly:
#
# $$\frac{\partial L}{\partial \beta} = \sum_i g_i, \qquad
# \frac{\partial L}{\partial \gamma} = \sum_i g_i\, \hat x_i \qquad (7)$$
#
# and, following $x_i$ along its three ways to the loss (through $\hat x_i$, through $\mu_B$, through $\sigma_B^2$),
#
# $$\frac{\partial L}{\partial x_i} = \frac{\gamma}{s} \Bigl( g_i - \frac1m \sum_j g_j
# - \hat x_i\, \frac1m \sum_j g_j\, \hat x_j \Bigr) \qquad (8)$$
#
# See what (8) says: the part of $g$ that would shift all outputs together is taken out, and so is the part that would
# stretch them. Neither can be had by moving the inputs, since the layer undoes both. A check by hand: if all $g_j$
# are equal, the gradient is zero (up to $\epsilon$). For $m = 1$ it is always zero: $\hat x = 0$, and there is
# nothing to learn from a batch of one.


# %% exercise="batch_norm_gradient"
def batch_norm_gradient(x, gamma, g, epsilon=1e-3):
    """∂L/∂x (m, d), ∂L/∂γ (d,) and ∂L/∂β (d,) from x (m, d), γ (d,) and g = ∂L/∂y (m, d)."""
    ### BEGIN SOLUTION
    s = np.sqrt(x.var(axis=0) + epsilon)
    normal = (x - x.mean(axis=0)) / s
    dbeta = g.sum(axis=0)
    dgamma = (g * normal).sum(axis=0)  # (7)
    dx = gamma / s * (g - g.mean(axis=0) - normal * (g * normal).mean(axis=0))  # (8)
    return dx, dgamma, dbeta
    ### END SOLUTION


# %%
check("batch_norm_gradient")

# %% [markdown]
# ## 5. Fold it away
#
# When training is over, batch normalization multiplies by fixed numbers and adds fixed numbers. So does the dense
# layer before it, and two such layers are one. For the dense layer $u = x W + b$ with Keras's kernel $W$ (inputs,
# units), find $W'$ and $b'$ so that
#
# $$x\, W' + b' = \gamma\, \frac{x W + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta
# \qquad \text{for every } x \qquad (9)$$
#
# where $\mu$ and $\sigma^2$ are the moving statistics. Write the factor of unit $k$ as $c_k = \gamma_k /
# \sqrt{\sigma_k^2 + \epsilon}$ and collect what multiplies $x$ and what does not. It makes every prediction cheaper,
# and it is how batch norm disappears when networks are shipped.
#
# One number: $W = 2$, $b = 1$, $\mu = 3$, $\sigma^2 + \epsilon = 4$, $\gamma = 6$, $\beta = 5$: then $c = 3$, $W' =
# 6$ and $b' = 3 \cdot (1 - 3) + 5 = -1$. Try $x = 1$ on both sides.


# %% exercise="fold_batch_norm"
def fold_batch_norm(W, b, gamma, beta, mean, variance, epsilon=1e-3):
    """W' (inputs, units) and b' (units,) of equation (9)."""
    ### BEGIN SOLUTION
    c = gamma / np.sqrt(variance + epsilon)
    return W * c, c * (b - mean) + beta
    ### END SOLUTION


# %%
check("fold_batch_norm")

# %% [markdown]
# ## Inputs in meters and in millimeters
#
# The digits again, but each pixel in a unit of its own, up to ten times larger or smaller. One dense layer,
# plain gradient descent, and for each way to prepare the inputs the best of eight learning rates.

# %%
train, val, _ = data.load("digits", seed=0)
units = 10 ** np.random.default_rng(0).uniform(-1, 1, 64)
x, val_x = (part.x.reshape(len(part.x), -1) * units for part in (train, val))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def linear_losses(inputs, rate, epochs=8):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((inputs.shape[1],)), keras.layers.Dense(10, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(rate), loss)
    return model.fit(inputs, train.y, 128, epochs, verbose=0).history["loss"]


prepared = {
    "as they come": x,
    "standardized": standardize(x, x)[0],
    "whitened": pca_whiten(x, x, epsilon=1e-3),
}
losses = {}
for name, inputs in prepared.items():
    runs = {
        rate: linear_losses(inputs.astype("float32"), rate)
        for rate in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    }
    best = min(runs, key=lambda rate: np.nan_to_num(runs[rate][-1], nan=np.inf))
    losses[name] = runs[best]
    print(f"{name:15} best learning rate {best}, loss {losses[name][-1]:.3f}")

# %%
figure = plotting.curves(losses, y_label="training loss", title="one layer, three preparations")

# %% [markdown]
# ## How far can the learning rate rise?
#
# Six hidden layers, with and without your batch norm, and learning rates from careful to reckless. Half a minute.


# %%
def deep_network(normalized):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((64,))]
    for _ in range(6):
        layers.append(keras.layers.Dense(48))
        if normalized:
            layers.append(BatchNorm(momentum=0.9))
        layers.append(keras.layers.Activation("relu"))
    return keras.Sequential([*layers, keras.layers.Dense(10)])


inputs, val_inputs = (part.x.reshape(len(part.x), -1) for part in (train, val))
rates, reached, models = [0.003, 0.03, 0.3, 3.0], {}, {}
for normalized in (False, True):
    accuracies = []
    for rate in rates:
        model = deep_network(normalized)
        model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
        model.fit(inputs, train.y, 64, 6, verbose=0)
        accuracies.append(100 * model.evaluate(val_inputs, val.y, verbose=0)[1])
        models[normalized, rate] = model
    name = "with batch norm" if normalized else "without batch norm"
    reached[name] = (rates, accuracies)
    print(f"{name:19}", ", ".join(f"{rate}: {a:.0f} %" for rate, a in zip(rates, accuracies, strict=True)))

panel = {"series": reached, "x_label": "learning rate", "y_label": "validation accuracy, %", "log": "x"}
figure = plotting.graphs([{**panel, "title": "six hidden layers, six epochs"}], width=7)

# %%
model = models[True, 0.3]
h = inputs[:5]
for dense, norm in zip(model.layers[:-1:3], model.layers[1:-1:3], strict=True):
    statistics = [
        ops.convert_to_numpy(each) for each in (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance)
    ]
    W, b = fold_batch_norm(*(ops.convert_to_numpy(each) for each in dense.weights), *statistics, norm.epsilon)
    h = np.maximum(h @ W + b, 0)
last = model.layers[-1]
folded = h @ ops.convert_to_numpy(last.kernel) + ops.convert_to_numpy(last.bias)
difference = np.abs(folded - np.array(model(inputs[:5]))).max()
print(f"without its six layers of batch norm the network answers the same, within {difference:.0e}")

# %% [markdown]
# In the first plot whitening gains little over one scale for all. What has it done to the directions in which the
# digits hardly differ? Why does a bias in front of batch norm do nothing? (Equation (8) knows.) And what would happen
# at prediction if the moving averages had been kept with $\rho = 0.999$ for these hundred-odd steps?
#
# **Where this comes from.** LeCun, Bottou, Orr and Müller 1998, *Efficient BackProp* (why scale and decorrelate);
# Kessy, Lewin and Strimmer 2018 (whitening); Ioffe and Szegedy 2015 (batch normalization, its gradient in section 3).
