# %%
"""How much of the gradient reaches the first layer, for each depth, activation and initialization?

Deep untrained networks of equal layers process one batch of digits, and δ, the gradient with respect to a layer's z,
is measured in every layer. On its way back it is multiplied by Wᵀ and f'(z) again and again, so its size changes by
about the same factor from layer to layer: a straight line on a logarithmic axis. The gradient with respect to the
weights would hide this. With small weights it is a small δ times an α that is larger towards the input, and the
product is the same in all layers.

Claim: at every layer of a sigmoid network δ loses more than half of its size, from every initialization. Tanh and
ReLU networks keep at least four fifths of it per layer from the initialization made for them, Glorot's and He's, and
lose a third or more per layer from the old uniform one.

Slide: "Why are deep nets hard to train?", "Gradient is progressively getting more dilute".
Reference: Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks",
figure 7; He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers", arXiv:1502.01852.
"""

import dataclasses

import numpy as np

from tf_kit import lectures, networks, plotting

TITLE = "Gradient flow through depth"
SECONDS = 5

ACTIVATIONS = ("sigmoid", "tanh", "relu")
INITIALIZATIONS = ("uniform", "glorot", "he", "orthogonal")


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(200, "Examples in the batch.", at_least=1)
    depth: int = lectures.option(15, "Hidden layers.", at_least=2)
    units: int = lectures.option(100, "Units in each hidden layer.", at_least=1)
    seeds: int = lectures.option(3, "Networks per activation and initialization.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(depth=8, seeds=1, units=60, examples=100)


# %%
def run(config):
    train, _, _ = lectures.load_data(config.data, examples=config.examples)
    x, y = train.x, train.y
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
            with np.errstate(divide="ignore"):  # δ is 0 where all units are dead
                typical = np.exp(np.mean(np.log(by_seed), axis=0))  # the geometric mean, as these are factors
            norms[activation, initialization] = typical / (typical[-1] or 1)
    return {"norms": norms}


# %% [markdown]
# The factor per layer: the share of δ that is left at the first hidden layer, spread evenly over the layers between.


# %%
def per_layer(norms):
    return float(norms[0] ** (1 / (len(norms) - 1)))


def check(results):
    for (activation, initialization), norms in results["norms"].items():
        assert norms.all(), f"δ is 0 in a layer of the {activation} network from {initialization} weights"
    factor = {kind: per_layer(norms) for kind, norms in results["norms"].items()}
    sigmoid = max(factor["sigmoid", each] for each in INITIALIZATIONS)
    assert sigmoid < 0.5, f"a sigmoid layer passes back {sigmoid:.2f} of δ"
    for kind in (("tanh", "glorot"), ("relu", "he")):
        assert 0.8 < factor[kind] < 1.25, (
            f"{kind[0]} from {kind[1]} weights passes back {factor[kind]:.2f} of δ"
        )
    for activation in ("tanh", "relu"):
        old = factor[activation, "uniform"]
        assert old < 2 / 3, f"{activation} from uniform weights passes back {old:.2f} of δ"
    depth = len(results["norms"]["sigmoid", "glorot"])
    left = {kind: norms[0] for kind, norms in results["norms"].items()}
    return (
        f"Each layer multiplies δ by {factor['sigmoid', 'glorot']:.2f} in a sigmoid network (Glorot's weights), by "
        f"{factor['tanh', 'uniform']:.2f} (uniform) and {factor['tanh', 'glorot']:.2f} (Glorot's) with tanh, by "
        f"{factor['relu', 'uniform']:.2f} (uniform) and {factor['relu', 'he']:.2f} (He's) with ReLU. Of {depth} "
        f"layers, the first gets {left['sigmoid', 'glorot']:.0e} of the last one's δ with the sigmoid and "
        f"{left['relu', 'he']:.2f} of it with ReLU and He's weights."
    )


# %%
def plot(results):
    norms = results["norms"]
    lowest = min(each[each > 0].min(initial=1) for each in norms.values())
    panels = []
    for activation in ACTIVATIONS:
        lines = {each: norms[activation, each] for each in INITIALIZATIONS}
        panels.append(
            {
                "series": {name: (np.arange(1, len(line) + 1), line) for name, line in lines.items()},
                "title": {"relu": "ReLU"}.get(activation, activation),
                "x_label": "hidden layer",
                "log": "y"
                if any(line.any() for line in lines.values())
                else "",  # all 0 where units are dead
                "y_label": r"$\|\delta\|$, last layer = 1",
                "y_limits": (lowest / 3, 30),
            }
        )
    return plotting.graphs(panels)


# %% [markdown]
# Things that move: `tf-kit lecture 16 --sliders`.


# %%
NAMES = ("sigmoid", "tanh", "ReLU")
DEPTHS = (2, 4, 8, 16)


def sliders(config):
    """Size of δ in each layer by activation, depth and initialization."""
    found = {}
    for depth in DEPTHS:
        sized = dataclasses.replace(config, depth=depth, units=50, seeds=1, examples=50)
        for kind, norms in run(sized)["norms"].items():
            found[(*kind, depth)] = norms

    def draw(activation, depth):
        name, layers = ACTIVATIONS[activation], DEPTHS[depth]
        series = {each: (np.arange(1, layers + 1), found[name, each, layers]) for each in INITIALIZATIONS}
        panel = {
            "series": series,
            "title": f"{NAMES[activation]}, {layers} hidden layers",
            "x_label": "hidden layer",
            "y_label": r"$\|\delta\|$, last layer = 1",
            "log": "y",
            "y_limits": (1e-12, 1e3),
            "x_limits": (0, layers + 1),
            "legend": "lower right",
        }
        return plotting.graphs([panel], width=8)

    knobs = {"activation": NAMES, "hidden layers": [str(depth) for depth in DEPTHS]}
    return lectures.States(knobs, draw, (0, 2))


# %%
if __name__ == "__main__":
    lectures.main(globals())
