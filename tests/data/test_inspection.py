"""`data.check`: the report on a folder of images, and its command."""

import json
import shutil

import numpy as np
import pytest
from cli.typed import run_main
from PIL import Image
from scipy.fft import dctn

from tf_kit.data import check
from tf_kit.data.inspection import perceptual_hash


def scene(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype="uint8")
    return Image.fromarray(pixels).resize((80, 60), Image.Resampling.BICUBIC)


@pytest.fixture
def pets(tmp_path):
    """Two classes with a copy in the other class, a copy in another size, a truncated file and a note."""
    root = tmp_path / "pets"
    for c, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for i in range(8):
            scene(10 * c + i).save(root / name / f"{i}.png")
    scene(0).resize((160, 120)).save(root / "cat" / "big.jpg", quality=80)
    shutil.copy(root / "cat" / "1.png", root / "dog" / "x.png")
    whole = (root / "dog" / "2.png").read_bytes()
    (root / "dog" / "2.png").write_bytes(whole[: len(whole) // 2])
    (root / "readme.txt").write_text("pets")
    return root


def test_report_finds_everything(pets):
    report = check(pets)
    assert report.images == 17
    assert report.classes == {"cat": {"images": 9}, "dog": {"images": 8}}
    assert report.sizes == {"60×80": 16, "120×160": 1}
    assert (report.modes, report.formats) == ({"RGB": 17}, {"PNG": 16, "JPEG": 1})
    assert report.damaged == {"dog/2.png": "a damaged or truncated file"}
    assert report.duplicates == [["cat/1.png", "dog/x.png"]]
    assert report.near_duplicates == [["cat/0.png", "cat/big.jpg"]]
    assert report.passed == {".txt": ["readme.txt"]}
    assert report.notes == ["a file is in several classes"]
    assert not report.is_usable
    assert report.refusals == ["training, until the damaged files are repaired or removed; then check again"]


def test_refusals_of_later_commands_are_listed(pets):
    for file in (pets / "dog").iterdir():
        file.unlink()
    assert check(pets).refusals == [
        f"{pets}/dog must hold images of its class. Received: no file. Remove the subfolder, or put images into it."
    ]
    assert check(pets, unlabeled=True).is_usable


def test_images_of_one_color_are_no_near_duplicates(tmp_path):
    for i in range(4):
        Image.new("RGB", (8, 8 + i), (10 * i, 0, 0)).save(tmp_path / f"{i}.png")
    assert check(tmp_path).near_duplicates == []


def test_hash_is_that_of_the_cosine_transform():
    for seed in range(20):
        pixels = np.asarray(scene(seed).convert("L").resize((64, 64)))
        low = dctn(pixels.astype("float64"), type=2)[:8, :8].ravel()
        expected = "".join("1" if bit else "0" for bit in low > np.median(low))
        assert f"{perceptual_hash(pixels):064b}" == expected


def test_command_prints_text_or_json(pets, monkeypatch, capsys):
    status, out, err = run_main(monkeypatch, capsys, "data", "check", pets)
    assert (status, err) == (1, "")
    assert "dog/2.png: a damaged" in out
    (pets / "dog" / "2.png").unlink()
    status, out, err = run_main(monkeypatch, capsys, "data", "check", pets, "--json", "--exact")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["images"], found["damaged"], found["near_duplicates"]) == (17, {}, [])


def test_command_refuses_what_is_no_folder(tmp_path, monkeypatch, capsys):
    status, _, err = run_main(monkeypatch, capsys, "data", "check", tmp_path / "none")
    assert (status, err.startswith("tf-kit: `FOLDER` must be a folder of images")) == (2, True)


def test_report_on_arrays(tmp_path, monkeypatch, capsys):
    x = np.random.default_rng(0).integers(0, 256, (20, 16, 16), "uint8")
    x[7], x[9] = x[3], np.minimum(255, x[4].astype(int) + 1)
    y = np.where(np.arange(20) == 7, 1, np.arange(20) % 2)
    np.savez(tmp_path / "mine.npz", x_train=x[:14], y_train=y[:14], x_test=x[14:], y_test=1 - y[14:], ids=y)
    report = check(tmp_path / "mine.npz")
    assert (report.images, report.classes) == (
        20,
        {"0": {"train": 7, "test": 3}, "1": {"train": 7, "test": 3}},
    )
    assert report.duplicates == [["mine.npz[3]", "mine.npz[7]"]]
    assert report.near_duplicates == [["mine.npz[4]", "mine.npz[9]"]]
    assert report.notes == ["arrays passed over: ids"]
    np.save(tmp_path / "bad.npy", np.full((5, 4, 4), np.nan))
    for name, status in (("mine.npz", 0), ("bad.npy", 1)):
        found, out, _ = run_main(monkeypatch, capsys, "data", "check", tmp_path / name)
        assert (found, f"{name}: " in out) == (status, True)
    assert "refused: " in out
    assert "NaN or infinity in 5 of 5" in out
    np.savez(tmp_path / "one.npz", x=x, y=np.zeros(20))
    assert "only the class 0" in check(tmp_path / "one.npz").refusals[0]
