# %%
"""Is pretraining on another domain better than none?

A deep sigmoid network is to read handwritten digits, with few labels. Its hidden layers start from random weights, or
from greedy pretraining without labels on printed letters, which contain no digit, or on the unlabelled digits
themselves. Fine-tuning is the same for all. Two controls ask where the gain comes from: pretraining on noise, images
whose pixels are independent random numbers, and random weights that are fine-tuned for as many passes as pretraining
and fine-tuning take together.

Claim: pretraining on letters takes away more than half of the errors that random weights make, and pretraining on the
digits is at least as good. But the letters are not the reason. After noise, in which there is nothing to learn, the
error is at most two points higher, and more passes alone take away a third of the errors or more. Here pretraining
repairs the start of sigmoid layers, and strokes that letters and digits share bring no gain of their own. Not shown:
whether that holds for larger images and for other activations.

On the command line, from the small digits to MNIST (prepared by `tf-kit data get mnist`):

    tf-kit pretrain denoising --data digits --image-size 28 --out run

    tf-kit finetune run --data mnist --labels 300 --compare

Slide: "Unsupervised Pretraining": it can be applied on another domain.
Reference: Yosinski, Clune, Bengio, Lipson 2014, "How transferable are features in deep neural networks?",
arXiv:1411.1792; Raina, Battle, Lee, Packer, Ng 2007, "Self-taught learning", DOI 10.1145/1273496.1273592; for the
start of sigmoid layers Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural
networks".
"""

import dataclasses
import string

import keras
import matplotlib.pyplot as plt
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.checks import refuse
from tf_kit.lectures.letters import draw_letters
from tf_kit.lectures.words import enumerated
from tf_kit.pretraining import Classifier, DenoisingAutoencoder, pretrain_greedily

TITLE = "Pretraining on another domain"
SECONDS = 90
LETTERS = (
    string.ascii_letters.replace("o", "").replace("O", "").replace("l", "")
)  # none that looks like a digit


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set of digits: digits, mnist, or another of gray images.")
    labels: int = lectures.option(
        200, "Largest number of labelled digits, one per class at least.", at_least=10
    )
    images: int = lectures.option(
        2000, "Letters to pretrain on, and largest number of unlabelled digits.", at_least=24
    )
    depth: int = lectures.option(3, "Hidden layers.", at_least=1)
    units: int = lectures.option(100, "Units in each hidden layer.", at_least=1)
    pretrain_epochs: int = lectures.option(20, "Passes per layer without labels.", at_least=1)
    epochs: int = lectures.option(40, "Passes with labels.", at_least=1)
    seeds: int = lectures.option(3, "Networks per start.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(seeds=1, images=1500, pretrain_epochs=10)


# %%
def error(splits, config, pretraining_images, epochs, seed):
    """Pretrain a network, unless there are no images, tune it with the labels; return its test error in percent."""
    train, _, test = splits
    encoder = networks.mlp((config.units,) * config.depth, None, input_shape=train.x.shape[1:], seed=seed)
    if pretraining_images is not None:
        pretrain_greedily(
            encoder,
            pretraining_images,
            block=DenoisingAutoencoder,
            epochs=config.pretrain_epochs,
            batch_size=32,
            optimizer=keras.optimizers.Adam(0.003),
            seed=seed,
            rate=0.1,
        )
    model = Classifier(encoder, train.num_classes, seed=seed)
    steps = epochs * -(-len(train.x) // 32)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, steps)))
    model.fit(train.x, train.y, batch_size=32, epochs=epochs, verbose=0)
    score = model.evaluate(test.x[:2000], test.y[:2000], verbose=0, return_dict=True)["accuracy"]
    return 100 * (1 - score)


def run(config):
    splits = lectures.load_data(config.data, labels=config.labels, images=True)
    digits = splits[0].all_x[: config.images]
    if digits.shape[-1] != 1:
        refuse("Config.data", "have gray images for this demo", f"{config.data}, images in color")
    letters, _ = draw_letters(LETTERS, config.images, size=digits.shape[1:3])
    rng = np.random.default_rng(0)
    letters = letters[rng.permutation(len(letters))]
    noise = rng.random(letters.shape).astype("float32")
    more = config.epochs + config.depth * config.pretrain_epochs
    sources = {
        "random weights": (None, config.epochs),
        "letters": (letters, config.epochs),
        "digits": (digits, config.epochs),
        "noise": (noise, config.epochs),
        "random weights, more passes": (None, more),
    }
    return {
        "error": {
            name: np.array([error(splits, config, *source, seed) for seed in range(config.seeds)])
            for name, source in sources.items()
        },
        "more": more,
        "images": {"letters": letters[:24], "digits": digits[:24], "noise": noise[:24]},
    }


# %%
def check(results):
    mean = {name: float(of.mean()) for name, of in results["error"].items()}
    assert mean["letters"] < mean["random weights"] / 2, f"test errors: {enumerated(mean, '.1f', ' %')}"
    assert mean["digits"] < mean["letters"] + 1, f"test errors: {enumerated(mean, '.1f', ' %')}"
    longer = mean["random weights, more passes"]
    assert mean["noise"] < mean["letters"] + 2, f"test errors: {enumerated(mean, '.1f', ' %')}"
    assert longer < 2 / 3 * mean["random weights"], f"test errors: {enumerated(mean, '.1f', ' %')}"
    return (
        f"Yes, but not for what the letters show: the test error is {mean['random weights']:.1f} % from random "
        f"weights, {mean['letters']:.1f} % after pretraining on letters, {mean['digits']:.1f} % on digits and "
        f"{mean['noise']:.1f} % on noise, and {longer:.1f} % from random weights with {results['more']} passes."
    )


# %%
def plot(results):
    errors = results["error"]
    with plt.rc_context({**plotting.STYLE, "font.size": 15}):
        figure = plt.figure(figsize=(13, 5), layout="constrained")
        left, right = figure.subfigures(1, 2)
        for axes, (name, images) in zip(left.subplots(3, 1), results["images"].items(), strict=True):
            framed = np.pad(images[..., 0], ((0, 24 - len(images)), (1, 1), (1, 1)))
            rows = [np.hstack([*framed[k : k + 12]]) for k in (0, 12)]
            axes.imshow(np.vstack(rows), cmap="gray")
            axes.set_title(f"unlabelled {name}", fontsize=16)
            axes.axis("off")
        axes = right.subplots()
        names = ["random weights", *(f"pretrained on {each}" for each in results["images"])]
        names.append(f"random, {results['more']} passes")
        axes.barh(names, [of.mean() for of in errors.values()], color=plotting.COLORS[0], alpha=0.55)
        for row, of in enumerate(errors.values()):
            axes.plot(of, [row] * len(of), "o", color="black", markersize=5)
            axes.text(of.max(), row, f"  {of.mean():.1f}", va="center")
        axes.invert_yaxis()
        axes.set(
            xlabel="test error, %",
            ylabel="start of the network",
            xlim=(0, 1.2 * errors["random weights"].max()),
        )
        axes.grid(axis="y", visible=False)
    return figure


# %%
if __name__ == "__main__":
    lectures.main(globals())
