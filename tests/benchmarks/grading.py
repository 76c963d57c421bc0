"""How many submissions a minute the grader grades, and what an infinite loop costs.

    python tests/benchmarks/grading.py [--lab optimizers] [--copies 60] [--jobs 2]

Copies of the lab's own solution, each with another comment, so that none is answered from the record; half way through,
one whose first answer never ends. Everything is counted from the start of the command, TensorFlow's import included.
About a minute. The machine's other work falls on it: a quiet machine is what the figures want.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tf_kit.grading import grader, labs, notebooks, selftest, submissions


def endless(lab):
    """The first exercise's answer, never ending."""
    exercise = next(iter(lab.exercises.values()))
    return {exercise.id: "\n".join(f"while True: {name} = 1" for name in exercise.defines)}


def measure(lab, copies, jobs, loop=False, seconds=None):
    """Seconds until the first result and until the last, processor seconds a submission, and the grades."""
    with tempfile.TemporaryDirectory() as folder:
        for i in range(copies):
            notebooks.write(selftest.solved(lab, f"student {i}"), Path(folder) / f"{i:03}.ipynb")
        if loop:
            name = f"{copies // 2:03} endless.ipynb"
            notebooks.write(selftest.solved(lab, "endless", endless(lab)), Path(folder) / name)
        began, worked = time.perf_counter(), time.process_time()
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
        worked = (
            time.process_time() - worked + sum(result.seconds for grade in grades for result in grade.results)
        )
    return {
        "first": first,
        "all": ended - began,
        "grading": ended - started,
        "cpu": worked / len(grades),
        "level": level,
        "grades": grades,
    }


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
        f"{seen['cpu']:.3f} s of processor time for each, which other work raises less than the time on the clock"
    )
    loop = measure(lab, arguments.copies, arguments.jobs, loop=True, seconds=arguments.limit)
    lost = {r.exercise: r.status for g in loop["grades"] for r in g.results if r.status != "ok"}
    assert list(lost.values()) == ["timeout"], lost
    more = loop["all"] - seen["all"]
    print(
        f"with one endless answer, limit {arguments.limit:g} s: {more:+.1f} s, and it lost its own question only"
    )


if __name__ == "__main__":
    main()
