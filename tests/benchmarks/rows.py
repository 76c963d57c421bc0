"""The rows of `run.py`: for each piece of work, functions that do it with the kit and with other libraries."""

import dataclasses
import importlib.util
import itertools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf_kit import networks, optimizers, pretraining
from tf_kit.pretraining import RBM, DenoisingAutoencoder, MaskedAutoencoder, PatchEncoder, finetune
from tf_kit.pretraining.methods import METHODS, own_options
from tf_kit.runs import methods
from tf_kit.runs.encoders import encoder_options, make_encoder
from tf_kit.training.precision import precision

MISSING = [name for name in ("torch", "lightly", "sklearn") if importlib.util.find_spec(name) is None]
if "torch" not in MISSING:
    import in_torch
RNG = np.random.default_rng(0)
WIDTHS = (784, 1000, 1000, 1000, 10)
WEIGHTS = sum(a * b for a, b in itertools.pairwise(WIDTHS))


@dataclasses.dataclass
class Row:
    """One line of the table.

    Attributes:
        name: the work.
        sides: functions that do the work, by the name of the library; "kit" is one of them.
        units: steps, updates or calls that one function does.
        flops: floating-point operations in products of matrices in one function, or 0.
    """

    name: str
    sides: dict[str, Callable[[], object]]
    units: int = 1
    flops: float = 0.0


def with_torch(sides, make, *arguments):
    """Add the side "torch", made by a function of `in_torch`, if PyTorch is installed."""
    return sides if "torch" in MISSING else {**sides, "torch": getattr(in_torch, make)(*arguments)}


def product(size):
    a = tf.random.normal((size, size))
    multiply = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)[:1]))
    return lambda: float(multiply())


def images(count, features=784):
    return RNG.random((count, features), dtype="float32"), RNG.integers(0, 10, count)


def mlp():
    """A whole epoch of `fit`, as users call it."""
    for batch, steps, name in (
        (32, 64, "float32"),
        (128, 32, "float32"),
        (512, 8, "float32"),
        (128, 32, "bfloat16"),
        (512, 8, "bfloat16"),
    ):
        x, y = images(batch * steps)
        with precision(name):
            kit = finetune(
                networks.mlp(WIDTHS[1:-1], num_classes=None, activation="relu", input_shape=(784,)), 10
            )
            theirs = _classifier_of_keras()
        arguments = {"batch_size": batch, "epochs": 1, "verbose": 0}
        sides = {
            "kit": lambda model=kit, x=x, y=y, given=arguments: model.fit(x, y, **given),
            "keras": lambda model=theirs, x=x, y=y, given=arguments: model.fit(x, y, **given),
        }
        sides = with_torch(sides, "mlp", WIDTHS, x, y, batch, name)
        yield Row(f"MLP 784-1000³-10, Adam, batch {batch}, {name}", sides, steps, 6 * WEIGHTS * batch * steps)


def _classifier_of_keras():
    hidden = [keras.layers.Dense(units, "relu") for units in WIDTHS[1:-1]]
    model = keras.Sequential([keras.Input((WIDTHS[0],)), *hidden, keras.layers.Dense(10, dtype="float32")])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    return model


def updates():
    """One call of `apply` for 2.8 million weights, ten times."""
    k, ours = keras.optimizers, optimizers
    pairs = {
        "SGD": (ours.SGD, k.SGD),
        "Momentum": (ours.Momentum, lambda: k.SGD(momentum=0.9)),
        "Nesterov": (ours.Nesterov, lambda: k.SGD(momentum=0.9, nesterov=True)),
        "AdaGrad": (ours.AdaGrad, k.Adagrad),
        "RMSProp": (ours.RMSProp, k.RMSprop),
        "Adam": (ours.Adam, k.Adam),
        "AdamW": (ours.AdamW, k.AdamW),
        "LARS": (ours.LARS, None),
        "RMSPropNesterov": (ours.RMSPropNesterov, None),
    }
    shapes = [shape for pair in itertools.pairwise(WIDTHS) for shape in (pair, pair[1:])]
    gradients = [tf.random.normal(shape) * 0.01 for shape in shapes]
    for name, (kit, theirs) in pairs.items():
        sides = {"kit": _applied(kit(), gradients), "readable": _applied(kit(fused=False), gradients)}
        if theirs is not None:
            sides["keras"] = _applied(theirs(), gradients)
        if name == "Adam":
            sides = with_torch(sides, "adam", [tuple(shape) for shape in shapes], 10)
        yield Row(f"update of 2.8 million weights, {name}", sides, 10)


def _applied(optimizer, gradients):
    weights = [keras.Variable(0.05 * RNG.normal(size=each.shape).astype("float32")) for each in gradients]
    optimizer.build(weights)
    step = tf.function(lambda: optimizer.apply(gradients, weights))

    def ten():
        for _ in range(10):
            step()
        return float(weights[0][0, 0])

    return ten


def rbm(features=784, hidden=500, batch=100, steps=50):
    x = (RNG.random((batch * steps, features)) < 0.3).astype("float32")
    kit = RBM(num_hidden=hidden, seed=0)
    kit.compile(optimizers.Momentum(0.05, momentum=0.9))
    sides = {
        "kit": lambda: kit.fit(x, batch_size=batch, epochs=1, verbose=0),
        "numpy": lambda state=[]: _contrastive_divergence(x, hidden, batch, state),
    }
    if "sklearn" not in MISSING:
        from sklearn.neural_network import BernoulliRBM

        theirs = BernoulliRBM(hidden, learning_rate=0.05, batch_size=batch, n_iter=1, random_state=0)
        sides["sklearn"] = lambda: theirs.fit(x)
    flops = 5 * 2 * features * hidden * batch * steps
    yield Row(f"RBM CD-1, {features} × {hidden}, batch {batch}", sides, steps, flops)


def _contrastive_divergence(x, hidden, batch, state):
    """The fifteen lines of NumPy that anybody would write, with momentum and the squared error as monitor."""
    if not state:
        shapes = (x.shape[1], hidden), (x.shape[1],), (hidden,)
        state += [(0.01 * RNG.normal(size=shape)).astype("float32") for shape in shapes]
        state += [np.zeros(shape, "float32") for shape in shapes]
    W, b, c, dW, db, dc = state
    for start in range(0, len(x), batch):
        v = x[start : start + batch]
        p = 1 / (1 + np.exp(-(v @ W + c)))
        h = (RNG.random(p.shape, dtype="float32") < p).astype("float32")
        mean = 1 / (1 + np.exp(-(h @ W.T + b)))
        end = (RNG.random(mean.shape, dtype="float32") < mean).astype("float32")
        q = 1 / (1 + np.exp(-(end @ W + c)))
        for velocity, gradient in ((dW, v.T @ p - end.T @ q), (db, (v - end).sum(0)), (dc, (p - q).sum(0))):
            velocity *= 0.9
            velocity += 0.05 / batch * gradient
        W += dW
        b += db
        c += dc
    return ((v - mean) ** 2).sum(1).mean()


def denoising(features=784, hidden=1000, batch=128, steps=32):
    x, _ = images(batch * steps, features)
    kit = DenoisingAutoencoder(
        networks.mlp((hidden,), num_classes=None, input_shape=(features,)), loss="cross_entropy"
    )
    kit.compile(optimizers.Adam(1e-3))
    sides = {"kit": lambda: kit.fit(x, batch_size=batch, epochs=1, verbose=0)}
    sides = with_torch(sides, "denoising", x, hidden, batch)
    flops = 5 * 2 * features * hidden * batch * steps
    yield Row(f"denoising layer {features} → {hidden}, batch {batch}", sides, steps, flops)


def masked(batch=64, steps=10):
    x = RNG.random((batch * steps, 28, 28, 1), dtype="float32")
    for jit_compile in (False, True):
        kit = MaskedAutoencoder(PatchEncoder(patch_size=4, width=64, depth=2), mask_ratio=0.75)
        kit.compile(optimizers.Adam(1e-3), jit_compile=jit_compile)
        sides = {"kit": lambda kit=kit: kit.fit(x, batch_size=batch, epochs=1, verbose=0)}
        sides = with_torch(sides, "masked", x, batch)
        yield Row(f"masked autoencoder, ViT 64 × 2{', XLA' if jit_compile else ''}", sides, steps)


def xla(batch=64, steps=10):
    """The steps of every method that trains an encoder as a whole, as they are and compiled by XLA."""
    x = RNG.random((batch * steps, 28, 28, 1), dtype="float32")
    for name, method in METHODS.items():
        if method.greedy or method.reads_text:
            continue
        sides = {}
        for side, jit_compile in (("kit", False), ("XLA", True)):
            encoder = make_encoder(x.shape[1:], **encoder_options(name, None, x.shape[1:], {}), seed=0)
            views = methods.augmentation("mnist", x.shape[1:]) if method.views else None
            model = methods.make_pretrainer(name, encoder, own_options(name, {}), views)
            model.compile(optimizers.Adam(1e-3), jit_compile=jit_compile)
            sides[side] = lambda model=model: model.fit(x, batch_size=batch, epochs=1, verbose=0)
        yield Row(f"{name}, compiled by XLA", sides, steps)


def losses(width=128, calls=10):
    """Value and gradient of each loss of joint embedding."""
    for name in ("nt_xent", "barlow_twins", "byol", "vicreg"):
        for n in (256, 1024, 4096):
            if (name, n) == ("nt_xent", 4096):
                continue  # 8192 × 8192 similarities take seconds
            za = RNG.normal(size=(n, width)).astype("float32")
            zb = za + 0.5 * RNG.normal(size=za.shape).astype("float32")
            sides = {"kit": _differentiated(getattr(pretraining, name), za, zb, calls)}
            sides = with_torch(sides, "loss", name, za, zb, calls)
            if "lightly" not in MISSING:
                sides["lightly"] = in_torch.loss(name, za, zb, calls, lightly=True)
            yield Row(f"loss {name}, n = {n}", sides, calls)


def _differentiated(loss, za, zb, calls):
    @tf.function
    def value_and_gradient(a, b):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            value = loss(a, b)
        return value, [each for each in tape.gradient(value, [a, b]) if each is not None]

    a, b = tf.constant(za), tf.constant(zb)

    def run():
        for _ in range(calls):
            value, gradients = value_and_gradient(a, b)
        return float(value + gradients[0][0, 0])

    return run


def second_fit():
    """From the call of a further `fit` to the begin of its first epoch and back, without its steps."""
    x, y = images(1280)
    model = finetune(networks.mlp((64,), num_classes=None, input_shape=(784,)), 10)
    theirs = keras.Sequential(
        [keras.Input((784,)), keras.layers.Dense(64, "sigmoid"), keras.layers.Dense(10)]
    )
    theirs.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    sides = {
        "kit": lambda: model.fit(x, y, batch_size=128, verbose=0),
        "keras": lambda: theirs.fit(x, y, batch_size=128, verbose=0),
    }
    yield Row("a further fit of ten small steps", sides)


ROWS = {
    "mlp": mlp,
    "updates": updates,
    "rbm": rbm,
    "denoising": denoising,
    "masked": masked,
    "xla": xla,
    "losses": losses,
    "second_fit": second_fit,
}
