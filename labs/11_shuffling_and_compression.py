# %% [markdown]
# # Shuffling and compression
#
# Two stages at which data and networks are handled without any training: before it and after it. Before, the
# examples are put into a random order for each epoch, and their pixels are decorrelated. Afterwards, the network is
# made small enough for the device that will run it: weights near zero are removed, the others are stored in a few
# bits, or a small network learns what the large one knows.
#
# Each of these steps is a few lines long, and each has a detail that costs accuracy, or the claim that a run can be
# repeated. You write all of them, then try them on the digits.
#
# The last exercise is a loss. Write it with `keras.ops`, so that it also runs inside a compiled training step. The
# others are NumPy.

# %%
import keras
import numpy as np
from keras import ops

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1. A new order for every epoch
#
# Data often lie sorted: all zeros, then all ones. A minibatch of zeros only pulls the network to "always zero", so
# training needs a random order. With $\pi_e$, a random permutation of $0, \dots, n - 1$ for epoch $e$, the
# minibatches are
#
# $$B_{e,k} = \bigl(\pi_e(kB),\; \dots,\; \pi_e(\min(kB + B, n) - 1)\bigr), \qquad k = 0, \dots, \lceil n / B \rceil - 1
# \qquad (1)$$
#
# Four things make this more than a call of `shuffle`:
#
# - Each example occurs *once* per epoch. Drawing anew for each minibatch leaves out about a third of the examples.
# - The last minibatch may be shorter. Its examples are neither dropped nor made up.
# - A run that is repeated, or resumed after it was killed, must meet the same order. So $\pi_e$ depends on `seed` and
#   `epoch` and on nothing else: not on the calls before it, nor on NumPy's global generator, whose state belongs to
#   the caller and must not change.
# - Other epochs and other seeds have other orders. `seed + epoch` will not do, because seed 1 would repeat the epochs
#   of seed 0, one epoch later. `np.random.default_rng([seed, epoch])` mixes a list of whole numbers into one start.
#
# For $n = 5$ and $B = 2$ the result has three arrays, of 2, 2 and 1 indices.


# %% exercise="epoch_batches"
def epoch_batches(n, batch_size, epoch, seed):
    """Minibatches (1) of an epoch: a list of arrays of indices from 0 to n − 1."""
    ### STUB
    # raise NotImplementedError("permute by seed and epoch, then cut")
    ### BEGIN SOLUTION
    order = np.random.default_rng([seed, epoch]).permutation(n)
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]  # (1)
    ### END SOLUTION


# %%
check("epoch_batches")

# %% [markdown]
# ## 2. Whitening that leaves an image an image
#
# Neighboring pixels are nearly equal, and a network spends its first steps on finding that out. Whitening removes
# the correlations: the covariance of the whitened data is the identity. With mean $\mu$, covariance $C$,
# eigenvectors $U$ (columns) and eigenvalues $\Lambda$, all of the *training set*,
#
# $$C = \frac{1}{n - 1} \sum_i (x_i - \mu)(x_i - \mu)^\top = U \Lambda U^\top \qquad (2)$$
#
# PCA whitening computes $(\Lambda + \epsilon)^{-1/2} U^\top (x - \mu)$. Its result is a list of coordinates
# along the eigenvectors, and no longer an image. Any rotation of white data is white, too, so turn it back:
#
# $$z = U (\Lambda + \epsilon I)^{-1/2}\, U^\top (x - \mu) \qquad (3)$$
#
# This is ZCA whitening. Among all whitenings it changes the data least, pixel by pixel, and the arbitrary signs of
# the eigenvectors cancel. Where a pixel never varies, or where there are fewer examples than pixels, eigenvalues
# are 0 (in floating point also a little below), and $\epsilon$ keeps (3) finite. Take `np.linalg.eigh`, which is made
# for symmetric matrices: the eigenvectors that `eig` finds for equal eigenvalues need not be orthogonal.
#
# A check by hand: two features with $C = \operatorname{diag}(4, 9)$, $\mu = 0$ and $\epsilon = 0$: the point
# $(2, 3)$ becomes $(1, 1)$. Examples are rows, so (3) is applied to every row of `x`. The arguments must not be
# changed.


# %% exercise="zca_whitening"
def zca_whiten(train, x, epsilon):
    """z of equation (3) for each row of x (m, d), with mean and covariance of train (n, d): (m, d)."""
    ### STUB
    # raise NotImplementedError("find mean and covariance of train (2), then its eigenvectors, then (3)")
    ### BEGIN SOLUTION
    mean = train.mean(axis=0)
    covariance = (train - mean).T @ (train - mean) / (len(train) - 1)  # (2)
    eigenvalues, U = np.linalg.eigh(covariance)
    return (x - mean) @ U / np.sqrt(eigenvalues + epsilon) @ U.T  # (3)
    ### END SOLUTION


# %%
check("zca_whitening")

# %% [markdown]
# ## 3. Pruning by magnitude
#
# Most weights of a trained network are near zero. Remove them: set a part $s$ (the *sparsity*) of all weights to
# zero, those with the smallest magnitude. Which ones is written into masks, one for each kernel, True where a weight
# is *kept*:
#
# $$k = \lfloor s N \rfloor \quad \text{of all } N \text{ weights, those with the smallest } |w| \qquad (4)$$
#
# The choice is *global*: it compares the weights of all kernels with each other. A layer that needs all its weights
# then loses few, and one with many near zero loses many. With the same part in each layer, the small first layer
# would suffer as much as the large ones.
#
# Where magnitudes are equal, as many zeros are, a threshold prunes all or none of them. Exactly $k$ are to go: of
# equal ones, those that come first, in the order of the kernels and of the elements in each (`ravel`). A *stable*
# sort does that. Kernels $(3, -1)$ and $(1, 2)$ with $s = 1/2$: $k = 2$, and the masks are (True, False) and
# (False, True).


# %% exercise="magnitude_masks"
def magnitude_masks(kernels, sparsity):
    """Masks of the shapes of the kernels, a list of boolean arrays, False at the pruned weights (4)."""
    ### STUB
    # raise NotImplementedError("sort all magnitudes together, prune the first k, cut into the shapes of the kernels")
    ### BEGIN SOLUTION
    magnitudes = np.concatenate([np.abs(kernel).ravel() for kernel in kernels])
    pruned = np.argsort(magnitudes, kind="stable")[: int(sparsity * len(magnitudes))]  # (4)
    keep = np.ones(len(magnitudes), dtype=bool)
    keep[pruned] = False
    ends = np.cumsum([kernel.size for kernel in kernels])[:-1]
    return [part.reshape(kernel.shape) for part, kernel in zip(np.split(keep, ends), kernels, strict=True)]
    ### END SOLUTION


# %%
check("magnitude_masks")

# %% [markdown]
# ## 4. Weights as small whole numbers
#
# A float32 takes four bytes, a whole number from −127 to 127 one. *Symmetric quantization* with $b$ bits stores,
# for each output channel $c$ (the last axis of the kernel), one scale $s_c$, and for each weight a whole number
# $q$:
#
# $$s_c = \frac{\max_i |w_{ic}|}{2^{b - 1} - 1} \qquad (5)$$
# $$q_{ic} = \operatorname{round}(w_{ic} / s_c) \qquad (6)$$
#
# and the network computes with $\hat w_{ic} = s_c\, q_{ic}$. For $b = 8$ the levels run from −127 to 127: symmetric
# about zero, so a weight of zero stays exactly zero, and $-128$ is not used. One scale for each channel keeps a
# channel of small weights from being rounded to zero because another one is large.
#
# Column $(0.5, -1, 0.2)$ and $b = 3$: $s = 1/3$, and $q = (2, -3, 1)$. A half goes to the even neighbor, as `np.rint`
# takes it: 1.5 to 2, and 0.5 to 0. A channel of zeros has the scale 1, and its levels are 0. Return the levels as
# `int8`.


# %% exercise="quantize_kernel"
def quantize_kernel(kernel, bits):
    """Levels q, int8 of the shape of the kernel (…, channels), and scales (channels,), for 2 to 8 bits."""
    ### STUB
    # raise NotImplementedError("find a scale for each channel (5), then round (6)")
    ### BEGIN SOLUTION
    largest = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0)
    scales = np.where(largest > 0, largest / (2 ** (bits - 1) - 1), 1.0)  # (5)
    return np.rint(kernel / scales).astype("int8"), scales  # (6)
    ### END SOLUTION


# %%
check("quantize_kernel")

# %% [markdown]
# ## 5. How wrong can the output be?
#
# Rounding moves a number by at most half a level: $|\hat w_{ic} - w_{ic}| \le s_c / 2$. A dense layer adds up such
# errors, each times its input:
#
# $$\hat y_{ic} = \sum_j x_{ij}\, \hat w_{jc} = s_c \sum_j x_{ij}\, q_{jc} \qquad (7)$$
# $$|\hat y_{ic} - y_{ic}| \le \sum_j |x_{ij}|\, \frac{s_c}{2} = \frac{s_c}{2} \lVert x_i \rVert_1 \qquad (8)$$
#
# In (7) the scale stands in front of the sum, so a device can multiply whole numbers and scale once at the end. (8)
# holds for *every* network with these scales, without looking at the weights, and some weights reach it. A typical
# error is much smaller, since the roundings have both signs.
#
# Return the outputs (7) and the bounds (8). With $x = (3, -1)$, $q = (2, 5)^\top$ and $s = 0.1$ the output is
# $0.1$ and the bound is $0.2$. `levels` are int8, and a product of two int8 overflows at 128: let the product be a
# float.


# %% exercise="quantized_outputs"
def quantized_outputs(x, levels, scales):
    """Outputs (7) and bounds of their errors (8), both (n, channels), of x (n, d), levels (d, channels), scales."""
    ### STUB
    # raise NotImplementedError("write (7) and (8)")
    ### BEGIN SOLUTION
    outputs = (x @ levels) * scales  # (7)
    bounds = np.abs(x).sum(axis=1, keepdims=True) * scales / 2  # (8)
    return outputs, bounds
    ### END SOLUTION


# %%
check("quantized_outputs")

# %% [markdown]
# ## 6. What the large network knows
#
# A label tells that this digit is a 7. A trained network tells more: that it might have been a 1, and in no case an
# 8. *Distillation* trains a small network, the student, with logits $z_i$, on the answers of a large one, the
# teacher, with logits $v_i$. A temperature $T$ brings out the small probabilities:
#
# $$h_i = -\log \operatorname{softmax}(z_i)_{y_i} \qquad (9)$$
# $$t_i = -\sum_k \operatorname{softmax}(v_i / T)_k\, \log \operatorname{softmax}(z_i / T)_k \qquad (10)$$
# $$L = \frac1n \sum_i \bigl( \alpha\, h_i + (1 - \alpha)\, T^2\, t_i \bigr) \qquad (11)$$
#
# Why $T^2$? The derivative of (10) with respect to $z$ is
# $(\operatorname{softmax}(z/T) - \operatorname{softmax}(v/T)) / T$, and for large $T$ the difference in it shrinks
# as $1/T$, too. Without the factor a higher temperature would quietly turn the teacher off.
#
# Only (10) has a temperature: at prediction the student has none, and (9) trains it for that. With all logits zero,
# two classes, $T = 2$ and $\alpha = 0$ the loss is $4 \log 2 = 2.77$. Logits may be large: use `ops.log_softmax`,
# since the logarithm of a softmax that has rounded to 0 is $-\infty$.


# %% exercise="distillation_loss"
def distillation_loss(labels, teacher_logits, student_logits, temperature, alpha):
    """Loss (11) of labels (n,), whole numbers, and two arrays of logits (n, k): a scalar."""
    ### STUB
    # raise NotImplementedError("write equations (9) to (11)")
    ### BEGIN SOLUTION
    y = ops.one_hot(labels, student_logits.shape[-1], dtype=student_logits.dtype)
    hard = -ops.sum(y * ops.log_softmax(student_logits), axis=-1)  # (9)
    teacher = ops.softmax(teacher_logits / temperature)
    soft = -ops.sum(teacher * ops.log_softmax(student_logits / temperature), axis=-1)  # (10)
    return ops.mean(alpha * hard + (1 - alpha) * temperature**2 * soft)  # (11)
    ### END SOLUTION


# %%
check("distillation_loss")

# %% [markdown]
# ## Sorted digits
#
# One network, the same start, three orders of the training digits: sorted by class, in your order, and in
# minibatches that are drawn anew each time, so that an epoch leaves out about a third of the examples. Which one do
# you expect to be last?

# %%
train, val, _ = data.load("digits", seed=0)
flat, val_flat = (part.x.reshape(len(part.x), -1) for part in (train, val))
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(units, seed=0):
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(each, activation="relu") for each in units]
    return keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])


def errors(model, inputs=val_flat):
    return 100 * np.mean(model.predict(inputs, verbose=0).argmax(axis=1) != val.y)


by_class = np.argsort(train.y, kind="stable")
orders = {
    "sorted by class": lambda epoch: by_class,
    "your order": lambda epoch: np.concatenate(epoch_batches(len(flat), 32, epoch, seed=0)),
    "drawn anew": lambda epoch: np.random.default_rng(epoch).integers(0, len(flat), len(flat)),
}
curves = {}
for name, order_of in orders.items():
    model, curves[name] = network((64,)), []
    model.compile(keras.optimizers.SGD(0.1), CROSS_ENTROPY)
    for epoch in range(8):
        order = order_of(epoch)
        model.fit(flat[order], train.y[order], batch_size=32, shuffle=False, verbose=0)
        curves[name].append(errors(model))
    print(f"{name}: {curves[name][-1]:.1f} % of the validation digits wrong")
figure = plotting.curves(curves, y_label="validation error, %", title="the order of the examples")

# %%
white = zca_whiten(flat.astype("float64"), val_flat[:10].astype("float64"), epsilon=0.01)
pictures = np.concatenate([val.x[:10, ..., 0], white.reshape(-1, 8, 8)])
figure = plotting.tiles(pictures, columns=10, title="validation digits, and whitened (ZCA)", symmetric=True)

# %% [markdown]
# ## How much can be taken away?
#
# A teacher with two hidden layers. First your masks take a growing part of its weights, globally and, for
# comparison, the same part of each layer. Then your levels store them in fewer and fewer bits. Nothing is trained
# again.

# %%
teacher = network((256, 128))
teacher.compile(keras.optimizers.Adam(0.001), CROSS_ENTROPY)
teacher.fit(flat, train.y, batch_size=32, epochs=30, verbose=0)
kernels = [ops.convert_to_numpy(layer.kernel) for layer in teacher.layers]


def errors_with(changed):
    """Validation error of the teacher with other kernels; its own are put back."""
    for layer, kernel in zip(teacher.layers, changed, strict=True):
        layer.kernel.assign(kernel)
    result = errors(teacher)
    for layer, kernel in zip(teacher.layers, kernels, strict=True):
        layer.kernel.assign(kernel)
    return result


sparsities = [0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98]
wrong = {"global": [], "the same part of each layer": []}
for sparsity in sparsities:
    for name, masks in (
        ("global", magnitude_masks(kernels, sparsity)),
        ("the same part of each layer", [magnitude_masks([kernel], sparsity)[0] for kernel in kernels]),
    ):
        wrong[name].append(errors_with([kernel * mask for kernel, mask in zip(kernels, masks, strict=True)]))
for name, values in wrong.items():
    print(
        f"{name}:", ", ".join(f"{s:.0%} pruned: {v:.1f} %" for s, v in zip(sparsities, values, strict=True))
    )
figure = plotting.curves(
    {name: (100 * np.array(sparsities), values) for name, values in wrong.items()},
    "pruned weights, %",
    "validation error, %",
    "pruning without training again",
)

# %%
for bits in (8, 6, 4, 3, 2):
    stored = [quantize_kernel(kernel, bits) for kernel in kernels]
    error = errors_with([levels * scales for levels, scales in stored])
    levels, scales = stored[0]
    outputs, bounds = quantized_outputs(val_flat, levels, scales)
    off = np.abs(outputs - val_flat @ kernels[0])
    print(
        f"{bits} bits: {error:.1f} % wrong; sums of the first layer off by up to {off.max():.4f}, "
        f"at most {np.max(off / bounds):.0%} of the bound"
    )

# %% [markdown]
# ## A student with twelve units
#
# A fiftieth of the weights, and few labels: every tenth training digit has one. The teacher has seen all of them.
# The student learns from these labels alone, and, without any label, from the teacher's answers to all training
# digits. For comparison it also learns from all labels, as if someone had made them for it.

# %%
few, everything = np.arange(0, len(flat), 10), np.arange(len(flat))
answers = ops.convert_to_numpy(teacher(flat))


def student(chosen, temperature, alpha):
    """A student that learns from the chosen digits, by your loss, in about 1,200 steps."""
    model = network((12,), seed=1)
    targets = np.concatenate([train.y[chosen, None], answers[chosen]], axis=1).astype("float32")

    def loss(y, z):
        return distillation_loss(ops.cast(y[:, 0], "int32"), y[:, 1:], z, temperature, alpha)

    model.compile(keras.optimizers.Adam(0.01), loss=loss)
    model.fit(flat[chosen], targets, batch_size=32, epochs=1200 * 32 // len(chosen), verbose=0)
    return errors(model)


print(f"teacher: {errors(teacher):.1f} % wrong, {teacher.count_params()} weights")
print(
    f"student, {len(few)} labels: {student(few, 1.0, 1.0):.1f} % wrong, {network((12,)).count_params()} weights"
)
print(f"student, all {len(flat)} labels: {student(everything, 1.0, 1.0):.1f} % wrong")
for temperature in (1.0, 4.0):
    result = student(everything, temperature, 0.0)
    print(f"student, the teacher's answers at a temperature of {temperature:.0f}: {result:.1f} % wrong")

# %% [markdown]
# Two of the three orders do about as well here. Which would you rather defend to someone whose run was killed in the
# middle of epoch 7? No sum of the first layer comes near its bound: why, and would that be so for images
# with one pixel that is not black? And what would the student learn from a teacher with a temperature of 100?
#
# **Where this comes from.** Bell and Sejnowski 1997 and Kessy, Lewin and Strimmer 2018 (ZCA whitening); Han, Pool,
# Tran and Dally 2015 (pruning by magnitude); Krishnamoorthi 2018 (quantization by channel); Hinton, Vinyals and
# Dean 2015 (distillation).
