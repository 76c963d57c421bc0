# %%
"""How do centering, scaling and whitening change the condition number and the number of training steps?

Linear units learn the ten digits by full-batch gradient descent on squared error. The cost is then a bowl, and the
eigenvalues of its Hessian give its shape; the Hessian holds the second moments of the inputs, with a 1 for the bias.
The step size is 1/λ_max, which suits the steepest direction; a direction with eigenvalue λ then needs about λ_max/λ
steps. The pixels are used as they are, centered, standardized, whitened, and whitened as the slide prints it: divided
by the eigenvalue instead of its square root.

Claim: whitening brings the condition number to 1, and one step is enough; the raw pixels need more than a hundred times
as many. The slide calls scaling not strictly necessary for images, whose pixels share one range; it still saves more
than half of the steps that centered pixels need, since pixels at the rim vary little. The printed form makes the widest
direction the narrowest and leaves the condition number as it was.

Slide: "Data Pre-processing".
Reference: LeCun, Bottou, Orr, Müller 1998, "Efficient BackProp", sections 4.3 and 5.3, DOI 10.1007/3-540-49430-8_2.
"""

import dataclasses

import numpy as np

from tf_kit import design, lectures, plotting
from tf_kit.lectures.words import enumerated

TITLE = "Preprocessing and the condition number"
SECONDS = 2


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(1197, "Largest number of training examples.", at_least=2)
    excess: float = lectures.option(1.0, "Percent of the initial excess cost at which descent ends.", above=0)
    steps: int = lectures.option(20_000, "Steps after which descent is given up.", at_least=1)
    seed: int = lectures.option(0, "Seed of the split.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(steps=3000)


# %% [markdown]
# The layers of the kit preprocess the inputs: `adapt` computes the statistics, and a call transforms.


# %%
def versions(x):
    """Return the inputs (n, d) after each kind of preprocessing."""
    flat = x.reshape(len(x), -1).astype("float64")
    varies = flat[:, flat.std(axis=0) > 0]  # a pixel that never changes carries no information
    standardize = design.Standardize(dtype="float64").adapt(varies)
    pca = design.PCAWhitening(dtype="float64").adapt(varies)
    whitened = np.array(pca(varies))
    stddev = pca.stddev.numpy()
    return {
        "pixels": varies,
        "centered": varies - varies.mean(axis=0),
        "standardized": np.array(standardize(varies)),
        "whitened": whitened,
        "as printed": whitened / stddev,  # Uᵀ(x − μ)/λ, where whitening has /√λ
    }


# %% [markdown]
# With squared error the gradient is linear in the weights, H w − c, so H and c are computed once and the descent
# needs no more passes over the data.


# %%
def bowl(x, y):
    """Return H and c of J = 1/2n ‖[x 1] w − y‖² = ½ wᵀHw − cᵀw + constant, and the eigenvalues of H."""
    inputs = np.column_stack([x, np.ones(len(x))])
    H, c = inputs.T @ inputs / len(x), inputs.T @ y / len(x)
    eigenvalues = np.linalg.eigvalsh(H)[::-1]
    return H, c, eigenvalues[eigenvalues > 1e-10 * eigenvalues[0]]


def descend(H, c, rate, excess, steps):
    """Return the excess cost after each step of gradient descent from 0, as a share of the initial one."""
    best = np.linalg.lstsq(H, c, rcond=1e-10)[0]
    w, shares = np.zeros_like(c), []
    first = np.sum(best * (H @ best))
    for _ in range(steps):
        w = w - rate * (H @ w - c)
        shares.append(np.sum((w - best) * (H @ (w - best))) / first)
        if shares[-1] <= excess / 100:
            break
    return np.array(shares)


def run(config):
    train, _, _ = lectures.load_data(config.data, seed=config.seed, examples=config.examples)
    y = np.eye(train.num_classes)[train.y]
    results = {"excess": config.excess, "limit": config.steps}
    results |= {"eigenvalues": {}, "condition": {}, "shares": {}, "of_inputs": {}}
    for name, x in versions(train.x).items():
        H, c, eigenvalues = bowl(x, y)
        results["eigenvalues"][name] = eigenvalues
        results["condition"][name] = eigenvalues[0] / eigenvalues[-1]
        results["of_inputs"][name] = design.condition_number(x)
        results["shares"][name] = descend(H, c, 1 / eigenvalues[0], config.excess, config.steps)
    return results


# %%
def check(results):
    condition, shares = results["condition"], results["shares"]
    steps = {name: len(each) for name, each in shares.items()}
    centered, printed = (results["of_inputs"][name] for name in ("centered", "as printed"))
    assert condition["whitened"] < 1.01, f"whitened, the condition number is {condition['whitened']:.3g}"
    assert 0.8 < printed / centered < 1.25, (
        f"the printed form changed it from {centered:.3g} to {printed:.3g}"
    )
    assert steps["whitened"] == 1, f"whitened, descent took {steps['whitened']} steps"
    order = ["whitened", "standardized", "centered", "pixels"]
    assert sorted(steps, key=steps.get)[:4] == order, f"steps: {enumerated(steps, ',')}"
    assert steps["pixels"] > 100, f"the pixels took only {steps['pixels']} steps"
    assert steps["standardized"] < steps["centered"] / 2, f"steps: {enumerated(steps, ',')}"
    assert steps["as printed"] > steps["pixels"], f"the printed form took {steps['as printed']} steps"
    bill = ", ".join(f"{name} {steps[name]:,} (κ = {condition[name]:.2g})" for name in reversed(order))
    more = "more than " if shares["as printed"][-1] > results["excess"] / 100 else ""
    return (
        f"Steps to {results['excess']:g} % of the excess cost: {bill}. The printed form, divided by the eigenvalue, "
        f"needs {more}{steps['as printed']:,} steps, since the condition number of the inputs stays {printed:.2g}."
    )


# %% [markdown]
# The steps are far fewer than κ because little is left to learn in the flat directions: they belong to pixels at the
# rim that are rarely inked. To remove the last percent would take the remaining steps.


# %%
def plot(results):
    spectra = {name: (np.arange(1, len(each) + 1), each) for name, each in results["eigenvalues"].items()}
    descents = {name: (np.arange(1, len(each) + 1), 100 * each) for name, each in results["shares"].items()}
    return plotting.graphs(
        [
            {
                "series": spectra,
                "title": "the bowl",
                "y_label": "eigenvalue of the Hessian",
                "x_label": "direction",
                "log": "y",
            },
            {
                "series": descents,
                "title": "the descent",
                "y_label": "excess cost, %",
                "x_label": "step",
                "log": "xy",
                "y_limits": (1e-5, 300),
                "level": (results["excess"], f"{results['excess']:g} %"),
                "note": (0.08, 0.16, "whitened: one step"),
            },
        ],
        width=6.2,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
