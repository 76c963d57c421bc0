"""Folders of images: their classes, their division, reading, streaming, and errors."""

import gc
import re

import numpy as np
import pytest
from cli.typed import run_main
from PIL import Image

from tf_kit.data import folder, load, stream
from tf_kit.data.listing import list_files
from tf_kit.errors import InputError


def picture(seed, height=6, width=8, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def write(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def flat(tmp_path):
    """Twelve images without classes, in several formats."""
    for i in range(12):
        write(tmp_path / "pets" / f"{i:02}.{('png', 'bmp', 'PNG')[i % 3]}", picture(i))
    (tmp_path / "pets" / "notes.txt").write_text("no image")
    write(tmp_path / "pets" / ".hidden.png", picture(99))
    return tmp_path / "pets"


@pytest.fixture
def classes(tmp_path):
    """Grey images of two classes: bright suns and dark moons."""
    for i in range(12):
        write(tmp_path / "sky" / "sun" / f"{i:02}.png", picture(i, channels=1) // 4 + 190)
        write(tmp_path / "sky" / "moon" / "deeper" / f"{i:02}.png", picture(i, channels=1) // 4)
    return tmp_path / "sky"


def test_flat_images_have_no_labels(flat):
    splits = load(str(flat), seed=0)
    assert [len(each.unlabelled_x) for each in splits] == [8, 2, 2]
    assert [len(each) for each in splits] == [0, 0, 0]
    assert splits[0].num_classes == 0
    assert splits[0].all_x.shape == (8, 6, 8, 3)
    found = {x.tobytes() for each in splits for x in each.unlabelled_x}
    expected = {(picture(i).astype("float32") / np.float32(255)).tobytes() for i in range(12)}
    assert found == expected, "each image once, with its pixels, without the hidden file"


def test_subfolders_are_classes(classes):
    train, val, test = load(str(classes), seed=0)
    assert train.class_names == ("moon", "sun")
    assert [len(each) for each in (train, val, test)] == [16, 4, 4]
    for split in (train, val, test):
        assert split.x.shape[1:] == (6, 8, 1), "grey files stay grey"
        assert split.x.dtype == np.float32
        assert split.y.dtype == np.int64
        np.testing.assert_array_equal(split.y, split.x.mean((1, 2, 3)) > 0.5)
        np.testing.assert_array_equal(np.bincount(split.y), [len(split) / 2] * 2)


def test_division_depends_on_the_seed(classes):
    one, same, other = (load(str(classes), seed=seed)[0].x for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)


def test_labels_are_withheld_evenly_over_the_classes(classes):
    train = load(str(classes), seed=0, labels=4)[0]
    assert (np.bincount(train.y).tolist(), len(train.unlabelled_x)) == ([2, 2], 12)


def test_kinds_of_file_are_decoded(tmp_path):
    """A jpeg, a palette, a transparent image, 16 bits, an animation, a rotated photograph."""
    red = np.zeros((8, 8, 3), "uint8") + np.array([255, 0, 0], "uint8")
    write(tmp_path / "a.jpg", red, quality=95)
    Image.fromarray(red).convert("P").save(tmp_path / "b.gif")
    clear = np.dstack([red, np.zeros((8, 8), "uint8")])
    write(tmp_path / "c.png", clear)
    Image.fromarray(np.full((8, 8), 65535, "uint16")).save(tmp_path / "d.png")
    frames = [Image.fromarray(red), Image.fromarray(255 - red)]
    frames[0].save(tmp_path / "e.gif", save_all=True, append_images=frames[1:])
    turned = Image.Exif()
    turned[0x0112] = 6
    wide = np.zeros((8, 8, 3), "uint8")
    wide[:4] = 255
    Image.fromarray(wide).save(tmp_path / "f.jpg", exif=turned, quality=100)
    found = {file.name: folder.decode(file, (8, 8, 3)).astype(int) for file in folder.scan(tmp_path).files}
    for name in ("a.jpg", "b.gif", "e.gif"):
        np.testing.assert_allclose(found[name], red, atol=3, err_msg=name)
    for name in ("c.png", "d.png"):
        np.testing.assert_array_equal(found[name], 255, err_msg=name)
    np.testing.assert_allclose(found["f.jpg"][:, 4:], 255, atol=8, err_msg="rotated by a quarter turn")
    np.testing.assert_allclose(found["f.jpg"][:, :4], 0, atol=8)


def test_images_are_scaled_to_one_size(tmp_path):
    sides = [(30, 50), (600, 800), (480, 640)]
    for i, (height, width) in enumerate(sides):
        write(tmp_path / f"{i}.png", picture(i, height, width))
    assert folder.scan(tmp_path).shape == (48, 64, 3), "median size, with a longer side of 64 pixels"
    assert folder.scan(tmp_path, (10, 20)).shape == (10, 20, 3)
    assert load(str(tmp_path), image_size=(10, 20))[0].unlabelled_x.shape == (1, 10, 20, 3)
    grey = np.full((600, 800), 77, "uint8")
    write(tmp_path / "3.png", grey)
    small = folder.decode(tmp_path / "3.png", (48, 64, 3))
    np.testing.assert_array_equal(small, 77)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_unshuffled_stream_equals_the_array(flat, classes, split):
    for path in (flat, classes):
        part = dict(zip(("train", "val", "test"), load(str(path), seed=1), strict=True))[split]
        batches = list(stream(str(path), split, batch_size=5, seed=1, shuffle_buffer=1))
        if part.num_classes:
            np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), part.y)
            batches = [x for x, _ in batches]
        np.testing.assert_array_equal(np.concatenate(batches), part.x if len(part) else part.unlabelled_x)


def test_images_that_are_kept_are_not_decoded_in_every_epoch(flat, monkeypatch):
    found, decoded = folder.scan(flat), []
    decode = folder.decode
    monkeypatch.setattr(
        folder, "decode", lambda file, shape: decoded.append(file.name) or decode(file, shape)
    )
    order = {"batch_size": 5, "seed": 0, "first_epoch": 0, "epochs": 3, "shuffle": True}

    def batches(**options):
        return [x.numpy() for x in folder.batches(found, np.arange(len(found)), **order, **options)]

    kept = {}
    with_kept, num_decoded = batches(kept=kept), len(decoded)
    for one, other in zip(with_kept, batches(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(decoded) - num_decoded == 3 * len(found)
    assert len(kept) == len(found)
    # Two threads may decode the same image where two epochs meet.
    assert len(found) <= num_decoded < 2 * len(found)
    assert {image.dtype.name for image in kept.values()} == {"uint8"}
    monkeypatch.setattr(folder, "memory_bytes", lambda: 8 * len(found) * int(np.prod(found.shape)))
    assert folder.fits_as_bytes(found, np.arange(len(found)))
    assert not folder.fits_as_bytes(found, np.arange(len(found) + 1))


def test_stream_is_resumable(flat):
    whole = list(stream(str(flat), batch_size=3, epochs=3))
    tail = list(stream(str(flat), batch_size=3, epochs=3, first_epoch=2))
    assert len(whole) == 9
    np.testing.assert_array_equal(np.concatenate(tail), np.concatenate(whole[6:]))
    assert np.any(np.concatenate(whole[:3]) != np.concatenate(tail)), "the order changes from epoch to epoch"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_truncated_file_is_named(tmp_path):
    for name in ("a.png", "b.jpg", "c.bmp", "d.png"):
        write(tmp_path / name, picture(0, 40, 40))
    for name in ("a.png", "b.jpg", "c.bmp"):
        good = (tmp_path / name).read_bytes()
        cut(tmp_path / name)
        with pytest.raises(
            ValueError, match=rf"{name}` must be a readable image. Received: a damaged"
        ) as caught:
            load(str(tmp_path))
        assert "\n" not in str(caught.value)
        (tmp_path / name).write_bytes(good)


def test_file_that_is_not_an_image_is_named(flat):
    (flat / "06.png").write_bytes(b"not an image at all")
    with pytest.raises(
        ValueError, match=r"06.png` must be a readable image. Received: a file that is not an image"
    ):
        load(str(flat))
    (flat / "06.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"06.png` must be a readable image. Received: an empty file"):
        load(str(flat))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["readme.txt"], "must hold images.*pretrain tokens` learns from texts"),
        (["readme.md"], "must hold images.*1 .md\\.$"),
        (["a.png", "cat/b.png"], "either images or one subfolder"),
        (["train/a.png", "test/b.png"], "at least two images, one each for training and validation"),
        (["cat/a.png", "cat/b.png", "cat/c.png"], "two classes or more"),
        (["a.png", "b.png"], "at least three images"),
        (["cat/a.png", "dog/a.png", "dog/b.png", "dog/c.png"], "cat` must hold at least three"),
    ],
)
def test_unusable_folders_are_refused_in_one_line(files, message, tmp_path):
    for name in files:
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text") if name.startswith("readme") else write(path, picture(0))
    with pytest.raises(ValueError, match=message) as caught:
        load(str(tmp_path / "here"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("photos.zip", "Unpack it, and give the folder"),
        ("photos.tar.GZ", "Unpack it, and give the folder"),
        ("poem.txt", "pretrain tokens` learns from texts"),
        ("a.png", "Give the folder, .*, not one of its files"),
    ],
)
def test_a_file_in_place_of_a_folder_is_refused_with_what_to_give(
    name, remedy, tmp_path, monkeypatch, capsys
):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{name}', a file\. .*{remedy}") as caught:
        load(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    status, _, said = run_main(monkeypatch, capsys, "data", "check", tmp_path / name)
    assert status == 2
    assert re.search(remedy, said)


def test_arguments_that_a_folder_does_not_take_are_refused(flat, tmp_path):
    with pytest.raises(ValueError, match="be left out for images without classes"):
        load(str(flat), labels=4)
    with pytest.raises(ValueError, match="does not exist"):
        load(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="noise for"):
        load(str(flat), noise=1)


def test_folder_larger_than_memory_is_refused(flat):
    with pytest.raises(ValueError, match=r"`data.stream` reads it"):
        load(str(flat), image_size=1_000_000)


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_again_after_a_scan_and_a_refusal(enabled, tmp_path, monkeypatch):
    before, seen = gc.isenabled(), []
    monkeypatch.setattr(folder, "list_files", lambda path: seen.append(gc.isenabled()) or list_files(path))
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(InputError, match="hold images"):
            folder.scan(tmp_path)
        assert (seen, gc.isenabled()) == ([False], enabled)
    finally:
        (gc.enable if before else gc.disable)()


def test_files_are_in_the_order_of_the_parts_of_their_paths(tmp_path):
    """Of the parts, not of the characters: "-" and " " come before "/"."""
    names = (
        "a/b.png",
        "a-b/a.png",
        "a b/a.png",
        "a.png",
        "a/b/c.png",
        "a/b-c.png",
        "A/z.png",
        "é.png",
        "10.png",
        "9.png",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = sorted((tmp_path / name for name in names), key=lambda file: file.parts)
    assert list(list_files(tmp_path).files) == expected
    assert expected != sorted(expected, key=str)
