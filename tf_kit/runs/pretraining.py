"""Pretraining into a run folder, which fine-tuning and probing start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from tf_kit.data.folder import naming_the_damaged
from tf_kit.pretraining.methods import (
    EncoderOptions,
    MonitorOptions,
    TextOptions,
    TrainingOptions,
    ViewOptions,
    find,
    own_options,
    refuse_foreign,
)
from tf_kit.runs import methods
from tf_kit.runs.encoders import encoder_options, make_encoder
from tf_kit.runs.figures import draw_what_was_learned
from tf_kit.runs.files import save_model
from tf_kit.runs.run import Run
from tf_kit.runs.text import pretrain_text
from tf_kit.runs.training_data import TrainingData, training_data
from tf_kit.runs.watching import VALIDATION, VOTERS, Watch, epochs_between_looks


@naming_the_damaged()
def pretrain(
    method: str,
    name: str = "digits",
    out: str | Path | None = None,
    resume: bool = False,
    labels: int | float | None = None,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Pretrain an encoder and keep it as `encoder.keras` in a run folder.

    The methods that need no labels see all training images, labelled or not; `supervised` sees the labelled ones. A
    folder of images larger than `training_data.STREAM_ABOVE_BYTES` is read in minibatches, never as a whole. `tokens`
    reads text, see `pretrain_text`.

    Args:
        method: name of a method, see `pretraining.methods.METHODS`.
        name: data set, or path of a folder of images or of a text, as for `data.load` and `data.load_text`.
        out: run folder.
        resume: whether to continue the run in `out`.
        labels: number or fraction of the training examples that keep their label; for `supervised`.
        image_size: as for `data.load`.
        seed: seed of the run.
        data_dir: folder of prepared data sets.
        **options: the options of the method, as `tf-kit pretrain METHOD --help` lists them: its own (`rate`,
            `temperature`, …), the encoder's (`encoder`, `units`, …), the training's (`epochs`, `batch_size`,
            `learning_rate`), `augment`, `monitor_every`, `length`. None chooses.

    Returns:
        The results as written to `results.json`: last value of each stage's loss and monitor, and the epoch in which
        a stage collapsed, if one did.

    Raises:
        InputError: for an option that the method does not have, a value out of range, data that cannot be used.
    """
    chosen = find(method)
    groups = _grouped(method, options, image_size, labels)
    own = own_options(method, groups[chosen.options])
    usual = {each: getattr(chosen, each) for each in TrainingOptions.names()}
    training = dataclasses.asdict(TrainingOptions(**(usual | groups[TrainingOptions])))
    sizes = groups[EncoderOptions]
    if chosen.reads_text:
        length = TextOptions(**groups[TextOptions]).length
        return pretrain_text(method, name, out, resume, length, own, sizes, training, seed, data_dir)
    augment = ViewOptions(**groups.get(ViewOptions, {})).augment
    every = MonitorOptions(**groups.get(MonitorOptions, {})).monitor_every
    train = training_data(
        name,
        supervised=chosen.supervised,
        labels=labels,
        image_size=image_size,
        data_dir=data_dir,
        batch_size=training["batch_size"],
        seed=seed,
    )
    shape = train.shown.shape[1:]
    sizes = encoder_options(method, sizes.pop("encoder", None), shape, sizes)
    views = methods.augmentation(name, shape, augment) if chosen.views else None
    needed = {"num_classes": train.num_classes} if chosen.supervised else {}
    _rehearse(method, sizes, shape, own | needed, views, train)
    settings = {
        "command": "pretrain",
        "method": method,
        "data": name if train.image_size is None else str(Path(name).expanduser().resolve()),
        "data_dir": data_dir and str(data_dir),
        "image_size": train.image_size or image_size,
        "encoder": sizes,
        "augment": augment if augment is not None else views and "of the data set",
        **training,
        "labels": labels,
        "monitor_every": every,
        "files": train.files,
        "seed": seed,
    }
    run = Run(out, settings | own, resume=resume)
    if run.results:
        return run.results
    size = "×".join(map(str, shape))
    run.progress.say(f"{train.num_examples:,} training examples of {size}, encoder {sizes['kind']}")
    watch = None if chosen.supervised else _watch(run, train, every)
    pretrain_into(
        run,
        method,
        make_encoder(shape, **sizes, seed=seed),
        train,
        draws_filters=sizes["kind"] == "mlp",
        fit=watch.fit if watch else run.fit,
        **training,
        options=own | needed,
        augment=views,
        seed=seed,
    )
    run.progress.close()
    run.finish(
        {
            "method": method,
            "data": name,
            "stages": last_values(run),
            "collapsed_in": watch.collapsed_in if watch else {},
        }
    )
    return run.results


def pretrain_into(
    run: Run,
    method: str,
    encoder: keras.Model,
    train: TrainingData,
    *,
    fit: Callable,
    draws_filters: bool,
    seed: int,
    **training: Any,
) -> None:
    """Train an encoder by a method in a run, draw what it learned, and save it as `encoder.keras`.

    Args:
        run: the run.
        method: name of the method.
        encoder: encoder, trained in place.
        train: the training images.
        fit: `run.fit`, or a function that calls it.
        draws_filters: whether the encoder's first dense layer sees the pixels, so that its filters are pictures.
        seed: seed of all that is random.
        **training: `epochs`, `batch_size`, `learning_rate`, `options`, `augment`, as for `methods.train`.
    """
    count = train.num_examples
    x = train.stream or train.x
    trained = methods.train(method, encoder, x, train.y, fit=fit, seed=seed, num_examples=count, **training)
    shape = train.shown.shape[1:]
    run.draw(encoder if draws_filters else None, shape)
    draw_what_was_learned(run.folder / "figures", trained, train.shown)
    save_model(encoder, run.folder / "encoder.keras")


def _grouped(method, options, image_size, labels):
    """Declaration → options given for it; refuses those that the method does not have."""
    chosen, groups = find(method), {}
    given = {option: value for option, value in options.items() if value is not None}
    for declaration, names, _ in chosen.declarations():
        groups[declaration] = {each: given.pop(each) for each in names if each in given}
    given |= {"image_size": image_size} if chosen.reads_text and image_size is not None else {}
    given |= {"labels": labels} if not chosen.supervised and labels is not None else {}
    for option, value in given.items():
        refuse_foreign(method, option, value)
    return groups


def last_values(run: Run) -> dict[str, dict[str, float]]:
    """Last value of every metric of every stage."""
    return {
        stage: {metric: values[-1] for metric, values in metrics.items()}
        for stage, metrics in run.history().items()
    }


def _watch(run, train, every):
    """A `Watch`, or None where none is wanted or a single image would be watched."""
    if every == 0:
        return None
    val, voters = train.watched("val", VALIDATION), train.watched("train", VOTERS)
    if len(val.all_x) < 2:
        return None
    if every is None:
        every = epochs_between_looks(len(val.all_x) + len(voters), train.num_examples)
    return Watch(run, val, voters, every)


def _rehearse(method, sizes, shape, options, augment, train):
    """Build a throw-away of the model on one example, so that mistakes are refused before a folder is made."""
    chosen = find(method)
    if chosen.greedy:
        sizes = sizes | {"units": sizes["units"][:1]}
        chosen.kind(encoder=make_encoder(shape, **sizes), **options)
    else:
        encoder = make_encoder(shape, **sizes)
        methods.make_pretrainer(method, encoder, options, augment).prepare_from(train.shown[:2])
