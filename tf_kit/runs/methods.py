"""Training of an encoder by the name of a method: views, pretrainer, optimizer, and the training itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_kit import optimizers, regularization
from tf_kit.checks import choice, refuse
from tf_kit.pretraining import RBM, Pretrainer, pretrain_greedily
from tf_kit.pretraining.methods import METHODS, find
from tf_kit.pretraining.run_options import ViewOptions
from tf_kit.typing import ArrayLike

__all__ = ["METHODS", "augmentation", "find", "make_pretrainer", "optimizer_of", "train"]

STEPS_FOR_XLA = 5000


def augmentation(name: str, shape: Sequence[int], wanted: str | None = None) -> Any:
    """Return the augmentation that makes the views of a data set's images.

    Args:
        name: name of the data set.
        shape: shape of one image.
        wanted: name of a preset of `regularization.preset`, or `"none"`. None chooses: "natural" for images of three
            channels, "fashion" for a data set with "fashion" in its name, and otherwise "digits", which flips no
            images because a flip can turn one character into another. Defaults to None.

    Returns:
        The augmentation, or None for `"none"`.
    """
    if wanted is None:
        if len(shape) != 3:
            refuse(
                "pretrain.augment",
                "be 'none' for examples that are not images",
                f"examples of shape {tuple(shape)}",
                'Set augment="none"',
                typed_remedy="Set --augment none",
            )
        wanted = "natural" if shape[-1] == 3 else "fashion" if "fashion" in name else "digits"
    choice("pretrain.augment", wanted, ViewOptions.__dataclass_fields__["augment"].metadata["choices"])
    return None if wanted == "none" else regularization.preset(wanted, strong=True)


def make_pretrainer(
    name: str, encoder: keras.layers.Layer, options: Mapping[str, Any], augment: Any = None, seed: int = 0
) -> Pretrainer:
    """Make the pretrainer of a method that trains the encoder as a whole.

    Args:
        name: name of the method.
        encoder: encoder to train.
        options: the method's own options, see `pretraining.methods.own_options`.
        augment: augmentation that makes the views, for a method that needs them. Defaults to None.
        seed: seed of all random numbers. Defaults to 0.
    """
    method = find(name)
    views = {"augment": augment} if method.views else {}
    return method.kind(encoder, seed=seed, **views, **options)


def optimizer_of(
    kind: type, learning_rate: float, num_steps: int | None = None
) -> keras.optimizers.Optimizer:
    """Make the optimizer of a method: momentum 0.9 for RBMs (Hinton 2010, section 9), Adam for the others.

    Args:
        kind: class of the pretrainer.
        learning_rate: initial learning rate.
        num_steps: number of steps over which the rate of Adam falls to zero by a cosine. None keeps it constant, as in
            greedy pretraining. Defaults to None.
    """
    if kind is RBM:
        return optimizers.Momentum(learning_rate, momentum=0.9)
    if num_steps is not None:
        learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    return optimizers.Adam(learning_rate)


def is_compiled(name: str, num_steps: int) -> bool:
    """Return whether XLA compiles the steps of a method, which takes as long as one or two thousand of them.

    It does for a method that it makes faster, in a training of at least `STEPS_FOR_XLA` steps, on one device without
    GPUs. The result is the same up to rounding, and decided by the options of a run alone, so that it resumes exactly.

    Args:
        name: name of the method.
        num_steps: steps of the whole training.

    Example:
        >>> is_compiled("mae", 10), is_compiled("simclr", 10**6)
        (False, False)
    """
    if tf.distribute.has_strategy() or tf.config.list_logical_devices("GPU"):
        return False
    return find(name).faster_by_xla and num_steps >= STEPS_FOR_XLA


def train(
    name: str,
    encoder: keras.layers.Layer,
    x: ArrayLike | Callable,
    y: ArrayLike | None = None,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    options: Mapping[str, Any],
    fit: Callable,
    augment: Any = None,
    seed: int = 0,
    num_examples: int | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    **fit_arguments: Any,
) -> list[Pretrainer]:
    """Pretrain `encoder` in place by the method `name`.

    Args:
        name: name of the method.
        encoder: encoder of a kind that the method supports.
        x: examples (n, …); or a function `(first_epoch, epochs, seed)` that streams them, each epoch in a different
            order.
        y: labels, for `supervised` and `supcon`, which takes −1 for none. Defaults to None.
        epochs: passes over the examples; per layer for a greedy method.
        batch_size: examples per step.
        learning_rate: learning rate, see `optimizer_of`.
        options: arguments of the class of the method.
        fit: `Run.fit`, or a function with its signature.
        augment: augmentation that makes the views. Defaults to None.
        seed: seed of all random numbers. Defaults to 0.
        num_examples: number n of examples, if they are streamed.
        optimizer: optimizer in place of that of `optimizer_of`. Defaults to None.
        **fit_arguments: further arguments of `fit`, for a method that trains the encoder as a whole.

    Returns:
        The trained pretrainers: one per layer for a greedy method, otherwise one.
    """
    method = find(name)
    n = num_examples if callable(x) else len(x)
    assert n is not None  # a stream is given with its number of examples
    steps = math.ceil(n / batch_size)
    if method.greedy:
        return pretrain_greedily(
            encoder,
            x,
            y if method.supervised else None,
            block=method.kind,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer or optimizer_of(method.kind, learning_rate),
            seed=seed,
            fit=fit,
            steps_per_epoch=steps if callable(x) else None,
            **options,
        )
    model = make_pretrainer(name, encoder, options, augment, seed)
    model.compile(
        optimizer=optimizer or optimizer_of(method.kind, learning_rate, epochs * steps),
        jit_compile=is_compiled(name, epochs * steps),
    )
    portion = {"steps_per_epoch": steps} if callable(x) else {"batch_size": batch_size}
    examples = functools.partial(x, seed=seed) if callable(x) else x
    labels = y if method.labels == "optional" else None
    fit(model, examples, labels, stage="pretraining", epochs=epochs, **portion, **fit_arguments)
    return [model]
