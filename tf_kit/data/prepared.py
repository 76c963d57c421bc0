"""Data sets that tensorflow-datasets has prepared in a folder: finding and describing them.

A prepared set is the folder NAME/VERSION, or NAME/CONFIG/VERSION, with `dataset_info.json`, `features.json` and
record files. Only the two JSON files are read, without TensorFlow.
"""

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tf_kit.checks import refuse
from tf_kit.data.owners import PARTS, part_of
from tf_kit.errors import InputError

NAME = re.compile(r"(?P<name>\w+)(/(?P<config>[\w.\-]+))?(:(?P<version>\d+\.\d+\.\d+))?")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_AGAIN = "Delete its folder, then `tf-kit data get` or `tf-kit data import` it again"
_LIST = "`tf-kit data list` shows the sets of this machine"


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Description of a prepared set, from its JSON files.

    Args:
        name: name of the set, with its config if it has one.
        version: version of the set.
        folder: folder of this version.
        size_bytes: bytes on disk.
        examples: number of examples of each split, by name.
        shape: shape of an image, −1 where it varies; None if this is not image classification.
        num_classes: number of classes; None if this is not image classification.
        image, label: keys of the two features; None if this is not image classification.
    """

    name: str
    version: str
    folder: Path
    size_bytes: int
    examples: dict[str, int]
    shape: tuple[int, ...] | None
    num_classes: int | None
    image: str | None
    label: str | None


def folders(data_dir: str | Path | None = None) -> list[Path]:
    """List the folders that may hold prepared sets; downloads go to the first.

    Args:
        data_dir: the only folder to search. None means TFDS_DATA_DIR, if it is set, and the folder that
            tensorflow-datasets uses by default: `tensorflow_datasets` in the home folder, or in the current folder for
            a user without one. Defaults to None.

    Example:
        >>> [str(folder) for folder in folders("shelf")]
        ['shelf']
    """
    if data_dir:
        return [Path(data_dir).expanduser()]
    given = os.environ.get("TFDS_DATA_DIR")
    own = (home_folder() or Path()) / "tensorflow_datasets"
    return [Path(given).expanduser(), own] if given else [own]


def home_folder() -> Path | None:
    """Return the home folder, or None for a user without one, as in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def find(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Find the folder of the newest prepared version of a set.

    Args:
        name: `name`, `name/config` or `name/config:1.2.3`.
        data_dir: as for `folders`.

    Returns:
        The version folder, or None if the set is not prepared.

    Raises:
        ValueError: several configs are prepared and the name has none.
    """
    wanted = NAME.fullmatch(name)
    if not wanted:
        return None
    for folder in folders(data_dir):
        home = folder / wanted["name"]
        config = wanted["config"] or _default_config(home)
        found = versions(home / config) if config else versions(home)
        if not found and not config:
            configs = sorted(each.name for each in _subfolders(home) if versions(each))
            if len(configs) > 1:
                options = ", ".join(f"{name}/{each}" for each in configs)
                remedy = f"Prepared are {options}"
                refuse("load.name", f"name one config of {name}", repr(name), remedy, flag="--data")
            found = versions(home / configs[0]) if configs else []
        found = [each for each in found if wanted["version"] in (None, each.name)]
        if found:
            return found[-1]
    return None


def versions(home: Path) -> list[Path]:
    """List the version folders in `home`, oldest first."""
    found = [each for each in _subfolders(home) if _VERSION.fullmatch(each.name)]
    return sorted(found, key=lambda each: tuple(map(int, each.name.split("."))))


def describe(folder: Path) -> Prepared:
    """Describe the set in a version folder.

    Raises:
        ValueError: a JSON file is missing or damaged; the message names it.
    """
    info, features = _json(folder / "dataset_info.json"), _json(folder / "features.json")
    try:
        supervised = [each["featureKey"] for each in info.get("supervisedKeys", {})["tuple"]["items"]]
    except (KeyError, TypeError):
        supervised = None
    try:
        keys = image_and_label(features["featuresDict"]["features"], supervised)
        examples = {each["name"]: sum(map(int, each["shardLengths"])) for each in info["splits"]}
        name, version = info["name"], info["version"]
    except (KeyError, TypeError, ValueError) as error:
        damaged(folder / "dataset_info.json", f"{type(error).__name__} at {error}")
    image, label, shape, num_classes = keys or (None,) * 4
    return Prepared(
        name=f"{name}/{info['configName']}" if "configName" in info else name,
        version=version,
        folder=folder,
        size_bytes=sum(each.stat().st_size for each in folder.iterdir() if each.is_file()),
        examples=examples,
        shape=shape,
        num_classes=num_classes,
        image=image,
        label=label,
    )


def image_and_label(
    features: Mapping[str, Any], supervised: Sequence[str] | None
) -> tuple[str, str, tuple[int, ...], int] | None:
    """Find the image and its class among the features of a set.

    Args:
        features: features as in `features.json`.
        supervised: keys of the features that the set itself declares as input and target, or None.

    Returns:
        Key of the image, key of the class, shape of the image, number of classes; or None if the set does not have
        exactly one image and one class.
    """
    images = [key for key, each in features.items() if "image" in each]
    labels = [key for key, each in features.items() if "classLabel" in each]
    if supervised and len(supervised) == 2 and supervised[0] in images and supervised[1] in labels:
        images, labels = [supervised[0]], [supervised[1]]
    if len(images) != 1 or len(labels) != 1:
        return None
    known = features[images[0]]["image"].get("shape", {}).get("dimensions", (-1, -1, -1))
    shape = tuple(map(int, known))
    num_classes = int(features[labels[0]]["classLabel"]["numClasses"])
    return (images[0], labels[0], shape, num_classes) if len(shape) == 3 else None


def parts(info: Mapping[str, int]) -> dict[str, str]:
    """Divide a set into train, val and test, as split instructions of tensorflow-datasets.

    Validation is the validation split of the set, or else the last sixth of train: the last 10,000 of the 60,000 of
    MNIST. Without a test split, test is the validation split, or else another sixth of train.

    Args:
        info: number of examples of each split of the set, by name.

    Example:
        >>> parts({"train": 60_000, "test": 10_000})
        {'train': 'train[:50000]', 'val': 'train[50000:60000]', 'test': 'test'}
        >>> parts({"train": 60, "validation": 10})
        {'train': 'train[:50]', 'val': 'train[50:60]', 'test': 'validation'}
        >>> parts({"train": 60, "val": 10, "test": 10})
        {'train': 'train', 'val': 'val', 'test': 'test'}
        >>> parts({"train": 60})
        {'train': 'train[:40]', 'val': 'train[40:50]', 'test': 'train[50:60]'}
    """
    own = own_parts(info)
    if len(own) == 3:
        return own
    train, n = own["train"], info[own["train"]]
    sixth = max(1, n // 6)
    tested = own.get("test", own.get("val"))
    if tested:
        return {"train": f"{train}[:{n - sixth}]", "val": f"{train}[{n - sixth}:{n}]", "test": tested}
    cut = n - 2 * sixth, n - sixth
    return {
        "train": f"{train}[:{cut[0]}]",
        "val": f"{train}[{cut[0]}:{cut[1]}]",
        "test": f"{train}[{cut[1]}:{n}]",
    }


def own_parts(info: Mapping[str, int]) -> dict[str, str]:
    """Map train, val and test to the splits of a set that are meant, by any of their usual names.

    Example:
        >>> own_parts({"train": 60, "dev": 10, "test2017": 0})
        {'train': 'train', 'val': 'dev'}
    """
    found: dict[str, str] = {}
    for name, n in info.items():
        part = part_of(name)
        if n and part is not None and part < len(PARTS):
            found.setdefault(PARTS[part], name)
    return {part: found[part] for part in PARTS if part in found}


def damaged(path: Path, received: str) -> NoReturn:
    """Raise `InputError` for a damaged file of a prepared set."""
    refuse(path, "be a whole file of a prepared data set", received, _AGAIN)


def not_images(name: str) -> NoReturn:
    """Raise `InputError` for a set that is not image classification."""
    received = f"{name!r}, which is not one"
    refuse("load.name", "name a set of images with one class each", received, _LIST, flag="--data")


@contextlib.contextmanager
def name_of(subject: str, flag: str) -> Iterator[None]:
    """Make errors about `load.name`, the name of a data set, name the argument of another function instead.

    Args:
        subject: argument that was given the name, such as `"get.name"`.
        flag: argument of the command line that was given the name, such as `"NAME"`.
    """
    try:
        yield
    except InputError as error:
        if error.flag != "--data":
            raise
        refuse(
            subject if error.subject == "load.name" else error.subject,
            error.requirement,
            error.received,
            error.remedy,
            flag=flag,
            typed_remedy=error.typed_remedy,
        )


def _json(path):
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        damaged(path, "no such file")
    except (OSError, ValueError) as error:
        damaged(path, f"{type(error).__name__}: {error}".splitlines()[0])
    if not isinstance(found, dict):
        damaged(path, f"a {type(found).__name__}")
    return found


def _default_config(home):
    try:
        return json.loads((home / ".config" / "metadata.json").read_text(encoding="utf-8"))[
            "default_config_name"
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _subfolders(home):
    try:
        return [each for each in home.iterdir() if each.is_dir()]
    except OSError:
        return []
