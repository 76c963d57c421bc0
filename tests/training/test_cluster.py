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


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"TF_CONFIG": "  "}, None),
        ({"TF_CONFIG": '{"task": {"type": "worker", "index": 0}}'}, None),
        ({"TF_CONFIG": tf_config()}, Cluster(("a:1", "b:1"), 1)),
        ({"TF_CONFIG": tf_config(0, chief=["c:1"], worker=["a:1"])}, Cluster(("c:1", "a:1"), 1)),
        ({"TF_CONFIG": tf_config(0, "chief", chief=["c:1"], worker=["a:1"])}, Cluster(("c:1", "a:1"), 0)),
        (SLURM, Cluster(("n9:12032", "n10:12032", "x:12032", "x:12033"), 3)),
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
    ],
)
def test_refusals(environment, message):
    with pytest.raises(InputError, match=message):
        cluster(environment)


def test_resolver():
    resolver = Cluster(("a:1", "b:2"), 1).resolver()
    assert resolver.cluster_spec().as_dict() == {"worker": ["a:1", "b:2"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)
