"""Tests of `report.html`: well-formed, self-contained, escaped, small, and written again for a finished run."""

import html.parser
import re

import numpy as np
import pytest

from tf_kit.runs import Run, report
from tf_kit.runs.files import write_json
from tf_kit.runs.progress import Progress

HOSTILE = '<script>alert("a & \x1bb")</script>'
VOID = {"meta", "img", "br", "hr", "link", "input"}
RESULTS = {
    "labels": 300,
    "best_epoch": 5,
    "error": {"train": 2.3333, "valid": 21.0, "test": 17.0},
    "from_scratch": {
        "best_epoch": 9,
        "error": {"train": 0.0, "valid": 26.0, "test": 25.0},
        "difference": {"train": 2.3333, "valid": -5.0, "test": -8.0},
        "test_right_only": {"pretrained": 10, "from scratch": 2},
    },
    "test_by_class": {"class_names": [HOSTILE, "Bag"], "error": [10.0, None], "confusion": [[9, 1], [0, 0]]},
}


class Page(html.parser.HTMLParser):
    """Reads a page, and checks that each tag is closed in its place."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def folder(tmp_path):
    """A run folder as `finetune_run` writes it, with names that must be escaped."""
    folder = tmp_path / "runs" / "a & <b>" / "finetune"
    (folder / "figures").mkdir(parents=True)
    options = {"command": "finetune", "epochs": 12, "data": f"/data/{HOSTILE}", "labels": 300, "seed": 0}
    data = {"entries": 602, "bytes": 1148050, "digest": "a716b1"}
    write_json(folder / "config.json", {"options": options, "data": data, "versions": {"keras": "3.15.1"}})
    load = 'model = keras.models.load_model("classifier.keras")'
    write_json(folder / "inputs.json", {"shape": [28, 28, 1], "color": "grey", "load": load})
    write_json(folder / "results.json", RESULTS)
    (folder / "history.csv").write_text("stage,epoch,seconds,loss\nfinetune,1,0.5,0.25\n")
    (folder / "figures" / "curves.png").write_bytes(b"\x89PNG, a small one")
    return folder


def read(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_page_holds_settings_data_results_and_next_commands(folder):
    report.write_report(folder)
    text, page = read(folder)
    words = " ".join(" ".join(page.words).split())
    assert "602 files or arrays, 1.1 MB; examples of 28×28 grey" in words
    assert re.search(
        r"pretrained 2.33 21.00 17.00 from scratch 0.00 26.00 25.00 difference 2.33 -5.00 -8.00", words
    )
    for wanted in ("tf-kit predict '", "/finetune' PICTURES", "load_model", "Bag 0", "finetune 1 0.5 0.25"):
        assert wanted in words
    assert page.tags.count("img") == 1
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "prefers-color-scheme: dark" in text


def test_names_are_escaped(folder):
    report.write_report(folder)
    _, page = read(folder)
    assert "script" not in page.tags
    cleaned = HOSTILE.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    assert sum(cleaned in word for word in page.words) == 3  # data, setting and class


def test_figure_that_is_too_large_is_named_instead(folder):
    noise = np.random.default_rng(0).bytes(report.LARGEST_BYTES)
    (folder / "figures" / "views.png").write_bytes(noise)
    report.write_report(folder)
    _, page = read(folder)
    assert (folder / "report.html").stat().st_size < 1.5e6
    assert "figures/views.png, too large for this page" in " ".join(page.words)
    assert page.tags.count("img") == 1


def test_finished_run_writes_it_again_when_it_is_resumed(tmp_path):
    options = {"command": "pretrain", "method": "simclr", "data": "digits"}
    run = Run(tmp_path / "run", options, progress=Progress(quiet=True))
    assert report.finished(run, "encoder.keras") is None
    assert not (tmp_path / "run" / "report.html").exists()
    kept = {"pretraining": {"text": "kept epoch 4 of 4"}}
    stages = {"pretraining": {"seconds": 0.6, "loss": 3.25}}
    results = report.finish(run, {"stages": stages, "collapsed_in": {"pretraining": 2}, "kept": kept})
    first, page = read(tmp_path / "run")
    words = " ".join(" ".join(page.words).split())
    for wanted in ("Pretraining by simclr on digits", "collapsed in epoch 2", "kept epoch 4", "0.6 3.25"):
        assert wanted in words
    (tmp_path / "run" / "report.html").unlink()
    (tmp_path / "run" / "inputs.json").write_text("{")
    again = Run(tmp_path / "run", options, resume=True, progress=Progress(quiet=True))
    assert report.finished(again, "encoder.keras") == results
    (tmp_path / "run" / "inputs.json").unlink()
    again = Run(tmp_path / "run", options, resume=True, progress=Progress(quiet=True))
    assert report.finished(again, "encoder.keras") == results
    assert read(tmp_path / "run")[0] == first


def test_missing_model_of_a_finished_run_is_named(tmp_path):
    lines, progress = [], Progress(quiet=True)
    progress.print = lines.append
    run = Run(tmp_path / "run", {"command": "finetune"}, progress=progress)
    run.finish({"labels": 3})
    report.finished(run, "classifier.keras")
    assert lines == [
        f"{tmp_path / 'run' / 'classifier.keras'} is missing; remove results.json there to train it again"
    ]
    (tmp_path / "run" / "classifier.keras").touch()
    report.finished(run, "classifier.keras")
    assert len(lines) == 1
