import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from oracles import design as oracle
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from support.cases import mostly_slow
from support.layer import check_layer
from support.twins import use_wrong_twin
from training.test_fit_contract import Table

from tf_kit.design import PCAWhitening, Standardize, ZCAWhitening, condition_number, preprocessing
from tf_kit.design.preprocessing import batches
from tf_kit.errors import InputError

LAYERS = [Standardize, PCAWhitening, ZCAWhitening]
WHITENINGS = [PCAWhitening, ZCAWhitening]


def ellipsoid(n=400, d=5, offset=0.0, seed=0):
    """Correlated data of unequal scales."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.logspace(0, 1, d)
    return x @ np.linalg.qr(rng.normal(size=(d, d)))[0] + offset


def covariance(z):
    z = np.asarray(z, "float64")
    return np.cov(z.reshape(len(z), -1), rowvar=False)


def digits():
    from tf_kit.data import load

    return load("digits", seed=0)[0].x


# Theorems, each as a check that a wrong twin must fail.


def check_standardized(module):
    x = ellipsoid(offset=3.0)
    z = ops.convert_to_numpy(module.Standardize(dtype="float64").adapt(x)(x))
    mean, cov = oracle.mean_and_covariance(x, ddof=0)
    np.testing.assert_allclose(z, (x - mean) / np.sqrt(np.diag(cov)), rtol=1e-9, atol=1e-9)


def check_pca_covariance(module):
    x = ellipsoid(offset=3.0)
    z = module.PCAWhitening(dtype="float64").adapt(x)(x)
    np.testing.assert_allclose(covariance(z), np.eye(5), atol=1e-9)


def check_zca_symmetric(module):
    x = ellipsoid(offset=3.0)
    mean, cov = oracle.mean_and_covariance(x, ddof=1)
    z = module.ZCAWhitening(dtype="float64").adapt(x)(x)
    np.testing.assert_allclose(z, (x - mean) @ oracle.inverse_square_root(cov), rtol=1e-7, atol=1e-9)


def check_inverse(module):
    x = ellipsoid(offset=3.0)
    for name in ("Standardize", "PCAWhitening", "ZCAWhitening"):
        layer = getattr(module, name)(dtype="float64").adapt(x)
        np.testing.assert_allclose(layer.inverse(layer(x)), x, rtol=1e-9, atol=1e-9)


def check_stream_equals_array(module):
    x = ellipsoid(n=101, offset=3.0)
    for name in ("Standardize", "PCAWhitening", "ZCAWhitening"):
        new = getattr(module, name)
        whole = new(dtype="float64").adapt(x)
        parts = new(dtype="float64").adapt(np.split(x, [1, 2, 40, 40, 77]))
        for one, other in zip(whole.weights, parts.weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def check_far_from_zero(module):
    x = ellipsoid(offset=1e4).astype("float32")
    z = ops.convert_to_numpy(module.ZCAWhitening().adapt(x)(x))
    mean, cov = oracle.mean_and_covariance(x.astype("float64"), ddof=1)
    # float32 stores the mean, 1e4, with an error of 5e-4 standard deviations, the same for all examples ...
    np.testing.assert_allclose(z.mean(axis=0), np.zeros(5), atol=1e-3)
    # ... and the difference from it with seven digits.
    expected = (x - mean) @ oracle.inverse_square_root(cov)
    np.testing.assert_allclose(z - z.mean(axis=0), expected, atol=1e-5)


def check_condition_number(module):
    x = ellipsoid(offset=3.0)
    spectrum = np.linalg.eigvalsh(oracle.mean_and_covariance(x, ddof=1)[1])
    np.testing.assert_allclose(module.condition_number(x), spectrum[-1] / spectrum[0])


CHECKS = [
    check_condition_number,
    check_standardized,
    check_pca_covariance,
    check_zca_symmetric,
    check_inverse,
    check_stream_equals_array,
    check_far_from_zero,
]


@pytest.mark.parametrize("check", CHECKS)
def test_theorem(check):
    check(preprocessing)


@pytest.mark.parametrize(
    ("check", "right", "wrong"),
    [
        (check_condition_number, "varying[0] / varying[-1]", "np.sqrt(varying[0] / varying[-1])"),
        (check_standardized, "(inputs - self.mean)", "(inputs + self.mean)"),
        (check_standardized, "np.sqrt(moments.scatter / moments.count)", "moments.scatter / moments.count"),
        (check_pca_covariance, "np.sqrt(eigenvalues[:k] + self.epsilon)", "eigenvalues[:k] + self.epsilon"),
        (check_pca_covariance, "max(moments.count - 1, 1)", "max(moments.count, 1)"),
        (check_zca_symmetric, "ops.matmul(self._project(inputs), ops.transpose(self.directions))  # (2)",
         "self._project(inputs)"),
        (check_inverse, "projected * self.stddev", "projected / self.stddev"),
        (check_inverse, "self.mean + self.stddev * z", "self.stddev * z"),
        (check_stream_equals_array, "(self.count * n / total)", "(n / total)"),
        (check_stream_equals_array, "between * (self.count", "-between * (self.count"),
        (check_stream_equals_array, "delta * (n / total)", "delta * (1 / total)"),
        (check_far_from_zero, "ops.matmul(rows - self.mean, self.directions)",
         "(ops.matmul(rows, self.directions) - ops.matmul(self.mean[None], self.directions))"),
    ],
)  # fmt: skip
def test_wrong_twin(monkeypatch, check, right, wrong):
    use_wrong_twin(monkeypatch, preprocessing, right, wrong)
    with pytest.raises(AssertionError, match="Not equal"):
        check(preprocessing)


def test_slide_dividing_by_the_eigenvalue_turns_the_spread_around():
    """Slide: "dividing every dimension by the corresponding eigenvalue" leaves variance 1/λ."""
    x = ellipsoid()
    layer = PCAWhitening(dtype="float64").adapt(x)
    eigenvalues = ops.convert_to_numpy(layer.stddev) ** 2
    printed = ops.convert_to_numpy(layer(x)) / np.sqrt(eigenvalues)
    np.testing.assert_allclose(np.diag(covariance(printed)), 1 / eigenvalues, rtol=1e-9)
    assert condition_number(x) > 50
    assert condition_number(printed) == pytest.approx(condition_number(x))  # as bad as before
    assert condition_number(layer(x)) == pytest.approx(1)


def test_pca_equals_scikit_learn_up_to_signs():
    x = ellipsoid(offset=3.0)
    ours = np.array(PCAWhitening(num_components=3, dtype="float64").adapt(x)(x))
    theirs = PCA(n_components=3, whiten=True).fit_transform(x)
    signs = np.sign((ours * theirs).sum(axis=0))
    np.testing.assert_allclose(ours, theirs * signs, atol=1e-9)


def test_inverse_of_few_components_equals_the_pca_reconstruction():
    x = ellipsoid(offset=3.0).reshape(400, 5, 1)
    layer = PCAWhitening(num_components=2, dtype="float64").adapt(x)
    pca = PCA(n_components=2).fit(x[..., 0])
    theirs = pca.inverse_transform(pca.transform(x[..., 0]))
    np.testing.assert_allclose(layer.inverse(layer(x))[..., 0], theirs, atol=1e-9)


def test_zca_is_the_whitening_closest_to_the_data():
    x = ellipsoid()
    z = ops.convert_to_numpy(ZCAWhitening(dtype="float64").adapt(x)(x))
    distance = np.square(z - x).sum()
    rng = np.random.default_rng(1)
    for _ in range(20):
        turned = z @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
        np.testing.assert_allclose(covariance(turned), np.eye(5), atol=1e-9)  # whitened as well
        assert np.square(turned - x).sum() > distance


@pytest.mark.parametrize("whitening", WHITENINGS)
def test_epsilon_leaves_variance_lambda_over_lambda_plus_epsilon(whitening):
    x = ellipsoid()
    z = whitening(epsilon=4.0, dtype="float64").adapt(x)(x)
    eigenvalues = np.linalg.eigvalsh(covariance(x))
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance(z)), eigenvalues / (eigenvalues + 4), rtol=1e-7)


def test_standardize_equals_scikit_learn_and_keras():
    x = ellipsoid(offset=3.0).astype("float32")
    z = Standardize().adapt(x)(x)
    np.testing.assert_allclose(z, StandardScaler().fit_transform(x), atol=1e-5)
    theirs = keras.layers.Normalization()
    theirs.adapt(x)
    np.testing.assert_allclose(z, theirs(x), atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 2, (1, 2), (3, 1), (1, 2, 3)])
def test_standardize_over_any_axes_equals_keras(axis):
    x = np.random.default_rng(0).normal(5, 2, size=(30, 4, 3, 2)).astype("float32")
    theirs = keras.layers.Normalization(axis=axis)
    theirs.adapt(x)
    np.testing.assert_allclose(Standardize(axis=axis).adapt(x)(x), theirs(x), atol=1e-4)


def test_condition_number_falls_and_so_do_the_steps_of_gradient_descent():
    x = ellipsoid()
    z = np.array(PCAWhitening(dtype="float64").adapt(x)(x))
    assert condition_number(z) == pytest.approx(1)

    def steps(inputs):
        hessian = covariance(inputs)
        error, rate = np.ones(5), 1 / np.linalg.eigvalsh(hessian)[-1]
        for step in range(10_000):
            if np.linalg.norm(error) < 1e-3:
                return step
            error = error - rate * hessian @ error
        return np.inf

    assert steps(z) == 1
    assert steps(x) > 100


# Sources of data.


def test_stream_of_any_kind_equals_array(tmp_path):
    x = digits()[:300]
    y = np.zeros(300)
    np.save(tmp_path / "x.npy", x)

    class Sequence(keras.utils.PyDataset):
        def __getitem__(self, index):
            return x[index * 100 : (index + 1) * 100], y[index * 100 : (index + 1) * 100]

        @property
        def num_batches(self):
            return 3

    streams = {
        "dataset": tf.data.Dataset.from_tensor_slices(x).batch(77),
        "dataset of pairs": tf.data.Dataset.from_tensor_slices((x, y)).batch(77),
        "generator": (x[i : i + 50] for i in range(0, 300, 50)),
        "pydataset": Sequence(),
        "memory map": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "tensor": ops.convert_to_tensor(x),
        "table": Table(x),
        "pieces of a table": (Table(x[i : i + 50]) for i in range(0, 300, 50)),
    }
    expected = ZCAWhitening().adapt(x)
    for name, stream in streams.items():
        layer = ZCAWhitening().adapt(stream)
        for one, other in zip(expected.weights, layer.weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=name)


def test_adapts_to_minibatches_of_the_kit():
    from tf_kit.data import minibatches

    x = digits()[:300]
    layer = Standardize().adapt(minibatches(x, np.zeros(300), batch_size=64))
    np.testing.assert_allclose(layer.mean, Standardize().adapt(x).mean, rtol=1e-6)


def test_array_is_read_in_pieces(monkeypatch):
    x = ellipsoid(n=1000)
    expected = PCAWhitening().adapt(x)
    monkeypatch.setattr(batches, "CHUNK_BYTES", 7 * 8 * 5)
    assert [len(piece) for piece in batches.pieces("x", x)][:2] == [7, 7]
    np.testing.assert_allclose(PCAWhitening().adapt(x).stddev, expected.stddev, rtol=1e-6)


def test_second_adapt_discards_the_first():
    x = ellipsoid()
    layer = Standardize().adapt(x * 100 + 7).adapt(x)
    np.testing.assert_array_equal(layer.mean, Standardize().adapt(x).mean)


# Edge cases.


@pytest.mark.parametrize("new", LAYERS)
@pytest.mark.parametrize("offset", [0.0, 0.1, 1e4])
def test_constant_feature_is_only_centered(new, offset):
    x = ellipsoid(offset=offset)
    x[:, 2] = offset + 0.3
    x = x.astype("float32")
    layer = new().adapt(x)
    z = np.array(layer(x))
    assert np.isfinite(z).all()
    np.testing.assert_allclose(layer.inverse(z), x, rtol=1e-6, atol=2e-5)
    if new is not PCAWhitening:
        np.testing.assert_allclose(z[:, 2], 0, atol=1e-4)
        moved = x + np.float32([0, 0, 0.5, 0, 0])
        assert np.abs(np.array(layer(moved))[:, 2]).max() < 1  # not 0.5 / 1e-7
    else:
        np.testing.assert_allclose(z[:, 4], 0, atol=1e-4)
        np.testing.assert_allclose(covariance(z[:, :4]), np.eye(4), atol=5e-3)


@pytest.mark.parametrize("new", LAYERS)
def test_data_without_variance_give_zeros(new):
    x = np.full((6, 3), 7.5, "float32")
    layer = new().adapt(x)
    np.testing.assert_array_equal(layer(x), np.zeros((6, 3)))
    np.testing.assert_array_equal(layer.inverse(layer(x)), x)


@pytest.mark.parametrize("new", LAYERS)
def test_one_example_gives_zeros(new):
    x = np.float32([[1.0, -2.0, 3e4]])
    layer = new().adapt(x)
    np.testing.assert_array_equal(layer(x), np.zeros((1, 3)))
    np.testing.assert_array_equal(layer.inverse(layer(x)), x)


@pytest.mark.parametrize("new", WHITENINGS)
def test_more_features_than_examples_whiten_the_spanned_directions(new):
    x = ellipsoid(n=4, d=10).astype("float32")
    layer = new().adapt(x)
    z = np.array(layer(x))
    spectrum = np.linalg.eigvalsh(covariance(z))
    np.testing.assert_allclose(spectrum, [0] * 7 + [1] * 3, atol=1e-3)  # four points span three directions
    np.testing.assert_allclose(layer.inverse(z), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("new", WHITENINGS)
def test_copied_feature_does_not_amplify_noise(new):
    x = ellipsoid(d=3).astype("float32")
    x = np.concatenate([x, x[:, :1] + x[:, 1:2]], axis=1)
    z = np.array(new().adapt(x)(x))
    np.testing.assert_allclose(np.linalg.eigvalsh(covariance(z)), [0, 1, 1, 1], atol=1e-3)


def test_mixed_precision_centers_before_rounding():
    x = np.float32([[69_990.0], [70_010.0]])  # float16 ends at 65,504
    inputs = keras.Input((1,), dtype="float32")
    layer = Standardize(dtype="mixed_float16").adapt(x)
    model = keras.Model(inputs, layer(inputs))
    outputs = model(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float16"
    np.testing.assert_array_equal(outputs, [[-1], [1]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("new", LAYERS)
@pytest.mark.parametrize(("mean", "stddev"), [(70_000.0, 3_000.0), (0.0, 1e-10), (1.0, 1e5)])
def test_half_precision_rounds_only_the_result(new, dtype, mean, stddev):
    x = np.random.default_rng(0).normal(mean, stddev, (50, 3)).astype("float32")
    half, single = new(), new()
    half = type(half).from_config({**half.get_config(), "dtype": dtype}).adapt(x)
    expected = np.asarray(single.adapt(x)(x))
    np.testing.assert_allclose(np.asarray(ops.cast(half(x), "float32")), expected, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(half.inverse(expected), x, rtol=1e-3, atol=1e-3 * stddev)


def test_whitens_the_digits():
    x = digits()
    z = PCAWhitening(num_components=30).adapt(x)(x)
    np.testing.assert_allclose(covariance(z), np.eye(30), atol=1e-4)
    assert ZCAWhitening(epsilon=0.01).adapt(x)(x).shape == x.shape


# Use as Keras layers.


@pytest.mark.parametrize("new", LAYERS)
def test_layer_before_adapt_returns_its_inputs(new):
    x = np.random.default_rng(0).normal(size=(4, 3, 2)).astype("float32")
    np.testing.assert_array_equal(np.array(new()(x)).reshape(4, -1), x.reshape(4, -1))


@pytest.mark.parametrize("new", [*LAYERS, lambda: PCAWhitening(num_components=2, epsilon=0.1)])
def test_saved_model_keeps_its_statistics(new, tmp_path):
    x = ellipsoid().astype("float32").reshape(400, 5, 1)
    layer = new().adapt(x)
    model = keras.Sequential([keras.Input((5, 1)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), layer(x))
    np.testing.assert_array_equal(loaded.layers[0].inverse(layer(x)), layer.inverse(layer(x)))


@pytest.mark.parametrize("new", mostly_slow(LAYERS, quick=1))
def test_passes_the_contract(new):
    check_layer(lambda: new().adapt(ellipsoid()), ellipsoid(n=6).astype("float32"))


@pytest.mark.parametrize("new", LAYERS)
def test_works_inside_tf_data(new):
    x = ellipsoid().astype("float32")
    layer = new().adapt(x)
    batches = tf.data.Dataset.from_tensor_slices(x).batch(100).map(layer)
    np.testing.assert_allclose(np.concatenate(list(batches)), layer(x), atol=1e-5)


# Errors.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Standardize(axis=0).adapt(np.ones((3, 2))), "axis=(0,)"),
        (lambda: Standardize(axis=(1, 4)).adapt(np.ones((3, 2))), "axis=(1, 4)"),
        *((lambda axis=axis: Standardize(axis=axis), f"axis={axis!r}") for axis in (None, 1.5, "x", True)),
        (lambda: Standardize()(keras.Input((None,))), "(None, None)"),
        (lambda: Standardize().adapt(np.ones((3, 2))).adapt(np.ones((3, 5))), "shape (3, 5)"),
        (lambda: Standardize().adapt(np.ones(3)), "shape (3,)"),
        (lambda: Standardize().adapt([]), "at least one example"),
        (lambda: Standardize().adapt(np.ones((0, 2))), "at least one example"),
        (lambda: Standardize().adapt(7), "int 7"),
        (lambda: Standardize().adapt([np.array([["a"]])]), "dtype <U1"),
        (lambda: Standardize().adapt(np.array([[1.0], [np.nan]])), "NaN"),
        (lambda: Standardize().adapt(tf.data.Dataset.from_tensors(np.ones((2, 2))).repeat()), "endless"),
        (lambda: Standardize().adapt(tf.data.Dataset.from_tensor_slices(np.ones((2, 2)))), "batch(256)"),
        (lambda: Standardize().adapt({"x": np.ones((3, 2))}), "a dictionary of 'x'. Give one of its arrays"),
        (
            lambda: Standardize().adapt(tf.data.Dataset.from_tensors({"x": np.ones((3, 2))})),
            "a dictionary of 'x'. Give one of its arrays",
        ),
        (lambda: Standardize().adapt(tf.ragged.constant([[1.0], [1.0, 2.0]])), "RaggedTensor. Make it dense"),
        (lambda: Standardize().adapt(tf.sparse.from_dense(np.eye(3))), "SparseTensor. Make it dense"),
        (lambda: PCAWhitening(num_components=0), "num_components=0"),
        (lambda: PCAWhitening(num_components=3).adapt(np.ones((9, 2))), "at most 2"),
        (lambda: PCAWhitening(epsilon=-1), "epsilon=-1"),
        (lambda: ZCAWhitening(epsilon=float("nan")), "epsilon=nan"),
        (lambda: ZCAWhitening()(keras.Input((None, 3))), "(None, None, 3)"),
        (lambda: condition_number(np.ones((5, 2))), "5 equal examples"),
        (lambda: condition_number([]), "0 equal examples"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@pytest.mark.parametrize("new", LAYERS)
@pytest.mark.parametrize("shape", [(6, 1), (3, 2), (4, 2, 3), (3,), (4, 5)], ids=str)
def test_examples_of_another_shape_are_refused(new, shape):
    """Three features are not one that is broadcast, and three rows of two are not two examples of three."""
    layer, other = new().adapt(ellipsoid(d=3)), np.ones(shape, "float32")
    message = re.escape(f"be given examples of shape (3). Received: a batch of shape {shape}")
    for use in (layer, layer.inverse, tf.function(layer, autograph=False)):
        with pytest.raises(ValueError, match=message):
            use(tf.constant(other))


@pytest.mark.parametrize("new", LAYERS)
def test_inverse_before_adapt_is_refused(new):
    with pytest.raises(ValueError, match=f"{new.__name__}.inverse` must be called after adapt"):
        new().inverse(np.ones((2, 3)))


@pytest.mark.parametrize("new", LAYERS)
def test_examples_of_unknown_shape_are_transformed(new):
    x = ellipsoid(n=20, d=3).astype("float32")
    layer = new().adapt(x)
    for shape in (None, (None, None), (None, 3)):
        compiled = tf.function(layer, input_signature=[tf.TensorSpec(shape)])
        np.testing.assert_allclose(compiled(x), layer(x), atol=1e-5)


@pytest.mark.parametrize("layer", [Standardize, PCAWhitening])
def test_adapt_refuses_masked_entries_and_labels(layer):
    x = np.arange(12.0).reshape(4, 3)
    masked = np.ma.masked_equal(x, 5)
    for data in (masked, [masked], [(masked, None)]):
        with pytest.raises(InputError, match="1 masked"):
            layer().adapt(data)
    for y in (np.eye(3), np.arange(4)):
        with pytest.raises(InputError, match="be given x alone"):
            layer().adapt((x, y))
    np.testing.assert_array_equal(layer().adapt([x[:2], x[2:]]).mean, layer().adapt(np.ma.array(x)).mean)
