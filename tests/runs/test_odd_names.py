"""Tests of run folders whose names are not words: bytes that are not text, flags, formats, several lines."""

import json
import os
import shlex

import pytest

from tf_kit.runs.classification import finetune_run
from tf_kit.runs.pretraining import pretrain
from tf_kit.runs.report import as_argument
from tf_kit.runs.saved import load_saved

NAMES = [os.fsdecode(b"caf\xe9"), "café", "a b%d%s#{}", "two\nlines", "-dash"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_run_of_any_name_is_trained_tuned_and_loaded(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pretrain("masked", "digits", out=name, units=(8,), epochs=1, monitor_every=0)
    finetune_run(name, out=f"{name}-tuned", epochs=1)
    config = json.loads((tmp_path / f"{name}-tuned" / "config.json").read_text(encoding="utf-8"))
    assert name in json.dumps(config, ensure_ascii=False).replace("\\n", "\n")
    assert load_saved("test", f"{name}-tuned") is not None


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_line_that_names_the_next_command_can_be_typed(name):
    (word,) = shlex.split(as_argument(name))
    assert not word.startswith("-")
    assert os.path.normpath(word) == name
