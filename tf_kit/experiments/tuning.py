"""What the experiments share: a classifier tuned on validation alone, and the mean and spread over seeds."""

import math

import keras
import numpy as np
import tensorflow as tf

from tf_kit import optimizers
from tf_kit.pretraining import Classifier


def tune(
    run,
    encoder,
    train,
    val,
    *,
    learning_rates,
    epochs,
    batch_size,
    stage,
    seed=0,
    frozen=False,
    jit_update=False,
    cost=1.0,
):
    """Trains a classifier from the encoder's present weights at each rate, and keeps the best on validation.

    The rate falls to zero by a cosine over the epochs. Of each training the epoch of the highest validation
    accuracy is kept; of equal ones the earlier epoch, and of equal rates that of the lower validation loss.

    Args:
        run: `Run` whose `fit` trains.
        encoder: pretrained or not; it ends with the weights of the best training.
        train, val: objects with `.x`, `.y`, and `.num_classes` of `train`.
        learning_rates: Adam's, to choose from.
        epochs, batch_size: of each training.
        stage: what this is, for the progress bar.
        seed: seed of the output layer and the data order.
        frozen: whether only the output layer learns.
        jit_update: whether Adam's update is compiled.
        cost: of an epoch, for the progress bar.

    Returns:
        The best classifier and a dictionary of what was chosen: `learning_rate`, `epoch`, `val_accuracy`.
    """
    start, best = encoder.get_weights(), None
    for learning_rate in learning_rates:
        encoder.set_weights(start)
        classifier = Classifier(encoder, train.num_classes, frozen=frozen, seed=seed)
        steps = epochs * math.ceil(len(train.x) / batch_size)
        decay = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
        classifier.compile(optimizer=optimizers.Adam(decay, jit_update=jit_update))
        history = run.fit(
            classifier,
            train.x,
            train.y,
            stage=f"{stage} at {learning_rate:g}",
            epochs=epochs,
            batch_size=batch_size,
            validation_data=(val.x, val.y),
            keep_best="val_accuracy",
            cost=cost,
        )
        at = history["best_epoch"] - 1
        found = (history["val_accuracy"][at], -history["val_loss"][at])
        if best is None or found > best[0]:
            chosen = {
                "learning_rate": learning_rate,
                "epoch": history["best_epoch"],
                "val_accuracy": history["val_accuracy"][at],
            }
            best = found, classifier, classifier.get_weights(), chosen
    _, classifier, weights, chosen = best
    classifier.set_weights(weights)
    return classifier, chosen


def forget_models():
    """Frees what Keras keeps of models that are done with; not in the scope of a strategy, which it would lose."""
    if not tf.distribute.has_strategy():
        keras.backend.clear_session()


def over_seeds(values):
    """Mean and standard deviation of a sample (n − 1), None for one seed, and the values themselves.

    >>> over_seeds([1.0, 3.0])
    {'mean': 2.0, 'std': 1.4142135623730951, 'seeds': [1.0, 3.0]}
    """
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "seeds": list(values),
    }


def mean_and_std(row):
    """What `over_seeds` gives, as text: "97.53 ± 0.21".

    >>> mean_and_std({"mean": 97.534, "std": 0.211}), mean_and_std({"mean": 97.534, "std": None})
    ('97.53 ± 0.21', '97.53')
    """
    return f"{row['mean']:.2f}" + (f" ± {row['std']:.2f}" if row["std"] is not None else "")
