"""`fused_step`, TensorFlow's kernels, takes the step of `update_step` up to rounding; wrong twins do not."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from optimizers import on_replicas
from oracles import optimizers as oracle
from support import processes
from support.cases import mostly_slow
from support.optimizer import check_fit, check_mixed_precision, feed, make_variables, read
from support.twins import wrong_class

from tf_kit import optimizers

RNG = np.random.default_rng(0)
START = RNG.normal(size=10).astype("float32")
GRADIENTS = RNG.normal(size=(20, 10)).astype("float32")
FORMS = on_replicas.FORMS
TOLERANCE = {
    "rtol": 2e-5,
    "atol": 4e-6,
}  # 1 − β₂ has a relative error of 1e-5 in float32, in the kernel of Adam

OPTIONS = {
    "plain": {"learning_rate": 0.1},
    "schedule, decay, clipping, averages": {
        "learning_rate": optimizers.RobbinsMonro(0.1, 0.75, 3),
        "global_clipnorm": 0.5,
        "weight_decay": 0.1,
        "use_ema": True,
        "ema_momentum": 0.5,
        "ema_overwrite_frequency": 3,
    },
    "accumulation, clipped values": {"gradient_accumulation_steps": 2, "clipvalue": 0.5},
}


def check_equal(make, options, dtype="float32", num_steps=20, tolerance=TOLERANCE, twin=None):
    gradients = GRADIENTS[:num_steps]
    readable, _ = feed(make(fused=False, **options), START.astype(dtype), gradients.astype(dtype), dtype)
    fused, _ = feed((twin or make)(**options), START.astype(dtype), gradients.astype(dtype), dtype)
    np.testing.assert_allclose(fused.astype("float64"), readable.astype("float64"), **tolerance)
    assert np.abs(readable[-1] - readable[0]).max() > 1e-4


@pytest.mark.parametrize("options", mostly_slow(OPTIONS, quick=1))
@pytest.mark.parametrize("name", FORMS)
def test_equals_the_readable_form(name, options):
    check_equal(FORMS[name], OPTIONS[options])


@pytest.mark.parametrize("name", mostly_slow(FORMS, quick=2))
def test_equals_the_readable_form_in_double_precision(name):
    check_equal(FORMS[name], {}, "float64", tolerance={"rtol": 1e-12, "atol": 1e-13})


@pytest.mark.parametrize("name", ["SGD", "RMSProp", "Adam"])
def test_half_precision_weights_take_the_readable_form(name):
    check_equal(FORMS[name], {"learning_rate": 0.1}, "bfloat16", tolerance={"rtol": 0, "atol": 0})


TWINS = [
    ("SGD", "gradient, learning_rate", "gradient, -learning_rate"),
    (
        "Momentum",
        "v, gradient, learning_rate, self.momentum",
        "v, gradient, learning_rate, 1 - self.momentum",
    ),
    ("Momentum average", "(self.momentum - 1)", "self.momentum"),
    ("Momentum average", "-learning_rate", "learning_rate"),
    ("Nesterov", "nesterov=True", "nesterov=False"),
    ("AdaGrad", "gradient, learning_rate", "gradient, 0.5 * learning_rate"),
    ("RMSProp", "self.rho * r", "r"),
    ("RMSProp", "variable, r, g, rate", "variable, r, gradient, rate"),
    ("RMSPropNesterov", "-self.momentum", "self.momentum"),
    ("RMSPropNesterov", ", accumulate=False", ""),
    ("Adam", "iterations + 1", "iterations"),
    ("Adam", "self.beta_2, t", "self.beta_1, t"),
    ("LARS", "self.l2 * w", "w"),
    ("LARS", "_kernels.norm(g)", "1.0"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "token", "wrong"), TWINS)
def test_wrong_twin_takes_another_step(name, token, wrong):
    make = FORMS[name]
    given = make.keywords if isinstance(make, functools.partial) else {}
    owner = make.func if given else make
    twin = functools.partial(wrong_class(owner, "fused_step", token, wrong), **given)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_equal(make, {"learning_rate": 0.1}, num_steps=4, twin=twin)


@pytest.mark.parametrize("beta_2", [0.0, 1e-9, 1e-6, 0.01])
def test_a_short_memory_forgets_a_large_gradient(beta_2):
    """The kernel would lose the small gradients next to a moment of 1, and the steps would explode."""
    gradients = np.full((3, 10), 1e-4, "float32")
    gradients[0] = 1
    settings = {"learning_rate": 0.001, "beta_1": 0.0, "beta_2": beta_2}
    seen = iter(gradients)
    expected = oracle.adam(START, lambda _: next(seen), [0.001] * 3, 0.0, beta_2, 1e-8)
    np.testing.assert_allclose(feed(optimizers.Adam(**settings), START, gradients)[0], expected, atol=1e-5)


@pytest.mark.slow
def test_epsilon_stands_where_the_slide_has_it():
    """A large δ shows its place; the kernel of Adam alone has it before the correction."""
    for make in (optimizers.Adam, optimizers.AdaGrad, optimizers.RMSProp, optimizers.RMSPropNesterov):
        check_equal(make, {"learning_rate": 0.1, "epsilon": 0.5})
    before_correction = "self.epsilon / ops.sqrt(1 - powers[1])"
    twin = wrong_class(optimizers.Adam, "fused_step", "self.epsilon", before_correction)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_equal(optimizers.Adam, {"learning_rate": 0.1, "epsilon": 0.5}, twin=twin)


def test_is_taken_in_a_loop_within_a_graph():
    make = functools.partial(
        optimizers.Adam, optimizers.WarmupCosine(0.1, 5, 20), use_ema=True, weight_decay=0.1
    )
    expected, _ = feed(make(fused=False), START, GRADIENTS)
    variables, optimizer = make_variables(START), make()
    optimizer.build(variables)

    @tf.function
    def train():
        for gradient in tf.constant(GRADIENTS):  # a tf.while_loop
            parts = tf.split(gradient, [6, 4])
            optimizer.apply([tf.reshape(parts[0], (2, 3)), parts[1]], variables)

    train()
    np.testing.assert_allclose(read(variables), expected[-1], **TOLERANCE)
    loops = [each for each in train.get_concrete_function().graph.get_operations() if "While" in each.type]
    assert len(loops) == 1


def test_graph_has_one_kernel_for_each_weight():
    variables, optimizer = make_variables(START), optimizers.Adam()
    optimizer.build(variables)
    gradients = [ops.ones(each.shape) for each in variables]
    step = tf.function(lambda: optimizer.apply(gradients, variables))
    kinds = [each.type for each in step.get_concrete_function().graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == len(variables)


def test_own_formula_of_a_subclass_is_used():
    class Halved(optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, 0.5 * gradient)

    path, _ = feed(Halved(), START, GRADIENTS[:1])
    np.testing.assert_allclose(path[0], START - 0.5 * GRADIENTS[0], rtol=1e-6)
    replaced = optimizers.SGD(0.1)
    replaced.update_step = lambda gradient, variable, learning_rate: variable.assign_add(gradient)
    path, _ = feed(replaced, START, GRADIENTS[:1])
    np.testing.assert_allclose(path[0], START + GRADIENTS[0], rtol=1e-6)


@pytest.mark.slow
def test_form_to_read_fits_saves_and_loads(tmp_path):
    check_fit(functools.partial(optimizers.Adam, fused=False), tmp_path / "model.keras")
    check_mixed_precision(functools.partial(optimizers.Adam, fused=False))


@pytest.mark.parametrize("fused", [True, False])
def test_state_of_one_form_continues_in_the_other(fused, tmp_path):
    whole, _ = feed(optimizers.RMSPropNesterov(0.1), START, GRADIENTS)
    first, second = (optimizers.RMSPropNesterov(0.1, fused=each, name="mine") for each in (fused, not fused))
    _, variables = feed(first, START, GRADIENTS[:10])
    second.build(variables)
    assert [(v.path, v.shape) for v in second.variables] == [(v.path, v.shape) for v in first.variables]
    store = {}
    first.save_own_variables(store)
    second.load_own_variables(store)
    for gradient in GRADIENTS[10:]:
        second.apply([ops.convert_to_tensor(part) for part in make_variables(gradient)], variables)
    np.testing.assert_allclose(read(variables), whole[-1], **TOLERANCE)


def test_fits_in_a_model_compiled_with_jit_compile():
    weights = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(3)])
        model.compile(optimizers.Adam(), "mse", jit_compile=jit_compile)
        model.train_on_batch(GRADIENTS, GRADIENTS[:, :3])
        weights.append(model.get_weights()[0])
    np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6)


def test_loads_configurations_of_earlier_versions():
    config = {"learning_rate": 0.1, "jit_update": True, "name": "mine"}
    assert optimizers.Adam.from_config(config).get_config() == optimizers.Adam(**config).get_config()


def test_takes_the_step_under_a_strategy():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        weights, optimizer = keras.Variable(START), optimizers.Adam(0.1)
        optimizer.build([weights])
    gradient = ops.convert_to_tensor(GRADIENTS[0])
    step = tf.function(lambda: optimizer.apply([gradient], [weights]))
    strategy.run(step)
    np.testing.assert_allclose(weights.numpy(), START - 0.1 * np.sign(GRADIENTS[0]), rtol=1e-5)


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one_device(tmp_path):
    """Fused on two replicas, which sum their gradients, against the readable form on one device."""
    out = tmp_path / "two.npz"
    with processes.running(on_replicas.__file__, 2, out):
        alone = on_replicas.results(tf.distribute.get_strategy(), fused=False)
    together = np.load(out)
    assert set(together) == set(alone)
    for name, path in alone.items():
        np.testing.assert_allclose(together[name], path, err_msg=name, **TOLERANCE)
