"""System calls that Python has no function for, through libc; each raises ``OSError`` when the kernel says no."""

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from typing import Final, TypeVar

_SYS_SETRESUID: Final = {"x86_64": 117, "aarch64": 147}
_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522

_PR_SET_CHILD_SUBREAPER: Final = 36

_libc: Final = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class Namespace(Enum):
    """A kind of namespace that a thread can enter; clone(2)."""

    IPC = 0x08000000
    NETWORK = 0x40000000


def adopt_orphans() -> None:
    """Be the parent of every process below this one whose own parent ends; whoever started it collects it.

    A pid namespace ends only when all that was ever in it is collected, and the host's own init may take its time.
    """
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0), "prctl")


@contextmanager
def files_owned_by(host_id: int) -> Iterator[None]:
    """Let this thread touch files as user and group ``host_id``, with every capability it has.

    An overlay remembers who mounted it and does its own work (copying up) as that user; on idmapped layers that user
    has to be one whom the mapping knows, or the kernel answers EOVERFLOW.
    """
    _set_file_ids(host_id)
    try:
        yield
    finally:
        _set_file_ids(0)


def inside(pidfd: int, namespace: Namespace, act: Callable[[], T]) -> T:
    """Do something in a namespace of a process: in a thread of its own, as there is no way back."""

    def enter() -> T:
        _check(_libc.setns(pidfd, namespace.value), f"{namespace.name.lower()} namespace")
        return act()

    with ThreadPoolExecutor(1, thread_name_prefix="inside") as one:
        return one.submit(enter).result()


def become_thread_user(user_id: int) -> None:
    """Change the effective user of this thread alone. There is no way back: use a thread made for it."""
    number = _SYS_SETRESUID[os.uname().machine]
    unchanged = ctypes.c_uint(0xFFFFFFFF)
    # Not libc's own function, which changes every thread.
    _check(_libc.syscall(ctypes.c_long(number), unchanged, ctypes.c_uint(user_id), unchanged), "setresuid")


def _set_file_ids(host_id: int) -> None:
    _libc.setfsgid(ctypes.c_uint(host_id))
    _libc.setfsuid(ctypes.c_uint(host_id))
    # Neither call tells whether it worked; asked for an id that cannot be, they only tell the one that is.
    if _libc.setfsuid(ctypes.c_uint(0xFFFFFFFF)) != host_id or _libc.setfsgid(ctypes.c_uint(0xFFFFFFFF)) != host_id:
        raise PermissionError(f"the kernel did not let this thread touch files as {host_id}")
    _raise_effective_capabilities()


def _raise_effective_capabilities() -> None:
    """Make effective what is permitted: leaving file user id 0 had taken the file capabilities away."""
    header = struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data), "capget")
    words = list(struct.unpack("6I", data.raw))
    words[0], words[3] = words[1], words[4]
    _check(_libc.capset(header, struct.pack("6I", *words)), "capset")


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return result
