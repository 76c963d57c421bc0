"""How many submissions a minute the grader grades, and what an infinite loop costs.

    python tests/benchmarks/grading.py [--lab optimizers] [--copies 60] [--jobs 2] [--nbgrader PROGRAM]

Copies of the lab's own solution, each with another comment, so that none is answered from the record; half way through,
one whose first answer never ends. Everything is counted from the start of the command, TensorFlow's import included.
About a minute. The machine's other work falls on it: a quiet machine is what the figures want.

Where nbgrader is found, it grades some of the same notebooks in the same run. It executes each whole notebook, the
experiments of the lab included, in one process after another; this grader runs the answers only, `--jobs` at once.
"""

import argparse
import contextlib
import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tf_kit.grading import grader, labs, notebooks, selftest, submissions


def endless(lab):
    """The first exercise's answer, never ending."""
    exercise = next(iter(lab.exercises.values()))
    return {exercise.id: "\n".join(f"while True: {name} = 1" for name in exercise.defines)}


def measure(lab, copies, jobs, loop=False, seconds=None):
    """Seconds until the first result and the last, processor seconds of a submission (start shared), grades."""
    with tempfile.TemporaryDirectory() as folder:
        for i in range(copies):
            notebooks.write(selftest.solved(lab, f"student {i}"), Path(folder) / f"{i:03}.ipynb")
        if loop:
            name = f"{copies // 2:03} endless.ipynb"
            notebooks.write(selftest.solved(lab, "endless", endless(lab)), Path(folder) / name)
        began, worked = time.perf_counter(), processor_seconds()
        grades, first = [], None
        with grader.Grader(lab, jobs, seconds, secret="benchmark", allow_unsandboxed=True) as judge:
            found = submissions.find([folder])
            judge.prepare(found)
            level = judge.ready()
            started = time.perf_counter()
            for grade in judge.grade(found):
                first = first or time.perf_counter() - began
                grades.append(grade)
            ended = time.perf_counter()
        worked = processor_seconds() - worked
    return {
        "first": first,
        "all": ended - began,
        "grading": ended - started,
        "cpu": worked / len(grades),
        "level": level,
        "grades": grades,
    }


def with_nbgrader(lab, program, copies):
    """Seconds by the clock and of processor time with which nbgrader grades one copy, megabytes, and the points."""
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        kernel = course / "jupyter" / "kernels" / "python3"
        kernel.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (kernel / "kernel.json").write_text(
            json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"})
        )
        released = notebooks.released(lab, "nbgrader")
        notebooks.write(released, course / "source" / "lab" / f"{lab.name}.ipynb")
        for cell in released.cells:
            id = cell.metadata.get("tf_kit", {}).get("exercise")
            cell.source = f"# exercise: {id}\n{lab.solution(id)}" if id else cell.source
        for i in range(copies):
            notebooks.write(released, course / "submitted" / f"student{i}" / "lab" / f"{lab.name}.ipynb")
        environment = {**os.environ, "JUPYTER_PATH": str(course / "jupyter"), "HOME": folder}
        environment["PATH"] = os.pathsep.join([str(Path(shutil.which(program)).parent), os.environ["PATH"]])

        def run(*arguments):
            done = subprocess.run([program, *arguments], cwd=course, env=environment, capture_output=True)
            assert done.returncode == 0, done.stderr.decode()[-2000:]

        run("generate_assignment", "lab")
        began, worked = time.perf_counter(), processor_seconds()
        with watched_memory() as memory:
            run("autograde", "lab", "--ExecutePreprocessor.timeout=600")
        taken = (time.perf_counter() - began) / copies, (processor_seconds() - worked) / copies, max(memory)
        run("export")
        with open(course / "grades.csv", newline="") as file:
            points = [float(row["score"]) for row in csv.DictReader(file)]
    return *taken, points


@contextlib.contextmanager
def watched_memory():
    """Within this context, look five times a second at the memory of this process and all below it.

    Yields a list of the megabytes that were seen. A page that several processes share counts once.
    """
    seen, done = [0.0], threading.Event()

    def watch():
        while not done.wait(0.2):
            seen.append(sum(map(proportional_mb, tree(os.getpid()))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def tree(root):
    """Process numbers of a process and of all below it."""
    below = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            below.setdefault(parent, []).append(int(path.parent.name))
    found = [root]
    for pid in found:
        found += below.get(pid, [])
    return found


def proportional_mb(pid):
    """Memory of a process, each shared page divided by the number of processes that have it; 0 if it has ended."""
    with contextlib.suppress(OSError, IndexError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
    return 0.0


def processor_seconds():
    """Processor time of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def compare(lab, program, copies, seen):
    """Print how nbgrader fares with the same notebooks."""
    if not program or not shutil.which(program):
        print("nbgrader is not installed, so nothing is compared: give its program with --nbgrader")
        return
    clock, processor, memory, points = with_nbgrader(lab, program, copies)
    full = sum(exercise.points for exercise in lab.exercises.values())
    kit = seen["all"] / len(seen["grades"])
    print(
        f"nbgrader: {60 / clock:.1f} a minute, {processor:.2f} s of processor time for each (of {copies}), "
        f"{min(points):g} of {full} points at least, {memory:.0f} MB at most"
    )
    print(
        f"nbgrader / this grader: {clock / kit:.0f} by the clock, {processor / seen['cpu']:.0f} by the processor"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", default="optimizers")
    parser.add_argument("--copies", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--limit", type=float, default=4.0, help="seconds for an answer in the run with a loop"
    )
    parser.add_argument("--nbgrader", default="nbgrader", help="program of nbgrader, to compare with")
    parser.add_argument("--nbgrader-copies", type=int, default=3)
    arguments = parser.parse_args()
    lab = labs.find(arguments.lab)
    seen = measure(lab, arguments.copies, arguments.jobs)
    lost = [result for grade in seen["grades"] for result in grade.results if result.status != "ok"]
    assert not lost, lost
    print(f"{lab.title}: {len(lab.exercises)} exercises, sandbox {seen['level']}, {arguments.jobs} jobs")
    print(f"first result after {seen['first']:.1f} s, {arguments.copies} after {seen['all']:.1f} s")
    rate, marginal = (60 * arguments.copies / seen[part] for part in ("all", "grading"))
    print(f"{rate:.0f} submissions a minute, start included; {marginal:.0f} once started")
    print(
        f"{seen['cpu']:.3f} s of processor time for each, start included; other work raises it less than the clock"
    )
    with watched_memory() as memory:  # in this run, since looking takes time
        loop = measure(lab, arguments.copies, arguments.jobs, loop=True, seconds=arguments.limit)
    lost = {r.exercise: r.status for g in loop["grades"] for r in g.results if r.status != "ok"}
    assert list(lost.values()) == ["timeout"], lost
    more = loop["all"] - seen["all"]
    print(
        f"with one endless answer, limit {arguments.limit:g} s: {more:+.1f} s, and it lost its own question only"
    )
    print(f"{max(memory):.0f} MB at most, of all processes together")
    compare(lab, arguments.nbgrader, arguments.nbgrader_copies, seen)


if __name__ == "__main__":
    main()
