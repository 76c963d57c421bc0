"""The answer of `check`: escaped HTML in a notebook, wrapped text elsewhere, and whose standard error is hidden."""

import subprocess
import sys

import nbformat
import pytest

from tf_kit.grading.shown import Shown

ANSWER = """import os, sys, numpy as np
from tf_kit.grading import checking
def patchify(images, size):
    os.write(2, b"from a library\\n")
    print("from the student", file=sys.stderr)
    raise ValueError("<script>alert(1)</script> \\x1b[2J& more")
"""
HOSTILE = "<script>alert(1)</script>"


def test_html_holds_no_markup_of_the_answer():
    html = Shown(f"Title {HOSTILE}\n  ✗ part\n      case: `{HOSTILE}` \x1b[31mred\" onload='x'\x07").html()
    assert "<script" not in html
    assert "\x1b" not in html
    assert "onload=&#x27;x&#x27;" in html
    assert "<code>&lt;script&gt;alert(1)&lt;/script&gt;</code>" in html
    assert html.count("<div") == html.count("</div>") == 3


@pytest.mark.parametrize("width", [30, 60, 100])
def test_lines_are_broken_between_words_only(width):
    text = (
        "Title\n      values: got -0.123456789e-12, expected 1234567.875 at [12, 3], well-known " * 3
        + "w" * 120
    )
    shown = Shown(text).text(width)
    assert shown.split() == text.split()
    assert all(len(line) <= width for line in shown.splitlines() if "w" * 120 not in line)


def test_control_characters_never_reach_a_terminal():
    assert Shown("one\x1b[2J\n  two\x07").text() == "one\n  two\N{REPLACEMENT CHARACTER}"


@pytest.mark.slow
def test_program_keeps_its_standard_error():
    code = ANSWER + 'checking.check("patchify", globals())\n'
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "from the student" in ran.stderr
    assert "from a library" in ran.stderr
    assert f"raised ValueError: {HOSTILE} & more" in " ".join(ran.stdout.split())


@pytest.mark.slow
def test_notebook_shows_html_without_the_log_of_a_library(monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with it, a kernel does not show descriptor 2
    cells = [nbformat.v4.new_code_cell(ANSWER), nbformat.v4.new_code_cell('checking.check("patchify")')]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = notebook.cells[1].outputs
    (data,) = [each.data for each in outputs if each.output_type == "display_data"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in data["text/html"]
    assert "<script" not in data["text/html"]
    assert "ValueError" in data["text/plain"]
    errors = "".join(each.text for each in outputs if each.get("name") == "stderr")
    assert "from a library" not in errors
    assert "from the student" in errors
