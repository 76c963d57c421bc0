"""Encoders by kind and sizes, as runs make them: multilayer perceptron, convolutional network, vision transformer."""

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
        name: method.
        kind: "mlp", "cnn", "vit", or None for the method's usual one.
        shape: shape of one example.
        given: sizes that were asked for, fields of `EncoderOptions`; None where the kit may choose.

    Returns:
        `kind` and all sizes of that kind, for `make_encoder`.

    Raises:
        InputError: for a kind that the method does not take, or a size that the kind does not have.
    """
    method = methods.find(name)
    kind = method.encoders[0] if kind is None else choice("pretrain.encoder", kind, tuple(methods.SIZES)[:3])
    if kind not in method.encoders:
        refuse("pretrain.encoder", f"be {' or '.join(method.encoders)} for {name}", f"encoder={kind!r}")
    if kind != "mlp" and len(shape) != 3:
        received = f"examples of shape {tuple(shape)}"
        refuse(
            "pretrain.encoder",
            f"be mlp for examples that are not images, which {kind} needs",
            received,
            'encoder="mlp"',
            typed_remedy="--encoder mlp" if "mlp" in method.encoders else "Choose a method that takes mlp",
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
    """Sizes of an encoder with which a small data set trains within a minute, for `make_encoder`.

    Example:
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


def make_encoder(shape: Sequence[int], kind: str, seed: int = 0, **sizes: Any) -> keras.Model:
    """Make an encoder for examples of a shape, with the sizes of `encoder_options`."""
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
