"""System calls: those that confine a process, and a filter against those that an answer may not make."""

import ctypes
import functools
import os
import struct
import sys
from typing import Any

_PR_SET_SECCOMP = 22

# Refused to every answer: other processes, programs, the network, and parts of the kernel that no exercise needs.
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
_CLONE, _CLONE3, _PRLIMIT, _MMAP = (56, 220), (435, 435), (302, 261), (9, 222)
_SIGNALS = {  # allowed if the first argument is the id of the calling process; `tkill` takes a thread and is refused
    "kill": (62, 129),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
_FORBIDDEN_CALLS["tkill"] = (200, 130)
# Column of the tables above, AUDIT_ARCH_…
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def call(name: str, *arguments: Any) -> None:
    """Call a function of the C library that returns −1 on failure.

    Raises:
        OSError: the call failed.
    """
    if getattr(_library(), name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def filter_program(own: int = 0) -> bytes | None:
    """Build the BPF program by which seccomp refuses the forbidden calls with EPERM.

    Threads are allowed: `clone` with CLONE_THREAD. `clone3` hides its flags from a filter, so it fails with ENOSYS,
    upon which the C library falls back to `clone`. A process may send signals to itself.

    Args:
        own: id of the process to be filtered.

    Returns:
        The program, or None on a system or an architecture without tables here.
    """
    machine = os.uname().machine
    if not sys.platform.startswith("linux") or machine not in _MACHINES:
        return None
    column, architecture = _MACHINES[machine]
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000  # EPERM, ENOSYS
    argument = [16, 24, 32, 40]  # offsets of the low halves of the first four arguments
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # the number of the call
    ]
    if machine == "x86_64":
        program += [(at_least, 0, 1, 0x40000000), (give, 0, 0, refuse)]  # the x32 calls have other numbers
    program += [(equal, 0, 1, _CLONE3[column]), (give, 0, 0, absent)]
    program += [
        *((equal, 0, 4, _CLONE[column]), (load, 0, 0, argument[0])),
        *((any_bit, 0, 1, 0x10000), (give, 0, 0, allow), (give, 0, 0, refuse)),
    ]
    program += [  # reading a limit is allowed: the pointer to the new limit is null
        *((equal, 0, 6, _PRLIMIT[column]), (load, 0, 0, argument[2]), (equal, 0, 3, 0)),
        *((load, 0, 0, argument[2] + 4), (equal, 0, 1, 0), (give, 0, 0, allow), (give, 0, 0, refuse)),
    ]
    program += [  # shared memory that is anonymous (flags 0x21) or writable (protection 2) escapes the limit on data
        *((equal, 0, 7, _MMAP[column]), (load, 0, 0, argument[3]), (any_bit, 0, 4, 1), (any_bit, 2, 0, 0x20)),
        *((load, 0, 0, argument[2]), (any_bit, 0, 1, 2), (give, 0, 0, refuse), (give, 0, 0, allow)),
    ]
    for numbers in _SIGNALS.values():
        program += [
            *((equal, 0, 4, numbers[column]), (load, 0, 0, argument[0]), (equal, 0, 1, own)),
            *((give, 0, 0, allow), (give, 0, 0, refuse)),
        ]
    for forbidden in _FORBIDDEN_CALLS.values():
        number = forbidden[column]
        if number is not None:
            program += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    program.append((give, 0, 0, allow))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def install(program: bytes) -> None:
    """Filter the calls of this process from now on. It cannot be undone."""
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    described = Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    call("prctl", _PR_SET_SECCOMP, 2, ctypes.byref(described), 0, 0)
