"""Confining a process before it runs what a student wrote: namespaces, Landlock, seccomp, limits.

Every part is optional: what the system lacks is left out and named, and the level says what is left.

    full      all four parts
    partial   Landlock or seccomp is in force, something else is missing
    none      neither is; an answer may read the answer key and talk to the network

The order matters. `separate` is called once, by a process without threads, before TensorFlow is imported;
`Walls` is built once, in the process that forks; `confine` is called in the fork, last of all before the answer.
"""

import contextlib
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

try:
    import resource
except ImportError:  # on Windows, where nothing is confined; loaded here, as a confined process opens no file
    resource = None

PARTS = ("namespaces", "landlock", "seccomp", "limits")
LARGEST_FILE = 32 << 20
OPEN_FILES = 256
SCRATCH_MB = 64

_NEWNS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38

# What an answer may not ask the kernel for: other processes, programs, networks, other parts of the kernel.
_FORBIDDEN_CALLS = {  # name: (number on x86_64, number on aarch64 or None)
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "sendmmsg": (307, 269),
    "recvmmsg": (299, 243),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "mount": (165, 40),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setrlimit": (160, 164),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setgroups": (116, 159),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "setpgid": (109, 154),
    "setsid": (112, 157),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_SIGNALS = {  # allowed to the process itself, whose id is their first argument; `tkill` names a thread and is refused
    "kill": (62, 129),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
_FORBIDDEN_CALLS["tkill"] = (200, 130)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # which of the numbers, and AUDIT_ARCH_…


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _call(name, *arguments):
    """A libc function that returns −1 on failure; raises `OSError` then."""
    if getattr(_libc(), name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def separate():
    """Moves this process's future children into namespaces of their own and forks one.

    The child is the first of its pid namespace, without a network, and dies with its parent. The parent waits for it
    and ends as it does. Where the system refuses, the process goes on as it is.

    Returns:
        True in the child, False where there are no namespaces.
    """
    if not sys.platform.startswith("linux"):
        return False
    user, group = os.getuid(), os.getgid()
    try:
        _call("unshare", _NEWUSER | _NEWPID | _NEWNET | _NEWIPC | _NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    _call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)
    _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    return True


class Walls:
    """What the forks of a process are confined to.

    Args:
        scratch: folder that holds nothing; an answer finds its own empty folder in it.
        namespaces: whether `separate` succeeded.
        hidden: files and folders that an answer may not read, wherever they lie.
        readable: files and folders that it may read all the same.
    """

    def __init__(self, scratch, namespaces, hidden=(), readable=()):
        self._folder = Path(scratch) / "answer"
        self._folder.mkdir(exist_ok=True)
        self._namespaces = namespaces
        self._rules = _landlock(scratch, hidden, readable)
        self._filter = _seccomp_filter()
        self.parts = {
            "namespaces": namespaces,
            "landlock": self._rules is not None,
            "seccomp": self._filter is not None,
            "limits": True,
        }

    @property
    def level(self):
        """ "full", "partial" or "none"."""
        return level_of(self.parts)

    def confine(self, seconds, memory_mb):
        """Confines this process for good, in a folder of its own. Called in the fork, while it has one thread."""
        with contextlib.suppress(OSError):
            _call("prctl", _PR_SET_PDEATHSIG, 9, 0, 0, 0)
        folder = self._folder
        if self._namespaces:
            _call("unshare", _NEWNS)
            options = f"size={SCRATCH_MB}m,nr_inodes=4096,mode=700".encode()
            flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
            _call("mount", b"tmpfs", str(folder).encode(), b"tmpfs", flags, options)
        else:
            folder = folder / str(os.getpid())
            folder.mkdir(mode=0o700)
        _settle(folder)
        _limit(seconds, memory_mb)
        if self._namespaces:
            _drop_capabilities()
        if sys.platform.startswith("linux"):
            _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if self._rules is not None:
            _allow_own_process(self._rules)
            self._rules.restrict()
        if self._filter is not None:
            _install(_seccomp_filter(os.getpid()))

    def clear(self, pid):
        """Removes what a fork that has ended left in its folder; in a namespace the folder ends with it."""
        if not self._namespaces:
            shutil.rmtree(self._folder / str(pid), ignore_errors=True)


def level_of(parts):
    """The word for what is in force.

    >>> level_of({"namespaces": False, "landlock": True, "seccomp": True, "limits": True})
    'partial'
    """
    if all(parts[part] for part in PARTS):
        return "full"
    return "partial" if parts["landlock"] or parts["seccomp"] else "none"


def available():
    """The parts that this machine offers, tried out in a process of their own: part -> bool."""
    code = (
        "import json, tempfile; from tf_kit.grading import confinement as c; n = c.separate()\n"
        "with tempfile.TemporaryDirectory() as f: print(json.dumps(c.Walls(f, n).parts))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    try:
        return json.loads(result.stdout)
    except ValueError:
        return dict.fromkeys(PARTS, False)


def _settle(folder):
    os.chdir(folder)
    for name in ("HOME", "TMPDIR", "KERAS_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
        os.environ[name] = str(folder)
    os.environ["MPLBACKEND"] = "agg"
    tempfile.tempdir = str(folder)  # what was true before the fork is remembered there


def _limit(seconds, memory_mb):
    memory = memory_mb << 20
    whole = int(seconds) + 2
    limits = [
        (resource.RLIMIT_CORE, 0),
        (
            resource.RLIMIT_CPU,
            4 * whole,
        ),  # several threads; the clock on the wall is the first to stop an answer
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
    _call("capset", header, bytes(24))


def _landlock(scratch, hidden, readable):
    """A ruleset by which Python and its libraries may be read and the scratch folder written, or None."""
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
                rules.allow_path(device, fs.READ_FILE | fs.WRITE_FILE)
        return rules
    except (OSError, ValueError, RuntimeError):
        return None


def _allow_own_process(rules):
    """TensorFlow asks the kernel for its own name and memory; of other processes Landlock shows nothing private."""
    import landlockpy as landlock

    rules.allow_path("/proc/self", landlock.AccessFS.READ_FILE | landlock.AccessFS.READ_DIR)


def _readable(hidden):
    """Where Python, its libraries and the system's are, without what is hidden."""
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
    found = set()
    for root in {Path(root).resolve() for root in roots if root}:
        found |= _beneath(root, hidden)
    return sorted(map(str, found))


def _beneath(root, hidden):
    """The largest parts of a tree that hold nothing hidden."""
    if root in hidden or not root.exists() or len(root.parts) < 2:
        return set()
    if not any(root in path.parents for path in hidden):
        return {root}
    return set().union(*(_beneath(child, hidden) for child in root.iterdir() if not child.is_symlink()))


def _seccomp_filter(own=0):
    """A BPF program that refuses the calls above with EPERM, or None on an architecture that is not known here.

    Threads are allowed: `clone` with CLONE_THREAD. `clone3` hides its flags from a filter and is answered ENOSYS, upon
    which libc falls back to `clone`. Signals may be sent to the process itself.
    """
    machine = os.uname().machine
    if not sys.platform.startswith("linux") or machine not in _MACHINES:
        return None
    column, architecture = _MACHINES[machine]
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000  # EPERM, ENOSYS
    argument = [16, 24, 32]  # where the filter finds the low half of the first arguments
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # the number of the call
    ]
    if machine == "x86_64":
        program += [
            (at_least, 0, 1, 0x40000000),
            (give, 0, 0, refuse),
        ]  # the x32 calls have numbers of their own
    program += [(equal, 0, 1, _CLONE3[column]), (give, 0, 0, absent)]
    program += [
        *((equal, 0, 4, _CLONE[column]), (load, 0, 0, argument[0])),
        *((any_bit, 0, 1, 0x10000), (give, 0, 0, allow), (give, 0, 0, refuse)),
    ]
    program += [  # reading a limit is allowed: the pointer to a new one is null
        *((equal, 0, 6, _PRLIMIT[column]), (load, 0, 0, argument[2]), (equal, 0, 3, 0)),
        *((load, 0, 0, argument[2] + 4), (equal, 0, 1, 0), (give, 0, 0, allow), (give, 0, 0, refuse)),
    ]
    for numbers in _SIGNALS.values():
        program += [
            *((equal, 0, 4, numbers[column]), (load, 0, 0, argument[0]), (equal, 0, 1, own)),
            *((give, 0, 0, allow), (give, 0, 0, refuse)),
        ]
    for numbers in _FORBIDDEN_CALLS.values():
        if numbers[column] is not None:
            program += [(equal, 0, 1, numbers[column]), (give, 0, 0, refuse)]
    program.append((give, 0, 0, allow))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def _install(program):
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    described = Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _call("prctl", _PR_SET_SECCOMP, 2, ctypes.byref(described), 0, 0)
