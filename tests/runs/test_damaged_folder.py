"""Every file of a run folder, damaged in every way: each command goes on, or gives one line, never a traceback."""

import shutil

import numpy as np
import pytest
from cli.typed import run_main
from PIL import Image
from runs.damage import OF_FILES, OF_FOLDERS, empty, make_foreign, make_unreadable, put_a_folder, remove

from tf_kit.runs import Run, classification, figures, pretraining, report

pytestmark = pytest.mark.slow


class Killed(BaseException):
    """Simulates a kill; nothing in the library catches it."""


class Started(BaseException):
    """Raised in place of a training that would begin."""


# Files and folders of a pretraining, a fine-tuning and a probe while they train and when they have ended, as patterns.
FILES = (
    "config.json",
    "data.csv",
    "images.csv",
    "inputs.json",
    "history.csv",
    "results.json",
    "report.html",
    "run.toml",
    "encoder.keras",
    "classifier.keras",
    "events/*/events.out*",
    "figures/*.png",
    "checkpoints/*/state.json",
    "checkpoints/*/state-before.json",
    "checkpoints/*/epoch-*.npz",
)
LOCKS = (".lock", ".owner")  # empty, or for messages
FOLDERS = ("events", "figures", "checkpoints", "events/*", "checkpoints/*")

PRETRAINED = {"units": (8,), "epochs": 2, "batch_size": 8}


def pretrain(pictures, folder, **options):
    return pretraining.pretrain("masked", str(pictures), folder, **PRETRAINED, **options)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """`pictures`, and the folders `finished` (with a fine-tuning and a probe) and `unfinished` of a pretraining."""
    place = tmp_path_factory.mktemp("place")
    for i in range(30):
        (place / "pictures" / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), "uint8")
        Image.fromarray(pixels).save(place / "pictures" / f"{i % 2}" / f"{i}.png")
    pretrain(place / "pictures", place / "finished")
    classification.finetune_run(place / "finished", epochs=1)
    classification.probe_run(place / "finished", epochs=1)

    def kill(*arguments):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "finish", kill)
        with pytest.raises(Killed):
            pretrain(place / "pictures", place / "unfinished")
    return place


FINETUNED = "finetune-all-seed-0"
REWRITTEN = ("report.html", "run.toml")  # also when a finished run is resumed

# Command → the folder it is typed on, the folder within that is damaged, and the files and folders that it needs.
COMMANDS = {
    "resume": ("finished", "", ("config.json", "data.csv", "results.json", *REWRITTEN)),
    "resume an unfinished one": ("unfinished", "", (*FILES, *FOLDERS)),  # damaged files: `test_files.py`
    "finetune": ("finished", "", ("config.json", "results.json", "encoder.keras", "images.csv")),
    "probe": ("finished", "", ("config.json", "results.json", "encoder.keras", "images.csv")),
    "resume finetune": ("finished", FINETUNED, ("config.json", "data.csv", "results.json", *REWRITTEN)),
    "predict": ("finished", FINETUNED, ("inputs.json", "classifier.keras")),
    "embed": ("finished", "", ("inputs.json", "encoder.keras")),
    "export": ("finished", FINETUNED, ("inputs.json", "classifier.keras")),
}


def words(command, folder, pictures):
    """Words of a command on a run folder; its own output goes next to the folder."""
    sizes = ["--units", 8, "--epochs", 2, "--batch-size", 8]
    resume = ["pretrain", "masked", "--data", pictures, *sizes, "--out", folder, "--resume"]
    new = ["--out", folder.with_name("new"), "--epochs", 1]
    return {
        "resume": resume,
        "resume an unfinished one": resume,
        "finetune": ["finetune", folder, *new],
        "probe": ["probe", folder, *new],
        "resume finetune": ["finetune", folder, "--epochs", 1, "--resume"],
        "predict": ["predict", folder / FINETUNED, pictures],
        "embed": ["embed", folder, pictures],
        "export": ["export", folder / FINETUNED],
    }[command]


class Commands:
    """Types a command on a copy of a folder in which some files are damaged."""

    def __init__(self, place, copies, monkeypatch, capsys):
        self.place, self.copies, self.typing = place, copies, (monkeypatch, capsys)
        self.drawing = Run.draw, figures.draw_results

    def draws(self, wanted):
        """Choose whether figures are drawn, which takes most of the time."""
        patch = self.typing[0]
        patch.setattr(Run, "draw", self.drawing[0] if wanted else lambda *arguments: None)
        patch.setattr(figures, "draw_results", self.drawing[1] if wanted else lambda *arguments: None)

    def type(self, command, damage, patterns):
        """Return exit status and lines of standard error; 0 where a training would begin; None without such a file."""
        folder, within, _ = COMMANDS[command]
        copy = shutil.copytree(self.place / folder, self.copies / "run", symlinks=True)
        try:
            found = [path for each in patterns for path in sorted((copy / within).glob(each))[-1:]]
            if not found:
                return None
            for path in found:
                damage(path)
            status, _, err = run_main(*self.typing, *words(command, copy, self.place / "pictures"))
            return status, err.splitlines()
        except Started:
            return 0, []
        finally:
            shutil.rmtree(self.copies)
            self.copies.mkdir()


@pytest.fixture
def commands(place, tmp_path, monkeypatch, capsys):
    def start(*arguments):
        raise Started

    monkeypatch.setattr(classification, "_trained_and_tested", start)
    (tmp_path / "copies").mkdir()
    return Commands(place, tmp_path / "copies", monkeypatch, capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_damaged_file_gives_one_line_or_is_repaired(command, commands):
    """The line of a refusal names the file, or the folder that was typed."""
    damages = [put_a_folder, make_unreadable] if "unfinished" in command else OF_FILES
    cases = [(each, damage) for each in FILES for damage in damages]
    cases += [(each, damage) for each in FOLDERS for damage in OF_FOLDERS]
    needed, tried = COMMANDS[command][2], 0
    for pattern, damage in cases:
        if pattern not in needed:
            continue
        commands.draws(pattern.startswith("figures"))
        typed = commands.type(command, damage, [pattern])
        tried += typed is not None
        if typed is not None and typed[0]:
            status, lines = typed
            about = command, pattern, damage.__name__, status, lines
            assert status in (1, 2), about
            assert len([line for line in lines if line.startswith("tf-kit: ")]) == 1, about
            assert lines[-1].startswith("tf-kit: "), about
            assert pattern.split("/")[-1] in lines[-1] or "run" in lines[-1], about
    assert tried > 10


@pytest.mark.parametrize("command", [each for each in COMMANDS if "unfinished" not in each])
def test_files_that_a_command_does_not_need_may_be_damaged(command, commands):
    needed = COMMANDS[command][2]
    for damage in OF_FILES:
        patterns = [each for each in FILES if each not in needed]
        status, lines = commands.type(command, damage, patterns)
        assert status == 0, (damage.__name__, lines)


def test_table_names_every_file_of_a_run_folder(place):
    for folder in (place / "finished", place / "unfinished", *(place / "finished").glob("*-all-*")):
        for path in folder.rglob("*"):
            name = path.relative_to(folder)
            if path.is_file() and name.parts[0] not in (FINETUNED, "probe-all-seed-0"):
                known = name.name in LOCKS or any(name.match(pattern) for pattern in FILES)
                assert known, f"{name} is missing in the table of files"


@pytest.mark.parametrize("damage", [empty, make_foreign, remove, put_a_folder])
def test_report_leaves_out_a_damaged_history(damage, place, tmp_path):
    copy = shutil.copytree(place / "finished", tmp_path / "run", symlinks=True)
    damage(copy / "history.csv")
    assert "<p>none</p>" in report.write_report(copy).read_text()
