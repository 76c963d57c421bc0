"""Owner of a run folder: a lock that the operating system releases when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

import filelock

from tf_kit.checks import refuse
from tf_kit.runs.files import UNFINISHED

LOCK, OWNER = ".lock", ".owner"  # files of the folder; the second one names the process, for error messages


def own(folder: Path) -> filelock.BaseFileLock | None:
    """Make this process the owner of a run folder, until it ends or calls `disown`.

    Several calls in one process share the lock.

    Args:
        folder: existing folder of the run.

    Returns:
        The lock, or None on a file system that cannot lock files.

    Raises:
        InputError: another process owns the folder.
    """
    lock = filelock.FileLock(folder.resolve() / LOCK, is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        remedy = "Wait until that process has ended, or choose another folder"
        received = f"{folder}, in use by {_owner(folder)}"
        typed = "Wait until that process has ended and add `--resume`, or choose another folder"
        requirement = "be a folder that no other process uses"
        refuse("Run.folder", requirement, received, remedy, flag="--out", typed_remedy=typed)
    except NotImplementedError:
        return None
    (folder / OWNER).write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
    return lock


def disown(lock: filelock.BaseFileLock) -> None:
    """Release a lock once; after as many calls as of `own`, other processes may use the folder."""
    with contextlib.suppress(OSError):
        lock.release()
        if not lock.is_locked:
            Path(lock.lock_file).with_name(OWNER).unlink(missing_ok=True)


def holds_files(folder: Path) -> bool:
    """Return whether a folder holds anything but a lock and files that a killed process left half written."""
    return any(path.name not in (LOCK, OWNER) and UNFINISHED not in path.name for path in folder.iterdir())


def _owner(folder):
    try:
        return (folder / OWNER).read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"
