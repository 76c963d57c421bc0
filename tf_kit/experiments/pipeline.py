"""Pretrain, then fine-tune or probe: each a run folder that the next one starts from."""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from tf_kit import _checks, data, plotting
from tf_kit.data.folder import fingerprint, naming_the_damaged
from tf_kit.data.loading import is_folder
from tf_kit.data.splits import withhold
from tf_kit.experiments import methods
from tf_kit.experiments.training_data import refuse_without_labels, training_data
from tf_kit.experiments.watching import VALIDATION, VOTERS, Watch, epochs_between_looks, usual_neighbors
from tf_kit.pretraining import (
    RBM,
    DeepBeliefNetwork,
    ExampleRandom,
    MaskedAutoencoder,
    MaskedVectors,
    Supervised,
    finetune,
    knn_accuracy,
    linear_probe,
    refuse_overlap,
    workers,
)
from tf_kit.pretraining.joint_embedding import JointEmbedding
from tf_kit.runs import Run, read_json, save_model


@naming_the_damaged()
def pretrain(
    method,
    name="digits",
    out=None,
    resume=False,
    encoder=None,
    augment=None,
    epochs=None,
    batch_size=None,
    learning_rate=None,
    labels=None,
    image_size=None,
    monitor_every=None,
    seed=0,
    data_dir=None,
    **options,
):
    """Pretrains an encoder and keeps it as `encoder.keras` in the run folder.

    The methods that need no labels see all training images, labelled or not; `supervised` only the labelled. A
    folder of images larger than `training_data.STREAM_ABOVE_BYTES` is read in minibatches, never as a whole.

    Args:
        method: one of `methods.METHODS`.
        name: data set, or path of a folder of images, as for `data.load`.
        out: run folder.
        resume: whether to go on with the run in `out`.
        encoder: "mlp", "cnn" or "vit". Defaults to the method's usual one.
        augment: what makes the views of a joint-embedding method: "none", "digits", "fashion" or "natural".
            Defaults to what suits the data set, see `methods.augmentation`.
        epochs, batch_size, learning_rate: passes (for each layer of a greedy method), examples a step, rate of
            Adam, for `rbm` of momentum 0.9. Default by method.
        labels: how many training examples keep their label, a number or a fraction; for `supervised`.
        image_size: as for `data.load`.
        monitor_every: epochs between looks at validation images (nearest neighbors, if they have classes, and
            whether the representation collapses), which change nothing; 0 never looks. None: so often that it costs
            some 5 % of the time. `supervised` is not watched.
        seed: seed of the run.
        data_dir: folder of prepared data sets.
        **options: the encoder's sizes (`units`, `activation`, `filters`, `patch_size`, `width`, `depth`) and the
            method's own arguments (`rate`, `gibbs_steps`, `mask_ratio`, `temperature`, …); None chooses.

    Returns:
        The results as written to `results.json`: last value of each stage's loss and monitor, and the epoch in which
        a stage collapsed, if one did.
    """
    chosen = methods.find(method)
    sizes = {each: options.pop(each, None) for each in methods.SIZES}
    own = methods.options_of(method, options)
    epochs = _checks.count("pretrain.epochs", chosen.epochs if epochs is None else epochs)
    batch_size = _checks.count("pretrain.batch_size", chosen.batch_size if batch_size is None else batch_size)
    learning_rate = chosen.learning_rate if learning_rate is None else learning_rate
    learning_rate = _checks.number("pretrain.learning_rate", learning_rate, above=0)
    supervised = chosen.kind is Supervised
    if monitor_every is not None:
        _checks.count("pretrain.monitor_every", monitor_every, at_least=0)
        if supervised:
            received = f"monitor_every={monitor_every}"
            _checks.refuse("--monitor-every", "be left out for supervised, which sees labels", received)
    train = training_data(
        name,
        supervised=supervised,
        labels=labels,
        image_size=image_size,
        data_dir=data_dir,
        batch_size=batch_size,
        seed=seed,
    )
    shape = train.shown.shape[1:]
    sizes = methods.encoder_options(method, encoder, shape, sizes)
    if augment is not None and not chosen.views:
        _checks.refuse("--augment", f"be left out for {method}, which makes no views", f"augment={augment!r}")
    views = methods.augmentation(name, shape, augment) if chosen.views else None
    network = methods.make_encoder(shape, **sizes, seed=seed)
    _rehearse(method, sizes, shape, own, views, train)  # refuses what it cannot take before a folder is made
    settings = {
        "command": "pretrain",
        "method": method,
        "data": name if train.image_size is None else str(Path(name).expanduser().resolve()),
        "data_dir": data_dir and str(data_dir),
        "image_size": train.image_size or image_size,
        "encoder": sizes,
        "augment": augment if augment is not None else views and "of the data set",
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "labels": labels,
        "monitor_every": monitor_every,
        "files": train.files,
        "seed": seed,
    }
    run = Run(out, settings | own, resume=resume)
    if run.results:
        return run.results
    size = "×".join(map(str, shape))
    run.progress.say(f"{train.num_examples:,} training examples of {size}, encoder {sizes['kind']}")
    watch = None if supervised else _watch(run, train, monitor_every)
    needed = {"num_classes": train.num_classes} if supervised else {}
    trained = methods.train(
        method,
        network,
        train.stream or train.x,
        train.y,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        options=own | needed,
        fit=watch.fit if watch else run.fit,
        augment=views,
        seed=seed,
        num_examples=train.num_examples,
    )
    run.progress.close()
    run.draw(network if sizes["kind"] == "mlp" else None, shape)
    draw_what_was_learned(run.folder / "figures", trained, train.shown)
    save_model(network, run.folder / "encoder.keras")
    history = run.history()
    run.finish(
        {
            "method": method,
            "data": name,
            "stages": {
                stage: {metric: values[-1] for metric, values in metrics.items()}
                for stage, metrics in history.items()
            },
            "collapsed_in": watch.collapsed_in if watch else {},
        }
    )
    return run.results


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
    """Builds a throw-away of what will be trained on one example, so that it refuses before a folder is made."""
    chosen = methods.find(method)
    if chosen.greedy:
        needed = {"num_classes": train.num_classes} if chosen.kind is Supervised else {}
        sizes = sizes | {"units": sizes["units"][:1]}
        chosen.kind(encoder=methods.make_encoder(shape, **sizes), **options, **needed)
    else:
        encoder = methods.make_encoder(shape, **sizes)
        methods.make_pretrainer(method, encoder, options, augment).prepare_from(train.shown[:2])


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
        _checks.refuse(
            "RUN", f"be pretrained on images to {kind}", f"{folder}, on text, which has no classes"
        )
    _checks.number(f"{kind}.learning_rate", training["learning_rate"], above=0)
    shape = tuple(encoder.get_build_config()["input_shape"][1:])
    train, val, test = _splits(shape, pretrained, data, data_dir)
    train = withhold(train, labels, seed=0)
    chosen = {**training, "labels": labels, "seed": seed}
    if data is not None:
        chosen["data"] = str(Path(data).expanduser().resolve()) if is_folder(data, data_dir) else data
    if kind == "probe":
        chosen["k"] = usual_neighbors(train) if k is None else _checks.count("probe.k", k)
        if chosen["k"] > len(train):
            _checks.refuse("probe.k", f"be at most the {len(train)} labels that are used", f"k={k}")
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
        _checks.refuse("RUN", "find the images that it was pretrained on as they were", received, remedy)
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
        _checks.refuse("--data", f"have images of {wanted} as RUN was pretrained on", f"{name}, {received}")
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
        _checks.refuse(
            "RUN",
            "be the folder of a finished `tf-kit pretrain`, which holds encoder.keras",
            f"{folder}",
            "--resume finishes a run that was broken off",
        )


def draw_what_was_learned(folder, trained, x):
    """What the pretrainers make of images: views, what they fill in or reconstruct, samples.

    Args:
        folder: where the figures go.
        trained: pretrainers, as `methods.train` returns them.
        x: examples (n, …); nothing is drawn if they are no images.
    """
    first, shown = trained[0], x[:10]
    if shown.ndim != 4:
        return

    def save(name, rows, title):
        images = np.concatenate([keras.ops.convert_to_numpy(row) for row in rows])
        figure = plotting.tiles(images.reshape(-1, *x.shape[1:]), columns=len(shown), title=title)
        plotting.save(figure, folder / f"{name}.png")

    if isinstance(first, MaskedAutoencoder | MaskedVectors):
        vectors = isinstance(first, MaskedVectors)
        masked = first.draw_masked(shown if vectors else len(shown))
        seen = np.where(masked, 0.3, shown) if vectors else first.cover(shown, masked, 0.3)
        title = "images, what the encoder sees of them, what the model fills in"
        save("reconstructions", (shown, seen, first.reconstruct(shown, masked)), title)
    elif hasattr(first, "reconstruct"):
        title = "examples and their reconstruction by layer 1"
        save("reconstructions", (shown, first.reconstruct(shown)), title)
    elif isinstance(first, JointEmbedding):
        views = keras.ops.convert_to_numpy(first.views(shown, ExampleRandom(first.seed, 0, len(shown))))
        save("views", (shown, views[0::2], views[1::2]), "images, and two views of each")
    if isinstance(first, RBM):
        network = DeepBeliefNetwork(trained)
        samples = network.sample(40, num_steps=200, start=np.resize(x, (40, *x.shape[1:])), seed=first.seed)
        title = "samples of the deep belief network, 200 Gibbs steps from examples"
        save("samples", [samples], title)
