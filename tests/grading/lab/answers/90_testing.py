"""Exercises of the lab for the tests of the grader."""

import numpy as np

from tf_kit.grading import Exercise, Mistake, Variant


def leaky_cases(rng):
    return [
        {
            "about": "a vector",
            "x": rng.normal(size=6).astype("float32"),
            "slope": float(rng.uniform(0.1, 0.9)),
        },
        {"about": "not finite", "x": np.array([-np.inf, np.inf, np.nan, -0.0], "float32"), "slope": 0.25},
    ]


def leaky(case):
    x = case["x"].astype("float64")
    with np.errstate(invalid="ignore"):
        return {"y": np.maximum(x, 0) + case["slope"] * np.minimum(x, 0), "x": x}


def descent_cases(rng):
    gradients = rng.normal(size=(2, 3)).astype("float32")
    return [
        {
            "x": rng.normal(size=3).astype("float32"),
            "gradients": gradients,
            "rate": float(rng.uniform(0.1, 0.9)),
        }
    ]


def descent(case):
    return {"x": case["x"].astype("float64") - case["rate"] * case["gradients"].astype("float64").sum(axis=0)}


EXERCISES = [
    Exercise(
        id="leaky",
        title="Leaky ReLU",
        points=2,
        task="write the leaky ReLU.",
        cases=leaky_cases,
        reference=leaky,
        defines=("leaky_relu",),
        forbids=("keras.ops.leaky_relu", "keras.activations.leaky_relu", "keras.layers.LeakyReLU"),
        mistakes=(
            Mistake("this is the ReLU: what is negative must not be lost.", {"slope * x": "0 * x"}),
            Mistake(
                "the input is changed in place.",
                code="def leaky_relu(x, slope):\n    x[x < 0] *= slope\n    return x",
            ),
        ),
        variants=(Variant("maximum", {"np.where(x > 0, x, slope * x)": "np.maximum(x, slope * x)"}),),
        seconds=3.0,
        memory_mb=800,
    ),
    Exercise(
        id="descent",
        title="Gradient descent",
        points=3,
        task="write gradient descent.",
        cases=descent_cases,
        reference=descent,
        defines=("Descent",),
        bases={"Descent": "keras.optimizers.Optimizer"},
        forbids=("keras.optimizers",),
        mistakes=(Mistake("this climbs: the sign is wrong.", {"assign_sub": "assign_add"}),),
        variants=(Variant("assign_add", {"assign_sub(variable, ": "assign_add(variable, -"}),),
        seconds=6.0,
    ),
]
