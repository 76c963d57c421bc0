# %%
"""Can a deep belief network write digits?

Two RBMs are trained without labels, one on the images and one on the first one's hidden units. The top one is then
sampled by Gibbs steps, starting from random units, and the sample is passed down to the pixels. How far is a sample
from the nearest training image? For comparison the same is measured for real images of the test set, and for images
whose pixels are drawn independently, each from a random training image.

Claim: samples are closer to digits than independent pixels are, by more than half of the way to the distance of real
images, but they are no copies. A classifier of real digits, which the network has never met, finds at least eight of
the ten digits among them.

Slide: "Unsupervised Pretraining": we will examine the deep belief networks.
Reference: Hinton, Osindero, Teh 2006, "A fast learning algorithm for deep belief nets", section 6, DOI
10.1162/neco.2006.18.7.1527.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import data, lectures, networks, plotting
from tf_kit.pretraining import RBM, Classifier, DeepBeliefNetwork, pretrain_greedily

TITLE = "A network that writes digits"
SECONDS = 30


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or another.")
    units: int = lectures.option(200, "Hidden units of each of the two machines.", at_least=1)
    epochs: int = lectures.option(100, "Passes over the images for each machine.", at_least=1)
    samples: int = lectures.option(200, "Samples to judge.", at_least=20)
    steps: int = lectures.option(500, "Gibbs steps in the top machine.", at_least=1)
    seed: int = lectures.option(0, "Seed of the weights and of the samples.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(epochs=60, steps=200)


# %%
def judge(train, seed):
    """Train a classifier of real digits."""
    encoder = networks.mlp((200,), None, "relu", train.x.shape[1:], seed)
    classifier = Classifier(encoder, train.num_classes, seed=seed)
    classifier.compile(keras.optimizers.Adam(0.003))
    classifier.fit(train.x, train.y, batch_size=32, epochs=20, verbose=0)
    return classifier


def nearest(images, train):
    """Return the Euclidean distance of each image from the nearest training image."""
    a, b = (each.reshape(len(each), -1).astype("float64") for each in (images, train))
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0)).min(axis=1)


def run(config):
    train, _, test = data.load(config.data, seed=0)
    encoder = networks.mlp((config.units, config.units), None, "sigmoid", train.x.shape[1:], config.seed)
    machines = pretrain_greedily(
        encoder,
        train.x,
        block=RBM,
        epochs=config.epochs,
        batch_size=32,
        optimizer=keras.optimizers.SGD(0.1),
        seed=config.seed,
    )
    network = DeepBeliefNetwork(machines)
    shape = (-1, *train.x.shape[1:])
    written = np.asarray(network.sample(config.samples, config.steps, seed=config.seed)).reshape(shape)
    rng = np.random.default_rng(config.seed)
    rows = rng.integers(len(train.x), size=(config.samples, train.x[0].size))
    flat = train.x.reshape(len(train.x), -1)
    shuffled = np.take_along_axis(flat, rows, axis=0).reshape(shape)  # each pixel from another image
    images = {"real": test.x[: config.samples], "written": written, "independent pixels": shuffled}
    answers = np.argmax(np.asarray(judge(train, config.seed)(written.astype("float32"))), axis=1)
    return {
        "distance": {name: nearest(each, train.x) for name, each in images.items()},
        "digits": np.bincount(answers, minlength=train.num_classes) / config.samples,
        "images": {name: each[:12, ..., 0] for name, each in images.items()},
    }


# %%
def check(results):
    real, written, independent = (float(np.median(each)) for each in results["distance"].values())
    found = int(np.sum(results["digits"] > 0.01))
    assert written < (real + independent) / 2, f"distances: {real:.2f}, {written:.2f}, {independent:.2f}"
    assert found >= 8, f"only {found} digits were written: {results['digits'].round(2)}"
    closest = float(results["distance"]["written"].min())
    assert closest > 0.2, f"a sample is a copy: {closest:.2f}"
    return (
        f"Yes: the nearest training image is {written:.2f} away from a written digit, {real:.2f} from a real one and "
        f"{independent:.2f} from independent pixels (medians). A classifier finds {found} of the "
        f"{len(results['digits'])} digits among {len(results['distance']['written'])} samples, none of which is a copy "
        f"(the closest is {closest:.2f} away)."
    )


# %%
def plot(results):
    rows = {name: each for name, each in results["images"].items()}
    digits = np.arange(len(results["digits"]))
    panel = {
        "series": {"written": (digits, 100 * results["digits"])},
        "title": "digits that the classifier sees",
        "x_label": "digit",
        "y_label": "share of the samples, %",
        "x_ticks": digits.tolist(),
        "y_limits": (0, None),
    }
    return plotting.images_and_graphs(rows, [panel], width=6.4)


# %%
if __name__ == "__main__":
    lectures.main(globals())
