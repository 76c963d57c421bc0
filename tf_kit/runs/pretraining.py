"""Pretraining into a run folder, from which fine-tuning and probing start."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from tf_kit.checks import count, refuse
from tf_kit.data.folder import naming_the_damaged
from tf_kit.data.loading import with_whole_path
from tf_kit.pretraining.methods import find, own_options, refuse_foreign
from tf_kit.pretraining.run_options import (
    EncoderOptions,
    MonitorOptions,
    TextOptions,
    TrainingOptions,
    ViewOptions,
)
from tf_kit.runs import config_file, methods, report
from tf_kit.runs.encoders import encoder_options, make_encoder
from tf_kit.runs.files import save_model
from tf_kit.runs.inputs import write_inputs
from tf_kit.runs.precision import choose
from tf_kit.runs.recorded_division import record_division
from tf_kit.runs.recorded_options import plain
from tf_kit.runs.run import Run
from tf_kit.runs.text import pretrain_text
from tf_kit.runs.training_data import TrainingData, training_data
from tf_kit.runs.watching import LABELLED, VALIDATION, Watch, epochs_between
from tf_kit.training.precision import current_precision, precision


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """Options of a pretraining by their use, checked against the declarations."""

    own: dict[str, Any]
    training: dict[str, Any]
    precision: str | None
    encoder: dict[str, Any]
    augment: str | None
    monitor_every: int | None
    keep: str
    length: int


@naming_the_damaged()
def pretrain(
    method: str,
    name: str | Path = "digits",
    out: str | Path | None = None,
    resume: bool = False,
    labels: int | float | None = None,
    image_size: int | tuple[int, int] | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
    color: str | None = None,
    unlabeled: bool = False,
    labels_file: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **options: Any,
) -> dict[str, Any]:
    """Pretrain an encoder and save it as `encoder.keras` in a run folder.

    Methods without labels use all training images; `supervised` uses the labelled ones, `supcon` all images and the
    labels of those that have one. A folder of images larger than `training_data.STREAM_ABOVE_BYTES` is read in
    minibatches, never as a whole. `tokens` reads text, see `pretrain_text`.

    Args:
        method: name of a method, see `pretraining.methods.METHODS`.
        name: data set, or path of a folder of images, of arrays or of a text, as for `data.load` and `data.load_text`.
            Defaults to `"digits"`.
        out: run folder.
        resume: whether to continue the run in `out`. Defaults to False.
        labels: number or fraction of the training examples that keep their label, for `supervised` and `supcon`.
            Defaults to None, all.
        image_size: as for `data.load`. Defaults to None.
        seed: seed of all random numbers. Defaults to 0.
        data_dir: folder of prepared data sets. Defaults to None.
        color, unlabeled, labels_file: how to read a folder of images, as for `data.load`.
        callbacks: Keras callbacks, called in every stage after the run's own monitors. Neither the record nor the
            results depend on them, unless they change the model. Defaults to none.
        **options: options of the method, as `tf-kit pretrain METHOD --help` lists them: its own (`rate`,
            `temperature`, …), those of the encoder (`encoder`, `units`, …) and of the training (`epochs`,
            `batch_size`, `learning_rate`, `precision`), `augment`, `monitor_every`, `keep`, `length`. None means
            the default.

    Returns:
        The results as written to `results.json`: the last value of each loss and monitor by stage, the epoch of each
        stage that collapsed, and the epoch of each stage that was kept, with what was measured in it.

    Raises:
        InputError: an option does not belong to the method, a value is out of range, or the data cannot be used.
    """
    name, labels, seed, options = plain((name, labels, seed, options))
    image_size, data_dir, labels_file = plain((image_size, data_dir, labels_file))
    count("pretrain.seed", seed, at_least=0)
    kind = find(method)
    if not isinstance(name, str):
        remedy = "The classes of tf_kit.pretraining train on arrays: Autoencoder(encoder), compile, fit(x)"
        refuse("pretrain.name", "be the name of a data set or a path", f"a {type(name).__name__}", remedy)
    reading = {"image_size": image_size, "color": color, "unlabeled": unlabeled, "labels_file": labels_file}
    chosen = _chosen(method, options, reading, labels)
    if kind.reads_text:
        return pretrain_text(
            method,
            str(name),
            out,
            resume,
            chosen.length,
            chosen.own,
            chosen.encoder,
            chosen.training,
            chosen.precision,
            seed,
            data_dir,
            callbacks,
        )
    return _pretrain_on_images(method, name, out, resume, labels, reading, seed, data_dir, chosen, callbacks)


def _pretrain_on_images(method, name, out, resume, labels, reading, seed, data_dir, chosen, callbacks):
    """Pretrain with checked options `chosen`; the other arguments and the result are those of `pretrain`."""
    kind = find(method)
    train = training_data(
        name,
        supervised=kind.supervised,
        partly=kind.labels == "optional",
        labels=labels,
        **reading,
        data_dir=data_dir,
        batch_size=chosen.training["batch_size"],
        seed=seed,
    )
    shape = train.shown.shape[1:]
    given = dict(chosen.encoder)
    sizes = encoder_options(method, given.pop("encoder", None), shape, given)
    views = methods.augmentation(name, shape, chosen.augment) if kind.views else None
    arguments = chosen.own | ({"num_classes": train.num_classes} if kind.supervised else {})
    used, why = choose(
        chosen.precision,
        lambda: make_encoder(shape, **sizes),
        sizes,
        train.shown,
        chosen.training["batch_size"],
        keeps_quality=kind.good_in_bfloat16,
        resumed=out if resume else None,
    )
    with precision(used):
        _rehearse(method, sizes, shape, arguments, views, train)
    _check_keep(chosen, train)
    settings = {
        "command": "pretrain",
        "method": method,
        "data": with_whole_path(name, data_dir),
        "data_dir": data_dir and str(Path(data_dir).expanduser().resolve()),
        "image_size": train.image_size or reading["image_size"],
        **train.reading(reading),
        "encoder": sizes,
        "augment": chosen.augment if chosen.augment is not None else views and "of the data set",
        **chosen.training,
        "labels": labels,
        "monitor_every": chosen.monitor_every,
        "keep": chosen.keep,
        "files": train.files,
        "seed": seed,
        "precision": used or current_precision(),
    }
    defaults = _defaults(method, sizes["kind"], shape)
    recorded = {"data": train.contents, "defaults": defaults}
    run = Run(out, settings | chosen.own, resume=resume, **recorded, callbacks=callbacks)
    results = report.finished(run, "encoder.keras")
    if results:
        return results
    config_file.write_config(run.folder, settings | chosen.own)
    if train.found is not None:
        record_division(run.folder, train.found)
    if train.summary:
        run.progress.print(f"{name}: {train.summary}")
    watch = None if kind.supervised else _watch(run, train, chosen)
    run.progress.print(
        f"{train.num_examples:,} training examples of {'×'.join(map(str, shape))}, encoder {sizes['kind']}"
    )
    if why:
        run.progress.print(why)
    with precision(used):
        encoder = make_encoder(shape, **sizes, seed=seed)
        pretrain_into(
            run,
            method,
            encoder,
            train,
            draws_filters=sizes["kind"] == "mlp",
            fit=watch.fit if watch else run.fit,
            **chosen.training,
            options=arguments,
            augment=views,
            seed=seed,
        )
    run.progress.close()
    write_inputs(run.folder, encoder, train.class_names, train.divisor)
    watched = {"collapsed_in": watch.collapsed_in, "kept": watch.kept} if watch else {"collapsed_in": {}}
    return report.finish(run, {"method": method, "data": name, "stages": last_values(run), **watched})


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
    """Train an encoder by a method in a run, save it as `encoder.keras`, and draw the figures.

    Args:
        run: the run.
        method: name of the method.
        encoder: encoder, trained in place.
        train: training images.
        fit: `run.fit`, or a function that calls it.
        draws_filters: whether the inputs of the encoder's first dense layer are pixels, so that its filters can be
            drawn as images.
        seed: seed of all random numbers.
        **training: `epochs`, `batch_size`, `learning_rate`, `options`, `augment`, as for `methods.train`.
    """
    n = train.num_examples
    x = train.stream or train.x
    trained = methods.train(method, encoder, x, train.y, fit=fit, seed=seed, num_examples=n, **training)
    save_model(encoder, run.folder / "encoder.keras")
    shape = train.shown.shape[1:]
    # Imports matplotlib, for which a training need not wait.
    from tf_kit.runs import figures

    run.draw(encoder if draws_filters else None, shape)
    figures.draw_results(run.folder / "figures", trained, train.shown)


def _chosen(method, options, reading, labels):
    """Check the options, and fill in the defaults of the method."""
    kind, groups = find(method), _grouped(method, options, reading, labels)
    usual = {each: getattr(kind, each) for each in TrainingOptions.names()}
    training = dataclasses.asdict(TrainingOptions(**(usual | groups[TrainingOptions])))
    return _Chosen(
        own=own_options(method, groups[kind.options]),
        precision=training.pop("precision"),
        training=training,
        encoder=groups[EncoderOptions],
        augment=ViewOptions(**groups.get(ViewOptions, {})).augment,
        **dataclasses.asdict(MonitorOptions(**groups.get(MonitorOptions, {}))),
        length=TextOptions(**groups.get(TextOptions, {})).length,
    )


def _grouped(method, options, reading, labels):
    """Map each declaration to the options given for it; refuse options that the method does not have."""
    chosen, groups = find(method), {}
    given = {option: value for option, value in options.items() if value is not None}
    for declaration, names, _ in chosen.declarations():
        groups[declaration] = {each: given.pop(each) for each in names if each in given}
    given |= {each: value for each, value in reading.items() if value} if chosen.reads_text else {}
    given |= {"labels": labels} if chosen.labels == "ignored" and labels is not None else {}
    for option, value in given.items():
        refuse_foreign(method, option, value)
    return groups


def _defaults(method, encoder, shape):
    """Return the defaults of the options that runs of older versions may lack."""
    return {
        **own_options(method, {}),
        **dataclasses.asdict(MonitorOptions()),
        "precision": current_precision(),
        "encoder": encoder_options(method, encoder, shape, {}),
    }


def last_values(run: Run) -> dict[str, dict[str, float]]:
    """Return the last value of every metric: stage → metric → value."""
    return {
        stage: {metric: values[-1] for metric, values in metrics.items()}
        for stage, metrics in run.history().items()
    }


def _watch(run, train, chosen):
    """Make the `Watch` of a run; it looks only for a collapse if `monitor_every` is 0."""
    every, val = chosen.monitor_every, train.watched("val", VALIDATION)
    if every == 0:
        return Watch(run, val, every=0, keep=chosen.keep)
    labelled = train.watched("train", LABELLED)
    if every is None:
        every = epochs_between(len(val.all_x) + len(labelled), train.num_examples)
    return Watch(run, val, labelled, every, chosen.keep)


def _check_keep(chosen, train):
    """Refuse to choose an epoch by what cannot be measured."""
    if chosen.keep not in ("best:knn", "best:rankme"):
        return
    received, subject = f"keep={chosen.keep!r}", "pretrain.keep"
    remedy = "best:loss and last need no measurement"
    if chosen.monitor_every == 0:
        refuse(
            subject, "be best:loss or last where nothing is measured", f"{received}, monitor_every=0", remedy
        )
    if chosen.keep == "best:knn" and not train.num_classes:
        received += " and images without classes"
        refuse(subject, "be best:rankme, best:loss or last for images without classes", received)
    if len(train.watched("val", 2).all_x) < 2:
        received += " and fewer than two validation images"
        refuse(subject, "be best:loss or last where there is nothing to measure", received, remedy)


def _rehearse(method, sizes, shape, options, augment, train):
    """Build a model to discard, so that mistakes are refused before a folder is made."""
    chosen = find(method)
    if chosen.greedy:
        sizes = sizes | {"units": sizes["units"][:1]}
        chosen.kind(encoder=make_encoder(shape, **sizes), **options)
    else:
        encoder = make_encoder(shape, **sizes)
        methods.make_pretrainer(method, encoder, options, augment).prepare_from(train.shown[:1])
