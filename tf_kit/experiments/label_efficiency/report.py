"""Label-efficiency table as numbers, as text and as a figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_kit import plotting
from tf_kit.data.splits import Split
from tf_kit.experiments.label_efficiency.settings import ENCODERS, Settings, kind_of, title_of
from tf_kit.experiments.tuning import mean_and_std, over_seeds

MEASURES = {"finetuned": "fine-tuned", "probe": "linear probe", "neighbors": "nearest neighbors"}


def summarize(
    name: str,
    splits: Sequence[Split],
    rows: Sequence[str],
    found: Mapping[str, Mapping[int | None, Sequence[Mapping[str, Any]]]],
    settings: Settings,
) -> dict[str, Any]:
    """Compute mean and standard deviation over seeds of each cell's accuracies, as written to `results.json`.

    Args:
        name: data set.
        splits: train, val and test.
        rows: names of the rows.
        found: row → number of labels → results of the seeds.
        settings: settings of the table.
    """
    table = {}
    for row in rows:
        cells = {}
        for labels, results in found[row].items():
            cell = {}
            for measure in MEASURES:
                each = [result[measure] for result in results]
                chosen = {key: [one[key] for one in each] for key in each[0] if key not in ("valid", "test")}
                split = {part: over_seeds([one[part] for one in each]) for part in ("valid", "test")}
                cell[measure] = {**split, **chosen}
            cells["all" if labels is None else str(labels)] = cell
        table[row] = {"title": title_of(row), "encoder": kind_of(row), "labels": cells}
    train, val, test = splits
    return {
        "data": name,
        "examples": {"train": len(train), "valid": settings.val_labels or len(val), "test": len(test)},
        "seeds": len(next(iter(found[rows[0]].values()))),
        "settings": dataclasses.asdict(settings),
        "rows": table,
    }


def format_labels(results: Mapping[str, Any]) -> str:
    """Format the table as text: test accuracy in percent, mean ± standard deviation over seeds.

    Args:
        results: results of `run_label_efficiency`.
    """
    examples, seeds = results["examples"], results["seeds"]
    counts = list(next(iter(results["rows"].values()))["labels"])
    lines = [
        f"{results['data']}: test accuracy in %, {seeds} seed{'s' if seeds > 1 else ''};"
        f" {examples['train']:,} training images, choices on {examples['valid']:,} labelled validation images"
    ]
    for measure, title in MEASURES.items():
        heads = [f"{count if count == 'all' else format(int(count), ',')} labels" for count in counts]
        lines += ["", f"{title:28}" + "".join(head.rjust(16) for head in heads)]
        kind = None
        for row in results["rows"].values():
            if row["encoder"] != kind:
                kind = row["encoder"]
                lines.append(f"{ENCODERS[kind]}")
            untrained = row["title"] == "from scratch" and measure != "finetuned"
            line = f"  {'untrained' if untrained else row['title']:26}"
            lines.append(
                line + "".join(mean_and_std(row["labels"][c][measure]["test"]).rjust(16) for c in counts)
            )
    return "\n".join(lines)


def draw(results: Mapping[str, Any]) -> plotting.Figure:
    """Draw the test accuracy of fine-tuning by number of labels: one panel per kind of encoder, one line per method.

    Args:
        results: results of `run_label_efficiency`.
    """
    panels: dict[str, dict[str, Any]] = {}
    for row in results["rows"].values():
        x = [results["examples"]["train"] if count == "all" else int(count) for count in row["labels"]]
        cells = [cell["finetuned"]["test"] for cell in row["labels"].values()]
        panel = panels.setdefault(row["encoder"], {"series": {}, "spread": {}})
        panel["series"][row["title"]] = np.array(x), np.array([cell["mean"] for cell in cells])
        panel["spread"][row["title"]] = np.array([cell["std"] or 0 for cell in cells])
    means = np.concatenate([y for panel in panels.values() for _, y in panel["series"].values()])
    for kind, panel in panels.items():
        ticks = next(iter(panel["series"].values()))[0].tolist()
        panel |= {"title": ENCODERS[kind], "x_label": "labels", "log": "x", "x_ticks": ticks}
        panel |= {"y_limits": (means.min() - 3, min(means.max() + 3, 100)), "legend": "lower right"}
    next(iter(panels.values()))["y_label"] = f"test accuracy on {results['data']}, %"
    return plotting.graphs(list(panels.values()), width=5.2)
