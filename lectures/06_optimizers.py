# %%
"""Which update crosses a narrow valley in fewest steps?

A valley a hundred times as steep across as along, with exact gradients. Every optimizer starts from the same place,
with the learning rate that suits it best of forty-six. Counted are the steps until it is within 5 % of the way to
the minimum and stays there. The same valley is crossed twice: along one parameter's axis, and turned by 30 degrees.

Claim: SGD is thrown from wall to wall, then creeps along the floor; momentum needs less than half its steps. Both are
blind to the direction in which the valley runs.
AdaGrad and RMSProp scale each parameter by itself: along an axis that rounds the valley, and AdaGrad crosses it in a
few steps; turned, it needs more than ten times as many. The fastest there is one of those that carry momentum.

Slide: "Optimization": momentum, its two forms, "Popular Solver Examples", algorithms 4 to 7.
Reference: Goodfellow, Bengio, Courville 2016, "Deep Learning", sections 8.3 and 8.5.
"""

import dataclasses

import keras
import matplotlib.pyplot as plt
import numpy as np

from tf_kit import lectures, optimizers, plotting

TITLE = "Optimizers in a narrow valley"
SECONDS = 10

MAKE = {
    "SGD": optimizers.SGD,
    "Momentum": optimizers.Momentum,
    "Nesterov": optimizers.Nesterov,
    "AdaGrad": optimizers.AdaGrad,
    "RMSProp": optimizers.RMSProp,
    "RMSProp + Nesterov": optimizers.RMSPropNesterov,
    "Adam": optimizers.Adam,
}
RATES = np.logspace(-3, 1.5, 46)
WITH_MOMENTUM = ("Momentum", "Nesterov", "RMSProp + Nesterov", "Adam")


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    steepness: float = lectures.option(100.0, "curvature across the valley over curvature along it")
    angle: float = lectures.option(30.0, "degrees between the turned valley and the first axis")
    steps: int = lectures.option(500, "steps after which a run is given up")

    @classmethod
    def quick(cls):
        return cls(steps=250)


START = np.array([-1.0, 0.3])  # along and across the valley; the minimum is at 0
NEAR = 0.05  # part of the way that may be left


# %% [markdown]
# The valley is the loss L(θ) = ½ θᵀ H θ. Its curvature is 1 across and 1/steepness along; turning the plane turns H.


# %%
def valley(steepness, degrees):
    """H and the starting point of the valley turned by an angle."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([1 / steepness, 1.0]) @ turn.T, turn @ START


# %% [markdown]
# To try many rates at once, one variable holds a row for each rate, and a "schedule" hands each row its own. The
# updates are elementwise, so the rows do not know of each other.


# %%
@keras.saving.register_keras_serializable(package="tf_kit_lectures")
class EachItsOwn(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate for each row of a variable."""

    def __init__(self, rates):
        self.rates = rates

    def __call__(self, step):
        return keras.ops.convert_to_tensor(np.reshape(self.rates, (-1, 1)))

    def get_config(self):
        return {"rates": [float(each) for each in self.rates]}


def descend(optimizer, hessian, start, rates, steps):
    """The paths from one starting point at several rates, (steps + 1, rates, 2)."""
    w = keras.Variable(np.tile(start, (len(rates), 1)), dtype="float64")
    path = [np.array(w)]
    with np.errstate(all="ignore"):  # too high a rate leaves the numbers
        for _ in range(steps):
            optimizer.apply([keras.ops.convert_to_tensor(path[-1] @ hessian)], [w])
            path.append(np.array(w))
    return np.array(path)


def arrival(path):
    """First step from which a path (steps + 1, 2) stays near the minimum, or None."""
    with np.errstate(over="ignore"):
        far = ~(np.hypot(*path.T) <= NEAR * np.hypot(*path[0]))  # NaN is far
    return None if far[-1] else int(np.flatnonzero(far)[-1]) + 1


def best(paths):
    """Steps, index of the rate, and path of the run that arrived first; a run that never did counts all its steps."""
    arrived = [arrival(paths[:, i]) or len(paths) for i in range(paths.shape[1])]
    i = int(np.argmin(arrived))
    return arrived[i], i, paths[: arrived[i] + 1, i]


def forms_apart(hessian, start, steps=100, rate=0.05, momentum=0.9):
    """Largest distance between the paths of the two forms of momentum, rates ε and ε / (1 − α)."""
    paths = [
        descend(optimizers.Momentum(EachItsOwn([r]), momentum, form), hessian, start, [r], steps)
        for form, r in (("velocity", rate), ("average", rate / (1 - momentum)))
    ]
    return float(np.abs(paths[0] - paths[1]).max())


def run(config):
    results = {"steepness": config.steepness, "angle": config.angle, "limit": config.steps}
    results |= {"steps": {}, "rate": {}, "path": {}}
    for where, degrees in (("along an axis", 0.0), ("turned", config.angle)):
        hessian, start = valley(config.steepness, degrees)
        for name, make in MAKE.items():
            paths = descend(make(EachItsOwn(RATES)), hessian, start, RATES, config.steps)
            steps, i, path = best(paths)
            results["steps"][name, where] = steps
            results["rate"][name, where] = float(RATES[i])
            results["path"][name, where] = path
    results["forms_apart"] = forms_apart(hessian, start)
    return results


# %%
def check(results):
    turned, aligned = (
        {name: results["steps"][name, where] for name in MAKE} for where in ("turned", "along an axis")
    )
    for name in ("SGD", "Momentum", "Nesterov"):
        assert abs(turned[name] - aligned[name]) <= 1, (
            f"turning the valley changed {name}: {aligned[name]}, {turned[name]}"
        )
    for name in ("Momentum", "Nesterov"):
        assert turned[name] < turned["SGD"] / 2, f"{name} {turned[name]} steps, SGD {turned['SGD']}"
    assert turned["AdaGrad"] > 10 * aligned["AdaGrad"], f"AdaGrad {aligned['AdaGrad']}, {turned['AdaGrad']}"
    assert turned["RMSProp"] > aligned["RMSProp"], f"RMSProp {aligned['RMSProp']}, {turned['RMSProp']}"
    fastest = min(turned, key=turned.get)
    assert fastest in WITH_MOMENTUM, f"{fastest} is the fastest"
    assert results["forms_apart"] < 1e-9, f"the two forms of momentum part by {results['forms_apart']:.1g}"
    listed = ", ".join(f"{name} {turned[name]} ({aligned[name]})" for name in sorted(turned, key=turned.get))
    return (
        f"Steps across the valley turned by {results['angle']:g}°, and in brackets along an axis: {listed}. The two "
        f"forms of momentum walk one path, to {results['forms_apart']:.0e}."
    )


# %%
def draw_path(axes, name, path, hessian, x, y):
    """One path over the contours of the valley."""
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    loss = np.einsum("...i,ij,...j->...", plane, hessian, plane) / 2
    levels = loss.max() * np.linspace(0, 1, 11)[1:] ** 3
    axes.contour(x, y, loss, levels=levels, colors="0.72", linewidths=1)
    axes.plot(*path.T, "o-", color=plotting.COLORS[0], linewidth=1.8, markersize=4)
    axes.plot(*path[0], "s", color=plotting.COLORS[1], markersize=11)
    axes.plot(0, 0, "*", color="black", markersize=17)
    axes.set(xlim=x[[0, -1]], ylim=y[[0, -1]], aspect="equal", xticks=[], yticks=[])
    axes.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
    axes.set_title(f"{name}: {len(path) - 1} steps", fontsize=17)


def plot(results):
    hessian, _ = valley(results["steepness"], results["angle"])
    paths = {name: results["path"][name, "turned"] for name in MAKE}
    visited = np.concatenate([*paths.values(), np.zeros((1, 2))])
    low, high = visited.min(axis=0), visited.max(axis=0)
    reach = 0.58 * (high - low).max()
    x, y = (np.linspace(middle - reach, middle + reach, 201) for middle in (low + high) / 2)
    with plt.rc_context({**plotting.STYLE, "axes.grid": False, "font.size": 15}):
        figure = plt.figure(figsize=(17.2, 8), layout="constrained")
        above, below = figure.subfigures(2, 1)
        left, right = below.subfigures(1, 2, width_ratios=(3, 1))
        places = [*above.subplots(1, 4), *left.subplots(1, 3)]
        for axes, (name, path) in zip(places, paths.items(), strict=True):
            draw_path(axes, name, path, hessian, x, y)
        axes = right.subplots()
        for i, where in enumerate(("turned", "along an axis")):
            steps = [results["steps"][name, where] for name in MAKE]
            rows = np.arange(len(steps)) + 0.4 * i - 0.2
            label = f"turned by {results['angle']:g}°" if where == "turned" else where
            look = {"color": plotting.COLORS[i], "hatch": ("", "//")[i], "edgecolor": "white"}
            axes.barh(rows, steps, 0.4, label=label, **look)
            for row, count in zip(rows, steps, strict=True):
                axes.annotate(
                    f"{count}", (count, row), (3, 0), textcoords="offset points", va="center", size=12
                )
        axes.set_yticks(range(len(MAKE)), [name.replace(" + ", " +\n") for name in MAKE], fontsize=13)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_title("steps to the minimum", fontsize=17)
        right.legend(fontsize=13, loc="outside lower center", ncols=2)
    return figure


# %%
if __name__ == "__main__":
    lectures.main(globals())
