"""Property tests of data: whatever a folder, a file of labels or an array holds is loaded, or refused in one line."""

import io
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from tf_kit import data, design
from tf_kit.data.splits import check_classes, withhold
from tf_kit.errors import InputError

pytestmark = pytest.mark.slow

LONG = settings(
    max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8), "uint8")


def png(number):
    content = io.BytesIO()
    Image.fromarray(np.roll(PIXELS, number)).save(content, "png")
    return content.getvalue()


IMAGES = [png(i) for i in range(48)]


def attempt(act, *arguments, **options):
    """Return the result, or None where it is refused, which takes one line."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return act(*arguments, **options)
    except InputError as error:
        line = str(error)
    assert "\n" not in line
    return None


# Files of labels


CELLS = ["0.png", "1.png", "sub/3.png", "./4.png", "5", "missing.png", "a", "b", "0", "-1", "nan", "", "file"]
CELLS += [
    "class",
    "label",
    '"',
    "'a",
    '"a""b"',
    '"x,y"',
    "é",
    " ",
    "\t",
    "\0",
    "\r",
    "1e3",
    "=1+1",
    "a" * 200,
]
ROWS = st.lists(st.lists(st.sampled_from(CELLS) | st.text(max_size=5), max_size=4), max_size=14)
SEPARATORS = st.tuples(st.sampled_from([",", ";", "\t", " "]), st.sampled_from(["\n", "\r\n", "\r"]))
CLASSES = st.lists(
    st.sampled_from(["a", "b", "0", "1", "é", " ", "a b", "", '"q"']), min_size=12, max_size=12
)


def as_text(rows, separators):
    cell, row = separators
    return row.join(cell.join(each) for each in rows).encode("utf-8", "surrogatepass")


def naming_all(classes):
    return as_text([["file", "class"], *([f"{i}.png", each] for i, each in enumerate(classes))], (",", "\n"))


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flat")
    for i in range(12):
        (folder / f"{i}.png").write_bytes(IMAGES[i])
    return folder


@LONG
@given(st.builds(as_text, ROWS, SEPARATORS) | st.builds(naming_all, CLASSES) | st.binary(max_size=60))
def test_any_file_of_labels_labels_images_or_is_refused(flat, tmp_path_factory, content):
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    file.write_bytes(content)
    splits = attempt(data.load, str(flat), labels_file=file)
    for part in splits or ():
        assert len(part.x) == len(part.y)
        assert np.all((part.y >= 0) & (part.y < part.num_classes))


# Folders


NAMES = [
    "train",
    "test",
    "val",
    "0",
    "10",
    "2",
    "Train",
    ".git",
    "CON",
    "a.",
    "a ",
    "images",
    "labels",
    "unlabeled",
]
NAMES += ["-", "--help", "%s", "{0}", "\n", "\x1b[31m", "2021", "2021-01-01", "0.png", "x.csv", "__MACOSX"]
TEXT = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
FOLDERS = st.lists(
    st.sampled_from(NAMES) | TEXT.filter(lambda name: name not in (".", "..")),
    min_size=1,
    max_size=4,
    unique=True,
)


@LONG
@given(FOLDERS, st.integers(1, 12), st.booleans(), st.booleans())
def test_folders_of_any_names_are_loaded_and_checked_or_refused(
    tmp_path_factory, names, count, deep, unlabeled
):
    folder = tmp_path_factory.mktemp("folders")
    for number, name in enumerate(names):
        place = folder / name / "deep" if deep else folder / name
        place.mkdir(parents=True)
        for i in range(count):
            (place / f"{i}.png").write_bytes(IMAGES[(number * count + i) % len(IMAGES)])
    splits = attempt(data.load, str(folder), unlabeled=unlabeled)
    assert splits is None or sum(map(len, splits)) <= count * len(names)
    report = attempt(data.check, str(folder), unlabeled=unlabeled)
    assert report is None or str(report)
    shutil.rmtree(folder)


# Arrays


DTYPES = [
    "float32",
    "float64",
    "float16",
    "int8",
    "uint8",
    "uint64",
    "bool",
    "complex64",
    "U3",
    "S2",
    "M8[s]",
]
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda each: arrays(each, array_shapes(min_dims=0, max_side=4)))
OBJECTS = arrays(
    "O", array_shapes(max_dims=2, max_side=3), elements=st.none() | st.text(max_size=2) | st.integers(0, 3)
)
OTHERS = [None, 5, "x", [1, 2], [[1.0, 2.0], [3.0, 4.0]], {"a": 1}, (), object(), print]
OTHERS.append(np.ma.masked_array([[1.0, 2.0]], mask=[[0, 1]]))
ANYTHING = ARRAYS | OBJECTS | st.sampled_from(OTHERS)


@LONG
@given(ANYTHING, ANYTHING)
@example(np.full((2, 3), 1e154), np.array(1.0))
@example(np.ones((1, 0), "float32"), np.array([""]))
def test_any_arrays_are_checked_compared_and_adapted_to_or_refused(x, y):
    attempt(data.check_images, x, y)
    attempt(check_classes, y, np.size(x))
    attempt(
        data.refuse_overlap, SimpleNamespace(x=x, y=None), SimpleNamespace(x=y, y=None), ("train", "test")
    )
    for layer in (design.Standardize(), design.PCAWhitening()):
        attempt(layer.adapt, x)


@LONG
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=40),
    st.integers(-2, 50) | st.floats() | st.none() | st.booleans() | st.text(max_size=2),
    st.integers(-1, 3) | st.none(),
)
@example([0, 0], 1, -1)
@example([0, 0], 1, None)
def test_any_number_of_labels_is_withheld_or_refused(y, labels, seed):
    x = np.random.default_rng(0).random((len(y), 2), "float32")
    kept = attempt(withhold, data.Split(x, np.array(y), tuple("abcde")), labels, seed)
    if kept is not None:
        assert 0 < len(kept) <= len(y)
        assert labels is None or isinstance(labels, float) or len(kept) == labels
