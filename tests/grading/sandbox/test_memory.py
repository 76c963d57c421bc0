"""Memory of an answer over all its processes: attacks with the other walls open, and a control group's files."""

import textwrap
from pathlib import Path

import pytest
from grading import memory_attacks
from grading.class_of_students import LAB, LEAKY, notebook, write

from tf_kit.grading import grader, submissions
from tf_kit.grading.sandbox import confinement, memory, zygote

needs_namespaces = pytest.mark.skipif(
    not confinement.available()["namespaces"], reason="this system allows no namespaces"
)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Grades of all answers, given by a grader whose children may fork and share memory."""
    folder = tmp_path_factory.mktemp("class")
    bodies = {name: body for name, (body, _) in memory_attacks.TAKES.items()} | memory_attacks.FITS
    head, _, right = LEAKY.partition(":\n")
    for name, body in bodies.items():
        write(folder, name, notebook(leaky=f"{head}:\n{textwrap.indent(body, '    ')}\n{right}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(LAB.exercises["leaky"]), "memory_mb", memory_attacks.LIMIT_MB)
        patch.setattr(zygote, "__name__", "grading.open_zygote")
        with grader.Grader(LAB, jobs=2, seconds=12.0) as judge:
            judge.ready()
            assert not judge.parts["seccomp"]
            grades = list(judge.grade(submissions.find([folder])))
    return {grade.student: grade.results[0] for grade in grades}


@pytest.mark.slow
@needs_namespaces
@pytest.mark.parametrize("name", memory_attacks.TAKES)
def test_answer_that_takes_too_much_is_ended(name, graded):
    result = graded[name]
    assert result.status == memory_attacks.TAKES[name][1], result
    assert result.points == (2 if result.status == "ok" else 0)


@pytest.mark.slow
@needs_namespaces
@pytest.mark.parametrize("name", memory_attacks.FITS)
def test_answer_that_fits_keeps_its_points(name, graded):
    assert graded[name].points == 2, graded[name]


def groups(folder, own="user/scope", controllers="memory pids", limit="max"):
    """Files as a kernel shows them: /proc of a process in the group `own`, and the groups themselves."""
    proc, root = folder / "proc", folder / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(f"1:name=systemd:/\n0::/{own}\n")
    mounted = f"30 24 0:26 / {root} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
    (proc / "self" / "mountinfo").write_text(f"24 1 8:1 / / rw - ext4 /dev/sda1 rw\n{mounted}")
    place = root / own
    place.mkdir(parents=True)
    for path, enabled in ((place.parent, controllers), (place, "")):
        (path / "cgroup.subtree_control").write_text(enabled)
        (path / "cgroup.procs").write_text("")
    (place / "memory.max").write_text(limit)
    return proc, place.parent


def test_group_is_made_where_memory_is_delegated(tmp_path):
    proc, above = groups(tmp_path)
    assert memory.writable_group(proc) == above
    group = memory.Group(1, above, 100)
    (folder,) = above.glob("tf-kit-*")
    assert (folder / "memory.max").read_text() == str(100 << 20)
    assert (folder / "cgroup.procs").read_text() == "1"
    (folder / "memory.events").write_text("low 0\noom 0\noom_kill 0\n")
    assert not group.over()
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert group.over()


@pytest.mark.parametrize("lacks", [{"controllers": "pids"}, {"limit": "1000000"}])
def test_no_group_is_made_elsewhere(lacks, tmp_path):
    """Not where memory is not delegated, and not beside a group whose own limit would be left."""
    assert memory.writable_group(groups(tmp_path, **lacks)[0]) is None


def test_group_that_does_not_hold_is_not_reported(tmp_path):
    """Files that no kernel watches: the trial notices, and processes are watched instead."""
    wall = memory.Wall(above=groups(tmp_path)[1])
    assert wall.kind != memory.GROUP
    assert list(tmp_path.rglob("tf-kit-*"))  # it was tried


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_watch_is_in_force_where_proc_can_be_read(tmp_path):
    assert memory.Wall().kind in (memory.GROUP, memory.WATCH)
    assert memory.Wall(proc=tmp_path).kind == memory.NONE
