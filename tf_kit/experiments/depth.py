"""Test error by depth, with and without pretraining: the figure of Erhan et al., 2010."""

import keras
import numpy as np

from tf_kit import networks
from tf_kit.pretraining import Classifier, DenoisingAutoencoder, pretrain_greedily


def error_by_depth(
    splits, depths=(1, 2, 3, 4), seeds=3, units=100, pretrain_epochs=15, epochs=15, batch_size=32, rate=0.1
):
    """Trains sigmoid nets of each depth from random weights and from denoising auto-associators.

    Both get the same fine-tuning: `epochs` of Adam at 0.003, falling to zero by a cosine (pretraining: Adam at
    0.003, constant). Nothing is chosen by its error: each net is tested once, at the end.

    Args:
        splits: train, val, test as `data.load` gives them.
        depths: numbers of hidden layers.
        seeds: nets of each kind, seeds 0 … seeds − 1.
        units: units in each hidden layer.
        pretrain_epochs: for each layer.
        epochs, batch_size: of the fine-tuning.
        rate: share of the features that is masked.

    Returns:
        A dictionary: `depths`; `without` and `with`, test errors in percent (depths, seeds); `filters`, the
        first layer's kernels of the deepest net, seed 0: `random` and `trained` without pretraining, `pretrained`
        and `tuned` with it, each (features, units).

    Reference: Erhan, Bengio, Courville, Manzagol, Vincent, Bengio 2010, "Why Does Unsupervised Pre-training Help
    Deep Learning?", figure 1.
    """
    train, _, test = splits
    errors = {"without": np.zeros((len(depths), seeds)), "with": np.zeros((len(depths), seeds))}
    filters = {}
    for row, depth in enumerate(depths):
        for seed in range(seeds):
            for kind in errors:
                encoder = networks.mlp(
                    (units,) * depth, num_classes=None, input_shape=train.x.shape[1:], seed=seed
                )
                shown = depth == max(depths) and seed == 0
                if shown:
                    filters["random"] = _first_kernel(encoder)  # the same for both kinds
                if kind == "with":
                    pretrain_greedily(
                        encoder,
                        train.all_x,
                        block=DenoisingAutoencoder,
                        epochs=pretrain_epochs,
                        batch_size=batch_size,
                        optimizer=keras.optimizers.Adam(0.003),
                        seed=seed,
                        rate=rate,
                    )
                    if shown:
                        filters["pretrained"] = _first_kernel(encoder)
                errors[kind][row, seed] = _tune_and_test(encoder, train, test, epochs, batch_size, seed)
                if shown:
                    filters["tuned" if kind == "with" else "trained"] = _first_kernel(encoder)
    return {"depths": list(depths), **errors, "filters": filters}


def _tune_and_test(encoder, train, test, epochs, batch_size, seed):
    classifier = Classifier(encoder, train.num_classes, seed=seed)
    steps = epochs * -(-len(train) // batch_size)
    classifier.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, steps)))
    classifier.fit(train.x, train.y, batch_size=batch_size, epochs=epochs, verbose=0)
    return 100 * (1 - classifier.evaluate(test.x, test.y, verbose=0, return_dict=True)["accuracy"])


def _first_kernel(encoder):
    return encoder.get_layer("hidden_1").get_weights()[0]
