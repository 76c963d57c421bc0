"""Files of a folder: its images, and the files that are passed over, each with its reason."""

import collections
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tf_kit.checks import refuse
from tf_kit.data.pictures import clean, is_picture

# Folders and files that systems and programs add to those of the user.
_ADDED = {
    "__MACOSX",
    "@eaDir",
    "lost+found",
    "$RECYCLE.BIN",
    "System Volume Information",
    "Thumbs.db",
    "desktop.ini",
}
# Endings of notes that people keep next to images.
COMPANIONS = frozenset(
    [
        ".txt",
        ".md",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".toml",
        ".html",
        ".pdf",
        ".log",
        ".ini",
        ".db",
        ".py",
        ".ipynb",
        ".mat",
        ".npy",
        ".npz",
        ".zip",
    ]
)
# Files by which a folder is known that the kit has written, and how its files are then called.
_WRITTEN = (
    ({"config.json", "run.toml"}, "of a run"),
    ({"config.json", "results.json"}, "of a run"),
    ({"map.png", "projector_config.pbtxt"}, "of a map"),
)
HEIC = (".heic", ".heif", ".hif")
LEARNS_FROM_TEXTS = "`tf-kit pretrain tokens` learns from texts"
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
_SHOWN = 4  # kinds or names in a message


@dataclasses.dataclass(frozen=True)
class Listing:
    """Files below a folder.

    Args:
        path: the folder.
        files: its images at any depth, sorted by name.
        folders: folders below it, relative to it; each as the tuple of its parts.
        empty: those of them without an image at any depth.
        passed: reason → other files, relative to the folder.
        links: links to folders that are not followed, since they lead back into the folder.
    """

    path: Path
    files: tuple[Path, ...]
    folders: tuple[tuple[str, ...], ...]
    empty: frozenset[tuple[str, ...]]
    passed: Mapping[str, tuple[str, ...]]
    links: tuple[str, ...]


def list_files(path: Path, is_wanted: Callable[[Path], bool] = is_picture) -> Listing:
    """List the files below a folder. Links are followed, but none back into the folder; hidden files are ignored.

    Folders below it that a run or `embed --map` has written are passed over: their figures are not data.

    Args:
        path: the folder.
        is_wanted: which files are listed; the others are passed over. Defaults to images.

    Raises:
        InputError: the folder or one below it cannot be read.
    """
    files: list[Path] = []
    folders: list[tuple[str, ...]] = []
    empty: set[tuple[str, ...]] = set()
    passed: dict[str, list[str]] = collections.defaultdict(list)
    links: list[str] = []
    root, followed = path.resolve(), set()

    def enter(folder, parts, written=None):
        entries = _entries(folder)
        written = written or (_written({each.name for each in entries}) if parts else None)
        for entry in entries:
            place, inside = Path(entry.path), (*parts, entry.name)
            if not entry.is_dir():
                reason = written or _reason(entry, place, is_wanted)
                files.append(place) if reason is None else passed[reason].append("/".join(map(clean, inside)))
                continue
            if entry.is_symlink():
                target = place.resolve()
                if target in followed or target.is_relative_to(root) or root.is_relative_to(target):
                    links.append("/".join(map(clean, inside)))
                    continue
                followed.add(target)
            folders.append(inside)
            before = len(files)
            enter(place, inside, written)
            if len(files) == before:
                empty.add(inside)

    enter(path, ())
    kept = {reason: tuple(names) for reason, names in sorted(passed.items())}
    return Listing(path, tuple(files), tuple(folders), frozenset(empty), kept, tuple(links))


def names_below(root: Path, files: Sequence[Path]) -> list[str]:
    """Return the path of each file relative to a folder, its parts joined by "/".

    `Path.relative_to` does the same in ten times the time.

    Example:
        >>> names_below(Path("pictures"), [Path("pictures/cat/1.png")])
        ['cat/1.png']
    """
    start = os.path.join(root, "")
    return [
        name[len(start) :].replace(os.sep, "/")
        if name.startswith(start)
        else file.relative_to(root).as_posix()
        for file, name in ((file, str(file)) for file in files)
    ]


def _entries(folder):
    """Visible entries of a folder, sorted by name."""
    try:
        with os.scandir(folder) as found:
            entries = [each for each in found if not each.name.startswith(".") and each.name not in _ADDED]
    except OSError as error:
        refuse_folder(folder, error)
    return sorted(entries, key=lambda each: each.name)


def refuse_folder(folder: str | Path, error: OSError) -> NoReturn:
    """Raise `InputError` for a folder that the system does not list."""
    remedy = "Allow reading: `chmod -R a+rX`" if isinstance(error, PermissionError) else ""
    refuse(
        clean(folder),
        "be a folder that can be read",
        error.strerror or type(error).__name__,
        remedy,
        flag="--data",
    )


def _written(names):
    """Return how the files of a folder with these names are called if the kit has written it, otherwise None."""
    return next((reason for known, reason in _WRITTEN if known <= names), None)


def _reason(entry, place, is_wanted):
    """Return why a file is passed over, or None for one that is listed."""
    if entry.is_symlink() and not place.exists():
        return "links to nothing"
    if not entry.is_file():  # a pipe or a device, which cannot be read to its end
        return "not a file"
    if is_wanted(place):
        return None
    return clean(place.suffix.lower()) or "without an ending"


def counted(passed: Mapping[str, tuple[str, ...]], links: tuple[str, ...] = ()) -> str:
    """Describe files that are passed over: their number and kinds; "" if there are none.

    Example:
        >>> counted({".txt": ("a.txt", "b.txt"), ".heic": ("c.heic",)})
        '3 files passed over: 2 .txt, 1 .heic (`pip install pillow-heif` reads .heic)'
    """
    by_number = sorted(passed.items(), key=lambda each: -len(each[1]))
    kinds = [f"{len(names):,} {reason}" for reason, names in by_number]
    n = sum(len(names) for names in passed.values())
    listed = some(kinds)
    parts = [f"{n:,} file{'s' * (n != 1)} passed over: {listed}"] if n else []
    heic = [kind for kind in HEIC if kind in passed]
    if heic:
        parts[0] += f" (`pip install pillow-heif` reads {heic[0]})"
    if links:
        parts.append(f"{len(links):,} link{'s' * (len(links) != 1)} not followed: {some(links)}")
    return "; ".join(parts)


def some(names) -> str:
    """Join the first few of many names.

    Example:
        >>> some("abcdef")
        'a, b, c, d and 2 more'
    """
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(clean, names[:_SHOWN])) + more


def instead_of_file(path: str | Path) -> str:
    """Return what to give in place of a file that is neither a folder of images nor an array.

    Example:
        >>> instead_of_file("photos.zip"), instead_of_file("poem.txt")
        ('Unpack it, and give the folder', '`tf-kit pretrain tokens` learns from texts')
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending in _ARCHIVES:
        return "Unpack it, and give the folder"
    if ending == ".txt":
        return LEARNS_FROM_TEXTS
    return f"Give the folder, {clean(path.parent)}, not one of its files; arrays are in .npy or .npz"
