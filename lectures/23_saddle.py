# %%
"""Is gradient descent stuck at a saddle point, and what does momentum do there?

The cost J(θ) = ½ θ₁² − ½ θ₂² + ¼ θ₂⁴ has a saddle at 0, where its gradient is zero, and minima at θ₂ = ±1. Descent
starts on the ridge θ₂ = 0, on which the gradient points straight to the saddle, or next to it.

Claim: exactly on the ridge every optimizer ends at the saddle. Next to it none does: SGD leaves, but the closer to the
ridge it starts, the longer it stays, one more equal stretch of steps for each tenth of the distance. At the same rate
ε, momentum v ← αv − εg takes less than half as many steps. This is due to its larger steps, which in a constant
gradient sum to ε/(1 − α): SGD with that rate leaves sooner still, and the averaged form v ← λv − (1 − λ)g, whose steps
sum to those of SGD, takes longer than SGD. In a narrow valley SGD could not take such steps. Optimizers that scale
the step by past gradients hardly notice the distance. Noise in the gradient, as minibatches have it, frees SGD from
the ridge itself.

Slide: "Optimization": gets stuck in local minima or saddle points.
Reference: Dauphin, Pascanu, Gulcehre, Cho, Ganguli, Bengio 2014, "Identifying and attacking the saddle point problem in
high-dimensional non-convex optimization", arXiv:1406.2572.
"""

import dataclasses

import keras
import matplotlib.pyplot as plt
import numpy as np

from tf_kit import lectures, optimizers, plotting
from tf_kit.lectures.words import enumerated

TITLE = "A saddle point"
SECONDS = 5


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = lectures.option(0.05, "Learning rate; one run of SGD has ten times as much.", above=0)
    noise: float = lectures.option(
        0.01, "Standard deviation of the gradient's noise in the noisy run.", above=0
    )
    steps: int = lectures.option(600, "Steps after which a run is given up.", at_least=1)
    seed: int = lectures.option(0, "Seed of the noise.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(steps=400)


DISTANCES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
MAKE = {  # α = λ = 0.9
    "SGD": optimizers.SGD,
    "SGD at tenfold rate": lambda rate: optimizers.SGD(10 * rate),
    "Momentum": optimizers.Momentum,
    "averaged Momentum": lambda rate: optimizers.Momentum(rate, form="average"),
    "Nesterov": optimizers.Nesterov,
    "RMSProp": optimizers.RMSProp,
    "Adam": optimizers.Adam,
}


# %% [markdown]
# Near the saddle θ₂ grows by the factor 1 + η per step of SGD, so a start at the distance d leaves after about
# ln(1/d)/η steps. One variable holds a row for each start; the updates are elementwise, so the rows do not mix.


# %%
def cost(theta):
    return theta[..., 0] ** 2 / 2 - theta[..., 1] ** 2 / 2 + theta[..., 1] ** 4 / 4


def gradient(theta):
    return np.stack([theta[..., 0], -theta[..., 1] + theta[..., 1] ** 3], axis=-1)


def descend(optimizer, steps, noise=0.0, seed=0):
    """Return the paths (steps + 1, starts, 2) from θ₁ = 1 and each distance from the ridge."""
    rng = np.random.default_rng(seed)
    start = np.stack([np.ones(len(DISTANCES)), DISTANCES], axis=-1)
    w, path = keras.Variable(start, dtype="float64"), [start]
    with np.errstate(all="ignore"):  # a rate that is too high overflows
        for _ in range(steps):
            g = gradient(path[-1]) + noise * rng.normal(size=start.shape)
            optimizer.apply([keras.ops.convert_to_tensor(g)], [w])
            path.append(np.array(w.numpy()))
    return np.array(path)


def leaving(path):
    """Steps until each start is below the halfway cost of −1/8, or NaN if it never is."""
    with np.errstate(all="ignore"):
        below = cost(path) < -0.125
    return np.where(below.any(axis=0), below.argmax(axis=0), np.nan)


def run(config):
    paths = {name: descend(make(config.rate), config.steps) for name, make in MAKE.items()}
    paths["SGD with noise"] = descend(optimizers.SGD(config.rate), config.steps, config.noise, config.seed)
    return {
        "distances": np.array(DISTANCES),
        "left": {name: leaving(path) for name, path in paths.items()},
        "paths": {name: path[:, [0, 4]] for name, path in paths.items()},
    }


# %%
def check(results):
    left = results["left"]
    for name in MAKE:
        assert np.isnan(left[name][0]), f"{name} left the ridge after {left[name][0]:g} steps"
        assert np.all(np.isfinite(left[name][2:])), f"{name} stays next to the ridge"
    longer = -np.diff(left["SGD"][2:])
    assert longer.min() > 0.8 * longer.max(), f"the steps of SGD grow by {enumerated(longer)}"
    near = {name: left[name][2] for name in MAKE}  # started at 1e-5
    assert near["Momentum"] < near["SGD"] / 2, f"steps: {enumerated(near)}"
    assert near["SGD at tenfold rate"] < near["Momentum"], f"steps: {enumerated(near)}"
    assert near["averaged Momentum"] > near["SGD"], f"steps: {enumerated(near)}"
    assert near["Adam"] < near["SGD"] / 2, f"steps: {enumerated(near)}"
    for name in ("RMSProp", "Adam"):
        assert left[name][2] < 1.5 * left[name][4] + 5, (
            f"{name} notices the distance: {enumerated(left[name][2:])} steps"
        )
    assert np.isfinite(left["SGD with noise"][0]), "noise did not free SGD"
    listed = ", ".join(f"{name} {near[name]:.0f}" for name in MAKE)
    return (
        f"On the ridge no optimizer leaves the saddle; noise frees SGD from it after {left['SGD with noise'][0]:.0f} "
        f"steps. From 0.00001 next to the ridge they need, in steps: {listed}. For each tenth of the distance SGD "
        f"needs {longer.mean():.0f} more steps and Adam {-np.diff(left['Adam'][2:]).mean():.0f}."
    )


# %%
def plot(results):
    x, y = np.linspace(-0.4, 1.1, 121), np.linspace(-0.35, 1.25, 121)
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    with plt.rc_context({**plotting.STYLE, "font.size": 15}):
        figure, (left, right) = plt.subplots(1, 2, figsize=(12.4, 5.8), layout="constrained")
        left.contour(x, y, cost(plane), levels=24, colors="0.75", linewidths=1)
        for i, (name, path) in enumerate(results["paths"].items()):
            if name in ("SGD", "Momentum"):
                for k, dashes in ((0, ":"), (1, "-")):
                    left.plot(
                        *path[:, k].T,
                        dashes,
                        color=plotting.COLORS[i],
                        label=f"{name}, {'on the ridge' if k == 0 else 'next to it'}",
                    )
        left.plot(0, 0, "X", color="black", markersize=12)
        left.annotate("saddle", (0, 0), (-8, -24), textcoords="offset points", ha="center")
        left.plot(0, 1, "*", color="black", markersize=18)
        left.annotate("minimum", (0, 1), (12, 6), textcoords="offset points")
        left.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$", title="paths over the contours of the cost")
        left.grid(visible=False)
        left.legend(fontsize=12, loc="center right")
        distances = results["distances"][1:]
        for i, (name, steps) in enumerate(results["left"].items()):
            color, marker = (of[i % len(of)] for of in (plotting.COLORS, plotting.MARKERS))
            look = {"color": color, "marker": marker, "markersize": 8}
            right.plot(distances, steps[1:], label=name, linestyle="--" if i % 2 else "-", **look)
        right.set(xscale="log", xlabel="distance from the ridge at the start", ylabel="steps until it leaves")
        steps = np.array([each[1:] for each in results["left"].values()])
        most = np.max(steps, initial=1, where=np.isfinite(steps))  # nan where a path has not left
        right.set(ylim=(0, 1.45 * most), title="steps at the saddle")
        right.legend(fontsize=12, ncols=2, loc="upper right")
    return figure


# %%
if __name__ == "__main__":
    lectures.main(globals())
