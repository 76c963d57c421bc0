"""Greedy layer-wise pretraining: one layer at a time, each on the outputs of the layers below."""

import contextlib
import functools
import inspect
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_kit.checks import count, refuse
from tf_kit.networks.inspection import build_on
from tf_kit.networks.stages import dense_stages
from tf_kit.pretraining.autoencoder import DenoisingAutoencoder
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.pretraining.rbm import RBM
from tf_kit.training.classifier import Classifier
from tf_kit.training.converted import converted
from tf_kit.training.inputs import check_arrays, check_data_set, first_examples, is_array
from tf_kit.training.representation import represent
from tf_kit.typing import ArrayLike, Dataset


@keras.saving.register_keras_serializable(package="tf_kit")
class Supervised(Classifier):
    """Supervised block of greedy pretraining: one layer with its own output layer, trained on labels.

    Afterwards the output layer is discarded, and the layer stays in the encoder.

    Reference: Bengio, Lamblin, Popovici, Larochelle, 2007, Greedy layer-wise training of deep networks, section 4.
    """


def pretrain_greedily(
    encoder: keras.layers.Layer,
    x: ArrayLike | Dataset | Callable[..., Dataset],
    y: ArrayLike | None = None,
    block: type[Pretrainer] | type[Classifier] = DenoisingAutoencoder,
    epochs: int | Sequence[int] = 10,
    batch_size: int = 128,
    optimizer: keras.optimizers.Optimizer | str | None = None,
    seed: int = 0,
    fit: Callable | None = None,
    steps_per_epoch: int | None = None,
    verbose: int = 0,
    **block_arguments: Any,
) -> list[Pretrainer | Classifier]:
    """Train the dense layers of `encoder` one after another, in place.

    With x⁰ = x and f_l the l-th dense layer with its activation, for l = 1 … L

        θ_l ← argmin over θ_l of the block's loss on x^{l−1}                             (1)
        x^l = f_l(x^{l−1}; θ_l)                                                          (2)

    where (2) is computed once for all examples, not again in every step. A block trains the layer of the encoder
    itself, not a copy; what it adds to the layer (decoder, visible bias, output layer) is returned with it. Works
    under the `tf.distribute` strategy in whose scope it is called. A last layer named `logits` (the head of
    `networks.mlp(…, num_classes=K)`) is not trained.

    Args:
        encoder: sequence of dense layers; built from `x` if it is not built yet.
        x: array (n, …), or `tf.data.Dataset` of batches (`(x, y)` pairs for `Supervised`). The output of each layer
            for a data set is kept in a temporary file, never in memory as a whole, so the examples come in the same
            order in every epoch; for an endless one (`repeat()`) the layers below are computed again in each step. Or
            a function `(first_epoch, epochs, seed)` that returns the data set of these epochs, in any order; the
            layers below are then computed again in each epoch.
        y: labels (n,), needed for `Supervised` only.
        block: `Autoencoder`, `DenoisingAutoencoder`, `RBM`, `Supervised`, or any `Pretrainer` class with arguments
            `encoder` and `seed`. Defaults to `DenoisingAutoencoder`.
        epochs: number of passes over the data per layer: one number, or one for each layer. Defaults to 10.
        batch_size: examples per step. Defaults to 128.
        optimizer: Keras optimizer; each layer is trained with a new copy of it. Defaults to None: stochastic gradient
            descent at 0.05 for `RBM`, Adam at 0.001 for the others.
        seed: whole number that fixes the training of all layers; layer l uses a seed derived from it. Defaults to 0.
        fit: function that is called as `fit(block, x, y, stage="layer 1", epochs=…, batch_size=…)` instead of
            `block.fit`. `Run.fit` makes the pretraining resumable, unless `x` is a data set.
        steps_per_epoch: batches per epoch, if `x` is a function or an endless data set.
        verbose: as in `keras.Model.fit`. Defaults to 0.
        **block_arguments: arguments of every block: `rate=0.25`, `gibbs_steps=1`, … `visible` of RBMs is that of the
            first layer; the visible units of the layers above are the hidden units below them, and so Bernoulli.

    Returns:
        List of the trained blocks, bottom first, each with its `.history`.

    Raises:
        InputError: the encoder has no dense layers, labels are missing for `Supervised`, or `epochs` does not have
            one number per layer.

    Example:
        >>> from tf_kit import data, networks
        >>> train, val, test = data.load("digits", seed=0)
        >>> encoder = networks.mlp((32, 16), num_classes=None, seed=0)
        >>> blocks = pretrain_greedily(encoder, train.x, epochs=2)
        >>> [block.encoder.layers[-2].units for block in blocks]
        [32, 16]

    Reference: Hinton, Osindero, Teh, 2006, A fast learning algorithm for deep belief nets,
    doi:10.1162/neco.2006.18.7.1527; Bengio, Lamblin, Popovici, Larochelle, 2007, Greedy layer-wise training of deep
    networks, algorithms 2 to 5.
    """
    stages = dense_stages(encoder)
    epochs_of_layer = _epochs_per_stage(epochs, len(stages))
    x = converted("pretrain_greedily.x", x)
    sample = x(0, 1, seed) if callable(x) else x
    _check_block(block, sample, y)
    _check_arguments(block, block_arguments)
    if is_array(x):
        x, y = check_arrays("pretrain_greedily", x, y)
        if steps_per_epoch is not None:
            requirement = "be left out for arrays, because an epoch uses every example once"
            refuse("pretrain_greedily.steps_per_epoch", requirement, f"steps_per_epoch={steps_per_epoch}")
    else:
        check_data_set("pretrain_greedily.x", sample, steps_per_epoch, "steps_per_epoch")
    if not encoder.built:
        first = x[:1] if is_array(x) else first_examples(sample)[0]
        build_on(encoder, (None, *first.shape[1:]))
    fresh = keras.optimizers.get(optimizer) if optimizer is not None else _default_optimizer(block)
    if issubclass(block, Supervised) and "num_classes" not in block_arguments:
        if not is_array(x) and _is_endless(sample):
            refuse("pretrain_greedily.num_classes", "be given with an endless data set", "num_classes=None")
        block_arguments["num_classes"] = _num_classes(sample, y)

    blocks = []
    keeps_files = isinstance(x, tf.data.Dataset) and not _is_endless(x)
    with _scratch_folder() if keeps_files else contextlib.nullcontext() as scratch:
        for depth, stage in enumerate(stages, start=1):
            part = keras.Sequential(stage.layers, name=f"stage_{depth}")
            trainer = block(
                encoder=part, seed=_stage_seed(seed, depth), **_of_layer(block, depth, block_arguments)
            )
            if isinstance(trainer, Pretrainer):
                trainer.on_representation = depth > 1
            trainer.compile(optimizer=type(fresh).from_config(fresh.get_config()))
            arguments: dict[str, Any] = {"epochs": epochs_of_layer[depth - 1], "verbose": verbose}
            if is_array(x):
                arguments["batch_size"] = batch_size
            else:
                arguments["steps_per_epoch"] = steps_per_epoch
            inputs = functools.partial(x, seed=trainer.seed) if callable(x) else x
            if fit is not None:
                fit(trainer, inputs, y, stage=f"layer {depth}", **arguments)
            else:
                trainer.fit(inputs(0, arguments["epochs"]) if callable(x) else x, y, **arguments)  # (1)
            blocks.append(trainer)
            if depth < len(stages):
                x = _above(part, x, scratch and Path(scratch) / f"layer-{depth}")  # (2)
    return blocks


def _is_endless(dataset):
    return bool(tf.data.experimental.cardinality(dataset) == tf.data.INFINITE_CARDINALITY)


def _scratch_folder():
    return tempfile.TemporaryDirectory(prefix="tf_kit-greedy-", ignore_cleanup_errors=True)


def _above(part, x, cache):
    """Compute the output of a part for x, in the same form: array, data set, or function that returns data sets."""
    if callable(x):
        return lambda first_epoch, epochs, seed: represent(part, x(first_epoch, epochs, seed))
    return represent(part, x, cache)


def _epochs_per_stage(epochs, num_stages):
    if np.ndim(epochs) == 0:
        return [count("pretrain_greedily.epochs", epochs)] * num_stages
    if len(epochs) != num_stages:
        refuse(
            "pretrain_greedily.epochs",
            f"be one number or {num_stages}, one for each layer",
            f"epochs={epochs!r}",
        )
    return [count("pretrain_greedily.epochs", each) for each in epochs]


def _check_block(block, x, y):
    takes_encoder = inspect.isclass(block) and "encoder" in inspect.signature(block.__init__).parameters
    if not takes_encoder:
        refuse(
            "pretrain_greedily.block",
            "be a class with an argument encoder: Autoencoder, DenoisingAutoencoder, RBM or Supervised",
            f"block={getattr(block, '__name__', block)!r}",
        )
    if not issubclass(block, Supervised):
        return
    if is_array(x) and y is None:
        refuse("pretrain_greedily.y", "hold the labels when block=Supervised", "y=None")
    if not is_array(x) and first_examples(x)[1] is None:
        refuse(
            "pretrain_greedily.x", "be a data set of (x, y) when block=Supervised", "batches without labels"
        )


def _check_arguments(block, given):
    """Refuse arguments of `fit` among those of a block."""
    own = inspect.signature(block.__init__).parameters
    names = inspect.signature(keras.Model.fit).parameters
    of_fit = [name for name in given if name in names and name not in own]
    if of_fit:
        name = of_fit[0]
        remedy = f"fit=lambda block, x, y, stage, **more: block.fit(x, y, {name}=…, **more) passes it on"
        requirement = "be given arguments of the blocks; those of `fit` differ from layer to layer"
        refuse("pretrain_greedily", requirement, name, remedy)


def _of_layer(block, depth, arguments):
    """Return the arguments of the block of a layer, counted from 1."""
    if depth > 1 and issubclass(block, RBM) and "visible" in arguments:
        return arguments | {"visible": "bernoulli"}
    return arguments


def _default_optimizer(block):
    return keras.optimizers.SGD(0.05) if issubclass(block, RBM) else keras.optimizers.Adam(0.001)


def _num_classes(x, y):
    if y is None:
        y = np.concatenate([np.asarray(batch[1]) for batch in x])
    labels = np.asarray(y)
    are_numbers = labels.dtype.kind in "iufb" and bool(np.all(labels == np.floor(labels)))
    if not (are_numbers and labels.min() >= 0 and labels.max() >= 1):
        found = f"from {labels.min()} to {labels.max()}" if are_numbers else f"such as {labels.flat[0]!r}"
        requirement = "hold class numbers from 0, of at least two classes"
        remedy = "np.unique(y, return_inverse=True) numbers the classes"
        refuse("pretrain_greedily.y", requirement, f"labels {found}", "" if are_numbers else remedy)
    return int(labels.max()) + 1


def _stage_seed(seed, depth):
    """Derive the seed of one layer, so that no two layers share their corruption or their order."""
    return int(np.random.SeedSequence([seed, depth]).generate_state(1)[0])
