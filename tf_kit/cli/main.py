"""The command tf-kit.

Nothing heavy is imported before a command needs it: `tf-kit --help` answers at once. Exit status: 0 done, 2 bad
arguments or input (one line on stderr), 1 anything else.
"""

import contextlib
import functools
import importlib
import os
import shlex
import sys

import click

from tf_kit import __version__, stderr
from tf_kit.errors import InputError, WorkerLost
from tf_kit.grading.commands import lab

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False),
    help="Folder of prepared tensorflow-datasets sets. Defaults to TFDS_DATA_DIR.",
)
DATA = click.option(
    "--data",
    default="digits",
    show_default=True,
    help="Data set, `tf-kit data list` shows some; or a folder of images, in subfolders if they have classes.",
)
LABELLED = click.option(
    "--data", help="Data set, or folder of images in subfolders, to train and test on. [default: that of RUN]"
)
SEED = click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
OUT = click.option("--out", type=click.Path(), help="Run folder. [default: runs/<command>-<data>]")
RESUME = click.option("--resume", is_flag=True, help="Go on with the run in the folder, if it holds one.")


def on_replicas(command):
    """Gives a command that trains `--replicas` and `--strategy`, and runs it in the scope of the strategy."""

    @click.option(
        "--replicas",
        type=click.IntRange(1),
        help="Devices that share each batch; the results stay the same. [default: all GPUs; without one, 1]",
    )
    @click.option(
        "--strategy",
        type=click.Choice(["auto", "none", "mirrored", "multiworker"]),
        default="auto",
        show_default=True,
        help="Devices of this machine, or of all that TF_CONFIG or Slurm names.",
    )
    @functools.wraps(command)
    def run(*arguments, replicas, strategy, **options):
        _import_tensorflow()
        from tf_kit import scaling
        from tf_kit.training import workers

        with scaling.strategy(strategy, replicas).scope(), workers.naming_the_lost(), _said_by_chief():
            return command(*arguments, **options)

    return run


@contextlib.contextmanager
def _said_by_chief():
    """Of several workers, one speaks."""
    from tf_kit.training import workers

    speaks = workers.is_chief()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(sys.stdout if speaks else nowhere):
        yield


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tf-kit")
def cli():
    """A course on neural networks that runs: pretraining, optimizers, regularization, in Keras 3."""


cli.add_command(lab)


@cli.command()
@DATA
@DATA_DIR
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="How many seeds: 0, 1, …")
@click.option(
    "--systems", help="Rows to compute, separated by commas: dbn,autoencoder,supervised,deep,shallow."
)
@click.option("--units", type=click.IntRange(1), help="Units in each hidden layer.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of fine-tuning, the same for every system.")
@click.option("--pretrain-epochs", type=click.IntRange(1), help="Epochs of pretraining for each layer.")
@click.option("--batch-size", type=click.IntRange(1), help="Examples a step.")
@click.option("--learning-rates", help="Fine-tuning rates to choose from on validation, separated by commas.")
@OUT
@RESUME
@on_replicas
def table(data, data_dir, seeds, systems, learning_rates, out, resume, **changes):
    """The lecture's five-row table: what pretraining buys.

    Trains a deep belief network, a net with auto-associator pretraining, one with supervised pretraining, one
    without and a shallow one, all on the same split with the same fine-tuning budget; prints training,
    validation and test error. Learning rate and epoch are chosen on the validation set.
    """
    from tf_kit.experiments import format_table, run_table

    if learning_rates is not None:
        changes["learning_rates"] = _numbers("--learning-rates", learning_rates)
    systems = systems.split(",") if systems else None
    out = out or f"runs/table-{_last_part(data)}"
    results = run_table(
        data, seeds=seeds, out=out, resume=resume, systems=systems, data_dir=data_dir, **changes
    )
    click.echo(format_table(results))
    click.echo(f"\n{results['seconds']:.0f} s; figures, history and results in {out}")


@cli.command()
@click.argument("method", metavar="METHOD")
@DATA
@DATA_DIR
@click.option("--image-size", help="Pixels a side, or height,width, that images are scaled to.")
@click.option("--encoder", help="mlp, cnn or vit. [default: by method]")
@click.option("--units", help="mlp, cnn: units of each dense layer. [default: 200,200,200; 128]")
@click.option("--activation", help="mlp, cnn: sigmoid, tanh, relu or leaky_relu. [default: by method]")
@click.option("--filters", help="cnn: filters of each layer. [default: by image size]")
@click.option("--patch-size", type=click.IntRange(1), help="vit: pixels a side. [default: by image size]")
@click.option("--width", type=click.IntRange(1), help="vit, tokens: length of a token. [default: 64]")
@click.option("--depth", type=click.IntRange(1), help="vit, tokens: blocks. [default: 2]")
@click.option(
    "--augment", help="Views: none, digits, fashion or natural. [default: by the data set's name and colors]"
)
@click.option("--epochs", type=click.IntRange(1), help="Passes, for each layer if it goes layer by layer.")
@click.option("--batch-size", type=click.IntRange(1), help="Examples a step. [default: by method]")
@click.option("--learning-rate", type=float, help="[default: by method]")
@click.option("--rate", type=float, help="denoising: share of the features it masks. [default: 0.25]")
@click.option("--gibbs-steps", type=click.IntRange(1), help="rbm: k of CD-k. [default: 1]")
@click.option("--persistent", is_flag=True, default=None, help="rbm: persistent chains.")
@click.option("--labels", help="supervised: labels it may use, a number, or a fraction such as 0.1.")
@click.option("--temperature", type=float, help="simclr: τ. [default: 0.2]")
@click.option("--momentum", type=float, help="byol: of the teacher. [default: 0.99]")
@click.option("--redundancy-weight", type=float, help="barlow: λ. [default: 0.005]")
@click.option(
    "--variance-weight", type=float, help="vicreg: μ; at 0 embeddings shrink to a point. [default: 25]"
)
@click.option(
    "--mask-ratio", type=float, help="mae, masked, tokens: share that is hidden. [default: by method]"
)
@click.option(
    "--monitor-every",
    type=click.IntRange(0),
    help="Epochs between looks at neighbors and collapse on validation images; 0 never. [default: ≈ 5 % of the time]",
)
@click.option("--length", type=click.IntRange(2), help="tokens: characters in a stretch. [default: 64]")
@SEED
@OUT
@RESUME
@on_replicas
def pretrain(method, data, labels, image_size, units, filters, out, **options):
    """Pretrain an encoder on unlabelled images.

    METHOD is one of

    \b
      autoencoder, denoising, rbm, supervised   layer by layer (rbm: a deep belief network)
      simclr, byol, barlow, vicreg              two views of an image agree
      mae, masked                               hidden patches, hidden features are filled in
      tokens                                    hidden characters are filled in; --data is then a text file,
                                                or tiny_shakespeare

    The run folder then holds the encoder, the curves, and figures of what was learned: filters, views,
    reconstructions. While it trains, validation images are watched: do nearest neighbors share a class,
    how many directions does the representation use, does it collapse?
    """
    from tf_kit.runs import pretraining

    if method == "tokens":
        given = {"labels": labels, "image_size": image_size, "units": units, "filters": filters, **options}
        _pretrain_tokens(data, out or f"runs/tokens-{_last_part(data)}", given)
        return
    options["image_size"] = image_size and _numbers("--image-size", image_size, whole=True)
    if image_size and len(options["image_size"]) == 1:
        options["image_size"] *= 2
    elif image_size and len(options["image_size"]) != 2:
        raise InputError(f"`--image-size` must be one number or height,width. Received: {image_size!r}.")
    options["units"] = units and _numbers("--units", units, whole=True)
    options["filters"] = filters and _numbers("--filters", filters, whole=True)
    out = out or f"runs/{method}-{_last_part(data)}"
    if options.pop("length") is not None:
        raise InputError(
            f"`--length` must be left out for {method}. Received: --length. It belongs to tokens."
        )
    results = pretraining.pretrain(method, data, out=out, labels=_labels(labels), **options)
    for stage, metrics in results["stages"].items():
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "seconds")
        click.echo(f"{stage}: {shown}")
    for stage, epoch in results.get("collapsed_in", {}).items():
        click.echo(
            f"{stage}: collapsed in epoch {epoch}; what this encoder represents is hardly worth fine-tuning"
        )
    click.echo(f"encoder, curves and figures in {out}; next: tf-kit finetune {shlex.quote(str(out))}")


def _pretrain_tokens(data, out, options):
    from tf_kit.runs.text import pretrain_tokens

    own = {"length", "width", "depth", "mask_ratio", "epochs", "batch_size", "learning_rate"}
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - own - {"seed", "resume", "data_dir"}:
        flag = "--" + name.replace("_", "-")
        raise InputError(f"`{flag}` must be left out for tokens. Received: {flag}.")
    results = pretrain_tokens(data, out=out, **given)
    for name, accuracy in results["test"].items():
        click.echo(f"test, masked characters: {name} {accuracy:.2f} %")
    click.echo(f"encoder, curves and figures/filled_in.txt in {out}")


@cli.command()
@click.argument("run", type=click.Path())
@click.option("--labels", help="Labels to use: a number, or a fraction such as 0.1. [default: all]")
@click.option("--epochs", type=click.IntRange(1), default=30, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True)
@click.option("--learning-rate", type=float, default=0.001, show_default=True)
@SEED
@LABELLED
@DATA_DIR
@click.option("--out", type=click.Path(), help="Run folder. [default: a folder within RUN]")
@RESUME
@on_replicas
def finetune(run, labels, out, **options):
    """Train the pretrained encoder of RUN on labels; the best epoch on validation is tested once."""
    from tf_kit.runs import classification

    labels = _labels(labels)
    out = out or classification.folder_within(run, "finetune", labels, options["seed"], options["data"])
    _say_errors(classification.finetune_run(run, labels=labels, out=out, **options), out)


@cli.command()
@click.argument("run", type=click.Path())
@click.option("--labels", help="Labels to use: a number, or a fraction such as 0.1. [default: all]")
@click.option("--epochs", type=click.IntRange(1), default=30, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True)
@click.option("--learning-rate", type=float, default=0.01, show_default=True)
@click.option(
    "--k",
    type=click.IntRange(1),
    help="Nearest neighbors that vote. [default: 20, or the labels of a class if fewer]",
)
@SEED
@LABELLED
@DATA_DIR
@click.option("--out", type=click.Path(), help="Run folder. [default: a folder within RUN]")
@RESUME
@on_replicas
def probe(run, labels, out, **options):
    """Judge the frozen encoder of RUN: a linear classifier on it, and its nearest neighbors."""
    from tf_kit.runs import classification

    labels = _labels(labels)
    out = out or classification.folder_within(run, "probe", labels, options["seed"], options["data"])
    _say_errors(classification.probe_run(run, labels=labels, out=out, **options), out)


@cli.command()
@DATA
@DATA_DIR
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="How many seeds: 0, 1, …")
@click.option("--methods", help="Methods of `tf-kit pretrain`, separated by commas. [default: all]")
@click.option("--labels", help="Numbers of labels, separated by commas; all is one. [default: by data set]")
@click.option("--steps", type=click.IntRange(1), help="Least steps of a fine-tuning.")
@click.option("--pretrain-epochs", type=click.IntRange(1), help="Epochs of pretraining, of each layer.")
@click.option(
    "--pretrainings", type=click.IntRange(1), help="Encoders for each method, which the seeds share in turn."
)
@click.option("--learning-rates", help="Fine-tuning rates to choose from on validation, separated by commas.")
@click.option(
    "--val-labels", type=click.IntRange(1), help="Validation images that choose, with their labels."
)
@OUT
@RESUME
@on_replicas
def labels(data, data_dir, seeds, methods, labels, learning_rates, out, resume, **changes):
    """How many labels is pretraining worth? Every method against training from scratch.

    Pretrains on the images of train, fine-tunes with few and with many labels (the same steps, learning rates
    and choices on validation for every row), and prints test accuracy of fine-tuning, of a linear probe and of
    nearest neighbors.
    """
    from tf_kit.experiments import format_labels, run_label_efficiency

    if learning_rates is not None:
        changes["learning_rates"] = _numbers("--learning-rates", learning_rates)
    if labels is not None:
        parts = [part.strip() for part in labels.split(",")]
        counts = iter(
            _numbers("--labels", ",".join(each for each in parts if each != "all") or "1", whole=True)
        )
        changes["labels"] = tuple(None if part == "all" else next(counts) for part in parts)
    out = out or f"runs/labels-{_last_part(data)}"
    results = run_label_efficiency(
        data,
        seeds=seeds,
        out=out,
        resume=resume,
        methods=methods.split(",") if methods else None,
        data_dir=data_dir,
        **changes,
    )
    click.echo(format_labels(results))
    click.echo(f"\n{results['seconds']:.0f} s; figure, encoders and results in {out}")


def _say_errors(results, out):
    click.echo(f"{results['labels']:,} labels, best epoch {results['best_epoch']}; error in %")
    for split, error in results["error"].items():
        click.echo(f"  {split:26}{error:6.2f}")
    click.echo(f"classifier, curves and results in {out}")


class _Lectures(click.Group):
    """`lecture NN` and `lecture NAME` are commands whose options come from the demo's `Config`."""

    def get_command(self, context, name):
        command = super().get_command(context, name)
        if command is not None:
            return command
        from tf_kit import lectures

        demo = lectures.find(name)
        _import_tensorflow()
        module = lectures.load(demo)
        return click.Command(
            name,
            params=[*lectures.options_of(module.Config), *_lecture_options()],
            callback=lambda **options: _run_lecture(demo, module, **options),
            help=module.__doc__,
            short_help=demo.question,
        )


def _lecture_options():
    return [
        click.Option(["--quick"], is_flag=True, help="A smaller run of the same demo."),
        click.Option(["--out"], default="figures", show_default=True, help="Folder for the figure."),
        click.Option(
            ["--notebook"], is_flag=True, help="Write the demo as a notebook into the folder instead."
        ),
    ]


def _run_lecture(demo, module, quick, out, notebook, **changes):
    from tf_kit import lectures

    if notebook:
        click.echo(f"{lectures.write_notebook(demo, out)}")
    else:
        try:
            lectures.perform(module, lectures.configure(module, quick, **changes), out)
        except AssertionError as error:
            click.echo(f"tf-kit: the claim does not hold: {error}", err=True)
            raise SystemExit(1) from None


@cli.group(cls=_Lectures, subcommand_metavar="list | all | NN | NAME")
def lecture():
    """Run a demo of the lecture: it asks one question, answers it and checks the answer."""


@lecture.command("list")
def list_lectures():
    """The demos: number, topic, expected time, question."""
    from tf_kit import lectures

    for demo in lectures.demos():
        click.echo(f"{demo.number}  {demo.topic:16}{demo.seconds:>5g} s  {demo.title}: {demo.question}")


@lecture.command("all")
@click.option("--quick", is_flag=True, help="A smaller run of each demo.")
@click.option("--out", default="figures", show_default=True, help="Folder for the figures.")
def all_lectures(quick, out):
    """Run every demo, one after another; the exit status is 1 if a claim does not hold."""
    from tf_kit import lectures

    _import_tensorflow()
    failed = []
    for demo in lectures.demos():
        click.echo(f"\n{demo.number} {demo.title}")
        module = lectures.load(demo)
        try:
            lectures.perform(module, lectures.configure(module, quick), out)
        except AssertionError as error:
            failed.append(demo.number)
            click.echo(f"the claim does not hold: {error}", err=True)
    if failed:
        click.echo(f"tf-kit: {len(failed)} claims do not hold: {', '.join(failed)}", err=True)
        raise SystemExit(1)


@cli.group()
def data():
    """List, download and import data sets."""


@data.command("list")
@DATA_DIR
def list_data(data_dir):
    """The data sets at hand. Every other image set of tensorflow-datasets works by its name, once downloaded."""
    from tf_kit.data import available

    click.echo(f"{'name':24}{'kind':12}{'examples':>10}  {'shape':16}{'classes':>7}{'MB':>8}")
    for row in available(data_dir=data_dir):
        shape = "×".join("?" if size < 0 else str(size) for size in row.shape) if row.shape else "not images"
        examples = f"{row.examples:,}" if row.examples is not None else "?"
        size = f"{row.size_bytes / 1e6:.1f}" if row.size_bytes else ""
        line = f"{row.name:24}{row.kind:12}{examples:>10}  {shape:16}{row.num_classes or '':>7}{size:>8}"
        click.echo(line.rstrip() + (f"  {row.problem}" if row.problem else ""))


@data.command("get")
@click.argument("name")
@DATA_DIR
def get_data(name, data_dir):
    """Download and prepare the data set NAME of tensorflow-datasets."""
    _import_tensorflow()
    from tf_kit.data import get

    folder = get(name, data_dir=data_dir)
    click.echo(f"{name} is in {folder}" if folder else f"{name} comes with the kit")


@data.command("import")
@click.argument("name")
@click.argument("folder", type=click.Path())
@DATA_DIR
def import_data(name, folder, data_dir):
    """Prepare the data set NAME from its original raw files in FOLDER, without a network."""
    _import_tensorflow()
    from tf_kit.data import import_raw

    click.echo(f"{name} is in {import_raw(name, folder, data_dir=data_dir)}")


@cli.command()
@DATA_DIR
def doctor(data_dir):
    """Say what this machine has: versions, devices, the strategy of training, data, the sandbox of grading."""
    import platform
    from importlib import metadata

    _import_tensorflow()
    import tensorflow as tf

    from tf_kit.data import available
    from tf_kit.grading import confinement
    from tf_kit.training.strategy import plan

    packages = ("tensorflow", "keras", "tensorflow-datasets", "numpy", "scikit-learn", "matplotlib")
    click.echo(f"tf-kit {__version__}")
    click.echo(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in packages:
        click.echo(f"{package} {metadata.version(package)}")
    cores = os.cpu_count()
    gpus = tf.config.list_physical_devices("GPU")
    click.echo(f"devices: {len(gpus)} GPU{'s' if len(gpus) != 1 else ''}, {cores} processor cores")
    for gpu in gpus:
        click.echo(f"  {tf.config.experimental.get_device_details(gpu).get('device_name', gpu.name)}")
    click.echo(f"strategy: {plan()}")
    found = ", ".join(str(row.name) for row in available(data_dir=data_dir))
    click.echo(f"data: {found}")
    parts = confinement.available()
    there = ", ".join(part for part, is_there in parts.items() if is_there)
    click.echo(f"sandbox for graded answers: {confinement.level_of(parts)} ({there or 'nothing'})")


def _last_part(name):
    """What a run on a data set is called: of a path to a folder its last part."""
    return os.path.basename(os.path.normpath(name))


def _numbers(option, text, whole=False):
    try:
        numbers = tuple((int if whole else float)(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < float("inf") for number in numbers):
        kind = "whole numbers" if whole else "numbers"
        raise InputError(f"`{option}` must be positive {kind} separated by commas. Received: {text!r}.")
    return numbers


def _labels(text):
    """A count ("1000") as int, a fraction ("0.1") as float, None as None."""
    if text is None:
        return None
    try:
        return int(text) if text.strip().isdigit() else float(text)
    except ValueError:
        raise InputError(
            f"`--labels` must be a number of labels or a fraction in (0, 1]. Received: {text!r}."
        ) from None


def main():
    """Entry point: runs the command and turns a user's mistake into one line and exit status 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        status = 0
    except click.ClickException as error:
        status = _fail(_one_line(error))
    except InputError as error:
        status = _fail(str(error))
    except WorkerLost as error:
        _fail(str(error))
        status = 1
    except (KeyboardInterrupt, click.Abort):
        click.echo("tf-kit: interrupted; --resume goes on after the last finished epoch", err=True)
        status = 1
    sys.exit(status if isinstance(status, int) else 0)


def _import_tensorflow():
    """Imports TensorFlow with standard error closed: it greets with lines that no setting turns off."""
    with stderr.closed():
        importlib.import_module("tensorflow")


def _fail(line):
    click.echo(f"tf-kit: {' '.join(line.split())}", err=True)
    return 2


def _one_line(error):
    """What click says of a wrong argument, with where to look."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "tf-kit"
    return f"{error.format_message().rstrip('.')}. See `{command} --help`."
