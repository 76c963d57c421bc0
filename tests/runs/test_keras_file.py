"""A .keras file that cannot be loaded is refused with what is wrong with it, not in the words of Keras."""

import zipfile

import keras
import pytest
from runs.damage import cut, empty, flip_a_bit, make_foreign, make_unreadable, put_a_folder, remove

from tf_kit.errors import InputError
from tf_kit.runs.encoders import make_encoder
from tf_kit.runs.saved import load_model


def leave_a_part_out(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")


def break_the_config(path):
    """Write a whole archive whose configuration is not one of Keras."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, b"{}" if name == "config.json" else content)


DAMAGES = {
    empty: "an empty file",
    cut: "cut off",
    flip_a_bit: "does not match its checksum",
    make_foreign: "not a file that model.save",
    leave_a_part_out: "not a file that model.save",
    put_a_folder: "a folder",
    make_unreadable: "cannot be read",
    break_the_config: "",
}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "encoder.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
def test_damage_is_named_in_one_line(damage, content, tmp_path):
    file = tmp_path / "encoder.keras"
    file.write_bytes(content)
    load_model("probe.run", file, "Pretrain again")
    damage(file)
    for load in (
        lambda: load_model("probe.run", file, "Pretrain again"),
        lambda: make_encoder((2,), str(file)),
    ):
        if damage in (put_a_folder, make_unreadable) and "make_encoder" in load.__code__.co_names:
            continue  # refused before, as a path without a file
        with pytest.raises(InputError) as refused:
            load()
        message = str(refused.value)
        assert "\n" not in message
        assert "encoder.keras" in message
        assert DAMAGES[damage] in message
        assert "again" in message, "a remedy"


@pytest.mark.parametrize("damage", [remove, cut])
def test_words_of_keras_are_not_shown(damage, content, tmp_path):
    file = tmp_path / "encoder.keras"
    file.write_bytes(content)
    damage(file)
    with pytest.raises(InputError) as refused:
        load_model("probe.run", file, "Pretrain again")
    assert "filepath" not in str(refused.value)
    assert "Unable to" not in str(refused.value)
