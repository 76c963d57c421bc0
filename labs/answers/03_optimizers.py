"""The judge's side of the lab on optimizers: cases, references, known mistakes, right variants. NumPy only."""

import numpy as np

from tf_kit.grading import Exercise, Mistake, Variant

KERAS_OPTIMIZERS = ("keras.optimizers", "keras.src.optimizers")
STEPS = 4


def walks(hyper):
    """Cases of an optimizer: `hyper(rng)` draws its hyper-parameters, never the defaults."""

    def cases(rng):
        return [
            walk(rng, hyper(rng), about="two variables"),
            walk(rng, hyper(rng), about="two variables, a schedule", schedule=True),
            walk(rng, hyper(rng), about="float64", dtype="float64"),
            walk(rng, hyper(rng), about="in a compiled graph", compiled=True, part="graph"),
        ]

    return cases


def walk(rng, hyper, about, dtype="float32", schedule=False, compiled=False, part="values"):
    case = {"about": about, "part": part, "dtype": dtype, "compiled": compiled, **hyper}
    case["matrix"], case["vector"] = rng.normal(size=(3, 2)), rng.normal(size=4)
    case["matrix_gradients"] = rng.normal(size=(STEPS, 3, 2)).astype(dtype)
    case["vector_gradients"] = rng.normal(size=(STEPS, 4)).astype(dtype)
    if schedule:
        case["rates"] = rng.uniform(0.02, 0.5, size=STEPS).astype("float32")  # as Keras keeps it
    else:
        case["learning_rate"] = float(np.float32(rng.uniform(0.02, 0.5)))
    return case


def walked(step):
    """The reference of an optimizer: `step(g, state, case, rate, t)` returns the change of θ and the new state."""

    def reference(case):
        expected = {}
        for name in ("matrix", "vector"):
            theta, state, path = case[name].astype(case["dtype"]).astype("float64"), None, []
            for t, g in enumerate(case[f"{name}_gradients"].astype("float64"), start=1):
                rate = float(case["rates"][t - 1]) if "rates" in case else case["learning_rate"]
                change, state = step(g, np.zeros_like(theta) if state is None else state, case, rate, t)
                theta = theta + change
                path.append(theta)
            expected[name] = np.stack(path)
        pairs = zip(case["matrix_gradients"], case["vector_gradients"], strict=True)
        expected["gradients"] = np.concatenate(
            [np.ravel(g) for pair in pairs for g in pair]
        )  # not changed in place
        return expected

    return reference


def momentum_step(g, v, case, rate, t):
    v = case["momentum"] * v - rate * g
    return v, v


EXERCISES = [
    Exercise(
        id="momentum",
        title="Momentum",
        points=3,
        parts={"values": 2, "graph": 1},
        task="Momentum is as it was handed out. Make a slot for each variable in `build`, then write (1) and (2).",
        cases=walks(lambda rng: {"momentum": float(rng.uniform(0.3, 0.8))}),
        reference=walked(momentum_step),
        defines=("Momentum",),
        bases={"Momentum": "keras.optimizers.Optimizer"},
        forbids=KERAS_OPTIMIZERS,
        mistakes=(
            Mistake(
                "the velocity has the wrong sign: (2) adds v, so v must already point downhill.",
                {"- learning_rate * gradient": "+ learning_rate * gradient"},
            ),
            Mistake(
                "this is gradient descent without memory: the old velocity is missing from (1).",
                {"self.momentum * v - learning_rate": "-learning_rate"},
            ),
            Mistake(
                "this is the averaged form, v ← α v − (1 − α) ε g: its steps are 1/(1 − α) times too short.",
                {"- learning_rate * gradient": "- (1 - self.momentum) * learning_rate * gradient"},
            ),
            Mistake(
                "the learning rate is applied twice: v in (1) holds ε g already, (2) adds it as it is.",
                {"self.assign_add(variable, v)": "self.assign_add(variable, learning_rate * v)"},
            ),
            Mistake(
                "every variable shares one velocity: each needs a slot of its own.",
                code="""class Momentum(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.01, momentum=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum
        self.v = 0.0

    def update_step(self, gradient, variable, learning_rate):
        self.v = self.momentum * ops.mean(self.v) - ops.cast(learning_rate, variable.dtype) * gradient
        self.assign_add(variable, self.v)
""",
            ),
            Mistake(
                "the momentum is always 0.9: use the argument, `self.momentum`.",
                {"self.momentum * v": "0.9 * v"},
            ),
            Mistake(
                "the velocity is a plain Python value: a compiled step runs its Python once, so it is forgotten. "
                "Keep it in a slot and `assign` to it.",
                code="""class Momentum(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.01, momentum=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum
        self.velocities = {}

    def update_step(self, gradient, variable, learning_rate):
        v = self.velocities.get(variable.path, 0.0)
        v = self.momentum * v - ops.cast(learning_rate, variable.dtype) * gradient
        self.velocities[variable.path] = v
        self.assign_add(variable, v)
""",
            ),
        ),
        variants=(
            Variant(
                "writes with `variable.assign`",
                {"self.assign_add(variable, v)": "variable.assign(variable + v)"},
            ),
            Variant(
                "keeps −v",
                {
                    "self.momentum * v - learning_rate * gradient": "self.momentum * v + learning_rate * gradient",
                    "self.assign_add(variable, v)": "self.assign_sub(variable, v)",
                },
            ),
            Variant(
                "a slot of another name",
                {'reference(each, "velocity")': 'reference(each, "slot")', "self.assign(v,": "v.assign("},
            ),
        ),
    ),
]
