"""Import of raw files: checksums, no traces of a failure, no mixing of sets whose files have the same names."""

import os
import shutil

import numpy as np
import pytest
from cli.typed import run_main

from tf_kit.data import fetch, import_raw, load, raw

TWO = ("tf_kit_tiny", "tf_kit_other")


@pytest.mark.slow
def test_sets_with_the_same_file_names_are_not_mixed(tmp_path, write_raw, raw_arrays):
    for name in TWO:
        import_raw(name, write_raw(name), data_dir=tmp_path / "prepared")
    for name in TWO:
        train, val, _ = load(name, data_dir=tmp_path / "prepared", download=False)
        images = raw_arrays(name)[0]
        np.testing.assert_allclose(np.concatenate([train.x, val.x]), images / 255, rtol=1e-6)
    assert sorted(os.listdir(tmp_path / "prepared")) == ["tf_kit_other", "tf_kit_tiny"]


def test_common_extraction_folder_would_mix_sets(tmp_path, write_raw, raw_arrays):
    """Wrong twin: with the manual folder of tensorflow-datasets the second set gets the images of the first."""
    import tensorflow_datasets as tfds

    for name in TWO:
        builder = tfds.builder(name, data_dir=tmp_path / "prepared")
        config = tfds.download.DownloadConfig(manual_dir=write_raw(name), try_download_gcs=False)
        builder.download_and_prepare(download_dir=tmp_path / "shared", download_config=config)
    other = load("tf_kit_other", data_dir=tmp_path / "prepared", download=False)[0]
    np.testing.assert_allclose(other.x, raw_arrays("tf_kit_tiny")[0][:50] / 255, rtol=1e-6)


def test_files_are_recognized_by_checksum(raw_folder, tmp_path):
    for path in list(raw_folder.iterdir()):
        path.rename(raw_folder / f"{path.name.removesuffix('.gz')} (1).gz")
    folder = import_raw("tf_kit_tiny", raw_folder, data_dir=tmp_path / "prepared")
    assert folder == tmp_path / "prepared" / "tf_kit_tiny" / "1.0.0"
    assert len(load("tf_kit_tiny", data_dir=tmp_path / "prepared")[0]) == 50


def test_importing_again_changes_nothing(raw_folder, tiny_dir):
    before = {path: path.stat().st_mtime_ns for path in tiny_dir.rglob("*")}
    assert import_raw("tf_kit_tiny", raw_folder, data_dir=tiny_dir) == tiny_dir / "tf_kit_tiny" / "1.0.0"
    assert {path: path.stat().st_mtime_ns for path in tiny_dir.rglob("*")} == before


def test_importing_again_reports_that_nothing_was_read(tiny_dir, monkeypatch, capsys):
    typed = ("data", "import", "tf_kit_tiny", "no-such-folder", "--data-dir", str(tiny_dir))
    status, out, _ = run_main(monkeypatch, capsys, *typed)
    place = tiny_dir / "tf_kit_tiny" / "1.0.0"
    assert (status, out) == (0, f"tf_kit_tiny was in {place} before; no-such-folder was not read\n")


def truncate(folder):
    path = folder / "train-images.npy.gz"
    path.write_bytes(path.read_bytes()[:100])


def alter(folder):
    path = folder / "train-labels.npy.gz"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def lose_one(folder):
    (folder / "test-labels.npy.gz").unlink()


def lose_all(folder):
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"train-images.npy.gz` must have \d+ bytes with SHA-256 .* Received: 100 bytes"),
        (alter, r"train-labels.npy.gz` must have \d+ bytes with SHA-256"),
        (lose_one, "Received: no test-labels.npy.gz"),
        (lose_all, "They are: train-images.npy.gz, train-labels.npy.gz"),
        (shutil.rmtree, "be a folder with the raw files"),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_failed_import_is_one_line_and_leaves_no_files(raw_folder, tmp_path, damage, message, exists):
    damage(raw_folder)
    target = tmp_path / "new" / "prepared"
    if exists:
        target.mkdir(parents=True)
    with pytest.raises(ValueError, match=message) as caught:
        import_raw("tf_kit_tiny", raw_folder, data_dir=target)
    assert "\n" not in str(caught.value)
    assert target.exists() == exists == (tmp_path / "new").exists()
    assert not exists or not list(target.iterdir())


def test_failed_preparation_leaves_no_files(raw_folder, tmp_path, monkeypatch):
    def disk_full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(raw, "_place", disk_full)
    with pytest.raises(ValueError, match="No space left on device") as caught:
        import_raw("tf_kit_tiny", raw_folder, data_dir=tmp_path / "prepared")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "prepared").exists()


def test_interrupted_import_leaves_no_files(raw_folder, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def interrupted(builder, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        import_raw("tf_kit_tiny", raw_folder, data_dir=tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()


def test_unwritable_target_is_refused(raw_folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`data_dir` must be a folder that can be written") as caught:
        import_raw("tf_kit_tiny", raw_folder, data_dir=tmp_path / "file" / "prepared")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits", "name a set that has raw files. Received: 'digits'"),
        ("tf_kit_tini", "Close to it: tf_kit_tiny"),
        ("tiny_shakespeare", "which is not one"),
        ("tf_kit_tiny:9.9.9", "must be a set that can be built"),
    ],
)
def test_names_that_cannot_be_imported_are_refused(raw_folder, tmp_path, name, message):
    with pytest.raises(ValueError, match=message) as caught:
        import_raw(name, raw_folder, data_dir=tmp_path / "prepared")
    assert "\n" not in str(caught.value)


def test_raw_files_of_mnist_are_recognized(mnist_dir):
    folder = mnist_dir.parent / "raw" / "mnist"
    if not folder.is_dir():
        pytest.skip("the raw files of MNIST are not here")
    found = raw._raw_files(fetch.builder_of("mnist", mnist_dir), "mnist", folder)
    assert sorted(path.name for path in found.values()) == sorted(path.name for path in folder.iterdir())
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte.gz` must have 4422102 bytes"):
        raw._raw_files(fetch.builder_of("fashion_mnist", mnist_dir), "fashion_mnist", folder)
