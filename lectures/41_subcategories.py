# %%
"""Does a network that has learned kinds help to tell their subkinds apart?

Two digits make a kind: 0 and 1, 2 and 3, and so on. A network learns the kinds from many examples, and then the digits
from a few labels of each: all its weights are tuned, or those of its hidden layers stay as they are. A network with
random weights learns from the same labels alone. The errors are counted twice: among all digits, and between the two
digits of the right kind. At last two networks share the work: the one that knows the kinds chooses the kind, the one
with random weights chooses the digit in it.

Claim: with all weights tuned, the transfer takes away a tenth of the errors or more. But it has carried over the kinds,
and not what tells digits of a kind apart: between these it errs no less often than the network with random weights. If
the hidden layers are kept, it errs there half as often again or more: the first task had no use for the differences,
and its layers have dropped them. So two networks that share the work make fewer errors than one that takes over.

Slide: "Unsupervised Pretraining": a network trained on object recognition can be applied on object subcategorization.
Reference: Yosinski, Clune, Bengio, Lipson 2014, "How transferable are features in deep neural networks?",
arXiv:1411.1792; Donahue et al. 2014, "DeCAF: a deep convolutional activation feature for generic visual recognition",
section 4.3 (subcategories of birds), arXiv:1310.1531; for what a network drops within a class Papyan, Han, Donoho 2020,
"Prevalence of neural collapse", arXiv:2008.08186.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.lectures.words import enumerated
from tf_kit.pretraining import Classifier

TITLE = "From kinds to subkinds"
SECONDS = 60


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    examples: int = lectures.option(2000, "Largest number of examples of the kinds.", at_least=20)
    labels: int = lectures.option(5, "Labels of each class.", at_least=1)
    units: int = lectures.option(
        128, "ReLU units of the first hidden layer; the second has half.", at_least=2
    )
    kind_epochs: int = lectures.option(30, "Passes over the examples of the kinds.", at_least=1)
    epochs: int = lectures.option(100, "Passes over the labels of the classes.", at_least=1)
    seeds: int = lectures.option(5, "Networks per start.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(seeds=2, kind_epochs=20, epochs=60)


# %% [markdown]
# Of a class k the kind is k // 2. A network tells subkinds apart if, among the classes of the right kind, it gives the
# right one the largest output.


# %%
def trained(encoder, num_classes, x, y, epochs, seed):
    """Train an encoder with an output layer by Adam, whose rate falls to zero; return the classifier."""
    model = Classifier(encoder, num_classes, seed=seed)
    steps = epochs * -(-len(x) // 32)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, steps)))
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model


def within(outputs, kinds):
    """Of each row, the class with the largest output among those of a kind."""
    classes = np.arange(outputs.shape[1])
    return np.where(classes // 2 == kinds[:, None], outputs, -np.inf).argmax(axis=1)


def errors_of(config, train, test, seed):
    """Train all networks of a seed; return errors in percent: name → (among all classes, within the right kind)."""
    rng, num_classes = np.random.default_rng(seed), train.num_classes
    each = [rng.permutation(np.flatnonzero(train.y == k))[: config.labels] for k in range(num_classes)]
    few = np.concatenate(each)

    def network():
        return networks.mlp((config.units, config.units // 2), None, "relu", train.x.shape[1:], seed)

    def tuned(encoder):
        model = trained(encoder, num_classes, train.x[few], train.y[few], config.epochs, seed)
        return model.predict(test.x, verbose=0)

    encoder, x = network(), train.x[: config.examples]
    kinds = trained(
        encoder, num_classes // 2 + num_classes % 2, x, train.y[: len(x)] // 2, config.kind_epochs, seed
    )
    kind = kinds.predict(test.x, verbose=0).argmax(axis=1)
    weights, outputs = encoder.get_weights(), {"random weights": tuned(network())}
    outputs["all weights tuned"] = tuned(encoder)
    encoder.set_weights(weights)
    encoder.trainable = False
    outputs["hidden layers kept"] = tuned(encoder)

    wrong = {
        name: (np.mean(of.argmax(axis=1) != test.y), np.mean(within(of, test.y // 2) != test.y))
        for name, of in outputs.items()
    }
    shared = np.mean(within(outputs["random weights"], kind) != test.y)
    wrong["two networks"] = shared, wrong["random weights"][1]
    return {name: 100 * np.array(both) for name, both in wrong.items()}, 100 * np.mean(kind != test.y // 2)


def run(config):
    train, _, test = lectures.load_data(config.data)
    found = [errors_of(config, train, test, seed) for seed in range(config.seeds)]
    names = list(found[0][0])
    return {
        "errors": {name: np.array([errors[name] for errors, _ in found]) for name in names},
        "kinds": np.array([of_kinds for _, of_kinds in found]),
        "labels": config.labels,
    }


# %%
def check(results):
    every, inside = ({name: float(of[:, i].mean()) for name, of in results["errors"].items()} for i in (0, 1))
    told = (
        f"errors among all {enumerated(every, '.1f', ' %')}; within a kind {enumerated(inside, '.1f', ' %')}"
    )
    assert every["all weights tuned"] < 0.9 * every["random weights"], told
    assert inside["all weights tuned"] > 0.8 * inside["random weights"], told
    assert inside["hidden layers kept"] > 1.5 * inside["random weights"], told
    assert every["two networks"] < every["all weights tuned"], told
    labels = f"{results['labels']} label{'s' * (results['labels'] > 1)}"
    return (
        f"With {labels} of each class {every['random weights']:.1f} % of the test examples are mistaken by a network "
        f"with random weights, {every['all weights tuned']:.1f} % after it has learned the kinds (on which it errs "
        f"{results['kinds'].mean():.1f} %). Between the two classes of a kind it errs on "
        f"{inside['all weights tuned']:.1f} %, with random weights on {inside['random weights']:.1f} %, and with the "
        f"hidden layers kept on {inside['hidden layers kept']:.1f} %. Two networks that share the work err on "
        f"{every['two networks']:.1f} %."
    )


# %%
def plot(results):
    errors = results["errors"]
    return plotting.bars(
        {
            "test error among all classes, %": {name: of[:, 0] for name, of in errors.items()},
            "within the right kind, %": {name: of[:, 1] for name, of in errors.items()},
        },
        "network",
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
