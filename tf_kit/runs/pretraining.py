"""Pretrain, then fine-tune or probe: each a run folder that the next one starts from."""

from pathlib import Path

from tf_kit.checks import count, number, refuse
from tf_kit.data.folder import naming_the_damaged
from tf_kit.pretraining import Supervised
from tf_kit.runs import methods
from tf_kit.runs.figures import draw_what_was_learned
from tf_kit.runs.files import save_model
from tf_kit.runs.run import Run
from tf_kit.runs.training_data import training_data
from tf_kit.runs.watching import VALIDATION, VOTERS, Watch, epochs_between_looks


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
    epochs = count("pretrain.epochs", chosen.epochs if epochs is None else epochs)
    batch_size = count("pretrain.batch_size", chosen.batch_size if batch_size is None else batch_size)
    learning_rate = chosen.learning_rate if learning_rate is None else learning_rate
    learning_rate = number("pretrain.learning_rate", learning_rate, above=0)
    supervised = chosen.kind is Supervised
    if monitor_every is not None:
        count("pretrain.monitor_every", monitor_every, at_least=0)
        if supervised:
            received = f"monitor_every={monitor_every}"
            refuse("--monitor-every", "be left out for supervised, which sees labels", received)
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
        refuse("--augment", f"be left out for {method}, which makes no views", f"augment={augment!r}")
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
