"""Text as numbers, from a file and from a prepared set."""

import numpy as np
import pytest

from tf_kit.data.text import load_text


def write(tmp_path, text):
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_decoded_numbers_are_the_text(tmp_path):
    text = "".join("abcde \n"[i % 7] for i in range(1000))
    train, val, test = load_text(write(tmp_path, text), length=9)
    assert [each.x.shape for each in (train, val, test)] == [(100, 9), (5, 9), (5, 9)]
    assert train.x.dtype == np.int32
    assert train.vocabulary == "\n abcde"
    assert "".join(train.decode(row) for row in train.x) == text[:900].replace("\n", "⏎")
    assert "".join(test.decode(row) for row in test.x) == text[950:995].replace("\n", "⏎")
    assert (train.unknown, train.mask_token, train.num_tokens) == (7, 8, 9)


def test_characters_outside_the_training_text_are_unknown(tmp_path):
    _, val, test = load_text(write(tmp_path, "ab" * 45 + "ξξξξξ" + "ababa"), length=5)
    np.testing.assert_array_equal(val.x, [[val.unknown] * 5])
    assert val.decode(val.x[0]) == "�����"
    assert test.decode(test.x[0]) == "ababa"


def test_text_of_tiny_shakespeare(mnist_dir):
    if not (mnist_dir / "tiny_shakespeare").is_dir():
        pytest.skip("tiny_shakespeare is not prepared here")
    train, val, _ = load_text("tiny_shakespeare", length=64, data_dir=mnist_dir)
    assert train.decode(train.x[0]).startswith("First Citizen:⏎Before we proceed any further")
    assert len(train) > 15_000
    assert len(train.vocabulary) == 65
    assert val.x.max() < train.mask_token


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        (
            "ab",
            {},
            "at least 64 characters in each split. Received: 1 characters in train.* Give a longer text",
        ),
        ("", {}, "Received: 0 characters in train; 0 characters. Give a longer text"),
        ("text" * 20, {}, "Received: 72 characters.*|Received: 4 characters in val.* Lower `length`"),
        ("short", {}, "at least 64 characters in each split. Received: 4 characters in train; 5 characters"),
        ("text" * 500, {"length": 1}, "length=1"),
        (None, {}, "a text file, a folder of texts, or a text set that is prepared. Received: 'nothing'"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(content, given, message, tmp_path):
    name = "nothing" if content is None else write(tmp_path, content)
    with pytest.raises(ValueError, match=message) as caught:
        load_text(name, data_dir=tmp_path / "empty", **given)
    assert "\n" not in str(caught.value)


def test_sets_that_are_not_text_are_refused(tmp_path, tiny_dir):
    (tmp_path / "noise.bin").write_bytes(bytes(range(128, 256)) * 10)
    with pytest.raises(ValueError, match=r"be text. Received: a file with control characters"):
        load_text(str(tmp_path / "noise.bin"))
    with pytest.raises(ValueError, match=r"one text feature. Received: 'tf_kit_tiny' with 0"):
        load_text("tf_kit_tiny", data_dir=tiny_dir)
