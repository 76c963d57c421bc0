"""`load` and `stream`: embedded, generated and prepared sets by name."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracles.data import class_counts

from tf_kit.data import available, import_raw, load, minibatches, stream


def test_digits_splits():
    parts = load("digits", seed=0)
    assert [part.x.shape for part in parts] == [(n, 8, 8, 1) for n in (1197, 300, 300)]
    for part in parts:
        assert (part.x.dtype, part.y.dtype) == (np.float32, np.int64)
        assert 0 <= part.x.min() < part.x.max() <= 1
        assert part.class_names == tuple("0123456789")
        expected = np.array([178, 182, 177, 183, 181, 182, 181, 179, 174, 180]) * len(part) / 1797
        np.testing.assert_allclose(class_counts(part.y, 10), expected, atol=1)
    images = {x.tobytes() for part in parts for x in part.x}
    assert len(images) == 1797


def test_digits_equal_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    raw = load_digits()
    classes = {
        image.tobytes(): c for image, c in zip((raw.images / 16).astype("float32"), raw.target, strict=True)
    }
    for part in load("digits", seed=5):
        assert [classes[x[..., 0].tobytes()] for x in part.x] == part.y.tolist()


def test_seeds_divide_digits_differently():
    one, same, other = (load("digits", seed=seed)[2].x for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_labels_of_digits_are_withheld():
    train, val, _ = load("digits", labels=0.1)
    assert (len(train), len(train.unlabelled_x), len(val)) == (120, 1077, 300)
    assert class_counts(train.y, 10) == [12] * 10


def test_loading_digits_needs_no_tensorflow():
    program = "import sys; from tf_kit import data; data.load('digits'); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.slow
def test_mnist_is_in_the_order_of_its_files(mnist_dir):
    import tensorflow_datasets as tfds

    parts = load("mnist", data_dir=mnist_dir, seed=4)
    assert [part.x.shape for part in parts] == [(n, 28, 28, 1) for n in (50_000, 10_000, 10_000)]
    train, val, test = parts
    for instruction, part, of in (
        ("train[:300]", train, slice(300)),
        ("train[49700:50000]", train, slice(49_700, None)),
        ("train[50000:50300]", val, slice(300)),
        ("train[59700:]", val, slice(9_700, None)),
        ("test[:300]", test, slice(300)),
        ("test[9700:]", test, slice(9_700, None)),
    ):
        raw = tfds.load("mnist", split=instruction, data_dir=mnist_dir, download=False, batch_size=-1)
        np.testing.assert_array_equal(part.x[of] * 255, raw["image"])
        np.testing.assert_array_equal(part.y[of], raw["label"])


def test_prepared_set_equals_its_raw_files(tiny_dir, raw_arrays):
    images, labels, test_images, test_labels = raw_arrays("tf_kit_tiny")
    train, val, test = load("tf_kit_tiny", data_dir=tiny_dir, download=False)
    np.testing.assert_allclose(train.x, images[:50] / 255, rtol=1e-6)
    np.testing.assert_allclose(val.x, images[50:] / 255, rtol=1e-6)
    np.testing.assert_allclose(test.x, test_images / 255, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([train.y, val.y]), labels)
    np.testing.assert_array_equal(test.y, test_labels)
    assert train.class_names == ("ant", "bee", "cow", "dog")


def test_data_dir_takes_precedence_over_the_environment(tiny_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tiny_dir))
    assert len(load("tf_kit_tiny", download=False)[2]) == 10
    with pytest.raises(ValueError, match=r"must be a set that is prepared in .*/elsewhere"):
        load("tf_kit_tiny", data_dir=tmp_path / "elsewhere", download=False)


def test_images_are_scaled(tiny_dir):
    train = load("tf_kit_tiny", data_dir=tiny_dir, image_size=(3, 5))[0]
    whole = load("tf_kit_tiny", data_dir=tiny_dir)[0]
    assert train.x.shape == (50, 3, 5, 3)
    np.testing.assert_allclose(train.x.mean(), whole.x.mean(), atol=0.01)
    assert load("tf_kit_tiny", data_dir=tiny_dir, image_size=4)[1].x.shape == (10, 4, 4, 3)


def test_test_split_without_labels_is_not_used(write_raw, tmp_path, raw_arrays):
    import_raw("tf_kit_withheld", write_raw("tf_kit_withheld"), data_dir=tmp_path)
    parts = load("tf_kit_withheld", data_dir=tmp_path)
    assert [len(part) for part in parts] == [40, 10, 10]
    images, labels = raw_arrays("tf_kit_withheld")[:2]
    np.testing.assert_allclose(np.concatenate([part.x for part in parts]), images / 255, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([part.y for part in parts]), labels)


@pytest.mark.slow
def test_images_of_varying_size_require_image_size(write_raw, tmp_path):
    import_raw("tf_kit_varying", write_raw("tf_kit_varying"), data_dir=tmp_path)
    assert available(tmp_path)[-1].shape == (-1, -1, 3)
    for read in (load, lambda name, **options: stream(name, batch_size=8, **options)):
        with pytest.raises(ValueError, match=r"be given for .* Received: no size for tf_kit_varying"):
            read("tf_kit_varying", data_dir=tmp_path)
    train = load("tf_kit_varying", data_dir=tmp_path, image_size=(6, 4))[0]
    x, _ = next(
        iter(stream("tf_kit_varying", batch_size=50, data_dir=tmp_path, image_size=(6, 4), shuffle_buffer=1))
    )
    assert train.x.shape == (50, 6, 4, 3)
    np.testing.assert_allclose(x, train.x, rtol=1e-6)


def streamed(data_dir, **options):
    options = {"batch_size": 8, "data_dir": data_dir} | options
    return [(x.numpy(), y.numpy()) for x, y in stream("tf_kit_tiny", **options)]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_unshuffled_stream_equals_the_array(tiny_dir, split):
    part = dict(zip(("train", "val", "test"), load("tf_kit_tiny", data_dir=tiny_dir), strict=True))[split]
    batches = streamed(tiny_dir, split=split, shuffle_buffer=1)
    assert [len(y) for _, y in batches] == [8] * (len(part) // 8) + [len(part) % 8]
    np.testing.assert_allclose(np.concatenate([x for x, _ in batches]), part.x, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), part.y)


@pytest.mark.slow
def test_stream_of_one_block_equals_minibatches(tiny_dir):
    train = load("tf_kit_tiny", data_dir=tiny_dir)[0]
    batches = streamed(tiny_dir, epochs=2, seed=3)
    expected = list(minibatches(train.x, train.y, batch_size=8, epochs=2, seed=3))
    for (x, y), (expected_x, expected_y) in zip(batches, expected, strict=True):
        np.testing.assert_allclose(x, expected_x, rtol=1e-6)
        np.testing.assert_array_equal(y, expected_y)


@pytest.mark.slow
def test_stream_of_blocks_is_resumable_and_complete(tiny_dir):
    import tensorflow as tf

    whole = streamed(tiny_dir, epochs=3, shuffle_buffer=20)
    tf.random.set_seed(99)
    tail = streamed(tiny_dir, epochs=3, first_epoch=2, shuffle_buffer=20)
    assert len(tail) == 7
    for (x, _), (expected, _) in zip(tail, whole[14:], strict=True):
        np.testing.assert_array_equal(x, expected)
    train = load("tf_kit_tiny", data_dir=tiny_dir)[0].x
    epochs = np.split(np.concatenate([x for x, _ in whole]), 3)
    for epoch in epochs:
        block = {x.tobytes() for x in epoch[:20]}
        assert block == {x.tobytes() for x in train[:20]}
        assert {x.tobytes() for x in epoch} == {x.tobytes() for x in train}
    assert (epochs[0] != epochs[1]).any()


def test_stream_of_an_embedded_set():
    train = load("digits", seed=2)[0]
    x, y = next(iter(stream("digits", batch_size=1197, seed=2, shuffle_buffer=1)))
    np.testing.assert_array_equal(x, train.x)
    np.testing.assert_array_equal(y, train.y)


def test_available_lists_all_kinds_of_sets(tiny_dir):
    found = {each.name: each for each in available(tiny_dir)}
    assert list(found) == ["digits", "xor", "two_moons", "spirals", "bars_and_stripes", "tf_kit_tiny"]
    tiny = found["tf_kit_tiny"]
    assert (tiny.kind, tiny.version, tiny.examples, tiny.shape, tiny.num_classes) == (
        "prepared",
        "1.0.0",
        70,
        (6, 5, 3),
        4,
    )
    assert tiny.size_bytes == sum(path.stat().st_size for path in tiny.folder.iterdir()) > 70 * 6 * 5 * 3
    (tiny.folder / "features.json").unlink()
    assert "features.json` must" in available(tiny_dir)[-1].problem


def test_available_lists_sets_that_are_not_images(mnist_dir):
    found = {each.name: each for each in available(mnist_dir)}
    assert found["mnist"].examples == 70_000
    assert found["tiny_shakespeare"].shape is None if "tiny_shakespeare" in found else True


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("digits", {"seed": -1}, "seed=-1"),
        ("digits", {"labels": 5}, "labels=5"),
        ("digits", {"noise": 0.1}, "digits has no parameters. Received: noise"),
        ("digits", {"image_size": 0}, "image_size=0"),
        ("digits", {"image_size": 1_000_000}, "GiB as float32"),
        *(
            ("digits", {"image_size": size}, "be one number or a pair")
            for size in (object(), int, "12", b"12", {8, 9})
        ),
        ("xor", {"image_size": 16}, "xor, which has points"),
        ("xor", {"arms": 3}, "xor has the parameters n, noise. Received: arms"),
        ("mnist", {"noise": 0.1}, "noise for 'mnist'"),
        ("mnist", {"image_size": 0}, "image_size=0"),
        ("mnist", {"image_size": (1, 2, 3)}, "pair"),
        ("mnits", {}, "'mnits'. Close to it: mnist"),
        ("mnits", {"color": "grey"}, "'mnits'. Close to it: mnist"),
        ("my-images", {"labels_file": "labels.csv"}, "Received: 'my-images'"),
        ("mnist", {"color": "grey"}, "left out for data sets.*color='grey' for mnist"),
        ("digits", {"unlabeled": True}, "left out for data sets.*unlabeled=True for digits"),
        ("two-moons", {}, "Close to it: two_moons"),
        ("../mnist", {}, "'../mnist'"),
        (np.zeros((3, 4)), {}, r"an array of shape \(3, 4\). Arrays need no loading"),
        (["mnist"], {}, "the name of a data set, or a path"),
        ("tiny_shakespeare", {}, "images with one class each. Received: 'tiny_shakespeare'"),
        ("mnist", {}, "tf-kit data import mnist FOLDER.*TFDS_DATA_DIR"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(name, given, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        load(name, data_dir=tmp_path, download=False, **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_path_is_its_text():
    for whole, given in (("digits", Path("digits")), ("xor", Path("xor"))):
        np.testing.assert_array_equal(load(whole)[0].x, load(given)[0].x)
    x, _ = next(iter(stream(Path("digits"), batch_size=4)))
    assert x.shape == (4, 8, 8, 1)


def test_digits_are_scaled_to_the_size_of_another_set():
    small, large = load("digits", labels=100)[0], load("digits", labels=100, image_size=16)[0]
    assert large.x.shape == (100, 16, 16, 1)
    assert large.unlabelled_x.shape == (1097, 16, 16, 1)
    # Bilinear: every second pair of rows and columns averages to what a smoothing by (1, 6, 1) / 8 gives.
    pairs = large.x.reshape(100, 8, 2, 8, 2, 1).mean((2, 4))
    smooth = np.pad(small.x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    smooth = (smooth[:, :-2] + 6 * smooth[:, 1:-1] + smooth[:, 2:]) / 8
    smooth = (smooth[:, :, :-2] + 6 * smooth[:, :, 1:-1] + smooth[:, :, 2:]) / 8
    np.testing.assert_allclose(pairs, smooth, atol=1e-6)
    batch, _ = next(iter(stream("digits", batch_size=5, image_size=(28, 20))))
    assert batch.shape == (5, 28, 20, 1)


def test_set_larger_than_memory_is_refused(tiny_dir):
    with pytest.raises(ValueError, match=r"GiB as float32. `data.stream` reads it"):
        load("tf_kit_tiny", data_dir=tiny_dir, image_size=1_000_000)


@pytest.mark.parametrize(
    "given",
    [{"split": "validation"}, {"batch_size": 0}, {"epochs": 1, "first_epoch": 1}, {"shuffle_buffer": 0}],
)
def test_bad_arguments_of_stream_are_refused(given):
    key = next(iter(given))
    with pytest.raises(ValueError, match=f"`stream.{key}` must"):
        stream("digits", **({"batch_size": 8} | given))
