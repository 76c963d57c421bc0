"""Memory of an answer, counted over all its processes: a control group of the kernel, or a watch that reads /proc.

The limits of `confinement` count what one process allocates for itself. Memory that processes share, and a share for
each process of a tree, are counted here, in the process that forks the answers. `Wall.kind` is found by trial: a fork
takes too much, and the kind is in force if the fork was stopped or its memory was seen.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tf_kit.grading.sandbox.system_calls import call

GROUP, WATCH, NONE = "counted by the kernel", "read 20 times a second", "limited for each process alone"
EVERY_SECONDS = 0.05  # between two readings of the watch
_SLACK_MB = 64  # page tables and the like, which a group counts too
_TRIAL_MB = 4
_PR_SET_CHILD_SUBREAPER = 36


class Wall:
    """Limit of the memory of a process and its descendants.

    Args:
        forks: whether an answer might start processes. Without it only its own process is looked at.
        proc: where the processes are listed.
        above: control group in which those of the answers are made. Defaults to what `writable_group` finds.

    Attributes:
        forks: as above; it may be set once it is known.
        kind: what is in force: `GROUP`, `WATCH`, or `NONE`, where only the limits of single processes hold.
    """

    def __init__(self, forks: bool = True, proc: str | Path = "/proc", above: Path | None = None):
        self.forks, self._proc = forks, Path(proc)
        self._above = above or writable_group(self._proc)
        self._inherited = 0
        self.kind = NONE
        for kind in (GROUP, WATCH):
            if kind == GROUP and self._above is None:
                continue
            self.kind = kind
            if self._holds():
                break
            self.kind = NONE

    def _holds(self) -> bool:
        """Whether a fork that takes more shared memory than it may is noticed."""
        ready, theirs = os.pipe()
        begin, ours = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.read(begin, 1)
                taken = mmap.mmap(-1, 4 * _TRIAL_MB << 20)
                for place in range(0, len(taken), mmap.PAGESIZE):
                    taken[place] = 1
                os.write(theirs, b"1")
                time.sleep(5)
            os._exit(0)
        for end in (theirs, begin):
            os.close(end)
        self.inherit()
        held, tree = False, None
        with contextlib.suppress(OSError):
            tree = self.tree(pid, _TRIAL_MB, slack_mb=0)
            os.write(ours, b"1")
            os.read(ready, 1)  # nothing if the kernel has killed the process
            held = tree.over()
            tree.kill()
        for end in (ready, ours):
            os.close(end)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if tree is not None:
            tree.close()
        return held

    def adopt(self) -> None:
        """Become the parent of all processes below that lose theirs, so that `orphans` finds them."""
        with contextlib.suppress(OSError, AttributeError):
            call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def end_orphans(self, forks: Collection[int]) -> None:
        """End the children of this process that it did not fork itself: those of answers that have ended."""
        if not self.forks or self.kind == NONE:
            return
        own = int(os.readlink(self._proc / "self"))
        for number in _by_parent(self._proc).get(own, []):
            known = _own_number(self._proc / str(number))
            if known and known not in forks:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(known, signal.SIGKILL)

    def inherit(self) -> None:
        """Take what this process has as the memory that its forks begin with. Call it before the first fork."""
        if self.kind == WATCH:
            self._inherited = _private(self._proc / "self")

    def tree(self, pid: int, memory_mb: int, slack_mb: int = _SLACK_MB) -> Tree:
        """Limit the memory of a fork and of all its descendants from now on.

        Args:
            pid: the fork, which has not begun to work.
            memory_mb: memory that they may take together beyond what the fork began with.
            slack_mb: further memory for the kernel's own tables, which a group counts.
        """
        if self.kind == GROUP:
            assert self._above is not None
            return Group(pid, self._above, memory_mb + slack_mb)
        if self.kind == WATCH:
            return Watched(pid, self._proc, memory_mb << 10, self._inherited, self.forks)
        return Tree(pid)


class Tree:
    """A process and its descendants, without a limit on what they take together."""

    def __init__(self, pid: int):
        self._pid = pid

    def over(self) -> bool:
        """Whether they have taken too much."""
        return False

    def kill(self) -> None:
        """End all of them."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Forget them, after the first process has been waited for."""


class Group(Tree):
    """A process and its descendants in a control group, where the kernel ends all of them if they take too much.

    Args:
        pid: the process.
        above: group in which theirs is made.
        memory_mb: limit.

    Raises:
        OSError: the group cannot be made.
    """

    def __init__(self, pid: int, above: Path, memory_mb: int):
        super().__init__(pid)
        self._folder = above / f"tf-kit-{os.getpid()}-{pid}"
        self._folder.mkdir()
        for name, value in (("memory.oom.group", "1"), ("memory.swap.max", "0")):
            with contextlib.suppress(OSError):  # older kernels, or no swap
                (self._folder / name).write_text(value)
        (self._folder / "memory.max").write_text(str(memory_mb << 20))
        (self._folder / "cgroup.procs").write_text(str(pid))

    def over(self) -> bool:
        """Whether the kernel has ended a process of the group for its memory."""
        events = (self._folder / "memory.events").read_text()
        return int(re.findall(r"^oom_kill (\d+)$", events, re.M)[0]) > 0

    def kill(self) -> None:
        """End all processes of the group."""
        super().kill()
        with contextlib.suppress(OSError):
            (self._folder / "cgroup.kill").write_text("1")

    def close(self) -> None:
        """End what is left in the group, and remove it."""
        self.kill()
        for _ in range(20):  # the kernel counts a process for a moment after its end
            with contextlib.suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.005)


class Watched(Tree):
    """A process and its descendants, whose memory is read from /proc.

    Args:
        pid: the process, as this process knows it.
        proc: where processes are listed, perhaps under other numbers.
        limit: kilobytes that they may have in memory or swapped out, shared or not, beyond what was inherited.
        inherited: kilobytes that the process began with, which it shares with this process.
        forks: whether there may be descendants.
    """

    def __init__(self, pid: int, proc: Path, limit: int, inherited: int, forks: bool = True):
        super().__init__(pid)
        self._proc, self._limit, self._inherited, self._forks = proc, limit, inherited, forks
        self._number = _number_in_proc(pid, proc)

    def over(self) -> bool:
        """Whether they have taken more than the limit.

        Pages that several of them share are counted for each at first, which is quick, and once if that is too much.
        """
        folders = list(self._folders())
        in_files = _in_open_files(folders) if self._forks else 0
        found = sum(map(_private, folders)) + in_files
        if found > self._limit + self._inherited and len(folders) > 1:
            each = _proportional(self._proc / "self")  # the inherited pages as they are shared now
            found = sum(map(_proportional, folders)) - min(len(folders) * each, self._inherited) + in_files
            return found > self._limit
        return found > self._limit + self._inherited

    def kill(self) -> None:
        """End all of them, stopped before, so that none starts another one meanwhile."""
        numbers = [number for folder in self._folders() if (number := _own_number(folder))]
        for signal_ in (signal.SIGSTOP, signal.SIGKILL):
            for number in [self._pid, *numbers]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal_)

    def _folders(self) -> Iterator[Path]:
        if not self._forks:
            yield self._proc / str(self._number)
            return
        below = _by_parent(self._proc)
        left = [self._number]
        while left:
            number = left.pop()
            yield self._proc / str(number)
            left += below.get(number, [])


def _by_parent(proc: Path) -> dict[int, list[int]]:
    """Number of a process in /proc -> numbers of its children."""
    below: dict[int, list[int]] = {}
    for path in proc.iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = (path / "stat").read_text()
                below.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(path.name))
    return below


def _own_number(folder: Path) -> int:
    """Number by which this process knows another one that /proc lists; 0 if it has ended."""
    with contextlib.suppress(OSError, IndexError):
        return int(re.findall(r"^NSpid:.*?(\d+)$", (folder / "status").read_text(), re.M)[0])
    return 0


def _number_in_proc(pid: int, proc: Path) -> int:
    """Find the number of a process in /proc, which lists those of another namespace if it was mounted there."""
    if not hasattr(os, "pidfd_open"):
        return pid
    handle = os.pidfd_open(pid)
    try:
        text = (proc / "self" / "fdinfo" / str(handle)).read_text()
    finally:
        os.close(handle)
    return int(re.findall(r"^Pid:\s*(-?\d+)$", text, re.M)[0])


def _kilobytes(path: Path, names: tuple[str, ...]) -> int:
    """Sum some lines of a file of /proc; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        return sum(
            int(value.split()[0])
            for name, _, value in (line.partition(":") for line in path.read_text().splitlines())
            if name in names
        )
    return 0


def _private(folder: Path) -> int:
    """Kilobytes of a process in memory or swapped out, without mapped files of a disk."""
    return _kilobytes(folder / "status", ("RssAnon", "RssShmem", "VmSwap"))


def _proportional(folder: Path) -> int:
    """Kilobytes of a process, each shared page divided by the number of processes that have it."""
    found = _kilobytes(folder / "smaps_rollup", ("Pss_Anon", "Pss_Shmem", "SwapPss"))
    return found or _private(folder)


def _in_open_files(folders: list[Path]) -> int:
    """Kilobytes of open files that are memory without a name: of `memfd_create`, or deleted ones."""
    seen: dict[tuple[int, int], int] = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    link = os.readlink(path)
                    if link.startswith(("/memfd:", "/dev/shm/")) or link.endswith(" (deleted)"):
                        status: Any = path.stat()
                        seen[status.st_dev, status.st_ino] = status.st_blocks // 2
    return sum(seen.values())


def writable_group(proc: Path) -> Path | None:
    """Find a control group (version 2) below which this process may make groups with a limit of memory.

    That is its own group, or the one above, as systemd delegates it to a user, if no limit of memory is left that way.
    """
    try:
        own = re.findall(r"^0::(/.*)$", (proc / "self" / "cgroup").read_text(), re.M)[0].lstrip("/")
        mounts = (proc / "self" / "mountinfo").read_text()
        root = Path(re.findall(r"^(?:\S+ ){4}(\S+) .* - cgroup2 ", mounts, re.M)[0])
    except (OSError, IndexError):
        return None
    group = root / own
    candidates = [group]
    with contextlib.suppress(OSError):
        if group != root and (group / "memory.max").read_text().strip() == "max":
            candidates.append(group.parent)
    for folder in candidates:
        with contextlib.suppress(OSError):
            controllers = (folder / "cgroup.subtree_control").read_text().split()
            if "memory" in controllers and os.access(folder / "cgroup.procs", os.W_OK):
                return folder
    return None
