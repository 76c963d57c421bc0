# %%
"""Which update crosses a narrow valley in the fewest steps?

The valley is a hundred times as steep across as along, and the gradients are exact. Every optimizer starts from the
same place, each with its best of forty-six learning rates. The demo counts the steps until at most 5 % of the way to
the minimum is left, for good. The same valley is crossed twice: along one parameter's axis, and turned by 30°. At the
end, noise is added to the gradients at the minimum of the turned valley, to see how close to it SGD and momentum stay.

Claim: SGD bounces from wall to wall, then creeps along the floor; momentum needs less than half as many steps. For
both, the direction of the valley does not matter. AdaGrad and RMSProp scale each parameter separately. Along an axis
this makes the valley round, and AdaGrad crosses it in a few steps; in the turned valley it needs more than ten times as
many. The fastest optimizer there is one of those with momentum. AdaGrad's learning rates only fall, while RMSProp's
rise again on the floor of the turned valley, so that it arrives before AdaGrad. In noisy gradients momentum takes
steadier steps than SGD, since its velocity is an average: at the same rate, in the averaged form, they are less than a
third as large. But it stays hardly closer to the minimum, since the velocity repeats the noise of each gradient.

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
    steepness: float = lectures.option(
        100.0, "Curvature across the valley divided by curvature along it.", above=1
    )
    angle: float = lectures.option(
        30.0, "Degrees between the turned valley and the first axis.", at_least=-180, at_most=180
    )
    steps: int = lectures.option(500, "Steps after which a run is given up.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(steps=250)


START = np.array([-1.0, 0.3])  # along and across the valley; the minimum is at 0
NEAR = 0.05  # share of the way that may be left on arrival


# %% [markdown]
# The valley is the loss L(θ) = ½ θᵀ H θ. Its curvature is 1 across and 1/steepness along; turning the plane turns H.


# %%
def valley(steepness, degrees):
    """Return H and the starting point of the valley turned by an angle."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([1 / steepness, 1.0]) @ turn.T, turn @ START


# %% [markdown]
# To try many rates at once, one variable holds a row for each rate, and a "schedule" gives each row its rate. The
# updates are elementwise, so the rows do not affect each other.


# %%
@keras.saving.register_keras_serializable(package="tf_kit_lectures")
class RatePerRow(keras.optimizers.schedules.LearningRateSchedule):
    """A constant learning rate for each row of a variable."""

    def __init__(self, rates):
        self.rates = rates

    def __call__(self, step):
        return keras.ops.convert_to_tensor(np.reshape(self.rates, (-1, 1)))

    def get_config(self):
        return {"rates": [float(each) for each in self.rates]}


def descend(optimizer, hessian, start, rates, steps):
    """Return the paths from one starting point at several rates, (steps + 1, rates, 2)."""
    w = keras.Variable(np.tile(start, (len(rates), 1)), dtype="float64")
    path = [np.array(w.numpy())]
    with np.errstate(all="ignore"):  # a rate that is too high overflows
        for _ in range(steps):
            optimizer.apply([keras.ops.convert_to_tensor(path[-1] @ hessian)], [w])
            path.append(np.array(w.numpy()))
    return np.array(path)


def arrival(path):
    """First step from which a path (steps + 1, 2) stays near the minimum, or None."""
    with np.errstate(over="ignore"):
        far = ~(np.hypot(*path.T) <= NEAR * np.hypot(*path[0]))  # NaN is far
    return None if far[-1] else int(np.flatnonzero(far)[-1]) + 1


def best(paths):
    """Return steps, rate index and path of the run that arrives first; one that never does counts one step more."""
    arrived = [arrival(paths[:, i]) or len(paths) for i in range(paths.shape[1])]
    i = int(np.argmin(arrived))
    return arrived[i], i, paths[: arrived[i] + 1, i]


def named(steps, limit):
    """Return a number of steps in words."""
    return f"more than {limit}" if steps > limit else f"{steps}"


def forms_apart(hessian, start, steps=100, rate=0.05, momentum=0.9):
    """Largest distance between the paths of the two forms of momentum, at rates ε and ε / (1 − α)."""
    paths = [
        descend(optimizers.Momentum(RatePerRow([r]), momentum, form), hessian, start, [r], steps)
        for form, r in (("velocity", rate), ("average", rate / (1 - momentum)))
    ]
    return float(np.abs(paths[0] - paths[1]).max())


def own_rates(path, hessian):
    """Learning rate of each parameter, ε/(δ + √r), at each step of a path, divided by that of the first step."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = -np.diff(path, axis=0) / (path @ hessian)[:-1]
        return rates / rates[0]


# %% [markdown]
# With noise in the gradients no constant rate arrives. One run per row starts in the minimum; after half of the
# steps, its cost and its steps fluctuate around fixed sizes. The averaged form of momentum has the rate of SGD, since
# its steps sum to those of SGD.


# %%
def settled(optimizer, hessian, steps, runs=1000, seed=0):
    """Return the mean cost, and the root mean square of the steps, with noise of variance 1 in the gradients."""
    rng, w = np.random.default_rng(seed), keras.Variable(np.zeros((runs, 2)), dtype="float64")
    theta, costs, squares = np.zeros((runs, 2)), [], []
    for _ in range(steps):
        g = theta @ hessian + rng.normal(size=theta.shape)
        optimizer.apply([keras.ops.convert_to_tensor(g)], [w])
        before, theta = theta, np.array(w.numpy())
        costs.append(np.mean(np.sum(theta * (theta @ hessian), axis=1)) / 2)
        squares.append(np.mean((theta - before) ** 2))
    half = steps // 2
    return {"cost": float(np.mean(costs[half:])), "step": float(np.sqrt(np.mean(squares[half:])))}


def run(config):
    results = {"steepness": config.steepness, "angle": config.angle, "limit": config.steps}
    results |= {"steps": {}, "rate": {}, "path": {}}
    for where, degrees in (("along an axis", 0.0), ("turned", config.angle)):
        hessian, start = valley(config.steepness, degrees)
        for name, make in MAKE.items():
            paths = descend(make(RatePerRow(RATES)), hessian, start, RATES, config.steps)
            steps, i, path = best(paths)
            results["steps"][name, where] = steps
            results["rate"][name, where] = float(RATES[i])
            results["path"][name, where] = path
    results["forms_apart"] = forms_apart(hessian, start)
    results["own_rates"] = {
        name: own_rates(results["path"][name, "turned"], hessian) for name in ("AdaGrad", "RMSProp")
    }
    noisy = {"SGD": optimizers.SGD(0.5), "averaged Momentum": optimizers.Momentum(0.5, form="average")}
    results["noisy"] = {name: settled(each, hessian, config.steps) for name, each in noisy.items()}
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
    assert turned["RMSProp"] < turned["AdaGrad"], f"RMSProp {turned['RMSProp']}, AdaGrad {turned['AdaGrad']}"
    falling, rising = results["own_rates"].values()
    assert np.all(np.diff(falling, axis=0) < 1e-9), "a rate of AdaGrad rises"
    lowest, highest = falling[-1].min(), rising.max(axis=0).min()
    assert highest > 2, f"the rates of RMSProp rise only {highest:.1f}-fold"
    fastest = min(turned, key=turned.get)
    assert fastest in WITH_MOMENTUM, f"{fastest} is the fastest"
    assert results["forms_apart"] < 1e-9, f"the two forms of momentum differ by {results['forms_apart']:.1g}"
    plain, averaged = results["noisy"].values()
    step, cost = averaged["step"] / plain["step"], averaged["cost"] / plain["cost"]
    assert step < 1 / 3, f"in noise the steps of momentum are {step:.2f} times as large as those of SGD"
    assert 0.7 < cost < 1, f"in noise the cost of momentum settles at {cost:.2f} times that of SGD"
    words = {name: [named(steps[name], results["limit"]) for steps in (turned, aligned)] for name in MAKE}
    listed = ", ".join("{} {} ({})".format(name, *words[name]) for name in sorted(turned, key=turned.get))
    return (
        f"Steps through the valley turned by {results['angle']:g}°, in brackets along an axis: {listed}. The paths of "
        f"the two forms of momentum agree within {results['forms_apart']:.0e}. AdaGrad's rates fall to {lowest:.0%} of "
        f"the first ones, RMSProp's rise {highest:.0f}-fold. In noise, averaged momentum's steps are {step:.2f} times "
        f"as large as SGD's at the same rate, and the cost settles at {cost:.2f} times SGD's."
    )


# %%
def draw_path(axes, name, path, hessian, x, y):
    """Draw one path over the contours of the valley."""
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
                text = named(count, results["limit"]).replace("more than ", ">")
                axes.annotate(text, (count, row), (3, 0), textcoords="offset points", va="center", size=12)
        axes.set_yticks(range(len(MAKE)), [name.replace(" + ", " +\n") for name in MAKE], fontsize=13)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set(xlabel="steps to the minimum", ylabel="optimizer")
        right.legend(fontsize=13, loc="outside lower center", ncols=2)
    return figure


# %% [markdown]
# Things that move: `tf-kit lecture 06 --sliders` and `--animate`.


# %%
SHOWN_RATES = np.array([0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 1.9, 2.1])
STEEPNESS = (2, 10, 50, 200)


def sliders(config):
    """Paths of SGD and momentum by learning rate and steepness of the valley, 60 steps each."""
    paths = {}
    for steepness in STEEPNESS:
        hessian, start = valley(steepness, config.angle)
        for name in ("SGD", "Momentum"):
            made = MAKE[name](RatePerRow(SHOWN_RATES))
            paths[name, steepness] = descend(made, hessian, start, SHOWN_RATES, 60)

    def draw(rate, place):
        steepness = STEEPNESS[place]
        side = np.linspace(-1.6, 1.6, 121)
        with plt.rc_context({**plotting.STYLE, "axes.grid": False}):
            figure, row = plt.subplots(1, 2, figsize=(9, 4.7), layout="constrained")
            for axes, name in zip(row, ("SGD", "Momentum"), strict=True):
                path = np.clip(np.nan_to_num(paths[name, steepness][:, rate], nan=1e3), -1e3, 1e3)
                draw_path(axes, name, path, valley(steepness, config.angle)[0], side, side)
                left = np.hypot(*path[-1]) / np.hypot(*path[0])
                words = f"{left:.0%} of the way left after 60 steps" if left <= 1 else "diverges"
                axes.set_title(f"{name}: {words}", fontsize=12)
        return figure

    names = [f"{rate:g}" for rate in SHOWN_RATES]
    return lectures.States(
        {"learning rate": names, "steepness": [str(each) for each in STEEPNESS]}, draw, (3, 1)
    )


def animation(config):
    """All optimizers at their best rates in the turned valley, 50 pictures of up to 100 steps."""
    results = run(dataclasses.replace(config, steps=min(config.steps, 250)))
    hessian, _ = valley(config.steepness, config.angle)
    steps = [*range(0, 40), *range(40, 101, 6)]
    side = np.linspace(-1.4, 0.6, 121)

    def draw(place):
        with plt.rc_context({**plotting.STYLE, "axes.grid": False}):
            figure, axes = plt.subplots(figsize=(7.4, 6), layout="constrained")
            plane = np.stack(np.meshgrid(side, side), axis=-1)
            loss = np.einsum("...i,ij,...j->...", plane, hessian, plane) / 2
            axes.contour(side, side, loss, levels=loss.max() * np.linspace(0, 1, 9)[1:] ** 3, colors="0.75")
            for i, name in enumerate(MAKE):
                path = results["path"][name, "turned"][: steps[place] + 1]
                color, marker = plotting.COLORS[i], plotting.MARKERS[i]
                axes.plot(*path.T, color=color, alpha=0.6, linewidth=1.5)
                axes.plot(*path[-1], marker, color=color, markersize=10, label=name)
            axes.plot(0, 0, "*", color="black", markersize=16)
            axes.set(
                xlim=(-1.2, 0.4),
                ylim=(-0.95, 0.45),
                xlabel=r"$\theta_1$",
                ylabel=r"$\theta_2$",
                aspect="equal",
            )
            axes.set_title(f"step {steps[place]}")
            axes.legend(loc="lower right", fontsize=11)
        return figure

    return lectures.States({"step": [str(step) for step in steps]}, draw)


# %%
if __name__ == "__main__":
    lectures.main(globals())
