"""Damages of a file or a folder: what a crash, a full disk or a stranger leaves."""

import shutil


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


OF_FILES = [empty, cut, flip_a_bit, make_foreign, remove, put_a_folder, make_unreadable]
OF_FOLDERS = [shutil.rmtree, put_a_file, make_folder_unreadable]
