"""Processes that train together, read from TF_CONFIG or from the variables that Slurm sets for a task of a step."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tf_kit.checks import refuse

if TYPE_CHECKING:
    import tensorflow as tf

_FIRST_PORT, _PORTS_PER_STEP, _STEPS = 12_000, 16, 1_000  # below the ports that systems give to clients
_APART = 389  # ranges of ports between two steps of a job; without a common factor with _STEPS


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Workers that share each minibatch, and the position of this process among them; worker 0 is the chief.

    Args:
        workers: address `"host:port"` of each worker, in the same order on all of them.
        index: position of this process among them, from 0.
        mark: text that only these workers share, such as the number of their job step; workers with another mark are
            strangers, even at the same addresses. Defaults to `""`.
    """

    workers: tuple[str, ...]
    index: int
    mark: str = ""

    def resolver(self) -> tf.distribute.cluster_resolver.ClusterResolver:
        """Return the `cluster_resolver` of `tf.distribute.MultiWorkerMirroredStrategy`."""
        import tensorflow as tf

        return tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(self.workers)}),
            task_type="worker",
            task_id=self.index,
            rpc_layer="grpc",
        )


def cluster(environment: Mapping[str, str] | None = None) -> Cluster | None:
    """Return the `Cluster` that the environment describes, or None if it describes none.

    TF_CONFIG takes precedence over Slurm. Under Slurm only a task started by `srun` belongs to a cluster; the script
    run by `sbatch` and a shell of `salloc` are single processes. The ports follow from the numbers of job and step, so
    that jobs and steps on the same machine use different ones. The distributions block, cyclic and plane of `srun` are
    supported.

    Args:
        environment: variable → value. Defaults to the environment of this process.

    Raises:
        InputError: TF_CONFIG is not JSON, has parameter servers, or does not identify this worker; or the Slurm
            variables contradict each other.

    Example:
        >>> cluster({"SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_NODELIST": "a[9-10]", "SLURM_JOB_ID": "7",
        ...          "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_PROCID": "2"})
        Cluster(workers=('a9:12112', 'a9:12113', 'a10:12112'), index=2, mark='job 7, step 0')
    """
    environment = os.environ if environment is None else environment
    if environment.get("TF_CONFIG", "").strip():
        return _from_tf_config(environment["TF_CONFIG"])
    if "SLURM_PROCID" in environment and _slurm_number(environment, "SLURM_STEP_NUM_TASKS", "1") > 1:
        return _from_slurm(environment)
    return None


def _from_tf_config(text):
    remedy = (
        'Example: {"cluster": {"worker": ["a:12345", "b:12345"]}, "task": {"type": "worker", "index": 0}}'
    )
    try:
        config = json.loads(text)
        jobs, task = dict(config.get("cluster", {})), dict(config.get("task", {}))
        index = int(task.get("index", -1))
    except (ValueError, TypeError, AttributeError):
        refuse("TF_CONFIG", "be JSON with the parts cluster and task", repr(text), remedy)
    if not jobs:
        return None
    unknown = sorted({*jobs, str(task.get("type", "worker"))} - {"chief", "worker"})
    if unknown:
        refuse("TF_CONFIG", "name a chief and workers only", f"{unknown}", remedy)
    for addresses in jobs.values():
        valid = isinstance(addresses, list) and all(re.fullmatch(r".+:\d+", str(each)) for each in addresses)
        if not valid or len(set(addresses)) < len(addresses):
            refuse("TF_CONFIG", "list a different address host:port for each worker", repr(addresses), remedy)
    chief, workers = tuple(jobs.get("chief", ())), tuple(jobs.get("worker", ()))
    own = chief if task.get("type") == "chief" else workers
    if not 0 <= index < len(own):
        requirement = "give in task the type and index of one of the cluster's workers"
        refuse("TF_CONFIG", requirement, repr(text), remedy)
    return Cluster(chief + workers, index + (len(chief) if own is workers else 0))


def _from_slurm(environment):
    number = functools.partial(_slurm_number, environment)
    hosts = _hosts(environment.get("SLURM_STEP_NODELIST", ""))
    counts = _tasks_per_node(environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))
    index, total = number("SLURM_PROCID"), number("SLURM_STEP_NUM_TASKS")
    if len(hosts) != len(counts) or sum(counts) != total or not index < total:
        found = {name: value for name, value in environment.items() if name.startswith("SLURM_STEP_")}
        requirement = f"give, with SLURM_STEP_TASKS_PER_NODE, the hosts of the {total} tasks of the step"
        refuse("SLURM_STEP_NODELIST", requirement, f"{found}", "Or set TF_CONFIG")
    job, step = number("SLURM_JOB_ID", "0"), number("SLURM_STEP_ID", "0")
    first = _FIRST_PORT + _PORTS_PER_STEP * ((job + _APART * step) % _STEPS)
    places = _places_of_tasks(counts, _run_length(environment))
    own = number("SLURM_NODEID", str(places[index][0])), number("SLURM_LOCALID", str(places[index][1]))
    if own != places[index]:
        requirement = "be block, cyclic or plane, from which the places of all tasks follow"
        given = environment.get("SLURM_DISTRIBUTION", "block")
        received = f"{given}, with task {index} as number {own[1]} on node {own[0]}, not {places[index]}"
        refuse("SLURM_DISTRIBUTION", requirement, received, "Or set TF_CONFIG")
    workers = tuple(f"{hosts[node]}:{first + task}" for node, task in places)
    return Cluster(workers, index, f"job {job}, step {step}")


def _slurm_number(environment, name, default=None):
    """Return a variable of Slurm as a number; refuse other text."""
    text = environment.get(name, default)
    if text is None or not re.fullmatch(r"\d+", text.strip()):
        refuse(name, "be a whole number, as Slurm sets it for a task", repr(text), "Or set TF_CONFIG")
    return int(text)


def _run_length(environment):
    """Return how many successive tasks a node gets at a time; None for all of its tasks, as in the distribution block.

    >>> _run_length({"SLURM_DISTRIBUTION": "cyclic:block"}), _run_length({"SLURM_DISTRIBUTION": "plane=4"})
    (1, 4)
    """
    kind, _, size = re.split("[:,]", environment.get("SLURM_DISTRIBUTION", "block"))[0].partition("=")
    if kind == "cyclic":
        return 1
    if kind != "plane":
        return None
    name = "SLURM_DIST_PLANESIZE"
    return max(1, _slurm_number({name: size} if size else environment, name))


def _places_of_tasks(counts, run_length):
    """Return (node, number on the node) of each task: nodes in turn get `run_length` tasks until each has its count.

    >>> _places_of_tasks([2, 1], None)
    [(0, 0), (0, 1), (1, 0)]
    >>> _places_of_tasks([2, 1], 1)
    [(0, 0), (1, 0), (0, 1)]
    """
    run_length = run_length or max(counts)
    return [
        (node, task)
        for first in range(0, max(counts), run_length)
        for node, count in enumerate(counts)
        for task in range(first, min(first + run_length, count))
    ]


def _hosts(text):
    """Expand a list of hosts as Slurm abbreviates it.

    >>> _hosts("login,n[08-10,12],m[1-2]x")
    ['login', 'n08', 'n09', 'n10', 'n12', 'm1x', 'm2x']
    """
    hosts = []
    for part in re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", text):
        names = [""]
        for plain, ranges in re.findall(r"([^\[\]]+)|\[([^\]]*)\]", part):
            endings = [plain] if plain else [each for one in ranges.split(",") for each in _numbers(one)]
            names = [name + ending for name in names for ending in endings]
        hosts += names
    return hosts


def _numbers(text):
    """Expand a range of numbers, which keep their leading zeros.

    >>> _numbers("08-10")
    ['08', '09', '10']
    """
    low, _, high = text.partition("-")
    return [str(number).zfill(len(low)) for number in range(int(low), int(high or low) + 1)]


def _tasks_per_node(text):
    """Expand the number of tasks of each node as Slurm abbreviates it.

    >>> _tasks_per_node("2(x3),1")
    [2, 2, 2, 1]
    """
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return [int(count) for count, times in found for _ in range(int(times or 1))]
