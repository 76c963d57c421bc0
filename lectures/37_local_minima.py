# %%
"""Does gradient descent get stuck in local minima, and do more units help?

A network learns another one: the target is a sum of k rectified units with orthogonal weights, so k units are enough
to compute it without error. All examples are drawn from a normal distribution, and the expected squared error has a
closed form, so that neither data nor noise blur what happens. The network starts from random weights many times, with
k units, one more and two more. A run is stuck if its error stays above zero; it is in a minimum, and not on a saddle,
if the gradient has vanished and the curvature is negative in no direction.

Claim: with five units no run gets stuck; with exactly fifteen, most do, all of them in minima. One unit more than
needed frees most runs and two more free all.

Slide: "Optimization": SGD "gets stuck in local minima or saddle points".
Reference: Safran, Shamir 2018, "Spurious local minima are common in two-layer ReLU neural networks",
arXiv:1712.08968, for the experiment; Cho, Saul 2009, "Kernel methods for deep learning", equation 6, for the
expectation.
"""

import dataclasses

import numpy as np

from tf_kit import lectures, plotting

TITLE = "Local minima"
SECONDS = 25


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    starts: int = lectures.option(40, "Random starts for each size.", at_least=1)
    steps: int = lectures.option(6000, "Steps of gradient descent with momentum.", at_least=1)
    rate: float = lectures.option(0.06, "Learning rate.", above=0)
    seed: int = lectures.option(0, "Seed of the random starts.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(starts=10, steps=3000)


NEEDED = (5, 10, 15)  # k
MORE = {"as many as needed": 0, "one more": 1, "two more": 2}
SOLVED = 1e-3  # error of a run that is not stuck


# %% [markdown]
# For x ~ N(0, I) and the angle θ between w and v, E[max(w·x, 0) max(v·x, 0)] = ‖w‖ ‖v‖ (sin θ + (π − θ) cos θ) / 2π.
# The error is a sum of such terms over pairs of units.


# %%
def angles(w, v):
    """Return the norms of w (runs, n, k) and v (runs, m, k), and cos θ, sin θ and θ of each pair, (runs, n, m)."""
    lengths = [np.linalg.norm(each, axis=-1) for each in (w, v)]
    product = lengths[0][:, :, None] * lengths[1][:, None]
    cos = np.clip(np.einsum("rik,rjk->rij", w, v) / product, -1, 1)
    return (*lengths, cos, np.sqrt(1 - cos**2), np.arccos(cos))


def expectation(w, v):
    """Sum over all pairs of E[max(w·x, 0) max(v·x, 0)], (runs,)."""
    w_norm, v_norm, cos, sin, theta = angles(w, v)
    pairs = w_norm[:, :, None] * v_norm[:, None] * (sin + (np.pi - theta) * cos) / (2 * np.pi)
    return pairs.sum(axis=(1, 2))


def slope(w, v):
    """Derivative of `expectation` by w with v fixed: Σ_j (‖v_j‖ sin θ_ij w_i / ‖w_i‖ + (π − θ_ij) v_j) / 2π."""
    w_norm, v_norm, _, sin, theta = angles(w, v)
    along = np.einsum("rij,rj->ri", sin, v_norm)[..., None] * w / w_norm[..., None]
    return (along + np.einsum("rij,rjk->rik", np.pi - theta, v)) / (2 * np.pi)


def error(w, v):
    """½ E[(Σ_i max(w_i·x, 0) − Σ_j max(v_j·x, 0))²], (runs,)."""
    return expectation(w, w) / 2 - expectation(w, v) + expectation(v, v) / 2


def gradient(w, v):
    return slope(w, w) - slope(w, v)


def least_curvature(w, v, step=1e-4):
    """Smallest eigenvalue of the Hessian of the error at one w (n, k), by central differences of the gradient."""
    if not np.isfinite(w).all():
        return -np.inf
    directions = step * np.eye(w.size).reshape(-1, *w.shape)
    v = np.broadcast_to(v, (w.size, *v.shape))
    hessian = (gradient(w + directions, v) - gradient(w - directions, v)) / (2 * step)
    hessian = hessian.reshape(w.size, w.size)
    return np.linalg.eigvalsh((hessian + hessian.T) / 2)[0]


# %%
def descend(units, needed, config, rng):
    """Train from all random starts at once; return the weights (starts, units, needed)."""
    target = np.broadcast_to(np.eye(needed), (config.starts, needed, needed))
    w = rng.normal(size=(config.starts, units, needed)) / np.sqrt(needed)
    velocity = np.zeros_like(w)
    with np.errstate(all="ignore"):  # where a run diverges
        for _ in range(config.steps):
            velocity = 0.9 * velocity - config.rate * gradient(w, target)
            w += velocity
    return w


def run(config):
    results = {"errors": {}, "gradient": 0.0, "curvature": []}
    for name, more in MORE.items():
        results["errors"][name] = []
        for needed in NEEDED:
            w = descend(needed + more, needed, config, np.random.default_rng([config.seed, needed, more]))
            target = np.eye(needed)
            each = np.broadcast_to(target, (config.starts, *target.shape))
            errors = error(w, each)
            stuck = ~(errors <= SOLVED)  # also a run that diverges
            results["errors"][name].append(np.sort(errors))
            if more == 0:
                slopes = np.abs(gradient(w, each)).max(axis=(1, 2))
                results["gradient"] = max(results["gradient"], slopes[stuck].max(initial=0))
                results["curvature"] += [least_curvature(one, target) for one in w[stuck]]
    return results


# %%
def check(results):
    stuck = {
        name: [100 * np.mean(~(errors <= SOLVED)) for errors in rows]
        for name, rows in results["errors"].items()
    }
    exact, one, two = stuck.values()
    assert exact[0] == 0, f"{exact[0]:.0f} % of the runs with {NEEDED[0]} units are stuck"
    assert exact[-1] > 50, f"{exact[-1]:.0f} % of the runs with {NEEDED[-1]} units are stuck"
    assert results["gradient"] < 1e-4, (
        f"a stuck run has not arrived: its gradient is {results['gradient']:.1g}"
    )
    least = min(results["curvature"])
    assert least > -1e-3, f"a stuck run is on a saddle: the curvature falls to {least:.2g}"
    assert one[-1] < exact[-1] / 2, f"with one more unit {one[-1]:.0f} % are stuck"
    assert two[-1] == 0, f"with two more units {two[-1]:.0f} % are stuck"
    listed = ", ".join(f"{share:.0f} % with {needed}" for needed, share in zip(NEEDED, exact, strict=True))
    return (
        f"With as many units as needed, runs get stuck: {listed} units. All {len(results['curvature'])} are in "
        f"minima: their gradients are 0 and no direction has a negative curvature. With {NEEDED[-1] + 1} units instead "
        f"of {NEEDED[-1]}, {one[-1]:.0f} % get stuck, with {NEEDED[-1] + 2} none."
    )


# %%
def plot(results):
    shares = {
        name: (NEEDED, [100 * np.mean(~(errors <= SOLVED)) for errors in rows])
        for name, rows in results["errors"].items()
    }
    last = {name: rows[-1] for name, rows in results["errors"].items()}
    runs = {name: (np.arange(1, len(each) + 1), each) for name, each in last.items()}
    return plotting.graphs(
        [
            {
                "series": shares,
                "title": "stuck runs",
                "x_label": "units needed",
                "y_label": "runs with an error above 0, %",
                "x_ticks": NEEDED,
                "y_limits": (-3, 105),
            },
            {
                "series": runs,
                "title": f"where {NEEDED[-1]} units are needed",
                "x_label": "runs by their error",
                "y_label": "error at the end",
                "y_limits": (-0.002, None),
            },
        ],
        width=6,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
