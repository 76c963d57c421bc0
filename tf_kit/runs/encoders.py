"""Encoders by kind and sizes: networks of the kit, of `keras.applications`, and Keras files."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from tf_kit import networks, regularization
from tf_kit.checks import refuse
from tf_kit.networks.inspection import all_layers
from tf_kit.networks.resnet import SMALLEST
from tf_kit.networks.transformer import PatchEncoder
from tf_kit.options import flag_of
from tf_kit.pretraining.methods import find
from tf_kit.pretraining.run_options import FILE, KERAS, SIZES, EncoderOptions, family_of
from tf_kit.runs.files import checksum
from tf_kit.runs.keras_file import why_unreadable

MOMENTUM = 0.9  # of batch normalization, which then adapts within a few hundred steps


def encoder_options(
    name: str, kind: str | None, shape: Sequence[int], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Choose the kind and the sizes of the encoder for a method and images of one shape.

    Args:
        name: name of the method.
        kind: `"mlp"`, `"cnn"`, `"vit"`, `"resnet18"`, `"resnet50"`, `"keras:NAME"` for a model of `keras.applications`,
            the path of a Keras file, or None for the default of the method.
        shape: shape of one example.
        given: sizes by name, fields of `EncoderOptions`; None means the default.

    Returns:
        `kind` and all sizes of this kind, arguments of `make_encoder`.

    Raises:
        InputError: the method does not support the kind, or the kind does not have one of the sizes.
    """
    method = find(name)
    kind = method.encoders[0] if kind is None else str(kind)
    family = family_of(kind)
    if family not in method.encoders:
        near = difflib.get_close_matches(kind, method.encoders, n=1)
        remedy = f"The nearest name is {near[0]}" if near else ""
        refuse(
            "pretrain.encoder", f"be {' or '.join(method.encoders)} for {name}", f"encoder={kind!r}", remedy
        )
    if kind != "mlp" and len(shape) != 3:
        received = f"examples of shape {tuple(shape)}"
        if "mlp" not in method.encoders:
            remedy = "Choose a method whose encoder can be mlp, such as masked"
            refuse("pretrain.name", f"be images for {name}", received, remedy, flag="--data")
        refuse(
            "pretrain.encoder",
            f"be mlp for examples that are not images, which {kind} needs",
            received,
            'Set encoder="mlp"',
            typed_remedy="Set --encoder mlp",
        )
    chosen = usual_sizes(kind, shape, "sigmoid" if method.greedy else "relu")
    given = {size: value for size, value in given.items() if value is not None}
    checked = EncoderOptions(**given)
    for size in given:
        if size not in chosen:
            owners = ", ".join(each for each, sizes in SIZES.items() if size in sizes)
            received = f"{size}={given[size]!r}"
            flag = flag_of(size)
            refuse(
                f"pretrain.{size}", f"be left out for {kind}", received, f"It belongs to {owners}", flag=flag
            )
        chosen[size] = getattr(checked, size)
    if family == FILE:
        path = _existing(kind)
        return {"kind": str(path), "contents": checksum(path)}
    if family == KERAS:
        kind = KERAS.replace("NAME", _name_of_application(kind))
    return {"kind": kind, **chosen}


def usual_sizes(kind: str, shape: Sequence[int], activation: str = "relu") -> dict[str, Any]:
    """Return sizes of an encoder with which a small data set trains within a minute.

    Args:
        kind: kind of encoder.
        shape: shape of one example.
        activation: activation of the hidden layers. Defaults to `"relu"`.

    Returns:
        Sizes by name, arguments of `make_encoder`.

    Example:
        >>> usual_sizes("cnn", (28, 28, 1))["filters"], usual_sizes("vit", (28, 28, 1))["patch_size"]
        ((16, 32, 64), 4)
    """
    if not SIZES[family_of(kind)]:
        return {}
    if kind == "mlp":
        return {"units": (200, 200, 200), "activation": activation}
    height, width = shape[:2]
    if kind == "cnn":
        layers = max(2, math.ceil(math.log2(min(height, width) / 4)))  # down to about 4 × 4 places
        filters = tuple(min(16 * 2**i, 128) for i in range(layers))
        return {"filters": filters, "units": (128,), "activation": activation}
    side, most = math.gcd(height, width), max(2, min(height, width) // 7)  # about 7 × 7 patches
    patch = max(size for size in range(1, most + 1) if side % size == 0)
    return {"patch_size": patch, "width": 64, "depth": 2}


def make_encoder(shape: Sequence[int], kind: str, seed: int = 0, **sizes: Any) -> keras.Model:
    """Make an encoder.

    Args:
        shape: shape of one example.
        kind: as `encoder_options` returns it.
        seed: seed of the initial weights; those of a Keras file are its own. Defaults to 0.
        **sizes: sizes of this kind, see `encoder_options`.

    Raises:
        InputError: the images are too small for the kind, or a file does not hold an encoder of such images.
    """
    family = family_of(kind)
    if family == FILE:
        return _loaded(Path(kind), shape, **sizes)
    if family == KERAS:
        return _application(kind.partition(":")[2], shape, seed)
    if kind == "vit":
        encoder = PatchEncoder(**sizes, seed=seed, name="encoder")
        encoder.build((None, *shape))
        return encoder
    if kind == "mlp":
        return networks.mlp(num_classes=None, input_shape=shape, seed=seed, **sizes)
    arguments: dict[str, Any] = {
        "num_classes": None,
        "normalization": _batch_norm,
        "input_shape": shape,
        "seed": seed,
    }
    if kind == "cnn":
        return networks.cnn(**arguments, **sizes)
    if min(shape[:2]) < SMALLEST:
        _refuse_size(shape, f"{kind}, which needs at least {SMALLEST} pixels per side")
    return networks.resnet(int(kind.removeprefix("resnet")), **arguments)


def _batch_norm():
    return regularization.BatchNorm(momentum=MOMENTUM)


# Models of keras.applications


def _name_of_application(kind: str) -> str:
    """Return the name in `keras:NAME`; refuse it unless `keras.applications` has the model."""
    name = kind.partition(":")[2]
    known = [each for each in dir(keras.applications) if each[0].isupper()]
    if name in known:
        return name
    if ":" in name:
        refuse(
            "pretrain.encoder",
            "be keras:NAME, a model with random weights",
            f"encoder={kind!r}",
            "To start from weights of yours, save an encoder that has them, and the scaling they need, as a Keras file "
            "(model.save), and give its path",
        )
    by_letters = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_letters, n=1, cutoff=0.5)
    remedy = f"The nearest name is keras:{by_letters[near[0]]}" if near else f"They are {', '.join(known)}"
    refuse("pretrain.encoder", "name a model of keras.applications", f"encoder={kind!r}", remedy)


def _application(name: str, shape: Sequence[int], seed: int) -> keras.Model:
    """Make a model of `keras.applications` without its classifier: random weights, features averaged over places.

    Images have values in [0, 1] here; a model that divides by 255 itself gets them multiplied by 255. Its batch
    normalization adapts as fast as that of `networks.cnn`, and sees the global batch on replicas.
    """
    make = getattr(keras.applications, name)
    usual = (
        {"include_preprocessing": False}
        if "include_preprocessing" in inspect.signature(make).parameters
        else {}
    )
    with drawing_from(seed):
        try:
            model = make(include_top=False, weights=None, pooling="avg", input_shape=tuple(shape), **usual)
        except ValueError as error:
            reason = str(error).splitlines()[0].partition("; Received")[0].rstrip(".")
            _refuse_size(shape, f"keras:{name}: {reason}")
    layers = all_layers(model)
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum, layer.synchronized = MOMENTUM, True
    if not any(isinstance(layer, keras.layers.Rescaling) for layer in layers):
        return model
    inputs = keras.Input(tuple(shape))
    return keras.Model(inputs, model(keras.layers.Rescaling(255.0)(inputs)), name="encoder")


def _refuse_size(shape, received):
    """Refuse an encoder for images of a shape that it does not accept, and name one that does."""
    small = min(shape[:2]) < SMALLEST
    least = f"needs at least {SMALLEST} pixels per side"
    other, reason = ("cnn", "accepts any size") if small else ("resnet18", least)
    refuse(
        "pretrain.encoder",
        f"accept images of {'×'.join(map(str, shape))}",
        received,
        f'Set image_size for a folder of images, or encoder="{other}", which {reason}',
        typed_remedy=f"Set --image-size for a folder of images, or --encoder {other}, which {reason}",
    )


@contextlib.contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Within this context, initializers without a seed draw from `seed`."""
    drawn = random.getstate()
    random.seed(seed)  # Keras draws the seed of an initializer without one from it
    try:
        yield
    finally:
        random.setstate(drawn)


# Keras files


def _existing(kind: str) -> Path:
    path = Path(kind).expanduser().resolve()
    if not path.is_file():
        refuse("pretrain.encoder", "be an existing file", f"encoder={kind!r}", "model.save(path) writes one")
    return path


def _loaded(path: Path, shape: Sequence[int], contents: str | None = None) -> keras.Model:
    """Load the encoder of a Keras file; refuse it unless it maps images of this shape to vectors."""
    path = _existing(str(path))
    subject = "pretrain.encoder"
    if contents not in (None, checksum(path)):
        refuse(
            subject, "be the file that the run began with", f"{path}, which has changed", "Start a new run"
        )
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises many kinds for a damaged file and for an unknown class
        received = f"{path}: {why_unreadable(path, error)}"
        remedy = 'Write it again with model.save("….keras"); register its classes with keras.saving'
        refuse(subject, "be a Keras file that loads after `import tf_kit`", received, remedy)
    if isinstance(getattr(model, "encoder", None), keras.Model):  # a classifier or pretrainer of the kit
        remedy = 'keras.models.load_model(path).encoder.save("encoder.keras") writes its encoder'
        typed_remedy = "`--encoder` takes encoder.keras of a pretraining"
        received = f"{path}, a {type(model).__name__} with more than an encoder"
        refuse(subject, "hold an encoder alone", received, remedy, typed_remedy=typed_remedy)
    takes, gives = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not isinstance(takes, tuple) or not _fits(takes[1:], shape):
        refuse(subject, f"accept examples of shape {tuple(shape)}", f"{path}, which accepts {takes}")
    if not isinstance(gives, tuple) or len(gives) != 2 or gives[1] is None:
        remedy = "End it with a pooling layer or Flatten"
        refuse(subject, "map each example to one vector", f"{path}, whose output is {gives}", remedy)
    last = model.layers[-1] if getattr(model, "layers", None) else model
    if getattr(last, "activation", None) is keras.activations.softmax or isinstance(
        last, keras.layers.Softmax
    ):
        refuse(
            subject,
            "end in a representation",
            f"{path}, whose last layer {last.name!r} returns probabilities of classes",
            "Save the model without it: keras.Model(model.inputs, model.layers[-2].output).save(path)",
        )
    if None not in takes[1:]:
        return model
    inputs = keras.Input(tuple(shape))  # fine-tuning and all later uses take the shape from the encoder
    return keras.Model(inputs, model(inputs), name="encoder")


def _fits(takes: Sequence[int | None], shape: Sequence[int]) -> bool:
    """Return whether a model that takes examples of a shape, None for any number, takes those of `shape`."""
    return len(takes) == len(shape) and all(a in (None, b) for a, b in zip(takes, shape, strict=True))
