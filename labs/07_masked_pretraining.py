# %% [markdown]
# # Masked pretraining
#
# Hide a part of the data and predict it from the rest: whoever can do that knows something about the data, and no
# label was needed. Of an image a masked autoencoder sees a few patches and must paint the others. Of a sentence a
# masked language model sees most words and must name the ones that were taken out.
#
# The networks may be ordinary ones. What is special is bookkeeping, and bookkeeping is where such code goes wrong
# silently: patches that come back in the wrong place, masks that are the same for the whole minibatch, a loss
# that is mostly about what was never hidden. You write these parts; at the end they train a small masked autoencoder
# on handwritten digits, and you look at what it fills in.
#
# All functions get and return tensors. Write them with `keras.ops`, so that they also run inside a compiled training
# step, where the number of examples is not known while the graph is built: in `ops.reshape`, write -1 for it. Results
# have the dtype of the arguments: what is float64 stays float64, and integers stay integers.

# %%
import keras
import numpy as np
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1 · Images into patches
#
# A transformer takes a row of tokens. An image of height $H$ and width $W$ with $C$ channels becomes one by cutting
# it into squares with sides of $s$ pixels and flattening each:
#
# $$p_{r,c} = x[\,rs : (r+1)s,\; cs : (c+1)s,\; :\,], \text{ flattened} \qquad (1)$$
#
# Patches are numbered row by row, as one reads: there are $P = \frac Hs \cdot \frac Ws$ of them with $s^2 C$ numbers
# each. In a 4 × 4 image of one channel that counts its pixels from 0 to 15, with $s = 2$, patch 0 is (0, 1, 4, 5) and
# patch 1 is (2, 3, 6, 7).
#
# A reshape alone cannot do it: pixels 1 and 4 of patch 0 are not neighbors in memory. Split height and width into
# (row of patches, row inside the patch) and (column of patches, column inside the patch), bring the two inner axes
# next to each other, then flatten. Height and width may differ.


# %% exercise="patchify"
def patchify(images, size):
    """Images (n, height, width, channels) as patches (n, P, size · size · channels)."""
    ### STUB
    # raise NotImplementedError("cut the images into patches (1)")
    ### BEGIN SOLUTION
    height, width, channels = images.shape[1:]
    rows, columns = height // size, width // size
    x = ops.reshape(images, (-1, rows, size, columns, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (n, rows, columns, size, size, channels)
    return ops.reshape(x, (-1, rows * columns, size * size * channels))  # (1)
    ### END SOLUTION


# %%
check("patchify")

# %% [markdown]
# ## 2 · And back
#
# To look at what a model painted, its patches must become an image again. `unpatchify` undoes (1). The number of
# patches does not tell the shape of the image (12 patches may be 3 × 4 or 2 × 6), so the shape is an argument,
# (height, width, channels). Do the steps of `patchify` backwards, each undone.


# %% exercise="unpatchify"
def unpatchify(patches, image_shape, size):
    """Patches (n, P, size · size · channels) as images (n, height, width, channels)."""
    ### STUB
    # raise NotImplementedError("put the patches together again")
    ### BEGIN SOLUTION
    height, width, channels = image_shape
    rows, columns = height // size, width // size
    x = ops.reshape(patches, (-1, rows, columns, size, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (n, rows, size, columns, size, channels)
    return ops.reshape(x, (-1, height, width, channels))
    ### END SOLUTION


# %%
check("unpatchify")

# %% [markdown]
# ## 3 · What is hidden
#
# Each image hides other patches, and every image the same number of them, so that what is seen of the minibatch fits
# into one array. A short way to draw such masks: give every place a uniform number and keep the $V$ places with the
# smallest numbers.
#
# $$o = \operatorname{argsort}(u), \qquad \text{visible} = o_0, \dots, o_{V-1} \qquad (2)$$
#
# For $u = (0.3, 0.9, 0.1, 0.5)$ and $V = 2$: the order is $o = (2, 0, 3, 1)$, places 2 and 0 are seen, 3 and 1 are
# hidden, and as a mask over places 0 to 3 that reads (False, True, False, True). `masked` is True where a patch is
# *hidden*.
#
# (Hiding every place whose number is below a rate would be simpler, but then one image loses more than another.)


# %% exercise="hide"
def hide(uniform, num_visible):
    """From uniform numbers (n, P): the order (n, P) of the places, and masked (n, P), True where hidden."""
    ### STUB
    # raise NotImplementedError("order the places by their numbers (2), then tell which are hidden")
    ### BEGIN SOLUTION
    order = ops.argsort(uniform, axis=-1)  # (2)
    rank = ops.argsort(order, axis=-1)  # rank[i, p]: at which position of the order place p stands
    return order, rank >= num_visible
    ### END SOLUTION


# %%
check("hide")

# %% [markdown]
# ## 4 · Back to their places
#
# The encoder sees only the visible patches, in the order of (2): with three quarters hidden that saves three quarters
# of its work. The decoder, though, must paint the whole image, so every token has to stand in its own place, with one
# and the same learned vector, the *mask token*, where nothing was seen:
#
# $$t_{o_k} = \begin{cases} h_k & k < V \\ m & \text{otherwise} \end{cases} \qquad (3)$$
#
# With the order $(2, 0, 3, 1)$ and two encoded patches $(h_0, h_1)$ the row of tokens is $(h_1, m, h_0, m)$: the
# first encoded patch belongs to place 2.
#
# One way: append mask tokens to get all $P$ of them in the order of $o$, then undo the order. Undoing a permutation
# takes its *inverse*, which `ops.argsort` of a permutation is. Many permutations of few places are their own inverse,
# so a test with three patches may let a mistake through. `ops.take_along_axis` picks other places for each example;
# it wants an index with as many axes as the tokens.


# %% exercise="put_back"
def put_back(tokens, mask_token, order):
    """Tokens (n, V, d) of the places order[:, :V], and the mask token (d,) elsewhere: (n, P, d)."""
    ### STUB
    # raise NotImplementedError("bring the tokens back to their places (3)")
    ### BEGIN SOLUTION
    visible, places = tokens.shape[1], order.shape[1]
    hidden = ops.broadcast_to(mask_token, (ops.shape(tokens)[0], places - visible, tokens.shape[2]))
    in_order = ops.concatenate([tokens, hidden], axis=1)
    rank = ops.argsort(order, axis=-1)
    return ops.take_along_axis(in_order, rank[:, :, None], axis=1)  # (3)
    ### END SOLUTION


# %%
check("put_back")

# %% [markdown]
# ## 5 · The loss of what was hidden
#
# What the model saw it can copy; a loss over all patches would reward that. Only masked patches count:
#
# $$L = \frac{1}{|M|} \sum_{(i, p) \in M} \frac1D \lVert x_{ip} - \hat x_{ip} \rVert^2 \qquad (4)$$
#
# with $M$ the masked patches of the whole minibatch and $D$ the numbers in a patch. With the squared errors
# $(4, 1, 9)$ of three patches (each already averaged over its pixels), of which the first and the last are masked,
# $L = (4 + 9)/2 = 6.5$. If nothing is masked, the loss is 0 and not 0/0.


# %% exercise="masked_patch_loss"
def masked_patch_loss(patches, predictions, masked):
    """Mean over masked patches of the mean squared error; patches (n, P, D), masked (n, P) bool: a scalar."""
    ### STUB
    # raise NotImplementedError("average (4) over the masked patches only")
    ### BEGIN SOLUTION
    error = ops.mean(ops.square(patches - predictions), axis=-1)
    weights = ops.cast(masked, error.dtype)
    return ops.sum(weights * error) / ops.maximum(ops.sum(weights), 1)  # (4)
    ### END SOLUTION


# %%
check("masked_patch_loss")

# %% [markdown]
# ## 6 · Masked tokens
#
# With text there is a catch. The mask token stands only in pretraining; a network that has learned "predict where the
# mask token is" has no reason to say anything about ordinary words. BERT's answer, for each token that is *chosen* to
# be predicted:
#
# - with probability 0.8 it is replaced by the mask token,
# - with probability 0.1 by a random token,
# - with probability 0.1 it stays as it is, and must be predicted all the same.
#
# A token is chosen with probability `rate` (0.15 in BERT), and never if it is a special: padding, start and end of a
# sentence are not worth predicting. All random numbers are given. For each place:
#
# $$\text{chosen} = [u < \text{rate}] \wedge [x \notin \text{specials}] \qquad (5)$$
# $$\tilde x = \begin{cases} \text{mask token} & \text{chosen}, w < 0.8 \\
#   \text{random token} & \text{chosen}, 0.8 \le w < 0.9 \\ x & \text{otherwise} \end{cases} \qquad (6)$$
#
# With $x = (5, 7, 8, 0)$, 0 a special, a rate of 0.5, $u = (0.2, 0.1, 0.9, 0.3)$, $w = (0.4, 0.95, 0.1, 0.2)$ and 9
# as mask token: chosen are the first two; the inputs become $(9, 7, 8, 0)$.


# %% exercise="mask_tokens"
def mask_tokens(tokens, uniform, kind, random_tokens, mask_token, specials, rate):
    """Inputs of the network and which tokens are to be predicted, both (n, length).

    tokens and random_tokens are integers, uniform is u and kind is w of (5) and (6), all (n, length); specials is a
    tuple of integers.
    """
    ### STUB
    # raise NotImplementedError("choose tokens by (5), replace them by (6)")
    ### BEGIN SOLUTION
    special = ops.zeros_like(tokens, dtype="bool")
    for each in specials:
        special = ops.logical_or(special, tokens == each)
    chosen = ops.logical_and(uniform < rate, ops.logical_not(special))  # (5)
    replacement = ops.where(kind < 0.8, mask_token, ops.where(kind < 0.9, random_tokens, tokens))
    return ops.where(chosen, replacement, tokens), chosen  # (6)
    ### END SOLUTION


# %%
check("mask_tokens")

# %% [markdown]
# Look at it once with letters. One letter in five is asked for on average; most of those show as `_`.

# %%
sentence = "the part that is hidden is predicted from the part that is seen"
letters, rng = np.array([[ord(letter) for letter in sentence]]), np.random.default_rng(3)
drawn = rng.integers(ord("a"), ord("z") + 1, letters.shape)
uniform, kind = rng.random((2, *letters.shape))
seen, chosen = mask_tokens(letters, uniform, kind, drawn, ord("_"), (ord(" "),), 0.2)
print(sentence)
print("".join(chr(letter) for letter in np.array(seen)[0]))
print("".join("^" if each else " " for each in np.array(chosen)[0]))

# %% [markdown]
# ## Experiment: what does the model fill in?
#
# Digits of 8 × 8 pixels, cut into 16 patches of 2 × 2. The encoder turns each visible patch into a token, and the
# mean of these tokens into a short description of the whole image, 16 numbers. The decoder gets the tokens in their
# places together with the description, and paints. (A transformer would let the tokens look at each other as well;
# this network is smaller, and two processor cores are enough for it.) Everything between the layers is yours.
#
# Afterwards a linear classifier is fitted to the descriptions of whole images. What share of the patches should be
# hidden to learn the most?

# %%
SIZE, PATCHES, WIDTH, DESCRIPTION = 2, 16, 128, 16


def dense(*units):
    """A small network: layers with ReLU, the last one without."""
    layers = [keras.layers.Dense(each, activation="relu") for each in units[:-1]]
    return keras.Sequential([*layers, keras.layers.Dense(units[-1])])


class MaskedAutoencoder(keras.Model):
    def __init__(self, num_visible, seed=0):
        super().__init__()
        self.num_visible, self.random = num_visible, keras.random.SeedGenerator(seed)
        self.embed, self.look, self.describe = dense(WIDTH), dense(WIDTH, WIDTH), dense(WIDTH, DESCRIPTION)
        self.recall, self.paint = dense(WIDTH), dense(WIDTH, SIZE * SIZE)
        normal = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
        self.places = self.add_weight(shape=(PATCHES, WIDTH), initializer=normal, name="places")
        self.mask_token = self.add_weight(shape=(WIDTH,), initializer="zeros", name="mask_token")

    def encode(self, patches, visible):
        """The tokens of the visible patches, (n, V, WIDTH), and the description, (n, DESCRIPTION)."""
        tokens = ops.relu(self.embed(patches) + self.places)
        tokens = self.look(ops.take_along_axis(tokens, visible[:, :, None], axis=1))
        return tokens, self.describe(ops.mean(tokens, axis=1))

    def paint_patches(self, patches, uniform):
        order, masked = hide(uniform, self.num_visible)
        tokens, description = self.encode(patches, order[:, : self.num_visible])
        tokens = put_back(tokens, self.mask_token, order) + self.places
        return self.paint(ops.relu(tokens + self.recall(description)[:, None])), masked

    def call(self, images):
        patches = patchify(images, SIZE)
        uniform = keras.random.uniform((ops.shape(images)[0], PATCHES), seed=self.random)
        predictions, masked = self.paint_patches(patches, uniform)
        self.add_loss(masked_patch_loss(patches, predictions, masked))
        return unpatchify(predictions, images.shape[1:], SIZE)

    def represent(self, images):
        """The description of whole images: nothing is hidden."""
        everything = np.tile(np.arange(PATCHES), (len(images), 1))
        return np.array(self.encode(patchify(images, SIZE), everything)[1])


train, val, test = data.load("digits", seed=0)
models = {}
for hidden in (4, 8, 12):
    keras.utils.set_random_seed(0)
    models[hidden] = MaskedAutoencoder(PATCHES - hidden)
    models[hidden].compile(keras.optimizers.Adam(0.003))
    losses = models[hidden].fit(train.x, batch_size=64, epochs=60, verbose=0).history["loss"]
    print(f"{hidden} of {PATCHES} patches hidden: loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last")

# %% [markdown]
# Above the image, in the middle what the model saw of it, below what it made of that: the seen patches are the true
# ones, the others painted. Where half of a digit is hidden, is it still the same digit?

# %%
images, model = val.x[:10], models[8]
patches = patchify(images, SIZE)
predictions, masked = model.paint_patches(patches, np.random.default_rng(0).random((10, PATCHES), "float32"))
hidden = np.array(masked)[:, :, None]
covered = unpatchify(np.where(hidden, 0.5, np.array(patches)).astype("float32"), images.shape[1:], SIZE)
painted = unpatchify(np.where(hidden, np.clip(predictions, 0, 1), np.array(patches)), images.shape[1:], SIZE)
rows = np.concatenate([images, np.array(covered), np.array(painted)])
figure = plotting.tiles(rows, columns=10, title="the image, what is seen of it, what is filled in")

# %% [markdown]
# The probe: a linear classifier on the descriptions, fitted to the training images and judged on the validation
# images. The encoder stays as it is. Note that the loss grows with the mask ratio while the description need not get
# worse: the value of the loss says how hard the task is, not how much is learned.


# %%
def probe(represent):
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(
        represent(train.x), train.y
    )
    return 100 * classifier.score(represent(val.x), val.y)


keras.utils.set_random_seed(0)
untrained = MaskedAutoencoder(PATCHES - 8)
untrained(train.x[:2])
ratios = [100 * hidden / PATCHES for hidden in models]
scores = {
    "after masked pretraining": (ratios, [probe(model.represent) for model in models.values()]),
    "untrained encoder": (ratios, [probe(untrained.represent)] * len(ratios)),
}
print("untrained encoder: {:.1f} % right".format(scores["untrained encoder"][1][0]))
for ratio, score in zip(*scores["after masked pretraining"], strict=True):
    print(f"{ratio:.0f} % hidden: {score:.1f} % right")
figure = plotting.curves(
    scores, "patches hidden, %", "validation accuracy, %", "a linear probe on the description"
)

# %% [markdown]
# Questions to take along: replace `masked_patch_loss` by a mean over all patches; what happens to the painted
# patches, and to the probe? Use the same mask for every image of a minibatch; how would you notice?
