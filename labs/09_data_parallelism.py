# %% [markdown]
# # Data parallelism
#
# A minibatch can be shared: $R$ *replicas* of the model hold the same weights, each takes a part of the examples,
# called its *shard*, the gradients are added up, and all make the same step. That is all, and the promise is that the
# result is the one a single device would have reached, only sooner.
#
# Codes that break this promise run without an error. They train, a little worse or with a step that is twice as
# large, and nobody notices until the number of devices changes. The reasons are always the same few: a mean taken in
# the wrong place, clipping before the sum, statistics of a part of the batch, negatives that live on another replica,
# random numbers that depend on who draws them. In this lab you get each of them right.
#
# No cluster is needed: a shard is an array, a list of arrays stands for what the replicas hold, and adding up the
# list is what the network between them does, an *all-reduce*. At the end the same network is trained on 1 and on 4
# replicas with your functions, then with each mistake in turn, and you see how far the weights drift apart. The last
# cell uses two devices of TensorFlow.
#
# The first cell makes these two devices out of the processor. It must run before TensorFlow has computed anything.

# %%
import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit import data, plotting
from tf_kit.grading import check

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)

# %% [markdown]
# ## 1 · Sharing a minibatch
#
# A minibatch of $N$ examples goes to $R$ replicas in contiguous parts, in order. TensorFlow's strategies give each
# replica $\lceil N/R \rceil$ examples until none are left:
#
# $$\text{shard}_r = x\,[\,r m : (r + 1) m\,], \qquad m = \lceil N / R \rceil \qquad (1)$$
#
# 10 examples on 4 replicas make shards of 3, 3, 3 and 1; 5 examples make 2, 2, 1 and **0**. The last minibatch of an
# epoch is where shards become unequal, and even empty; everything you write below must stand that.


# %% exercise="split_batch"
def split_batch(x, replicas):
    """The shards of x (N, …): a list of as many arrays as there are replicas, the last ones shorter or empty."""
    ### STUB
    # raise NotImplementedError("cut x into contiguous shards (1)")
    ### BEGIN SOLUTION
    size = -(-len(x) // replicas)  # rounded up
    return [x[r * size : (r + 1) * size] for r in range(replicas)]  # (1)
    ### END SOLUTION


# %%
check("split_batch")

# %% [markdown]
# ## 2 · A replica's share of the loss
#
# The loss of the minibatch is a mean over its $N$ examples. What is added up over replicas must therefore be
# divided by $N$ *before* the sum, not by the number of examples that the replica happens to have:
#
# $$L_r = \frac1N \sum_{i \in \text{shard } r} \ell_i, \qquad \sum_r L_r = L \qquad (2)$$
#
# With losses 1, 2, 3 on one replica and 6 on the other, $L = 12/4 = 3$, and the shares are 1.5 and 1.5. The means of
# the shards would be 2 and 6: their sum, 8, is a gradient that is too large, and their mean, 4, gives the lonely
# example three times the weight of the others. An empty shard's share is 0.


# %% exercise="shard_loss"
def shard_loss(losses, global_count):
    """A replica's share (2) of the loss, from the losses (n,) of its examples: a scalar."""
    ### STUB
    # raise NotImplementedError("write equation (2)")
    ### BEGIN SOLUTION
    return ops.sum(losses) / global_count  # (2)
    ### END SOLUTION


# %%
check("shard_loss")

# %% [markdown]
# ## 3 · When all you have are means
#
# Sometimes the means are there already: each replica reports the mean gradient of its shard, or its mean accuracy.
# The mean of everything can still be had, if the replicas also say how many examples stand behind it:
#
# $$g = \frac{\sum_r n_r\, g_r}{\sum_r n_r} \qquad (3)$$
#
# Only for equal shards is that the mean of the means. And the mean of an empty shard is 0/0, nan; multiplying it by
# $n_r = 0$ does not help, as $0 \cdot \text{nan}$ is nan. Leave such a shard out.


# %% exercise="combine_means"
def combine_means(means, counts):
    """The mean over all examples from the means of the shards, arrays of one shape, and their counts."""
    ### STUB
    # raise NotImplementedError("write equation (3), without the empty shards")
    ### BEGIN SOLUTION
    total = sum(count * mean for mean, count in zip(means, counts, strict=True) if count > 0)
    return total / sum(counts)  # (3)
    ### END SOLUTION


# %%
check("combine_means")

# %% [markdown]
# ## 4 · Clipping
#
# A gradient that is too long is shortened to length $c$, all variables together, so that its direction stays:
#
# $$g = \sum_r g_r \qquad (4)$$
# $$\lVert g \rVert = \sqrt{\textstyle\sum_v \lVert g^{(v)} \rVert^2} \quad \text{over all variables } v \qquad (5)$$
# $$g^{(v)} \leftarrow g^{(v)} \cdot \min(1,\; c / \lVert g \rVert) \qquad (6)$$
#
# The order matters: *first* the sum over replicas, *then* the clipping. The gradient of one shard is noisier and
# longer than that of the whole batch, and its noise would cancel in the sum; clipping it before that shortens what
# did not need it, and where the shards disagree it changes the direction. (Keras's own `global_clipnorm` clips on
# each replica. It is a good thing to know about it.)
#
# In numbers, $c = 1$ and one variable: the shards' gradients $(3, 4)$ and $(-3, -3.5)$ add up to $(0, 0.5)$, which is
# short enough and stays. Clipped first they would be $(0.6, 0.8)$ and $(-0.65, -0.76)$: the sum, $(-0.05, 0.04)$,
# points elsewhere.


# %% exercise="clip_after_reduction"
def clip_after_reduction(shard_gradients, max_norm):
    """The clipped gradient, one array for each variable.

    shard_gradients[r][v] is replica r's share of the gradient of variable v: their sum over r is the gradient.
    """
    ### STUB
    # raise NotImplementedError("add up over the replicas (4), then clip (5), (6)")
    ### BEGIN SOLUTION
    total = [sum(shares) for shares in zip(*shard_gradients, strict=True)]  # (4)
    norm = ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in total))  # (5)
    scale = max_norm / ops.maximum(norm, max_norm)
    return [gradient * scale for gradient in total]  # (6)
    ### END SOLUTION


# %%
check("clip_after_reduction")

# %% [markdown]
# ## 5 · Statistics that see the whole batch
#
# Batch normalization takes mean and variance over the examples. If each replica uses those of its shard, a network on
# four replicas is normalized by quarters of a batch; it is another network. *Synchronized* statistics are those of
# all shards together, for every feature:
#
# $$\mu = \frac1N \sum_r \sum_{i \in r} x_i, \qquad \sigma^2 = \frac1N \sum_r \sum_{i \in r} (x_i - \mu)^2 \qquad (7)$$
#
# Two sums go over the network: first that of the values, then, once all know $\mu$, that of the squared distances
# *from the common mean*. With shards $(0, 2)$ and $(10, 12)$: $\mu = 6$ and $\sigma^2 = 26$. The mean of the shards'
# own variances would be 1; what is lost is how far the shards lie from each other.
#
# The shortcut $\overline{x^2} - \mu^2$ needs one sum less, and in float32 it is wrong for data far from zero: with
# values near 10,000 both terms are near $10^8$, where float32 counts in steps of 8.


# %% exercise="synchronized_moments"
def synchronized_moments(shards):
    """Mean and variance (d,) of each feature over all examples of the shards, a list of arrays (n_r, d)."""
    ### STUB
    # raise NotImplementedError("write equation (7) with sums over the shards")
    ### BEGIN SOLUTION
    count = sum(ops.cast(ops.shape(x)[0], x.dtype) for x in shards)
    mean = sum(ops.sum(x, axis=0) for x in shards) / count
    variance = sum(ops.sum(ops.square(x - mean), axis=0) for x in shards) / count
    return mean, variance  # (7)
    ### END SOLUTION


# %%
check("synchronized_moments")

# %% [markdown]
# ## 6 · Negatives on other replicas
#
# A contrastive loss compares each example with all others of the batch, and most of those live elsewhere. So the
# embeddings are *gathered*: every replica gets all of them, and computes the losses of its own examples as anchors.
#
# Let the batch hold $N$ examples. `za` and `zb` (n, d) are the embeddings of two views of the $n$ examples of this
# shard; `every_a`, `every_b` (N, d) are those of the whole batch. The shard's rows are rows `first` to
# `first + n - 1` of the batch. All rows have length 1, so a product is a cosine. With
# $z = (z^a_1, \dots, z^a_N, z^b_1, \dots, z^b_N)$:
#
# $$\ell_u = \log \sum_{v \ne u} e^{z_u \cdot z_v / \tau} - z_u \cdot z_{u'} / \tau \qquad (8)$$
# $$L_r = \frac{1}{2N} \sum_{u \text{ in shard } r} \ell_u \qquad (9)$$
#
# where $u$ runs over the $2n$ embeddings of the shard, $v$ over the $2N$ of the batch, and $u'$ is the other view of
# $u$'s example. Added up over the shards, (9) is the loss of a single device.
#
# The pitfall is the index. Row $i$ of `za` is column `first + i` among all $2N$, and its other view is column
# `N + first + i`; row $i$ of `zb` is column `N + first + i` itself. Forget `first`, and all replicas but the first
# learn to recognize strangers.


# %% exercise="shard_nt_xent"
def shard_nt_xent(za, zb, every_a, every_b, first, temperature):
    """This shard's share (9) of the NT-Xent loss of the whole batch: a scalar."""
    ### STUB
    # raise NotImplementedError("write equations (8) and (9)")
    ### BEGIN SOLUTION
    n, batch = ops.shape(za)[0], ops.shape(every_a)[0]
    anchors = ops.concatenate([za, zb])  # (2n, d)
    everything = ops.concatenate([every_a, every_b])  # (2N, d)
    s = ops.matmul(anchors, ops.transpose(everything)) / temperature
    in_a = first + ops.arange(n)
    in_b = batch + first + ops.arange(n)
    itself = ops.one_hot(ops.concatenate([in_a, in_b]), 2 * batch, dtype=s.dtype)
    other = ops.one_hot(ops.concatenate([in_b, in_a]), 2 * batch, dtype=s.dtype)
    losses = ops.logsumexp(s - 1e9 * itself, axis=1) - ops.sum(other * s, axis=1)  # (8)
    return ops.sum(losses) / ops.cast(2 * batch, s.dtype)  # (9)
    ### END SOLUTION


# %%
check("shard_nt_xent")

# %% [markdown]
# ## 7 · Random numbers that belong to an example
#
# Dropout masks, views, corruption: training is full of random numbers. If each replica has a generator of its own
# with the same seed, all replicas draw the *same* numbers for different examples; if they share none, the result
# depends on how many there are. The way out: what is random about an example depends on the run's seed, on the epoch
# and on **which example** it is (its index in the data set), and on nothing else. Whoever draws, gets the same:
#
# $$u_i = \text{draw}(\text{seed}, \text{epoch}, i) \qquad (10)$$
#
# Two calls for the same example give the same numbers, wherever it stands in whichever shard. Another epoch, another
# seed or another example give others. Beware of adding up: with a generator seeded by `seed + epoch + index`,
# example 3 in epoch 0 gets the numbers of example 2 in epoch 1. NumPy's `np.random.default_rng` takes a sequence of
# whole numbers as its seed and mixes them properly.


# %% exercise="example_uniform"
def example_uniform(seed, epoch, indices, width):
    """Uniform numbers in [0, 1) of each example, (len(indices), width), by its index in the data set."""
    ### STUB
    # raise NotImplementedError("draw for each example by (10)")
    ### BEGIN SOLUTION
    rows = [np.random.default_rng((seed, epoch, int(index))).random(width) for index in indices]  # (10)
    return np.reshape(rows, (len(indices), width))
    ### END SOLUTION


# %%
check("example_uniform")

# %% [markdown]
# ## Experiment: does it matter?
#
# A small network with batch normalization, dropout and clipping learns the digits, in minibatches of 50 with a
# shorter last one. It is trained on one replica, then on four with everything that you wrote, then on four with one
# mistake at a time. The weights start alike and the order of the examples is the same, so the distance of the
# weights from those of the single replica says what a mistake does. It takes about half a minute.

# %%
train, val, test = data.load("digits", seed=0)
x_train, UNITS, BATCH, EPOCHS, MAX_NORM = train.x.reshape(len(train.x), -1), 48, 50, 3, 0.5


def start():
    rng = np.random.default_rng(0)
    shapes = {"kernel": (64, UNITS), "gamma": (UNITS,), "beta": (UNITS,), "head": (UNITS, 10), "bias": (10,)}
    values = {
        name: rng.normal(0, shape[0] ** -0.5, shape) if len(shape) == 2 else np.zeros(shape)
        for name, shape in shapes.items()
    }
    values["gamma"] += 1
    return [tf.Variable(value, dtype="float32") for value in values.values()]


def losses_of(weights, hidden, moments, keep, labels):
    """Losses of a shard's examples from its hidden sums, the moments to normalize by and its dropout mask."""
    _, gamma, beta, head, bias = weights
    mean, variance = moments
    h = ops.relu(gamma * (hidden - mean) / ops.sqrt(variance + 1e-3) + beta) * keep / 0.8
    return keras.losses.sparse_categorical_crossentropy(labels, ops.matmul(h, head) + bias, from_logits=True)


def gradients_of_shards(weights, shards, count, mistake):
    with tf.GradientTape(persistent=True) as tape:
        hidden = [ops.matmul(x, weights[0]) for x, _, _ in shards]
        common = synchronized_moments(hidden)
        shares = []
        for h, (_, labels, keep) in zip(hidden, shards, strict=True):
            moments = synchronized_moments([h]) if mistake == "own statistics" else common
            losses = losses_of(weights, h, moments, keep, labels)
            own = mistake == "own mean"
            shares.append(shard_loss(losses, len(labels) * len(shards) if own else count))
    return [tape.gradient(share, weights) for share in shares]


def step(weights, indices, epoch, replicas, mistake):
    shards = []
    for part in split_batch(indices, replicas):
        if len(part):
            named = np.arange(len(part)) if mistake == "own random numbers" else part
            keep = (example_uniform(0, epoch, named, UNITS) >= 0.2).astype("float32")
            shards.append((x_train[part], train.y[part], keep))
    gradients = gradients_of_shards(weights, shards, len(indices), mistake)
    if mistake == "clipping first":
        gradients = [clip_after_reduction([each], MAX_NORM / replicas) for each in gradients]
        clipped = [sum(shares) for shares in zip(*gradients, strict=True)]
    else:
        clipped = clip_after_reduction(gradients, MAX_NORM)
    for weight, gradient in zip(weights, clipped, strict=True):
        weight.assign_sub(0.5 * gradient)


def path(replicas, mistake=None):
    """All weights after every step, (steps, weights)."""
    weights, rng, visited = start(), np.random.default_rng(1), []
    for epoch in range(EPOCHS):
        order = rng.permutation(len(x_train))
        for begin in range(0, len(order), BATCH):
            step(weights, order[begin : begin + BATCH], epoch, replicas, mistake)
            visited.append(np.concatenate([np.ravel(weight) for weight in weights]))
    return np.stack(visited)


single = path(1)
runs = {"4 replicas, as it should be": path(4)}
for mistake in ("own mean", "clipping first", "own statistics", "own random numbers"):
    runs[mistake] = path(4, mistake)
length = np.linalg.norm(single, axis=1)
distances = {name: np.linalg.norm(each - single, axis=1) / length for name, each in runs.items()}
for name, distance in distances.items():
    print(f"{name}: weights differ by {distance[-1]:.1e} of their length after {len(distance)} steps")

# %%
figure = plotting.curves(
    {name: np.maximum(distance, 1e-9) for name, distance in distances.items()},
    x_label="step",
    y_label="distance from one replica",
    title="what each mistake does to the weights",
    log_y=True,
)

# %% [markdown]
# As it should be, the two differ by rounding: sums in another order. Each mistake leads elsewhere. Why does "own mean",
# the mean of the shards' means, do the least harm here? (How unequal are the shards of 50 examples?) What would the
# curve look like if the shards' means were added up instead?
#
# ## On two devices
#
# The same with TensorFlow's `MirroredStrategy`: each replica computes its share of a loss and the gradient of that,
# and `strategy.reduce` adds up.

# %%
tf.get_logger().setLevel("ERROR")  # it would tell at length what it does
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
rng = np.random.default_rng(0)
x, y = x_train[:25], train.y[:25].astype("int32")  # 13 and 12
start_kernel = rng.normal(0, 0.1, (64, 10)).astype("float32")
with strategy.scope():
    kernel = tf.Variable(start_kernel)


def gradient_of(x, y):
    with tf.GradientTape() as tape:
        logits = ops.matmul(x, kernel)
        share = shard_loss(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True), 25)
    return tape.gradient(share, kernel)


def distributed(parts):
    return strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )


parts = distributed(split_batch(x, 2)), distributed(split_batch(y, 2))
gradient = strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(gradient_of, parts), axis=None)
logits = x @ start_kernel
p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
by_hand = x.T @ (p - np.eye(10)[y]) / 25
print(f"two devices against one formula: largest difference {np.abs(np.array(gradient) - by_hand).max():.1e}")

# %% [markdown]
# Questions to take along: which of the mistakes would you notice from the loss alone? Your network has dropout but
# no batch normalization: what must be shared between replicas, and what need not be? Adam divides the gradient by
# its own size; does it hide a loss that is four times too large?
