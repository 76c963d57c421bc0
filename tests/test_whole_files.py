"""Files are whole or not there, and every part of the package writes them by the one function that makes them so."""

import ast
import errno
import os
import threading
from pathlib import Path
from unittest import mock

import pytest

from tf_kit import stderr, whole_files

PACKAGE = Path(whole_files.__file__).parent
# Files that only this process or the system reads, or that another library asks for.
OTHERS = {
    "data/raw.py",  # notes for tensorflow-datasets
    "grading/ipython.py",  # what %%writefile of a notebook writes
    "grading/sandbox/confinement.py",  # files of /proc
    "grading/sandbox/memory.py",  # files of a control group
    "ownership.py",  # who holds a lock
}


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_files.replacing(path) as unfinished:
        unfinished.write_text("new")
        assert path.read_text() == "old"
        assert unfinished.parent == path.parent
        assert unfinished.suffix == ".txt"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def write(path, error=None):
    with whole_files.replacing(path) as unfinished:
        unfinished.write_text("half")
        if error is not None:
            raise error


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("moment", ["written", "flushed"])
@pytest.mark.parametrize("before", ["old", None])
def test_a_full_disk_leaves_what_was_there_and_names_the_file(moment, before, tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    if before is not None:
        path.write_text(before)
    if moment == "flushed":
        monkeypatch.setattr(os, "fsync", mock.Mock(side_effect=FULL))
    with pytest.raises(OSError, match="No space left") as raised:
        write(path, FULL if moment == "written" else None)
    assert raised.value.filename == str(path)
    assert os.listdir(tmp_path) == ([] if before is None else ["a.txt"])
    assert before is None or path.read_text() == before


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_error_of_the_writer_is_passed_on(error, tmp_path):
    with pytest.raises(error):
        write(tmp_path / "a.txt", error())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_file_is_written(exists, tmp_path):
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "b.txt", tmp_path / "a.txt"
    if exists:
        real.write_text("old")
    link.symlink_to(real)
    whole_files.write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert os.listdir(real.parent) == ["b.txt"]


def test_what_is_no_file_is_written_itself(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    whole_files.write_text(pipe, "new")
    reader.join()
    assert read == ["new"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["é" * 120 + ".txt", "x" * 251 + ".txt", ".hidden", "no ending"])
def test_every_name_that_a_file_can_have(name, tmp_path):
    assert whole_files.write_text(tmp_path / "new" / name, "a\nb").read_bytes() == b"a\nb"
    assert os.listdir(tmp_path / "new") == [name]


@pytest.mark.parametrize("names", [("a.txt", "a.txt"), (f"{'x' * 60}1.txt", f"{'x' * 60}2.txt")])
def test_two_files_that_are_written_at_once_do_not_mix(names, tmp_path):
    first, second = (tmp_path / name for name in names)
    with whole_files.replacing(first) as one, whole_files.replacing(second) as other:
        one.write_text("first")
        other.write_text("second")
    assert first.read_text() == "first"  # which is complete later
    assert second.read_text() == ("first" if first == second else "second")
    assert sorted(os.listdir(tmp_path)) == sorted(set(names))


def writes(tree):
    """Lines that write a file which is not an unfinished one."""
    inside = [
        name.id
        for block in ast.walk(tree)
        if isinstance(block, ast.With)
        for item in block.items
        if "replacing(" in ast.unparse(item.context_expr)
        for name in ast.walk(item.optional_vars or ast.Constant(None))
        if isinstance(name, ast.Name)
    ]
    for call in (each for each in ast.walk(tree) if isinstance(each, ast.Call)):
        *owner, function = ast.unparse(call.func).rsplit(".", 1)
        given = ast.unparse(call)
        opens = function == "open" and any(f"'{mode}" in given for mode in "wx")
        nowhere = "devnull" in given or "fileobj" in given  # or into memory
        writes_path = bool(owner) and function in ("write_text", "write_bytes")
        if (opens or writes_path) and not nowhere and not {*owner} & {*inside, "whole_files"}:
            yield call.lineno


def test_no_part_writes_a_file_in_another_way():
    files = {
        file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8")
        for file in PACKAGE.rglob("*.py")
    }
    assert {name for name, text in files.items() if list(writes(ast.parse(text)))} == OTHERS


def test_the_search_finds_a_file_written_in_another_way():
    """Wrong twin."""
    for line in ('open("a", "w")', 'Path("a").write_text("b")', 'path.open("wb")', 'path.write_bytes(b"")'):
        assert list(writes(ast.parse(line)))
        whole = f"with replacing(path) as unfinished:\n    {line}"
        assert list(writes(ast.parse(whole)))
    assert not list(writes(ast.parse('with replacing(path) as path:\n    path.open("w")')))


def test_standard_error_that_is_closed_may_be_silenced(monkeypatch):
    monkeypatch.setattr(stderr.sys, "stderr", None)
    monkeypatch.setattr(os, "dup", lambda _: os.close(-1))
    with stderr.closed():
        pass
