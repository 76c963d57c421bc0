"""Data sets that can be loaded on this machine without a network: embedded, generated and prepared ones."""

import dataclasses
from pathlib import Path

from tf_kit.data import embedded, generated, prepared
from tf_kit.errors import InputError

GENERATED = {
    "xor": generated.xor,
    "two_moons": generated.two_moons,
    "spirals": generated.spirals,
    "bars_and_stripes": generated.bars_and_stripes,
}
BUILT_IN = {"digits": embedded.digits, **GENERATED}


@dataclasses.dataclass(frozen=True)
class Available:
    """Data set that can be loaded without a network.

    Args:
        name: name to give to `load`.
        kind: "embedded", "generated" or "prepared".
        version: version of a prepared set; "" for the others.
        examples: number of examples in all splits together; None if unknown.
        shape: shape of one example, −1 where it varies; None if the set is not image classification.
        num_classes: number of classes; None if the set is not image classification.
        size_bytes: bytes on disk; 0 for sets without files.
        folder: folder of a prepared set, otherwise None.
        problem: one line that describes the damage if its files are damaged, otherwise "".
    """

    name: str
    kind: str
    version: str = ""
    examples: int | None = None
    shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    size_bytes: int = 0
    folder: Path | None = None
    problem: str = ""


def available(data_dir: str | Path | None = None) -> list[Available]:
    """List the data sets of this machine: embedded, generated, and prepared by tensorflow-datasets.

    Only names, JSON files and file sizes are read. A prepared set that is not image classification is listed with
    `shape=None`; `load` does not accept it.

    Args:
        data_dir: folder of prepared sets. None means TFDS_DATA_DIR and the folder that tensorflow-datasets uses by
            default. Defaults to None.

    Returns:
        List of `Available`.

    Example:
        >>> [(each.name, each.examples, each.shape) for each in available()][:2]
        [('digits', 1797, (8, 8, 1)), ('xor', 600, (2,))]
    """
    found = []
    for name, make in BUILT_IN.items():
        splits = make()
        found.append(
            Available(
                name,
                kind="generated" if name in GENERATED else "embedded",
                examples=sum(len(split) for split in splits),
                shape=splits[0].x.shape[1:],
                num_classes=splits[0].num_classes,
            )
        )
    for root in prepared.folders(data_dir):
        for home in (*sorted(root.glob("[!.]*")), *sorted(root.glob("[!.]*/[!.]*"))):
            found += [_prepared(version, root) for version in prepared.versions(home)]
    return found


def _prepared(folder, root):
    name = folder.parent.relative_to(root).as_posix()
    try:
        info = prepared.describe(folder)
    except InputError as error:
        return Available(name, "prepared", version=folder.name, folder=folder, problem=str(error))
    return Available(
        name,
        "prepared",
        version=info.version,
        examples=sum(info.examples.values()),
        shape=info.shape,
        num_classes=info.num_classes,
        size_bytes=info.size_bytes,
        folder=folder,
    )
