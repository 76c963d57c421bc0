# ruff: noqa: E501
"""Unusual but honest submissions: a right answer keeps its points however its notebook was changed."""

import json

import nbformat
import pytest

from grading.class_of_students import DESCENT, LAB, LEAKY, notebook, write
from tf_kit import ownership
from tf_kit.grading import course, labs, paper

pytestmark = pytest.mark.slow

STUB = LAB.stub("leaky")
WARNS = "import warnings\n" + LEAKY.replace(
    "    return", "    warnings.warn('careful')\n    print('noise')\n    return"
)
HELPER = LEAKY.replace("np.where(x > 0, x, slope * x)", "chosen(x, slope)")
WITH_RATE = LEAKY.replace("slope * x)", "slope * x) + RATE")
CHOSEN = "def chosen(x, slope):\n    return np.where(x > RATE, x, slope * x)\n\nRATE = 0"


def without_metadata(made):
    made.metadata.clear()
    for cell in made.cells:
        cell.metadata.clear()
    return made


def without_marks(made):
    for cell in without_metadata(made).cells:
        cell.source = cell.source.replace("# exercise: ", "# ")
    return made


def backwards(made):
    made.cells.reverse()
    return made


def with_outputs(made):
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                nbformat.v4.new_output("stream", name="stderr", text="W0000 TensorFlow warns " * 1000)
            ]
            cell.execution_count = 3
    return made


def copied(made, stub_last):
    i = next(i for i, cell in enumerate(made.cells) if "def leaky_relu" in cell.source)
    again = nbformat.from_dict(json.loads(json.dumps(made.cells[i])))
    if stub_last:
        again.source = STUB
    made.cells.insert(i + 1, again)
    return made


NOTEBOOKS = {
    "as it should be": lambda: notebook(),
    "warnings": lambda: notebook(leaky=WARNS),
    "a cell copied": lambda: copied(notebook(), stub_last=False),
    "the stub copied below": lambda: copied(notebook(), stub_last=True),
    "metadata stripped": lambda: without_metadata(notebook()),
    "metadata and marks stripped": lambda: without_marks(notebook()),
    "other cell order": lambda: backwards(notebook()),
    "outputs kept": lambda: with_outputs(notebook()),
    "helper above": lambda: notebook(leaky=HELPER, before=[CHOSEN]),
    "helper below": lambda: notebook(leaky=HELPER, after=[CHOSEN]),
    "extra imports": lambda: notebook(
        before=["import os, sys, subprocess, socket, matplotlib.pyplot as plt"]
    ),
    "magics": lambda: notebook(
        leaky=f"%%time\n{LEAKY}", before=["%matplotlib inline\n!ls\n%pip install nothing"]
    ),
    "a cell that fails": lambda: notebook(before=["1 / 0"], after=["raise SystemExit"]),
    "a cell that never ends": lambda: notebook(before=["while True: pass"]),
    "a cell that is not Python": lambda: notebook(before=["this is prose, by mistake"]),
    "an experiment with the same names": lambda: notebook(after=["x = slope = keras = 3\nimport keras"]),
    "imports in its own cell": lambda: notebook(leaky=f"import numpy as np\n{LEAKY}"),
    "import of everything": lambda: notebook(leaky="from numpy import *\n" + LEAKY.replace("np.", "")),
    "written in two steps": lambda: notebook(
        descent="class Descent(keras.optimizers.Optimizer):\n    pass\n\n"
        "def step(self, gradient, variable, learning_rate):\n"
        "    self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * gradient)\n\n"
        "Descent.update_step = step"
    ),
    "a decorator": lambda: notebook(descent=f"@keras.saving.register_keras_serializable()\n{DESCENT}"),
    "a lambda": lambda: notebook(leaky="leaky_relu = lambda x, slope: np.maximum(x, slope * x)"),
    "TensorFlow": lambda: notebook(
        leaky="import tensorflow as tf\n\n@tf.function\ndef leaky_relu(x, slope):\n    return tf.where(x > 0, x, slope * x)"
    ),
    "annotations of the future": lambda: notebook(before=["from __future__ import annotations"]),
    "a plot in the answer": lambda: notebook(
        leaky=f"{LEAKY}\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])"
    ),
    "threads": lambda: notebook(
        leaky="import threading\ndef leaky_relu(x, slope):\n    out = []\n"
        "    t = threading.Thread(target=lambda: out.append(np.where(x > 0, x, slope * x)))\n"
        "    t.start(); t.join()\n    return out[0]"
    ),
    "Ünicode näme": lambda: notebook(),
    "the first draw of each case": lambda: notebook(  # seed 0 gives 0.549, then 0.715
        leaky=LEAKY.replace("    return", "    assert np.random.rand() < 0.6\n    return")
    ),
}

# Right answers with operations that the confinement must allow.
INSIDE = {
    "fit, save and load": """
    m = keras.Sequential([keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
    m.compile("adam", "mse")
    m.fit(np.ones((64, 4)), np.ones(64), batch_size=16)
    m.save("model.keras")
    keras.models.load_model("model.keras").summary()""",
    "tf.data": """
    numbers = tf.data.Dataset.from_tensor_slices(np.arange(100)).shuffle(10)
    numbers = numbers.map(lambda v: v * 2, num_parallel_calls=4).batch(8).prefetch(2)
    assert sum(int(b.numpy().sum()) for b in numbers) == 9900
    made = tf.data.Dataset.from_generator(lambda: iter(range(5)), output_signature=tf.TensorSpec((), tf.int32))
    assert len(list(made)) == 5""",
    "XLA": """
    assert float(tf.function(lambda a: tf.reduce_sum(a * a), jit_compile=True)(tf.ones(5))) == 5""",
    "a figure": """
    plt.plot([1, 2])
    plt.savefig("figure.png")
    plt.close()""",
    "loops and branches in a graph": """
    step = tf.function(lambda v: tf.cond(v > 0, lambda: tf.while_loop(lambda i: i < 2, lambda i: i + 1, [v])[0], lambda: v))
    assert int(step(tf.constant(1))) == 2""",
    "two replicas": """
    if len(tf.config.list_logical_devices("CPU")) < 2:
        return np.where(x > 0, x, slope * x)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        m = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        m.compile("sgd", "mse")
    m.fit(np.ones((32, 4)), np.ones(32), batch_size=16, verbose=0)""",
}
DEVICES = """tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
"""
for name, body in INSIDE.items():
    imports = "import tensorflow as tf\nimport matplotlib.pyplot as plt\n"
    code = f"{imports}def leaky_relu(x, slope):{body}\n    return np.where(x > 0, x, slope * x)\n"
    if name == "two replicas":
        code = code.replace("def leaky_relu", f"devices = {DEVICES}\ndef leaky_relu")
        code = code.replace("(x, slope):", "(x, slope, devices=devices):")
    NOTEBOOKS[name] = lambda code=code: notebook(leaky=code)


@pytest.fixture(scope="module")
def grades(tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
    for name, made in NOTEBOOKS.items():
        write(folder, name, made())
    (folder / "bom.ipynb").write_text("\ufeff" + nbformat.writes(notebook()), encoding="utf-8")
    old = nbformat.convert(notebook(), 3)
    (folder / "format of 2014.ipynb").write_text(nbformat.writes(old, version=3), encoding="utf-8")
    (folder / "in a folder").mkdir()
    write(folder / "in a folder", "renamed (2)", notebook())
    (folder / "broken.ipynb").write_text('{"cells": [', encoding="utf-8")
    (folder / "list.ipynb").write_text("[" * 100_000, encoding="utf-8")
    (folder / "link.ipynb").symlink_to(folder / "warnings.ipynb")
    write(folder, "deleted", notebook(leaky="", descent=""))
    write(folder, "syntax", notebook(leaky="def leaky_relu(x, slope:\n    return x"))
    write(folder, "nested", notebook(leaky="leaky_relu = " + "(" * 50_000 + "1" + ")" * 50_000))
    write(folder, "minus", notebook(leaky="leaky_relu = " + "-" * 90_000 + "1"))
    write(folder, "a file next to it", notebook(leaky=f"from helpers import RATE\n{WITH_RATE}"))
    write(folder, "a file that is run", notebook(before=["%run helpers.py"], leaky=WITH_RATE))
    write(folder, "a name without a file", notebook(leaky=WITH_RATE))
    write(folder, "stub", notebook(leaky=STUB, descent=LAB.stub("descent")))
    for exercise in LAB.exercises.values():
        solution = LAB.solution(exercise.id)
        for i, mistake in enumerate(exercise.mistakes):
            write(folder, f"mistake {exercise.id} {i}", notebook(**{exercise.id: mistake.of(solution)}))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(labs, "find", lambda name: LAB)
        found = course.grade("testing", [folder], out, seconds=60, secret="s", allow_unsandboxed=True)
        again = course.grade("testing", [folder], out, seconds=60, secret="s", allow_unsandboxed=True)
    return {grade.student: grade for grade in found}, again, out


@pytest.mark.parametrize("name", [*NOTEBOOKS, "bom", "format of 2014", "in a folder"])
def test_right_answers_keep_their_points(name, grades):
    grade = grades[0][name]
    assert grade.points == 5, [(result.status, result.sentence, result.findings) for result in grade.results]


@pytest.mark.parametrize("name", ["broken", "list", "link", "deleted", "stub"])
def test_answer_that_was_not_submitted_is_missing(name, grades):
    assert [result.status for result in grades[0][name].results] == ["missing", "missing"]
    assert all(result.sentence for result in grades[0][name].results)


@pytest.mark.parametrize("name", ["syntax", "nested", "minus"])
def test_syntax_error_costs_only_its_own_exercise(name, grades):
    leaky, descent = grades[0][name].results
    assert (leaky.status, leaky.points, descent.points) == ("error", 0, 3)


def test_files_outside_of_the_notebook_are_named_as_the_reason(grades):
    told = {name for name, grade in grades[0].items() if paper.OUTSIDE in grade.results[0].findings}
    assert told == {"a file next to it", "a file that is run"}


def test_known_mistakes_are_explained(grades):
    for exercise in LAB.exercises.values():
        for i, mistake in enumerate(exercise.mistakes):
            results = {r.exercise: r for r in grades[0][f"mistake {exercise.id} {i}"].results}
            assert results[exercise.id].sentence == mistake.sentence
            assert results[exercise.id].points < exercise.points


def test_second_run_takes_grades_from_the_record(grades):
    first, again, out = grades
    assert all(grade.recorded for grade in again)
    assert {grade.student: grade.points for grade in again} == {s: grade.points for s, grade in first.items()}
    assert len((out / "grades.jsonl").read_text().splitlines()) == len(first)


def test_every_report_is_written(grades):
    names = {path.name for path in grades[2].iterdir()} - {ownership.LOCK}
    assert names == {
        *("grades.jsonl", "grades.csv", "canvas.csv", "moodle.csv", "junit.xml", "manifest.json"),
        *("summary.txt", "summary.png", "class.html", "files.csv", "students"),
    }
    manifest = json.loads((grades[2] / "manifest.json").read_text())
    assert manifest["sandbox"]["level"] in ("full", "partial", "none")
