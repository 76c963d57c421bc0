"""The command tf-kit: its groups and commands, and its exit status.

Nothing heavy is imported before a command needs it, so `--help` answers at once. Exit status: 0 done, 2 bad arguments
or input (one line on standard error), 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, 1 any other error.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator

import click

from tf_kit import __version__, lean_keras
from tf_kit.cli import streams
from tf_kit.cli.classification import finetune, probe
from tf_kit.cli.data import data
from tf_kit.cli.doctor import doctor
from tf_kit.cli.experiments import label_efficiency, search_recipe, table
from tf_kit.cli.lab import lab
from tf_kit.cli.lecture import lecture
from tf_kit.cli.pretraining import pretrain
from tf_kit.cli.quiz import quiz
from tf_kit.cli.refusals import Group
from tf_kit.cli.use import embed, export, predict
from tf_kit.errors import InputError, RunStopped, WorkerLost


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tf-kit")
def cli() -> None:
    """Train and pretrain neural networks, run the demos of the lecture, and grade its labs.

    A course on neural networks in Keras 3. `tf-kit COMMAND --help` explains a command.
    """


for command in (
    table,
    pretrain,
    finetune,
    probe,
    predict,
    embed,
    export,
    label_efficiency,
    search_recipe,
    lecture,
    quiz,
    lab,
    data,
    doctor,
):
    cli.add_command(command)


# Signals that stop a command as Ctrl-C does; a terminal that closes sends SIGHUP, which Windows does not have.
_STOPPING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class _Terminated(KeyboardInterrupt):
    """A signal of `_STOPPING`; its argument is the number of the signal."""


def main() -> None:
    """Run the command; a mistake of the user gives one line and exit status 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever a shell or Keras's own file of settings chooses
    os.environ["MPLBACKEND"] = "agg"  # figures become files; a notebook's backend may not be installed here
    streams.open_closed()
    lean_keras.hide()
    with streams.error_not_relied_on(), streams.warnings_in_one_line(), _stopped_by_signals():
        status = _run()
    gc.freeze()  # else Python would look through all of TensorFlow for garbage before it ends, for a second
    sys.exit(status)


def _run() -> int:
    """Run the command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files are any bytes, which are printed as \udcff
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        status = 0
    except click.ClickException as error:
        status = _fail(_one_line(error))
    except InputError as error:  # raised outside a command
        status = _fail(str(error))
    except (WorkerLost, RunStopped) as error:
        status = _fail(str(error), status=1)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            status = _fail(f"{error.filename or 'a file'} cannot be written: {error.strerror}", status=1)
        elif error.filename is None:
            raise
        else:  # a file that may not be opened, a name that is too long
            status = _fail(f"{error.filename} cannot be used: {error.strerror}")
    except (KeyboardInterrupt, click.Abort) as error:
        atexit.register(_let_signals_end_the_process)
        click.echo(f"tf-kit: interrupted{_continuation(error)}", err=True)
        found = next((each for each in (error, error.__cause__) if isinstance(each, _Terminated)), None)
        status = 128 + (found.args[0] if found else signal.SIGINT)
    except RuntimeError as error:  # of `Path.expanduser`
        if "home directory" not in str(error):
            raise
        status = _fail("a path that begins with ~ and a name must name a user of this machine")
    except Exception as error:
        if type(error).__name__ not in _OF_MEMORY:
            raise
        status = _fail(
            f"the memory is not enough{_needed(error)}; use fewer units or smaller batches", status=1
        )
    return status if isinstance(status, int) else 0


_OF_MEMORY = ("MemoryError", "_ArrayMemoryError", "ResourceExhaustedError")  # of Python, NumPy, TensorFlow


def _needed(error: Exception) -> str:
    """Return the array for which there was no memory, as far as the error describes it.

    >>> _needed(MemoryError("Unable to allocate 7 EiB for an array with shape (9,) and data type int8"))
    ' for an array with shape (9,) and data type int8'
    >>> _needed(MemoryError("{{node MatMul}} OOM when allocating tensor with shape[64,9] and type float on /job:a"))
    ' for a tensor with shape[64,9] and type float'
    """
    found = re.search(r" for an array with shape [^\n]+|tensor with shape\S+ and type \w+", str(error))
    text = found[0] if found else ""
    return f" for a {text}" if text.startswith("tensor") else text


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Within this context, a signal of `_STOPPING` raises `_Terminated`. Ignored ones stay so, as under nohup."""
    heard = [number for number in _STOPPING if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, _terminate) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(number, frame):
    raise _Terminated(number)


def _let_signals_end_the_process() -> None:
    """From now on a further Ctrl-C ends the process without a traceback; TensorFlow may take seconds to leave."""
    for number in (signal.SIGINT, *_STOPPING):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _continuation(error: BaseException) -> str:
    """Return how to continue the command that was typed, if it says so or has `--resume`."""
    notes = [note for each in (error, error.__cause__) for note in getattr(each, "__notes__", [])]
    if notes:
        return f"; {notes[0]}"
    words = sys.argv[1:]
    command: click.Command | None = cli
    for word in words:
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word) or command
    if command is None or (command.params and not any("--resume" in each.opts for each in command.params)):
        return ""
    typed = shlex.join(["tf-kit", *words, *([] if "--resume" in words else ["--resume"])])
    return f"; --resume continues: {typed}"


def _fail(line: str, status: int = 2) -> int:
    click.echo(f"tf-kit: {' '.join(line.split())}", err=True)
    return status


def _one_line(error: click.ClickException) -> str:
    """Return the message of click about a wrong argument, followed by the command that explains it."""
    context = getattr(error, "ctx", None)
    if not isinstance(error, click.UsageError):
        return error.format_message()
    command = context.command_path if context else "tf-kit"
    message = error.format_message()
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See `{command} --help`."
