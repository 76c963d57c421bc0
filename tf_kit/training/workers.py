"""Training on several machines: distribution of data, values and files of the chief, detection of lost workers.

Under `tf.distribute.MultiWorkerMirroredStrategy` each machine runs the same program; worker 0 is the chief. Compared
with several replicas on one machine, three things are needed in addition:

    every worker reads its part of each global minibatch          `distributed`, `in_order`
    every worker starts from the values and files of the chief    `from_chief`, `folder_from_chief`
    a lost worker stops the others with an error that names it    `naming_the_lost`

Without a strategy, and on the devices of one machine, these functions return their arguments unchanged.
"""

import contextlib
import io
import json
import logging
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tf_kit import data, replicas
from tf_kit.checks import refuse
from tf_kit.errors import InputError, WorkerLost
from tf_kit.keras_internals import num_workers, worker_index
from tf_kit.training import agreement
from tf_kit.typing import Dataset, Tensor

Strategy: TypeAlias = tf.distribute.Strategy

_CHUNK = 1 << 24  # int32 numbers sent at a time: 64 MB

# Texts in TensorFlow's errors when a collective operation has lost a worker. The classes of these errors vary.
_SIGNS = (
    "Collective ops is aborted",
    "stopped sending heartbeats",
    "Connection reset",
    "Socket closed",
    "failed to connect",
    "Connection refused",
)

_DIFFERENT = "Shape mismatch in the collective"  # in the error where the workers' variables differ


def several(strategy: Strategy | None = None) -> bool:
    """Return whether `strategy`, or the current one, spans several machines."""
    return num_workers(strategy or tf.distribute.get_strategy()) > 1


def is_chief(strategy: Strategy | None = None) -> bool:
    """Return whether this process is the chief: the first worker, or the only one."""
    strategy = strategy or tf.distribute.get_strategy()
    return not several(strategy) or worker_index(strategy) == 0


def distributed(strategy: Strategy, make: Callable[[data.Share | None], Dataset]) -> Any:
    """Distribute a data set to all workers: each calls `make` with the `data.Share` of its replicas.

    Args:
        strategy: strategy of the training.
        make: function that makes the `tf.data.Dataset` of a `Share`; on one machine it is called with None and makes
            whole minibatches.
    """
    if not several(strategy):
        return make(None)

    def of_worker(context):
        count = context.num_replicas_in_sync // context.num_input_pipelines
        return make(data.Share(context.input_pipeline_id * count, count, context.num_replicas_in_sync))

    return strategy.distribute_datasets_from_function(of_worker)


def in_order(strategy: Strategy, given: Any, batch_size: int | None = None) -> Any:
    """Distribute a data set of batches, or a tuple of arrays in minibatches, to all workers without shuffling."""
    if not several(strategy) or isinstance(given, tf.distribute.DistributedDataset):
        return given
    if isinstance(given, tf.data.Dataset):
        return distributed(strategy, lambda share: given if share is None else share.of(given))
    arrays = tuple(each for each in given if each is not None)
    arrays = arrays if len(arrays) > 1 else arrays[0]
    options: dict[str, Any] = {"batch_size": batch_size, "shuffle": False}
    return distributed(strategy, lambda share: data.minibatches(arrays, share=share, **options))


def check_same_configuration(strategy: Strategy, configuration: Mapping[str, Any]) -> None:
    """Refuse a configuration that differs between workers, on all of them, with the first difference.

    Args:
        strategy: strategy of the training.
        configuration: JSON values, see `agreement`.
    """
    if not several(strategy):
        return
    own = json.dumps(configuration).encode()
    if len(set(_of_all(strategy, np.array([zlib.crc32(own), len(own)], "int64")))) == 1:
        return
    texts = _of_all(strategy, np.frombuffer(own, "uint8").astype("int32"))
    found = agreement.differing_worker([json.loads(bytes(text).decode()) for text in texts])
    if found is not None:
        agreement.refuse_difference(*found)


def check_same_model(model: keras.Model) -> None:
    """Refuse a model whose configuration, or that of its optimizer, differs between the workers of its strategy."""
    if several(model.distribute_strategy):
        check_same_configuration(model.distribute_strategy, agreement.of_model(model))


def check_same_everywhere(subject: str, strategy: Strategy, *values: Any) -> None:
    """Refuse arrays and options that differ between workers.

    Args:
        subject: argument that is checked, for the error message: `"SimCLR.fit.x"`.
        strategy: strategy of the training.
        *values: arrays, of which about a thousand examples are compared, or dictionaries of options.
    """
    method = subject.rpartition(".")[0]
    names = iter(("x", "y", "sample_weight"))
    parts: dict[str, Any] = {}
    for value in values:
        if hasattr(value, "shape"):
            parts[f"{method}.{next(names)}"] = _summary(value)
        elif value is not None:
            parts |= {f"{method}.{name}": option for name, option in value.items()}
    check_same_configuration(strategy, agreement.plain(parts))


def _of_all(strategy, numbers):
    """Return the numbers that each worker gives, as a tuple for each worker; their counts may differ."""

    def gathered(numbers):
        return _on_replicas(strategy, lambda: replicas.gather(tf.constant(numbers)))

    local = strategy.num_replicas_in_sync // num_workers(strategy)
    ends = np.cumsum(gathered(np.array([len(numbers)], "int64")))
    every = np.split(gathered(numbers), ends[:-1])
    return [tuple(each.tolist()) for each in every[::local]]


def as_logs(metrics: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the metrics of a step in the form that Keras can reduce: over machines it does so along an axis."""
    return {name: value[None] for name, value in metrics.items()} if several() else metrics


def from_chief(content: bytes, strategy: Strategy | None = None) -> bytes:
    """Send bytes from the chief: return the `content` of the chief on every worker and ignore that of the others."""
    strategy = strategy or tf.distribute.get_strategy()
    if not several(strategy):
        return content
    length = int(_sum(strategy, np.array([len(content) if is_chief(strategy) else 0], "int64"))[0])
    numbers = np.zeros(-(-length // 4), "int32")
    if is_chief(strategy):
        numbers.view("uint8")[:length] = np.frombuffer(content, "uint8")
    parts = [_sum(strategy, numbers[i : i + _CHUNK]) for i in range(0, len(numbers), _CHUNK)]
    return b"".join(part.tobytes() for part in parts)[:length]


def done_by_chief(function: Callable[[], Any], strategy: Strategy | None = None) -> Any:
    """Call `function` on the chief only; return its result, a JSON value, or raise its `InputError` on every worker."""
    strategy = strategy or tf.distribute.get_strategy()
    if not several(strategy):
        return function()
    outcome = None
    if is_chief(strategy):
        try:
            outcome = {"value": function()}
        except InputError as error:
            outcome = {"error": error.parts()}
    outcome = json.loads(from_chief(json.dumps(outcome).encode(), strategy))
    if "error" in outcome:
        raise InputError(**outcome["error"])
    return outcome["value"]


def folder_from_chief(
    folder: str | Path, patterns: Sequence[str] = ("**/*",), strategy: Strategy | None = None
) -> Path:
    """Return a folder with the files of the chief: the folder itself on the chief, a temporary copy elsewhere.

    So the workers need no shared file system, and files that the others write into the copy are discarded.

    Args:
        folder: folder on the machine of the chief. If it does not exist, the copy is empty.
        patterns: glob patterns of the files to copy. Defaults to all files.
        strategy: strategy of the training. Defaults to the current strategy.

    Returns:
        Path of the folder or its copy. The copy is removed when the process ends.
    """
    strategy = strategy or tf.distribute.get_strategy()
    folder = Path(folder)
    if not several(strategy):
        return folder
    packed = from_chief(_packed(folder, patterns) if is_chief(strategy) else b"", strategy)
    if is_chief(strategy):
        return folder
    copy = tempfile.TemporaryDirectory(prefix="tf_kit-worker-")
    _kept.append(copy)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(copy.name, filter="data")
    return Path(copy.name)


# A temporary folder is removed when its object is collected, here at the end of the process.
_kept: list[tempfile.TemporaryDirectory] = []


@contextlib.contextmanager
def naming_the_lost(strategy: Strategy | None = None) -> Iterator[None]:
    """Within this context, replace TensorFlow's error about a lost worker by a `WorkerLost` with a remedy.

    An error about variables that differ between workers is replaced by an `InputError`.
    """
    strategy = strategy or tf.distribute.get_strategy()
    try:
        yield
    except tf.errors.OpError as error:
        if several(strategy) and _DIFFERENT in str(error):
            reason = str(error)[str(error).find(_DIFFERENT) :].splitlines()[0]
            requirement = "take the same steps on models of the same shapes"
            remedy = "Start all workers with the same program, options and data"
            refuse("workers", requirement, f"on worker {worker_index(strategy)} a {reason}", remedy)
        lines = [line for line in str(error).splitlines() if any(sign in line for sign in _SIGNS)]
        if not several(strategy) or not lines:
            raise
        peers = set(re.findall(r"task:(\d+)", str(error))) - {str(worker_index(strategy))}
        lost = f"worker {peers.pop()}" if len(peers) == 1 else "another worker"
        reason = lines[0][max(lines[0].find("Collective"), 0) :][:200]
        raise WorkerLost(
            f"the connection to {lost} is lost, so worker {worker_index(strategy)} stops too. "
            "Start all workers again; with --resume a run continues after its last finished epoch. "
            f"TensorFlow's error: {reason}"
        ) from error


def _sum(strategy, array):
    """Sum an array over the workers; each contributes it once, on its first replica."""

    def add():
        first = int(tf.get_static_value(replicas.index())) % local == 0
        return replicas.sum_over_replicas(tf.constant(array if first else np.zeros_like(array)))

    local = strategy.num_replicas_in_sync // num_workers(strategy)
    return _on_replicas(strategy, add)


def _on_replicas(strategy, function):
    """Run a function that gives the same numbers on all replicas; return them."""
    with quiet():
        return strategy.experimental_local_results(strategy.run(function))[0].numpy()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within this context, silence TensorFlow's warnings about processors as devices and about single operations."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _summary(array):
    """Return numbers that identify an array: its shape, its dtype, and a checksum of about a thousand of its rows."""
    rows = np.asarray(array[:: max(1, len(array) // 1000)])
    return {
        "shape": [int(size) for size in array.shape],
        "dtype": str(rows.dtype),
        "checksum": zlib.crc32(rows.tobytes()),
    }


def _packed(folder, patterns):
    """Pack the files of a folder that match the patterns into the bytes of a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
            archive.add(path, arcname=path.relative_to(folder))
    return buffer.getvalue()
