"""The pretraining methods of the kit by name: the encoders each takes, its settings, and how it trains one."""

import dataclasses
import functools
import math

import keras

from tf_kit import networks, optimizers, regularization
from tf_kit.checks import choice, refuse
from tf_kit.pretraining import (
    BYOL,
    RBM,
    Autoencoder,
    BarlowTwins,
    DenoisingAutoencoder,
    MaskedAutoencoder,
    MaskedVectors,
    PatchEncoder,
    SimCLR,
    Supervised,
    VICReg,
    pretrain_greedily,
)

AUGMENTATIONS = ("none", "digits", "fashion", "natural")
ARCHITECTURES = {
    "mlp": ("units", "activation"),
    "cnn": ("filters", "units", "activation"),
    "vit": ("patch_size", "width", "depth"),
}
SIZES = sorted({size for sizes in ARCHITECTURES.values() for size in sizes})


@dataclasses.dataclass(frozen=True)
class Method:
    """One way to pretrain an encoder.

    Attributes:
        title: name in tables and figures.
        kind: class of `tf_kit.pretraining` that does it.
        encoders: kinds of encoder it takes, the usual one first.
        greedy: whether it goes layer by layer.
        views: whether it learns from two augmented views.
        options: its own arguments, each with the value the kit starts from.
        epochs, batch_size, learning_rate: for a data set of a thousand images; a greedy method spends its epochs
            on each layer. The rate is Adam's, for RBMs that of momentum 0.9.
    """

    title: str
    kind: type
    encoders: tuple
    greedy: bool = False
    views: bool = False
    options: dict = dataclasses.field(default_factory=dict)
    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 0.002


_DENSE, _ANY = ("mlp",), ("cnn", "vit", "mlp")
_LAYERS = {"encoders": _DENSE, "greedy": True, "epochs": 20, "batch_size": 32}
_VIEWS = {"encoders": _ANY, "views": True}
METHODS = {
    "autoencoder": Method("autoencoders", Autoencoder, learning_rate=0.001, **_LAYERS),
    "denoising": Method(
        "denoising autoencoders", DenoisingAutoencoder, options={"rate": 0.25}, learning_rate=0.001, **_LAYERS
    ),
    "rbm": Method(
        "RBMs",
        RBM,
        options={"gibbs_steps": 1, "persistent": False},
        learning_rate=0.05,
        **_LAYERS,
    ),
    "supervised": Method("supervised layers", Supervised, learning_rate=0.001, **_LAYERS),
    "simclr": Method("SimCLR", SimCLR, options={"temperature": 0.2}, **_VIEWS),
    "byol": Method("BYOL", BYOL, options={"momentum": 0.99}, **_VIEWS),
    "barlow": Method("Barlow Twins", BarlowTwins, options={"redundancy_weight": 0.005}, **_VIEWS),
    "vicreg": Method("VICReg", VICReg, options={"variance_weight": 25.0}, **_VIEWS),
    "mae": Method(
        "masked autoencoder",
        MaskedAutoencoder,
        ("vit",),
        options={"mask_ratio": 0.6},
        epochs=60,
        batch_size=64,
        learning_rate=0.002,
    ),
    "masked": Method(
        "masked vectors",
        MaskedVectors,
        _DENSE,
        options={"mask_ratio": 0.5},
        batch_size=64,
        learning_rate=0.001,
    ),
}


def find(name):
    """The `Method` of a name, or `InputError`."""
    return METHODS[choice("pretrain.method", name, tuple(METHODS), "tokens takes text")]


def options_of(name, given):
    """The method's own options with those of `given` that are not None; refuses what belongs to other methods.

    >>> options_of("simclr", {"temperature": 0.5, "rate": None})
    {'temperature': 0.5}
    """
    method = find(name)
    given = {option: value for option, value in given.items() if value is not None}
    for option in given:
        if option not in method.options:
            takers = ", ".join(each for each, other in METHODS.items() if option in other.options)
            _refuse_option(option, f"method {name}", takers)
    return method.options | given


def encoder_options(name, kind, shape, given):
    """Kind of encoder and its architecture for a method and images of a shape.

    Args:
        name: method.
        kind: "mlp", "cnn", "vit", or None for the method's usual one.
        shape: of one example.
        given: sizes asked for: `units`, `activation`, `filters`, `patch_size`, `width`, `depth`; None where the
            kit may choose.

    Returns:
        A dictionary, `kind` and all sizes of that kind, for `make_encoder`.
    """
    method = find(name)
    kind = method.encoders[0] if kind is None else kind
    choice("pretrain.encoder", kind, tuple(ARCHITECTURES))
    if kind not in method.encoders:
        refuse(
            "pretrain.encoder", f"be {' or '.join(method.encoders)} for {name}", f"encoder={kind!r}"
        )
    if kind != "mlp" and len(shape) != 3:
        received = f"examples of shape {tuple(shape)}"
        refuse("pretrain.encoder", f"be given images where it is {kind}", received, "--encoder mlp")
    chosen = usual_sizes(kind, shape, "sigmoid" if method.greedy else "relu")
    for option, value in given.items():
        if value is None:
            continue
        if option not in chosen:
            _refuse_option(
                option, f"a {kind}", ", ".join(k for k, own in ARCHITECTURES.items() if option in own)
            )
        chosen[option] = value
    return {"kind": kind, **chosen}


def _refuse_option(option, subject, takers):
    flag = "--" + option.replace("_", "-")
    refuse(flag, f"be left out for {subject}", f"{flag}", f"It belongs to {takers}")


def usual_sizes(kind, shape, activation="relu"):
    """Sizes of an encoder with which a small data set trains within a minute, for `make_encoder`.

    >>> usual_sizes("cnn", (28, 28, 1))["filters"], usual_sizes("vit", (28, 28, 1))["patch_size"]
    ((16, 32, 64), 4)
    """
    if kind == "mlp":
        return {"units": (200, 200, 200), "activation": activation}
    height, width = shape[:2]
    if kind == "cnn":
        layers = max(2, math.ceil(math.log2(min(height, width) / 4)))  # until about 4 × 4 places are left
        filters = tuple(min(16 * 2**i, 128) for i in range(layers))
        return {"filters": filters, "units": (128,), "activation": activation}
    side, most = math.gcd(height, width), max(2, min(height, width) // 7)  # about 7 × 7 patches
    patch = max(size for size in range(1, most + 1) if side % size == 0)
    return {"patch_size": patch, "width": 64, "depth": 2}


def make_encoder(shape, kind, seed=0, **sizes):
    """A new encoder for examples of a shape, with the sizes of `encoder_options`."""
    if kind == "vit":
        encoder = PatchEncoder(**sizes, seed=seed, name="encoder")
        encoder.build((None, *shape))
        return encoder
    if kind == "cnn":
        return networks.cnn(
            num_classes=None,
            normalization=lambda: regularization.BatchNorm(momentum=0.9),  # a few hundred steps must do
            input_shape=shape,
            seed=seed,
            **sizes,
        )
    return networks.mlp(num_classes=None, input_shape=shape, seed=seed, **sizes)


def augmentation(name, shape, wanted=None):
    """What makes the views of the images of a data set: a preset of `regularization.preset`, or None.

    Args:
        name: of the data set, which says whether clothes or characters are seen.
        shape: of one image.
        wanted: one of `AUGMENTATIONS`; None chooses: photographs are of three channels, clothes have "fashion" in
            their name, and everything else is treated as characters, which no flip leaves what they are.
    """
    if wanted is None:
        if len(shape) != 3:
            refuse(
                "--augment", "be none for examples that are no images", f"examples of shape {shape}"
            )
        wanted = "natural" if shape[-1] == 3 else "fashion" if "fashion" in name else "digits"
    choice("pretrain.augment", wanted, AUGMENTATIONS)
    return None if wanted == "none" else regularization.preset(wanted, strong=True)


def make_pretrainer(name, encoder, options, augment=None, seed=0):
    """The pretrainer of a method that trains the encoder as a whole."""
    method = find(name)
    views = {"augment": augment} if method.views else {}
    return method.kind(encoder, seed=seed, **views, **options)


def optimizer_of(kind, learning_rate, num_steps=None, jit_update=False):
    """What trains a method: momentum 0.9 for RBMs, as Hinton 2010 (section 9) ends with; Adam for the others.

    Args:
        kind: class of the pretrainer.
        learning_rate: constant for a layer of greedy pretraining.
        num_steps: steps over which the rate falls to zero by a cosine, for the methods that train a whole
            encoder. None keeps it.
        jit_update: whether Adam's update is compiled.
    """
    if kind is RBM:
        return optimizers.Momentum(learning_rate, momentum=0.9)
    if num_steps is not None:
        learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    return optimizers.Adam(learning_rate, jit_update=jit_update)


def train(
    name,
    encoder,
    x,
    y=None,
    *,
    epochs,
    batch_size,
    learning_rate,
    options,
    fit,
    augment=None,
    seed=0,
    jit_update=False,
    num_examples=None,
):
    """Pretrains `encoder` in place by the method `name`.

    Args:
        name: method.
        encoder: of a kind that the method takes.
        x: examples (n, …); or a function `(first_epoch, epochs, seed)` that streams them, each epoch in an order of its
            own.
        y: their labels, for `supervised`.
        epochs, batch_size, learning_rate: of the training, for a greedy method of each layer.
        options: the method's own arguments, of `options_of`.
        fit: `Run.fit`, or a function of its signature.
        augment: what makes views.
        seed: of all that is random.
        jit_update: whether Adam's update of all weights is compiled.
        num_examples: n, where they are streamed.

    Returns:
        The trained pretrainers: one a layer for greedy methods, or one.
    """
    method = find(name)
    steps = math.ceil((num_examples if callable(x) else len(x)) / batch_size)
    if method.greedy:
        return pretrain_greedily(
            encoder,
            x,
            y if method.kind is Supervised else None,
            block=method.kind,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer_of(method.kind, learning_rate, jit_update=jit_update),
            seed=seed,
            fit=fit,
            steps_per_epoch=steps if callable(x) else None,
            **options,
        )
    model = make_pretrainer(name, encoder, options, augment, seed)
    model.compile(optimizer=optimizer_of(method.kind, learning_rate, epochs * steps, jit_update))
    portion = {"steps_per_epoch": steps} if callable(x) else {"batch_size": batch_size}
    shown = functools.partial(x, seed=seed) if callable(x) else x
    fit(model, shown, stage="pretraining", epochs=epochs, **portion)
    return [model]
