"""Text as sequences of characters: a file of the user, or a text set prepared by tensorflow-datasets."""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tf_kit.checks import count, refuse
from tf_kit.data import prepared, text_files
from tf_kit.data.text_files import TextFiles


@dataclasses.dataclass(frozen=True)
class Text:
    """Sequences of characters of a text, each character as a whole number.

    Two numbers follow those of the vocabulary: `unknown`, for characters that the training text does not have, and
    `mask_token`, which no text has.

    Args:
        x: int32 (n, length).
        vocabulary: sorted characters of the training text; the number i means `vocabulary[i]`.
    """

    x: np.ndarray
    vocabulary: str

    def __len__(self) -> int:
        return len(self.x)

    @property
    def unknown(self) -> int:
        return len(self.vocabulary)

    @property
    def mask_token(self) -> int:
        return len(self.vocabulary) + 1

    @property
    def num_tokens(self) -> int:
        return len(self.vocabulary) + 2

    def decode(self, numbers: Iterable[int]) -> str:
        """Convert numbers to characters; "▒" is the mask token, "�" an unknown character, "⏎" a new line.

        Example:
            >>> text = Text(np.array([[0, 1]], "int32"), "ab")
            >>> text.decode([0, 3, 1, 2])
            'a▒b�'
        """
        shown = self.vocabulary.replace("\n", "⏎") + "�▒"
        return "".join(shown[number] for number in numbers)


def load_text(name: str, *, length: int = 64, data_dir: str | Path | None = None) -> tuple[Text, Text, Text]:
    """Load training, validation and test text, cut into sequences of `length` characters that do not overlap.

    A file, or all texts of a folder, are read and divided as by `text_files.read`; the splits of a prepared set are
    used as they are. An incomplete sequence at the end of a split is dropped.

    Args:
        name: path of a text file or of a folder of texts, or name of a prepared set with one text feature, such as
            "tiny_shakespeare".
        length: characters per sequence, at least 2. Defaults to 64.
        data_dir: folder of prepared sets. None means TFDS_DATA_DIR and the folder that tensorflow-datasets uses by
            default. Defaults to None.

    Returns:
        `Text` train, val, test, with the vocabulary of train.

    Raises:
        ValueError: there is no such file or set, it is not text, or a split has fewer than `length` characters.

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
    return cut(name, find_text(name, data_dir), length)


def cut(name: str, found: TextFiles, length: int) -> tuple[Text, Text, Text]:
    """Cut the parts of a text into sequences of `length` characters; `name` is for messages."""
    parts = found.parts
    vocabulary = "".join(sorted(set(parts[0])))
    number = {character: i for i, character in enumerate(vocabulary)}
    splits, fits = [], min(map(len, parts)) >= 2
    for split, text in zip(("train", "val", "test"), parts, strict=True):
        if len(text) < length:
            refuse(
                name,
                f"hold at least {length} characters in each split",
                f"{len(text):,} characters in {split}" + (f"; {found.summary}" if found.files else ""),
                "Lower `length`" if fits else "Give a longer text",
                flag="--data",
                typed_remedy="Lower `--length`" if fits else None,
            )
        whole = len(text) // length * length
        numbers = np.fromiter((number.get(c, len(vocabulary)) for c in text[:whole]), "int32", whole)
        splits.append(Text(numbers.reshape(-1, length), vocabulary))
    train, val, test = splits
    return train, val, test


def find_text(name: str, data_dir: str | Path | None = None) -> TextFiles:
    """Read the text of a file, of a folder, or of a prepared set, which has no `files`; as for `load_text`."""
    path = Path(name).expanduser()
    if name.strip() and os.path.isfile(path):
        return text_files.read(path)
    if name.strip() and os.path.isdir(path) and prepared.find(name, data_dir) is None:
        return text_files.read(path)
    return TextFiles(path, _of_set(name, data_dir), (), "")


def _of_set(name, data_dir):
    with prepared.name_of("load_text.name", "--data"):
        folder = prepared.find(name, data_dir)
    if folder is None:
        python = "import tensorflow_datasets as tfds; tfds.load('tiny_shakespeare')"
        refuse(
            "load_text.name",
            "be a text file, a folder of texts, or a text set that is prepared",
            f"{name!r}",
            "tensorflow_datasets.load(name) prepares one, such as tiny_shakespeare",
            flag="--data",
            typed_remedy=f'`python -c "{python}"` prepares one',
        )
    features = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    features = features.get("featuresDict", {}).get("features", {})
    key = [each for each, feature in features.items() if "text" in feature]
    if len(key) != 1:
        received = f"{name!r} with {len(key)}"
        refuse("load_text.name", "name a set with one text feature", received, flag="--data")
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(folder)
    splits = ("train", "validation", "test")
    missing = sorted(set(splits) - set(builder.info.splits))
    if missing:
        requirement, received = "have the splits train, validation and test", f"{name!r} without {missing}"
        refuse("load_text.name", requirement, received, flag="--data")
    train, val, test = (_joined(builder.as_dataset(split=split), key[0]) for split in splits)
    return train, val, test


def _joined(dataset, key):
    return "\n".join(example[key].decode("utf-8") for example in dataset.as_numpy_iterator())
