"""Pretrain, then fine-tune or probe: each a run folder that the next one starts from."""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from tf_kit import data
from tf_kit.checks import count, number, refuse
from tf_kit.data.folder import fingerprint
from tf_kit.data.loading import is_folder
from tf_kit.data.splits import withhold
from tf_kit.pretraining import (
    finetune,
    knn_accuracy,
    linear_probe,
    refuse_overlap,
)
from tf_kit.runs.files import read_json, save_model
from tf_kit.runs.run import Run
from tf_kit.runs.training_data import refuse_without_labels, training_data
from tf_kit.runs.watching import usual_neighbors
from tf_kit.training import workers


def finetune_run(folder, epochs=30, batch_size=32, learning_rate=0.001, **where):
    """Fine-tunes the encoder of a run on labels, keeps the epoch that is best on validation, tests once.

    Args:
        folder: run folder of `pretrain`.
        epochs, batch_size, learning_rate: of the fine-tuning with Adam.
        **where:
            labels: how many labels to use: a number, a fraction, or None for all.
            data: data set or folder of images with classes to train and test on, which brings no image into its test
                that the encoder has seen. None: that of the pretraining.
            data_dir: folder of prepared data sets. None: that of the pretraining.
            seed: of all that is random. Defaults to 0.
            out: run folder of the fine-tuning. Defaults to `folder_within(folder, "finetune", labels, seed, data)`.
            resume: whether to go on with the same fine-tuning, begun before.

    Returns:
        The results: labels used, best epoch, error on each split in percent. They, and the classifier as
        `classifier.keras`, are in `out`.
    """
    training = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    return _classify("finetune", folder, training, **where)


def probe_run(folder, epochs=30, batch_size=32, learning_rate=0.01, k=None, **where):
    """Linear probe and nearest neighbors on the frozen encoder of a run; arguments as for `finetune_run`.

    `k` is the number of neighbors; None means 20, or as many as a class has labels if they are fewer.
    """
    training = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    return _classify("probe", folder, training, k, **where)


def _classify(
    kind, folder, training, k=None, *, labels=None, data=None, data_dir=None, seed=0, out=None, resume=False
):
    encoder, pretrained = _encoder_of(folder)
    if pretrained.get("method") == "tokens":
        refuse("RUN", f"be pretrained on images to {kind}", f"{folder}, on text, which has no classes")
    number(f"{kind}.learning_rate", training["learning_rate"], above=0)
    shape = tuple(encoder.get_build_config()["input_shape"][1:])
    train, val, test = _splits(shape, pretrained, data, data_dir)
    train = withhold(train, labels, seed=0)
    chosen = {**training, "labels": labels, "seed": seed}
    if data is not None:
        chosen["data"] = str(Path(data).expanduser().resolve()) if is_folder(data, data_dir) else data
    if kind == "probe":
        chosen["k"] = usual_neighbors(train) if k is None else count("probe.k", k)
        if chosen["k"] > len(train):
            refuse("probe.k", f"be at most the {len(train)} labels that are used", f"k={k}")
    out = Path(out or folder_within(folder, kind, labels, seed, data))
    if out.resolve().parent != Path(folder).resolve():
        chosen["run"] = str(Path(folder).resolve())
    run = Run(out, {"command": kind, **chosen}, resume=resume)
    if run.results:
        return run.results
    make = finetune if kind == "finetune" else linear_probe
    classifier = make(encoder, train.num_classes, learning_rate=training["learning_rate"], seed=seed)
    history = run.fit(
        classifier,
        train.x,
        train.y,
        stage=kind,
        epochs=training["epochs"],
        batch_size=training["batch_size"],
        validation_data=(val.x, val.y),
        keep_best="val_accuracy",
    )
    run.progress.close()
    results = {"labels": len(train), "best_epoch": history["best_epoch"], "error": {}}
    for split, examples in {"train": train, "valid": val, "test": test}.items():
        accuracy = classifier.evaluate(examples.x, examples.y, verbose=0, return_dict=True)["accuracy"]
        results["error"][split] = round(100 * (1 - accuracy), 4)
    if kind == "probe":
        error = 1 - knn_accuracy(encoder, train, test, k=chosen["k"])
        results["error"]["test, nearest neighbors"] = round(100 * error, 4)
    run.draw()
    save_model(classifier, run.folder / "classifier.keras")
    run.finish(results)
    return run.results


def _splits(shape, pretrained, name, data_dir):
    """Train, val and test to classify: of the data of the pretraining, or of others of its shape. Test examples that
    are equal to ones the encoder has seen are refused, as long as those can be read."""
    own = {"data_dir": pretrained.get("data_dir"), "image_size": pretrained.get("image_size")}
    files = pretrained.get("files")  # None where it was no folder
    is_there = files is None or Path(pretrained["data"]).is_dir()
    found = files and is_there and fingerprint(pretrained["data"])
    if found and found != files:
        received = f"{pretrained['data']} with {found}, where RUN began with {files}"
        remedy = "The split depends on them; a new pretraining may see the folder as it is"
        refuse("RUN", "find the images that it was pretrained on as they were", received, remedy)
    if name is None:
        splits = data.load(pretrained["data"], seed=pretrained.get("split_seed", 0), **own)
    else:
        splits = _of_shape(name, shape, data_dir or own["data_dir"])
    if not splits[0].num_classes:
        refuse_without_labels(pretrained["data"] if name is None else name)
    train, _, test = splits
    refuse_overlap(train.all_x, test, ("train", "test"))
    if name is not None and is_there:  # a folder that is gone cannot be asked
        seen = training_data(pretrained["data"], **own)
        refuse_overlap(
            seen.stream(0, 1, seed=0) if seen.stream else seen.x, test, ("the pretraining", "test")
        )
    return splits


def _of_shape(name, shape, data_dir):
    """The splits of a data set with images of a shape; a folder's are scaled to it, grey ones get three channels."""
    size = shape[:2] if is_folder(name, data_dir) else None
    splits = data.load(name, seed=0, data_dir=data_dir, image_size=size)
    if splits[0].all_x.shape[1:] == (*shape[:-1], 1) and shape[-1] == 3:
        splits = [
            dataclasses.replace(
                each, **{part: np.repeat(getattr(each, part), 3, axis=-1) for part in ("x", "unlabelled_x")}
            )
            for each in splits
        ]
    received = splits[0].all_x.shape[1:]
    if received != shape:
        wanted = "×".join(map(str, shape))
        refuse("--data", f"have images of {wanted} as RUN was pretrained on", f"{name}, {received}")
    return splits


def folder_within(folder, kind, labels=None, seed=0, data=None):
    """Where in the run folder of a pretraining its fine-tunings and probes go if they are given no place.

    >>> folder_within("runs/simclr-digits", "finetune", 0.1).as_posix()
    'runs/simclr-digits/finetune-0.1-seed-0'
    """
    on = "" if data is None else f"{Path(data).name}-"
    return Path(folder) / f"{kind}-{on}{'all' if labels is None else f'{labels:g}'}-seed-{seed}"


def _encoder_of(folder):
    workers.done_by_chief(lambda: _check_pretrained(Path(folder)))
    folder = workers.folder_from_chief(folder, ("encoder.keras", "config.json"))
    options = read_json(folder / "config.json", "config.json")["options"]
    return keras.models.load_model(folder / "encoder.keras"), options


def _check_pretrained(folder):
    if not (folder / "encoder.keras").is_file():
        refuse(
            "RUN",
            "be the folder of a finished `tf-kit pretrain`, which holds encoder.keras",
            f"{folder}",
            "--resume finishes a run that was broken off",
        )
