"""Texts of the user: a file, or all files of a folder, in any usual encoding, compressed or not."""

from __future__ import annotations

import bz2
import collections
import dataclasses
import gzip
import lzma
import os
import zlib
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.data.listing import counted, list_files, some
from tf_kit.data.owners import PARTS, TEST, TRAIN, VAL, division, is_untrained
from tf_kit.data.pictures import clean
from tf_kit.encoding import decoded, is_text

_OPEN = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


@dataclasses.dataclass(frozen=True)
class TextFiles:
    """Characters of files, by part.

    Args:
        path: the file or folder.
        parts: text for training, validation and test.
        files: the files that were read, sorted by name.
        summary: one line about them.
    """

    path: Path
    parts: tuple[str, str, str]
    files: tuple[Path, ...]
    summary: str


def read(path: str | Path) -> TextFiles:
    """Read a text, or all texts of a folder at any depth, in the order of their names, joined by a new line.

    A file is text if it has no control characters but those of lines and tabs, whatever its ending. It is in UTF-8,
    in the encoding of its byte order mark, or else in Windows-1252; `.gz`, `.bz2` and `.xz` are decompressed. Ends of
    lines become "\\n". Files and subfolders of a folder that are named after training, validation and test divide it,
    also in a single subfolder that holds all; otherwise the first 90 % of the characters are for training, the next
    5 % for validation and the last 5 % for test. Without one of the two, the last 5 % for training become it.

    Args:
        path: the file or folder.

    Raises:
        InputError: the file is no text, the folder holds none, or only those for validation and test.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("train.txt", "test.txt"):
        ...         _ = (Path(folder) / name).write_text(name * 100)
        ...     found = read(folder)
        >>> found.summary
        '2 texts, 1,700 characters; divided by its folders and files: train 855, val 45, test 800'
    """
    path = Path(path).expanduser()
    if os.path.isfile(path):
        text, encoding = _read_one(path)
        if text is None:
            received = f"a file with control characters, read as {encoding}"
            refuse(clean(path), "be text", received, "Save it as plain text in UTF-8", flag="--data")
        notes = [] if encoding == "UTF-8" else [f"read as {encoding}"]
        summary = "; ".join([_counted(len(text), "character"), *notes])
        return TextFiles(path, _drawn([text, "", ""]), (path,), summary)
    return _read_folder(path)


def _read_folder(path):
    listing = list_files(path, is_wanted=lambda file: True)
    depth = _depth([file.relative_to(path).parts for file in listing.files])
    tops = {file.relative_to(path).parts[depth] for file in listing.files}
    if is_untrained(tops):
        received = f"{some(sorted(tops))}, for validation and test"
        remedy = "Give one of them, or name the texts for training after it, such as train.txt"
        refuse(clean(path), "hold texts for training", received, remedy, flag="--data")
    named = division(tops)
    texts: tuple[list[str], list[str], list[str]] = ([], [], [])
    files, passed = (
        [],
        collections.defaultdict(list, {each: list(names) for each, names in listing.passed.items()}),
    )
    encodings: collections.Counter[str] = collections.Counter()
    for file in listing.files:
        inside = file.relative_to(path)
        part = TRAIN if named is None else named.get(inside.parts[depth])
        text, encoding = (None, "") if part is None else _read_one(file)
        if text is None or part not in (TRAIN, VAL, TEST):
            reason = "in no part" if part is None else file.suffix.lower() or "without an ending"
            passed[reason].append(inside.as_posix())
            continue
        texts[part].append(text)
        files.append(file)
        encodings[encoding] += 1
    left_out = counted({each: tuple(names) for each, names in passed.items()}, listing.links)
    if not any(map(any, texts)):
        refuse(clean(path), "hold texts", left_out or "no file that is not hidden", flag="--data")
    parts = _drawn(["\n".join(each) for each in texts])
    divided = ", ".join(f"{name} {len(each):,}" for name, each in zip(PARTS, parts, strict=True))
    found = [
        f"{_counted(len(files), 'text')}, {_counted(sum(map(len, parts)), 'character')}",
        f"divided by its folders and files: {divided}" if named is not None else "",
        *(f"{n:,} read as {name}" for name, n in sorted(encodings.items()) if name != "UTF-8"),
        left_out,
    ]
    return TextFiles(path, parts, tuple(files), "; ".join(filter(None, found)))


def _counted(n, noun):
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _depth(places):
    """Number of folders around all files, one in the other, as archives have.

    >>> _depth([("wiki", "train", "a.txt"), ("wiki", "test", "a.txt")]), _depth([("train", "a.txt")])
    (1, 1)
    """
    depth = 0
    while all(len(each) > depth + 1 for each in places) and len({each[: depth + 1] for each in places}) == 1:
        depth += 1
    return depth


def _drawn(texts):
    """Cut text for validation and test off the end of that for training, 5 % for each that is missing."""
    train, *others = texts
    missing = [i for i, text in enumerate(others) if not text]
    ends = [len(train) * (100 - 5 * k) // 100 for k in range(len(missing), -1, -1)]
    for i, start, end in zip(missing, ends, ends[1:], strict=False):
        others[i] = train[start:end]
    return (train[: ends[0]], *others)


def _read_one(file):
    """Characters of a file, or None if it is no text; and its encoding."""
    try:
        with _OPEN.get(file.suffix.lower(), open)(file, "rb") as opened:
            content = opened.read()
    except _DAMAGED as error:
        reason = getattr(error, "strerror", None) or "a damaged or cut archive"
        refuse(clean(file), "be a file that can be read", reason, flag="--data")
    text, encoding = decoded(content)
    if not is_text(text):
        return None, encoding
    return text.replace("\r\n", "\n").replace("\r", "\n"), encoding
