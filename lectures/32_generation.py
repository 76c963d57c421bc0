# %%
"""Can a deep belief network write digits?

Two RBMs are trained without labels, one on the images and one on the first one's hidden units. The top one is then
sampled by Gibbs steps, starting from random units, and the sample is passed down to the pixels. How far is a sample
from the nearest training image? For comparison the same is measured for real images of the test set, and for images
whose pixels are drawn independently, each from a random training image.

The chains of training are persistent: they continue from update to update and visit what the samples will be. Chains of
one step from the data stay close to it, so training never makes less probable what long chains find elsewhere.

Claim: samples are closer to digits than independent pixels are, by more than half of the way to the distance of real
images. They are no copies: they are about as far from training images as from as many images that the network has not
met. A classifier of real digits finds at least eight of the ten digits among them, and none in more than half.

Slide: "Unsupervised Pretraining": we will examine the deep belief networks.
Reference: Hinton, Osindero, Teh 2006, "A fast learning algorithm for deep belief nets", section 6, DOI
10.1162/neco.2006.18.7.1527; Tieleman 2008, "Training restricted Boltzmann machines using approximations to the
likelihood gradient", DOI 10.1145/1390156.1390290.
"""

import dataclasses

import keras
import numpy as np

from tf_kit import lectures, networks, plotting
from tf_kit.lectures.words import enumerated
from tf_kit.pretraining import RBM, Classifier, DeepBeliefNetwork, pretrain_greedily

TITLE = "A network that writes digits"
SECONDS = 70


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("mnist or digits", "Data set; of several, the first that is prepared.")
    examples: int = lectures.option(10000, "Largest number of images to learn from.", at_least=1)
    units: int = lectures.option(300, "Hidden units of each of the two machines.", at_least=1)
    updates: int = lectures.option(2000, "Updates of the weights of each machine.", at_least=1)
    persistent: bool = lectures.option(True, "Whether the chains of training continue from update to update.")
    samples: int = lectures.option(200, "Samples to judge.", at_least=20)
    steps: int = lectures.option(500, "Gibbs steps in the top machine.", at_least=1)
    seed: int = lectures.option(0, "Seed of the weights and of the samples.", at_least=0)

    @classmethod
    def quick(cls):
        return cls(data="digits", units=200, updates=1000, steps=200)


# %%
def learn(x, config):
    """Train a machine on the images and a second one on its hidden units."""
    encoder = networks.mlp((config.units, config.units), None, "sigmoid", x.shape[1:], config.seed)
    rate = keras.optimizers.schedules.PolynomialDecay(0.05, config.updates, end_learning_rate=0.0)
    machines = pretrain_greedily(
        encoder,
        x,
        block=RBM,
        epochs=-(-config.updates // -(-len(x) // 100)),
        batch_size=100,
        optimizer=keras.optimizers.SGD(rate),
        seed=config.seed,
        persistent=config.persistent,
    )
    return DeepBeliefNetwork(machines)


def judge(x, y, num_classes, seed):
    """Train a classifier of real digits."""
    classifier = Classifier(networks.mlp((200,), None, "relu", x.shape[1:], seed), num_classes, seed=seed)
    classifier.compile(keras.optimizers.Adam(0.003))
    classifier.fit(x, y, batch_size=100, epochs=20, verbose=0)
    return classifier


def nearest(images, others):
    """Return the Euclidean distance of each image from the nearest of the others."""
    a, b = (each.reshape(len(each), -1).astype("float64") for each in (images, others))
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0)).min(axis=1)


def run(config):
    train, _, test = lectures.load_data(config.data, examples=config.examples, images=True)
    x, y, shape = train.x, train.y, (-1, *train.x.shape[1:])
    network = learn(x, config)
    written = np.asarray(network.sample(config.samples, config.steps, seed=config.seed)).reshape(shape)
    rng = np.random.default_rng(config.seed)
    rows = rng.integers(len(x), size=(config.samples, x[0].size))
    shuffled = np.take_along_axis(x.reshape(len(x), -1), rows, axis=0).reshape(shape)  # pixels of many images
    images = {"real": test.x[: config.samples], "written": written, "independent pixels": shuffled}
    classifier = judge(x, y, train.num_classes, config.seed)
    answers = np.argmax(np.asarray(classifier(written.astype("float32"))), axis=1)
    few = min(len(x), len(test.x))
    return {
        "distance": {name: nearest(each, x) for name, each in images.items()},
        "among_as_many": {"seen": nearest(written, x[:few]), "unseen": nearest(written, test.x[:few])},
        "digits": np.bincount(answers, minlength=train.num_classes) / config.samples,
        "images": {name: each[:12, ..., 0] for name, each in images.items()},
    }


# %%
def check(results):
    real, written, independent = (float(np.median(each)) for each in results["distance"].values())
    found = int(np.sum(results["digits"] > 0.01))
    assert written < (real + independent) / 2, f"distances: {real:.2f}, {written:.2f}, {independent:.2f}"
    assert found >= 8, f"only {found} digits were written: {enumerated(results['digits'], '.2f')}"
    assert results["digits"].max() < 0.5, f"mostly one digit: {enumerated(results['digits'], '.2f')}"
    seen, unseen = (float(np.median(each)) for each in results["among_as_many"].values())
    assert seen > 0.9 * unseen, f"copies: {seen:.2f} from training images, {unseen:.2f} from unseen ones"
    return (
        f"Yes: the nearest training image is {written:.2f} away from a written digit, {real:.2f} from a real one and "
        f"{independent:.2f} from independent pixels (medians). A classifier finds {found} of the "
        f"{len(results['digits'])} digits among {len(results['distance']['written'])} samples, the most frequent in "
        f"{results['digits'].max():.0%}. They are no copies: as many images that the network has not met are "
        f"{unseen / seen:.2f} times as far away."
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
