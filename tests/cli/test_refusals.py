"""Tests of mistakes: one line and status 2 on the command line, `InputError` in Python, each in its own words."""

import ast
import re
from pathlib import Path

import click
import pytest
from cli.typed import run_main, type_command, write_folders

from tf_kit import checks, cli, data, errors, lectures, training
from tf_kit.cli import refusals
from tf_kit.errors import InputError
from tf_kit.experiments import run_label_efficiency, run_table
from tf_kit.pretraining.methods import own_options
from tf_kit.runs.classification import finetune_run, probe_run
from tf_kit.runs.pretraining import pretrain
from tf_kit.runs.run import Run

PACKAGE = Path(checks.__file__).parent

# (command, flag or word of the usage that the line names, further text of the line)
MISTAKES = [
    (["tabel"], "tabel", ""),
    (["doctor", "--everything"], "--everything", ""),
    (["table", "--sedes", "2"], "--sedes", "--seeds"),
    (["table", "--seeds", "0"], "--seeds", ""),
    (["table", "--seeds", "many"], "--seeds", "many"),
    (["table", "--data", "diggits"], "--data", "diggits"),
    (["table", "--data", "titanic"], "--data", "titanic"),
    (["table", "--systems", "dbn,deeep"], "--systems", "deeep"),
    (["table", "--learning-rates", "0.1,fast"], "--learning-rates", "0.1,fast"),
    (["table", "--learning-rates", "-1"], "--learning-rates", "-1"),
    (["table", "--units", "0"], "--units", ""),
    (["table", "--epochs", "0"], "--epochs", ""),
    (["table", "--pretrain-epochs", "0"], "--pretrain-epochs", ""),
    (["table", "--batch-size", "1.5"], "--batch-size", "a whole number"),
    (["table", "--batch-size", "1" + 21 * "0"], "--batch-size", "below 2**63"),
    (["table", "--out", "/dev/null/run"], "--out", "/dev/null/run"),
    (["table", "--out", "taken"], "--out", "a new or empty folder"),
    (["table", "--strategy", "tpu"], "--strategy", "none"),
    (["table", "--replicas", "0"], "--replicas", ""),
    (["table", "--strategy", "none", "--replicas", "2"], "--replicas", "--strategy mirrored"),
    (["table", "--strategy", "multiworker"], "--strategy", "TF_CONFIG"),
    (["table", "--data", "flat"], "--data", "a subfolder of images for each class"),
    (["search-recipe", "dbnn"], "ROW", "dbnn"),
    (["search-recipe", "dbn", "--candidates", "0"], "--candidates", ""),
    (["search-recipe", "dbn", "--max-epochs", "2"], "--max-epochs", "at least 3"),
    (["pretrain", "simclrr"], "METHOD", "simclrr"),
    (["pretrain", "rbm", "--activation", "relu"], "--activation", "relu"),
    (["pretrain", "rbm", "--units", "0"], "--units", "--units 0"),
    (["pretrain", "rbm", "--gibbs-steps", "0"], "--gibbs-steps", ""),
    (["pretrain", "rbm", "--visible", "binary"], "--visible", "bernoulli"),
    (["pretrain", "rbm", "--out", "taken"], "--out", "a new or empty folder"),
    (["pretrain", "denoising", "--rate", "1.5"], "--rate", "`--rate` must"),
    (["pretrain", "denoising", "--corruption", "blur"], "--corruption", "masking"),
    (["pretrain", "autoencoder", "--learning-rate", "-0.1"], "--learning-rate", "--learning-rate -0.1"),
    (["pretrain", "autoencoder", "--tied", "maybe"], "maybe", ""),
    (["pretrain", "autoencoder", "--epochs", "0"], "--epochs", ""),
    (["pretrain", "autoencoder", "--batch-size", "0"], "--batch-size", ""),
    (["pretrain", "autoencoder", "--seed", "-1"], "--seed", ""),
    (["pretrain", "supervised", "--labels", "half"], "--labels", "half"),
    (["pretrain", "supervised", "--labels", "5000"], "--labels", "5000"),
    (["pretrain", "supervised", "--labels", "0.0001"], "--labels", "which keeps 0"),
    (["pretrain", "rbm", "--temperature", "0.5"], "--temperature", "simclr"),
    (["pretrain", "rbm", "--augment", "digits"], "--augment", "byol"),
    (["pretrain", "rbm", "--encoder", "cnn"], "--encoder", ""),
    (["pretrain", "rbm", "--patch-size", "2"], "--patch-size", "mae"),
    (["pretrain", "rbm", "--labels", "5"], "--labels", "supervised"),
    (["pretrain", "simclr", "--encoder", "rnn"], "--encoder", "--encoder rnn"),
    (
        ["pretrain", "simclr", "--data", "flat", "--image-size", "7", "--encoder", "resnet18"],
        "--encoder",
        "at least 8 pixels per side. Set --image-size for a folder of images, or --encoder cnn, which accepts any size",
    ),
    (["pretrain", "simclr", "--encoder", "keras:MobileNetV2"], "--encoder", "or --encoder resnet18, which"),
    (
        ["pretrain", "simclr", "--data", "flat", "--image-size", "7", "--encoder", "keras:MobileNetV2"],
        "--encoder",
        "or --encoder cnn, which accepts any size",
    ),
    (["pretrain", "simclr", "--encoder", "vit", "--filters", "8"], "--filters", "cnn"),
    (["pretrain", "simclr", "--augment", "letters"], "--augment", "--augment letters"),
    (["pretrain", "simclr", "--temperature", "0"], "--temperature", "--temperature 0"),
    (["pretrain", "simclr", "--chunk-size", "8"], "--chunk-size", "--encoder vit"),
    (["pretrain", "simclr", "--filters", "16,wide"], "--filters", "16,wide"),
    (["pretrain", "simclr", "--data", "xor"], "--encoder", "(2,)"),
    (["pretrain", "simclr", "--data", "xor", "--encoder", "mlp"], "--augment", "--augment none"),
    (["pretrain", "byol", "--momentum", "1.5"], "--momentum", "--momentum 1.5"),
    (["pretrain", "barlow", "--redundancy-weight", "-1"], "--redundancy-weight", ""),
    (["pretrain", "vicreg", "--variance-weight", "-1"], "--variance-weight", ""),
    (["pretrain", "mae", "--encoder", "cnn"], "--encoder", ""),
    (["pretrain", "mae", "--data", "xor"], "--data", "be images for mae. Received: examples of shape (2,)"),
    (["pretrain", "mae", "--patch-size", "3"], "--patch-size", "--patch-size 3"),
    (["pretrain", "mae", "--mask-ratio", "1"], "--mask-ratio", "--mask-ratio 1"),
    (["pretrain", "mae", "--length", "8"], "--length", "tokens"),
    (["pretrain", "masked", "--mask-ratio", "0"], "--mask-ratio", "--mask-ratio 0"),
    (["pretrain", "simclr", "--data", "./no-such-folder"], "--data", "no-such-folder"),
    (["pretrain", "simclr", "--data", "no such folder"], "--data", "or be the path of a folder of images"),
    (["pretrain", "simclr", "--data", "empty"], "--data", "png, jpg"),
    (["pretrain", "simclr", "--data", "flat", "--image-size", "0"], "--image-size", "--image-size 0"),
    (["pretrain", "simclr", "--data", "flat", "--image-size", "8,8,3"], "--image-size", "height,width"),
    (["pretrain", "simclr", "--data", "xor", "--image-size", "16"], "--image-size", "points, not images"),
    (["pretrain", "supervised", "--data", "flat"], "--data", "a subfolder of images for each class"),
    (["pretrain", "simclr", "--data", "damaged"], "damaged/3.png", "3.png"),
    (["pretrain", "supervised", "--monitor-every", "2"], "--monitor-every", ""),
    (["pretrain", "simclr", "--monitor-every", "-1"], "--monitor-every", ""),
    (["pretrain", "tokens"], "--data", "text file"),
    (["pretrain", "tokens", "--data", "empty"], "--data", "hold texts"),
    (["pretrain", "tokens", "--data", "noise.bin"], "--data", "be text"),
    (["pretrain", "tokens", "--data", "short.txt"], "--data", "--length"),
    (["pretrain", "tokens", "--data", "short.txt", "--length", "1"], "--length", ""),
    (["pretrain", "tokens", "--augment", "none"], "--augment", ""),
    (["pretrain", "tokens", "--image-size", "8"], "--image-size", ""),
    (["pretrain", "tokens", "--mask-ratio", "2"], "--mask-ratio", ""),
    (["label-efficiency", "--data", "flat"], "--data", "a subfolder of images for each class"),
    (["label-efficiency", "--methods", "simclr,moco"], "--methods", "moco"),
    (["label-efficiency", "--methods", "tokens"], "--methods", "tokens"),
    (["label-efficiency", "--labels", "50,few"], "--labels", "few"),
    (["label-efficiency", "--labels", "²,5"], "--labels", "²"),
    (["label-efficiency", "--labels", "5"], "--labels", "--labels 5"),
    (["label-efficiency", "--labels", "5000"], "--labels", "--labels 5000"),
    (["label-efficiency", "--val-labels", "301"], "--val-labels", "--val-labels 301"),
    (["label-efficiency", "--steps", "0"], "--steps", ""),
    (["label-efficiency", "--pretrainings", "0"], "--pretrainings", ""),
    (["label-efficiency", "--learning-rates", "0"], "--learning-rates", ""),
    (["finetune"], "RUN", ""),
    (["finetune", "no-such-run"], "RUN", "no-such-run"),
    (["finetune", "no-such-run", "--epochs", "0"], "--epochs", ""),
    (["finetune", "no-such-run", "--learning-rate", "0"], "--learning-rate", ""),
    (["probe", "."], "RUN", "encoder.keras"),
    (["probe", ".", "--k", "0"], "--k", ""),
    (["predict", "no-such-run", "flat"], "RUN", "does not exist"),
    (["predict", "taken", "flat"], "RUN", "classifier.keras"),
    (["predict", "taken"], "PICTURES", ""),
    (["predict", "taken", "flat", "--out", "flat"], "--out", "a file in a folder"),
    (["embed", "taken", "flat", "--out", "e.csv"], "--out", ".parquet"),
    (["embed", "taken", "flat", "--out", "none/e.npz"], "--out", "none/e.npz"),
    (["export", "taken"], "RUN", "encoder.keras"),
    (["export", "taken", "--format", "tf"], "--format", "savedmodel"),
    (["data", "import", "mnist", "no-such-folder"], "FOLDER", "no-such-folder"),
    (["data", "import", "mnist", "empty"], "FOLDER", "train-images-idx3-ubyte.gz"),
    (["data", "import", "digits", "empty"], "NAME", "digits"),
    (["data", "get", "mnits"], "NAME", "mnits"),
    (["data", "get", "titanic"], "NAME", "titanic"),
    (["data", "list", "--data-dir", "latin.txt"], "--data-dir", ""),
    (["lecture", "optimisers"], "NAME", "Did you mean optimizers?"),
    (["lecture", "slide"], "NAME", "Did you mean slides?"),
    (["lecture", "99"], "NAME", "tf-kit lecture list"),
    (["lecture", "06", "--steps", "two"], "--steps", ""),
    (["lecture", "06", "--speed", "2"], "--speed", ""),
    (["quiz", "nosuch"], "TOPIC", "tf-kit lecture list"),
    (["quiz", "--questions", "0"], "--questions", "at least 1"),
    (["lab", "release", "nonsense", "--out", "labs"], "nonsense", "tf-kit lab list"),
    (["lab", "release", "backpropagation"], "--out", ""),
    (["lab", "release", "backpropagation", "--out", "labs", "--format", "pdf"], "--format", "nbgrader"),
    (["lab", "check", "missing.ipynb"], "NOTEBOOK", "missing.ipynb"),
    (["lab", "check", "latin.txt"], "NOTEBOOK", "latin.txt"),
    (["lab", "grade", "backpropagation", "missing.ipynb", "--out", "grades"], "SUBMISSION", "missing.ipynb"),
    (["lab", "grade", "backpropagation", "latin.txt", "--out", "g", "--jobs", "0"], "--jobs", ""),
    (["lab", "grade", "backpropagation", "latin.txt", "--out", "g", "--timeout", "0"], "--timeout", ""),
    (
        ["lab", "grade", "backpropagation", "latin.txt", "--out", "g", "--timeout", "1e10"],
        "--timeout",
        "86400",
    ),
    (["lab", "check", "latin.txt", "--timeout", "1e300"], "--timeout", "86400"),
    (
        ["lab", "grade", "backpropagation", "latin.txt", "--out", "g", "--compare", "empty"],
        "--compare",
        "empty",
    ),
    (["lab", "new", "Circles"], "NAME", "lower-case"),
    (["lab", "gradescope", "backpropagation", "--out", "latin.txt"], "--out", "latin.txt"),
    (["lab", "gradescope", "optimizers", "--out", "a.zip", "--install", "no.whl"], "--install", "no.whl"),
    (["lab", "new", "optimizers"], "NAME", "a lab of this kit"),
    (["lab", "new", "empty", "--out", "latin.txt"], "--out", "latin.txt"),
    (["lab", "selftest", "flat"], "NAME", "tf-kit lab list"),
    (["lab", "selftest", "backpropagation", "adam"], "EXERCISE", "cross_entropy_cost"),
    (["lab", "release", "backpropagation", "--out", "labs", "--with-checks"], "--with-checks", "your own"),
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with folders of images and some files, and without prepared data sets."""
    write_folders(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 300)
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "short.txt").write_text("abc" * 20)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("precious")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "empty"))
    return tmp_path


def check_line(err, named, text):
    """Check that standard error is one line for the shell: it names the flag, and has no Python syntax."""
    assert err.count("\n") == 1, err
    assert err.startswith("tf-kit: ")
    assert named in err
    assert text in err
    typed = re.sub(r"`python -c .*?`", "", err)  # a command that contains Python on purpose
    assert not re.search(r"\w\(.*\)", typed), "a Python call"
    assert not re.search(r"\b[a-z_]+=", typed), "a Python argument"


@pytest.mark.parametrize(
    ("command", "named", "remedy"),
    [
        ("predict", "new.npy", "Add images."),
        ("finetune", "--data", "Add images."),
        ("pretrain", "--data", "Add images; `--unlabeled` takes all."),
    ],
)
def test_flags_that_a_command_does_not_have_are_not_named(command, named, remedy):
    found = cli.cli.commands[command]
    if isinstance(found, click.Group):
        found = found.get_command(click.Context(found), "simclr")
    typed = "Add images; `--unlabeled` takes all"
    given = {"subject": "new.npy", "requirement": "hold images", "received": "none"}
    line = refusals.as_typed(InputError("…", **given, flag="--data", typed_remedy=typed), found)
    assert line == f"`{named}` must hold images. Received: none. {remedy}"
    only = InputError("…", **given, flag="--data", typed_remedy="`--unlabeled` takes all")
    assert refusals.as_typed(only, found).endswith("takes all." if command == "pretrain" else "none.")


def test_table_of_mistakes_covers_every_command():
    first = {arguments[0] for arguments, *_ in MISTAKES}
    assert first >= set(cli.cli.commands)
    assert len(MISTAKES) >= 60


@pytest.mark.parametrize(
    ("arguments", "named", "text"), MISTAKES, ids=[" ".join(arguments) for arguments, *_ in MISTAKES]
)
def test_mistake_is_one_line_and_status_2(arguments, named, text, place, monkeypatch, capsys):
    before = sorted(place.rglob("*"))
    status, out, err = run_main(monkeypatch, capsys, *arguments)
    assert (status, out) == (2, "")
    check_line(err, named, text)
    assert sorted(place.rglob("*")) == before, "nothing is left behind"


@pytest.mark.slow
def test_mistake_in_a_new_process_is_one_line(tmp_path):
    """TensorFlow writes to standard error when it is imported, which the user must not see."""
    result = type_command("table", "--systems", "dbn,deeep", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr


# Mistakes with runs that exist.


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Folder with finished runs: `images` with a fine-tuning, `text`, and `table`."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "rhyme.txt").write_text("the cat sat on the mat. " * 200)
    tiny = {"epochs": 1, "batch_size": 256}
    pretrain("masked", out=folder / "images", units=(8,), **tiny)
    finetune_run(folder / "images", **tiny)
    pretrain("tokens", str(folder / "rhyme.txt"), folder / "text", width=8, depth=1, length=24, **tiny)
    Run(folder / "table", {"command": "table"}).finish({"rows": []})
    return folder


WITH_RUNS = [
    (["pretrain", "masked", "--out", "images", "--epochs", "1", "--units", "8", "--batch-size", "256"],
     "--out", "`--resume` prints its results"),
    (["pretrain", "masked", "--out", "images", "--units", "8", "--batch-size", "256"],
     "--out", "images, which holds a run with --epochs 1, not 40"),
    (["pretrain", "masked", "--out", "images", "--epochs", "1", "--units", "9,8", "--batch-size", "256",
      "--resume"], "--resume", "Received: --units 9,8, but the run began with 8. Repeat the options"),
    (["pretrain", "rbm", "--out", "images", "--epochs", "1", "--resume"],
     "--resume", "method rbm, but the run began with masked"),
    (["finetune", "images", "--epochs", "1"], "--out", "with --batch-size 256, not 32"),
    (["finetune", "images", "--epochs", "1", "--batch-size", "256"], "--out", "`--resume` prints its results"),
    (["finetune", "images", "--out", "images/finetune-all-seed-0", "--seed", "1", "--resume"], "--resume", ""),
    (["finetune", "images", "--labels", "5000"], "--labels", "5000"),
    (["finetune", "images", "--data", "two_moons"], "--data", "8×8×1"),
    (["finetune", "text"], "RUN", "text"),
    (["finetune", "images/finetune-all-seed-0"], "RUN", "a run of finetune. Give the folder of its pretraining, "),
    (["probe", "images/finetune-all-seed-0"], "RUN", "a run of finetune. Give the folder of its pretraining, "),
    (["probe", "table"], "RUN", "table, a run of table."),
    (["pretrain", "simclr", "--encoder", "images/finetune-all-seed-0/classifier.keras"],
     "--encoder", "hold an encoder alone"),
    (["pretrain", "simclr", "--unlabeled"], "--unlabeled", "--unlabeled for digits."),
    (["pretrain", "simclr", "--color", "rgb"], "--color", "--color rgb for digits."),
    (["probe", "images", "--labels", "50", "--k", "51"], "--k", "at most the 50 labels"),
    (["probe", "images", "--data", "digitz"], "--data", "digits"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "named", "text"), WITH_RUNS, ids=[" ".join(arguments) for arguments, *_ in WITH_RUNS]
)
def test_mistake_with_a_finished_run(arguments, named, text, pretrained, monkeypatch, capsys):
    monkeypatch.chdir(pretrained)
    before = sorted(pretrained.rglob("*"))
    status, out, err = run_main(monkeypatch, capsys, *arguments)
    assert (status, out) == (2, "")
    check_line(err, named, text)
    assert sorted(pretrained.rglob("*")) == before, "nothing is left behind"


# The same mistakes from Python.


# (argument, or file or variable, that the message names; mistake)
IN_PYTHON = [
    ("seeds", lambda: run_table(seeds=0)),
    ("systems", lambda: run_table(systems=["deeep"])),
    ("learning_rates", lambda: run_table(learning_rates=(-1,))),
    ("learning_rates=()", lambda: run_table(learning_rates=())),
    ("run_table.units", lambda: run_table(units=0)),
    ("run_table.epochs", lambda: run_table(epochs=0)),
    ("run_table.pretrain_epochs", lambda: run_table(pretrain_epochs=0)),
    ("run_table.batch_size", lambda: run_table(batch_size=1.5)),
    ("load.name", lambda: run_table("diggits")),
    ("run_table.name", lambda: run_table("flat")),
    ("Run.folder", lambda: run_table(out="taken")),
    ("/dev/null/run", lambda: run_table(out="/dev/null/run")),
    ("folder=None", lambda: run_table()),
    ("strategy.replicas", lambda: training.strategy("none", replicas=2)),
    ("strategy.name", lambda: training.strategy("tpu")),
    ("TF_CONFIG", lambda: training.strategy("multiworker")),
    ("pretrain.method", lambda: pretrain("simclrr")),
    ("RBM.gibbs_steps", lambda: pretrain("rbm", gibbs_steps=0)),
    ("DenoisingAutoencoder.rate", lambda: pretrain("denoising", rate=1.5)),
    ("Autoencoder.tied", lambda: pretrain("autoencoder", tied="maybe")),
    ("pretrain.learning_rate", lambda: pretrain("autoencoder", learning_rate=-0.1)),
    ("pretrain.seed", lambda: pretrain("autoencoder", seed=-1)),
    ("pretrain.units", lambda: pretrain("autoencoder", units=(0,))),
    ("load.labels", lambda: pretrain("supervised", labels=5000)),
    ("pretrain.temperature", lambda: pretrain("rbm", temperature=0.5)),
    ("pretrain.labels", lambda: pretrain("rbm", labels=5)),
    ("pretrain.speed", lambda: pretrain("rbm", speed=5)),
    ("pretrain.encoder", lambda: pretrain("simclr", encoder="rnn")),
    ("encoder", lambda: pretrain("simclr", "xor")),
    ("pretrain.filters", lambda: pretrain("simclr", encoder="vit", filters=(8,))),
    ("pretrain.augment", lambda: pretrain("simclr", augment="letters")),
    ("augment", lambda: pretrain("simclr", "xor", encoder="mlp")),
    ("pretrain.name", lambda: pretrain("supervised", "flat")),
    ("load.image_size", lambda: pretrain("simclr", "xor", image_size=16)),
    ("pretrain.monitor_every", lambda: pretrain("simclr", monitor_every=-1)),
    ("pretrain.image_size", lambda: pretrain("tokens", image_size=8)),
    ("load_text.name", lambda: pretrain("tokens")),
    ("length", lambda: pretrain("tokens", "short.txt")),
    ("temperature", lambda: own_options("rbm", {"temperature": 0.5})),
    ("run_label_efficiency.seeds", lambda: run_label_efficiency(seeds=0)),
    ("run_label_efficiency.methods", lambda: run_label_efficiency(methods=["moco"])),
    ("run_label_efficiency.labels", lambda: run_label_efficiency(labels=(5,))),
    ("run_label_efficiency.val_labels", lambda: run_label_efficiency(val_labels=301)),
    ("run_label_efficiency.steps", lambda: run_label_efficiency(steps=0)),
    ("run_label_efficiency.pretrainings", lambda: run_label_efficiency(pretrainings=0)),
    ("run_label_efficiency.learning_rates", lambda: run_label_efficiency(learning_rates=(0,))),
    ("run_label_efficiency.name", lambda: run_label_efficiency("flat")),
    ("finetune_run.folder", lambda: finetune_run("no-such-run")),
    ("finetune_run.epochs", lambda: finetune_run("no-such-run", epochs=0)),
    ("finetune_run.batch_size", lambda: finetune_run("no-such-run", batch_size=0)),
    ("finetune_run.learning_rate", lambda: finetune_run("no-such-run", learning_rate=0)),
    ("finetune_run.seed", lambda: finetune_run("no-such-run", seed=-1)),
    ("probe_run.folder", lambda: probe_run(".")),
    ("import_raw.folder", lambda: data.import_raw("mnist", "no-such-folder")),
    ("import_raw.name", lambda: data.import_raw("digits", "empty")),
    ("get.name", lambda: data.get("mnits")),
    ("find.name", lambda: lectures.find("optimisers")),
]


@pytest.mark.parametrize(("argument", "mistake"), IN_PYTHON, ids=[argument for argument, _ in IN_PYTHON])
def test_mistake_in_python_names_the_argument(argument, mistake, place):
    before = sorted(place.rglob("*"))
    with pytest.raises(InputError) as caught:
        mistake()
    line = str(caught.value)
    assert argument in line
    assert "\n" not in line
    assert not re.search(r"(^|[\s`])--[a-z]", line), "a flag"
    assert sorted(place.rglob("*")) == before, "nothing is left behind"


def test_run_refuses_in_python_words(pretrained):
    options = {"epochs": 1, "batch_size": 256, "units": (8,)}
    with pytest.raises(InputError, match=r"`Run\.folder` must be .* `resume=True` returns its results\.$"):
        pretrain("masked", out=pretrained / "images", **options)
    with pytest.raises(InputError, match=r"`Run\.folder` must be .* with epochs=1, not 2\. Another folder"):
        pretrain("masked", out=pretrained / "images", **(options | {"epochs": 2}))
    with pytest.raises(
        InputError,
        match=r"`Run\.resume` must be given with .*: encoder\.units=\[9\], but the run began with \[8\]",
    ):
        pretrain("masked", out=pretrained / "images", resume=True, **(options | {"units": (9,)}))
    for judge, kind in ((finetune_run, "finetune"), (probe_run, "probe")):
        with pytest.raises(InputError, match=rf"`{kind}_run\.folder` must have been pretrained on images"):
            judge(pretrained / "text")
        with pytest.raises(InputError, match=rf"`{kind}_run\.data` must have images of 8×8×1"):
            judge(pretrained / "images", data="two_moons")


# The rule behind the tables.


CHECKED = [
    *PACKAGE.glob("data/**/*.py"),
    *PACKAGE.glob("runs/**/*.py"),
    *PACKAGE.glob("experiments/**/*.py"),
    *(PACKAGE / "pretraining" / f"{name}.py" for name in ("methods", "method_options", "run_options")),
    PACKAGE / "training" / "strategy.py",
    *PACKAGE.glob("lectures/**/*.py"),
]
# Subjects, or functions and classes, that no command sets, with the reason.
ONLY_PYTHON = {
    "load": "parameters of generated sets have no flags",
    "spirals": "a parameter of a generated set",
    "bars_and_stripes": "a parameter of a generated set",
    "{}.n": "a parameter of a generated set",
    "{}.noise": "a parameter of a generated set",
    "stream": "a run sets all arguments of `stream` itself",
    "callbacks": "objects, which no flag can name",
    "minibatches": "a trainer sets all arguments of `minibatches` itself",
    "epoch_order": "a trainer sets all arguments of `epoch_order` itself",
    "Share": "a trainer makes the shares",
    "Split": "loading makes the splits of a run",
    "paths": "results of `function_paths`, which no command has",
    "fingerprints": "no command takes arrays",
    "refuse_overlap.allowed": "no command allows an overlap",
    "Watch.every": "`MonitorOptions` has checked `--monitor-every`",
    "Run.fit.keep_best": "set by the package",
    "Run.checkpoint_seconds": "set by the package",
    "config.json": "a file of a run, not an argument",
    "results.json": "a file of a run, not an argument",
    "paired_difference": "the table compares rows of the same seeds",
    "Run.fit.best_is": "set by the package",
    "Run.fit.model": "made by the package",
    "Run.fit.stage": "set by the package",
    "Run.fit.x": "loaded by the package",
    "search_recipe.space": "a dictionary, which no flag can name",
    "run_label_efficiency.neighbors": "no flag sets them",
    "{}.**changes": "the commands give fields of the settings only",
    "run_table.changes": "the command gives fields of a recipe only",
    "States": "a demo declares its own pictures",
    "page.states": "a demo declares its own pictures",
    "draw_letters": "a demo draws letters of its own",
    "answer": "typed into the quiz, which asks again",
    "pretrain.method": "the command line refuses an unknown METHOD before a run starts",
}


def parameters_of(command, context):
    """Names of the parameters of a command and of all its subcommands."""
    names = {parameter.name for parameter in command.params}
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            names |= parameters_of(command.get_command(context, name), context)
    return names


def subjects_in(path):
    """(line, subject, whether the call names a flag) of each check in a file whose subject is known."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = getattr(getattr(node, "func", None), "id", None)
        if called in ("refuse", "number", "count", "choice") and node.args:
            subject, flagged = node.args[0], any(each.arg == "flag" for each in node.keywords)
            if isinstance(subject, ast.Constant):
                yield node.lineno, subject.value, flagged
            elif isinstance(subject, ast.JoinedStr) and isinstance(subject.values[-1], ast.Constant):
                yield node.lineno, "{}" + subject.values[-1].value, flagged


def test_every_subject_has_a_flag():
    """A check names its flag, or has the name of a parameter of some command, or is out of reach of the shell."""
    parameters = parameters_of(cli.cli, click.Context(cli.cli))
    assert {"epochs", "temperature", "labels", "mask_ratio"} <= parameters
    missing, used = [], set()
    for path in CHECKED:
        for line, subject, flagged in subjects_in(path):
            reasons = {subject, subject.split(".")[0]} & ONLY_PYTHON.keys()
            if not flagged and subject.rsplit(".", 1)[-1] not in parameters:
                used |= reasons
                if not reasons:
                    missing.append(f"{path.relative_to(PACKAGE)}:{line} {subject}")
    assert missing == []
    assert used == ONLY_PYTHON.keys(), "an exception that is no longer needed"


def test_no_check_in_the_package_names_a_flag_as_its_subject():
    for path in CHECKED:
        for line, subject, _ in subjects_in(path):
            assert not str(subject).startswith("--"), f"{path.name}:{line}"
            assert subject != "RUN", f"{path.name}:{line}"


# Parts of an error.


def test_input_error_is_a_value_error_of_tf_kit_errors():
    assert issubclass(errors.InputError, ValueError)
    assert errors.InputError is InputError
    assert not issubclass(errors.WorkerLost, ValueError)
    with pytest.raises(ValueError, match="must be above 0") as caught:
        checks.refuse("f.rate", "be above 0", "rate=-1", "Use 1", flag="--speed", typed_remedy="Type 1")
    again = errors.InputError(**caught.value.parts())
    assert (str(again), again.parts()) == (str(caught.value), caught.value.parts())


@pytest.mark.parametrize(
    ("received", "typed"),
    [
        ("rate=-1", "--rate -1"),
        ("rate='fast'", "--rate fast"),
        ("rate=(0.1, 0.2)", "--rate 0.1,0.2"),
        ("rate=5, which is too much", "--rate 5, which is too much"),
        ("fast=None, but the run began with True", "no --fast, but the run began with it"),
        (
            "rate='of the data set', but the run began with 'none'",
            "no --rate, but the run began with --rate none",
        ),
        ("rate='rgb' for digits", "--rate rgb for digits"),
        ("rate='a, b', which is too much", "--rate a, b, which is too much"),
        ("rate=[1, 2] and no images", "--rate 1,2 and no images"),
        ("fast=True for digits", "--fast for digits"),
        ("fast=True, but the run began with False", "--fast, but the run began without it"),
        (
            "runs/r, which holds a run with rate=[1], not [2]",
            "runs/r, which holds a run with --rate 1, not 2",
        ),
        (
            "runs/r, which holds a run with run='/a=1', not '/b=2'",
            "runs/r, which holds a run with run /a=1, not /b=2",
        ),
        ("a=1", "a=1"),
        ("pictures", "pictures"),
    ],
)
def test_received_value_is_written_as_typed(received, typed):
    options = [click.Option(["--rate"]), click.Option(["--fast"], is_flag=True), click.Option(["--out"])]
    command = click.Command("train", params=options)
    error = InputError("", subject="f.rate", requirement="be one of 'a', 'b'", received=received)
    assert refusals.as_typed(error, command) == f"`--rate` must be one of a, b. Received: {typed}."


def test_flag_and_typed_remedy_replace_argument_and_remedy():
    command = click.Command("train", params=[click.Argument(["run"]), click.Option(["--rate"])])
    parts = {"requirement": "exist", "received": "x", "remedy": "Call f()"}
    typed = [
        InputError("", subject="f.folder", flag="RUN", typed_remedy="Type it", **parts),
        InputError("", subject="f.run", typed_remedy="", **parts),
        InputError("", subject="images/3.png", **parts),
    ]
    assert [refusals.as_typed(error, command) for error in typed] == [
        "`RUN` must exist. Received: x. Type it.",
        "`RUN` must exist. Received: x.",
        "`images/3.png` must exist. Received: x. Call f().",
    ]
    assert refusals.as_typed(InputError("a whole sentence"), command) == "a whole sentence"


def flags_of_text():
    """Return the words of each command with each of its flags of free text."""

    def below(command, words):
        for name, each in getattr(command, "commands", {}).items():
            yield from below(each, [*words, name])
        for each in command.params:
            if isinstance(each, click.Option) and isinstance(each.type, click.types.StringParamType):
                yield [*words, each.opts[0]]

    return list(below(cli.cli, []))


@pytest.mark.parametrize("words", flags_of_text(), ids=" ".join)
def test_empty_text_is_refused(words, monkeypatch, capsys):
    """A shell variable without a value gives it; it would be taken for a flag that was not typed."""
    status, out, err = run_main(monkeypatch, capsys, *words, "")
    assert (status, out) == (2, "")
    assert f"`{words[-1]}` must not be empty. Received: ''." in err


@pytest.mark.parametrize("kind", ["MemoryError", "_ArrayMemoryError", "ResourceExhaustedError"])
def test_lack_of_memory_is_one_line(kind, monkeypatch, capsys):
    def exhaust():
        raise type(kind, (Exception,), {})(
            "OOM when allocating tensor with shape[64,9] and type float on /job:a"
        )

    monkeypatch.setitem(cli.cli.commands, "table", click.Command("table", callback=exhaust))
    status, out, err = run_main(monkeypatch, capsys, "table")
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert "the memory is not enough for a tensor with shape[64,9] and type float; use fewer units" in err


def test_lost_worker_and_interruption_have_their_own_status(monkeypatch, capsys):
    def lose():
        raise errors.WorkerLost("worker 1 is lost")

    def interrupt():
        raise KeyboardInterrupt

    for raises, status, text in ((lose, 1, "worker 1 is lost"), (interrupt, 130, "--resume continues")):
        monkeypatch.setitem(cli.cli.commands, "table", click.Command("table", callback=raises))
        found, out, err = run_main(monkeypatch, capsys, "table")
        assert (found, out) == (status, "")
        assert text in err
