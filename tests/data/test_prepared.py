"""Prepared sets are found and described, and errors name damaged files."""

import json
import shutil

import pytest

from tf_kit.data import import_raw, load, prepared, stream

VERSION = "tf_kit_tiny/1.0.0"


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


def put_a_list(path):
    path.write_text("[1]")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("tf_kit_tiny-train.tfrecord-00000-of-00001", cut),
        ("tf_kit_tiny-train.tfrecord-00000-of-00001", empty),
        ("tf_kit_tiny-train.tfrecord-00000-of-00001", flip),
        ("tf_kit_tiny-test.tfrecord-00000-of-00001", remove),
        ("tf_kit_tiny-test.tfrecord-00000-of-00001", flip),
        ("dataset_info.json", cut),
        ("dataset_info.json", remove),
        ("features.json", empty),
        ("features.json", put_a_list),
        ("dataset_info.json", put_a_list),
    ],
)
def test_damaged_file_is_named_with_a_remedy(tiny_dir, file, damage):
    path = tiny_dir / VERSION / file
    damage(path)
    with pytest.raises(ValueError, match="must be a whole file") as caught:
        load("tf_kit_tiny", data_dir=tiny_dir)
    line = str(caught.value)
    assert line.startswith(f"`{path}`")
    assert "Delete its folder, then `tf-kit data get`" in line
    assert "\n" not in line


def test_truncated_file_is_found_before_streaming_and_importing(tiny_dir, raw_folder):
    cut(tiny_dir / VERSION / "tf_kit_tiny-train.tfrecord-00000-of-00001")
    with pytest.raises(ValueError, match="59 whole records of 60"):
        stream("tf_kit_tiny", batch_size=8, data_dir=tiny_dir)
    with pytest.raises(ValueError, match="59 whole records of 60"):
        import_raw("tf_kit_tiny", raw_folder, data_dir=tiny_dir)


def test_missing_keys_count_as_damage(tiny_dir):
    path = tiny_dir / VERSION / "dataset_info.json"
    info = json.loads(path.read_text())
    del info["splits"]
    path.write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r"dataset_info.json` must be a whole file .* KeyError at 'splits'"):
        load("tf_kit_tiny", data_dir=tiny_dir)


def test_newest_version_is_found_unless_one_is_named(tiny_dir):
    for version in ("1.0.9", "1.0.10", "0.9.0"):
        shutil.copytree(tiny_dir / VERSION, tiny_dir / "tf_kit_tiny" / version)
    assert prepared.find("tf_kit_tiny", tiny_dir).name == "1.0.10"
    assert prepared.find("tf_kit_tiny:1.0.9", tiny_dir).name == "1.0.9"
    assert prepared.find("tf_kit_tiny:2.0.0", tiny_dir) is None


def test_unfinished_preparation_is_not_found(tiny_dir):
    (tiny_dir / VERSION).rename(tiny_dir / "tf_kit_tiny" / "incomplete.ABC_1.0.0")
    assert prepared.find("tf_kit_tiny", tiny_dir) is None


def test_config_is_found_by_name_by_default_or_if_it_is_the_only_one(tiny_dir):
    home = tiny_dir / "tf_kit_tiny"
    shutil.copytree(home / "1.0.0", home / "red" / "1.0.0")
    shutil.rmtree(home / "1.0.0")
    assert prepared.find("tf_kit_tiny", tiny_dir) == home / "red" / "1.0.0"
    shutil.copytree(home / "red", home / "blue")
    assert prepared.find("tf_kit_tiny/blue", tiny_dir) == home / "blue" / "1.0.0"
    with pytest.raises(ValueError, match="Prepared are tf_kit_tiny/blue, tf_kit_tiny/red"):
        prepared.find("tf_kit_tiny", tiny_dir)
    (home / ".config").mkdir()
    (home / ".config" / "metadata.json").write_text('{"default_config_name": "red"}')
    assert prepared.find("tf_kit_tiny", tiny_dir) == home / "red" / "1.0.0"


def test_order_of_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert prepared.folders()[0] == tmp_path
    assert prepared.folders()[1].name == "tensorflow_datasets"
    assert prepared.folders("~/x") == [prepared.Path("~/x").expanduser()]
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert len(prepared.folders()) == 1


def test_user_without_a_home_folder_has_sets_in_the_current_one(monkeypatch, tmp_path):
    """As in a container whose user is not known there and has no HOME."""
    monkeypatch.setattr(prepared.Path, "home", no_home)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert prepared.folders() == [tmp_path, prepared.Path("tensorflow_datasets")]
    assert prepared.find("mnist") is None


def no_home():
    raise RuntimeError("Could not determine home directory.")


IMAGE = {"image": {"shape": {"dimensions": ["8", "8", "1"]}}}
LABEL = {"classLabel": {"numClasses": "3"}}


@pytest.mark.parametrize(
    ("features", "supervised", "keys"),
    [
        ({"a": IMAGE, "b": LABEL}, None, ("a", "b")),
        ({"a": IMAGE, "b": LABEL, "c": LABEL}, ("a", "c"), ("a", "c")),
        ({"a": IMAGE, "b": LABEL, "c": LABEL}, None, None),
        ({"a": IMAGE, "b": {"text": {}}}, ("a", "b"), None),
        ({"a": {"image": {"shape": {"dimensions": ["5", "8", "8", "1"]}}}, "b": LABEL}, None, None),
    ],
)
def test_image_and_class_among_the_features(features, supervised, keys):
    found = prepared.image_and_label(features, supervised)
    assert found == (keys and (*keys, (8, 8, 1), 3))
