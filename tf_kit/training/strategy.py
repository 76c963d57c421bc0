"""Data parallelism: the devices that share each minibatch.

Every replica of the model holds all weights and takes its part of the minibatch; the gradients are summed, so that
all replicas make the same step. What that must not change is the result; see `pretraining.Trainer`.
"""

import contextlib
import dataclasses
import logging

import tensorflow as tf

from tf_kit.checks import choice, count, refuse
from tf_kit.training import rendezvous
from tf_kit.training.cluster import Cluster, cluster

STRATEGIES = ("auto", "none", "mirrored", "multiworker")

_met = set()  # clusters whose workers this process has met
_made = {}  # devices → the mirrored strategy of this process


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which strategy is chosen, and over what.

    Args:
        name: `"none"`, `"mirrored"` or `"multiworker"`.
        devices: the devices of this machine that take part, as TensorFlow names them.
        cluster: `Cluster`, or None on one machine.
    """

    name: str
    devices: tuple
    cluster: Cluster | None = None

    def __str__(self):
        """
        >>> print(Plan("mirrored", ("GPU:0", "GPU:1")))
        mirrored, 2 replicas: GPU:0, GPU:1
        """
        plural = "s" if len(self.devices) > 1 else ""
        line = f"{self.name}, {len(self.devices)} replica{plural}: {', '.join(self.devices)}"
        if self.cluster is None:
            return line
        index, workers = self.cluster.index, self.cluster.workers
        return f"{line}, on each of {len(workers)} workers; this is worker {index}, {workers[index]}"


def plan(name="auto", replicas=None):
    """What `strategy` would choose, without making it. Arguments and errors as there."""
    choice("strategy.name", name, STRATEGIES)
    if replicas is not None:
        count("strategy.replicas", replicas)
    found = cluster() if name in ("auto", "multiworker") else None
    gpus = len(tf.config.list_physical_devices("GPU"))
    if name == "multiworker" and found is None:
        refuse(
            "strategy.name",
            'be "mirrored" where the environment names no other worker',
            "name='multiworker' without TF_CONFIG or the variables of a Slurm step",
            'Set TF_CONFIG on every worker, or start them with "srun"',
        )
    if name == "auto":
        several = found is not None and len(found.workers) > 1
        name = "multiworker" if several else "mirrored" if (replicas or gpus) > 1 else "none"
    if name == "none" and replicas not in (None, 1):
        refuse("strategy.replicas", "be 1 without a strategy", f"replicas={replicas}", 'Or name="mirrored"')
    if name == "multiworker" and not gpus and replicas not in (None, 1):
        remedy = "More workers on the machine use more of its processors"
        refuse("strategy.replicas", "be 1 on a worker without a GPU", f"replicas={replicas}", remedy)
    wanted = 1 if name == "none" else replicas or max(gpus, 1)
    if gpus and wanted > gpus:
        remedy = "Hide them (CUDA_VISIBLE_DEVICES=-1) to try more replicas on the processor"
        refuse("strategy.replicas", f"be at most the {gpus} visible GPUs", f"replicas={replicas}", remedy)
    kind = "GPU" if gpus else "CPU"
    devices = tuple(f"{kind}:{i}" for i in range(wanted))
    return Plan(name, devices, found if name == "multiworker" else None)


def strategy(name="auto", replicas=None):
    """The `tf.distribute.Strategy` under which everything of the kit trains to the same result.

    Build and fit a model in its scope. One replica gets ⌈n/R⌉ examples of a minibatch of n, in order, so give the
    batch size of the whole. GPUs take memory as they need it, not all at once. On a machine without a GPU,
    `replicas=2` makes two devices of the processor: not faster, but with all that makes replicas difficult.

    Call it first, before TensorFlow has done anything: a process cannot change its devices later. A second call
    with the same devices gives the same strategy.

    Args:
        name: `"none"`; `"mirrored"`, over devices of this machine; `"multiworker"`, over those of all machines that
            TF_CONFIG or Slurm names, see `cluster`; `"auto"` takes the last of these that has more than one replica.
        replicas: devices of this machine that take part. Defaults to all visible GPUs; without one, to 1.

    Returns:
        A strategy of Keras and TensorFlow; for `"none"` the default one, whose scope changes nothing.

    Raises:
        InputError: for more replicas than GPUs; for devices that can no longer be made; for `"multiworker"` where
            no cluster is named; for other devices than an earlier call in this process.
        WorkerLost: for a worker that has not come within five minutes, or the seconds that the variable
            TF_KIT_WAIT_SECONDS of the environment gives.

    Example:

        with scaling.strategy("mirrored", replicas=2).scope():
            classifier = pretraining.finetune(networks.mlp((64,), num_classes=None), num_classes=10)
            classifier.fit(train.x, train.y, batch_size=32, epochs=10)

    Reference: Dean et al. 2012, "Large Scale Distributed Deep Networks", section 4; the synchronous form: Chen,
    Pan, Monga, Bengio, Jozefowicz 2016, "Revisiting Distributed Synchronous SGD".
    """
    chosen = plan(name, replicas)
    _grow_memory()
    if chosen.name == "none":
        return tf.distribute.get_strategy()
    if chosen.name == "multiworker":
        _meet_once(chosen.cluster)
        _hide_gpus_after(len(chosen.devices))
        with _quiet():
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=chosen.cluster.resolver())
    return _mirrored(chosen.devices)


def _meet_once(cluster):
    """The address is TensorFlow's from then on."""
    if len(cluster.workers) > 1 and cluster not in _met:
        rendezvous.meet(cluster)
        _met.add(cluster)


def _mirrored(devices):
    """One strategy a process: TensorFlow would mix up the sums over replicas of two."""
    if devices not in _made and _made:
        (before,) = _made
        refuse(
            "strategy.replicas",
            f"be {len(before)} as before in this process, which bears one set of devices only",
            f"replicas={len(devices)}",
            "Start another process",
        )
    if devices not in _made:
        if devices[0].startswith("CPU"):
            _make_processors(len(devices))
        with _quiet():
            _made[devices] = tf.distribute.MirroredStrategy(list(devices))
    return _made[devices]


def _grow_memory():
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # in use already, as they were set up
            tf.config.experimental.set_memory_growth(gpu, True)


def _hide_gpus_after(number):
    gpus = tf.config.list_physical_devices("GPU")
    if number < len(gpus):
        tf.config.set_visible_devices(gpus[:number], "GPU")


def _make_processors(number):
    """So many logical devices of the processor, all with all of its cores."""
    processor = tf.config.list_physical_devices("CPU")[0]
    there = len(tf.config.get_logical_device_configuration(processor) or [None])
    if there >= number:
        return
    try:
        each = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(processor, [each] * number)
    except RuntimeError:
        refuse(
            "strategy.replicas",
            f"be at most the {there} device{'s' if there > 1 else ''} that this process has",
            f"replicas={number}",
            "Call strategy before TensorFlow's first operation, right after the imports",
        )


@contextlib.contextmanager
def _quiet():
    """Without TensorFlow's remarks on devices that are not GPUs."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
