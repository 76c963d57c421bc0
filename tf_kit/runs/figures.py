"""Figures of a run: curves, monitors, filters, and what was learned."""

import keras
import numpy as np

from tf_kit import plotting
from tf_kit.networks.stages import dense_stages
from tf_kit.pretraining import RBM, DeepBeliefNetwork, MaskedAutoencoder, MaskedVectors
from tf_kit.pretraining.joint_embedding import JointEmbedding
from tf_kit.randomness import ExampleRandom

MONITORS = ("reconstruction", "pseudo_likelihood")  # an RBM's loss is no measure of progress, these are
WATCHED = {  # of the representation, not of the loss: figures/monitors.png
    "rankme": "effective rank (RankMe)",
    "feature_deviation": "deviation of features",
    "uniformity": "uniformity",
    "alignment": "alignment of two views",
    "val_knn_accuracy": "accuracy of neighbors",
}


def draw(run, encoder=None, image_shape=None):
    """Draws `figures/curves.png`; `figures/monitors.png` if the representation was watched; and
    `figures/filters.png` of the encoder's first dense layer."""
    groups, watched = {}, {}
    for stage, history in run.history().items():
        series = {name: values for name, values in history.items() if name not in ("seconds", *WATCHED)}
        told = [name for name in series if name in MONITORS] or [n for n in series if "accuracy" not in n]
        groups[stage] = {name: series[name] for name in told}
        for name in WATCHED.keys() & history.keys():
            looks = {epoch: value for epoch, value in enumerate(history[name], 1) if value is not None}
            watched.setdefault(name, {})[stage] = np.array([*looks]), np.array([*looks.values()])
    if groups:
        plotting.save(plotting.panels(groups), run.folder / "figures" / "curves.png")
    if watched:
        drawn = [
            {"title": title, "x_label": "epoch", "series": watched[name]}
            for name, title in WATCHED.items()
            if name in watched
        ]
        plotting.save(plotting.graphs(drawn, columns=3), run.folder / "figures" / "monitors.png")
    if encoder is not None and image_shape is not None:
        kernel = keras.ops.convert_to_numpy(dense_stages(encoder)[0].dense.kernel)
        if kernel.shape[0] == np.prod(image_shape):
            plotting.save(plotting.filters(kernel, image_shape), run.folder / "figures" / "filters.png")


def draw_what_was_learned(folder, trained, x):
    """What the pretrainers make of images: views, what they fill in or reconstruct, samples.

    Args:
        folder: where the figures go.
        trained: pretrainers, as `methods.train` returns them.
        x: examples (n, …); nothing is drawn if they are no images.
    """
    first, shown = trained[0], x[:10]
    if shown.ndim != 4:
        return

    def save(name, rows, title):
        images = np.concatenate([keras.ops.convert_to_numpy(row) for row in rows])
        figure = plotting.tiles(images.reshape(-1, *x.shape[1:]), columns=len(shown), title=title)
        plotting.save(figure, folder / f"{name}.png")

    if isinstance(first, MaskedAutoencoder | MaskedVectors):
        vectors = isinstance(first, MaskedVectors)
        masked = first.draw_masked(shown if vectors else len(shown))
        seen = np.where(masked, 0.3, shown) if vectors else first.cover(shown, masked, 0.3)
        title = "images, what the encoder sees of them, what the model fills in"
        save("reconstructions", (shown, seen, first.reconstruct(shown, masked)), title)
    elif hasattr(first, "reconstruct"):
        title = "examples and their reconstruction by layer 1"
        save("reconstructions", (shown, first.reconstruct(shown)), title)
    elif isinstance(first, JointEmbedding):
        views = keras.ops.convert_to_numpy(first.views(shown, ExampleRandom(first.seed, 0, len(shown))))
        save("views", (shown, views[0::2], views[1::2]), "images, and two views of each")
    if isinstance(first, RBM):
        network = DeepBeliefNetwork(trained)
        samples = network.sample(40, num_steps=200, start=np.resize(x, (40, *x.shape[1:])), seed=first.seed)
        title = "samples of the deep belief network, 200 Gibbs steps from examples"
        save("samples", [samples], title)
