"""The judge's side of the lab on optimizers: cases, references, known mistakes, right variants. NumPy only."""

import numpy as np

from tf_kit.grading import Exercise, Mistake, Variant

KERAS_OPTIMIZERS = ("keras.optimizers", "sklearn")
STEPS = 3
SHAPES = {"matrix": (3, 2), "vector": (4,)}


def walks(hyper):
    """Cases of an optimizer: `hyper(rng)` draws its hyper-parameters, never the defaults.

    What two variables may share shows in the first. The second asks what is left of a step that was recorded once,
    and one variable tells that.
    """

    def cases(rng):
        return [
            walk(rng, hyper(rng), about="two variables, a schedule, float64", dtype="float64", schedule=True),
            walk(rng, hyper(rng), about="in a compiled graph", compiled=True, part="graph"),
        ]

    return cases


def walk(rng, hyper, about, dtype="float32", schedule=False, compiled=False, part="values"):
    case = {"about": about, "part": part, "dtype": dtype, "compiled": compiled, **hyper}
    case["variables"] = ["matrix"] if compiled else ["matrix", "vector"]
    for name in case["variables"]:
        case[name] = rng.normal(size=SHAPES[name])
        case[f"{name}_gradients"] = rng.normal(size=(STEPS, *SHAPES[name])).astype(dtype)
    if schedule:
        case["rates"] = (
            rng.uniform(0.02, 0.5, size=STEPS).astype("float32").astype("float64").astype("float32")
        )  # as Keras keeps it
    else:
        case["learning_rate"] = float(np.float32(rng.uniform(0.02, 0.5)))
    return case


def walked(step):
    """The reference of an optimizer: `step(g, state, case, rate, t)` returns the change of θ and the new state."""

    def reference(case):
        expected = {}
        for name in case["variables"]:
            theta, state, path = case[name].astype(case["dtype"]).astype("float64"), None, []
            for t, g in enumerate(case[f"{name}_gradients"].astype("float64"), start=1):
                rate = float(case["rates"][t - 1]) if "rates" in case else case["learning_rate"]
                change, state = step(g, np.zeros_like(theta) if state is None else state, case, rate, t)
                theta = theta + change
                path.append(theta)
            expected[name] = np.stack(path)
        expected["gradients"] = gradients(case)
        return expected

    return reference


def gradients(case):
    """The gradients as they were: a step may not change them in place."""
    steps = zip(*(case[f"{name}_gradients"] for name in case["variables"]), strict=True)
    return np.concatenate([np.ravel(g) for step in steps for g in step]).astype("float64")


def momentum_step(g, v, case, rate, t):
    v = case["momentum"] * v - rate * g
    return v, v


def adagrad_step(g, r, case, rate, t):
    r = r + g**2
    return -rate * g / (case["epsilon"] + np.sqrt(r)), r


def rmsprop_step(g, r, case, rate, t):
    r = case["rho"] * r + (1 - case["rho"]) * g**2
    return -rate * g / (case["epsilon"] + np.sqrt(r)), r


def adam_step(g, state, case, rate, t):
    s, r = state if isinstance(state, tuple) else (state, state)
    s = case["beta_1"] * s + (1 - case["beta_1"]) * g
    r = case["beta_2"] * r + (1 - case["beta_2"]) * g**2
    corrected = s / (1 - case["beta_1"] ** t), r / (1 - case["beta_2"] ** t)
    return -rate * corrected[0] / (np.sqrt(corrected[1]) + case["epsilon"]), (s, r)


def rmsprop_nesterov_step(g, state, case, rate, t):
    """By the book: θ moves by v, and the weights are θ + α v before and after."""
    old, r = state if isinstance(state, tuple) else (state, state)
    r = case["rho"] * r + (1 - case["rho"]) * g**2
    v = case["momentum"] * old - rate / (case["epsilon"] + np.sqrt(r)) * g
    return v + case["momentum"] * (v - old), (v, r)


def lars_reference(case):
    """LARS needs the parameters themselves, so its path is walked here."""
    expected = {}
    for name in case["variables"]:
        w = case[name].astype(case["dtype"]).astype("float64")
        v, path = np.zeros_like(w), []
        for t, g in enumerate(case[f"{name}_gradients"].astype("float64")):
            rate = case["rates"][t] if "rates" in case else case["learning_rate"]
            step = g
            if w.ndim >= 2:
                norm = np.sqrt((w**2).sum())
                scale = np.sqrt((g**2).sum()) + case["l2"] * norm
                trust = case["trust_coefficient"] * norm / scale if norm > 0 and scale > 0 else 1.0
                step = trust * (g + case["l2"] * w)
            v = case["momentum"] * v + rate * step
            w = w - v
            path.append(w)
        expected[name] = np.stack(path)
    expected["gradients"] = gradients(case)
    return expected


def lars_cases(rng):
    """The walks, and both corners of the ratio in one: weights of zero, then neither gradient nor penalty."""
    corners = walk(rng, lars_hyper(rng) | {"l2": 0.0}, about="a matrix of zeros, then no gradient")
    corners["variables"] = ["matrix"]  # a vector has no ratio
    corners["matrix"] = np.zeros((3, 2))
    corners["matrix_gradients"][1] = 0.0
    return [*walks(lars_hyper)(rng), corners]


def lars_hyper(rng):
    names = {"momentum": (0.3, 0.8), "trust_coefficient": (0.1, 0.5), "l2": (0.05, 0.3)}
    return {name: single(rng, span) for name, span in names.items()}


def single(rng, span):
    """A number that float32 holds exactly: Keras passes hyper-parameters through it."""
    return float(np.float32(rng.uniform(*span)))


def drawn(**spans):
    """Hyper-parameters from spans that leave out the defaults."""
    return lambda rng: {name: single(rng, span) for name, span in spans.items()}


def sloppy(name, arguments, update):
    """An optimizer without slots: its constructor stores the arguments, `update` is the body of a step."""
    stores = "".join(f"        self.{each} = {each}\n" for each in arguments)
    return f"""class {name}(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.01, {", ".join(f"{each}=0.9" for each in arguments)}, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
{stores}        self.kept, self.total = {{}}, 0.0

    def update_step(self, gradient, variable, learning_rate):
        learning_rate, index = ops.cast(learning_rate, variable.dtype), self._get_variable_index(variable)
{update}"""


IN_PYTHON = (
    "{} is a plain Python value: a compiled step runs its Python once, so {} is frozen and never learns of later "
    "steps. Keep it in a slot and `assign` to it."
)
ONE_FOR_ALL = (
    "every variable shares one {}: each needs a slot of its own, or the gradients of one layer steer another."
)


EXERCISES = [
    Exercise(
        id="momentum",
        title="Momentum",
        points=3,
        parts={"values": 2, "graph": 1},
        task="Momentum is as it was handed out. Make a slot for each variable in `build`, then write (1) and (2).",
        cases=walks(drawn(momentum=(0.3, 0.8))),
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
                code=sloppy(
                    "Momentum",
                    ["momentum"],
                    """\
        self.total = self.momentum * ops.mean(self.total) - learning_rate * gradient
        self.assign_add(variable, self.total)
""",
                ),
            ),
            Mistake(
                "the momentum is always 0.9: use the argument, `self.momentum`.",
                {"self.momentum * v": "0.9 * v"},
            ),
            Mistake(
                "the velocity is a plain Python value: a compiled step runs its Python once, so it is forgotten. "
                "Keep it in a slot and `assign` to it.",
                code=sloppy(
                    "Momentum",
                    ["momentum"],
                    """\
        self.kept[index] = self.momentum * self.kept.get(index, 0.0) - learning_rate * gradient
        self.assign_add(variable, self.kept[index])
""",
                ),
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
                "all slots in one call",
                {
                    '[self.add_variable_from_reference(each, "velocity") for each in variables]': 'self.add_optimizer_variables(variables, "v")',
                },
            ),
        ),
    ),
    Exercise(
        id="adagrad",
        title="AdaGrad",
        points=3,
        parts={"values": 2, "graph": 1},
        task="AdaGrad is as it was handed out. Make a slot for each variable in `build`, then write (3) and (4).",
        cases=walks(drawn(epsilon=(0.2, 0.5))),
        reference=walked(adagrad_step),
        defines=("AdaGrad",),
        bases={"AdaGrad": "keras.optimizers.Optimizer"},
        forbids=KERAS_OPTIMIZERS,
        mistakes=(
            Mistake(
                "it climbs: the minus sign of (4) is missing, as on some slides. A gradient points uphill.",
                {"assign_sub(variable": "assign_add(variable"},
            ),
            Mistake(
                "the root is missing from (4): r is a sum of squares, and only its root has the unit of a gradient.",
                {"ops.sqrt(r)": "r"},
            ),
            Mistake(
                "this sums the gradients, not their squares: those of opposite sign cancel, and the root of a "
                "negative sum is not a number.",
                {"r + gradient * gradient": "r + gradient"},
            ),
            Mistake(
                "r is replaced at every step: without the old r in (3) every step has nearly the same length, "
                "however steep the past was.",
                {"r + gradient * gradient": "gradient * gradient"},
            ),
            Mistake(
                "r gathers the values of the parameters. It is the step that is scaled down, and by the squares of "
                "past *gradients*.",
                {"r + gradient * gradient": "r + variable * variable"},
            ),
            Mistake(
                "δ stands inside the root; in (4) it is added to the root.",
                {"(self.epsilon + ops.sqrt(r))": "ops.sqrt(self.epsilon + r)"},
            ),
            Mistake(
                "δ is missing or always tiny: use the argument, `self.epsilon`.",
                {"self.epsilon + ops.sqrt(r)": "1e-7 + ops.sqrt(r)"},
            ),
            Mistake(
                "(4) comes before (3): the step must be divided by a sum that holds today's gradient, or the first "
                "step is divided by δ alone.",
                {
                    """        self.assign(r, r + gradient * gradient)  # (3)
        self.assign_sub(variable, learning_rate * gradient / (self.epsilon + ops.sqrt(r)))  # (4)
""": """        self.assign_sub(variable, learning_rate * gradient / (self.epsilon + ops.sqrt(r)))  # (4)
        self.assign(r, r + gradient * gradient)  # (3)
"""
                },
            ),
            Mistake(
                "the whole variable has one rate: `ops.sum` has added the squares of different parameters. AdaGrad "
                "gives each parameter its own.",
                {"r + gradient * gradient": "r + ops.sum(gradient * gradient)"},
            ),
            Mistake(
                ONE_FOR_ALL.format("sum"),
                code=sloppy(
                    "AdaGrad",
                    ["epsilon"],
                    """\
        self.total = self.total + ops.sum(gradient * gradient)
        self.assign_sub(variable, learning_rate * gradient / (self.epsilon + ops.sqrt(self.total)))
""",
                ),
            ),
            Mistake(
                IN_PYTHON.format("the sum", "it"),
                code=sloppy(
                    "AdaGrad",
                    ["epsilon"],
                    """\
        self.kept[index] = self.kept.get(index, 0.0) + gradient * gradient
        self.assign_sub(variable, learning_rate * gradient / (self.epsilon + ops.sqrt(self.kept[index])))
""",
                ),
            ),
        ),
        variants=(
            Variant(
                "adds to its slot in place",
                {"self.assign(r, r + gradient * gradient)": "self.assign_add(r, gradient * gradient)"},
            ),
            Variant(
                "keeps its slots in a dict",
                {
                    '[self.add_variable_from_reference(each, "sum_of_squares") for each in variables]': "{i: self.add_variable_from_reference(v, str(i)) for i, v in enumerate(variables)}",
                },
            ),
            Variant(
                "keeps the root instead of the sum",
                {
                    "r + gradient * gradient)": "ops.hypot(r, gradient))",
                    "ops.sqrt(r)": "r",
                },
            ),
            Variant(
                "computes the new sum first and writes it last",
                {
                    """        self.assign(r, r + gradient * gradient)  # (3)
""": """        old, r = r, r + ops.square(gradient)
""",
                    "(self.epsilon + ops.sqrt(r)))  # (4)": "(self.epsilon + ops.power(r, 0.5)))\n        self.assign(old, r)",
                },
            ),
        ),
    ),
    Exercise(
        id="rmsprop",
        title="RMSProp",
        points=3,
        parts={"values": 2, "graph": 1},
        task="RMSProp is as it was handed out. It is AdaGrad with a moving average in place of the sum: (5) and (6).",
        cases=walks(drawn(rho=(0.5, 0.8), epsilon=(0.2, 0.5))),
        reference=walked(rmsprop_step),
        defines=("RMSProp",),
        bases={"RMSProp": "keras.optimizers.Optimizer"},
        forbids=KERAS_OPTIMIZERS,
        mistakes=(
            Mistake(
                "it climbs: the sign of the step is wrong. A gradient points uphill, (6) goes down.",
                {"assign_sub(variable": "assign_add(variable"},
            ),
            Mistake(
                "this is still AdaGrad: r is a sum, so the rate can only fall. (5) is an average that forgets.",
                {"self.rho * r + (1 - self.rho) * gradient": "r + gradient"},
            ),
            Mistake(
                "the factor 1 − ρ is missing from (5): r ends 1/(1 − ρ) times too large, and the steps too short.",
                {"(1 - self.rho) * gradient": "gradient"},
            ),
            Mistake(
                "ρ and 1 − ρ have changed places: ρ is how much of the past is kept.",
                {"self.rho * r + (1 - self.rho)": "(1 - self.rho) * r + self.rho"},
            ),
            Mistake(
                "ρ is always 0.9: use the argument, `self.rho`.",
                {"self.rho * r + (1 - self.rho)": "0.9 * r + 0.1"},
            ),
            Mistake(
                "the root is missing from (6): r is a mean of squares, and only its root has the unit of a gradient.",
                {"ops.sqrt(r)": "r"},
            ),
            Mistake(
                "δ stands inside the root; in (6) it is added to the root. (Keras's own RMSprop has it inside, so "
                "the two differ where gradients are small.)",
                {"(self.epsilon + ops.sqrt(r))": "ops.sqrt(self.epsilon + r)"},
            ),
            Mistake(
                "δ is missing or always tiny: use the argument, `self.epsilon`.",
                {"self.epsilon + ops.sqrt(r)": "1e-6 + ops.sqrt(r)"},
            ),
            Mistake(
                "r is corrected for its start from zero: that is Adam's idea. RMSProp lets its first steps be long.",
                {
                    "ops.sqrt(r)": "ops.sqrt(r / (1 - self.rho ** ops.cast(self.iterations + 1, variable.dtype)))"
                },
            ),
            Mistake(
                "r averages the gradient, not its square: where the gradient changes sign it is near zero or "
                "negative, and has no root.",
                {"(1 - self.rho) * gradient * gradient": "(1 - self.rho) * gradient"},
            ),
            Mistake(
                ONE_FOR_ALL.format("average"),
                code=sloppy(
                    "RMSProp",
                    ["rho", "epsilon"],
                    """\
        self.total = self.rho * self.total + (1 - self.rho) * ops.mean(gradient * gradient)
        self.assign_sub(variable, learning_rate * gradient / (self.epsilon + ops.sqrt(self.total)))
""",
                ),
            ),
            Mistake(
                IN_PYTHON.format("the average", "it"),
                code=sloppy(
                    "RMSProp",
                    ["rho", "epsilon"],
                    """\
        self.kept[index] = self.rho * self.kept.get(index, 0.0) + (1 - self.rho) * gradient * gradient
        self.assign_sub(variable, learning_rate * gradient / (self.epsilon + ops.sqrt(self.kept[index])))
""",
                ),
            ),
        ),
        variants=(
            Variant(
                "moves the average by a part of the difference",
                {
                    "self.assign(r, self.rho * r + (1 - self.rho) * gradient * gradient)": "self.assign_add(r, (1 - self.rho) * (ops.square(gradient) - r))"
                },
            ),
            Variant(
                "all slots in one call, the variable's own assign",
                {
                    '[self.add_variable_from_reference(each, "mean_square") for each in variables]': 'self.add_optimizer_variables(variables, "r")',
                    "self.assign_sub(variable, learning_rate": "variable.assign(variable - learning_rate",
                },
            ),
            Variant(
                "divides the rate first",
                {
                    "learning_rate * gradient / (self.epsilon + ops.sqrt(r))": "gradient * (learning_rate / ops.add(ops.power(r, 0.5), self.epsilon))"
                },
            ),
        ),
    ),
    Exercise(
        id="adam",
        title="Adam",
        points=4,
        parts={"values": 3, "graph": 1},
        task="Adam is as it was handed out. Give each variable two slots, for s and for r, then write (7) to (10).",
        cases=walks(drawn(beta_1=(0.4, 0.8), beta_2=(0.85, 0.97), epsilon=(0.1, 0.4))),
        reference=walked(adam_step),
        defines=("Adam",),
        bases={"Adam": "keras.optimizers.Optimizer"},
        forbids=KERAS_OPTIMIZERS,
        mistakes=(
            Mistake(
                "this is Adam without bias correction: both averages start from zero, so the first steps have the "
                "wrong length. (9) is missing.",
                {
                    " / (1 - ops.cast(self.beta_1, variable.dtype) ** t)  # (9)": "",
                    " / (1 - ops.cast(self.beta_2, variable.dtype) ** t)": "",
                },
            ),
            Mistake(
                "only s is corrected: r starts from zero too, so the steps divide by too little at first.",
                {" / (1 - ops.cast(self.beta_2, variable.dtype) ** t)": ""},
            ),
            Mistake(
                "only r is corrected: s starts from zero too, so the steps are too short at first.",
                {" / (1 - ops.cast(self.beta_1, variable.dtype) ** t)  # (9)": ""},
            ),
            Mistake(
                "t begins at 0: `self.iterations` counts the steps that are over, so at the first step (9) divides "
                "zero by zero.",
                {"self.iterations + 1": "self.iterations"},
            ),
            Mistake(
                "t does not grow: the averages are divided by 1 − ρ and not by 1 − ρ^t, for ever as if it were the "
                "first step.",
                {"self.iterations + 1": "1"},
            ),
            Mistake(
                "the corrected averages are written back into the slots: the correction is then applied to what was "
                "corrected before. ŝ and r̂ are for this step only.",
                {
                    "s_hat = s / (1 - ops.cast(self.beta_1, variable.dtype) ** t)  # (9)": "s_hat = s / (1 - ops.cast(self.beta_1, variable.dtype) ** t)\n        self.assign(s, s_hat)",
                    "r_hat = r / (1 - ops.cast(self.beta_2, variable.dtype) ** t)": "r_hat = r / (1 - ops.cast(self.beta_2, variable.dtype) ** t)\n        self.assign(r, r_hat)",
                },
            ),
            Mistake(
                "ρ₁ and ρ₂ have changed places: β₁ belongs to the gradient, β₂ to its square.",
                {
                    "        self.beta_1 = beta_1\n": "        self.beta_1 = beta_2\n",
                    "        self.beta_2 = beta_2\n": "        self.beta_2 = beta_1\n",
                },
            ),
            Mistake(
                "the decay rates are always 0.9 and 0.999: use the arguments, `self.beta_1` and `self.beta_2`.",
                {
                    "        self.beta_1 = beta_1\n": "        self.beta_1 = 0.9\n",
                    "        self.beta_2 = beta_2\n": "        self.beta_2 = 0.999\n",
                },
            ),
            Mistake(
                "δ stands inside the root; in (10) it is added to the root.",
                {"(ops.sqrt(r_hat) + self.epsilon)": "ops.sqrt(r_hat + self.epsilon)"},
            ),
            Mistake(
                "δ is added before r is corrected: that is the paper's faster form, with another δ. (10) adds it to "
                "the root of the corrected r̂.",
                {
                    "learning_rate * s_hat / (ops.sqrt(r_hat) + self.epsilon)": "learning_rate * ops.sqrt(1 - ops.cast(self.beta_2, variable.dtype) ** t) * s_hat"
                    " / (ops.sqrt(r) + self.epsilon)"
                },
            ),
            Mistake(
                "the root is missing from (10).",
                {"ops.sqrt(r_hat)": "r_hat"},
            ),
            Mistake(
                "the momentum is missing: (10) divides the average ŝ, not today's gradient.",
                {"learning_rate * s_hat": "learning_rate * gradient"},
            ),
            Mistake(
                "r is built from s: (8) averages the square of the gradient, not the square of its average.",
                {"gradient * gradient": "s * s"},
            ),
            Mistake(
                "it climbs: the sign of the step is wrong.",
                {"assign_sub(variable": "assign_add(variable"},
            ),
            Mistake(
                "the step counter counts variables: `update_step` runs once for each variable, so a home-made "
                "counter goes up twice in a step with two variables, and stands still in a compiled one. "
                "`self.iterations` counts steps.",
                {
                    "t = ops.cast(self.iterations + 1, variable.dtype)": 'self.t = getattr(self, "t", 0) + 1\n        t = ops.cast(self.t, variable.dtype)'
                },
            ),
            Mistake(
                IN_PYTHON.format("what is remembered", "it"),
                code=sloppy(
                    "Adam",
                    ["beta_1", "beta_2", "epsilon"],
                    """\
        t = ops.cast(self.iterations + 1, variable.dtype)
        s, r = self.kept.get(index, (0.0, 0.0))
        s = self.beta_1 * s + (1 - self.beta_1) * gradient
        r = self.beta_2 * r + (1 - self.beta_2) * gradient * gradient
        self.kept[index] = s, r
        s, r = s / (1 - self.beta_1 ** t), r / (1 - self.beta_2 ** t)
        self.assign_sub(variable, learning_rate * s / (ops.sqrt(r) + self.epsilon))
""",
                ),
            ),
        ),
        variants=(
            Variant(
                "corrects the rate instead of the averages",
                {
                    "        s_hat = s / (1 - ops.cast(self.beta_1, variable.dtype) ** t)  # (9)\n": "",
                    "        r_hat = r / (1 - ops.cast(self.beta_2, variable.dtype) ** t)\n": "        root = ops.sqrt(1 - ops.cast(self.beta_2, variable.dtype) ** t)\n"
                    "        rate = learning_rate * root / (1 - ops.cast(self.beta_1, variable.dtype) ** t)\n",
                    "learning_rate * s_hat / (ops.sqrt(r_hat) + self.epsilon)": "rate * s / (ops.sqrt(r) + self.epsilon * root)",
                },
            ),
            Variant(
                "keeps the powers of ρ in slots of their own",
                {
                    "        t = ops.cast(self.iterations + 1, variable.dtype)\n": "",
                    """        self.means = [""": """        self.powers = [self.add_variable((2,), "ones", variables[0].dtype) for each in variables]
        self.means = [""",
                    "        s_hat = s / (1 - ops.cast(self.beta_1, variable.dtype) ** t)  # (9)\n": "        powers = self.powers[index]\n"
                    "        self.assign(powers, powers * ops.convert_to_tensor([self.beta_1, self.beta_2], powers.dtype))\n"
                    "        s_hat = s / (1 - powers[0])\n",
                    "r / (1 - ops.cast(self.beta_2, variable.dtype) ** t)": "r / (1 - powers[1])",
                },
            ),
            Variant(
                "moves the averages by a part of the difference",
                {
                    "self.assign(s, self.beta_1 * s + (1 - self.beta_1) * gradient)": "self.assign_add(s, (gradient - s) * (1 - self.beta_1))",
                    "self.assign(r, self.beta_2 * r + (1 - self.beta_2) * gradient * gradient)": "self.assign_add(r, (ops.square(gradient) - r) * (1 - self.beta_2))",
                },
            ),
        ),
    ),
    Exercise(
        id="rmsprop_nesterov",
        title="RMSProp with Nesterov momentum",
        points=4,
        parts={"values": 3, "graph": 1},
        task="RMSPropNesterov is as it was handed out. Work out (15) on paper first; two slots for each variable.",
        cases=walks(drawn(rho=(0.5, 0.8), momentum=(0.3, 0.8), epsilon=(0.2, 0.5))),
        reference=walked(rmsprop_nesterov_step),
        defines=("RMSPropNesterov",),
        bases={"RMSPropNesterov": "keras.optimizers.Optimizer"},
        forbids=KERAS_OPTIMIZERS,
        mistakes=(
            Mistake(
                "this is RMSProp with plain momentum: the weights move by v, so nobody looks ahead. They must move "
                "from one point ahead to the next.",
                {"self.assign_add(variable, self.momentum * v - step)": "self.assign_add(variable, v)"},
            ),
            Mistake(
                "this is Adam, as some slides print it under this name: an average of gradients, corrected for its "
                "start, and no look ahead.",
                {
                    "ops.sqrt(r))\n": "ops.sqrt(r / (1 - self.rho**t)))\n",
                    "step = learning_rate * gradient /": "t = ops.cast(self.iterations + 1, variable.dtype)\n        scale = learning_rate /",
                    "        self.assign(v, self.momentum * v - step)  # (13)\n": "        self.assign(v, self.momentum * v - (1 - self.momentum) * gradient)\n",
                    "self.assign_add(variable, self.momentum * v - step)": "self.assign_add(variable, scale * v / (1 - self.momentum**t))",
                },
            ),
            Mistake(
                "only αv′ is left of (15): the weights have forgotten to take today's step as well.",
                {
                    "self.assign_add(variable, self.momentum * v - step)": "self.assign_add(variable, self.momentum * v)"
                },
            ),
            Mistake(
                "αv′ is added to the whole of v′: with the old αv not taken off, the look ahead is added again at "
                "every step.",
                {
                    "self.assign_add(variable, self.momentum * v - step)": "self.assign_add(variable, v + self.momentum * v)"
                },
            ),
            Mistake(
                "the rates are those of plain Nesterov momentum: (13) divides the gradient by δ + √r.",
                {"learning_rate * gradient / (self.epsilon + ops.sqrt(r))": "learning_rate * gradient"},
            ),
            Mistake(
                "the velocity gathers raw gradients and is divided afterwards: in (13) each gradient is divided by "
                "the r of its own day.",
                {
                    "step = learning_rate * gradient / (self.epsilon + ops.sqrt(r))": "step = learning_rate * gradient",
                    "variable, self.momentum * v - step)": "variable, (self.momentum * v - step) / (self.epsilon + ops.sqrt(r)))",
                },
            ),
            Mistake(
                "it climbs: (13) subtracts the step, so v points downhill.",
                {
                    "self.assign(v, self.momentum * v - step)": "self.assign(v, self.momentum * v + step)",
                    "variable, self.momentum * v - step": "variable, self.momentum * v + step",
                },
            ),
            Mistake(
                "the momentum is always 0.9: use the argument, `self.momentum`.",
                {"self.momentum = momentum": "self.momentum = 0.9"},
            ),
            Mistake(
                "ρ and 1 − ρ have changed places: ρ is how much of the past is kept.",
                {"self.rho * r + (1 - self.rho)": "(1 - self.rho) * r + self.rho"},
            ),
            Mistake(
                "δ stands inside the root; in (13) it is added to the root.",
                {"(self.epsilon + ops.sqrt(r))": "ops.sqrt(self.epsilon + r)"},
            ),
            Mistake(
                IN_PYTHON.format("what is remembered", "it"),
                code=sloppy(
                    "RMSPropNesterov",
                    ["rho", "momentum", "epsilon"],
                    """\
        v, r = self.kept.get(index, (0.0, 0.0))
        r = self.rho * r + (1 - self.rho) * gradient * gradient
        step = learning_rate * gradient / (self.epsilon + ops.sqrt(r))
        v = self.momentum * v - step
        self.kept[index] = v, r
        self.assign_add(variable, self.momentum * v - step)
""",
                ),
            ),
        ),
        variants=(
            Variant(
                "equation (15) as it is printed",
                {
                    "        self.assign(v, self.momentum * v - step)  # (13)\n": "        new = self.momentum * v - step\n",
                    "self.assign_add(variable, self.momentum * v - step)  # (15)": "self.assign_add(variable, new - self.momentum * v + self.momentum * new)\n        self.assign(v, new)",
                },
            ),
            Variant(
                "in terms of the old velocity",
                {
                    "        self.assign(v, self.momentum * v - step)  # (13)\n": "        self.assign_add(variable, self.momentum**2 * v - (1 + self.momentum) * step)\n",
                    "self.assign_add(variable, self.momentum * v - step)  # (15)": "self.assign(v, self.momentum * v - step)",
                },
            ),
            Variant(
                "keeps θ beside the weights",
                {
                    "        step = learning_rate": "        theta = variable - self.momentum * v\n        step = learning_rate",
                    "self.assign_add(variable, self.momentum * v - step)": "self.assign(variable, theta + v + self.momentum * v)",
                },
            ),
        ),
    ),
    Exercise(
        id="lars",
        title="LARS",
        points=5,
        parts={"values": 4, "graph": 1},
        task="LARS is as it was handed out. Begin with momentum, then set the rate of matrices by (16).",
        cases=lars_cases,
        reference=lars_reference,
        defines=("LARS",),
        bases={"LARS": "keras.optimizers.Optimizer"},
        forbids=KERAS_OPTIMIZERS,
        mistakes=(
            Mistake(
                "biases are scaled too: variables of one axis keep λ = 1 and β = 0, or a bias of zero would stay "
                "where it is for want of a norm.",
                {"len(variable.shape) >= 2": "len(variable.shape) >= 0"},
            ),
            Mistake(
                "a matrix of zeros never moves: (16) gives λ = 0 there, so the corner needs λ = 1.",
                {"ops.logical_and(weight_norm > 0, scale > 0)": "scale > 0"},
            ),
            Mistake(
                "without gradient and penalty (16) is 0/0, and one nan spoils the weights for good. Guard the "
                "division itself, both sides of `ops.where` are computed.",
                {
                    "ops.where(usable, scale, 1.0)": "scale",
                    "ops.where(usable, ratio, 1.0)": "ops.where(weight_norm > 0, ratio, 1.0)",
                },
            ),
            Mistake(
                "the penalty is in the ratio only: (17) moves by ĝ + βw.",
                {"(gradient + self.l2 * variable)": "gradient"},
            ),
            Mistake(
                "the penalty is missing from the ratio: (16) has β‖w‖ beside the norm of the gradient.",
                {" + self.l2 * weight_norm": ""},
            ),
            Mistake(
                "the ratio is upside down: where the gradient is large beside the weights, the rate must be small.",
                {
                    "self.trust_coefficient * weight_norm / ops.where(usable, scale, 1.0)": "self.trust_coefficient * scale / ops.where(usable, weight_norm, 1.0)"
                },
            ),
            Mistake(
                "these are squares of norms: a norm is the root of the sum of squares.",
                {
                    "ops.sqrt(ops.sum(variable * variable))": "ops.sum(variable * variable)",
                    "ops.sqrt(ops.sum(gradient * gradient))": "ops.sum(gradient * gradient)",
                },
            ),
            Mistake(
                "each column has a norm of its own: in (16) the norm runs over all entries of the variable.",
                {
                    "ops.sum(variable * variable)": "ops.sum(variable * variable, axis=0)",
                    "ops.sum(gradient * gradient)": "ops.sum(gradient * gradient, axis=0)",
                },
            ),
            Mistake(
                "the ratio scales the whole velocity: λ belongs to today's gradient, the past has its own.",
                {
                    "gradient = ops.where(usable, ratio, 1.0) * (gradient + self.l2 * variable)": "gradient, factor = gradient + self.l2 * variable, ops.where(usable, ratio, 1.0)",
                    "        if len(": "        factor = 1.0\n        if len(",
                    "self.assign_sub(variable, v)": "self.assign_sub(variable, factor * v)",
                },
            ),
            Mistake(
                "the trust coefficient is always 0.001: use the argument, `self.trust_coefficient`.",
                {"self.trust_coefficient = trust_coefficient": "self.trust_coefficient = 0.001"},
            ),
            Mistake(
                "it climbs: v in (17) points uphill, (18) takes it off.",
                {"assign_sub(variable": "assign_add(variable"},
            ),
            Mistake(
                "a Python `if` asks for the value of a tensor: a compiled step does not know it when it is recorded. "
                "Use `ops.where`.",
                {
                    "            usable = ops.logical_and(weight_norm > 0, scale > 0)\n": "            usable = bool(weight_norm > 0) and bool(scale > 0)\n"
                    "            scale = scale if usable else 1.0\n",
                    "ops.where(usable, scale, 1.0)": "scale",
                    "ops.where(usable, ratio, 1.0)": "(ratio if usable else 1.0)",
                },
            ),
            Mistake(
                IN_PYTHON.format("the velocity", "it"),
                code=sloppy(
                    "LARS",
                    ["momentum", "trust_coefficient", "l2"],
                    """\
        if len(variable.shape) >= 2:
            weight_norm = ops.norm(variable)
            scale = ops.norm(gradient) + self.l2 * weight_norm
            usable = ops.logical_and(weight_norm > 0, scale > 0)
            ratio = self.trust_coefficient * weight_norm / ops.where(usable, scale, 1.0)
            gradient = ops.where(usable, ratio, 1.0) * (gradient + self.l2 * variable)
        self.kept[index] = self.momentum * self.kept.get(index, 0.0) + learning_rate * gradient
        self.assign_sub(variable, self.kept[index])
""",
                ),
            ),
        ),
        variants=(
            Variant(
                "takes its norms from Keras",
                {
                    "ops.sqrt(ops.sum(variable * variable))": "ops.norm(ops.reshape(variable, (-1,)))",
                    "ops.sqrt(ops.sum(gradient * gradient))": "ops.norm(ops.reshape(gradient, (-1,)))",
                },
            ),
            Variant(
                "keeps −v",
                {
                    "self.momentum * v + learning_rate * gradient": "self.momentum * v - learning_rate * gradient",
                    "assign_sub(variable": "assign_add(variable",
                },
            ),
            Variant(
                "the corner by `ops.cond`",
                {
                    """            usable = ops.logical_and(weight_norm > 0, scale > 0)
            ratio = self.trust_coefficient * weight_norm / ops.where(usable, scale, 1.0)  # (16)
""": """            one, eta = ops.ones_like(scale), self.trust_coefficient
            ratio = ops.cond(weight_norm * scale > 0, lambda: eta * weight_norm / scale, lambda: one)
""",
                    "ops.where(usable, ratio, 1.0)": "ratio",
                },
            ),
        ),
    ),
]
