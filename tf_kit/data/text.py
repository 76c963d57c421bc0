"""Text as characters: a file of one's own, or a text set that tensorflow-datasets has prepared."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from tf_kit.checks import count, refuse
from tf_kit.data import prepared


@dataclasses.dataclass(frozen=True)
class Text:
    """Stretches of a text, each character a whole number.

    Args:
        x: int32 (n, length).
        vocabulary: the characters of the training text in order; number i stands for `vocabulary[i]`.

    Two numbers follow those of the vocabulary: `unknown`, for characters that training has not seen, and
    `mask_token`, which stands nowhere.
    """

    x: np.ndarray
    vocabulary: str

    def __len__(self):
        return len(self.x)

    @property
    def unknown(self):
        return len(self.vocabulary)

    @property
    def mask_token(self):
        return len(self.vocabulary) + 1

    @property
    def num_tokens(self):
        return len(self.vocabulary) + 2

    def decode(self, numbers):
        """The characters of a sequence of numbers, as a string: "▒" hides, "�" is unknown, a new line is "⏎".

        >>> text = Text(np.array([[0, 1]], "int32"), "ab")
        >>> text.decode([0, 3, 1, 2])
        'a▒b�'
        """
        shown = self.vocabulary.replace("\n", "⏎") + "�▒"
        return "".join(shown[number] for number in numbers)


def load_text(name, *, length=64, data_dir=None):
    """Training, validation and test text, cut into stretches of `length` characters that do not overlap.

    Of a file the first 90 % train, the next 5 % validate, the last 5 % test; a prepared set has splits of its own.
    What is left at the end of each is too short and dropped.

    Args:
        name: path of a text file in UTF-8, or name of a prepared set with one text feature, "tiny_shakespeare".
        length: characters in a stretch.
        data_dir: folder of prepared sets; None for TFDS_DATA_DIR and tensorflow-datasets' own.

    Returns:
        `Text` train, val and test, with the vocabulary of train.

    Raises:
        ValueError: no such file or set, no text in it, or fewer than `length` characters in a split.

    Example:

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "rhyme.txt"
        ...     _ = path.write_text("abc " * 200, encoding="utf-8")
        ...     train, val, test = load_text(str(path), length=10)
        >>> train.x.shape, test.x.shape, train.vocabulary, train.decode(train.x[0])
        ((72, 10), (4, 10), ' abc', 'abc abc ab')
    """
    length = count("load_text.length", length, at_least=2)
    parts = (
        _of_file(Path(name).expanduser()) if Path(name).expanduser().is_file() else _of_set(name, data_dir)
    )
    vocabulary = "".join(sorted(set(parts[0])))
    number = {character: i for i, character in enumerate(vocabulary)}
    splits = []
    for split, text in zip(("train", "val", "test"), parts, strict=True):
        if len(text) < length:
            received = f"{len(text):,} characters in {split}"
            refuse(name, f"hold at least {length} characters in each split", received, "Lower the length")
        whole = len(text) // length * length
        numbers = np.fromiter((number.get(c, len(vocabulary)) for c in text[:whole]), "int32", whole)
        splits.append(Text(numbers.reshape(-1, length), vocabulary))
    return tuple(splits)


def _of_file(path):
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        refuse(path, "be text in UTF-8", f"a byte that is none at {error.start:,}")
    first, second = len(text) * 90 // 100, len(text) * 95 // 100
    return text[:first], text[first:second], text[second:]


def _of_set(name, data_dir):
    folder = prepared.find(name, data_dir)
    if folder is None:
        refuse(
            "load_text.name",
            "be a text file, or a text set that is prepared",
            f"{name!r}",
            "tensorflow_datasets.load(name) prepares one, such as tiny_shakespeare",
        )
    features = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    features = features.get("featuresDict", {}).get("features", {})
    key = [each for each, feature in features.items() if "text" in feature]
    if len(key) != 1:
        refuse("load_text.name", "name a set with one text feature", f"{name!r} with {len(key)}")
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    own = {"train": "train", "val": "validation", "test": "test"}
    missing = sorted(set(own.values()) - set(builder.info.splits))
    if missing:
        refuse("load_text.name", "have the splits train, validation and test", f"{name!r} without {missing}")
    return [_joined(builder.as_dataset(split=split), key[0]) for split in own.values()]


def _joined(dataset, key):
    return "\n".join(example[key].decode("utf-8") for example in dataset.as_numpy_iterator())
