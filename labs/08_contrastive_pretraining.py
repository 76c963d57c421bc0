# %% [markdown]
# # Contrastive pretraining
#
# Two photographs of the same thing should look alike to a network, photographs of different things should not. That
# is a task without labels: take an image, change it twice at random in ways that do not change what it shows, and ask
# the network to recognize the two *views* among those of all other images. What it needs for that is a description
# of the content that survives the changes.
#
# In this lab you make views, compare embeddings, write the two best-known losses (NT-Xent of SimCLR, and Barlow
# Twins) with the measures that tell whether an embedding is any good, and a nearest-neighbor classifier that needs
# no training. Then an encoder learns from unlabelled digits with your code, and you watch all measures at once.
#
# Embeddings $z$ are rows of arrays (n, d). Write with `keras.ops`, so that your functions also run inside a compiled
# training step, where the number of examples is not known while the graph is built. Results have the dtype of the
# embeddings: what is float64 stays float64.

# %%
import keras
import numpy as np
from keras import ops

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1 · A view
#
# The simplest change that leaves a digit what it is: move it a little. Put a margin of `padding` black pixels around
# each image and cut a window of the old size out of that, at another place for every image:
#
# $$t_i = \lfloor u_{i0} (2p + 1) \rfloor, \qquad l_i = \lfloor u_{i1} (2p + 1) \rfloor \qquad (1)$$
# $$\text{view}_i = \text{padded}_i[\,t_i : t_i + H,\; l_i : l_i + W\,] \qquad (2)$$
#
# $u$ are uniform numbers in $[0, 1)$, two for each image and given to you, $p$ is the padding. There are $2p + 1$
# places in each direction, from 0 to $2p$, and $t = l = p$ leaves the image where it was. With $p = 1$ and
# $u_i = (0.1, 0.5)$: $t = 0$, $l = 1$, so the window starts in the upper margin; the content moves *down* by one row.
#
# This function prepares data, so NumPy is welcome here, and so is a loop over the images. `images` must stay as they
# are: the second view is cut from the same array.


# %% exercise="random_crop"
def random_crop(images, uniform, padding):
    """A view of each image (n, height, width, channels) by uniform numbers (n, 2), of the same shape and dtype."""
    ### STUB
    # raise NotImplementedError("pad, find the places (1), cut the windows (2)")
    ### BEGIN SOLUTION
    height, width = images.shape[1:3]
    margin = (padding, padding)
    padded = np.pad(images, ((0, 0), margin, margin, (0, 0)))
    views = np.empty_like(images)
    for i, (top, left) in enumerate(np.floor(uniform * (2 * padding + 1)).astype(int)):  # (1)
        views[i] = padded[i, top : top + height, left : left + width]  # (2)
    return views
    ### END SOLUTION


# %%
check("random_crop")

# %% [markdown]
# ## 2 · How alike two embeddings are
#
# By their direction: the cosine of the angle between them,
#
# $$s_{ij} = \frac{a_i \cdot b_j}{\lVert a_i \rVert\, \lVert b_j \rVert} \qquad (3)$$
#
# for every row of $a$ (n, d) with every row of $b$ (m, d). For $a = (3, 4)$ and $b = (4, 3)$ it is $24/25 = 0.96$.
# Only then can a network not win by making its embeddings longer.
#
# A vector of length zero has no direction; let its similarity with everything be 0, not 0/0. What you do against 0/0
# must leave vectors of length 0.01 as they are.


# %% exercise="cosine_similarities"
def cosine_similarities(a, b):
    """Cosine of each row of a (n, d) with each row of b (m, d): (n, m)."""
    ### STUB
    # raise NotImplementedError("divide each row by its length, then multiply (3)")
    ### BEGIN SOLUTION
    length_a = ops.sqrt(ops.sum(ops.square(a), axis=-1, keepdims=True))
    length_b = ops.sqrt(ops.sum(ops.square(b), axis=-1, keepdims=True))
    a = a / ops.maximum(length_a, 1e-12)
    b = b / ops.maximum(length_b, 1e-12)
    return ops.matmul(a, ops.transpose(b))  # (3)
    ### END SOLUTION


# %%
check("cosine_similarities")

# %% [markdown]
# ## 3 · NT-Xent
#
# The *normalized temperature-scaled cross-entropy* asks each of the $2n$ embeddings of a minibatch, which one of the
# others is your other view? Put the embeddings of first and second views under each other,
# $z = (z^a_1, \dots, z^a_n, z^b_1, \dots, z^b_n)$, and let $u'$ be the other view of $u$:
#
# $$s_{uv} = \cos(z_u, z_v) / \tau \qquad (4)$$
# $$\ell_u = \log \sum_{v \ne u} e^{s_{uv}} - s_{uu'} \qquad (5)$$
# $$L = \frac1{2n} \sum_u \ell_u \qquad (6)$$
#
# It is softmax cross-entropy with $2n - 1$ classes: everything but the anchor itself. One of them is right, $2n - 2$
# are *negatives*. The sum in (5) includes the right one.
#
# A number to hold on to: where all embeddings are equal, each $\ell_u$ is $\log(2n - 1)$, for $n = 4$ that is 1.946.
# Three things to get right:
#
# - Views of the same side are negatives too. Comparing $z^a$ with $z^b$ alone leaves $n - 1$ negatives of $2n - 2$.
# - The mean runs over $2n$ anchors.
# - The temperature $\tau$ may be small. With $\tau = 0.01$ the exponents reach 100, and $e^{100}$ does not fit into
#   float32: use `ops.logsumexp`, which subtracts the largest exponent first. To leave the anchor out of the sum, its
#   exponent can be made $-\infty$ (or so negative that it does not matter).


# %% exercise="nt_xent"
def nt_xent(za, zb, temperature):
    """NT-Xent of the embeddings (n, d) of two views: a scalar, the mean over 2n anchors."""
    ### STUB
    # raise NotImplementedError("write equations (4) to (6)")
    ### BEGIN SOLUTION
    n = ops.shape(za)[0]
    z = ops.concatenate([za, zb])
    s = cosine_similarities(z, z) / temperature  # (4)
    itself = ops.eye(2 * n, dtype="bool")
    other = ops.roll(ops.eye(2 * n, dtype=s.dtype), n, axis=1)
    others = ops.where(itself, -1e9, s)
    losses = ops.logsumexp(others, axis=1) - ops.sum(other * s, axis=1)  # (5)
    return ops.mean(losses)  # (6)
    ### END SOLUTION


# %%
check("nt_xent")

# %% [markdown]
# ## 4 · Alignment and uniformity
#
# What NT-Xent does can be read off in two numbers, taken on the unit sphere ($\hat z = z/\lVert z \rVert$):
#
# $$\text{alignment} = \frac1n \sum_i \lVert \hat z^a_i - \hat z^b_i \rVert^2 \qquad (7)$$
# $$\text{uniformity} = \log \frac{2}{n(n - 1)} \sum_{i < j} e^{-2 \lVert \hat z_i - \hat z_j \rVert^2} \qquad (8)$$
#
# Views of one image should be near each other: small alignment. Images should spread over the sphere: small
# uniformity, computed from one view each. The two together name a failure that the loss alone hides: an encoder that
# maps everything to one point has alignment 0, the best there is, and uniformity $\log 1 = 0$, the *worst* there is.
# Opposite points on the sphere have squared distance 4; with two of them uniformity is $-8$.
#
# In (8) a point is not compared with itself; that pair would add $e^0 = 1$, which tells nothing. And as in exercise 2,
# a vector of length zero stays zero: collapsed embeddings may well be all zero, and that is to be seen, not nan.


# %% exercise="alignment_and_uniformity"
def alignment_and_uniformity(za, zb):
    """Alignment (7) of two views' embeddings (n, d), and uniformity (8) of the first's: two scalars."""
    ### STUB
    # raise NotImplementedError("write equations (7) and (8)")
    ### BEGIN SOLUTION
    za = za / ops.maximum(ops.sqrt(ops.sum(ops.square(za), axis=-1, keepdims=True)), 1e-12)
    zb = zb / ops.maximum(ops.sqrt(ops.sum(ops.square(zb), axis=-1, keepdims=True)), 1e-12)
    alignment = ops.mean(ops.sum(ops.square(za - zb), axis=-1))  # (7)
    distance = ops.sum(ops.square(za[:, None] - za[None]), axis=-1)  # (n, n), squared
    others = 1 - ops.eye(ops.shape(za)[0], dtype=za.dtype)  # every pair twice, no point with itself
    return alignment, ops.log(ops.sum(others * ops.exp(-2 * distance)) / ops.sum(others))  # (8)
    ### END SOLUTION


# %%
check("alignment_and_uniformity")

# %% [markdown]
# ## 5 · Barlow Twins
#
# Negatives are not the only way against collapse. Barlow Twins looks at *features* instead of examples: feature $j$
# should say the same of both views, and no two features should say the same thing. Standardize each feature over the
# minibatch and correlate:
#
# $$\hat z_{ij} = \frac{z_{ij} - \mu_j}{\sqrt{\sigma^2_j + 10^{-5}}}, \qquad
#   \mu_j = \frac1n \sum_i z_{ij}, \quad \sigma^2_j = \frac1n \sum_i (z_{ij} - \mu_j)^2 \qquad (9)$$
# $$C = \frac1n (\hat z^a)^\top \hat z^b \quad (d \times d) \qquad (10)$$
# $$L = \sum_j (1 - C_{jj})^2 + \lambda \sum_{j \ne k} C_{jk}^2 \qquad (11)$$
#
# The diagonal is to be 1, the rest 0: $C$ becomes the identity. A collapsed encoder has constant features, so
# $C = 0$, and pays 1 for each of them. Two features that are equal, and equal in both views, have all of $C$ equal
# to 1 and pay $2\lambda$.
#
# Mind the axis: here the mean runs over *examples*, one for each feature; in exercise 2 the length was taken over
# features, one for each example.


# %% exercise="barlow_twins"
def barlow_twins(za, zb, redundancy_weight):
    """Loss (11) of the embeddings (n, d) of two views, λ = redundancy_weight: a scalar."""
    ### STUB
    # raise NotImplementedError("write equations (9) to (11)")
    ### BEGIN SOLUTION
    n = ops.cast(ops.shape(za)[0], za.dtype)
    za = (za - ops.mean(za, axis=0)) / ops.sqrt(ops.var(za, axis=0) + 1e-5)  # (9)
    zb = (zb - ops.mean(zb, axis=0)) / ops.sqrt(ops.var(zb, axis=0) + 1e-5)
    c = ops.matmul(ops.transpose(za), zb) / n  # (10)
    identity = ops.eye(za.shape[1], dtype=za.dtype)
    on_diagonal = ops.sum(identity * ops.square(1 - c))
    off_diagonal = ops.sum((1 - identity) * ops.square(c))
    return on_diagonal + redundancy_weight * off_diagonal  # (11)
    ### END SOLUTION


# %%
check("barlow_twins")

# %% [markdown]
# ## 6 · A probe without training
#
# Is a representation any good? Ask the neighbors: a test example gets the class that most of its $k$ nearest
# training examples have, near by cosine. There is nothing to fit, so the answer is about the representation alone.
#
# $$N_i = \text{the } k \text{ rows } j \text{ with the largest } \cos(t_i, r_j), \qquad
#   \hat y_i = \arg\max_c \big|\{j \in N_i : y_j = c\}\big| \qquad (12)$$
#
# Where two classes have equally many votes, the smaller number wins, which is what `argmax` does by itself. If the
# three nearest have the classes 2, 0, 2, the answer is 2; it is not the mean of the labels.


# %% exercise="knn_predict"
def knn_predict(train_z, train_y, test_z, k, num_classes):
    """Classes (m,) of test_z (m, d) by the k nearest of train_z (n, d), whose classes are train_y (n,)."""
    ### STUB
    # raise NotImplementedError("find the neighbors and count their classes (12)")
    ### BEGIN SOLUTION
    similarity = cosine_similarities(test_z, train_z)
    nearest = ops.top_k(similarity, k)[1]  # (m, k)
    votes = ops.sum(ops.one_hot(ops.take(train_y, nearest, axis=0), num_classes), axis=1)
    return ops.argmax(votes, axis=-1)  # (12)
    ### END SOLUTION


# %%
check("knn_predict")

# %% [markdown]
# ## Experiment: an encoder that has seen no label
#
# Digits of 8 × 8 pixels on a canvas of 12 × 12, each at a random place: to the pixels, a digit and the same digit
# two columns further on have little in common. Views are your crops of the canvas with a little noise on top. The
# encoder is a small network, and a *projector* of one more layer stands between it and the loss: what the loss throws
# away is thrown away there, and the representation is taken before it. Every few epochs you measure alignment and
# uniformity of the embeddings, and how many validation digits their nearest training neighbors get right.

# %%
train, val, test = data.load("digits", seed=0)
SIDE, BATCH, TEMPERATURE, ROUNDS, EPOCHS = 12, 128, 0.2, 6, 25  # so many epochs in each round


def on_canvas(images, seed):
    """The images at random places on a larger canvas."""
    uniform = np.random.default_rng(seed).random((len(images), 2))
    return random_crop(np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0))), uniform, padding=2)


def view(images, rng):
    moved = random_crop(images, rng.random((len(images), 2)), padding=2)
    return np.clip(moved + rng.normal(0, 0.1, moved.shape), 0, 1).astype("float32")


def dense(*units):
    return [keras.layers.Dense(each, activation="relu") for each in units]


x_train, x_val = on_canvas(train.x, seed=1), on_canvas(val.x, seed=2)


def share_right(represent):
    """Validation digits, in %, whose class the nearest training digits say."""
    predicted = knn_predict(represent(x_train), train.y, represent(x_val), 10, 10)
    return 100 * np.mean(np.array(predicted) == val.y)


def pretrain(loss_of, seed=0):
    """Trains an encoder without labels; returns it, and the measures before and after every round."""
    keras.utils.set_random_seed(seed)
    encoder = keras.Sequential([keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(), *dense(256, 128)])
    projector = keras.Sequential([keras.Input((128,)), *dense(128), keras.layers.Dense(64)])
    both = keras.Sequential([encoder, projector])
    inputs = keras.Input((2, SIDE, SIDE, 1))  # the two views of each image
    model = keras.Model(inputs, ops.stack([both(inputs[:, 0]), both(inputs[:, 1])], axis=1))
    model.compile(keras.optimizers.Adam(0.003), loss=lambda _, z: loss_of(z[:, 0], z[:, 1]))
    rng = np.random.default_rng(seed)
    fixed, full = [view(x_val, rng) for _ in range(2)], len(x_train) // BATCH * BATCH
    measures = {"alignment": [], "uniformity": [], "neighbors, % right": []}
    for finished in range(ROUNDS + 1):
        align, uniform = alignment_and_uniformity(*(both(each) for each in fixed))
        for name, value in zip(measures, (align, uniform, share_right(encoder)), strict=True):
            measures[name].append(float(value))
        if finished < ROUNDS:
            order = np.concatenate([rng.permutation(len(x_train))[:full] for _ in range(EPOCHS)])
            views = np.stack([view(x_train[order], rng), view(x_train[order], rng)], axis=1)
            model.fit(views, np.zeros(len(views)), batch_size=BATCH, shuffle=False, verbose=0)
    return encoder, measures


runs = {
    "NT-Xent": pretrain(lambda za, zb: nt_xent(za, zb, TEMPERATURE)),
    "Barlow Twins": pretrain(lambda za, zb: barlow_twins(za, zb, 0.05)),
    "agreement only": pretrain(lambda za, zb: ops.mean(ops.sum(ops.square(za - zb), axis=-1))),
}
flat = share_right(lambda images: images.reshape(len(images), -1))
print(f"pixels themselves: neighbors right {flat:.1f} %")
for name, (_, measures) in runs.items():
    first, last = measures["neighbors, % right"][0], measures["neighbors, % right"][-1]
    print(
        f"{name}: neighbors right {first:.1f} % before, {last:.1f} % after; "
        f"alignment {measures['alignment'][-1]:.2f}, uniformity {measures['uniformity'][-1]:.2f}"
    )

# %% [markdown]
# The third run has only the first half of the idea: the two views should agree, and nothing keeps different images
# apart. Its loss goes down like no other. What do the other measures say?
#
# And try other weights λ in (11): with 0.01 in place of 0.05, the neighbors of Barlow Twins are hardly better after
# the training than before; with 1, they are right half as often or less. What does too little of the second sum allow,
# and what does too much of it drown?
#
# Read uniformity with care. It looks at the embeddings from the origin, as the cosines of NT-Xent do. Barlow Twins
# takes the mean of each feature away (9) before it looks, so it does not mind when all embeddings lie in one direction
# from the origin and differ around that. A measure belongs to the loss for which it was made; the neighbors, which
# look at the representation before the projector, judge all three alike.

# %%
epochs = EPOCHS * np.arange(ROUNDS + 1)
for measure in ("uniformity", "neighbors, % right"):
    lines = {name: (epochs, measures[measure]) for name, (_, measures) in runs.items()}
    figure = plotting.curves(lines, y_label=measure)

# %% [markdown]
# And what are an image's neighbors? In each row the first image is from the validation set, the others are the
# training images nearest to it, by the encoder that NT-Xent trained.

# %%
encoder = runs["NT-Xent"][0]
similarity = np.array(cosine_similarities(encoder(x_val[:4]), encoder(x_train)))
nearest = np.argsort(-similarity, axis=1)[:, :9]
rows = np.concatenate([np.concatenate([x_val[i : i + 1], x_train[nearest[i]]]) for i in range(4)])
figure = plotting.tiles(rows, columns=10, title="an image, and its nearest neighbors")

# %% [markdown]
# Questions to take along: which number would tell you of the collapse if you did not have labels? What happens at a
# temperature of 5, where hard negatives count no more than easy ones? What would a view that mirrors the digit teach
# the encoder about 6 and 9?
