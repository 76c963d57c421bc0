"""Folders of `table`, `label-efficiency` and `pretrain tokens` on a full disk, and damaged in every place.

Each gives one line, or is repaired.
"""

import functools
import shutil

import pytest
import sklearn.datasets
from cli.typed import run_main
from matplotlib.figure import Figure
from PIL import Image
from runs import damage

from tf_kit.experiments import label_efficiency, pretraining_table
from tf_kit.training import Trainer

WORDS = {
    "table": "table --jobs 1 --data digits --seeds 1 --epochs 1 --pretrain-epochs 1 --units 8 --layers 1 "
    "--batch-size 300 --learning-rates 0.01 --systems supervised,shallow",
    "label-efficiency": "label-efficiency --jobs 1 --data digits --seeds 1 --labels 50 --steps 3 --pretrain-epochs 1 "
    "--methods masked --learning-rates 0.01",
    "tokens": "pretrain tokens --data {place}/rhyme.txt --epochs 1 --width 8 --depth 1 --length 24 --batch-size 300",
}

# Files and folders of a whole run, as patterns; of several rows of a table the last is damaged.
OWN = ("config.json", "data.csv", "results.json", "figures", "figures/*")
ROWS = (
    "*-seed-0/config.json",
    "*-seed-0/history.csv",
    "*-seed-0/results.json",
    "*-seed-0/events",
    "*-seed-0",
)
PRETRAINED = ("config.json", "data.csv", "results.json", "encoder.keras", "events", "figures")
PLACES = {
    "table": (*OWN, "table.txt", *ROWS),
    "label-efficiency": (
        "table.txt",
        "*-50-seed-0",
        "*-50-seed-0/results.json",
        "pretrained-*",
        *(f"pretrained-*/{each}" for each in PRETRAINED),
    ),
    "tokens": (
        *OWN,
        "encoder.keras",
        "history.csv",
        "report.html",
        "run.toml",
        "events",
        "events/*",
        "events/*/*",
    ),
}


# Files that find the disk full, one after another, while the same run is resumed.
ON_A_FULL_DISK = {
    "table": ("config.json", "state.json", "history.csv", "results.json", "table.txt"),
    "label-efficiency": ("state.json", "encoder.keras", "table.txt"),
    "tokens": ("config.json", "data.csv", "state.json", "filled_in.txt", "encoder.keras", "results.json"),
}


class Started(BaseException):
    """Raised in place of a training that would begin."""


def start(*arguments, **options):
    raise Started


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def type_on(place, monkeypatch, capsys):
    """A function that types a command on a folder; figures, which take most of the time, are not drawn."""
    blank = Image.new("RGB", (1, 1))
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: blank.save(file))
    monkeypatch.setattr(label_efficiency, "forget_models", lambda: None)
    monkeypatch.setattr(pretraining_table, "forget_models", lambda: None)

    monkeypatch.setattr(sklearn.datasets, "load_digits", functools.cache(sklearn.datasets.load_digits))

    def type_on(command, folder):
        words = WORDS[command].format(place=place).split()
        status, _, err = run_main(monkeypatch, capsys, *words, "--out", folder, "--resume")
        return status, [line for line in err.splitlines() if line.startswith("tf-kit: ")], err

    return type_on


@pytest.fixture
def whole(place, type_on, monkeypatch):
    """A function that returns the folder of a finished run of a command, which is trained once.

    Every time that its disk was full, it stopped in one line, and continued.
    """

    def whole(command):
        (place / "rhyme.txt").write_text("the cat sat on the mat. " * 300)
        folder = place / command
        if folder.exists():
            return folder
        for name in ON_A_FULL_DISK[command]:
            with monkeypatch.context() as patch:
                damage.fill_the_disk(patch, name)
                status, lines, err = type_on(command, folder)
            assert status in (1, 2), err
            assert [name in line for line in lines] == [True], err
        status, _, err = type_on(command, folder)
        assert status == 0, err
        return folder

    return whole


def harms(path):
    if path.is_dir():
        return damage.OF_FOLDERS
    is_read = path.suffix in (".json", ".csv", ".keras")
    return damage.OF_FILES if is_read else [damage.put_a_folder, damage.make_unreadable]


@pytest.fixture
def type_until_training(type_on, monkeypatch):
    """The same, which ends with status 0 where a training would begin."""
    monkeypatch.setattr(Trainer, "fit", start)

    def type_until_training(command, folder):
        try:
            return type_on(command, folder)
        except Started:
            return 0, [], ""

    return type_until_training


@pytest.mark.slow
@pytest.mark.parametrize("command", WORDS)
def test_damaged_place_gives_one_line_or_is_repaired(command, whole, request, tmp_path):
    folder = whole(command)
    type_until_training = request.getfixturevalue("type_until_training")  # only now: `whole` trains
    for name in PLACES[command]:
        found = sorted(folder.glob(name))[-1:]
        assert found, name
        for harm in harms(found[0]):
            copy = shutil.copytree(folder, tmp_path / "copy")
            harm(copy / found[0].relative_to(folder))
            status, lines, err = type_until_training(command, copy)
            assert status in (0, 1, 2), (name, harm.__name__, status, err)
            assert len(lines) == (status > 0), (name, harm.__name__, status, err)
            shutil.rmtree(copy)


@pytest.mark.slow
@pytest.mark.parametrize("harm", [damage.cut, damage.remove])
def test_encoder_that_is_needed_and_damaged_is_named_with_a_remedy(harm, whole, request, tmp_path):
    """For a row that is measured again; what the line says to type begins the pretraining again."""
    copy = shutil.copytree(whole("label-efficiency"), tmp_path / "copy")
    type_until_training = request.getfixturevalue("type_until_training")
    shutil.rmtree(copy / "masked-50-seed-0")
    harm(copy / "pretrained-masked-seed-0" / "encoder.keras")
    status, lines, _ = type_until_training("label-efficiency", copy)
    pretrained = copy / "pretrained-masked-seed-0"
    assert status == 2
    assert lines[0].startswith("tf-kit: `--out` must hold an encoder that can be read. Received: ")
    assert lines[0].endswith(f"Remove {pretrained} and type the same command with `--resume`.")
    shutil.rmtree(pretrained)
    assert type_until_training("label-efficiency", copy)[0] == 0
    assert (pretrained / "config.json").is_file()
