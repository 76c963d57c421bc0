"""Fine-tuning and probing of the encoder of a run, each into a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tf_kit.checks import count, number, refuse
from tf_kit.data.array_scale import divisor_of
from tf_kit.data.fingerprint import of_arrays
from tf_kit.data.loading import with_whole_path
from tf_kit.data.splits import Split
from tf_kit.errors import InputError
from tf_kit.pretraining import finetune, knn_accuracy, linear_probe
from tf_kit.pretraining.transfer import share_of_votes_right
from tf_kit.runs import compare, config_file, recorded_data, recorded_division, report
from tf_kit.runs.confusion import by_class
from tf_kit.runs.files import read_json, save_model
from tf_kit.runs.inputs import input_shape_of, write_inputs
from tf_kit.runs.labelled import labelled_examples
from tf_kit.runs.mistakes import draw_mistakes
from tf_kit.runs.precision import choose
from tf_kit.runs.recorded_options import plain
from tf_kit.runs.run import Run
from tf_kit.runs.saved import load_model, run_folder
from tf_kit.runs.watching import usual_neighbors
from tf_kit.training import workers
from tf_kit.training.precision import set_precision
from tf_kit.training.representation import represent

_AGAIN = "An older version did not fix the size, so pretrain again in another folder"


def finetune_run(
    folder: str | Path,
    epochs: int = 30,
    batch_size: int = 32,
    learning_rate: float = 0.001,
    *,
    labels: int | float | None = None,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    labels_file: str | Path | None = None,
    test_on_seen: bool = False,
    compare: bool = False,
    precision: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, Any]:
    """Fine-tune the encoder of a run on labels, keep the best epoch on validation, and test once.

    Args:
        folder: run folder of `pretrain`.
        epochs: passes over the labelled examples. Defaults to 30.
        batch_size: examples per step. Defaults to 32.
        learning_rate: learning rate of Adam. Defaults to 0.001.
        labels: number of labels to use, or a fraction. Defaults to None, all.
        data: data set, or folder of images with classes, to train and test on. None of its test images may have been
            used in the pretraining. Defaults to None, the data of the pretraining.
        data_dir: folder of prepared data sets. Defaults to None, that of the pretraining.
        labels_file: CSV file with the classes of the images of the folder, see `data.load`. Defaults to None.
        test_on_seen: whether images may be tested on that the pretraining has seen, without their labels; the results
            then record how many. Defaults to False.
        compare: whether to train also the same network from scratch, with the same seeds, labels and number of epochs,
            and to record its error and the difference. Defaults to False.
        precision: `"float32"`, `"bfloat16"`, or `"auto"`, see `precision.choose`. Defaults to None, that of the
            encoder.
        seed: seed of all random numbers. Defaults to 0.
        out: run folder. Defaults to `folder_within(folder, "finetune", labels, seed, data)`.
        resume: whether to continue the same fine-tuning in `out`. Defaults to False.
        callbacks: Keras callbacks, as for `pretrain`. Defaults to none.

    Returns:
        The results: number of labels, best epoch, error on each split in percent. They are also in `out`, next to
        the classifier, `classifier.keras`.

    Raises:
        InputError: `folder` is not the folder of a finished pretraining on images, its images have changed, or
            another argument is out of range.
    """
    training = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    return _classify(
        "finetune",
        folder,
        training,
        None,
        compare,
        labels=labels,
        data=data,
        data_dir=data_dir,
        labels_file=labels_file,
        test_on_seen=test_on_seen,
        precision=precision,
        seed=seed,
        out=out,
        resume=resume,
        callbacks=callbacks,
    )


def probe_run(
    folder: str | Path,
    epochs: int = 30,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    k: int | None = None,
    *,
    labels: int | float | None = None,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    labels_file: str | Path | None = None,
    test_on_seen: bool = False,
    precision: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, Any]:
    """Measure the frozen encoder of a run with a linear classifier and with nearest neighbors.

    Args:
        folder: run folder of `pretrain`.
        epochs, batch_size, learning_rate: as for `finetune_run`; the learning rate defaults to 0.01.
        k: number of neighbors. Defaults to None: 20, or the number of labels per class if that is less.
        labels, data, data_dir, labels_file, test_on_seen, precision, seed, out, resume, callbacks: as for
            `finetune_run`.

    Returns:
        The results, as for `finetune_run`, with the test error of the nearest neighbors.
    """
    training = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    return _classify(
        "probe",
        folder,
        training,
        k,
        False,
        labels=labels,
        data=data,
        data_dir=data_dir,
        labels_file=labels_file,
        test_on_seen=test_on_seen,
        precision=precision,
        seed=seed,
        out=out,
        resume=resume,
        callbacks=callbacks,
    )


def _classify(
    kind,
    folder,
    training,
    k,
    with_scratch,
    *,
    labels,
    data,
    data_dir,
    labels_file,
    test_on_seen,
    precision,
    seed,
    out,
    resume,
    callbacks,
):
    function = f"{kind}_run"
    training, k, labels, seed = plain((training, k, labels, seed))
    data, data_dir, labels_file = plain((data, data_dir, labels_file))
    folder = run_folder(f"{function}.folder", folder)
    for name in ("epochs", "batch_size"):
        count(f"{function}.{name}", training[name])
    number(f"{function}.learning_rate", training["learning_rate"], above=0)
    count(f"{function}.seed", seed, at_least=0)
    encoder, pretrained, collapsed_in, copy = _encoder_of(folder, function)
    if pretrained.get("method") == "tokens":
        requirement = f"have been pretrained on images to {kind}"
        received = f"{folder}, pretrained on text, which has no classes"
        refuse(f"{function}.folder", requirement, received, flag="RUN")
    shape = input_shape_of(encoder)
    if None in shape:
        received = f"{folder}, whose encoder takes {shape}"
        refuse(f"{function}.folder", "hold an encoder of one size of images", received, _AGAIN, flag="RUN")
    labelled = labelled_examples(
        function,
        copy,
        shape,
        pretrained,
        name=data,
        data_dir=data_dir,
        labels_file=labels_file,
        test_on_seen=test_on_seen,
    )
    train = labelled.train.withhold(labels)
    chosen = {**training, "labels": labels, "seed": seed}
    if data is not None:
        chosen["data"] = with_whole_path(data, data_dir)
    chosen |= {"labels_file": str(Path(labels_file).expanduser().resolve())} if labels_file else {}
    chosen |= {"test_on_seen": True} if test_on_seen else {}
    chosen |= {"compare": True} if with_scratch else {}
    if kind == "probe":
        chosen["k"] = usual_neighbors(train) if k is None else count("probe_run.k", k)
        if chosen["k"] > len(train):
            refuse("probe_run.k", f"be at most the {len(train)} labels that are used", f"k={k}")
    out = Path(out or folder_within(folder, kind, labels, seed, data)).expanduser()
    if out.resolve().parent != folder.resolve():
        chosen["run"] = str(folder.resolve())
    used, why = _set_precision(
        encoder, precision, folder / "encoder.keras", training["batch_size"], out if resume else None
    )
    chosen |= {"precision": used} if used else {}
    contents = labelled.contents and labelled.contents | _weights_of(encoder)
    run = Run(out, {"command": kind, **chosen}, resume=resume, data=contents, callbacks=callbacks)
    results = report.finished(run, "classifier.keras")
    if results:
        return results
    place = {
        "run": str(folder.resolve()),
        "data_dir": data_dir and str(Path(data_dir).expanduser().resolve()),
    }
    config_file.write_config(run.folder, {"command": kind, **place, **chosen})
    for stage, epoch in collapsed_in.items():
        line = f"the embeddings collapsed in epoch {epoch} of its {stage}, so this will gain little"
        run.progress.print(f"{folder}: {line}")
    for note in [*labelled.notes, *([why] if why else [])]:
        run.progress.print(note)
    labelled = dataclasses.replace(labelled, train=train)
    return _trained_and_tested(kind, run, encoder, labelled, chosen)


def _set_precision(encoder, wanted, file, batch_size, resumed):
    """Make an encoder compute in the precision that is wanted; return it, and why it was chosen."""
    shape = input_shape_of(encoder)
    used, why = choose(
        wanted,
        lambda: keras.models.load_model(file),
        {"weights": [[*each.shape] for each in encoder.weights]},
        np.random.default_rng(0).random((2, *shape), dtype="float32"),
        batch_size,
        resumed=resumed,
    )
    if used is not None:
        set_precision(encoder, used)
    return used, why


def _trained_and_tested(kind, run, encoder, labelled, chosen):
    """Train the classifier on the encoder, record the errors, draw, and save; returns the results."""
    train, test = labelled.train, labelled.test
    make = finetune if kind == "finetune" else linear_probe
    with_head = {"learning_rate": chosen["learning_rate"], "seed": chosen["seed"]}
    fresh = compare.from_scratch(encoder, chosen["seed"]) if chosen.get("compare") else None
    classifier = make(encoder, train.num_classes, **with_head)
    best, error = _trained(run, kind, classifier, labelled, chosen)
    results = {"labels": len(train), "best_epoch": best, "error": error}
    z = _logits(classifier, test)
    if fresh is not None:
        other = make(fresh, train.num_classes, **with_head)
        best, error = _trained(run, compare.STAGE, other, labelled, chosen)
        right = (each.argmax(axis=1) == test.y for each in (z, _logits(other, test)))
        results["from_scratch"] = {"best_epoch": best, **compare.compared(results["error"], error, *right)}
    run.progress.close()
    if kind == "probe":
        share = 1 - _accuracy_of_neighbors(encoder, train, test, chosen["k"])
        results["error"]["test, nearest neighbors"] = round(100 * share, 4)
    results["test_by_class"] = by_class(z, test.y, test.class_names)
    if labelled.seen:
        results["test_seen_in_pretraining"] = labelled.seen
    if labelled.unchecked:
        results["unchecked"] = labelled.unchecked
    save_model(classifier, run.folder / "classifier.keras")
    write_inputs(run.folder, classifier, train.class_names, divisor_of(train.found))
    run.draw()
    if kind == "finetune":
        draw_mistakes(run.folder / "figures", z, test.y, test.images, results["test_by_class"])
    return report.finish(run, results)


def _trained(run, stage, classifier, labelled, chosen):
    """Train a classifier in a stage; return its best epoch on validation, and its error on each split in percent."""
    train, val, test = labelled.train, labelled.val, labelled.test
    history = run.fit(
        classifier,
        **train.for_training(chosen["batch_size"], chosen["seed"]),
        stage=stage,
        epochs=chosen["epochs"],
        validation_data=val.given() if val.x is not None else val.given()[0],
        keep_best="val_accuracy",
    )
    error = {}
    for split, examples in {"train": train, "valid": val, "test": test}.items():
        accuracy = float(classifier.evaluate(*examples.given(), verbose=0, return_dict=True)["accuracy"])
        error[split] = round(100 * (1 - accuracy), 4)
    return history["best_epoch"], error


def _logits(classifier, examples):
    return represent(classifier, examples.x) if examples.x is not None else _represented(classifier, examples)


def _accuracy_of_neighbors(encoder, train, test, k):
    """Compute `knn_accuracy`; images that are streamed are represented batch by batch."""
    if train.x is not None:
        return float(knn_accuracy(encoder, train, test, k=k))
    known, asked = (Split(_represented(encoder, each), each.y, each.class_names) for each in (train, test))
    return share_of_votes_right(keras.layers.Identity(), known, asked, k)


def _represented(encoder, examples):
    return np.concatenate([represent(encoder, x.numpy()) for x, _ in examples.given()[0]])


def folder_within(
    folder: str | Path,
    kind: str,
    labels: int | float | None = None,
    seed: int = 0,
    data: str | Path | None = None,
) -> Path:
    """Return the default folder of a fine-tuning or probe, within the run folder of its pretraining.

    Args:
        folder: run folder of the pretraining.
        kind: `"finetune"` or `"probe"`.
        labels, seed, data: as for `finetune_run`.

    Example:
        >>> folder_within("runs/simclr-digits", "finetune", 0.1).as_posix()
        'runs/simclr-digits/finetune-0.1-seed-0'
        >>> folder_within("r", "probe", data=".").name == f"probe-{Path.cwd().name}-all-seed-0"
        True
    """
    place = Path(data or "")
    on = "" if data is None else f"{(place.resolve() if place.name in ('', '..') else place).name}-"
    return Path(folder) / f"{kind}-{on}{'all' if labels is None else f'{labels:g}'}-seed-{seed}"


def _encoder_of(folder, function):
    """Load the encoder of a run, its options, the epochs in which its stages collapsed, and its folder or a copy."""
    subject = f"{function}.folder"
    workers.done_by_chief(lambda: _check_pretrained(folder, subject))
    names = ("encoder.keras", "config.json", "results.json", recorded_data.FILE, recorded_division.RECORD)
    copy = workers.folder_from_chief(folder, names)
    config = read_json(copy / "config.json", "config.json")
    options = config.get("options") if isinstance(config, dict) else None
    if not isinstance(options, dict) or not options.get("data"):
        refuse(subject, "be the folder of a pretraining, with its config.json", f"{folder}", flag="RUN")
    encoder = _load_encoder(copy / "encoder.keras", folder, subject)
    return encoder, options, _collapsed_in(copy / "results.json"), copy


def _weights_of(encoder):
    """Fingerprint of the pretrained weights, which a classifier is trained on as on its data."""
    weights = [np.ravel(each).astype("float32") for each in encoder.get_weights()]
    return of_arrays("the encoder", {"weights of the encoder": np.concatenate(weights)})


def _load_encoder(path, folder, subject):
    """Load an encoder; refuse a file that cannot be read, and weights that are not finite."""
    remedy = "Remove encoder.keras and results.json there, and pretrain again with"
    return load_model(subject, path, f"{remedy} `resume=True`", f"{remedy} `--resume`", folder)


def _collapsed_in(path):
    """Read stage → epoch of collapse from the results of a pretraining; empty if there are none."""
    try:
        collapsed_in = read_json(path, path.name)["collapsed_in"]
        return dict(collapsed_in)
    except (InputError, KeyError, TypeError, ValueError):
        return {}


def _check_pretrained(folder, subject):
    if (folder / "encoder.keras").is_file():
        return
    requirement, received = "be the folder of a finished pretraining, which holds encoder.keras", f"{folder}"
    options = _recorded_options(folder)
    command = options.get("command", "pretrain")
    if command != "pretrain":  # results that pretraining again would not bring back
        place = options.get("run") or (folder.resolve().parent if command in ("finetune", "probe") else None)
        remedy = f"Give the folder of its pretraining, {place}" if place else ""
        refuse(subject, requirement, f"{received}, a run of {command}", remedy, flag="RUN")
    remedy = "`pretrain` with `resume=True` finishes one that was interrupted"
    typed_remedy = "`tf-kit pretrain METHOD --resume` finishes one that was interrupted"
    if (folder / "results.json").is_file():
        received += ", where it is missing"
        again = "Remove results.json there, and pretrain again with"
        remedy, typed_remedy = f"{again} `resume=True`", f"{again} `--resume`"
    refuse(subject, requirement, received, remedy, flag="RUN", typed_remedy=typed_remedy)


def _recorded_options(folder):
    """Read the options that a run recorded; empty if the folder holds no readable record."""
    try:
        return dict(read_json(folder / "config.json", "config.json")["options"])
    except (InputError, KeyError, TypeError, ValueError):
        return {}
