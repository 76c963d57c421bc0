"""Clusters read from TF_CONFIG and from the variables of Slurm."""

import json

import pytest

from tf_kit.errors import InputError
from tf_kit.training.cluster import Cluster, cluster


def tf_config(index=1, task="worker", **jobs):
    jobs = jobs or {"worker": ["a:1", "b:1"]}
    return json.dumps({"cluster": jobs, "task": {"type": task, "index": index}})


SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "n[9-10],x",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2),2",
    "SLURM_JOB_ID": "1002",
}


PLACED = {"SLURM_NODEID": "2", "SLURM_LOCALID": "1", "SLURM_DISTRIBUTION": "block:cyclic"}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"TF_CONFIG": "  "}, None),
        ({"TF_CONFIG": '{"task": {"type": "worker", "index": 0}}'}, None),
        ({"TF_CONFIG": tf_config()}, Cluster(("a:1", "b:1"), 1)),
        ({"TF_CONFIG": tf_config(0, chief=["c:1"], worker=["a:1"])}, Cluster(("c:1", "a:1"), 1)),
        ({"TF_CONFIG": tf_config(0, "chief", chief=["c:1"], worker=["a:1"])}, Cluster(("c:1", "a:1"), 0)),
        (SLURM, Cluster(("n9:12032", "n10:12032", "x:12032", "x:12033"), 3, "job 1002, step 0")),
        (SLURM | PLACED, Cluster(("n9:12032", "n10:12032", "x:12032", "x:12033"), 3, "job 1002, step 0")),
        (
            SLURM | {"SLURM_STEP_ID": "1"},
            Cluster(("n9:18256", "n10:18256", "x:18256", "x:18257"), 3, "job 1002, step 1"),
        ),
        (SLURM | {"TF_CONFIG": tf_config()}, Cluster(("a:1", "b:1"), 1)),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, None),  # the script run by sbatch is one process
    ],
)
def test_cluster(environment, found):
    assert cluster(environment) == found


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"TF_CONFIG": "{"}, "be JSON"),
        ({"TF_CONFIG": "[1]"}, "be JSON"),
        ({"TF_CONFIG": tf_config(2)}, "index of one of the cluster's workers"),
        ({"TF_CONFIG": tf_config(0, ["worker"])}, r"chief and workers only. .*worker"),
        ({"TF_CONFIG": tf_config(0, worker="a:12345")}, "Received: 'a:12345'"),
        ({"TF_CONFIG": tf_config(0, worker=["a", "b"])}, r"a different address host:port .*\['a', 'b'\]"),
        (
            {"TF_CONFIG": tf_config(0, worker=["a:1", "a:1"])},
            r"different address host:port for each worker. .*\['a:1', 'a:1'\]",
        ),
        ({"TF_CONFIG": tf_config(0, ps=["a:1"], worker=["b:1"])}, r"\['ps'\]"),
        (SLURM | {"SLURM_STEP_NODELIST": "n[9-10]"}, "the hosts of the 4 tasks"),
        (SLURM | {"SLURM_PROCID": "4"}, "the hosts of the 4 tasks"),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "many"}, "`SLURM_STEP_NUM_TASKS` must be a whole number.*'many'"),
        (SLURM | {"SLURM_STEP_ID": "1.2"}, "`SLURM_STEP_ID` must be a whole number.*'1.2'"),
        (SLURM | {"SLURM_DISTRIBUTION": "plane"}, "`SLURM_DIST_PLANESIZE` must be a whole number.*None"),
    ],
)
def test_refusals(environment, message):
    with pytest.raises(InputError, match=message):
        cluster(environment)


UNEVEN = {
    "SLURM_STEP_NODELIST": "a,b,c",
    "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_STEP_TASKS_PER_NODE": "1,2,3",
    "SLURM_JOB_ID": "0",
}


@pytest.mark.parametrize(
    ("distribution", "hosts"),
    [
        ({}, "abbccc"),
        ({"SLURM_DISTRIBUTION": "block"}, "abbccc"),
        ({"SLURM_DISTRIBUTION": "cyclic"}, "abcbcc"),
        ({"SLURM_DISTRIBUTION": "cyclic:block,NoPack"}, "abcbcc"),
        ({"SLURM_DISTRIBUTION": "plane=2"}, "abbccc"),
        ({"SLURM_DISTRIBUTION": "plane", "SLURM_DIST_PLANESIZE": "1"}, "abcbcc"),
    ],
)
def test_distribution_of_tasks(distribution, hosts):
    """All tasks derive the same addresses, each finds its own, and a node gives its tasks ports in order."""
    for index, host in enumerate(hosts):
        own = {"SLURM_PROCID": str(index), "SLURM_NODEID": str("abc".index(host))}
        own["SLURM_LOCALID"] = str(hosts[:index].count(host))
        found = cluster(UNEVEN | distribution | own)
        assert "".join(address[0] for address in found.workers) == hosts
        assert found.workers[index] == f"{host}:{12000 + hosts[:index].count(host)}"


def test_unknown_distribution_is_refused():
    own = {"SLURM_PROCID": "1", "SLURM_NODEID": "2", "SLURM_LOCALID": "0", "SLURM_DISTRIBUTION": "arbitrary"}
    with pytest.raises(InputError, match=r"must be block, cyclic or plane.*arbitrary, with task 1"):
        cluster(UNEVEN | own)


def test_steps_of_a_job_have_ports_and_a_mark_of_their_own():
    found = [cluster(SLURM | {"SLURM_STEP_ID": str(step)}) for step in range(1000)]
    for part in ("workers", "mark"):
        assert len({getattr(each, part) for each in found}) == 1000
    ports = {int(each.workers[0].rpartition(":")[2]) for each in found}
    assert min(ports) >= 12_000
    assert max(ports) < 28_000


def test_resolver():
    resolver = Cluster(("a:1", "b:2"), 1).resolver()
    assert resolver.cluster_spec().as_dict() == {"worker": ["a:1", "b:2"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)
