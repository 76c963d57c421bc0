# %%
"""How much of the gradient reaches the first layer, by depth, activation and initialization?

Deep untrained networks of equal layers read one batch of digits; δ, the gradient by what a layer computes, is
measured in every layer. On its way back it is multiplied by Wᵀ and f'(z) again and again, so its size changes by
about the same factor from layer to layer: a straight line on a logarithmic axis. The gradient by the weights would
hide this: with small weights it is a small δ times an α that is larger towards the input, the same in all layers.

Claim: at every layer of a sigmoid network δ loses more than half of its size, from every initialization. Tanh and
ReLU networks keep at least four fifths of it from the initialization made for them, Glorot's and He's, and lose a
third or more from the old uniform one.

Slide: "Why are deep nets hard to train?", "Gradient is progressively getting more dilute".
Reference: Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
figure 7; He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers".
"""

import dataclasses

import numpy as np

from tf_kit import data, lectures, networks, plotting

TITLE = "Gradient flow through depth"
SECONDS = 5

ACTIVATIONS = ("sigmoid", "tanh", "relu")
INITIALIZATIONS = ("uniform", "glorot", "he", "orthogonal")


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "data set: digits, mnist, or any image set")
    examples: int = lectures.option(200, "examples in the batch")
    depth: int = lectures.option(15, "hidden layers")
    units: int = lectures.option(100, "units in each hidden layer")
    seeds: int = lectures.option(3, "networks of each kind")

    @classmethod
    def quick(cls):
        return cls(depth=8, seeds=1, units=60, examples=100)


# %%
def run(config):
    train, _, _ = data.load(config.data, seed=0)
    x, y = train.x[: config.examples], train.y[: config.examples]
    norms = {}
    for activation in ACTIVATIONS:
        for initialization in INITIALIZATIONS:
            by_seed = [
                list(
                    networks.gradient_norm_by_depth(
                        x,
                        y,
                        networks.SoftmaxCrossEntropy(),
                        config.depth,
                        config.units,
                        activation,
                        initialization,
                        seed=seed,
                    ).values()
                )[:-1]  # hidden layers only
                for seed in range(config.seeds)
            ]
            typical = np.exp(np.mean(np.log(by_seed), axis=0))  # a mean of factors
            norms[activation, initialization] = typical / typical[-1]
    return {"norms": norms}


# %% [markdown]
# The factor per layer: what is left of δ at the first hidden layer, spread evenly over the layers between.


# %%
def per_layer(norms):
    return float(norms[0] ** (1 / (len(norms) - 1)))


def check(results):
    factor = {kind: per_layer(norms) for kind, norms in results["norms"].items()}
    sigmoid = max(factor["sigmoid", each] for each in INITIALIZATIONS)
    assert sigmoid < 0.5, f"a sigmoid layer passes {sigmoid:.2f} of δ"
    for kind in (("tanh", "glorot"), ("relu", "he")):
        assert 0.8 < factor[kind] < 1.25, f"{kind[0]} from {kind[1]} passes {factor[kind]:.2f} of δ"
    for activation in ("tanh", "relu"):
        old = factor[activation, "uniform"]
        assert old < 0.7, f"{activation} from uniform weights passes {old:.2f} of δ"
    depth = len(results["norms"]["sigmoid", "glorot"])
    left = {kind: norms[0] for kind, norms in results["norms"].items()}
    return (
        f"Per layer δ is multiplied by {factor['sigmoid', 'glorot']:.2f} in a sigmoid network (Glorot), "
        f"{factor['tanh', 'uniform']:.2f} in tanh from uniform and {factor['tanh', 'glorot']:.2f} from Glorot's, "
        f"{factor['relu', 'uniform']:.2f} in ReLU from uniform and {factor['relu', 'he']:.2f} from He's weights; "
        f"after {depth} layers {left['sigmoid', 'glorot']:.0e} of it is left in the sigmoid network, "
        f"{left['relu', 'he']:.2f} in the ReLU network."
    )


# %%
def plot(results):
    norms = results["norms"]
    lowest = min(each.min() for each in norms.values())
    panels = []
    for activation in ACTIVATIONS:
        lines = {each: norms[activation, each] for each in INITIALIZATIONS}
        panels.append(
            {
                "series": {name: (np.arange(1, len(line) + 1), line) for name, line in lines.items()},
                "title": {"relu": "ReLU"}.get(activation, activation),
                "x_label": "hidden layer",
                "log": "y",
                "y_limits": (lowest / 3, 30),
            }
        )
    panels[0]["y_label"] = r"$\|\delta\|$, last layer = 1"
    return plotting.graphs(panels)


# %%
if __name__ == "__main__":
    lectures.main(globals())
