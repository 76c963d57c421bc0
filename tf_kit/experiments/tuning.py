"""Tuning of a classifier on validation alone, and mean and spread over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_kit import keras_internals, optimizers
from tf_kit.checks import choice, count, number, refuse
from tf_kit.errors import TrainingDiverged
from tf_kit.pretraining import Classifier
from tf_kit.runs.run import Run


def adam_with_cosine(learning_rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Make Adam, whose rate falls to zero by a cosine over `steps` steps."""
    return optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))


def tune(
    run: Run,
    encoder: keras.layers.Layer,
    train: Any,
    val: Any,
    *,
    learning_rates: Sequence[float],
    epochs: int,
    batch_size: int,
    stage: str,
    seed: int = 0,
    frozen: bool = False,
    cost: float = 1.0,
    optimizer: Callable[[float, int], keras.optimizers.Optimizer] = adam_with_cosine,
) -> tuple[Classifier, dict[str, Any]]:
    """Train a classifier on the encoder at each learning rate, and keep the best on validation.

    Every training starts from the same weights of the encoder. Its epoch of the highest validation accuracy is kept,
    the earliest if there are several. Of the rates, the one with the highest accuracy wins, at equal accuracy the one
    with the lower validation loss. A rate at which the training diverges is left out, unless it is the last one and no
    other is left.

    Args:
        run: `Run` whose `fit` trains.
        encoder: encoder, pretrained or not; it ends with the weights of the best training.
        train: examples to train on, an object with `.x`, `.y` and `.num_classes`.
        val: examples to choose on, an object with `.x` and `.y`.
        learning_rates: learning rates to choose from.
        epochs, batch_size: epochs and minibatch size of each training.
        stage: name of the stage in the run.
        seed: seed of the output layer and the data order. Defaults to 0.
        frozen: whether to train the output layer alone. Defaults to False.
        cost: cost of one epoch, for the progress bar. Defaults to 1.0.
        optimizer: function from a learning rate and the number of steps to a new optimizer. Defaults to Adam whose
            rate falls to zero by a cosine.

    Returns:
        The best classifier, and its `learning_rate`, `epoch` and `val_accuracy` in a dictionary.
    """
    start, best = encoder.get_weights(), None
    for learning_rate in dict.fromkeys(learning_rates):
        encoder.set_weights(start)
        classifier = Classifier(encoder, train.num_classes, frozen=frozen, seed=seed)
        steps = epochs * math.ceil(len(train.x) / batch_size)
        classifier.compile(optimizer=optimizer(learning_rate, steps))
        try:
            history = run.fit(
                classifier,
                train.x,
                train.y,
                stage=f"{stage} at {_text_of(learning_rate)}",
                epochs=epochs,
                batch_size=batch_size,
                validation_data=(val.x, val.y),
                keep_best="val_accuracy",
                cost=cost,
            )
        except TrainingDiverged as error:
            if best is None and learning_rate == learning_rates[-1]:
                raise
            run.progress.print(f"{error}; this rate is left out")
            continue
        at = history["best_epoch"] - 1
        found = (history["val_accuracy"][at], -history["val_loss"][at])
        if best is None or found > best[0]:
            chosen = {
                "learning_rate": learning_rate,
                "epoch": history["best_epoch"],
                "val_accuracy": history["val_accuracy"][at],
            }
            best = found, classifier, classifier.get_weights(), chosen
    assert best is not None  # there is at least one learning rate
    _, classifier, weights, chosen = best
    classifier.set_weights(weights)
    return classifier, chosen


def _text_of(rate):
    """Write a rate in up to six digits, or in as many as it needs: two rates never have one text.

    >>> _text_of(0.003), _text_of(1e-5), _text_of(0.1000001)
    ('0.003', '1e-05', '0.1000001')
    """
    short = f"{rate:g}"
    return short if float(short) == rate else repr(float(rate))


def changed(function: str, settings: Any, changes: Mapping[str, Any]) -> Any:
    """Return settings with some fields changed; of a field by row, only the rows that are given.

    Args:
        function: name of the experiment, for messages.
        settings: a dataclass.
        changes: field → value.

    Raises:
        InputError: there is no such field or row, or a learning rate is not above 0.
    """
    fields = tuple(field.name for field in dataclasses.fields(settings))
    new = {}
    for name, value in changes.items():
        choice(f"{function}.**changes", name, fields)
        before = getattr(settings, name)
        if isinstance(before, dict):
            rows = value if isinstance(value, Mapping) else dict.fromkeys(before, value)
            for row, each in rows.items():
                choice(f"{function}.{name}", row, tuple(before))
                is_rate = name.endswith("rates")
                number(f"{function}.{name}", each, above=0) if is_rate else count(f"{function}.{name}", each)
            value = {**before, **rows}
        elif isinstance(before, tuple) and not isinstance(value, list | tuple):
            value = (value,)
        new[name] = value
    return dataclasses.replace(settings, **new)


def check_rates(subject: str, rates: Sequence[float]) -> None:
    """Refuse learning rates unless there is at least one, and all are above 0.

    Args:
        subject: argument that holds the rates, such as `"run_table.learning_rates"`.
        rates: learning rates.
    """
    rates = rates if isinstance(rates, list | tuple) else (rates,)
    if not rates:
        refuse(subject, "hold at least one number", f"{subject.rsplit('.', 1)[-1]}={rates!r}")
    for rate in rates:
        number(subject, rate, above=0)


def given(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes that are not None; refuse counts below 1 and learning rates that are not above 0.

    Args:
        changes: options of `run_table` by name.
    """
    found = {name: value for name, value in changes.items() if value is not None}
    for name in ("layers", "units", "epochs", "pretrain_epochs", "batch_size", "gibbs_steps"):
        if name in found and not isinstance(found[name], Mapping):
            count(f"run_table.{name}", found[name])
    if "learning_rates" in found:
        check_rates("run_table.learning_rates", found["learning_rates"])
    return found


def forget_models() -> None:
    """Free the memory that Keras holds for models that are no longer used; its settings, as the precision, stay.

    Within the scope of a strategy it does nothing, because clearing the session would end the scope.
    """
    if not tf.distribute.has_strategy():
        keras_internals.clear_session()


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation of the sample (n − 1; None for one seed), and the values.

    Example:
        >>> over_seeds([1.0, 3.0])
        {'mean': 2.0, 'std': 1.4142135623730951, 'seeds': [1.0, 3.0]}
    """
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "seeds": list(values),
    }


def mean_and_std(row: Mapping[str, Any]) -> str:
    """Format the result of `over_seeds`.

    Example:
        >>> mean_and_std({"mean": 97.534, "std": 0.211}), mean_and_std({"mean": 97.534, "std": None})
        ('97.53 ± 0.21', '97.53')
    """
    return f"{row['mean']:.2f}" + (f" ± {row['std']:.2f}" if row["std"] is not None else "")
