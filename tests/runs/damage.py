"""Damages of a file, a folder or a disk: what a crash, a full disk or a stranger leaves."""

import contextlib
import json
import resource
import shutil

from tf_kit.runs import files


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def make_foreign(path):
    path.write_bytes(b"\xff\xd8 a photograph" * 50)


def remove(path):
    path.unlink()


def put_a_folder(path):
    path.unlink()
    (path / "inside").mkdir(parents=True)


def make_unreadable(path):
    """Make a file that nobody can open: a link to itself stops even root, whom permissions do not."""
    path.unlink()
    path.symlink_to(path.name)


def put_a_file(path):
    shutil.rmtree(path)
    path.write_text("a file")


def make_folder_unreadable(path):
    shutil.rmtree(path)
    path.symlink_to(path.name)


def fill_the_disk(monkeypatch, name):
    """Let the operating system refuse what is written to files of a name beyond their first 16 bytes."""
    writing = files.stopping_if_unwritable

    @contextlib.contextmanager
    def limited(path):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        with writing(path):
            if path.name == name:
                resource.setrlimit(resource.RLIMIT_FSIZE, (16, before[1]))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)

    monkeypatch.setattr(files, "stopping_if_unwritable", limited)


def put_other_kinds(path):
    """Put a number in place of what a JSON file holds, but for the options; any other file becomes a number."""
    held = json.loads(path.read_text()) if path.suffix == ".json" else None
    other = {name: value if name == "options" else 7 for name, value in held.items()} if held else 7
    path.write_text(json.dumps(other))


OF_FILES = [empty, cut, flip_a_bit, make_foreign, put_other_kinds, remove, put_a_folder, make_unreadable]
OF_FOLDERS = [shutil.rmtree, put_a_file, make_folder_unreadable]
