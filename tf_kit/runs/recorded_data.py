"""Record of the data that a run was trained on: a summary in `config.json`, all entries in `data.csv`."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

from tf_kit.data.fingerprint import Changes, Entries, Fingerprint, changes, digest
from tf_kit.errors import InputError
from tf_kit.runs.files import read_json, replacing

FILE = "data.csv"
MISSING = (
    "was begun without a fingerprint of its data, by an older version, so changes of them are not noticed"
)


@dataclasses.dataclass(frozen=True)
class Recorded:
    """Data of a run, as they were when it began.

    Args:
        entries: size and hash of each file or array; None if `data.csv` is missing or damaged.
        summary: `Fingerprint.record` of that time.
    """

    entries: Entries | None
    summary: dict[str, Any]

    def changes(self, now: Fingerprint) -> Changes | None:
        """Compare with the data of today; None if they differ in a way that is not known."""
        if now.digest == self.summary["digest"]:
            return Changes()
        return None if self.entries is None else changes(self.entries, now.entries)

    def text(self, now: Fingerprint) -> str:
        """Describe in one line what has changed; "" if nothing has."""
        found = self.changes(now)
        if found is None:
            then, today = (
                f"{each['entries']:,} with {each['bytes']:,} bytes" for each in (self.summary, now.record())
            )
            return f"then {then}, now {today}"
        return found.text()


def write(folder: Path, data: Fingerprint) -> None:
    """Write `data.csv` into a run folder: name, bytes and hash of each file or array."""
    with (
        replacing(folder / FILE) as path,
        path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["name", "bytes", "hash"])
        writer.writerows([name, size, value] for name, (size, value) in data.entries.items())


def read(folder: Path, config: Any = None) -> Recorded | None:
    """Read the record of a run folder; None for a run of an older version, which has none.

    Args:
        folder: run folder.
        config: content of its `config.json`. Defaults to None, which reads it.
    """
    try:
        summary = (read_json(folder / "config.json", "config.json") if config is None else config)["data"]
        kept = {
            "entries": int(summary["entries"]),
            "bytes": int(summary["bytes"]),
            "digest": summary["digest"],
        }
    except (InputError, KeyError, TypeError, ValueError):
        return None
    return Recorded(_entries(folder / FILE, kept["digest"]), kept)


def _entries(path, expected):
    """Entries of `data.csv`; None if it does not have the hash that `config.json` expects."""
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            entries = {row["name"]: (int(row["bytes"]), row["hash"]) for row in csv.DictReader(file)}
        return entries if digest(entries) == expected else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
        return None
