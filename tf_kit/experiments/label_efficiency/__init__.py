"""Test accuracy by number of labels: every pretraining method compared with training from scratch."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tf_kit.checks import choice, count, refuse
from tf_kit.data.overlap import refuse_overlap
from tf_kit.experiments.cells import Cells, Loading, number_of_jobs
from tf_kit.experiments.given_data import given_data
from tf_kit.experiments.label_efficiency.report import draw, format_labels, summarize
from tf_kit.experiments.label_efficiency.rows import Row, cell_folder
from tf_kit.experiments.label_efficiency.settings import (
    SCRATCH,
    UNRECORDED,
    fitting,
    rows_of,
    settings_for,
    shared_seed,
    total_cost,
)
from tf_kit.experiments.tuning import forget_models
from tf_kit.pretraining.methods import IMAGE_METHODS
from tf_kit.runs.encoders import encoder_options
from tf_kit.runs.figures import save_figure
from tf_kit.runs.files import write_text
from tf_kit.runs.progress import Progress
from tf_kit.runs.run import Run
from tf_kit.training.precision import precision as precision_of_layers

__all__ = ["format_labels", "run_label_efficiency", "settings_for"]


def run_label_efficiency(
    name: str = "digits",
    seeds: int = 3,
    out: str | Path | None = None,
    resume: bool = False,
    methods: Sequence[str] | None = None,
    data_dir: str | Path | None = None,
    quiet: bool = False,
    precision: str | None = None,
    jobs: int | None = 1,
    image_size: int | tuple[int, int] | None = None,
    color: str | None = None,
    labels_file: str | Path | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Pretrain by every method, fine-tune and probe with few and with many labels, and test once each.

    A seed fixes which examples keep their label (evenly over the classes; the examples of a smaller number are among
    those of a larger one), the validation examples of all choices, the output layer and the order of the examples. It
    also fixes the pretraining and, if the data set has none, the split, unless seeds share both through
    `pretrainings`. Pretraining uses the images of train alone.

    Rows with the same kind of encoder start fine-tuning from the same architecture, take the same number of steps
    without augmentation, and choose learning rate and epoch from the same list on the same validation examples. The
    same holds for the learning rate of the probe and the number of neighbors. The test set is used once per row, number
    of labels, seed and measure, after all choices.

    Args:
        name: data set, as for `data.load`. Defaults to `"digits"`.
        seeds: number of seeds: 0, 1, … Defaults to 3.
        out: run folder.
        resume: whether to continue the run in `out`. Defaults to False.
        methods: names of pretraining methods on images. Defaults to None, all. The row "from scratch" of each kind of
            encoder is added.
        data_dir: folder of prepared data sets. Defaults to None.
        quiet: whether to show no progress. Defaults to False.
        precision: `"float32"` or `"bfloat16"`, of pretraining, fine-tuning and probe. Defaults to None, the policy that
            Keras has.
        jobs: number of processes that train, each with an equal share of the processors, as for `run_table`; a process
            trains a row with all seeds that share its pretraining. Defaults to 1, this process.
        image_size, color, labels_file: how the images of a folder are read, as for `data.load`. Default to None.
        **changes: fields of `Settings` to change, see `settings_for`.

    Returns:
        The results as written to `results.json`.

    Raises:
        InputError: an argument is out of range, the data cannot be used, or `out` holds another run.

    Reference: Chen, Kornblith, Norouzi, Hinton, 2020, A simple framework for contrastive learning of visual
    representations, arXiv:2002.05709, table 7; on choices with few validation labels Oliver, Odena, Raffel, Cubuk,
    Goodfellow, 2018, Realistic evaluation of deep semi-supervised learning algorithms, arXiv:1804.09170, section 4.6.
    """
    seeds = count("run_label_efficiency.seeds", seeds)
    jobs = number_of_jobs("run_label_efficiency.jobs", jobs)
    methods = [methods] if isinstance(methods, str) else methods
    names = [
        choice("run_label_efficiency.methods", each, IMAGE_METHODS)
        for each in dict.fromkeys(methods or IMAGE_METHODS)  # a method that is named twice counts once
    ]
    if precision is not None:
        choice("run_label_efficiency.precision", precision, ("float32", "bfloat16"))
    examples = given_data("run_label_efficiency", name, data_dir, image_size, color, labels_file)
    load = functools.partial(_load, examples, "rbm" in names)
    splits = load(0)
    for each in names:
        encoder_options(each, None, splits[0].x.shape[1:], {})  # refuses points where a method needs images
    settings = fitting(settings_for(len(splits[0]), **changes), splits)
    rows = rows_of(names)
    if changes.get("units") is not None and SCRATCH + "mlp" not in rows:
        received = f"units={changes['units']} with methods={names}"
        refuse(
            "run_label_efficiency.units", "be left out for methods without a multilayer perceptron", received
        )
    options = {"command": "labels", **examples.options(), "methods": names, **dataclasses.asdict(settings)}
    options |= {"precision": precision} if precision else {}
    progress = Progress(total_cost(rows, settings, len(splits[0]), seeds), quiet=quiet)
    contents = examples.contents()
    run = Run(out, options, resume=resume, progress=progress, data=contents, defaults=UNRECORDED)
    measure = functools.partial(
        _measure, run.folder, seeds, settings, options, precision, contents, Loading(load, 0, splits)
    )
    parts = [(row, first) for first in range(min(settings.pretrainings or seeds, seeds)) for row in rows]
    open_ = [part for part in parts if not _is_measured(part, run.folder, seeds, settings)]
    found: dict[str, dict[int, Any]] = {row: {} for row in rows}
    with Cells(jobs, measure, open_, progress) as others:
        for row, first in parts:
            found[row] |= others.result((row, first))
    progress.close()

    by_labels = {
        row: {labels: [of_seeds[seed][labels] for seed in range(seeds)] for labels in settings.labels}
        for row, of_seeds in found.items()
    }
    results = summarize(name, splits, rows, by_labels, settings)
    cells = [each for row in by_labels.values() for of_labels in row.values() for each in of_labels]
    # The sum over the cells includes those that an earlier call has trained.
    results["seconds"] = round(sum(each["seconds"] for each in cells), 1)
    save_figure(draw(results), run.folder / "figures" / "label_efficiency.png")
    write_text(run.folder / "table.txt", format_labels(results) + "\n")
    return run.finish(results)


def _seeds_of(first, seeds, settings):
    """Return the seeds that share the pretraining of the seed `first`."""
    return [seed for seed in range(seeds) if shared_seed(seed, settings) == first]


def _is_measured(part, table, seeds, settings):
    row, first = part
    cells = itertools.product(settings.labels, _seeds_of(first, seeds, settings))
    return all((cell_folder(table, row, *cell) / "results.json").exists() for cell in cells)


def _measure(table, seeds, settings, options, precision, contents, load, part, progress):
    """Measure the cells of a row for the seeds that share a pretraining: seed → number of labels → results."""
    row, first = part
    splits, found = load(first), {}
    with precision_of_layers(precision):
        for seed in _seeds_of(first, seeds, settings):
            work = Row(table, row, seed, settings, splits, options, contents, progress)
            found[seed] = {labels: work.measure(labels) for labels in settings.labels}
            if not work.supervised:  # supervised pretraining is repeated for each number of labels
                work.skip_pretraining()
            forget_models()
    return found


def _load(examples, for_rbm, seed):
    """Load the splits; refuse examples of val or test that are also in train."""
    train, val, test = examples.load(seed, for_rbm)
    refuse_overlap(train, val, ("train", "val"))
    refuse_overlap(train, test, ("train", "test"))
    return train, val, test
