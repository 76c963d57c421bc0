"""Tests of images that are named by folders, files and patterns, some of them damaged."""

import os

import numpy as np
import pytest
from PIL import Image

from tf_kit.data.given import find_images, read_in_chunks
from tf_kit.errors import InputError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder `new` with four images in a nested tree, a note, and a truncated image."""
    for i, name in enumerate(("b.png", "a.jpg", "deep/er/c.png", "2024/01/d.webp")):
        file = tmp_path / "new" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 9), 40 * i, "uint8")).save(file)
    (tmp_path / "new" / "notes.txt").write_text("about the images")
    cut = tmp_path / "new" / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30), "uint8")).save(cut)
    cut.write_bytes(cut.read_bytes()[:200])
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(given):
    return [file.as_posix() for file in find_images("predict.pictures", given).files]


def test_any_layout_is_listed_in_the_order_of_its_names(place):
    expected = ["new/2024/01/d.webp", "new/a.jpg", "new/b.png", "new/cut.png", "new/deep/er/c.png"]
    assert names("new") == names(["new"]) == expected
    assert find_images("p", "new").passed == "1 file passed over: 1 .txt"


def test_files_keep_their_order_and_come_once(place):
    assert names(["new/b.png", "new/a.jpg", "./new/b.png", place / "new" / "a.jpg"]) == [
        "new/b.png",
        "new/a.jpg",
    ]
    assert names("new/deep/er/c.png") == ["new/deep/er/c.png"]


def test_patterns_that_no_shell_expanded_are_expanded(place):
    assert names("new/*.png") == ["new/b.png", "new/cut.png"]
    assert names("new/**/c.*") == ["new/deep/er/c.png"]


def test_name_with_brackets_is_a_name_first(place):
    os.rename("new/b.png", "new/[1].png")
    assert names("new/[1].png") == ["new/[1].png"]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("missing", "missing, which does not exist"),
        ("new/*.gif", r"new/\*.gif, which matches no file"),
        ("empty", r"hold images \(jpg, png, tiff, webp and other kinds\). Received: empty, without an image"),
        ([], "no path"),
        ("", r'an empty name\. The current folder is "\."'),
        (["new", ""], "an empty name"),
    ],
)
def test_nothing_to_read_is_refused(place, given, line):
    with pytest.raises(InputError, match=line):
        find_images("predict.pictures", given)


def test_folder_without_images_says_what_it_has(place):
    (place / "empty" / "a.docx").write_text("")
    with pytest.raises(InputError, match=r"empty, without an image; 1 file passed over: 1 .docx"):
        find_images("predict.pictures", "empty")


def test_damaged_files_are_left_out_and_the_rest_is_read(place):
    files, damaged = find_images("p", "new").files, []
    read = list(read_in_chunks(files, (6, 9, 1), damaged, chunk=2))
    assert [file.name for part, _ in read for file in part] == ["d.webp", "a.jpg", "b.png", "c.png"]
    assert [error.received for error in damaged] == ["a damaged or truncated file"]
    x = np.concatenate([x for _, x in read])
    assert x.dtype == "float32"
    np.testing.assert_allclose(x.mean(axis=(1, 2, 3)), np.array([120, 40, 0, 80]) / 255, atol=2 / 255)
