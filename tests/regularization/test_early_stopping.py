"""Topic 07: early stopping, the restored weights, retraining, and the equivalent l2 penalty."""

import keras
import numpy as np
import pytest
from oracles import regularization as oracle
from support.cases import mostly_slow
from support.twins import wrong_twin

from tf_kit.regularization import EarlyStopping, early_stopping, equivalent_l2, retrain_on_all

# What stopping equals


def check_equivalence(module):
    """Gradient descent from zero, stopped at τ, reaches the minimum of loss + l2 penalty in every eigendirection."""
    rng = np.random.default_rng(7)
    q, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    eigenvalues, target = np.array([0.0, 0.01, 0.7, 3.0]), rng.normal(size=4)
    hessian = q @ np.diag(eigenvalues) @ q.T
    for num_steps in (1, 7, 200):
        stopped = oracle.descend(lambda w: hessian @ (w - target), np.zeros(4), 0.1, num_steps)
        alpha = module.equivalent_l2(eigenvalues, 0.1, num_steps)
        penalized = q @ (eigenvalues / (eigenvalues + alpha) * (q.T @ target))
        np.testing.assert_allclose(stopped, penalized, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(module.equivalent_l2([0.0, 1e-12], 0.1, 7), 1 / 0.7, rtol=1e-9)


def test_early_stopping_equals_l2_in_every_eigendirection():
    check_equivalence(early_stopping)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("np.log1p(-learning_rate * h)", "np.log1p(-learning_rate * h / 2)"),
        ("h * np.exp(log_left)", "h / np.exp(log_left)"),
        ("arrived = -np.expm1", "arrived = np.expm1"),
        ("1 / (learning_rate * num_steps)", "1 / learning_rate"),
    ],
)
def test_rejects_wrong_twins(right, wrong):
    with pytest.raises(AssertionError, match=r"[Nn]ot equal"):
        check_equivalence(wrong_twin(early_stopping, right, wrong))


def test_equivalence_at_its_limits():
    assert equivalent_l2(10.0, 0.1, 5) == 0  # one step reaches the minimum: no penalty
    assert equivalent_l2(1e-300, 0.1, 1000) == pytest.approx(0.01)
    assert np.all(np.diff(equivalent_l2(np.linspace(0, 9, 50), 0.1, 20)) < 0)


# The callback


def tiny_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def run(callbacks, values, model):
    """Call the callback as `fit` does, with given validation values and the epoch stored in the weights."""
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    model.stop_training = False
    for epoch, value in enumerate(values):
        model.set_weights([np.full((1, 1), epoch), np.zeros(1)])
        for callback in callbacks:
            callback.on_epoch_end(epoch, {"loss": 0.0, "val_loss": value, "val_accuracy": value})
        if model.stop_training:
            break
    for callback in callbacks:
        callback.on_train_end()
    return epoch + 1, model.get_weights()[0].item()


def play(values, **arguments):
    stopper = EarlyStopping(**arguments)
    return stopper, *run([stopper], values, tiny_model())


def test_stops_after_patience_and_restores_the_best():
    stopper, epochs, kept = play([3.0, 1.0, 2.0, 1.0, 1.5, 0.5], patience=3)
    assert (stopper.best_epoch, stopper.best_value, stopper.stopped_epoch, epochs, kept) == (1, 1.0, 4, 5, 1)
    assert stopper.num_epochs == 2


def test_restores_the_best_after_the_last_epoch():
    stopper, epochs, kept = play([3.0, 1.0, 2.0], patience=10)
    assert (stopper.best_epoch, stopper.stopped_epoch, epochs, kept) == (1, None, 3, 1)


def test_stops_at_the_same_epoch_as_keras():
    values = [5.0, 4.0, 4.1, 3.9, 4.2, 4.3, 3.0, 3.1, 3.2, 3.3]
    for patience in (1, 2, 3):
        reference = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
        expected = run([reference], values, tiny_model())
        stopper, *got = play(values, patience=patience)
        assert (stopper.best_epoch, *got) == (reference.best_epoch, *expected)


@pytest.mark.parametrize(
    ("arguments", "best"),
    [
        ({"monitor": "val_accuracy"}, 2),
        ({"monitor": "val_accuracy", "mode": "min"}, 0),
        ({"monitor": "val_loss"}, 0),
        ({"monitor": "val_loss", "mode": "max"}, 2),
        ({"monitor": "val_loss", "mode": "max", "min_delta": 0.25}, 1),
    ],
)
def test_mode_and_min_delta(arguments, best):
    assert play([0.1, 0.5, 0.7], patience=5, **arguments)[0].best_epoch == best


def metric(kind, **arguments):
    return getattr(keras.metrics, kind)(**arguments)


@pytest.mark.parametrize(
    ("metrics", "monitor", "rises"),
    [
        ([metric("MeanIoU", num_classes=2)], "val_mean_io_u", True),
        ([metric("FBetaScore")], "val_fbeta_score", True),
        ([metric("R2Score", name="p")], "val_p", True),
        ([metric("MeanAbsoluteError", name="score")], "val_score", False),
        ([metric("KLDivergence")], "val_kl_divergence", False),
        (["mae"], "dense_mae", False),
        ([], "val_io_u", True),
        ([], "val_head_recall", True),
        ([], "val_similarity_error", False),
        ([], "val_similarity_loss", False),
        ([], "val_acc_loss", False),
        ([], "precision_loss", False),
    ],
)
def test_mode_auto_knows_the_direction(metrics, monitor, rises):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, name="dense")])
    model.compile("sgd", "mse", metrics=metrics)
    model.compute_metrics(None, np.ones((2, 2)), np.ones((2, 2)))  # builds them
    stopper = EarlyStopping(monitor)
    stopper.set_model(model)
    for epoch, value in enumerate([0.1, 0.5]):
        stopper.on_epoch_end(epoch, {monitor: value})
    assert stopper.best_epoch == (1 if rises else 0)


def test_waits_for_a_validation_that_comes_later():
    stopper = EarlyStopping(patience=2)
    stopper.set_model(tiny_model())
    for epoch, value in enumerate([None, 3.0, None, 1.0, None, None, None]):
        stopper.on_epoch_end(epoch, {"loss": 1.0, **({} if value is None else {"val_loss": value})})
    stopper.on_train_end()
    assert (stopper.best_epoch, stopper.stopped_epoch) == (3, None)


@pytest.mark.parametrize("num_epochs", [1, 3])
def test_refuses_a_validation_that_never_comes(num_epochs):
    stopper = EarlyStopping(patience=2)
    stopper.set_model(tiny_model())
    for epoch in range(min(num_epochs, 2)):
        stopper.on_epoch_end(epoch, {"loss": 1.0})
    end = stopper.on_train_end if num_epochs == 1 else lambda: stopper.on_epoch_end(2, {"loss": 1.0})
    with pytest.raises(ValueError, match=r"'val_loss' with logs .* Pass validation_data to fit"):
        end()


def test_nan_never_counts_as_better(capsys):
    assert play([np.nan, 2.0, np.nan], patience=5)[0].best_epoch == 1
    stopper, epochs, kept = play([np.nan] * 4, patience=2, verbose=1)
    assert (stopper.best_epoch, stopper.num_epochs, epochs, kept) == (None, None, 2, 1)
    assert capsys.readouterr().out == "No weights restored: val_loss was not finite in any epoch\n"


def test_restores_moving_statistics():
    model = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    kept = []
    remember = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(model.get_weights())
    )
    stopper = EarlyStopping("loss", mode="max", patience=9)  # the first epoch has the largest loss
    x = np.random.default_rng(0).normal(size=(32, 2))
    model.fit(x, x[:, :1], epochs=4, callbacks=[remember, stopper], verbose=0)
    assert stopper.best_epoch == 0
    for restored, first in zip(model.get_weights(), kept[0], strict=True):
        np.testing.assert_array_equal(restored, first)


# Training again on everything


def overfitting_data():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 20)).astype("float32")
    y = (x[:, :1] + 3 * rng.normal(size=(60, 1))).astype("float32")
    return (x[:40], y[:40]), (x[40:], y[40:])


def make_model():
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(1, kernel_initializer="glorot_uniform")])
    model.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("count_by", ["epochs", "updates"])
def test_retrains_for_the_best_number_of_epochs_or_updates(count_by):
    train, val = overfitting_data()
    model, stopper = retrain_on_all(
        make_model, train, val, patience=2, epochs=30, batch_size=16, count_by=count_by, seed=3
    )
    assert 0 <= stopper.best_epoch < 28
    steps_an_epoch = 4 if count_by == "epochs" else 3  # 60 or 40 examples in batches of 16
    assert int(model.optimizer.iterations) == stopper.num_epochs * steps_an_epoch
    keras.utils.set_random_seed(3)
    by_hand = make_model()
    x, y = np.concatenate([train[0], val[0]]), np.concatenate([train[1], val[1]])
    if count_by == "epochs":
        by_hand.fit(x, y, epochs=stopper.num_epochs, batch_size=16, verbose=0)
        np.testing.assert_allclose(model.get_weights()[0], by_hand.get_weights()[0], rtol=1e-6)
    assert (
        np.mean((model.predict(val[0], verbose=0) - val[1]) ** 2) < stopper.best_value
    )  # it has seen them now


@pytest.mark.parametrize("together", mostly_slow((2, 1, 3, 10), quick=1))
def test_repeats_the_number_of_updates_whatever_runs_together(together):
    """First run: 3 epochs of 5 updates. An epoch of the second run has 8 updates and ends with a shorter execution."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 20)).astype("float32")
    train, val = (x[:50], x[:50, :1]), (x[50:], x[50:, :1])

    def make():
        model = make_model()
        model.compile(keras.optimizers.SGD(1e-3), "mse", steps_per_execution=together, jit_compile=False)
        return model

    def retrained(epochs):
        model, stopper = retrain_on_all(
            make, train, val, patience=9, epochs=epochs, batch_size=10, count_by="updates"
        )
        return stopper.num_epochs, int(model.optimizer.iterations)

    for epochs, in_last_epoch in ((2, 2), (3, 7), (8, 8)):  # of 10, 15 and 40 updates
        if in_last_epoch == 8 or in_last_epoch % together == 0:
            assert retrained(epochs) == (epochs, 5 * epochs)
        else:
            message = (
                f"end after update {in_last_epoch} of 8 in an epoch. Received: steps_per_execution={together}"
            )
            with pytest.raises(ValueError, match=message):
                retrained(epochs)


def test_accepts_splits_with_x_and_y():
    from types import SimpleNamespace

    train, val = (SimpleNamespace(x=x, y=y) for x, y in overfitting_data())
    _, stopper = retrain_on_all(make_model, train, val, patience=1, epochs=2)
    assert stopper.num_epochs in (1, 2)


@pytest.mark.parametrize(
    ("call", "received"),
    [
        (lambda: EarlyStopping(patience=0), "patience=0"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta=-1"),
        (lambda: EarlyStopping(mode="up"), "mode='up'"),
        (lambda: play([1.0], monitor="val_acc"), "monitor='val_acc' with logs"),
        (lambda: equivalent_l2([1.0, 11.0], 0.1, 3), "eigenvalues from 1.0 to 11.0 with learning_rate=0.1"),
        (lambda: equivalent_l2([-1e-17, 2.0], 0.1, 3), "eigenvalues from -1e-17 to 2.0 .* np.maximum"),
        (lambda: equivalent_l2([np.nan, 1.0], 0.1, 3), "1 nan of 2"),
        (lambda: unknown("val_true_positives"), "monitor='val_true_positives'. Give mode"),
        (lambda: retrain_on_all(never, ([[1.0]], [[1.0]]), ([[1.0]], [1.0])), r"x \(1,\) and y \(\)"),
        (lambda: retrain_on_all(never, ([[1.0]], [1.0]), ([[1.0, 2.0]], [1.0])), r"x \(2,\) and y \(\)"),
        (lambda: equivalent_l2([1.0], 0, 3), "learning_rate=0"),
        (lambda: equivalent_l2([1.0], 0.1, 0), "num_steps=0"),
        (lambda: retrain_on_all(make_model, *overfitting_data(), count_by="steps"), "count_by='steps'"),
        (lambda: retrain_on_all(make_model, 3, 4), "int"),
        *(
            (lambda given=given: retrain_on_all(never, *overfitting_data(), **given), received)
            for given, received in (
                ({"epochs": 0}, "epochs=0"),
                ({"epochs": 1.5}, "epochs=1.5"),
                ({"batch_size": 0}, "batch_size=0"),
                ({"batch_size": 2.5}, "batch_size=2.5"),
                ({"seed": -1}, "seed=-1"),
            )
        ),
        (lambda: retrain_on_all(exploding_model, *overfitting_data(), epochs=2), "val_loss=nan"),
    ],
)
def test_refuses_bad_arguments(call, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        call()


def unknown(monitor):
    stopper = EarlyStopping(monitor)
    stopper.set_model(tiny_model())
    stopper.on_epoch_end(0, {monitor: 1.0})


def never():
    raise AssertionError("called before the arguments were checked")


def exploding_model():
    model = make_model()
    model.compile(keras.optimizers.SGD(1e30), "mse", jit_compile=False)
    return model
