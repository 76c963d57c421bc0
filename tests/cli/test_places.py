"""Whatever a path is for, `~` in it is the home folder, also where no shell replaces it: in `--out=~/x`."""

import click
import pytest

from tf_kit.cli import flags
from tf_kit.cli.main import cli


def places(command, path=()):
    """(words of the command, parameter) of all options and arguments that are paths."""
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from places(each, (*path, name))
        return
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            yield path, parameter


ALL = [pytest.param(each, id=f"{' '.join(path)} {each.opts[0]}") for path, each in places(cli)]


@pytest.mark.parametrize("parameter", ALL)
def test_home(parameter, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert isinstance(parameter.type, flags.Place)
    (tmp_path / "there").write_text("")
    if not parameter.type.file_okay:
        (tmp_path / "there").unlink()
        (tmp_path / "there").mkdir()
    assert str(parameter.type.convert("~/there", parameter, None)) == str(tmp_path / "there")


def test_there_are_paths():
    assert len(ALL) > 30


def test_config_file(tmp_path, monkeypatch):
    from tf_kit.cli.config import read_config

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "run.toml").write_bytes('# größer\r\nepochs = 3\r\nout = "für"\r\n'.encode(encoding))
        assert read_config("~/run.toml") == {"epochs": 3, "out": "für"}
    (tmp_path / "run.toml").write_bytes('out = "für"\n'.encode("latin-1"))
    with pytest.raises(click.UsageError, match=r"TOML file, which is in UTF-8.*run\.toml in Windows-1252"):
        read_config("~/run.toml")
