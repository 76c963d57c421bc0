"""Texts of the user: encodings, compression, folders and their division."""

import bz2
import gzip
import lzma

import pytest

from tf_kit.data import text_files
from tf_kit.data.text import load_text
from tf_kit.errors import InputError

LINE = "Grüße an alle\n"
ENCODINGS = {"utf-8": "", "utf-8-sig": "", "utf-16": "UTF-16", "utf-32": "UTF-32", "cp1252": "Windows-1252"}
ENCODINGS |= {"latin-1": "Windows-1252"}


@pytest.mark.parametrize(("encoding", "name"), ENCODINGS.items())
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_encoding_gives_the_same_text(encoding, name, newline, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes((LINE * 100).replace("\n", newline).encode(encoding))
    found = text_files.read(path)
    assert "".join(found.parts) == LINE * 100
    assert [len(each) for each in found.parts] == [1260, 70, 70]
    assert ("read as" in found.summary, name in found.summary) == (bool(name), True)


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz"])
def test_compressed_texts_are_read(ending, tmp_path):
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[ending]
    path = tmp_path / f"text.txt{ending}"
    path.write_bytes(compress((LINE * 100).encode()))
    assert "".join(text_files.read(path).parts) == LINE * 100
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(
        InputError, match=rf"text.txt{ending}` must be a file that can be read. Received: a damaged"
    ):
        text_files.read(path)


@pytest.fixture
def folder(tmp_path):
    for name, text in {
        "b.txt": "second",
        "a/z.md": "first",
        ".hidden.txt": "never",
        "c.log": "third",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text * 20)
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    return tmp_path


def test_texts_of_a_folder_are_joined_in_the_order_of_their_names(folder):
    found = text_files.read(folder)
    assert "".join(found.parts) == "\n".join(["first" * 20, "second" * 20, "third" * 20])
    assert found.summary == "3 texts, 322 characters; 1 file passed over: 1 .png"


@pytest.mark.parametrize(
    ("names", "lengths"),
    [
        (("train.txt", "test.txt"), (95, 5, 100)),
        (("train/1.txt", "train/2.txt", "valid/1.txt", "test/1.txt"), (201, 100, 100)),
        (("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"), (100, 100, 100)),
        (("train.txt", "val.txt"), (95, 100, 5)),
        (("train.txt", "val.txt", "readme.txt"), (95, 100, 5)),
        (("trains.txt", "cars.txt"), (180, 10, 11)),
        (("wiki/train/1.txt", "wiki/valid/1.txt", "wiki/test/1.txt"), (100, 100, 100)),
    ],
)
def test_names_divide_a_folder(names, lengths, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a" * 100)
    found = text_files.read(tmp_path)
    assert tuple(map(len, found.parts)) == lengths
    assert ("1 in no part" in found.summary) == ("readme.txt" in names)


def test_folder_without_text_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"hold texts. Received: no file that is not hidden"):
        load_text(str(tmp_path))
    (tmp_path / "a.bin").write_bytes(b"\x00\x01")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(InputError, match=r"hold texts. Received: 1 file passed over: 1 .bin"):
        load_text(str(tmp_path))


@pytest.mark.parametrize(
    "names",
    [
        ("valid/1.txt", "test/1.txt"),
        ("val.txt", "test.txt"),
        ("wiki/wiki.valid.tokens", "wiki/wiki.test.tokens"),
        ("val.txt", "test.txt", "book.txt"),
    ],
)
def test_folder_without_texts_for_training_is_refused(names, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a" * 100)
    with pytest.raises(
        InputError, match=r"hold texts for training. Received: .*test.*, for validation and test"
    ):
        text_files.read(tmp_path)
