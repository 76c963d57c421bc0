"""Pretrain, then fine-tune or probe: each a run folder that the next one starts from."""

from pathlib import Path

import keras
import numpy as np

from tf_kit import _checks, data, networks, plotting
from tf_kit.experiments.pretraining_table import pretraining_optimizer
from tf_kit.pretraining import (
    RBM,
    Autoencoder,
    DeepBeliefNetwork,
    DenoisingAutoencoder,
    Supervised,
    finetune,
    knn_accuracy,
    linear_probe,
    pretrain_greedily,
)
from tf_kit.runs import Run, read_json

METHODS = {
    "autoencoder": Autoencoder,
    "denoising": DenoisingAutoencoder,
    "rbm": RBM,
    "supervised": Supervised,
}
LEARNING_RATES = {"autoencoder": 0.001, "denoising": 0.001, "rbm": 0.05, "supervised": 0.001}


def pretrain(
    method,
    name="digits",
    out=None,
    resume=False,
    units=(200, 200, 200),
    activation="sigmoid",
    epochs=20,
    batch_size=32,
    learning_rate=None,
    rate=0.25,
    gibbs_steps=1,
    persistent=False,
    labels=None,
    seed=0,
    data_dir=None,
):
    """Pretrains the dense layers of an encoder greedily and keeps it as `encoder.keras` in the run folder.

    The methods that need no labels see all training images, labelled or not; `supervised` only the labelled.

    Args:
        method: `autoencoder`, `denoising`, `rbm` or `supervised`.
        name: data set, as for `data.load`.
        out: run folder.
        resume: whether to go on with the run in `out`.
        units: units of each hidden layer.
        activation: of the hidden layers; `rbm` needs `sigmoid`.
        epochs, batch_size: passes per layer, examples a step.
        learning_rate: of Adam, for `rbm` of momentum 0.9. Defaults by method.
        rate: share of the features that `denoising` masks.
        gibbs_steps, persistent: of `rbm`.
        labels: how many training examples keep their label, a number or a fraction; for `supervised`.
        seed: seed of the run.
        data_dir: folder of prepared data sets.

    Returns:
        The results as written to `results.json`: last value of each layer's loss and monitor.
    """
    _checks.choice("pretrain.method", method, tuple(METHODS))
    block = METHODS[method]
    learning_rate = LEARNING_RATES[method] if learning_rate is None else learning_rate
    learning_rate = _checks.number("pretrain.learning_rate", learning_rate, above=0)
    extra = {}
    if block is DenoisingAutoencoder:
        extra = {"rate": rate}
    if block is RBM:
        extra = {"gibbs_steps": gibbs_steps, "persistent": persistent}
    train, _, _ = _load(name, data_dir, labels=labels)
    needed = {"num_classes": train.num_classes} if block is Supervised else {}
    rehearsal = networks.mlp(units[:1], num_classes=None, activation=activation)
    block(encoder=rehearsal, **extra, **needed)  # refuses what it cannot take before a folder is made
    options = {
        "command": "pretrain",
        "method": method,
        "data": name,
        "data_dir": data_dir and str(data_dir),
        "units": list(units),
        "activation": activation,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "labels": labels,
        "seed": seed,
    }
    run = Run(out, options | extra, resume=resume)
    if run.results:
        return run.results
    encoder = networks.mlp(
        units, num_classes=None, activation=activation, input_shape=train.x.shape[1:], seed=seed
    )
    blocks = pretrain_greedily(
        encoder,
        train.x if block is Supervised else train.all_x,
        train.y if block is Supervised else None,
        block=block,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=pretraining_optimizer(block, learning_rate),
        seed=seed,
        fit=run.fit,
        **extra,
    )
    run.progress.close()
    run.draw(encoder, train.x.shape[1:])
    _draw_what_was_learned(run, blocks, train.x)
    _save_model(encoder, run.folder / "encoder.keras")
    history = run.history()
    run.finish(
        {
            "method": method,
            "data": name,
            "layers": {
                stage: {metric: values[-1] for metric, values in metrics.items()}
                for stage, metrics in history.items()
            },
        }
    )
    return run.results


def finetune_run(folder, labels=None, epochs=30, batch_size=32, learning_rate=0.001, seed=0, resume=False):
    """Fine-tunes the encoder of a run on labels, keeps the epoch that is best on validation, tests once.

    Args:
        folder: run folder of `pretrain`.
        labels: how many labels to use: a number, a fraction, or None for all.
        epochs, batch_size, learning_rate, seed: of the fine-tuning with Adam.
        resume: whether to go on with the same fine-tuning, begun before.

    Returns:
        The results: labels used, best epoch, error on each split in percent. They, and the classifier as
        `classifier.keras`, are in `folder/finetune-…`.
    """
    return _classify("finetune", folder, labels, epochs, batch_size, learning_rate, seed, resume)


def probe_run(folder, labels=None, epochs=30, batch_size=32, learning_rate=0.01, seed=0, resume=False, k=20):
    """Linear probe and nearest neighbours on the frozen encoder of a run; arguments as for `finetune_run`."""
    return _classify("probe", folder, labels, epochs, batch_size, learning_rate, seed, resume, k=k)


def _classify(kind, folder, labels, epochs, batch_size, learning_rate, seed, resume, k=None):
    encoder, options = _encoder_of(folder)
    learning_rate = _checks.number(f"{kind}.learning_rate", learning_rate, above=0)
    train, val, test = _load(options["data"], options.get("data_dir"), labels=labels)
    part = f"{kind}-{'all' if labels is None else f'{labels:g}'}-seed-{seed}"
    chosen = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "labels": labels}
    run = Run(Path(folder) / part, {"command": kind, **chosen, "seed": seed}, resume=resume)
    if run.results:
        return run.results
    make = finetune if kind == "finetune" else linear_probe
    classifier = make(encoder, train.num_classes, learning_rate=learning_rate, seed=seed)
    history = run.fit(
        classifier,
        train.x,
        train.y,
        stage=kind,
        epochs=epochs,
        batch_size=batch_size,
        validation_data=(val.x, val.y),
        keep_best="val_accuracy",
    )
    run.progress.close()
    results = {"labels": len(train), "best_epoch": history["best_epoch"], "error": {}}
    for split, examples in {"train": train, "valid": val, "test": test}.items():
        accuracy = classifier.evaluate(examples.x, examples.y, verbose=0, return_dict=True)["accuracy"]
        results["error"][split] = round(100 * (1 - accuracy), 4)
    if k is not None:
        error = 1 - knn_accuracy(encoder, train, test, k=min(k, len(train)))
        results["error"]["test, nearest neighbours"] = round(100 * error, 4)
    run.draw()
    _save_model(classifier, run.folder / "classifier.keras")
    run.finish(results)
    return run.results


def _load(name, data_dir, labels=None):
    return data.load(name, seed=0, data_dir=data_dir, labels=labels)


def _encoder_of(folder):
    folder = Path(folder)
    path = folder / "encoder.keras"
    if not path.is_file():
        _checks.refuse(
            "RUN",
            "be the folder of a finished `tf-kit pretrain`, which holds encoder.keras",
            f"{folder}",
            "--resume finishes a run that was broken off",
        )
    return keras.models.load_model(path), read_json(folder / "config.json", "config.json")["options"]


def _save_model(model, path):
    unfinished = path.with_name(f"unfinished-{path.name}")
    model.save(unfinished)
    unfinished.replace(path)


def _draw_what_was_learned(run, blocks, x):
    """Reconstructions by the first layer; samples, where the blocks are a deep belief network."""
    first, shown = blocks[0], x[:10]
    if hasattr(first, "reconstruct"):
        both = np.concatenate([shown, keras.ops.convert_to_numpy(first.reconstruct(shown))])
        figure = plotting.tiles(
            both, columns=len(shown), title="examples and their reconstruction by layer 1"
        )
        plotting.save(figure, run.folder / "figures" / "reconstructions.png")
    if isinstance(first, RBM):
        samples = DeepBeliefNetwork(blocks).sample(40, num_steps=200, start=x[:40], seed=first.seed)
        samples = keras.ops.convert_to_numpy(samples).reshape(-1, *x.shape[1:])
        figure = plotting.tiles(
            samples, title="samples of the deep belief network, 200 Gibbs steps from examples"
        )
        plotting.save(figure, run.folder / "figures" / "samples.png")
