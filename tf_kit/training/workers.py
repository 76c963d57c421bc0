"""Training on several machines: who leads, who reads what, and what the chief knows, everywhere.

Under `tf.distribute.MultiWorkerMirroredStrategy` each machine runs the same program; the worker with the number 0
is the chief. Three things are needed besides what holds for several replicas:

    every worker reads its part of each global minibatch                 `distributed`
    every worker starts from what the chief holds                        `from_chief`, `folder_from_chief`
    a worker that is lost stops the others with an error that says so    `naming_the_lost`

Elsewhere, without a strategy or on the devices of one machine, each of them does nothing.
"""

import contextlib
import io
import json
import re
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_kit import data, replicas
from tf_kit.checks import refuse
from tf_kit.errors import InputError, WorkerLost
from tf_kit.keras_internals import num_workers, worker_index

_CHUNK = 1 << 24  # numbers that travel at a time: 64 MB

# What stands in TensorFlow's errors of a collective when a worker is gone; their classes vary.
_SIGNS = (
    "Collective ops is aborted",
    "stopped sending heartbeats",
    "Connection reset",
    "Socket closed",
    "failed to connect",
    "Connection refused",
)


def several(strategy=None):
    """Whether `strategy`, or the current one, spans several machines."""
    return num_workers(strategy or tf.distribute.get_strategy()) > 1


def is_chief(strategy=None):
    """Whether this process leads: the first worker, or the only one."""
    strategy = strategy or tf.distribute.get_strategy()
    return not several(strategy) or worker_index(strategy) == 0


def distributed(strategy, make):
    """The data set `make(None)` dealt out to all workers: each calls `make` with the `data.Share` of its replicas.

    Args:
        strategy: where training runs.
        make: function of a `Share`, or of None where one machine reads whole minibatches, to a `tf.data.Dataset`.
    """
    if not several(strategy):
        return make(None)

    def of_worker(context):
        count = context.num_replicas_in_sync // context.num_input_pipelines
        return make(data.Share(context.input_pipeline_id * count, count, context.num_replicas_in_sync))

    return strategy.distribute_datasets_from_function(of_worker)


def in_order(strategy, given, batch_size=None):
    """A data set of batches, or a tuple of arrays in minibatches, dealt out to all workers as it comes."""
    if not several(strategy) or isinstance(given, tf.distribute.DistributedDataset):
        return given
    if isinstance(given, tf.data.Dataset):
        return distributed(strategy, lambda share: share.of(given))
    arrays = tuple(each for each in given if each is not None)
    arrays = arrays if len(arrays) > 1 else arrays[0]
    options = {"batch_size": batch_size, "shuffle": False}
    return distributed(strategy, lambda share: data.minibatches(arrays, share=share, **options))


def check_same_everywhere(subject, strategy, *values):
    """Refuses what is not the same on all workers: numbers, or arrays, of which a thousand values are compared."""
    if not several(strategy):
        return
    seen = np.int64(zlib.crc32(b"".join(_sample(value) for value in values if value is not None)))

    def gather():
        return replicas.gather(tf.constant([seen], tf.int64))

    marks = strategy.experimental_local_results(strategy.run(gather))[0].numpy()
    if len(set(marks.tolist())) > 1:
        refuse(
            subject,
            "be the same on every worker, which takes its own part of it",
            f"other examples, or another seed or batch size, here on worker {worker_index(strategy)} than elsewhere",
            "Load the same data with the same options everywhere",
        )


def as_logs(metrics):
    """What a step reports, in the form that Keras can reduce: over machines it does so along an axis."""
    return {name: value[None] for name, value in metrics.items()} if several() else metrics


def from_chief(content, strategy=None):
    """The bytes that the chief calls this with, on every worker; what the others call it with plays no part."""
    strategy = strategy or tf.distribute.get_strategy()
    if not several(strategy):
        return content
    length = int(_sum(strategy, np.array([len(content) if is_chief(strategy) else 0], "int64"))[0])
    numbers = np.zeros(-(-length // 4), "int32")
    if is_chief(strategy):
        numbers.view("uint8")[:length] = np.frombuffer(content, "uint8")
    parts = [_sum(strategy, numbers[i : i + _CHUNK]) for i in range(0, len(numbers), _CHUNK)]
    return b"".join(part.tobytes() for part in parts)[:length]


def done_by_chief(function, strategy=None):
    """What `function()` returns on the chief, a JSON value, on every worker; or its `InputError` on every worker."""
    strategy = strategy or tf.distribute.get_strategy()
    if not several(strategy):
        return function()
    outcome = None
    if is_chief(strategy):
        try:
            outcome = {"value": function()}
        except InputError as error:
            outcome = {"error": str(error)}
    outcome = json.loads(from_chief(json.dumps(outcome).encode(), strategy))
    if "error" in outcome:
        raise InputError(outcome["error"])
    return outcome["value"]


def folder_from_chief(folder, patterns=("**/*",), strategy=None):
    """A folder with the chief's files: on the chief the folder itself, elsewhere a temporary copy.

    So the workers need no file system in common, and what they write besides the chief goes nowhere.

    Args:
        folder: a folder of the chief's. Where it does not exist, the copy is empty.
        patterns: glob patterns of the files to copy.
        strategy: where training runs. Defaults to the current strategy.

    Returns:
        `Path`. The copy is removed when the process ends.
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


_kept = []  # temporary folders are removed when these are collected, at the end of the process


@contextlib.contextmanager
def naming_the_lost(strategy=None):
    """Turns the error of a collective that a dead worker leaves behind into a `WorkerLost` that says what to do."""
    strategy = strategy or tf.distribute.get_strategy()
    try:
        yield
    except tf.errors.OpError as error:
        lines = [line for line in str(error).splitlines() if any(sign in line for sign in _SIGNS)]
        if not several(strategy) or not lines:
            raise
        peers = set(re.findall(r"task:(\d+)", str(error))) - {str(worker_index(strategy))}
        lost = f"worker {peers.pop()}" if len(peers) == 1 else "another worker"
        raise WorkerLost(
            f"the connection to {lost} is lost, so worker {worker_index(strategy)} stops too. "
            f"Start all workers again; a run goes on after its last finished epoch with --resume. "
            f"TensorFlow says: {lines[0][lines[0].index('Collective') if 'Collective' in lines[0] else 0 :][:200]}"
        ) from error


def _sum(strategy, array):
    """The sum of the workers' arrays, on every worker; of replicas on one machine the first counts."""

    def add():
        first = int(tf.get_static_value(replicas.index())) % local == 0
        return replicas.sum_over_replicas(tf.constant(array if first else np.zeros_like(array)))

    local = strategy.num_replicas_in_sync // num_workers(strategy)
    return strategy.experimental_local_results(strategy.run(add))[0].numpy()


def _sample(value):
    """Bytes that tell `value` from others: of an array its shape, its type and a thousand of its rows' values."""
    if not hasattr(value, "shape"):
        return repr(value).encode()
    rows = np.asarray(value[:: max(1, len(value) // 1000)])
    return repr((tuple(value.shape), str(rows.dtype))).encode() + rows.tobytes()


def _packed(folder, patterns):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
            archive.add(path, arcname=path.relative_to(folder))
    return buffer.getvalue()
