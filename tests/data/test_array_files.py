"""Files of arrays: which array is what, the values, the classes, the division; and what is refused."""

import dataclasses
import re
import warnings
import zipfile

import numpy as np
import pytest

from tf_kit import data
from tf_kit.data import array_files, reading
from tf_kit.errors import InputError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 6, 5), "uint8")
CLASSES = np.arange(40) % 4


@pytest.fixture
def save(tmp_path):
    """A function that writes arrays into a file and returns its path."""

    def save(*unnamed, **named):
        path = tmp_path / ("mine.npz" if named or len(unnamed) > 1 else "mine.npy")
        np.savez(path, *unnamed, **named) if path.suffix == ".npz" else np.save(path, *unnamed)
        return str(path)

    return save


def test_whole_file_that_does_not_fit_into_memory_is_refused(save, monkeypatch):
    monkeypatch.setattr(reading, "memory_bytes", lambda: 2**10)
    found = array_files.read(save(GREY))
    assert len(found.examples(np.array([3]))) == 1
    for whole in (lambda: found.x, lambda: array_files.splits(found, 0)):
        with pytest.raises(InputError, match="name a set that fits into the memory"):
            whole()


def test_grey_images_in_color_repeat_their_channel(save):
    found = array_files.read(save(GREY))
    colored = dataclasses.replace(found, in_color=True)
    assert colored.shape == (*found.shape[:2], 3)
    np.testing.assert_array_equal(colored.examples(np.arange(4)), found.x[:4].repeat(3, axis=-1))


def test_division_at_random_keeps_the_classes_in_proportion(save):
    train, val, test = data.load(save(x=GREY, y=CLASSES))
    assert [np.bincount(each.y).tolist() for each in (train, val, test)] == [[8] * 4, [1] * 4, [1] * 4]
    together = np.concatenate([each.x for each in (train, val, test)])
    assert sorted(map(bytes, together)) == sorted(
        map(bytes, (GREY[..., None] / np.float32(255)).astype("float32"))
    )
    assert train.class_names == ("0", "1", "2", "3")
    again = data.load(save(x=GREY, y=CLASSES), seed=1)[0]
    assert not np.array_equal(train.x, again.x)


def test_x_and_y_stay_together(save):
    x = np.broadcast_to(CLASSES[:, None, None] * 10, GREY.shape) + np.arange(40)[:, None, None] * 100
    for part in data.load(save(x=x.astype("uint16"), y=CLASSES)):
        np.testing.assert_array_equal(np.round(part.x[:, 0, 0, 0] * 65535).astype(int) % 100 // 10, part.y)


NAMES = [
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("X_train", "Y_train", "X_test", "Y_test"),
    ("trainX", "trainY", "testX", "testY"),
    ("xtrain", "ytrain", "xtest", "ytest"),
    ("training/data", "training/targets", "testing/data", "testing/targets"),
    ("train", "train_label", "test", "test_label"),
]


@pytest.mark.parametrize("names", NAMES, ids=lambda names: names[0])
def test_names_divide(names, save):
    arrays = dict(zip(names, (GREY[:30], CLASSES[:30], GREY[30:], CLASSES[30:]), strict=True))
    train, val, test = data.load(save(**arrays))
    np.testing.assert_array_equal(test.x[..., 0], GREY[30:] / np.float32(255))
    np.testing.assert_array_equal(test.y, CLASSES[30:])
    assert (len(train), len(val)) == (26, 4)


@pytest.mark.parametrize(
    ("unnamed", "named"),
    [
        ((GREY, CLASSES), {}),
        ((), {"images": GREY, "labels": CLASSES[:, None]}),
        ((), {"data": GREY, "target": CLASSES.astype("float64")}),
        ((), {"x": GREY, "y": CLASSES, "ids": np.arange(40)}),
        ((), {"embeddings": GREY, "labels": CLASSES}),
        ((), {"x": GREY, "y": np.array([b"a", b"b", b"c", b"d"])[CLASSES]}),
    ],
)
def test_labels_are_found(unnamed, named, save):
    found = array_files.read(save(*unnamed, **named))
    np.testing.assert_array_equal(found.y, CLASSES)
    assert ("arrays passed over: ids" in found.summary) == ("ids" in named)


@pytest.mark.parametrize(
    ("x", "shape", "low", "high"),
    [
        (GREY, (6, 5, 1), 0, 1),
        (GREY.astype("int64"), (6, 5, 1), 0, 1),
        (GREY.astype("uint64"), (6, 5, 1), 0, 1),
        (GREY.astype("float64"), (6, 5, 1), 0, 1),
        (GREY / 510, (6, 5, 1), 0, 0.5),
        (GREY > 99, (6, 5, 1), 0, 1),
        (RNG.integers(0, 65536, (40, 6, 5, 3), "uint16"), (6, 5, 3), 0, 1),
        (np.moveaxis(RNG.integers(0, 256, (40, 6, 5, 3), "uint8"), 3, 1), (6, 5, 3), 0, 1),
        (RNG.integers(0, 256, (40, 7), "uint8"), (7,), 0, 1),
        (np.linspace(-9, 9, 280).reshape(40, 7), (7,), -9, 9),
    ],
)
def test_values_and_shapes(x, shape, low, high, save):
    found = array_files.read(save(x))
    assert found.x.dtype == np.float32
    assert found.x.shape == (40, *shape)
    np.testing.assert_allclose([found.x.min(), found.x.max()], [low, high], atol=0.02)
    assert ("channels moved to the end" in found.summary) == (x.ndim == 4 and x.shape[1] == 3)


def test_examples_without_a_class(save):
    for y in (np.where(CLASSES == 3, -1, CLASSES), np.where(CLASSES == 3, np.nan, CLASSES)):
        train, val, _ = data.load(save(x=GREY, y=y))
        assert (train.num_classes, len(train.unlabelled_x), len(val.unlabelled_x)) == (3, 10, 0)
    words = np.array(["dog", "", "cat", "dog"])[CLASSES]
    train, _, _ = data.load(save(x=GREY, y=words, unlabeled_images=GREY[:7] // 2))
    assert (train.class_names, len(train.unlabelled_x)) == (("cat", "dog"), 17)
    assert data.load(save(x=GREY, y=words), unlabeled=True)[0].num_classes == 0


@pytest.mark.parametrize("missing", ["nan", "-1", "<NA>"])
def test_text_that_means_no_class_is_noted(missing, save):
    words = np.array(["dog", missing, "cat", "dog"])[CLASSES]
    found = array_files.read(save(x=GREY, y=words))
    assert found.class_names == ("cat", "dog")
    np.testing.assert_array_equal(found.y < 0, words == missing)
    assert found.notes == (f"no class for the label {missing}",)


def test_names_of_classes(save):
    named = data.load(save(x=GREY, y=CLASSES, class_names=["a", "b", "c", "d", "never"]))[0]
    assert named.class_names == ("a", "b", "c", "d")
    words = data.load(save(x=GREY, y=np.array(["q", "p"])[CLASSES % 2], class_names=["a", "b"]))[0]
    assert words.class_names == ("p", "q")
    few = data.load(save(x=GREY, y=np.where(CLASSES == 1, 0, CLASSES), class_names=["a", "b", "c", "d"]))[0]
    assert few.class_names == ("a", "c", "d")
    for encoded in (["ä", "b", "c", "d"], [each.encode() for each in ("ä", "b", "c", "d")]):
        for first in (0, 1):
            found = array_files.read(save(x=GREY, y=CLASSES + first, class_names=encoded))
            assert found.class_names == ("ä", "b", "c", "d")
            np.testing.assert_array_equal(found.y, CLASSES)
    gaps = data.load(save(x=GREY, y=CLASSES * 7))[0]
    assert (gaps.class_names, gaps.y.max()) == (("0", "7", "14", "21"), 3)


@pytest.mark.parametrize(
    ("x", "note"),
    [
        (GREY // 17, "no value above 15 where white is 255"),
        (GREY.astype("uint16") * 16, "no value above 4080 where white is 65535"),
        (GREY // 2, ""),
        (GREY[:, 0] // 17, ""),
        (GREY[:, 0] // 130, "no value above 1 where bytes are divided by 255"),
        (GREY * 0, "no value above 0 where white is 255"),
        (GREY / 2550, ""),
        (GREY // 17 / 1.0, "no value above 15 where white is 255"),
        (GREY.astype("int64") // 17, "no value above 15 where white is 255"),
        (GREY / 2.55, ""),
    ],
)
def test_scale_that_makes_all_images_dark_is_noted(x, note, save):
    path = save(x)
    assert array_files.read(path).notes == ((note,) if note else ())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data.load(path)
        next(iter(data.stream(path, batch_size=4)))
    assert [note in str(each.message) for each in caught] == ([True] * 2 if note else [])


def test_arrays_of_one_scale_may_have_several_types_and_black_images(save):
    images = {"x_train": GREY, "x_val": GREY * 0.0, "x_test": GREY.astype("float32"), "x_unlabeled": GREY[:0]}
    train, val, test = data.load(save(**images))
    np.testing.assert_array_equal(train.all_x[..., 0], GREY / np.float32(255))
    np.testing.assert_array_equal(test.all_x, train.all_x)
    assert not val.all_x.any()


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
@pytest.mark.parametrize("divided", [True, False])
def test_images_whose_white_may_be_one_are_refused(kind, divided, save):
    x = GREY // 130
    with pytest.raises(InputError, match=rf"known scale. Received: no value above 1 in {kind}") as caught:
        array_files.read(save(x.astype(kind)), divided=divided)
    for remedy in re.findall(r"Save (.*) if 1 is white, (.*) if \d+ is", str(caught.value))[0]:
        saved = eval(remedy, {"x": x.astype(kind)})
        np.testing.assert_array_equal(array_files.read(save(saved)).x[..., 0], saved)
    for other in (bool, "int64", "float64"):
        np.testing.assert_array_equal(array_files.read(save(x.astype(other))).x[..., 0], x)


def test_file_of_labels_that_cannot_be_used_is_named(save, tmp_path):
    with open(tmp_path / "y.npy", "wb") as archive:
        np.savez(archive, one=CLASSES, two=CLASSES)
    with pytest.raises(
        InputError, match=r"y.npy` must hold one array of classes. Received: the arrays one, two"
    ):
        data.load(save(GREY), labels_file=tmp_path / "y.npy")
    np.save(tmp_path / "y.npy", one_hot())
    with pytest.raises(
        InputError, match=r"y.npy` must hold one class for each example. .* y.argmax"
    ) as caught:
        data.load(save(GREY), labels_file=tmp_path / "y.npy")
    assert caught.value.flag == "--labels-file"
    (tmp_path / "y.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"y.npy` must be a file that") as caught:
        data.load(save(GREY), labels_file=tmp_path / "y.npy")
    assert caught.value.flag == "--labels-file"


def test_labels_from_another_file(save, tmp_path):
    np.save(tmp_path / "y.npy", CLASSES)
    train, _, _ = data.load(save(GREY), labels_file=tmp_path / "y.npy", labels=8)
    assert (len(train), len(train.unlabelled_x), train.num_classes) == (8, 24, 4)


def test_copies_are_in_one_part(save):
    x = np.concatenate([GREY[:20], GREY[:20]])
    parts = [
        {bytes(each) for each in part.x} for part in data.load(save(x=x, y=np.r_[CLASSES[:20], CLASSES[:20]]))
    ]
    assert all(parts)
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


def test_images_are_scaled(save):
    train, val, test = data.load(save(x=GREY, y=CLASSES), image_size=(3, 10))
    assert [each.x.shape[1:] for each in (train, val, test)] == [(3, 10, 1)] * 3


def test_stream_gives_the_examples_of_load(save):
    path = save(x=GREY, y=CLASSES)
    x, y = next(iter(data.stream(path, "val", batch_size=10, shuffle_buffer=1)))
    val = data.load(path)[1]
    np.testing.assert_array_equal(x, val.x)
    np.testing.assert_array_equal(y, val.y)
    assert next(iter(data.stream(save(GREY), batch_size=10))).shape == (10, 6, 5, 1)


def one_hot():
    return np.eye(4)[CLASSES]


REFUSED = [
    (
        {"x": GREY, "y": CLASSES[:39]},
        r"labels` must hold one class for each example. Received: \(39,\) for 40 examples",
    ),
    ({"x": GREY, "y": one_hot()}, r"y.argmax\(-1\) gives the classes of one-hot vectors"),
    (
        {"x": GREY, "y": CLASSES, "class_names": ["a", "b", "c"]},
        r"names` must hold one name for each class. Received: shape \(3,\), and classes from 0 to 3",
    ),
    ({"x": GREY, "y": CLASSES + 2, "class_names": ["a", "b", "c", "d"]}, "and classes from 2 to 5"),
    ({"x": GREY, "y": CLASSES, "class_names": [["a", "b", "c", "d"]]}, r"Received: shape \(1, 4\)"),
    (
        {"x": GREY, "y": CLASSES, "class_names": ["a", "b", "a", "d"]},
        "different names for different classes. Received: a for two",
    ),
    (
        {"x": np.full((40, 3), 1e39)},
        "numbers that are finite as float32. Received: NaN or infinity in 40 of 40",
    ),
    ({"x": GREY, "y": CLASSES + 0.5}, r"whole numbers or text. Received: first \[0.5, 1.5, 2.5\]"),
    (
        {"x": GREY, "images": GREY},
        r"name its arrays x and y.*Received: both x and images; its arrays are x \(40, 6, 5\)",
    ),
    ({"one": GREY, "two": CLASSES}, r"name its arrays x and y"),
    ({"x_train": GREY, "y_train": CLASSES, "y_test": CLASSES}, "y_test without its examples"),
    ({"x_test": GREY, "x_val": GREY}, "no examples for training"),
    ({"x": GREY, "x_test": GREY}, "name its arrays x and y"),
    ({"x_train": GREY, "x_test": GREY[:, :5]}, r"shape \(40, 6, 5\) and \(40, 5, 5\)"),
    (
        {"x_train": GREY, "y_train": CLASSES % 2, "x_test": GREY, "y_test": CLASSES},
        "2, 3 only for validation or test",
    ),
    ({"x": GREY[:2]}, "at least three images"),
    ({"x": GREY[:0]}, "at least one example"),
    ({"x": CLASSES}, r"images \(n, h, w\) or \(n, h, w, c\), or vectors \(n, d\). Received: shape \(40,\)"),
    ({"x": np.zeros((40, 5, 6, 7))}, "images of 1 or 3 channels"),
    (
        {"x": GREY - 300.0},
        r"mine.npz` must .*values in \[0, 1\], or from 0 to 255. Received: values from -300",
    ),
    (
        {"x": GREY / 250},
        r"known scale. Received: values from 0 to 1.0[12].* Clip the values to 1 if 1 is white",
    ),
    (
        {"x": np.where(GREY == 255, np.nextafter(np.float32(1), np.float32(2)), GREY / np.float32(255))},
        "known scale. Received: values from 0 to 1.00000012",
    ),
    *(
        ({"x_train": GREY, "x_test": other}, rf"all its {noun} at one scale.* Received: {received}")
        for other, noun, received in (
            ((GREY / 255).astype("float32"), "images", "arrays with values up to 1 and up to 255"),
            ((GREY / 510).astype("float32"), "images", "arrays with values up to 0.5 and up to 255"),
            (GREY.astype("uint16") * 257, "examples", "uint8, uint16"),
        )
    ),
    ({"x_train": GREY / 1.0, "x_val": GREY / 255, "x_test": GREY}, "all its images at one scale"),
    ({"x_train": GREY[:, 0], "x_test": GREY[:, 0] / 255}, "all its examples at one scale.* uint8, float64"),
    ({"x": np.where(GREY > 250, np.inf, GREY)}, "NaN or infinity in"),
    ({"x": GREY + 1j}, "examples of real numbers. Received: complex128"),
    ({"x": np.full((40, 3), "a")}, "examples of real numbers. Received: <U1"),
    ({"x": np.float32(1), "y": CLASSES}, r"vectors \(n, d\). Received: shape \(\)"),
    (
        {"x_train": GREY, "y_train": CLASSES, "x_test": GREY, "y_test": np.array(["a", "b"])[CLASSES % 2]},
        "be all whole numbers or all text",
    ),
    ({"x": GREY, "y": CLASSES % 2 * 2 - 1}, "number classes from 0.* only -1 and 1. Write 0 for -1"),
    ({"x": GREY, "y": CLASSES - 2}, "at most one negative number .* Received: -2, -1"),
    ({"x": np.array([{}, 1])}, "arrays of numbers or text. Received: Python objects"),
]


@pytest.mark.parametrize(("arrays", "message"), REFUSED)
def test_refused_in_one_line(arrays, message, save):
    with pytest.raises(InputError, match=message) as caught:
        data.load(save(**arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"text"])
@pytest.mark.parametrize("name", ["cut.npy", "cut.npz"])
def test_damaged_files_are_named(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}` must be a file that `numpy.save`"):
        data.load(str(tmp_path / name))


def test_other_members_of_an_archive_are_passed_over(save):
    path = save(x=GREY, y=CLASSES)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "about")
    assert len(array_files.read(path)) == 40


def test_arguments_of_folders_are_refused(save, tmp_path):
    with pytest.raises(InputError, match="left out for data sets"):
        data.load(save(GREY), color="grey")
    with pytest.raises(InputError, match=r"labels.csv, which does not exist"):
        data.load(save(GREY), labels_file="labels.csv")
    np.save(tmp_path / "y.npy", CLASSES)
    with pytest.raises(InputError, match="left out with a file of labels"):
        data.load(save(GREY), labels_file=tmp_path / "y.npy", unlabeled=True)
    with pytest.raises(InputError, match="divided by the names of its arrays"):
        data.load(save(x_train=GREY, x_test=GREY), labels_file=tmp_path / "y.npy")
    with pytest.raises(InputError, match="left out for images without classes"):
        data.load(save(GREY), labels=10)
    with pytest.raises(InputError, match=r"'gone.npz', which does not exist"):
        data.load("gone.npz")
