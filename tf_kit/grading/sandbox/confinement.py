"""Confinement of a process that runs a student's code: namespaces, Landlock, seccomp, limits.

Each part is optional. A part that the system lacks is reported as missing, and the level summarizes the rest:

    full      all four parts are in force
    partial   Landlock or seccomp is in force, but another part is missing
    none      neither is in force: an answer can read the answer key and use the network

The order matters. `separate` is called once, by a process without threads, before TensorFlow is imported; `Walls` is
built once, in the process that forks; `Walls.confine` is called in the fork, as the last thing before the answer.
"""

import contextlib
import functools
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tf_kit.grading.sandbox.system_calls import call, filter_program, install

resource: Any = None  # Windows has no limits to set
with contextlib.suppress(ImportError):  # imported here because a confined process cannot open files
    resource = importlib.import_module("resource")

PARTS = ("namespaces", "landlock", "seccomp", "limits")
LARGEST_FILE = 32 << 20
OPEN_FILES = 256
SCRATCH_MB = 64
_SHARED_MEMORY = Path("/dev/shm")

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def separate() -> bool:
    """Fork a child into new namespaces: the first process there, without a network, killed when its parent dies.

    The parent never returns: it waits for the child and exits with its status. On a system that does not allow new
    namespaces, nothing is forked and the calling process continues.

    Returns:
        True in the child, False if there are no namespaces.
    """
    if not sys.platform.startswith("linux"):
        return False
    user, group = os.getuid(), os.getgid()
    try:
        call("unshare", _NEWUSER | _NEWPID | _NEWNET | _NEWIPC | _NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)
    call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    return True


class Walls:
    """Confinement of the forks of a process.

    Args:
        scratch: empty folder; each answer gets an empty folder inside it.
        namespaces: whether `separate` succeeded.
        hidden: files and folders that an answer may not read, even inside a folder that it may read.
        readable: exceptions to `hidden`: files and folders that an answer may read.

    Attributes:
        parts: whether each of `PARTS` is in force, as a fork has found that tried to get through.
    """

    def __init__(
        self,
        scratch: str | Path,
        namespaces: bool,
        hidden: Iterable[str | Path] = (),
        readable: Iterable[str | Path] = (),
    ):
        self._folder = Path(scratch) / "answer"
        self._folder.mkdir(exist_ok=True)
        self._namespaces = namespaces
        self._rules = _landlock(scratch, hidden, readable)
        self._filter = filter_program()
        self.parts: dict[str, bool] = self._tried()

    @property
    def level(self) -> str:
        """Level of confinement: "full", "partial" or "none"."""
        return level_of(self.parts)

    def confine(self, seconds: float, memory_mb: int) -> None:
        """Confine the calling process for good, in an empty folder. Call it in the fork, while it has one thread.

        Args:
            seconds: wall-clock time that the process will be given; the limit of processor time derives from it.
            memory_mb: memory that it may take beyond that of the process that forked it.
        """
        with contextlib.suppress(OSError):
            call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)
        folder = self._folder
        if self._namespaces:
            call("unshare", _NEWNS)
            options = f"size={SCRATCH_MB}m,nr_inodes=4096,mode=700".encode()
            flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
            for place in (folder, _SHARED_MEMORY):  # the second is memory of the whole machine otherwise
                if place.is_dir():
                    call("mount", b"tmpfs", str(place).encode(), b"tmpfs", flags, options)
        else:
            folder = folder / str(os.getpid())
            folder.mkdir(mode=0o700)
        _settle(folder)
        _limit(seconds, memory_mb)
        if self._namespaces:
            _drop_capabilities()
        if sys.platform.startswith("linux"):
            call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if self._rules is not None:
            _allow_own_process(self._rules)
            self._rules.restrict()
        if self._filter is not None:
            program = filter_program(os.getpid())
            assert program is not None  # as for `self._filter`, on the same machine
            install(program)

    def _tried(self) -> dict[str, bool]:
        """Confine a fork and find what it can still do. Nothing is in force if it cannot be confined as wanted."""
        pid = os.fork()
        if pid == 0:
            held = 0
            with contextlib.suppress(BaseException):
                self.confine(1, 100)
                attempts = (_sees_no_other_process, _is_refused_folders, _is_refused_forks, _is_limited)
                held = sum(attempt() << i for i, attempt in enumerate(attempts))
            os._exit(held)
        held = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.clear(pid)
        return {part: bool(held > 0 and held >> i & 1) for i, part in enumerate(PARTS)}

    def clear(self, pid: int) -> None:
        """Remove the folder of a fork that has ended. With namespaces the folder vanished with the fork."""
        if not self._namespaces:
            shutil.rmtree(self._folder / str(pid), ignore_errors=True)


def _sees_no_other_process():
    """Whether the parent is process 1, as in a new process namespace, and the working folder is empty."""
    return sys.platform.startswith("linux") and os.getppid() == 1 and os.listdir() == []


def _is_refused_folders():
    try:
        os.scandir("/").close()
    except PermissionError:
        return True
    return False


def _is_refused_forks():
    try:
        if os.fork() == 0:
            os._exit(0)
    except PermissionError:
        return True
    return False


def _is_limited():
    if resource is None:
        return False
    wanted = {resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE}
    if sys.platform.startswith("linux"):
        wanted |= {resource.RLIMIT_DATA, resource.RLIMIT_AS}
    return all(resource.getrlimit(which)[0] != resource.RLIM_INFINITY for which in wanted)


def level_of(parts: dict[str, bool]) -> str:
    """Name the level of confinement that the parts in force add up to.

    Example:
        >>> level_of({"namespaces": False, "landlock": True, "seccomp": True, "limits": True})
        'partial'
    """
    if all(parts[part] for part in PARTS):
        return "full"
    return "partial" if parts["landlock"] or parts["seccomp"] else "none"


@functools.cache
def available() -> dict[str, bool]:
    """Find which of `PARTS` this machine offers, by trying them in another process, once."""
    code = (
        "import json, tempfile; from tf_kit.grading.sandbox import confinement as c; n = c.separate()\n"
        "with tempfile.TemporaryDirectory() as f: print(json.dumps(c.Walls(f, n).parts))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    try:
        return json.loads(result.stdout)
    except ValueError:
        return dict.fromkeys(PARTS, False)


def _settle(folder):
    """Make a folder the working, home and temporary directory of this process, in which modules are found first."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    for name in ("HOME", "TMPDIR", "KERAS_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
        os.environ[name] = str(folder)
    os.environ["MPLBACKEND"] = "agg"
    tempfile.tempdir = str(folder)  # it still holds the value from before the fork


def _limit(seconds, memory_mb):
    memory = memory_mb << 20
    whole = int(seconds) + 2
    limits = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, 4 * whole),  # for several threads; the wall clock stops an answer earlier
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ]
    if sys.platform.startswith("linux"):
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        kilobytes = {name: int(status[name].split()[0]) for name in ("VmData", "VmSize")}
        limits.append((resource.RLIMIT_DATA, (kilobytes["VmData"] << 10) + memory))
        limits.append((resource.RLIMIT_AS, (kilobytes["VmSize"] << 10) + memory + (4 << 30)))
    for which, value in limits:
        hard = resource.getrlimit(which)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (value, value))


def _drop_capabilities():
    header = struct.pack("Ii", 0x20080522, 0)
    call("capset", header, bytes(24))


def _landlock(scratch, hidden, readable):
    """Build the rules: an answer may read Python and its libraries and write to `scratch`. None without Landlock."""
    try:
        import landlockpy as landlock
    except ImportError:
        return None
    try:
        if not landlock.supported():
            return None
        fs = landlock.AccessFS
        read = fs.READ_FILE | fs.READ_DIR | fs.EXECUTE
        scoped = landlock.Scope.ABSTRACT_UNIX_SOCKET | landlock.Scope.SIGNAL
        rules = landlock.Ruleset(scoped=scoped)
        for path in _readable(hidden):
            rules.allow_path(path, read if Path(path).is_dir() else fs.READ_FILE | fs.EXECUTE)
        for path in readable:
            rules.allow_path(path, fs.READ_FILE | fs.READ_DIR if Path(path).is_dir() else fs.READ_FILE)
        rules.allow_path(scratch, landlock.fs_for_abi(landlock.abi_version()) & ~fs.EXECUTE)
        for device in ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"):
            if Path(device).exists():
                # a writable mapping of /dev/zero would be memory that no limit counts
                rules.allow_path(device, fs.READ_FILE | (fs.WRITE_FILE if device == "/dev/null" else 0))
        return rules
    except (OSError, ValueError, RuntimeError):
        return None


def _allow_own_process(rules):
    """Let a process read its own entry in /proc, where TensorFlow looks up the name and memory of the process."""
    import landlockpy as landlock

    rules.allow_path("/proc/self", landlock.AccessFS.READ_FILE | landlock.AccessFS.READ_DIR)


def _readable(hidden):
    """List the paths of Python, its libraries and those of the system, without the hidden ones."""
    roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values()}
    roots |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
    roots |= {
        "/usr",
        "/lib",
        "/lib64",
        "/bin",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/etc/fonts",
        "/etc/passwd",
    }
    roots |= {
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/filesystems",
        "/proc/sys/kernel/osrelease",
    }
    roots |= {"/sys/devices/system", "/sys/fs/cgroup"}
    hidden = {Path(path).resolve() for path in hidden}
    above = {parent for path in hidden for parent in path.parents}
    found = set()
    for root in {Path(root).resolve() for root in roots if root}:
        found |= _beneath(root, hidden, above)
    return sorted(map(str, found))


def _beneath(root, hidden, above):
    """Find the largest subtrees without a hidden path; `above` are the folders that hold one."""
    if root in hidden or not root.exists() or len(root.parts) < 2:
        return set()
    if root not in above:
        return {root}
    return set().union(
        *(_beneath(child, hidden, above) for child in root.iterdir() if not child.is_symlink())
    )
