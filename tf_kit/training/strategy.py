"""Data parallelism: choice of the devices that share each minibatch.

Every replica of the model holds all weights and takes its part of the minibatch; the gradients are summed, so that
all replicas make the same step. `training.Trainer` ensures that the number of replicas does not change the result.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_kit.checks import choice, count, refuse
from tf_kit.training import rendezvous, workers
from tf_kit.training.cluster import Cluster, cluster

STRATEGIES = ("auto", "none", "mirrored", "multiworker")
MOST_PROCESSORS = 16  # each has its own copy of the step, which takes time to trace

_met: set[Cluster] = set()  # clusters whose workers this process has met
_made: dict[tuple[str, ...], tf.distribute.Strategy] = {}  # devices → mirrored strategy of this process


@dataclasses.dataclass(frozen=True)
class Plan:
    """Strategy that would be chosen, with its devices.

    Args:
        name: `"none"`, `"mirrored"` or `"multiworker"`.
        devices: devices of this machine that take part, as TensorFlow names them.
        cluster: the `Cluster`, or None on one machine.

    Example:
        >>> print(Plan("mirrored", ("GPU:0", "GPU:1")))
        mirrored, 2 replicas: GPU:0, GPU:1
    """

    name: str
    devices: tuple[str, ...]
    cluster: Cluster | None = None

    def __str__(self) -> str:
        plural = "s" if len(self.devices) > 1 else ""
        line = f"{self.name}, {len(self.devices)} replica{plural}: {', '.join(self.devices)}"
        if self.cluster is None:
            return line
        index, workers = self.cluster.index, self.cluster.workers
        return f"{line}, on each of {len(workers)} workers; this is worker {index}, {workers[index]}"


def plan(name: str = "auto", replicas: int | None = None) -> Plan:
    """Return the choice that `strategy` would make, without making the strategy; same arguments and errors."""
    choice("strategy.name", name, STRATEGIES)
    if replicas is not None:
        count("strategy.replicas", replicas)
    found = cluster() if name in ("auto", "multiworker") else None
    gpus = len(tf.config.list_physical_devices("GPU"))
    if name == "multiworker" and found is None:
        refuse(
            "strategy.name",
            "be 'auto', 'none' or 'mirrored' without TF_CONFIG or the variables of a Slurm step",
            "name='multiworker'",
            'Set TF_CONFIG on every worker, or start them with "srun"',
            flag="--strategy",
        )
    if name == "auto":
        several = found is not None and len(found.workers) > 1
        name = "multiworker" if several else "mirrored" if (replicas or gpus) > 1 else "none"
    if name == "none" and replicas not in (None, 1):
        refuse(
            "strategy.replicas",
            "be 1 without a strategy",
            f"replicas={replicas}",
            'Use name="mirrored" for more replicas',
            typed_remedy="Use --strategy mirrored for more replicas",
        )
    if name == "multiworker" and not gpus and replicas not in (None, 1):
        remedy = "Start more workers on the machine to use more of its processors"
        refuse("strategy.replicas", "be 1 on a worker without a GPU", f"replicas={replicas}", remedy)
    wanted = 1 if name == "none" else replicas or max(gpus, 1)
    if gpus and wanted > gpus:
        remedy = "Hide the GPUs with CUDA_VISIBLE_DEVICES=-1 to try more replicas on the processor"
        refuse("strategy.replicas", f"be at most the {gpus} visible GPUs", f"replicas={replicas}", remedy)
    if not gpus and wanted > MOST_PROCESSORS:
        requirement = (
            f"be at most {MOST_PROCESSORS} without a GPU, where they serve to test code and are not faster"
        )
        refuse("strategy.replicas", requirement, f"replicas={replicas}")
    kind = "GPU" if gpus else "CPU"
    devices = tuple(f"{kind}:{i}" for i in range(wanted))
    return Plan(name, devices, found if name == "multiworker" else None)


def strategy(
    name: str = "auto", replicas: int | None = None, configuration: Mapping[str, Any] | None = None
) -> tf.distribute.Strategy:
    """Make the `tf.distribute.Strategy` of data-parallel training.

    Build and fit a model in its scope; the kit's trainers then reach the same result on any number of replicas. Each
    of R replicas gets at most ⌈n/R⌉ examples of a minibatch of n, in order, so the batch size counts all replicas
    together. GPU memory is allocated as it is needed, not all at once. On a machine without a GPU, `replicas=2` makes
    two logical devices of the processor: they are not faster, but serve to test code for several GPUs. There may be
    16 of them.

    Call this before TensorFlow runs its first operation, because a process cannot change its devices later. A second
    call with the same devices returns the same strategy.

    Args:
        name: `"none"`; `"mirrored"`, over devices of this machine; `"multiworker"`, over those of all machines that
            TF_CONFIG or Slurm names, see `cluster`; `"auto"`, the last of these that has more than one replica.
        replicas: number of devices of this machine that take part. Defaults to None: all visible GPUs, or 1 without
            a GPU.
        configuration: JSON values that must be the same on all machines, such as the options of the program; the
            workers compare them when they meet, with the versions of the packages. Defaults to None.

    Returns:
        Strategy of TensorFlow, as Keras uses it; for `"none"` the default one, whose scope changes nothing.

    Raises:
        InputError: there are fewer GPUs than replicas, or more than 16 replicas without a GPU; the devices can no
            longer be made, or differ from those of an earlier call in this process; no cluster is named for
            `"multiworker"`; or the workers' configurations differ, which all of them report.
        WorkerLost: a worker has not come within five minutes, or the seconds that the environment variable
            TF_KIT_WAIT_SECONDS gives.

    Example:
        with scaling.strategy("mirrored", replicas=2).scope():
            classifier = pretraining.finetune(networks.mlp((64,), num_classes=None), num_classes=10)
            classifier.fit(train.x, train.y, batch_size=32, epochs=10)

    Reference: Dean et al., 2012, Large scale distributed deep networks, section 4; for synchronous steps Chen, Pan,
    Monga, Bengio, Jozefowicz, 2016, Revisiting distributed synchronous SGD, arXiv:1604.00981.
    """
    chosen = plan(name, replicas)
    _grow_memory()
    if chosen.name == "none":
        return tf.distribute.get_strategy()
    if chosen.cluster is not None:
        _meet_once(chosen.cluster, configuration)
        _hide_gpus_after(len(chosen.devices))
        with workers.quiet():
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=chosen.cluster.resolver())
    return _mirrored(chosen.devices)


def _meet_once(cluster, configuration):
    """Wait for all workers on the first call only: afterwards TensorFlow uses the address of this worker."""
    if len(cluster.workers) > 1 and cluster not in _met:
        rendezvous.meet(cluster, configuration=configuration)
        _met.add(cluster)


def _mirrored(devices):
    """Return the one strategy of this process: with two, TensorFlow would confuse their sums over replicas."""
    if devices not in _made and _made:
        (before,) = _made
        refuse(
            "strategy.replicas",
            f"be {len(before)} as before in this process, because a process supports only one set of devices",
            f"replicas={len(devices)}",
            "Start another process",
        )
    if devices not in _made:
        if devices[0].startswith("CPU"):
            _make_processors(len(devices))
        with workers.quiet():
            _made[devices] = tf.distribute.MirroredStrategy(list(devices))
    return _made[devices]


def _grow_memory():
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # already in use, with the setting of an earlier call
            tf.config.experimental.set_memory_growth(gpu, True)


def _hide_gpus_after(number):
    gpus = tf.config.list_physical_devices("GPU")
    if number < len(gpus):
        tf.config.set_visible_devices(gpus[:number], "GPU")


def _make_processors(number):
    """Make logical devices of the processor, each with all of its cores."""
    processor = tf.config.list_physical_devices("CPU")[0]
    existing = len(tf.config.get_logical_device_configuration(processor) or [None])
    if existing >= number:
        return
    try:
        each = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(processor, [each] * number)
    except RuntimeError:
        refuse(
            "strategy.replicas",
            f"be at most the {existing} device{'s' if existing > 1 else ''} that this process has",
            f"replicas={number}",
            "Call strategy before TensorFlow's first operation, right after the imports",
            typed_remedy="",
        )
