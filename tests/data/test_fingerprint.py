"""Tests of fingerprints of data sets: each change is named, and what they do not cover is stated."""

import numpy as np
import pytest

from tf_kit.data import fingerprint
from tf_kit.data.fingerprint import changes, of_arrays, of_files, of_images, of_set


@pytest.fixture
def files(tmp_path):
    """Three files: a short one, a long one, and one whose name is not UTF-8."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / "a.png", tmp_path / "deep" / "b.png", tmp_path / "b\udce9.png"]
    for path, size in zip(paths, (100, 200_000, 48 * 1024), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rng.bytes(size))
    return paths


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("index", "place"), [(0, 0), (0, 99), (1, 0), (1, 100_000), (1, 199_999), (2, 20_000), (2, -1)]
)
def test_flipped_bit_in_the_samples_is_found(index, place, files, tmp_path):
    before = of_images(tmp_path, files)
    flip(files[index], place)
    now = of_images(tmp_path, files)
    name = files[index].relative_to(tmp_path).as_posix()
    assert changes(before.entries, now.entries).changed == (name,)
    assert before.digest != now.digest


def test_bit_between_the_samples_is_not_found_in_images_but_in_other_files(files, tmp_path):
    images, others = of_images(tmp_path, files), of_files(tmp_path, files)
    assert images.covers == "names, sizes and up to 48 KiB of each file, in 3 samples of a longer one"
    flip(files[1], 50_000)
    assert of_images(tmp_path, files).digest == images.digest
    assert of_files(tmp_path, files).digest != others.digest


def test_time_and_place_of_the_files_do_not_matter(files, tmp_path):
    before = of_images(tmp_path, files)
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    found = [moved / path.relative_to(tmp_path) for path in files]
    found[0].touch()
    assert of_images(moved, found[::-1]).digest == before.digest
    moved.rename(tmp_path)


def test_changes_are_counted_and_named(files, tmp_path):
    before = of_images(tmp_path, files)
    flip(files[0], 5)
    files[1].unlink()
    new = [tmp_path / f"{i}.png" for i in range(5)]
    for path in new:
        path.write_bytes(b"new")
    found = changes(before.entries, of_images(tmp_path, [files[0], files[2], *new]).entries)
    assert found.text() == "1 changed: a.png; 1 removed: deep/b.png; 5 added: 0.png, 1.png, 2.png and 2 more"
    assert not changes(before.entries, before.entries)


def test_name_that_is_not_text_can_be_printed(files, tmp_path):
    text = changes({}, of_images(tmp_path, files).entries).text()
    assert text.encode("utf-8").decode() == "3 added: a.png, deep/b.png, b�.png"


def test_file_that_vanished_counts_as_changed(files, tmp_path):
    before = of_images(tmp_path, files)
    files[0].unlink()
    assert changes(before.entries, of_images(tmp_path, files).entries).changed == ("a.png",)


@pytest.mark.parametrize(
    "other", [np.ones(4, "float64"), np.ones((2, 2), "float32"), np.ones(5, "float32"), [1, 1, 1, 2]]
)
def test_arrays_differ_in_values_dtype_or_shape(other):
    one = of_arrays("mine", {"x": np.ones(4, "float32"), "y": np.ones(0)})
    assert of_arrays("yours", {"y": np.ones(0), "x": np.ones(4, "float32")}).digest == one.digest
    assert changes(one.entries, of_arrays("mine", {"x": other, "y": np.ones(0)}).entries).changed == ("x",)


def test_embedded_sets_are_arrays_and_texts_are_files(tmp_path):
    assert list(of_set("two_moons").entries) == [
        f"{part}.{each}" for part in ("train", "val", "test") for each in "xy"
    ]
    path = tmp_path / "rhyme.txt"
    path.write_text("the cat sat on the mat")
    before = of_set(str(path))
    path.write_text("the cat sat on the hat")
    assert changes(before.entries, of_set(str(path)).entries).text() == "1 changed: rhyme.txt"


def test_records_of_prepared_sets_count_and_their_descriptions_do_not(tmp_path):
    version = tmp_path / "pets" / "1.0.0"
    version.mkdir(parents=True)
    record = version / "pets-train.tfrecord-00000-of-00001"
    for path in (record, version / "dataset_info.json"):
        path.write_bytes(b"{}" * 100)
    before = of_set("pets", tmp_path)
    (version / "dataset_info.json").write_text("{}")
    assert of_set("pets", tmp_path).digest == before.digest
    flip(record, 50)
    found = changes(before.entries, of_set("pets", tmp_path).entries)
    assert found.changed == ("1.0.0/pets-train.tfrecord-00000-of-00001",)


def test_a_longer_file_is_hashed_to_its_last_byte(tmp_path, monkeypatch):
    """Samples lie evenly: the first begins with the file, the last ends with it."""
    monkeypatch.setattr(fingerprint, "_SAMPLES", (4, 8))
    path = tmp_path / "long"
    found = []
    for place in (None, 0, 7, 8, 33, 99):
        path.write_bytes(bytes(100))
        if place is not None:
            flip(path, place)
        found.append(of_files(tmp_path, [path]).digest)
    assert [each != found[0] for each in found[1:]] == [True, True, False, True, True]
