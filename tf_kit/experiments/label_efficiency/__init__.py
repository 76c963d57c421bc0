"""Test accuracy by number of labels: every pretraining method against training from scratch."""

import dataclasses

from tf_kit import data, plotting
from tf_kit.checks import choice, count
from tf_kit.data.overlap import refuse_overlap
from tf_kit.experiments.label_efficiency.report import draw, format_labels, summarize
from tf_kit.experiments.label_efficiency.rows import Row
from tf_kit.experiments.label_efficiency.settings import (
    fitting,
    rows_of,
    settings_for,
    shared_seed,
    total_cost,
)
from tf_kit.experiments.tuning import forget_models
from tf_kit.pretraining.methods import IMAGE_METHODS
from tf_kit.runs.progress import Progress
from tf_kit.runs.run import Run
from tf_kit.runs.training_data import refuse_without_labels

__all__ = ["format_labels", "run_label_efficiency", "settings_for"]


def run_label_efficiency(
    name="digits", seeds=3, out=None, resume=False, methods=None, data_dir=None, quiet=False, **changes
):
    """Pretrains by every method, fine-tunes and probes with few and with many labels, and tests once each.

    A seed fixes which examples keep their label (evenly over the classes, and fewer always within more), which
    validation examples choose, the output layer and the order of the examples; and the pretraining and, where the
    data set has none of its own, the split, unless `pretrainings` lets seeds share both. Pretraining sees the images
    of train alone. Rows with the same kind of encoder start fine-tuning from the same architecture, take the same
    number of steps without augmentation, and choose learning rate and epoch from the same list on the same
    validation examples; so do the probe with its rates and the neighbors with their number. The test set is used
    once for each row, number of labels, seed and measure, after all is chosen.

    Args:
        name: data set, as for `data.load`.
        seeds: how many seeds, 0 … seeds − 1.
        out: run folder.
        resume: whether to go on with the run in `out`.
        methods: names of `tf-kit pretrain`. Defaults to all. The row "from scratch" of each kind of encoder
            comes by itself.
        data_dir: folder of prepared data sets.
        quiet: whether to show no progress.
        **changes: fields of `Settings` to change.

    Returns:
        The results as written to `results.json`.

    Reference: Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning", table 7; on
    what may be chosen with how many validation labels Oliver, Odena, Raffel, Cubuk, Goodfellow 2018, "Realistic
    Evaluation of Deep Semi-Supervised Learning Algorithms", section 4.6.
    """
    seeds = count("labels.seeds", seeds)
    names = [
        choice("labels.methods", each, IMAGE_METHODS)
        for each in dict.fromkeys(methods or IMAGE_METHODS)  # each once
    ]
    splits = _load(name, 0, data_dir)
    if not splits[0].num_classes:
        refuse_without_labels(name)
    settings = fitting(settings_for(len(splits[0]), **changes), splits)
    rows = rows_of(names)
    options = {"command": "labels", "data": name, "data_dir": data_dir and str(data_dir), "methods": names}
    options |= dataclasses.asdict(settings)
    progress = Progress(total_cost(rows, settings, len(splits[0]), seeds), quiet=quiet)
    run = Run(out, options, resume=resume, progress=progress)
    found = {row: {labels: [] for labels in settings.labels} for row in rows}
    for seed in range(seeds):
        if seed:
            splits = _load(name, shared_seed(seed, settings), data_dir)
        for row in rows:
            work = Row(run, name, row, seed, settings, splits, options)
            for labels in settings.labels:
                found[row][labels].append(work.measure(labels))
            if not work.supervised:  # whose cells have a pretraining each
                work.skip_pretraining()
            forget_models()
    progress.close()

    results = summarize(name, splits, rows, found, settings)
    cells = [each for row in found.values() for seeds_of_cell in row.values() for each in seeds_of_cell]
    results["seconds"] = round(
        sum(each["seconds"] for each in cells), 1
    )  # also of what an earlier call has run
    plotting.save(draw(results), run.folder / "figures" / "label_efficiency.png")
    (run.folder / "table.txt").write_text(format_labels(results) + "\n", encoding="utf-8")
    run.finish(results)
    return run.results


def _load(name, seed, data_dir):
    """The splits, of which none may hold an example that train has too."""
    train, val, test = data.load(name, seed=seed, data_dir=data_dir)
    refuse_overlap(train, val, ("train", "val"))
    refuse_overlap(train, test, ("train", "test"))
    return train, val, test
