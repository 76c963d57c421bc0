import math
import re

import keras
import numpy as np
import pytest
from design.sick_runs import RUNS, Run
from support.twins import wrong_twin

from tf_kit.design import TrainingMonitor, diagnose, monitoring, read_history
from tf_kit.networks import gradient_norms, mlp
from tf_kit.pretraining import linear_probe
from tf_kit.training import Classifier

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def examples(n=48):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)).astype("float32")
    return x, (x[:, 0] > 0).astype("int64")


def network(optimizer=None, **compile_arguments):
    """Model with random layers, moving statistics and penalties, which a monitor could disturb."""
    keras.utils.set_random_seed(3)
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, name="deep")], name="inner")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.GaussianNoise(0.1),
            inner,
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.4),
            keras.layers.Dense(2, kernel_regularizer="l2", kernel_constraint="max_norm", name="logits"),
        ]
    )
    arguments = {"loss": LOSS, "metrics": ["accuracy"], "jit_compile": False, **compile_arguments}
    model.compile(optimizer or keras.optimizers.Adam(0.01), **arguments)
    return model


# Records, each as a check that a wrong twin must fail.


def check_gradient_norms(module):
    x, y = examples()
    model = network()
    monitor = module.TrainingMonitor(x[:9], y[:9])
    before = gradient_norms(model, x[:9], y[:9], LOSS)
    model.fit(x, y, epochs=2, batch_size=16, verbose=0, callbacks=[monitor])
    after = gradient_norms(model, x[:9], y[:9], LOSS)
    names = ["inner/deep", "norm", "logits"]
    recorded = [name for name in monitor.history if name.startswith("gradient_norm/")]
    assert recorded == [f"gradient_norm/{name}" for name in names]
    for name in names:
        values = monitor.history[f"gradient_norm/{name}"]
        np.testing.assert_allclose(values[[0, -1]], [before[name], after[name]], rtol=1e-4)


def check_update_ratio(module):
    """Gradient descent on one full batch has Δθ = −η·∇J, which is known before the step."""
    x, y = examples()
    model = mlp((5,), 2, "tanh", input_shape=(4,), seed=0)
    model.compile(keras.optimizers.SGD(0.3), LOSS)
    monitor = module.TrainingMonitor(x, y)
    weights = {name: model.get_layer(name).get_weights() for name in ("hidden_1", "logits")}
    model.fit(x, y, epochs=2, batch_size=len(x), verbose=0, callbacks=[monitor])
    for name, values in weights.items():
        norm = math.sqrt(sum(np.square(value).sum() for value in values))
        expected = 0.3 * monitor.history[f"gradient_norm/{name}"][0] / norm
        np.testing.assert_allclose(monitor.history[f"update_ratio/{name}"][1], expected, rtol=1e-4)
        assert math.isnan(monitor.history[f"update_ratio/{name}"][0])


def check_losses_and_errors(module):
    x, y = examples()
    model = network()
    monitor = module.TrainingMonitor(x, y)
    cost = model.evaluate(x, y, verbose=0)[0]
    log = model.fit(x, y, validation_data=(x, y), epochs=3, verbose=0, callbacks=[monitor]).history
    history = monitor.history
    np.testing.assert_array_equal(history["epoch"], [0, 1, 2, 3])
    np.testing.assert_allclose(history["probe_loss"][[0, -1]], [cost, log["val_loss"][-1]], rtol=1e-5)
    for name, expected in (
        ("loss", log["loss"]),
        ("val_loss", log["val_loss"]),
        ("error", 1 - np.array(log["accuracy"])),
        ("val_error", 1 - np.array(log["val_accuracy"])),
    ):
        np.testing.assert_allclose(history[name], [math.nan, *expected], rtol=1e-6, err_msg=name)


def check_accuracies(module):
    logs = {"val_binary_accuracy": 0.25, "loss": 3.0, "binary_accuracy": 0.75}
    for ordered in (logs, dict(reversed(logs.items()))):
        assert (module._error(ordered, ""), module._error(ordered, "val_")) == (0.25, 0.75)
    assert module._error({"loss": 3.0, "val_acc": 0.25}, "") is None


def check_nothing_changes(module):
    x, y = examples()
    results = []
    for watched in (False, True):
        model = network()
        callbacks = [module.TrainingMonitor(x[:9], y[:9])] if watched else []
        log = model.fit(x, y, epochs=2, batch_size=16, validation_split=0.2, verbose=0, callbacks=callbacks)
        values = [keras.ops.convert_to_numpy(each) for each in model.variables + model.optimizer.variables]
        results.append((values, log.history, keras.random.uniform(()), np.random.random()))
    (plain, log, *draws), (watched, watched_log, *watched_draws) = results
    for one, other in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(one, other)
    for name in log:
        np.testing.assert_array_equal(log[name], watched_log[name])
    np.testing.assert_array_equal(draws, watched_draws)


CHECKS = [
    check_gradient_norms,
    check_update_ratio,
    check_losses_and_errors,
    check_accuracies,
    check_nothing_changes,
]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_record(check):
    check(monitoring)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_gradient_norms, "np.sum(np.square(array))", "np.sum(np.abs(array))"),
        (check_gradient_norms, 'f"{prefix}{layer.name}/"', '""'),
        (check_update_ratio, "new - old for", "new + old for"),
        (check_update_ratio, "/ (_norm(self._before[name])", "/ (_norm(after)"),
        (check_accuracies, "return 1 - value", "return value"),
        (check_accuracies, "if name.startswith(prefix) and (prefix or not", "if True and (prefix or not"),
        (check_accuracies, "(prefix or not", "(True or not"),
        (check_losses_and_errors, "self._record(epoch + 1,", "self._record(epoch,"),
        (check_nothing_changes, "cost, gradients = self._probe(self.x, self.y)",
         "cost, gradients = self._probe(self.x, self.y); self.model(self.x, training=True)"),
    ],
)  # fmt: skip
def test_wrong_twin_of_the_record(check, right, wrong):
    with pytest.raises(AssertionError):
        check(wrong_twin(monitoring, right, wrong))


@pytest.mark.slow
def test_csv_holds_the_history(tmp_path):
    x, y = examples()
    monitor = TrainingMonitor(x, y, csv=tmp_path / "new" / "run.csv")
    network().fit(x, y, epochs=2, verbose=0, callbacks=[monitor])
    loaded = read_history(tmp_path / "new" / "run.csv")
    assert list(loaded) == list(monitor.history)
    for name, values in monitor.history.items():
        np.testing.assert_array_equal(loaded[name], values)


@pytest.mark.slow
def test_csv_continues_in_a_resumed_run(tmp_path):
    x, y = examples()
    model = network()
    for first, last in ((0, 3), (2, 4)):  # the second run starts again after epoch 2
        monitor = TrainingMonitor(x, y, csv=tmp_path / "run.csv")
        model.fit(x, y, initial_epoch=first, epochs=last, verbose=0, callbacks=[monitor])
    np.testing.assert_array_equal(read_history(tmp_path / "run.csv")["epoch"], [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(monitor.history["epoch"], [0, 1, 2, 3, 4])
    assert np.isfinite(monitor.history["update_ratio/logits"][1:]).all()


@pytest.mark.slow
def test_monitor_records_one_run_after_another():
    x, y = examples()
    monitor = TrainingMonitor(x, y)
    for model in (network(), mlp((3,), 2, input_shape=(4,))):
        model.compile("sgd", LOSS)
        model.fit(x, y, epochs=1, verbose=0, callbacks=[monitor])
    assert [name for name in monitor.history if "ratio" in name] == [
        "update_ratio/hidden_1",
        "update_ratio/logits",
    ]
    assert len(monitor.history["loss"]) == 2


def test_shared_layers_are_recorded_once_and_weights_of_the_model_last():
    @keras.saving.register_keras_serializable(package="tests")
    class Scaled(keras.Model):
        def __init__(self, dense):
            super().__init__(name="scaled")
            self.dense, self.again = dense, keras.Sequential([dense], name="again")
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, inputs):
            return self.again(self.dense(inputs)) * self.scale

    x = np.random.default_rng(0).normal(size=(8, 3))
    model = Scaled(keras.layers.Dense(3, name="dense"))
    model.compile("sgd", "mse")
    monitor = TrainingMonitor(x, x)
    model.fit(x, x, epochs=1, verbose=0, callbacks=[monitor])
    names = [name for name in monitor.history if name.startswith("gradient_norm/")]
    assert names == ["gradient_norm/dense", "gradient_norm/scaled"]


def small():
    layers = [keras.layers.Dense(6, "relu", name="first"), keras.layers.Dense(2, name="last")]
    return keras.Sequential([keras.Input((4,)), *layers])


def recorded(monitor):
    return [name.split("/", 1)[1] for name in monitor.history if name.startswith("gradient_norm/")]


def check_record_of(model, monitor, x, y, loss):
    """The record after `fit` is that of a new monitor."""
    names = [name for name in ("first", "last") if model.get_layer(name).trainable_variables]
    model.fit(x, y, epochs=1, verbose=0, callbacks=[monitor])
    assert recorded(monitor) == names
    norms = gradient_norms(model, x, y, loss)
    for name in names:
        np.testing.assert_allclose(monitor.history[f"gradient_norm/{name}"][-1], norms[name], rtol=1e-4)
        assert monitor.history[f"update_ratio/{name}"][-1] > 0
    cost = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(monitor.history["probe_loss"][-1], cost, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("order", [(True, False, True), (False, True, False)])
def test_monitor_follows_layers_that_are_frozen_or_unfrozen_between_runs(order):
    x, y = examples()
    model, monitor = small(), TrainingMonitor(x, y)
    for trainable in order:
        model.get_layer("first").trainable = trainable
        model.compile(keras.optimizers.Adam(), LOSS, jit_compile=False)
        check_record_of(model, monitor, x, y, LOSS)


@pytest.mark.slow
def test_monitor_follows_the_compiled_loss():
    x, _ = examples()
    model, monitor = small(), TrainingMonitor(x, x[:, :2])
    for loss in ("mse", "mae", keras.losses.Huber(0.1), keras.losses.Huber(0.2)):
        model.compile(keras.optimizers.SGD(), loss, jit_compile=False)
        check_record_of(model, monitor, x, x[:, :2], loss)


def test_probe_is_traced_once_for_runs_of_the_same_kind():
    x, y = examples()
    model, monitor = small(), TrainingMonitor(x, y)
    probes = set()
    for _ in range(2):
        model.compile("sgd", LOSS)
        model.fit(x, y, epochs=1, verbose=0, callbacks=[monitor])
        probes.add(monitor._probe)
    assert len(probes) == 1


def test_frozen_encoder_is_not_recorded():
    """The variables of the encoder can be trained, but the classifier trains only its head."""
    x, y = examples()
    model = linear_probe(mlp((3,), num_classes=None, input_shape=(4,)), 2)
    monitor = TrainingMonitor(x, y, loss=LOSS)
    model.fit(x, y, epochs=1, verbose=0, callbacks=[monitor])
    (head,) = recorded(monitor)
    assert head == model.head.name
    np.testing.assert_allclose(
        monitor.history[f"gradient_norm/{head}"][-1], gradient_norms(model, x, y, LOSS)[head], rtol=1e-4
    )


def test_epoch_without_its_first_step_has_no_update_ratio():
    x, y = examples()
    model = Classifier(mlp((3,), num_classes=None, input_shape=(4,)), 2)
    model.compile(keras.optimizers.SGD(0.1))
    monitor = TrainingMonitor(x, y, loss=LOSS)
    for _ in range(2):  # nor does it repeat that of an earlier run
        model.fit(x, y, batch_size=16, epochs=2, initial_step=1, verbose=0, callbacks=[monitor])
        ratios = [values for name, values in monitor.history.items() if name.startswith("update_ratio/")]
        np.testing.assert_array_equal(np.isnan(ratios), [[True, True, False]] * 2)


def test_zero_weights_have_no_update_ratio():
    x, y = examples()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, kernel_initializer="zeros")])
    model.compile("sgd", LOSS)
    monitor = TrainingMonitor(x, y)
    model.fit(x, y, epochs=1, batch_size=48, verbose=0, callbacks=[monitor])
    (ratio,) = (values for name, values in monitor.history.items() if name.startswith("update_ratio/"))
    assert math.isnan(ratio[1])


IN_ORDER = [LOSS, "mse"], [1.0, 5.0]
BY_NAME = {"a": LOSS, "b": "mse"}, {"a": 1.0, "b": 5.0}


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(
    ("outputs", "given"),
    [(list, IN_ORDER), (list, BY_NAME), (dict, BY_NAME)],
    ids=["list", "named list", "dict"],
)
def test_several_outputs_are_recorded_with_their_compiled_losses_and_weights(outputs, given, weighted):
    inputs = keras.Input((4,))
    named = {name: keras.layers.Dense(2, name=name)(inputs) for name in ("a", "b")}
    model = keras.Model(inputs, named if outputs is dict else list(named.values()))
    losses, weights = given
    model.compile("sgd", losses, loss_weights=weights if weighted else None)
    x, y = examples()
    targets = {"a": y, "b": x[:, :2]}
    targets = targets if outputs is dict else list(targets.values())
    monitor = TrainingMonitor(x, targets)
    costs = []
    for _ in range(2):
        costs.append(model.evaluate(x, targets, batch_size=len(x), verbose=0)[0])
        model.fit(x, targets, epochs=1, verbose=0, callbacks=[monitor])
        np.testing.assert_allclose(monitor.history["probe_loss"][0], costs[-1], rtol=1e-5)
    assert costs[1] < costs[0]


@pytest.mark.slow
def test_weights_of_the_losses_may_change_between_runs():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(2, name=name)(inputs) for name in ("a", "b")])
    x, y = examples()
    targets = [y, x[:, :2]]
    monitor, losses = TrainingMonitor(x, targets), [LOSS, "mse"]
    for weights in (None, [1.0, 5.0], [2.0, 0.5]):
        model.compile("sgd", losses, loss_weights=weights)
        cost = model.evaluate(x, targets, batch_size=len(x), verbose=0)[0]
        model.fit(x, targets, epochs=1, verbose=0, callbacks=[monitor])
        np.testing.assert_allclose(monitor.history["probe_loss"][0], cost, rtol=1e-5)


# Diagnoses of real runs.


# The demo of this topic covers one run of each other kind.
@pytest.mark.parametrize(
    ("name", "seeds"),
    [("dead units", 1), *(pytest.param(name, 3, marks=pytest.mark.slow) for name in RUNS)],
)
def test_diagnosis_of_real_runs(name, seeds):
    expected, arguments = RUNS[name]
    run = Run(**arguments)
    for seed in range(seeds):
        watched, plain = run.histories(seed)
        found = diagnose(watched)
        assert found.name == expected, f"seed {seed}: {found}"
        if expected != "saturated":  # without gradients it may look too slow
            assert diagnose(plain).name == expected, f"seed {seed}"
        else:
            assert diagnose(plain).name in ("saturated", "too slow")


# Diagnoses of curves, one check per rule that a wrong twin must fail.

E = np.arange(1, 13)
GOOD = 2.3 * 0.6**E


def named(module, losses, **others):
    return module.diagnose({"loss": losses, **others}).name


def check_rule_1(module):
    assert named(module, [2.3, 1.0, math.nan]) == "diverging"
    assert named(module, [2.3, 1.0, math.inf, 0.5, 0.4, 0.3, 0.2]) == "diverging"
    assert named(module, 2.3 * 1.02**E) == "diverging"
    assert named(module, np.full(12, 2.35), probe_loss=[2.3] * 12) != "diverging"


def check_rule_2(module):
    slow = 2.3 - 0.01 * E

    def starved(first, last):
        gradients = {"gradient_norm/first": [first] * 13, "gradient_norm/last": [last] * 13}
        return named(module, [math.nan, *slow], probe_loss=[2.3] * 13, **gradients)

    assert starved(0.001, 0.06) == "saturated"
    assert starved(0.002, 0.06) == "too slow"
    assert starved(0.06, 0.001) == "too slow"  # the last layer is not hidden
    assert starved(0.0, 0.0) == "too slow"


def check_rule_3(module):
    assert named(module, [2.3, 1.0, 0.3, 0.2, 0.5, 0.8, 0.9, 1.0, 1.0]) == "diverging"
    assert named(module, [2.3, 1.0, 0.3, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6]) != "diverging"


def check_rule_4(module):
    wobble = (-1.0) ** E
    assert named(module, 2.3 * np.exp(-E / 4) + 0.3 + 0.07 * wobble) == "noisy"
    assert named(module, 2.3 * np.exp(-E / 2) + 0.3 + 0.02 * wobble) == "healthy"
    assert named(module, 2.3 - 0.05 * E) == "too slow"  # a slope is not noise
    assert named(module, [2.3, 2.2, 2.0, 1.7, 1.3, 0.9, 0.6, 0.4, 0.3, 0.2]) == "healthy"  # nor is a bend


def check_rules_5_and_6(module):
    assert named(module, 1.9 + 0.4 * 0.3**E) == "saturated"
    assert named(module, np.full(12, 0.7)) == "saturated"
    assert named(module, 2.3 - 0.02 * E) == "too slow"
    assert named(module, np.linspace(2.3, 0.5, 12)) == "healthy"


def check_rule_7(module):
    assert named(module, GOOD, val_loss=GOOD + 0.1) == "healthy"
    assert named(module, GOOD, val_loss=GOOD + 0.5) == "overfitting"
    turning = 2.3 * 0.6**E + np.where(E > 4, 0.04 * (E - 4), 0) - 0.1
    assert named(module, GOOD, val_loss=turning) == "overfitting"
    assert named(module, GOOD) == "healthy"
    assert named(module, GOOD, val_loss=[math.nan] * 12) == "healthy"
    for every in (2, 3, 5, 12):  # epochs between two validations
        run = E % every == 0
        for name, validation in (
            ("healthy", GOOD + 0.1),
            ("overfitting", GOOD + 0.5),
            ("overfitting", turning),
        ):
            if validation is turning and every > 3:
                continue  # too few values to see the turn
            assert named(module, GOOD, val_loss=validation[run]) == name
            assert named(module, GOOD, val_loss=np.where(run, validation, math.nan)) == name


RULES = [check_rule_1, check_rule_2, check_rule_3, check_rule_4, check_rules_5_and_6, check_rule_7]


@pytest.mark.parametrize("check", RULES)
def test_rule(check):
    check(monitoring)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_rule_1, "if not np.isfinite([start", "if np.isnan([start"),
        (check_rule_1, "end > 1.05 * start", "end > 2 * start"),
        (check_rule_1, "end > 1.05 * start", "end > start"),
        (check_rule_2, "if stuck and starved", "if stuck and not starved"),
        (check_rule_2, "norms[name] >= last / 50", "norms[name] >= last / 90"),
        (check_rule_2, "norms[name] >= last / 50", "norms[name] > last / 50"),
        (check_rule_3, "end - best > start / 4", "end - best > start / 9"),
        (check_rule_3, "end - best > start / 4", "end - best > start"),
        (check_rule_4, "np.maximum(np.diff(losses[len(losses) // 2 - 1 :]), 0)",
         "np.diff(losses[len(losses) // 2 - 1 :])"),
        (check_rule_4, "np.maximum(np.diff", "np.minimum(np.diff"),
        (check_rule_4, "noise > start / 50", "noise > start / 500"),
        (check_rules_5_and_6, "pace <= mean_pace / 5", "pace > mean_pace / 5"),
        (check_rules_5_and_6, "end > start / 2", "end > start / 9"),
        (check_rule_7, "held_out - end > 0.15 * start", "end - held_out > 0.15 * start"),
        (check_rule_7, "held_out - lowest > 0.05 * start", "held_out - lowest > 0.5 * start"),
    ],
)  # fmt: skip
def test_wrong_twin_of_a_rule(check, right, wrong):
    with pytest.raises((AssertionError, ValueError)):
        check(wrong_twin(monitoring, right, wrong))


def test_noise_is_the_standard_deviation_of_white_noise():
    white = np.random.default_rng(0).normal(size=20_000)
    reason = diagnose({"loss": [4.0, 4.0, *(1 + 0.1 * white)]}).reason
    found = float(re.search(r"jumps by ([0-9.]+) ", reason)[1])
    np.testing.assert_allclose(found, 0.1, rtol=0.03)


def test_reasons_give_the_numbers():
    assert diagnose({"loss": [2.0, 1.5, math.nan]}).reason == "the loss is not finite in epoch 3"
    assert "0.7" in diagnose({"loss": [0.7] * 8}).reason
    found = diagnose({"loss": GOOD, "val_loss": GOOD + 0.5})
    assert "validation loss 0.5" in found.reason
    assert found.remedy.startswith("stop early")
    turning = np.array([1.0, 0.3, 0.4, 0.45])
    recorded_each_third = np.full(12, math.nan)
    recorded_each_third[2::3] = turning
    for validation, after in ((turning, "validation 2"), (recorded_each_third, "epoch 6")):
        found = diagnose({"loss": 0.3 + GOOD, "val_loss": validation})
        assert found.reason == f"validation loss rose from 0.3 after {after} to 0.45"


def test_diagnosis_does_not_depend_on_the_scale_of_the_loss():
    for scale in (1e-4, 1e4):
        assert diagnose({"loss": scale * GOOD}).name == "healthy"
        assert diagnose({"loss": scale * (2.3 - 0.02 * E)}).name == "too slow"


@pytest.mark.slow
def test_diagnose_accepts_every_kind_of_record(tmp_path):
    x, y = examples()
    monitor = TrainingMonitor(x, y, csv=tmp_path / "run.csv")
    model = mlp((8,), 2, "tanh", input_shape=(4,))
    model.compile(keras.optimizers.Adam(0.05), LOSS)
    plain = model.fit(x, y, epochs=8, verbose=0, callbacks=[monitor])
    records = [monitor, monitor.history, read_history(tmp_path / "run.csv"), plain, plain.history]
    assert {diagnose(record).name for record in records} == {"healthy"}


# Errors.


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({}, "Received: []"),
        ({"val_loss": [1.0]}, "['val_loss']"),
        ({"loss": []}, "['loss']"),
        ({"loss": [1.0] * 5}, "hold at least 6 epochs. Received: 5"),
        ({"loss": [math.nan], "probe_loss": [1.0]}, "at least one epoch"),
        (3.0, "Received: 3.0"),
        ({"loss": [-0.1, -0.4, -0.6, -0.7, -0.8, -0.81]}, "at least 0, which is their aim. Received: -0.81"),
        ({"loss": [1.0] * 6, "val_loss": [1.0, math.nan, -0.5]}, "Received: -0.5"),
        ({"loss": [[1.0]] * 6}, "one number for each epoch. Received: loss=[[1.0]"),
        (
            {"loss": [1.0] * 6, "val_loss": ["low"] * 6},
            "one number for each epoch. Received: val_loss=['low'",
        ),
        ({"loss": 1.0}, "one number for each epoch. Received: loss=1.0"),
    ],
)
def test_diagnose_refuses(history, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        diagnose(history)


def test_diagnose_passes_over_columns_that_are_not_numbers():
    record = {"loss": 2.3 * 0.5**E, "phase": ["warm"] * len(E), "confusion": [np.eye(2)] * len(E)}
    assert diagnose(record).name == "healthy"


def test_monitor_refuses_runs_without_loss_or_trainable_weights():
    x, y = examples()

    class Own(keras.Model):
        def train_step(self, data):
            return {"loss": 0.0}

    model = Own()
    model.compile("sgd")
    with pytest.raises(ValueError, match="compiled without a loss"):
        model.fit(x, y, verbose=0, callbacks=[TrainingMonitor(x, y)])
    frozen = mlp((3,), 2, input_shape=(4,))
    frozen.trainable = False
    frozen.compile("sgd", LOSS)
    with pytest.raises(ValueError, match=r"trainable weights\. Received: mlp"):
        frozen.fit(x, y, verbose=0, callbacks=[TrainingMonitor(x, y)])


def test_read_history_refuses_other_files(tmp_path):
    for content in (
        b"",
        b"epoch,loss\n0,much\n",
        b"epoch,loss\n0\n",
        b"\x89PNG\r\n\x1a\n",
        b"epoch,loss\n0,\0",
    ):
        (tmp_path / "other.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"other\.csv"):
            read_history(tmp_path / "other.csv")
