"""The model of a finished run: the file that holds it, and the examples that it takes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
from keras import ops

from tf_kit.checks import refuse
from tf_kit.data.array_rows import Row
from tf_kit.data.given import Given, find_images, read_in_chunks
from tf_kit.data.pictures import clean
from tf_kit.errors import InputError
from tf_kit.networks import TokenEncoder
from tf_kit.runs.divergence import first_variable_gone_wrong
from tf_kit.runs.inputs import divisor_in, read_inputs
from tf_kit.runs.keras_file import why_unreadable
from tf_kit.training.inputs import is_array


@dataclasses.dataclass(frozen=True)
class Saved:
    """Model of a finished run.

    Args:
        folder: the run folder.
        model: the classifier of a fine-tuning or probe, or the encoder of a pretraining.
        shape: (height, width, channels) of the images that it takes, or (features,) of vectors.
        class_names: names of the classes of a classifier, in the order of its outputs; empty for an encoder.
        divisor: what vectors were divided by, or None if that is not known. Defaults to None.
    """

    folder: Path
    model: keras.Model
    shape: tuple[int, ...]
    class_names: tuple[str, ...]
    divisor: float | None = None

    @property
    def encoder(self) -> Any:
        """The encoder, also that of a classifier."""
        return getattr(self.model, "encoder", self.model)


def run_folder(subject: str, folder: str | Path) -> Path:
    """Return the folder of a run as a path, `.` and `..` in full; refuse what is not a path.

    Example:
        >>> run_folder("embed.run", "")
        Traceback (most recent call last):
        tf_kit.errors.InputError: `embed.run` must be the path of a run folder. Received: ''.
    """
    if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
        refuse(subject, "be the path of a run folder", f"{folder!r}", flag="RUN")
    folder = Path(folder).expanduser()
    return folder if folder.name not in ("", "..") else folder.resolve()


def load_saved(function: str, folder: str | Path, *, vectors: bool = False) -> Saved:
    """Load the classifier of a run, or else its encoder.

    Args:
        function: name of the caller, for messages.
        folder: run folder of `pretrain`, `finetune_run` or `probe_run`.
        vectors: whether a run on vectors will do as well as one on images. Defaults to False.

    Raises:
        InputError: the folder holds no finished run on such examples, or its model cannot be read.
    """
    subject = f"{function}.run"
    folder = run_folder(subject, folder)
    file = next((each for each in _files(folder) if each.is_file()), None)
    if file is None:
        refuse(
            subject,
            "be the folder of a finished run, which holds classifier.keras or encoder.keras",
            f"{clean(folder)}" + ("" if folder.exists() else ", which does not exist"),
            "A run that was interrupted is finished by the same command with `resume=True`",
            flag="RUN",
            typed_remedy="A run that was interrupted is finished by the same command with --resume",
        )
    model = load_model(subject, file, "Run its command again in another folder")
    if isinstance(model, TokenEncoder):
        received = f"{clean(folder)}, a run on text"
        remedy = 'keras.models.load_model("encoder.keras") takes the `x` of `data.load_text`'
        requirement = f"be a run on images{' or vectors' if vectors else ''}"
        refuse(subject, requirement, received, remedy, flag="RUN")
    inputs = read_inputs(folder, model)
    shape = tuple(inputs["shape"])
    if None in shape or not ((len(shape) == 3 and shape[-1] in (1, 3)) or (vectors and len(shape) == 1)):
        refuse(
            subject, "be a run on images", f"{clean(folder)}, whose examples have shape {shape}", flag="RUN"
        )
    names = tuple(inputs.get("class_names") or ())
    if not hasattr(model, "num_classes"):
        return Saved(folder, model, shape, (), divisor_in(inputs))
    if len(names) != model.num_classes:
        names = tuple(map(str, range(model.num_classes)))
    return Saved(folder, model, shape, names, divisor_in(inputs))


def load_classifier(function: str, folder: str | Path) -> Saved:
    """Load the classifier of a run as `load_saved` does; refuse a run without one."""
    saved = load_saved(function, folder, vectors=True)
    if not saved.class_names:
        _refuse_encoder(f"{function}.run", saved.folder)
    return saved


def load_model(
    subject: str,
    file: Path,
    remedy: str,
    typed_remedy: str | None = None,
    folder: Path | None = None,
    flag: str = "RUN",
) -> keras.Model:
    """Load the model of a run; refuse a file that cannot be read, and weights that are not finite.

    Args:
        subject: argument of the caller, for messages.
        file: encoder.keras or classifier.keras.
        remedy, typed_remedy: what to do about a file that cannot be read.
        folder: run folder, if `file` is a copy. Defaults to None, the folder of the file.
        flag: the argument on the command line. Defaults to "RUN".
    """
    folder = file.parent if folder is None else folder
    kind = "an encoder" if file.stem == "encoder" else f"a {file.stem}"
    try:
        model = keras.models.load_model(file)
    except Exception as error:  # Keras raises exceptions of any class for a damaged file
        received = f"{clean(folder / file.name)}: {clean(why_unreadable(file, error))}"
        requirement = f"hold {kind} that can be read"
        refuse(subject, requirement, received, remedy, flag=flag, typed_remedy=typed_remedy)
    found = first_variable_gone_wrong(model)
    if found is not None:
        received = f"{clean(folder)}, where {found}"
        remedy = "Train again with a smaller learning rate, or look for values in the data far out of range"
        refuse(subject, f"hold {kind} with finite weights", received, remedy, flag=flag)
    return model


def outputs_of(
    function: str,
    model: Any,
    shape: tuple[int, ...],
    given: str | Path | Sequence[str | Path],
    divisor: float | None = None,
) -> tuple[tuple[str, ...], np.ndarray, Given, tuple[InputError, ...]]:
    """Apply a model to the images that are named; only their outputs are kept in memory.

    Returns:
        The names of the images that could be read, the outputs float32 (n, d), all images, and an error for each that
        could not be read.

    Raises:
        InputError: there is no image that can be read.
    """
    subject = f"{function}.pictures"
    if is_array(given):
        remedy = "The model of keras.models.load_model, from the run folder, takes arrays"
        refuse(subject, "be paths of images", f"a {type(given).__name__}", remedy)
    images = find_images(subject, given, "PICTURES", shape, divisor)
    damaged: list[InputError] = []
    names: list[str] = []
    parts: list[np.ndarray] = []
    for files, output in _outputs(model, images, shape, damaged):
        names += [clean(file) for file in files]
        parts.append(output)
    if not parts:
        first = damaged[0]
        received = f"{first.subject}: {first.received}"
        if len(damaged) > 1:
            received = f"{len(damaged):,} files that cannot be read, the first {received}"
        refuse(subject, "hold an image that can be read", received, flag="PICTURES")
    return tuple(names), np.concatenate(parts), images, tuple(damaged)


def _outputs(model, images, shape, damaged) -> Iterator[tuple[list[Path | Row], np.ndarray]]:
    for files, x in read_in_chunks(images.files, shape, damaged):
        yield files, ops.convert_to_numpy(ops.cast(model(x, training=False), "float32"))


def what_was_left_out(images: Given, damaged: Sequence[InputError]) -> str:
    """Describe the files that gave no output, in one line; "" if there are none.

    Example:
        >>> what_was_left_out(Given((Path("a.png"),)), [InputError("…", subject="b.png", received="a truncated file")])
        '1 file that cannot be read: b.png (a truncated file)'
    """
    parts = []
    if damaged:
        shown = ", ".join(f"{clean(each.subject)} ({each.received})" for each in damaged[:3])
        more = f" and {len(damaged) - 3:,} more" if len(damaged) > 3 else ""
        parts.append(f"{len(damaged):,} file{'s' * (len(damaged) != 1)} that cannot be read: {shown}{more}")
    return "; ".join(parts + ([images.passed] if images.passed else []))


def _files(folder):
    return folder / "classifier.keras", folder / "encoder.keras"


def _refuse_encoder(subject, folder) -> NoReturn:
    """Refuse a pretraining where a classifier is needed, and name those that were trained on it."""
    trained = sorted(each.parent for each in folder.glob("*/classifier.keras"))
    remedy, typed = "`finetune_run(folder)` trains one", f"`tf-kit finetune {folder}` trains one"
    if trained:
        remedy = typed = f"Give {trained[0]}" + ("" if len(trained) == 1 else " or another folder in it")
    received = f"{clean(folder)}, a pretraining, which has an encoder but no classes"
    refuse(subject, "be a run with a classifier", received, remedy, flag="RUN", typed_remedy=typed)
