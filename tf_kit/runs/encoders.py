"""Encoders by kind and sizes: multilayer perceptron, convolutional network, vision transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tf_kit import networks, regularization
from tf_kit.checks import choice, refuse
from tf_kit.networks.transformer import PatchEncoder
from tf_kit.options import flag_of
from tf_kit.pretraining import methods


def encoder_options(
    name: str, kind: str | None, shape: Sequence[int], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Choose the kind and the sizes of the encoder for a method and images of one shape.

    Args:
        name: name of the method.
        kind: `"mlp"`, `"cnn"`, `"vit"`, or None for the default of the method.
        shape: shape of one example.
        given: sizes by name, fields of `EncoderOptions`; None means the default.

    Returns:
        `kind` and all sizes of this kind, arguments of `make_encoder`.

    Raises:
        InputError: the method does not support the kind, or the kind does not have one of the sizes.
    """
    method = methods.find(name)
    kind = method.encoders[0] if kind is None else choice("pretrain.encoder", kind, tuple(methods.SIZES)[:3])
    if kind not in method.encoders:
        refuse("pretrain.encoder", f"be {' or '.join(method.encoders)} for {name}", f"encoder={kind!r}")
    if kind != "mlp" and len(shape) != 3:
        takes_mlp = "mlp" in method.encoders
        received = f"examples of shape {tuple(shape)}"
        refuse(
            "pretrain.encoder",
            f"be mlp for examples that are not images, which {kind} needs",
            received,
            'Set encoder="mlp"' if takes_mlp else "Choose a method that supports mlp",
            typed_remedy="Set --encoder mlp" if takes_mlp else "Choose a method that supports mlp",
        )
    chosen = usual_sizes(kind, shape, "sigmoid" if method.greedy else "relu")
    given = {size: value for size, value in given.items() if value is not None}
    checked = methods.EncoderOptions(**given)
    for size in given:
        if size not in chosen:
            owners = ", ".join(each for each, sizes in methods.SIZES.items() if size in sizes)
            received = f"{size}={given[size]!r}"
            flag = flag_of(size)
            refuse(
                f"pretrain.{size}", f"be left out for {kind}", received, f"It belongs to {owners}", flag=flag
            )
        chosen[size] = getattr(checked, size)
    return {"kind": kind, **chosen}


def usual_sizes(kind: str, shape: Sequence[int], activation: str = "relu") -> dict[str, Any]:
    """Return sizes of an encoder with which a small data set trains within a minute.

    Args:
        kind: `"mlp"`, `"cnn"` or `"vit"`.
        shape: shape of one example.
        activation: activation of the hidden layers. Defaults to `"relu"`.

    Returns:
        Sizes by name, arguments of `make_encoder`.

    Example:
        >>> usual_sizes("cnn", (28, 28, 1))["filters"], usual_sizes("vit", (28, 28, 1))["patch_size"]
        ((16, 32, 64), 4)
    """
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
        kind: `"mlp"`, `"cnn"` or `"vit"`.
        seed: seed of the initial weights. Defaults to 0.
        **sizes: sizes of this kind, see `encoder_options`.
    """
    if kind == "vit":
        encoder = PatchEncoder(**sizes, seed=seed, name="encoder")
        encoder.build((None, *shape))
        return encoder
    if kind == "cnn":
        return networks.cnn(
            num_classes=None,
            normalization=lambda: regularization.BatchNorm(momentum=0.9),  # adapts within a few hundred steps
            input_shape=shape,
            seed=seed,
            **sizes,
        )
    return networks.mlp(num_classes=None, input_shape=shape, seed=seed, **sizes)
