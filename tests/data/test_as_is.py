"""Images that TensorFlow decodes: the same pixels as Pillow's, and nothing that Pillow refuses."""

import numpy as np
import pytest
from data.image_kinds import HEIGHT, WIDTH, damage, picture, write_all

from tf_kit.data import as_is, folder, pictures
from tf_kit.errors import InputError

COLORS = 3, 1  # channels


@pytest.fixture(autouse=True)
def many(monkeypatch):
    monkeypatch.setattr(as_is, "_MANY", 1)
    monkeypatch.setattr(as_is, "_BATCH", 1)


def decoded(files, channels):
    """Images of TensorFlow by their files."""
    shape, flags, found = (HEIGHT, WIDTH, channels), [], {}
    for file in files:
        try:
            flags.append(as_is.is_as_decoded(pictures.read_head(file), shape))
        except InputError:
            flags.append(False)

    def put(places, images):
        found.update({files[i]: image.copy() for i, image in zip(places, images, strict=True)})

    left = as_is.decode_as_is(files, np.array(flags), shape, put)
    assert sorted([*left, *map(files.index, found)]) == list(range(len(files))), "each file once"
    return found


@pytest.mark.parametrize("channels", COLORS)
def test_pixels_are_those_of_pillow(tmp_path, channels, capfd):
    write_all(tmp_path)
    sound = set(tmp_path.iterdir())
    damage(tmp_path)
    found = decoded(sorted(tmp_path.iterdir()), channels)
    assert len(sound & found.keys()) == {1: 8, 3: 34}[channels]
    for file, pixels in found.items():
        np.testing.assert_array_equal(
            pixels, pictures.decode(file, (HEIGHT, WIDTH, channels)), err_msg=file.name
        )


def test_faster_cosine_transform_would_give_other_pixels(tmp_path, monkeypatch):
    """Wrong twin."""
    import tensorflow as tf

    write_all(tmp_path)
    decode = tf.io.decode_jpeg
    monkeypatch.setattr(
        tf.io, "decode_jpeg", lambda *args, dct_method: decode(*args, dct_method="INTEGER_FAST")
    )
    found = decoded(sorted(tmp_path.iterdir()), 3)
    shape = HEIGHT, WIDTH, 3
    assert any((pixels != pictures.decode(file, shape)).any() for file, pixels in found.items())


def test_folder_is_read_the_same_with_few_images_and_with_many(tmp_path, monkeypatch):
    for i in range(12):
        picture(i).save(tmp_path / f"{i}.{['png', 'jpg'][i % 2]}")
    picture(12).resize((HEIGHT, WIDTH)).save(tmp_path / "turned.png")
    found = folder.scan(tmp_path, (HEIGHT, WIDTH))
    assert found.as_is.sum() == 12
    assert found.fingerprint == folder.fingerprint(tmp_path)
    monkeypatch.setattr(as_is, "_BATCH", 3)
    for indices in np.arange(len(found)), np.random.default_rng(0).permutation(len(found)):
        many = folder.read_images(found, indices)
        with monkeypatch.context() as few:
            few.setattr(as_is, "_MANY", 100)
            np.testing.assert_array_equal(many, folder.read_images(found, indices))


def test_damaged_files_are_named(tmp_path, capfd):
    for i in range(6):
        picture(i).save(tmp_path / f"{i}.jpg")
    whole = (tmp_path / "3.jpg").read_bytes()
    (tmp_path / "3.jpg").write_bytes(whole[:-200])
    found = folder.scan(tmp_path)
    with pytest.raises(InputError, match=r"3\.jpg` must be a readable image"):
        folder.read_images(found, np.arange(6))


def test_file_that_has_become_another_is_read_as_it_is_now(tmp_path):
    for i in range(6):
        picture(i).save(tmp_path / f"{i}.png")
    found = folder.scan(tmp_path)
    picture(9).resize((2 * WIDTH, 2 * HEIGHT)).save(tmp_path / "3.png")
    x = folder.read_images(found, np.arange(6))
    np.testing.assert_array_equal(x[3], pictures.decode(tmp_path / "3.png", found.shape) / np.float32(255))


def test_damaged_file_leaves_the_others_of_its_batch_to_pillow(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(as_is, "_BATCH", 4)
    for i in range(14):
        picture(i).save(tmp_path / f"{i:02}.png")
    files = sorted(tmp_path.iterdir())
    files[5].write_bytes(files[5].read_bytes()[:-300])
    assert decoded(files, 3).keys() == {*files[:4], *files[8:12]}


def test_batches_of_large_images_are_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(as_is, "_BATCH", 4)
    monkeypatch.setattr(as_is, "_BATCH_BYTES", 3 * HEIGHT * WIDTH * 3 + 1)
    for i in range(5):
        picture(i).save(tmp_path / f"{i}.png")
    files = sorted(tmp_path.iterdir())
    assert decoded(files, 3).keys() == {*files[:3]}


@pytest.mark.parametrize("piece", [0, 700, 2**25])
def test_files_are_read_in_pieces(piece, tmp_path, monkeypatch):
    monkeypatch.setattr(as_is, "_BATCH", 2)
    monkeypatch.setattr(as_is, "_PIECE_BYTES", piece)
    for i in range(9):
        picture(i).save(tmp_path / f"{i}.png")
    files = sorted(tmp_path.iterdir())
    found = decoded(files, 3)
    assert found.keys() == {*files[:8]}
    for file, pixels in found.items():
        np.testing.assert_array_equal(pixels, pictures.decode(file, (HEIGHT, WIDTH, 3)))


def test_file_that_is_gone_is_named(tmp_path):
    for i in range(6):
        picture(i).save(tmp_path / f"{i}.jpg")
    found = folder.scan(tmp_path)
    (tmp_path / "4.jpg").unlink()
    with pytest.raises(
        InputError, match=r"4\.jpg` must be a readable image\. Received: a file that is no longer there"
    ):
        folder.read_images(found, np.arange(6))
