"""What can be loaded on this machine without a network: embedded, generated and prepared sets."""

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
    """A data set that is at hand.

    Args:
        name: what `load` is given.
        kind: "embedded", "generated" or "prepared".
        version: of a prepared set; "" for the others.
        examples: in all splits together; None where that is not known.
        shape: of one example, −1 where it varies; None if the set is not image classification.
        num_classes: None if the set is not image classification.
        size_bytes: on disk; 0 for what is not there.
        folder: of a prepared set, otherwise None.
        problem: one line if its files are damaged, otherwise "".
    """

    name: str
    kind: str
    version: str = ""
    examples: int | None = None
    shape: tuple | None = None
    num_classes: int | None = None
    size_bytes: int = 0
    folder: Path | None = None
    problem: str = ""


def available(data_dir=None):
    """The data sets at hand: embedded, generated, and prepared by tensorflow-datasets on this machine.

    Reads names, JSON files and file sizes only. A prepared set that is not image classification is listed with
    `shape=None`; it cannot be given to `load`.

    Args:
        data_dir: folder of prepared sets; None for TFDS_DATA_DIR and tensorflow-datasets' own.

    Returns:
        a list of `Available`.

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
