"""Training of an encoder by a method's name: the views, the pretrainer, the optimizer, and the training itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tf_kit import optimizers, regularization
from tf_kit.checks import choice, refuse
from tf_kit.pretraining import RBM, Pretrainer, pretrain_greedily
from tf_kit.pretraining.methods import METHODS, ViewOptions, find
from tf_kit.typing import ArrayLike

__all__ = ["METHODS", "augmentation", "find", "make_pretrainer", "optimizer_of", "train"]


def augmentation(name: str, shape: Sequence[int], wanted: str | None = None) -> Any:
    """Augmentation that makes the views of a data set's images: a preset of `regularization.preset`, or None.

    Args:
        name: name of the data set, by which clothes and characters are told apart.
        shape: shape of one image.
        wanted: name of a preset, or "none". None chooses: images of three channels are photographs, clothes have
            "fashion" in their name, and everything else is treated as characters, which a flip turns into others.
    """
    if wanted is None:
        if len(shape) != 3:
            received, remedy = f"examples of shape {tuple(shape)}", 'augment="none"'
            typed = "--augment none"
            refuse(
                "pretrain.augment",
                "be none for examples that are not images",
                received,
                remedy,
                typed_remedy=typed,
            )
        wanted = "natural" if shape[-1] == 3 else "fashion" if "fashion" in name else "digits"
    choice("pretrain.augment", wanted, ViewOptions.__dataclass_fields__["augment"].metadata["choices"])
    return None if wanted == "none" else regularization.preset(wanted, strong=True)


def make_pretrainer(
    name: str, encoder: keras.layers.Layer, options: Mapping[str, Any], augment: Any = None, seed: int = 0
) -> Pretrainer:
    """Make the pretrainer of a method that trains the encoder as a whole."""
    method = find(name)
    views = {"augment": augment} if method.views else {}
    return method.kind(encoder, seed=seed, **views, **options)


def optimizer_of(
    kind: type, learning_rate: float, num_steps: int | None = None, jit_update: bool = False
) -> keras.optimizers.Optimizer:
    """Make the optimizer of a method: momentum 0.9 for RBMs (Hinton 2010, section 9), Adam for the others.

    Args:
        kind: class of the pretrainer.
        learning_rate: constant for a layer of greedy pretraining.
        num_steps: steps over which the rate falls to zero by a cosine, for the methods that train a whole
            encoder. None keeps it constant.
        jit_update: whether Adam's update is compiled.
    """
    if kind is RBM:
        return optimizers.Momentum(learning_rate, momentum=0.9)
    if num_steps is not None:
        learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    return optimizers.Adam(learning_rate, jit_update=jit_update)


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
    jit_update: bool = False,
    num_examples: int | None = None,
    **fit_arguments: Any,
) -> list[Pretrainer]:
    """Pretrain `encoder` in place by the method `name`.

    Args:
        name: method.
        encoder: encoder of a kind that the method takes.
        x: examples (n, …); or a function `(first_epoch, epochs, seed)` that streams them, each epoch in its own order.
        y: labels, for `supervised`.
        epochs, batch_size, learning_rate: of the training, for a greedy method of each layer.
        options: arguments of the method's class.
        fit: `Run.fit`, or a function with its signature.
        augment: augmentation that makes views.
        seed: seed of all that is random.
        jit_update: whether Adam's update of all weights is compiled.
        num_examples: n, where the examples are streamed.
        **fit_arguments: more arguments of `fit`, for a method that trains the encoder as a whole.

    Returns:
        The trained pretrainers: one for each layer for greedy methods, else one.
    """
    method = find(name)
    steps = math.ceil((num_examples if callable(x) else len(x)) / batch_size)
    if method.greedy:
        return pretrain_greedily(
            encoder,
            x,
            y if method.supervised else None,
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
    examples = functools.partial(x, seed=seed) if callable(x) else x
    fit(model, examples, stage="pretraining", epochs=epochs, **portion, **fit_arguments)
    return [model]
