# %% [markdown]
# # Regularization
#
# A network with more weights than examples can learn its examples by heart, noise and all. What you write here keeps
# it from doing so: penalties that make weights cost something, dropout, which trains many networks in one, and the
# oldest of all, stopping in time. At the end a network learns digits from very few labels, with and without them.

# %%
import keras
import numpy as np
from keras import ops

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1. A price for weights
#
# Add to the cost a price for large weights, and the network pays it only where a weight earns more than it costs. The
# elastic net has two prices:
#
# $$\Omega(w) = \lambda_1 \sum_i |w_i| + \frac{\lambda_2}{2} \sum_i w_i^2 \qquad (1)$$
#
# Their derivatives tell what they do. The second is $\lambda_2 w_i$: a pull in proportion to the weight, which fades
# as the weight shrinks, so nothing becomes exactly zero. The first is $\lambda_1\, \mathrm{sign}(w_i)$: the same pull
# for small weights as for large ones, and small ones are pulled all the way. For the weights 3 and −4 with $\lambda_1
# = 0.5$ and $\lambda_2 = 0.1$, (1) is $0.5 \cdot 7 + 0.05 \cdot 25 = 4.75$.
#
# A Keras regularizer is an object that can be called with a weight and returns one number, which Keras adds to the
# loss and differentiates. So compute with `keras.ops`, not with NumPy. The half belongs to the formula; Keras's own
# `L2` leaves it out.


# %% exercise="elastic_net"
class ElasticNet(keras.regularizers.Regularizer):
    """λ₁ Σ |w| + λ₂/2 Σ w²."""

    def __init__(self, l1=0.01, l2=0.01):
        self.l1 = l1
        self.l2 = l2

    def __call__(self, weights):
        ### STUB
        # raise NotImplementedError("write equation (1)")
        ### BEGIN SOLUTION
        return self.l1 * ops.sum(ops.abs(weights)) + self.l2 / 2 * ops.sum(ops.square(weights))  # (1)
        ### END SOLUTION


# %%
check("elastic_net")

# %% [markdown]
# ## 2. Landing on zero
#
# A gradient step with $\lambda_1\, \mathrm{sign}(w)$ never lands on zero, it jumps over: a weight of 0.003 with $\eta
# \lambda_1 = 0.01$ goes to −0.007, then to 0.003, and so on for ever. So the pull is taken out of the gradient and
# done by a step of its own, after each gradient step, that stops at zero:
#
# $$w \leftarrow \mathrm{sign}(w)\, \max(|w| - t,\, 0), \qquad t = \eta \lambda_1 \qquad (2)$$
#
# With $t = 0.5$ the weights 2, −0.25, −1 become 1.5, 0, −0.5. Every weight moves towards zero by $t$; what is nearer
# than that becomes zero exactly. As a Keras constraint it is called with the weight after every step.


# %% exercise="soft_threshold"
class SoftThreshold(keras.constraints.Constraint):
    """Moves every weight towards zero by `threshold` and stops there."""

    def __init__(self, threshold):
        self.threshold = threshold

    def __call__(self, weights):
        ### STUB
        # raise NotImplementedError("write equation (2)")
        ### BEGIN SOLUTION
        return ops.sign(weights) * ops.maximum(ops.abs(weights) - self.threshold, 0.0)  # (2)
        ### END SOLUTION


# %%
check("soft_threshold")

# %% [markdown]
# ## 3. Dropout
#
# At every training step, each unit of each example is set to zero with probability $r$, the `rate`. No unit can rely
# on another being there, so each has to be useful by itself.
#
# $$m \sim \mathrm{Bernoulli}(1 - r) \text{ for each element}, \qquad y = \frac{m \odot x}{1 - r} \qquad (3)$$
#
# Why divide? With $r = 0.2$, four of five units are left and the next layer's sum would be 0.8 of what it is later,
# without dropout. Dividing by 0.8 makes the expectation equal $x$, so that at prediction the layer does nothing: it
# returns its inputs as they are.
#
# Beware of the word. On some slides $p$ is the probability of *keeping* a unit. Here and in Keras the rate is that of
# *dropping*.
#
# Three pitfalls. Each example and each unit has a mask of its own, so the mask has the shape of the inputs,
# `ops.shape(inputs)`. A random array drawn with NumPy is drawn once, when `fit` records the step, and stays the same
# for the whole training; use `keras.random.uniform(shape, seed=self.seed_generator)`, numbers from 0 to 1. And
# `training` says which of the two behaviors is wanted.


# %% exercise="dropout_layer"
class Dropout(keras.layers.Layer):
    """Sets units to zero with probability `rate` while training, scales up the others."""

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        ### STUB
        # raise NotImplementedError("write equation (3), and what happens without training")
        ### BEGIN SOLUTION
        if not training:
            return inputs
        kept = keras.random.uniform(ops.shape(inputs), seed=self.seed_generator) >= self.rate
        return ops.where(kept, inputs / (1 - self.rate), 0.0)  # (3)
        ### END SOLUTION


# %%
check("dropout_layer")

# %% [markdown]
# ## 4. Two ways to vote
#
# A network with 100 droppable units is $2^{100}$ thinned networks that share their weights. How do they decide
# together?
#
# *Sampling*: draw $K$ masks, let each thinned network answer, and average the answers. *Scaling*: ask the whole
# network once, with the weights that leave the units multiplied by the probability $1 - r$ that a unit was there, so
# that every sum is what it was on average. (In this exercise nothing was scaled up during training, as on the slide;
# with (3) this factor is in the weights already.)
#
# For the activations $h$ of the last hidden layer, the weights $W$ (units, classes) and the bias $b$ of the output
# layer:
#
# $$p_{\text{sampling}} = \frac1K \sum_{k=1}^{K} \mathrm{softmax}\bigl( (h \odot m_k)\, W + b \bigr) \qquad (4)$$
# $$p_{\text{scaling}} = \mathrm{softmax}\bigl( (1 - r)\, h\, W + b \bigr) \qquad (5)$$
#
# What is averaged in (4) are *probabilities*. Averaging the sums before the softmax looks the same and is not: it is
# the geometric mean, which is what (5) imitates. One unit $h = 1$, weights $(4, 0)$, masks 1 and 0: the thinned
# networks say 0.98 and 0.5 for the first class, the average is 0.74; the average sum is $(2, 0)$, and its softmax
# 0.88.
#
# The biases belong to no unit and are never dropped or scaled. NumPy; `softmax` is given.


# %%
def softmax(z):
    """Probabilities along the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# %% exercise="two_votes"
def vote_by_sampling(h, W, b, masks):
    """Equation (4): (n, classes) from h (n, units) and the given masks (K, units) of zeros and ones."""
    ### BEGIN SOLUTION
    return np.mean([softmax((h * mask) @ W + b) for mask in masks], axis=0)  # (4)
    ### END SOLUTION


def vote_by_scaling(h, W, b, rate):
    """Equation (5): (n, classes) from one pass; `rate` is the probability with which units were dropped."""
    ### BEGIN SOLUTION
    return softmax((1 - rate) * h @ W + b)  # (5)
    ### END SOLUTION


# %%
check("two_votes")

# %% [markdown]
# ## 5. Stop in time
#
# While the training loss falls and falls, the validation loss reaches a lowest point and rises again. So keep the
# weights of the best epoch, give up when it has not been beaten for a while, and return what you kept.
#
# After every epoch, with the validation loss $v$ of that epoch and the best so far $v^*$ (infinite at first):
#
# * if $v < v^*$: it is the new best; keep a copy of the weights, and wait from 0 again;
# * otherwise wait one epoch more; when `patience` epochs have passed without a better one, stop.
#
# With patience 2 and the losses 5, 3, 4, 3.5, 2 training stops after the fourth epoch, 3.5, and the weights of the
# second come back. (The 2 is never seen. That is the price.)
#
# Keras calls `on_train_begin` when `fit` begins, `on_epoch_end(epoch, logs)` after each epoch with
# `logs["val_loss"]`, and `on_train_end` at the end, in whichever way it came. `self.model.stop_training = True` stops.
# `self.model.get_weights()` returns copies of all weights as a list of arrays, `set_weights` takes one back.
#
# Think of four corners: training that runs through all its epochs should return the best weights too; an equal loss
# is not a better one; `nan` is never better than anything; and the same callback may be given to a second `fit`,
# which begins afresh.


# %% exercise="early_stopping"
class EarlyStopping(keras.callbacks.Callback):
    """Keeps the weights of the best epoch; stops after `patience` epochs without a lower validation loss."""

    def __init__(self, patience=5):
        super().__init__()
        self.patience = patience

    ### STUB
    # def on_train_begin(self, logs=None):
    #     pass
    #
    # def on_epoch_end(self, epoch, logs=None):
    #     raise NotImplementedError("compare logs['val_loss'] with the best so far")
    #
    # def on_train_end(self, logs=None):
    #     pass
    ### BEGIN SOLUTION
    def on_train_begin(self, logs=None):
        self.best = np.inf
        self.best_weights = None
        self.waited = 0

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_loss"] < self.best:
            self.best = logs["val_loss"]
            self.best_weights = self.model.get_weights()
            self.waited = 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    ### END SOLUTION


# %%
check("early_stopping")

# %% [markdown]
# ## Labels that lie
#
# Four hundred digits, and three in ten of their labels were thrown with dice. A network with more than fifty thousand
# weights can learn these by heart too, and then it repeats the lies. Each line of the plot is one way to keep it from
# that; the labels of the validation and test digits are right. About half a minute.

# %%
train, val, test = data.load("digits", seed=0, labels=400)
x, val_x, test_x = (part.x.reshape(len(part.x), -1) for part in (train, val, test))
rng = np.random.default_rng(0)
y = np.where(rng.random(len(train.y)) < 0.3, rng.integers(0, 10, len(train.y)), train.y)


def network(rate_in=0.0, rate_hidden=0.0, **dense):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((x.shape[1],))]
    for k in range(2):
        layers.append(Dropout(rate_in if k == 0 else rate_hidden, seed=k))
        layers.append(keras.layers.Dense(200, "relu", **dense))
    return keras.Sequential([*layers, Dropout(rate_hidden, seed=2), keras.layers.Dense(10)])


def fit(model, epochs=50, callbacks=()):
    model.compile(
        keras.optimizers.Adam(0.002),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    seen = {"validation_data": (val_x, val.y), "callbacks": list(callbacks), "verbose": 0}
    return model.fit(x, y, 32, epochs, **seen).history


def test_error(model):
    return 100 * np.mean(model.predict(test_x, verbose=0).argmax(axis=1) != test.y)


ways = {
    "nothing": network(),
    "elastic net": network(kernel_regularizer=ElasticNet(l1=5e-4, l2=5e-3)),
    "dropout": network(rate_in=0.2, rate_hidden=0.5),
}
histories = {}
for name, model in ways.items():
    histories[name] = fit(model)
    print(f"{name:15} {test_error(model):4.1f} % of the test digits wrong after 50 epochs")
stopped = network()
history = fit(stopped, callbacks=[EarlyStopping(patience=5)])
print(f"{'stopped in time':15} {test_error(stopped):4.1f} % after {len(history['val_loss'])} epochs")

# %%
figure = plotting.curves(
    {name: 100 * (1 - np.array(history["val_accuracy"])) for name, history in histories.items()},
    y_label="validation error, %",
    title="400 labels, 30 % of them at random",
)

# %% [markdown]
# ## How many voters?
#
# The dropout network again. `h` are the activations that enter its last layer; your layer has already scaled them up
# in training, so scaled once more by $1/(1 - r)$ they are what (4) and (5) expect.

# %%
model, rate = ways["dropout"], 0.5
hidden = keras.Sequential(model.layers[:-2])
h = np.array(hidden(test_x)) / (1 - rate)
W, b = (ops.convert_to_numpy(part) for part in model.layers[-1].weights)
rng = np.random.default_rng(0)
counts, errors = [1, 2, 5, 10, 20, 50, 100], []
for count in counts:
    votes = [vote_by_sampling(h, W, b, rng.random((count, len(W))) >= rate) for _ in range(5)]
    errors.append(100 * np.mean([np.mean(vote.argmax(axis=1) != test.y) for vote in votes]))
scaled = 100 * np.mean(vote_by_scaling(h, W, b, rate).argmax(axis=1) != test.y)

panel = {
    "series": {"sampled masks": (counts, errors), "scaling": (counts, [scaled] * len(counts))},
    "x_label": "masks that vote",
    "y_label": "test error, %",
    "log": "x",
    "title": "two ways to vote",
}
figure = plotting.graphs([panel], width=7)

# %% [markdown]
# How high does the training accuracy climb in each of the four runs, and how high should it, if 73 % of the labels are
# right (three in ten were thrown, and dice hit the right one in ten)? From how many masks on does the vote stop
# improving? Scaling costs one pass; is it worth sampling here?
# And in the first plot: which line is lowest after ten epochs, and which after fifty?
#
# **Where this comes from.** Zou and Hastie 2005 (elastic net); Daubechies, Defrise and De Mol 2004 (the step that
# lands on zero); Srivastava et al. 2014 (dropout, section 7.5 for the votes); Goodfellow, Bengio and Courville 2016,
# *Deep Learning*, algorithm 7.1 (early stopping).
