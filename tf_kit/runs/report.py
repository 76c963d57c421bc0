"""Report of a run: one HTML page with settings, data, results, figures and the commands that come next.

The page holds its figures, needs no network and no script, and is written again whenever its run is asked for again.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import shlex
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_kit.checks import refuse
from tf_kit.errors import InputError, RunStopped
from tf_kit.markup import escaped
from tf_kit.options import text_of
from tf_kit.runs.files import read_json, write_text
from tf_kit.runs.run import Run, refuse_results

FILE = "report.html"
LARGEST_BYTES = 1_400_000  # of a report; figures that do not fit are named instead
MOST_ROWS = 200  # epochs of the history
MANY_PANELS = (
    "monitors",
    "most_wrong",
)  # too small to read on a narrow screen, where they are scrolled instead
_OF_OTHER_CONTENT = (AttributeError, IndexError, KeyError, TypeError, ValueError)  # than a run writes
CAPTIONS = {
    "curves": "Loss and metrics by epoch",
    "monitors": "Measures of the representation by epoch",
    "views": "Some images, and their views",
    "reconstructions": "Some images, and their reconstruction",
    "confusion": "Confusion matrix of the test examples",
    "most_wrong": "Test images with the most probable wrong class",
    "filters": "Filters of the first layer",
    "samples": "Samples of the model",
}


def finish(run: Run, results: Mapping[str, Any]) -> dict[str, Any]:
    """Record the results of a run as `Run.finish` does, and write its report."""
    recorded = run.finish(results)
    write_report(run.folder)
    return recorded


def finished(run: Run, model: str) -> dict[str, Any] | None:
    """Return the results of a run that is finished, and write its report again; None if the run is not finished.

    A folder that cannot be written, or lacks what the report needs, still gives the results. A line tells if the
    model is gone.

    Args:
        run: the run.
        model: file of its model, `"encoder.keras"` or `"classifier.keras"`.

    Raises:
        InputError: results.json holds what no run has written.
    """
    results = run.results
    if results is not None:
        try:
            _results(results)
        except _OF_OTHER_CONTENT:
            refuse_results(run.folder)
        if not (run.folder / model).is_file():
            run.progress.print(
                f"{run.folder / model} is missing; remove results.json there to train it again"
            )
        with contextlib.suppress(InputError, RunStopped):
            write_report(run.folder)
    return results


def write_report(folder: str | Path) -> Path:
    """Write `report.html` of a finished run of `pretrain`, `finetune_run` or `probe_run`.

    Args:
        folder: the run folder.

    Returns:
        The path of the report.

    Raises:
        InputError: config.json, results.json or inputs.json cannot be read, or holds what no run has written.
    """
    folder = Path(folder).expanduser()
    config, results = (read_json(folder / name, name) for name in ("config.json", "results.json"))
    inputs = read_json(folder / "inputs.json", "inputs.json") if (folder / "inputs.json").exists() else {}
    try:
        page = _page(folder, config, results, inputs)
    except _OF_OTHER_CONTENT:
        requirement = "hold config.json, results.json and inputs.json as the run has written them"
        refuse("write_report.folder", requirement, f"{folder}", "Start a new run in another folder")
    write_text(folder / FILE, page)
    return folder / FILE


def _page(folder, config, results, inputs):
    options = config["options"]
    parts = {
        "title": escaped(_title(folder, options)),
        "circumstances": escaped(_circumstances(config)),
        "data": _data(config, inputs),
        "results": _results(results),
        "next": _next(folder, options, inputs),
        "settings": _table(["option", "value"], _flat(options)),
        "history": _history(folder),
    }
    room = LARGEST_BYTES - sum(len(part.encode()) for part in parts.values())
    return _template().substitute(parts, figures=_figures(folder / "figures", room))


def _template():
    return string.Template((Path(__file__).parent / FILE).read_text(encoding="utf-8"))


def _title(folder, options):
    if options.get("command") == "pretrain":
        return f"Pretraining by {options['method']} on {Path(str(options['data'])).name}"
    kind = {"finetune": "Fine-tuning", "probe": "Probe"}.get(str(options.get("command")), "Run")
    return f"{kind} of {folder.resolve().parent.name if 'run' not in options else Path(options['run']).name}"


def _circumstances(config):
    versions = ", ".join(f"{name} {version}" for name, version in config.get("versions", {}).items())
    machine = " ".join(str(each) for each in config.get("machine", {}).values())
    replicas = config.get("replicas", 1)
    devices = f"{replicas} replica{'s' * (replicas != 1)}"
    return f"Started {config.get('started', 'at an unknown time')} · {versions} · {machine}, {devices}"


def _data(config, inputs):
    """Write two lines: what the data are, and how they are recognized."""
    options, data, shape = config["options"], config.get("data") or {}, inputs.get("shape")
    named = f"Data: {options.get('data', 'those of the pretraining')}"
    if data.get("bytes") is not None:
        named += f", {data['entries']:,} files or arrays, {data['bytes'] / 1e6:,.1f} MB"
    if shape:
        color = f" {inputs['color']}" if inputs.get("color") else ""
        named += f"; examples of {'×'.join(map(str, shape[:2] if color else shape))}{color}"
    lines = [named]
    if data.get("digest"):
        covers = "; ".join(dict.fromkeys(str(data.get("covers", "the contents")).split("; ")))
        lines.append(f"Fingerprint {data['digest']} of {covers}, listed in data.csv")
    return "\n".join(f"<p>{escaped(line)}</p>" for line in lines)


def _results(results):
    parts = []
    if "error" in results:
        parts += _errors(results)
    for stage, text in _sentences(results):
        parts.append(f"<p>{escaped(f'{stage}: {text}')}</p>")
    stages = results.get("stages", {})
    if stages:
        names = list(dict.fromkeys(name for values in stages.values() for name in values))
        rows = [[stage, *(_number(values.get(name)) for name in names)] for stage, values in stages.items()]
        parts.append(_table(["stage, last epoch", *names], rows, numbers=True))
    by_class = results.get("test_by_class")
    if by_class:
        totals = map(sum, by_class["confusion"])
        rows = zip(by_class["class_names"], totals, map(_percent, by_class["error"]), strict=True)
        parts.append(_table(["class", "test examples", "error in %"], rows, numbers=True))
    return "\n".join(parts)


def _errors(results):
    """Write the error on each split, and that of the same network from scratch if it was trained."""
    yield f"<p>{results['labels']:,} labels, best epoch {results['best_epoch']}</p>"
    splits, scratch = list(results["error"]), results.get("from_scratch")
    rows = [
        ["pretrained" if scratch else "error in %", *(_percent(each) for each in results["error"].values())]
    ]
    if scratch:
        rows.append(["from scratch", *(_percent(scratch["error"].get(each)) for each in splits)])
        rows.append(["difference", *(_percent(scratch["difference"].get(each)) for each in splits)])
    yield _table(["error in %" if scratch else "", *splits], rows, numbers=True)


def _sentences(results):
    for stage, epoch in results.get("collapsed_in", {}).items():
        yield stage, f"the embeddings collapsed in epoch {epoch}, so fine-tuning will gain little"
    for stage, kept in results.get("kept", {}).items():
        yield stage, kept["text"]
    for name, accuracy in results.get("test", {}).items():  # of a text
        yield "test, masked characters", f"{name} {accuracy:.2f} %"
    if "unchecked" in results:
        yield "test", results["unchecked"]
    if "test_seen_in_pretraining" in results:
        yield (
            "test",
            f"{results['test_seen_in_pretraining']:,} examples were seen in the pretraining, without labels",
        )


def as_argument(path: str | Path) -> str:
    """Quote a path for a shell, so that a command does not read it as a flag.

    >>> as_argument("my runs/1"), as_argument("-mine")
    ("'my runs/1'", './-mine')
    """
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


def _next(folder, options, inputs):
    run, first = as_argument(folder), options.get("command") == "pretrain"
    lines = (
        [f"tf-kit finetune {run} --compare", f"tf-kit probe {run}", f"tf-kit embed {run} PICTURES"]
        if first
        else [f"tf-kit predict {run} PICTURES", f"tf-kit export {run} --format onnx"]
    )
    if first and options.get("method") == "tokens":
        lines = []
    load = [f"# in {folder}", inputs["load"]] if inputs.get("load") else []
    return f"<pre>{escaped(chr(10).join([*lines, *load]))}</pre>"


def _figures(folder, room):
    order = {name: place for place, name in enumerate(CAPTIONS)}
    found = sorted(folder.glob("*.png"), key=lambda each: (order.get(each.stem, len(order)), each.stem))
    parts = []
    for path in found:
        caption = escaped(CAPTIONS.get(path.stem, path.stem))
        try:
            content = base64.b64encode(path.read_bytes()).decode()
        except OSError:
            continue  # a folder, or a file that may not be read
        if len(content) > room:
            parts.append(f"<p>{caption}: figures/{escaped(path.name)}, too large for this page</p>")
            continue
        room -= len(content)
        image = f'<img alt="{caption}" src="data:image/png;base64,{content}">'
        kind = ' class="panels"' if path.stem in MANY_PANELS else ""
        parts.append(f"<figure{kind}>{image}<figcaption>{caption}</figcaption></figure>")
    return "\n".join(parts) or "<p>none</p>"


def _history(folder):
    damaged = (OSError, ValueError, csv.Error)
    with contextlib.suppress(*damaged), (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        columns, *rows = csv.reader(file)
        left = f"<p>the last {MOST_ROWS} of {len(rows):,} epochs</p>" if len(rows) > MOST_ROWS else ""
        return left + _table(columns, rows[-MOST_ROWS:], numbers=True)
    return "<p>none</p>"


def _flat(options: Mapping[str, Any], before: str = "") -> list[list[str]]:
    """
    >>> _flat({"epochs": 4, "encoder": {"units": [8, 8]}, "labels": None})
    [['epochs', '4'], ['encoder.units', '8,8']]
    """
    rows = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{before}{name}.")
        elif value is not None:
            rows.append([before + name, text_of(value)])
    return rows


def _table(columns: Sequence[str], rows: Iterable[Iterable[Any]], numbers: bool = False) -> str:
    """Write a table; with `numbers` all columns but the first are aligned to the right."""
    aligned = ' class="number"' if numbers else ""
    head = "".join(f"<th{aligned if i else ''}>{escaped(each)}</th>" for i, each in enumerate(columns))
    lines = []
    for row in rows:
        cells = (f"<td{aligned if i else ''}>{escaped(each)}</td>" for i, each in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    return f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>'


def _number(value):
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _percent(value):
    return "" if value is None else f"{value:.2f}"
