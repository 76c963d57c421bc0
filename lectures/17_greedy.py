# %%
"""What does greedy pretraining buy as a network gets deeper?

Sigmoid networks of one to four hidden layers are fine-tuned in the same way from two starts: from random weights, and
from weights that denoising autoencoders have learned layer by layer without labels.

Claim: without pretraining the deepest network is worse than with it, and worse than the shallow one. With pretraining,
depth costs nothing: the deepest network is at most two points worse than the shallow one. From unlabelled images the
first layer learns local strokes, and fine-tuning changes them less than pretraining did. Not shown: that the strokes
are the reason. In demo 34 a network of such layers gains as much from pretraining on noise.

Slide: "Backpropagation does not work well", "Layer-wise Pre-training", "Unsupervised Pretraining".
Reference: Erhan, Bengio, Courville, Manzagol, Vincent, Bengio 2010, "Why Does Unsupervised Pre-training Help Deep
Learning?"
"""

import dataclasses

import keras
import matplotlib.pyplot as plt
import numpy as np

from tf_kit import experiments, lectures, networks, plotting, pretraining

TITLE = "Greedy layer-wise pretraining"
SECONDS = 90


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("mnist or digits", "Data set; of several, the first that is prepared.")
    examples: int = lectures.option(2500, "Largest number of images to learn from.", at_least=20)
    depths: int = lectures.option(4, "Largest number of hidden layers.", at_least=1)
    every: int = lectures.option(
        1, "Step from one depth to the next, starting at one hidden layer.", at_least=1
    )
    seeds: int = lectures.option(3, "Networks per depth and start.", at_least=1)
    units: int = lectures.option(100, "Units in each hidden layer.", at_least=12)
    pretrain_epochs: int = lectures.option(15, "Passes per layer without labels.", at_least=1)
    epochs: int = lectures.option(15, "Passes with labels.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(data="digits", every=3, seeds=1, pretrain_epochs=10, epochs=10)


# %%
def run(config):
    depths = range(1, config.depths + 1, config.every)
    few, val, test = lectures.load_data(config.data, examples=config.examples, images=True)
    results = experiments.error_by_depth(
        (few, val, test), tuple(depths), config.seeds, config.units, config.pretrain_epochs, config.epochs
    )
    return {**results, "image_shape": few.x.shape[1:]}


# %%
def check(results):
    without, with_ = results["without"].mean(axis=1), results["with"].mean(axis=1)
    deepest = results["depths"][-1]
    assert with_[-1] < without[-1], f"pretrained {with_[-1]:.2f} %, not pretrained {without[-1]:.2f} %"
    if len(results["depths"]) > 1:
        assert without[-1] > without[0], f"{deepest} layers {without[-1]:.2f} %, one layer {without[0]:.2f} %"
    assert with_[-1] < with_[0] + 2, f"{deepest} layers {with_[-1]:.2f} %, one layer {with_[0]:.2f} %"
    random, pretrained, tuned = (results["filters"][name] for name in ("random", "pretrained", "tuned"))
    learned, changed = np.linalg.norm(pretrained - random), np.linalg.norm(tuned - pretrained)
    assert changed < learned, f"pretraining moved the filters by {learned:.1f}, fine-tuning by {changed:.1f}"
    return (
        f"The test error with {results['depths'][0]} and {deepest} hidden layers is {without[0]:.1f} and "
        f"{without[-1]:.1f} % without pretraining, {with_[0]:.1f} and {with_[-1]:.1f} % with it; pretraining moved the "
        f"first layer {learned / changed:.1f} times as far as fine-tuning did."
    )


# %%
def plot(results):
    words = {
        "trained": "first layer, trained from random weights",
        "pretrained": "pretrained without labels",
        "tuned": "pretrained, then fine-tuned",
    }
    tuned = results["filters"]["tuned"]
    strongest = np.sort(np.argsort(-np.linalg.norm(tuned, axis=0))[:12])  # the same units in all three rows
    with plt.rc_context(plotting.STYLE):
        figure = plt.figure(figsize=(13, 5), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
        axes = left.subplots()
        for i, name in enumerate(("without", "with")):
            look = {"color": plotting.COLORS[i], "marker": plotting.MARKERS[i], "markersize": 9}
            errors = results[name]
            axes.plot(results["depths"], errors.mean(axis=1), label=f"{name} pretraining", **look)
            for depth, of_seeds in zip(results["depths"], errors, strict=True):
                axes.plot([depth] * len(of_seeds), of_seeds, ".", color=plotting.COLORS[i], alpha=0.5)
        high = 1.08 * max(float(results[name].max()) for name in ("without", "with"))
        axes.set(xlabel="hidden layers", ylabel="test error, %", ylim=(0, high), xticks=results["depths"])
        axes.legend()
        for block, (name, title) in zip(right.subfigures(3, 1), words.items(), strict=True):
            block.suptitle(title, x=0.02, ha="left", fontsize=13)
            for axes, unit in zip(block.subplots(2, 6).flat, strongest, strict=True):
                image = results["filters"][name][:, unit].reshape(results["image_shape"][:2])
                high = np.abs(image).max()
                axes.imshow(image, cmap="gray", vmin=-high, vmax=high)
                axes.axis("off")
    return figure


# %% [markdown]
# Things that move: `tf-kit lecture 17 --animate`.


# %%
class Filters(keras.callbacks.Callback):
    """Keeps the kernel of the first layer after each epoch."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.kernels = layer, [np.array(layer.kernel.numpy())]

    def on_epoch_end(self, epoch, logs=None):
        self.kernels.append(np.array(self.layer.kernel.numpy()))


def animation(config):
    """Filters of the first layer while it is pretrained without labels."""
    train, _, _ = lectures.load_data(config.data, images=True)
    x = train.all_x[: config.examples]
    encoder = networks.mlp((config.units,), None, input_shape=x.shape[1:], seed=0)
    model = pretraining.DenoisingAutoencoder(encoder, rate=0.1)
    model.compile(keras.optimizers.Adam(0.003))
    watch = Filters(encoder.get_layer("hidden_1"))
    model.fit(x, batch_size=32, epochs=config.pretrain_epochs, verbose=0, callbacks=[watch])
    strongest = np.sort(np.argsort(-np.linalg.norm(watch.kernels[-1], axis=0))[:60])

    def draw(epoch):
        images = watch.kernels[epoch][:, strongest].T.reshape(-1, *x.shape[1:3])
        return plotting.tiles(images, columns=12, title=f"filters after epoch {epoch}", symmetric=True)

    return lectures.States({"epoch": [str(epoch) for epoch in range(len(watch.kernels))]}, draw)


# %%
if __name__ == "__main__":
    lectures.main(globals())
