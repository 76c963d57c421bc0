"""Tests that a folder of nearly black images is noted: where it is read, and where it is checked."""

import warnings

import numpy as np
import pytest
from PIL import Image

from tf_kit import data
from tf_kit.errors import InputError


def write(folder, scale, count=6, mode="uint16", suffix="png"):
    for i in range(count):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(scale + 1, size=(8, 8)).astype(mode)
        pixels[0, 0] = scale
        Image.fromarray(pixels).save(folder / "ab"[i % 2] / f"{i}.{suffix}")


def notes_of(folder):
    with warnings.catch_warnings(record=True, action="always") as heard:
        data.load(folder)
    return [str(each.message) for each in heard]


@pytest.mark.parametrize(("scale", "of_255"), [(1023, 4), (4095, 16)])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_images_of_ten_and_twelve_bits(tmp_path, scale, of_255, suffix):
    write(tmp_path, scale, suffix=suffix)
    (heard,) = notes_of(tmp_path)
    assert f"no pixel is brighter than {of_255} of 255: white is 65535 in images of 16 bits" in heard
    (note,) = data.check(tmp_path).notes
    assert note in heard


@pytest.mark.parametrize(("scale", "mode"), [(65535, "uint16"), (255, "uint8"), (40, "uint8")])
def test_bright_enough(tmp_path, scale, mode):
    write(tmp_path, scale, mode=mode)
    assert notes_of(tmp_path) == [] == data.check(tmp_path).notes


def test_masks_of_eight_bits(tmp_path):
    write(tmp_path, 3, mode="uint8")
    (heard,) = notes_of(tmp_path)
    assert heard.endswith("no pixel is brighter than 3 of 255")


def test_colors_count_and_one_bright_image_is_enough(tmp_path):
    write(tmp_path, 1023, count=6)
    Image.new("RGB", (8, 8), (0, 0, 255)).save(tmp_path / "a" / "0.png")
    assert notes_of(tmp_path) == []


def test_a_large_folder_is_sampled(tmp_path):
    write(tmp_path, 1023, count=40)
    (heard,) = notes_of(tmp_path)
    assert "no pixel of the 16 images looked at is brighter" in heard


def test_nothing_to_look_at(tmp_path):
    assert data.check(tmp_path).notes == []
    with pytest.raises(InputError):
        data.load(tmp_path)
