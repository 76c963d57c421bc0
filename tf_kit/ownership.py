"""Owner of a folder: a lock that the operating system releases when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

import filelock

from tf_kit.checks import refuse

LOCK, OWNER = ".lock", ".owner"  # files of the folder; the second one names the process, for error messages


_REMEDY = "Wait until that process has ended, or choose another folder"
_TYPED = "Wait until that process has ended and add `--resume`, or choose another folder"


def own(
    folder: Path, subject: str = "Run.folder", typed_remedy: str = _TYPED
) -> filelock.BaseFileLock | None:
    """Make this process the owner of a folder, until it ends or calls `disown`.

    Several calls in one process share the lock.

    Args:
        folder: existing folder, such as that of a run.
        subject: argument that names it, for the message. Defaults to `"Run.folder"`.
        typed_remedy: what to do, for the message on the command line. Defaults to resuming the run.

    Returns:
        The lock, or None on a file system that cannot lock files.

    Raises:
        InputError: another process owns the folder.
    """
    lock = filelock.FileLock(folder.resolve() / LOCK, is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        received = f"{folder}, in use by {_owner(folder)}"
        requirement = "be a folder that no other process uses"
        refuse(subject, requirement, received, _REMEDY, flag="--out", typed_remedy=typed_remedy)
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


def _owner(folder):
    try:
        return (folder / OWNER).read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"
